# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Legacy interface: scripts for the older bindings run on the native core, as docs/migration.md describes.

Use `diffmpm.morph` and `diffmpm.Simulation` in new code.
"""

from .clouds import (
    Grid,
    PointCloud,
    calculate_lame_parameters,
    calculate_point_cloud_volumes,
    get_positions_from_pc,
    load_point_cloud_from_obj,
    p2g,
)
from .graph import CompGraph
from .options import OptInput
from .schedule import OptProgress

__all__ = [
    "CompGraph",
    "Grid",
    "OptInput",
    "OptProgress",
    "PointCloud",
    "calculate_lame_parameters",
    "calculate_point_cloud_volumes",
    "get_positions_from_pc",
    "load_point_cloud_from_obj",
    "p2g",
]
