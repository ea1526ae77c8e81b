# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The morph in canonical units: both samples, the grid, and the way back to the target's units."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core, losses
from .._arrays import Array, to_host
from .._placement import Placement, Similarity, origin_of, turn
from ..config import SimConfig
from ..errors import ConfigError
from ..geometry import Mesh, MeshLike, load_mesh, sample
from ..geometry.matching import scale_and_offset
from ..mpm import grid_mass
from ..mpm.grid import check_memory
from ..types import Particles
from .clock import Clock
from .config import CANONICAL_RADIUS, MorphConfig

MARGIN_CELLS = 12
"""Empty cells around body and target; memory follows the particles, so a wide margin costs nothing."""

BYTES_A_NODE = 64
"""Of the masses and the distances to the target, while these are computed."""

FULL_CELL_PARTICLES = 40_000
"""Particle count up to which the cell size does not depend on the count."""

JUDGE = 1000
"""Number of the target sample that a result is judged against: no loss and no image has seen it."""


@dataclass(frozen=True)
class Problem:
    """Everything that stays constant during a morph, in canonical units."""

    body: Particles
    """Body at rest in the source shape."""
    target: Array
    """Target sample, shape (N, 3)."""
    sim: SimConfig
    """Grid, time step, material."""
    scale: float
    """Canonical length of one unit of the target mesh."""
    center: Array
    """Point of the target mesh that is the canonical origin, shape (3,), float64."""
    spacing: float
    """Spacing of the particles, cube root of volume per particle."""
    placement: Placement
    """Where the result is and how the source came there."""
    source_name: str
    """Name of the source."""
    target_name: str
    """Name of the target."""
    resample: Callable[[int], Array]
    """Returns another target sample for a number from 1 on, independent of `target`, which is number 0."""

    def to_world(self, x: Array) -> Array:
        """Return canonical positions in the units of the target mesh, float32, relative to `placement.origin`."""
        cx, cy, cz = (float(c) - o for c, o in zip(self.center, self.placement.origin, strict=True))
        placed: Array = _core.place(np.ascontiguousarray(to_host(x)), self.scale, (cx, cy, cz))
        return placed

    def loss(self, config: MorphConfig) -> losses.Loss:
        """Return the objective of a window."""
        target = grid_mass(self.target, self.body.mass, self.sim)
        kind = losses.LogMass if config.loss == "log_mass" else losses.SquaredMass
        m_ref, full = config.m_ref * self.sim.dx**3, config.density * self.sim.dx**3
        total: losses.Loss = kind(target, m_ref=m_ref, outside_weight=config.outside_weight)
        if config.density_weight > 0.0:
            total = total + losses.SquaredMass(
                target, weight=config.density_weight / full**2, outside_weight=config.outside_weight
            )
        if config.fine_weight > 0.0:
            ratio = config.fine_ratio
            options: dict[str, Any] = {"ratio": ratio, "m_ref": m_ref / ratio**3, "weight": config.fine_weight}
            total = total + losses.FineMass(self.target, self.body.mass, self.sim, **options)
        if config.distance_weight > 0.0:
            total = total + losses.OutsideMass(target, full=full, weight=config.distance_weight)
        if config.kinetic_weight > 0.0:
            total = total + losses.Kinetic(weight=config.kinetic_weight)
        return total

    def fingerprint(self) -> str:
        """Return a digest of body, target and grid: equal digests, equal problems."""
        digest = hashlib.sha256()
        for array in (self.body.x, self.body.mass, self.body.volume, self.target):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(repr((self.sim.dx, self.sim.dt, self.sim.origin, self.sim.dims)).encode())
        return digest.hexdigest()


def make_problem(source: MeshLike, target: MeshLike, config: MorphConfig, clock: Clock | None = None) -> Problem:
    """Load, fit and sample both shapes and lay the grid around them.

    Args:
        source: Path, built-in shape name, `Mesh`, or (vertices, triangles).
        target: The same for the shape to reach.
        config: Configuration of the morph.
        clock: Gets the time of reading and sampling.

    Raises:
        MeshError: If a mesh cannot be read or has no volume.
        ConfigError: If a value does not fit.
    """
    clock = clock or Clock()
    with clock.measure("reading"):
        goal = load_mesh(target)
        start = load_mesh(source)
        placement = _upright(start, goal, config)
        if config.fit:
            start, placement = _fitted(start, goal, placement)
    with clock.measure("sampling"):
        return _sampled(start, goal, config, placement)


def _upright(start: Mesh, goal: Mesh, config: MorphConfig) -> Placement:
    """Return what is up in both; a mesh that does not say has the up of the other one."""
    if config.up != "auto":
        return Placement(config.up, config.up)
    return Placement(goal.up or start.up or "z", start.up or goal.up or "z")


def _fitted(start: Mesh, goal: Mesh, placement: Placement) -> tuple[Mesh, Placement]:
    """Turn, scale and move the source; return it and how."""
    turned = turn(placement.source_up, placement.up)
    if placement.source_up != placement.up:
        start = replace(start, vertices=turned(start.vertices))
    scale, (x, y, z) = scale_and_offset(start, goal)
    moved = Similarity(scale, shift=(x, y, z)).after(turned)
    return start.transformed(scale, (x, y, z)), replace(placement, fit=moved)


def _sampled(start: Mesh, goal: Mesh, config: MorphConfig, placement: Placement) -> Problem:
    """Sample both shapes and lay the grid around them."""
    options: dict[str, Any] = {
        "particles": config.particles,
        "density": config.density,
        "lam": config.lam,
        "mu": config.mu,
        "dtype": np.float64,
    }
    reached = sample(goal, seed=config.seed + 1, **options)
    volume = float(np.sum(reached.volume))  # of the solid by winding number, also where the mesh is open
    center = reached.x.mean(axis=0)
    scale = CANONICAL_RADIUS * (4.0 / 3.0 * np.pi / volume) ** (1.0 / 3.0)
    body = sample(_canonical(start, scale, center), seed=config.seed, **options)
    if config.fit:  # the sample decides what volume and centroid are, for open meshes too
        body, middle, grown = _matched(body, volume * scale**3, config)
        x, y, z = center - grown * (center + middle / scale)
        placement = replace(placement, fit=Similarity(grown, shift=(x, y, z)).after(placement.fit))
    goal_x = (reached.x - center) * scale

    def resample(number: int) -> Array:
        other = sample(goal, seed=config.seed + 1 + number, **options)
        return np.ascontiguousarray((other.x - center) * scale, dtype=config.dtype)

    extent = float(np.ptp(reached.x, axis=0).max())
    return Problem(
        placement=replace(placement, origin=origin_of(center, extent)),
        body=_typed(body, config.dtype),
        target=np.ascontiguousarray(goal_x, dtype=config.dtype),
        sim=_grid(body.x, goal_x, config),
        scale=scale,
        center=center,
        spacing=float((volume * scale**3 / config.particles) ** (1.0 / 3.0)),
        source_name=Path(start.name).stem or "source",
        target_name=Path(goal.name).stem or "target",
        resample=resample,
    )


def _canonical(mesh: Mesh, scale: float, center: Array) -> Mesh:
    return mesh.transformed(scale, [-scale * float(c) for c in center])


def _matched(body: Particles, volume: float, config: MorphConfig) -> tuple[Particles, Array, float]:
    """Move the body's centroid to the origin, scale it to the target's volume, and return centroid and factor too."""
    middle = body.x.mean(axis=0)
    grown = (volume / float(np.sum(body.volume))) ** (1.0 / 3.0)
    x = (body.x - middle) * grown
    each = volume / body.count
    return Particles.create(x, mass=config.density * each, volume=each, lam=config.lam, mu=config.mu), middle, grown


def _typed(body: Particles, dtype: str) -> Particles:
    kind = np.dtype(dtype)
    return Particles.create(
        body.x.astype(kind),
        mass=body.mass.astype(kind),
        volume=body.volume.astype(kind),
        lam=body.lam.astype(kind),
        mu=body.mu.astype(kind),
    )


def _grid(body: Array, target: Array, config: MorphConfig) -> SimConfig:
    """Choose the cell from the larger bounding box and the count, and the time step from the cell."""
    diagonal = max(float(np.linalg.norm(np.ptp(body, axis=0))), float(np.linalg.norm(np.ptp(target, axis=0))))
    if not np.isfinite(diagonal) or diagonal <= 0.0:
        raise ConfigError(f"source: expected a shape with an extent, got a bounding-box diagonal of {diagonal}")
    dx = diagonal / config.cells
    dx *= (max(config.particles, FULL_CELL_PARTICLES) / FULL_CELL_PARTICLES) ** (-1.0 / 3.0)
    low = np.minimum(body.min(axis=0), target.min(axis=0)) - MARGIN_CELLS * dx
    high = np.maximum(body.max(axis=0), target.max(axis=0)) + MARGIN_CELLS * dx
    dims = np.minimum(np.ceil((high - low) / dx), 1e9).astype(int) + 1
    check_memory((int(dims[0]), int(dims[1]), int(dims[2])), BYTES_A_NODE, "cells")
    return SimConfig(
        dx=dx,
        dt=config.time_step * dx,
        origin=(float(low[0]), float(low[1]), float(low[2])),
        dims=(int(dims[0]), int(dims[1]), int(dims[2])),
        basis=config.basis,
        material=config.material,
        smoothing=config.smoothing,
        volume_carried=config.volume_carried,
        drag=config.drag,
    )
