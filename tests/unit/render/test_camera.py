# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Cameras: axes, intrinsics, rings and their errors."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest

SIZE = {"width": 64, "height": 48}


def test_look_at_puts_the_target_in_the_middle_and_up_upwards() -> None:
    camera = dm.Camera.look_at((3.0, -2.0, 1.0), (0.5, 0.25, -0.5), (0, 0, 1), **SIZE, fov=50.0)
    pixel, depth = camera.project(np.array([[0.5, 0.25, -0.5], [0.5, 0.25, 0.0], [3.0, -2.0, 1.0]]))
    np.testing.assert_allclose(pixel[0], [32, 24], atol=1e-12)
    assert pixel[1, 1] < 24  # y points down
    np.testing.assert_allclose(depth[[0, 2]], [np.linalg.norm([2.5, -2.25, 1.5]), 0.0], atol=1e-12)
    np.testing.assert_allclose(camera.position, [3, -2, 1], atol=1e-12)
    R = camera.viewmat[:3, :3]
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(R) == pytest.approx(1.0)
    assert camera.fov == pytest.approx(50.0)
    right, _ = dm.Camera.look_at((0, -4, 0), (0, 0, 0), **SIZE).project(np.array([[1.0, 0, 0]]))
    assert right[0, 0] > 32  # from the front, +x is to the right


def test_intrinsics() -> None:
    camera = dm.Camera.from_intrinsics(np.eye(4), 64, 48, fx=70, cx=30.5)
    np.testing.assert_array_equal(camera.K, [[70, 0, 30.5], [0, 70, 24], [0, 0, 1]])
    assert dm.Camera.from_intrinsics(np.eye(4), 64, 48, fy=35, fx=30, cy=1).K[1].tolist() == [0, 35, 1]
    big = camera.resized(128, 24)
    np.testing.assert_allclose(big.K, [[140, 0, 61], [0, 35, 12], [0, 0, 1]])
    assert (big.width, big.height) == (128, 24)
    with pytest.raises(ValueError, match="read-only"):
        camera.viewmat[0, 0] = 2.0


def test_a_projected_point_is_where_the_rasteriser_draws_it() -> None:
    camera = dm.Camera.look_at((3, 1, 1), (0, 0, 0), **SIZE, fx=80, fy=75, cx=30, cy=20)
    point = np.array([[0.3, 0.2, -0.1]])
    raster = dm.rasterize(point, covars=1e-6 * np.eye(3)[None], opacities=0.9, colors=np.ones((1, 1)), cameras=camera)
    pixel, depth = camera.project(point)
    np.testing.assert_allclose(raster.meta.means2d[0], pixel, rtol=1e-14)
    np.testing.assert_allclose(raster.meta.depths[0], depth, rtol=1e-14)
    row, column = np.unravel_index(np.argmax(raster.alpha), raster.alpha.shape)
    np.testing.assert_allclose([column + 0.5, row + 0.5], pixel[0], atol=0.5)


def test_orbit() -> None:
    target = np.array([1.0, 2.0, 3.0])
    cameras = dm.Camera.orbit(target, radius=5.0, count=6, elevations=(0, 30), up=(0, 1, 0), start=15, **SIZE)
    assert len(cameras) == 12
    places = np.array([c.position for c in cameras]) - target
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 5.0, rtol=1e-12)
    np.testing.assert_allclose(places[:6, 1], 0.0, atol=1e-12)
    np.testing.assert_allclose(places[6:, 1], 2.5, rtol=1e-12)
    steps = [places[n] @ places[(n + 1) % 6] / 25.0 for n in range(6)]
    np.testing.assert_allclose(steps, 0.5, rtol=1e-12)
    for camera in cameras:
        np.testing.assert_allclose(camera.project(target[None])[0], [[32, 24]], atol=1e-10)
    assert len(dm.Camera.orbit(radius=1.0, count=3, elevations=20.0, **SIZE)) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dm.Camera(np.eye(3), np.eye(3), 8, 8), r"viewmat: expected shape \(4, 4\), got \(3, 3\)"),
        (lambda: dm.Camera(np.ones((4, 4)), np.eye(3), 8, 8), r"viewmat: expected a last row of \(0, 0, 0, 1\)"),
        (lambda: dm.Camera(np.eye(4), np.ones((3, 3)), 8, 8), r"K: expected \(\(fx, 0, cx\)"),
        (lambda: dm.Camera(np.eye(4), np.diag([0.0, 1, 1]), 8, 8), r"K: expected focal lengths > 0"),
        (lambda: dm.Camera(np.eye(4), np.eye(3), True, 8), r"width: expected an integer from 1 to 32768, got True"),
        (lambda: dm.Camera(np.eye(4), np.eye(3), 8, 40000), r"height: expected an integer from 1 to 32768, got 40000"),
        (lambda: dm.Camera.from_intrinsics(np.eye(4), 8, 8), r"fov: expected either fov or fx and fy"),
        (lambda: dm.Camera.from_intrinsics(np.eye(4), 8, 8, fov=40, fx=1), r"fov: expected either fov or fx and fy"),
        (lambda: dm.Camera.from_intrinsics(np.eye(4), 8, 8, fov=180), r"fov: expected degrees below 180, got 180"),
        (lambda: dm.Camera.from_intrinsics(np.eye(4), 8, 8, fx=-1), r"fx: expected a finite number > 0, got -1"),
        (lambda: dm.Camera.look_at((0, 0, 0), (0, 0, 0), **SIZE), r"target: expected a point away from the eye"),
        (lambda: dm.Camera.look_at((0, 0, 1), (0, 0, 0), **SIZE), r"up: expected a direction across the view"),
        (lambda: dm.Camera.look_at((0, 0), (0, 0, 0), **SIZE), r"eye: expected shape \(3,\)"),
        (lambda: dm.Camera.orbit(radius=0, count=3, **SIZE), r"radius: expected a finite number > 0"),
        (lambda: dm.Camera.orbit(radius=1, count=0, **SIZE), r"count: expected an integer from 1 to"),
        (lambda: dm.Camera.orbit(radius=1, count=3, elevations=90, **SIZE), r"elevations: expected degrees within"),
        (lambda: dm.Camera.orbit(radius=1, count=3, up=(0, 0, 0), **SIZE), r"up: expected a direction, got zeros"),
        (
            lambda: dm.Camera.look_at((0, 1, 0), (0, 0, 0), **SIZE).project(np.ones(3)),
            r"points: expected shape \(N, 3\)",
        ),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        make()
