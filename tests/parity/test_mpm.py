# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Rollouts on a device match the CPU and the reference results: all states, gradients and options."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import tolerances as tol
from diffmpm.errors import SimulationError
from regression.test_oracle import CASES, STORED, load, mass_loss, scene_of
from scenes import (
    BASES,
    DTYPES,
    INPUTS,
    Scene,
    assert_same_bits,
    assert_same_vector,
    combinations,
    configuration,
    host,
    make_scene,
    on,
    pull_back,
    run,
    travelling_scene,
)


def results(scene: Scene, dtype: Any, device: str, **options: Any) -> dict[str, np.ndarray]:
    """Return all states, grid masses and gradients."""
    roll = run(scene, dtype, device, **options)
    out = {f"grad_{name}": g for name, g in pull_back(roll, scene, dtype).items()}
    for n in range(scene.steps + 1):
        state = roll.state(n)
        out |= {f"{name}_{n}": host(getattr(state, name)) for name in "xvCFG"}
    out["grid_mass"] = host(roll.grid_mass())
    return out


def assert_parity(scene: Scene, dtype: Any, device: str, **options: Any) -> None:
    got, expected = (results(scene, dtype, where, **options) for where in (device, "cpu"))
    tolerance = tol.PARITY[np.dtype(dtype)]
    # Terms of this sum over particles and steps may cancel: relative to the bound of its terms in the first step.
    terms = scene.fields["dt"] * np.linalg.norm(expected["grad_v"]) * np.linalg.norm(scene.inputs["v"])
    assert abs(got.pop("grad_drag") - expected.pop("grad_drag")) <= tolerance * terms
    for name, array in expected.items():
        assert_same_vector(got[name], array, tolerance, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", combinations(), ids="-".join)
def test_every_option(case: tuple[str, str, str, str], dtype: Any, device: str, rng: np.random.Generator) -> None:
    assert_parity(make_scene(rng, *case).rounded(dtype), dtype, device)


@pytest.mark.parametrize("budget", [None, 1], ids=["kept", "recomputed"])
@pytest.mark.parametrize("basis", BASES)
def test_particles_are_reordered(basis: str, budget: int | None, device: str, rng: np.random.Generator) -> None:
    assert_parity(travelling_scene(rng, basis), np.float64, device, memory_budget=budget)


def test_runs_are_bitwise_reproducible(device: str, rng: np.random.Generator) -> None:
    scene = travelling_scene(rng, "quadratic")
    first, *others = (results(scene, np.float32, device, memory_budget=budget) for budget in (None, None, 1))
    for other in others:
        for name, array in first.items():
            assert_same_bits(other[name], array, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_reference_results(case: str, dtype: Any, device: str) -> None:
    stored = load(case)
    scene, tolerance = scene_of(stored), tol.ORACLE[np.dtype(dtype)]
    roll = run(scene, dtype, device)
    for name in "xvCF":
        assert_same_vector(host(getattr(roll, name)), stored[f"{name}_T"], tolerance, name)
    value, scene.cotangents[scene.steps]["adj_grid_mass"] = mass_loss(host(roll.grid_mass()), stored)
    np.testing.assert_allclose(value, stored["mass_loss"], rtol=tolerance)
    grads = pull_back(roll, scene, dtype)
    for name in INPUTS:
        if name != "G":  # not in the reference results
            assert_same_vector(grads[name], stored[f"grad_{STORED.get(name, name)}"], tolerance, f"grad_{name}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mass_loss", [dm.losses.LogMass, dm.losses.SquaredMass])
def test_losses(mass_loss: Any, dtype: Any, device: str, rng: np.random.Generator) -> None:
    scene, tolerance = make_scene(rng), tol.PARITY[np.dtype(dtype)]
    target = rng.random(scene.fields["dims"]) * (rng.random(scene.fields["dims"]) < 0.5)
    values = []
    for where in ("cpu", device):
        loss = (
            mass_loss(target, m_ref=0.3, outside_weight=0.2)
            + 0.1 * dm.losses.Kinetic(window=True)
            + dm.losses.Kinetic()
        )
        roll = run(scene.rounded(dtype), dtype, where)
        value = loss.evaluate(roll)
        gradient = roll.vjp(**value.adj, wrt="control").control
        values.append((value, host(value.adj["adj_grid_mass"]), host(gradient)))
    (expected, *arrays), (got, *others) = values
    np.testing.assert_allclose(got.value, expected.value, rtol=tolerance)
    for array, other in zip(arrays, others, strict=True):
        assert_same_vector(other, array, tolerance)
    particles = run(scene, dtype, "cpu").particles
    for body in (particles, particles.to(device)):  # target particles on either device
        assert dm.losses.LogMass(body).evaluate(run(scene, dtype, device)).value > 0.0


def test_failures_match_the_cpu(device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=3)
    outside, fast, still = (scene.inputs[name].copy() for name in ("x", "v", "v"))
    outside[7, 1] = 1e3
    fast[5] = 1e6
    still[3, 2] = np.nan
    for changes in ({"x": outside}, {"v": fast}):
        messages = []
        for where in ("cpu", device):
            with pytest.raises(SimulationError) as caught:
                run(scene.with_inputs(**changes), np.float64, where)
            messages.append((str(caught.value), caught.value.particle, caught.value.step, caught.value.cause))
        assert messages[0] == messages[1]
    with pytest.raises(SimulationError, match="particle 7 left the grid"):
        dm.grid_mass(on(device, outside), on(device, scene.inputs["mass"]), configuration(scene))


def test_errors_name_mixed_devices(device: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, steps=3)
    roll = run(scene, np.float64, device)
    with pytest.raises(dm.errors.ConfigError, match="adj_x: expected an array on the device"):
        roll.vjp(adj_x=scene.inputs["x"])
    with pytest.raises(dm.errors.ConfigError, match="control: expected an array on the device"):
        run(scene, np.float64, device, control=scene.inputs["control"])
    with pytest.raises(dm.errors.ConfigError, match="adj_x: expected a CPU array"):
        run(scene, np.float64, "cpu").vjp(adj_x=on(device, scene.inputs["x"]))
