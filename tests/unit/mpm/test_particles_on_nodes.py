# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Particles exactly on nodes, on faces of cells and on borders of blocks: no weight is negative, gradients hold."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from scenes import BASES, DTYPES

# Spacings and origins that float32 cannot hold, so that positions on nodes are rounded to either side.
GRIDS = ((0.1, -0.7), (0.3, 0.1), (1 / 3, -2.1), (0.07, 5.3))


def on_nodes(dx: float, origin: float, dtype: Any, basis: str, nudge: int) -> np.ndarray:
    """Positions on the nodes 2 to 13 along each axis (block borders are among them), or on faces, some ulps beside."""
    shift = 0.0 if basis == "cubic" else 0.5
    line = np.asarray(origin + dx * (np.arange(2, 14) + shift), dtype)
    line = line + nudge * np.spacing(np.abs(line).astype(dtype))
    return np.ascontiguousarray(np.stack(np.meshgrid(*[line.astype(dtype)] * 3, indexing="ij"), -1).reshape(-1, 3))


def config(dx: float, origin: float, basis: str) -> dm.SimConfig:
    return dm.SimConfig(dx=dx, dt=1e-4, origin=(origin,) * 3, dims=(20, 20, 20), basis=basis)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grid", GRIDS)
def test_masses_on_the_grid_are_not_negative(basis: str, dtype: Any, grid: tuple[float, float]) -> None:
    for nudge in (-2, -1, 0, 1, 2):
        x = on_nodes(*grid, dtype, basis, nudge)
        mass = np.ones(len(x), dtype)
        spread = dm.grid_mass(x, mass, config(*grid, basis))
        assert spread.min() >= 0.0
        assert abs(spread.sum(dtype=np.float64) / len(x) - 1.0) < 50 * np.finfo(dtype).eps


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("grid", GRIDS)
def test_gradient_of_the_mass_on_nodes(basis: str, grid: tuple[float, float]) -> None:
    x = on_nodes(*grid, np.float64, basis, 0)
    mass, options = np.ones(len(x)), config(*grid, basis)
    rng = np.random.default_rng(0)
    adj = rng.normal(size=options.dims)
    step = rng.normal(size=x.shape)
    gradient, of_mass = dm.grid_mass_vjp(x, mass, options, adj)
    h = 1e-5 * grid[0]
    difference = [float(np.vdot(adj, dm.grid_mass(x + s * h * step, mass, options))) for s in (1, -1)]
    slope = (difference[0] - difference[1]) / (2 * h)
    # The second derivative of the quadratic basis jumps at a face: an error of the order of h.
    np.testing.assert_allclose(float(np.vdot(gradient, step)), slope, rtol=1e-4 if basis == "quadratic" else 1e-7)
    np.testing.assert_allclose(of_mass.sum(), np.vdot(adj, dm.grid_mass(x, mass, options)), rtol=1e-12)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rollout_and_adjoint_on_nodes(basis: str, dtype: Any) -> None:
    grid = GRIDS[0]
    x = on_nodes(*grid, dtype, basis, 0)
    body = dm.Particles.create(x, mass=1.0, volume=grid[0] ** 3, lam=100.0, mu=100.0)
    roll = dm.Simulation(body, config(*grid, basis)).rollout(5)
    np.testing.assert_allclose(roll.x, x, atol=1e-5)
    g = roll.vjp(adj_x=np.ones_like(x), wrt="all")
    assert np.isfinite(g.x).all()
    # Nothing acts on the body: it goes where it is put.
    np.testing.assert_allclose(g.x.sum(axis=0), len(x), rtol=1e-4)


def spiked_ball(spikes: int) -> tuple[np.ndarray, np.ndarray]:
    """A ball of radius 1 with thin spikes that reach to 3."""
    ball = dm.shapes.make("sphere")
    vertices, triangles = ball.vertices.copy(), ball.triangles
    away = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    golden = np.pi * (3.0 - np.sqrt(5.0))
    z = 1.0 - 2.0 * (np.arange(spikes) + 0.5) / spikes
    around = np.stack([np.cos(golden * np.arange(spikes)), np.sin(golden * np.arange(spikes))], 1)
    tips = np.concatenate([np.sqrt(1.0 - z**2)[:, None] * around, z[:, None]], 1)
    nearest = np.argmax(away @ tips.T, axis=0)
    vertices[nearest] *= 3.0
    return vertices, triangles


@pytest.mark.parametrize("first", range(0, 12, 4))
def test_morphs_of_a_spiked_ball(first: int) -> None:
    mesh = spiked_ball(12)
    for seed in range(first, first + 4):
        result = dm.morph("sphere", mesh, particles=400, windows=1, steps=3, seed=seed)
        assert np.isfinite(result.x).all()
