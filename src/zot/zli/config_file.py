"""The file `~/.zot` of a user's profiles, in the JSON form that zot's zli reads and writes."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Self

from zot.zli.profile import SWITCHES, Profile, ProfileError
from zot.zli.url import checked_url

_DEFAULT = "defaultConfigName"


class InvalidConfigFileError(ValueError):
    """What the file has is not in its form, and the text says where."""


class ConfigFile:
    """The file's content: what is not zli's stays as it is."""

    def __init__(self, tree: dict[str, Any]) -> None:
        """Take the file's object. Raises InvalidConfigFileError."""
        self._tree = tree
        if tree.get("configs") is None:
            tree["configs"] = []
        self._entries: list[dict[str, Any]] = _checked(tree["configs"])
        if not isinstance(tree.get(_DEFAULT) or "", str):
            raise InvalidConfigFileError(f'"{_DEFAULT}" must be a string')

    @classmethod
    def read(cls) -> Self:
        """Read the file; none, or an empty one, has no profiles. Raises ProfileError."""
        path = _path()
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise ProfileError(f"{path} cannot be read: {error.strerror}") from error
        try:
            return cls(_object(content) if content.strip() else {})
        except (ValueError, RecursionError) as error:
            raise ProfileError(f"invalid cli config: {path}: {error}") from error

    def write(self) -> None:
        """Replace the file in one step, for its owner's eyes alone. Raises ProfileError.

        Where it is a link, what that leads to is replaced.
        """
        path = Path(os.path.realpath(_path()))
        try:
            with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".zot.", delete=False) as staged:
                try:
                    staged.write(json.dumps(self._tree, indent=2) + "\n")
                    staged.flush()
                    os.fsync(staged.fileno())
                    Path(staged.name).replace(path)
                except BaseException:
                    Path(staged.name).unlink()
                    raise
        except OSError as error:
            raise ProfileError(f"{path} cannot be written: {error.strerror}") from error

    @property
    def profiles(self) -> list[Profile]:
        """All of them, in the file's order."""
        return [Profile(entry) for entry in self._entries]

    def find(self, name: str) -> Profile:
        """Return the profile of this name. Raises ProfileError."""
        for profile in self.profiles:
            if profile.name == name:
                return profile
        raise ProfileError(f"config with the given name does not exist: {name!r}")

    def has(self, name: str) -> bool:
        """Tell whether there is a profile of this name."""
        return any(profile.name == name for profile in self.profiles)

    def add(self, name: str, url: str) -> None:
        """Add a profile, every switch on. Raises ProfileError, or ClickException for a bad URL."""
        if not name.strip():
            raise ProfileError("the name of a config cannot be empty")
        if self.has(name):
            raise ProfileError(f"cli config name already added: {name!r}")
        self._entries.append({"_name": name, "url": checked_url(url), **dict.fromkeys(SWITCHES, True)})

    def remove(self, name: str) -> None:
        """Remove a profile; if it was the default, there is none any more. Raises ProfileError."""
        self.find(name)
        self._entries[:] = [entry for entry in self._entries if entry["_name"] != name]
        if self._tree.get(_DEFAULT) == name:
            self.clear_default()

    @property
    def default(self) -> str | None:
        """The profile to use when none is named. Raises ProfileError when the file names one that is not there."""
        name = self._tree.get(_DEFAULT)
        if name and not self.has(name):
            raise ProfileError(
                f'config with the given name does not exist: "{_DEFAULT}" is {name!r}; '
                "mend it by 'zli config set-default <name>' or 'zli config clear-default'",
            )
        return name or None

    def set_default(self, name: str) -> None:
        """Make a profile the default. Raises ProfileError."""
        self._tree[_DEFAULT] = self.find(name).name

    def clear_default(self) -> None:
        """Have no default; twice is no error."""
        self._tree.pop(_DEFAULT, None)


@contextmanager
def changing() -> Iterator[ConfigFile]:
    """Give what the file says and write it back at the end of the block, unless an error ends that."""
    file = ConfigFile.read()
    yield file
    file.write()


def _path() -> Path:
    return Path.home() / ".zot"


def _object(content: bytes) -> dict[str, Any]:
    tree = json.loads(content)
    if not isinstance(tree, dict):
        raise InvalidConfigFileError("it is not a JSON object")
    return tree


def _checked(entries: object) -> list[dict[str, Any]]:
    if not isinstance(entries, list):
        raise InvalidConfigFileError('"configs" must be a JSON array')
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InvalidConfigFileError(f"configs[{index}] must be a JSON object")
        for key in ("_name", "url"):
            value = entry.get(key)
            if not isinstance(value, str) or not value.strip():
                raise InvalidConfigFileError(f'configs[{index}]: "{key}" must be a non-empty string')
    return entries
