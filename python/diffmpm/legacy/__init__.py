# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Legacy interface: scripts for the older bindings run on the native core.

    opt = dm.OptInput(mpm_input_mesh_path="sphere.obj", mpm_target_mesh_path="bunny.obj")
    body = dm.load_point_cloud_from_obj(opt.mpm_input_mesh_path, opt)
    goal = dm.load_point_cloud_from_obj(opt.mpm_target_mesh_path, opt)
    body_grid, goal_grid = (dm.Grid(33, 33, 33, opt.grid_dx, opt.grid_min_point) for _ in range(2))
    dm.p2g(goal, goal_grid)
    graph = dm.CompGraph(body, body_grid, goal_grid)
    for episode in range(25):
        opt.current_episodes = episode
        graph.run_optimization(opt)
        graph.promote_last_as_initial()

Gradients come from the exact adjoint. Use `diffmpm.morph` and `diffmpm.Simulation` in new code.
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
