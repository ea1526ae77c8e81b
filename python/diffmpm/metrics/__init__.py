# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Metrics of a morph."""

from __future__ import annotations

from .evaluation import chamfer, evaluate, floaters
from .neighbours import outer_points
from .silhouette import hole_fraction, intersection_over_union, silhouettes, views

__all__ = [
    "chamfer",
    "evaluate",
    "floaters",
    "hole_fraction",
    "intersection_over_union",
    "outer_points",
    "silhouettes",
    "views",
]
