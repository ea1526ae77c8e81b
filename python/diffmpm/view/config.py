# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options of pictures."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from .._arrays import as_whole
from .._placement import Placement, up_vector
from ..config import is_real
from ..errors import ConfigError
from ..surface import SurfaceConfig
from .colors import parse_color

SURFACE = SurfaceConfig(sigma0=1.0, flatness=0.3, smoothing=6.0, stretch_limit=4.0)
"""Surface of pictures: flat Gaussians for crisp outlines, smoothed over the grain of the particles, none a needle."""

_NUMBERS = {
    "elevation": (-89.0, 89.0),
    "azimuth": (-1e6, 1e6),
    "turns": (-1e3, 1e3),
    "fov": (1.0, 120.0),
    "opacity": (0.01, 0.999),
    "specular": (0.0, 10.0),
}
_WHOLE = {"size": (8, 8192), "samples": (1, 10_000_000), "supersample": (1, 8), "every": (1, 1_000_000)}


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """How a body, or the film of a morph, is drawn.

    Raises:
        ConfigError: If a value is outside its range; the message names the field.
    """

    size: int = 480
    """Height and width of the image [px], from 8 to 8192."""
    samples: int = 50_000
    """Gaussians on the surface."""
    azimuth: float = 35.0
    """Angle of the camera around the up axis [degrees]."""
    elevation: float = 18.0
    """Angle of the camera above the horizon [degrees], from -89 to 89."""
    turns: float = 0.0
    """Turns of the camera around the body in the course of the film; negative ones go the other way."""
    every: int = 1
    """Draw each so many frames; the last one is always drawn."""
    up: str | None = None
    """Axis that is up: "x", "y" or "z"; None: that of the morph, z without one."""
    fov: float = 30.0
    """Field of view [degrees], from 1 to 120."""
    color: str | tuple[float, float, float] = "material"
    """"material" (each particle keeps the colour of its height at the start), a name, "#rrggbb", or three numbers."""
    background: str | tuple[float, float, float] = (0.965, 0.97, 0.978)
    """Colour behind the body."""
    shadow: bool = True
    """Whether a floor catches the body's shadow."""
    occlusion: bool = True
    """Whether hollows are darkened."""
    specular: float = 0.22
    """Strength of the highlights, from 0 to 10."""
    opacity: float = 0.98
    """Opacity of a Gaussian in its middle, from 0.01 to 0.999; a few of them overlap at every point."""
    supersample: int = 2
    """Samples a pixel along each axis, from 1 to 8."""
    surface: SurfaceConfig = field(default=SURFACE)
    """Options of the surface."""

    def __post_init__(self) -> None:
        up_vector(self.axis)
        if not (isinstance(self.color, str) and self.color == "material"):
            parse_color(self.color, "color", also="material")
        parse_color(self.background, "background")
        for name, (least, most) in _WHOLE.items():
            as_whole(getattr(self, name), name, least, most)
        for name in ("shadow", "occlusion"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ConfigError(f"{name}: expected True or False, got {getattr(self, name)!r}")
        if not isinstance(self.surface, SurfaceConfig):
            raise ConfigError(f"surface: expected a SurfaceConfig, got {type(self.surface).__name__}")
        for name, (low, high) in _NUMBERS.items():
            value = getattr(self, name)
            if not (is_real(value) and low <= value <= high):
                raise ConfigError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")

    @property
    def axis(self) -> str:
        """Axis that is up, z unless `up` or `upright` has set another one."""
        return "z" if self.up is None else self.up

    def upright(self, result: object) -> RenderConfig:
        """Return a copy with the up of a morph, unless `up` says otherwise.

        Args:
            result: What has a `placement`, as `MorphResult` and `Progress` do; z is up without.
        """
        placement = getattr(result, "placement", Placement())
        return self if self.up is not None else self.replace(up=placement.up)

    def replace(self, **changes: object) -> RenderConfig:
        """Return a copy with some fields changed and everything checked again."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        unknown = sorted(set(changes) - set(values))
        if unknown:
            raise ConfigError(f"{unknown[0]}: expected a field of RenderConfig, one of {sorted(values)}")
        return RenderConfig(**{**values, **changes})
