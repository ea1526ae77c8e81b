# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Shading: closed forms, exact gradients, errors."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.render import DirectionalLight, PointLight, shade

N = 60
DOWN = DirectionalLight((0.0, 0.0, -2.0))
LIGHTS = {
    "directional": (DirectionalLight((1.0, 2.0, -0.5), (0.2, 0.9, 0.4)),),
    "point": (PointLight((2.0, -1.0, 1.5), (1.0, 0.5, 0.2)),),
    "falling": (PointLight((2.0, -1.0, 1.5), reference_distance=1.7),),
    "both": (DirectionalLight((1.0, 2.0, -0.5)), PointLight((0.5, 2.0, 1.0), reference_distance=2.0)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "lambert": {},
    "highlight": {"eye": (3.0, 1.0, 1.0), "specular": 0.6, "shininess": 9.0},
    "one_sided": {"eye": (3.0, 1.0, 1.0), "specular": 0.6, "shininess": 1.0, "two_sided": False},
    "dark_back": {"two_sided": False},
}


def test_lambert() -> None:
    normals = np.array([[0, 0, 3.0], [0, 3.0, 4.0], [0, 0, -1.0], [1.0, 0, 0], [0, 0, 0]])
    color = shade(normals, albedo=(1.0, 0.5, 0.0), lights=DOWN, ambient=0.1, diffuse=0.9).color
    np.testing.assert_allclose(color[:, 0], [1.0, 0.1 + 0.72, 1.0, 0.1, 0.1], rtol=1e-15)
    np.testing.assert_allclose(color[:, 1], 0.5 * color[:, 0])
    assert not color[:, 2].any()
    one_sided = shade(normals, lights=DOWN, albedo=(1.0, 1.0, 1.0), ambient=0.1, diffuse=0.9, two_sided=False).color
    np.testing.assert_allclose(one_sided[:, 0], [1.0, 0.82, 0.1, 0.1, 0.1], rtol=1e-15)


def test_highlight_and_fall() -> None:
    """Light and eye straight above: the half vector is the normal; the intensity falls with the distance's square."""
    points = np.array([[0, 0, 0.0], [0, 0, 1.0]])
    normals = np.array([[0, 0, 1.0], [0, 0, -1.0]])  # the second is flipped to face the eye above
    light = PointLight((0, 0, 3.0), (2.0, 1.0, 1.0), reference_distance=3.0)
    color = shade(normals, points, lights=light, eye=(0, 0, 5), albedo=(0, 0, 0), specular=0.5, ambient=0.0).color
    np.testing.assert_allclose(color[:, 0], [1.0, 2.25], rtol=1e-14)
    np.testing.assert_allclose(color[:, 1], [0.5, 1.125], rtol=1e-14)
    # eye above, light below: dark
    below = shade(normals, points, lights=DirectionalLight((0, 0, 1)), eye=(0, 0, 5), specular=0.5, ambient=0.0).color
    assert not below.any()


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("lights", LIGHTS)
def test_gradients(lights: str, option: str, rng: np.random.Generator) -> None:
    inputs = {
        "normals": rng.standard_normal((N, 3)),
        "points": rng.standard_normal((N, 3)),
        "albedo": rng.uniform(size=(N, 3)),
    }
    adj = rng.standard_normal((N, 3))

    def value(**changes: np.ndarray) -> float:
        arrays = {**inputs, **changes}
        return float(np.vdot(adj, shade(**arrays, lights=LIGHTS[lights], **OPTIONS[option]).color))

    shading = shade(**inputs, lights=LIGHTS[lights], **OPTIONS[option])
    if not OPTIONS[option].get("two_sided", True):
        assert len(np.unique(shading.color > 0.3 * inputs["albedo"])) == 2  # some are lit, some are not
    grads = shading.vjp(adj)
    for name, array in inputs.items():
        gradient, h = getattr(grads, name), 1e-6
        direction = rng.standard_normal(array.shape)
        slope = (value(**{name: array + h * direction}) - value(**{name: array - h * direction})) / (2 * h)
        scale = max(np.linalg.norm(gradient), 1.0) * np.linalg.norm(direction)
        assert abs(slope - np.vdot(gradient, direction)) < 1e-7 * scale, name
        alone = shading.vjp(adj, wrt=name)
        np.testing.assert_array_equal(getattr(alone, name), gradient)
        assert sum(g is not None for g in vars(alone).values()) == 1
    moves = lights != "directional" or "eye" in OPTIONS[option]
    assert grads.points.any() == moves
    assert np.abs((grads.normals * inputs["normals"]).sum(1)).max() < 1e-12


def test_one_albedo_for_all(rng: np.random.Generator) -> None:
    normals, adj = rng.standard_normal((N, 3)).astype(np.float32), rng.standard_normal((N, 3)).astype(np.float32)
    shading = shade(normals, albedo=(0.2, 0.4, 0.6))
    assert shading.color.dtype == np.float32
    each = shade(normals, albedo=np.tile(np.array([0.2, 0.4, 0.6], np.float32), (N, 1)))
    np.testing.assert_array_equal(shading.color, each.color)
    np.testing.assert_allclose(shading.vjp(adj).albedo, each.vjp(adj).albedo.sum(axis=0), rtol=1e-5)
    assert shading.vjp(adj).normals.dtype == np.float32


def test_degenerate_places_have_zero_gradients() -> None:
    """Normals of length zero, a point at the light and one at the eye: no NaN."""
    normals = np.array([[0, 0, 0.0], [0, 0, 1.0], [0, 1.0, 1.0]])
    points = np.array([[0, 0, 0.0], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    light = PointLight((1.0, 1.0, 1.0), reference_distance=1.0)
    shading = shade(normals, points, lights=light, eye=(2.0, 2.0, 2.0), specular=0.5)
    grads = shading.vjp(np.ones((3, 3)))
    for a in (shading.color, grads.normals, grads.points, grads.albedo):
        assert np.isfinite(a).all()
    assert not grads.normals[0].any()


ONE = np.array([[0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: shade(np.ones((2, 2))), r"normals: expected shape \(N, 3\), got \(2, 2\)"),
        (lambda: shade(np.full((1, 3), np.nan)), r"normals: expected finite values"),
        (lambda: shade(ONE, np.ones((2, 3))), r"points: expected shape \(1, 3\), got \(2, 3\)"),
        (lambda: shade(ONE, albedo=np.ones((2, 3))), r"albedo: expected shape \(1, 3\), got \(2, 3\)"),
        (lambda: shade(ONE, albedo=np.ones(4)), r"albedo: expected shape \(3,\), got \(4,\)"),
        (lambda: shade(ONE, lights=("sun",)), r"lights: expected DirectionalLight or PointLight, got str"),
        (lambda: shade(ONE, ambient=-1), r"ambient: expected a finite number >= 0, got -1"),
        (lambda: shade(ONE, shininess=0.5), r"shininess: expected a finite number >= 1, got 0.5"),
        (lambda: shade(ONE, specular=0.5), r"eye: expected the camera position for highlights, got None"),
        (lambda: shade(ONE, eye=(0, 0, 1)), r"points: expected positions for a point light or an eye, got None"),
        (lambda: shade(ONE, lights=PointLight((0, 0, 1))), r"points: expected positions for a point light or an eye"),
        (lambda: DirectionalLight((0, 0, 0)), r"direction: expected a direction of non-zero length"),
        (lambda: DirectionalLight((0, 1)), r"direction: expected shape \(3,\), got \(2,\)"),
        (lambda: PointLight((0, 0, 1), (1, -1, 1)), r"color: expected intensities >= 0"),
        (lambda: PointLight((0, 0, 1), reference_distance=0), r"reference_distance: expected a finite number > 0"),
        (
            lambda: shade(ONE).vjp(np.ones((1, 3)), wrt="eye"),
            r"wrt: expected names from normals, points, albedo, got 'eye'",
        ),
        (lambda: shade(ONE).vjp(np.ones((3, 3))), r"adj_color: expected shape \(1, 3\), got \(3, 3\)"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        make()


@pytest.mark.parametrize("name", ["normals", "points", "albedo"])
def test_the_adjoint_does_not_see_later_changes(name: str, rng: Any) -> None:
    arrays = {
        "normals": rng.standard_normal((50, 3)),
        "points": rng.standard_normal((50, 3)),
        "albedo": rng.random((50, 3)),
    }
    adj = rng.standard_normal((50, 3))
    options = {"eye": (3.0, 1.0, 2.0), "specular": 0.4, "lights": dm.render.PointLight((1.0, 2.0, 3.0), (1, 1, 1), 2.0)}
    shading = dm.render.shade(arrays["normals"], arrays["points"], albedo=arrays["albedo"], **options)
    before = shading.vjp(adj)
    arrays[name] *= 0.5
    after = shading.vjp(adj)
    for which in arrays:
        assert np.array_equal(getattr(before, which), getattr(after, which)), which
