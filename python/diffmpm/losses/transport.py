# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Optimal transport between the masses of body and target on a grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._arrays import Array, add_scaled, as_positive, dot, move_to, scaled, to_host
from .._options import Range, as_integer
from ..config import SimConfig
from ..errors import ConfigError
from ..mpm.grid import grid_mass, grid_mass_vjp
from ..types import Particles
from .base import Loss
from .mass import as_masses

if TYPE_CHECKING:
    from ..mpm import Rollout


_BORDER = 1.5
"""Smallest distance of a particle from the border of the grid, in cells."""


@dataclass(frozen=True, eq=False)
class Transport(Loss):
    """Debiased Sinkhorn divergence between the masses of body and target: half the mean squared way between them.

    Unlike the mass losses it has a gradient at any distance, towards where mass is missing. It is 0 for equal masses,
    and positive for others. Both masses are divided by their sums, so it does not compare total masses.

    The dual potentials of a rollout start from those of its initial body, which are computed once for all rollouts of
    one body, and are improved by `sweeps` sweeps. The value is therefore a function of the start and the end of the
    rollout alone. It is a lower bound that rises with `sweeps`, and the gradient is that of the converged value up to
    the remaining error of the potentials, in first order; `docs/method.md` has figures.

    Args:
        target: Target mass [kg] on the nodes of `grid`, shape `grid.dims`; not all 0.
        grid: Configuration with the grid of the comparison, which must contain body and target. With the simulation's
            own configuration no further transfer is needed; a larger `dx` is faster.
        unit: Length [m] of which the loss counts squares, above 0.
        blur: Square root of the temperature, in cells of `grid`, above 0. Details below it are blurred in the coupling;
            the divergence nevertheless vanishes only for equal masses.
        sweeps: Sinkhorn iterations per evaluation, at least 1. Each takes three convolutions of the grid.
        weight: Factor of the loss, at least 0, or a schedule.

    References:
        Feydy et al. 2019, Interpolating between optimal transport and MMD using Sinkhorn divergences.
    """

    name = "transport"
    target: Array = field(repr=False)
    grid: SimConfig
    unit: float = field(default=1.0, kw_only=True)
    blur: float = field(default=1.0, kw_only=True)
    sweeps: int = field(default=5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        target = as_masses(self.target)
        if target.shape != self.grid.dims:
            raise ConfigError(f"target: expected the grid's shape {self.grid.dims}, got {target.shape}")
        if not target.any():
            raise ConfigError("target: expected mass on at least one node, got none")
        object.__setattr__(self, "target", target)
        for name in ("unit", "blur"):
            object.__setattr__(self, name, as_positive(getattr(self, name), name))
        object.__setattr__(self, "sweeps", as_integer(self.sweeps, "sweeps", Range(least=1)))

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss, Eq. 4.12, and the cotangent of the grid mass or of the positions."""
        body, own = roll.particles, _same_grid(roll.config, self.grid)
        target = self._target_on(body.device, body.dtype)
        dual, self_dual = self._start_duals(body, target.mass)
        mass = roll.grid_mass() if own else grid_mass(roll.x, body.mass, self.grid)
        cross, adj, _ = self._solve(mass, target.mass, dual)
        own_cost, own_adj, _ = self._solve(mass, None, self_dual)
        scale = (self.grid.dx / self.unit) ** 2
        value, adj = scale * (cross - own_cost - target.cost), scaled(add_scaled(adj, -1.0, own_adj), scale)
        return value, {"adj_grid_mass": adj} if own else {"adj_x": grid_mass_vjp(roll.x, body.mass, self.grid, adj).x}

    def goals(self, body: Particles) -> Array:
        """Return the positions that the transport assigns to the particles, Eq. 4.13, like `body.x`.

        Particles beyond the grid are treated as if they were at its border.
        """
        assert self.grid.dims is not None and self.grid.dx is not None
        low = np.asarray(self.grid.origin) + _BORDER * self.grid.dx
        high = np.asarray(self.grid.origin) + (np.asarray(self.grid.dims) - 1 - _BORDER) * self.grid.dx
        inside = np.clip(to_host(body.x), low, high).astype(body.dtype)
        x, target = move_to(inside, body.device), self._target_on(body.device, body.dtype)
        mass = grid_mass(x, body.mass, self.grid)
        cross, own = (self._solve(mass, goal, None)[1] for goal in (target.mass, None))
        gradient = to_host(grid_mass_vjp(x, body.mass, self.grid, add_scaled(cross, -1.0, own)).x)
        masses = to_host(body.mass).astype(np.float64)
        way = self.grid.dx**2 * (masses.sum() / masses)[:, None] * gradient
        return move_to(np.ascontiguousarray(inside - way, dtype=body.dtype), body.device)

    def _solve(self, mass: Array, target: Array | None, dual: Array | None) -> tuple[float, Array, Array]:
        """Return cost, gradient and dual potential; a ladder of falling temperatures precedes if `dual` is None."""
        last = self.blur**2
        first = last if dual is not None else float(sum((n - 1) ** 2 for n in mass.shape))
        start = dual if dual is not None else _core.zeros(mass, mass.shape)
        cost, adj, dual = _core.loss_transport(mass, target, start, first, last, self.sweeps)
        return cost, adj, dual

    def _start_duals(self, body: Any, target: Array) -> tuple[Array, Array]:
        """Return the potentials of target and body for the initial body, cached for the last one."""
        if self._cache.get("start") is not body.x:
            mass = grid_mass(body.x, body.mass, self.grid)
            duals = (self._solve(mass, target, None)[2], self._solve(mass, None, None)[2])
            self._cache.update(start=body.x, duals=duals)
        duals = self._cache["duals"]
        return duals

    @cached_property
    def _cache(self) -> dict[Any, Any]:
        """Target by device and dtype; the last initial positions, "start", and their potentials, "duals"."""
        return {}

    def _target_on(self, device: str, dtype: np.dtype[Any]) -> _Target:
        if (device, dtype) not in self._cache:
            mass = move_to(np.ascontiguousarray(self.target, dtype=dtype), device)
            self._cache[device, dtype] = _Target(mass, self._solve(mass, None, None)[0])
        target: _Target = self._cache[device, dtype]
        return target


@dataclass(frozen=True, eq=False)
class Goals(Loss):
    """Half the mean squared distance of the particles to goals, such as those of `Transport.goals`, Eq. 4.14.

    Args:
        goals: Goal of each particle [m], shape (N, 3), dtype and device of the body.
        unit: Length [m] of which the loss counts squares, above 0.
        weight: Factor of the loss, at least 0, or a schedule.
    """

    name = "transport"
    goals: Array = field(repr=False)
    unit: float = field(default=1.0, kw_only=True)

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss and the cotangent of the positions."""
        way = add_scaled(roll.x, -1.0, self.goals)
        scale = 1.0 / (roll.particles.count * self.unit**2)
        return 0.5 * scale * dot(way, way), {"adj_x": scaled(way, scale)}


@dataclass(frozen=True, eq=False)
class _Target:
    """Target mass, and half the cost of its transport to itself."""

    mass: Array
    cost: float


def _same_grid(a: SimConfig, b: SimConfig) -> bool:
    """Return whether two configurations give particles the same masses on the same nodes."""
    return (a.dx, a.origin, a.dims, a.basis) == (b.dx, b.origin, b.dims, b.basis)
