# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The bridges to PyTorch and JAX as a user who checks types calls them."""

from __future__ import annotations

import diffmpm as dm
import diffmpm.jax as dmj
import diffmpm.torch as dmt
import jax
import jax.numpy as jnp
import torch
from typing_extensions import assert_type


def learn(particles: int) -> float:
    """Controls and a material that PyTorch learns."""
    sim = dm.Simulation(dm.sample("box", particles=particles), dm.SimConfig(dx=0.3, dt=1e-3))
    module = dmt.Rollout(sim, 2, learn=("control", "mu"))
    states: dmt.States = module()
    assert_type(dmt.grid_mass(states.x, sim.particles.mass[0].item(), sim.config), torch.Tensor)
    speed = dmt.kinetic(states.v)
    assert_type(speed, torch.Tensor)
    (first, *_) = torch.autograd.grad(speed, list(module.parameters()))
    assert_type(first, torch.Tensor)
    run = dmt.rollout(sim.config, 2, **dmt.tensors(sim.particles))
    assert_type(run.G, torch.Tensor | None)
    return speed.item()


def differentiate(particles: int) -> jax.Array:
    """The gradient of a height by the initial positions, in JAX."""
    body = dm.sample("sphere", particles=particles)
    config = dm.Simulation(body, dm.SimConfig(dx=0.3, dt=1e-3)).config

    def height(x: jax.Array) -> jax.Array:
        end = dmj.rollout(config, 2, x=x, mass=body.mass, volume=body.volume, lam=body.lam, mu=body.mu)
        assert_type(end.F, jax.Array)
        return jnp.mean(end.x[:, 2])

    plain = dmj.rollout(config, 1, x=body.x, mass=1.0, volume=body.volume, lam=1e4, mu=1e4, gravity=(0.0, 0.0, -9.81))
    gradient: jax.Array = jax.grad(height)(plain.x)
    return gradient


if __name__ == "__main__":
    print(learn(300), differentiate(300).shape)
