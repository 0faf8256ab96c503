"""The paths of a server's databases, state files and sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from zot.config.state_directory import StateDirectory, socket_address
from zot.config.storage import CatalogConfig, StorageConfig


def test_the_catalog_is_below_the_main_root_by_default(tmp_path: Path) -> None:
    """By default all files are in `.zot` below the main root, except those with a place in zot's layout."""
    state = StateDirectory.of(StorageConfig(root_directory=str(tmp_path)))
    assert state.catalog_database == tmp_path / ".zot" / "catalog.db"
    assert state.control_socket == tmp_path / ".zot" / "control"
    assert (state.sessions, state.zot_metadata) == (tmp_path / "_sessions", tmp_path / "meta.db")


def test_relative_paths_become_absolute_and_keep_symlinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symlinks in paths are not resolved, since operators may swap them."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    state = StateDirectory.of(StorageConfig(root_directory="data", catalog=CatalogConfig(directory="link")))
    assert state.catalog == tmp_path / "link"
    assert state.sessions == tmp_path / "data" / "_sessions"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux has short paths to open directories")
def test_a_socket_in_a_deep_directory_can_be_reached(tmp_path: Path) -> None:
    """A long path gets a short address that leads to the same socket."""
    deep = tmp_path.joinpath(*["directory"] * 12)
    deep.mkdir(parents=True)
    path = deep / "control"
    address = socket_address(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(os.fspath(address))
    assert path.is_socket()
    assert socket_address(Path("/run/zot/control")) == Path("/run/zot/control")
