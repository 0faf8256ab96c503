"""Attestations: what an in-toto statement says of its subjects, in an envelope or plain.

A statement is wrapped in a DSSE envelope, which a Sigstore bundle may wrap again; build tools also store it plain. No
signature is verified here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import msgspec

from zot.extensions.ui.json_fields import at, decode, first_text, objects, text

_ROWS_LIMIT = 200
_DIGESTS_LIMIT = 4


class StatementSubject(msgspec.Struct, frozen=True):
    """What a statement is about, or a material that a build used."""

    name: str
    digests: tuple[str, ...]


class Statement(msgspec.Struct, frozen=True):
    """An in-toto statement; an empty text: it does not say."""

    predicate_type: str
    subjects: tuple[StatementSubject, ...]
    """At most 200, as of the materials."""
    signatures: int
    """Signatures of the envelope, unverified."""
    builder: str
    build_type: str
    source: str
    """What the build was configured by."""
    started: str
    finished: str
    materials: tuple[StatementSubject, ...]
    predicate: bytes
    """As JSON: it may be a document itself, such as an SBOM."""


class _Envelope(msgspec.Struct):
    payload: str
    signatures: list[Any] = []


class _Bundle(msgspec.Struct):
    envelope: _Envelope = msgspec.field(name="dsseEnvelope")


class _Statement(msgspec.Struct):
    predicate_type: str = msgspec.field(name="predicateType")
    subject: Any = None
    predicate: msgspec.Raw = msgspec.Raw(b"{}")


def read_statement(content: bytes) -> Statement | None:
    """Return the statement that some JSON is or wraps, None if there is none. Blocks: for a thread.

    Of several lines with a document each, the first counts.
    """
    for document in (content, content.lstrip().partition(b"\n")[0]):
        bundle = decode(document, _Bundle)
        envelope = bundle.envelope if bundle is not None else decode(document, _Envelope)
        inner, signatures = document, 0
        if envelope is not None:
            inner, signatures = _payload(envelope), len(envelope.signatures)
        if (found := decode(inner, _Statement)) is not None:
            return _read(found, signatures)
    return None


def _payload(envelope: _Envelope) -> bytes:
    try:
        return base64.b64decode(envelope.payload)
    except (binascii.Error, ValueError):
        return b""


def _read(document: _Statement, signatures: int) -> Statement:
    predicate = bytes(document.predicate)
    fields = decode(predicate, dict[str, Any])
    definition, details = at(fields, "buildDefinition"), at(fields, "runDetails")
    metadata = at(details, "metadata") or at(fields, "metadata")
    parameters = at(definition, "externalParameters")
    return Statement(
        predicate_type=text(document.predicate_type),
        subjects=tuple(_subjects(document.subject)),
        signatures=signatures,
        builder=first_text(at(details, "builder", "id"), at(fields, "builder", "id")),
        build_type=first_text(at(definition, "buildType"), at(fields, "buildType")),
        source=first_text(
            at(fields, "invocation", "configSource", "uri"),
            at(parameters, "configSource", "uri"),
            at(parameters, "workflow", "repository"),
        ),
        started=first_text(at(metadata, "startedOn"), at(metadata, "buildStartedOn")),
        finished=first_text(at(metadata, "finishedOn"), at(metadata, "buildFinishedOn")),
        materials=tuple(_subjects(at(definition, "resolvedDependencies") or at(fields, "materials"))),
        predicate=predicate,
    )


def _subjects(values: object) -> Iterator[StatementSubject]:
    for each in objects(values, _ROWS_LIMIT):
        digests = each.get("digest")
        found = list(digests.items())[:_DIGESTS_LIMIT] if isinstance(digests, dict) else []
        name = first_text(each.get("name"), each.get("uri"))
        yield StatementSubject(name, tuple(text(f"{algorithm}:{text(encoded)}") for algorithm, encoded in found))
