"""Compiles and evaluates CEL (Common Expression Language, cel-spec); the only module that imports its library.

Conditions of access control use the variables `req.*`, mappings of a token's claims use `claims` and `vars`. The
extensions strings, sets, encoders and optionals are available besides the standard functions. An undeclared variable
is an error when the configuration is loaded. Needs the extra `cel`.
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
REQUEST_VARIABLES = {
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
"""The variables of conditions, with their types."""
_CLAIM_VARIABLES = {"claims": "map", "vars": "map"}


# What the library's binding layer raises for values that it cannot convert.
_FAILURES = (RuntimeError, TypeError, ValueError)


class CelData(Protocol):
    """Values of variables; an expression gets only those that it names."""

    def __getitem__(self, name: str, /) -> object:
        """Return the value of the variable."""


class ExpressionError(ValueError):
    """The text is not a valid expression, or it has no value for these data."""


class Expression:
    """A compiled expression, safe to share between threads. Evaluation has no side effect."""

    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        """Compile the text. Raises ExpressionError with position and reason."""
        self.text = text
        try:
            self._program = _environment(tuple(variables.items())).compile(text)
        except RuntimeError as error:
            raise ExpressionError(str(error)) from error
        self.type_name: str = self._program.return_type().name()
        # Converting a value costs more than evaluating it, so only variables that the text names are passed.
        compact = _AROUND_DOTS.sub(".", text)
        self.names = tuple(name for name in variables if name in compact)

    def evaluate(self, data: CelData) -> Any:
        """Return the value as a plain Python value. Raises ExpressionError if there is none."""
        try:
            value = self._value(data)
            kind, plain = value.type().name(), value.plain_value()
        except _FAILURES as error:
            raise ExpressionError(f"{self.text}: {error}") from error
        # The library returns a failed evaluation as a value of type ERROR, with the message as its text.
        if kind in {"ERROR", "UNKNOWN"}:
            raise ExpressionError(f"{self.text}: {plain}")
        return plain

    def is_true(self, data: CelData) -> bool:
        """Tell whether the value is the boolean true; an error, a text or a number is not."""
        try:
            # Of all values, including those of the types ERROR and UNKNOWN, only `true` is converted to True.
            return self._value(data).plain_value() is True
        except _FAILURES:
            return False

    def _value(self, data: CelData) -> Any:
        return self._program.eval(data={name: data[name] for name in self.names})


def compile_condition(text: str) -> Expression:
    """Compile a condition over `req.*`. Raises ExpressionError if it cannot be true or false."""
    return _boolean(Expression(text, REQUEST_VARIABLES))


def compile_claim(text: str) -> Expression:
    """Compile an expression over `claims` and `vars`. Raises ExpressionError."""
    return Expression(text, _CLAIM_VARIABLES)


def compile_validation(text: str) -> Expression:
    """Compile a condition over `claims` and `vars`. Raises ExpressionError if it cannot be true or false."""
    return _boolean(Expression(text, _CLAIM_VARIABLES))


def _boolean(expression: Expression) -> Expression:
    if expression.type_name not in {"BOOL", "DYN"}:
        raise ExpressionError(f"{expression.text}: is of type {expression.type_name}, a condition is true or false")
    return expression


@cache
def _environment(variables: tuple[tuple[str, str], ...]) -> Any:
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
    # Dotted names instead of one map `req`: the library has no timestamps inside maps, and a misspelt name is an error
    # at load.
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(_EXTENSIONS), variables={name: types[kind] for name, kind in variables}
    )
