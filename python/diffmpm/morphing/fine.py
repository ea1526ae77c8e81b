# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Mass on a finer grid than the simulation's: it smooths the surface, whose roughness the coarse grid does not see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import _core
from .._arrays import Array, Constant
from ..config import SimConfig
from ..losses import LogMass, Loss
from ..mpm import Rollout, grid_mass, grid_mass_vjp
from ..mpm.grid import check_memory

BYTES_A_NODE = 32
"""Of the arrays on the grid that exist at once."""


class FineMass(Loss):
    """1/2 sum_i [log(1 + m_i / m_ref) - log(1 + m*_i / m_ref)]^2 over the nodes of a grid with 1 / `ratio` of the cell.

    Args:
        target: Positions of a target sample, shape (M, 3).
        mass: Mass of each of its particles, shape (M,).
        sim: Configuration of the simulation.
        ratio: How often the fine cell fits into the simulation's.
        m_ref: Reference mass, above 0.
        weight: Factor of the loss, at least 0.
    """

    name = "fine_mass"

    def __init__(
        self, target: Array, mass: Array, sim: SimConfig, *, ratio: float, m_ref: float, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        self.config = _finer(sim, ratio)
        self._m_ref = m_ref
        self._goal = Constant(grid_mass(target, mass, self.config))

    def _evaluate(self, roll: Rollout) -> tuple[float, dict[str, Array]]:
        body = roll.particles
        mass = grid_mass(roll.x, body.mass, self.config)
        value, adj = _core.loss_grid_mass(LogMass.kind, mass, self._goal.on(body.device), self._m_ref, 1.0)
        return value, {"adj_x": grid_mass_vjp(roll.x, body.mass, self.config, adj)[0]}


def _finer(sim: SimConfig, ratio: float) -> SimConfig:
    """Return the configuration of a finer grid over the same space."""
    assert sim.dims is not None
    i, j, k = (int(np.ceil((n - 1) * ratio)) + 1 for n in sim.dims)
    check_memory((i, j, k), BYTES_A_NODE, "fine_ratio")
    return replace(sim, dx=sim.dx / ratio, dims=(max(i, 8), max(j, 8), max(k, 8)))
