# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Colours of bodies."""

from __future__ import annotations

import re

import numpy as np

from .._arrays import Array, as_array, as_points
from ..errors import ConfigError

_PALETTE = np.array(
    [[0.20, 0.36, 0.66], [0.16, 0.58, 0.68], [0.42, 0.74, 0.52], [0.95, 0.80, 0.38], [0.93, 0.48, 0.30]]
)
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
