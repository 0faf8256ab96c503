"""Scopes that limit credentials: those of API keys, and the access entries of a token server's tokens.

Both are written like Docker's token scopes (distribution, Token Scope Documentation):
`repository:NAME:ACTION[,ACTION...]`, with the actions `pull`, `push` and `delete`; an API key's NAME may be a glob.
A NAME alone, the form of zot's documentation, limits an API key to these repositories and allows every action there.
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

_DOCKER_ACTIONS = {
    "pull": frozenset({Action.READ}),
    "push": frozenset({Action.CREATE, Action.UPDATE}),
    "delete": frozenset({Action.DELETE}),
}


class InvalidScopeError(ValueError):
    """The text is not a valid scope; the message says what is expected."""


class ApiKeyScope(msgspec.Struct, frozen=True):
    """Some actions on one repository, or on those that match a glob."""

    repositories: Glob | Repository
    actions: frozenset[Action]
    expires_s: float | None = None
    """Expiry in seconds since the epoch; None: that of the credentials."""

    def allows(self, action: Action, repository: Repository) -> bool:
        """Tell whether the scope allows the action on the repository now."""
        if self.expires_s is not None and time.time() >= self.expires_s:
            return False
        return action in self.actions and (
            self.repositories.matches(repository)
            if isinstance(self.repositories, Glob)
            else self.repositories == repository
        )


def parse_scope(text: str) -> ApiKeyScope:
    """Return the parsed scope of an API key. Raises InvalidScopeError."""
    expected = "repository:NAME:ACTION[,ACTION...], with the actions pull, push and delete, or NAME alone"
    if len(text) > SCOPE_LENGTH_LIMIT:
        raise InvalidScopeError(f"a scope has at most {SCOPE_LENGTH_LIMIT} characters")
    if ":" not in text:
        return ApiKeyScope(_repositories(text, expected), frozenset(Action))
    kind, _, rest = text.partition(":")
    pattern, _, actions = rest.rpartition(":")
    names = actions.split(",")
    if kind != "repository" or not pattern or not _DOCKER_ACTIONS.keys() >= set(names):
        raise InvalidScopeError(f"{text!r} is not a scope: {expected}")
    try:
        return ApiKeyScope(compile_glob(pattern), actions_of(names))
    except ValueError as error:
        raise InvalidScopeError(f"{text!r} is not a scope: {error}") from error


def _repositories(text: str, expected: str) -> Glob | Repository:
    try:
        return compile_glob(text) if any(each in text for each in _WILDCARDS) else parse_repository(text)
    except ValueError as error:
        raise InvalidScopeError(f"{text!r} is not a scope: {expected}") from error


def actions_of(docker_actions: Iterable[str]) -> frozenset[Action]:
    """Return the actions of `pull`, `push` and `delete`; other names are ignored."""
    return frozenset(action for name in docker_actions for action in _DOCKER_ACTIONS.get(name, ()))


def docker_action(action: Action) -> str:
    """Return the action as a token scope names it: `pull`, `push` or `delete`."""
    return next((name for name, actions in _DOCKER_ACTIONS.items() if action in actions), "pull")


def allowed(scopes: Iterable[ApiKeyScope], action: Action, repository: Repository) -> bool:
    """Tell whether any of the scopes allows the action on the repository."""
    return any(scope.allows(action, repository) for scope in scopes)
