# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses match their formulas, and their adjoints match central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tolerances as tol
from scenes import (
    BASES,
    DIMS,
    DTYPES,
    INPUTS,
    Scene,
    assert_same_vector,
    configuration,
    five_point_difference,
    make_scene,
    run,
)

H = 1e-5  # step of five-point differences: truncation is far below rounding, 1e-16 / 1e-5 of the value


def target_grid(rng: np.random.Generator, dtype: Any = np.float64) -> np.ndarray:
    """Return masses on half of the nodes."""
    target = rng.uniform(0.0, 0.3, DIMS) * (rng.uniform(size=DIMS) < 0.5)
    return np.ascontiguousarray(target, dtype=dtype)


def log_mass(m: Any, target: Any, m_ref: float, outside: float) -> float:
    m, target = np.asarray(m, np.float64), np.asarray(target, np.float64)
    node_weight = np.where(target > 0.0, 1.0, outside)
    return 0.5 * float((node_weight * (np.log1p(m / m_ref) - np.log1p(target / m_ref)) ** 2).sum())


def squared_mass(m: Any, target: Any, outside: float) -> float:
    m, target = np.asarray(m, np.float64), np.asarray(target, np.float64)
    node_weight = np.where(target > 0.0, 1.0, outside)
    return 0.5 * float((node_weight * (m - target) ** 2).sum())


def losses(rng: np.random.Generator, dtype: Any = np.float64) -> dict[str, Any]:
    """Return every loss, weighted losses and sums, for one target."""
    import diffmpm as dm

    target = target_grid(rng, dtype)
    log, squared = dm.losses.LogMass, dm.losses.SquaredMass
    return {
        "log": log(target),
        "log_weighted": log(target, m_ref=0.2, weight=3.0, outside_weight=0.25),
        "squared": squared(target),
        "squared_weighted": squared(target, m_ref=0.2, weight=3.0, outside_weight=0.25),
        "kinetic": dm.losses.Kinetic(weight=0.7),
        "sum": log(target) + 2.0 * squared(target, outside_weight=0.5) + dm.losses.Kinetic(weight=0.1),
        "scaled_sum": 0.5 * (log(target) + dm.losses.Kinetic(weight=0.1)),
    }


NAMES = ("log", "log_weighted", "squared", "squared_weighted", "kinetic", "sum", "scaled_sum")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("basis", BASES)
def test_values(basis: str, dtype: Any, rng: np.random.Generator) -> None:
    scene = make_scene(rng, basis, steps=4)
    roll = run(scene, dtype)
    every = losses(np.random.default_rng(5), dtype)
    target = target_grid(np.random.default_rng(5), dtype)
    m = roll.grid_mass()
    kinetic = float((np.asarray(roll.v, np.float64) ** 2).sum(1).mean())
    expected = {
        "log": log_mass(m, target, 1.0, 1.0),
        "log_weighted": 3.0 * log_mass(m, target, 0.2, 0.25),
        "squared": squared_mass(m, target, 1.0),
        "squared_weighted": 3.0 * squared_mass(m, target, 0.25),
        "kinetic": 0.7 * kinetic,
    }
    expected["sum"] = expected["log"] + 2.0 * squared_mass(m, target, 0.5) + 0.1 * kinetic
    expected["scaled_sum"] = 0.5 * (expected["log"] + 0.1 * kinetic)
    for name in NAMES:
        value = every[name].evaluate(roll)
        assert isinstance(value.value, float)
        # Each node rounds a few times, and sums over 2,700 nodes may use the dtype of the particles.
        np.testing.assert_allclose(value.value, expected[name], rtol=200.0 * tol.EPS[np.dtype(dtype)], err_msg=name)
        np.testing.assert_allclose(sum(value.terms.values()), value.value, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("basis", BASES)
def test_adjoint_is_the_gradient_of_the_value(basis: str, name: str, rng: np.random.Generator) -> None:
    """Through the whole rollout, for every input, along random directions."""
    scene = make_scene(rng, basis, steps=5, control_stride=1)
    loss = losses(np.random.default_rng(5))[name]
    roll = run(scene)
    grads = roll.vjp(**loss.evaluate(roll).adj, wrt="all")
    checked = 0
    for wrt in INPUTS:
        if wrt in ("G", "gravity", "drag"):
            continue
        gradient = np.asarray(getattr(grads, wrt))
        direction = rng.standard_normal(gradient.shape)
        direction /= np.linalg.norm(direction)
        h = H * {"lam": 400.0, "mu": 300.0}.get(wrt, 1.0)

        def value(step: float, wrt: str = wrt, direction: np.ndarray = direction, scene: Scene = scene) -> float:
            moved = scene.with_inputs(**{wrt: scene.inputs[wrt] + step * direction})
            return float(loss.evaluate(run(moved)).value)

        expected, got = five_point_difference(value, h), float(np.vdot(direction, gradient))
        size = float(np.linalg.norm(gradient)) / np.sqrt(gradient.size)
        rounding = 100.0 * tol.EPS[tol.F64] * abs(value(0.0)) / h
        assert abs(got - expected) <= tol.CENTRAL_DIFFERENCE * max(size, abs(expected)) + rounding, wrt
        checked += size > 0.0
    assert checked >= 8


@pytest.mark.parametrize("name", NAMES)
def test_adjoint_in_single_precision(name: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=5).rounded(np.float32)
    single, double = run(scene, np.float32), run(scene)
    loss32 = losses(np.random.default_rng(5), np.float32)[name]
    loss64 = losses(np.random.default_rng(5), np.float64)[name]
    got = single.vjp(**loss32.evaluate(single).adj)
    expected = double.vjp(**loss64.evaluate(double).adj)
    assert got.control.dtype == np.float32
    assert_same_vector(got.control, expected.control, tol.SINGLE_PRECISION, "control")


@pytest.mark.parametrize("name", ["log", "log_weighted", "squared", "squared_weighted"])
def test_zero_on_its_own_target(name: str, rng: np.random.Generator) -> None:
    """Value and adjoint are exactly zero at the target."""
    import diffmpm as dm

    roll = run(make_scene(rng, steps=2))
    mass_loss = dm.losses.LogMass if name.startswith("log") else dm.losses.SquaredMass
    weights = {"weight": 3.0, "m_ref": 0.2, "outside_weight": 0.5} if name.endswith("weighted") else {}
    value = mass_loss(roll.grid_mass(), **weights).evaluate(roll)
    assert value.value == 0.0
    assert not np.any(roll.vjp(**value.adj, wrt=("control",)).control)


def test_weight_scales_value_and_adjoint(rng: np.random.Generator) -> None:
    import diffmpm as dm

    roll = run(make_scene(rng, steps=3))
    target = target_grid(rng)
    for mass_loss in (dm.losses.LogMass, dm.losses.SquaredMass):
        one, four = mass_loss(target).evaluate(roll), mass_loss(target, weight=4.0).evaluate(roll)
        twice = (2.0 * mass_loss(target, weight=2.0)).evaluate(roll)
        for other in (four, twice):
            np.testing.assert_allclose(other.value, 4.0 * one.value, rtol=1e-14)
            assert_same_vector(roll.vjp(**other.adj).control, 4.0 * roll.vjp(**one.adj).control, 1e-13, "control")


@pytest.mark.parametrize("basis", BASES)
def test_target_of_another_shape_is_refused(basis: str, rng: np.random.Generator) -> None:
    import diffmpm as dm

    roll = run(make_scene(rng, basis, steps=2))
    wrong = np.zeros((DIMS[0] + 1, *DIMS[1:]))
    with pytest.raises(dm.ConfigError, match="target"):
        dm.losses.LogMass(wrong).evaluate(roll)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("basis", BASES)
def test_grid_mass_vjp(basis: str, dtype: Any, rng: np.random.Generator, mirror: Any) -> None:
    """`grid_mass` against autograd of the mirror, for positions and masses."""
    import diffmpm as dm
    import torch

    scene = make_scene(rng, basis, steps=1).rounded(dtype)
    x, mass = scene.inputs["x"], scene.inputs["mass"]
    adjoint = np.asarray(rng.standard_normal(DIMS), dtype)
    config = configuration(scene)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, mass)]
    grid = mirror.grid_mass(*leaves, scene.mirror_config(mirror))
    expected = torch.autograd.grad((grid * torch.tensor(adjoint.astype(np.float64))).sum(), leaves)
    tolerance = tol.MIRROR if dtype == np.float64 else tol.SINGLE_PRECISION
    got = dm.grid_mass(x.astype(dtype), mass.astype(dtype), config)
    assert_same_vector(got, grid.detach().numpy(), tolerance, "grid mass")
    adj_x, adj_mass = dm.grid_mass_vjp(x.astype(dtype), mass.astype(dtype), config, adjoint)
    assert_same_vector(adj_x, expected[0].numpy(), tolerance, "adj_x")
    assert_same_vector(adj_mass, expected[1].numpy(), tolerance, "adj_mass")


def test_target_from_particles(rng: np.random.Generator) -> None:
    """A loss accepts the grid mass of target particles."""
    import diffmpm as dm

    scene = make_scene(rng, steps=2)
    roll = run(scene)
    target = dm.grid_mass(scene.inputs["x"], scene.inputs["mass"], configuration(scene))
    value = dm.losses.LogMass(target).evaluate(roll).value
    np.testing.assert_allclose(value, log_mass(roll.grid_mass(), target, 1.0, 1.0), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(roll.grid_mass(0)), target, rtol=0.0, atol=1e-14)
