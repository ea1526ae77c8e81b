# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A failed rollout reports the particle, the step and the cause, and does not modify its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scenes import BASES, DTYPES, MATERIALS, assert_same_bits

GRID: dict[str, Any] = {"dx": 0.5, "dt": 4e-3, "origin": (-4.0, -4.0, -4.0), "dims": (17, 17, 17)}
COUNT = 9
VICTIM = 5  # the particle that fails, far from the others


def body(dtype: Any, **changes: Any) -> Any:
    """Return eight particles around the origin and one far from them."""
    import diffmpm as dm

    rng = np.random.default_rng(3)
    x = rng.uniform(-0.4, 0.4, (COUNT, 3))
    x[VICTIM] = (2.3, 2.2, 2.1)
    arrays: dict[str, Any] = {"mass": 1.0, "volume": 0.01, "lam": 400.0, "mu": 300.0, **changes}
    return dm.Particles.create(x.astype(dtype), **arrays)


def state(shape: tuple[int, ...], value: Any, dtype: Any) -> np.ndarray:
    """Return zeros with `value` at the victim."""
    out = np.zeros((COUNT, *shape), dtype)
    out[VICTIM] = value
    return out


def fail(particles: Any, dtype: Any, steps: int, control: np.ndarray | None = None, **fields: Any) -> Any:
    """Expect a SimulationError from a rollout, check that its inputs are unchanged, and return the error."""
    import diffmpm as dm

    names = ("x", "v", "C", "F", "mass", "volume", "lam", "mu")
    copies = {name: getattr(particles, name).copy() for name in names}
    control_copy = None if control is None else control.copy()
    sim = dm.Simulation(particles, dm.SimConfig(**{**GRID, **fields}))
    options = {} if control is None else {"control": control, "control_stride": 2}
    with pytest.raises(dm.SimulationError) as caught:
        sim.rollout(steps=steps, **options)
    for name in names:
        assert_same_bits(getattr(particles, name), copies[name], name)
    if control is not None:
        assert_same_bits(control, control_copy, "control")
    message = str(caught.value)
    assert str(caught.value.particle) in message
    assert str(caught.value.step) in message
    # Later rollouts work.
    again = dm.Simulation(body(dtype), dm.SimConfig(**GRID)).rollout(steps=3)
    assert np.isfinite(again.x).all()
    return caught.value


each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each = pytest.mark.parametrize("basis", BASES)


@each
@each_dtype
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_particle_leaves_the_grid(basis: str, dtype: Any, axis: int, sign: float) -> None:
    """Free flight to where the stencil ends: 1 cell (cubic) or 1/2 cell (quadratic) from the border."""
    velocity = np.zeros(3)
    velocity[axis] = 41.0 * sign
    particles = body(dtype, v=state((3,), velocity, dtype))
    error = fail(particles, dtype, 40, basis=basis)
    assert error.cause == "left_grid"
    assert error.particle == VICTIM
    reach = (1.0 if basis == "cubic" else 0.5) * GRID["dx"]
    border = 4.0 - reach  # the grid is centred on 0
    start = float(particles.x[VICTIM, axis])
    positions = start + GRID["dt"] * 41.0 * sign * np.arange(1, 41)
    assert error.step == int(np.argmax(np.abs(positions) > border))


@each
@each_dtype
def test_particle_starts_outside(basis: str, dtype: Any) -> None:
    import diffmpm as dm

    particles = body(dtype)
    x = particles.x.copy()
    x[VICTIM] = (9.0, 0.0, 0.0)
    with pytest.raises(dm.DiffMPMError, match=f"{VICTIM}"):
        dm.Simulation(particles.replace(x=x), dm.SimConfig(**GRID, basis=basis)).rollout(steps=2)


@each_dtype
@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("index", [0, 2])
def test_control_inverts(dtype: Any, material: str, index: int) -> None:
    """det(F + dFc) = -1 at the step of the control."""
    control = np.zeros((3, COUNT, 3, 3), dtype)
    control[index, VICTIM] = np.diag([-2.0, 0.0, 0.0])
    error = fail(body(dtype), dtype, 6, control, material=material)
    assert (error.cause, error.particle, error.step) == ("inverted", VICTIM, 2 * index)


@each_dtype
@pytest.mark.parametrize("material", MATERIALS)
def test_control_rotates_by_a_half_turn(dtype: Any, material: str) -> None:
    """det(F + dFc) = +1 by a half turn is not an inversion."""
    import diffmpm as dm

    control = np.zeros((1, COUNT, 3, 3), dtype)
    control[0, VICTIM] = np.diag([-2.0, -2.0, 0.0])
    roll = dm.Simulation(body(dtype), dm.SimConfig(**GRID, material=material)).rollout(steps=2, control=control)
    np.testing.assert_allclose(roll.F[VICTIM], np.diag([-1.0, -1.0, 1.0]), atol=1e-5)  # stress-free: 50 eps float32


@each
@each_dtype
@pytest.mark.parametrize("material", MATERIALS)
def test_step_inverts(basis: str, dtype: Any, material: str) -> None:
    """C = -1.5 / dt along one axis: det(I + dt C') = -1/2 in the first step."""
    particles = body(dtype, C=state((3, 3), np.diag([-1.5 / GRID["dt"], 0.0, 0.0]), dtype))
    error = fail(particles, dtype, 5, basis=basis, material=material)
    assert (error.cause, error.particle, error.step) == ("inverted", VICTIM, 0)


@each
@each_dtype
def test_input_is_inverted(basis: str, dtype: Any) -> None:
    import diffmpm as dm

    F = np.broadcast_to(np.eye(3, dtype=dtype), (COUNT, 3, 3)).copy()
    F[VICTIM, 0, 0] = -1.0
    with pytest.raises(dm.DiffMPMError, match=f"{VICTIM}"):
        dm.Simulation(body(dtype, F=F), dm.SimConfig(**GRID, basis=basis)).rollout(steps=2)


@each
@each_dtype
def test_not_finite_arises(basis: str, dtype: Any) -> None:
    """When the stress overflows, the state of the victim is the first that is not finite."""
    huge = 1e30 if dtype == np.float32 else 1e250
    lam = np.full(COUNT, 400.0, dtype)
    lam[VICTIM] = huge
    volume = np.full(COUNT, 0.01, dtype)
    volume[VICTIM] = huge
    F = np.broadcast_to(np.eye(3, dtype=dtype), (COUNT, 3, 3)).copy()
    F[VICTIM] *= 1.1
    error = fail(body(dtype, lam=lam, volume=volume, F=F), dtype, 3, basis=basis)
    assert (error.cause, error.particle, error.step) == ("not_finite", VICTIM, 0)


@each
@each_dtype
def test_not_finite_arises_among_others(basis: str, dtype: Any) -> None:
    """An overflow spreads to all particles on the same nodes; the error names the particle that caused it."""
    huge = 1e30 if dtype == np.float32 else 1e250
    culprit = 6  # inside the body
    lam, volume = np.full(COUNT, 400.0, dtype), np.full(COUNT, 0.01, dtype)
    lam[culprit] = volume[culprit] = huge
    F = np.broadcast_to(np.eye(3, dtype=dtype), (COUNT, 3, 3)).copy()
    F[culprit] *= 1.1
    error = fail(body(dtype, lam=lam, volume=volume, F=F), dtype, 3, basis=basis)
    assert (error.cause, error.particle, error.step) == ("not_finite", culprit, 0)


@each_dtype
@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_rest_state_is_inverted(dtype: Any, value: float) -> None:
    """det Fp <= 0 is refused with the particle."""
    import diffmpm as dm

    Fp = np.broadcast_to(np.eye(3, dtype=dtype), (COUNT, 3, 3)).copy()
    Fp[VICTIM, 1, 1] = value
    with pytest.raises(dm.DiffMPMError, match=f"{VICTIM}"):
        dm.Simulation(body(dtype, Fp=Fp), dm.SimConfig(**GRID)).rollout(steps=2)


@each_dtype
def test_degenerate_rotation(dtype: Any) -> None:
    """With two singular values near zero the adjoint raises an error instead of returning NaN."""
    import diffmpm as dm

    tiny = 1e-9 if dtype == np.float32 else 1e-17
    F = np.broadcast_to(np.eye(3, dtype=dtype), (COUNT, 3, 3)).copy()
    F[VICTIM] = np.diag([1.0, tiny, tiny])
    # The particle is alone and at rest, so F does not change before the adjoint.
    roll = dm.Simulation(body(dtype, F=F, lam=0.0, mu=1e-3), dm.SimConfig(**GRID)).rollout(steps=2)
    with pytest.raises(dm.SimulationError) as caught:
        roll.vjp(adj_C=np.ones((COUNT, 3, 3), dtype))
    assert (caught.value.cause, caught.value.particle) == ("degenerate", VICTIM)
    assert caught.value.step in (0, 1)


@each_dtype
def test_not_finite_arises_later(dtype: Any) -> None:
    """An unstable time step fails before the last step."""
    error = fail(body(dtype, lam=4e9, mu=3e9, v=state((3,), 1.0, dtype), C=state((3, 3), 1e-3, dtype)), dtype, 400)
    assert error.cause in ("left_grid", "not_finite", "inverted")
    assert 0 <= error.step < 400
    assert 0 <= error.particle < COUNT


@each_dtype
@pytest.mark.parametrize("name", ["x", "v", "C", "F", "mass", "volume", "lam", "mu"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_input_is_not_finite(dtype: Any, name: str, value: float) -> None:
    import diffmpm as dm

    array = getattr(body(dtype), name).copy()
    array[VICTIM] = value
    with pytest.raises(dm.ConfigError, match=rf"^{name}: "):
        body(dtype).replace(**{name: array})


@each_dtype
def test_control_is_not_finite(dtype: Any) -> None:
    import diffmpm as dm

    control = np.zeros((2, COUNT, 3, 3), dtype)
    control[1, VICTIM, 0, 2] = np.nan
    sim = dm.Simulation(body(dtype), dm.SimConfig(**GRID))
    with pytest.raises(dm.DiffMPMError) as caught:
        sim.rollout(steps=4, control=control, control_stride=2)
    if isinstance(caught.value, dm.SimulationError):
        assert (caught.value.cause, caught.value.particle, caught.value.step) == ("not_finite", VICTIM, 2)


@each_dtype
@pytest.mark.parametrize("budget", [None, 3000])
def test_failure_while_checkpointing(dtype: Any, budget: int | None) -> None:
    """The error is the same with stored and recomputed states."""
    import diffmpm as dm

    velocity = np.array([41.0, 0.0, 0.0])
    sim = dm.Simulation(body(dtype, v=state((3,), velocity, dtype)), dm.SimConfig(**GRID))
    with pytest.raises(dm.SimulationError) as caught:
        sim.rollout(steps=40, memory_budget=budget)
    start = 2.3
    expected = int(np.argmax(start + GRID["dt"] * 41.0 * np.arange(1, 41) > 3.5))
    assert (caught.value.cause, caught.value.particle, caught.value.step) == ("left_grid", VICTIM, expected)
