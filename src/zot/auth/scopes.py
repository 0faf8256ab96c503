"""What credentials are limited to: the scopes of API keys, and the access entries of a token server's tokens.

Both are written like Docker's token scopes (distribution, Token Scope Documentation):
`repository:NAME:ACTION[,ACTION...]`, with the actions `pull`, `push` and `delete`; an API key's NAME may be a glob.
A NAME alone, the form of zot's documentation, limits an API key to these repositories and leaves it every action there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from zot.config.globs import Glob, compile_glob
from zot.oci.names import Repository, parse_repository
from zot.registry.request import Action

SCOPE_LENGTH_LIMIT = 512

_WILDCARDS = "*?[{"

_MEANING = {
    "pull": frozenset({Action.READ}),
    "push": frozenset({Action.CREATE, Action.UPDATE}),
    "delete": frozenset({Action.DELETE}),
}


class InvalidScopeError(ValueError):
    """The text is no scope; the message says what would be."""


class ApiKeyScope(msgspec.Struct, frozen=True):
    """Some actions on one repository, or on those that match a glob."""

    repositories: Glob | Repository
    actions: frozenset[Action]
    expires_s: float | None = None
    """Seconds since the epoch after which it allows nothing; None: as long as the credentials."""

    def allows(self, action: Action, repository: Repository) -> bool:
        """Tell whether it allows the action on the repository now."""
        if self.expires_s is not None and time.time() >= self.expires_s:
            return False
        return action in self.actions and (
            self.repositories.matches(repository)
            if isinstance(self.repositories, Glob)
            else self.repositories == repository
        )


def parse_scope(text: str) -> ApiKeyScope:
    """Return the scope that an API key is created with; raise InvalidScopeError otherwise."""
    expected = "repository:NAME:ACTION[,ACTION...], with the actions pull, push and delete, or NAME alone"
    if len(text) > SCOPE_LENGTH_LIMIT:
        raise InvalidScopeError(f"a scope has at most {SCOPE_LENGTH_LIMIT} characters")
    if ":" not in text:
        return ApiKeyScope(_named(text, expected), frozenset(Action))
    kind, _, rest = text.partition(":")
    pattern, _, actions = rest.rpartition(":")
    names = actions.split(",")
    if kind != "repository" or not pattern or not _MEANING.keys() >= set(names):
        raise InvalidScopeError(f"{text!r} is not a scope: {expected}")
    try:
        return ApiKeyScope(compile_glob(pattern), meaning(names))
    except ValueError as error:
        raise InvalidScopeError(f"{text!r} is not a scope: {error}") from error


def _named(text: str, expected: str) -> Glob | Repository:
    """Return the repositories of a scope that is a name alone."""
    try:
        return compile_glob(text) if any(each in text for each in _WILDCARDS) else parse_repository(text)
    except ValueError as error:
        raise InvalidScopeError(f"{text!r} is not a scope: {expected}") from error


def meaning(names: Iterable[str]) -> frozenset[Action]:
    """Return the actions that `pull`, `push` and `delete` stand for; other names stand for nothing."""
    return frozenset(action for name in names for action in _MEANING.get(name, ()))


def docker_action(action: Action) -> str:
    """Return how a challenge asks for the action: `pull`, `push` or `delete`."""
    return next((name for name, actions in _MEANING.items() if action in actions), "pull")


def allowed(scopes: Iterable[ApiKeyScope], action: Action, repository: Repository) -> bool:
    """Tell whether any of the scopes allows the action on the repository."""
    return any(scope.allows(action, repository) for scope in scopes)
