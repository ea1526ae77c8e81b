# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Particles inside a mesh."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .. import _core
from .._arrays import FLOATS, Array, aligned_copy, as_positive
from .._options import as_seed, choice
from ..errors import ConfigError, MeshError
from ..types import Particles
from .mesh import Mesh, cell_grid, cut_cell_deviation, triple
from .reading import MeshLike, load_mesh

METHODS: tuple[str, ...] = ("jittered", "even", "lattice")
DEFAULT_PARTICLES = 20_000
"""Default particle count, without count and spacing."""

_MOST_CELLS = 1 << 30
"""Maximum number of cells of a sampling grid, at one byte per cell; more indicates a mistyped spacing."""
_TRIALS = 24
"""Maximum number of spacings tried for a particle count; two or three are usual."""
_APART = 8.0
"""Minimum particle spacing in units of coordinate rounding."""
_SURPLUS = 0.02
"""Fraction of surplus points that may be removed without another trial."""


def sample(
    mesh: MeshLike,
    *,
    particles: int | None = None,
    spacing: float | None = None,
    method: Literal["jittered", "even", "lattice"] = "jittered",
    seed: int = 0,
    density: float = 75.0,
    lam: float = 38888.89,
    mu: float = 58333.3,
    colors: bool = True,
    dtype: npt.DTypeLike = np.float32,
) -> Particles:
    """Fill a mesh with particles at rest.

    A point is inside if its generalised winding number is above 1/2. Each particle has the rest volume
    `Mesh.volume` / N and the mass density * rest volume. The rest volumes therefore add up to the volume of the solid
    for every N, and a body fitted to its target (`fit`) has the volume of the target.

    Args:
        mesh: Path, name of a built-in shape, arrays (vertices, triangles) or `Mesh`; see `load_mesh`.
        particles: Exact number N of particles. The spacing is chosen for slightly more points, and the surplus (at
            most about 2 %) is removed evenly.
        spacing: Cell size [m], instead of a count. Without either, 20,000 particles.
        method: "jittered": one uniformly random point per cubic cell of a grid (stratified).
            "even": those points, moved until their density is even up to the surface. A surface fitted to them
            deviates by a third as much.
            "lattice": a regular lattice that starts at the lower corner of the bounding box, as in the older loader
            with spacing = dx / points_per_cell_cuberoot.
        seed: Seed of jitter and thinning, at least 0; results do not depend on the machine or thread count.
        density: Mass density [kg/m^3].
        lam: First Lame parameter [Pa].
        mu: Shear modulus [Pa].
        colors: Whether the particles have the colours of the nearest surface points, if the mesh has colours.
        dtype: float32 or float64.

    Returns:
        Particles at rest (v = C = 0, F = I), in cell order.

    Raises:
        ConfigError: If an argument is invalid.
        MeshError: If the mesh cannot be loaded or encloses no volume.
    """
    choice(method, "method", METHODS)
    if particles is not None and spacing is not None:
        raise ConfigError("particles: expected either a count or a spacing, got both; leave one out")
    count = DEFAULT_PARTICLES if particles is None else _count(particles)
    width = None if spacing is None else as_positive(spacing, "spacing")
    seed = as_seed(seed)
    rho = as_positive(density, "density")
    dtype = _float_dtype(dtype)
    body = load_mesh(mesh)
    if width is None:
        points = _sample_count(body, count, method, seed)
    else:
        points = _points(body, width, method, seed)
        if len(points) == 0:
            raise MeshError(
                f"{body.name}: expected particles at spacing {width:g}, got none inside; the mesh has volume "
                f"{body.volume:g}, choose a spacing below {body.volume ** (1 / 3):g}"
            )
    rest = body.volume / len(points)
    if method == "even":
        points = np.asarray(_core.even_out(body.vertices, body.triangles, points, rest ** (1.0 / 3.0)))
    _check_precision(body, points, rest, rho * rest, dtype)
    color = aligned_copy(body.colors_at(points), dtype) if colors and body.is_colored else None
    return Particles.create(aligned_copy(points, dtype), mass=rho * rest, volume=rest, lam=lam, mu=mu, color=color)


def _check_precision(mesh: Mesh, points: Array, volume: float, mass: float, dtype: np.dtype[Any]) -> None:
    """Reject a mesh whose particle volumes, masses or positions a dtype cannot resolve."""
    info = np.finfo(dtype)
    if not (info.tiny <= min(volume, mass) and max(volume, mass) <= info.max):
        raise MeshError(
            f"{mesh.name}: expected particles that {dtype} can represent, got volumes of {volume:g} and masses of "
            f"{mass:g}; scale the mesh or pass dtype=numpy.float64"
        )
    spacing, farthest = volume ** (1.0 / 3.0), float(np.abs(points).max())
    if spacing < _APART * info.eps * farthest:
        raise MeshError(
            f"{mesh.name}: expected positions that {dtype} can resolve, got a spacing of {spacing:g} at a distance of "
            f"{farthest:g} from the origin; move the mesh to the origin or pass dtype=numpy.float64"
        )


def _float_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    try:
        result: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        raise ConfigError(f"dtype: expected float32 or float64, got {dtype!r}") from None
    if result not in FLOATS:
        raise ConfigError(f"dtype: expected float32 or float64, got {result}")
    return result


def _count(particles: object) -> int:
    if isinstance(particles, bool) or not isinstance(particles, int | np.integer):
        raise ConfigError(f"particles: expected an integer, got {particles!r}")
    if particles < 1 or particles >= 1 << 31:
        raise ConfigError(f"particles: expected a count from 1 to 2147483647, got {int(particles)}")
    return int(particles)


def _points(mesh: Mesh, spacing: float, method: str, seed: int) -> Array:
    """Return the interior points at a spacing, shape (M, 3), float64."""
    low, high = mesh._bounds
    cells = math.prod(float(e) / spacing + 1.0 for e in high - low)
    if cells > _MOST_CELLS:
        raise ConfigError(
            f"spacing: expected at most {_MOST_CELLS} cells in the bounding box, got {cells:.3g} at {spacing:g}; "
            "choose a larger spacing or fewer particles"
        )
    if method == "lattice":
        # The cell centres are the lattice points low + spacing * (i, j, k).
        origin = triple(low - 0.5 * spacing)
        dims = triple((np.ceil((high - low) / spacing) + 1.0).astype(int))
    else:
        origin, dims = cell_grid(mesh, spacing)
    jitter = float(method != "lattice")
    return np.asarray(_core.sample_cells(mesh.vertices, mesh.triangles, origin, spacing, dims, jitter, seed)[0])


def _sample_count(mesh: Mesh, count: int, method: str, seed: int) -> Array:
    """Return exactly `count` points: sample slightly more and thin them evenly."""
    scatter = cut_cell_deviation(mesh, (mesh.volume / count) ** (1.0 / 3.0))
    volume_error = 0.0 if mesh.is_closed else 2e-3 * count
    target = count + min(2.0 * scatter + volume_error, 0.5 * _SURPLUS * count) + 0.5
    spacing = (mesh.volume / target) ** (1.0 / 3.0)
    best: Array | None = None
    for _ in range(_TRIALS):
        points = _points(mesh, spacing, method, seed)
        if len(points) >= count and (best is None or len(points) < len(best)):
            best = points
        if best is not None and len(best) <= count * (1.0 + _SURPLUS) + 8:
            break
        # The count scales with spacing^-3. That of a lattice jumps: without progress, change the spacing by 0.1 %.
        ratio = (max(len(points), 0.3 * target) / target) ** (1.0 / 3.0)
        spacing *= ratio if abs(ratio - 1.0) > 1e-3 else (0.999 if len(points) < count else 1.001)
    if best is None:
        raise MeshError(
            f"{mesh.name}: expected room for {count} particles, got too few inside at every spacing tried; "
            "the mesh is too thin, use more particles or give it thickness"
        )
    if len(best) == count:
        return best
    keep = _core.thin_evenly(np.ascontiguousarray(best), count, seed)
    return np.ascontiguousarray(best[keep.astype(bool)])
