"""The laws of quotas: what repositories hold, alone or together, never grows beyond a limit that a command names."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from contract.catalog.examples import (
    APP,
    IMAGE_TYPE,
    OTHER,
    OWNER,
    V1,
    digest,
    doom,
    layer,
    push,
    push_blob,
    put,
    stamp,
)
from zot.catalog.blob_commands import CheckQuota, ClaimBlob, ForgetBlob, PublishBlob, PublishOutcome
from zot.catalog.interface import Catalog
from zot.catalog.layout_commands import ImportLayout, LayoutBlob, LayoutManifest
from zot.catalog.manifest_commands import PutManifest, RemoveManifest, RemoveRepository, Stored
from zot.catalog.quotas import OverQuota, RepositoryQuota
from zot.catalog.upload_commands import CreateUploadRow
from zot.oci.names import Repository, parse_repository

TWIN = parse_repository("team/twin")
TEAM = ("team/**",)


def alone(limit_bytes: int) -> tuple[RepositoryQuota, ...]:
    """Return a limit of the repository."""
    return (RepositoryQuota(limit_bytes),)


def together(limit_bytes: int, patterns: tuple[str, ...] = TEAM) -> tuple[RepositoryQuota, ...]:
    """Return a limit of all repositories that match."""
    return (RepositoryQuota(limit_bytes, patterns),)


def refused(limit_bytes: int, used: int, patterns: tuple[str, ...] = ()) -> OverQuota:
    """Return the refusal that says so."""
    return OverQuota(limit_bytes, used, of_repositories=False, patterns=patterns)


async def publish(
    catalog: Catalog, name: str, quotas: tuple[RepositoryQuota, ...], repository: Repository = APP
) -> PublishOutcome | OverQuota:
    """Claim and publish a blob whose content is its name."""
    token = f"publish {name}"
    await catalog.do(ClaimBlob(repository=repository, digest=digest(name), token=token, owner=OWNER))
    command = PublishBlob(repository=repository, digest=digest(name), token=token, size=len(name), quotas=quotas)
    return await catalog.do(command)


def limited(command: PutManifest, quotas: tuple[RepositoryQuota, ...]) -> PutManifest:
    """Return the command under quotas."""
    return msgspec.structs.replace(command, quotas=quotas)


async def held(catalog: Catalog, patterns: tuple[str, ...] = TEAM) -> int:
    """Return what the repositories hold together, by asking for room that there is not."""
    command = CheckQuota(repository=APP, digest=digest("never pushed"), size=1, quotas=together(0, patterns))
    answer = await catalog.do(command)
    assert isinstance(answer, OverQuota)
    return answer.used


# --- one repository ---


async def test_growth_beyond_it_is_refused(catalog: Catalog) -> None:
    """A blob that does not fit is not stored; its claim and its size are not kept."""
    await push_blob(catalog, "1234")
    assert await publish(catalog, "blob", alone(7)) == refused(7, 4)
    assert await catalog.blob(APP, digest("blob")) is None
    command = PublishBlob(repository=APP, digest=digest("blob"), token="publish blob", size=4)
    assert await catalog.do(command) is PublishOutcome.CLAIM_LOST
    row = await catalog.repository(APP)
    assert row is not None
    assert row.bytes == 4


async def test_it_may_be_filled(catalog: Catalog) -> None:
    """The quota itself may be used up to its last byte."""
    await push_blob(catalog, "1234")
    assert await publish(catalog, "blob", alone(8)) is PublishOutcome.PRESENT


@pytest.mark.parametrize("quotas", [alone(1), together(1)])
async def test_what_is_there_passes(catalog: Catalog, quotas: tuple[RepositoryQuota, ...]) -> None:
    """Publishing what is present does not grow anything, so that no quota refuses it."""
    await catalog.do(ClaimBlob(repository=APP, digest=digest("blob"), token="publish blob", owner=OWNER))
    await publish(catalog, "blob", ())
    assert await publish(catalog, "blob", quotas) is PublishOutcome.PRESENT
    command = CheckQuota(repository=APP, digest=digest("blob"), size=4, quotas=quotas)
    assert await catalog.do(command) is None


async def test_what_is_empty_passes(catalog: Catalog) -> None:
    """Nothing needs no room, even where there is less than none."""
    await push_blob(catalog, "1234")
    assert await publish(catalog, "", (*alone(1), *together(1))) is PublishOutcome.PRESENT


async def test_the_other_repositories_do_not_count(catalog: Catalog) -> None:
    """A quota of one repository is its own."""
    await push_blob(catalog, "1234", TWIN)
    assert await publish(catalog, "blob", alone(4)) is PublishOutcome.PRESENT


@pytest.mark.parametrize("patterns", [(), TEAM])
async def test_it_counts_manifests(catalog: Catalog, patterns: tuple[str, ...]) -> None:
    """A manifest that does not fit is refused; a tag for one that is there is not."""
    await push_blob(catalog, "1234")
    assert await catalog.do(limited(put("image"), together(8, patterns))) == refused(8, 4, patterns)
    assert isinstance(await catalog.do(limited(put("image"), together(9, patterns))), Stored)
    assert isinstance(await catalog.do(limited(put("image", tags=(V1,)), together(0, patterns))), Stored)


async def test_a_refused_publication_leaves_the_upload_open(catalog: Catalog) -> None:
    """Without room, the session is as it was."""
    await catalog.do(CreateUploadRow(repository=APP, session="s"))
    await catalog.do(ClaimBlob(repository=APP, digest=digest("blob"), token="t", owner=OWNER))
    command = PublishBlob(repository=APP, digest=digest("blob"), token="t", size=4, session="s", quotas=alone(3))
    assert await catalog.do(command) == refused(3, 0)
    row = await catalog.upload("s")
    assert row is not None
    assert row.finished is None


# --- the repositories of a pattern ---


async def test_repositories_share_it(catalog: Catalog) -> None:
    """What one of them took, the others no longer have; what does not match neither counts nor is limited."""
    await push_blob(catalog, "not of the team", OTHER)
    assert await publish(catalog, "first", together(9)) is PublishOutcome.PRESENT
    assert await publish(catalog, "second", together(9), TWIN) == refused(9, 5, TEAM)
    assert await publish(catalog, "2nd", together(9), TWIN) is PublishOutcome.PRESENT
    assert await held(catalog) == 8
    assert isinstance(await catalog.do(limited(put("im", repository=TWIN), together(9))), OverQuota)
    assert isinstance(await catalog.do(limited(put("i", repository=TWIN), together(9))), Stored)
    assert await held(catalog) == 9


async def test_concurrent_pushes_share_it(catalog: Catalog) -> None:
    """Of pushes to several repositories that exceed it together, as many are stored as fit, and no more."""
    names = [f"{number}" * 10 for number in range(10)]
    places = [parse_repository(f"team/app{number}") for number in range(10)]
    outcomes = await asyncio.gather(
        *(publish(catalog, name, together(55), place) for name, place in zip(names, places, strict=True))
    )
    assert outcomes.count(PublishOutcome.PRESENT) == 5
    assert sorted(each.used for each in outcomes if isinstance(each, OverQuota)) == [50] * 5
    assert await held(catalog) == 50


async def test_what_is_shared_counts_in_each(catalog: Catalog) -> None:
    """A blob that two of the repositories have counts twice, as it does in what each of them holds."""
    await push_blob(catalog, "12345")
    assert await publish(catalog, "12345", together(9), TWIN) == refused(9, 5, TEAM)
    assert await publish(catalog, "12345", together(10), TWIN) is PublishOutcome.PRESENT
    assert await held(catalog) == 10


async def test_every_quota_has_to_have_room(catalog: Catalog) -> None:
    """Of several the first without room is named."""
    await push_blob(catalog, "1234")
    both = (*alone(8), *together(9, ("**",)), *together(6))
    assert await publish(catalog, "123", both) == refused(6, 4, TEAM)
    assert await publish(catalog, "12345", both) == refused(8, 4)
    assert await publish(catalog, "12", both) is PublishOutcome.PRESENT


async def test_what_is_removed_gives_room_back(catalog: Catalog) -> None:
    """A deleted manifest at once, a blob when it is doomed, a repository that goes takes nothing with it."""
    await push_blob(catalog, "layer")
    await push(catalog, "image", layer("layer"))
    assert await held(catalog) == 10
    await catalog.do(RemoveManifest(repository=APP, digest=digest("image")))
    assert await held(catalog) == 5
    await stamp(catalog)
    await doom(catalog, digest("layer"), marked_before_s=100)
    assert await held(catalog) == 0
    await catalog.do(ForgetBlob(repository=APP, digest=digest("layer"), token="doom"))
    assert await catalog.do(RemoveRepository(repository=APP)) is True
    assert await held(catalog) == 0
    assert await publish(catalog, "again", together(5)) is PublishOutcome.PRESENT


async def test_a_digest_counts_once_in_a_repository(catalog: Catalog) -> None:
    """Bytes that are a blob and a manifest are one file there."""
    await push_blob(catalog, "image")
    assert isinstance(await catalog.do(limited(put("image"), together(5))), Stored)
    await push(catalog, "other", repository=TWIN)
    assert await publish(catalog, "other", together(10), TWIN) is PublishOutcome.PRESENT
    assert await held(catalog) == 10


async def test_what_layouts_hold_counts(catalog: Catalog) -> None:
    """Adoption is not refused for want of room, and what it brings is counted, before and after the first question."""
    blobs = (LayoutBlob(digest("layer"), 5),)
    manifest = LayoutManifest(digest("image"), b"image", IMAGE_TYPE, None, None, {}, (layer("layer"),), 1)
    await catalog.do(ImportLayout(repository=APP, blobs=blobs, manifests=(manifest,)))
    assert await held(catalog) == 10
    await catalog.do(ImportLayout(repository=TWIN, blobs=blobs, complete=True))
    assert await held(catalog) == 15
    assert await publish(catalog, "more", together(12)) == refused(12, 15, TEAM)


async def test_a_command_given_again_counts_once(catalog: Catalog) -> None:
    """A repetition after an unknown outcome adds nothing."""
    command = limited(put("image"), together(5))
    assert await held(catalog) == 0
    first, again = await catalog.do(command), await catalog.do(command)
    assert first == again
    assert await held(catalog) == 5


async def test_patterns_are_globs(catalog: Catalog) -> None:
    """Several of them make one set of repositories, in which each counts once."""
    await push_blob(catalog, "1234")
    await push_blob(catalog, "12345", OTHER)
    await push_blob(catalog, "123456", TWIN)
    expected = {("team/*", "**/app"): 10, ("*",): 5, ("team/{app,twin}", "other"): 15, ("nothing",): 0}
    assert {patterns: await held(catalog, patterns) for patterns in expected} == expected
