"""Packages are read from SPDX and CycloneDX documents; what these have of other types is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extensions.ui.artifacts import spdx
from zot.extensions.ui.sbom import PACKAGES_LIMIT, Package, read_sbom


def test_packages_of_spdx_are_read() -> None:
    found = read_sbom(spdx(2))
    assert found is not None
    assert (found.format, found.subject, found.created, found.tools) == (
        "SPDX 2.3",
        "app",
        "2026-01-02T03:04:05Z",
        ("Tool: maker",),
    )
    assert found.packages[1] == Package("package-1", "1.1", "MIT", "pkg:npm/package-1@1.1")
    assert found.total == 2


def test_packages_of_cyclonedx_are_read_with_those_within_them() -> None:
    inner = {"name": "inner", "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "Own"}}]}
    outer = {"group": "org", "name": "outer", "version": "2", "purl": "pkg:maven/org/outer@2", "components": [inner]}
    metadata = {"timestamp": "2026", "component": {"name": "app"}, "tools": {"components": [{"name": "syft"}]}}
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [outer], "metadata": metadata}
    found = read_sbom(json.dumps(document).encode())
    assert found is not None
    assert (found.format, found.subject, found.tools, found.total) == ("CycloneDX 1.6", "app", ("syft",), 2)
    assert found.packages == (
        Package("org/outer", "2", "", "pkg:maven/org/outer@2"),
        Package("inner", "", "MIT AND Own", ""),
    )


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [1], [None], [[]], {"a": 1}, True, 1e400])
@pytest.mark.parametrize("field", ["name", "versionInfo", "licenseDeclared", "externalRefs"])
def test_a_field_of_another_type_is_left_out(field: str, value: Any) -> None:
    document = {"spdxVersion": "SPDX-2.3", "packages": [{"name": "a", field: value}], "creationInfo": value}
    found = read_sbom(json.dumps(document).replace("Infinity", "1e99").encode())
    assert found is not None
    assert found.total == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b'{"spdxVersion": 1}',
        b'{"bomFormat": "x"}',
        b'{"spdxVersion":"S","packages":1}',
        b"[" * 100_000,
        b'{"bomFormat":"CycloneDX","components":' + b'[{"components":' * 50_000,
        b'{"a":' * 100_000,
    ],
)
def test_other_content_is_no_document(content: bytes) -> None:
    assert read_sbom(content) is None


def test_a_document_of_too_many_lists_is_none() -> None:
    assert read_sbom(b'{"spdxVersion":"S","creationInfo":[' + b"[]," * 200_000 + b"0]}") is None


def test_a_large_document_is_cut() -> None:
    found = read_sbom(json.dumps({"spdxVersion": "S", "packages": [{"name": "a"}] * (PACKAGES_LIMIT + 5)}).encode())
    assert found is not None
    assert (len(found.packages), found.total) == (PACKAGES_LIMIT, PACKAGES_LIMIT + 5)
