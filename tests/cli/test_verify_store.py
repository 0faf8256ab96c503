"""`zot verify --store` says what retention would do to the tags that are there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner

from zot.catalog.commands import Adopt, PutManifest, TagMove
from zot.catalog.sqlite.driver import open_in_thread
from zot.cli.verify import command
from zot.oci.digest import digest_of
from zot.oci.names import Repository, Tag

CONTENT = b"a manifest"


async def fill(directory: Path, tags: dict[str, list[str]]) -> None:
    """Put a manifest with these tags into each repository."""
    catalog = open_in_thread(directory, "boot")
    for name, names in tags.items():
        repository = Repository(name)
        await catalog.do(Adopt(repository=repository, complete=True))
        moves = tuple(TagMove(Tag(each)) for each in names)
        manifest = PutManifest(
            repository=repository, digest=digest_of(CONTENT), content=CONTENT, media_type="type", tags=moves
        )
        await catalog.do(manifest)
    await catalog.close()


def test_a_repository_that_would_lose_every_tag_is_warned_about_with_their_number(tmp_path: Path) -> None:
    """Only repositories that retention would leave without a tag are named; nothing is removed by asking."""
    policy = {"repositories": ["**"], "keepTags": [{"patterns": ["^v"]}]}
    file = tmp_path / "config.json"
    storage = {"rootDirectory": str(tmp_path / "store"), "retention": {"policies": [policy]}}
    file.write_text(json.dumps({"storage": storage, "http": {"port": "0"}, "log": {"output": str(tmp_path / "log")}}))
    asyncio.run(fill(tmp_path / "store" / ".zot", {"gone": ["latest", "edge"], "stays": ["latest", "v1"]}))

    for _ in range(2):
        done = CliRunner().invoke(command, ["--store", str(file)])
        assert done.exit_code == 0
        assert "every tag of gone (2) would be deleted" in done.stderr
        assert "stays" not in done.stderr
    assert "every tag" not in CliRunner().invoke(command, [str(file)]).stderr
