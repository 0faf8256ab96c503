"""Software bills of materials: the packages that an SPDX or a CycloneDX document names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from zot.extensions.ui.cyclonedx_xml import read_xml
from zot.extensions.ui.json_fields import at, decode, first_text, objects, text

PACKAGES_LIMIT = 20_000
"""Packages of a document that are kept."""
_LIST_LIMIT = 8
_DEPTH_LIMIT = 16
_SPDX_3 = "https://spdx.org/rdf/3."
_LICENSES_3 = ("hasConcludedLicense", "hasDeclaredLicense")
_NO_LICENSE = frozenset({"NOASSERTION", "NONE"})


class Package(msgspec.Struct, frozen=True):
    """A package of a document; an empty text: the document does not say."""

    name: str
    version: str = ""
    license: str = ""
    purl: str = ""
    """The package URL: ecosystem, name and version in one."""


class Sbom(msgspec.Struct, frozen=True):
    """A document."""

    format: str
    """With its version: `SPDX 2.3`."""
    subject: str
    """What it describes, by its own words."""
    created: str
    tools: tuple[str, ...]
    packages: tuple[Package, ...]
    """At most `PACKAGES_LIMIT`."""
    total: int
    """How many the document has."""


class _SpdxPackage(msgspec.Struct):
    name: Any = ""
    version: Any = msgspec.field(default="", name="versionInfo")
    concluded: Any = msgspec.field(default="", name="licenseConcluded")
    declared: Any = msgspec.field(default="", name="licenseDeclared")
    references: Any = msgspec.field(default=(), name="externalRefs")


class _Spdx(msgspec.Struct):
    version: str = msgspec.field(name="spdxVersion")
    name: Any = ""
    packages: list[_SpdxPackage] = []
    creation: Any = msgspec.field(default=None, name="creationInfo")


class _Spdx3(msgspec.Struct):
    context: str = msgspec.field(name="@context")
    elements: list[dict[str, Any]] = msgspec.field(name="@graph")


class _Component(msgspec.Struct):
    name: Any = ""
    group: Any = ""
    version: Any = ""
    purl: Any = ""
    licenses: Any = ()
    components: list[_Component] = []


class _CycloneDx(msgspec.Struct):
    format: str = msgspec.field(name="bomFormat")
    version: Any = msgspec.field(default="", name="specVersion")
    components: list[_Component] = []
    metadata: Any = None


def read_sbom(content: bytes) -> Sbom | None:
    """Return the document that some JSON or XML is, None if it is none. Blocks: for a thread."""
    if (document := read_xml(content)) is not None:
        return _cyclone(msgspec.convert(document, _CycloneDx))
    spdx = decode(content, _Spdx)
    if spdx is not None:
        return _spdx(spdx)
    graph = decode(content, _Spdx3)
    if graph is not None:
        return _spdx_3(graph.elements) if graph.context.startswith(_SPDX_3) else None
    cyclone = decode(content, _CycloneDx)
    return _cyclone(cyclone) if cyclone is not None and cyclone.format == "CycloneDX" else None


def _spdx(document: _Spdx) -> Sbom:
    creators = at(document.creation, "creators")
    return Sbom(
        format=text(document.version).replace("SPDX-", "SPDX "),
        subject=text(document.name),
        created=text(at(document.creation, "created")),
        tools=tuple(text(each) for each in creators[:_LIST_LIMIT]) if isinstance(creators, list) else (),
        packages=tuple(_spdx_package(each) for each in document.packages[:PACKAGES_LIMIT]),
        total=len(document.packages),
    )


def _spdx_package(package: _SpdxPackage) -> Package:
    licenses = (each for each in (text(package.concluded), text(package.declared)) if each not in _NO_LICENSE)
    purls = (
        text(each.get("referenceLocator"))
        for each in objects(package.references, _LIST_LIMIT)
        if each.get("referenceType") == "purl"
    )
    return Package(text(package.name), text(package.version), first_text(*licenses), first_text(*purls))


def _spdx_3(elements: list[dict[str, Any]]) -> Sbom:
    """Return what a graph of elements says, which name each other by `spdxId`."""
    of_type: dict[str, list[dict[str, Any]]] = {}
    by_id: dict[str, dict[str, Any]] = {}
    for each in elements:
        of_type.setdefault(text(each.get("type")), []).append(each)
        by_id.setdefault(text(each.get("spdxId")) or text(each.get("@id")), each)
    licenses = _spdx_3_licenses(of_type.get("Relationship", ()), by_id)
    document = next(iter(of_type.get("SpdxDocument", ())), {})
    made = document.get("creationInfo")
    creation = made if isinstance(made, dict) else by_id.get(text(made), {})
    packages = of_type.get("software_Package", [])
    return Sbom(
        format=f"SPDX {text(creation.get('specVersion')) or 3}",
        subject=text(document.get("name")),
        created=text(creation.get("created")),
        tools=tuple(text(each.get("name")) for each in of_type.get("Tool", [])[:_LIST_LIMIT]),
        packages=tuple(
            _spdx_3_package(each, licenses.get(text(each.get("spdxId")), {})) for each in packages[:PACKAGES_LIMIT]
        ),
        total=len(packages),
    )


def _spdx_3_licenses(
    relationships: Iterable[dict[str, Any]], by_id: dict[str, dict[str, Any]]
) -> dict[str, dict[str, str]]:
    """Return the licenses of elements: what the relationship is called, and the expression."""
    found: dict[str, dict[str, str]] = {}
    for each in relationships:
        kind, to = text(each.get("relationshipType")), each.get("to")
        if kind in _LICENSES_3 and isinstance(to, list) and to:
            license_ = by_id.get(text(to[0]), {})
            expression = first_text(license_.get("simplelicensing_licenseExpression"), license_.get("name"))
            found.setdefault(text(each.get("from")), {})[kind] = expression
    return found


def _spdx_3_package(package: dict[str, Any], licenses: dict[str, str]) -> Package:
    said = (each for each in (licenses.get(kind, "") for kind in _LICENSES_3) if each not in _NO_LICENSE)
    purls = (
        each.get("identifier")
        for each in objects(package.get("externalIdentifier"), _LIST_LIMIT)
        if each.get("externalIdentifierType") == "packageUrl"
    )
    return Package(
        text(package.get("name")),
        text(package.get("software_packageVersion")),
        first_text(*said),
        first_text(package.get("software_packageUrl"), *purls),
    )


def _cyclone(document: _CycloneDx) -> Sbom:
    tools = at(document.metadata, "tools")
    packages: list[Package] = []
    total = 0
    for each in _flat(document.components):
        total += 1
        if len(packages) < PACKAGES_LIMIT:
            packages.append(_cyclone_package(each))
    return Sbom(
        format=f"CycloneDX {text(document.version)}".strip(),
        subject=text(at(document.metadata, "component", "name")),
        created=text(at(document.metadata, "timestamp")),
        tools=tuple(text(each.get("name")) for each in objects(at(tools, "components") or tools, _LIST_LIMIT)),
        packages=tuple(packages),
        total=total,
    )


def _flat(components: Iterable[_Component], depth: int = 0) -> Iterator[_Component]:
    """Yield components with those within them."""
    for each in components:
        yield each
        if depth < _DEPTH_LIMIT:
            yield from _flat(each.components, depth + 1)


def _cyclone_package(component: _Component) -> Package:
    group, name = text(component.group), text(component.name)
    licenses = (
        first_text(each.get("expression"), at(each, "license", "id"), at(each, "license", "name"))
        for each in objects(component.licenses, _LIST_LIMIT)
    )
    return Package(
        f"{group}/{name}" if group else name,
        text(component.version),
        " AND ".join(each for each in licenses if each),
        text(component.purl),
    )
