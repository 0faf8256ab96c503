"""CycloneDX as XML, read without trust into what its JSON would be."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

_NAMESPACE = "http://cyclonedx.org/schema/bom/"
_DEPTH_LIMIT = 100
_ELEMENTS_LIMIT = 200_000
"""A file of 4 MiB could have a million, each with its own memory."""
_TEXT_LIMIT = 500
_LISTS = frozenset({"components", "licenses", "tools"})
"""Elements whose children are the entries of a list."""


class _NoDocumentError(Exception):
    """It is XML of another kind, or of more than a document has."""


def read_xml(content: bytes) -> dict[str, Any] | None:
    """Return the document as the object that its JSON is, None if it is none. Blocks: for a thread.

    Declarations of types and entities are refused, so that no entity is expanded and no file is read.
    """
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return None
    reader = _Reader()
    try:
        reader.parser.Parse(content, True)
    except (expat.ExpatError, _NoDocumentError, LookupError, ValueError):  # the last two: an unknown encoding
        return None
    return reader.document


class _Reader:
    """Builds the objects of a document while expat reads it."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"bomFormat": "CycloneDX"}
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._open: list[tuple[str, Any]] = []
        self._said = ""
        self._elements = 0

    def _refuse(self, *_: object) -> None:
        raise _NoDocumentError

    def _start(self, qualified: str, _attributes: dict[str, str]) -> None:
        namespace, _, name = qualified.rpartition(" ")
        self._elements += 1
        if len(self._open) >= _DEPTH_LIMIT or self._elements > _ELEMENTS_LIMIT:
            raise _NoDocumentError
        value: Any = [] if name in _LISTS else {}
        if not self._open:
            if name != "bom" or not namespace.startswith(_NAMESPACE):
                raise _NoDocumentError
            self.document["specVersion"] = namespace.removeprefix(_NAMESPACE)
            value = self.document
        self._open.append((name, value))
        self._said = ""

    def _text(self, said: str) -> None:
        self._said = (self._said + said)[:_TEXT_LIMIT]

    def _end(self, _: str) -> None:
        name, value = self._open.pop()
        if not self._open:
            return
        found = value if value or name in _LISTS else self._said.strip()
        _, parent = self._open[-1]
        if isinstance(parent, dict):
            parent.setdefault(name, found)
        elif name in _LISTS:  # the components among the tools
            parent += found
        elif name in {"license", "expression"}:
            parent.append({name: found})
        else:
            parent.append(value)
        self._said = ""
