# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import errno
import json
import os

import numpy as np
import pytest
from diffmpm import export
from diffmpm.errors import CheckpointError, ConfigError, MeshError, OutputError
from diffmpm.export import atomic
from numpy.testing import assert_array_equal


@pytest.fixture
def full_disk(monkeypatch):
    def write(path, content):
        path.write_bytes(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic, "_write", write)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ply_round_trip(tmp_path, dtype):
    x = np.random.default_rng(0).standard_normal((7, 3)).astype(dtype)
    red = np.arange(7, dtype=np.uint8)
    export.write_ply(tmp_path / "a.ply", x, {"red": red, "det": x[:, 0] ** 2})
    back = export.read_ply(tmp_path / "a.ply")
    assert_array_equal(back["x"], x)
    assert_array_equal(back["red"], red)
    assert_array_equal(back["det"], x[:, 0] ** 2)
    assert back["x"].dtype == dtype


def test_ply_is_read_by_trimesh(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    x = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    export.write_ply(tmp_path / "a.ply", x)
    assert_array_equal(np.asarray(trimesh.load(tmp_path / "a.ply").vertices, np.float32), x)


def test_ply_sequence_replaces_the_folder_as_a_whole(tmp_path):
    frames = [np.full((3, 3), float(k)) for k in range(3)]
    export.write_ply_sequence(tmp_path / "ply", frames)
    export.write_ply_sequence(tmp_path / "ply", frames[:2])
    names = sorted(path.name for path in (tmp_path / "ply").iterdir())
    assert names == ["diffmpm.json", "frame_0000.ply", "frame_0001.ply"]
    assert [path.name for path in tmp_path.iterdir()] == ["ply"]


def test_npz_round_trip(tmp_path):
    export.write_npz(tmp_path / "a.npz", x=np.arange(3), n=4)
    back = export.read_npz(tmp_path / "a.npz")
    assert_array_equal(back["x"], np.arange(3))
    assert int(back["n"]) == 4


def test_json_converts_numpy_types_and_nan(tmp_path):
    export.write_json(tmp_path / "a.json", {"a": np.float32(0.5), "b": [np.arange(2)], "c": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 0.5, "b": [[0, 1]], "c": None}


def test_full_disk_leaves_the_old_file(tmp_path, full_disk):
    (tmp_path / "a.npz").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"could not write .*a.npz.*No space left on device.*free some space"):
        export.write_npz(tmp_path / "a.npz", x=np.arange(3))
    assert (tmp_path / "a.npz").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_full_disk_leaves_the_old_folder(tmp_path, monkeypatch, request):
    export.write_ply_sequence(tmp_path / "ply", [np.zeros((2, 3))])
    request.getfixturevalue("full_disk")
    with pytest.raises(OutputError, match="No space left on device"):
        export.write_ply_sequence(tmp_path / "ply", [np.ones((2, 3))])
    assert_array_equal(export.read_ply(tmp_path / "ply" / "frame_0000.ply")["x"], np.zeros((2, 3)))
    assert len(list(tmp_path.iterdir())) == 1


def test_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"out: expected a folder to write into, got .*file.*choose another one"):
        export.check_folder(tmp_path / "file" / "out")


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"red: expected shape \(2,\), got \(3,\)"):
        export.write_ply(tmp_path / "a.ply", np.zeros((2, 3)), {"red": np.zeros(3)})
    with pytest.raises(ConfigError, match="red: expected uint8, int32, float32 or float64, got int64"):
        export.write_ply(tmp_path / "a.ply", np.zeros((2, 3)), {"red": np.zeros(2, np.int64)})
    with pytest.raises(ConfigError, match=r"x: expected shape \(N, 3\)"):
        export.write_ply(tmp_path / "a.ply", np.zeros((3, 2)))
    (tmp_path / "b.npz").write_bytes(b"PK broken")
    with pytest.raises(CheckpointError, match=r"archive: expected a complete .npz file, got .*b.npz"):
        export.read_npz(tmp_path / "b.npz")
    with pytest.raises(CheckpointError, match=r"archive: expected a complete .npz file"):
        export.read_npz(tmp_path / "none.npz")


def test_damaged_ply_is_named(tmp_path):
    export.write_ply(tmp_path / "a.ply", np.zeros((4, 3)))
    (tmp_path / "a.ply").write_bytes((tmp_path / "a.ply").read_bytes()[:-5])
    with pytest.raises(MeshError, match="path: expected 4 particles, got a truncated file"):
        export.read_ply(tmp_path / "a.ply")
    (tmp_path / "b.ply").write_bytes(b"something else")
    with pytest.raises(MeshError, match="path: expected a binary little-endian PLY"):
        export.read_ply(tmp_path / "b.ply")
