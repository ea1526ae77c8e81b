# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Surfaces on a device match the CPU: Gaussians, gradients and bindings; invalid arguments raise errors."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import tolerances as tol
from diffmpm.errors import ConfigError
from numpy.testing import assert_array_equal
from scenes import DTYPES, assert_same_bits, assert_same_vector, host, on

PARTS = ("means", "covars", "normals", "weights")
ROWS = {"means": (3,), "covars": (3, 3), "normals": (3,), "weights": (8,)}


def body(rng: np.random.Generator, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    x = dm.sample("torus", particles=800, dtype=dtype).x
    F = np.eye(3) + 0.2 * rng.standard_normal((len(x), 3, 3))
    return x, F.astype(dtype)


def binding_of(x: np.ndarray, samples: int = 700) -> dm.surface.Binding:
    return dm.surface.bind(x, np.tile(np.eye(3, dtype=x.dtype), (len(x), 1, 1)), samples=samples)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussians_and_gradients(dtype: Any, device: str, rng: np.random.Generator) -> None:
    x, F = body(rng, dtype)
    binding = binding_of(x)
    tolerance = tol.PARITY[np.dtype(dtype)]
    gaussians = {where: binding.evaluate(on(where, x), on(where, F), sigma0=0.8) for where in (device, "cpu")}
    got, expected = gaussians[device], gaussians["cpu"]
    for name in PARTS:
        assert isinstance(getattr(got, name), dm.DeviceArray)
        assert_same_vector(host(getattr(got, name)), getattr(expected, name), tolerance, name)
    assert_array_equal(got.parents, expected.parents)

    adj = {f"adj_{name}": rng.standard_normal((binding.count, *ROWS[name])).astype(dtype) for name in PARTS}
    for cotangents in (adj, {"adj_means": adj["adj_means"]}, {"adj_covars": adj["adj_covars"]}, {}):
        pulled = {
            where: g.vjp(**{name: on(where, a) for name, a in cotangents.items()}, wrt=("sigma0", "F", "x"))
            for where, g in gaussians.items()
        }
        for one, other, name in zip(pulled[device], pulled["cpu"], ("sigma0", "F", "x"), strict=True):
            assert one.dtype == dtype
            assert_same_vector(host(one), other, tolerance, name)
        assert isinstance(pulled[device][1], dm.DeviceArray)


def test_runs_are_bitwise_reproducible(device: str, rng: np.random.Generator) -> None:
    x, F = body(rng, np.float32)
    adj = rng.standard_normal((700, 3)).astype(np.float32)
    runs = []
    for _ in range(2):
        gaussians = binding_of(x).evaluate(on(device, x), on(device, F))
        runs.append([gaussians.covars, *gaussians.vjp(on(device, adj))])
    for one, other in zip(*runs, strict=True):
        assert_same_bits(host(one), host(other))


def test_a_binding_is_uploaded_once_per_dtype(device: str, rng: np.random.Generator) -> None:
    x, F = body(rng, np.float64)
    binding = binding_of(x)
    assert not binding._native
    for dtype in (np.float64, np.float32, np.float64):
        binding.evaluate(on(device, x.astype(dtype)), on(device, F.astype(dtype))).vjp()
    assert set(binding._native) == {("float32", "cuda:0"), ("float64", "cuda:0")}


def test_bindings_match_the_cpu(device: str, rng: np.random.Generator) -> None:
    x, F = body(rng, np.float32)
    on_device = on(device, x), on(device, F)
    got, expected = (dm.surface.bind(*where, samples=500, seed=3) for where in (on_device, (x, F)))
    for name in ("parents", "offsets", "axes", "normals", "kept"):  # computed on the CPU from copies of the same arrays
        assert_array_equal(getattr(got, name), getattr(expected, name))
    assert_array_equal(dm.surface.outer_particles(on_device[0]), dm.surface.outer_particles(x))
    assert isinstance(dm.gaussians(*on_device, samples=100).means, dm.DeviceArray)

    # An update starts from samples that the device has moved, so their last bits differ. For a few samples the choice
    # between two nearly equal candidates may change; the rest differs by rounding.
    got, expected = got.update(*on_device), expected.update(x, F)
    same = (got.parents == expected.parents).all(axis=1) & (got.kept == expected.kept)
    assert np.mean(same) > 0.98
    for name in ("offsets", "axes", "normals"):
        one, other = (getattr(binding, name)[same] for binding in (got, expected))
        assert_same_vector(one, other, tol.PARITY[np.dtype(np.float32)], name)


def test_wrong_arguments(device: str, rng: np.random.Generator) -> None:
    x, F = body(rng, np.float32)
    on_device = on(device, x)
    binding = binding_of(x, 50)
    with pytest.raises(ConfigError, match="F: expected an array on the device, as the others are, got ndarray"):
        binding.evaluate(on_device, F)
    with pytest.raises(ConfigError, match="F: expected a CPU array, got one on another device"):
        binding.evaluate(x, on(device, F))
    with pytest.raises(ConfigError, match="F: expected float32, got float64"):
        binding.evaluate(on_device, on(device, F.astype(np.float64)))
    with pytest.raises(ConfigError, match="x: expected the 800 particles of the binding, got 799"):
        binding.evaluate(on_device[:799], on(device, F[:799]))
    far, bad = x.copy(), x.copy()
    far[5], bad[5] = 1e30, np.nan
    with pytest.raises(ConfigError, match="x: expected coordinates below"):
        binding.evaluate(on(device, far), on(device, F))
    with pytest.raises(ConfigError, match="x: expected finite values, got NaN"):
        binding.evaluate(on(device, bad), on(device, F))
    gaussians = binding.evaluate(on_device, on(device, F))
    with pytest.raises(ConfigError, match="adj_means: expected an array on the device"):
        gaussians.vjp(np.zeros((50, 3), np.float32))
    with pytest.raises(ConfigError, match=r"adj_means: expected shape \(50, 3\), got \(49, 3\)"):
        gaussians.vjp(on(device, np.zeros((49, 3), np.float32)))
