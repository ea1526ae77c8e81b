# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Pictures that notebooks show for meshes, particles, Gaussians and images."""

import dataclasses
import io

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.surface import mesh
from diffmpm.view.notebook import SIZE
from PIL import Image

BODY = dm.sample("torus", particles=1_000)
CAMERA = dm.Camera.look_at((0, -6, 3), (0, 0, 0), width=64, height=48)


def decoded(value):
    data = value._repr_png_()
    assert len(data) < 300_000
    return np.asarray(Image.open(io.BytesIO(data)))


def rasterized(cameras):
    covars = np.tile(0.01 * np.eye(3, dtype=np.float32), (BODY.count, 1, 1))
    return dm.rasterize(BODY.x, cameras, covars=covars, opacities=0.9)


def test_pictures_of_bodies_show_the_same_shape():
    bodies = (BODY, dm.shapes.make("torus"), mesh(BODY.x), dm.gaussians(BODY.x, BODY.F))
    pictures = [decoded(body).astype(int) for body in bodies]
    assert all(picture.shape == (SIZE, SIZE, 3) for picture in pictures)
    # The saturation separates the body from its grey shadow.
    masks = [np.ptp(picture, axis=-1) > 40 for picture in pictures]
    for mask in masks:
        assert 0.1 < mask.mean() < 0.7
        assert (mask & masks[1]).sum() / (mask | masks[1]).sum() > 0.7  # measured 0.80 with 1,000 particles


def test_pictures_of_images_show_a_batch_in_a_row():
    raster = rasterized([CAMERA] * 3)
    row = decoded(raster)
    assert row.shape == (48, 3 * 64, 3)
    np.testing.assert_allclose(row[:, :64] / 255.0, np.clip(raster.color[0], 0, 1), atol=0.5 / 255 + 1e-6)
    alpha = np.clip(rasterized(CAMERA).alpha, 0, 1)
    np.testing.assert_allclose(decoded(rasterized(CAMERA)), row[:, :64])
    silhouettes = decoded(dm.TargetViews([CAMERA], alpha[None]))
    np.testing.assert_allclose(silhouettes[..., 0] / 255.0, alpha, atol=0.5 / 255 + 1e-6)


def test_large_images_are_reduced():
    cameras = [dm.Camera.look_at((0, -6, 3), (0, 0, 0), width=900, height=500)] * 6
    height, width, _ = decoded(rasterized(cameras)).shape
    assert height <= SIZE and width <= 4 * 900


def test_large_bodies_are_thinned(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "diffmpm.view.notebook.render_body", lambda x, *_, **__: drawn.append(x) or np.zeros((8, 8, 3), np.uint8)
    )
    x = np.random.default_rng(0).random((300_000, 3)).astype(np.float32)
    assert dm.Particles.create(x, mass=1.0, volume=1.0, lam=1.0, mu=1.0)._repr_png_()
    assert 15_000 < len(drawn[0]) <= 20_000


@pytest.mark.parametrize("valid", [0, 1])
def test_no_picture_without_a_surface(valid):
    x = np.full((50, 3), np.nan, np.float32)
    x[:valid] = 0.0
    assert dataclasses.replace(BODY, x=x)._repr_png_() is None
