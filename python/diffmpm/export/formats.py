# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The formats that a sequence of frames can be written in: one function and one line of `FORMATS` each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .._arrays import Array
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


@dataclass(frozen=True)
class Format:
    """How a sequence of frames is written."""

    text: str
    """What it is, for people."""
    needs: Literal["particles", "splats", "mesh"]
    """What of a moment it reads."""
    write: Callable[[Path, Iterable[Moment], str], None]
    """Fills an empty folder from the moments, of which the named axis is up."""
    check: Callable[[], object] = lambda: None
    """Raises MissingPackageError where a package is missing."""
    lights: bool = False
    """Whether it lights Gaussians itself, by their normals: their colours are those of the material then."""


def export_moments(
    moments: Iterable[Moment], out: PathLike, format: str, *, up: str = "z", force: bool = False
) -> Path:
    """Write a sequence of frames into the folder `out/FORMAT`, whole or not at all.

    Args:
        moments: Frames with what the format needs.
        out: Folder, made if needed.
        format: Name from `FORMATS`.
        up: Axis that is up, for the formats that know one.
        force: Whether files that this program did not write may be replaced, too.

    Returns:
        The folder `out/FORMAT`.

    Raises:
        ConfigError: If the format is unknown.
        MissingPackageError: If it needs a package that is not installed.
        OutputError: If a file cannot be written, somebody else writes into `out`, or the folder `out/FORMAT` holds
            something else than an earlier export.
    """
    kind = format_of(format)
    kind.check()
    with (
        lock_folder(out) as place,
        write_together(place, by="export", whole=[f"{format}/"], force=force) as stage,
    ):
        folder = stage / format
        folder.mkdir()
        kind.write(folder, moments, up)
    return place / format


def format_of(name: str) -> Format:
    """Return a format by its name.

    Raises:
        ConfigError: If it is unknown.
    """
    if name not in FORMATS:
        raise ConfigError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


def _each(suffix: str, write: Callable[[Path, Moment, str], object]) -> Callable[[Path, Iterable[Moment], str], None]:
    """Return a writer of one file a frame."""

    def write_all(folder: Path, moments: Iterable[Moment], up: str) -> None:
        for n, moment in enumerate(moments):
            write(folder / f"{NAME}_{n:04d}{suffix}", moment, up)

    return write_all


def _splats(moment: Moment) -> Splats:
    if moment.splats is None:
        raise ConfigError("moments: expected Gaussians in each of them, got none; pass splats")
    return moment.splats


def _mesh(path: Path, moment: Moment, up: str) -> None:
    if moment.mesh is None:
        raise ConfigError("moments: expected a mesh in each of them, got none; pass mesh")
    write_mesh(path, *moment.mesh)


def _npz(path: Path, moment: Moment, up: str) -> None:
    s = _splats(moment)
    gaussians = {"means": s.means, "scales": s.scales, "quats": s.quats, "colors": s.colors, "opacities": s.opacities}
    write_npz(path, x=moment.x, F=moment.F, G=moment.G, time=moment.time, normals=moment.normals, **gaussians)


def _vtp(folder: Path, moments: Iterable[Moment], up: str) -> None:
    files, times = [], []
    for n, moment in enumerate(moments):
        files.append(f"{NAME}_{n:04d}.vtp")
        times.append(moment.time)
        write_vtp(folder / files[-1], moment.x, {"F": moment.F, "G": moment.G})
        if moment.splats is not None:
            surface = {"normals": moment.normals, "colors": moment.splats.colors, "scales": moment.splats.scales}
            write_vtp(folder / f"{NAME}_surface_{n:04d}.vtp", moment.splats.means, surface)
    write_pvd(folder / f"{NAME}.pvd", files, times)
    write_pvd(folder / f"{NAME}_surface.pvd", [name.replace(NAME, f"{NAME}_surface", 1) for name in files], times)


def _html(folder: Path, moments: Iterable[Moment], up: str) -> None:
    write_html(folder / f"{NAME}.html", moments, up=up)


def _usd(folder: Path, moments: Iterable[Moment], up: str) -> None:
    write_usd(folder / f"{NAME}.usdc", (_splats(moment) for moment in moments), up=up)


FORMATS: dict[str, Format] = {
    "ply": Format(
        "Gaussians, one .ply a frame, in the layout of the INRIA viewer",
        "splats",
        _each(".ply", lambda path, m, up: write_gaussian_ply(path, _splats(m), normals=m.normals)),
    ),
    "splat": Format(
        "Gaussians, one .splat a frame, for viewers on the web",
        "splats",
        _each(".splat", lambda path, m, up: write_splat(path, _splats(m))),
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
        _each(".glb", lambda path, m, up: write_gaussian_glb(path, _splats(m), up=up)),
    ),
    "vtp": Format("particles with F and G, and the surface, as VTK time series", "splats", _vtp),
    "usd": Format(
        "Gaussians over time, one USD file, ParticleField3DGaussianSplat (extra usd)", "splats", _usd, _usd_modules
    ),
    "npz": Format("particles and Gaussians, one NumPy archive a frame", "splats", _each(".npz", _npz)),
    "obj": Format("triangle mesh, one .obj a frame (extra mesh)", "mesh", _each(".obj", _mesh)),
    "mesh-ply": Format("triangle mesh, one .ply a frame (extra mesh)", "mesh", _each(".ply", _mesh)),
    "mesh-glb": Format("triangle mesh, one .glb a frame (extra mesh)", "mesh", _each(".glb", _mesh)),
}
"""Formats by name."""
