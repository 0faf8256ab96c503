"""The configuration keys that zot does not have, in one table.

Models, schema, reference documentation and `zot config --for-zot` are derived from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from zot.config import default_limits

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class OwnKey:
    """A key that zot does not have. `lost` says how zot behaves instead."""

    path: str
    default: object
    unit: str
    meaning: str
    lost: str
    default_text: str = ""

    @property
    def name(self) -> str:
        """The name of the key within its section."""
        return self.path.rpartition(".")[2]


KEYS = (
    OwnKey(
        "storage.catalog", None, "object", "The catalog of tags, manifests and upload sessions.",
        "zot keeps meta.db and cache.db below rootDirectory.", "none",
    ),
    OwnKey(
        "storage.catalog.directory", "", "path",
        "Directory of the catalog's database; a local disk, never NFS. Empty: `.zot` below `rootDirectory`.",
        "zot keeps meta.db and cache.db below rootDirectory.", "`<rootDirectory>/.zot`",
    ),
    OwnKey(
        "storage.readOnly", False, "bool", "Refuse pushes and deletes, and do not collect garbage.",
        "Pushes and deletes are accepted again.",
    ),
    OwnKey(
        "storage.minFreeBytes", 512 * MIB, "bytes",
        "Refuse pushes when less than this, or less than `minFreePercent`, is free on the disk.",
        "Pushes are accepted until the disk is full.", "512 MiB, or a tenth of a smaller disk",
    ),
    OwnKey(
        "storage.minFreePercent", 1.0, "percent",
        "Refuse pushes when less than this share of the disk, or less than `minFreeBytes`, is free.",
        "Pushes are accepted until the disk is full.",
    ),
    OwnKey(
        "storage.quotas", (), "list", "Limits on the size of repositories, by pattern.",
        "Repositories may grow without limit.", "none",
    ),
    OwnKey(
        "storage.quotas[].repositories", ..., "list of glob", "The repositories that the entry applies to.",
        "Repositories may grow without limit.",
    ),
    OwnKey(
        "storage.quotas[].bytes", ..., "bytes", "The total size that these repositories may have.",
        "Repositories may grow without limit.",
    ),
    OwnKey(
        "storage.quotas[].each", False, "bool", "Apply the limit to each repository instead of to the total.",
        "Repositories may grow without limit.",
    ),
    OwnKey(
        "http.workers", None, "processes",
        "Processes that serve requests; 0 runs the whole server in one process.",
        "zot is one process.", "one per core, at most 4; 0 below 2 cores or 512 MiB of memory",
    ),
    OwnKey(
        "http.unixSocket", "", "path", "Unix socket to listen on, in place of `address` and `port`.",
        "The server listens on address and port.", "none",
    ),
    OwnKey(
        "http.acceptSparse", False, "bool",
        "Accept images whose config or layers are missing in the repository.",
        "zot checks the config and layers of images only.",
    ),
    OwnKey(
        "http.trustedProxies", (), "list of CIDR",
        "Peers whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host headers are trusted.",
        "zot trusts these headers from every client where it uses them.", "none",
    ),
    OwnKey(
        "http.drainTimeout", 25.0, "duration",
        "Longest duration of a shutdown: requests may use all but 8 s of it, or half; exports the rest.",
        "Running requests are aborted at once.", "25s",
    ),
    OwnKey(
        "http.limits", None, "object", "Limits on requests and connections.", "zot's fixed limits apply.", "none",
    ),
    OwnKey(
        "http.limits.maxManifestBytes", default_limits.MANIFEST_BYTES, "bytes",
        "Largest size of a manifest.",
        "zot accepts 4 MiB.", "4 MiB",
    ),
    OwnKey(
        "http.limits.maxHeaderBytes", default_limits.HEADER_BYTES, "bytes",
        "Longest request line, and longest header field.",
        "zot accepts 1 MiB of headers.", "32 KiB",
    ),
    OwnKey(
        "http.limits.maxPageSize", default_limits.PAGE_ENTRIES, "entries",
        "Most entries on a page of tags, repositories or referrers (`?n=`); Link leads to the next page.",
        "zot returns as many as `n` requests.",
    ),
    OwnKey(
        "http.limits.maxUploadsPerRepository", default_limits.UPLOADS_PER_REPOSITORY, "sessions",
        "Most open upload sessions of a user, or of an unauthenticated address, in one repository.",
        "Sessions are not limited.",
    ),
    OwnKey(
        "http.limits.maxConnections", None, "connections",
        "Most connections of one process; beyond it idle ones are closed and requests answered with 503.",
        "Connections are not limited.", "by the limit of file descriptors",
    ),
    OwnKey(
        "http.limits.minBytesPerSecond", default_limits.BYTES_PER_S, "bytes/s",
        "Disconnect a client whose transfer is slower than this on the average of a minute.",
        "zot limits the total duration by readTimeout and writeTimeout.", "1 KiB/s",
    ),
    OwnKey(
        "http.limits.headerTimeout", default_limits.HEADER_TIMEOUT_S, "duration",
        "Longest time for a client to send the headers of a request.",
        "zot waits 5 s.", "5s",
    ),
    OwnKey(
        "http.limits.idleTimeout", default_limits.IDLE_TIMEOUT_S, "duration",
        "Longest time that a connection stays open between two requests.",
        "zot waits 120 s.", "2m0s",
    ),
    OwnKey(
        "http.accessControl.immutableTags", (), "list",
        "Tags that, once pushed, can be neither moved nor deleted.", "All tags can be moved and deleted.", "none",
    ),
    OwnKey(
        "http.accessControl.immutableTags[].repositories", ..., "list of glob",
        "The repositories that the entry applies to.",
        "All tags can be moved and deleted.",
    ),
    OwnKey(
        "http.accessControl.immutableTags[].tags", (), "list of regex",
        "Regular expressions that match whole tags; none means every tag.",
        "All tags can be moved and deleted.", "every tag",
    ),
    OwnKey(
        "http.accessControl.immutableTags[].exceptGroups", (), "list",
        "Groups whose members may move and delete these tags.", "All tags can be moved and deleted.",
        "none",
    ),
    OwnKey(
        "extensions.ui.path", "", "path",
        "Folder of a build of zui, zot's interface, to serve in place of the pages. Read at the first visit.",
        "zot serves the zui that is built into it.", "the pages",
    ),
    OwnKey(
        "extensions.ui.layers", None, "object", "File lists of layers.", "zot shows no files of layers.", "none",
    ),
    OwnKey(
        "extensions.ui.layers.enable", True, "bool",
        "Show the files of layers and images in pages, from lists that are made when a page first asks.",
        "zot shows no files of layers.",
    ),
    OwnKey(
        "extensions.ui.layers.maxBytes", 512 * MIB, "bytes",
        "Size of `layers.db`, which keeps the lists; beyond it the lists that were not used for longest are removed.",
        "zot shows no files of layers.", "512 MiB",
    ),
    OwnKey(
        "extensions.events.sinks[].name", "", "text",
        "Name of the sink in commands and metrics, by which its position is kept.",
        "zot keeps no position.", "type, address and channel",
    ),
    OwnKey(
        "extensions.events.sinks[].types", (), "list",
        "Types of events to send, such as `image.updated`.", "zot sends events of all types.", "all",
    ),
    OwnKey(
        "extensions.events.sinks[].repositories", (), "list of glob",
        "The repositories of whose changes events are sent.", "zot sends events of all repositories.", "all",
    ),
    OwnKey(
        "extensions.events.sinks[].include", (), "list",
        "Causes of other changes to tell of: `collection`, `retention`, `import`, `merge`, `sync`, `scrub`.",
        "zot sends events of mirroring, and of no other background work.", "none",
    ),
    OwnKey(
        "extensions.events.sinks[].signingSecrets", (), "list",
        "http: secrets of the signatures in Standard Webhooks' headers; each one signs.",
        "zot does not sign events.", "none",
    ),
    OwnKey(
        "extensions.events.sinks[].jetStream", False, "bool",
        "nats: wait until a stream of JetStream has stored each event.", "zot publishes without waiting.",
    ),
    OwnKey(
        "extensions.events.sinks[].patience", 3600.0, "duration",
        "How long an event is sent again that the sink answers with errors, until it is a dead letter.",
        "zot sends each event once.", "1h",
    ),
    OwnKey(
        "log.format", None, "text | json", "`text` for operators, `json` for programs (zot's fields).",
        "zot logs JSON.", "`text` on a terminal, else `json`",
    ),
)  # fmt: skip


@cache
def _by_path() -> dict[str, OwnKey]:
    return {entry.path: entry for entry in KEYS}


def own_key_at(path: str) -> OwnKey:
    """Return the entry of the key at `path`; raise KeyError if the table has none."""
    return _by_path()[path]
