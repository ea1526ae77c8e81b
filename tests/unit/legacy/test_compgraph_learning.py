# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Learnable controls: backward() of the tensors of a layer passes through the physics to `graph.controls`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
from diffmpm._build_info import TORCH_SUPPORT
from numpy.testing import assert_array_equal

NAMES = ("requires_grad_", "controls")
# float32 sums in a different order
CLOSE = 1e-5


@pytest.mark.skipif(TORCH_SUPPORT, reason="built with PyTorch support")
def test_names_are_absent_without_support(graph: dm.CompGraph) -> None:
    for name in NAMES:
        assert not hasattr(graph, name)


if TORCH_SUPPORT:
    torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
needs_support = pytest.mark.skipif(not TORCH_SUPPORT, reason="built without PyTorch support")


@pytest.fixture
def learning(graph: dm.CompGraph, opt: dm.OptInput, rng: np.random.Generator) -> dm.CompGraph:
    """A graph of four layers with learnable, non-zero controls."""
    graph.set_up_comp_graph(4, opt)
    graph.set_controls(0.02 * rng.standard_normal(graph.get_controls().shape).astype(np.float32))
    graph.requires_grad_(True)
    graph.compute_forward_pass()
    return graph


def tensors(graph: dm.CompGraph, layer: int = -1) -> tuple[Any, Any]:
    cloud = graph.get_point_cloud(layer)
    return cloud.get_positions_torch(requires_grad=True), cloud.get_def_grads_total_torch(requires_grad=True)


@needs_support
@pytest.mark.parametrize("layer", [1, 2, -1])
def test_one_backward_fills_every_gradient(learning: dm.CompGraph, layer: int, rng: np.random.Generator) -> None:
    x, F = tensors(learning, layer)
    assert x.dtype == F.dtype == torch.float32
    gx, gF = (torch.from_numpy(rng.standard_normal(t.shape).astype(np.float32)) for t in (x, F))
    ((gx * x).sum() + (gF * F).sum()).backward()
    assert_array_equal(x.grad.numpy(), gx.numpy())
    assert_array_equal(F.grad.numpy(), gF.numpy())
    body = learning.get_point_cloud(0).particles
    roll = dm.Simulation(body, learning.config).rollout(3, learning.get_controls())
    n = layer if layer > 0 else 3
    expected = roll.vjp(layers={n: {"adj_x": gx.numpy(), "adj_F": gF.numpy()}}, wrt=("control",)).control
    if n < 3:
        expected[n] += gF.numpy()  # F + dFc of a layer contains the control that acts there
    scenes.assert_same_vector(learning.controls.grad.numpy(), expected, CLOSE)


@needs_support
def test_autograd_and_render_gradients_give_the_same_update(
    make_graph: Callable[[], dm.CompGraph], opt: dm.OptInput, rng: np.random.Generator
) -> None:
    """An image loss reaches the controls by arrays of gradients or by backward()."""
    learning_graph, informed, mass = make_graph(), make_graph(), make_graph()
    for graph in (learning_graph, informed, mass):
        graph.set_up_comp_graph(4, opt)
    learning_graph.requires_grad_(True)
    for graph in (learning_graph, informed, mass):
        graph.compute_forward_pass()
    x, F = tensors(learning_graph)
    goal = torch.from_numpy(rng.standard_normal(x.shape).astype(np.float32))
    loss = 1e3 * ((x - goal).square().sum() + (F - 1.1 * torch.eye(3)).square().sum())
    loss.backward()
    informed.set_render_gradients(F.grad, x.grad)
    halves = informed.compute_backward_pass()
    informed.clear_render_gradients()
    informed.accumulate_render_grads(0.25 * F.grad, 0.25 * x.grad)
    informed.accumulate_render_grads(0.75 * F.grad, 0.75 * x.grad)
    scenes.assert_same_vector(informed.compute_backward_pass(), halves, CLOSE)
    image = halves - mass.compute_backward_pass()
    scenes.assert_same_vector(
        image, learning_graph.controls.grad.numpy(), 1e-4
    )  # difference of sums that are ten times larger
    step = 1e-6
    with torch.no_grad():
        learning_graph.controls -= step * learning_graph.controls.grad
    informed.set_controls(informed.get_controls() - np.float32(step) * image)
    informed.compute_forward_pass()
    scenes.assert_same_vector(
        learning_graph.get_point_cloud(-1).get_positions(), informed.get_point_cloud(-1).get_positions(), CLOSE
    )


@needs_support
def test_an_optimiser_trains_the_controls(learning: dm.CompGraph) -> None:
    """Controls share the graph's memory; an outdated pass is repeated when its result is requested."""
    optimizer = torch.optim.Adam([learning.controls], lr=0.01)
    x0 = torch.from_numpy(learning.get_point_cloud(0).get_positions())
    history = []
    for _ in range(8):
        optimizer.zero_grad()
        x, _ = tensors(learning)
        loss = (x - 1.02 * x0).square().sum()
        loss.backward()
        history.append(loss.item())
        optimizer.step()
        assert_array_equal(learning.get_controls(), learning.controls.detach().numpy())
    assert history[-1] < 0.5 * history[0]
    before = learning.end_layer_mass_loss()
    with torch.no_grad():
        learning.controls.zero_()
    assert learning.end_layer_mass_loss() != before


@needs_support
def test_leaf_survives_runs_of_the_same_shape(learning: dm.CompGraph, opt: dm.OptInput) -> None:
    leaf = learning.controls
    opt.num_timesteps = 3
    learning.run_optimization(opt)
    assert learning.controls is leaf
    assert_array_equal(leaf.detach().numpy(), learning.get_controls())
    opt.num_timesteps = 2
    learning.run_optimization(opt)
    assert learning.controls is not leaf and learning.controls.shape[0] == 2


@needs_support
def test_tensors_are_the_same_in_every_call(learning: dm.CompGraph) -> None:
    cloud = learning.get_point_cloud(-1)
    assert cloud.get_positions_torch(True) is cloud.get_positions_torch(True)
    plain = cloud.get_positions_torch()
    assert plain.is_leaf and not plain.requires_grad
    assert_array_equal(plain.numpy(), cloud.get_positions_torch(True).detach().numpy())


@needs_support
def test_initial_layer(learning: dm.CompGraph) -> None:
    x, F = tensors(learning, 0)
    (x.sum() + F.sum()).backward()
    assert_array_equal(x.grad.numpy(), 1.0)
    expected = np.zeros_like(learning.get_controls())
    expected[0] = 1.0
    assert_array_equal(learning.controls.grad.numpy(), expected)


@needs_support
def test_constant_again(learning: dm.CompGraph) -> None:
    assert learning.requires_grad_(False) is learning
    x, _ = tensors(learning)
    assert x.is_leaf and x.requires_grad
    with pytest.raises(dm.ConfigError, match=r"controls: expected learnable ones; call requires_grad_\(True\) first"):
        learning.controls  # noqa: B018


@needs_support
def test_controls_need_a_set_up(graph: dm.CompGraph) -> None:
    graph.requires_grad_()
    with pytest.raises(dm.ConfigError, match="controls: expected layers, got the initial state alone"):
        graph.controls  # noqa: B018
    graph.set_up_comp_graph(3)
    assert graph.controls.shape[0] == 2 and graph.controls.requires_grad


@needs_support
def test_copy_learns_independently(learning: dm.CompGraph) -> None:
    """The current controls are copied even before a pass has used them; tensors and gradients are not."""
    with torch.no_grad():
        learning.controls.mul_(0.5)
    cloud = learning.get_point_cloud(-1)
    cloud.get_positions_torch(requires_grad=True).square().sum().backward()
    for copied in (copy.deepcopy(learning), pickle.loads(pickle.dumps(learning))):
        assert copied.controls.grad is None and copied.controls.requires_grad
        end = copied.get_point_cloud(-1)
        assert_array_equal(end.get_positions(), cloud.get_positions())
        end.get_positions_torch(requires_grad=True).square().sum().backward()
        assert_array_equal(copied.controls.grad.numpy(), learning.controls.grad.numpy())
        plain = copy.deepcopy(end)
        assert_array_equal(plain.get_def_grads_total(), end.get_def_grads_total())
        assert plain.get_positions_torch(requires_grad=True).is_leaf
