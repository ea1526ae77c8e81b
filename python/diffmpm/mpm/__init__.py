# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The MLS-MPM simulation: steps, their exact adjoint, and mass on the grid."""

from .grid import grid_mass, grid_mass_vjp
from .rollout import Gradients, Rollout, State
from .simulation import Simulation

__all__ = ["Gradients", "Rollout", "Simulation", "State", "grid_mass", "grid_mass_vjp"]
