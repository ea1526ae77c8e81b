# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Arrays on a device: there and back, arithmetic, reductions, DLPack, errors."""

from __future__ import annotations

import operator
import pickle
from copy import copy as shallow
from copy import deepcopy
from functools import partial
from types import SimpleNamespace
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _arrays, _core
from diffmpm.errors import ConfigError
from numpy.testing import assert_allclose, assert_array_equal
from scenes import DTYPES

OPERATORS = (operator.add, operator.sub, operator.mul, operator.truediv)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (4, 3, 3)])
def test_there_and_back(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> None:
    array = np.asarray(rng.standard_normal(shape), dtype)
    there = dm.to_device(array)
    assert isinstance(there, dm.DeviceArray)
    assert (there.shape, there.dtype, there.ndim, there.size) == (shape, np.dtype(dtype), len(shape), array.size)
    assert_array_equal(there.numpy(), array)
    assert dm.to_device(there) is there
    assert_array_equal(_core.zeros_like(there).numpy(), np.zeros(shape, dtype))
    copy = there.copy()
    copy += 1.0
    assert_array_equal(there.numpy(), array)


def test_copies_are_on_the_device(rng: np.random.Generator) -> None:
    there = dm.to_device(np.asarray(rng.standard_normal((4, 3))))
    for other in (pickle.loads(pickle.dumps(there)), deepcopy(there), shallow(there)):
        assert isinstance(other, dm.DeviceArray) and other.device == there.device
        assert_array_equal(other.numpy(), there.numpy())
        other += 1.0
        assert not np.array_equal(other.numpy(), there.numpy())
    body = dm.sample("sphere", particles=300)
    gaussians = dm.gaussians(dm.to_device(body.x), dm.to_device(body.F), samples=50)
    for other in (pickle.loads(pickle.dumps(gaussians)), deepcopy(gaussians)):
        assert_array_equal(other.covars.numpy(), gaussians.covars.numpy())
        assert_array_equal(other.vjp(gaussians.means)[0].numpy(), gaussians.vjp(gaussians.means)[0].numpy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPERATORS)
def test_arithmetic_is_that_of_numpy(op: Any, dtype: Any, rng: np.random.Generator) -> None:
    a, b = (np.asarray(rng.standard_normal((300, 5)), dtype) for _ in range(2))
    x, y, number = dm.to_device(a), dm.to_device(b), dtype(1.7)
    for got, expected in (
        (op(x, y), op(a, b)),
        (op(x, 1.7), op(a, number)),
        (op(1.7, x), op(number, a)),
        (op(number, x), op(number, a)),
        (op(x, number), op(a, number)),
        (op(x, np.asarray(number)), op(a, number)),
    ):
        assert_array_equal(got.numpy(), expected)
    z = x.copy()
    same = z
    z = getattr(operator, f"i{op.__name__}")(z, y)
    assert z is same
    assert_array_equal(z.numpy(), op(a, b))
    assert_array_equal(np.sqrt(x * x).numpy(), np.sqrt(a * a))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 127, 129, 4096, 10_000])
def test_reductions(count: int, dtype: Any, rng: np.random.Generator) -> None:
    a, b = (np.asarray(rng.standard_normal(count), dtype) for _ in range(2))
    x, y = dm.to_device(a), dm.to_device(b)
    assert_allclose(_arrays.dot(x, y), _arrays.dot(a, b), rtol=1e-12, atol=1e-12)
    assert _arrays.peak(x) == _arrays.peak(a)
    assert _arrays.all_finite(x)
    assert _core.count_not_above(x, 0.25) == np.count_nonzero(a <= dtype(0.25))
    for bad in (np.nan, np.inf, -np.inf):
        if count > 0:
            a[count // 2] = bad
            assert not _arrays.all_finite(dm.to_device(a))


def test_determinants(rng: np.random.Generator) -> None:
    F = np.eye(3) + 0.5 * rng.standard_normal((1000, 3, 3))
    assert _core.count_inverted(dm.to_device(F)) == np.count_nonzero(np.linalg.det(F) <= 0)
    F[5, 1, 1] = np.nan
    assert _core.count_inverted(dm.to_device(F[5:6])) == 1


def test_parts_along_the_first_axis_are_views(rng: np.random.Generator) -> None:
    a = rng.standard_normal((6, 4))
    x = dm.to_device(a)
    for part in (0, 5, -1, slice(None), slice(1, 3), slice(-2, None), slice(4, 2)):
        assert_array_equal(x[part].numpy(), a[part])
    x[2] = x[0]
    x[3:5] = x[0:2]
    a[2], a[3:5] = a[0], a[0:2].copy()
    part = x[1]
    part *= 2.0
    a[1] *= 2.0
    assert_array_equal(x.numpy(), a)
    assert len(x) == 6
    with pytest.raises(IndexError):
        x[6]


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows(dtype: Any, rng: np.random.Generator) -> None:
    a, values = (np.asarray(rng.standard_normal((n, 3, 3)), dtype) for n in (20, 4))
    x, rows = dm.to_device(a), _arrays.Rows(np.array([3, 19, 0, 7]))
    assert_array_equal(rows.take(x).numpy(), rows.take(a))
    assert_array_equal(_arrays.append(x, dm.to_device(values)).numpy(), _arrays.append(a, values))
    rows.add(x, dm.to_device(values))
    rows.add(a, values)
    assert_array_equal(x.numpy(), a)
    nothing = _arrays.Rows(np.empty(0, dtype=np.int64))
    assert nothing.take(x).shape == (0, 3, 3)
    with pytest.raises(TypeError, match="add_rows: expected a row of values for each row"):
        rows.add(x, x)
    with pytest.raises(TypeError, match="append: expected arrays of one dtype whose rows have one shape"):
        _arrays.append(x, dm.to_device(np.zeros((2, 3), dtype)))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda x: x + np.ones((2, 3)), "upload it with diffmpm.to_device"),
        (lambda x: np.ones((2, 3)) * x, "upload it with diffmpm.to_device"),
        (lambda x: x + dm.to_device(np.ones(3)), "nothing is broadcast"),
        (lambda x: x + dm.to_device(np.ones((2, 3), np.float32)), "one shape and dtype"),
        (lambda x: np.exp(x), "numpy.exp does not run on a device"),
        (lambda x: np.maximum(x, x), "numpy.maximum does not run on a device"),
        (lambda x: np.asarray(x), "copy it with .numpy"),
        (lambda x: x[::-1], "slice of step 1"),
        (lambda x: x["a"], "whole number or a slice"),
        (lambda x: x + 1j, "upload it with diffmpm.to_device"),
    ],
)
def test_what_a_device_cannot_do_is_named(use: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"DeviceArray: .*{message}"):
        use(dm.to_device(np.ones((2, 3))))


def test_dlpack_names_the_device_and_keeps_the_memory(rng: np.random.Generator) -> None:
    a = rng.standard_normal((5, 3))
    x = dm.to_device(a)
    assert x.__dlpack_device__() == (2, 0)
    for stream in (None, -1, 1):
        view = _core.from_dlpack(x) if stream is None else x.__dlpack__(stream=stream)
    y = _core.from_dlpack(x)
    y *= 2.0  # one memory
    del y, view
    assert_array_equal(x.numpy(), 2.0 * a)
    y = _core.from_dlpack(x)
    del x
    assert_array_equal(y.numpy(), 2.0 * a)


def test_dlpack_copies_only_where_asked(rng: np.random.Generator) -> None:
    a = rng.standard_normal((5, 3))
    x = dm.to_device(a)
    for copy in (None, False, True):
        y = _core.from_dlpack(
            SimpleNamespace(
                __dlpack__=partial(x.__dlpack__, copy=copy, dl_device=(2, 0)), __dlpack_device__=x.__dlpack_device__
            )
        )
        y += 1.0
        if copy is not True:
            a = a + 1.0
        assert_array_equal(x.numpy(), a)


def test_dlpack_refuses_what_it_cannot_do() -> None:
    x = dm.to_device(np.ones((5, 3)))
    for device in ((1, 0), (2, 1)):
        with pytest.raises(BufferError, match="DeviceArray: expected its own device, got another one; copy it to"):
            x.__dlpack__(dl_device=device)
    with pytest.raises(BufferError, match="DeviceArray: expected a stream as DLPack numbers it, got 0; pass 1"):
        x.__dlpack__(stream=0)


def test_torch_takes_them_without_a_copy() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch has no CUDA device")
    x = dm.to_device(np.arange(6.0))
    tensor = torch.from_dlpack(x)
    tensor += 1.0
    torch.cuda.synchronize()
    assert_array_equal(x.numpy(), np.arange(6.0) + 1.0)
    body = dm.Particles.create(torch.zeros((4, 3), device="cuda"), mass=1.0, volume=1.0, lam=1.0, mu=1.0)
    assert body.device == "cuda:0"


def test_particles_move(rng: np.random.Generator) -> None:
    body = dm.Particles.create(rng.random((5, 3)), mass=1.0, volume=rng.random(5) + 0.1, lam=0.0, mu=2.0)
    there = body.to("cuda")
    assert (body.device, there.device, there.count, there.dtype) == ("cpu", "cuda:0", 5, body.dtype)
    assert there.to("cuda") is there.to("cuda:0") is there
    back = there.replace(v=there.x * 2.0).to("cpu")
    assert_array_equal(back.v, 2.0 * body.x)
    assert_array_equal(back.volume, body.volume)
    made = dm.Particles.create(there.x, mass=1.0, volume=there.volume, lam=0.0, mu=2.0).to("cpu")
    for name in ("x", "v", "C", "F", "mass", "volume", "lam", "mu"):
        assert_array_equal(getattr(made, name), getattr(body, name))


def test_bad_particles_are_named(rng: np.random.Generator) -> None:
    x = dm.to_device(rng.random((5, 3)))
    good: dict[str, Any] = {"mass": 1.0, "volume": 1.0, "lam": 1.0, "mu": 1.0}
    for name, value, message in (
        (
            "v",
            np.zeros((5, 3)),
            "v: expected an array on the device, as the others are, got ndarray on the CPU; upload",
        ),
        ("v", dm.to_device(np.zeros((4, 3))), r"v: expected shape \(5, 3\), got \(4, 3\)"),
        ("v", dm.to_device(np.zeros((5, 3), np.float32)), "v: expected float64, got float32"),
        ("v", dm.to_device(np.full((5, 3), np.nan)), "v: expected finite values, got NaN or infinity"),
        ("Fp", dm.to_device(np.zeros((5, 3, 3))), "Fp: expected det Fp > 0, got some that are not"),
        ("mass", dm.to_device(np.zeros(5)), "mass: expected finite values > 0, got some that are not"),
        ("lam", dm.to_device(np.full(5, -1e-300)), "lam: expected finite values >= 0, got some that are not"),
        ("mass", 0.0, "mass: expected finite values > 0, got 0 at index 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            dm.Particles.create(x, **{**good, name: value})
    dm.Particles.create(x, **{**good, "lam": dm.to_device(np.zeros(5))})
    with pytest.raises(ConfigError, match="x: expected a CPU array, got one on another device"):
        dm.metrics.chamfer(x, x)
    with pytest.raises(ConfigError, match="device: expected cpu, cuda, cuda:N, got 'gpu'"):
        dm.Particles.create(x, **good).to("gpu")
