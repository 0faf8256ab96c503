"""Statements are read from envelopes, bundles and plain files; nothing else is taken for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extensions.ui.artifacts import envelope, spdx, statement
from zot.extensions.ui.attestation import StatementSubject, read_statement
from zot.extensions.ui.sbom import read_sbom

OLD, NEW = "https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1"


def provenance() -> dict[str, Any]:
    """Return a predicate of SLSA 1."""
    material = {"uri": "git+https://example.org/app", "digest": {"gitCommit": "abc"}}
    return {
        "buildDefinition": {
            "buildType": "https://example.org/type",
            "resolvedDependencies": [material],
            "externalParameters": {"workflow": {"repository": "https://example.org/app"}},
        },
        "runDetails": {
            "builder": {"id": "https://example.org/builder"},
            "metadata": {"startedOn": "1", "finishedOn": "2"},
        },
    }


@pytest.mark.parametrize("wrap", ["plain", "envelope", "bundle", "lines"])
def test_a_provenance_is_read_from_each_wrapping(wrap: str) -> None:
    plain = statement(NEW, provenance())
    content = {
        "plain": plain,
        "envelope": envelope(plain),
        "bundle": json.dumps({"mediaType": "x", "dsseEnvelope": json.loads(envelope(plain))}).encode(),
        "lines": envelope(plain) + b"\n" + envelope(plain) + b"\n",
    }[wrap]
    found = read_statement(content)
    assert found is not None
    assert found.predicate_type == NEW
    assert found.subjects == (StatementSubject("app", ("sha256:" + "ab" * 32,)),)
    assert (found.builder, found.build_type) == ("https://example.org/builder", "https://example.org/type")
    assert (found.source, found.started, found.finished) == ("https://example.org/app", "1", "2")
    assert found.materials == (StatementSubject("git+https://example.org/app", ("gitCommit:abc",)),)
    assert found.signatures == (0 if wrap == "plain" else 1)


def test_a_provenance_of_the_older_form_is_read() -> None:
    predicate = {
        "builder": {"id": "b"},
        "buildType": "t",
        "invocation": {"configSource": {"uri": "s"}},
        "materials": [{"uri": "m", "digest": {"sha256": "1"}}],
        "metadata": {"buildStartedOn": "1"},
    }
    found = read_statement(statement(OLD, predicate))
    assert found is not None
    assert (found.builder, found.build_type, found.source, found.started) == ("b", "t", "s", "1")
    assert found.materials == (StatementSubject("m", ("sha256:1",)),)


def test_a_statement_may_carry_an_sbom() -> None:
    found = read_statement(statement("https://spdx.dev/Document", json.loads(spdx(3))))
    assert found is not None
    sbom = read_sbom(found.predicate)
    assert sbom is not None
    assert sbom.total == 3


@pytest.mark.parametrize(
    "predicate", [None, 1, [], "x", {"builder": []}, {"runDetails": {"builder": 1}}, {"materials": [1, {"digest": 1}]}]
)
def test_a_predicate_of_another_form_says_nothing(predicate: Any) -> None:
    found = read_statement(statement(NEW, predicate))
    assert found is not None
    assert found.builder == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\n\xff",
        b'{"payload": 1}',
        b'{"payload": "!"}',
        b'{"payload": "AAAA"}',
        b'{"payload": "e30="}',
        b'{"predicateType": 1}',
        b'{"predicateType":"x","predicate":' + b"[" * 100_000,
        b"{" * 100_000,
        spdx(1),
    ],
)
def test_other_content_is_no_statement(content: bytes) -> None:
    assert read_statement(content) is None
