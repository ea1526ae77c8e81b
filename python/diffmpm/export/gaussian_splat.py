# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians as .splat for web viewers: 32 bytes each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._arrays import Array
from .atomic import PathLike, write_bytes
from .splats import Splats

RECORD = np.dtype([("position", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])
"""One Gaussian. The rotation is (w, x, y, z) * 128 + 128."""


def write_splat(path: PathLike, splats: Splats) -> Path:
    """Write Gaussians by decreasing volume times opacity, because viewers show them while they load."""
    order = np.argsort(-splats.scales.astype(np.float64).prod(axis=1) * splats.opacities, kind="stable")
    table = np.empty(splats.count, RECORD)
    table["position"] = splats.means[order]
    table["scale"] = splats.scales[order]
    table["rgba"][:, :3] = _to_uint8(splats.colors[order] * 255.0)
    table["rgba"][:, 3] = _to_uint8(splats.opacities[order] * 255.0)
    table["rotation"] = _to_uint8(splats.quats[order] * 128.0 + 128.0)
    return write_bytes(path, table.tobytes())


def _to_uint8(values: Array) -> Array:
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
