"""Packages are read from SPDX 2 and 3 and CycloneDX documents; what these have of other types is left out."""

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


SPDX_3: dict[str, Any] = {
    "@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld",
    "@graph": [
        {"type": "CreationInfo", "@id": "_:made", "specVersion": "3.0.1", "created": "2026-01-02T03:04:05Z"},
        {"type": "SpdxDocument", "spdxId": "urn:document", "creationInfo": "_:made", "name": "app"},
        {"type": "Tool", "spdxId": "urn:tool", "name": "maker"},
        {
            "type": "software_Package",
            "spdxId": "urn:one",
            "name": "one",
            "software_packageVersion": "1.1",
            "externalIdentifier": [{"externalIdentifierType": "packageUrl", "identifier": "pkg:npm/one@1.1"}],
        },
        {"type": "software_Package", "spdxId": "urn:two", "name": "two", "software_packageUrl": "pkg:npm/two"},
        {
            "type": "simplelicensing_LicenseExpression",
            "spdxId": "urn:mit",
            "simplelicensing_licenseExpression": "MIT",
        },
        {"type": "Relationship", "from": "urn:one", "relationshipType": "hasDeclaredLicense", "to": ["urn:mit"]},
        {"type": "Relationship", "from": "urn:two", "relationshipType": "dependsOn", "to": ["urn:one"]},
    ],
}


def test_packages_of_spdx_3_are_read() -> None:
    found = read_sbom(json.dumps(SPDX_3).encode())
    assert found is not None
    assert (found.format, found.subject, found.created, found.tools, found.total) == (
        "SPDX 3.0.1",
        "app",
        "2026-01-02T03:04:05Z",
        ("maker",),
        2,
    )
    assert found.packages == (Package("one", "1.1", "MIT", "pkg:npm/one@1.1"), Package("two", "", "", "pkg:npm/two"))


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, [1], [None], [[]], {"a": 1}, True])
def test_a_field_of_spdx_3_of_another_type_is_left_out(value: Any) -> None:
    """Whichever field of whichever element it is."""
    for number, element in enumerate(SPDX_3["@graph"]):
        for field in element:
            changed = [dict(each) for each in SPDX_3["@graph"]]
            changed[number][field] = value
            assert read_sbom(json.dumps(SPDX_3 | {"@graph": changed}).encode()) is not None


CYCLONEDX_XML = """<?xml version="1.0" encoding="UTF-8"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.6" version="1">
  <metadata>
    <timestamp>2026</timestamp>
    <tools><components><component type="application"><name>syft</name></component></components></tools>
    <component type="container"><name>app</name></component>
  </metadata>
  <components>
    <component type="library">
      <group>org</group><name>outer &amp; more</name><version>2</version><purl>pkg:maven/org/outer@2</purl>
      <components><component type="library"><name>inner</name>
        <licenses><license><id>MIT</id></license><license><name>Own</name></license></licenses></component></components>
    </component>
    <component/>
  </components>
</bom>"""


def test_packages_of_cyclonedx_as_xml_are_read_like_those_as_json() -> None:
    found = read_sbom(CYCLONEDX_XML.encode())
    assert found is not None
    assert (found.format, found.subject, found.created) == ("CycloneDX 1.6", "app", "2026")
    assert (found.tools, found.total) == (("syft",), 3)
    assert found.packages == (
        Package("org/outer & more", "2", "", "pkg:maven/org/outer@2"),
        Package("inner", "", "MIT AND Own", ""),
        Package("", "", "", ""),
    )
    older = '<bom xmlns="http://cyclonedx.org/schema/bom/1.2"><metadata><tools><tool><name>t</name></tool></tools></metadata></bom>'
    found = read_sbom(older.encode())
    assert found is not None
    assert (found.format, found.tools, found.total) == ("CycloneDX 1.2", ("t",), 0)


@pytest.mark.parametrize(
    "content",
    [
        "<bom/>",
        "<html></html>",
        CYCLONEDX_XML[:-20],
        CYCLONEDX_XML.replace("<bom", '<!DOCTYPE bom [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><bom', 1),
        CYCLONEDX_XML.replace("<bom", '<!DOCTYPE bom SYSTEM "file:///etc/passwd"><bom', 1),
        CYCLONEDX_XML.replace("UTF-8", "none-such"),
        CYCLONEDX_XML.replace("<component/>", "<component>" * 200 + "</component>" * 200),
        CYCLONEDX_XML.replace("<component/>", "<component/>" * 200_000),
    ],
    ids=["other", "page", "cut", "entities", "file", "encoding", "deep", "many"],
)
def test_other_xml_is_no_document(content: str) -> None:
    """Entities are not expanded, files not read, and a document of too many elements is not held."""
    assert read_sbom(content.encode()) is None


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
