# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options of images."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal

from .._options import Configuration, Range, as_integer, object_schema, option
from .._placement import Placement, up_vector
from ..errors import ConfigError
from ..surface import SurfaceConfig
from .colors import parse_color

SURFACE = SurfaceConfig(sigma0=0.7, flatness=0.1)
"""Surface of images: flat Gaussians that overlap."""

TRANSPARENT = "transparent"
"""Background of images with an alpha channel."""

_COLOR = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}, "minItems": 3, "maxItems": 3},
    ]
}


_EDGE = Range(least=8, most=8192)
_SIZE = {
    "anyOf": [
        {"type": "integer", **_EDGE.schema()},
        {"type": "array", "items": {"type": "integer", **_EDGE.schema()}, "minItems": 2, "maxItems": 2},
        {"type": "string", "pattern": "^[0-9]+(x[0-9]+)?$"},
    ]
}


def _size(value: object, name: str) -> int | tuple[int, int]:
    """Return an image size, one number of pixels or a pair; refuse anything else."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,5}(x[0-9]{1,5})?", value):
        edges: list[object] = [int(edge) for edge in value.split("x")]
    else:
        edges = list(value) if isinstance(value, list | tuple) and len(value) == 2 else [value]
    try:
        pixels = [as_integer(edge, name, _EDGE) for edge in edges]
    except ConfigError:
        raise ConfigError(f"{name}: expected an integer {_EDGE}, or WIDTHxHEIGHT of such, got {value!r}") from None
    return pixels[0] if len(pixels) == 1 else (pixels[0], pixels[1])


def _axis(value: str, name: str) -> str:
    up_vector(value)
    return value


def _body_color(value: object, name: str) -> str | tuple[float, float, float]:
    special = isinstance(value, str) and value in ("auto", "material")
    return value if special else _color(value, name, also="auto, material")  # type: ignore[return-value]


def _background(value: object, name: str) -> str | tuple[float, float, float]:
    return value if isinstance(value, str) and value == TRANSPARENT else _color(value, name, also=TRANSPARENT)


def _color(value: object, name: str, also: str = "") -> str | tuple[float, float, float]:
    color = parse_color(value, name, also=also)
    return value if isinstance(value, str) else color


class CameraKey(Configuration):
    """Camera at one time of a film. Between keys it moves smoothly, without overshooting any of them."""

    time: float = option(doc="Time in the film.", unit="s", least=0, most=86_400)
    azimuth: float | None = option(
        default=None, doc="As in `RenderConfig`, whose value None stands for.", unit="degrees", least=-1e6, most=1e6
    )
    elevation: float | None = option(default=None, doc="Likewise.", unit="degrees", least=-89, most=89)
    distance: float = option(
        default=1.0, doc="Distance relative to that at which the body fits into all images.", least=0.05, most=100
    )


def _camera(value: object, name: str) -> tuple[CameraKey, ...]:
    """Return camera keys, or tables of their fields; refuse anything else."""
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{name}: expected a list of camera keys, got {value!r}")
    keys = []
    for number, key in enumerate(value, 1):
        try:
            keys.append(key if isinstance(key, CameraKey) else CameraKey.from_dict(key))
        except ConfigError as error:
            raise ConfigError(f"{name}: key {number}: {error}") from None
    for before, after in pairwise(key.time for key in keys):
        if not before < after:
            raise ConfigError(f"{name}: expected keys in the order of their times, got {before:g} s, then {after:g} s")
    return tuple(keys)


class RenderConfig(Configuration):
    """Options to draw a body or the film of a morph.

    Raises:
        ConfigError: If a value is outside its range; the message names the field.
    """

    size: int | tuple[int, int] = option(
        default=480,
        doc='Height and width of the image, from 8 to 8192, or a pair of width and height, also "1280x720".',
        unit="px",
        check=_size,
        schema=_SIZE,
        group="image",
    )
    samples: int = option(
        default=30_000,
        doc="Approximate number of Gaussians on the surface; on the web page also the most of a trained scene.",
        least=1,
        most=10_000_000,
    )
    azimuth: float = option(
        default=-60.0,
        doc="Camera angle around the up axis; -90 faces the front of a body.",
        unit="degrees",
        least=-1e6,
        most=1_000_000,
    )
    elevation: float = option(default=15.0, doc="Camera angle above the horizon.", unit="degrees", least=-89, most=89)
    turns: float = option(
        default=0.0,
        doc="Turns of the camera around the body during the film; negative for the opposite direction.",
        least=-1000,
        most=1000,
    )
    camera: tuple[CameraKey, ...] = option(
        default=(),
        doc="Path of the camera in a film: tables of time, azimuth, elevation and distance, in the order of their "
        "times. `turns` are added.",
        check=_camera,
        schema={"type": "array", "items": object_schema(CameraKey)},
    )
    every: int = option(default=1, doc="Use every n-th frame, and always the last one.", least=1, most=1_000_000)
    up: str | None = option(
        default=None,
        doc="Axis that is up. None: that of the morph, or z.",
        check=_axis,
        schema={"enum": ["x", "y", "z"]},
    )
    fov: float = option(default=30.0, doc="Field of view.", unit="degrees", least=1, most=120)
    color: str | tuple[float, float, float] = option(
        default="auto",
        doc='"auto" (the colours of source and target if they have any, else "material"), "material" (by the height of '
        'each particle at the start), a name such as "clay", "#rrggbb", or three numbers. Any other value than '
        '"auto" overrides `appearance`.',
        check=_body_color,
        schema=_COLOR,
    )
    appearance: Literal["arrival", "crossfade", "source", "target"] | None = option(
        default=None,
        doc='Colours of the body if source or target has any. "arrival": each particle changes to the colour of its '
        'position in the target when it arrives there. "crossfade": all particles change at the same time. "source", '
        '"target": the colours do not change. None: "arrival", without a warning if there are no colours.',
    )
    appearance_width: float = option(
        default=0.6,
        doc="Length of the colour change as a fraction of the distance that the material travels.",
        above=0,
        most=1,
    )
    background: str | tuple[float, float, float] = option(
        default=(0.965, 0.97, 0.978),
        doc='Colour behind the body, as `color`, or "transparent" for an alpha channel that includes the shadow. GIF '
        "and MP4 have no alpha channel and use the default colour.",
        check=_background,
        schema=_COLOR,
    )
    shadow: bool = option(default=True, doc="Draw the shadow of the body on a floor.")
    occlusion: bool = option(default=True, doc="Draw the shadow of the body on itself, and darken hollows.")
    specular: float = option(default=0.22, doc="Strength of the highlights.", least=0, most=10)
    opacity: float = option(
        default=0.98, doc="Opacity of a Gaussian at its centre; several overlap at every point.", least=0.01, most=0.999
    )
    supersample: int = option(default=2, doc="Samples per pixel along each axis.", least=1, most=8)
    surface: SurfaceConfig = option(
        default=SURFACE, doc="Options of the surface, of which sigma0, flatness, smoothing and spacing act."
    )

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the image [px]."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def axis(self) -> str:
        """Axis that is up: `up`, or z."""
        return "z" if self.up is None else self.up

    def upright(self, result: object) -> RenderConfig:
        """Return a copy with the up axis of a morph, unless `up` is set.

        Args:
            result: A `MorphResult` or `Progress`. Without a `placement`, z is up.
        """
        placement = getattr(result, "placement", Placement())
        return self if self.up is not None else self.replace(up=placement.up)
