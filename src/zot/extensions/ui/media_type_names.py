"""What readers call the media types of manifests and artifacts, and the types of attestations."""

from __future__ import annotations

from zot.oci import media_types

_NAMES = {
    media_types.IMAGE_MANIFEST: "image",
    media_types.IMAGE_INDEX: "index of images",
    media_types.DOCKER_MANIFEST: "image (Docker)",
    media_types.DOCKER_MANIFEST_LIST: "list of images (Docker)",
    media_types.IMAGE_CONFIG: "image",
    "application/vnd.cncf.helm.config.v1+json": "Helm chart",
    "application/vnd.dev.cosign.artifact.sig.v1+json": "cosign signature",
    "application/vnd.dev.sigstore.bundle.v0.3+json": "Sigstore bundle",
    "application/vnd.cncf.notary.signature": "Notation signature",
    "application/vnd.in-toto+json": "in-toto attestation",
    "application/vnd.cyclonedx+json": "SBOM (CycloneDX)",
    "application/vnd.cyclonedx+xml": "SBOM (CycloneDX)",
    "application/spdx+json": "SBOM (SPDX)",
    "text/spdx+json": "SBOM (SPDX)",
    "text/spdx": "SBOM (SPDX)",
    "application/sarif+json": "scan report (SARIF)",
    "application/vnd.openvex+json": "VEX document",
    "application/vnd.wasm.config.v0+json": "WebAssembly module",
    "application/vnd.cncf.openpolicyagent.config.v1+json": "Open Policy Agent bundle",
    "application/vnd.dev.cosign.simplesigning.v1+json": "cosign signature",
    "application/vnd.dsse.envelope.v1+json": "signed attestation (DSSE)",
    "application/vnd.dev.sigstore.bundle+json": "Sigstore bundle",
    "application/vnd.dev.sigstore.bundle.v0.1+json": "Sigstore bundle",
    "application/vnd.dev.sigstore.bundle.v0.2+json": "Sigstore bundle",
    "application/jose+json": "signature (JOSE)",
    "application/cose": "signature (COSE)",
    "text/markdown": "Markdown",
    "text/plain": "text",
    "application/json": "JSON",
    "application/octet-stream": "file",
    "https://slsa.dev/provenance/v0.2": "SLSA provenance",
    "https://slsa.dev/provenance/v1": "SLSA provenance",
    "https://spdx.dev/document": "SBOM (SPDX)",
    "https://cyclonedx.org/bom": "SBOM (CycloneDX)",
    "https://openvex.dev/ns": "VEX document",
    "application/vnd.oci.empty.v1+json": "artifact",
    "": "unknown",
}


def known_type(media_type: str) -> str:
    """Return what readers call a media type; one that has no name is its own."""
    return _NAMES.get(media_type.partition(";")[0].strip().lower(), media_type)
