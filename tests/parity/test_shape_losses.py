# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses of distances and transport on a device match the CPU."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import losses
from scenes import DTYPES, assert_same_vector

GRID = dm.SimConfig(dx=0.25, dt=1e-3, origin=(-2.5, -2.5, -2.5), dims=(20, 21, 22))


def every_loss(dtype: Any) -> list[losses.Loss]:
    """Return the losses for one target."""
    goal = dm.sample("torus", particles=400, dtype=dtype)
    target = dm.grid_mass(goal.x, goal.mass, GRID)
    distance = np.random.default_rng(0).uniform(-1.0, 1.0, (6, 7, 8))
    coarse = GRID.replace(dx=0.5, dims=(12, 12, 12))
    return [
        losses.Transport(target, GRID, unit=0.2, weight=2.0),
        losses.Transport(dm.grid_mass(goal.x, goal.mass, coarse), coarse, blur=1.5, sweeps=2),
        losses.Skin(distance, origin=(-1.2, -1.2, -1.2), cell=0.4, spacing=0.1),
        losses.Proximity(goal.x, spacing=0.05, weight=3.0),
    ]


@pytest.mark.parametrize("index", range(len(every_loss(np.float64))))
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses(dtype: Any, index: int, device: str) -> None:
    body = dm.sample("sphere", particles=300, dtype=dtype)
    loss, control = every_loss(dtype)[index], np.zeros((3, 300, 3, 3), dtype)
    control[:] = 0.02 * np.random.default_rng(1).standard_normal(control.shape)
    values, gradients = [], []
    for where in ("cpu", device):
        roll = dm.Simulation(body.to(where), GRID).rollout(3, control if where == "cpu" else dm.to_device(control))
        value = loss.evaluate(roll)
        gradient = roll.vjp(**value.adj, wrt="x").x
        values.append(value.value)
        gradients.append(gradient if where == "cpu" else gradient.numpy())
    tolerance = 1e-4 if dtype == np.float32 else 1e-11  # potentials in float32: exponents up to 1e3, relative to 1
    assert values[1] == pytest.approx(values[0], rel=tolerance)
    assert_same_vector(gradients[1], gradients[0], 10.0 * tolerance)


def test_repeated_evaluations_have_equal_bits(device: str) -> None:
    body = dm.sample("sphere", particles=300)
    roll = dm.Simulation(body.to(device), GRID).rollout(2)
    for loss in every_loss(np.float32):
        first, second = (loss.evaluate(roll) for _ in range(2))
        assert first.value == second.value
        for name, array in first.adj.items():
            assert np.array_equal(array.numpy(), second.adj[name].numpy())
