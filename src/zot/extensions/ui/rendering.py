"""Renders pages: the templates, the values that they format, and the files that they link."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from urllib.parse import urlsplit

import jinja2
import msgspec

from zot.extensions.ui.addresses import Links
from zot.extensions.ui.media_type_names import known_type
from zot.maintenance.units import elapsed, size

ASSETS_PATH = "/ui/assets/"

_PACKAGE = "zot.extensions.ui"
_CONTENT_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_SCRIPTS = ("htmx.js", "zot.js")
_AGES = ((365 * 86400, "year"), (30 * 86400, "month"), (86400, "day"), (3600, "hour"), (60, "minute"))


class Asset(msgspec.Struct, frozen=True):
    """A file that pages link, by an address that changes with its content."""

    path: str
    content_type: str
    content: bytes
    compressed: bytes
    """The same, by gzip."""


class Renderer:
    """The templates and assets of all pages, loaded once."""

    def __init__(self) -> None:
        """Load both."""
        self._assets = {name: _asset(name, content) for name, content in _contents().items()}
        self.assets: Mapping[str, Asset] = {each.path: each for each in self._assets.values()}
        """By path."""
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader(_PACKAGE),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.globals |= {"url": Links(), "asset": lambda name: self._assets[name].path}
        environment.filters |= {
            "bytes": size,
            "short": short_digest,
            "iso": iso_time,
            "ago": age,
            "moment": moment,
            "span": elapsed,
            "cut": cut,
            "last_part": lambda name: name.rpartition("/")[2],
            "is_link": is_link,
            "known_type": known_type,
        }
        self._environment = environment

    def render(self, template: str, values: Mapping[str, object]) -> str:
        """Return a page. All text of clients is escaped."""
        return self._environment.get_template(template).render(values)


def _contents() -> dict[str, bytes]:
    folder = files(_PACKAGE) / "static"
    scripts = b"\n".join((folder / name).read_bytes() for name in _SCRIPTS)
    return {"style.css": (folder / "style.css").read_bytes(), "script.js": scripts}


def _asset(name: str, content: bytes) -> Asset:
    stem, _, kind = name.rpartition(".")
    mark = hashlib.sha256(content).hexdigest()[:16]
    compressed = gzip.compress(content, 9, mtime=0)
    return Asset(f"{ASSETS_PATH}{stem}.{mark}.{kind}", _CONTENT_TYPES[kind], content, compressed)


def short_digest(digest: str) -> str:
    """Return the beginning of a digest that people compare: twelve characters of its hash."""
    return digest.partition(":")[2][:12] or digest[:12]


def _datetime(at_ns: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(at_ns / 1e9, UTC)
    except (OverflowError, ValueError, OSError):  # a config may claim any time
        return None


def iso_time(at_ns: int) -> str:
    """Return a time in UTC by RFC 3339, to the second."""
    at = _datetime(at_ns)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at is not None else ""


def age(at_ns: int, now_s: float | None = None) -> str:
    """Return how long ago a time was, in its largest unit; the date if it is in the future."""
    at = _datetime(at_ns)
    if at is None:
        return "unknown"
    passed_s = (time.time() if now_s is None else now_s) - at_ns / 1e9
    if passed_s < -60:
        return at.strftime("%Y-%m-%d")
    for unit_s, name in _AGES:
        if passed_s >= unit_s:
            count = int(passed_s // unit_s)
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return "just now"


def moment(at_ns: int, now_s: float | None = None) -> str:
    """Return how long ago a time was, or how long it is until then."""
    left_s = at_ns / 1e9 - (time.time() if now_s is None else now_s)
    return f"in {elapsed(left_s)}" if left_s >= 1 else age(at_ns, now_s)


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text, with an ellipsis if there are more."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def is_link(text: str) -> bool:
    """Return whether a text of a client is the address of a web page, and nothing that a browser would run."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)
