# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`diffmpm.torch.Rollout`: parameters, state_dict, optimisers."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes


@pytest.fixture
def sim() -> dm.Simulation:
    body = dm.sample("box", particles=200)
    return dm.Simulation(body, dm.SimConfig(dx=0.4, dt=2e-3, gravity=(0.0, 0.0, -9.8), drag=0.1))


def test_learnable_inputs_are_parameters(sim: Any, torch: Any, dmt: Any) -> None:
    module = dmt.Rollout(sim, 4, learn=("control", "lam", "v", "gravity", "Fp"), control_stride=2)
    assert {name for name, _ in module.named_parameters()} == {"control", "lam", "v", "gravity", "Fp"}
    assert module.control.shape == (2, 200, 3, 3)
    assert "200 particles, 4 steps" in repr(module)
    out = module()
    native = sim.rollout(4)
    scenes.assert_same_bits(out.v.detach().numpy(), native.v, "v")
    scenes.assert_same_bits(out.x.detach().numpy(), native.x, "x")
    with torch.no_grad():
        module.control += 0.05 * torch.eye(3)  # at rest the stress is zero and the moduli have no effect
    out = module()
    (out.x.square().sum() + out.F.square().sum()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert dmt.Rollout(sim, 4, learn="mu").mu.requires_grad
    assert not list(dmt.Rollout(sim, 4, learn=()).parameters())


def test_parameters_do_not_share_the_memory_of_the_particles(sim: Any, torch: Any, dmt: Any) -> None:
    module = dmt.Rollout(sim, 2, learn=("x",))
    with torch.no_grad():
        module.x += 1.0
    assert np.abs(sim.particles.x).max() < 2.0


def test_state_dict_round_trip(sim: Any, torch: Any, dmt: Any) -> None:
    module = dmt.Rollout(sim, 3, learn=("control", "mu"))
    with torch.no_grad():
        module.control.normal_(0.0, 0.01)
        module.mu *= 1.5
    state = module.state_dict()
    assert set(state) == {"control", "mu"}, "constants are the simulation's"
    other = dmt.Rollout(sim, 3, learn=("control", "mu"))
    other.load_state_dict(state)
    assert torch.equal(other().x, module().x)
    assert not torch.equal(dmt.Rollout(sim, 3)().x, module().x)


def test_options_reach_the_rollout(sim: Any, torch: Any, dmt: Any) -> None:
    module = dmt.Rollout(sim, 3, layers=[0, 3], motion_gradient=True, grid_mass=True, memory_budget=1)
    out = module()
    assert out.x.shape == (2, 200, 3) and out.G.shape == (2, 200, 3, 3)
    assert out.grid_mass.shape == (2, *sim.config.dims)


def test_initial_controls(sim: Any, torch: Any, dmt: Any) -> None:
    control = 0.01 * torch.randn(3, 200, 3, 3)
    learnt, constant = dmt.Rollout(sim, 3, control=control), dmt.Rollout(sim, 3, learn="v", control=control)
    expected = sim.rollout(3, control.numpy())
    scenes.assert_same_bits(learnt().x.detach().numpy(), expected.x)
    scenes.assert_same_bits(constant().x.detach().numpy(), expected.x)


def test_bad_arguments(sim: Any, torch: Any, dmt: Any) -> None:
    with pytest.raises(dm.ConfigError, match=r"learn: expected names from control, x, .*, got 'colour'"):
        dmt.Rollout(sim, 3, learn=("colour",))
    with pytest.raises(dm.ConfigError, match=r"simulation: expected diffmpm\.Simulation, got Particles"):
        dmt.Rollout(sim.particles, 3)
    with pytest.raises(dm.ConfigError, match="control: expected at most 3 control steps"):
        dmt.Rollout(sim, 3, control=torch.zeros(4, 200, 3, 3))()


@pytest.mark.parametrize("optimizer", ["Adam", "LBFGS", "SGD"])
def test_optimisers_lower_a_loss(optimizer: str, sim: Any, torch: Any, dmt: Any) -> None:
    module = dmt.Rollout(sim, 4, grid_mass=True)
    goal = dm.Particles.create(sim.particles.x * np.array([1.1, 1.0, 0.9], np.float32), mass=sim.particles.mass,
                               volume=sim.particles.volume, lam=1.0, mu=1.0)  # fmt: skip
    target = torch.from_numpy(dm.grid_mass(goal.x, goal.mass, sim.config))
    options = {"Adam": {"lr": 0.01}, "LBFGS": {"lr": 1.0, "line_search_fn": "strong_wolfe"}, "SGD": {"lr": 2.0}}
    chosen = getattr(torch.optim, optimizer)(module.parameters(), **options[optimizer])
    history = []

    def closure() -> Any:
        chosen.zero_grad()
        loss = dmt.log_mass(module().grid_mass, target, m_ref=float(target.max()))
        loss.backward()
        history.append(loss.item())
        return loss

    for _ in range(5):
        chosen.step(closure)
    assert history[-1] < 0.95 * history[0]
