# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import numpy as np
import pytest
from diffmpm.errors import ConfigError
from diffmpm.optimize import Rejected, backtracking
from numpy.testing import assert_array_equal


def parabola(x):
    return float(x @ x), "payload"


def test_accepts_the_first_lower_value():
    start = np.array([1.0, 0.0])
    result = backtracking(parabola, start, 1.0, start, step=4.0)
    assert (result.step, result.trials, result.value, result.payload) == (1.0, 3, 0.0, "payload")
    assert result.rejected == {"increase": 2}
    assert_array_equal(start, [1.0, 0.0])


def test_keeps_the_start_when_nothing_is_lower():
    start = np.zeros(2)
    result = backtracking(parabola, start, 0.0, np.ones(2), step=1.0, trials=4)
    assert not result.accepted
    assert result.control is start
    assert (result.trials, result.rejected, result.payload) == (4, {"increase": 4}, None)


def test_a_constant_function_without_slope_is_searched_to_the_end():
    result = backtracking(lambda x: (1.0, None), np.zeros(2), 1.0, np.ones(2), step=1.0, trials=4, slope=0.0)
    assert result.step == 0.0 and result.trials == 4 and result.rejected == {"increase": 4}


def test_refuses_what_is_not_finite_or_rejected_even_if_lower():
    def evaluate(x):
        if x[0] < -2:
            raise Rejected("inverted")
        return (float("nan") if x[0] < 0 else x[0]), None

    result = backtracking(evaluate, np.array([1.0]), 1.0, np.ones(1), step=4.0)
    assert result.rejected == {"inverted": 1, "not_finite": 1}
    assert result.value == 0.0


def test_errors_of_the_evaluation_pass_through():
    def evaluate(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtracking(evaluate, np.zeros(1), 1.0, np.ones(1), step=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0.0}, "step: expected a finite number > 0, got 0"),
        ({"step": 1.0, "shrink": 1.0}, r"shrink: expected a number in \(0, 1\), got 1.0"),
        ({"step": 1.0, "trials": 0}, "trials: expected an integer from 1 to .*, got 0"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        backtracking(parabola, np.zeros(1), 1.0, np.ones(1), **options)


def test_row_moves_one_row_alone():
    start = np.array([[1.0, 2.0], [3.0, 4.0]])
    result = backtracking(lambda x: (float(np.sum(x * x)), None), start, 30.0, np.ones(2), step=0.5, row=1)
    assert_array_equal(result.control, [[1.0, 2.0], [2.5, 3.5]])
    with pytest.raises(ValueError, match="add_scaled: expected one row of the array"):
        backtracking(parabola, start, 30.0, np.ones(2), step=0.5, row=2)
