# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import numpy as np
import pytest
from diffmpm.errors import ConfigError
from diffmpm.optimize import LBFGS, Adam, GradientDescent, make_optimizer
from numpy.testing import assert_allclose, assert_array_equal

NAMES = ("adam", "gradient_descent", "lbfgs")


def quadratic(seed=0, n=12):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    matrix = basis @ np.diag(np.linspace(1.0, 30.0, n)) @ basis.T
    return matrix, rng.standard_normal(n)


def minimise(optimizer, matrix, x, steps, length):
    for _ in range(steps):
        direction = optimizer.direction(x, matrix @ x)
        t = length
        while (y := x - t * direction) @ matrix @ y >= x @ matrix @ x and t > 1e-12:
            t *= 0.5
        if t <= 1e-12:
            break
        x = y
    return x


def test_adam_is_the_textbook_adam():
    adam = Adam(normalize=False, eps=1e-8)
    rng = np.random.default_rng(1)
    mean = square = np.zeros(5)
    for t in range(1, 6):
        gradient = rng.standard_normal(5)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        expected = mean / (1 - 0.9**t) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
        assert_allclose(adam.direction(np.zeros(5), gradient), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["adam", "gradient_descent"])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e20])
def test_normalised_directions_do_not_depend_on_the_gradients_scale(name, scale):
    gradient = np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32)
    plain = make_optimizer(name).direction(gradient, gradient)
    scaled = make_optimizer(name).direction(gradient, gradient * np.float32(scale))
    assert_allclose(scaled, plain, rtol=1e-5)
    assert scaled.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
def test_zero_gradient_gives_zero_direction(name):
    assert_array_equal(make_optimizer(name).direction(np.ones(3), np.zeros(3)), np.zeros(3))


@pytest.mark.parametrize(
    ("name", "length", "steps"), [("adam", 0.1, 300), ("gradient_descent", 0.3, 300), ("lbfgs", 1.0, 40)]
)
def test_descends_a_quadratic(name, length, steps):
    matrix, start = quadratic()
    end = minimise(make_optimizer(name), matrix, start, steps, length)
    assert end @ matrix @ end < 1e-3 * (start @ matrix @ start)


def test_lbfgs_beats_gradient_descent():
    matrix, start = quadratic()
    quick = minimise(LBFGS(memory=8), matrix, start, 30, 1.0)
    slow = minimise(GradientDescent(), matrix, start, 30, 1.0)
    assert quick @ matrix @ quick < 1e-6 * (slow @ matrix @ slow)


def test_lbfgs_continues_with_the_pairs_of_another_run():
    """With all pairs of a converged run, the first step solves the same quadratic from any point of their span."""
    matrix, start = quadratic()
    used = LBFGS(memory=60)
    end = minimise(used, matrix, start, 60, 1.0)
    warm = LBFGS(memory=60)
    warm.start_from(used.pairs)
    step = warm.direction(start, matrix @ start)
    first, cold = start - step, start - LBFGS().direction(start, matrix @ start)
    assert end @ matrix @ end < 1e-6 * (start @ matrix @ start)
    assert first @ matrix @ first < 1e-2 * (cold @ matrix @ cold)


@pytest.mark.parametrize("name", NAMES)
def test_restore_undoes_a_direction_exactly(name):
    rng = np.random.default_rng(3)
    points = rng.standard_normal((4, 6)).astype(np.float32)
    matrix = quadratic(n=6)[0].astype(np.float32)
    optimizer = make_optimizer(name)
    for x in points[:2]:
        optimizer.direction(x, matrix @ x)
    before = optimizer.state()
    expected = optimizer.direction(points[3], matrix @ points[3])
    optimizer.restore(before)
    optimizer.direction(points[2], matrix @ points[2])  # a rejected proposal
    optimizer.restore(before)
    assert_array_equal(optimizer.direction(points[3], matrix @ points[3]), expected)


@pytest.mark.parametrize("name", NAMES)
def test_reset_forgets(name):
    x = np.arange(1.0, 4.0)
    fresh, used = make_optimizer(name), make_optimizer(name)
    used.direction(-x, 3 * x[::-1])
    used.reset()
    assert_array_equal(used.direction(x, x), fresh.direction(x, x))


def test_bad_arguments_are_named():
    with pytest.raises(ConfigError, match="optimizer: expected one of adam, gradient_descent, lbfgs, got 'sgd'"):
        make_optimizer("sgd")
    with pytest.raises(ConfigError, match=r"beta1: expected a number in \[0, 1\), got 1.0"):
        Adam(beta1=1.0)
    with pytest.raises(ConfigError, match="eps: expected a finite number > 0, got 0"):
        Adam(eps=0.0)
    with pytest.raises(ConfigError, match=r"memory: expected an integer from 1 to .*, got 0"):
        LBFGS(memory=0)
