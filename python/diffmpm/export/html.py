# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians and particles over time as a self-contained web page: data, code and styles in one file."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array
from .._color import to_bytes
from .._placement import rotations, up_vector
from ..errors import ConfigError
from .atomic import PathLike, write_bytes
from .moment import Moment

PAGE = Path(__file__).with_name("page")
"""Folder of the page sources."""
SCRIPTS = ("camera.js", "decode.js", "shaders.js", "draw.js", "player.js")
"""Scripts of the page, in order."""
FPS, HOLDS = 15.0, (0.6, 1.2)
"""Frames per second, and time [s] for which the first and the last one are held, unless a speed is chosen."""
STEPS = (1 << 14) - 1
"""Quantisation steps of a position along the longest edge of the bounding box: 1/20 pixel in an image of 800."""
_ROOT_STEPS = 127
"""Quantisation steps of a covariance root on either side of 0, finer near 0."""
_UPPER = ((0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2))
_DISC = 0.62
"""Radius of a particle disc over the distance of neighbours. Discs overlap a little."""
_GREY = 0.6
"""Colour of particles without colours."""
_SMALLEST = 1e-30
"""Smallest length [m], for bodies of one point."""


@dataclass(frozen=True)
class _Frame:
    """Arrays of a frame, encoded as far as possible without the range of all frames."""

    time: float
    x: Array
    means: Array
    roots: Array
    rgba: Array
    normals: Array
    tints: Array


def write_html(
    path: PathLike,
    moments: Iterable[Moment],
    *,
    up: str = "z",
    fps: float | None = None,
    title: str = "DiffMPM",
) -> Path:
    """Write a page that plays the frames as depth-sorted Gaussians or as particles, with a free camera.

    A frame takes 18 bytes per Gaussian and 6 bytes per particle, or 9 if particle colours change: the mean in 14 bits
    per axis, the symmetric root S of the covariance S S (continuous over time, unlike axes and quaternions), colour and
    opacity in 8 bits per channel, and the normal in 16 bits. Each frame is stored as its difference from the one
    before, byte plane by byte plane, and deflated.

    Args:
        path: File.
        moments: Frames with Gaussians, at least one, with equal numbers of particles. If they have normals, the page
            lights them like the images of this package, and their colours must be unlit. Frames with fewer Gaussians
            than others are filled with transparent ones.
        up: Axis that is up: "x", "y" or "z".
        fps: Frames per second, without holds. None: 15, with the first and the last frame held.
        title: Title of the page.

    Raises:
        ConfigError: If `up` is not an axis, there is no frame, a frame has no Gaussians, or the numbers of particles
            differ, or only some frames have normals.
    """
    up_axis = int(up_vector(up).argmax())
    frames: list[_Frame] = []
    for moment in moments:
        frames.append(_frame(moment))
        expected, counts = ((len(f.x), "normals" if len(f.normals) else "none") for f in (frames[0], frames[-1]))
        if counts != expected:
            raise ConfigError(
                f"moments: expected {expected[0]} particles and normals ({expected[1]}) in each of them, as in the "
                f"first, got {counts[0]} and {counts[1]}"
            )
    if not frames:
        raise ConfigError("moments: expected at least one frame, got none")
    most = max(len(f.means) for f in frames)
    frames = [_filled(f, most) for f in frames]
    header = {**_header(frames, up_axis), "fps": fps or FPS, "holds": HOLDS if fps is None else (0.0, 1.0 / fps)}
    data = _deflate(chain([frames[0].tints.tobytes()], _records(frames, header)))
    return write_bytes(path, _page(title, header, data).encode())


def _header(frames: Sequence[_Frame], up: int) -> dict[str, Any]:
    """Return the parameters that the page needs to decode the frames."""
    corners = [f(a, axis=0) for frame in frames for a in (frame.means, frame.x) for f in (np.min, np.max)]
    low, high = np.min(corners, axis=0).astype(np.float64), np.max(corners, axis=0).astype(np.float64)
    center = 0.5 * (low + high)
    return {
        "frames": len(frames),
        "splats": len(frames[0].means),
        "particles": len(frames[0].x),
        "lit": len(frames[0].normals) > 0,
        "tinted": any((f.tints != frames[0].tints).any() for f in frames),
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


def _frame(moment: Moment) -> _Frame:
    splats = moment.splats
    if splats is None or splats.count == 0 or len(moment.x) == 0:
        raise ConfigError("moments: expected particles and Gaussians in each of them, got none; pass x and splats")
    R = rotations(splats.quats)
    roots = np.matmul(R * splats.scales[:, None, :], R.transpose(0, 2, 1))[:, _UPPER[0], _UPPER[1]]
    rgba = to_bytes(np.concatenate([splats.colors, splats.opacities[:, None]], axis=1))
    normals = np.zeros((0, 2), np.int8) if moment.normals is None else _octahedral(moment.normals)
    tints = to_bytes(np.full(moment.x.shape, _GREY) if moment.colors is None else moment.colors)
    return _Frame(float(moment.time), np.asarray(moment.x, np.float32), splats.means, roots, rgba, normals, tints)


def _filled(frame: _Frame, count: int) -> _Frame:
    """Return the frame with transparent Gaussians at the end, `count` in total."""
    missing = count - len(frame.means)
    if missing == 0:
        return frame
    rows = np.minimum(np.arange(count), len(frame.means) - 1)
    rgba = frame.rgba[rows]
    rgba[-missing:] = 0
    normals = frame.normals[rows] if len(frame.normals) else frame.normals
    return replace(frame, means=frame.means[rows], roots=frame.roots[rows], rgba=rgba, normals=normals)


def _octahedral(normals: Array) -> Array:
    """Return unit vectors as two bytes: projected onto an octahedron whose lower half is folded over the upper one.

    References:
        Cigolle et al. 2014, A survey of efficient representations for independent unit vectors.
    """
    n = normals / np.maximum(np.abs(normals).sum(axis=1, keepdims=True), 1e-30)
    folded = (1.0 - np.abs(n[:, 1::-1])) * np.where(n[:, :2] < 0.0, -1.0, 1.0)
    return np.asarray(np.rint(127.0 * np.where(n[:, 2:] < 0.0, folded, n[:, :2])).astype(np.int8))


def _records(frames: Iterable[_Frame], header: dict[str, Any]) -> Iterator[bytes]:
    """Yield the differences between consecutive frames, one byte plane after the other.

    Transparent Gaussians stay where they were, which takes little space.
    """
    low, scale = np.array(header["low"]), STEPS / header["extent"]
    before: list[Array] | None = None
    for f in frames:
        hidden = f.rgba[:, 3:] == 0
        fractions = np.sqrt(np.abs(f.roots) / header["root"]) * np.sign(f.roots)
        now = [
            _quantise(f.means, low, scale),
            np.rint(fractions * _ROOT_STEPS).astype(np.int8).view(np.uint8),
            f.rgba.copy(),
            f.normals.view(np.uint8).copy(),
            _quantise(f.x, low, scale),
        ]
        if before is None:
            before = [np.zeros_like(a) for a in now] + ([f.tints] if header["tinted"] else [])
        for new, old in zip(now[:4], before, strict=False):
            if len(new):
                np.copyto(new, old, where=hidden)
        now[2][hidden[:, 0], 3] = 0
        now += [f.tints] if header["tinted"] else []
        for new, old in zip(now, before, strict=True):
            change = (new - old).T  # unsigned: wraps around
            yield _zigzag(change) if change.dtype == np.uint16 else np.ascontiguousarray(change).tobytes()
        before = now


def _quantise(x: Array, low: Array, scale: float) -> Array:
    return np.asarray(np.rint((x - low) * scale).astype(np.uint16))


def _zigzag(change: Array) -> bytes:
    """Return the low and the high byte of each row, with small changes of either sign mapped to small numbers."""
    signed = change.view(np.int16)
    folded = ((signed << 1) ^ (signed >> 15)).view(np.uint16)
    return np.stack([folded & 255, folded >> 8], axis=1).astype(np.uint8).tobytes()


def _deflate(parts: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def _spacing(x: Array) -> float:
    """Return the median distance between nearest neighbours."""
    if len(x) < 2:
        return 1.0
    return float(np.median(_core.PointTree(np.ascontiguousarray(x, np.float64)).neighbour_distance(1)))


def _page(title: str, header: dict[str, Any], data: bytes) -> str:
    """Return the page. Inserted text is escaped so that it cannot close its element."""
    text = json.dumps(header, separators=(",", ":"), allow_nan=False)
    parts = {
        "title": title.replace("&", "&amp;").replace("<", "&lt;"),
        "style": (PAGE / "page.css").read_text("utf-8"),
        "script": "\n".join((PAGE / name).read_text("utf-8") for name in SCRIPTS),
        "header": text.replace("<", "\\u003c"),
        "frames": base64.b64encode(data).decode("ascii"),
    }
    head, *rest = (PAGE / "page.html").read_text("utf-8").split("{{")
    return head + "".join(parts[name] + after for name, _, after in (piece.partition("}}") for piece in rest))
