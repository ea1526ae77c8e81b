# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Adjoints at points where a naive implementation divides by zero."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tolerances as tol
from scenes import (
    BASES,
    BOUNDARIES,
    DIMS,
    DTYPES,
    DX,
    INPUTS,
    MATERIALS,
    ORIGIN,
    assert_matches_mirror,
    assert_precisions_agree,
    assert_same_vector,
    clump,
    make_scene,
    pull_back,
    random_cotangents,
    random_inputs,
    random_rotations,
    run,
)


def with_singular_values(rng: np.random.Generator, count: int, values: tuple[float, float, float]) -> np.ndarray:
    return random_rotations(rng, count) @ np.diag(values) @ np.swapaxes(random_rotations(rng, count), 1, 2)


def deformation_gradients(rng: np.random.Generator, count: int, case: str) -> np.ndarray:
    if case == "identity":
        return np.broadcast_to(np.eye(3), (count, 3, 3)).copy()
    if case == "rotation":
        return random_rotations(rng, count)
    values = {
        "two_equal": (1.2, 1.2, 0.8),
        "two_almost_equal": (1.2, 1.2 + 1e-9, 0.8),
        "three_equal": (0.9, 0.9, 0.9),
        "flattened": (1.3, 1.0, 1e-3),
        "needle": (1.5, 0.05, 0.04),
        "stretched": (3.0, 1.0, 0.4),
    }[case]
    return with_singular_values(rng, count, values)


CASES = (
    "identity", "rotation", "two_equal", "two_almost_equal", "three_equal", "flattened", "needle", "stretched",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("basis", BASES)
def test_deformation_gradient(basis: str, material: str, case: str, rng: np.random.Generator, mirror: Any) -> None:
    """The stress depends on exactly these F: no control in the first step, no rest state."""
    scene = make_scene(rng, basis, material, option="plain", steps=2, control_stride=2)
    count = scene.count
    scene = scene.with_inputs(
        F=deformation_gradients(rng, count, case),
        Fp=deformation_gradients(rng, count, "identity"),
        control=np.zeros((1, count, 3, 3)),
        C=0.2 * scene.inputs["C"],
    )
    assert_matches_mirror(scene, mirror)
    assert_precisions_agree(scene)


@pytest.mark.parametrize("material", MATERIALS)
def test_rest_state_has_the_stress_adjoint(material: str, rng: np.random.Generator, mirror: Any) -> None:
    """At F = I, v = 0, C = 0 nothing moves, but gradients that do not vanish by symmetry are correct."""
    scene = make_scene(rng, "cubic", material, steps=8)
    n = scene.count
    scene = scene.with_inputs(
        v=np.zeros((n, 3)),
        C=np.zeros((n, 3, 3)),
        F=deformation_gradients(rng, n, "identity"),
        Fp=deformation_gradients(rng, n, "identity"),
        control=np.zeros((4, n, 3, 3)),
        gravity=np.zeros(3),
        drag=np.array(0.0),
    )
    roll = run(scene)
    states, expected = mirror.gradients(scene.inputs, scene.mirror_config(mirror), 8, scene.cotangents, 2)
    np.testing.assert_allclose(roll.F, states[-1]["F"], rtol=0.0, atol=tol.steps_of_rounding(np.float64, 8))
    grads = pull_back(roll, scene)
    for name in ("control", "x", "v", "C", "F", "G", "Fp", "gravity"):
        assert_same_vector(grads[name], expected[name], tol.MIRROR, f"gradient of {name}")
    for name in ("lam", "mu", "mass", "volume", "drag"):  # zero up to rounding, like stress and motion
        assert np.isfinite(grads[name]).all(), name


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_particle_on_a_node(basis: str, dtype: Any, rng: np.random.Generator, mirror: Any) -> None:
    """On nodes, on faces and midway between nodes, where one of the bases has its knots."""
    scene = make_scene(rng, basis, steps=3)
    cells = np.round((scene.inputs["x"] - ORIGIN) / DX * 2.0) / 2.0
    # With powers of two, positions in cells are exact in both dtypes.
    fields = {**scene.fields, "dx": 0.5, "origin": (-2.0, 1.0, 0.5)}
    x = np.array(fields["origin"]) + 0.5 * cells
    scene = replace(scene, fields=fields).with_inputs(x=x)
    if dtype == np.float64:
        assert_matches_mirror(scene, mirror)
    else:
        assert_precisions_agree(scene)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("basis", BASES)
def test_particle_at_the_border(basis: str, boundary: str, rng: np.random.Generator, mirror: Any) -> None:
    """In the outermost cell whose stencil fits, in all eight corners."""
    first = 0.5 if basis == "quadratic" else 1.0
    low, high = np.full(3, first + 1e-2), np.array(DIMS) - 1.0 - first - 1e-2
    corners = np.array([[(low, high)[b >> axis & 1][axis] for axis in range(3)] for b in range(8)])
    scene = make_scene(rng, basis, boundary=boundary, steps=3)
    x = ORIGIN + DX * corners
    inputs = random_inputs(rng, x, 2)
    inputs["v"] *= 0.1  # stays in its cell: at most 1e-2 dx in three steps
    inputs["gravity"] = np.array([0.1, -0.2, 0.1])
    cotangents = {3: random_cotangents(rng, 8, DIMS)}
    assert_matches_mirror(replace(scene, inputs=inputs, cotangents=cotangents), mirror)


@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("basis", BASES)
def test_single_particle(basis: str, material: str, rng: np.random.Generator, mirror: Any) -> None:
    scene = make_scene(rng, basis, material, steps=8)
    x = clump(rng, 1, [6.0] * 3, [7.0] * 3)
    scene = replace(scene, inputs=random_inputs(rng, x, 4), cotangents={8: random_cotangents(rng, 1, DIMS)})
    assert_matches_mirror(scene, mirror)
    assert_precisions_agree(scene)


@pytest.mark.parametrize("basis", BASES)
def test_two_distant_bodies(basis: str, rng: np.random.Generator, mirror: Any) -> None:
    """Each of two bodies far apart in a large grid has the same gradients as alone."""
    dims = (60, 40, 50)
    bodies = [clump(rng, 10, [4, 4, 4], [7, 7, 7]), clump(rng, 10, [52, 32, 42], [55, 35, 45])]
    scene = make_scene(rng, basis, steps=8)
    fields = {**scene.fields, "dims": dims}
    inputs = random_inputs(rng, np.concatenate(bodies), 4)
    cotangents = random_cotangents(rng, 20, dims)
    both = replace(scene, fields=fields, inputs=inputs, cotangents={8: cotangents})
    assert_matches_mirror(both, mirror)
    together = pull_back(run(both), both)

    for body in (slice(0, 10), slice(10, 20)):
        alone_inputs = {
            k: a if k in ("gravity", "drag") else (a[:, body] if k == "control" else a[body]) for k, a in inputs.items()
        }
        alone_cotangents = {k: a if k == "adj_grid_mass" else a[body] for k, a in cotangents.items()}
        alone = replace(both, inputs=alone_inputs, cotangents={8: alone_cotangents})
        grads = pull_back(run(alone), alone)
        for name in set(INPUTS) - {"gravity", "drag"}:
            expected = together[name][:, body] if name == "control" else together[name][body]
            assert_same_vector(grads[name], expected, tol.MIRROR, name)


@pytest.mark.parametrize("basis", BASES)
def test_particles_on_one_point(basis: str, rng: np.random.Generator, mirror: Any) -> None:
    """Particles at the same position with different states."""
    scene = make_scene(rng, basis, steps=4)
    x = np.repeat(clump(rng, 1, [6.2] * 3, [6.8] * 3), 6, axis=0)
    inputs = random_inputs(rng, x, 2)
    assert_matches_mirror(replace(scene, inputs=inputs, cotangents={4: random_cotangents(rng, 6, DIMS)}), mirror)


@pytest.mark.parametrize("basis", BASES)
def test_light_beside_heavy(basis: str, rng: np.random.Generator, mirror: Any) -> None:
    """Masses that differ by a factor of 1e6 on the same nodes."""
    scene = make_scene(rng, basis, steps=4)
    mass = scene.inputs["mass"].copy()
    mass[::2] *= 1e3
    volume = scene.inputs["volume"].copy()
    mass[1::2] *= 1e-3
    volume[1::2] *= 1e-3  # same stiffness per mass
    assert_matches_mirror(scene.with_inputs(mass=mass, volume=volume), mirror)
