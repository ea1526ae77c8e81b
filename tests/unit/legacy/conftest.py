# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A body and a target of a few hundred particles, and their graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest


def write_box(path: Path, half: tuple[float, float, float]) -> Path:
    """Write a box with these half edges as .obj, with quadrilaterals."""
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    lines = ["v " + " ".join(f"{s * h:g}" for s, h in zip(corner, half, strict=True)) for corner in corners]
    faces = ["1 2 4 3", "5 7 8 6", "1 5 6 2", "3 4 8 7", "1 3 7 5", "2 6 8 4"]
    path.write_text("\n".join([*lines, *(f"f {face}" for face in faces)]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def opt() -> dm.OptInput:
    """Defaults with few steps and a small grid."""
    return dm.OptInput(num_timesteps=4, grid_min_point=(-6.0, -6.0, -6.0), grid_max_point=(6.0, 6.0, 6.0))


@pytest.fixture
def body(tmp_path: Path, opt: dm.OptInput) -> dm.PointCloud:
    """A cube with 6 to 7 particles per edge."""
    return dm.load_point_cloud_from_obj(write_box(tmp_path / "cube.obj", (1.6, 1.6, 1.6)), opt)


@pytest.fixture
def target(tmp_path: Path, opt: dm.OptInput) -> dm.PointCloud:
    """A bar of the same volume."""
    return dm.load_point_cloud_from_obj(write_box(tmp_path / "bar.obj", (2.6, 1.25, 1.25)), opt)


@pytest.fixture
def make_graph(body: dm.PointCloud, target: dm.PointCloud, opt: dm.OptInput) -> Callable[[], dm.CompGraph]:
    """Factory of equal graphs."""

    def make() -> dm.CompGraph:
        goal = dm.Grid.from_options(opt)
        dm.p2g(target, goal)
        return dm.CompGraph(body, dm.Grid.from_options(opt), goal)

    return make


@pytest.fixture
def graph(make_graph: Callable[[], dm.CompGraph]) -> dm.CompGraph:
    """Graph from the cube to the bar."""
    return make_graph()


@pytest.fixture
def snapshot() -> Callable[[dm.CompGraph], tuple[object, ...]]:
    """Return the public state of a graph, to detect changes."""

    def read(graph: dm.CompGraph) -> tuple[object, ...]:
        first, last = graph.get_point_cloud(0), graph.get_point_cloud(-1)
        arrays = [graph.get_controls(), first.get_positions(), last.get_positions(), last.get_def_grads_total()]
        return (
            graph.get_num_layers(),
            graph.end_layer_mass_loss(),
            graph.config,
            graph.get_render_gradient_info(),
            *(np.asarray(a).tobytes() for a in arrays),
        )

    return read
