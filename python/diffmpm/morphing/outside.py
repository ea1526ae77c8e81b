# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Mass outside the target, by distance: it draws home what the mass loss, flat far from the target, leaves behind."""

from __future__ import annotations

import numpy as np

from .. import _core
from .._arrays import Array, Constant, dot
from ..losses import Loss
from ..mpm import Rollout


class OutsideMass(Loss):
    """sum_i m_i / full * d_i over grid nodes; d_i is the distance in cells from node i to the nearest with target mass.

    Every particle outside feels the same force towards the target, however far it is.

    Args:
        target: Mass of the target on the simulation's grid, shape `config.dims`.
        full: Mass of a full cell, above 0.
        weight: Factor of the loss, at least 0.
    """

    name = "outside_mass"

    def __init__(self, target: Array, *, full: float, weight: float = 1.0) -> None:
        super().__init__(weight)
        distance = _core.distance_to_marked(np.ascontiguousarray(target > 0).view(np.uint8))
        self._potential = Constant(np.ascontiguousarray(distance / full, dtype=target.dtype))

    def _evaluate(self, roll: Rollout) -> tuple[float, dict[str, Array]]:
        potential = self._potential.on(roll.particles.device)
        return dot(roll.grid_mass(), potential), {"adj_grid_mass": potential}
