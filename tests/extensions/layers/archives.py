"""Layers for tests: archives of files, compressed in each way."""

from __future__ import annotations

import gzip
import io
import json
import sys
import tarfile
from collections.abc import Iterable, Iterator
from typing import Any

from layout.images import CONFIG, MANIFEST, Image, sha256

TAR = "application/vnd.oci.image.layer.v1.tar"


def entry(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return an entry of an archive; `fields` are attributes of its header."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def directory(name: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return the entry of a directory."""
    return entry(name, type=tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    """Return the entry of a symlink, or of a hard link."""
    return entry(name, type=kind, linkname=target)


def archive(*entries: tuple[tarfile.TarInfo, bytes], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a plain archive."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tar_format, errors="surrogateescape") as made:
        for info, content in entries:
            made.addfile(info, io.BytesIO(content))
    return output.getvalue()


def files(**contents: str) -> bytes:
    """Return an archive of text files: `_` of a name is `/`."""
    return archive(*(entry(name.replace("_", "/"), text.encode()) for name, text in contents.items()))


def zstd(content: bytes) -> bytes:
    """Compress by zstd."""
    if sys.version_info >= (3, 14):
        from compression import zstd as library
    else:
        from backports import zstd as library
    compressed: bytes = library.compress(content)
    return compressed


def compressed(content: bytes, how: str) -> bytes:
    """Compress as `none`, `gzip` or `zstd`."""
    match how:
        case "gzip":
            return gzip.compress(content)
        case "zstd":
            return zstd(content)
        case _:
            return content


def chunks(content: bytes, size: int = 1000) -> Iterator[bytes]:
    """Yield content in pieces."""
    return (content[start : start + size] for start in range(0, len(content), size))


def layered(name: str, layers: Iterable[bytes]) -> Image:
    """Return an image of some layers, the lowest first."""
    held = list(layers)
    history = [{"created_by": f"layer {number}"} for number in range(1, len(held) + 1)]
    config = json.dumps({"os": "linux", "architecture": "amd64", "name": name, "history": history}).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": TAR, "digest": sha256(each), "size": len(each)} for each in held],
    }
    return Image(json.dumps(document).encode(), MANIFEST, (config, *held))
