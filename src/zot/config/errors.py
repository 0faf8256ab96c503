"""Errors and warnings about a configuration."""

from __future__ import annotations

from dataclasses import dataclass

BAD_CONFIG = "invalid server config: "


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One reason to refuse a configuration.

    `text` is zot's own message where zot has one, since scripts may look for it. `key` is the path of the key at
    fault, as in the file. `expected` describes a valid value.
    """

    text: str
    key: str = ""
    expected: str = ""
    prefix: str = BAD_CONFIG

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.key, self.expected) if part)
        return f"{self.prefix}{self.text}" + (f" ({place})" if place else "")

    def line(self, file: str) -> str:
        """Return the problem as one line that begins with the file and the key."""
        key = f"{self.key}: " if self.key and self.key != file else ""
        return f"{file}: {key}{self.text}" + (f" ({self.expected})" if self.expected else "")


class ConfigurationError(ValueError):
    """A configuration is invalid. The message has one line for each problem, in zot's order of checks."""

    def __init__(self, *problems: ConfigProblem | str) -> None:
        self.problems = tuple(ConfigProblem(item) if isinstance(item, str) else item for item in problems)
        super().__init__("\n".join(map(str, self.problems)))

    def lines(self, file: str) -> str:
        """Return the problems as lines that begin with the file and the key."""
        return "\n".join(problem.line(file) for problem in self.problems)


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """A hint about a valid configuration that probably does not do what its author wants."""

    text: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


Finding = ConfigProblem | ConfigWarning
