# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Triangle meshes of a body, and their files."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest


@pytest.fixture(scope="module")
def ball() -> Any:
    pytest.importorskip("skimage", reason="scikit-image is not installed; pip install 'diffmpm[mesh]'")
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


@pytest.mark.parametrize("kind", dm.export.mesh.MESH_FORMATS)
def test_files_are_read_back(ball: Any, kind: str, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    path = dm.export.write_mesh(tmp_path / f"ball{kind}", ball.vertices, ball.triangles, ball.normals)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    mesh = trimesh.load(path, process=False, force="mesh")
    np.testing.assert_allclose(mesh.vertices, ball.vertices, atol=1e-5)  # text and float32
    np.testing.assert_array_equal(mesh.faces, ball.triangles)
    if kind == ".obj":
        lines = [line.split()[1:] for line in path.read_text().splitlines() if line.startswith("vn ")]
        np.testing.assert_allclose(np.array(lines, dtype=float), ball.normals, atol=1e-5)
    else:
        assert (b"property double nx" if kind == ".ply" else b'"NORMAL"') in path.read_bytes()
    bare = dm.export.write_mesh(tmp_path / f"bare{kind}", ball.vertices, ball.triangles)
    assert bare.stat().st_size < path.stat().st_size


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    find = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("skimage"):
            raise ImportError(name)
        return find(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(dm.MissingPackageError, match=r"scikit-image: needed .* pip install 'diffmpm\[mesh\]'"):
        dm.surface.mesh(np.eye(3))


def test_wrong_arguments(ball: Any, tmp_path: Path) -> None:
    with pytest.raises(dm.ConfigError, match=r"resolution: expected a finite number from 0\.05 to 2, got 3"):
        dm.surface.mesh(np.eye(3), resolution=3)
    with pytest.raises(dm.ConfigError, match="resolution: expected a grid of at most"):
        dm.surface.mesh(np.concatenate([np.eye(3), [[1e6, 1e6, 1e6]]]), config=dm.SurfaceConfig(spacing=0.5))
    with pytest.raises(dm.ConfigError, match="at least two particles apart"):
        dm.surface.mesh(np.zeros((2, 3)))
    with pytest.raises(dm.ConfigError, match=r"path: expected a file ending in \.ply, \.obj, \.glb"):
        dm.export.write_mesh(tmp_path / "a.stl", ball.vertices, ball.triangles)
    with pytest.raises(dm.ConfigError, match=r"triangles: expected integers of shape \(T, 3\)"):
        dm.export.write_mesh(tmp_path / "a.ply", ball.vertices, ball.normals)
    with pytest.raises(dm.ConfigError, match="triangles: expected indices below 2"):
        dm.export.write_mesh(tmp_path / "a.ply", ball.vertices[:2], ball.triangles)
