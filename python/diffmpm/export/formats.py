# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Formats for a sequence of frames: a new one is a writer and an entry of `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .._arrays import Array, as_positive
from .._placement import AXES, Triple, turn
from .._repr import short_repr
from ..errors import ConfigError
from .alembic import import_alembic, write_alembic
from .animated_glb import write_animated_glb
from .atomic import PathLike, encode_json, write_together
from .gaussians import write_gaussian_glb, write_gaussian_ply, write_splat
from .html import write_html
from .lock import lock_folder
from .manifest import own_manifest
from .mesh import write_mesh
from .moment import Moment
from .npz import write_npz
from .pc2 import write_pc2
from .sog import find_transform, transform
from .splats import Splats
from .usd import import_usd, write_usd
from .usd_mesh import write_usd_mesh
from .vtk import write_pvd, write_vtp


@dataclass(frozen=True)
class Options:
    """Options of a writer."""

    up: str = "z"
    """Axis of the moments that is up."""
    sh_degree: int | None = None
    """Degree of the spherical harmonics of Gaussians; None: that of the Gaussians."""
    speed: float | None = None
    """Frames per second, in files that hold several. None: 24, or the timing of the player."""

    @property
    def fps(self) -> float:
        """Frames per second, in files that hold several."""
        return 24.0 if self.speed is None else self.speed


Writer = Callable[[Path, Iterable[Moment], Options], object]
"""Writes frames to a path; for more than one file it extends the stem."""


@short_repr
@dataclass(frozen=True)
class Format:
    """How a sequence of frames is written."""

    text: str
    """Description."""
    suffix: str
    """Suffix of the path that the writer takes."""
    write: Writer
    """Writes the frames."""
    needs: Literal["splats", "mesh", "asset", "particles"] = "splats"
    """Representation of the body: "asset" is a mesh with the same triangles in all frames."""
    options: tuple[str, ...] = ()
    """Options that act on few formats, this one among them."""
    ups: tuple[str, ...] = AXES
    """Axes that can be up in the file. Moments with another up axis are rotated to the first."""
    lights: bool = False
    """Whether the viewer of the file lights the Gaussians by their normals; their colours are unlit then."""
    check: Callable[[], object] = lambda: None
    """Raises MissingPackageError if a package is missing."""

    @property
    def takes(self) -> tuple[str, ...]:
        """All options that act on this format but not on every other."""
        asset = ("topology", "asset")
        shared = {"splats": ("samples", "unlit"), "mesh": (*asset, "islands"), "asset": asset}
        return (*shared.get(self.needs, ()), *self.options)


def export_moments(
    moments: Iterable[Moment],
    out: PathLike,
    format: str,
    *,
    up: str = "z",
    sh_degree: int | None = None,
    fps: float | None = None,
    notes: Mapping[str, Any] | None = None,
    subfolder: bool = True,
    force: bool = False,
) -> Path:
    """Write a sequence of frames into the folder `out/FORMAT`: all files or none.

    Args:
        moments: Frames with the parts that the format needs.
        out: Folder, made if needed.
        format: Name from `FORMATS`.
        up: Axis of the moments that is up. They are turned if the format has another up axis.
        sh_degree: Degree of the spherical harmonics in "ply", 0 to 3; that of the Gaussians if None.
        fps: Frames per second, in formats with several frames per file; 24 if None. The page of "html" then plays 15
            and holds the first and the last one.
        notes: Contents of further JSON files in the folder, by name.
        subfolder: Whether to write into `out/FORMAT`, or into `out` itself.
        force: Replace files that DiffMPM did not write.

    Returns:
        The folder of the files.

    Raises:
        ConfigError: If the format is unknown, or does not use one of the options.
        MissingPackageError: If a package that the format needs is not installed.
        OutputError: If a file cannot be written, `out` is in use, `out/FORMAT` holds other files than an earlier
            export, or other files in `out` are in the way.
    """
    chosen = format_of(format)
    chosen.check()
    chosen_options = {"sh_degree": sh_degree, "fps": fps}
    check_options(format, [name for name, value in chosen_options.items() if value is not None])
    options = Options(file_up(format, up), sh_degree, None if fps is None else as_positive(fps, "fps"))
    turned = (moment.moved(turn(up, options.up)) for moment in moments)
    within, by = (f"{format}/", "export") if subfolder else ("", f"export {format}")
    with lock_folder(out) as folder:
        earlier = [name for name, entry in own_manifest(folder).files.items() if entry.by == by]
        with write_together(folder, by=by, whole=[within] if subfolder else earlier, force=force) as stage:
            (stage / within).mkdir(exist_ok=True)
            chosen.write(stage / f"{within}morph{chosen.suffix}", turned, options)
            for name, content in (notes or {}).items():
                stage.write(f"{within}{name}", encode_json(content))
    return folder / within


def format_of(name: str) -> Format:
    """Return a format by name."""
    if name not in FORMATS:
        raise ConfigError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


def check_options(format: str, names: Iterable[str]) -> None:
    """Refuse options that have no effect on a format."""
    for name in names:
        if name not in format_of(format).takes:
            able = ", ".join(other for other, candidate in FORMATS.items() if name in candidate.takes)
            raise ConfigError(f"{name}: expected a format that uses it ({able}), got {format}; leave it out")


def file_up(format: str, own: str, requested: str | None = None) -> str:
    """Return the axis that is up in files of a format: the requested one, or that of the result if possible."""
    ups = format_of(format).ups
    if requested is None:
        return own if own in ups else ups[0]
    if requested not in ups:
        raise ConfigError(
            f"up: expected {' or '.join(ups)} for {format}, got {requested!r}; leave it out, and if the body lies on "
            "its side, run the morph again with --up and --resume"
        )
    return requested


def _per_frame(write: Callable[[Path, Moment, Options], object]) -> Writer:
    """Return a writer of one file per frame."""

    def write_all(path: Path, moments: Iterable[Moment], options: Options) -> None:
        for n, moment in enumerate(moments):
            write(_numbered(path, moment, n), moment, options)

    return write_all


def _numbered(path: Path, moment: Moment, n: int) -> Path:
    return path.with_name(f"{path.stem}_{n if moment.number is None else moment.number:04d}{path.suffix}")


def _splats(moment: Moment) -> Splats:
    if moment.splats is None:
        raise ConfigError("moments: expected Gaussians in each of them, got none; pass splats")
    return moment.splats


def _ply(path: Path, moment: Moment, options: Options) -> None:
    write_gaussian_ply(path, _splats(moment), normals=moment.normals, sh_degree=options.sh_degree, origin=moment.origin)


def _sog(path: Path, moment: Moment, options: Options) -> None:
    plain = path.with_suffix(".ply")
    _ply(plain, moment, options)
    transform(plain, path)
    plain.unlink()


def _mesh(path: Path, moment: Moment, options: Options) -> None:
    if moment.mesh is None:
        raise ConfigError("moments: expected a mesh in each of them, got none; pass mesh")
    look = moment.appearance
    write_mesh(path, *moment.mesh, colors=moment.mesh_colors, appearance=look, origin=moment.origin)


def _npz(path: Path, moment: Moment, options: Options) -> None:
    particles = _stored(moment, ("x", "F", "G", "time", "origin", "normals"))
    if moment.colors is not None:
        particles["particle_colors"] = np.asarray(moment.colors, np.float32)
    splats = _splats(moment)
    write_npz(path, **particles, **_stored(splats, vars(splats)))


def _particles(path: Path, moments: Iterable[Moment], options: Options) -> None:
    rows = list(moments)
    if not rows:
        raise ConfigError("moments: expected at least one frame, got none")
    arrays = {"time": np.array([moment.time for moment in rows]), "origin": np.array(rows[0].origin)}
    arrays["x"] = np.stack([moment.x for moment in rows])
    if all(moment.F is not None for moment in rows):
        arrays["det_F"] = np.stack([np.linalg.det(moment.F) for moment in rows])  # type: ignore[arg-type]
    if all(moment.colors is not None for moment in rows):
        arrays["colors"] = np.stack([np.asarray(moment.colors, np.float32) for moment in rows])
    write_npz(path, **arrays)


def _stored(parts: object, names: Iterable[str]) -> dict[str, Array]:
    """Return the attributes that are not None."""
    values = {name: getattr(parts, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _vtk(path: Path, moments: Iterable[Moment], options: Options) -> None:
    particles, surface = path.with_suffix(".vtp"), path.with_name(f"{path.stem}_surface.vtp")
    times: list[float] = []
    names: dict[Path, list[str]] = {particles: [], surface: []}
    for n, moment in enumerate(moments):
        times.append(moment.time)
        for series, files in names.items():
            files.append(_numbered(series, moment, n).name)
        columns = _stored(moment, ("F", "G"))
        if moment.colors is not None:
            columns["colors"] = np.asarray(moment.colors, np.float32)
        write_vtp(_numbered(particles, moment, n), _world(moment.x, moment.origin), columns)
        if moment.splats is not None:
            fields = {"normals": moment.normals, "colors": moment.splats.colors, "scales": moment.splats.scales}
            write_vtp(_numbered(surface, moment, n), _world(moment.splats.means, moment.origin), fields)
    for series, files in names.items():
        write_pvd(series.with_suffix(".pvd"), files, times)


def _world(x: Array, origin: Triple) -> Array:
    """Return world positions, float64 if the origin is far away."""
    return x.astype(np.float64) + origin if any(origin) else x


def _usd(path: Path, moments: Iterable[Moment], options: Options) -> None:
    rest = iter(moments)
    first = list(islice(rest, 1))
    frames = (_splats(moment) for moment in chain(first, rest))
    origin = first[0].origin if first else (0.0, 0.0, 0.0)
    write_usd(path, frames, up=options.up, fps=options.fps, origin=origin)


FORMATS: dict[str, Format] = {
    "ply": Format(
        "Gaussians, one .ply per frame, in the layout of the INRIA viewer",
        ".ply",
        _per_frame(_ply),
        options=("sh_degree",),
    ),
    "splat": Format(
        "Gaussians, one .splat per frame, for web viewers",
        ".splat",
        _per_frame(lambda path, moment, _: write_splat(path, _splats(moment))),
    ),
    "sog": Format(
        "Gaussians, one compressed .sog per frame, for SuperSplat (program splat-transform)",
        ".sog",
        _per_frame(_sog),
        options=("sh_degree",),
        check=find_transform,
    ),
    "html": Format(
        "Gaussians and particles, one self-contained web page that plays them",
        ".html",
        lambda path, moments, options: write_html(path, moments, up=options.up, fps=options.speed),
        options=("fps",),
        lights=True,
    ),
    "glb": Format(
        "Gaussians, one glTF 2.0 file per frame, KHR_gaussian_splatting",
        ".glb",
        _per_frame(lambda path, moment, _: write_gaussian_glb(path, _splats(moment), origin=moment.origin)),
        ups=("y",),
    ),
    "vtp": Format("particles with F and G, and the surface, as VTK time series", ".pvd", _vtk),
    "usd": Format(
        "Gaussians over time, one USD file, ParticleField3DGaussianSplat (extra usd)",
        ".usdc",
        _usd,
        options=("fps",),
        ups=("y", "z"),
        check=import_usd,
    ),
    "npz": Format("particles and Gaussians, one NumPy archive per frame", ".npz", _per_frame(_npz)),
    "obj": Format("triangle mesh, one .obj per frame", ".obj", _per_frame(_mesh), "mesh"),
    "mesh-ply": Format("triangle mesh, one .ply per frame", ".ply", _per_frame(_mesh), "mesh"),
    "mesh-glb": Format("triangle mesh, one .glb per frame", ".glb", _per_frame(_mesh), "mesh", ups=("y",)),
    "animated-glb": Format(
        "the target's or source's own mesh over time, one glTF 2.0 file with morph targets",
        ".glb",
        lambda path, moments, options: write_animated_glb(path, moments, fps=options.fps),
        "asset",
        options=("fps",),
        ups=("y",),
    ),
    "animated-usd": Format(
        "the same mesh, one USD file with time samples (extra usd)",
        ".usdc",
        lambda path, moments, options: write_usd_mesh(path, moments, up=options.up, fps=options.fps),
        "asset",
        options=("fps",),
        ups=("y", "z"),
        check=import_usd,
    ),
    "animated-abc": Format(
        "the same mesh, one Alembic file (extra alembic)",
        ".abc",
        lambda path, moments, options: write_alembic(path, moments, fps=options.fps),
        "asset",
        options=("fps",),
        ups=("y",),
        check=import_alembic,
    ),
    "animated-pc2": Format(
        "the vertices of the same mesh, one PC2 point cache",
        ".pc2",
        lambda path, moments, options: write_pc2(path, moments),
        "asset",
    ),
    "particles": Format(
        "particle positions, colours and det F over time, one NumPy archive",
        ".npz",
        _particles,
        "particles",
    ),
}
"""Formats by name."""
