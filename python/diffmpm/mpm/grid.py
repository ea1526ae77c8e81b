# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The grid: its extent, its native options, and the mass of particles on it with the adjoint."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np

from .. import _core
from .._arrays import Array, ArrayLike, as_array, device_of, to_host
from .._repr import short_repr
from ..config import HalfSpace, SimConfig
from ..errors import ConfigError, DiffMPMWarning
from .params import native_params

_MAX_NODES = 1 << 20
_MIN_NODES = 8
"""Nodes per axis of the smallest grid with room for a stencil and its margin."""


def with_grid(config: SimConfig, x: Array) -> SimConfig:
    """Return `config` with its own grid, or with one of three times the bounding box of `x`, (N, 3), centred on it."""
    if config.dims is not None:
        return config
    x = to_host(x)
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    margin = np.maximum(high - low, 4 * config.dx)
    # The origin is a multiple of dx, so that a body meets the same nodes whatever else moves.
    with np.errstate(over="ignore", invalid="ignore"):
        first = np.floor((low - margin) / config.dx)
        last = np.ceil((high + margin) / config.dx)
        cells = float(np.max(last - first))
    if not cells < _MAX_NODES:  # also rejects infinity and NaN
        raise ConfigError(
            f"dx: expected at most {_MAX_NODES} cells along three times the particles' bounding box, got {cells:.3g}; "
            "choose a larger dx, or pass origin and dims"
        )
    origin, dims = first * config.dx, np.maximum(last - first + 1, _MIN_NODES).astype(int)
    return config.replace(origin=tuple(origin.tolist()), dims=tuple(dims.tolist()))


def warn_of_idle_colliders(config: SimConfig) -> None:
    """Warn of colliders that contain no grid node: they act on nodes, so they stop nothing."""
    if config.origin is None or config.dims is None:
        return
    low, last = np.array(config.origin), np.array(config.dims) - 1
    for n, collider in enumerate(config.colliders):
        if isinstance(collider, HalfSpace):
            normal = np.array(collider.normal)
            deepest = low + np.where(normal > 0.0, 0, last) * config.dx  # grid corner farthest behind the plane
            idle, shape = float(normal @ (deepest - np.array(collider.point))) > 0.0, "half-space"
        else:
            center = np.array(collider.center)
            nearest = low + np.clip(np.rint((center - low) / config.dx), 0, last) * config.dx
            idle = float(np.linalg.norm(nearest - center)) > collider.radius
            shape = f"sphere of radius {collider.radius:g}"
        if idle:
            warnings.warn(
                f"colliders[{n}]: expected a {shape} with a grid node inside, got none, so it stops nothing; choose dx "
                f"below {config.dx:g}, a larger collider, or one inside the grid",
                DiffMPMWarning,
                stacklevel=3,
            )


def check_memory(dims: tuple[int, int, int], node_bytes: int, name: str) -> None:
    """Refuse a grid that takes more than half of the free memory, if the system reports how much is free.

    The message names the argument `name`, which determines the number of nodes.
    """
    need, free = math.prod(dims) * node_bytes, _core.available_memory()
    if free and need > free // 2:
        raise ConfigError(
            f"{name}: expected a grid that fits into half of the free memory, got {dims} nodes, {need / 1e9:.3g} GB of "
            f"{free / 1e9:.3g} GB; make the cells larger or the box smaller"
        )


def grid_mass(x: ArrayLike, mass: ArrayLike, config: SimConfig) -> Array:
    """Spread particle masses over the grid nodes, the first half of (4).

    Args:
        x: Particle positions [m], shape (N, 3), float32 or float64. Differentiable through `grid_mass_vjp`.
        mass: Particle masses [kg], shape (N,), dtype and device of `x`. Differentiable.
        config: Configuration with a grid; only dx, origin, dims and basis are used.

    Returns:
        Node masses [kg], shape `config.dims`, dtype and device of `x`.

    Raises:
        ConfigError: If a shape or dtype is wrong, or the grid does not fit into memory.
        SimulationError: If a particle is outside the grid.
    """
    x, mass = _masses(x, mass)
    params = native_params(config)
    check_memory(params.dims, x.dtype.itemsize, "dims")
    return _core.grid_mass(params, x, mass)


@short_repr
class GridMassGradients(NamedTuple):
    """Gradients of a scalar with respect to the inputs of `grid_mass`, with their dtype and device."""

    x: Array
    """Positions, shape (N, 3)."""
    mass: Array
    """Masses, shape (N,)."""


def grid_mass_vjp(x: ArrayLike, mass: ArrayLike, config: SimConfig, adj_grid_mass: ArrayLike) -> GridMassGradients:
    """Adjoint of `grid_mass`, for its arguments and the cotangent of the node masses, shape `config.dims`."""
    x, mass = _masses(x, mass)
    params = native_params(config)
    adj = as_array(adj_grid_mass, "adj_grid_mass", params.dims, x.dtype, device=device_of(x))
    return GridMassGradients(*_core.grid_mass_vjp(params, x, mass, adj))


def _masses(x: ArrayLike, mass: ArrayLike) -> tuple[Array, Array]:
    x = as_array(x, "x", (None, 3), device="any")
    return x, as_array(mass, "mass", (x.shape[0],), x.dtype, device=device_of(x))
