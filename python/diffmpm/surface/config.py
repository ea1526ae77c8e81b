# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options of the surface; mirrors `cpp/include/diffmpm/surface/params.hpp`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .. import _core
from .._arrays import as_whole
from ..config import is_real
from ..errors import ConfigError

_INTEGERS = {"parents": (1, int(_core.MAX_PARENTS)), "relaxation": (0, 200)}
_RANGES = {
    "kernel_radius": (1.5, 6.0),
    "smoothing": (0.0, 8.0),
    "weight_radius": (1.0, 8.0),
    "stretch_limit": (1.0, 1000.0),
}


@dataclass(frozen=True, kw_only=True)
class SurfaceConfig:
    """How a surface is found, sampled and covered by Gaussians.

    Raises:
        ConfigError: If a value is outside its range; the message names the field.
    """

    sigma0: float = 0.75
    """Standard deviation of a Gaussian over the distance of the samples, above 0; has a gradient."""
    flatness: float = 1.0
    """Thickness of a Gaussian along the rest normal over its width, in (0, 1]."""
    stretch_limit: float = 8.0
    """Longest over shortest axis of a Gaussian where it is bound, from 1 (round) to 1000: within it, Sigma0 is round
    and the covariance is that of F; beyond it, Sigma0 takes back the excess."""
    spacing: float | None = None
    """Distance [m] of the particles, above 0: the cube root of a particle's volume. None: measured."""
    kernel_radius: float = 3.0
    """Support of the density kernel, in particle spacings, from 1.5 to 6: larger is smoother and rounds off edges."""
    smoothing: float = 4.0
    """Radius of the patches that take out the noise of the particles' places, in spacings, from 0 (none) to 8."""
    level: float = 0.5
    """Fill fraction at the surface, in (0, 1); 1/2 meets a flat boundary exactly."""
    parents: int = 8
    """Particles that carry a sample, from 1 to 32."""
    weight_radius: float = 2.0
    """Support of their weights, in particle spacings, from 1 to 8; more where the parents lie farther away."""
    relaxation: int = 6
    """Rounds that even out the samples, from 0 to 200."""

    def __post_init__(self) -> None:
        between(self.sigma0, "sigma0", 0.0, np.inf)
        between(self.flatness, "flatness", 0.0, 1.0, right=True)
        between(self.level, "level", 0.0, 1.0)
        if self.spacing is not None:
            between(self.spacing, "spacing", 0.0, np.inf)
        for name, (low, high) in _RANGES.items():
            between(getattr(self, name), name, low, high, left=True, right=True)
        for name, (least, most) in _INTEGERS.items():
            as_whole(getattr(self, name), name, least, most)

    def replace(self, **changes: object) -> SurfaceConfig:
        """Return a copy with some fields changed and everything checked again."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        unknown = sorted(set(changes) - set(values))
        if unknown:
            raise ConfigError(f"{unknown[0]}: expected a field of SurfaceConfig, one of {sorted(values)}")
        return SurfaceConfig(**{**values, **changes})


def native_params(config: SurfaceConfig) -> Any:
    """Return the native options; sigma0 is an argument of the evaluation and not among them."""
    params = _core.SurfaceParams()
    for name in ("flatness", "kernel_radius", "level", "smoothing", "stretch_limit", "weight_radius"):
        setattr(params, name, float(getattr(config, name)))
    for name in _INTEGERS:
        setattr(params, name, int(getattr(config, name)))
    params.spacing = 0.0 if config.spacing is None else float(config.spacing)
    return params


def between(value: float, name: str, low: float, high: float, *, left: bool = False, right: bool = False) -> None:
    """Raise a ConfigError unless a finite number lies between `low` and `high`, borders included as asked."""
    good = is_real(value) and bool(np.isfinite(float(value)))
    if not (good and (low < value < high or (left and value == low) or (right and value == high))):
        limits = f"{'>=' if left else '>'} {low:g}"
        limits += f" and {'<=' if right else '<'} {high:g}" if np.isfinite(high) else ""
        raise ConfigError(f"{name}: expected a finite number {limits}, got {value!r}")
