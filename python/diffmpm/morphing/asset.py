# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The meshes that a morph started from, in the coordinates of its result."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from .._options import choice
from .._placement import Similarity
from ..errors import ConfigError, MeshWarning
from ..geometry import Mesh, MeshLike, load_mesh
from .provenance import digest_of

if TYPE_CHECKING:
    from .result import MorphResult

Side = Literal["source", "target"]


def load_asset(result: MorphResult, side: Side, shape: MeshLike | None = None) -> Mesh:
    """Implement `MorphResult.mesh`."""
    choice(side, "side", ("source", "target"))
    expected = result.provenance.get("sha256", {}).get(side)
    if shape is None:
        shape = None if result.run is None else getattr(result.run, side)
    if shape is None:
        raise ConfigError(
            f"asset: expected the {side} of the morph, which started from arrays or images, got none; pass the same "
            "mesh as asset (--asset FILE)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MeshWarning)  # the morph has reported it
        mesh = load_mesh(shape)
    if expected is not None and digest_of(shape) != expected:
        raise ConfigError(
            f"asset: expected the {side} mesh as it was when the morph started, got {str(shape)!r} with other content; "
            "restore the file, name a copy with asset (--asset FILE), or run the morph again"
        )
    to_result = result.placement.fit if side == "source" else Similarity()
    return replace(mesh, vertices=to_result(mesh.vertices) - result.placement.origin)
