# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
from dataclasses import replace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.losses import FineMass, Kinetic, OutsideMass, WeightSchedule
from diffmpm.morphing.config import MorphConfig
from diffmpm.morphing.objective import LossObjective
from diffmpm.morphing.problem import make_problem
from numpy.testing import assert_allclose


@pytest.fixture
def problem():
    return make_problem("sphere", "box", MorphConfig(particles=60, cells=8.0, dtype="float64"))


def every_loss(problem):
    target, body, sim = problem.target, problem.body, problem.sim
    mass = dm.grid_mass(target, body.mass, sim)
    return {
        "fine": FineMass(target, body.mass, sim, ratio=1.7, m_ref=0.2, weight=0.7),
        "outside": OutsideMass(mass, full=20.0, weight=3.0),
        "all": problem.loss(MorphConfig(kinetic_weight=0.1, proximity_weight=2.0)),
        "skin": problem.loss(MorphConfig(skin_weight=3.0)),
    }


@pytest.mark.parametrize("name", ["fine", "outside", "all", "skin"])
def test_gradient_is_that_of_the_value(problem, name):
    loss = every_loss(problem)[name]
    rng = np.random.default_rng(4)
    control = 0.02 * rng.standard_normal((3, 60, 3, 3))
    along = rng.standard_normal(control.shape)
    simulation = dm.Simulation(problem.body, problem.sim)

    def value(u):
        return loss.evaluate(simulation.rollout(steps=3, control=u)).value

    roll = simulation.rollout(steps=3, control=control)
    gradient = roll.vjp(**loss.evaluate(roll).adj, wrt=("control",)).control
    h = 1e-5
    difference = (value(control + h * along) - value(control - h * along)) / (2 * h)
    assert_allclose(np.vdot(gradient, along), difference, rtol=1e-6)


def test_losses_vanish_if_the_body_equals_the_target(problem):
    body = problem.body.replace(x=problem.target)
    roll = dm.Simulation(body, problem.sim).rollout(steps=1)
    for name, loss in every_loss(problem).items():
        # The interpolated distance rounds the edges of the box.
        assert_allclose(loss.evaluate(roll).value, 0.0, atol=0.02 if name == "skin" else 1e-9)


def test_force_of_outside_mass_does_not_depend_on_the_distance(problem):
    mass = dm.grid_mass(problem.target, problem.body.mass, problem.sim)
    loss = OutsideMass(mass, full=1.0)
    pull = []
    for away in (2.0, 6.0):
        x = problem.target[:1] * 0 + [[12.0 + away, 0.0, 0.0]]
        roll = dm.Simulation(dm.Particles.create(x, mass=1.0, volume=1.0, lam=1.0, mu=1.0), problem.sim).rollout(
            steps=1
        )
        pull.append(dm.grid_mass_vjp(x, np.ones(1), problem.sim, loss.evaluate(roll).adj["adj_grid_mass"]).x[0])
    assert pull[0][0] > 0
    assert_allclose(pull[0][0], pull[1][0], rtol=0.1)


def test_transport_is_a_term_of_a_morph(problem):
    """Its value is in squared spacings, per full cell: here of a translation."""
    problem = replace(problem, target=problem.body.x + np.array([0.0, 1.5, 2.0]))
    roll = dm.Simulation(problem.body, problem.sim).rollout(steps=0)
    value = problem.loss(MorphConfig(transport_weight=2.0)).evaluate(roll)
    full_cells = problem.body.volume.sum() / problem.sim.dx**3
    # The transfer to the grid does not commute with a translation by a fraction of a cell.
    assert_allclose(value.terms["transport"], 2.0 * full_cells * 0.5 * 2.5**2 / problem.spacing**2, rtol=0.03)


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
