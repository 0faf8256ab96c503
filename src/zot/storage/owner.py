"""Whose a store is: what root makes in the store of another user keeps that user's server from starting."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def owner_of(root: str) -> tuple[int, int] | None:
    """Return the user and group that a store belongs to, by their numbers; None if it is not there yet.

    Where the root belongs to root, as a mount point may, it is the server's own directory that tells.
    """
    found = [path.stat() for path in (Path(root), Path(root, ".zot")) if path.exists()]
    if not found:
        return None
    status = next((each for each in found if each.st_uid != 0), found[0])
    return status.st_uid, status.st_gid


def other_user(root: str) -> str:
    """Return the name of the user that a store belongs to if this process is root's and that user is another.

    Empty: files that this process makes are usable there.
    """
    owner = owner_of(root) if os.geteuid() == 0 else None
    return user_name(owner[0]) if owner is not None and owner[0] != 0 else ""


def give(path: str, owner: tuple[int, int]) -> None:
    """Give a directory, with all that is in it, to a user and group. Raises OSError."""
    for directory, names, files in os.walk(path):
        for each in (directory, *(os.path.join(directory, name) for name in (*names, *files))):  # noqa: PTH118 - millions
            os.chown(each, *owner, follow_symlinks=False)


def user_name(number: int) -> str:
    """Return the name of a user, or the number of one without a name."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
