# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Up axes, and similarity transforms between coordinate systems."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._repr import short_repr
from .errors import ConfigError

AXES: tuple[str, ...] = ("x", "y", "z")
"""Valid up axes."""
FAR = 1000.0
"""Distance from the origin, in extents of a body, beyond which float32 positions are relative to a nearby point."""

Triple = tuple[float, float, float]
Doubles = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


def up_vector(up: str) -> Doubles:
    """Return the unit vector of an axis, "x", "y" or "z"; refuse any other name."""
    if not isinstance(up, str) or up not in AXES:
        raise ConfigError(f"up: expected x, y or z, got {up!r}")
    return np.eye(3)[AXES.index(up)]


def rotations(quats: Array) -> Array:
    """Return the rotation matrices of unit quaternions (w, x, y, z), shape (M, 3, 3)."""
    w, x, y, z = quats.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.array(rows, dtype=quats.dtype).transpose(2, 0, 1)


def turn(before: str, after: str) -> Similarity:
    """Return the quarter turn that takes axis `before` to axis `after` about the third axis.

    From z to y it is the usual (x, y, z) -> (x, z, -y).
    """
    old, new = up_vector(before), up_vector(after)
    if before == after:
        return Similarity()
    other = np.diag(1.0 - old - new)
    return Similarity(rotation=_rows(other + np.outer(new, old) - np.outer(old, new)))


def origin_of(middle: npt.ArrayLike, extent: float) -> Triple:
    """Return the origin for float32 positions of a body: a point near it if it is far away, else zeros.

    Args:
        middle: A point of the body, shape (3,).
        extent: Size of the body.
    """
    point = np.asarray(middle, np.float64)
    if float(np.abs(point).max()) <= FAR * extent:
        return 0.0, 0.0, 0.0
    return triple(np.round(point))


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale * rotation @ x + shift."""

    scale: float = 1.0
    """Factor, above 0."""
    rotation: tuple[Triple, Triple, Triple] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    """Rows of the rotation matrix."""
    shift: Triple = (0.0, 0.0, 0.0)
    """Translation, after scale and rotation."""

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Similarity:
        """Return the map with these fields; raises like `Placement.from_dict`."""
        rows = [triple(row) for row in values["rotation"]]
        return Similarity(float(values["scale"]), (rows[0], rows[1], rows[2]), triple(values["shift"]))

    @property
    def matrix(self) -> Doubles:
        """The rotation as an array, shape (3, 3)."""
        return np.array(self.rotation)

    def __call__(self, x: npt.ArrayLike) -> Doubles:
        """Return the images of points, shape (..., 3), float64."""
        return np.asarray(self.scale * (np.asarray(x, np.float64) @ self.matrix.T) + np.array(self.shift))

    def after(self, first: Similarity) -> Similarity:
        """Return the map that applies `first` and then this one."""
        return Similarity(
            self.scale * first.scale, _rows(self.matrix @ first.matrix), triple(self(np.array(first.shift)))
        )

    def inverse(self) -> Similarity:
        """Return the inverse map."""
        back = self.matrix.T
        return Similarity(1.0 / self.scale, _rows(back), triple(-(back @ np.array(self.shift)) / self.scale))


@short_repr
@dataclass(frozen=True)
class Placement:
    """Coordinates of the result of a morph, and the map of the source to them."""

    up: str = "z"
    """Up axis of the result and of the target file."""
    source_up: str = "z"
    """Up axis of the source file."""
    origin: Triple = (0.0, 0.0, 0.0)
    """Origin of the result in the coordinates of the target file; zeros unless the target is far away."""
    fit: Similarity = Similarity()
    """Map from coordinates of the source file to those of the target file."""

    def world(self, x: Array) -> Array:
        """Return positions of the result in coordinates of the target file; float64 if the target is far away."""
        return x.astype(np.float64) + self.origin if any(self.origin) else x

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Placement:
        """Return the placement of a dictionary that `to_dict` returned.

        Raises:
            KeyError: If a field is missing.
            TypeError: If a field has a wrong type.
            ValueError: If a value is invalid.
        """
        similarity = Similarity.from_dict(values["fit"])
        for name in ("up", "source_up"):
            if values[name] not in AXES:
                raise ValueError(f"{name}: expected x, y or z, got {values[name]!r}")
        return Placement(values["up"], values["source_up"], triple(values["origin"]), similarity)


def triple(values: Any) -> Triple:
    """Return three numbers as Python floats."""
    x, y, z = (float(v) for v in values)
    return x, y, z


def _rows(matrix: Doubles) -> tuple[Triple, Triple, Triple]:
    a, b, c = (triple(row) for row in matrix + 0.0)  # no negative zeros
    return a, b, c
