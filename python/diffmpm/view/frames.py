# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Morphs as files of other programs: Gaussians, meshes and particles of each frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..export import Moment, export_moments, format_of
from ..surface import mesh
from .body import bodies
from .camera import up_vector
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
    wrap: Wrap | None = None,
    force: bool = False,
) -> Path:
    """Write the frames of a morph into the folder `out/FORMAT`.

    Args:
        result: A `MorphResult`.
        out: Folder, made if needed.
        format: Name from `diffmpm.export.FORMATS`.
        config: Options of surface, colours and up axis; the defaults if None.
        frames: Frames to write; those of the result that `config.every` takes if None.
        lit: Whether the colours of Gaussians hold the light of a picture, without highlights, as viewers of Gaussians
            have no lights of their own.
        wrap: Called with the sequence of frames and returns it, as a progress bar does.
        force: Whether files that this program did not write may be replaced, too.

    Returns:
        The folder `out/FORMAT`, written whole or not at all.

    Raises:
        ConfigError: If a value does not fit, or the format is unknown.
        MissingPackageError: If the format needs a package that is not installed.
        OutputError: If it cannot be written, or the folder holds something else than an earlier export.
    """
    options = config or RenderConfig()
    kind = format_of(format)
    shown = list(frames) if frames is not None else every_frame(result.frames, options.every)
    if not shown:
        raise ConfigError("frames: expected at least one frame, got none")
    moments: Iterable[Moment]
    moments = _meshes(shown) if kind.needs == "mesh" else _gaussians(result, shown, options, lit, kind.lights)
    return export_moments(moments if wrap is None else wrap(moments), out, format, up=options.up, force=force)


def _meshes(frames: Sequence[Any]) -> Iterator[Moment]:
    for frame in frames:
        found = mesh(frame.x)
        yield Moment(frame.time, frame.x, frame.F, frame.G, mesh=(found.vertices, found.triangles, found.normals))


def _gaussians(result: Any, frames: Sequence[Any], config: RenderConfig, lit: bool, later: bool) -> Iterator[Moment]:
    """Yield the surfaces, lit here unless that is done later, by the normals."""
    up = up_vector(config.up)
    camera = film_cameras([frame.x for frame in frames[:1]], config)[0]
    paint = body_colors(result.source_x, config)
    surfaces = bodies(((frame.x, frame.G) for frame in frames), paint, config)
    for frame, body in zip(frames, surfaces, strict=True):
        splats = body.lit(camera, up, config, fixed=True) if lit and not later else body.splats
        normals = body.normals if lit or not later else None
        colors = np.broadcast_to(paint, frame.x.shape)
        yield Moment(frame.time, frame.x, frame.F, frame.G, splats, normals, colors=colors)
