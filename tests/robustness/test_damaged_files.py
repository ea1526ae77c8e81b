# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Damaged files never crash, hang or exhaust the memory: they raise one package error that names the file."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import diffmpm as dm
import fuzz_files
import numpy as np
import pytest
from diffmpm import _core
from diffmpm.errors import CheckpointError, ConfigError, DiffMPMWarning, MeshError
from diffmpm.export import read_npz, read_ply
from diffmpm.morphing import MorphResult
from diffmpm.render import read_colmap, read_transforms

GROUPS = {
    "meshes": [*fuzz_files.MESHES],
    "results": [
        "particles",
        "archive",
        "diffmpm.json",
        "result.npz",
        "metrics.json",
        "config.json",
        "history.json",
        "frames/frame_0000.npz",
    ],
    "checkpoints": ["checkpoint", "checkpoint-signed"],
    "cameras": ["transforms", "cameras.bin", "images.bin", "cameras.txt", "images.txt"],
}


@pytest.mark.parametrize("group", GROUPS)
def test_damaged_files(tmp_path: Path, group: str, fuzz: int) -> None:
    if group == "meshes":
        pytest.importorskip("trimesh")
    arguments = [str(tmp_path), ",".join(GROUPS[group]), "0", str(20 * fuzz)]
    command = [sys.executable, fuzz_files.__file__, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    last = (tmp_path / "last").read_text()
    assert done.returncode == 0, f"exit status {done.returncode} at {last}: {done.stdout}{done.stderr}"
    assert "PROBLEM" not in done.stdout, done.stdout
    refused = [int(n) for n in re.findall(r" (\d+) refused", done.stdout)]
    assert len(refused) == len(GROUPS[group])
    assert min(refused) > fuzz, done.stdout  # the damage is effective


def test_no_allocation_for_parts_longer_than_the_file(tmp_path: Path) -> None:
    """The reader would take 4 GB for them first."""
    pytest.importorskip("trimesh")
    content = bytearray(fuzz_files._meshes()["glb"][1])
    at = 20 + int.from_bytes(content[12:16], "little")
    content[at : at + 4] = b"\xff\xff\xff\xff"
    (tmp_path / "long.glb").write_bytes(content)
    with pytest.raises(MeshError, match=r"long\.glb: expected a complete \.glb file, got one that ends early"):
        dm.load_mesh(tmp_path / "long.glb")


def test_every_case_is_in_a_group() -> None:
    assert sorted(case for group in GROUPS.values() for case in group) == sorted(fuzz_files.CASES)


def test_coordinates_out_of_range_are_named(tmp_path: Path) -> None:
    """Cell sizes would become infinite and indices arbitrary, which crashes the process."""
    box = dm.shapes.make("box")
    for value in (1e31, 1e300, -1e154):
        vertices = box.vertices.copy()
        vertices[3, 1] = value
        with pytest.raises(MeshError, match=r"mesh: expected coordinates below 1e\+30 and a size above 1e-30"):
            dm.load_mesh((vertices, box.triangles))
    with pytest.raises(MeshError, match=r"mesh: expected coordinates below 1e\+30 and a size above 1e-30"):
        dm.Mesh(box.vertices * 1e-40, box.triangles)
    with pytest.raises(MeshError, match="mesh: expected finite vertices"):
        dm.Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
    with pytest.raises(MeshError, match="box: expected"):
        box.transformed(1e300)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vertices": np.full((8, 3), np.nan)}, "vertices: expected finite numbers"),
        ({"origin": (0.0, np.inf, 0.0)}, "origin, spacing: expected finite numbers"),
        ({"spacing": 0.0}, "origin, spacing: expected finite numbers"),
        ({"dims": (-1, 2, 2)}, "dims: expected at most"),
    ],
)
def test_the_core_checks_arrays_that_would_crash_it(changes: dict[str, object], message: str) -> None:
    box = dm.shapes.make("box")
    arguments = {"vertices": box.vertices, "triangles": box.triangles, "origin": (0.0, 0.0, 0.0), "spacing": 0.1}
    arguments |= {"dims": (2, 2, 2), "jitter": 1.0, "seed": 0, **changes}
    with pytest.raises(ValueError, match=message):
        _core.sample_cells(**arguments)


@pytest.mark.parametrize("text", ["v 0 0\nv 1 0\nv 0 1\nv 2 2\nf 1 2 3\n", "v 1\nf 1 1 1\n", "v 1\nv 2\n"])
def test_vertex_arrays_of_different_lengths_do_not_crash(tmp_path: Path, text: str) -> None:
    (tmp_path / "flat.obj").write_text(text)
    with pytest.raises(MeshError, match=r"flat\.obj: line 1: expected three coordinates, got [12]"):
        dm.sample(tmp_path / "flat.obj", particles=10)


@pytest.mark.parametrize("line", ["element vertex nan", "element", "property uxhar x", "property list float x"])
def test_headers_of_particles_are_checked(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.ply"
    head = ["ply", "format binary_little_endian 1.0", "element vertex 0", "property float x", "property float y"]
    path.write_bytes("\n".join([*head, line, "end_header\n"]).encode())
    with pytest.raises(MeshError, match=r"path: expected a PLY of particles, got .*a\.ply' with another header"):
        read_ply(path)
    with pytest.raises(MeshError, match=r"path: expected a readable file, got .*none\.ply"):
        read_ply(tmp_path / "none.ply")


def test_zip_archives_without_arrays_are_named(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }\n"
        archive.writestr("x.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    with pytest.raises(CheckpointError, match=r"archive: expected a complete .npz file, got .*a\.npz"):
        read_npz(path)


def test_results_with_arrays_of_other_shapes_are_named(tmp_path: Path) -> None:
    folder = fuzz_files._morph(tmp_path)
    arrays = read_npz(folder / "result.npz")
    np.savez(folder / "result.npz", **{**arrays, "F": arrays["F"][:, 0]})
    (folder / "diffmpm.json").unlink()  # absent in earlier versions
    with (
        pytest.warns(DiffMPMWarning, match="is read without digests, as it has no diffmpm.json"),
        pytest.raises(
            CheckpointError, match=r"result: expected the complete files of a morph, but .*damaged.*F: expect"
        ),
    ):
        MorphResult.load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "path: expected a readable JSON file, got .*a.json"),
        ('{"frames": 3}', "path: expected a JSON file with a list 'frames', got .*a.json"),
        ('{"frames": [3]}', "path: expected complete cameras, got frame 0 of .*a.json: TypeError"),
        ('{"frames": [{"transform_matrix": 1, "w": "x", "h": 2}]}', "got frame 0 of .*a.json: ValueError"),
        ('{"fl_x": 1, "w": 2, "h": 0, "frames": [{"transform_matrix": [[0]]}]}', "frame 0 of .*a.json"),
    ],
)
def test_transforms_with_other_content_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_transforms(tmp_path / "a.json")
    with pytest.raises(ConfigError, match="width: expected an integer from 1 to 32768, got 'x'"):
        read_transforms(tmp_path / "a.json", width="x")  # type: ignore[arg-type]


def test_colmap_without_orientation_is_named(tmp_path: Path) -> None:
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 8 6 9 9 4 3\n")
    (tmp_path / "images.txt").write_text("1 0 0 0 0 0 0 4 1 a.png\n\n")
    with pytest.raises(
        ConfigError, match=r"path: expected a complete COLMAP model, got .*the orientation .* of 'a.png'"
    ):
        read_colmap(tmp_path)
