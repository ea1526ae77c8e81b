# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Particles inside a mesh."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arrays import Array, aligned_copy, as_positive
from .._options import as_seed, choice
from ..errors import ConfigError, MeshError
from ..types import Particles
from .mesh import Mesh, cell_grid
from .reading import MeshLike, load_mesh

METHODS: tuple[str, ...] = ("jittered", "lattice")
DEFAULT_PARTICLES = 20_000
"""Particle count where neither a count nor a spacing is asked for."""

_MOST_CELLS = 1 << 30
"""Cells of a sampling grid, one byte each; more is taken for a mistake in the spacing."""
_TRIALS = 24
"""Spacings tried to meet a particle count; two or three are usual."""
_APART = 8.0
"""Least spacing of particles, in roundings of their coordinates: below it their places are noise."""
_SURPLUS = 0.02
"""Share of points above the asked count that may be thinned out without another trial."""


def sample(
    mesh: MeshLike,
    *,
    particles: int | None = None,
    spacing: float | None = None,
    method: Literal["jittered", "lattice"] = "jittered",
    seed: int = 0,
    density: float = 75.0,
    lam: float = 38888.89,
    mu: float = 58333.3,
    dtype: npt.DTypeLike = np.float32,
) -> Particles:
    """Fill a mesh with particles at rest.

    Inside is where the generalised winding number is above 1/2. The particles share the solid equally:
    rest volume of each = `Mesh.volume` / N, mass = density * rest volume. So the rest volumes add up to the volume
    of the solid, whatever N is, and a body fitted to its target (`fit`) has exactly the target's volume.

    Args:
        mesh: Path, name of a built-in shape, arrays (vertices, triangles) or `Mesh`; see `load_mesh`.
        particles: Number N of particles, met exactly. The spacing is chosen so that slightly more points fall
            inside, and the surplus (at most about 2 %) is taken out evenly.
        spacing: Distance [m] of the cells instead of a count. Default, without either: 20,000 particles.
        method: "jittered": one uniformly random point in each cubic cell of a grid (stratified).
            "lattice": a regular lattice whose first point is the lowest corner of the bounding box, as the older
            loader does with spacing = dx / points_per_cell_cuberoot.
        seed: Seed of the jitter and of the thinning, at least 0; the same seed gives the same particles on any machine
            and for any thread count.
        density: Mass density [kg/m^3].
        lam: First Lame parameter [Pa].
        mu: Shear modulus [Pa].
        dtype: float32 or float64.

    Returns:
        Particles at rest (v = C = 0, F = I), in the order of the cells.

    Raises:
        ConfigError: If an argument does not fit.
        MeshError: If the mesh cannot be loaded or encloses no volume.
    """
    choice(method, "method", METHODS)
    if particles is not None and spacing is not None:
        raise ConfigError("particles: expected either a count or a spacing, got both; leave one out")
    number = None if particles is None else _count(particles)
    width = None if spacing is None else as_positive(spacing, "spacing")
    start = as_seed(seed)
    rho = as_positive(density, "density")
    kind = _float_kind(dtype)
    body = load_mesh(mesh)
    if width is None:
        points = _sample_count(body, number or DEFAULT_PARTICLES, method, start)
    else:
        points = _points(body, width, method, start)
        if len(points) == 0:
            raise MeshError(
                f"{body.name}: expected particles at spacing {width:g}, got none inside; the mesh has volume "
                f"{body.volume:g}, choose a spacing below {body.volume ** (1 / 3):g}"
            )
    rest = body.volume / len(points)
    _check_precision(body, points, rest, rho * rest, kind)
    x = aligned_copy(points, kind)
    return Particles.create(x, mass=rho * rest, volume=rest, lam=lam, mu=mu)


def _check_precision(mesh: Mesh, points: Array, volume: float, mass: float, kind: np.dtype[Any]) -> None:
    """Refuse a mesh whose particles the precision cannot hold, or cannot tell apart."""
    info = np.finfo(kind)
    if not (info.tiny <= min(volume, mass) and max(volume, mass) <= info.max):
        raise MeshError(
            f"{mesh.name}: expected particles that {kind} holds, got volumes of {volume:g} and masses of {mass:g}; "
            "scale the mesh or pass dtype=numpy.float64"
        )
    spacing, farthest = volume ** (1.0 / 3.0), float(np.abs(points).max())
    if spacing < _APART * info.eps * farthest:
        raise MeshError(
            f"{mesh.name}: expected particles that {kind} tells apart, got a spacing of {spacing:g} at a distance of "
            f"{farthest:g} from the origin; move the mesh there or pass dtype=numpy.float64"
        )


def _float_kind(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        kind: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise ConfigError(f"dtype: expected float32 or float64, got {dtype!r}") from None
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ConfigError(f"dtype: expected float32 or float64, got {kind}")
    return kind


def _count(particles: object) -> int:
    if isinstance(particles, bool) or not isinstance(particles, int | np.integer):
        raise ConfigError(f"particles: expected an integer, got {particles!r}")
    if particles < 1 or particles >= 1 << 31:
        raise ConfigError(f"particles: expected a count from 1 to 2147483647, got {int(particles)}")
    return int(particles)


def _points(mesh: Mesh, spacing: float, method: str, seed: int) -> Array:
    """Return the points inside at one spacing, shape (M, 3), float64."""
    low, high = mesh._bounds
    cells = math.prod(float(e) / spacing + 1.0 for e in high - low)
    if cells > _MOST_CELLS:
        raise ConfigError(
            f"spacing: expected at most {_MOST_CELLS} cells in the bounding box, got {cells:.3g} at {spacing:g}; "
            "choose a larger spacing or fewer particles"
        )
    if method == "lattice":
        # Cell centres on the lattice: low + spacing * (i, j, k).
        corner = low - 0.5 * spacing
        origin = (float(corner[0]), float(corner[1]), float(corner[2]))
        counts = np.ceil((high - low) / spacing) + 1.0
        dims = (int(counts[0]), int(counts[1]), int(counts[2]))
        jitter = 0.0
    else:
        origin, dims = cell_grid(mesh, spacing)
        jitter = 1.0
    points: Array = _core.sample_cells(mesh.vertices, mesh.triangles, origin, spacing, dims, jitter, seed)[0]
    return points


def _sample_count(mesh: Mesh, count: int, method: str, seed: int) -> Array:
    """Return exactly `count` points: a spacing that gives slightly more, thinned evenly."""
    spacing = (mesh.volume / count) ** (1.0 / 3.0)
    # How far the number inside strays: cut cells are in or out by chance (see `measure`).
    scatter = math.sqrt(1.5 * mesh.area / spacing**2 / 6.0)
    unsure = 0.0 if mesh.is_closed else 2e-3 * count  # the error of the volume
    wanted = count + min(2.0 * scatter + unsure, 0.5 * _SURPLUS * count) + 0.5
    spacing = (mesh.volume / wanted) ** (1.0 / 3.0)
    best: Array | None = None
    for _ in range(_TRIALS):
        points = _points(mesh, spacing, method, seed)
        if len(points) >= count and (best is None or len(points) < len(best)):
            best = points
        if best is not None and len(best) <= count * (1.0 + _SURPLUS) + 8:
            break
        # The count goes with spacing^-3; a lattice moves in jumps, so each trial also shrinks a little.
        ratio = (max(len(points), 0.3 * wanted) / wanted) ** (1.0 / 3.0)
        spacing *= ratio if abs(ratio - 1.0) > 1e-3 else (0.999 if len(points) < count else 1.001)
    if best is None:
        raise MeshError(
            f"{mesh.name}: expected room for {count} particles, got too few inside at every spacing tried; "
            "the mesh is too thin, ask for more particles or give it thickness"
        )
    if len(best) == count:
        return best
    keep = _core.thin_evenly(np.ascontiguousarray(best), count, seed)
    return np.ascontiguousarray(best[keep.astype(bool)])
