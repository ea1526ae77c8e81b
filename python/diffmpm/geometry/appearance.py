# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Colours of meshes: vertex colours, and materials with base-colour textures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from .._arrays import Array, as_array
from .._color import linear_light
from .._repr import short_repr
from ..errors import ConfigError, MeshError

Wrap = Literal["repeat", "mirror", "clamp"]
WRAPS: tuple[Wrap, ...] = ("repeat", "mirror", "clamp")
_VISIBLE = 0.5 / 255.0
"""Difference of colours that an image with 8 bits per channel shows."""


@short_repr
@dataclass(frozen=True, eq=False)
class Texture:
    """An image on a surface.

    Raises:
        ConfigError: If the pixels have the wrong shape or dtype.
    """

    pixels: Array
    """sRGB colours, shape (H, W, 3), uint8; the first row is at the top."""
    content: bytes = b""
    """The image file, for export; empty if the texture was made from an array."""
    mime: str = ""
    """Media type of `content`, such as "image/png"."""
    name: str = "texture"
    """File name, for messages and export."""

    def __post_init__(self) -> None:
        pixels = self.pixels
        fits = isinstance(pixels, np.ndarray) and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size > 0
        if not fits or pixels.dtype != np.uint8:
            got = f"{pixels.shape}, {pixels.dtype}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
            raise ConfigError(f"{self.name}: expected pixels of shape (H, W, 3), uint8, got {got}")

    def sample(self, uvs: Array, wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")) -> Array:
        """Return the colours at texture coordinates, interpolated between the four nearest pixels.

        Args:
            uvs: Coordinates, shape (K, 2). (0, 0) is the lower left corner of the image, (1, 1) the upper right one.
            wrap: Continuation beyond the image along u and along v.

        Returns:
            Colours in linear light, shape (K, 3), float32.
        """
        height, width = self.pixels.shape[:2]
        # Rounding must not move a coordinate by a pixel: reduce it before it is scaled.
        columns = _neighbours(uvs[:, 0].astype(np.float64), width, wrap[0])
        rows = _neighbours(1.0 - uvs[:, 1].astype(np.float64), height, wrap[1])
        colors = np.zeros((len(uvs), 3))
        for row, along in rows:
            for column, across in columns:
                colors += (along * across)[:, None] * _LINEAR[self.pixels[row, column]]
        return colors.astype(np.float32)


_LINEAR = linear_light(np.arange(256) / 255.0)
"""Linear light of the 256 sRGB levels."""


def _neighbours(position: Array, count: int, wrap: Wrap) -> list[tuple[Array, Array]]:
    """Return the two nearest pixels along an axis, each with its weight."""
    if wrap == "repeat":
        position = position - np.floor(position)
    elif wrap == "mirror":
        position = 1.0 - np.abs(position - 2.0 * np.floor(0.5 * position) - 1.0)
    else:
        position = np.clip(position, 0.0, 1.0)
    lower = np.floor(count * position - 0.5)
    weight = count * position - 0.5 - lower
    first = lower.astype(np.int64)
    pixels = [first, first + 1]
    pixels = [k % count if wrap == "repeat" else np.clip(k, 0, count - 1) for k in pixels]
    return [(pixels[0], 1.0 - weight), (pixels[1], weight)]


@short_repr
@dataclass(frozen=True, eq=False)
class MeshMaterial:
    """Base colour of a group of triangles: `color`, times `texture` if there is one."""

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factor in linear light, at least 0."""
    texture: Texture | None = None
    """Texture, or None for a uniform colour."""
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    """Continuation of the texture along u and along v: "repeat", "mirror" or "clamp"."""
    name: str = "material"
    """Name in the file."""

    def __post_init__(self) -> None:
        color = as_array(self.color, f"{self.name}: color", (3,))
        if (color < 0.0).any():
            raise ConfigError(f"{self.name}: color: expected numbers of at least 0, got {tuple(color.tolist())}")
        object.__setattr__(self, "color", tuple(float(c) for c in color))
        if len(self.wrap) != 2 or not set(self.wrap) <= set(WRAPS):
            raise ConfigError(f"{self.name}: wrap: expected two of {', '.join(WRAPS)}, got {self.wrap!r}")


def groups(keys: Array) -> Iterator[tuple[int, Array]]:
    """Yield each distinct key, in ascending order, with the indices at which it occurs."""
    order = np.argsort(keys, kind="stable")
    distinct, first = np.unique(keys[order], return_index=True)
    yield from zip(distinct.tolist(), np.split(order, first[1:]), strict=len(keys) > 0)


def _spread(rows: Array) -> float:
    """Return the largest difference between rows."""
    return float(np.ptp(rows, axis=0).max()) if rows.size else 0.0


@short_repr
@dataclass(frozen=True, eq=False)
class Appearance:
    """Colours of a mesh: the product of its vertex colours and the base colour of each triangle's material.

    All fields are optional. Vertices stay welded across seams, because texture coordinates belong to the corners.

    Raises:
        ConfigError: If an array has the wrong shape or dtype.
    """

    colors: Array | None = None
    """Vertex colours in linear light, shape (V, 3), float32."""
    uvs: Array | None = None
    """Texture coordinates of the corners, shape (T, 3, 2), float32; (0, 0) is the lower left corner of the image."""
    materials: tuple[MeshMaterial, ...] = field(default=())
    """Materials."""
    material: Array | None = None
    """Index into `materials` of each triangle, shape (T,), int32; None if all triangles have the first one."""

    def __post_init__(self) -> None:
        shapes = {"colors": (None, 3), "uvs": (None, 3, 2)}
        for name, shape in shapes.items():
            if (value := getattr(self, name)) is not None:
                array = as_array(value, name, shape).astype(np.float32, copy=False)
                object.__setattr__(self, name, np.ascontiguousarray(array))
        object.__setattr__(self, "materials", tuple(self.materials))
        if self.material is not None:
            index = np.asarray(self.material)
            if index.ndim != 1 or index.dtype.kind not in "iu":
                raise ConfigError(f"material: expected integers, shape (T,), got {index.dtype}, {index.shape}")
            if len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(self.materials):
                raise ConfigError(
                    f"material: expected indices from 0 to {len(self.materials) - 1}, got "
                    f"{int(index.min())} to {int(index.max())}"
                )
            object.__setattr__(self, "material", np.ascontiguousarray(index, np.int32))
        if self.uvs is None and any(m.texture is not None for m in self.materials):
            raise ConfigError("uvs: expected texture coordinates for the textures, got none")

    def check(self, vertices: int, triangles: int, name: str) -> None:
        """Raise a MeshError unless the arrays fit a mesh with these numbers of vertices and triangles."""
        per_triangle = (triangles, "triangles")
        counts = {"colors": (vertices, "vertices"), "uvs": per_triangle, "material": per_triangle}
        for field_name, (count, of) in counts.items():
            array = getattr(self, field_name)
            if array is not None and len(array) != count:
                raise MeshError(f"{name}: {field_name}: expected an entry for each of {count} {of}, got {len(array)}")

    def reversed(self, mask: Array) -> Appearance:
        """Return the appearance of a mesh whose triangles have the opposite corner order where a mask is true."""
        if self.uvs is None:
            return self
        return replace(self, uvs=np.where(mask[:, None, None], self.uvs[:, ::-1], self.uvs))

    @cached_property
    def is_uniform_grey(self) -> bool:
        """Whether every point has the same grey, as in files that only have default materials."""
        if any(m.texture is not None for m in self.materials):
            return False
        parts = [np.ones((1, 3), np.float32) if self.colors is None else self.colors]
        used = range(min(len(self.materials), 1)) if self.material is None else np.unique(self.material)
        parts.append(np.array([self.materials[k].color for k in used], np.float32).reshape(-1, 3))
        return all(_spread(part) < _VISIBLE and _spread(part[:1].T) < _VISIBLE for part in parts)

    def at(self, triangles: Array, rows: Array, weights: Array) -> Array:
        """Return the colours of points on the mesh.

        Args:
            triangles: Vertex indices of the mesh, shape (T, 3).
            rows: Triangle of each point, shape (K,).
            weights: Barycentric coordinates of each point, shape (K, 3).

        Returns:
            Colours in linear light, in [0, 1], shape (K, 3), float32.
        """
        colors = np.ones((len(rows), 3), np.float32)
        if self.colors is not None:
            colors = np.einsum("kc,kcd->kd", weights, self.colors[triangles[rows]])
        owner = np.zeros(len(rows), np.int64) if self.material is None else self.material[rows]
        for number, points in groups(owner) if self.materials else ():
            material = self.materials[number]
            colors[points] *= np.array(material.color, np.float32)
            if material.texture is not None and self.uvs is not None:
                uvs = np.einsum("kc,kcd->kd", weights[points], self.uvs[rows[points]])
                colors[points] *= material.texture.sample(uvs, material.wrap)
        return np.clip(colors, 0.0, 1.0).astype(np.float32)
