# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Untrusted files: only regular files are opened, and reading one opens no other file."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import diffmpm as dm
import pytest
from diffmpm._files import read_file
from diffmpm.errors import MeshError

TETRAHEDRON = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipes_are_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.obj")
    (tmp_path / "link.obj").symlink_to("pipe.obj")
    for name in ("pipe.obj", "link.obj"):
        with pytest.raises(MeshError, match=rf"{name}' \(it is a named pipe, not a regular file\); check the path"):
            dm.load_mesh(tmp_path / name)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no devices on this system")
def test_devices_are_refused(tmp_path: Path) -> None:
    for device in ("/dev/zero", "/dev/tty"):
        link = tmp_path / f"{Path(device).name}.ply"
        link.symlink_to(device)
        with pytest.raises(MeshError, match=r"expected a readable file, got .* \(it is a device, not a regular file\)"):
            dm.load_mesh(link)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX") or sys.platform == "win32", reason="no sockets in folders")
def test_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.obj")
        with pytest.raises(MeshError, match=r"it is a socket, not a regular file"):
            dm.load_mesh("s.obj")


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text(TETRAHEDRON)
    (tmp_path / "b.obj").symlink_to("a.obj")
    assert dm.load_mesh(tmp_path / "b.obj").volume == pytest.approx(1 / 6)
    assert read_file(tmp_path / "b.obj").decode() == TETRAHEDRON


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is a folder, not a regular file"):
        read_file(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none")


def test_materials_beside_a_file_are_not_opened(tmp_path: Path) -> None:
    """Readers take bytes, so that no file named in the content is opened."""
    (tmp_path / "a.obj").write_text("mtllib a.mtl b.mtl\ncall c.obj\ncsh touch d\n" + TETRAHEDRON)
    for name in ("a.mtl", "b.mtl", "c.obj"):
        (tmp_path / name).mkdir()  # opening one would fail
    opened: list[str] = []
    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    assert dm.load_mesh(tmp_path / "a.obj").is_closed
    assert [name for name in opened if str(tmp_path) in name] == [str(tmp_path / "a.obj")]
    opened.clear()


def test_invalid_file_names(tmp_path: Path) -> None:
    for name in ("a\0b.obj", "x" * 5000 + ".obj"):
        with pytest.raises(MeshError, match="mesh: expected a readable file, got"):
            dm.load_mesh(name)
    with pytest.raises(MeshError, match="expected a built-in shape or a mesh file"):
        dm.load_mesh("x" * 5000)


def test_text_formats_need_no_other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trimesh", None)
    (tmp_path / "a.obj").write_text(TETRAHEDRON)
    assert dm.load_mesh(tmp_path / "a.obj").is_closed
