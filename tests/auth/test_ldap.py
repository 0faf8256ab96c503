"""Logins against a real LDAP server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import programs
from auth.harness import UI, basic, entered, serving
from certificates import Authority
from servers.slapd import ADMIN, ADMIN_PASSWORD, BASE, GROUPS, PEOPLE, Slapd, group
from zot.auth.authenticators.ldap import LdapAuthenticator
from zot.config.auth import LdapConfig
from zot.config.secret_files import LdapCredentials
from zot.registry.errors import Unavailable

BINDING = LdapCredentials.model_validate({"bindDN": ADMIN, "bindPassword": ADMIN_PASSWORD})
ALICE = entered("alice", PEOPLE["alice"])

Directory = Callable[..., LdapAuthenticator]


@pytest.fixture(autouse=True)
def _extra() -> None:
    """The library of the extra is there."""
    programs.require_ldap()


@pytest.fixture
async def directory() -> AsyncIterator[Directory]:
    """Describe a server as a configuration does; by plain LDAP unless settings say otherwise."""
    async with AsyncExitStack() as stack:

        def describe(
            server: Slapd, credentials: LdapCredentials | None = BINDING, **settings: object
        ) -> LdapAuthenticator:
            config = {
                "address": "127.0.0.1",
                "port": server.port,
                "baseDN": f"ou=people,{BASE}",
                "userAttribute": "uid",
                "userGroupAttribute": "memberOf",
                "subtreeSearch": True,
                "insecure": True,
                **settings,
            }
            ldap = LdapAuthenticator(LdapConfig.model_validate(config), credentials)
            stack.push_async_callback(ldap.close)
            return ldap

        yield describe


async def test_the_right_password_gives_the_user_with_all_groups(slapd: Slapd, directory: Directory) -> None:
    """The groups are all values of the attribute, as the directory writes them."""
    principal = await directory(slapd).verify(ALICE)
    assert principal is not None
    assert (principal.name, principal.method) == ("alice", "ldap")
    assert principal.groups == {f"cn={group},ou=groups,{BASE}" for group in GROUPS}


@pytest.mark.parametrize("password", ["wrong", "", "alice-secret ", "\0"])
async def test_any_other_password_gives_nobody(slapd: Slapd, directory: Directory, password: str) -> None:
    """Also the empty one, for which a bind succeeds."""
    assert await directory(slapd).verify(entered("alice", password)) is None


@pytest.mark.parametrize("name", ["*", "ali*", "alice)(uid=*", "x)(|(uid=alice", "alice\\2a", "\\", "nobody"])
async def test_a_name_is_a_value_and_no_filter(slapd: Slapd, directory: Directory, name: str) -> None:
    """What has a meaning in filters is escaped, so that it finds nobody."""
    assert await directory(slapd).verify(entered(name, PEOPLE["alice"])) is None


async def test_a_name_with_characters_of_filters_is_found(slapd: Slapd, directory: Directory) -> None:
    """Escaping does not change whom a name names."""
    principal = await directory(slapd).verify(entered("carol(x)*", PEOPLE["carol(x)*"]))
    assert principal is not None
    from zot.auth.authenticators.ldap_process import escape

    assert escape("a\\*()\0b") == "a\\5c\\2a\\28\\29\\00b"


async def test_logins_at_the_same_time_do_not_mix(slapd: Slapd, directory: Directory) -> None:
    """Each gets its own answer, whatever the others are about."""
    ldap = directory(slapd)
    logins = [entered(name, password) for name in ("alice", "bob", "nobody") for password in PEOPLE.values()] * 2
    answers = await asyncio.gather(*map(ldap.verify, logins))
    for login, principal in zip(logins, answers, strict=True):
        right = PEOPLE.get(login.name) == login.password
        assert (principal.name if principal else None) == (login.name if right else None)


async def test_filter_and_depth_say_who_is_a_user(slapd: Slapd, directory: Directory) -> None:
    """One level does not find bob, who is one deeper; a filter leaves out whom it does not match."""
    bob = entered("bob", PEOPLE["bob"])
    assert await directory(slapd).verify(bob) is not None
    assert await directory(slapd, subtreeSearch=False).verify(bob) is None
    admins = directory(slapd, userFilter=f"memberOf=cn=admins,ou=groups,{BASE}")
    assert await admins.verify(bob) is None
    assert await admins.verify(ALICE) is not None
    assert await directory(slapd, userAttribute="objectClass").verify(entered("inetOrgPerson", "x")) is None


async def test_encrypted_connections_verify_the_server(
    slapd: Slapd, directory: Directory, authority: Authority
) -> None:
    """LDAPS and StartTLS work with the right authority, and are refused with another or none."""
    ways = ({"insecure": False, "port": slapd.tls_port}, {"insecure": True, "startTLS": True})
    for way in ways:
        trusted = directory(slapd, caCert=str(authority.folder / "ca.pem"), **way)
        assert await trusted.verify(ALICE) is not None
        with pytest.raises(Unavailable):
            await directory(slapd, **way).verify(ALICE)
        assert await directory(slapd, skipVerify=True, **way).verify(ALICE) is not None


async def test_a_directory_that_can_not_be_asked_is_no_answer(slapd: Slapd, directory: Directory) -> None:
    """Wrong bind credentials, and a search that anonymous may not make, never let anybody in."""
    wrong = LdapCredentials.model_validate({"bindDN": ADMIN, "bindPassword": "wrong"})
    with pytest.raises(Unavailable):
        await directory(slapd, wrong).verify(ALICE)
    assert await directory(slapd, None).verify(ALICE) is None


async def test_a_server_that_is_down_or_frozen_is_unavailable_within_the_limit_and_heals(
    tmp_path: Path, authority: Authority, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a success, never an endless wait; and the next login after it is back works."""
    monkeypatch.setattr(LdapAuthenticator, "step_limit_s", 0.5)
    monkeypatch.setattr(LdapAuthenticator, "login_limit_s", 2.0)
    with Slapd(tmp_path, authority) as server:
        plain = directory(server)
        tls = directory(server, insecure=False, port=server.tls_port, caCert=str(authority.folder / "ca.pem"))
        for way in (plain, tls):
            assert await way.verify(ALICE) is not None
        server.freeze()
        for way in (plain, tls):
            with pytest.raises(Unavailable):
                await way.verify(ALICE)
        server.thaw()
        server.stop()
        for way in (plain, tls):
            with pytest.raises(Unavailable):
                await way.verify(ALICE)
        server.start()
        for way in (plain, tls):
            assert await way.verify(ALICE) is not None


async def test_the_groups_of_the_directory_count_and_ride_in_the_session(tmp_path: Path, authority: Authority) -> None:
    """By password and by cookie, also while the directory is down; without it a password is 503 and no success."""
    credentials = tmp_path / "ldap.json"
    write(credentials, json.dumps({"bindDN": ADMIN, "bindPassword": ADMIN_PASSWORD}))
    (tmp_path / "slapd").mkdir()
    with Slapd(tmp_path / "slapd", authority) as server:
        ldap = {
            "address": "127.0.0.1",
            "port": server.port,
            "baseDN": f"ou=people,{BASE}",
            "userAttribute": "uid",
            "userGroupAttribute": "memberOf",
            "subtreeSearch": True,
            "insecure": True,
            "credentialsFile": str(credentials),
        }
        policy = {"groups": [f"cn=admins,ou=groups,{BASE}"], "actions": ["read"]}
        http = {
            "auth": {"ldap": ldap, "apikey": True},
            "accessControl": {"repositories": {"**": {"policies": [policy]}}},
        }
        alice, bob = (basic(name, PEOPLE[name]) for name in ("alice", "bob"))
        async with serving(tmp_path / "data", http) as site, site.client() as client:
            tags = "/v2/team/app/tags/list"
            assert await site.status(tags, headers=alice) == 404
            assert await site.status(tags, headers=bob) == 403
            assert await site.status(tags, headers=basic("alice", "wrong")) == 401
            assert await site.status(tags, headers=basic("alice", "")) == 401
            assert site.auth.accounts is not None
            known = await site.auth.accounts.user("alice")
            assert known is not None
            assert set(known.groups) == {group("developers"), group("admins")}  # those of the keys, without a session
            async with client.get("/v2/", headers={**UI, **alice}) as response:
                assert response.status == 200
            server.stop()
            assert await site.status(tags, headers=alice) == 503
            async with client.get(tags, headers=UI) as response:
                assert response.status == 404
            async with client.post("/zot/auth/logout") as response:
                assert response.status == 200
            async with client.get(tags, headers=UI) as response:
                assert response.status == 401


def write(path: Path, text: str) -> None:
    """Write a file."""
    path.write_text(text)
