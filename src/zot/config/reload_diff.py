"""The effect of a changed configuration file on a running server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from zot.config.rules.rules import check
from zot.config.section import RELOAD, Section

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from zot.config.model import Config

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, slots=True)
class Changes:
    """The configuration after a reload.

    `reloaded` names the changed keys that take effect at once, `ignored` those that need a restart.
    """

    config: Config
    reloaded: tuple[str, ...]
    ignored: tuple[str, ...]


def changes(running: Config, changed: Config) -> Changes:
    """Apply the reloadable keys of `changed`, a loaded configuration, to `running`.

    Raises ConfigurationError if the result breaks a rule, because some of the changed keys need a restart.
    """
    diff = _Diff()
    merged = diff.merge(running, changed, "")
    secrets = replace(changed.secrets, session_keys=running.secrets.session_keys)
    if changed.secrets.session_keys != running.secrets.session_keys:
        diff.ignored.append("http.auth.sessionKeysFile")
    if secrets.ldap != running.secrets.ldap:
        diff.reloaded.append("http.auth.ldap.credentialsFile")
    merged = merged.with_secrets(secrets)
    check(merged)
    return Changes(merged, tuple(diff.reloaded), tuple(diff.ignored))


class _Diff:
    def __init__(self) -> None:
        self.reloaded: list[str] = []
        self.ignored: list[str] = []

    def merge(self, old: S, new: S, path: str) -> S:
        """Return `old` with the reloadable keys of `new`."""
        values: dict[str, Any] = {}
        for name, field in type(old).model_fields.items():
            before, after = getattr(old, name), getattr(new, name)
            key = f"{path}.{field.alias}".removeprefix(".")
            if before == after:
                continue
            if _is_reloadable(field):
                self.reloaded.append(key)
                values[name] = after
            elif isinstance(before, Section) and isinstance(after, Section):
                values[name] = self.merge(before, after, key)
            elif isinstance(before, dict) and isinstance(after, dict):
                values[name] = self._merge_named(before, after, key)
            else:
                self.ignored.append(key)
        return old.model_copy(update=values)

    def _merge_named(self, old: dict[str, Any], new: dict[str, Any], path: str) -> dict[str, Any]:
        merged = dict(old)
        for name in sorted(old.keys() | new.keys()):
            key = f'{path}["{name}"]'
            if isinstance(old.get(name), Section) and isinstance(new.get(name), Section):
                merged[name] = self.merge(old[name], new[name], key)
            elif old.get(name) != new.get(name):
                self.ignored.append(key)
        return merged


def _is_reloadable(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get(RELOAD) is True
