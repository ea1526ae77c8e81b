# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Rollout objects: time steps, memory of results, promotion, and grids."""

from __future__ import annotations

import gc

import diffmpm as dm
import numpy as np
import pytest


def simulation(dtype: type = np.float32, count: int = 200) -> dm.Simulation:
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (count, 3)).astype(dtype)
    v = rng.standard_normal((count, 3)).astype(dtype)
    body = dm.Particles.create(x, v=v, mass=1.0, volume=0.1, lam=50.0, mu=50.0)
    return dm.Simulation(body, dm.SimConfig(dx=0.5, dt=1e-2))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_are_aligned_and_keep_their_memory(dtype: type) -> None:
    roll = simulation(dtype).rollout(3, motion_gradient=True)
    arrays = {name: getattr(roll, name) for name in ("x", "v", "C", "F", "G")}
    copies = {name: array.copy() for name, array in arrays.items()}
    del roll
    gc.collect()
    for name, array in arrays.items():
        assert array.dtype == dtype and array.flags.c_contiguous, name
        assert array.ctypes.data % 64 == 0, name
        np.testing.assert_array_equal(array, copies[name])


def test_layers_follow_each_other() -> None:
    sim = simulation()
    roll = sim.rollout(4)
    np.testing.assert_array_equal(roll.state(0).x, sim.particles.x)
    np.testing.assert_array_equal(roll.state(-1).x, roll.x)
    for n in range(4):
        now, then = roll.state(n), roll.state(n + 1)
        np.testing.assert_allclose(then.x, now.x + 1e-2 * then.v, rtol=0, atol=4e-7)  # 4 ulp of |x| <= 1.2
    frames = roll.frames_x(2)
    assert frames.shape == (3, sim.particles.count, 3)
    np.testing.assert_array_equal(frames[1], roll.state(2).x)


def test_the_callers_arrays_stay_as_they_were() -> None:
    sim = simulation()
    before = {name: getattr(sim.particles, name).copy() for name in ("x", "v", "C", "F", "mass", "lam")}
    roll = sim.rollout(3)
    roll.vjp(adj_x=np.ones_like(roll.x), wrt="all")
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(sim.particles, name), value)


def test_a_chain_of_promoted_rollouts_is_one_rollout() -> None:
    sim = simulation(np.float64)
    config = sim.config
    whole = sim.rollout(6)
    half = sim.rollout(3).end_particles()
    chained = dm.Simulation(half, config).rollout(3)
    np.testing.assert_allclose(chained.x, whole.x, rtol=0, atol=1e-14)  # another order of the particles: a few ulp
    np.testing.assert_allclose(chained.F, whole.F, rtol=0, atol=1e-13)


def test_zero_steps_return_the_input() -> None:
    sim = simulation()
    roll = sim.rollout(0)
    np.testing.assert_array_equal(roll.F, sim.particles.F)
    grads = roll.vjp(adj_x=np.ones_like(roll.x), wrt=("x", "mass"))
    np.testing.assert_array_equal(grads.x, np.ones_like(roll.x))
    np.testing.assert_array_equal(grads.mass, np.zeros(sim.particles.count))


def test_the_default_grid_holds_the_body_with_room() -> None:
    sim = simulation()
    low = np.array(sim.config.origin)
    high = low + (np.array(sim.config.dims) - 1) * sim.config.dx
    extent = np.ptp(sim.particles.x, axis=0)
    assert (low <= sim.particles.x.min(axis=0) - extent).all()
    assert (high >= sim.particles.x.max(axis=0) + extent).all()


def test_memory_follows_the_particles_and_not_the_domain() -> None:
    body = simulation().particles
    far = body.replace(x=np.concatenate([body.x[:100], body.x[100:] + np.float32(4000.0)]))
    wide = dm.SimConfig(dx=0.5, dt=1e-2, origin=(-10.0, -10.0, -10.0), dims=(10000, 10000, 10000))
    roll = dm.Simulation(far, wide).rollout(2)
    alone = dm.Simulation(body.replace(x=body.x[:100], v=body.v[:100], C=body.C[:100], F=body.F[:100],
                                       mass=1.0, volume=0.1, lam=50.0, mu=50.0), wide).rollout(2)  # fmt: skip
    np.testing.assert_array_equal(roll.x[:100], alone.x)


def test_losses_add_up() -> None:
    roll = simulation(np.float64).rollout(2)
    target = dm.grid_mass(roll.x + 0.1, roll.particles.mass, roll.config)
    log, kinetic = dm.losses.LogMass(target), dm.losses.Kinetic(weight=0.5)
    total = (log + 2.0 * kinetic + dm.losses.SquaredMass(target, weight=0.1)).evaluate(roll)
    assert set(total.terms) == {"log_mass", "kinetic", "squared_mass"}
    assert total.value == pytest.approx(sum(total.terms.values()), rel=1e-15)
    assert total.terms["kinetic"] == pytest.approx(np.mean(np.sum(roll.v**2, axis=1)), rel=1e-14)
    np.testing.assert_allclose(total.adj["adj_v"], 2 * roll.v / len(roll.v), rtol=1e-14)
    with pytest.raises(dm.ConfigError, match="weight: expected a finite number >= 0"):
        dm.losses.Kinetic(weight=-1.0)


def test_kinetic_energy_of_a_window() -> None:
    roll = simulation(np.float64).rollout(3)
    one = (dm.losses.Kinetic(window=True, weight=2.0) + dm.losses.Kinetic(window=True)).evaluate(roll)
    speeds = [np.mean(np.sum(roll.state(n).v ** 2, axis=1)) for n in (1, 2, 3)]
    assert one.value == pytest.approx(3 * np.mean(speeds), rel=1e-13)
    grads = roll.vjp(**one.adj, wrt=("v",))
    step, shift = 1e-5, np.random.default_rng(5).standard_normal(roll.v.shape)
    values = []
    for sign in (1, -1):
        moved = dm.Simulation(roll.particles.replace(v=roll.particles.v + sign * step * shift), roll.config).rollout(3)
        values.append(3 * dm.losses.Kinetic(window=True).evaluate(moved).value)
    assert np.sum(grads.v * shift) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-8)


def test_the_target_may_be_particles() -> None:
    roll = simulation(np.float64).rollout(1)
    moved = roll.particles.replace(x=roll.particles.x + 0.2)
    grid = dm.losses.LogMass(dm.grid_mass(moved.x, moved.mass, roll.config)).evaluate(roll)
    particles = dm.losses.LogMass(moved).evaluate(roll)
    assert particles.value == grid.value > 0
    np.testing.assert_array_equal(particles.adj["adj_grid_mass"], grid.adj["adj_grid_mass"])
