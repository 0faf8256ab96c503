"""Holes that registries have had, by the class of each: none of them is here."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from auth.harness import EMPTY_INDEX, INDEX_TYPE, PEOPLE, Site, basic, serving
from zot.accounts.memory import MemoryAccounts
from zot.auth.policy import AccessPolicy
from zot.auth.principal import ANONYMOUS, Principal
from zot.config.access_control import AccessControlConfig
from zot.config.load import load_tree
from zot.logs.masking import masked_query
from zot.oci.digest import digest_of

SECRET = b"the content of somebody else"
DIGEST = digest_of(SECRET)
INDEX_DIGEST = digest_of(EMPTY_INDEX)

RULES: dict[str, Any] = {
    "repositories": {
        "private": {"policies": [{"users": ["bob"], "actions": ["read", "create", "update", "delete"]}]},
        "mine": {"policies": [{"users": ["alice"], "actions": ["read", "create"]}]},
        "fixed": {"policies": [{"users": ["alice"], "actions": ["read", "create", "update", "delete"]}]},
    },
    "immutableTags": [{"repositories": ["fixed"], "tags": ["v.*"]}],
    "metrics": {"users": ["root"], "anonymousPolicy": ["read"]},
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Serve with alice, bob, and a secret blob in bob's repository `private`."""
    path = tmp_path / "htpasswd"
    path.write_text(
        "".join(
            f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"
            for name, password in PEOPLE.items()
        )
    )
    http = {"auth": {"htpasswd": {"path": str(path)}}, "accessControl": RULES}
    async with serving(tmp_path, http) as site:
        upload = f"/v2/private/blobs/uploads/?digest={DIGEST}"
        octets = {"Content-Type": "application/octet-stream"}
        assert await site.status(upload, "POST", data=SECRET, headers={**basic("bob"), **octets}) == 201
        yield site


async def push(site: Site, path: str, name: str = "alice") -> int:
    """Push the empty index."""
    return await site.status(path, "PUT", data=EMPTY_INDEX, headers={**basic(name), "Content-Type": INDEX_TYPE})


async def test_knowing_a_digest_is_no_right_on_it(site: Site) -> None:
    """CVE-2024-39897, and Harbor's mount of what the source does not allow: by mount or by HEAD, it stays unseen."""
    for query in (f"mount={DIGEST}&from=private", f"mount={DIGEST}"):
        assert await site.status(f"/v2/mine/blobs/uploads/?{query}", "POST", headers=basic("alice")) in {202, 403}
    for method in ("HEAD", "GET"):
        assert await site.status(f"/v2/mine/blobs/{DIGEST}", method, headers=basic("alice")) == 404
        assert await site.status(f"/v2/private/blobs/{DIGEST}", method, headers=basic("alice")) == 403


@pytest.fixture
async def conditional(tmp_path: Path) -> AsyncIterator[Site]:
    """Serve with alice, who sees `office` from 192.0.2.1 alone, and from elsewhere only `outside`."""

    def rule(condition: str) -> dict[str, Any]:
        entry = {"users": ["alice"], "actions": ["read", "create"], "conditions": [{"expression": condition}]}
        return {"policies": [entry]}

    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{bcrypt.hashpw(PEOPLE['alice'].encode(), bcrypt.gensalt(4)).decode()}\n")
    here = "req.client.ip == '192.0.2.1'"
    rules = {"office": rule(here), "outside": rule(f"!({here})"), "mine": rule("true")}
    auth = {"htpasswd": {"path": str(path)}}
    http = {"auth": auth, "trustedProxies": ["127.0.0.0/8"], "accessControl": {"repositories": rules}}
    async with serving(tmp_path, http) as site:
        yield site


OFFICE = {**basic("alice"), "X-Forwarded-For": "192.0.2.1"}
ELSEWHERE = {**basic("alice"), "X-Forwarded-For": "192.0.2.1, 198.51.100.7"}


@pytest.mark.parametrize(("yes", "no", "repository"), [(OFFICE, ELSEWHERE, "office"), (ELSEWHERE, OFFICE, "outside")])
async def test_conditions_hold_for_lists_and_mounts_as_for_pulls(
    conditional: Site, yes: dict[str, str], no: dict[str, str], repository: str
) -> None:
    """Where somebody may not pull from, they neither see it in the catalog nor mount from it; a proxy is no client."""
    octets = {"Content-Type": "application/octet-stream"}
    path = f"/v2/{repository}/blobs/uploads/?digest={DIGEST}"
    assert await conditional.status(path, "POST", data=SECRET, headers={**yes, **octets}) == 201
    mount = f"/v2/mine/blobs/uploads/?mount={DIGEST}&from={repository}"
    for headers, pulled, listed, mounted in ((no, 403, [], 202), (yes, 200, [repository], 201)):
        assert await conditional.status(f"/v2/{repository}/blobs/{DIGEST}", headers=headers) == pulled
        async with conditional.client(headers=headers) as client, client.get("/v2/_catalog") as response:
            assert [name for name in (await response.json())["repositories"] if name != "mine"] == listed
        assert await conditional.status(mount, "POST", headers=headers) == mounted


async def test_no_tag_is_magic(site: Site) -> None:
    """CVE-2026-31801: who may create and not update moves no tag, `latest` least of all."""
    for tag in ("latest", "v1"):
        assert await push(site, f"/v2/mine/manifests/{tag}") == 201
        other = EMPTY_INDEX.replace(b'"manifests"', b'"annotations":{"a":"b"},"manifests"')
        headers = {**basic("alice"), "Content-Type": INDEX_TYPE}
        assert await site.status(f"/v2/mine/manifests/{tag}", "PUT", data=other, headers=headers) == 403
        by_digest = f"/v2/mine/manifests/{digest_of(other)}?tag={tag}"
        assert await site.status(by_digest, "PUT", data=other, headers=headers) == 403
        # A tag that may be made does not carry one along that may not be moved.
        assert await site.status(f"{by_digest}&tag=new-{tag}", "PUT", data=other, headers=headers) == 403
        assert await site.status(f"/v2/mine/manifests/new-{tag}", headers=basic("alice")) == 404


async def test_every_way_to_change_an_immutable_tag_is_closed(site: Site) -> None:
    """Quay's delete by digest, and distribution's delete of a tag: one guard for all of them."""
    assert await push(site, "/v2/fixed/manifests/v1") == 201
    assert await push(site, "/v2/fixed/manifests/v1") == 201  # the same again moves nothing
    other = EMPTY_INDEX.replace(b'"manifests"', b'"annotations":{"a":"b"},"manifests"')
    headers = {**basic("alice"), "Content-Type": INDEX_TYPE}
    moved = await site.status("/v2/fixed/manifests/v1", "PUT", data=other, headers=headers)
    moved_by_digest = f"/v2/fixed/manifests/{digest_of(other)}?tag=v1"
    refused = {403, 405, 409}
    assert moved in refused
    assert await site.status(moved_by_digest, "PUT", data=other, headers=headers) in refused
    for reference in ("v1", INDEX_DIGEST):
        assert await site.status(f"/v2/fixed/manifests/{reference}", "DELETE", headers=basic("alice")) in refused
    async with site.client(headers=basic("alice")) as client, client.get("/v2/fixed/manifests/v1") as response:
        assert await response.read() == EMPTY_INDEX


async def test_an_upload_session_is_of_its_repository_and_its_user(site: Site) -> None:
    """CVE-2026-32589: the id of somebody's session opens nothing, neither elsewhere nor for others."""
    async with (
        site.client(headers=basic("alice")) as client,
        client.post("/v2/mine/blobs/uploads/") as response,
    ):
        session = response.headers["Location"].rpartition("/")[2]
    for method, query in (("GET", ""), ("PATCH", ""), ("PUT", f"?digest={DIGEST}"), ("DELETE", "")):
        for name, repository in (("bob", "mine"), ("bob", "private"), ("alice", "private")):
            path = f"/v2/{repository}/blobs/uploads/{session}{query}"
            assert await site.status(path, method, data=SECRET, headers=basic(name)) in {403, 404}, (method, name)


async def test_every_read_without_credentials_is_refused(site: Site) -> None:
    """CVE-2026-27771: whatever a route reads, nobody reads it without being asked who they are."""
    for path in (
        "/v2/private/tags/list",
        f"/v2/private/manifests/{DIGEST}",
        "/v2/private/manifests/v1",
        f"/v2/private/blobs/{DIGEST}",
        f"/v2/private/referrers/{DIGEST}",
        "/v2/_catalog",
        "/v2/_oci/ext/discover",
        "/v2/_zot/ext/explain?repo=private",
        "/v2/absent/tags/list",
    ):
        for method in ("GET", "HEAD"):
            assert await site.status(path, method) == 401, path


async def test_absent_and_forbidden_look_alike(site: Site) -> None:
    """Who may not read a repository is not told whether it is there."""
    assert await site.status("/v2/private/tags/list", headers=basic("alice")) == 403
    assert await site.status("/v2/absent/tags/list", headers=basic("alice")) == 403


def test_names_give_no_privilege() -> None:
    """Harbor's robot called `scanner-*`: an account named like a group or an administrator's is neither."""
    rules = AccessControlConfig.model_validate({"adminPolicy": {"groups": ["admins"], "actions": ["read"]}})
    policy = AccessPolicy(rules)
    assert not policy.is_admin(Principal("admins", "htpasswd"))
    assert not policy.is_admin(Principal("", "none", frozenset({"admins"})))
    assert not policy.is_admin(ANONYMOUS)


async def test_an_anonymous_rule_lets_no_listed_user_in_that_is_not_listed(site: Site) -> None:
    """zot #4131: metrics for everybody are for who is nobody; users have to be on the list."""
    assert site.auth.policy.reads_metrics(ANONYMOUS)
    assert not site.auth.policy.reads_metrics(Principal("alice", "htpasswd"))


async def test_groups_are_those_of_the_last_login() -> None:
    """GHSA-c9p4-xwr9-rfhx: a group that was taken away is gone at the next login, and not kept beside the new ones."""
    accounts = MemoryAccounts()
    await accounts.record_login("alice", ["admins"])
    await accounts.record_login("alice", ["dev"])
    user = await accounts.user("alice")
    assert user is not None
    assert user.groups == ("dev",)


async def test_an_endless_page_is_not_made(site: Site) -> None:
    """CVE-2023-2253: how much a client asks for does not decide how much is held."""
    assert await site.status("/v2/_catalog?n=99999999999999999999", headers=basic("alice")) in {200, 400}


def test_secrets_stay_out_of_logs_and_dumps(tmp_path: Path) -> None:
    """zot #4119 and #4274: neither a URL's query nor a printed configuration tells them."""
    (tmp_path / "p").write_text("")
    driver = {"name": "redis", "url": "redis://:hunter2@h"}
    auth = {"htpasswd": {"path": str(tmp_path / "p")}, "sessionDriver": driver}
    config = load_tree({"storage": {"rootDirectory": str(tmp_path)}, "http": {"auth": auth}}).config
    assert "hunter2" not in repr(config)
    assert "hunter2" not in masked_query("/zot/auth/callback/oidc?code=hunter2&state=hunter2")
