"""CEL (Common Expression Language, cel-spec), and the only place that knows which library evaluates it.

Two sets of names: `req.*` for conditions of access control, `claims` and `vars` for the claims of a token. Strings,
sets, encoders and optionals are there besides the standard functions. A name that is not declared is an error when
the configuration is loaded. Needs the extra `cel`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from zot.config.errors import ConfigProblem, ConfigurationError

_AROUND_DOTS = re.compile(r"\s*\.\s*")

_EXTENSIONS = "extensions: [{name: strings}, {name: sets}, {name: encoders}, {name: optional}]"

_TEXT = "string"
REQUEST = {
    "req.time": "timestamp",
    "req.method": _TEXT,
    "req.userAgent": _TEXT,
    "req.action": _TEXT,
    "req.repository": _TEXT,
    "req.reference": _TEXT,
    "req.referenceType": _TEXT,
    "req.tag": _TEXT,
    "req.digest": _TEXT,
    "req.user.username": _TEXT,
    "req.user.groups": "list",
    "req.auth.anonymous": "bool",
    "req.auth.admin": "bool",
    "req.client.ip": _TEXT,
    "req.client.forwardedFor": "list",
    "req.tls.enabled": "bool",
    "req.tls.version": _TEXT,
    "req.claims": "map",
}
"""What conditions may name, by kind."""
_CLAIMS = {"claims": "map", "vars": "map"}


# The library raises for values that have no counterpart on the other side, whatever its binding layer happens to use.
_FAILURES = (RuntimeError, TypeError, ValueError)


class CelData(Protocol):
    """Values by name; only those are asked for that an expression names."""

    def __getitem__(self, name: str, /) -> object:
        """Return the value of the name."""


class ExpressionError(ValueError):
    """The text is no expression, or it has no value for these data."""


class Expression:
    """A compiled expression. Safe to share between threads; evaluating it has no side effect."""

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        """Compile; raise ExpressionError with the place and the reason otherwise."""
        self.text = text
        try:
            self._program = _environment(tuple(names.items())).compile(text)
        except RuntimeError as error:
            raise ExpressionError(str(error)) from error
        self.type_name: str = self._program.return_type().name()
        # Handing over a value costs more than looking at it, so only those are that the text names.
        compact = _AROUND_DOTS.sub(".", text)
        self.names = tuple(name for name in names if name in compact)

    def evaluate(self, data: CelData) -> Any:
        """Return the value as a plain Python value; raise ExpressionError if there is none."""
        try:
            value = self._value(data)
            kind, plain = value.type().name(), value.plain_value()
        except _FAILURES as error:
            raise ExpressionError(f"{self.text}: {error}") from error
        # The library answers a failed evaluation with its text, as a value of type ERROR.
        if kind in {"ERROR", "UNKNOWN"}:
            raise ExpressionError(f"{self.text}: {plain}")
        return plain

    def holds(self, data: CelData) -> bool:
        """Tell whether the value is true: no error, no text, no number ever is."""
        try:
            # Of all values, those of the types ERROR and UNKNOWN included, only `true` comes as True.
            return self._value(data).plain_value() is True
        except _FAILURES:
            return False

    def _value(self, data: CelData) -> Any:
        return self._program.eval(data={name: data[name] for name in self.names})


def condition(text: str) -> Expression:
    """Compile a condition over `req.*`; raise ExpressionError if it cannot be true or false."""
    return _boolean(Expression(text, REQUEST))


def of_claims(text: str) -> Expression:
    """Compile an expression over `claims` and `vars`."""
    return Expression(text, _CLAIMS)


def validation(text: str) -> Expression:
    """Compile a condition over `claims` and `vars`; raise ExpressionError if it cannot be true or false."""
    return _boolean(Expression(text, _CLAIMS))


def _boolean(expression: Expression) -> Expression:
    if expression.type_name not in {"BOOL", "DYN"}:
        raise ExpressionError(f"{expression.text}: is of type {expression.type_name}, a condition is true or false")
    return expression


@cache
def _environment(names: tuple[tuple[str, str], ...]) -> Any:
    try:
        from cel_expr_python import cel  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            ConfigProblem("CEL expressions need an extra", expected="pip install 'zot-registry[cel]'")
        ) from error
    text, anything = cel.Type.STRING, cel.Type.DYN
    types = {
        _TEXT: text,
        "bool": cel.Type.BOOL,
        "timestamp": cel.Type.TIMESTAMP,
        "list": cel.Type.List(text),
        "map": cel.Type.Map(text, anything),
    }
    # Dotted names, not one map `req`: the library has no timestamps inside of maps, and a misspelt name is an error
    # at load.
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(_EXTENSIONS), variables={name: types[kind] for name, kind in names}
    )
