"""Translate errors of the file system into errors of the storage."""

from __future__ import annotations

import errno
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager

from zot.storage.interface import StorageError, StorageFullError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The disk, or a quota on it, is full."""
_REFUSED = {errno.EACCES, errno.EPERM}

NO_LINK = frozenset({errno.EMLINK, errno.EPERM, errno.EACCES, errno.EXDEV, errno.ENOTSUP, errno.ENOSYS})
"""Reasons for refusing a hard link: too many links, another owner, another disk, no links on this file system."""


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Raise an OSError of the block as a StorageError that names the operation and the path."""
    try:
        yield
    except OSError as error:
        raise as_storage_error(error, doing) from error


def as_storage_error(error: OSError, doing: str) -> StorageError:
    """Return the StorageError for an error of the file system."""
    path = f": {error.filename}" if error.filename else ""
    if error.errno in FULL:
        return StorageFullError(f"cannot {doing}: {error.strerror}{path}")
    if error.errno in _REFUSED:
        return StorageError(f"cannot {doing}: {error.strerror}{path} (running as {_user()})")
    return StorageError(f"cannot {doing}: {error.strerror or error}{path}")


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"
