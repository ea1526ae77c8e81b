# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians as PLY in the layout of the INRIA viewer, which most viewers and editors of Gaussians read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._arrays import Array, as_array
from .._placement import Triple
from ..errors import ConfigError
from .atomic import PathLike, write_bytes
from .ply import file_bytes, origin_comment
from .splats import Splats


def write_gaussian_ply(
    path: PathLike, splats: Splats, *, normals: object = None, sh_degree: int = 0, origin: Triple = (0.0, 0.0, 0.0)
) -> Path:
    """Write x y z, nx ny nz, f_dc, f_rest, opacity (logit), scale (logarithm) and rot (w, x, y, z) as float32.

    Args:
        path: File.
        splats: Gaussians.
        normals: Unit normals, shape (M, 3). If None, zeros, as usual in these files.
        sh_degree: Degree of the spherical harmonics, 0 to 3, for viewers that require one. Coefficients above degree 0
            are zero.
        origin: Point that the centres are relative to. Unless it is zero, a header comment holds it.

    Raises:
        ConfigError: If a shape or the degree does not fit.

    References:
        Kerbl et al. 2023, 3D Gaussian splatting.
    """
    if sh_degree not in (0, 1, 2, 3):
        raise ConfigError(f"sh_degree: expected 0, 1, 2 or 3, got {sh_degree!r}")
    m, rest = splats.count, 3 * ((sh_degree + 1) ** 2 - 1)
    directions = np.zeros((m, 3), np.float32) if normals is None else as_array(normals, "normals", (m, 3))
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{k}" for k in range(3)), *(f"f_rest_{k}" for k in range(rest))]
    names += ["opacity", *(f"scale_{k}" for k in range(3)), *(f"rot_{k}" for k in range(4))]
    parts: list[Array] = [
        splats.means,
        directions,
        splats.sh,
        np.zeros((m, rest)),
        np.log(splats.opacities / (1.0 - splats.opacities))[:, None],
        np.log(splats.scales),
        splats.quats,
    ]
    table = np.concatenate(parts, axis=1).astype("<f4")
    properties = [f"property float {name}" for name in names]
    return write_bytes(path, file_bytes([*origin_comment(origin), f"element vertex {m}", *properties], table.tobytes()))
