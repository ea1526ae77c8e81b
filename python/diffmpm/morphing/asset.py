# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The meshes and scenes that a morph started from, in the coordinates of its result."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from .._options import choice
from .._placement import Similarity
from ..errors import ConfigError, MeshWarning
from ..export import Splats
from ..geometry import Mesh, MeshLike
from ..splats import is_scene, load_shape, load_splats, without_floaters
from .provenance import digest_of

if TYPE_CHECKING:
    from .result import MorphResult

Side = Literal["source", "target"] | int
"""A shape of a morph; in a chain also the index of one between source and target."""


def load_asset(result: MorphResult, side: Side, shape: MeshLike | None = None) -> Mesh:
    """Implement `MorphResult.mesh`."""
    shape = _path(result, side) if shape is None else shape
    if shape is None:
        raise ConfigError(
            f"asset: expected the {side} of the morph, which started from arrays or images, got none; pass the same "
            "mesh as asset (--asset FILE)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MeshWarning)  # the morph has reported it
        mesh = load_shape(shape)
    _check_digest(result, side, shape)
    return replace(mesh, vertices=_to_result(result, side)(mesh.vertices))


def load_scene(result: MorphResult, side: Side) -> Splats | None:
    """Implement `MorphResult.scene`."""
    path = _path(result, side)
    if path is None or not is_scene(path):
        return None
    splats = without_floaters(load_splats(path))
    _check_digest(result, side, path)
    return splats.moved(_to_result(result, side))


def _index(result: MorphResult, side: Side) -> int:
    """Return the index of a shape of a morph in its order; refuse an unknown one."""
    if isinstance(side, int):
        if not 0 < side < len(result.legs):
            raise ConfigError(f"side: expected source, target or 1 to {len(result.legs) - 1}, got {side}")
        return side
    choice(side, "side", ("source", "target"))
    return 0 if side == "source" else max(1, len(result.legs))


def _path(result: MorphResult, side: Side) -> str | None:
    """Return the path or name of a shape of a morph, None if it started from arrays."""
    index, shapes = _index(result, side), () if result.run is None else result.run.shapes
    return shapes[index] if index < len(shapes) else None


def _check_digest(result: MorphResult, side: Side, shape: MeshLike) -> None:
    """Refuse a shape that is not the one of the morph."""
    digests = result.provenance.get("sha256", {})
    every = [digests.get("source"), *digests.get("via", []), digests.get("target")]
    expected = every[_index(result, side)]
    if expected is not None and digest_of(shape) != expected:
        raise ConfigError(
            f"asset: expected the {side} mesh as it was when the morph started, got {str(shape)!r} with other content; "
            "restore the file, name a copy with asset (--asset FILE), or run the morph again"
        )


def _to_result(result: MorphResult, side: Side) -> Similarity:
    """Return the map from the coordinates of a file to those of the result."""
    x, y, z = result.placement.origin
    if isinstance(side, int):
        fit = result.legs[side - 1].to_result
    else:
        fit = result.placement.fit if side == "source" else Similarity()
    return Similarity(shift=(-x, -y, -z)).after(fit)
