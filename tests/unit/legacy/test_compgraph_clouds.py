# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Grids, point clouds and their functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm._build_info import TORCH_SUPPORT
from numpy.testing import assert_allclose, assert_array_equal

WITHOUT_TORCH = """
import diffmpm._build_info as info
info.TORCH_SUPPORT = False
import diffmpm as dm
names = [name for name in dir(dm.PointCloud) if "torch" in name]
assert not names and not hasattr(dm.PointCloud, "get_positions_torch"), names
"""
TORCH_NOT_INSTALLED = """
import sys
import diffmpm._build_info as info
info.TORCH_SUPPORT = True
sys.modules["torch"] = None
import diffmpm as dm
cloud = dm.PointCloud(dm.sample("box", particles=8))
for name in ("get_positions_torch", "get_def_grads_total_torch"):
    try:
        getattr(cloud, name)()
    except ImportError as error:
        assert f"{name}: needs PyTorch" in str(error) and "pip install torch" in str(error), error
    else:
        raise AssertionError(name)
"""


def test_lattice_at_rest(body: dm.PointCloud, opt: dm.OptInput) -> None:
    x, p, count = body.get_positions(), body.particles, len(body)
    assert 6**3 <= count <= 7**3 and x.dtype == np.float32 and repr(body) == f"PointCloud({count} particles)"
    steps = (x - x.min(axis=0)) / 0.5
    assert_allclose(steps, np.round(steps), atol=1e-5)
    assert_allclose(body.get_masses().sum(), opt.p_density * 3.2**3, rtol=1e-5)
    assert_array_equal(body.get_def_grads(), np.broadcast_to(np.eye(3), (count, 3, 3)))
    assert_array_equal(body.get_def_grads_morph(), np.zeros((count, 3, 3)))
    assert_array_equal(p.lam, np.full(count, opt.lam, np.float32))
    assert_array_equal(p.mu, np.full(count, opt.mu, np.float32))
    assert_array_equal(dm.get_positions_from_pc(body), x)


def test_arrays_are_copies(body: dm.PointCloud) -> None:
    names = ("get_positions", "get_masses", "get_def_grads", "get_def_grads_morph", "get_def_grads_total")
    for name in names:
        array = getattr(body, name)()
        before = array.copy()
        array += 1
        assert_array_equal(getattr(body, name)(), before)


def test_total_is_sum_of_deformation_and_control(body: dm.PointCloud, rng: np.random.Generator) -> None:
    control = rng.normal(size=(len(body), 3, 3)).astype(np.float32)
    cloud = dm.PointCloud(body.particles, control)
    assert_array_equal(cloud.get_def_grads_morph(), control)
    assert_array_equal(cloud.get_def_grads_total(), cloud.get_def_grads() + control)


def test_p2g_writes_the_mass(body: dm.PointCloud, opt: dm.OptInput) -> None:
    grid = dm.Grid.from_options(opt)
    assert grid.dims == (13, 13, 13) and not grid.get_masses().any()
    dm.p2g(body, grid)
    dm.p2g(body, grid)  # replaces, does not add
    assert_allclose(grid.get_masses().sum(), body.get_masses().sum(), rtol=1e-5)
    assert grid.get_masses().dtype == np.float32


def test_particle_outside_leaves_the_grid_unchanged(body: dm.PointCloud, opt: dm.OptInput) -> None:
    grid = dm.Grid(8, 8, 8, 1.0, (-3.5, -3.5, -3.5))
    dm.p2g(body, grid)
    before = grid.get_masses()
    far = dm.PointCloud(body.particles.replace(x=body.get_positions() + np.float32(5)))
    with pytest.raises(dm.SimulationError, match="grid"):
        dm.p2g(far, grid)
    assert_array_equal(grid.get_masses(), before)
    with pytest.raises(dm.SimulationError, match="grid"):
        dm.calculate_point_cloud_volumes(far, grid)


def test_volumes_are_mass_over_density(opt: dm.OptInput) -> None:
    axis = np.arange(-4, 4, 0.5) + 0.25
    x = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    cloud = dm.PointCloud(dm.Particles.create(x, mass=2.0, volume=1.0, lam=1.0, mu=1.0))
    dm.calculate_point_cloud_volumes(cloud, dm.Grid.from_options(opt))
    volumes = cloud.particles.volume
    inside = (np.abs(x) < 1).all(axis=1)
    assert_allclose(volumes[inside], 0.125, rtol=1e-12)  # a full lattice: the fraction of a cell per particle
    assert (volumes[~inside] > 0.125 - 1e-12).all() and volumes.max() > 0.2


def test_lame_parameters() -> None:
    lam, mu = dm.calculate_lame_parameters(140000.0, 0.2)
    assert_allclose((lam, mu), (38888.888889, 58333.333333))
    with pytest.raises(dm.ConfigError, match="nu: expected"):
        dm.calculate_lame_parameters(1.0, 0.5)


def test_wrong_arguments(body: dm.PointCloud, opt: dm.OptInput, tmp_path: Path) -> None:
    grid = dm.Grid.from_options(opt)
    with pytest.raises(dm.ConfigError, match="pc: expected PointCloud, got ndarray"):
        dm.p2g(body.get_positions(), grid)
    with pytest.raises(TypeError, match="grid: expected Grid, got NoneType"):
        dm.p2g(body, None)
    with pytest.raises(dm.ConfigError, match="pc: expected PointCloud, got int"):
        dm.calculate_point_cloud_volumes(3, grid)
    with pytest.raises(dm.ConfigError, match="pc: expected PointCloud, got Grid"):
        dm.get_positions_from_pc(grid)
    with pytest.raises(dm.ConfigError, match="particles: expected Particles, got ndarray; use load_point_cloud"):
        dm.PointCloud(body.get_positions())
    with pytest.raises(dm.ConfigError, match=r"control: expected shape \(\d+, 3, 3\), got \(1, 3, 3\)"):
        dm.PointCloud(body.particles, np.zeros((1, 3, 3), np.float32))
    with pytest.raises(dm.ConfigError, match="opt: expected OptInput, got dict"):
        dm.load_point_cloud_from_obj("box", {})
    with pytest.raises(dm.ConfigError, match="path: expected a path, got int"):
        dm.load_point_cloud_from_obj(3, opt)
    with pytest.raises(dm.MeshError, match=r"missing\.obj"):
        dm.load_point_cloud_from_obj(tmp_path / "missing.obj", opt)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7, 8, 8, 1.0, (0, 0, 0)), "dim_x: expected an integer >= 8, got 7"),
        ((8, 8.0, 8, 1.0, (0, 0, 0)), r"dim_y: expected an integer, got 8\.0"),
        ((8, 8, 1 << 21, 1.0, (0, 0, 0)), "dim_z: expected at most 1048576 nodes"),
        ((8, 8, 8, -1.0, (0, 0, 0)), "dx: expected a finite number > 0, got -1"),
        ((8, 8, 8, 1.0, 0), "min_point: expected three numbers, got 0"),
    ],
)
def test_wrong_grids(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        dm.Grid(*arguments)


def test_grid_from_options_needs_a_box(opt: dm.OptInput) -> None:
    opt.grid_max_point = (-7.0, 0.0, 0.0)
    with pytest.raises(dm.ConfigError, match="grid_max_point: expected a box of 8 to"):
        dm.Grid.from_options(opt)
    assert repr(dm.Grid(8, 9, 10, 0.5, (1, 2, 3))) == "Grid(8, 9, 10, 0.5, (1.0, 2.0, 3.0))"


def test_tensor_methods_exist_only_with_torch_support(body: dm.PointCloud) -> None:
    for name in ("get_positions_torch", "get_def_grads_total_torch"):
        assert hasattr(body, name) == TORCH_SUPPORT


@pytest.mark.parametrize("script", [WITHOUT_TORCH, TORCH_NOT_INSTALLED], ids=["no support", "not installed"])
def test_tensors_without_torch(script: str) -> None:
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not TORCH_SUPPORT, reason="built without PyTorch support")
def test_tensors(body: dm.PointCloud) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = body.get_positions_torch()
    assert x.dtype == torch.float32 and not x.requires_grad and x.is_leaf
    assert_array_equal(x.numpy(), body.get_positions())
    F = body.get_def_grads_total_torch(requires_grad=True)
    (F**2).sum().backward()
    assert F.is_leaf and F.grad is not None
    assert_array_equal(F.grad.numpy(), 2 * body.get_def_grads_total())
