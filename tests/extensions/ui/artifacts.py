"""Artifacts as `oras attach` makes them, and documents that they carry."""

from __future__ import annotations

import base64
import json
from typing import Any

from layout.images import MANIFEST, Image, sha256

EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"


def artifact(kind: str, name: str, content: bytes, media_type: str, subject: Image | None = None) -> Image:
    """Return an artifact of one file, attached to an image if there is one."""
    layer = {"mediaType": media_type, "digest": sha256(content), "size": len(content), "annotations": {TITLE: name}}
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": EMPTY, "digest": sha256(b"{}"), "size": 2},
        "layers": [layer],
        "annotations": {"org.opencontainers.image.created": "2026-01-02T03:04:05Z"},
    }
    if subject is not None:
        document["subject"] = subject.descriptor()
    return Image(json.dumps(document).encode(), MANIFEST, (b"{}", content))


def readme(text: str, subject: Image | None = None) -> Image:
    """Return a README."""
    return artifact("text/markdown", "README.md", text.encode(), "text/markdown", subject)


def spdx(packages: int, name: str = "package") -> bytes:
    """Return an SPDX document."""
    listed = [
        {
            "name": f"{name}-{number}",
            "versionInfo": f"1.{number}",
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "MIT",
            "externalRefs": [{"referenceType": "purl", "referenceLocator": f"pkg:npm/{name}-{number}@1.{number}"}],
        }
        for number in range(packages)
    ]
    created = {"created": "2026-01-02T03:04:05Z", "creators": ["Tool: maker"]}
    document = {"spdxVersion": "SPDX-2.3", "name": "app", "creationInfo": created, "packages": listed}
    return json.dumps(document).encode()


def statement(predicate_type: str, predicate: Any, name: str = "app") -> bytes:
    """Return an in-toto statement."""
    subject = [{"name": name, "digest": {"sha256": "ab" * 32}}]
    document = {"_type": "https://in-toto.io/Statement/v1", "subject": subject}
    return json.dumps(document | {"predicateType": predicate_type, "predicate": predicate}).encode()


def envelope(content: bytes) -> bytes:
    """Return a statement in a DSSE envelope with one signature."""
    payload = base64.b64encode(content).decode()
    document = {"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": [{"sig": "x"}]}
    return json.dumps(document).encode()
