"""The store of which zot's answers were recorded: invented images, the same bytes each time."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from functools import cache
from typing import Any

from extensions.search.rig import Registry
from zot.oci.digest import digest_of
from zot.oci.names import Repository

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
SIGNED = ("team/api:latest", "team/web:latest", "team/worker:latest", "library/debian:12")

Document = dict[str, Any]
Files = dict[str, bytes]

_PACKAGES = {
    "bash": "5.2.15-2+b7",
    "curl": "7.88.1-10+deb12u5",
    "libssl3": "3.0.11-1~deb12u2",
    "openssl": "3.0.11-1~deb12u2",
    "tar": "1.34+dfsg-1.2+deb12u1",
    "zlib1g": "1:1.2.13.dfsg-1",
    "libc6": "2.36-9+deb12u4",
    "coreutils": "9.1-1",
}
_SOURCES = {"libssl3": "openssl", "zlib1g": "zlib", "libc6": "glibc"}
_ALPINE = {"busybox": "1.36.1-r29", "libssl3": "3.3.1-r0", "musl": "1.2.5-r0", "zlib": "1.3.1-r1"}
_APPS = (
    ("team/api", "debian"),
    ("team/web", "debian"),
    ("team/worker", "alpine"),
    ("payments/gateway", "debian"),
    ("payments/ledger", "alpine"),
    ("ml/trainer", "debian"),
    ("ml/serving", "debian"),
    ("infra/proxy", "alpine"),
    ("infra/dns", "alpine"),
)


class RecordedStore:
    """Pushes everything, in the order of the recording."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._pushed: dict[tuple[str, str], bytes] = {}

    async def fill(self) -> None:
        """Push bases, applications, tools, artifacts, what refers to them, and signatures."""
        for kind, tags in (("debian", ("12", "12-slim", "12.5")), ("alpine", ("3.20", "3.20.1", "latest"))):
            tells = described(kind, f"The {kind} base image.", vendor="Community")
            for number, tag in enumerate(tags):
                base_image = await self._image(
                    f"library/{kind}", "", kind=kind, created=day(number), more=0, tells=tells
                )
                await self._push(f"library/{kind}", base_image, tag)
        for number, (name, kind) in enumerate(_APPS):
            await self._application(name, kind, number * 10)
        labels = {"org.label-schema.vendor": "Label Vendor", "maintainer": "someone@example.org"}
        for name in ("tools/cli", "tools/lint", "deep/nested/path/to/image"):
            named = {"org.label-schema.name": name, **labels}
            for version in range(10):
                tool = await self._image(name, f"v{version}", created=day(200 + version), labels=named)
                await self._push(name, tool, f"v{version}")
        await self._push(
            "tools/cli", await self._image("tools/cli", "windows", os="windows", created=day(220)), "windows"
        )
        await self._artifacts()
        for name in ("data/etl", "team/mobile"):
            tells = described(name.rpartition("/")[2], f"{name} service")
            for version in range(12):
                service = await self._image(name, f"2.{version}", kind="alpine", created=day(50 + version), tells=tells)
                await self._push(name, service, f"2.{version}")
        for signed in SIGNED:
            await self._sign(*signed.split(":"))

    async def _application(self, name: str, kind: str, first_day: int) -> None:
        tells = described(name.rpartition("/")[2], f"Service {name}, built nightly.")
        for version in range(13):
            tag = "latest" if version == 12 else f"1.{version}.0"
            children = []
            for arch, variant in (("amd64", None), ("arm64", "v8")):
                child = await self._image(
                    name,
                    tag,
                    kind=kind,
                    arch=arch,
                    variant=variant,
                    files=_dependencies(kind, version),
                    created=day(first_day + version),
                    upgraded=version > 8,
                    tells=tells,
                )
                platform = {"os": "linux", "architecture": arch, **({"variant": variant} if variant else {})}
                children.append({**await self._push(name, child), "platform": platform})
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": children, "annotations": tells}
            await self._push(name, index, tag)

    async def _image(
        self,
        name: str,
        tag: str,
        *,
        kind: str = "debian",
        arch: str = "amd64",
        variant: str | None = None,
        files: Files | None = None,
        created: str,
        tells: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        more: int = 2,
        upgraded: bool = False,
        os: str = "linux",
    ) -> Document:
        """Return a manifest; its last layer has the tag, unless that is empty."""
        layers = [base(kind, arch, upgraded)]
        history: list[Document] = [
            {"created": created, "created_by": "/bin/sh -c #(nop) ADD rootfs.tar / ", "comment": ""},
            {"created": created, "created_by": 'CMD ["bash"]', "empty_layer": True},
        ]
        for number in range(more):
            path = f"opt/app/{name.replace('/', '_')}_{number}.bin"
            content = hashlib.sha256(f"{name}{number}{arch}".encode()).digest() * (1000 * (number + 1))
            layers.append(layer({path: content} | ((files or {}) if number == 0 else {})))
            made = f"RUN /bin/sh -c make install-part{number} # buildkit"
            history.append({"created": created, "created_by": made, "comment": "buildkit.dockerfile.v0"})
        entrypoint = f'ENTRYPOINT ["/opt/app/{name.rpartition("/")[2]}"]'
        history.append({"created": created, "created_by": entrypoint, "empty_layer": True})
        if tag:
            layers.append(layer({"opt/version": (tag + arch).encode()}))
            history.append({"created": created, "created_by": f"COPY version={tag} /opt/version # buildkit"})
        config: Document = {
            "created": created,
            "author": "Team Build",
            "architecture": arch,
            "os": os,
            "config": {"Env": ["PATH=/usr/bin"], "Entrypoint": ["/opt/app/run"], "Labels": labels or {}},
            "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in layers]},
            "history": history,
            **({"variant": variant} if variant else {}),
        }
        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": await self._config(name, CONFIG, config),
            "layers": [descriptor(LAYER, content) for content, _ in layers],
            **({"annotations": tells} if tells else {}),
        }

    async def _artifacts(self) -> None:
        for version in ("0.1.0", "0.2.0", "1.0.0"):
            told = {"name": "shop", "version": version, "description": "A Helm chart"}
            config = {**told, "apiVersion": "v2", "appVersion": "1.0"}
            chart = f"apiVersion: v2\nname: shop\nversion: {version}\n".encode()
            content, _ = layer({"shop/Chart.yaml": chart, "shop/values.yaml": b"replicas: 1\n"})
            document = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": await self._config("charts/shop", "application/vnd.cncf.helm.config.v1+json", config),
                "layers": [descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", content)],
                "annotations": described("shop", "Helm chart of the shop"),
            }
            await self._push("charts/shop", document, version)
        weights = descriptor("application/vnd.cnai.model.weight.v1.raw", b"weights" * 1000)
        await self._artifact("models/tiny", "application/vnd.cnai.model.manifest.v1+json", weights, tag="v1")
        rule = descriptor("application/json", b'{"allow":true}')
        await self._artifact("policies/base", "application/vnd.example.policy.v1+json", rule, tag="v1")
        for name in ("team/api", "payments/gateway"):
            content = self._pushed[name, "latest"]
            subject = descriptor(INDEX, content)
            built, result = {"org.opencontainers.image.created": day(100)}, {"org.example.result": "pass"}
            spdx = descriptor("application/spdx+json", b'{"spdxVersion":"SPDX-2.3"}')
            await self._artifact(name, "application/spdx+json", spdx, subject, built)
            report = descriptor("application/json", b'{"passed":10}')
            await self._artifact(name, "application/vnd.example.testreport.v1", report, subject, result)
            for child in json.loads(content)["manifests"]:
                of = {key: child[key] for key in ("mediaType", "digest", "size")}
                bom = descriptor("application/vnd.cyclonedx+json", b'{"bomFormat":"CycloneDX"}')
                await self._artifact(name, "application/vnd.cyclonedx+json", bom, of)

    async def _artifact(
        self,
        name: str,
        artifact_type: str,
        payload: Document,
        subject: Document | None = None,
        annotations: Mapping[str, str] | None = None,
        tag: str = "",
    ) -> None:
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": artifact_type,
            "config": await self._config(name, EMPTY, {}),
            "layers": [payload],
            **({"subject": subject} if subject else {}),
            **({"annotations": annotations} if annotations else {}),
        }
        await self._push(name, document, tag)

    async def _sign(self, name: str, tag: str) -> None:
        """Push what has the form of a signature by cosign."""
        digest = digest_of(self._pushed[name, tag])
        payload = descriptor("application/vnd.dev.cosign.simplesigning.v1+json", digest.encode())
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": await self._config(name, CONFIG, {"architecture": "", "os": ""}),
            "layers": [payload],
        }
        await self._push(name, document, f"{digest.replace(':', '-')}.sig")

    async def _config(self, name: str, media_type: str, config: Document) -> Document:
        content = json.dumps(config).encode()
        await self._registry.storage.put(Repository(name), digest_of(content), content)
        return descriptor(media_type, content)

    async def _push(self, name: str, document: Document, tag: str = "") -> Document:
        content = json.dumps(document, separators=(",", ":")).encode()
        await self._registry.put_content(name, content, *([tag] if tag else []), by="admin")
        self._pushed[name, tag] = content
        return descriptor(document["mediaType"], content)


def descriptor(media_type: str, content: bytes) -> Document:
    """Return the descriptor of content."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def layer(files: Files) -> tuple[bytes, str]:
    """Return a layer with these files, and the digest of its archive."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), 1_700_000_000, 0o755
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), 6, mtime=0), digest_of(raw.getvalue())


@cache
def base(kind: str, arch: str, upgraded: bool) -> tuple[bytes, str]:
    """Return the layer of a base image, with the database of its packages."""
    return _debian(arch, upgraded) if kind == "debian" else _alpine({"amd64": "x86_64", "arm64": "aarch64"}[arch])


def _debian(arch: str, upgraded: bool) -> tuple[bytes, str]:
    status = ""
    for package, version in _PACKAGES.items():
        has = "3.0.15-1~deb12u1" if upgraded and package in {"openssl", "libssl3"} else version
        source = f"Source: {_SOURCES[package]}\n" if package in _SOURCES else ""
        status += (
            f"Package: {package}\nStatus: install ok installed\nPriority: required\nSection: utils\n"
            f"Maintainer: M <m@example.org>\nArchitecture: {arch}\n{source}Version: {has}\n"
            f"Description: {package}\n\n"
        )
    release = (
        b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n'
        b'VERSION="12 (bookworm)"\nID=debian\n'
    )
    return layer(
        {
            "etc/os-release": release,
            "etc/debian_version": b"12.5\n",
            "var/lib/dpkg/status": status.encode(),
            "usr/bin/filler": hashlib.sha256(arch.encode()).digest() * 4000,
        }
    )


def _alpine(arch: str) -> tuple[bytes, str]:
    installed = ""
    for package, version in _ALPINE.items():
        source = "openssl" if package == "libssl3" else package
        installed += f"P:{package}\nV:{version}\nA:{arch}\no:{source}\nL:MIT\n\n"
    release = b'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.1\nPRETTY_NAME="Alpine Linux v3.20"\n'
    return layer(
        {"etc/alpine-release": b"3.20.1\n", "etc/os-release": release, "lib/apk/db/installed": installed.encode()}
    )


def _dependencies(kind: str, version: int) -> Files:
    if kind == "debian":
        return _python("flask", "2.2.0" if version < 6 else "2.3.3") | _python("requests", "2.31.0")
    lock = {
        "name": "a",
        "lockfileVersion": 3,
        "packages": {"": {"dependencies": {"lodash": "4.17.15"}}, "node_modules/lodash": {"version": "4.17.15"}},
    }
    return {"app/package-lock.json": json.dumps(lock).encode()}


def _python(name: str, version: str) -> Files:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n"
    return {f"usr/lib/python3/dist-packages/{name}-{version}.dist-info/METADATA": metadata.encode()}


def day(number: int) -> str:
    """Return a day of 2026, at nine."""
    return (dt.datetime(2026, 1, 1, 9, tzinfo=dt.UTC) + dt.timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


def described(title: str, text: str, vendor: str = "Example Corp") -> dict[str, str]:
    """Return the annotations that describe an image."""
    return {
        "org.opencontainers.image.title": title,
        "org.opencontainers.image.description": text,
        "org.opencontainers.image.vendor": vendor,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.source": f"https://git.example.org/{title}",
        "org.opencontainers.image.documentation": f"https://docs.example.org/{title}",
    }
