"""What a manifest keeps from collection."""

from __future__ import annotations

from zot.catalog.manifest_commands import Edge
from zot.oci.digest import Digest
from zot.oci.manifest import Descriptor, Manifest


def edges(manifest: Manifest, *, sparse: bool = False) -> tuple[Edge, ...]:
    """Return what a manifest keeps from collection, each digest once; `sparse`: none of its blobs need be there."""

    def edge(descriptor: Descriptor, *, child: bool = False, optional: bool = False) -> Edge:
        return Edge(Digest(descriptor.digest), descriptor.media_type, descriptor.size, child, optional)

    found = {
        **{each.digest: edge(each, child=True) for each in manifest.children},
        **{each.digest: edge(each, optional=True) for each in manifest.elsewhere},
        **{each.digest: edge(each, optional=sparse) for each in manifest.blobs},
    }
    return tuple(found.values())
