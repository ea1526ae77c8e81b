# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses of the mass on a grid, of the volumes, and of the velocities."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import _core
from .._arrays import Array, DeviceCopies, as_array, as_positive, dot, move_to, to_host
from ..config import SimConfig
from ..errors import ConfigError
from ..mpm.grid import check_memory, grid_mass, grid_mass_vjp
from ..types import Particles
from .base import Loss

if TYPE_CHECKING:
    from ..mpm import Rollout

BYTES_PER_FINE_NODE = 32
"""Memory per node of the fine grid, for all of its arrays."""


@dataclass(frozen=True, eq=False)
class GridMassLoss(Loss):
    """Sum over grid nodes of a formula of body mass and target mass. Arguments as for `LogMass`."""

    formula: ClassVar[_core.MassLoss]
    target: Any = field(repr=False)
    m_ref: float = field(default=1.0, kw_only=True)
    outside_weight: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.target, Particles):
            object.__setattr__(self, "target", as_masses(self.target))
        for name in ("m_ref", "outside_weight"):
            value = as_positive(getattr(self, name), name, zero=name == "outside_weight")
            object.__setattr__(self, name, value)

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangent of the grid mass."""
        target = self._target_mass(roll)
        value, adj = _core.loss_grid_mass(self.formula, roll.grid_mass(), target, self.m_ref, self.outside_weight)
        return value, {"adj_grid_mass": adj}

    @cached_property
    def _cache(self) -> dict[tuple[Any, ...], Array]:
        """Target mass on the last grid and device."""
        return {}

    def _target_mass(self, roll: Rollout) -> Array:
        """Return the target mass on the rollout's grid and device, cached."""
        body = roll.particles
        key = roll.config, body.dtype, body.device
        if key not in self._cache:
            target = self.target
            mass = to_host(roll.grid_mass_of(target)) if isinstance(target, Particles) else target
            if mass.shape != roll.config.dims:
                raise ConfigError(
                    f"target: expected the grid's shape {roll.config.dims}, got {mass.shape}; "
                    "make it with diffmpm.grid_mass and the simulation's config, or pass particles"
                )
            self._cache.clear()
            self._cache[key] = move_to(mass.astype(body.dtype, copy=False), body.device)
        return self._cache[key]


def as_masses(target: object) -> Array:
    """Return target masses on a grid, on the CPU.

    Raises:
        ConfigError: If shape, dtype or values are invalid.
    """
    mass = to_host(as_array(target, "target", (None, None, None), device="any"))
    if mass.size and mass.min() < 0.0:
        raise ConfigError(f"target: expected masses >= 0, got {mass.min():g}")
    return mass


@dataclass(frozen=True, eq=False)
class LogMass(GridMassLoss):
    """1/2 sum_i w_i [log(1 + m_i / m_ref) - log(1 + m*_i / m_ref)]^2 over the grid nodes i, at the end of a rollout.

    Args:
        target: Target mass m* [kg] on the simulation's grid, shape `config.dims` (see `diffmpm.grid_mass`), or the
            target as `Particles`, which must lie inside the grid.
        m_ref: Reference mass [kg], above 0.
        weight: Factor of the loss, at least 0.
        outside_weight: Factor w_i of nodes without target mass, at least 0.

    References:
        Xu et al. 2024, arXiv 2409.15746; docs/method.md, section 4.
    """

    name = "log_mass"
    formula = _core.MassLoss.log


@dataclass(frozen=True, eq=False)
class SquaredMass(GridMassLoss):
    """1/2 sum_i w_i (m_i - m*_i)^2 over the grid nodes i. Arguments as for `LogMass`; m_ref has no effect."""

    name = "squared_mass"
    formula = _core.MassLoss.squared


@dataclass(frozen=True, eq=False)
class FineMass(Loss):
    """`LogMass` on a finer grid: smooths surface roughness that the simulation's grid does not resolve.

    Args:
        target: Target sample positions [m], shape (M, 3).
        mass: Target particle masses [kg], shape (M,).
        config: Configuration of the simulation, with a grid.
        ratio: Spacing of the simulation grid over that of the fine grid, above 0.
        m_ref: Reference mass [kg], above 0.
        weight: Factor of the loss, at least 0.
    """

    name = "fine"
    target: Array = field(repr=False)
    mass: Array = field(repr=False)
    config: SimConfig
    ratio: float = field(default=2.0, kw_only=True)
    m_ref: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.grid  # checks the memory before anything is simulated

    @cached_property
    def grid(self) -> SimConfig:
        """Configuration of the fine grid, which covers the same box."""
        assert self.config.dims is not None
        i, j, k = (int(np.ceil((n - 1) * self.ratio)) + 1 for n in self.config.dims)
        check_memory((i, j, k), BYTES_PER_FINE_NODE, "fine_ratio")
        return self.config.replace(dx=self.config.dx / self.ratio, dims=(max(i, 8), max(j, 8), max(k, 8)))

    @cached_property
    def _target_mass(self) -> DeviceCopies:
        return DeviceCopies(grid_mass(self.target, self.mass, self.grid))

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangent of the positions."""
        body = roll.particles
        mass = grid_mass(roll.x, body.mass, self.grid)
        value, adj = _core.loss_grid_mass(LogMass.formula, mass, self._target_mass.on(body.device), self.m_ref, 1.0)
        return value, {"adj_x": grid_mass_vjp(roll.x, body.mass, self.grid, adj).x}


@dataclass(frozen=True, eq=False)
class OutsideMass(Loss):
    """sum_i d_i m_i / full over the grid nodes i; d_i is the distance in cells to the nearest node with target mass.

    Unlike the mass losses, which are flat far from the target, it pulls every particle outside the target back with
    the same force at any distance.

    Args:
        target: Target mass [kg] on the simulation's grid, shape `config.dims`.
        full: Mass [kg] of a full cell, above 0.
        weight: Factor of the loss, at least 0.
    """

    name = "distance"
    target: Array = field(repr=False)
    full: float = field(default=1.0, kw_only=True)

    @cached_property
    def _potential(self) -> DeviceCopies:
        distance = _core.distance_to_marked(np.ascontiguousarray(self.target > 0).view(np.uint8))
        return DeviceCopies(np.ascontiguousarray(distance / self.full, dtype=self.target.dtype))

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangent of the grid mass."""
        potential = self._potential.on(roll.particles.device)
        return dot(roll.grid_mass(), potential), {"adj_grid_mass": potential}


@dataclass(frozen=True, eq=False, kw_only=True)
class Compression(Loss):
    """Mean over the particles of 1/2 max(0, log(limit / det F))^2: a barrier against collapse, Eq. 4.15.

    Args:
        limit: Determinant of F below which a particle contributes, in (0, 1].
        weight: Factor of the loss, at least 0, or a schedule.
    """

    name = "compression"
    limit: float = 0.7

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangent of the deformation gradients, computed on the CPU if any."""
        if _core.determinant_range(roll.F)[0] >= self.limit:
            return 0.0, {}
        F = to_host(roll.F)
        det = np.linalg.det(F)
        rows = np.flatnonzero(det < self.limit)
        excess = np.log(self.limit / np.maximum(det[rows].astype(np.float64), np.finfo(F.dtype).tiny))
        adj = np.zeros_like(F)
        adj[rows] = -excess[:, None, None] / len(F) * np.linalg.inv(F[rows].astype(np.float64)).transpose(0, 2, 1)
        return float(0.5 * np.sum(excess**2) / len(F)), {"adj_F": move_to(adj, roll.particles.device)}


@dataclass(frozen=True, eq=False, kw_only=True)
class Kinetic(Loss):
    """Mean of |v|^2 [m^2/s^2] over the particles, at the end of a rollout or over all time steps.

    Args:
        window: Whether to take the mean over time steps 1 to T instead of the end alone.
        weight: Factor of the loss, at least 0.
    """

    name = "kinetic"
    window: bool = False

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangents of the velocities."""
        if not self.window or roll.steps == 0:
            value, adj = _core.loss_kinetic(roll.v)
            return value, {"adj_v": adj}
        total, layers = 0.0, {}
        for n in range(1, roll.steps + 1):
            value, adj = _core.loss_kinetic(roll.state(n).v)
            total += value / roll.steps
            layers[n] = {"adj_v": _core.scaled(adj, 1.0, divisor=roll.steps)}
        return total, {"layers": layers}
