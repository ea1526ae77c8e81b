# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gradients of image losses at the end layer of a graph."""

from __future__ import annotations

from collections.abc import Callable

import diffmpm as dm
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal


def test_info(graph: dm.CompGraph) -> None:
    count = len(graph.get_point_cloud(0))
    empty = {"has_gradients": False, "count": 0, "num_particles": count, "dLdF_norm": 0.0, "dLdx_norm": 0.0}
    assert not graph.has_render_gradients() and graph.get_render_gradient_info() == empty
    dLdF, dLdx = np.ones((count, 3, 3), np.float32), np.ones((count, 3))  # float64 is accepted, too
    graph.set_render_gradients(dLdF, dLdx)
    graph.accumulate_render_grads(dLdF, None)
    graph.accumulate_render_grads(None, dLdx)
    info = graph.get_render_gradient_info()
    assert graph.has_render_gradients() and info["has_gradients"] and info["count"] == 3
    assert_allclose((info["dLdF_norm"], info["dLdx_norm"]), (2 * (9 * count) ** 0.5, 2 * (3 * count) ** 0.5))
    graph.set_render_gradients(dLdF, dLdx)
    assert graph.get_render_gradient_info()["count"] == 1
    graph.clear_render_gradients()
    assert graph.get_render_gradient_info() == empty
    graph.accumulate_render_grads(dLdF, dLdx)
    assert graph.get_render_gradient_info()["count"] == 1


def test_gradients_add_to_those_of_the_mass_loss(graph: dm.CompGraph, rng: np.random.Generator) -> None:
    graph.set_up_comp_graph(4)
    graph.compute_forward_pass()
    count = len(graph.get_point_cloud(0))
    mass = graph.compute_backward_pass()
    dLdF = rng.normal(size=(count, 3, 3)).astype(np.float32)
    dLdx = rng.normal(size=(count, 3)).astype(np.float32)
    roll = dm.Simulation(graph.get_point_cloud(0).particles, graph.config).rollout(3, graph.get_controls())
    image = roll.vjp(adj_x=dLdx, adj_F=dLdF, wrt="control").control
    graph.set_render_gradients(dLdF, dLdx)
    both = graph.compute_backward_pass()
    assert_allclose(both, mass + image, atol=1e-4 * np.abs(mass).max())  # float32 sums in a different order
    assert np.abs(both - mass).max() > 1e-2 * np.abs(image).max()


def test_strong_image_gradients_steer_the_body(make_graph: Callable[[], dm.CompGraph], opt: dm.OptInput) -> None:
    plain, steered = make_graph(), make_graph()
    pull = np.zeros((len(plain.get_point_cloud(0)), 3), np.float32)
    pull[:, 0] = -1e3 * np.sign(plain.get_point_cloud(0).get_positions()[:, 0])  # stretch along x
    steered.set_render_gradients(None, pull)
    plain.run_optimization(opt)
    loss = steered.run_optimization(opt)
    assert loss == steered.end_layer_mass_loss()  # the mass loss alone
    width = [float(np.ptp(g.get_point_cloud(-1).get_positions()[:, 0])) for g in (plain, steered)]
    assert width[1] > width[0]
    assert steered.has_render_gradients()


def test_wrong_gradients_leave_the_graph_unchanged(
    graph: dm.CompGraph, snapshot: Callable[[dm.CompGraph], tuple[object, ...]]
) -> None:
    count = len(graph.get_point_cloud(0))
    graph.set_render_gradients(np.ones((count, 3, 3)), None)
    before = snapshot(graph)
    wrong = [
        (np.ones((count, 3)), None, r"dLdF_render: expected shape \(\d+, 3, 3\)"),
        (None, np.ones((3, count)), r"dLdx_render: expected shape .*pass dLdx_render\.T\.copy"),
        (None, np.full((count, 3), np.nan), "dLdx_render: expected finite values, got nan"),
        ("abc", None, "dLdF_render: expected numbers"),
        (None, None, "dLdF_render: expected gradients, got None for both; use clear_render_gradients"),
    ]
    for dLdF, dLdx, message in wrong:
        for call in (graph.set_render_gradients, graph.accumulate_render_grads):
            with pytest.raises(dm.ConfigError, match=message):
                call(dLdF, dLdx)
    assert snapshot(graph) == before
    controls = graph.get_controls()
    assert_array_equal(controls, np.zeros((0, count, 3, 3), np.float32))
