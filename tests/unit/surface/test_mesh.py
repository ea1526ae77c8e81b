# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle meshes of a body, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest


@pytest.fixture(scope="module")
def ball() -> Any:
    return dm.surface.mesh(dm.sample("sphere", particles=3000).x)


def test_mesh_of_a_ball(ball: Any) -> None:
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.Trimesh(ball.vertices, ball.triangles, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(
        dm.shapes.make("sphere").volume, rel=0.05
    )  # 3,000 particles: noise and the kernel's blur
    np.testing.assert_allclose(np.linalg.norm(ball.normals, axis=1), 1.0, rtol=1e-12)
    outward = ball.vertices / np.linalg.norm(ball.vertices, axis=1, keepdims=True)
    assert np.einsum("vr,vr->v", outward, ball.normals).min() > 0.8


@pytest.mark.parametrize("suffix", dm.export.mesh.MESH_FORMATS)
def test_files_are_read_back(ball: Any, suffix: str, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    path = dm.export.write_mesh(tmp_path / f"ball{suffix}", ball.vertices, ball.triangles, ball.normals)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    mesh = trimesh.load(path, process=False, force="mesh")
    np.testing.assert_allclose(mesh.vertices, ball.vertices, atol=1e-5)  # text and float32
    np.testing.assert_array_equal(mesh.faces, ball.triangles)
    if suffix == ".obj":
        lines = [line.split()[1:] for line in path.read_text().splitlines() if line.startswith("vn ")]
        np.testing.assert_allclose(np.array(lines, dtype=float), ball.normals, atol=1e-5)
    else:
        assert (b"property double nx" if suffix == ".ply" else b'"NORMAL"') in path.read_bytes()
    bare = dm.export.write_mesh(tmp_path / f"bare{suffix}", ball.vertices, ball.triangles)
    assert bare.stat().st_size < path.stat().st_size


def test_parts_and_colors(ball: Any) -> None:
    x = dm.sample("sphere", particles=3000).x
    far = dm.sample("sphere", particles=1000).x * 0.7 + np.float32([5.0, 0.0, 0.0])
    both = np.concatenate([far, x])
    colors = np.concatenate([np.tile([1.0, 0.0, 0.0], (1000, 1)), np.tile([0.0, 0.0, 1.0], (3000, 1))])
    every = dm.surface.mesh(both, colors=colors)
    assert every.colors is not None and ball.colors is None
    left = every.vertices[:, 0] < 2.5
    np.testing.assert_allclose(every.colors[left], [[0.0, 0.0, 1.0]] * left.sum(), atol=1e-5)
    largest = dm.surface.mesh(both, colors=colors, islands="largest")
    assert largest.vertices[:, 0].max() < 2.5 and largest.triangles.max() == len(largest.vertices) - 1
    assert largest.colors is not None and len(largest.colors) == len(largest.normals) == len(largest.vertices)
    assert len(largest.triangles) < len(every.triangles)


@pytest.mark.parametrize("suffix", dm.export.mesh.MESH_FORMATS)
def test_files_hold_the_colors_of_vertices(ball: Any, suffix: str, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    colors = np.linspace(0.0, 1.0, 3 * len(ball.vertices)).reshape(-1, 3)
    path = dm.export.write_mesh(tmp_path / f"ball{suffix}", ball.vertices, ball.triangles, ball.normals, colors=colors)
    stored = trimesh.load(path, process=False, force="mesh").visual.vertex_colors[:, :3] / 255.0
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(stored, linear if suffix == ".glb" else colors, atol=1.01 / 255)
    with pytest.raises(dm.ConfigError, match="colors: expected shape"):
        dm.export.write_mesh(path, ball.vertices, ball.triangles, colors=colors[1:])


def test_wrong_arguments(ball: Any, tmp_path: Path) -> None:
    with pytest.raises(dm.ConfigError, match=r"resolution: expected a finite number from 0\.05 to 2, got 3"):
        dm.surface.mesh(np.eye(3), resolution=3)
    with pytest.raises(dm.ConfigError, match="resolution: expected a grid of at most"):
        dm.surface.mesh(np.zeros((20_000, 3)), resolution=0.05)
    with pytest.raises(dm.ConfigError, match="islands: expected one of all, largest, got 'some'"):
        dm.surface.mesh(np.eye(3), islands="some")  # type: ignore[arg-type]
    with pytest.raises(dm.ConfigError, match="at least two particles apart"):
        dm.surface.mesh(np.zeros((2, 3)))
    with pytest.raises(dm.ConfigError, match=r"path: expected a file ending in \.ply, \.obj, \.glb"):
        dm.export.write_mesh(tmp_path / "a.stl", ball.vertices, ball.triangles)
    with pytest.raises(dm.ConfigError, match=r"triangles: expected integers of shape \(T, 3\)"):
        dm.export.write_mesh(tmp_path / "a.ply", ball.vertices, ball.normals)
    with pytest.raises(dm.ConfigError, match="triangles: expected indices below 2"):
        dm.export.write_mesh(tmp_path / "a.ply", ball.vertices[:2], ball.triangles)
