# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians as PLY, .splat and GLB."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._arrays import Array, as_array
from .._color import to_bytes
from .._placement import Triple
from ..errors import ConfigError
from .atomic import PathLike, write_bytes
from .glb import POINTS, GltfBuffer, container
from .harmonics import DEGREES
from .ply import file_bytes, origin_comment
from .splats import Splats

EXTENSION = "KHR_gaussian_splatting"
RECORD = np.dtype([("position", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])
"""One Gaussian. The rotation is (w, x, y, z) * 128 + 128."""


def write_gaussian_ply(
    path: PathLike,
    splats: Splats,
    *,
    normals: object = None,
    sh_degree: int | None = None,
    origin: Triple = (0.0, 0.0, 0.0),
) -> Path:
    """Write x y z, nx ny nz, f_dc, f_rest, opacity (logit), scale (logarithm) and rot (w, x, y, z) as float32.

    Args:
        path: File.
        splats: Gaussians.
        normals: Unit normals, shape (M, 3). If None, zeros, as usual in these files.
        sh_degree: Degree of the spherical harmonics, 0 to 3; higher coefficients of the Gaussians are left out,
            missing ones are zero. None: that of the Gaussians.
        origin: Point that the centres are relative to. Unless it is zero, a header comment holds it.

    Raises:
        ConfigError: If a shape or the degree does not fit.

    References:
        Kerbl et al. 2023, 3D Gaussian splatting.
    """
    degree = splats.sh_degree if sh_degree is None else sh_degree
    if degree not in DEGREES:
        raise ConfigError(f"sh_degree: expected 0, 1, 2 or 3, got {sh_degree!r}")
    m, bands = splats.count, (degree + 1) ** 2 - 1
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{k}" for k in range(3))]
    names += [*(f"f_rest_{k}" for k in range(3 * bands)), "opacity"]
    names += [*(f"scale_{k}" for k in range(3)), *(f"rot_{k}" for k in range(4))]
    table = np.zeros((m, len(names)), "<f4")
    table[:, 0:3] = splats.means
    if normals is not None:
        table[:, 3:6] = as_array(normals, "normals", (m, 3))
    table[:, 6:9] = splats.sh
    if splats.sh_rest is not None:
        shared = min(bands, splats.sh_rest.shape[1])
        for channel in range(3):
            first = 9 + channel * bands
            table[:, first : first + shared] = splats.sh_rest[:, :shared, channel]
    table[:, -8] = np.log(splats.opacities / (1.0 - splats.opacities))
    table[:, -7:-4] = np.log(splats.scales)
    table[:, -4:] = splats.quats
    properties = [f"property float {name}" for name in names]
    return write_bytes(path, file_bytes([*origin_comment(origin), f"element vertex {m}", *properties], table.data))


def write_splat(path: PathLike, splats: Splats) -> Path:
    """Write Gaussians by decreasing volume times opacity, because viewers show them while they load."""
    order = np.argsort(-splats.scales.astype(np.float64).prod(axis=1) * splats.opacities, kind="stable")
    table = np.empty(splats.count, RECORD)
    table["position"] = splats.means[order]
    table["scale"] = splats.scales[order]
    table["rgba"][:, :3] = to_bytes(splats.colors[order])
    table["rgba"][:, 3] = to_bytes(splats.opacities[order])
    table["rotation"] = np.clip(np.rint(splats.quats[order] * 128.0 + 128.0), 0, 255)
    return write_bytes(path, table.tobytes())


def write_gaussian_glb(path: PathLike, splats: Splats, *, origin: Triple = (0.0, 0.0, 0.0)) -> Path:
    """Write Gaussians as coloured points for any viewer, and as Gaussians for viewers that support the extension.

    As in the ratified extension, scales are linear, opacities are plain, and rotations are (x, y, z, w). COLOR_0 holds
    the colours in linear light; the harmonics hold them as displayed (sRGB).

    Args:
        path: File.
        splats: Gaussians, at least one. The y axis is up, as glTF requires.
        origin: Point that the centres are relative to, stored as the node translation.

    Raises:
        ConfigError: If there is no Gaussian.

    References:
        Khronos Group, glTF 2.0 and KHR_gaussian_splatting.
    """
    if splats.count == 0:
        raise ConfigError("splats: expected at least one Gaussian, got none")
    columns: dict[str, Array] = {
        "POSITION": splats.means,
        "COLOR_0": np.concatenate([splats.linear, splats.opacities[:, None]], axis=1),
        f"{EXTENSION}:ROTATION": splats.quats[:, (1, 2, 3, 0)],
        f"{EXTENSION}:SCALE": splats.scales,
        f"{EXTENSION}:OPACITY": splats.opacities[:, None],
        f"{EXTENSION}:SH_DEGREE_0_COEF_0": splats.sh,
    }
    kernel = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    extension = {EXTENSION: {**kernel, "sortingMethod": "cameraDistance", "projection": "perspective"}}
    buffer = GltfBuffer()
    primitive = {"attributes": buffer.vertices(columns), "mode": POINTS, "extensions": extension}
    document = buffer.document({"primitives": [primitive]}, origin, extensionsUsed=[EXTENSION])
    return write_bytes(path, container(*document))
