# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Colour spaces: sRGB in files and images, linear light where colours are mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def linear_light(colors: Array) -> Array:
    """Return sRGB colours in [0, 1] as linear light, float32."""
    linear: Array = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return linear


def display_color(linear: Array) -> Array:
    """Return linear light as sRGB colours, clipped to [0, 1], float32; the inverse of `linear_light`."""
    light = np.clip(linear, 0.0, 1.0)
    curve = 1.055 * np.maximum(light, 0.0031308) ** (1.0 / 2.4) - 0.055
    display: Array = np.where(light <= 0.0031308, 12.92 * light, curve).astype(np.float32)
    return display


def to_bytes(fractions: Array) -> Array:
    """Return numbers, clipped to [0, 1], in steps of 1/255, uint8."""
    return np.asarray(np.rint(np.clip(fractions, 0.0, 1.0) * 255.0).astype(np.uint8))
