# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _arrays, _core
from diffmpm.errors import ConfigError
from diffmpm.optimize import make_optimizer
from numpy.testing import assert_allclose, assert_array_equal


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic_is_that_of_numpy(dtype, rng):
    a, b = (rng.standard_normal((300, 50)).astype(dtype) for _ in range(2))
    assert_array_equal(_arrays.scaled(a, 1.7), a * dtype(1.7))
    assert_array_equal(_core.scaled(a, 1.0, divisor=7), a / dtype(7))
    assert_array_equal(_arrays.add(a, b), a + b)
    assert_array_equal(_arrays.add_scaled(a, -0.3, b), a - dtype(0.3) * b)
    assert_allclose(_arrays.dot(a, b), np.sum(a * b, dtype=np.float64), rtol=1e-12)
    assert_allclose(_arrays.norm(a), np.linalg.norm(a.astype(np.float64)), rtol=1e-6)
    assert _core.value_range(a) == (a.min(), a.max())


def test_views_are_taken_in_their_order(rng):
    a = rng.standard_normal((4, 6))
    assert_array_equal(_arrays.add(a.T, a.T), 2 * a.T)
    assert _arrays.dot(a[:, ::2], a[:, ::2]) == pytest.approx(np.sum(a[:, ::2] ** 2))
    for name in ("adam", "gradient_descent", "lbfgs"):
        expected = make_optimizer(name).direction(a.T.copy(), a.T.copy())
        assert_array_equal(make_optimizer(name).direction(a.T, a.T), expected)


def test_sums_have_equal_bits_for_any_number_of_threads(rng):
    a = rng.standard_normal(100_000)
    before, results = dm.get_num_threads(), []
    for threads in (1, 3):
        dm.set_num_threads(threads)
        results.append((_arrays.dot(a, a), _arrays.norm(a)))
    dm.set_num_threads(before)
    assert results[0] == results[1]


def test_arrays_that_differ_are_refused():
    a = np.zeros((2, 3))
    for b in (np.zeros((3, 2)), np.zeros((2, 3), np.float32)):
        with pytest.raises(ConfigError, match=r"arrays: expected one shape, dtype and device, got \(2, 3\) float64"):
            _arrays.dot(a, b)
