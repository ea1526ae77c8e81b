# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Morphs as files of other programs: Gaussians, meshes and particles of each frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array
from .._placement import Placement, Similarity, Triple, origin_of, turn, up_vector
from ..errors import ConfigError
from ..export import Moment, export_moments, format_of
from ..export.formats import check_options, file_up
from ..surface import mesh
from .body import bodies
from .config import RenderConfig
from .render import body_colors, every_frame, film_cameras

Wrap = Callable[[Iterable[Moment]], Iterable[Moment]]


def export_frames(
    result: Any,
    out: str | os.PathLike[str],
    format: str = "ply",
    *,
    config: RenderConfig | None = None,
    frames: Sequence[Any] | None = None,
    lit: bool = True,
    up: str | None = None,
    keep_transform: bool = False,
    sh_degree: int = 0,
    wrap: Wrap | None = None,
    force: bool = False,
) -> Path:
    """Write the frames of a morph into the folder `out/FORMAT`.

    Args:
        result: A `MorphResult`.
        out: Folder, made if needed.
        format: Name from `diffmpm.export.FORMATS`.
        config: Options of surface and colours; the defaults if None. Its `up` is that of the result, not of the files.
        frames: Frames to write; those of the result that `config.every` takes if None.
        lit: Whether the colours of Gaussians hold the light of a picture, without highlights, as viewers of Gaussians
            have no lights of their own.
        up: Axis that is up in the files; None: that of the mesh they are in the coordinates of, y in glTF.
        keep_transform: Whether files are in the coordinates of the source's file, where the fit took the source from;
            they are in those of the target's file otherwise.
        sh_degree: Degree of the spherical harmonics in "ply", 0 to 3; those above 0 are zeros.
        wrap: Called with the sequence of frames and returns it, as a progress bar does.
        force: Whether files that this program did not write may be replaced, too.

    Returns:
        The folder `out/FORMAT`, written whole or not at all.

    Raises:
        ConfigError: If a value does not fit, or the format is unknown.
        MissingPackageError: If the format needs a package that is not installed.
        OutputError: If it cannot be written, or the folder holds something else than an earlier export.
    """
    options = (config or RenderConfig()).upright(result)
    kind = format_of(format)
    if not lit:
        check_options(format, ["unlit"])
    shown = list(frames) if frames is not None else every_frame(result.frames, options.every)
    if not shown:
        raise ConfigError("frames: expected at least one frame, got none")
    moments: Iterable[Moment]
    moments = _meshes(shown) if kind.needs == "mesh" else _gaussians(result, shown, options, lit, kind.lights)
    placement = replace(getattr(result, "placement", Placement()), up=options.axis)
    to, origin, up = _files(placement, shown[0].x, format, up, keep_transform)
    placed = (replace(moment.moved(to), origin=origin) for moment in moments)
    shown_moments = placed if wrap is None else wrap(placed)
    return export_moments(shown_moments, out, format, up=up, sh_degree=sh_degree, force=force)


def _files(
    placement: Placement, x: Array, format: str, up: str | None, keep_transform: bool
) -> tuple[Similarity, Triple, str]:
    """Return the map from a result's positions to those of the files, what these are relative to, and their up."""
    own = placement.source_up if keep_transform else placement.up
    to = placement.fit.inverse() if keep_transform else Similarity()
    axis = file_up(format, own, up)
    to = turn(own, axis).after(to)
    middle = to(np.array(placement.origin) + 0.5 * (x.min(axis=0) + x.max(axis=0)))
    origin = origin_of(middle, to.scale * float(np.ptp(x, axis=0).max()))
    a, b, c = (p - o for p, o in zip(to(placement.origin), origin, strict=True))
    return replace(to, shift=(a, b, c)), origin, axis


def _meshes(frames: Sequence[Any]) -> Iterator[Moment]:
    for frame in frames:
        found = mesh(frame.x)
        yield Moment(frame.time, frame.x, frame.F, frame.G, mesh=(found.vertices, found.triangles, found.normals))


def _gaussians(result: Any, frames: Sequence[Any], config: RenderConfig, lit: bool, later: bool) -> Iterator[Moment]:
    """Yield the surfaces, lit here unless that is done later, by the normals."""
    up = up_vector(config.axis)
    camera = film_cameras([frame.x for frame in frames[:1]], config)[0]
    paint = body_colors(result.source_x, config)
    surfaces = bodies(((frame.x, frame.G) for frame in frames), paint, config)
    for frame, body in zip(frames, surfaces, strict=True):
        splats = body.lit(camera, up, config, fixed=True) if lit and not later else body.splats
        normals = body.normals if lit or not later else None
        colors = np.broadcast_to(paint, frame.x.shape)
        yield Moment(frame.time, frame.x, frame.F, frame.G, splats, normals, colors=colors)
