# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The formats that a sequence of frames can be written in: one function and one line of `FORMATS` each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from .._arrays import Array
from .._placement import AXES, Similarity, Triple, turn
from ..errors import ConfigError
from .antimatter import write_splat
from .atomic import PathLike, write_together
from .gaussian_ply import write_gaussian_ply
from .glb import write_gaussian_glb
from .html import write_html
from .lock import lock_folder
from .mesh import write_mesh
from .npz import write_npz
from .splats import Splats
from .usd import _modules as _usd_modules
from .usd import write_usd
from .vtk import write_pvd, write_vtp

NAME = "morph"
"""First part of the names of all files."""


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame on its way into a file; what the format does not need is None."""

    time: float
    """Time since the start."""
    x: Array
    """Positions of the particles, shape (N, 3)."""
    F: Array
    """Deformation gradients, shape (N, 3, 3)."""
    G: Array
    """Motion gradients, shape (N, 3, 3)."""
    splats: Splats | None = None
    """Gaussians on the surface."""
    normals: Array | None = None
    """Their unit normals, shape (M, 3)."""
    mesh: tuple[Array, Array, Array] | None = None
    """Vertices (V, 3), triangles (T, 3) and vertex normals (V, 3) of the surface."""
    colors: Array | None = None
    """Colours of the particles in [0, 1], shape (N, 3)."""
    origin: Triple = (0.0, 0.0, 0.0)
    """Point that all positions are relative to."""

    def moved(self, by: Similarity) -> Moment:
        """Return the moment in other coordinates, where its origin is the same."""
        if by == Similarity():
            return self
        R = by.matrix
        F, G = ((R @ a.astype(np.float64) @ R.T).astype(a.dtype) for a in (self.F, self.G))
        normals = None if self.normals is None else (self.normals @ R.T).astype(self.normals.dtype)
        splats = None if self.splats is None else self.splats.moved(by)
        mesh = self.mesh
        if mesh is not None:
            mesh = (by(mesh[0]).astype(mesh[0].dtype), mesh[1], (mesh[2] @ R.T).astype(mesh[2].dtype))
        x = by(self.x).astype(self.x.dtype)
        return replace(self, x=x, F=F, G=G, normals=normals, splats=splats, mesh=mesh)


@dataclass(frozen=True)
class Options:
    """What a writer is told besides the frames."""

    up: str = "z"
    """Axis of the moments that is up."""
    sh_degree: int = 0
    """Degree of the spherical harmonics of Gaussians."""


@dataclass(frozen=True)
class Format:
    """How a sequence of frames is written."""

    text: str
    """What it is, for people."""
    needs: Literal["particles", "splats", "mesh"]
    """What of a moment it reads."""
    write: Callable[[Path, Iterable[Moment], Options], None]
    """Fills an empty folder from the moments."""
    check: Callable[[], object] = lambda: None
    """Raises MissingPackageError where a package is missing."""
    lights: bool = False
    """Whether it lights Gaussians itself, by their normals: their colours are those of the material then."""
    ups: tuple[str, ...] = AXES
    """Axes that can be up in its files; where that of the moments is none of them, they are turned to the first."""
    takes: frozenset[str] = frozenset({"samples", "color", "unlit"})
    """Options that act on it, of those that do not act on all formats."""


def export_moments(
    moments: Iterable[Moment],
    out: PathLike,
    format: str,
    *,
    up: str = "z",
    sh_degree: int = 0,
    force: bool = False,
) -> Path:
    """Write a sequence of frames into the folder `out/FORMAT`, whole or not at all.

    Args:
        moments: Frames with what the format needs.
        out: Folder, made if needed.
        format: Name from `FORMATS`.
        up: Axis of the moments that is up; they are turned where the format has another one.
        sh_degree: Degree of the spherical harmonics in "ply", 0 to 3; those above 0 are zeros.
        force: Whether files that this program did not write may be replaced, too.

    Returns:
        The folder `out/FORMAT`.

    Raises:
        ConfigError: If the format is unknown, or an option does not act on it.
        MissingPackageError: If it needs a package that is not installed.
        OutputError: If a file cannot be written, somebody else writes into `out`, or the folder `out/FORMAT` holds
            something else than an earlier export.
    """
    kind = format_of(format)
    kind.check()
    check_options(format, ["sh_degree"] if sh_degree else [])
    options = Options(file_up(format, up), sh_degree)
    placed = (moment.moved(turn(up, options.up)) for moment in moments)
    with (
        lock_folder(out) as place,
        write_together(place, by="export", whole=[f"{format}/"], force=force) as stage,
    ):
        folder = stage / format
        folder.mkdir()
        kind.write(folder, placed, options)
    return place / format


def format_of(name: str) -> Format:
    """Return a format by its name.

    Raises:
        ConfigError: If it is unknown.
    """
    if name not in FORMATS:
        raise ConfigError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


def check_options(format: str, names: Iterable[str]) -> None:
    """Refuse options that do not act on a format.

    Raises:
        ConfigError: If there is one.
    """
    for name in names:
        if name not in format_of(format).takes:
            able = ", ".join(other for other, kind in FORMATS.items() if name in kind.takes)
            raise ConfigError(f"{name}: expected a format that it acts on, {able}, got {format}; leave it out")


def file_up(format: str, own: str, wanted: str | None = None) -> str:
    """Return the axis that is up in files of a format.

    Args:
        format: Name from `FORMATS`.
        own: Axis that is up in the result.
        wanted: Axis that is asked for, if any.

    Raises:
        ConfigError: If the format cannot have the axis that is asked for.
    """
    ups = format_of(format).ups
    if wanted is None:
        return own if own in ups else ups[0]
    if wanted not in ups:
        raise ConfigError(
            f"up: expected {' or '.join(ups)} for {format}, got {wanted!r}; leave it out, and if the body lies there, "
            "run its morph again with --up and --resume"
        )
    return wanted


def _each(
    suffix: str, write: Callable[[Path, Moment, Options], object]
) -> Callable[[Path, Iterable[Moment], Options], None]:
    """Return a writer of one file a frame."""

    def write_all(folder: Path, moments: Iterable[Moment], options: Options) -> None:
        for n, moment in enumerate(moments):
            write(folder / f"{NAME}_{n:04d}{suffix}", moment, options)

    return write_all


def _splats(moment: Moment) -> Splats:
    if moment.splats is None:
        raise ConfigError("moments: expected Gaussians in each of them, got none; pass splats")
    return moment.splats


def _mesh(path: Path, moment: Moment, options: Options) -> None:
    if moment.mesh is None:
        raise ConfigError("moments: expected a mesh in each of them, got none; pass mesh")
    write_mesh(path, *moment.mesh, origin=moment.origin)


def _npz(path: Path, moment: Moment, options: Options) -> None:
    s = _splats(moment)
    gaussians = {"means": s.means, "scales": s.scales, "quats": s.quats, "colors": s.colors, "opacities": s.opacities}
    particles = {"x": moment.x, "F": moment.F, "G": moment.G, "time": moment.time, "origin": moment.origin}
    write_npz(path, **particles, normals=moment.normals, **gaussians)


def _vtp(folder: Path, moments: Iterable[Moment], options: Options) -> None:
    files, times = [], []
    for n, moment in enumerate(moments):
        files.append(f"{NAME}_{n:04d}.vtp")
        times.append(moment.time)
        write_vtp(folder / files[-1], _world(moment.x, moment.origin), {"F": moment.F, "G": moment.G})
        if moment.splats is not None:
            surface = {"normals": moment.normals, "colors": moment.splats.colors, "scales": moment.splats.scales}
            means = _world(moment.splats.means, moment.origin)
            write_vtp(folder / f"{NAME}_surface_{n:04d}.vtp", means, surface)
    write_pvd(folder / f"{NAME}.pvd", files, times)
    write_pvd(folder / f"{NAME}_surface.pvd", [name.replace(NAME, f"{NAME}_surface", 1) for name in files], times)


def _world(x: Array, origin: Triple) -> Array:
    """Return positions in the world: float64 where they are relative to a point far away."""
    return x.astype(np.float64) + origin if any(origin) else x


def _html(folder: Path, moments: Iterable[Moment], options: Options) -> None:
    write_html(folder / f"{NAME}.html", moments, up=options.up)


def _usd(folder: Path, moments: Iterable[Moment], options: Options) -> None:
    rest = iter(moments)
    first = next(rest, None)
    frames = (_splats(moment) for moment in chain([] if first is None else [first], rest))
    origin = (0.0, 0.0, 0.0) if first is None else first.origin
    write_usd(folder / f"{NAME}.usdc", frames, up=options.up, origin=origin)


_GLTF = ("y",)
_NO_SPLATS: frozenset[str] = frozenset()


FORMATS: dict[str, Format] = {
    "ply": Format(
        "Gaussians, one .ply a frame, in the layout of the INRIA viewer",
        "splats",
        _each(
            ".ply",
            lambda path, m, o: write_gaussian_ply(
                path, _splats(m), normals=m.normals, sh_degree=o.sh_degree, origin=m.origin
            ),
        ),
        takes=frozenset({"samples", "color", "unlit", "sh_degree"}),
    ),
    "splat": Format(
        "Gaussians, one .splat a frame, for viewers on the web",
        "splats",
        _each(".splat", lambda path, m, o: write_splat(path, _splats(m))),
    ),
    "html": Format(
        "Gaussians and particles, one web page that plays them and needs nothing else",
        "splats",
        _html,
        lights=True,
    ),
    "glb": Format(
        "Gaussians, one glTF 2.0 file a frame, KHR_gaussian_splatting",
        "splats",
        _each(".glb", lambda path, m, o: write_gaussian_glb(path, _splats(m), origin=m.origin)),
        ups=_GLTF,
    ),
    "vtp": Format("particles with F and G, and the surface, as VTK time series", "splats", _vtp),
    "usd": Format(
        "Gaussians over time, one USD file, ParticleField3DGaussianSplat (extra usd)",
        "splats",
        _usd,
        _usd_modules,
        ups=("y", "z"),
    ),
    "npz": Format("particles and Gaussians, one NumPy archive a frame", "splats", _each(".npz", _npz)),
    "obj": Format("triangle mesh, one .obj a frame (extra mesh)", "mesh", _each(".obj", _mesh), takes=_NO_SPLATS),
    "mesh-ply": Format("triangle mesh, one .ply a frame (extra mesh)", "mesh", _each(".ply", _mesh), takes=_NO_SPLATS),
    "mesh-glb": Format(
        "triangle mesh, one .glb a frame (extra mesh)", "mesh", _each(".glb", _mesh), ups=_GLTF, takes=_NO_SPLATS
    ),
}
"""Formats by name."""
