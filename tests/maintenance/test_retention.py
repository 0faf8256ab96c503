"""Retention policies against an oracle that applies the rules to one tag at a time."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from zot.config.storage import KeepTags, KeepUntaggedConfig, RetentionConfig, RetentionPolicyConfig
from zot.maintenance.retention import (
    NO_PATTERN,
    NO_STATISTICS,
    NO_TAG_RULE,
    NO_UNTAGGED_RULE,
    OF_ANOTHER_IMAGE,
    UNTAGGED,
    Candidate,
    RetentionDecision,
    RetentionRules,
)
from zot.oci.digest import digest_of
from zot.oci.names import Repository, Tag

NOW_S = 1000.0
APP = Repository("team/app")

times = st.none() | st.integers(1, 1000).map(float)
spans = st.none() | st.integers(0, 1000).map("{}s".format)
counts = st.integers(0, 3)
rules: dict[str, st.SearchStrategy[Any]] = {
    "pulled_within_s": spans,
    "pushed_within_s": spans,
    "most_recently_pushed_count": counts,
    "most_recently_pulled_count": counts,
}
entries = st.builds(
    KeepTags, patterns=st.lists(st.sampled_from(["^v", "1", "latest", "a|b"]), max_size=2).map(tuple), **rules
)
tags = st.sampled_from(["v1", "v2", "latest", "a", "b", "c1", f"sha256-{'0' * 64}.sig", f"sha256-{'0' * 64}"])


def candidate(name: str, pushed_s: float | None, pulled_s: float | None) -> Candidate:
    """Return a tag with its own manifest."""
    return Candidate(digest_of(name.encode()), "manifest", Tag(name), pushed_s, pulled_s)


candidates = st.lists(st.builds(candidate, tags, times, times), unique_by=lambda each: each.tag)


def policies(**policy: Any) -> RetentionRules:
    """Return a store's retention with one policy, for all repositories."""
    return RetentionRules(RetentionConfig.model_validate({"policies": [{"repositories": ["**"], **policy}]}))


def kept_by(candidate: Candidate, group: list[Candidate], rule: KeepUntaggedConfig) -> str | None:
    """Name the first rule that keeps the candidate, by the reference."""
    pushed_s, pulled_s = candidate.pushed_s or 0, candidate.pulled_s or 0
    newer_pulled = [each for each in group if _before(each, each.pulled_s, candidate, pulled_s)]
    newer_pushed = [each for each in group if _before(each, each.pushed_s, candidate, pushed_s)]
    if rule.most_recently_pulled_count and len(newer_pulled) < rule.most_recently_pulled_count:
        return "mostRecentlyPulledCount"
    if rule.most_recently_pushed_count and len(newer_pushed) < rule.most_recently_pushed_count:
        return "mostRecentlyPushedCount"
    if rule.pulled_within_s is not None and NOW_S - max(pushed_s, pulled_s) < rule.pulled_within_s:
        return "pulledWithin"
    if rule.pushed_within_s is not None and NOW_S - pushed_s < rule.pushed_within_s:
        return "pushedWithin"
    asked = (rule.most_recently_pulled_count, rule.most_recently_pushed_count)
    return "patterns" if not any(asked) and rule.pulled_within_s is rule.pushed_within_s is None else None


def _before(one: Candidate, one_s: float | None, other: Candidate, other_s: float) -> bool:
    return (-(one_s or 0), one.tag or one.digest) < (-other_s, other.tag or other.digest)


@given(candidates, st.lists(entries, min_size=1, max_size=3))
def test_tags_are_kept_by_the_first_entry_that_matches(given: list[Candidate], keep: list[KeepTags]) -> None:
    """A tag is deleted only if no rule of its entry keeps it, or if it belongs to none."""

    def entry(tag: Tag) -> int | None:
        for i, each in enumerate(keep):
            if not each.patterns or any(re.search(pattern, tag) for pattern in each.patterns):
                return i
        return None

    def counts(each: Candidate) -> bool:
        return each.pushed_s is not None and not (each.tag or "").startswith("sha256-")

    expected = []
    for each in given:
        assert each.tag is not None
        mine = entry(each.tag)
        if not counts(each):
            reason = OF_ANOTHER_IMAGE if each.tag.startswith("sha256-") else NO_STATISTICS
            expected.append(RetentionDecision(each, keep=True, reason=reason))
        elif mine is None:
            expected.append(RetentionDecision(each, keep=False, reason=NO_PATTERN))
        else:
            group = [other for other in given if counts(other) and other.tag and entry(other.tag) == mine]
            rule = kept_by(each, group, keep[mine])
            expected.append(
                RetentionDecision(each, rule is not None, f"retained by {rule} policy" if rule else NO_TAG_RULE)
            )
    policy = RetentionRules(
        RetentionConfig(policies=(RetentionPolicyConfig(repositories=("**",), keep_tags=tuple(keep)),))
    ).of(APP)
    assert policy.tags(given, NOW_S) == expected


@given(candidates, st.builds(KeepUntaggedConfig, **rules))
def test_untagged_manifests_are_kept_by_the_same_rules(given: list[Candidate], keep: KeepUntaggedConfig) -> None:
    """An untagged manifest without statistics stays; another one is deleted only if no rule keeps it."""
    untagged = [each._replace(tag=None) for each in given]
    known = [each for each in untagged if each.pushed_s is not None]
    expected = []
    for each in untagged:
        rule = kept_by(each, known, keep)
        reason = f"retained by {rule} policy" if rule else NO_UNTAGGED_RULE
        expected.append(
            RetentionDecision(each, rule is not None, reason)
            if each in known
            else RetentionDecision(each, keep=True, reason=NO_STATISTICS)
        )
    policy = RetentionRules(
        RetentionConfig(policies=(RetentionPolicyConfig(repositories=("**",), keep_untagged=keep),))
    ).of(APP)
    assert policy.untagged(untagged, NOW_S) == expected


def test_without_rules_every_tag_stays_and_untagged_go() -> None:
    """A policy without `keepTags` decides nothing about tags; without any policy untagged manifests go."""
    one = candidate("v1", 1, 1)
    for each in (policies(), RetentionRules(RetentionConfig())):
        assert each.of(APP).tags([one], NOW_S) == []
        untagged = one._replace(tag=None)
        assert each.of(APP).untagged([untagged], NOW_S) == [RetentionDecision(untagged, keep=False, reason=UNTAGGED)]
    assert policies(deleteUntagged=False).of(APP).untagged([one], NOW_S) == []


@given(st.lists(st.sampled_from(["team/*", "**", "other", "team/app"]), min_size=1))
def test_the_first_policy_that_matches_holds(patterns: list[str]) -> None:
    """Policies are tried in their order; beside policies none of which matches nothing is deleted."""
    listed = [
        {"repositories": [pattern], "keepTags": [{"patterns": [f"^{number}$"]}]}
        for number, pattern in enumerate(patterns)
    ]
    policy = RetentionRules(RetentionConfig.model_validate({"policies": listed})).of(APP)
    first = next((number for number, each in enumerate(patterns) if each != "other"), None)
    assert policy.delete_untagged == (first is not None)
    given = [candidate(str(number), 1, 1) for number in range(len(patterns))]
    kept = [int(each.candidate.tag or "") for each in policy.tags(given, NOW_S) if each.keep]
    assert kept == ([] if first is None else [first])
