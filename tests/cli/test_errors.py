"""What goes wrong for reasons outside of the program is one sentence and status 1, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner, Result

from servers.zot import ZotServer
from zot.cli.main import COMMANDS, cli
from zot.testing import serve

ON_STORE = [
    ("backup", "{tmp}/backup"),
    ("gc",),
    ("gc", "--dry-run"),
    ("gc", "--explain", "team/app"),
    ("jobs",),
    ("scrub",),
    ("tag", "history", "team/app"),
    ("tag", "restore", "team/app:v1"),
    ("tag", "asof", "team/app", "2030-01-01"),
    ("usage",),
    ("usage", "--tags", "team/app"),
    ("verify", "--store"),
    ("verify-feature", "retention"),
    ("account", "create", "robot"),
    ("account", "delete", "robot"),
    ("account", "key", "robot"),
    ("account", "keys", "robot"),
    ("account", "list"),
    ("account", "revoke", "robot", "id"),
    ("sessions", "list"),
    ("sessions", "revoke", "--user", "alice"),
]
"""Commands that work on a store, before the configuration file."""

ON_FILE = [
    *ON_STORE,
    ("config",),
    ("config", "--for-zot"),
    ("events", "list"),
    ("events", "replay"),
    ("explain", "--repo", "team/app"),
    ("replicas",),
    ("status",),
    ("verify",),
    ("serve",),
]
"""Commands that read a configuration file."""

ids = " ".join


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a configuration with users, whose store is not made."""
    users = tmp_path / "htpasswd"
    users.write_text("alice:$2y$05$SZa/rM6y9lh/hIF5.b4qoev6XEBkpM2hHtRTjpP.RcHkGqjfQ1L12\n")
    path = tmp_path / "config.json"
    http = {"port": "0", "auth": {"htpasswd": {"path": str(users)}, "apikey": True}}
    path.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "data")}, "http": http}))
    return path


@pytest.fixture
def served(file: Path) -> Path:
    """Return the configuration once a server has made its store."""
    with serve(file.parent / "data"):
        pass
    return file


def zot(arguments: tuple[str, ...], *more: str | Path) -> Result:
    """Run a command; what it raises itself is a test's failure."""
    result = CliRunner().invoke(cli, [*arguments, *map(str, more)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def names(tmp_path: Path, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Fill in the test's directory."""
    return tuple(each.format(tmp=tmp_path) for each in arguments)


def refused(result: Result) -> str:
    """Check that it is one error, with status 1; return it."""
    # A server of other tests in this process may log what it cannot write while the process has another user.
    errors = [line for line in result.stderr.splitlines() if not line.startswith(("Warning: ", "zot: log: "))]
    assert result.exit_code == 1, result.output
    assert errors
    assert errors[0].startswith("Error: ")
    assert result.stdout == ""
    return errors[0]


def test_every_command_is_tried_here() -> None:
    """A new command is added to the lists above, or to this one of those that read neither file nor store."""
    tried = {each[0] for each in ON_FILE}
    assert set(COMMANDS) - tried == {"completion", "restore", "schema"}


@pytest.mark.parametrize("arguments", ON_FILE, ids=ids)
def test_a_configuration_that_is_not_there_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """With the path, and nothing is made."""
    assert "/nowhere/config.json: cannot read" in refused(zot(names(tmp_path, arguments), "/nowhere/config.json"))


@pytest.mark.parametrize("arguments", ON_FILE, ids=ids)
def test_a_directory_in_place_of_a_configuration_is_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """It is said of the argument, with status 2."""
    result = zot(names(tmp_path, arguments), tmp_path)
    assert result.exit_code == 2
    assert f"'{tmp_path}' is a directory" in result.stderr


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_broken_configuration_is_named(tmp_path: Path, content: bytes) -> None:
    """Whatever the file holds, the error begins with its path."""
    path = tmp_path / "config.json"
    path.write_bytes(content)
    for arguments in ON_FILE:
        assert refused(zot(names(tmp_path, arguments), path)).startswith(f"Error: {path}: ")


@pytest.mark.parametrize("arguments", ON_STORE, ids=ids)
def test_no_command_makes_a_store(file: Path, arguments: tuple[str, ...]) -> None:
    """Where a disk is not mounted, or the configuration is of another place, it says so and leaves nothing there."""
    root = file.parent / "data"
    said = refused(zot(names(file.parent, arguments), file))
    assert f"{root} does not exist: is its disk mounted" in said
    assert not root.exists()
    root.mkdir()
    assert f"{root} is empty: is its disk mounted" in refused(zot(names(file.parent, arguments), file))
    assert list(root.iterdir()) == []
    assert not (file.parent / "backup").exists()


@pytest.mark.parametrize("arguments", ON_STORE, ids=ids)
def test_no_command_takes_over_a_directory(served: Path, arguments: tuple[str, ...]) -> None:
    """What another program wrote, and no server has served yet, is left as it is: the error says what to do."""
    root = served.parent / "data"
    shutil.rmtree(root / ".zot")
    (root / "team" / "app").mkdir(parents=True)
    before = sorted(root.rglob("*"))
    said = refused(zot(names(served.parent, arguments), served))
    assert "was not served by this zot yet: start `zot serve`" in said
    assert sorted(root.rglob("*")) == before
    assert not (served.parent / "backup").exists()


@pytest.mark.parametrize("arguments", ON_STORE, ids=ids)
def test_no_command_makes_a_catalog(served: Path, arguments: tuple[str, ...]) -> None:
    """A store whose catalog is lost is not taken for one that is empty."""
    catalog = served.parent / "data" / ".zot" / "catalog.db"
    catalog.unlink()
    said = refused(zot(names(served.parent, arguments), served))
    assert f"there is no catalog {catalog}: `zot serve` makes it again" in said
    assert not catalog.exists()
    assert not (served.parent / "backup").exists()


@pytest.mark.parametrize("content", [b"", b"x" * 5000], ids=["empty", "garbage"])
@pytest.mark.parametrize("arguments", [each for each in ON_STORE if each[0] not in {"account", "sessions"}], ids=ids)
def test_no_command_goes_on_with_a_damaged_catalog(served: Path, arguments: tuple[str, ...], content: bytes) -> None:
    """A damaged catalog is left for the next start to mend: no backup is made of a catalog that lacks everything."""
    catalog = served.parent / "data" / ".zot" / "catalog.db"
    for log in catalog.parent.glob("catalog.db-*"):
        log.unlink()
    catalog.write_bytes(content)
    said = refused(zot(names(served.parent, arguments), served))
    assert f"the catalog {catalog} is damaged" in said
    assert "`zot serve` makes it again" in said
    assert catalog.read_bytes() == content
    assert not (served.parent / "backup").exists()


@pytest.mark.parametrize("arguments", ON_STORE, ids=ids)
def test_another_store_in_its_place_is_refused(served: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A disk that is mounted in the place of the store's, while the catalog is elsewhere, is not worked on."""
    root, catalog = served.parent / "data", served.parent / "catalog"
    (root / ".zot").rename(catalog)
    shutil.copytree(catalog, root / ".zot")
    (root / ".zot" / "store.json").write_text('{"store": "another"}')
    tree = json.loads(served.read_text())
    tree["storage"]["catalog"] = {"directory": str(catalog)}
    served.write_text(json.dumps(tree))
    said = refused(zot(names(tmp_path, arguments), served))
    assert f"{root} is store another, but store " in said


# --- another user ---


@contextmanager
def stranger(root: Path) -> Iterator[None]:
    """Be a user who may not open the store during the block, also where root runs the tests."""
    directory = root / ".zot"
    if os.geteuid() != 0:
        directory.chmod(0)
        yield
        directory.chmod(0o700)
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def passable() -> Iterator[Path]:
    """Make a directory that other users can pass through: pytest's own are closed to them."""
    with TemporaryDirectory(prefix="zot-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.mark.parametrize("running", [True, False], ids=["beside a server", "alone"])
def test_another_user_is_told_who_they_are(passable: Path, running: bool) -> None:
    """Every command on a store as a user who may not open it: the path, and the user that it runs as."""
    users = passable / "htpasswd"
    users.write_text("alice:$2y$05$SZa/rM6y9lh/hIF5.b4qoev6XEBkpM2hHtRTjpP.RcHkGqjfQ1L12\n")
    http = {"auth": {"htpasswd": {"path": str(users)}, "apikey": True}}
    with ZotServer(passable, http=http, arguments=("--workers", "0")) as server:
        for arguments in ON_STORE:
            zot(names(passable, arguments), server.config)  # what it imports may be closed to strangers, too
        server.config.chmod(0o644)
        server.root.chmod(0o755)
        if not running:
            server.stop()
        for arguments in ON_STORE:
            with stranger(server.root):
                result = zot(names(passable / "other", arguments), server.config)
            said = refused(result)
            assert "running as " in said
            assert f"{server.root}/.zot" in said


# --- values ---


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("usage", "--repositories", "["), "not closed"),
        (("usage", "--tags", "UPPER"), "UPPER"),
        (("usage", "--tags", "team/app:v1"), "without a tag"),
        (("gc", "--delay", "soon"), "soon"),
        (("gc", "--delay", "-1s"), "must not be negative"),
        (("gc", "--explain", "UPPER"), "UPPER"),
        (("tag", "history", "team/app:-"), "-"),
        (("tag", "history", "--limit", "0", "team/app"), "0"),
        (("tag", "restore", "team/app"), "REPO:TAG"),
        (("tag", "restore", "--to", "sha256:1", "team/app:v1"), "64 lower-case"),
        (("tag", "asof", "team/app", "yesterday"), "yesterday"),
        (("sessions", "revoke"), "--user or --session"),
    ],
    ids=str,
)
def test_bad_values_are_wrong_usage(served: Path, arguments: tuple[str, ...], named: str) -> None:
    """Status 2, and what is wrong with the value."""
    result = zot(arguments, served)
    assert (result.exit_code, result.stdout) == (2, "")
    assert named in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tag", "history", "nope:x"), "there is no repository nope"),
        (("tag", "history", "nope"), "there is no repository nope"),
        (("tag", "asof", "nope", "2030-01-01"), "there is no repository nope"),
        (("tag", "restore", "nope:x"), "no change of a tag x in nope is known"),
        (("usage", "--tags", "nope"), "there is no repository nope"),
        (("gc", "--explain", "nope"), "there is no repository nope"),
        (("account", "keys", "nope"), "there is no account nope"),
        (("account", "key", "nope"), "there is no account nope"),
        (("account", "delete", "nope"), "there is no account nope"),
        (("account", "revoke", "nope", "id"), "nope has no key id"),
        (("sessions", "revoke", "--session", "nope"), "there is no session nope"),
        (("verify-feature", "retention", "-l", "/nonexistent/x"), "No such file or directory: /nonexistent/x"),
    ],
    ids=str,
)
def test_unknown_names_are_errors(served: Path, arguments: tuple[str, ...], said: str) -> None:
    """A name that is not there is not an empty list."""
    assert said in refused(zot(arguments, served))


def test_a_tag_that_never_was_is_an_error(served: Path) -> None:
    """Of a repository that is there."""
    from http_client import Client
    from layout.images import image

    with serve(served.parent / "data") as registry:
        Client(registry.host).push("team/app", image("a"), "v1")
    assert "team/app has no tag v2, and never had one" in refused(zot(("tag", "history", "team/app:v2"), served))
    assert "team/app has no tag v2" in refused(zot(("tag", "asof", "team/app:v2", "2030-01-01"), served))
    assert zot(("tag", "history", "team/app:v1"), served).exit_code == 0


def test_a_restore_of_what_is_no_backup_makes_nothing(file: Path, tmp_path: Path) -> None:
    """Not even the root that it is to go to."""
    (tmp_path / "other").mkdir()
    assert "is not a finished backup" in refused(zot(("restore",), tmp_path / "other", file))
    assert not (tmp_path / "data").exists()
    (tmp_path / "other" / "backup.json").write_text("{")
    assert "backup.json is damaged" in refused(zot(("restore",), tmp_path / "other", file))
    (tmp_path / "other" / "backup.json").write_text('{"version": 7}')
    assert "was made by another zot (version 7" in refused(zot(("restore",), tmp_path / "other", file))
    assert not (tmp_path / "data").exists()
