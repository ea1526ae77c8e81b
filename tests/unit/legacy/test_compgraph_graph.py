# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""CompGraph: optimisation, layers, controls, promotion and messages."""

from __future__ import annotations

import _thread
import copy
import pickle
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
from diffmpm.legacy import OptProgress
from diffmpm.legacy.schedule import unit_step
from numpy.testing import assert_allclose, assert_array_equal

Make = Callable[[], dm.CompGraph]
Snapshot = Callable[[dm.CompGraph], tuple[object, ...]]


def test_run_lowers_the_loss(graph: dm.CompGraph, opt: dm.OptInput) -> None:
    start = graph.end_layer_mass_loss()
    assert graph.get_num_layers() == 1
    loss = graph.run_optimization(opt)
    assert loss == graph.end_layer_mass_loss() < start
    assert graph.get_num_layers() == 5
    controls = graph.get_controls()
    assert controls.shape == (4, *graph.get_point_cloud(0).get_def_grads().shape)
    norms = np.linalg.norm(controls, axis=(2, 3))
    assert (norms.max(axis=1) > 0).all() and norms.max() <= 3 * opt.initial_alpha * 1.0001  # three passes


@pytest.mark.parametrize("stride", [1, 3])
def test_controls_replay_bit_for_bit(graph: dm.CompGraph, opt: dm.OptInput, stride: int, tmp_path: Path) -> None:
    opt.control_stride = stride
    opt.f_ext = (0.0, 0.0, -1.0)
    graph.run_optimization(opt)
    graph.promote_last_as_initial()
    loss = graph.run_optimization(opt)
    assert graph.control_stride == stride and len(graph.get_controls()) == -(-4 // stride)
    start = graph.get_point_cloud(0)
    roll = dm.Simulation(start.particles, graph.config).rollout(4, graph.get_controls(), control_stride=stride)
    for layer in range(graph.get_num_layers()):
        cloud, state = graph.get_point_cloud(layer), roll.state(layer)
        assert_array_equal(cloud.get_positions(), state.x)
        assert_array_equal(cloud.get_def_grads(), state.F)
        assert_array_equal(cloud.particles.v, state.v)
        control = graph.get_controls()[layer // stride] if layer < 4 and layer % stride == 0 else 0 * state.F
        assert_array_equal(cloud.get_def_grads_morph(), control)
        assert_array_equal(cloud.get_def_grads_total(), state.F + control)
        assert_array_equal(graph.get_point_cloud_at_timestep(layer).get_positions(), state.x)
    x = graph.get_point_cloud(-1).get_positions()
    graph.set_controls(graph.get_controls())
    assert graph.compute_forward_pass(start=2, episode=1) == loss
    assert_array_equal(graph.get_point_cloud(4).get_positions(), x)


def test_runs_are_reproducible_and_start_from_the_current_controls(make_graph: Make, opt: dm.OptInput) -> None:
    first, second = make_graph(), make_graph()
    loss = first.run_optimization(opt)
    opt.current_episodes = 7
    assert second.run_optimization(opt) == loss
    assert_array_equal(first.get_controls(), second.get_controls())
    assert first.run_optimization(opt) < loss
    assert np.abs(first.get_controls()).max() > np.abs(second.get_controls()).max()
    opt.num_timesteps = 2
    first.run_optimization(opt)  # another shape starts from zero
    assert first.get_controls().shape[0] == 2


def test_backward_pass_is_the_exact_gradient(graph: dm.CompGraph, rng: np.random.Generator) -> None:
    opt = dm.OptInput(smoothing_factor=0.5, dt=1 / 240)
    graph.set_up_comp_graph(4, opt)
    controls = (0.01 * rng.normal(size=graph.get_controls().shape)).astype(np.float32)
    graph.set_controls(controls)
    graph.compute_forward_pass()
    gradient = graph.compute_backward_pass()
    assert_array_equal(graph.compute_backward_pass(2), gradient[2:])
    for layer in range(3):
        direction = gradient[layer] / np.linalg.norm(gradient[layer])
        losses = []
        for sign in (1, -1):
            moved = controls.copy()
            moved[layer] += np.float32(sign * 0.05) * direction
            graph.set_controls(moved)
            losses.append(graph.compute_forward_pass())
        # Central difference in float32: measured 2e-4, times 5.
        assert_allclose((losses[0] - losses[1]) / 0.1, np.vdot(gradient[layer], direction), rtol=1e-3)


def test_single_timestep_changes_one_layer(graph: dm.CompGraph, opt: dm.OptInput) -> None:
    graph.set_up_comp_graph(5, opt)
    before = graph.compute_forward_pass()
    opt.max_gd_iters = 2
    after = graph.optimize_single_timestep(2, opt)
    assert after == graph.end_layer_mass_loss() < before
    moved = np.abs(graph.get_controls()).max(axis=(1, 2, 3))
    assert moved[2] > 0.01 and not moved[[0, 1, 3]].any()
    with pytest.raises(dm.ConfigError, match="layer: expected a layer from 0 to 3, got 4"):
        graph.optimize_single_timestep(4)
    graph.set_up_comp_graph(5, dm.OptInput(control_stride=2))
    with pytest.raises(dm.ConfigError, match="layer: expected a multiple of the control stride 2, got 1"):
        graph.optimize_single_timestep(1)


def test_unit_step_is_bounded_per_particle(rng: np.random.Generator) -> None:
    gradient = rng.normal(size=(50, 3, 3)).astype(np.float32)
    gradient[0] *= 1e6
    step = unit_step(gradient)
    norms = np.linalg.norm(step, axis=(1, 2))
    assert norms.max() <= 1 + 1e-6 and np.vdot(step, gradient) > 0
    assert_allclose(unit_step(gradient * np.float32(1e-30)), step, rtol=1e-5)
    assert not unit_step(np.zeros((2, 3, 3), np.float32)).any()


def test_failed_line_search_leaves_the_controls_unchanged(graph: dm.CompGraph, opt: dm.OptInput) -> None:
    loss = graph.run_optimization(opt)
    controls = graph.get_controls()
    opt.initial_alpha, opt.max_ls_iters = 1e3, 1
    assert graph.run_optimization(opt) == loss
    assert_array_equal(graph.get_controls(), controls)


def test_promotion(make_graph: Make, opt: dm.OptInput) -> None:
    graph = make_graph()
    loss = graph.run_optimization(opt)
    graph.set_render_gradients(None, np.ones((graph.get_point_cloud(0).particles.count, 3)))
    last = graph.get_point_cloud(-1)
    graph.promote_last_as_initial()
    first = graph.get_point_cloud(0)
    assert graph.get_num_layers() == 1 and len(graph.get_controls()) == 0 and not graph.has_render_gradients()
    assert_allclose(graph.end_layer_mass_loss(), loss, rtol=1e-6)
    assert_array_equal(first.get_positions(), last.get_positions())
    assert_array_equal(first.get_def_grads(), last.get_def_grads())
    assert_allclose(first.particles.v, 0.9 * last.particles.v, rtol=1e-6)
    assert not first.get_def_grads_morph().any()


def test_promotion_with_grid_and_velocity(body: dm.PointCloud, target: dm.PointCloud, opt: dm.OptInput) -> None:
    own, goal = dm.Grid.from_options(opt), dm.Grid.from_options(opt)
    dm.p2g(target, goal)
    graph = dm.CompGraph(body, own, goal)
    graph.run_optimization(opt)
    graph.promote_last_as_initial(velocity_kept=1.0)
    assert not own.get_masses().any()
    graph.run_optimization(opt)
    last = graph.get_point_cloud(-1)
    graph.promote_last_as_initial(carry_grid=True, velocity_kept=1.0)
    assert_array_equal(graph.get_point_cloud(0).particles.C, last.particles.C)
    dm.p2g(last, goal)
    assert_array_equal(own.get_masses(), goal.get_masses())
    for fraction, message in ((1.5, r"velocity_kept: expected a number in \[0, 1\], got 1\.5"), (-1, "velocity_kept")):
        with pytest.raises(dm.ConfigError, match=message):
            graph.promote_last_as_initial(velocity_kept=fraction)
    with pytest.raises(dm.ConfigError, match="carry_grid: expected True or False, got 1"):
        graph.promote_last_as_initial(1)


def test_progress(graph: dm.CompGraph, opt: dm.OptInput, capfd: pytest.CaptureFixture[str]) -> None:
    opt.current_episodes, opt.gd_tol = 3, 0.0
    calls: list[OptProgress] = []
    graph.run_optimization(opt, calls.append)
    assert [(p.sweep, p.layer) for p in calls] == [(s, n) for s in range(3) for n in range(4)]
    assert {p.episode for p in calls} == {3} and calls[-1].fraction == 1.0
    assert all(b.loss <= a.loss * (1 + 1e-5) for a, b in pairwise(calls))
    assert_allclose(calls[-1].loss, graph.end_layer_mass_loss(), rtol=1e-5)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(dm.ConfigError, match="progress: expected a callable, got int"):
        graph.run_optimization(opt, 3)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interruption_leaves_the_graph_unchanged(
    graph: dm.CompGraph, opt: dm.OptInput, snapshot: Snapshot, error: type[BaseException]
) -> None:
    graph.run_optimization(opt)
    before = snapshot(graph)

    def stop(progress: OptProgress) -> None:
        if progress.fraction > 0.5:
            raise error

    opt.num_timesteps = 3
    with pytest.raises(error):
        graph.run_optimization(opt, stop)
    assert snapshot(graph) == before


def test_interruption_of_native_code(graph: dm.CompGraph, opt: dm.OptInput, snapshot: Snapshot) -> None:
    before = snapshot(graph)
    opt.num_timesteps, opt.dt = 2000, 1e-4  # minutes
    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        graph.run_optimization(opt)
    timer.join()
    assert snapshot(graph) == before


def test_double_precision(body: dm.PointCloud, target: dm.PointCloud, opt: dm.OptInput) -> None:
    p = body.particles
    double = dm.Particles.create(
        p.x.astype(np.float64),
        mass=p.mass.astype(np.float64),
        volume=p.volume.astype(np.float64),
        lam=p.lam.astype(np.float64),
        mu=p.mu.astype(np.float64),
    )
    grid = dm.Grid.from_options(opt)
    dm.p2g(target, grid)
    losses = []
    for cloud in (body, dm.PointCloud(double)):
        graph = dm.CompGraph(cloud, dm.Grid.from_options(opt), grid)
        losses.append(graph.run_optimization(opt))
    assert graph.get_controls().dtype == np.float64
    assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_failed_simulation_leaves_the_graph_unchanged(
    graph: dm.CompGraph, opt: dm.OptInput, snapshot: Snapshot
) -> None:
    graph.run_optimization(opt)
    before = snapshot(graph)
    wild = dm.OptInput(f_ext=(1e5, 0, 0))
    with pytest.raises(dm.SimulationError, match="left the grid"):
        graph.run_optimization(wild)
    assert snapshot(graph) == before
    graph.set_up_comp_graph(8, wild)
    with pytest.raises(dm.SimulationError, match="left the grid"):
        graph.compute_forward_pass()
    with pytest.raises(dm.ConfigError, match="graph: expected a forward pass, got none"):
        graph.end_layer_mass_loss()


def test_grids_must_match(body: dm.PointCloud, target: dm.PointCloud, opt: dm.OptInput) -> None:
    own = dm.Grid(13, 13, 13, 1.0, (-6, -6, -6))
    wrong = {
        r"dims \(13, 13, 13\), that of input_grid, got \(13, 13, 14\)": dm.Grid(13, 13, 14, 1.0, (-6, -6, -6)),
        r"dx 1\.0, that of input_grid, got 1\.1": dm.Grid(13, 13, 13, 1.1, (-6, -6, -6)),
        r"min_point \(-6.*got \(-5.*build both grids alike": dm.Grid(13, 13, 13, 1.0, (-5, -6, -6)),
    }
    for message, grid in wrong.items():
        dm.p2g(target, grid)
        with pytest.raises(dm.ConfigError, match=f"target_grid: expected {message}"):
            dm.CompGraph(body, own, grid)
    with pytest.raises(dm.ConfigError, match="target_grid: expected mass on its nodes, got none; call p2g"):
        dm.CompGraph(body, own, dm.Grid.from_options(opt))


def test_wrong_arguments(graph: dm.CompGraph, body: dm.PointCloud, opt: dm.OptInput) -> None:
    grid = dm.Grid.from_options(opt)
    with pytest.raises(dm.ConfigError, match="input_pc: expected PointCloud, got ndarray; use load_point_cloud"):
        dm.CompGraph(body.get_positions(), grid, grid)
    with pytest.raises(dm.ConfigError, match="input_grid: expected Grid, got NoneType"):
        dm.CompGraph(body, None, grid)
    with pytest.raises(TypeError, match="target_grid: expected Grid, got PointCloud"):
        dm.CompGraph(body, grid, body)
    with pytest.raises(dm.ConfigError, match="opt: expected OptInput, got dict"):
        graph.run_optimization({"dt": 0.1})
    with pytest.raises(dm.ConfigError, match="n: expected an integer >= 2, got 1"):
        graph.set_up_comp_graph(1)
    with pytest.raises(dm.ConfigError, match="n: expected an integer, got 'a'"):
        graph.set_up_comp_graph("a")


def test_calls_out_of_order(graph: dm.CompGraph) -> None:
    for call in (graph.compute_forward_pass, graph.compute_backward_pass, lambda: graph.set_controls(0)):
        with pytest.raises(dm.ConfigError, match=r"graph: expected layers.*call set_up_comp_graph"):
            call()
    with pytest.raises(dm.ConfigError, match="promote_last_as_initial: expected an animation, got none"):
        graph.promote_last_as_initial()
    assert_array_equal(graph.get_point_cloud(0).get_def_grads_morph(), 0 * graph.get_point_cloud(0).get_def_grads())
    graph.set_up_comp_graph(3)
    assert graph.get_num_layers() == 3 and len(graph.get_controls()) == 2
    graph.get_point_cloud(0)
    for call in (graph.compute_backward_pass, graph.end_layer_mass_loss, lambda: graph.get_point_cloud(1)):
        with pytest.raises(dm.ConfigError, match="graph: expected a forward pass, got none since the set-up"):
            call()
    for layer in (3, 7):
        with pytest.raises(dm.ConfigError, match=f"i: expected a layer from 0 to 2, got {layer}"):
            graph.get_point_cloud(layer)
    with pytest.raises(dm.ConfigError, match="i: expected an integer >= -3, got -4"):
        graph.get_point_cloud_at_timestep(-4)
    with pytest.raises(dm.ConfigError, match="start: expected a layer from 0 to 2, got 3"):
        graph.compute_forward_pass(3)
    with pytest.raises(dm.ConfigError, match="episode: expected an integer >= 0, got -1"):
        graph.compute_forward_pass(0, -1)
    with pytest.raises(dm.ConfigError, match=r"controls: expected shape \(2, \d+, 3, 3\)"):
        graph.set_controls(np.zeros((1, 1, 3, 3), np.float32))


def test_sphere_to_bunny(shared: Path) -> None:
    opt = dm.OptInput(
        mpm_input_mesh_path=str(shared / "meshes" / "isosphere.obj"),
        mpm_target_mesh_path=str(shared / "meshes" / "bunny.obj"),
    )
    body = dm.load_point_cloud_from_obj(opt.mpm_input_mesh_path, opt)
    with pytest.warns(dm.MeshWarning):
        goal = dm.load_point_cloud_from_obj(opt.mpm_target_mesh_path, opt)
    assert (len(body), len(goal)) == (11166, 9262)  # as with the older loader
    grid = dm.Grid.from_options(opt)
    dm.p2g(goal, grid)
    graph = dm.CompGraph(body, dm.Grid.from_options(opt), grid)
    start = graph.end_layer_mass_loss()
    graph.run_optimization(opt)
    graph.promote_last_as_initial()
    assert graph.run_optimization(opt) < 0.7 * start  # measured 0.667


COPIES = [lambda value: pickle.loads(pickle.dumps(value)), copy.deepcopy]


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy"])
def test_copies_continue_identically(copied: Any, graph: dm.CompGraph, opt: dm.OptInput) -> None:
    assert copied(graph).end_layer_mass_loss() == graph.end_layer_mass_loss()  # the initial state alone
    graph.set_up_comp_graph(3, opt)
    with pytest.raises(dm.ConfigError, match="expected a forward pass, got none"):
        copied(graph).end_layer_mass_loss()
    graph.run_optimization(opt)
    other = copied(graph)
    assert other.end_layer_mass_loss() == graph.end_layer_mass_loss()
    for each in (other, graph):
        each.promote_last_as_initial()
        each.run_optimization(opt)
    scenes.assert_same_bits(other.get_controls(), graph.get_controls())
    scenes.assert_same_bits(other.get_point_cloud(-1).get_positions(), graph.get_point_cloud(-1).get_positions())
    before = graph.get_controls()
    other.set_controls(before + np.float32(0.01))
    scenes.assert_same_bits(graph.get_controls(), before)
