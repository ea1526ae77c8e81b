# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Frames: the states of a morph that are kept for pictures and files."""

from __future__ import annotations

from dataclasses import dataclass

from .._arrays import Array


@dataclass(frozen=True)
class Frame:
    """State of the body at one moment, in the target mesh's units, float32."""

    x: Array
    """Positions, shape (N, 3)."""
    F: Array
    """Deformation gradients of the material's elastic memory, shape (N, 3, 3)."""
    G: Array
    """Motion gradients since the start of the morph, shape (N, 3, 3)."""
    window: int
    """Window it belongs to, 0 for the start."""
    step: int
    """Step of that window."""
    time: float
    """Time since the start, canonical units."""
