# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The MLS-MPM simulation: steps, their exact adjoint, and mass on the grid."""

from .grid import GridMassGradients, grid_mass, grid_mass_vjp
from .rollout import Gradients, Rollout, State
from .simulation import Simulation

__all__ = ["Gradients", "GridMassGradients", "Rollout", "Simulation", "State", "grid_mass", "grid_mass_vjp"]
