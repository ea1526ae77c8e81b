# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Arrays on a device: copies, named kernels, DLPack, errors."""

from __future__ import annotations

import ctypes
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
from diffmpm.optimize import make_optimizer
from numpy.testing import assert_allclose, assert_array_equal
from scenes import DTYPES


def address(x: Any) -> int:
    """Return the address of the first value."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    capsule = x.__dlpack__()
    tensor = pointer(capsule, b"dltensor")
    return ctypes.cast(tensor, ctypes.POINTER(ctypes.c_void_p))[0] or 0


def doubled(x: Any) -> Any:
    return _core.scaled(x, 2.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (4, 3, 3)])
def test_round_trip(shape: tuple[int, ...], dtype: Any, rng: np.random.Generator) -> None:
    array = np.asarray(rng.standard_normal(shape), dtype)
    on_device = dm.to_device(array)
    assert isinstance(on_device, dm.DeviceArray)
    assert (on_device.shape, on_device.dtype) == (shape, np.dtype(dtype))
    assert (on_device.ndim, on_device.size) == (len(shape), array.size)
    assert_array_equal(on_device.numpy(), array)
    assert dm.to_device(on_device) is on_device
    assert_array_equal(_core.zeros(on_device, shape).numpy(), np.zeros(shape, dtype))


def test_copies_are_on_the_device(rng: np.random.Generator) -> None:
    array = dm.to_device(np.asarray(rng.standard_normal((4, 3))))
    for other in (array.copy(), pickle.loads(pickle.dumps(array)), deepcopy(array), shallow(array)):
        assert isinstance(other, dm.DeviceArray) and other.device == array.device
        assert_array_equal(other.numpy(), array.numpy())
        assert address(other) != address(array)
    body = dm.sample("sphere", particles=300)
    gaussians = dm.gaussians(dm.to_device(body.x), dm.to_device(body.F), samples=50)
    for other in (pickle.loads(pickle.dumps(gaussians)), deepcopy(gaussians)):
        assert_array_equal(other.covars.numpy(), gaussians.covars.numpy())
        assert_array_equal(other.vjp(gaussians.means)[0].numpy(), gaussians.vjp(gaussians.means)[0].numpy())


@pytest.mark.parametrize("dtype", DTYPES)
def test_arithmetic_matches_the_cpu(dtype: Any, rng: np.random.Generator) -> None:
    a, b, adj = (np.asarray(rng.standard_normal((300, 5)), dtype) for _ in range(3))
    b = np.abs(b) * (rng.random((300, 5)) < 0.9)
    x, y, adj_x = (dm.to_device(array) for array in (a, b, adj))
    calls: dict[str, Any] = {
        "scaled": lambda a, b, adj: _arrays.scaled(a, 1.7),
        "divided": lambda a, b, adj: _core.scaled(a, 1.0, divisor=7),
        "add": lambda a, b, adj: _arrays.add(a, b),
        "add_scaled": lambda a, b, adj: _arrays.add_scaled(a, -1.7, b),
        "row": lambda a, b, adj: _core.add_scaled(a, 0.3, b[7], 7),
        "ratio": lambda a, b, adj: _core.ratio(a, b),
        "adj_a": lambda a, b, adj: _core.ratio_vjp(a, b, adj)[0],
        "adj_b": lambda a, b, adj: _core.ratio_vjp(a, b, adj)[1],
        "scale_to_rms": lambda a, b, adj: _core.scale_to_rms(a, 0.1),
        "lbfgs": lambda a, b, adj: _core.lbfgs(adj, [a, b], [a, adj]),
    }
    rounding = 100 * np.finfo(dtype).eps  # fused multiply-add, and another summation order
    for name, call in calls.items():
        expected, result = call(a, b, adj), call(x, y, adj_x)
        assert isinstance(result, dm.DeviceArray), name
        assert_allclose(result.numpy(), expected, rtol=rounding, atol=rounding * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["adam", "gradient_descent", "lbfgs"])
def test_optimisers_match_the_cpu(name: str, dtype: Any, rng: np.random.Generator) -> None:
    """Optimisers on the CPU and on the device visit the same points of a quadratic."""
    host, device = make_optimizer(name), make_optimizer(name)
    stiffness = np.linspace(1.0, 4.0, 60).astype(dtype).reshape(4, 5, 3)
    control = np.asarray(rng.standard_normal((4, 5, 3)), dtype)
    for _ in range(6):
        expected = host.direction(control, stiffness * control)
        result = device.direction(dm.to_device(control), dm.to_device(stiffness * control))
        assert_allclose(result.numpy(), expected, rtol=1e-3 if dtype == np.float32 else 1e-10)
        control = control - dtype(0.1) * expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [0, 1, 127, 129, 4096, 10_000])
def test_reductions(count: int, dtype: Any, rng: np.random.Generator) -> None:
    a, b = (np.asarray(rng.standard_normal(count), dtype) for _ in range(2))
    x, y = dm.to_device(a), dm.to_device(b)
    assert_allclose(_arrays.dot(x, y), _arrays.dot(a, b), rtol=1e-12, atol=1e-12)
    assert_allclose(_arrays.norm(x), _arrays.norm(a), rtol=1e-7 if dtype == np.float32 else 1e-12)
    assert _core.value_range(x) == (a.min(initial=np.inf), a.max(initial=-np.inf)) == _core.value_range(a)
    assert _core.count_not_finite(x) == 0
    for bad in (np.nan, np.inf, -np.inf):
        if count > 0:
            a[count // 2] = bad
            assert _core.count_not_finite(dm.to_device(a)) == _core.count_not_finite(a) == 1
            assert_array_equal(_core.value_range(dm.to_device(a)), _core.value_range(a))
            assert_array_equal(_arrays.norm(dm.to_device(a)), _arrays.norm(a))


def test_slices_along_the_first_axis_are_views(rng: np.random.Generator) -> None:
    a = rng.standard_normal((6, 4))
    x = dm.to_device(a)
    for part in (0, 5, -1, slice(None), slice(1, 3), slice(-2, None), slice(4, 2)):
        assert_array_equal(x[part].numpy(), a[part])
    assert address(x[1]) == address(x) + a.strides[0]
    assert len(x) == 6
    with pytest.raises(IndexError):
        x[6]


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows(dtype: Any, rng: np.random.Generator) -> None:
    a, values = (np.asarray(rng.standard_normal((n, 3, 3)), dtype) for n in (20, 4))
    chosen = np.array([3, 19, 0, 7], np.int32)
    rows, expected = _arrays.DeviceCopies(chosen), a.copy()
    expected[chosen] += values
    for on, device in ((lambda array: array, "cpu"), (dm.to_device, "cuda:0")):
        x, y, indices = on(a), on(values), rows.on(device)
        assert_array_equal(_arrays.to_host(_core.take_rows(x, indices)), a[chosen])
        assert_array_equal(_arrays.to_host(_core.add_rows(x, indices, y)), expected)
        assert_array_equal(_arrays.to_host(x), a)
        assert_array_equal(_arrays.to_host(_arrays.concatenate(x, y)), np.concatenate([a, values]))
        nothing = _arrays.DeviceCopies(chosen[:0]).on(device)
        assert _core.take_rows(x, nothing).shape == (0, 3, 3)
        assert_array_equal(_arrays.to_host(_core.add_rows(x, nothing, x[:0])), a)
        with pytest.raises(ValueError, match="add_rows: expected a row of values for each row"):
            _core.add_rows(x, indices, x)
        with pytest.raises(ValueError, match="concatenate: expected rows of one shape on one device"):
            _arrays.concatenate(x, on(np.zeros((2, 3), dtype)))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda x: np.exp(x), "DeviceArray: .*copy it with .numpy"),
        (lambda x: np.ones((2, 3)) * x, "DeviceArray: .*copy it with .numpy"),
        (lambda x: np.asarray(x), "DeviceArray: .*copy it with .numpy"),
        (lambda x: x + x, "unsupported operand"),
        (lambda x: x[::-1], "DeviceArray: .*slice of step 1"),
        (lambda x: x["a"], "DeviceArray: .*integer or a slice"),
        (lambda x: len(x[0][0]), "DeviceArray: a single value has no length"),
    ],
)
def test_unsupported_operations_raise_errors(use: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        use(dm.to_device(np.ones((2, 3))))


@pytest.mark.parametrize("other", [np.ones((3, 2)), np.ones((2, 3), np.float32)])
def test_mixed_arrays_raise_errors(other: Any) -> None:
    x = dm.to_device(np.ones((2, 3)))
    for value in (other, dm.to_device(other), np.ones((2, 3))):
        with pytest.raises(ConfigError, match=r"arrays: expected one shape, dtype and device, got \(2, 3\) float64 on"):
            _arrays.add(x, value)


def test_dlpack_device_and_lifetime(rng: np.random.Generator) -> None:
    a = rng.standard_normal((5, 3))
    x = dm.to_device(a)
    assert x.__dlpack_device__() == (2, 0)
    for stream in (None, -1, 1):
        view = _core.from_dlpack(x) if stream is None else x.__dlpack__(stream=stream)
    y = _core.from_dlpack(x)
    assert address(y) == address(x)
    del x, view
    assert_array_equal(y.numpy(), a)


def test_dlpack_copies_only_on_request(rng: np.random.Generator) -> None:
    a = rng.standard_normal((5, 3))
    x = dm.to_device(a)
    for copy in (None, False, True):
        y = _core.from_dlpack(
            SimpleNamespace(
                __dlpack__=partial(x.__dlpack__, copy=copy, dl_device=(2, 0)), __dlpack_device__=x.__dlpack_device__
            )
        )
        assert (address(y) == address(x)) == (copy is not True)
        assert_array_equal(y.numpy(), a)


def test_unsupported_dlpack_requests_raise_errors() -> None:
    x = dm.to_device(np.ones((5, 3)))
    for device in ((1, 0), (2, 1)):
        with pytest.raises(BufferError, match="DeviceArray: expected its own device, got another one; copy it to"):
            x.__dlpack__(dl_device=device)
    with pytest.raises(BufferError, match="DeviceArray: expected a stream as DLPack numbers it, got 0; pass 1"):
        x.__dlpack__(stream=0)


def test_torch_shares_memory() -> None:
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


def test_particles_to_device(rng: np.random.Generator) -> None:
    body = dm.Particles.create(rng.random((5, 3)), mass=1.0, volume=rng.random(5) + 0.1, lam=0.0, mu=2.0)
    moved = body.to("cuda")
    assert (body.device, moved.device, moved.count, moved.dtype) == ("cpu", "cuda:0", 5, body.dtype)
    assert moved.to("cuda") is moved.to("cuda:0") is moved
    back = moved.replace(v=doubled(moved.x)).to("cpu")
    assert_array_equal(back.v, 2.0 * body.x)
    assert_array_equal(back.volume, body.volume)
    new = dm.Particles.create(moved.x, mass=1.0, volume=moved.volume, lam=0.0, mu=2.0).to("cpu")
    for name in ("x", "v", "C", "F", "mass", "volume", "lam", "mu"):
        assert_array_equal(getattr(new, name), getattr(body, name))


def test_errors_name_invalid_particles(rng: np.random.Generator) -> None:
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
