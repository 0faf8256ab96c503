"""Immutable tags (`http.accessControl.immutableTags`)."""

from __future__ import annotations

from zot.auth.principal import Principal
from zot.auth.subjects import Subjects
from zot.config.access_control import AccessControlConfig
from zot.config.globs import compile_glob
from zot.config.regexes import compile_regex
from zot.oci.names import Repository, Tag

ROOT = "http.accessControl.immutableTags"


class TagImmutability:
    """The compiled entries of `immutableTags`."""

    def __init__(self, rules: AccessControlConfig) -> None:
        """Compile the entries. Raises ValueError if a pattern is invalid."""
        self._entries = [
            (
                [compile_glob(pattern) for pattern in entry.repositories],
                [compile_regex(pattern) for pattern in entry.tags],
                Subjects((), entry.except_groups, rules.groups),
            )
            for entry in rules.immutable_tags
        ]

    def rule(self, principal: Principal, configured: frozenset[str], repository: Repository, tag: Tag) -> str | None:
        """Return the key of the first entry that makes the tag immutable for the principal, or None.

        `configured` are the groups that the configuration puts the principal in.
        """
        for number, (repositories, tags, exempt) in enumerate(self._entries):
            if (
                any(glob.matches(repository) for glob in repositories)
                and (not tags or any(regex.fullmatch(tag) for regex in tags))
                and not exempt.include(principal, configured)
            ):
                return f"{ROOT}[{number}]"
        return None
