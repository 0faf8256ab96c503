"""Real clients push, pull, list and delete as usual."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from uuid import uuid4

import pytest

from certificates import Authority
from clients import Clients
from interop.harness import USER, Site
from layout.images import CONFIG, INDEX, MANIFEST, Image, Layout, index, sha256
from servers.zot import ZotServer

pytestmark = pytest.mark.needs("skopeo", "crane", "oras", "regctl", "helm", "cosign")

GZIPPED = "application/vnd.oci.image.layer.v1.tar+gzip"


def tarred(name: str, content: bytes) -> bytes:
    """Return a tar archive of one file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def runnable(architecture: str = "amd64") -> Image:
    """Return an image that every client accepts, with an archive of one file as its layer."""
    archive = tarred("hello", architecture.encode())
    layer = gzip.compress(archive, mtime=0)
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(archive)]},
        }
    ).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": GZIPPED, "digest": sha256(layer), "size": len(layer)}],
    }
    return Image(json.dumps(document).encode(), MANIFEST, (config, layer))


AMD64, ARM64 = runnable(), runnable("arm64")


@pytest.fixture
def repo(site: Site) -> str:
    """A new repository, with the registry's host."""
    return f"{site.host}/interop/{uuid4().hex[:12]}"


@pytest.fixture
def layout(site: Site) -> Layout:
    """A layout with one image, tagged v1, and an index of two platforms, tagged multi."""
    made, multi = Layout(site.folder / "layout"), both()
    made.write(AMD64.descriptor("v1"), multi.descriptor("multi"))
    made.put(multi)
    return made


def both() -> Image:
    """Return an index of two platforms."""
    plain = index(AMD64, ARM64)
    document = json.loads(plain.content)
    for descriptor, architecture in zip(document["manifests"], ("amd64", "arm64"), strict=True):
        descriptor["platform"] = {"os": "linux", "architecture": architecture}
    return Image(json.dumps(document).encode(), INDEX, (), plain.children)


def test_skopeo(site: Site, repo: str, layout: Layout) -> None:
    """skopeo copies images and indexes to, from and within the registry, and lists, inspects and deletes."""
    source, target = f"oci:{layout.path}", f"docker://{repo}"
    site.run("skopeo", "copy", f"{source}:v1", f"{target}:v1")
    site.run("skopeo", "copy", "--all", f"{source}:multi", f"{target}:multi")
    inspected = json.loads(site.run("skopeo", "inspect", f"{target}:v1"))
    assert (inspected["Digest"], inspected["Architecture"]) == (AMD64.digest, "amd64")
    assert json.loads(site.run("skopeo", "list-tags", target))["Tags"] == ["multi", "v1"]
    site.run("skopeo", "copy", "--all", f"{target}:multi", f"docker://{repo}-copy:multi")
    site.run("skopeo", "copy", "--all", f"docker://{repo}-copy:multi", f"oci:{site.folder}/back:multi")
    assert Layout(site.folder / "back").tags() == {"multi": both().digest}
    site.run("skopeo", "delete", f"{target}:multi")
    site.run("skopeo", "delete", f"{target}:v1")
    assert "manifest unknown" in site.refused("skopeo", "inspect", f"{target}:v1")


def test_crane(site: Site, repo: str, layout: Layout) -> None:
    """crane pushes, tags, copies, lists, appends a layer, validates and pulls."""
    layout.write(AMD64.descriptor())
    site.run("crane", "push", layout.path, f"{repo}:v1")
    assert site.run("crane", "digest", f"{repo}:v1").strip() == AMD64.digest
    site.run("crane", "tag", f"{repo}:v1", "v2")
    site.run("crane", "copy", f"{repo}:v2", f"{repo}-copy:v2")
    assert site.run("crane", "ls", repo).split() == ["v1", "v2"]
    assert repo.partition("/")[2] in site.run("crane", "catalog", site.host).split()
    (site.folder / "layer.tar").write_bytes(tarred("more", b"content"))
    site.run("crane", "append", "--base", f"{repo}:v1", "-f", site.folder / "layer.tar", "-t", f"{repo}:v3")
    site.run("crane", "validate", "--remote", f"{repo}:v3")
    site.run("crane", "pull", "--format", "oci", f"{repo}-copy:v2", site.folder / "back")
    assert Layout(site.folder / "back").read_index()["manifests"][0]["digest"] == AMD64.digest
    site.run("crane", "delete", f"{repo}:v2")
    assert site.run("crane", "ls", repo).split() == ["v1", "v3"]


def test_oras(site: Site, repo: str) -> None:
    """oras pushes, attaches, discovers and pulls files."""
    content = bytes(range(256)) * 1000
    (site.folder / "data.bin").write_bytes(content)
    (site.folder / "sbom.json").write_text("{}")
    site.run("oras", "push", f"{repo}:v1", "--artifact-type", "application/example", "data.bin")
    site.run("oras", "attach", f"{repo}:v1", "--artifact-type", "application/sbom", "sbom.json")
    site.run("oras", "attach", f"{repo}:v1", "--artifact-type", "application/other", "sbom.json")
    command = ("oras", "discover", f"{repo}:v1", "--format", "json", "--artifact-type", "application/sbom")
    (found,) = json.loads(site.run(*command))["referrers"]
    assert found["artifactType"] == "application/sbom"
    site.run("oras", "tag", f"{repo}:v1", "v2")
    assert site.run("oras", "repo", "tags", repo).split() == ["v1", "v2"]
    site.run("oras", "pull", f"{repo}:v2", "--output", "back")
    assert (site.folder / "back" / "data.bin").read_bytes() == content
    site.run("oras", "pull", f"{repo}@{found['digest']}", "--output", "back")
    blob = f"{repo}@sha256:{hashlib.sha256(content).hexdigest()}"
    site.run("oras", "blob", "fetch", blob, "--output", "blob")
    assert (site.folder / "blob").read_bytes() == content
    site.run("oras", "manifest", "delete", "--force", f"{repo}:v1")
    assert "not found" in site.refused("oras", "pull", f"{repo}:v1")


def test_regctl(site: Site, repo: str, layout: Layout) -> None:
    """regctl copies an index with its referrers, deletes a tag without its manifest, and lists in pages."""
    site.run("regctl", "image", "copy", f"ocidir://{layout.path}:multi", f"{repo}:multi")
    assert site.run("regctl", "image", "digest", f"{repo}:multi").strip() == both().digest
    subject = ("regctl", "artifact", "put", "--artifact-type", "application/note", "--subject", f"{repo}:multi")
    site.run(*subject, stdin="a note")
    site.run("regctl", "image", "copy", "--referrers", f"{repo}:multi", f"{repo}-copy:multi")
    assert "application/note" in site.run("regctl", "artifact", "list", f"{repo}-copy:multi")
    for tag in ("a", "b", "c"):
        site.run("regctl", "image", "copy", f"{repo}:multi", f"{repo}:{tag}")
    assert site.run("regctl", "tag", "ls", "--limit", "2", "--last", "a", repo).split() == ["b", "c"]
    site.run("regctl", "tag", "delete", f"{repo}:multi")
    assert site.run("regctl", "tag", "ls", repo).split() == ["a", "b", "c"]
    assert site.run("regctl", "manifest", "head", f"{repo}@{both().digest}").strip() == both().digest
    assert repo.partition("/")[2] in site.run("regctl", "repo", "ls", site.host).split()
    digest = site.run("regctl", "blob", "put", repo, stdin="content").strip()
    assert site.run("regctl", "blob", "get", repo, digest) == "content"
    site.run("regctl", "blob", "delete", repo, digest)
    assert "not found" in site.refused("regctl", "blob", "head", repo, digest)


def test_helm(site: Site, repo: str) -> None:
    """helm pushes a chart, shows it, and pulls it unchanged."""
    chart = site.folder / "demo"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 0.1.0\n")
    (chart / "templates" / "map.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: demo}\n")
    site.clients.run("helm", "package", chart)
    site.run("helm", "push", "demo-0.1.0.tgz", f"oci://{repo}")
    assert "version: 0.1.0" in site.run("helm", "show", "chart", f"oci://{repo}/demo", "--version", "0.1.0")
    site.run("helm", "pull", f"oci://{repo}/demo", "--version", "0.1.0", "--destination", "..")
    assert (site.folder.parent / "demo-0.1.0.tgz").read_bytes() == (site.folder / "demo-0.1.0.tgz").read_bytes()


def test_cosign(site: Site, repo: str) -> None:
    """cosign signs an image, verifies it with the right key, and refuses another key."""
    site.client.push(repo.partition("/")[2], AMD64, "v1")
    image = f"{repo}@{AMD64.digest}"
    for name in ("own", "other"):
        site.clients.run("cosign", "generate-key-pair", "--output-key-prefix", name)
    site.run("cosign", "sign", "--key", "own.key", "--tlog-upload=false", "--yes", image)
    verify = ("cosign", "verify", "--insecure-ignore-tlog", image, "--key")
    assert AMD64.digest in site.run(*verify, "own.pub")
    assert "no matching signatures" in site.refused(*verify, "other.pub")
    (site.folder / "predicate.json").write_text('{"tested": true}')
    attest = ("cosign", "attest", "--key", "own.key", "--tlog-upload=false", "--yes")
    site.run(*attest, "--predicate", "predicate.json", "--type", "https://example.org/tested", image)
    attested = ("cosign", "verify-attestation", "--insecure-ignore-tlog", "--type", "https://example.org/tested")
    site.run(*attested, "--key", "own.pub", image)


def test_failed_authentication_is_reported(secure: ZotServer, authority: Authority, clients: Clients) -> None:
    """Each client reports that it is refused without a password or with a wrong one."""
    site = Site(secure.host, secure.client, Clients(clients.folder, authority.path), secure=True)
    image = f"{secure.host}/app:v1"
    for refused in (
        site.refused("skopeo", "inspect", f"docker://{image}"),
        site.refused("crane", "digest", image),
        site.refused("oras", "manifest", "fetch", image),
        site.refused("regctl", "manifest", "head", image),
        site.refused("helm", "pull", f"oci://{secure.host}/app", "--version", "1.0.0"),
        site.refused("skopeo", "login", "--username", USER, "--password", "wrong", site.host),
    ):
        assert re.search(
            "unauthorized|authentication required|basic credential not found|invalid username", refused, re.IGNORECASE
        )
