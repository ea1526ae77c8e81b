# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Export of the frames of a morph for other programs: Gaussians, meshes and particles."""

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
from ..surface import CarryReport, carry, fit_surface, mesh
from ..surface.meshing import Islands
from .body import BodyMaker
from .camera import film_cameras
from .colors import ParticleColors
from .config import RenderConfig
from .draw import every_frame
from .scenes import carried_scenes
from .timeline import Pose, Timeline, Track, evaluated

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
    sh_degree: int | None = None,
    topology: str | None = None,
    asset: Any = None,
    fps: float | None = None,
    timeline: Timeline | None = None,
    islands: Islands = "all",
    wrap: Wrap | None = None,
    subfolder: bool = True,
    force: bool = False,
) -> Path:
    """Write the frames of a morph into the folder `out/FORMAT`: all files or none.

    Files per frame have the number of the frame, or of the image of the timeline.

    Args:
        result: A `MorphResult`.
        out: Folder, made if needed.
        format: Name from `diffmpm.export.FORMATS`.
        config: Options of surface and colours. Its `up` is that of the result, not of the files.
        frames: Frames to write; those of the result that `config.every` selects if None.
        lit: Bake the lighting of an image into the colours of the Gaussians, without highlights: viewers of Gaussians
            have no lights.
        up: Axis that is up in the files; if None, that of the mesh whose coordinates they are in, and y in glTF.
        keep_transform: Write coordinates of the source's file, before it was fitted to the target, instead of those of
            the target's file.
        sh_degree: Degree of the spherical harmonics in "ply", 0 to 3; that of the Gaussians if None.
        topology: "target" or "source": write the mesh of this shape, carried through the motion, with its texture
            coordinates and materials; the report of `diffmpm.surface.carry` is written as `report.json`. None: the
            target in the "animated" formats, and in other mesh formats a mesh around the particles of each frame.
        asset: Mesh or path of that shape, if its file has moved or the morph started from arrays.
        fps: Frames per second in files with several frames; those of `timeline` if None, or 24.
        timeline: When the files show which state between these frames, one file per image. None: one per frame.
        islands: Parts of the surface in mesh formats: "all", or the "largest" by its number of triangles.
        wrap: Function that takes the sequence of frames and returns it, such as a progress bar.
        subfolder: Whether to write into `out/FORMAT`, or into `out` itself.
        force: Replace files that DiffMPM did not write.

    Returns:
        The folder of the files.

    Raises:
        ConfigError: If a value does not fit, or the format is unknown.
        MissingPackageError: If a package that the format needs is not installed.
        OutputError: If it cannot be written, or the folder holds other files than an earlier export.
    """
    options = (config or RenderConfig()).upright(result)
    target = format_of(format)
    chosen = {"unlit": not lit or None, "topology": topology, "asset": asset, "fps": fps}
    chosen["islands"] = None if islands == "all" else islands
    check_options(format, [name for name, value in chosen.items() if value is not None])
    if asset is not None and topology is None and target.needs == "mesh":
        raise ConfigError("asset: expected topology with it, got none; pass topology (--topology)")
    selected: list[Any] = list(frames) if frames is not None else every_frame(result.frames, options.every)
    if not selected:
        raise ConfigError("frames: expected at least one frame, got none")
    if timeline is not None:
        if fps is not None:
            raise ConfigError("fps: expected that of the timeline, got both; leave it out")
        selected = list(timeline.poses(result, selected))
    moments: Iterable[Moment]
    notes: dict[str, Any] = {}
    if target.needs == "asset" or topology is not None:
        side = topology or "target"
        moments, report = _carried(result, selected, side, asset)
        notes["report.json"] = {"topology": side, **report.to_dict()}
    elif target.needs == "mesh":
        moments = _meshes(result, selected, options, islands)
    elif target.needs == "particles":
        moments = _particles(result, selected, options)
    else:
        moments = _gaussians(result, selected, options, lit, target.lights)
    placement = replace(getattr(result, "placement", Placement()), up=options.axis)
    to_file, origin, up = _file_coordinates(placement, selected[0].x, format, up, keep_transform)
    known = {} if timeline is not None else {id(frame): n for n, frame in enumerate(getattr(result, "frames", ()))}
    numbers = [known.get(id(frame), n) for n, frame in enumerate(selected)]
    placed: Iterable[Moment] = (
        replace(moment.moved(to_file), origin=origin, number=n) for moment, n in zip(moments, numbers, strict=True)
    )
    placed = placed if wrap is None else wrap(placed)
    if timeline is not None and "fps" in target.takes:
        fps = timeline.fps
    files: dict[str, Any] = {"notes": notes, "subfolder": subfolder, "force": force}
    return export_moments(placed, out, format, up=up, sh_degree=sh_degree, fps=fps, **files)


def _file_coordinates(
    placement: Placement, x: Array, format: str, up: str | None, keep_transform: bool
) -> tuple[Similarity, Triple, str]:
    """Return the map from positions of a result to those of a file, the file's origin and its up axis."""
    own = placement.source_up if keep_transform else placement.up
    to_file = placement.fit.inverse() if keep_transform else Similarity()
    axis = file_up(format, own, up)
    to_file = turn(own, axis).after(to_file)
    center = to_file(np.array(placement.origin) + 0.5 * (x.min(axis=0) + x.max(axis=0)))
    origin = origin_of(center, to_file.scale * float(np.ptp(x, axis=0).max()))
    a, b, c = (p - o for p, o in zip(to_file(placement.origin), origin, strict=True))
    return replace(to_file, shift=(a, b, c)), origin, axis


def _meshes(result: Any, frames: Sequence[Any], config: RenderConfig, islands: Islands) -> Iterator[Moment]:
    """Yield the meshes, with the particle spacing of the first frame."""
    colors = ParticleColors(result, config)
    options = replace(config.surface, spacing=config.surface.spacing or fit_surface(frames[0].x).spacing)
    for frame in evaluated(frames):
        paint = np.broadcast_to(colors(frame), frame.x.shape)
        surface = mesh(frame.x, config=options, colors=paint, islands=islands)
        parts = (surface.vertices, surface.triangles, surface.normals)
        yield Moment(frame.time, frame.x, frame.F, frame.G, mesh=parts, mesh_colors=surface.colors)


def _carried(result: Any, frames: Sequence[Any], side: str, asset: Any) -> tuple[Iterable[Moment], CarryReport]:
    """Return frames with the mesh of the source or target, and the report about it."""
    shape = result.mesh(side, asset)
    track = Track(result)
    paths, rest = [frame.x for frame in track.frames], -1 if side == "target" else 0
    carried = carry(paths, shape.vertices, shape.triangles, rest=rest, loop=track.loop)

    def moments() -> Iterator[Moment]:
        for frame in evaluated(frames):
            place = frame.place if isinstance(frame, Pose) else float(track.number(frame))
            points = track.blend(carried.frames, place if isinstance(place, float) else place[carried.owners])
            parts = (points, carried.triangles, carried.normals(points))
            yield Moment(frame.time, frame.x, frame.F, frame.G, mesh=parts, appearance=shape.appearance)

    return moments(), carried.report()


def _particles(result: Any, frames: Sequence[Any], config: RenderConfig) -> Iterator[Moment]:
    colors = ParticleColors(result, config)
    for frame in evaluated(frames):
        paint = np.broadcast_to(colors(frame), frame.x.shape)
        yield Moment(frame.time, frame.x, frame.F, frame.G, colors=paint)


def _gaussians(
    result: Any, frames: Sequence[Any], config: RenderConfig, lit: bool, lit_by_viewer: bool
) -> Iterator[Moment]:
    """Yield the surfaces, lit here unless the viewer of the file lights them by their normals.

    A morph of scenes has the Gaussians of the scenes, whose colours contain their light.
    """
    up = up_vector(config.axis)
    camera = film_cameras([frame.x for frame in frames[:1]], config.replace(camera=()))[0]
    colors = ParticleColors(result, config)
    scenes = carried_scenes(result, config, most=config.samples if lit_by_viewer else None)
    if scenes is not None:
        for frame in evaluated(frames):
            paint = np.broadcast_to(colors(frame), frame.x.shape)
            yield Moment(frame.time, frame.x, frame.F, frame.G, scenes(frame), colors=paint)
        return
    make = BodyMaker(frames[0].x, colors(frames[0]), config)
    for frame in evaluated(frames):
        body = make(frame.x, colors(frame))
        splats = body.lit(camera, up, config, fixed=True) if lit and not lit_by_viewer else body.splats
        normals = body.normals if lit or not lit_by_viewer else None
        per_particle = np.broadcast_to(colors(frame), frame.x.shape)
        yield Moment(frame.time, frame.x, frame.F, frame.G, splats, normals, colors=per_particle)
