"""Tokens: whose signature counts, for how long, and what it allows."""

import base64
import hmac
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from auth.harness import EMPTY_INDEX, INDEX_TYPE, serving
from certificates import Authority
from zot.auth.tokens import (
    TOKEN_LENGTH_LIMIT,
    InvalidTokenError,
    VerificationKey,
    parse_jwks,
    parse_keys,
    unverified_claims,
    verify,
)
from zot.config.load import load_tree

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

RSA, OTHER = RSAKey.generate_key(2048), RSAKey.generate_key(2048)
EC, ED = ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")
Key = RSAKey | ECKey | OKPKey | OctKey


def pem(key: RSAKey | ECKey | OKPKey) -> bytes:
    """Give the public part as PEM."""
    return key.as_pem(private=False)


def sign(claims: Mapping[str, Any], key: Key = RSA, algorithm: str = "RS256", **header: Any) -> str:
    """Make a token, valid for a minute unless the claims say otherwise."""
    now_s = int(time.time())
    full = {"iat": now_s, "exp": now_s + 60, **claims}
    full = {name: value for name, value in full.items() if value is not None}
    return jwt.encode({"alg": algorithm, **header}, full, key, algorithms=[algorithm])


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (RSA, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        (EC, ["ES256"]),
        (ECKey.generate_key("P-384"), ["ES384"]),
        (ECKey.generate_key("P-521"), ["ES512"]),
        (ED, ["EdDSA", "Ed25519"]),
    ],
)
def test_a_key_verifies_the_algorithms_of_its_type(key: RSAKey | ECKey | OKPKey, algorithms: list[str]) -> None:
    """All of those that zot takes, by a PEM key and by a JWK set."""
    for keys in (
        parse_keys(pem(key)),
        parse_keys(b'{"keys": [' + key_json(key) + b"]}"),
        parse_jwks(key_json(key)),
    ):
        for algorithm in algorithms:
            assert verify(sign({"sub": "x"}, key, algorithm), keys)["sub"] == "x"


def key_json(key: RSAKey | ECKey | OKPKey) -> bytes:
    """Give the public part as JWK."""
    return json.dumps(key.as_dict(private=False)).encode()


def by_shared_secret(secret: bytes) -> str:
    """Make a token signed by HMAC, which the library refuses to do with a public key."""
    head, body, _ = sign({}, OctKey.generate_key(256), "HS256").split(".")
    signature = base64.urlsafe_b64encode(hmac.digest(secret, f"{head}.{body}".encode(), "sha256"))
    return f"{head}.{body}.{signature.rstrip(b'=').decode()}"


def test_key_confusion_does_not_pass() -> None:
    """A public key is no shared secret, `none` is no signature, and a key in the token is nobody's."""
    keys = parse_keys(pem(RSA))
    head, body, _ = sign({}).split(".")
    none = "eyJhbGciOiJub25lIn0"
    for token in (
        by_shared_secret(pem(RSA)),
        f"{none}.{body}.",
        f"{none}.{body}.{_}",
        f"{head}.{body}.",
        sign({}, OTHER),
        sign({}, OTHER, jwk=OTHER.as_dict(private=False)),
        sign({}, EC, "ES256"),
    ):
        with pytest.raises(InvalidTokenError):
            verify(token, keys)


def test_a_changed_token_is_no_token() -> None:
    """Each part is under the signature."""
    keys = parse_keys(pem(RSA))
    parts, others = sign({"sub": "a"}).split("."), sign({"sub": "b"}).split(".")
    for place in (1, 2):
        mixed = ".".join(others[place] if number == place else part for number, part in enumerate(parts))
        with pytest.raises(InvalidTokenError):
            verify(mixed, keys)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": "tomorrow"},
        {"exp": True},
        {"nbf": 9999999999},
        {"iat": 9999999999},
        {"nbf": "x"},
        {"exp": [1]},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"nbf": float("nan")},
    ],
)
def test_a_token_counts_in_its_time_alone(claims: Mapping[str, Any]) -> None:
    """Expired, not valid yet, issued in the future, or with times that are none."""
    with pytest.raises(InvalidTokenError):
        verify(sign(claims), parse_keys(pem(RSA)))


def test_clocks_may_differ_a_little() -> None:
    """Some seconds are no reason to refuse a token that was just made."""
    now_s = int(time.time())
    assert verify(sign({"iat": now_s + 3, "nbf": now_s + 3, "exp": now_s - 1}), parse_keys(pem(RSA)))


def test_a_token_that_names_a_key_is_verified_by_that_one() -> None:
    """A key of another name does not count, even if the signature is its own."""
    named = [VerificationKey("a", RSA, frozenset({"RS256"})), VerificationKey("b", OTHER, frozenset({"RS256"}))]
    assert verify(sign({}, RSA, kid="a"), named)
    assert verify(sign({}, OTHER), named)
    with pytest.raises(InvalidTokenError):
        verify(sign({}, RSA, kid="b"), named)
    with pytest.raises(InvalidTokenError, match="has no key id"):
        verify(sign({}, RSA), named, needs_key_id=True)
    with pytest.raises(InvalidTokenError):
        verify(sign({}, RSA, kid="c"), named, needs_key_id=True)


@given(st.one_of(st.text(max_size=200), st.builds(".".join, st.lists(st.text("eyJ0-_=a", max_size=40), max_size=5))))
def test_garbled_tokens_are_refused(token: str) -> None:
    """Whatever is no token is InvalidTokenError, and never another error."""
    with pytest.raises(InvalidTokenError):
        verify(token, parse_keys(pem(RSA)))
    unverified_claims(token)


OTHER_TYPES: list[Any] = [["RS256"], {"a": 1}, 5, 1.5, True, None, [["x"]], [], {}, ["x", 5], "", "none"]


def forged(header: Mapping[str, Any], claims: Any, key: RSAKey = RSA) -> str:
    """Sign whatever the header says, without the library's checks."""
    parts = [json.dumps(each).encode() for each in (header, claims)]
    message = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in parts)
    private = serialization.load_pem_private_key(key.as_pem(private=True), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    signature = private.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return (message + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


@pytest.mark.parametrize("value", OTHER_TYPES)
@pytest.mark.parametrize("name", ["alg", "kid", "crit", "typ", "cty", "jwk", "x5c"])
def test_headers_of_other_types_are_refused_or_ignored(name: str, value: object) -> None:
    """No type in a header is another error than InvalidTokenError; a wrong `alg` never passes, nor any `crit`."""
    now_s = int(time.time())
    token = forged({"alg": "RS256", name: value}, {"iat": now_s, "exp": now_s + 60})
    try:
        verify(token, parse_keys(pem(RSA)))
    except InvalidTokenError:
        return
    assert name not in {"alg", "crit"}


@pytest.mark.parametrize("claims", [[], "x", 5, None, True])
def test_claims_that_are_no_object_are_refused(claims: object) -> None:
    """The claims of a token are a JSON object."""
    token = forged({"alg": "RS256"}, claims)
    assert unverified_claims(token) is None
    with pytest.raises(InvalidTokenError):
        verify(token, parse_keys(pem(RSA)))


@pytest.mark.parametrize("value", [5, 1.5, True, None, {"zot": 1}, [], [5], ["zot.example", 5], [["zot.example"]]])
async def test_an_audience_of_another_type_is_a_refusal(tmp_path: Path, http: dict[str, Any], value: object) -> None:
    """It is not taken for a token without any audience."""
    now_s = int(time.time())
    claims = {"iat": now_s, "exp": now_s + 60, "aud": value, "access": []}
    async with serving(tmp_path, http) as site:
        token = forged({"alg": "RS256"}, claims)
        assert await site.status("/v2/", headers={"Authorization": f"Bearer {token}"}) == 401
        right = forged({"alg": "RS256"}, claims | {"aud": http["auth"]["bearer"]["service"]})
        assert await site.status("/v2/", headers={"Authorization": f"Bearer {right}"}) == 200


@pytest.mark.parametrize("value", OTHER_TYPES)
@pytest.mark.parametrize("name", ["sub", "exp", "nbf", "iat", "iss", "access"])
async def test_no_claim_of_another_type_is_a_fault(
    tmp_path: Path, http: dict[str, Any], name: str, value: object
) -> None:
    """Whatever a signed token says, it is a login or a refusal."""
    now_s = int(time.time())
    token = forged({"alg": "RS256"}, {"iat": now_s, "exp": now_s + 60, name: value})
    async with serving(tmp_path, http) as site:
        assert await site.status("/v2/", headers={"Authorization": f"Bearer {token}"}) in {200, 401}
        status = await site.status("/v2/team/app/tags/list", headers={"Authorization": f"Bearer {token}"})
        assert status in {401, 403}


@pytest.mark.parametrize("part", [0, 1])
def test_tokens_nested_without_end_are_refused(part: int) -> None:
    """Parsing has a depth, and what goes deeper is no token, be it in the header or in the claims."""
    parts = [b'{"alg":"RS256"}', b"{}", b"signature"]
    parts[part] = b'{"alg":"RS256","x":' + b"[" * 5000 + b"]" * 5000 + b"}"
    token = ".".join(base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts)
    with pytest.raises(InvalidTokenError):
        verify(token, parse_keys(pem(RSA)))
    assert part == 0 or unverified_claims(token) is None


def test_endless_tokens_are_refused_unread() -> None:
    """What is longer than any token is not decoded."""
    with pytest.raises(InvalidTokenError, match="characters"):
        verify("a" * (TOKEN_LENGTH_LIMIT + 1), parse_keys(pem(RSA)))


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"nonsense", b'{"keys": []}', b'{"keys": 5}', b"\xff\xfe"])
def test_a_file_without_keys_is_an_error(content: bytes) -> None:
    """It never means that any signature counts."""
    with pytest.raises(ValueError):  # noqa: PT011 - of libraries, too
        parse_keys(content)


def test_weak_and_foreign_keys_are_left_out() -> None:
    """Small RSA keys, shared secrets and keys for encryption verify nothing."""
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    n = base64.urlsafe_b64encode(numbers.n.to_bytes(128, "big")).rstrip(b"=").decode()
    small = {"kty": "RSA", "n": n, "e": "AQAB"}
    for key in (small, OctKey.generate_key(256).as_dict(), {**RSA.as_dict(private=False), "use": "enc"}):
        with pytest.raises(ValueError, match="no RSA, EC or Ed25519 key"):
            parse_jwks(json.dumps({"keys": [key]}).encode())


def test_several_keys_in_one_file_count(authority: Authority) -> None:
    """Certificates and public keys, one after the other: an issuer's keys are changed without a gap."""
    certificate, key_path = authority.issue("issuer")
    key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    issuer = ECKey.import_key(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    assert verify(sign({}, issuer, "ES256"), parse_keys(certificate.read_bytes() + authority.path.read_bytes()))
    both = parse_keys(pem(RSA) + pem(EC))
    assert verify(sign({}, RSA), both)
    assert verify(sign({}, EC, "ES256"), both)


# --- a token server's tokens, by HTTP ---


def bearer(token: str) -> dict[str, str]:
    """Give the header of a token."""
    return {"Authorization": f"Bearer {token}"}


def access(name: str, *actions: str, **more: Any) -> dict[str, Any]:
    """Give claims with one access entry."""
    return {"access": [{"type": "repository", "name": name, "actions": list(actions), **more}]}


@pytest.fixture
async def http(tmp_path: Path) -> dict[str, Any]:
    """Configure a token server whose key is RSA, and rules that allow nothing."""
    (tmp_path / "key.pem").write_bytes(pem(RSA))
    service = {"realm": "https://auth.example/token", "service": "zot", "cert": str(tmp_path / "key.pem")}
    return {"auth": {"bearer": service}, "accessControl": {"adminPolicy": {"users": ["root"], "actions": ["read"]}}}


async def test_method_and_scope_are_compared_for_each_route(tmp_path: Path, http: dict[str, Any]) -> None:
    """Each route needs its own action on its own repository, and nothing else will do."""
    digest = "sha256:" + "a" * 64
    routes = [
        ("GET", "/v2/team/app/tags/list", "pull"),
        ("GET", "/v2/team/app/manifests/v1", "pull"),
        ("HEAD", "/v2/team/app/manifests/v1", "pull"),
        ("GET", f"/v2/team/app/blobs/{digest}", "pull"),
        ("GET", f"/v2/team/app/referrers/{digest}", "pull"),
        ("GET", "/v2/team/app/blobs/uploads/x", "pull"),
        ("POST", "/v2/team/app/blobs/uploads/", "push"),
        ("PATCH", "/v2/team/app/blobs/uploads/x", "push"),
        ("PUT", f"/v2/team/app/blobs/uploads/x?digest={digest}", "push"),
        ("PUT", "/v2/team/app/manifests/v2", "push"),
        ("DELETE", "/v2/team/app/manifests/v9", "delete"),
        ("DELETE", f"/v2/team/app/blobs/{digest}", "delete"),
        ("DELETE", "/v2/team/app/blobs/uploads/x", "delete"),
    ]
    async with serving(tmp_path, http) as site:
        for method, path, needed in routes:
            for actions in ([], ["pull"], ["push"], ["delete"], ["*"], ["PULL"], [f"{needed},"]):
                claims = access("team/app", *actions)
                status = await site.status(path, method, headers=bearer(sign(claims)))
                assert (status != 401) == (needed in actions), (method, path, actions, status)
            for name in ("team/other", "team/**", "**", "*", ""):
                status = await site.status(path, method, headers=bearer(sign(access(name, needed))))
                assert status == 401, (method, path, name)


async def test_challenges_say_which_token_is_needed(tmp_path: Path, http: dict[str, Any]) -> None:
    """Without a token, with a wrong one, and with one that allows too little."""
    async with serving(tmp_path, http) as site, site.client() as client:
        for path, scope in (
            ("/v2/", ""),
            ("/v2/team/app/tags/list", "repository:team/app:pull"),
            ("/v2/_catalog", "registry:catalog:*"),
        ):
            expected = f'Bearer realm="https://auth.example/token",service="zot",scope="{scope}"'
            for headers in ({}, bearer("garbled"), bearer(sign({}, OTHER)), {"Authorization": "Basic YTpi"}):
                async with client.get(path, headers=headers) as response:
                    assert response.status == 401
                    assert response.headers["WWW-Authenticate"] == expected
        async with client.put(
            "/v2/team/app/manifests/v1",
            headers={**bearer(sign(access("team/app", "pull"))), "Content-Type": INDEX_TYPE},
            data=EMPTY_INDEX,
        ) as response:
            assert response.status == 401
            assert 'scope="repository:team/app:push"' in response.headers["WWW-Authenticate"]


async def test_tokens_stand_in_place_of_the_rules(tmp_path: Path, http: dict[str, Any]) -> None:
    """They decide alone, as in zot; but their subject is nobody's administrator."""
    async with serving(tmp_path, http) as site:
        token = bearer(sign({**access("team/app", "pull", "push"), "sub": "root"}))
        put = {"Content-Type": INDEX_TYPE, **token}
        assert await site.status("/v2/team/app/manifests/v1", "PUT", headers=put, data=EMPTY_INDEX) == 201
        assert await site.status("/v2/team/app/manifests/v1", headers=token) == 200
        assert await site.status("/v2/other/manifests/v1", headers=token) == 401
        assert await site.status("/v2/_zot/ext/explain?repo=a", headers=token) in {401, 403}
        async with site.client(headers=token) as client, client.get("/v2/_catalog") as response:
            assert (await response.json())["repositories"] == ["team/app"]


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        (access("team/app", "pull"), 404),
        ({**access("team/app", "pull"), "aud": "zot"}, 404),
        ({**access("team/app", "pull"), "aud": ["other", "zot"]}, 404),
        ({**access("team/app", "pull"), "aud": "other"}, 401),
        ({**access("team/app", "pull"), "exp": 1}, 401),
        ({**access("team/app", "pull"), "exp": None}, 401),
        ({**access("team/app", "pull", exp=4102444800), "exp": None}, 404),
        (access("team/app", "pull", exp=1), 401),
        ({"access": "all"}, 401),
        ({"access": [None, 5, {}, {"type": "repository"}, {"type": "repository", "name": 5, "actions": "pull"}]}, 401),
        ({"access": [{"type": "registry", "name": "team/app", "actions": ["pull"]}]}, 401),
        ({}, 401),
    ],
)
async def test_a_token_is_for_this_service_now(
    tmp_path: Path, http: dict[str, Any], claims: Mapping[str, Any], status: int
) -> None:
    """Its audience, its end and that of each entry count; what is not understood allows nothing."""
    async with serving(tmp_path, http) as site:
        assert await site.status("/v2/team/app/manifests/v1", headers=bearer(sign(claims))) == status


async def test_a_changed_key_ends_the_tokens_of_the_old_one(
    tmp_path: Path, http: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of those that were verified before."""
    monkeypatch.setattr("zot.auth.cached_file.CHECK_INTERVAL_S", 0.0)
    token = bearer(sign(access("team/app", "pull")))
    async with serving(tmp_path, http) as site:
        assert await site.status("/v2/team/app/tags/list", headers=token) == 404
        replace(tmp_path / "key.pem", pem(OTHER))
        assert await site.status("/v2/team/app/tags/list", headers=token) == 401
        newer = bearer(sign(access("team/app", "pull"), OTHER))
        assert await site.status("/v2/team/app/tags/list", headers=newer) == 404
        replace(tmp_path / "key.pem", b"broken")
        assert await site.status("/v2/team/app/tags/list", headers=newer) == 503


def replace(path: Path, content: bytes) -> None:
    """Replace the content of a file."""
    path.write_bytes(content)


def test_verify_says_that_the_rules_do_not_hold_for_tokens(tmp_path: Path) -> None:
    """Whoever writes rules beside a token server is told what they are for."""
    service = {"realm": "https://auth.example/token", "service": "zot", "cert": str(tmp_path / "key.pem")}
    http = {"auth": {"bearer": service}, "accessControl": {"adminPolicy": {"users": ["root"], "actions": ["read"]}}}
    warnings = load_tree({"storage": {"rootDirectory": str(tmp_path)}, "http": http}).warnings
    assert any("token server" in warning for warning in warnings)
