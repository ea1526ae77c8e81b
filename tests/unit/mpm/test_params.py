# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options as a list of numbers: the core accepts exactly what `SimConfig` accepts."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args, get_type_hints

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core
from diffmpm.mpm.params import pack_params

CONFIG = dm.SimConfig(dx=0.5, dt=1e-3, origin=(-1.0, -2.0, -3.0), dims=(8, 9, 10))
FIELDS = [field.name for field in dataclasses.fields(dm.SimConfig) if field.name != "colliders"]


def start_of(name: str) -> int:
    """Position of an option's first number in the list."""
    start = 0
    for field, _ in _core.PARAM_FIELDS:
        if field == name:
            return start
        value = getattr(CONFIG, field)
        start += len(value) if isinstance(value, tuple) else 1
    raise AssertionError(name)


def test_the_table_has_the_options_of_the_configuration() -> None:
    assert {name for name, _ in _core.PARAM_FIELDS} == set(FIELDS)
    hints = get_type_hints(dm.SimConfig)
    for name, choices in _core.PARAM_FIELDS:
        literal = all(isinstance(value, str) for value in get_args(hints[name])) and get_args(hints[name])
        assert choices == (literal or ()), name


def limits(name: str) -> list[float]:
    """Numbers on, inside and outside of the limits of an option."""
    values = [0.0, 1.0, 7.0, 8.0, 1048576.0, 1048577.0, 1e30]
    outwards = [float(np.nextafter(v, sign * np.inf)) for v in (0.0, 1.0, 1e30) for sign in (-1, 1)]
    return [*values, *(-v for v in values), *outwards, 1e-30, 1e-31, 0.5, float("nan"), float("inf"), -float("inf")]


@pytest.mark.parametrize("name", FIELDS)
def test_limits_are_those_of_the_configuration(name: str) -> None:
    choices, start = dict(_core.PARAM_FIELDS)[name], start_of(name)
    value = getattr(CONFIG, name)
    for number in limits(name):
        option: Any = number
        if choices:
            option = choices[int(number)] if number in range(len(choices)) else "unknown"
        elif isinstance(value, bool):
            option = {0.0: False, 1.0: True}.get(number, number)
        elif not isinstance(value, float | tuple) or name == "dims":
            option = int(number) if number.is_integer() else number
        option = (option, *value[1:]) if isinstance(value, tuple) else option
        numbers = pack_params(CONFIG)
        numbers[start] = number
        try:
            config = CONFIG.replace(**{name: option})
        except dm.ConfigError:
            with pytest.raises(ValueError, match=f"{name}: expected"):
                _core.unpack_params(numbers)
        else:
            assert pack_params(config) == numbers
            _core.unpack_params(numbers)


def test_colliders_follow_the_options() -> None:
    colliders = (dm.Sphere((1, 2, 3), 0.5, "sticky"), dm.HalfSpace((4, 5, 6), (0, 0, 2), "slip"))
    ball, floor = _core.unpack_params(pack_params(CONFIG.replace(colliders=colliders))).colliders
    assert (ball.shape.name, ball.mode.name, ball.point, ball.radius) == ("sphere", "sticky", [1, 2, 3], 0.5)
    assert (floor.shape.name, floor.mode.name, floor.point) == ("half_space", "slip", [4, 5, 6])
    assert (floor.normal, floor.radius) == ([0, 0, 1], 0)
    with pytest.raises(ValueError, match="colliders: expected at most 16, got 17"):
        _core.unpack_params(pack_params(CONFIG.replace(colliders=colliders[:1] * 17)))


def test_forces_replace_those_of_the_list() -> None:
    params = _core.unpack_params(pack_params(CONFIG), (1.0, 2.0, 3.0), 0.25)
    assert (params.gravity, params.drag) == ([1, 2, 3], 0.25)
    with pytest.raises(ValueError, match="drag: expected a finite number >= 0"):
        _core.unpack_params(pack_params(CONFIG), None, -1.0)
