# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Metrics of small cases with known results."""

from __future__ import annotations

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.errors import ConfigError

KEYS = {
    "chamfer",
    "chamfer_squared",
    "silhouette_iou",
    "surface_gap",
    "off_target",
    "stray",
    "hole_fraction",
    "floaters",
    "det_F_min",
    "com_drift",
}


def lattice(n: int, spacing: float = 1.0) -> np.ndarray:
    """Return n^3 points on a lattice, centred on the origin."""
    axis = (np.arange(n) - 0.5 * (n - 1)) * spacing
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)


def test_body_equal_to_its_target() -> None:
    x = dm.sample("torus", particles=3000).x
    values = dm.metrics.evaluate(x, x, F=np.tile(np.eye(3), (3000, 1, 1)), x_start=x)
    assert set(values) == KEYS
    assert all(isinstance(v, float) for v in values.values())
    assert values["chamfer"] == values["surface_gap"] == values["off_target"] == values["com_drift"] == 0.0
    assert values["silhouette_iou"] == values["det_F_min"] == 1.0
    assert values["stray"] < 1e-3


def test_chamfer_by_hand() -> None:
    x, y = lattice(6), lattice(6) + np.array([0.25, 0.0, 0.0])
    np.testing.assert_allclose(dm.metrics.chamfer(x, y), 0.5, rtol=1e-12)
    np.testing.assert_allclose(dm.metrics.chamfer(x, y, squared=True), 0.125, rtol=1e-12)
    values = dm.metrics.evaluate(x, y)
    np.testing.assert_allclose(values["chamfer"], 0.5, rtol=1e-12)
    np.testing.assert_allclose(values["chamfer_squared"], 0.125, rtol=1e-12)
    # Unequal counts: the larger set is reduced first.
    assert dm.metrics.evaluate(x, y[:50])["chamfer"] == dm.metrics.chamfer(x, y[:50])


def test_surface_gap_by_hand() -> None:
    target = lattice(9)
    outer = dm.metrics.outer_points(target)
    np.testing.assert_array_equal(outer, np.abs(target).max(axis=1) == 4.0)
    body = target[target[:, 0] < 3.5]  # one face is missing: its points are 1 spacing from the body
    assert dm.metrics.evaluate(body, target)["surface_gap"] == 0.0
    body = target[target[:, 0] < 2.5]  # now 2 spacings
    expected = 81 / outer.sum()
    np.testing.assert_allclose(dm.metrics.evaluate(body, target)["surface_gap"], expected, rtol=1e-12)
    assert dm.metrics.evaluate(body, target, spacing=2.0)["surface_gap"] == 0.0


def test_off_target_and_stray_by_hand() -> None:
    target = lattice(8)
    body = target.copy()
    body[:8, 0] -= 2.5  # a row at the border moves 2.5 spacings away as a whole
    values = dm.metrics.evaluate(body, target)
    np.testing.assert_allclose(values["off_target"], 8 / 512, rtol=1e-12)
    body = target.copy()
    body[0] -= 100.0
    np.testing.assert_allclose(dm.metrics.evaluate(body, target)["stray"], 1 / 512, rtol=1e-12)


def test_centre_of_mass_drift_in_spacings() -> None:
    target = lattice(6, 0.5)
    start = target + np.array([3.0, 0.0, 0.0])
    assert dm.metrics.evaluate(target + np.array([0.0, 1.0, 0.0]), target)["com_drift"] == pytest.approx(2.0, rel=1e-12)
    assert dm.metrics.evaluate(target, target, x_start=start)["com_drift"] == pytest.approx(6.0, rel=1e-12)


def test_smallest_determinant() -> None:
    x = lattice(3)
    F = np.tile(np.eye(3), (27, 1, 1))
    F[5] *= -0.5
    assert dm.metrics.evaluate(x, x, F=F)["det_F_min"] == pytest.approx(-0.125, rel=1e-12)
    assert np.isnan(dm.metrics.evaluate(x, x)["det_F_min"])


def test_silhouette_of_one_particle_is_three_by_three() -> None:
    pictures = dm.metrics.silhouettes(np.zeros((1, 3)), np.zeros(3), 1.0)
    assert pictures.shape == (24, 128, 128)
    np.testing.assert_array_equal(pictures.sum(axis=(1, 2)), 9)
    assert pictures[:, 63:66, 63:66].all()
    outside = dm.metrics.silhouettes(np.full((1, 3), 50.0), np.zeros(3), 1.0)
    assert not outside.any()


def test_silhouette_is_clipped_at_the_border() -> None:
    view = dm.metrics.views()[0]
    for step, expected in ((0, 9), (1, 6), (2, 3), (3, 0)):
        pixel = 126.5 + step  # 127.5 is the centre of the last pixel
        at = view[0] * (pixel / 64.0 - 1.0)
        assert dm.metrics.silhouettes(at[None], np.zeros(3), 1.0)[0].sum() == expected


def test_views_are_orthonormal_and_upright() -> None:
    views = dm.metrics.views()
    np.testing.assert_allclose(views @ views.transpose(0, 2, 1), np.tile(np.eye(2), (24, 1, 1)), atol=1e-15)
    assert (views[:, 0, 2] == 0).all()
    assert (views[:, 1, 2] > 0.8).all()


def test_intersection_over_union() -> None:
    a = np.zeros((2, 4, 4), dtype=bool)
    b = a.copy()
    assert dm.metrics.intersection_over_union(a, b) == 1.0
    a[0, :2], b[0, 1:3] = True, True  # 4 of 12 pixels; the second view is empty in both
    assert dm.metrics.intersection_over_union(a, b) == pytest.approx((4 / 12 + 1) / 2)


def test_hole_fraction() -> None:
    picture = np.zeros((2, 8, 8), dtype=bool)
    picture[0, 1:6, 1:6] = True
    picture[0, 3, 3] = False
    picture[1, 1:6, 1:6] = True
    picture[1, 3, 3:] = False  # a notch is not a hole
    assert dm.metrics.hole_fraction(picture) == pytest.approx(0.5 / 25)
    assert dm.metrics.hole_fraction(np.zeros((1, 8, 8), dtype=bool)) == 0.0
    torus = dm.sample("torus", particles=8000).x @ np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], dtype=np.float32)
    assert dm.metrics.evaluate(torus, torus)["hole_fraction"] > 0.02


def test_order_of_quality() -> None:
    target = dm.sample("torus", particles=4000, seed=1).x
    same = dm.metrics.evaluate(dm.sample("torus", particles=4000, seed=2).x, target)
    other = dm.metrics.evaluate(dm.sample("sphere", particles=4000, seed=2).x, target)
    assert same["silhouette_iou"] > 0.94 > 0.7 > other["silhouette_iou"]
    assert same["chamfer"] < 0.5 * other["chamfer"]
    assert same["surface_gap"] < 0.03 < 0.3 < other["surface_gap"]
    assert same["off_target"] < 0.01 < 0.3 < other["off_target"]


def test_only_chamfer_depends_on_the_scale() -> None:
    target = dm.sample("heart", particles=2000, seed=1, dtype=np.float64).x
    body = dm.sample("sphere", particles=2000, dtype=np.float64).x
    small = dm.metrics.evaluate(body, target, x_start=target)
    # Scaling by a power of two is exact, so that no particle changes its pixel.
    large = dm.metrics.evaluate(1024.0 * body, 1024.0 * target, x_start=1024.0 * target)
    np.testing.assert_allclose(large.pop("chamfer"), 1024.0 * small.pop("chamfer"), rtol=1e-12)
    np.testing.assert_allclose(large.pop("chamfer_squared"), 1024.0**2 * small.pop("chamfer_squared"), rtol=1e-12)
    for key, value in small.items():
        np.testing.assert_allclose(large[key], value, rtol=1e-9, err_msg=key)


def test_float32_and_lists() -> None:
    target = dm.sample("box", particles=500).x
    assert dm.metrics.evaluate(target.tolist(), target)["chamfer"] == 0.0


def test_single_particles() -> None:
    values = dm.metrics.evaluate(np.zeros((1, 3)), np.ones((1, 3)), spacing=1.0)
    assert values["chamfer"] == pytest.approx(2.0 * 3**0.5)
    assert values["stray"] == 0.0


@pytest.mark.parametrize(
    ("x", "target", "more", "message"),
    [
        (np.zeros((0, 3)), lattice(2), {}, r"x: expected at least one point, got shape \(0, 3\)"),
        (lattice(2), np.zeros((0, 3)), {}, r"target_x: expected at least one point, got shape \(0, 3\)"),
        (lattice(2)[:, :2], lattice(2), {}, r"x: expected shape \(N, 3\), got \(8, 2\)"),
        (lattice(2), np.zeros((8, 3)), {}, "target_x: expected points apart from each other"),
        (lattice(2) * np.nan, lattice(2), {}, "x: expected finite values, got nan"),
        (lattice(2), lattice(2), {"F": np.zeros((7, 3, 3))}, r"F: expected shape \(8, 3, 3\), got \(7, 3, 3\)"),
        (lattice(2), lattice(2), {"spacing": 0.0}, "spacing: expected a finite number > 0, got 0"),
        (lattice(2), lattice(2), {"x_start": np.zeros((2, 2))}, r"x_start: expected shape \(N, 3\), got \(2, 2\)"),
    ],
)
def test_wrong_arguments(x: object, target: object, more: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dm.metrics.evaluate(x, target, **more)  # type: ignore[arg-type]


def test_floaters_are_gaussians_far_from_all_particles():
    x = dm.sample("sphere", particles=1000).x
    spacing = (dm.shapes.make("sphere").volume / len(x)) ** (1 / 3)
    away = np.float32([[1.0 + 5 * spacing, 0, 0], [0, 1.0 + 6 * spacing, 0]])
    means = np.concatenate([x[:97], np.float32([[1.0 + 3 * spacing, 0, 0]]), away])
    assert dm.metrics.floaters(means[:98], x, spacing=spacing) == 0.0
    assert dm.metrics.floaters(means, x, spacing=spacing) == pytest.approx(0.02)
    assert dm.metrics.evaluate(x, x)["floaters"] == 0.0
