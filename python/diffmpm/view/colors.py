# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Colours of bodies; images, films, viewers and exports take them from `ParticleColors`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import Array, as_array, as_points
from .._color import display_color, linear_light
from ..errors import ConfigError, DiffMPMWarning
from .timeline import Track

if TYPE_CHECKING:
    from .config import RenderConfig

_PALETTE = np.array(
    [[0.14, 0.25, 0.50], [0.08, 0.46, 0.59], [0.43, 0.72, 0.60], [0.95, 0.78, 0.46], [0.88, 0.40, 0.27]]
)
NEUTRAL = (0.72, 0.72, 0.72)
"""Colour of a body without colours that becomes one with colours, or the reverse."""
COMMON = 0.25
"""Weight of the mean distance of all particles, relative to that of the particle, in the arrival of a particle."""
NAMED: dict[str, tuple[float, float, float]] = {
    "clay": (0.80, 0.63, 0.46),
    "grey": (0.68, 0.70, 0.74),
    "white": (0.90, 0.90, 0.88),
    "blue": (0.33, 0.52, 0.78),
    "green": (0.42, 0.68, 0.48),
    "red": (0.80, 0.38, 0.32),
}
"""Named colours."""


def material_colors(x: object, up: str = "z") -> Array:
    """Colour particles by their height. Kept while they move, the colours show where material goes.

    Args:
        x: Positions [m], shape (N, 3).
        up: Axis of the height: "x", "y" or "z".

    Returns:
        Colours in [0, 1], interpolated linearly in a palette, shape (N, 3).
    """
    height = as_points(x, "x")[:, "xyz".index(up)].astype(np.float64)
    low, high = float(height.min()), float(height.max())
    position = (height - low) / max(high - low, 1e-30) * (len(_PALETTE) - 1)
    return np.stack([np.interp(position, np.arange(len(_PALETTE)), _PALETTE[:, k]) for k in range(3)], axis=1)


class ParticleColors:
    """Colours of the particles of a body in any frame: functions of the particle and the time alone.

    A colour in the configuration applies to all particles. Otherwise the body has its own colours, if its source or
    target has some, and else those of the initial heights.

    Args:
        body: A `MorphResult`, or an object with `source_x` and, optionally, `source_color`, `rest_color` and `frames`.
        config: Options.
    """

    def __init__(self, body: Any, config: RenderConfig) -> None:
        self._blends: dict[int, Array] = {}  # weights of the colours at the end of each motion that changes them
        if config.color not in ("auto", "material"):
            self._start = np.array(parse_color(config.color))
            return
        # While a morph runs, the positions of rest are unknown.
        own = [getattr(body, "source_color", None), *(_rest_colors(body) if hasattr(body, "rest_color") else ())]
        loop = getattr(body, "loop", False)
        if config.color == "material" or all(color is None for color in own):
            self._start = material_colors(body.source_x, config.axis)
            if hasattr(body, "rest_color"):
                warn_without_colors(config)
            if not loop:
                return
            end = material_colors(body.frames[-1].x, config.axis)  # each particle ends at the position of another one
            stops = [linear_light(self._start)] * (len(own) - 1) + [linear_light(end)]
            look = "crossfade" if config.appearance == "crossfade" else "arrival"
        else:
            grey = np.broadcast_to(linear_light(np.array(NEUTRAL)), body.source_x.shape)
            stops = [grey if color is None else color for color in own]
            look = config.appearance or "arrival"
            if look in ("source", "target"):
                # In a loop, the colours of both ends are those of one shape, in another order.
                first, last = stops[0], stops[-1]
                count = len(stops) - 1
                stops = [first] * count + [last] if loop else [first if look == "source" else last] * len(stops)
                look = "arrival"
            self._start = display_color(stops[0])
        self._stops = stops
        if any(a is not b for a, b in pairwise(stops)):
            self._track = Track(body)
            for number, leg in enumerate(self._track.legs):
                if stops[number] is not stops[number + 1]:
                    paths = [frame.x for frame in self._track.frames[leg.first : leg.last + 1]]
                    self._blends[number] = blend_weights(paths, look, config.appearance_width)

    @property
    def vary(self) -> bool:
        """Whether colours change with time."""
        return bool(self._blends)

    def __call__(self, frame: Any) -> Array:
        """Return the colours in a frame or pose as displayed (sRGB), shape (N, 3), or (3,) if all are equal."""
        if not self._blends:
            return self._start
        place = self._track.place(frame)
        number = self._track.leg_at(place)
        if number not in self._blends:
            return display_color(self._stops[number])
        weight = self._track.blend(self._blends[number], place, self._track.legs[number].first)
        weight = (weight / 255.0).astype(np.float32)[:, None]
        return display_color((1.0 - weight) * self._stops[number] + weight * self._stops[number + 1])


def warn_without_colors(config: RenderConfig) -> None:
    """Warn that an appearance which was chosen has no effect, as no shape of the morph has colours."""
    if config.color == "auto" and config.appearance is not None:
        warnings.warn(
            f"appearance: expected a shape with colours or a texture, got none; {config.appearance!r} has no effect on "
            "colours of the initial height",
            DiffMPMWarning,
            stacklevel=1,
        )


def _rest_colors(body: Any) -> list[Array | None]:
    """Return the colours of each shape after the first where the particles come to rest."""
    legs = getattr(body, "legs", ())
    return [leg.rest_color for leg in legs] if legs else [body.rest_color]


def blend_weights(paths: Sequence[Array], appearance: str, width: float) -> Array:
    """Return the weight of the target's colours in each frame: 0 in the first, 1 in the last, never decreasing.

    Material takes the colours of the target as it arrives: the weight of a particle depends on the largest distance to
    its position of rest from that frame on, relative to that at the start. A fraction of the mean distance of all
    particles is added, so that particles with little motion follow the others. A crossfade uses only the mean.

    Args:
        paths: Positions [m] in each frame, shape (N, 3).
        appearance: "arrival" or "crossfade".
        width: Length of the transition, as a fraction of the way.

    Returns:
        Weights times 255, shape (frames, N), uint8.
    """
    count, rest = len(paths), paths[-1]
    means, left = np.zeros(count), np.zeros(len(rest), np.float32)
    for k in range(count - 1, -1, -1):
        left = np.maximum(left, np.linalg.norm(paths[k] - rest, axis=1))
        means[k] = left.mean(dtype=np.float64)
    own, common = (1.0, COMMON) if appearance == "arrival" else (0.0, 1.0)
    total = own * left + common * means[0]
    start = 1.0 - width if appearance == "arrival" else 0.5 - 0.5 * width
    weights = np.zeros((count, len(rest)), np.uint8)
    left = np.zeros(len(rest), np.float32)
    for k in range(count - 1, 0, -1):
        left = np.maximum(left, np.linalg.norm(paths[k] - rest, axis=1))
        covered = 1.0 - (own * left + common * means[k]) / np.maximum(total, 1e-30)
        u = np.clip((covered - start) / width, 0.0, 1.0)
        weights[k] = np.rint(255.0 * u * u * (3.0 - 2.0 * u))
    return weights


def parse_color(value: object, name: str = "color", also: str = "") -> tuple[float, float, float]:
    """Return a colour in [0, 1] from a name, "#rrggbb", or three numbers; `also` is for the message."""
    if isinstance(value, str):
        if value in NAMED:
            return NAMED[value]
        if re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            return tuple(int(value[k : k + 2], 16) / 255.0 for k in (1, 3, 5))  # type: ignore[return-value]
        names = ", ".join(filter(None, (also, *NAMED)))
        raise ConfigError(f"{name}: expected #rrggbb or one of {names}, got {value!r}")
    channels = as_array(value, name, (3,))
    if not ((channels >= 0.0) & (channels <= 1.0)).all():
        raise ConfigError(f"{name}: expected three numbers in [0, 1], got {tuple(channels.tolist())}")
    return float(channels[0]), float(channels[1]), float(channels[2])
