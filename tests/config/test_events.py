"""The keys of events agree with what the extension knows, and wrong ones are named."""

from __future__ import annotations

from typing import Any

import pytest

from zot.config.errors import ConfigurationError
from zot.config.load import load_tree
from zot.config.rules.events import SOURCES, TYPES
from zot.extensions.events.event import EventType
from zot.extensions.events.event_filter import OPTIONAL, PREFIX

HTTP = {"type": "http", "address": "http://h/x"}
NATS = {"type": "nats", "address": "nats://h", "channel": "c"}


def load(*sinks: dict[str, Any]) -> None:
    """Load a configuration with these sinks."""
    load_tree({"storage": {"rootDirectory": "/x"}, "extensions": {"events": {"enable": True, "sinks": list(sinks)}}})


def test_types_and_sources_are_those_of_events() -> None:
    """The rules name every type and every source that can be asked for."""
    assert [PREFIX + each for each in TYPES] == list(EventType)
    assert tuple(map(str, OPTIONAL)) == SOURCES


def test_right_keys_are_accepted() -> None:
    """Types with and without prefix, globs, secrets of both forms."""
    load(
        {**HTTP, "name": "a", "types": ["zotregistry.image.updated", "image.deleted"], "repositories": ["a/**"]},
        {**HTTP, "name": "b", "include": ["sync"], "signingSecrets": ["whsec_b25l", "text"]},
        {**NATS, "jetStream": True, "patience": "10m"},
        NATS,
    )


@pytest.mark.parametrize(
    ("sink", "problem"),
    [
        ({**HTTP, "address": ""}, "sinks[0].address: the URL"),
        ({**HTTP, "address": "ftp://h"}, "the address is no URL of HTTP"),
        ({**HTTP, "types": ["image.eaten"]}, "there is no event type 'image.eaten'"),
        ({**HTTP, "include": ["client"]}, "there is no cause 'client'"),
        ({**HTTP, "repositories": ["[a"]}, "the pattern cannot be compiled: [a"),
        ({**HTTP, "signingSecrets": ["whsec_?"]}, "a secret is not base64"),
        ({**HTTP, "timeout": "-1s"}, "timeout cannot be negative"),
        ({**HTTP, "patience": "-1s"}, "patience cannot be negative"),
        ({**NATS, "channel": ""}, "channel field cannot be empty"),
    ],
)
def test_wrong_keys_are_named(sink: dict[str, Any], problem: str) -> None:
    """Each problem is told with the path of its key, and never with a secret."""
    with pytest.raises(ConfigurationError) as caught:
        load(sink)
    assert problem in str(caught.value)
    assert "whsec_" not in str(caught.value).replace("text, or whsec_ and base64", "")


def test_names_are_unique() -> None:
    """Two sinks of one name would share a position."""
    with pytest.raises(ConfigurationError, match="several sinks have the name 'a'"):
        load({**HTTP, "name": "a"}, {**NATS, "name": "a"})
