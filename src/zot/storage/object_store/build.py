"""Build the storage in an object store from its options."""

from __future__ import annotations

from pathlib import Path

from zot.config.driver_options import S3
from zot.storage.object_store.local_locks import LocalLocks
from zot.storage.object_store.s3 import S3Objects
from zot.storage.object_store.storage import ObjectStorage
from zot.storage.threads import ThreadPools


def build(options: S3, pools: ThreadPools, locks: Path, expected: str | None) -> ObjectStorage:
    """Return the storage of a bucket. Its processes on this machine share the directory `locks`.

    `expected` is the identity that the store had before; None if it may be any.
    """
    objects = S3Objects(options, options.prefix)
    return ObjectStorage(
        objects, pools, LocalLocks(str(locks), pools.durable), expected=expected, chunk_bytes=options.chunk_bytes
    )
