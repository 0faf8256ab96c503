"""`zot account`, `zot sessions` and `zot explain`, as an administrator uses them."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from zot.accounts.sessions.local import LocalSessions
from zot.accounts.sessions.session import Session, Sessions
from zot.cli.main import cli
from zot.foundation.threads import ThreadPool
from zot.testing import serve

RULES = {
    "repositories": {"team/**": {"policies": [{"groups": ["ci"], "actions": ["read"]}], "anonymousPolicy": ["read"]}},
    "immutableTags": [{"repositories": ["team/**"], "tags": ["v.*"]}],
    "adminPolicy": {"users": ["root"], "actions": ["update"]},
}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Write a configuration with users and rules."""
    path = tmp_path / "config.json"
    auth = {"htpasswd": {"path": str(tmp_path / "htpasswd")}, "apikey": True}
    http = {"auth": auth, "accessControl": RULES}
    with serve(tmp_path / "data"):
        pass
    path.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "data")}, "http": http}))
    return str(path)


def zot(*arguments: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(cli, arguments)


def test_a_service_account_gets_keys_one_after_the_other(file: str) -> None:
    """It is created, has two keys at once, the old one is revoked, and it goes with all it has."""
    assert zot("account", "key", "robot", file).exit_code == 1
    assert zot("account", "create", "robot", "--group", "ci", file).exit_code == 0
    first = zot("account", "key", "robot", "--label", "old", file).output.strip()
    second = zot("account", "key", "robot", "--scope", "repository:team/**:pull", "--expires", "24h", file)
    assert first.startswith("zak_")
    assert second.output.startswith("zak_")
    listed = zot("account", "keys", "robot", file).output
    assert first not in listed
    assert "old\texpires never\tused never" in listed
    assert "repository:team/**:pull" in listed
    assert "robot\tservice\t2 keys\tci" in zot("account", "list", file).output
    old = next(line.partition("\t")[0] for line in listed.splitlines() if "old" in line)
    assert zot("account", "revoke", "robot", old, file).exit_code == 0
    assert zot("account", "revoke", "robot", old, file).exit_code == 1
    assert zot("account", "key", "robot", "--scope", "Everything", file).exit_code == 1
    for expires in ("soon", "0s", "-5m"):
        assert zot("account", "key", "robot", "--expires", expires, file).exit_code == 1
    assert zot("account", "delete", "robot", file).exit_code == 0
    assert zot("account", "delete", "robot", file).exit_code == 1
    assert zot("account", "list", file).output == ""


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "a\0"])
def test_an_account_has_a_name_that_can_be_sent(file: str, name: str) -> None:
    """With a name that Basic credentials cannot carry it could not be used."""
    result = zot("account", "create", name, file)
    assert (result.exit_code, zot("account", "list", file).output) == (1, "")
    assert "must not be empty or contain a colon" in result.output


def test_sessions_are_listed_and_revoked(file: str, tmp_path: Path) -> None:
    """By user or by what the list calls them."""

    async def log_in() -> None:
        pool = ThreadPool("sessions", 1, 8)
        sessions = Sessions(LocalSessions(tmp_path / "data" / "_sessions", pool))
        for name in ("alice", "alice", "bob"):
            await sessions.start(Session(name, "htpasswd", 1.0, ("dev",)))
        pool.close()

    asyncio.run(log_in())
    lines = zot("sessions", "list", file).output.splitlines()
    assert len(lines) == 3
    assert all("\thtpasswd\t1970-01-01T00:00:01Z\tdev" in line for line in lines)
    assert zot("sessions", "revoke", file).exit_code == 2
    assert zot("sessions", "revoke", "--user", "alice", file).output == "2 sessions ended\n"
    (left,) = zot("sessions", "list", file).output.splitlines()
    assert zot("sessions", "revoke", "--session", left.partition("\t")[0], file).output == "1 sessions ended\n"
    assert zot("sessions", "list", file).output == ""


def test_explain_says_which_rule_and_what_is_missing(file: str) -> None:
    """The status is 0 for allow and 1 for deny, so that scripts can ask."""
    allowed = zot("explain", "--user", "robot", "--group", "ci", "--repo", "team/app", file)
    assert allowed.exit_code == 0
    assert allowed.output.splitlines() == [
        "allow: robot (groups: ci) read team/app",
        "pattern: team/**",
        'rule: http.accessControl.repositories["team/**"].policies[0]',
    ]
    denied = zot("explain", "--user", "bob", "--repo", "team/app", "--reference", "v1", file)
    assert denied.exit_code == 1
    assert denied.output.startswith("deny: bob read team/app:v1\n")
    assert 'would allow: http.accessControl.repositories["team/**"].policies[0] grants it to group ci' in denied.output
    assert zot("explain", "--repo", "team/app", file).exit_code == 0
    kept = zot("explain", "--user", "root", "--repo", "team/app", "--action", "update", "--reference", "v1", file)
    assert kept.exit_code == 1
    assert "the tag v1 is immutable" in kept.output
    assert zot("explain", "--user", "bob", "--repo", "elsewhere", file).exit_code == 1
    assert zot("explain", "--repo", "UPPER", file).exit_code == 1


def test_commands_without_users_say_so(tmp_path: Path) -> None:
    """Without an authentication method there are no accounts to manage."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"storage": {"rootDirectory": str(tmp_path / "data")}}))
    result = zot("account", "list", str(path))
    assert result.exit_code == 1
    assert "the configuration has no users" in result.output
    assert zot("explain", "--repo", "team/app", str(path)).exit_code == 0
