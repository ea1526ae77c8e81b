# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The transport loss against a dense solver, finite differences, and what a Sinkhorn divergence promises."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core
from diffmpm.losses import Transport
from numpy.testing import assert_allclose, assert_array_equal

DIMS = (11, 9, 10)
GRID = dm.SimConfig(dx=0.5, dt=1e-3, origin=(0.0, 0.0, 0.0), dims=DIMS, basis="quadratic")
CONVERGED = 600


def masses(seed, *, low=(0, 0, 0), high=DIMS):
    """Return random masses on about half of the nodes of a box."""
    rng = np.random.default_rng(seed)
    m = np.zeros(DIMS)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    m[box] = rng.random(m[box].shape) * (rng.random(m[box].shape) < 0.5)
    return m


def softmin(cost, dual, weight, temperature):
    """Return -T log sum_j weight_j exp((dual_j - cost_ij) / T)."""
    with np.errstate(divide="ignore"):
        exponent = (dual - cost) / temperature + np.log(weight)
    top = exponent.max(axis=1)
    return -temperature * (top + np.log(np.exp(exponent - top[:, None]).sum(axis=1)))


def dense_cost(a, b, temperature):
    """Return the entropic cost [cells^2] of two measures, and the potential of the first, by dense iterations."""
    nodes = np.stack(np.meshgrid(*map(np.arange, DIMS), indexing="ij"), axis=-1).reshape(-1, 3)
    keep_a, keep_b = a.ravel() > 0, b.ravel() > 0
    alpha, beta = a.ravel()[keep_a] / a.sum(), b.ravel()[keep_b] / b.sum()
    cost = 0.5 * ((nodes[keep_a][:, None] - nodes[keep_b][None]) ** 2).sum(axis=-1)
    g, symmetric = np.zeros(len(beta)), a is b
    for _ in range(5000):
        f = softmin(cost, g, beta, temperature)
        new = 0.5 * (g + f) if symmetric else softmin(cost.T, f, alpha, temperature)
        g, change = new, np.abs(new - g).max()
        if change < 1e-13:
            break
    f = softmin(cost, g, beta, temperature)
    potential = np.zeros(a.size)
    potential[keep_a] = f
    return float(alpha @ f + beta @ g), potential.reshape(DIMS)


def dense_divergence(a, b, temperature):
    """Return the debiased divergence and its derivative with respect to the masses a."""
    (cross, f), (own, p), (other, _) = (dense_cost(*pair, temperature) for pair in ((a, b), (a, a), (b, b)))
    slope = f - p
    mean = float((a * slope).sum() / a.sum())
    return cross - 0.5 * own - 0.5 * other, (slope - mean) / a.sum()


class End:
    """The end of a rollout with fixed masses on the grid."""

    def __init__(self, mass, config=GRID):
        self.config, self._mass = config, mass
        x = np.array([[2.0, 2.0, 2.0]], mass.dtype)
        self.particles = SimpleNamespace(x=x, mass=np.ones(1, mass.dtype), dtype=mass.dtype, device="cpu")

    def grid_mass(self):
        return self._mass


def evaluate(loss, mass):
    value = loss.evaluate(End(mass))
    return value.value, value.adj["adj_grid_mass"]


@pytest.mark.parametrize("blur", [0.6, 1.0, 2.5])
def test_matches_a_dense_solver(blur):
    a, b = masses(1, high=(7, 9, 10)), masses(2, low=(3, 0, 2))
    expected, slope = dense_divergence(a, b, blur**2)
    value, adj = evaluate(Transport(b, GRID, unit=0.25, blur=blur, sweeps=CONVERGED), a)
    unit = (0.5 / 0.25) ** 2
    assert_allclose(value, unit * expected, rtol=1e-10)
    # Nodes without mass need no gradient: no particle reaches them.
    assert_allclose(adj[a > 0], unit * slope[a > 0], atol=1e-9 * np.abs(unit * slope).max())


def test_gradient_is_that_of_the_value():
    a, b = masses(1), masses(2)
    loss, rng = Transport(b, GRID, sweeps=CONVERGED), np.random.default_rng(3)
    adj = evaluate(loss, a)[1]
    for _ in range(3):
        along, h = rng.standard_normal(DIMS) * a, 1e-4
        difference = (evaluate(loss, a + h * along)[0] - evaluate(loss, a - h * along)[0]) / (2.0 * h)
        assert_allclose(np.vdot(adj, along), difference, rtol=1e-5)  # the values are rounded to 1e-15, the step is 1e-8


def test_gradient_of_positions_and_on_another_grid():
    """Through the transfer of particles to the grid: of the simulation, or one of its own."""
    rng = np.random.default_rng(4)
    x, mass = rng.uniform(1.5, 3.0, (30, 3)), rng.uniform(0.5, 1.0, 30)
    body = dm.Particles.create(x, mass=mass, volume=1.0, lam=1.0, mu=1.0)
    target = masses(5, high=(6, 9, 10))
    along = rng.standard_normal(x.shape)
    for config in (GRID, GRID.replace(dx=0.7, dims=(9, 9, 9))):
        loss = Transport(target, GRID, sweeps=CONVERGED)

        def value(step, config=config, loss=loss):
            roll = dm.Simulation(body.replace(x=x + step * along), config).rollout(steps=0)
            return loss.evaluate(roll), roll

        at, roll = value(0.0)
        adj = roll.vjp(**at.adj, wrt=("x",)).x
        h = 1e-5
        difference = (value(h)[0].value - value(-h)[0].value) / (2.0 * h)
        assert_allclose(np.vdot(adj, along), difference, rtol=1e-6)
        assert ("adj_grid_mass" in at.adj) == (config is GRID)


def test_zero_for_equal_masses_and_positive_for_others():
    a, b = masses(1), masses(2)
    value, adj = evaluate(Transport(a, GRID, sweeps=200), 3.0 * a)  # another total mass
    assert abs(value) < 1e-10 and np.abs(adj[a > 0]).max() < 1e-10
    smallest = []
    for t in (0.01, 0.1, 1.0):
        smallest.append(evaluate(Transport(a, GRID, sweeps=CONVERGED), a + t * (b - a))[0])
    assert 0.0 < smallest[0] < smallest[1] < smallest[2]


def test_translation_costs_half_of_its_square():
    a = masses(1, low=(1, 1, 1), high=(5, 6, 6))
    shift = (5, 2, 3)
    b = np.roll(a, shift, axis=(0, 1, 2))
    value, adj = evaluate(Transport(b, GRID, unit=0.5, sweeps=CONVERGED), a)
    assert_allclose(value, 0.5 * np.dot(shift, shift), rtol=1e-9)
    # The potential is linear, with the slope of minus the displacement.
    for axis, step in enumerate(shift):
        slopes = np.diff(adj[1:5, 1:6, 1:6], axis=axis) * a.sum()
        assert_allclose(slopes, -step, atol=1e-6)


def test_single_precision():
    a, b = (masses(n).astype(np.float32) for n in (1, 2))
    single = evaluate(Transport(b, GRID, sweeps=20), a)
    double = evaluate(Transport(b.astype(float), GRID, sweeps=20), a.astype(float))
    assert single[1].dtype == np.float32
    assert_allclose(single[0], double[0], rtol=1e-4)
    assert_allclose(single[1], double[1], atol=1e-4 * np.abs(double[1]).max())


def test_large_grids_do_not_underflow():
    """60 cells away the terms of the sums differ by a factor of e^1800."""
    dims = (70, 8, 8)
    grid = GRID.replace(dims=dims)
    for dtype in (np.float32, np.float64):
        a, b = np.zeros(dims, dtype), np.zeros(dims, dtype)
        a[2:5, 2:4, 2:4], b[62:65, 2:4, 2:4] = 1.0, 1.0
        loss = Transport(b, grid, unit=0.5)
        roll = End(a, grid)
        value = loss.evaluate(roll)
        assert_allclose(value.value, 0.5 * 60.0**2, rtol=1e-5)
        slopes = np.diff(value.adj["adj_grid_mass"][2:5, 2:4, 2:4], axis=0) * a.sum()
        assert_allclose(slopes, -60.0, rtol=1e-3)


@pytest.mark.parametrize(("goal", "error"), [("torus", 1e-3), ("sphere", 0.02)])
def test_few_sweeps_are_close_to_convergence(goal, error):
    """By default, for two shapes, and for two samples of one shape, whose divergence is 1e-3 of its terms."""
    grid = dm.SimConfig(dx=0.25, dt=1e-3, origin=(-2.5, -2.5, -2.5), dims=(21, 21, 21))
    body, sample = (dm.sample(s, particles=2000, dtype=np.float64, seed=n) for n, s in enumerate(("sphere", goal)))
    target, roll = dm.grid_mass(sample.x, sample.mass, grid), dm.Simulation(body, grid).rollout(steps=0)
    exact, few = (Transport(target, grid, **options).evaluate(roll) for options in ({"sweeps": 300}, {}))
    assert few.value == pytest.approx(exact.value, rel=error)
    assert few.value > 0.0
    slope, adj = (value.adj["adj_grid_mass"] for value in (exact, few))
    touched = roll.grid_mass() > 0
    assert np.abs(adj - slope)[touched].max() < 10.0 * error * np.abs(slope[touched]).max()


def test_value_depends_on_the_rollout_alone(rng):
    """Neither on evaluations before nor on the number of threads."""
    body = dm.sample("sphere", particles=200, dtype=np.float64)
    body = body.replace(x=body.x + 2.25)
    simulation = dm.Simulation(body, GRID)
    rolls = [simulation.rollout(steps=2, control=0.05 * rng.standard_normal((2, 200, 3, 3))) for _ in range(3)]
    loss, target = Transport(masses(2), GRID), masses(2)
    expected = [Transport(target, GRID).evaluate(roll) for roll in rolls]
    threads = dm.get_num_threads()
    try:
        for count in (1, 3):
            dm.set_num_threads(count)
            for n in (2, 0, 1, 1):
                value = loss.evaluate(rolls[n])
                assert value.value == expected[n].value
                assert_array_equal(value.adj["adj_grid_mass"], expected[n].adj["adj_grid_mass"])
    finally:
        dm.set_num_threads(threads)


def test_descent_moves_a_ball_into_two_distant_balls():
    """Gradient descent on particles alone, where mass losses have no gradient."""
    grid = dm.SimConfig(dx=0.5, dt=1e-3, origin=(-8.0, -3.0, -3.0), dims=(33, 13, 13))
    ball = dm.sample("sphere", particles=300, dtype=np.float64).x
    goal, mass = ball.copy(), np.ones(300)
    goal[:150, 0] -= 5.0
    goal[150:, 0] += 5.0
    target = dm.grid_mass(goal, mass, grid)
    assert not (target * dm.grid_mass(ball, mass, grid)).any()
    loss, x = Transport(target, grid, sweeps=10), ball.copy()
    values = []
    for _ in range(12):
        body = dm.Particles.create(x, mass=mass, volume=1.0, lam=1.0, mu=1.0)
        roll = dm.Simulation(body, grid).rollout(steps=0)
        value = loss.evaluate(roll)
        values.append(value.value)
        # N times the gradient is the displacement of a particle to its target.
        x = x - 0.7 * len(x) * roll.vjp(**value.adj, wrt=("x",)).x
    assert values[-1] < 3e-3 * values[0]
    assert np.count_nonzero(x[:, 0] < 0.0) == pytest.approx(150, abs=10)
    assert dm.metrics.chamfer(x, goal) < 0.1 * dm.metrics.chamfer(ball, goal)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": np.ones((2, 3, 4))}, r"target: expected the grid's shape \(11, 9, 10\), got \(2, 3, 4\)"),
        ({"target": np.zeros(DIMS)}, "target: expected mass on at least one node, got none"),
        ({"target": -np.ones(DIMS)}, "target: expected masses >= 0, got -1"),
        ({"sweeps": 0}, "sweeps: expected an integer >= 1, got 0"),
        ({"blur": 0.0}, "blur: expected a finite number > 0, got 0"),
        ({"unit": -1.0}, "unit: expected a finite number > 0, got -1"),
    ],
)
def test_invalid_arguments(change, message):
    arguments = {"target": np.ones(DIMS), **change}
    with pytest.raises(dm.ConfigError, match=message):
        Transport(arguments.pop("target"), GRID, **arguments)


def test_core_checks_shapes():
    m = np.ones((3, 3, 3))
    with pytest.raises(ValueError, match="expected arrays of one shape"):
        _core.loss_transport(m, np.ones((2, 3, 3)), m, 1.0, 1.0, 1)


def test_weights_are_shared():
    loss = 2.0 * Transport(masses(1), GRID, weight=3.0)
    assert loss.weight == 6.0
    assert replace(loss, blur=2.0).blur == 2.0
