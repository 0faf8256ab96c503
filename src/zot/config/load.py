"""Loading of a configuration: read, validate, complete, check."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from zot.config.defaults import complete
from zot.config.empty_sections import drop_empty
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.config.keys import path_text, section_at
from zot.config.masking import mask
from zot.config.model import LOG_LEVELS, Config
from zot.config.parse import Tree, lower_keys, merged, read_content, read_tree
from zot.config.rules.rules import check
from zot.config.secret_files import read_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Read = Callable[[Path], bytes]

    from pydantic_core import ErrorDetails

    CompileCondition = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration, and warnings about it."""

    config: Config
    warnings: tuple[str, ...]


def load(
    path: Path,
    compile_condition: CompileCondition | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    read: Read = read_content,
) -> Loaded:
    """Load the configuration file at `path` and the secret files that it names.

    `compile_condition` compiles a CEL expression of the access control or raises ValueError; without it conditions
    are not checked. `overrides` take precedence over the file; `read` returns a file's content. Raises
    ConfigurationError with all problems of the first stage that fails: syntax, keys and types, secret files, rules.
    Does not open the storage.
    """
    return load_tree(read_tree(path, read), compile_condition, overrides=overrides, read=read)


def load_tree(
    tree: Tree,
    compile_condition: CompileCondition | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    read: Read = read_content,
) -> Loaded:
    """Load a configuration from an object of keys and values; laws as for `load`."""
    lowered = merged(lower_keys(tree), lower_keys(dict(overrides or {})))
    empty_warnings = drop_empty(lowered)
    try:
        config = Config.model_validate(lowered, by_name=False)
    except ValidationError as error:
        raise ConfigurationError(*_problems(error)) from None
    if config.log.level.lower() not in LOG_LEVELS:
        levels = ", ".join(LOG_LEVELS)
        raise ConfigurationError(
            ConfigProblem(f"invalid log level '{config.log.level}', supported levels are: {levels}", "log.level")
        )
    config, warnings = complete(config.with_secrets(read_secrets(config.http.auth, read)))
    warnings += [*empty_warnings, *check(config, compile_condition)]
    return Loaded(config, tuple(warnings))


def _problems(error: ValidationError) -> list[ConfigProblem]:
    details = error.errors(include_url=False)
    unknown = [detail["loc"] for detail in details if detail["type"] == "extra_forbidden"]
    problems = [_problem(detail) for detail in details if detail["type"] != "extra_forbidden"]
    return [*problems, *map(_unknown, unknown)]


def _unknown(location: tuple[str | int, ...]) -> ConfigProblem:
    section = section_at(Config, location)
    known = {str(field.alias).lower(): str(field.alias) for field in section.model_fields.values()} if section else {}
    close = get_close_matches(str(location[-1]), known, n=1)
    expected = f"did you mean {known[close[0]]}?" if close else ""
    return ConfigProblem("failed to load config due to unknown keys", path_text(location), expected)


def _problem(detail: ErrorDetails) -> ConfigProblem:
    path, value = path_text(detail["loc"]), detail["input"]
    name = next((part for part in reversed(detail["loc"]) if isinstance(part, str)), "")
    cause = detail.get("ctx", {}).get("error")
    if cause is not None:
        return ConfigProblem(str(cause), path)
    if detail["type"] == "missing":
        return ConfigProblem(f"{path} is missing")
    shown = reprlib.repr(mask(value, name))
    expected = detail["msg"].removeprefix("Input should be ")
    return ConfigProblem(f"{path} is {shown}", expected=f"should be {expected}")
