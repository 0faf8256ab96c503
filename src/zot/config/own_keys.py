"""The one table of the configuration keys that zot does not have.

Models, schema, reference documentation and `zot config --for-zot` are all made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from zot.config import default_limits

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class BeyondZot:
    """One key: where it is, what holds without it, what it means, and what is lost by going back to zot."""

    path: str
    default: object
    unit: str
    meaning: str
    lost: str
    default_text: str = ""

    @property
    def name(self) -> str:
        """The last part of the path: the key within its section."""
        return self.path.rpartition(".")[2]


KEYS = (
    BeyondZot(
        "storage.catalog", None, "object", "Where the catalog (tags, manifests, upload sessions) is kept.",
        "zot keeps meta.db and cache.db below rootDirectory.", "none",
    ),
    BeyondZot(
        "storage.catalog.directory", "", "path",
        "Directory of the catalog's database; a local disk, never NFS. Empty: `.zot` below `rootDirectory`.",
        "zot keeps meta.db and cache.db below rootDirectory.", "`<rootDirectory>/.zot`",
    ),
    BeyondZot(
        "storage.readOnly", False, "bool", "Refuse every push and delete, and run no garbage collection.",
        "Pushes and deletes are accepted again.",
    ),
    BeyondZot(
        "storage.minFreeBytes", 512 * MIB, "bytes",
        "Pushes are refused when less than this, or less than `minFreePercent`, is free on the disk.",
        "A full disk is no longer guarded against.", "512 MiB, or a tenth of a smaller disk",
    ),
    BeyondZot(
        "storage.minFreePercent", 1.0, "percent",
        "Pushes are refused when less than this share of the disk, or less than `minFreeBytes`, is free.",
        "A full disk is no longer guarded against.",
    ),
    BeyondZot(
        "storage.quotas", (), "list", "How many bytes repositories may hold, by pattern.",
        "Repositories may grow without limit.", "none",
    ),
    BeyondZot(
        "storage.quotas[].repositories", ..., "list of glob", "The repositories meant.",
        "Repositories may grow without limit.",
    ),
    BeyondZot(
        "storage.quotas[].bytes", ..., "bytes", "The bytes that these repositories may hold together.",
        "Repositories may grow without limit.",
    ),
    BeyondZot(
        "storage.quotas[].each", False, "bool", "Whether each of these repositories may hold that much by itself.",
        "Repositories may grow without limit.",
    ),
    BeyondZot(
        "http.workers", None, "processes",
        "Processes that answer requests; 0 puts the whole server into one process.",
        "zot is one process.", "one a core, at most 4; 0 below 2 cores or 512 MiB of memory",
    ),
    BeyondZot(
        "http.unixSocket", "", "path", "Listen on this Unix socket in place of `address` and `port`.",
        "The server listens on address and port.", "none",
    ),
    BeyondZot(
        "http.acceptSparse", False, "bool",
        "Accept images of which some config or layers are not in the repository.",
        "zot checks the config and layers of images, and of nothing else.",
    ),
    BeyondZot(
        "http.trustedProxies", (), "list of CIDR",
        "Peers whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host headers are believed.",
        "zot believes these headers from everybody where it uses them.", "none",
    ),
    BeyondZot(
        "http.drainTimeout", 25.0, "duration",
        "How long a stop may take: requests have all of it but 8 s, or half of it; exports have the rest.",
        "Requests under way are cut at once.", "25s",
    ),
    BeyondZot(
        "http.limits", None, "object", "Bounds on what a client may ask for.", "zot's fixed bounds hold.", "none",
    ),
    BeyondZot(
        "http.limits.maxManifestBytes", default_limits.MANIFEST_BYTES, "bytes",
        "Size of the largest manifest accepted.",
        "zot accepts 4 MiB.", "4 MiB",
    ),
    BeyondZot(
        "http.limits.maxHeaderBytes", default_limits.HEADER_BYTES, "bytes",
        "Length of the request line, and of each header field.",
        "zot accepts 1 MiB of headers.", "32 KiB",
    ),
    BeyondZot(
        "http.limits.maxPageSize", default_limits.PAGE_ENTRIES, "entries",
        "Most entries of a page of tags, repositories or referrers (`?n=`); the rest follows by Link.",
        "zot gives as many as `n` says.",
    ),
    BeyondZot(
        "http.limits.maxUploadsPerRepository", default_limits.UPLOADS_PER_REPOSITORY, "sessions",
        "Upload sessions that a user, or an address without login, has open at once in one repository.",
        "Sessions are not limited.",
    ),
    BeyondZot(
        "http.limits.maxConnections", None, "connections",
        "Connections that one process holds; beyond it idle ones are closed, and requests answered 503.",
        "Connections are not limited.", "what the limit of file descriptors allows",
    ),
    BeyondZot(
        "http.limits.minBytesPerSecond", default_limits.BYTES_PER_S, "bytes/s",
        "A client that sends or takes a body slower than this, on the average of a minute, is dropped.",
        "zot limits the total duration by readTimeout and writeTimeout.", "1 KiB/s",
    ),
    BeyondZot(
        "http.limits.headerTimeout", default_limits.HEADER_TIMEOUT_S, "duration",
        "How long a client may take to send the headers of a request.",
        "zot waits 5 s.", "5s",
    ),
    BeyondZot(
        "http.limits.idleTimeout", default_limits.IDLE_TIMEOUT_S, "duration",
        "How long a connection may stay open between two requests.",
        "zot waits 120 s.", "2m0s",
    ),
    BeyondZot(
        "http.accessControl.immutableTags", (), "list",
        "Tags that, once pushed, can be neither moved nor deleted.", "All tags can be moved and deleted.", "none",
    ),
    BeyondZot(
        "http.accessControl.immutableTags[].repositories", ..., "list of glob", "The repositories meant.",
        "All tags can be moved and deleted.",
    ),
    BeyondZot(
        "http.accessControl.immutableTags[].tags", (), "list of regex",
        "The tags meant, by regular expressions that match the whole tag; none means every tag.",
        "All tags can be moved and deleted.", "every tag",
    ),
    BeyondZot(
        "http.accessControl.immutableTags[].exceptGroups", (), "list",
        "Groups whose members may move and delete these tags all the same.", "All tags can be moved and deleted.",
        "none",
    ),
    BeyondZot(
        "log.format", None, "text | json", "`text` for people, `json` for programs (zot's fields).",
        "zot logs JSON.", "`text` on a terminal, else `json`",
    ),
)  # fmt: skip


@cache
def _by_path() -> dict[str, BeyondZot]:
    return {entry.path: entry for entry in KEYS}


def beyond_zot(path: str) -> BeyondZot:
    """Return the entry of the key at `path`; a path that is not in the table is a KeyError."""
    return _by_path()[path]
