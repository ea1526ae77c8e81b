# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Images against the sum over all Gaussians at every pixel, and what other rasterisers leave out of it or reorder.

The sum is NumPy, float64: no tiles, no extents, Gaussians in the order of their depth. Skipping below 1/255, the clamp
at 0.999 and the end of a pixel at 1e-4 are part of the image, here and elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import diffmpm as dm
import numpy as np
import pytest

WIDTH, HEIGHT = 61, 45  # not a multiple of a tile
TILE = 16
Arrays = dict[str, np.ndarray]


def projected(gaussians: Arrays, camera: dm.Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means [px], dilated covariances [px^2] and depths by the textbook's formula, for means well inside the image."""
    R, t = camera.viewmat[:3, :3], camera.viewmat[:3, 3]
    p = gaussians["means"] @ R.T + t
    f = np.array([camera.K[0, 0], camera.K[1, 1]])
    J = np.zeros((len(p), 2, 3))
    for k in range(2):
        J[:, k, k], J[:, k, 2] = f[k] / p[:, 2], -f[k] * p[:, k] / p[:, 2] ** 2
    cov = J @ R @ gaussians["covars"] @ R.T @ J.transpose(0, 2, 1) + 0.3 * np.eye(2)
    return f * p[:, :2] / p[:, 2:] + camera.K[:2, 2], cov, p[:, 2]


def dense_image(
    gaussians: Arrays,
    camera: dm.Camera,
    *,
    drawn: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    depths: np.ndarray | None = None,
) -> np.ndarray:
    """Composite every Gaussian at every pixel, or only where `drawn` is true."""
    means, covars, z = projected(gaussians, camera)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    left, color = np.ones((HEIGHT, WIDTH)), np.zeros((HEIGHT, WIDTH, 3))
    live = np.ones((HEIGHT, WIDTH), bool)
    for g in np.argsort(z if depths is None else depths, kind="stable"):
        d = np.stack([x - means[g, 0], y - means[g, 1]], -1)
        q = np.einsum("hwi,ij,hwj->hw", d, np.linalg.inv(covars[g]), d)
        alpha = np.minimum(0.999, gaussians["opacities"][g] * np.exp(-0.5 * q))
        taken = live & (alpha >= 1.0 / 255.0)
        if drawn is not None:
            taken &= drawn(means[g], radius_of(covars[g], gaussians["opacities"][g], drawn))
        weight = np.where(taken, alpha * left, 0.0)
        ended = taken & (left - weight < 1e-4)
        weight[ended], live = 0.0, live & ~ended
        color, left = color + weight[..., None] * gaussians["colors"][g], left - weight
    return color


def radius_of(cov: np.ndarray, opacity: float, rule: object) -> np.ndarray:
    """Half width and height [px] of what a rule looks at: of a square of three sigmas, or of what 1/255 bounds."""
    if rule is within_tiles_of_three_sigmas:
        return np.full(2, np.ceil(3.0 * np.sqrt(np.linalg.eigvalsh(cov)[-1])))
    extent = min(3.33, float(np.sqrt(2.0 * np.log(255.0 * opacity))))
    return np.ceil(extent * np.sqrt(np.diag(cov)))


def within_tiles_of_three_sigmas(mean: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """All pixels of the tiles that the rectangle mean +- radius touches: Kerbl et al. 2023, and gsplat before 1.5."""
    row, column = np.mgrid[:HEIGHT, :WIDTH] // TILE
    first, last = np.floor((mean - radius) / TILE), np.ceil((mean + radius) / TILE)
    inside: np.ndarray = (column >= first[0]) & (column < last[0]) & (row >= first[1]) & (row < last[1])
    return inside


def within_tiles_of_the_threshold(mean: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The same, of the rectangle that gsplat 1.5 takes: per axis, by opacity, of at most 3.33 sigmas."""
    return within_tiles_of_three_sigmas(mean, radius)


@pytest.fixture
def camera() -> dm.Camera:
    return dm.Camera.look_at((0.6, -4.5, 0.8), (0, 0, 0), width=WIDTH, height=HEIGHT, fx=110.0)


@pytest.fixture
def gaussians(rng: np.random.Generator) -> Arrays:
    """300 flat and long Gaussians, of which many overlap."""
    n = 300
    axes = np.linalg.qr(rng.standard_normal((n, 3, 3)))[0] * rng.uniform(0.02, 0.35, (n, 1, 3))
    return {
        "means": rng.uniform(-0.9, 0.9, (n, 3)), "covars": axes @ axes.transpose(0, 2, 1),
        "opacities": rng.uniform(0.3, 1.0, n), "colors": rng.uniform(size=(n, 3)),
    }  # fmt: skip


def ours(gaussians: Arrays, camera: dm.Camera, dtype: type = np.float64) -> np.ndarray:
    arrays = {name: a.astype(dtype) for name, a in gaussians.items()}
    return dm.rasterize(arrays.pop("means"), cameras=camera, **arrays).color.astype(np.float64)


def test_images_are_the_sum_over_all_gaussians(gaussians: Arrays, camera: dm.Camera) -> None:
    expected = dense_image(gaussians, camera)
    assert np.abs(ours(gaussians, camera) - expected).max() < 1e-12
    assert np.abs(ours(gaussians, camera, np.float32) - expected).max() < 1e-5


def test_a_radius_of_three_sigmas_cuts_what_the_sum_has() -> None:
    """exp(-9/2) = 0.011 of the opacity is left at three sigmas: the most that a Gaussian loses, at a tile's edge."""
    K = np.array([[100.0, 0, 23.0], [0, 100.0, 22.5], [0, 0, 1]])
    front = dm.Camera(np.eye(4), K, WIDTH, HEIGHT)
    sigma = 0.08  # 8 pixels: 3 sigmas end at column 48, where a tile does
    one = {
        "means": np.array([[0, 0, 1.0]]), "covars": sigma**2 * np.eye(3)[None], "opacities": np.ones(1),
        "colors": np.ones((1, 3)),
    }  # fmt: skip
    expected = dense_image(one, front)
    assert np.abs(ours(one, front) - expected).max() < 1e-12
    gap = np.abs(dense_image(one, front, drawn=within_tiles_of_three_sigmas) - expected)
    assert 1.0 / 255.0 < gap.max() < 0.0112


def test_an_extent_by_opacity_cuts_nothing(gaussians: Arrays, camera: dm.Camera) -> None:
    """3.33 sigmas and sqrt(2 log(255 o)) are where the opacity is 1/255: gsplat 1.5 and the sum are one image."""
    expected = dense_image(gaussians, camera)
    gap = np.abs(dense_image(gaussians, camera, drawn=within_tiles_of_the_threshold) - expected)
    assert gap.max() < 1e-3


def test_depths_in_single_precision_reorder(gaussians: Arrays, camera: dm.Camera, rng: np.random.Generator) -> None:
    """Two Gaussians closer in depth than float32 tells change places, and a pixel changes by what hides what.

    Depths of a transform in float32 are off by several of their last digits, 5e-7 at a distance of 4.5.
    """
    pairs = {name: np.concatenate([a, a]) for name, a in gaussians.items()}
    pairs["colors"] = rng.uniform(size=pairs["colors"].shape)
    away = camera.viewmat[2, :3]  # the axis of view
    pairs["means"] = np.concatenate([gaussians["means"], gaussians["means"] - 2e-7 * away])
    expected = dense_image(pairs, camera)
    assert np.abs(ours(pairs, camera) - expected).max() < 1e-12
    row, means = camera.viewmat[2].astype(np.float32), pairs["means"].astype(np.float32)
    single = row[0] * means[:, 0] + row[1] * means[:, 1] + row[2] * means[:, 2] + row[3]
    assert single.dtype == np.float32
    gap = np.abs(dense_image(pairs, camera, depths=single.astype(np.float64)) - expected).max(-1)
    assert gap.max() > 0.1
