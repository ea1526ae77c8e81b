# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses of tensors and their gradients equal those of the package."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
import tolerances as tol


@pytest.fixture
def case(rng: Any) -> tuple[Any, Any, np.ndarray]:
    """A scene's end, its options, and the mass of another body on the grid."""
    scene = scenes.make_scene(rng, steps=2)
    roll = scenes.run(scene)
    return roll, roll.config, dm.grid_mass(roll.x + 0.3, scene.inputs["mass"], roll.config)


def losses(target: np.ndarray) -> dict[str, Any]:
    """Losses with options that are not the defaults."""
    return {
        "log_mass": dm.losses.LogMass(target, m_ref=0.3, outside_weight=2.5),
        "squared_mass": dm.losses.SquaredMass(target, outside_weight=0.5),
        "kinetic": dm.losses.Kinetic(),
    }


@pytest.mark.parametrize("name", ["log_mass", "squared_mass", "kinetic"])
def test_values_and_gradients(name: str, case: Any, torch: Any, dmt: Any) -> None:
    roll, config, goal = case
    native = losses(goal)[name]
    expected = native.evaluate(roll)
    x, v = (torch.from_numpy(a.copy()).requires_grad_() for a in (roll.x, roll.v))
    mass, target = torch.from_numpy(roll.particles.mass).requires_grad_(), torch.from_numpy(goal)
    if name == "log_mass":
        value = dmt.log_mass(dmt.grid_mass(x, mass, config), target, m_ref=0.3, outside_weight=2.5)
    elif name == "squared_mass":
        value = dmt.squared_mass(dmt.grid_mass(x, mass, config), target, outside_weight=0.5)
    else:
        value = dmt.kinetic(v)
    assert value.item() == expected.value
    value.backward()
    if name == "kinetic":
        scenes.assert_same_bits(v.grad.numpy(), expected.adj["adj_v"])
    else:
        adj_x, adj_mass = dm.grid_mass_vjp(roll.x, roll.particles.mass, config, expected.adj["adj_grid_mass"])
        scenes.assert_same_bits(x.grad.numpy(), adj_x)
        scenes.assert_same_bits(mass.grad.numpy(), adj_mass)


def test_gradcheck(case: Any, torch: Any, dmt: Any) -> None:
    roll, config, goal = case
    target = torch.from_numpy(goal)
    x, v = (torch.from_numpy(a.copy()).requires_grad_() for a in (roll.x, roll.v))
    mass = torch.from_numpy(roll.particles.mass.copy()).requires_grad_()

    def function(x: Any, mass: Any, v: Any) -> Any:
        m = dmt.grid_mass(x, mass, config)
        return dmt.log_mass(m, target, m_ref=0.3), dmt.squared_mass(m, target), dmt.kinetic(v)

    assert torch.autograd.gradcheck(function, (x, mass, v))


def morph_objective() -> tuple[Any, Any, Any]:
    """The whole objective of a morph, its body, and the simulation's options."""
    from diffmpm.morphing.problem import make_problem

    config = dm.MorphConfig(particles=600, kinetic_weight=0.1, density_weight=0.3, compression_weight=0.0)
    problem = make_problem("sphere", "torus", config)
    return problem.loss(config, 0), problem.body, problem.sims[-1]


def test_the_objective_of_a_morph(torch: Any, dmt: Any) -> None:
    loss, body, config = morph_objective()
    roll = dm.Simulation(body, config).rollout(2)
    expected = loss.evaluate(roll)
    assert len(expected.terms) >= 5
    x, v = (torch.from_numpy(a.copy()).requires_grad_() for a in (roll.x, roll.v))
    mass = torch.from_numpy(body.mass)
    value = dmt.objective(loss, config, x=x, v=v, mass=mass)
    assert value.item() == pytest.approx(expected.value, rel=1e-6)
    value.backward()
    control = np.zeros((1, body.count, 3, 3), body.dtype)
    roll = dm.Simulation(body, config).rollout(2, control)
    expected_control = roll.vjp(**loss.evaluate(roll).adj).control
    arguments = torch.from_numpy(control.copy()).requires_grad_()
    out = dmt.rollout(config, 2, control=arguments, **dmt.tensors(body))
    dmt.objective(loss, config, x=out.x, v=out.v, mass=mass).backward()
    scenes.assert_same_vector(arguments.grad.numpy(), expected_control, tol.SINGLE_PRECISION)


def test_losses_of_shape(case: Any, torch: Any, dmt: Any) -> None:
    """Transport and distances: those of the initial body start the potentials, here the only state."""
    roll, config, goal = case
    x, mass = roll.x, roll.particles.mass
    roll = dm.Simulation(dm.Particles.create(x, mass=mass, volume=1.0, lam=1.0, mu=1.0), config).rollout(steps=0)
    distance = np.random.default_rng(0).uniform(0.1, 1.0, (4, 4, 4))
    for loss in (
        dm.losses.Transport(goal, config),
        dm.losses.Proximity(x + 0.3, spacing=0.1),
        dm.losses.Skin(distance, origin=x.min(axis=0).tolist(), cell=0.3, spacing=0.1),
    ):
        expected = loss.evaluate(roll)
        tensor = torch.from_numpy(x.copy()).requires_grad_()
        value = dmt.objective(loss, config, x=tensor, mass=torch.from_numpy(mass))
        value.backward()
        assert value.item() == expected.value
        gradient = roll.vjp(**expected.adj, wrt=("x",)).x
        scenes.assert_same_vector(tensor.grad.numpy(), gradient, 1e-12)


def test_an_objective_without_its_inputs_is_refused(torch: Any, dmt: Any) -> None:
    loss, body, config = morph_objective()
    arguments = dmt.tensors(body)
    with pytest.raises(dm.ConfigError, match="v: the loss reads it; pass it to objective"):
        dmt.objective(loss, config, x=arguments["x"], mass=arguments["mass"])
    with pytest.raises(dm.ConfigError, match=r"loss: expected a diffmpm\.losses\.Loss, got int"):
        dmt.objective(1, config, x=arguments["x"], mass=arguments["mass"])


def test_bad_arguments(case: Any, torch: Any, dmt: Any) -> None:
    _, config, goal = case
    target = torch.from_numpy(goal)
    with pytest.raises(dm.ConfigError, match=r"target: expected shape \(2, 2, 2\), got"):
        dmt.log_mass(torch.ones((2, 2, 2), dtype=torch.float64), target)
    with pytest.raises(dm.ConfigError, match="target: expected a tensor without gradient"):
        dmt.log_mass(target, target.clone().requires_grad_())
    with pytest.raises(dm.ConfigError, match="m_ref: expected a number > 0, got 0"):
        dmt.log_mass(target, target, m_ref=0)
    with pytest.raises(dm.ConfigError, match="outside_weight: expected a number >= 0, got -1"):
        dmt.squared_mass(target, target, outside_weight=-1)
    with pytest.raises(dm.ConfigError, match=r"v: expected shape \(N, 3\), got"):
        dmt.kinetic(target)
    with pytest.raises(dm.SimulationError, match="left the grid"):
        dmt.grid_mass(torch.full((4, 3), 1e6), 1.0, config)


def test_double_backward_is_refused(case: Any, torch: Any, dmt: Any) -> None:
    _, _, goal = case
    for loss in (lambda m: dmt.log_mass(m, torch.ones_like(m)), lambda m: dmt.kinetic(m.reshape(-1, 3))):
        m = torch.from_numpy(goal)[:, :12].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(m), m, create_graph=True)
        with pytest.raises(NotImplementedError, match="double backward is not supported"):
            gradient.sum().backward()
