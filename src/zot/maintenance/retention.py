"""Decide which tags and untagged manifests a retention policy keeps. Pure functions.

A tag belongs to the first entry of `keepTags` with a pattern that matches it. An entry without rules keeps all its
tags; with rules, it keeps a tag that any of them keeps. A tag that belongs to no entry, or that no rule keeps, is
deleted. A tag without statistics is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

from zot.config.globs import compile_glob
from zot.config.regexes import compile_regex
from zot.config.storage import KeepTags, KeepUntaggedConfig, RetentionConfig, RetentionPolicyConfig
from zot.oci.digest import Digest
from zot.oci.names import Repository, Tag

NO_PATTERN = "didn't meet any tag 'patterns' rules"
NO_TAG_RULE = "didn't meet any tag retention rule"
NO_UNTAGGED_RULE = "didn't meet any untagged retention rule"
NO_STATISTICS = "tag statistics not found"
OF_ANOTHER_IMAGE = "signature or SBOM of another image"
UNTAGGED = "deleteUntagged"
REFERRER = "deleteReferrers"

# Tags by which cosign attached signatures before referrers existed, and the specification's fallback tags.
_ATTACHED = re.compile(r"sha256-([0-9a-f]{64})(?:\.(?:sig|sbom|att))?")


class Candidate(NamedTuple):
    """A tag or an untagged manifest, with its statistics. Times are seconds since the epoch."""

    digest: Digest
    media_type: str
    tag: Tag | None = None
    pushed_s: float | None = None
    """None if there are no statistics."""
    pulled_s: float | None = None
    """None if it was never pulled."""


class RetentionDecision(NamedTuple):
    """The decision of a policy on a candidate, with the reason."""

    candidate: Candidate
    keep: bool
    reason: str


class RetentionRules:
    """The retention of one store."""

    def __init__(self, retention: RetentionConfig) -> None:
        """Compile the patterns, which the configuration has validated."""
        self.dry_run = retention.dry_run
        self.delay_s = retention.delay_s
        self._policies = [RepositoryRetention.compiled(each) for each in retention.policies]

    def with_delay(self, delay_s: float) -> RetentionRules:
        """Return the same retention with another delay."""
        other = copy(self)
        other.delay_s = delay_s
        return other

    @property
    def asks_for_times(self) -> bool:
        """Whether a decision may depend on the times of pulls or pushes."""
        return any(policy.asks_for_times for policy in self._policies)

    def of(self, repository: Repository) -> RepositoryRetention:
        """Return the first policy that matches.

        Without any policy, untagged manifests are deleted; if there are policies but none matches, nothing is.
        """
        if not self._policies:
            return _DEFAULT
        return next((policy for policy in self._policies if policy.matches(repository)), _NONE)


@dataclass(frozen=True, slots=True)
class RepositoryRetention:
    """The retention policy of a repository."""

    matches: Callable[[str], bool]
    delete_untagged: bool
    delete_referrers: bool
    keep_tags: tuple[_RetentionRule, ...] = ()
    keep_untagged: KeepUntaggedConfig | None = None

    @property
    def asks_for_times(self) -> bool:
        """Whether a decision may depend on the times of pulls or pushes."""
        return bool(self.keep_tags or self.keep_untagged)

    @classmethod
    def compiled(cls, policy: RetentionPolicyConfig) -> RepositoryRetention:
        """Return the policy of the configuration."""
        globs = [compile_glob(pattern) for pattern in policy.repositories]
        return cls(
            lambda name: any(glob.matches(name) for glob in globs),
            policy.delete_untagged,
            policy.delete_referrers,
            tuple(_RetentionRule.compiled(entry) for entry in policy.keep_tags),
            policy.keep_untagged,
        )

    def tags(self, candidates: Iterable[Candidate], now_s: float) -> list[RetentionDecision]:
        """Decide on all tags of a repository together, in the order of the candidates.

        Without `keepTags` there are no decisions.
        """
        if not self.keep_tags:
            return []
        candidates = list(candidates)
        decisions: dict[Candidate, RetentionDecision] = {}
        groups: dict[int, list[Candidate]] = {}
        for candidate in candidates:
            assert candidate.tag is not None
            if attached_to(candidate.tag) is not None:
                decisions[candidate] = RetentionDecision(candidate, keep=True, reason=OF_ANOTHER_IMAGE)
                continue
            if candidate.pushed_s is None:
                decisions[candidate] = RetentionDecision(candidate, keep=True, reason=NO_STATISTICS)
                continue
            entry = next((i for i, each in enumerate(self.keep_tags) if each.matches(candidate.tag)), None)
            if entry is None:
                decisions[candidate] = RetentionDecision(candidate, keep=False, reason=NO_PATTERN)
            else:
                groups.setdefault(entry, []).append(candidate)
        for entry, group in groups.items():
            decisions |= _by_rules(group, self.keep_tags[entry].rules, now_s, NO_TAG_RULE)
        return [decisions[candidate] for candidate in candidates]

    def untagged(self, candidates: Iterable[Candidate], now_s: float) -> list[RetentionDecision]:
        """Decide on all untagged manifests of a repository together."""
        if not self.delete_untagged:
            return []
        if self.keep_untagged is None:
            return [RetentionDecision(candidate, keep=False, reason=UNTAGGED) for candidate in candidates]
        candidates = list(candidates)
        known = [candidate for candidate in candidates if candidate.pushed_s is not None]
        decisions = _by_rules(known, self.keep_untagged, now_s, NO_UNTAGGED_RULE)
        return [
            decisions.get(candidate) or RetentionDecision(candidate, keep=True, reason=NO_STATISTICS)
            for candidate in candidates
        ]


def attached_to(tag: Tag) -> Digest | None:
    """Return the digest of the image to which a tag of the form `sha256-<hex>[.sig|.sbom|.att]` belongs."""
    found = _ATTACHED.fullmatch(tag)
    return Digest(f"sha256:{found[1]}") if found else None


@dataclass(frozen=True, slots=True)
class _RetentionRule:
    matches: Callable[[str], bool]
    rules: KeepUntaggedConfig

    @classmethod
    def compiled(cls, entry: KeepTags) -> _RetentionRule:
        regexes = [compile_regex(pattern) for pattern in entry.patterns]
        return cls(lambda tag: not regexes or any(regex.search(tag) for regex in regexes), entry)


def _by_rules(
    candidates: Sequence[Candidate], rules: KeepUntaggedConfig, now_s: float, otherwise: str
) -> dict[Candidate, RetentionDecision]:
    keeping: dict[Candidate, str] = {}
    for name, kept in _kept(candidates, rules, now_s):
        for candidate in kept:
            keeping.setdefault(candidate, f"retained by {name} policy")
    return {each: RetentionDecision(each, each in keeping, keeping.get(each, otherwise)) for each in candidates}


def _kept(
    candidates: Sequence[Candidate], rules: KeepUntaggedConfig, now_s: float
) -> list[tuple[str, Sequence[Candidate]]]:
    """Return each rule's name with the candidates that it keeps."""
    found: list[tuple[str, Sequence[Candidate]]] = []
    if (count := rules.most_recently_pulled_count) > 0:
        found.append(("mostRecentlyPulledCount", _newest(candidates, count, _pulled_s)))
    if (count := rules.most_recently_pushed_count) > 0:
        found.append(("mostRecentlyPushedCount", _newest(candidates, count, _pushed_s)))
    if (within_s := rules.pulled_within_s) is not None:
        after_s = now_s - within_s
        found.append(("pulledWithin", [each for each in candidates if max(_pulled_s(each), _pushed_s(each)) > after_s]))
    if (within_s := rules.pushed_within_s) is not None:
        after_s = now_s - within_s
        found.append(("pushedWithin", [each for each in candidates if _pushed_s(each) > after_s]))
    return found or [("patterns", candidates)]


def _pulled_s(candidate: Candidate) -> float:
    return candidate.pulled_s or 0.0


def _pushed_s(candidate: Candidate) -> float:
    return candidate.pushed_s or 0.0


def _newest(candidates: Sequence[Candidate], count: int, at_s: Callable[[Candidate], float]) -> list[Candidate]:
    """Return the newest candidates; among those of equal age, the first by name."""
    return sorted(candidates, key=lambda each: (-at_s(each), each.tag or each.digest))[:count]


_DEFAULT = RepositoryRetention(lambda _: True, delete_untagged=True, delete_referrers=False)
_NONE = RepositoryRetention(lambda _: True, delete_untagged=False, delete_referrers=False)
