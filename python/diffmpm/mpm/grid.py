# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Mass of particles on the grid, and its adjoint."""

from __future__ import annotations

import math
import warnings
from dataclasses import fields
from typing import NamedTuple

import numpy as np

from .. import _core
from .._arrays import Array, as_array, device_of, to_host
from ..config import HalfSpace, SimConfig, Sphere
from ..errors import ConfigError, DiffMPMWarning

_MAX_NODES = 1 << 20
_MIN_NODES = 8  # the smallest grid with room for a stencil and the margin around it


def with_grid(config: SimConfig, x: Array) -> SimConfig:
    """Return `config` with a grid: its own, or three times the bounding box of the positions, centred on it.

    Args:
        config: Configuration, with or without origin and dims.
        x: Positions [m], shape (N, 3).
    """
    if config.dims is not None:
        return config
    x = to_host(x)
    low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
    room = np.maximum(high - low, 4 * config.dx)
    # Origin on a multiple of dx, so that the same body meets the same nodes whatever else moves.
    with np.errstate(over="ignore", invalid="ignore"):
        first = np.floor((low - room) / config.dx)
        last = np.ceil((high + room) / config.dx)
        cells = float(np.max(last - first))
    if not cells < _MAX_NODES:  # infinite, too
        raise ConfigError(
            f"dx: expected at most {_MAX_NODES} cells along three times the particles' bounding box, got {cells:.3g}; "
            "choose a larger dx, or pass origin and dims"
        )
    origin, dims = first * config.dx, np.maximum(last - first + 1, _MIN_NODES).astype(int)
    return config.replace(
        origin=(float(origin[0]), float(origin[1]), float(origin[2])), dims=(int(dims[0]), int(dims[1]), int(dims[2]))
    )


def warn_of_idle_colliders(config: SimConfig) -> None:
    """Warn of colliders that contain no node of the grid: they act on nodes, and so stop nothing.

    Args:
        config: Configuration with a grid.
    """
    if config.origin is None or config.dims is None:
        return
    low, last = np.array(config.origin), np.array(config.dims) - 1
    for n, collider in enumerate(config.colliders):
        if isinstance(collider, HalfSpace):
            point, normal = np.array(collider.point), np.array(collider.normal)
            # The corner of the grid that lies farthest behind the plane.
            deepest = low + np.where(normal > 0.0, 0, last) * config.dx
            idle, what = float(normal @ (deepest - point)) > 0.0, "half-space"
        else:
            center = np.array(collider.center)
            nearest = low + np.clip(np.rint((center - low) / config.dx), 0, last) * config.dx
            idle, what = (
                float(np.linalg.norm(nearest - center)) > collider.radius,
                f"sphere of radius {collider.radius:g}",
            )
        if idle:
            warnings.warn(
                f"colliders[{n}]: expected a {what} with a node of the grid in it, got none, so it stops nothing; "
                f"choose dx below {config.dx:g}, a larger collider, or one inside of the grid",
                DiffMPMWarning,
                stacklevel=3,
            )


def native_params(config: SimConfig) -> _core.MpmParams:
    """Return the native form of a configuration that has a grid."""
    if config.origin is None or config.dims is None:
        raise ConfigError("config: expected a grid (origin and dims), got none; set both")
    if len(config.colliders) > _core.MAX_COLLIDERS:
        raise ConfigError(f"colliders: expected at most {_core.MAX_COLLIDERS}, got {len(config.colliders)}")
    params = _core.MpmParams()
    for entry in fields(config):
        if entry.name != "colliders":
            _set_native(params, entry.name, getattr(config, entry.name))
    params.colliders = [_native_collider(collider) for collider in config.colliders]
    return params


def _native_collider(collider: HalfSpace | Sphere) -> _core.Collider:
    native = _core.Collider()
    if isinstance(collider, HalfSpace):
        native.shape, native.point, native.normal = _core.ColliderShape.half_space, collider.point, collider.normal
    else:
        native.shape, native.point, native.radius = _core.ColliderShape.sphere, collider.center, collider.radius
    _set_native(native, "mode", collider.mode)
    return native


def _set_native(native: object, name: str, value: object) -> None:
    """Set a field; the name of a choice becomes its enumerator."""
    kind = type(getattr(native, name))
    setattr(native, name, kind[value] if isinstance(value, str) else value)


def check_memory(dims: tuple[int, int, int], bytes_a_node: int, name: str) -> None:
    """Refuse a grid whose nodes, all of them kept, take more than half of the free memory.

    Args:
        dims: Nodes per axis.
        bytes_a_node: What a node takes.
        name: Argument that decides the number of nodes.

    Raises:
        ConfigError: If they do, where the system tells what is free.
    """
    need, free = math.prod(dims) * bytes_a_node, _core.available_memory()
    if free and need > free // 2:
        raise ConfigError(
            f"{name}: expected a grid that fits into half of the free memory, got {dims} nodes, {need / 1e9:.3g} GB of "
            f"{free / 1e9:.3g} GB; make the cells larger or the box smaller"
        )


def grid_mass(x: object, mass: object, config: SimConfig) -> Array:
    """Spread particle masses over the grid nodes, the first half of (4).

    Args:
        x: Positions [m], shape (N, 3), float32 or float64. Differentiable through `grid_mass_vjp`.
        mass: Masses [kg], shape (N,), dtype and device of `x`.
        config: Configuration with a grid; only dx, origin, dims and basis are used.

    Returns:
        Mass [kg] of every node, shape `config.dims`, dtype and device of `x`.

    Raises:
        ConfigError: If a shape or dtype does not fit, or the nodes do not fit into memory.
        SimulationError: If a particle is outside the grid.
    """
    pos = as_array(x, "x", (None, 3), device="any")
    params, device = native_params(config), device_of(pos)
    check_memory(params.dims, pos.dtype.itemsize, "dims")
    return _core.grid_mass(params, pos, as_array(mass, "mass", (pos.shape[0],), pos.dtype, device=device))


class GridMassGradients(NamedTuple):
    """Gradients of a scalar with respect to the inputs of `grid_mass`, in their dtype and on their device."""

    x: Array
    """Positions, shape (N, 3)."""
    mass: Array
    """Masses, shape (N,)."""


def grid_mass_vjp(x: object, mass: object, config: SimConfig, adj_grid_mass: object) -> GridMassGradients:
    """Adjoint of `grid_mass`.

    Args:
        x: Positions [m], shape (N, 3).
        mass: Masses [kg], shape (N,).
        config: As for `grid_mass`.
        adj_grid_mass: Cotangent of the grid mass, shape `config.dims`.
    """
    pos = as_array(x, "x", (None, 3), device="any")
    params, device = native_params(config), device_of(pos)
    masses = as_array(mass, "mass", (pos.shape[0],), pos.dtype, device=device)
    adj = as_array(adj_grid_mass, "adj_grid_mass", params.dims, pos.dtype, device=device)
    return GridMassGradients(*_core.grid_mass_vjp(params, pos, masses, adj))
