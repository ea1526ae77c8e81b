# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options as the core takes them: a list of numbers in the order of the table in cpp/include/diffmpm/mpm/params.hpp."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _core
from ..config import HalfSpace, SimConfig, Sphere
from ..errors import ConfigError

_FIELDS: tuple[tuple[str, tuple[str, ...]], ...] = _core.PARAM_FIELDS
_COLLIDER_FIELDS: tuple[tuple[str, tuple[str, ...]], ...] = _core.COLLIDER_FIELDS


def native_params(config: SimConfig) -> _core.MpmParams:
    """Return the native form of a configuration that has a grid."""
    return _core.unpack_params(pack_params(config))


def pack_params(config: SimConfig) -> list[float]:
    """Return a configuration as one list of numbers; refuse one without a grid."""
    if not isinstance(config, SimConfig):
        raise ConfigError(f"config: expected SimConfig, got {type(config).__name__}")
    if config.origin is None or config.dims is None:
        raise ConfigError(
            "config: expected a grid (origin and dims), got none; set both, or use diffmpm.Simulation(...).config"
        )
    numbers = _numbers(config, _FIELDS)
    for collider in config.colliders:
        numbers += _numbers(_Collider.of(collider), _COLLIDER_FIELDS)
    return numbers


class _Collider(NamedTuple):
    """Either collider, with the fields of the core."""

    shape: str
    mode: str
    point: tuple[float, float, float]
    normal: tuple[float, float, float]
    radius: float

    @classmethod
    def of(cls, collider: HalfSpace | Sphere) -> _Collider:
        if isinstance(collider, HalfSpace):
            return cls("half_space", collider.mode, collider.point, collider.normal, 0.0)
        return cls("sphere", collider.mode, collider.center, (0.0, 0.0, 1.0), collider.radius)


def _numbers(options: object, fields: tuple[tuple[str, tuple[str, ...]], ...]) -> list[float]:
    numbers: list[Any] = []
    for name, choices in fields:
        value = getattr(options, name)
        if choices:
            numbers.append(choices.index(value))
        elif isinstance(value, tuple):
            numbers.extend(value)
        else:
            numbers.append(value)
    return [float(number) for number in numbers]
