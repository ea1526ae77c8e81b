# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Optimisers of one array, on the CPU or a CUDA device, and the line search; independent of the simulation."""

from .adam import Adam
from .base import Optimizer, make_optimizer
from .descent import GradientDescent
from .lbfgs import LBFGS
from .line_search import LineSearchResult, Rejected, backtracking

__all__ = [
    "LBFGS",
    "Adam",
    "GradientDescent",
    "LineSearchResult",
    "Optimizer",
    "Rejected",
    "backtracking",
    "make_optimizer",
]
