"""`storage`: the stores of content, garbage collection, retention and quotas."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from zot.config.durations import Seconds
from zot.config.section import DriverOptions, Flag, Listed, Section, own_key, zot_key

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A daily period in UTC, in minutes since midnight; it spans midnight if it ends before it starts."""

    start_min: int
    end_min: int

    @classmethod
    def parse(cls, text: str) -> TimeWindow:
        """Parse `HH:MM-HH:MM`; raise ValueError with zot's message if it is invalid."""
        start, dash, end = text.partition("-")
        if not dash:
            raise ValueError(f'invalid gcTimeWindow "{text}", expected format "HH:MM-HH:MM"')
        window = cls(_time_of_day(start, text), _time_of_day(end, text))
        if window.start_min == window.end_min:
            raise ValueError(f'invalid gcTimeWindow "{text}": start and end of the window cannot be equal')
        return window

    def contains(self, minute: int) -> bool:
        """Tell whether a minute of the day (UTC) is in the window, whose end is exclusive."""
        if self.start_min < self.end_min:
            return self.start_min <= minute < self.end_min
        return minute >= self.start_min or minute < self.end_min

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.start_min, self.end_min))


def _time_of_day(text: str, window: str) -> int:
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text.strip(), re.ASCII)
    if not found:
        raise ValueError(f'invalid gcTimeWindow "{window}": invalid time "{text.strip()}", expected 24h format "HH:MM"')
    return int(found[1]) * 60 + int(found[2])


def _window(value: object) -> object:
    if isinstance(value, TimeWindow):
        return value
    if not isinstance(value, str):
        raise ValueError(f'invalid gcTimeWindow {value!r}, expected format "HH:MM-HH:MM"')  # noqa: TRY004 - pydantic's way
    return TimeWindow.parse(value) if value else None


Window = Annotated[
    TimeWindow | None,
    BeforeValidator(_window),
    PlainSerializer(lambda window: str(window or ""), return_type=str),
    WithJsonSchema({"type": "string"}),
]


class KeepUntaggedConfig(Section):
    """The rules by which a retention policy keeps untagged manifests; one that keeps it is enough."""

    pulled_within_s: Seconds | None = zot_key("pulledWithin", None, doc="Keep if pulled or pushed within this time.")
    pushed_within_s: Seconds | None = zot_key("pushedWithin", None, doc="Keep if pushed within this time.")
    most_recently_pushed_count: int = zot_key(
        "mostRecentlyPushedCount", 0, doc="Keep this many of the most recently pushed; 0: rule not used."
    )
    most_recently_pulled_count: int = zot_key(
        "mostRecentlyPulledCount", 0, doc="Keep this many of the most recently pulled; 0: rule not used."
    )


class KeepTags(KeepUntaggedConfig):
    """Tags that a retention policy keeps: they match `patterns` and, if there are rules, one of the rules."""

    patterns: Listed[str] = zot_key("patterns", (), doc="Regular expressions of tags; none means every tag.")


class RetentionPolicyConfig(Section):
    """A retention policy; the first one that matches a repository applies."""

    repositories: Listed[str] = zot_key("repositories", (), doc="Globs of the repositories that the policy applies to.")
    delete_referrers: Flag = zot_key("deleteReferrers", False, doc="Delete referrers without their subject.")
    delete_untagged: Flag = zot_key("deleteUntagged", True, doc="Delete manifests that no tag and no index references.")
    keep_tags: Listed[KeepTags] = zot_key(
        "keepTags", (), doc="Tags to keep; other tags are deleted. None: every tag is kept."
    )
    keep_untagged: KeepUntaggedConfig | None = zot_key(
        "keepUntagged", None, doc="Untagged manifests to keep despite `deleteUntagged`."
    )


class RetentionConfig(Section):
    """Retention: tags and manifests that garbage collection deletes by policy."""

    dry_run: Flag = zot_key("dryRun", False, doc="Only log what would be deleted.", reload=True)
    delay_s: Seconds = zot_key(
        "delay",
        HOUR_S,
        doc="Age at which untagged manifests and referrers are deleted. Default: that of `gcDelay`.",
        reload=True,
    )
    policies: Listed[RetentionPolicyConfig] = zot_key(
        "policies", (), doc="The policies, by repository pattern.", reload=True
    )


class StoreConfig(Section):
    """The keys that the main store and sub-paths share."""

    root_directory: str = zot_key("rootDirectory", "", doc="Directory of the store; local even with a `storageDriver`.")
    dedupe: Flag = zot_key(
        "dedupe", True, doc="Store equal blobs of several repositories once, by hard links.", reload=True
    )
    remote_cache: Flag = zot_key(
        "remoteCache",
        False,
        doc="Keep the catalog in `cacheDriver`. Default: true with `postgres`, or `dedupe` and a `storageDriver`.",
    )
    gc: Flag = zot_key("gc", True, doc="Collect garbage periodically.", reload=True)
    gc_delay_s: Seconds = zot_key(
        "gcDelay", HOUR_S, doc="Age at which unreferenced blobs and uploads are deleted.", reload=True
    )
    gc_interval_s: Seconds = zot_key(
        "gcInterval", HOUR_S, doc="Interval between collections; 0: once at start.", reload=True
    )
    gc_time_window: Window = zot_key(
        "gcTimeWindow", None, doc="`HH:MM-HH:MM` in UTC during which collections may start; empty: always.", reload=True
    )
    commit: Flag = zot_key(
        "commit",
        True,
        doc="Make pushes durable before they are acknowledged. zot's default is false; here false must be set to "
        "trade safety for speed.",
    )
    redirect_blob_url: Flag = zot_key(
        "redirectBlobURL", False, doc="Redirect blob downloads to signed URLs of the object store.", reload=True
    )
    retention: RetentionConfig = zot_key(
        "retention", RetentionConfig.model_construct(), doc="Tags and manifests to delete by policy."
    )
    storage_driver: DriverOptions = zot_key(
        "storageDriver",
        None,
        doc="`name` (`s3`, `gcs`, `azure`) and parameters of an object store; absent: the file system.",
    )
    cache_driver: DriverOptions = zot_key(
        "cacheDriver",
        None,
        doc="`name` (`redis`, `postgres`, `dynamodb`) and parameters of a shared catalog; absent: embedded.",
    )


class SubPathConfig(StoreConfig):
    """A separate store for the repositories below a route; `gc` and `dedupe` are off by default."""

    dedupe: Flag = zot_key(
        "dedupe", False, doc="Store equal blobs of several repositories once, by hard links.", reload=True
    )
    gc: Flag = zot_key("gc", False, doc="Collect garbage periodically.", reload=True)


class CatalogConfig(Section):
    """The embedded catalog."""

    directory: str = own_key("storage.catalog.directory")


class QuotaConfig(Section):
    """A limit on the size of a set of repositories."""

    repositories: Listed[str] = own_key("storage.quotas[].repositories")
    limit_bytes: int = own_key("storage.quotas[].bytes")
    each: Flag = own_key("storage.quotas[].each")


class StorageConfig(StoreConfig):
    """The main store."""

    max_repos: int = zot_key("maxRepos", 0, doc="Most repositories; further ones are refused. 0: no limit.")
    fast_restart: Flag = zot_key(
        "fastRestart",
        False,
        doc="Every start is fast, whatever the size of the store. With an object store: look for the work of other "
        "programs in known repositories an hour after the start, not at once.",
    )
    sub_paths: dict[str, SubPathConfig] = zot_key(
        "subPaths", {}, doc="Stores for the repositories below a route, such as `/team-a`."
    )
    catalog: CatalogConfig = own_key("storage.catalog", default=CatalogConfig.model_construct())
    read_only: Flag = own_key("storage.readOnly")
    min_free_bytes: int = own_key("storage.minFreeBytes")
    min_free_percent: float = own_key("storage.minFreePercent")
    quotas: Listed[QuotaConfig] = own_key("storage.quotas", reload=True)
