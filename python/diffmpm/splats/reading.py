# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Read trained scenes of Gaussians."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from .._arrays import Array, as_positive
from .._files import read_file
from .._placement import Similarity, turn
from ..errors import MeshError, OutputError
from ..export import Splats
from ..export.gaussians import RECORD
from ..export.harmonics import SH_DC
from ..export.ply import decode_ply
from ..export.sog import transform

_SPZ_HEADER = np.dtype(
    [("magic", "<u4"), ("version", "<u4"), ("count", "<u4"), ("degree", "u1"), ("bits", "u1"), ("rest", "u1", 2)]
)
_SPZ_MAGIC = 0x5053474E
_SPZ_COLOR = 0.15
"""Coefficients of degree 0 are multiplied by this number in .spz files."""
_MOST = 50_000_000
"""Most Gaussians of a compressed file."""


def load_splats(
    path: str | os.PathLike[str], *, min_opacity: float = 1.0 / 255.0, up: str = "z", scale: float = 1.0
) -> Splats:
    """Read a scene of Gaussians.

    Args:
        path: A .ply file of 3D Gaussian splatting with harmonics of degree 0 to 3, a .splat, .spz or .sog file. The
            program splat-transform reads .sog files.
        min_opacity: Gaussians below this opacity are left out: they cannot be seen.
        up: Axis that is up in the file, "x", "y" or "z". The scene is rotated so that it is z.
        scale: Factor of positions and standard deviations.

    Returns:
        The Gaussians, in float32.

    Raises:
        MeshError: If the file is missing, damaged or of another format, or holds no Gaussian.
        MissingPackageError: If the file is an .sog file and splat-transform is not installed.
        ConfigError: If `up` or `scale` is invalid.

    References:
        Kerbl et al. 2023, 3D Gaussian splatting; Niantic, SPZ.
    """
    placed = replace(turn(up, "z"), scale=as_positive(scale, "scale"))
    file = Path(path)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise MeshError(f"path: expected a file with suffix {' '.join(_READERS)}, got {str(path)!r}")
    try:
        content = read_file(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MeshError(f"path: expected a readable file, got {str(path)!r} ({reason})") from None
    splats = _checked(reader(content, file.name), min_opacity, file.name)
    return splats if placed == Similarity() else splats.moved(placed)


def is_scene(path: object) -> bool:
    """Return whether a path names a file of Gaussians: by its suffix, or, for .ply, by its properties."""
    if not isinstance(path, str | os.PathLike):
        return False
    suffix = Path(path).suffix.lower()
    if suffix != ".ply":
        return suffix in _READERS
    try:
        with open(path, "rb") as file:
            return b" f_dc_0" in file.read(1 << 14).partition(b"end_header")[0]
    except (OSError, ValueError):
        return False


def _read_ply(content: bytes, name: str) -> Splats:
    columns = decode_ply(content, name)
    needed = ("f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2", *(f"rot_{k}" for k in range(4)))
    missing = [key for key in needed if key not in columns]
    if missing:
        raise MeshError(f"{name}: expected Gaussians, got no {', '.join(missing)}; a mesh is read by load_mesh")

    def table(prefix: str, count: int) -> Array:
        return np.stack([columns[f"{prefix}_{k}"] for k in range(count)], axis=1).astype(np.float32)

    count = sum(key.startswith("f_rest_") for key in columns)
    if count not in (0, 9, 24, 45) or (count and f"f_rest_{count - 1}" not in columns):
        raise MeshError(
            f"{name}: expected 0, 9, 24 or 45 properties f_rest, for harmonics of degree 0 to 3, got {count}"
        )
    rest = table("f_rest", count).reshape(-1, 3, count // 3).transpose(0, 2, 1) if count else None
    with np.errstate(over="ignore"):
        opacities = 1.0 / (1.0 + np.exp(-columns["opacity"].astype(np.float64)))
        scales = np.exp(table("scale", 3))
    return Splats(
        np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float32),
        scales,
        table("rot", 4),
        0.5 + np.float32(SH_DC) * table("f_dc", 3),
        opacities.astype(np.float32),
        rest,
    )


def _read_splat(content: bytes, name: str) -> Splats:
    if len(content) % RECORD.itemsize:
        raise MeshError(f"{name}: expected records of {RECORD.itemsize} bytes, got a truncated file")
    table = np.frombuffer(content, RECORD)
    rgba = table["rgba"].astype(np.float32) / 255.0
    rotation = (table["rotation"].astype(np.float32) - 128.0) / 128.0
    return Splats(table["position"].copy(), table["scale"].copy(), rotation, rgba[:, :3], rgba[:, 3])


def _read_spz(content: bytes, name: str) -> Splats:
    if content[:4] == _SPZ_MAGIC.to_bytes(4, "little"):  # not compressed as a whole, from version 4 on
        raise MeshError(
            f"{name}: expected an .spz file of version 2 or 3, got version {int.from_bytes(content[4:8], 'little')}; "
            "convert it, for example by splat-transform --spz-version 3"
        )
    unpack = zlib.decompressobj(wbits=31)
    try:
        head = np.frombuffer(unpack.decompress(content, _SPZ_HEADER.itemsize), _SPZ_HEADER)[0]
        version, count, degree = (int(head[key]) for key in ("version", "count", "degree"))
        if head["magic"] != _SPZ_MAGIC or version not in (2, 3) or degree > 3 or count > _MOST:
            raise MeshError(
                f"{name}: expected an .spz file of version 2 or 3 with harmonics of degree 0 to 3, got version "
                f"{version}, degree {degree} and {count} Gaussians"
            )
        bands, turn = (degree + 1) ** 2 - 1, 3 if version == 2 else 4
        sizes = [9, 1, 3, 3, turn, 3 * bands]  # bytes per Gaussian
        data = unpack.decompress(unpack.unconsumed_tail, count * sum(sizes))
    except (zlib.error, IndexError, ValueError) as error:
        raise MeshError(f"{name}: expected an .spz file, got a damaged one ({error})") from None
    if len(data) != count * sum(sizes):
        raise MeshError(f"{name}: expected {count} Gaussians, got a truncated file")
    raw, starts = np.frombuffer(data, np.uint8), np.cumsum([0, *sizes]) * count
    parts = [raw[a:b].reshape(count, -1) for a, b in pairwise(starts)]
    words = parts[0].reshape(count, 3, 3).astype(np.int32)
    x = ((words << np.array([8, 16, 24])).sum(axis=2, dtype=np.int32) >> 8) / float(1 << int(head["bits"]))
    opacities, colors, scales = (parts[k].astype(np.float32) for k in (1, 2, 3))
    rest = (parts[5].reshape(count, bands, 3).astype(np.float32) - 128.0) / 128.0 if bands else None
    return Splats(
        x.astype(np.float32),
        np.exp(scales / 16.0 - 10.0),
        _quaternions(parts[4]),
        0.5 + np.float32(SH_DC / _SPZ_COLOR) * (colors / 255.0 - 0.5),
        opacities[:, 0] / 255.0,
        rest,
    )


def _quaternions(raw: Array) -> Array:
    """Return the quaternions (w, x, y, z) of .spz: three bytes for x, y, z, or 32 bits without the largest one."""
    quats = np.empty((len(raw), 4), np.float32)
    if raw.shape[1] == 3:
        quats[:, 1:] = raw / np.float32(127.5) - 1.0
        quats[:, 0] = np.sqrt(np.maximum(0.0, 1.0 - np.square(quats[:, 1:]).sum(axis=1)))
        return quats
    word, largest = raw.copy().view("<u4")[:, 0], raw[:, 3] >> 6
    xyzw = np.zeros((len(raw), 4), np.float32)
    for k in (3, 2, 1, 0):
        held = largest != k
        value = (word & 511).astype(np.float32) * np.float32(np.sqrt(0.5) / 511.0)
        xyzw[held, k] = np.where(word & 512, -value, value)[held]
        word = np.where(held, word >> 10, word)
    rows = np.arange(len(raw))
    xyzw[rows, largest] = np.sqrt(np.maximum(0.0, 1.0 - np.square(xyzw).sum(axis=1)))
    return xyzw[:, (3, 0, 1, 2)]


def _read_sog(content: bytes, name: str) -> Splats:
    with tempfile.TemporaryDirectory() as folder:
        packed, plain = Path(folder) / "scene.sog", Path(folder) / "scene.ply"
        packed.write_bytes(content)
        try:
            transform(packed, plain)
        except OutputError as error:
            raise MeshError(f"{name}: expected an .sog file, got another or a damaged one; {error}") from None
        return _read_ply(plain.read_bytes(), name)


_READERS: dict[str, Callable[[bytes, str], Splats]] = {
    ".ply": _read_ply,
    ".splat": _read_splat,
    ".spz": _read_spz,
    ".sog": _read_sog,
}


def _checked(splats: Splats, min_opacity: float, name: str) -> Splats:
    """Return the visible Gaussians with unit quaternions; refuse numbers that are not finite."""
    for key, values in vars(splats).items():
        if values is not None and not np.isfinite(values).all():
            row = int(np.argmax(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
            raise MeshError(f"{name}: expected finite numbers, got another in {key} of Gaussian {row}")
    norms = np.linalg.norm(splats.quats, axis=1)
    kept = splats[(splats.opacities >= min_opacity) & (splats.scales > 0.0).all(axis=1) & (norms > 0.0)]
    if kept.count == 0:
        raise MeshError(f"{name}: expected Gaussians with an opacity of at least {min_opacity:g}, got none")
    quats = kept.quats / np.linalg.norm(kept.quats, axis=1, keepdims=True)
    opacities = np.clip(kept.opacities, 1e-6, 1.0 - 1e-6)  # files hold logarithms of the odds
    return Splats(kept.means, kept.scales, quats, kept.colors, opacities, kept.sh_rest)
