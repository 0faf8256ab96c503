"""The owner of a store: files that root creates in it would keep the owner's server from starting."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def owner_of(root: str) -> tuple[int, int] | None:
    """Return the ids of the user and group that own a store, or None if it does not exist.

    Where root owns the store's root, as it may own a mount point, the owner of `.zot` in it counts.
    """
    found = [path.stat() for path in (Path(root), Path(root, ".zot")) if path.exists()]
    if not found:
        return None
    status = next((each for each in found if each.st_uid != 0), found[0])
    return status.st_uid, status.st_gid


def other_user(root: str) -> str:
    """Return the name of a store's owner if this process runs as root and the owner is another user.

    Empty if the owner's server can use the files that this process creates.
    """
    owner = owner_of(root) if os.geteuid() == 0 else None
    return user_name(owner[0]) if owner is not None and owner[0] != 0 else ""


def give(path: str, owner: tuple[int, int]) -> None:
    """Change the owner of a directory and of all files in it. Raises OSError."""
    for directory, names, files in os.walk(path):
        for each in (directory, *(os.path.join(directory, name) for name in (*names, *files))):  # noqa: PTH118 - millions
            os.chown(each, *owner, follow_symlinks=False)


def user_name(number: int) -> str:
    """Return the name of a user, or the id as text if the user has no name."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
