# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Frames: states of a morph that are stored for rendering and export."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .._arrays import Array, as_array
from .._repr import short_repr
from ..export import decode_npz, encode_npz


@short_repr
@dataclass(frozen=True)
class Frame:
    """State of the body at one time, in the units of the target mesh, float32."""

    x: Array
    """Positions, shape (N, 3)."""
    F: Array
    """Elastic deformation gradients, shape (N, 3, 3)."""
    G: Array
    """Motion gradients since the start of the morph, shape (N, 3, 3)."""
    window: int
    """Number of its window, 0 for the start."""
    step: int
    """Time step in that window."""
    time: float
    """Time since the start, canonical units."""

    def encode(self) -> bytes:
        """Return the frame as a NumPy archive."""
        return encode_npz(**{entry.name: getattr(self, entry.name) for entry in fields(self)})

    @staticmethod
    def decode(archive: bytes) -> Frame:
        """Return the frame of an archive; raises an exception of any type if it is damaged."""
        data = decode_npz(archive)
        n = len(data["x"])
        x, F, G = (
            as_array(data[name], name, (n, *shape)) for name, shape in (("x", (3,)), ("F", (3, 3)), ("G", (3, 3)))
        )
        return Frame(x, F, G, window=int(data["window"]), step=int(data["step"]), time=float(data["time"]))
