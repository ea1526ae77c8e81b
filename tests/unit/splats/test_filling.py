# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The solid that Gaussians enclose."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core
from diffmpm.export import write_gaussian_ply
from diffmpm.splats import load_shape, solid, without_floaters
from numpy.testing import assert_allclose

from .conftest import MakeScene


@pytest.mark.parametrize("shape", ["sphere", "torus", "letter_s"])
def test_fill_has_the_volume_of_the_body(scene: MakeScene, shape: str) -> None:
    filled, truth = solid(scene(shape, 20_000, 0), cells=64), dm.load_mesh(shape)
    assert filled.is_closed
    assert filled.volume == pytest.approx(truth.volume, rel=0.03)
    assert_allclose(filled.centroid, truth.centroid, atol=0.01 * np.ptp(truth.vertices))


def test_hole_of_the_shell_is_closed(scene: MakeScene) -> None:
    splats = scene("sphere", 20_000, 0)
    radius = np.linalg.norm(splats.means, axis=1).mean()
    open_below = splats[splats.means[:, 2] > -0.97 * radius]  # a hole of a quarter of the diameter
    assert solid(open_below, cells=64).volume == pytest.approx(dm.load_mesh("sphere").volume, rel=0.06)


def test_open_sheet_is_refused(scene: MakeScene) -> None:
    splats = scene("sphere", 5_000, 0)
    with pytest.raises(dm.MeshError, match="sheet: expected Gaussians that enclose a volume, got an empty fill"):
        solid(splats[splats.means[:, 2] > 0.0], cells=64, name="sheet")


def test_floaters_are_left_out_and_reported(scene: MakeScene, caplog: pytest.LogCaptureFixture) -> None:
    splats = scene("sphere", 5_000, 0)
    means = splats.means.copy()
    means[:7] += 10.0 * np.arange(1, 8, dtype=np.float32)[:, None]
    with caplog.at_level(logging.INFO, "diffmpm"):
        assert without_floaters(replace(splats, means=means), "scene").count == 4_993
    assert "scene: 7 of 5000 Gaussians left out as floaters" in caplog.text


def test_density_is_the_sum_of_the_gaussians(rng: np.random.Generator) -> None:
    means, half = rng.normal(size=(20, 3)), rng.normal(size=(20, 3, 3))
    covars, opacities = half @ half.transpose(0, 2, 1) + 0.1 * np.eye(3), rng.random(20)
    dims, origin, spacing = (9, 7, 8), (-2.0, -1.5, -1.8), 0.5
    nodes = np.stack(np.meshgrid(*(np.arange(n) for n in dims), indexing="ij"), axis=-1) * spacing + origin
    d = nodes[..., None, :] - means
    square = np.einsum("...gi,gij,...gj->...g", d, np.linalg.inv(covars), d)
    expected = (np.where(square <= 9.0, np.exp(-0.5 * square), 0.0) * opacities).sum(axis=-1)
    assert_allclose(_core.opacity_density(means, covars, opacities, origin, spacing, dims), expected, atol=1e-12)


def test_scene_is_loaded_as_a_coloured_solid(tmp_path: Path, scene: MakeScene) -> None:
    splats = scene("sphere", 5_000, 1)
    red = replace(splats, colors=np.broadcast_to(np.float32([0.9, 0.1, 0.2]), splats.colors.shape))
    mesh = load_shape(write_gaussian_ply(tmp_path / "red.ply", red))
    assert mesh.name == "red.ply" and mesh.appearance is not None and mesh.appearance.colors is not None
    linear = np.broadcast_to([0.787412, 0.010023, 0.033105], mesh.vertices.shape)
    assert_allclose(mesh.appearance.colors, linear, atol=1e-4)
    assert load_shape("sphere").name == "sphere"
    result = dm.morph(tmp_path / "red.ply", "box", particles=200, windows=1, iterations=1, progress=False)
    assert result.source_color is not None
    assert_allclose(result.colors(0), np.broadcast_to([0.9, 0.1, 0.2], (200, 3)), atol=0.01)
