# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Untrusted archives and particle files: sizes are checked first, and only regular files are opened."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from diffmpm import export
from diffmpm.errors import CheckpointError, ConfigError, MeshError
from diffmpm.render import read_transforms


def npy(head: str, body: bytes = b"") -> bytes:
    text = head.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + body


def archive(path: Path, content: bytes, copies: int = 1) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for k in range(copies):
            file.writestr(f"x{k}.npy", content)
    return path


def test_bombs_are_not_inflated(tmp_path: Path) -> None:
    count = 11 << 20
    bomb = npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({count},), }}", bytes(8 * count))
    path = archive(tmp_path / "a.npz", bomb, copies=12)
    del bomb
    assert path.stat().st_size < 2 << 20
    tracemalloc.start()
    with pytest.raises(
        CheckpointError, match=r"expected arrays of at most 1 GiB beyond the size of the file, got 1\.0"
    ):
        export.read_npz(path)
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "head",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -2), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '|V0', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<f8'}",
        "not a header",
    ],
)
def test_headers_must_match_the_size(tmp_path: Path, head: str) -> None:
    path = archive(tmp_path / "a.npz", npy(head, bytes(16)))
    with pytest.raises(CheckpointError, match=r"archive: expected a complete \.npz file, got .*a\.npz"):
        export.read_npz(path)


def test_compressed_archives_and_all_layouts_are_read(tmp_path: Path) -> None:
    arrays = {
        "c": np.arange(12.0).reshape(3, 4),
        "f": np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
        "big": np.arange(3, dtype=">f4"),
        "empty": np.zeros((0, 3)),
        "scalar": np.array(3),
        "text": np.array("abc"),
        "flags": np.array([True, False]),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    arrays_read = export.read_npz(tmp_path / "a.npz")
    assert list(arrays_read) == list(arrays)
    for name, expected in arrays.items():
        np.testing.assert_array_equal(arrays_read[name], expected)
        assert arrays_read[name].dtype == expected.dtype
        assert arrays_read[name].flags.writeable
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    assert list(export.decode_npz(stream.getvalue())) == list(arrays)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipes_are_refused(tmp_path: Path) -> None:
    for name in ("a.npz", "a.ply", "a.json"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match="it is a named pipe, not a regular file"):
        export.read_npz(tmp_path / "a.npz")
    with pytest.raises(MeshError, match="it is a named pipe, not a regular file"):
        export.read_ply(tmp_path / "a.ply")
    with pytest.raises(ConfigError, match="it is a named pipe, not a regular file"):
        read_transforms(tmp_path / "a.json")
