"""Access control, a second time: slow, plain, and written from zot's documentation alone.

It reads the configuration as a file has it (lists and dictionaries) and shares no code with the policy, so that what
both say is right unless both are wrong in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Config = Mapping[str, Any]

# Conditions that the random rules draw from: their CEL, and the same in Python.
CONDITIONS: dict[str, Callable[["Asked"], bool]] = {
    "req.user.username == 'alice'": lambda asked: asked.user == "alice",
    "'ops' in req.user.groups": lambda asked: "ops" in asked.all_groups,
    "req.action == 'read'": lambda asked: asked.action == "read",
    "req.referenceType == 'digest'": lambda asked: ":" in asked.reference,
    "req.tag.startsWith('v')": lambda asked: ":" not in asked.reference and asked.reference.startswith("v"),
    "req.repository.startsWith('team/')": lambda asked: asked.repository.startswith("team/"),
    "req.method == 'GET' && req.client.ip != '10.0.0.9'": lambda asked: (
        asked.method == "GET" and asked.ip != "10.0.0.9"
    ),
    "req.auth.admin": lambda asked: asked.admin,
    "has(req.claims.team) && req.claims.team == 'a'": lambda asked: asked.claims.get("team") == "a",
    "req.claims.team == 'a'": lambda asked: asked.claims.get("team") == "a",
    "req.claims.text": lambda asked: asked.claims.get("text") is True,
    "req.claims.number == 1": lambda asked: asked.claims.get("number") == 1,
    "false": lambda _: False,
}


@dataclass
class Asked:
    """One action that somebody asks for."""

    user: str | None
    groups: Sequence[str]
    action: str
    repository: str
    reference: str = ""
    method: str = "GET"
    ip: str = "10.0.0.1"
    claims: Mapping[str, Any] = field(default_factory=dict)
    admin: bool = False
    all_groups: Sequence[str] = ()


def allows(config: Config, asked: Asked) -> bool:
    """Tell whether the action is allowed."""
    configured = [name for name, group in config.get("groups", {}).items() if asked.user in group.get("users", [])]
    asked.all_groups = [*asked.groups, *(configured if asked.user is not None else [])]
    admins = config.get("adminPolicy", {})
    asked.admin = names(admins, asked)
    rules = longest(config.get("repositories", {}), asked.repository)
    if rules is not None:
        if asked.user is not None and any(grants(entry, asked) for entry in rules.get("policies", [])):
            return True
        if asked.user is not None and asked.action in rules.get("defaultPolicy", []):
            return True
        if asked.user is None and asked.action in rules.get("anonymousPolicy", []):
            return True
    return grants(admins, asked)


def grants(entry: Config, asked: Asked) -> bool:
    """Tell whether one entry grants the action."""
    conditions = entry.get("conditions", [])
    return (
        names(entry, asked)
        and asked.action in entry.get("actions", [])
        and all(CONDITIONS[each["expression"]](asked) for each in conditions)
    )


def names(entry: Config, asked: Asked) -> bool:
    """Tell whether the entry names the user or one of their groups."""
    if asked.user is None:
        return False
    return asked.user in entry.get("users", []) or any(group in entry.get("groups", []) for group in asked.all_groups)


def longest(repositories: Config, name: str) -> Config | None:
    """Give the rules of the longest matching pattern: of equally long ones the literal, then the first."""
    best = None
    for pattern in repositories:
        if not matches(pattern, name):
            continue
        literal = not set("*?") & set(pattern)
        if best is None or len(pattern) > len(best) or (len(pattern) == len(best) and literal):
            best = pattern
    return None if best is None else repositories[best]


def matches(pattern: str, name: str) -> bool:
    """Match component by component; the random patterns know `**` as a component, `*` and `?`."""
    return _components(pattern.split("/"), name.split("/"))


def _components(pattern: Sequence[str], name: Sequence[str]) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "**":
        return any(_components(pattern[1:], name[skipped:]) for skipped in range(len(name) + 1))
    return bool(name) and _characters(pattern[0], name[0]) and _components(pattern[1:], name[1:])


def _characters(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_characters(pattern[1:], text[skipped:]) for skipped in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and _characters(pattern[1:], text[1:])
