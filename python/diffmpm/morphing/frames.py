# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Frames: states of a morph that are stored for rendering and export."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from .._arrays import Array, as_array
from .._placement import Similarity
from .._repr import short_repr
from ..export import decode_npz, encode_npz
from ..export.npz import encode_compressed_npz


@short_repr
@dataclass(frozen=True, eq=False)
class Leg:
    """Motion of a body from one shape of a chain to the next one."""

    last: int
    """Index of its last frame, in which the next motion begins."""
    rest_color: Array | None
    """Colour of its target where each particle comes to rest, in linear light, shape (N, 3), or None."""
    to_result: Similarity
    """Map from coordinates of its target's file to those of the result's target."""
    summary: dict[str, Any]
    """Summary of the morph, as `MorphResult.summary` returns it."""

    def facts(self) -> dict[str, Any]:
        """Return all but the colours as JSON types."""
        return {"last": self.last, "to_result": asdict(self.to_result), "summary": self.summary}

    @staticmethod
    def from_facts(facts: dict[str, Any], color: Array | None) -> Leg:
        """Return the leg of facts and colours; raises an exception of any type if they are damaged."""
        return Leg(int(facts["last"]), color, Similarity.from_dict(facts["to_result"]), dict(facts["summary"]))


@short_repr
@dataclass(frozen=True)
class Frame:
    """State of the body at one time, in the units of the target mesh, float32."""

    x: Array
    """Positions, shape (N, 3)."""
    F: Array | None
    """Elastic deformation gradients, shape (N, 3, 3). None: not stored."""
    G: Array | None
    """Motion gradients since the start of the morph or, in a chain, since the last shape, shape (N, 3, 3). None: not
    stored."""
    window: int
    """Number of its window, 0 for the start."""
    step: int
    """Time step in that window."""
    time: float
    """Time since the start, canonical units."""

    def encode(self) -> bytes:
        """Return the frame as a NumPy archive, compressed if it has positions only."""
        arrays = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        arrays = {name: array for name, array in arrays.items() if array is not None}
        return encode_npz(**arrays) if len(arrays) == len(fields(self)) else encode_compressed_npz(**arrays)

    @staticmethod
    def decode(archive: bytes) -> Frame:
        """Return the frame of an archive; raises an exception of any type if it is damaged."""
        data = decode_npz(archive)
        n = len(data["x"])
        shapes = {"x": (n, 3), "F": (n, 3, 3), "G": (n, 3, 3)}
        x, F, G = (as_array(data[name], name, shape) if name in data else None for name, shape in shapes.items())
        assert x is not None
        return Frame(x, F, G, window=int(data["window"]), step=int(data["step"]), time=float(data["time"]))
