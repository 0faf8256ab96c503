"""No secret gets into a log."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zot.logs.masking import masked_fields, masked_headers, masked_query, masked_text, names_secret

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "proxy-authorization", "Cookie", "Set-Cookie", "X-Registry-Auth", "X-Api-Key", "password",
        "bindPassword", "client_secret", "sessiontoken", "X-Amz-Security-Token", "access_token", "secretKey",
    ],
)  # fmt: skip
def test_secrets_are_known_by_their_names(name: str) -> None:
    """Headers, fields and parameters that hold secrets are recognised, however they are written."""
    assert names_secret(name)
    assert SECRET not in json.dumps(masked_fields({name: SECRET, "nested": {"inner": 1}}))
    assert masked_headers([(name, SECRET)], 100) == {name: ["******"]}
    assert masked_query(f"/path?a=1&{name}={SECRET}&b=2") == f"/path?a=1&{name}=******&b=2"


@pytest.mark.parametrize("name", ["n", "last", "digest", "mount", "from", "tag", "artifactType", "User-Agent", "Host"])
def test_what_is_no_secret_stays_readable(name: str) -> None:
    """The registry's own parameters and everyday headers are shown."""
    assert not names_secret(name)
    assert masked_query(f"/v2/?{name}=value") == f"/v2/?{name}=value"


def test_login_codes_are_masked() -> None:
    """What a login server hands to the callback is a secret of its own."""
    assert (
        masked_query("/zot/auth/callback/oidc?code=abc&state=def") == "/zot/auth/callback/oidc?code=******&state=******"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"redis://user:{SECRET}@host:6379 refused",
        f"upstream said no to Authorization: Bearer {SECRET}",
        f"Basic {SECRET} is wrong",
        f"GET https://host/path?token={SECRET} failed",
        f"key zak_{SECRET} is expired",
    ],
)
def test_messages_are_masked(text: str) -> None:
    """Passwords in URLs, credentials and keys are masked in the middle of a message too."""
    assert SECRET not in masked_text(text)


def test_nested_fields_are_masked() -> None:
    """A secret is found below other fields, and beside what is not one."""
    shown = masked_fields({"params": {"ldap": {"bindPassword": SECRET, "port": 389}}, "repository": "a"})
    assert shown == {"params": {"ldap": {"bindPassword": "******", "port": 389}}, "repository": "a"}


def test_long_headers_are_cut() -> None:
    """A header cannot make a line as long as it likes, and several of one name are listed."""
    assert masked_headers([("X-A", "x" * 5000), ("X-A", "y")], 256) == {"X-A": ["x" * 256, "y"]}


@given(st.text())
def test_masking_never_fails(text: str) -> None:
    """Any text can be masked, and a second time changes nothing."""
    once = masked_text(text)
    assert masked_text(once) == once
    assert masked_query(masked_query(text)) == masked_query(text)
