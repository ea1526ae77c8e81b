# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians and particles over time as one web page that needs nothing else: data, code and styles in one file."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array
from ..errors import ConfigError
from .atomic import PathLike, write_bytes
from .splats import Splats, rotations

PAGE = Path(__file__).with_name("page")
"""Folder of the page's own sources."""
SCRIPTS = ("camera.js", "decode.js", "shaders.js", "draw.js", "player.js")
"""Scripts of the page, in order."""
STEPS = (1 << 14) - 1
"""Steps of a position along the longest edge of what all frames fill: a twentieth of a pixel in a picture of 800."""
_ROOT_STEPS = 127
"""Steps of an entry of a covariance's root on either side of 0, finer towards it."""
_UPPER = ((0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2))
_DISC = 0.62
"""Radius of a particle's disc over the distance of neighbours: discs overlap a little."""
_SPACING_SAMPLE = 2000
"""Particles whose neighbours are looked for."""
_GREY = 0.6
"""Colour of particles that have none."""
_SMALLEST = 1e-30
"""Least length [m], for bodies of one point."""


@dataclass(frozen=True)
class _Frame:
    """What the page keeps of a frame before the range of all frames is known."""

    time: float
    x: Array
    means: Array
    roots: Array
    paint: Array
    normals: Array


def write_html(path: PathLike, moments: Iterable[Any], *, up: str = "z", title: str = "DiffMPM") -> Path:
    """Write a page that plays the frames: Gaussians sorted by depth, or particles, seen from anywhere.

    A frame holds 18 bytes a Gaussian: the centre in 14 bits an axis, the symmetric root S of the covariance S S (it
    moves smoothly where axes and quaternions jump), colour and opacity in 8 bits a number, the normal in 16; and 6
    bytes a particle. Frames are stored as differences from the one before, byte plane by byte plane, deflated.

    Args:
        path: File.
        moments: Frames (`diffmpm.export.Moment`) with Gaussians, at least one; all with equal numbers of Gaussians and
            of particles. Where the first has normals, the page lights all of them, as pictures of the package are lit;
            their colours are those of the material then.
        up: Axis that is up: "x", "y" or "z".
        title: Title of the page.

    Returns:
        The file.

    Raises:
        ConfigError: If `up` is no axis, there is no frame, one has no Gaussians, or their numbers differ.
        OutputError: If it cannot be written.
    """
    if up not in ("x", "y", "z"):
        raise ConfigError(f"up: expected x, y or z, got {up!r}")
    frames: list[_Frame] = []
    colors: Array | None = None
    for moment in moments:
        frames.append(_frame(moment))
        wanted, got = ([len(a) for a in (f.means, f.normals, f.x)] for f in (frames[0], frames[-1]))
        if wanted != got:
            raise ConfigError(
                f"moments: expected {wanted[0]} Gaussians, {wanted[1]} normals and {wanted[2]} particles in each of "
                f"them, as in the first, got {got[0]}, {got[1]} and {got[2]}"
            )
        colors = moment.colors if colors is None else colors
    if not frames:
        raise ConfigError("moments: expected at least one frame, got none")
    paint = np.full(frames[0].x.shape, _GREY) if colors is None else colors
    header = _header(frames, "xyz".index(up))
    packed = _deflate(chain([_bytes(paint).tobytes()], _records(frames, header)))
    return write_bytes(path, _page(title, header, packed).encode())


def _header(frames: Sequence[_Frame], up: int) -> dict[str, Any]:
    """Return what the page has to know before it reads the frames."""
    corners = [f(a, axis=0) for frame in frames for a in (frame.means, frame.x) for f in (np.min, np.max)]
    low, high = np.min(corners, axis=0).astype(np.float64), np.max(corners, axis=0).astype(np.float64)
    center = 0.5 * (low + high)
    return {
        "frames": len(frames),
        "splats": len(frames[0].means),
        "particles": len(frames[0].x),
        "lit": len(frames[0].normals) > 0,
        "low": low.tolist(),
        "extent": max(float((high - low).max()), _SMALLEST),
        "steps": STEPS,
        "root": max(max(float(np.abs(f.roots).max()) for f in frames), _SMALLEST),
        "radius": _DISC * _spacing(frames[0].x),
        "center": center.tolist(),
        "reach": max(max(float(np.linalg.norm(f.x - center, axis=1).max()) for f in frames), _SMALLEST),
        "up": up,
        "times": [f.time for f in frames],
    }


def _frame(moment: Any) -> _Frame:
    splats: Splats | None = moment.splats
    if splats is None or splats.count == 0 or len(moment.x) == 0:
        raise ConfigError("moments: expected particles and Gaussians in each of them, got none; pass x and splats")
    R = rotations(splats.quats)
    roots = np.matmul(R * splats.scales[:, None, :], R.transpose(0, 2, 1))[:, _UPPER[0], _UPPER[1]]
    paint = _bytes(np.concatenate([splats.colors, splats.opacities[:, None]], axis=1))
    normals = np.zeros((0, 2), np.int8) if moment.normals is None else _octahedral(moment.normals)
    return _Frame(float(moment.time), np.asarray(moment.x, np.float32), splats.means, roots, paint, normals)


def _octahedral(normals: Array) -> Array:
    """Return unit vectors as two bytes: projected onto an octahedron whose lower half is folded over the upper one.

    References:
        Cigolle et al. 2014, A survey of efficient representations for independent unit vectors.
    """
    n = normals / np.maximum(np.abs(normals).sum(axis=1, keepdims=True), 1e-30)
    folded = (1.0 - np.abs(n[:, 1::-1])) * np.where(n[:, :2] < 0.0, -1.0, 1.0)
    return np.asarray(np.rint(127.0 * np.where(n[:, 2:] < 0.0, folded, n[:, :2])).astype(np.int8))


def _bytes(shares: Array) -> Array:
    return np.asarray(np.rint(np.clip(shares, 0.0, 1.0) * 255.0).astype(np.uint8))


def _records(frames: Iterable[_Frame], header: dict[str, Any]) -> Iterator[bytes]:
    """Yield the frames as differences from the ones before, a plane of bytes after the other."""
    low, scale = np.array(header["low"]), STEPS / header["extent"]
    before: list[Array] | None = None
    for f in frames:
        share = np.sqrt(np.abs(f.roots) / header["root"]) * np.sign(f.roots)
        now = [
            _steps(f.means, low, scale),
            np.rint(share * _ROOT_STEPS).astype(np.int8).view(np.uint8),
            f.paint,
            f.normals.view(np.uint8),
            _steps(f.x, low, scale),
        ]
        for new, old in zip(now, before or [np.zeros_like(a) for a in now], strict=True):
            change = (new - old).T  # unsigned: it wraps round
            yield _zigzag(change) if change.dtype == np.uint16 else np.ascontiguousarray(change).tobytes()
        before = now


def _steps(x: Array, low: Array, scale: float) -> Array:
    return np.asarray(np.rint((x - low) * scale).astype(np.uint16))


def _zigzag(change: Array) -> bytes:
    """Return the low and the high byte of each row, with small changes of either sign as small numbers."""
    signed = change.view(np.int16)
    folded = ((signed << 1) ^ (signed >> 15)).view(np.uint16)
    return np.stack([folded & 255, folded >> 8], axis=1).astype(np.uint8).tobytes()


def _deflate(parts: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def _spacing(x: Array) -> float:
    """Return the median distance of a particle's nearest neighbour."""
    if len(x) < 2:
        return 1.0
    from scipy.spatial import KDTree

    some = x[:: max(1, len(x) // _SPACING_SAMPLE)]
    return float(np.median(KDTree(x).query(some, k=2)[0][:, 1]))


def _page(title: str, header: dict[str, Any], packed: bytes) -> str:
    """Put the page together; nothing in it can end the element that it stands in."""
    text = json.dumps(header, separators=(",", ":"), allow_nan=False)
    parts = {
        "title": title.replace("&", "&amp;").replace("<", "&lt;"),
        "style": (PAGE / "page.css").read_text("utf-8"),
        "script": "\n".join((PAGE / name).read_text("utf-8") for name in SCRIPTS),
        "header": text.replace("<", "\\u003c"),
        "frames": base64.b64encode(packed).decode("ascii"),
    }
    head, *rest = (PAGE / "page.html").read_text("utf-8").split("{{")
    return head + "".join(parts[name] + after for name, _, after in (piece.partition("}}") for piece in rest))
