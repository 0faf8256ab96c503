"""A profile: a user's name for a registry, with its URL and settings."""

from typing import Any

import click

from zot.zli.url import checked_url

SWITCHES = ("showspinner", "verify-tls")
KEYS = ("url", *SWITCHES)

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}


class ProfileError(click.ClickException):
    """The configuration is broken, or has not what was asked of it."""


class Profile:
    """What `~/.zot` says of one registry. Keys that are not zli's stay as they are."""

    def __init__(self, fields: dict[str, Any]) -> None:
        """View an object of the file: a change of the profile is one of the object."""
        self._fields = fields

    @property
    def name(self) -> str:
        """What it is called by."""
        return str(self._fields["_name"])

    @property
    def url(self) -> str:
        """Where the registry is; not checked, since others write the file too."""
        return str(self._fields["url"])

    def get(self, key: str) -> str:
        """Return a key's value as text; a switch that the file does not have is on. Raises ProfileError."""
        if key not in {"_name", *KEYS}:
            raise _not_allowed(key)
        value = self._fields.get(key)
        if value is None:
            return "true"
        return str(value).lower() if isinstance(value, bool) else str(value)

    def is_on(self, switch: str) -> bool:
        """Tell how a switch stands. Raises ProfileError when the file has something else there."""
        return _boolean(switch, self.get(switch))

    def set(self, key: str, value: str) -> None:
        """Change a key, having checked its value. Raises ProfileError, or ClickException for a bad URL."""
        if key not in KEYS:
            raise _not_allowed(key)
        self._fields[key] = checked_url(value) if key == "url" else _boolean(key, value)

    def reset(self, key: str) -> None:
        """Go back to a key's default. Raises ProfileError: the URL and the name have none."""
        if key in {"url", "_name"}:
            raise ProfileError(f"cannot reset given config key: {key!r} has no default")
        if key not in SWITCHES:
            raise _not_allowed(key)
        self._fields.pop(key, None)


def _not_allowed(key: str) -> ProfileError:
    return ProfileError(f"given config key is not allowed: {key!r}, only {', '.join(KEYS)}")


def _boolean(key: str, text: str) -> bool:
    """Read a boolean as Go's strconv.ParseBool does: zot's zli also keeps it as it was typed."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ProfileError(f"{key} must be true or false, not {text!r}")
