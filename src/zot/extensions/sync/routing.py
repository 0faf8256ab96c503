"""Which upstream repository a local one mirrors, by the `content` of an upstream."""

from __future__ import annotations

import re
from collections.abc import Sequence

from zot.config.globs import compile_glob, literal_prefix
from zot.config.regexes import Regex, compile_regex
from zot.config.sync import ContentConfig, TagsConfig
from zot.oci.names import Reference, Repository, as_tag

# Masterminds/semver, which zot uses, takes a leading `v` and missing numbers.
_SEMVER = re.compile(r"v?\d+(\.\d+)?(\.\d+)?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
# Tags by which signatures and the like are attached to a manifest: cosign's, and those of the referrers fallback.
_ATTACHED = re.compile(r"sha(256|384|512)-[0-9a-f]{64,128}(\..+)?")


class Routes:
    """Maps local names to upstream names. Without `content` both are the same."""

    def __init__(self, content: Sequence[ContentConfig]) -> None:
        """Use the rules in their order: the first that fits a local name decides."""
        self._rules = [_Rule(each) for each in content]

    def remote(self, repository: Repository, reference: Reference | None = None) -> str | None:
        """Return the upstream name of a repository; None: it is not mirrored, or not that tag of it.

        `reference` is a tag or digest of a manifest; a digest, and a tag that attaches something to one, is mirrored
        whatever the tag rules say.
        """
        if not self._rules:
            return repository
        tag = None if reference is None else as_tag(reference)
        for rule in self._rules:
            remote = rule.remote(repository)
            if remote is not None and (tag is None or _ATTACHED.fullmatch(tag) or rule.takes(tag)):
                return remote
        return None


class _Rule:
    def __init__(self, content: ContentConfig) -> None:
        prefix = content.prefix.strip("/")
        self._glob = compile_glob(prefix)
        self._destination = content.destination.strip("/")
        fixed = prefix.partition("/*")[0]
        self._stripped = fixed if content.strip_prefix and literal_prefix(fixed) == fixed else ""
        tags = content.tags or TagsConfig.model_construct()
        self._regex = _compiled(tags.regex)
        self._exclude = _compiled(tags.exclude_regex)
        self._semver = bool(tags.semver)

    def remote(self, repository: str) -> str | None:
        """Return the upstream name if the rule maps some upstream name to the local one."""
        name = repository
        if self._destination:
            if name != self._destination and not name.startswith(f"{self._destination}/"):
                return None
            name = name[len(self._destination) :].strip("/")
        if self._stripped:
            name = f"{self._stripped}/{name}".rstrip("/")
        return name if name and self._glob.matches(name) else None

    def takes(self, tag: str) -> bool:
        """Tell whether the rule mirrors a tag."""
        if self._regex is not None and not self._regex.search(tag):
            return False
        if self._exclude is not None and self._exclude.search(tag):
            return False
        return not self._semver or _SEMVER.fullmatch(tag) is not None


def _compiled(pattern: str | None) -> Regex | None:
    return compile_regex(pattern) if pattern else None
