# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
from dataclasses import replace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.losses import Compression, FineMass, Kinetic, OutsideMass, WeightSchedule
from diffmpm.morphing.config import MorphConfig
from diffmpm.morphing.objective import LossObjective
from diffmpm.morphing.problem import make_problem
from numpy.testing import assert_allclose


@pytest.fixture
def problem():
    return make_problem("sphere", "box", MorphConfig(particles=60, cell_particles=8, dtype="float64"))


def every_loss(problem):
    target, sim = problem.target, problem.sims[-1]
    mass = dm.grid_mass(target, problem.target_mass, sim)
    return {
        "fine": FineMass(target, problem.target_mass, sim, ratio=1.7, m_ref=0.2, weight=0.7),
        "outside": OutsideMass(mass, full=20.0, weight=3.0),
        "all": problem.loss(MorphConfig(kinetic_weight=0.1, proximity_weight=2.0, skin_weight=0.0), 0),
        "skin": problem.loss(MorphConfig(skin_weight=3.0), 0),
    }


@pytest.mark.parametrize("name", ["fine", "outside", "all", "skin"])
def test_gradient_is_that_of_the_value(problem, name):
    loss = every_loss(problem)[name]
    rng = np.random.default_rng(4)
    control = 0.02 * rng.standard_normal((3, 60, 3, 3))
    along = rng.standard_normal(control.shape)
    simulation = dm.Simulation(problem.body, problem.sims[-1])

    def value(u):
        return loss.evaluate(simulation.rollout(steps=3, control=u)).value

    roll = simulation.rollout(steps=3, control=control)
    gradient = roll.vjp(**loss.evaluate(roll).adj, wrt=("control",)).control
    h = 1e-5
    difference = (value(control + h * along) - value(control - h * along)) / (2 * h)
    assert_allclose(np.vdot(gradient, along), difference, rtol=1e-6)


def test_losses_vanish_if_the_body_equals_the_target(problem):
    problem = replace(problem, target=problem.resample(0))
    body = problem.body.replace(x=problem.target)
    roll = dm.Simulation(body, problem.sims[-1]).rollout(steps=1)
    for name, loss in every_loss(problem).items():
        # The interpolated distance rounds the edges of the box.
        assert_allclose(loss.evaluate(roll).value, 0.0, atol=0.02 if name == "skin" else 1e-9)


def test_force_of_outside_mass_does_not_depend_on_the_distance(problem):
    mass = dm.grid_mass(problem.target, problem.target_mass, problem.sims[-1])
    loss = OutsideMass(mass, full=1.0)
    pull = []
    for away in (12.0, 24.0):
        x = problem.target[:1] * 0 + [[12.0 + away, 0.0, 0.0]]
        roll = dm.Simulation(dm.Particles.create(x, mass=1.0, volume=1.0, lam=1.0, mu=1.0), problem.sims[-1]).rollout(
            steps=1
        )
        pull.append(dm.grid_mass_vjp(x, np.ones(1), problem.sims[-1], loss.evaluate(roll).adj["adj_grid_mass"]).x[0])
    assert pull[0][0] > 0
    assert_allclose(pull[0][0], pull[1][0], rtol=0.1)


def test_transport_assigns_goals_at_the_start_of_a_window(problem):
    """Its value is in squares of a coarse cell, per full cell: here of a translation."""
    way = np.array([0.0, 1.5, 2.0])
    problem = replace(problem, target=problem.body.x + way)
    objective = problem.objectives(MorphConfig(transport_weight=2.0))[0]
    loss = objective.window_loss(problem.body).parts[-1]
    assert_allclose(loss.goals, problem.target, atol=0.1)
    roll = dm.Simulation(problem.body, problem.sims[0]).rollout(steps=0)
    full_cells = problem.body.volume.sum() / problem.sims[0].dx ** 3
    expected = 2.0 * full_cells * 0.5 * way @ way / problem.sims[0].dx ** 2
    assert_allclose(loss.evaluate(roll).value, expected, rtol=0.05)


def test_goals_of_transport_move_a_body_onto_its_target():
    """The goals of the barycentric projection of a ball lie in the target, with its centroid and extent."""
    problem = make_problem("sphere", "torus", MorphConfig(particles=1000, dtype="float64"))
    goals = problem.objectives(MorphConfig())[0].transport.goals(problem.body)
    assert_allclose(goals.mean(axis=0), problem.target.mean(axis=0), atol=0.1)
    assert_allclose(goals.std(axis=0), problem.target.std(axis=0), rtol=0.1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compression_counts_only_collapsed_particles(dtype):
    body = dm.sample("sphere", particles=50, dtype=dtype)
    F = np.tile(np.eye(3, dtype=dtype), (50, 1, 1))
    F[:5] *= 0.8
    body = body.replace(F=F)
    roll = dm.Simulation(body, dm.SimConfig(dx=0.5, dt=1e-3)).rollout(steps=0)
    assert Compression(limit=0.5).compute(roll) == (0.0, {})
    value, adj = Compression(limit=0.7).compute(roll)
    assert_allclose(value, 0.1 * 0.5 * np.log(0.7 / 0.8**3) ** 2, rtol=1e-5)
    assert np.count_nonzero(adj["adj_F"][5:]) == 0
    # The derivative along F, for which log det F grows by 3.
    assert_allclose(np.vdot(adj["adj_F"], F), -0.1 * 3 * np.log(0.7 / 0.8**3), rtol=1e-5)


def test_scheduled_weights_follow_the_windows():
    """A loss whose schedule has ended is not computed."""
    computed = []

    class Counted(Kinetic):
        def compute(self, roll):
            computed.append(roll)
            return super().compute(roll)

    body = dm.sample("sphere", particles=30)
    roll = dm.Simulation(body.replace(v=body.x), dm.SimConfig(dx=0.5, dt=1e-3)).rollout(steps=1)
    loss = Kinetic() + Counted(weight=WeightSchedule(start=4.0, end=0.0, interpolation="linear"))
    objective = LossObjective(loss, windows=5)
    kinetic = Kinetic().evaluate(roll).value
    for window, factor in enumerate((5.0, 4.0, 3.0, 2.0, 1.0)):
        evaluation = objective.begin_window(body, ({},) * window).evaluate(roll)
        assert_allclose(evaluation.value, factor * kinetic, rtol=1e-12)
    assert len(computed) == 4
    assert (2.0 * loss).evaluate(roll, progress=0.5).value == pytest.approx(6.0 * kinetic)
