"""What operators ask, of a running server and of a store at rest: by the command line, as they do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from admin.harness import APP, Client, Place
from zot.admin.asking import ask_for_rows
from zot.admin.requests import AdminError, ListJobs, PreviewPage, StartJob, SummarizeCollection
from zot.config.state_directory import StateDirectory
from zot.config.storage import StorageConfig
from zot.maintenance import scheduler
from zot.oci.digest import digest_of, hex_of
from zot.oci.names import Repository
from zot.processes.control import ask_server
from zot.statistics import recorder, sqlite


@pytest.fixture(autouse=True)
def statistics_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pulls and pushes written down sooner than each second."""
    monkeypatch.setattr(recorder, "FLUSH_S", 0.05)
    monkeypatch.setattr(sqlite, "FLUSH_S", 0.05)


@pytest.fixture(autouse=True)
def nothing_begins_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delay a server's first runs beyond the test: all deletes are requested by the test."""
    monkeypatch.setattr(scheduler, "_spread", lambda: 1.0)
    monkeypatch.setattr(scheduler, "_SPREAD_S", 3600.0)


@pytest.fixture
def make_place(tmp_path: Path) -> Callable[..., Place]:
    """Return a function that creates the test's store, with keys of `storage`."""
    return lambda **storage: Place(tmp_path, storage)


@pytest.mark.parametrize("running", [True, False])
def test_a_tag_is_brought_back(make_place: Callable[..., Place], running: bool) -> None:
    """`zot tag` shows where a tag was, and brings it back after it was moved or deleted, with a server and without."""
    place = make_place()
    with place.serve() as registry:
        client = Client(registry)
        old, new = client.push("old", "v1"), client.push("new", "v1")
        client.ask("DELETE", f"/v2/{APP}/manifests/v1")
    with place.serve() if running else nullcontext():
        history = place.zot("tag", "history", f"{APP}:v1")
        assert [line.split()[3:5] for line in history.splitlines()[1:]] == [[new, "-"], [old, new], ["-", old]]
        assert new in place.zot("tag", "restore", f"{APP}:v1")
        assert old in place.zot("tag", "restore", f"{APP}:v1", "--to", old)
        assert f"{APP}@{old}" in place.zot("tag", "asof", APP, "2100-01-01")
        assert APP not in place.zot("tag", "asof", APP, "2000-01-01")
        missing = digest_of(b"missing")
        assert "it was deleted" in place.zot("tag", "restore", f"{APP}:v1", "--to", missing, status=1)
    with place.serve() as registry:
        assert Client(registry).resolve("v1") == old


def test_a_restored_tag_outlives_the_next_sweep(make_place: Callable[..., Place]) -> None:
    """A restored tag counts as pushed at that time: then retention deletes the oldest other one."""
    keep_two = [{"patterns": [".*"], "mostRecentlyPushedCount": 2}]
    place = make_place(retention={"policies": [{"repositories": ["**"], "keepTags": keep_two}]})
    with place.serve() as registry:
        client = Client(registry)
        first = client.push("first", "v1")
        client.push("second", "v2")
        client.push("third", "v3")
    place.zot("gc")
    place.zot("tag", "restore", f"{APP}:v1", "--to", first)
    place.zot("gc")
    with place.serve() as registry:
        client = Client(registry)
        assert client.resolve("v1") == first
        assert client.resolve("v2") is None
        assert client.resolve("v3") is not None


@pytest.mark.parametrize("running", [True, False])
def test_a_dry_run_names_what_would_be_deleted(make_place: Callable[..., Place], running: bool) -> None:
    """`zot gc --dry-run` names deletes with reason and bytes, `--explain` those of a tag; neither deletes."""
    place = make_place(
        retention={"policies": [{"repositories": ["**"], "keepTags": [{"patterns": ["^v"]}]}]},
    )
    with place.serve() as registry:
        client = Client(registry)
        client.push("kept", "v1")
        gone = client.push("gone", "tmp")
    with place.serve() if running else nullcontext():
        said = place.zot("gc", "--dry-run")
        assert "tag       tmp  " in said.replace(hex_of(gone), "")
        assert "didn't meet any tag 'patterns' rules" in said
        assert gone in said
        assert digest_of(b"layer of gone") in said
        assert digest_of(b"layer of kept") not in said
        assert digest_of(b"{}") not in said
        assert "tmp would be deleted: didn't meet any tag 'patterns' rules" in place.zot(
            "gc", "--explain", f"{APP}:tmp"
        )
        with_it = place.zot("gc", "--explain", f"{APP}:tmp")
        assert gone in with_it
        assert digest_of(b"layer of gone") in with_it
        assert place.zot("gc", "--explain", f"{APP}:v1").splitlines() == [
            f"{APP}:v1 is kept: retained by patterns policy",
            "0 would be deleted: 0 B freed, 0 B kept for other repositories",
        ]
        assert "there is no tag nowhere" in place.zot("gc", "--explain", f"{APP}:nowhere", status=1)
        verdicts = [line.split()[1:3] for line in place.zot("verify-feature", "retention").splitlines()[1:3]]
        assert sorted(verdicts) == [["tmp", "delete"], ["v1", "keep"]]
        assert place.zot("verify-feature", "retention", "-l", str(place.root.parent / "decisions")) == ""
        lines = [json.loads(line) for line in (place.root.parent / "decisions").read_text().splitlines()]
        assert {each["tag"]: each["decision"] for each in lines if "tag" in each} == {"tmp": "delete", "v1": "keep"}
        assert [each["reference"] for each in lines if "reference" in each] == [gone]
        assert lines[-1]["message"] == "retention check completed successfully"
    with place.serve() as registry:
        assert Client(registry).resolve("tmp") == gone


async def test_a_preview_is_asked_for_in_parts(make_place: Callable[..., Place]) -> None:
    """The summary of each repository counts what the parts of its preview list, in their order."""
    place = make_place(retention={"policies": [{"repositories": ["**"], "keepTags": [{"patterns": ["^v"]}]}]})
    with place.serve() as registry:
        client = Client(registry)
        client.push("kept", "v1")
        client.push("gone", "tmp")
        state = StateDirectory.of(StorageConfig(root_directory=str(place.root)))
        ask = partial(ask_server, state)
        (summary,) = await ask_for_rows(ask, SummarizeCollection())
        assert (summary.tags, summary.manifests, summary.blobs) == (1, 1, 1)
        assert summary.bytes_free > 0
        assert await ask_for_rows(ask, SummarizeCollection(after=APP)) == []
        rows = []
        for offset in range(4):
            (part,) = await ask_for_rows(ask, PreviewPage(repository=Repository(APP), limit=1, offset=offset))
            assert part.summary == summary
            rows += part.rows
        assert [each.kind for each in rows] == ["tag", "manifest", "blob"]


async def test_a_job_is_started_by_its_name(make_place: Callable[..., Place]) -> None:
    """The answer does not wait for the end of the run."""
    place = make_place()
    with place.serve():
        ask = partial(ask_server, StateDirectory.of(StorageConfig(root_directory=str(place.root))))
        (before,) = await ask_for_rows(ask, StartJob(task="GCTaskGenerator /"))
        assert before.last is None
        while True:
            (job,) = [each for each in await ask_for_rows(ask, ListJobs()) if each.task == before.task]
            if job.last is not None and job.last.ended_s is not None:
                break
            await asyncio.sleep(0.01)
        with pytest.raises(AdminError, match="there is no task none"):
            await ask_for_rows(ask, StartJob(task="none"))


def test_without_collection_no_retention_is_shown(make_place: Callable[..., Place]) -> None:
    """Without collection there is no preview of deletes."""
    place = make_place(gc=False, retention={"policies": [{"repositories": ["**"], "keepTags": [{"patterns": ["v"]}]}]})
    with place.serve() as registry:
        Client(registry).push("gone", "tmp")
    assert "garbage collection is off" in place.zot("verify-feature", "retention", status=1)
    assert "garbage collection is off" in place.zot("gc", "--explain", APP, status=1)
    assert "0 would be deleted" in place.zot("gc", "--dry-run")
    assert "every tag" not in place.zot("verify", "--store")


def test_a_store_that_collects_not_loses_nothing(make_place: Callable[..., Place], tmp_path: Path) -> None:
    """A preview names no content of a store without collection."""
    policy = {"policies": [{"repositories": ["**"], "keepTags": [{"patterns": ["^v"]}]}]}
    place = make_place(retention=policy, subPaths={"/team": {"rootDirectory": str(tmp_path / "team")}})
    with place.serve() as registry:
        Client(registry).push("kept", "tmp")
        assert "0 would be deleted" in place.zot("gc", "--dry-run")
        assert APP not in place.zot("verify-feature", "retention")


def test_a_policy_is_tried_beside_the_server(make_place: Callable[..., Place], tmp_path: Path) -> None:
    """A dry run uses the policies of the given file, whatever those of the server are."""
    place = make_place()
    with place.serve() as registry:
        Client(registry).push("image", "tmp")
        assert "0 would be deleted" in place.zot("gc", "--dry-run")
        tree = json.loads(place.file.read_text())
        tree["storage"]["retention"] = {"policies": [{"repositories": ["**"], "keepTags": [{"patterns": ["^v"]}]}]}
        place.file.write_text(json.dumps(tree))
        assert "didn't meet any tag 'patterns' rules" in place.zot("gc", "--dry-run")
        assert "tmp would be deleted" in place.zot("gc", "--explain", f"{APP}:tmp")


def test_garbage_is_collected_on_demand(make_place: Callable[..., Place]) -> None:
    """`zot gc` without a server deletes unreferenced content, at once on request; the next start serves the rest."""
    place = make_place()
    with place.serve() as registry:
        client = Client(registry)
        kept, gone = client.push("kept", "v1"), client.push("gone", "tmp")
        client.ask("DELETE", f"/v2/{APP}/manifests/tmp")
        assert "removed 0 tags, 0 manifests" in place.zot("gc")
        assert "stop it to use another" in place.zot("gc", "--delay", "0s", status=1)
        jobs = place.zot("jobs")
        assert "GCTaskGenerator /" in jobs
        assert "1 repositories" in jobs
    assert "removed 0 tags, 1 manifests, 1 blobs" in place.zot("gc", "--delay", "0s")
    with place.serve() as registry:
        client = Client(registry)
        assert client.resolve("v1") == kept
        assert client.resolve(gone) is None
    assert "no server runs" in place.zot("jobs", status=1)


@pytest.mark.parametrize("running", [True, False])
def test_damage_is_shown_in_zots_table(make_place: Callable[..., Place], running: bool) -> None:
    """`zot scrub` names the tag and the blob, and ends with status 1; the blob is no longer served."""
    place = make_place()
    layer = digest_of(b"layer of image")
    with place.serve() as registry:
        Client(registry).push("image", "v1")
    (place.root / APP / "blobs" / "sha256" / hex_of(layer)).write_bytes(b"layer of imagf")
    with place.serve() if running else nullcontext():
        lines = place.zot("scrub", status=1).splitlines()
    assert lines[0].split("  ")[0] == "REPOSITORY"
    assert lines[1].split()[:4] == [APP, "v1", "affected", hex_of(layer)]
    with place.serve() as registry:
        client = Client(registry)
        assert client.ask("GET", f"/v2/{APP}/blobs/{layer}")[0] == 404
        client.push("image", "v1")
        assert client.ask("GET", f"/v2/{APP}/blobs/{layer}") == (200, b"layer of image")


def test_bytes_are_counted_by_repository_and_tag(make_place: Callable[..., Place]) -> None:
    """`zot usage` shows the bytes of a repository, and the bytes that a tag shares with others."""
    place = make_place()
    with place.serve() as registry:
        client = Client(registry)
        for tag in ("v1", "v2"):
            client.push(tag, tag)
        _, size, _, tags, manifests, blobs, unread = place.zot("usage").splitlines()[1].split()
        assert (tags, manifests, blobs, unread) == ("2", "2", "3", "0")
        rows = [line.split() for line in place.zot("usage", "--tags", APP).splitlines()[1:]]
        assert [row[0] for row in rows] == ["v1", "v2"]
        assert all(float(row[1]) == float(row[3]) + 2 for row in rows)
        assert "0 B" in place.zot("usage", "--repositories", "elsewhere/**")
        assert float(size)


@pytest.mark.parametrize("running", [True, False])
def test_a_backup_restores_the_store(make_place: Callable[..., Place], tmp_path: Path, running: bool) -> None:
    """`zot restore` restores content and tags of a backup to an empty place, and refuses any other."""
    place = make_place()
    backup = str(tmp_path / "backup")
    with place.serve() as registry:
        image = Client(registry).push("image", "v1")
        if running:
            place.zot("backup", backup)
    if not running:
        place.zot("backup", backup)
        place.zot("backup", backup)
    assert "is not empty" in place.zot("restore", backup, status=1)
    place.root.rename(tmp_path / "lost")
    place.zot("restore", backup)
    with place.serve() as registry:
        client = Client(registry)
        assert client.resolve("v1") == image
        assert client.ask("GET", f"/v2/{APP}/blobs/{digest_of(b'layer of image')}") == (200, b"layer of image")
    assert "v1" in (place.root / APP / "index.json").read_text()


def test_a_backup_that_was_broken_off_is_none(make_place: Callable[..., Place], tmp_path: Path) -> None:
    """Without its last file a directory is not restored."""
    place = make_place()
    with place.serve() as registry:
        Client(registry).push("image", "v1")
    place.zot("backup", str(tmp_path / "backup"))
    (tmp_path / "backup" / "backup.json").unlink()
    place.root.rename(tmp_path / "lost")
    assert "is not a finished backup" in place.zot("restore", str(tmp_path / "backup"), status=1)
    assert not (place.root / ".zot" / "catalog.db").exists()


def test_the_control_socket_is_its_owners(make_place: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users cannot connect; an invalid request gets an error, and the server continues."""
    place = make_place()
    with place.serve():
        path = place.control
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_uid == os.getuid()
        for line in (b"nonsense\n", b'{"type": "Unlink"}\n', b'{"type": "Restore", "repository": 1}\n', b"x" * 100_000):
            with socket.socket(socket.AF_UNIX) as peer:
                monkeypatch.chdir(path.parent)  # an address has at most 107 bytes
                peer.connect("control")
                peer.sendall(line)
                peer.shutdown(socket.SHUT_WR)
                assert b'"error"' in peer.recv(4096)
        assert "GCTaskGenerator" in place.zot("jobs")
    assert not path.exists()


def test_a_read_only_server_changes_nothing(make_place: Callable[..., Place]) -> None:
    """Requests that change the store are refused; the others are answered."""
    place = make_place()
    with place.serve() as registry:
        Client(registry).push("image", "v1")
    place.storage["readOnly"] = True
    with place.serve():
        assert "read-only" in place.zot("gc", status=1)
        assert "read-only" in place.zot("tag", "restore", f"{APP}:v1", status=1)
        assert "v1" in place.zot("tag", "history", APP)


def test_a_store_in_use_is_left_alone(make_place: Callable[..., Place]) -> None:
    """A server that does not answer keeps its store all the same."""
    place = make_place()
    with place.serve():
        place.control.unlink()
        place.zot("usage", status=1)
