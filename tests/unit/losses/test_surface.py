# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses of the distances between the body and the surface of its target."""

from __future__ import annotations

from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.geometry import load_mesh
from diffmpm.geometry.distance import signed_distance
from diffmpm.losses import Proximity, Skin
from numpy.testing import assert_allclose, assert_array_equal


def end_at(x):
    """Return the end of a rollout, with what these losses read of it."""
    return SimpleNamespace(x=x, particles=SimpleNamespace(dtype=x.dtype, device="cpu"))


def evaluate(loss, x):
    value = loss.evaluate(end_at(x))
    return value.value, value.adj["adj_x"]


def assert_gradient(loss, x, rng, rtol=1e-7):
    value, adj = evaluate(loss, x)
    assert value > 0.0
    for _ in range(3):
        along, h = rng.standard_normal(x.shape), 1e-6
        difference = (evaluate(loss, x + h * along)[0] - evaluate(loss, x - h * along)[0]) / (2.0 * h)
        assert_allclose(np.vdot(adj, along), difference, rtol=rtol)


class TestProximity:
    def test_matches_its_formula(self, rng):
        x, points = rng.standard_normal((40, 3)), 2.0 * rng.standard_normal((60, 3))
        distance = np.linalg.norm(points[:, None] - x, axis=2).min(axis=1)
        excess = np.maximum(distance / 0.3 - 1.2, 0.0)
        value, _ = evaluate(Proximity(points, spacing=0.3, reach=1.2), x)
        assert_allclose(value, np.mean(np.sqrt(1.0 + excess**2) - 1.0), rtol=1e-13)

    def test_gradient(self, rng):
        x, points = rng.standard_normal((40, 3)), 2.0 * rng.standard_normal((60, 3))
        assert_gradient(Proximity(points, spacing=0.3, weight=2.5), x, rng)

    def test_covered_points_have_no_force(self, rng):
        points = rng.standard_normal((50, 3))
        value, adj = evaluate(Proximity(points, spacing=0.1), points + 0.05 / np.sqrt(3.0))
        assert value == 0.0 and not adj.any()

    def test_slope_is_continuous_where_the_reach_ends(self):
        points = np.zeros((1, 3))
        slopes = [evaluate(Proximity(points, spacing=1.0), np.array([[1.0 + t, 0, 0]]))[1][0, 0] for t in (0.0, 1e-9)]
        assert slopes[0] == 0.0 and 0.0 < slopes[1] < 2e-9

    def test_first_of_equally_near_particles_receives_the_gradient(self, rng):
        points = np.zeros((1, 3))
        far = 20.0 + rng.standard_normal((300, 3))
        for order in (slice(None), slice(None, None, -1)):
            x = np.concatenate([far[:100], [[3.0, 0, 0]], far[100:200], [[0, 3.0, 0]], far[200:], [[0, 0, -3.0]]])
            x = x[order]
            _, adj = evaluate(Proximity(points, spacing=1.0), np.ascontiguousarray(x))
            first = np.flatnonzero(np.linalg.norm(x, axis=1) == 3.0)[0]
            assert_array_equal(np.flatnonzero(adj.any(axis=1)), [first])

    def test_value_does_not_depend_on_scale_and_number_of_points(self, rng):
        x, points = rng.standard_normal((40, 3)), 2.0 * rng.standard_normal((60, 3))
        value = evaluate(Proximity(points, spacing=0.3), x)[0]
        scaled = evaluate(Proximity(8.0 * points, spacing=2.4), 8.0 * x)[0]
        twice = evaluate(Proximity(np.concatenate([points, points]), spacing=0.3), x)[0]
        assert_allclose([scaled, twice], value, rtol=1e-14)

    def test_far_points_pull_with_the_same_force_at_any_distance(self):
        loss = Proximity(np.zeros((1, 3)), spacing=1.0)
        pull = [evaluate(loss, np.array([[d, 0, 0]]))[1][0, 0] for d in (50.0, 400.0)]
        assert_allclose(pull, 1.0, rtol=1e-3)

    def test_single_precision(self, rng):
        x, points = rng.standard_normal((40, 3)), 2.0 * rng.standard_normal((60, 3))
        loss = Proximity(points, spacing=0.3)
        single, double = evaluate(loss, x.astype(np.float32)), evaluate(loss, x.astype(np.float32).astype(float))
        assert single[1].dtype == np.float32
        assert_allclose(single[0], double[0], rtol=1e-5)
        assert_allclose(single[1], double[1], atol=1e-5 * np.abs(double[1]).max())

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"spacing": 0.0}, "spacing: expected a finite number > 0, got 0"),
            ({"reach": -1.0}, "reach: expected a finite number >= 0, got -1"),
            ({"points": np.zeros((0, 3))}, r"points: expected at least one point, got shape \(0, 3\)"),
        ],
    )
    def test_invalid_arguments(self, change, message):
        arguments = {"points": np.zeros((1, 3)), "spacing": 1.0, **change}
        with pytest.raises(dm.ConfigError, match=message):
            Proximity(arguments.pop("points"), **arguments)


def skin(dims=(6, 5, 7), **options):
    """Return a skin loss for random distances on a grid."""
    values = np.random.default_rng(0).uniform(0.1, 2.0, dims)
    return Skin(values, **{"origin": (-1.0, -1.1, -1.2), "cell": 0.4, "spacing": 0.3, **options})


class TestSkin:
    def test_matches_its_formula(self):
        """Corners, a centre, an edge, and points beyond the grid."""
        loss = skin()
        corner = np.array(loss.origin) + 0.4 * np.array([2, 3, 4])
        v = loss.distance[2:4, 3:5, 4:6]
        along, beyond = corner + np.array([0, 0, 0.1]), np.array(loss.origin) - [0.3, 0.0, 0.4]
        expected = [v[0, 0, 0], v.mean(), 0.75 * v[0, 0, 0] + 0.25 * v[0, 0, 1], loss.distance[0, 0, 0] + 0.5]
        for x, distance in zip((corner, corner + 0.2, along, beyond), expected, strict=True):
            value = evaluate(loss, x[None])[0]
            assert_allclose(value, np.sqrt(1.0 + (distance / 0.3) ** 2) - 1.0, rtol=1e-12)

    @pytest.mark.parametrize("width", [0.7, 3.0])
    def test_gradient(self, width, rng):
        """Within the grid, and mostly beyond it."""
        assert_gradient(skin(weight=1.5), rng.uniform(-width, width, (40, 3)), rng)

    def test_value_is_continuous_at_cells_and_at_the_border(self):
        loss = skin()
        for at in (0.0, 0.4, 2.0, 2.4):
            values = [evaluate(loss, np.array([[-1.0 + at + t, -0.7, -0.3]]))[0] for t in (-1e-9, 1e-9)]
            assert_allclose(values[0], values[1], atol=1e-7)

    def test_particles_inside_have_no_force(self, rng):
        loss = Skin(-np.ones((4, 4, 4)), origin=(0.0, 0.0, 0.0), cell=1.0, spacing=0.5)
        value, adj = evaluate(loss, rng.uniform(0.0, 3.0, (20, 3)))
        assert value == 0.0 and not adj.any()

    def test_single_precision(self, rng):
        x, loss = rng.uniform(-0.7, 0.7, (40, 3)).astype(np.float32), skin()
        single, double = evaluate(loss, x), evaluate(loss, x.astype(float))
        assert single[1].dtype == np.float32
        assert_allclose(single[0], double[0], rtol=1e-5)
        assert_allclose(single[1], double[1], atol=1e-4 * np.abs(double[1]).max())

    def test_a_sample_of_the_solid_has_no_skin(self):
        mesh = load_mesh("torus")
        spacing = (mesh.volume / 2000) ** (1.0 / 3.0)
        field = signed_distance(mesh, 0.5 * spacing, 2.0 * spacing)
        loss = Skin(field.values, origin=field.origin, cell=field.spacing, spacing=spacing)
        x = dm.sample(mesh, particles=2000, dtype=np.float64).x
        assert evaluate(loss, x)[0] < 1e-5
        assert evaluate(loss, 1.05 * x)[0] > 5e-3

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"dims": (1, 4, 4)}, r"distance: expected at least two nodes per axis, got shape \(1, 4, 4\)"),
            ({"origin": (0.0, 1.0)}, "origin: expected"),
            ({"cell": 0.0}, "cell: expected a finite number > 0, got 0"),
            ({"spacing": -1.0}, "spacing: expected a finite number > 0, got -1"),
        ],
    )
    def test_invalid_arguments(self, change, message):
        with pytest.raises(dm.ConfigError, match=message):
            skin(**change)
