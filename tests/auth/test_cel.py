"""Conditions hold when they are true, and never otherwise."""

import datetime as dt
from typing import Any

import pytest

from zot.auth import cel

REQUEST: dict[str, Any] = {
    "req.time": dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC),
    "req.method": "GET",
    "req.userAgent": "curl/8",
    "req.action": "read",
    "req.repository": "team/app",
    "req.reference": "v1",
    "req.referenceType": "tag",
    "req.tag": "v1",
    "req.digest": "",
    "req.user.username": "alice",
    "req.user.groups": ["ops", "dev"],
    "req.auth.anonymous": False,
    "req.auth.admin": False,
    "req.client.ip": "10.0.0.1",
    "req.client.forwardedFor": ["192.0.2.1"],
    "req.tls.enabled": True,
    "req.tls.version": "TLSv1.3",
    "req.claims": {"text": "true", "number": 1, "deep": {"list": [1, 2]}, "nothing": None},
}

HOLD = [
    "true",
    "req.user.username == 'alice' && 'ops' in req.user.groups",
    "req.time.getHours() >= 9 && req.time.getHours() < 18",
    "req.time > timestamp('2025-01-01T00:00:00Z')",
    "req.repository.startsWith('team/') && req.tag.matches('^v[0-9]+$')",
    "sets.contains(req.user.groups, ['dev'])",
    "base64.encode(b'a') == 'YQ=='",
    "req.claims.?absent.orValue('x') == 'x'",
    "req.user.username.upperAscii() == 'ALICE'",
    "req.claims.number < 1.5",
    "req.client.forwardedFor.exists(address, address == '192.0.2.1')",
    "!has(req.claims.absent)",
    "req . tag == 'v1' && req\n.user. username == 'alice'",
]

# Each of them is "true enough" for an implementation that asks for anything less than the value true.
NEVER_HOLD = [
    "false",
    "req.claims.text",  # a text
    "req.claims.number",  # a number
    "req.claims.deep",  # a map
    "req.claims.absent",  # an error, which the library hands over as a text
    "req.claims.absent.deeper == 1",
    "req.claims.number.startsWith('x')",
    "req.claims.deep.list[7] == 1",
    "req.claims.nothing",
    "1 / (req.claims.number - 1) == 1",
    "req.claims.deep.list",
]


@pytest.mark.parametrize("text", HOLD)
def test_a_true_condition_holds(text: str) -> None:
    """What is true holds, with all names and functions that zot's rules use."""
    assert cel.compile_condition(text).is_true(REQUEST)


@pytest.mark.parametrize("text", NEVER_HOLD)
def test_what_is_not_true_never_holds(text: str) -> None:
    """An error, a text, a number or nothing at all does not grant."""
    assert not cel.compile_condition(text).is_true(REQUEST)


def test_the_test_finds_a_condition_that_takes_any_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant that grants on whatever the library returns is caught by the cases above."""

    def truthy(self: cel.Expression, data: dict[str, Any]) -> bool:
        return bool(self._program.eval(data=data).plain_value())

    monkeypatch.setattr(cel.Expression, "is_true", truthy)
    caught = [text for text in NEVER_HOLD if cel.compile_condition(text).is_true(REQUEST)]
    assert "req.claims.text" in caught
    assert "req.claims.absent" in caught


@pytest.mark.parametrize("text", ["", "1 +", "nothing == 1", "req.nothing == 1", "'text'", "1", "req.user.username"])
def test_what_can_not_be_a_condition_is_an_error_at_load(text: str) -> None:
    """Broken syntax, unknown names, and values that are never true or false are refused before they decide."""
    with pytest.raises(cel.ExpressionError):
        cel.compile_condition(text)


@pytest.mark.parametrize(("name", "value"), [("req.userAgent", "\ud800"), ("req.claims", {"huge": 2**70})])
def test_a_value_the_library_can_not_take_does_not_hold(name: str, value: object) -> None:
    """Text that is no Unicode and numbers beyond 64 bits are errors of the evaluation, not of the server."""
    assert not cel.compile_condition(f"{name} == {name}").is_true({**REQUEST, name: value})


def test_claims_are_mapped_by_expressions() -> None:
    """An expression over claims and variables has a plain value, or says why not."""
    data = {"claims": {"iss": "https://ci", "sub": "job", "groups": ["a", "b"]}, "vars": {"project": "x"}}
    assert cel.compile_claim("claims.iss + '/' + claims.sub").evaluate(data) == "https://ci/job"
    assert cel.compile_claim("claims.groups.map(g, vars.project + '-' + g)").evaluate(data) == ["x-a", "x-b"]
    with pytest.raises(cel.ExpressionError, match="absent"):
        cel.compile_claim("claims.absent").evaluate(data)
