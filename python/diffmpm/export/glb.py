# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians as binary glTF 2.0 with the extension KHR_gaussian_splatting."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array
from ..errors import ConfigError
from .atomic import PathLike, write_bytes
from .splats import Splats

EXTENSION = "KHR_gaussian_splatting"
_FLOAT, _POINTS, _ARRAY_BUFFER = 5126, 0, 34962
_HALF = 0.5**0.5
# Rotation (x, y, z, w) of the node that turns the named axis to glTF's y.
_TO_Y_UP = {"y": None, "z": (-_HALF, 0.0, 0.0, _HALF), "x": (0.0, 0.0, _HALF, _HALF)}
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}


def write_gaussian_glb(path: PathLike, splats: Splats, *, up: str = "y") -> Path:
    """Write Gaussians as points with colours, which any viewer shows, and as Gaussians for those that know them.

    Scales are linear and opacities plain, as the ratified extension has it; rotations are (x, y, z, w). COLOR_0 holds
    the colours in linear light, the harmonics hold them as displayed (sRGB).

    Args:
        path: File.
        splats: Gaussians; at least one.
        up: Axis of the Gaussians that is up: "x", "y" or "z". In glTF it is y.

    Returns:
        The file.

    Raises:
        ConfigError: If there is no Gaussian, or `up` is no axis.
        OutputError: If it cannot be written.

    References:
        Khronos Group, glTF 2.0 and KHR_gaussian_splatting.
    """
    if up not in _TO_Y_UP:
        raise ConfigError(f"up: expected x, y or z, got {up!r}")
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
    binary = b""
    views: list[dict[str, Any]] = []
    accessors: list[dict[str, Any]] = []
    for values in columns.values():
        content = np.ascontiguousarray(values, "<f4").tobytes()
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(content), "target": _ARRAY_BUFFER})
        kind = _TYPES[values.shape[1]]
        accessors.append({"bufferView": len(accessors), "componentType": _FLOAT, "count": splats.count, "type": kind})
        binary += content
    accessors[0].update(min=splats.means.min(axis=0).tolist(), max=splats.means.max(axis=0).tolist())
    kernel = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    primitive = {
        "attributes": {name: n for n, name in enumerate(columns)},
        "mode": _POINTS,
        "extensions": {EXTENSION: {**kernel, "sortingMethod": "cameraDistance", "projection": "perspective"}},
    }
    turn = _TO_Y_UP[up]
    document = {
        "asset": {"version": "2.0", "generator": "DiffMPM"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **({} if turn is None else {"rotation": list(turn)})}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    return write_bytes(path, _container(document, binary))


def _container(document: dict[str, Any], binary: bytes) -> bytes:
    """Return header, JSON chunk and binary chunk, each padded to four bytes."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
