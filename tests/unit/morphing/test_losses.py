# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import diffmpm as dm
import numpy as np
import pytest
from diffmpm.losses import FineMass, OutsideMass
from diffmpm.morphing.config import MorphConfig
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
        "all": problem.loss(MorphConfig(kinetic_weight=0.1)),
    }


@pytest.mark.parametrize("name", ["fine", "outside", "all"])
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
    at_rest = {name: loss.evaluate(roll) for name, loss in every_loss(problem).items()}
    for value in at_rest.values():
        assert_allclose(value.value, 0.0, atol=1e-9)


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
