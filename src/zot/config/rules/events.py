"""Rules of `extensions.events`."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from importlib.util import find_spec
from typing import TYPE_CHECKING

from zot.config.errors import ConfigProblem, ConfigWarning, Finding
from zot.config.rules import patterns as pattern_rules
from zot.config.urls import split_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zot.config.extensions import EventsConfig, SinkConfig

TYPES = ("repository.created", "image.updated", "image.deleted", "repository.removed", "blob.lost")
"""The types of events, as `zot.extensions.events` sends them, without the prefix `zotregistry.`."""
SOURCES = ("collection", "retention", "import", "merge", "sync", "scrub")
"""The causes of changes that no user made (`ChangeSource`)."""
SECRET_PREFIX = "whsec_"  # noqa: S105 (of Standard Webhooks)


def sinks(events: EventsConfig) -> Iterator[Finding]:
    """Check the sinks."""
    if events.enable and not events.sinks:
        yield ConfigWarning(
            "no events are sent: there are no sinks, and events can only be watched", "extensions.events.sinks"
        )
    names = Counter(sink.name for sink in events.sinks if sink.name)
    for i, sink in enumerate(events.sinks):
        path = f"extensions.events.sinks[{i}]"
        yield from _sink(sink, path)
        if names[sink.name] > 1:
            yield ConfigProblem(f"several sinks have the name {sink.name!r}", f"{path}.name", "a name for each")
        if events.enable and sink.type == "nats":
            if not sink.channel:
                yield ConfigProblem("channel field cannot be empty", f"{path}.channel", "the subject")
            if find_spec("nats") is None:
                yield ConfigProblem("a NATS sink needs an extra", f"{path}.type", "pip install 'zot-registry[nats]'")


def _sink(sink: SinkConfig, path: str) -> Iterator[Finding]:
    if not sink.address:
        yield ConfigProblem("address field cannot be empty", f"{path}.address", "the URL of the sink")
    elif sink.type == "http":
        url = split_url(sink.address)
        if url is None or url.scheme not in ("http", "https") or not url.hostname:
            yield ConfigProblem("the address is no URL of HTTP", f"{path}.address", "http://HOST/PATH or https://")
    if sink.timeout_s < 0:
        yield ConfigProblem("timeout cannot be negative", f"{path}.timeout")
    if sink.patience_s < 0:
        yield ConfigProblem("patience cannot be negative", f"{path}.patience")
    for each in sink.types:
        if each.removeprefix("zotregistry.") not in TYPES:
            yield ConfigProblem(f"there is no event type {each!r}", f"{path}.types", f"one of {', '.join(TYPES)}")
    for each in sink.include:
        if each not in SOURCES:
            yield ConfigProblem(f"there is no cause {each!r}", f"{path}.include", f"one of {', '.join(SOURCES)}")
    yield from pattern_rules.globs(sink.repositories, f"{path}.repositories", "the pattern cannot be compiled")
    if not all(_is_key(each.get_secret_value()) for each in sink.signing_secrets):
        yield ConfigProblem("a secret is not base64", f"{path}.signingSecrets", "text, or whsec_ and base64")
    for unknown in sink.model_extra or {}:
        yield ConfigWarning("unknown key, ignored", f"{path}.{unknown}")


def _is_key(secret: str) -> bool:
    """Tell whether a secret has a key: bytes in base64 after the prefix, else text."""
    if not secret.startswith(SECRET_PREFIX):
        return bool(secret)
    try:
        return bool(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except binascii.Error:
        return False
