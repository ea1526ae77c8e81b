# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Conservation of mass, linear and angular momentum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tolerances as tol
from scenes import BASES, DTYPES, DX, MATERIALS, OPTIONS, Scene, configuration, make_scene, run, travelling_scene

# Options that conserve momentum: all but colliders and boundaries.
CONSERVING = [name for name in OPTIONS if not name.startswith(("half_space", "sphere")) and name != "all"]


def free_scene(rng: np.random.Generator, basis: str, material: str, option: str) -> Scene:
    scene = make_scene(rng, basis, material, "none", option, steps=12)
    return scene.with_inputs(gravity=np.zeros(3), drag=np.array(0.0))


def linear_momentum(mass: np.ndarray, v: Any) -> np.ndarray:
    return (mass[:, None] * np.asarray(v, np.float64)).sum(0)


def angular_momentum(mass: np.ndarray, x: Any, v: Any, C: Any, basis: str) -> np.ndarray:
    """Return sum_p m (x cross v + D axl(C)), where axl(C) is the axial vector of C - C^T."""
    x, v, C = (np.asarray(a, np.float64) for a in (x, v, C))
    D = DX**2 / (4.0 if basis == "quadratic" else 3.0)
    spin = np.stack([C[:, 2, 1] - C[:, 1, 2], C[:, 0, 2] - C[:, 2, 0], C[:, 1, 0] - C[:, 0, 1]], axis=-1)
    return (mass[:, None] * (np.cross(x, v) + D * spin)).sum(0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("scene_of", [make_scene, travelling_scene])
def test_grid_holds_the_mass(scene_of: Any, basis: str, dtype: Any, rng: np.random.Generator) -> None:
    import diffmpm as dm

    scene = scene_of(rng, basis)
    roll = run(scene, dtype)
    expected = scene.inputs["mass"].sum()
    tolerance = tol.conserved(dtype, scene.count, 1)
    for n in (0, 1, scene.steps // 2, scene.steps):
        m = np.asarray(roll.grid_mass(n))
        assert m.dtype == dtype
        assert m.shape == tuple(scene.fields["dims"])
        assert m.min() >= 0.0
        np.testing.assert_allclose(m.sum(dtype=np.float64), expected, rtol=tolerance)
    particles = roll.end_particles()
    direct = dm.grid_mass(particles.x, particles.mass, configuration(scene))
    # The same sums, possibly in a different order.
    np.testing.assert_allclose(direct, roll.grid_mass(), rtol=0.0, atol=tolerance * float(np.max(direct)))


@pytest.mark.parametrize("basis", BASES)
def test_grid_mass_is_centred(basis: str, rng: np.random.Generator) -> None:
    """The grid mass has the centre of mass of the particles, because the weights reproduce linear functions."""
    scene = make_scene(rng, basis, steps=3)
    roll = run(scene)
    nodes = np.stack(np.meshgrid(*[np.arange(n) for n in scene.fields["dims"]], indexing="ij"), axis=-1)
    m = roll.grid_mass()
    centre = (m[..., None] * (nodes * DX + np.array(scene.fields["origin"]))).sum((0, 1, 2)) / m.sum()
    expected = (scene.inputs["mass"][:, None] * roll.x).sum(0) / scene.inputs["mass"].sum()
    np.testing.assert_allclose(centre, expected, rtol=tol.conserved(np.float64, scene.count, 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("option", CONSERVING)
@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("basis", BASES)
def test_momentum(basis: str, material: str, option: str, dtype: Any, rng: np.random.Generator) -> None:
    scene = free_scene(rng, basis, material, option).rounded(dtype)
    roll = run(scene, dtype)
    mass, inputs = scene.inputs["mass"], scene.inputs
    reach = np.abs(inputs["x"]).max()
    # The stress transfers up to dt V tau / dx of momentum between particles, which has to cancel.
    impulses = scene.fields["dt"] * inputs["volume"] * (inputs["lam"] + 2.0 * inputs["mu"]) / DX
    magnitude = (mass * (np.linalg.norm(inputs["v"], axis=1) + DX * np.abs(inputs["C"]).max((1, 2))) + impulses).sum()
    tolerance = tol.conserved(dtype, scene.count, scene.steps)
    np.testing.assert_allclose(
        linear_momentum(mass, roll.v), linear_momentum(mass, inputs["v"]), rtol=0.0, atol=tolerance * magnitude
    )
    before = angular_momentum(mass, inputs["x"], inputs["v"], inputs["C"], basis)
    after = angular_momentum(mass, roll.x, roll.v, roll.C, basis)
    np.testing.assert_allclose(after, before, rtol=0.0, atol=tolerance * magnitude * reach)


@pytest.mark.parametrize("basis", BASES)
def test_momentum_across_blocks(basis: str, rng: np.random.Generator) -> None:
    scene = travelling_scene(rng, basis).with_inputs(gravity=np.zeros(3), drag=np.array(0.0))
    inputs = scene.inputs
    roll = run(scene.with_inputs(v=0.25 * inputs["v"]))
    expected = linear_momentum(inputs["mass"], 0.25 * inputs["v"])
    np.testing.assert_allclose(
        linear_momentum(inputs["mass"], roll.v),
        expected,
        rtol=tol.conserved(np.float64, scene.count, scene.steps),
        atol=tol.conserved(np.float64, scene.count, scene.steps) * np.abs(expected).max(),
    )


@pytest.mark.parametrize("basis", BASES)
def test_gravity_and_drag_change_momentum_exactly(basis: str, rng: np.random.Generator) -> None:
    """p_{n+1} = (1 - dt drag) p_n + dt M g."""
    scene = make_scene(rng, basis, steps=10)
    inputs, dt = scene.inputs, scene.fields["dt"]
    p = linear_momentum(inputs["mass"], inputs["v"])
    for _ in range(scene.steps):
        p = (1.0 - dt * float(inputs["drag"])) * p + dt * inputs["mass"].sum() * inputs["gravity"]
    magnitude = np.abs(inputs["mass"][:, None] * inputs["v"]).sum() + np.abs(p).sum()
    np.testing.assert_allclose(
        linear_momentum(inputs["mass"], run(scene).v),
        p,
        rtol=0.0,
        atol=tol.conserved(np.float64, scene.count, scene.steps) * 10.0 * magnitude,
    )
