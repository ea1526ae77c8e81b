# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The morph in canonical units: both samples, the grid, and the map to the target's units."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core, losses
from .._arrays import Array, to_host
from .._placement import Placement, Similarity, origin_of, triple, turn
from ..config import SimConfig
from ..errors import ConfigError
from ..geometry import Mesh, MeshLike, sample
from ..geometry.distance import signed_distance
from ..geometry.matching import scale_and_offset
from ..metrics import outer_points
from ..mpm import Simulation, grid_mass
from ..mpm.grid import check_memory
from ..splats import load_shape
from ..types import Particles
from .clock import Clock
from .config import CANONICAL_RADIUS, MorphConfig
from .objective import LossObjective

MARGIN_CELLS = 12
"""Empty cells around body and target. Memory depends on the particles, so that a wide margin is free."""

BYTES_PER_NODE = 64
"""Memory per grid node for the masses and the distances to the target."""

TRANSPORT_CELLS = 32
"""Cells of the grid of the transport along the longest edge of body and target."""

TRANSPORT_MARGIN = 6
"""Cells of that grid around body and target."""

FIELD_POINTS = 2
"""Target points along each axis of a cell of the fine grid of the losses."""

MOST_FIELD_CELLS = 1 << 28
"""Largest number of such points that would fill the bounding box of the target: a limit for very thin targets."""

SKIN_CELL, SKIN_MARGIN = 0.5, 4.0
"""Cell size and margin of the grid of distances to the target, in particle spacings."""

EVALUATION_SAMPLE = 1000
"""Number of the target sample for the metrics of a result, which no loss and no image uses."""


@dataclass(frozen=True)
class Problem:
    """Constants of a morph, in canonical units."""

    body: Particles
    """Body at rest in the source shape."""
    target: Array
    """Points that fill the target evenly and much more densely than the body, shape (M, 3)."""
    sims: tuple[SimConfig, ...]
    """Grid, time step and material of each level, coarse to fine."""
    scale: float
    """Canonical length of one unit of the target mesh."""
    center: Array
    """Point of the target mesh at the canonical origin, shape (3,), float64."""
    spacing: float
    """Particle spacing: cube root of the volume per particle."""
    placement: Placement
    """Coordinates of the result, and the map from the source's coordinates."""
    source_name: str
    target_name: str
    solid: Mesh
    """Target mesh."""
    resample: Callable[[int], Array]
    """Returns target sample number 0, 1, ..., with as many points as the body, shape (N, 3)."""

    def to_world(self, x: Array) -> Array:
        """Return canonical positions in the units of the target mesh, float32, relative to `placement.origin`."""
        cx, cy, cz = (float(c) - o for c, o in zip(self.center, self.placement.origin, strict=True))
        positions: Array = _core.scale_and_shift(np.ascontiguousarray(to_host(x)), self.scale, (cx, cy, cz))
        return positions

    @cached_property
    def evaluation_x(self) -> Array:
        """Target sample for the metrics of a result, as `MorphResult.target_x`."""
        return self.to_world(self.resample(EVALUATION_SAMPLE))

    @property
    def source_color(self) -> Array | None:
        """Colours of the particles in linear light, shape (N, 3), float32, or None."""
        return None if self.body.color is None else np.asarray(self.body.color, np.float32)

    @cached_property
    def evaluation_color(self) -> Array | None:
        """Colours at `evaluation_x`, as `MorphResult.target_color`."""
        return self.target_colors(self.evaluation_x)

    def target_colors(self, x: Array) -> Array | None:
        """Return the colours of the target at positions that `to_world` returns, shape (N, 3), or None without any."""
        if not self.solid.is_colored:
            return None
        return self.solid.colors_at((x.astype(np.float64) + self.placement.origin - self.center) * self.scale)

    @property
    def target_mass(self) -> Array:
        """Mass of each target point; they add up to the mass of the body, shape (M,)."""
        mass = float(np.sum(self.body.mass, dtype=np.float64)) / len(self.target)
        return np.full(len(self.target), mass, self.body.dtype)

    def loss(self, config: MorphConfig, level: int) -> losses.Loss:
        """Return the physics loss at the end of a window of a level."""
        sim, mass = self.sims[level], self.target_mass
        target = grid_mass(self.target, mass, sim)
        mass_loss = losses.LogMass if config.loss == "log_mass" else losses.SquaredMass
        m_ref, full = config.m_ref * sim.dx**3, config.density * sim.dx**3
        terms: list[losses.Loss] = [mass_loss(target, m_ref=m_ref, outside_weight=config.outside_weight)]
        if config.density_weight > 0.0:
            weight = config.density_weight / full**2
            terms.append(losses.SquaredMass(target, weight=weight, outside_weight=config.outside_weight))
        if config.fine_weight > 0.0:
            options: dict[str, Any] = {"ratio": config.fine_ratio, "m_ref": m_ref / config.fine_ratio**3}
            terms.append(losses.FineMass(self.target, mass, sim, weight=config.fine_weight, **options))
        if config.distance_weight > 0.0:
            terms.append(losses.OutsideMass(target, full=full, weight=config.distance_weight))
        # Means over the body, times its number of full cells, like the sums over nodes of the other terms.
        full_cells = self._full_cells(level)
        if config.proximity_weight > 0.0:
            sample = self.resample(0)
            outer = sample[outer_points(sample)]
            terms.append(losses.Proximity(outer, spacing=self.spacing, weight=config.proximity_weight * full_cells))
        if config.skin_weight > 0.0:
            terms.append(config.skin_weight * full_cells * self._skin)
        if config.compression_weight > 0.0:
            terms.append(losses.Compression(weight=config.compression_weight * full_cells))
        if config.kinetic_weight > 0.0:
            terms.append(losses.Kinetic(weight=config.kinetic_weight))
        return terms[0] if len(terms) == 1 else losses.Sum(terms)

    @cached_property
    def _skin(self) -> losses.Skin:
        cell, margin = SKIN_CELL * self.spacing, SKIN_MARGIN * self.spacing
        field = signed_distance(self.solid, cell, margin)
        return losses.Skin(field.values, origin=field.origin, cell=cell, spacing=self.spacing)

    def objectives(self, config: MorphConfig) -> list[LossObjective]:
        """Return the objective of each level."""
        transport = None
        if config.transport_weight > 0.0:
            grid = self._transport_grid()
            mass = grid_mass(self.target, self.target_mass, grid)
            transport = losses.Transport(mass, grid, unit=self.sims[0].dx)
        weights = [
            config.transport_weight * self._full_cells(level) * (sim.dx / self.sims[0].dx) ** 2
            for level, sim in enumerate(self.sims)
        ]
        terms = [self.loss(config, level) for level in range(len(self.sims))]
        return [
            LossObjective(loss, config.windows, transport, weight, self._sample_loss(loss, level))
            for level, (loss, weight) in enumerate(zip(terms, weights, strict=True))
        ]

    def _sample_loss(self, loss: losses.Loss, level: int) -> float:
        """Return the loss of a second target sample at rest."""
        sample = replace(self.body, x=self.resample(1))
        return float(loss.evaluate(Simulation(sample, self.sims[level]).rollout(0)).value)

    def _full_cells(self, level: int) -> float:
        """Return the volume of the body in cells of a level."""
        return float(self.body.volume.sum()) / self.sims[level].dx ** 3

    def _transport_grid(self) -> SimConfig:
        """Return the grid of the transport around body and target."""
        points = [self.body.x, self.target]
        low, high = (np.asarray(f([f(x, axis=0) for x in points], axis=0), np.float64) for f in (np.min, np.max))
        dx = float((high - low).max()) / TRANSPORT_CELLS
        x, y, z = (float(a) for a in low - TRANSPORT_MARGIN * dx)
        i, j, k = (int(np.ceil(length / dx)) + 1 + 2 * TRANSPORT_MARGIN for length in high - low)
        return self.sims[0].replace(dx=dx, origin=(x, y, z), dims=(i, j, k))

    def fingerprint(self) -> str:
        """Return a digest of body, target and grid, equal for equal problems."""
        digest = hashlib.sha256()
        for array in (self.body.x, self.body.mass, self.body.volume, self.target):
            digest.update(np.ascontiguousarray(array).tobytes())
        for sim in self.sims:
            digest.update(repr((sim.dx, sim.dt, sim.origin, sim.dims)).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Start:
    """Body at the end of a morph, from which another one starts."""

    body: Particles
    """Body in canonical units, with the colours that it has there."""
    problem: Problem
    """The morph that has ended."""

    def placed(self, scale: float, center: Array, fit: bool, placement: Placement) -> tuple[Particles, Placement]:
        """Return the body at rest in the canonical units of another target, and the placement with the new fit.

        Args:
            scale: As in `Problem`, of the new target.
            center: Likewise.
            fit: Whether the body moves to the centroid of the target and gets its volume.
            placement: Up axes.
        """
        before = self.problem
        turned = turn(placement.source_up, placement.up) if fit else Similarity()
        to_world = Similarity(before.scale, shift=triple(-before.scale * before.center)).inverse()
        to_canonical = Similarity(scale, shift=triple(-scale * center))
        if fit:
            change = turned
            placement = replace(placement, fit=to_canonical.inverse().after(turned).after(to_world.inverse()))
        else:
            change = to_canonical.after(to_world)
        R, body = change.matrix, self.body
        gradients = {
            name: np.ascontiguousarray(R @ array.astype(np.float64) @ R.T, body.dtype)
            for name, array in (("F", body.F), ("Fp", body.Fp))
            if array is not None
        }
        sizes = {name: getattr(body, name) * body.dtype.type(change.scale**3) for name in ("mass", "volume")}
        x = np.ascontiguousarray(change(body.x), body.dtype)
        color = body.color
        moved = Particles.create(x, lam=body.lam, mu=body.mu, color=color, **gradients, **sizes)
        return moved, placement


def make_problem(
    source: MeshLike | Start, target: MeshLike, config: MorphConfig, clock: Clock | None = None
) -> Problem:
    """Load, fit and sample both shapes, and choose the grid.

    Args:
        source: Path, name of a built-in shape, `Mesh`, (vertices, triangles), or the body at the end of a morph.
        target: The target shape, likewise.
        config: Configuration of the morph.
        clock: Measures "reading" and "sampling".

    Raises:
        MeshError: If a mesh cannot be read or has no volume.
        ConfigError: If a value is invalid.
    """
    clock = clock or Clock()
    with clock.measure("reading"):
        target_mesh = load_shape(target)
        shape = source if isinstance(source, Start) else load_shape(source)
        source_up = shape.problem.placement.up if isinstance(shape, Start) else shape.up
        up = target_mesh.up or source_up or "z"  # a mesh without up axis takes that of the other one
        placement = Placement(up, source_up or up) if config.up == "auto" else Placement(config.up, config.up)
        if config.fit and not isinstance(shape, Start):
            shape, placement = _fitted(shape, target_mesh, placement)
    with clock.measure("sampling"):
        return _sampled(shape, target_mesh, config, placement)


def _fitted(source: Mesh, target: Mesh, placement: Placement) -> tuple[Mesh, Placement]:
    """Turn, scale and move the source; return it and the transformation."""
    turned = turn(placement.source_up, placement.up)
    if placement.source_up != placement.up:
        source = replace(source, vertices=turned(source.vertices))
    scale, (x, y, z) = scale_and_offset(source, target)
    fit = Similarity(scale, shift=(x, y, z)).after(turned)
    return source.transformed(scale, (x, y, z)), replace(placement, fit=fit)


def _sampled(source: Mesh | Start, target: Mesh, config: MorphConfig, placement: Placement) -> Problem:
    """Sample both shapes and choose the grid."""
    options: dict[str, Any] = {
        "particles": config.particles,
        "density": config.density,
        "lam": config.lam,
        "mu": config.mu,
        "dtype": np.float64,
    }
    goal = sample(target, seed=config.seed + 1, colors=False, **options)
    volume = float(np.sum(goal.volume))  # by winding number, which also works for open meshes
    center = goal.x.mean(axis=0)
    scale = CANONICAL_RADIUS * (4.0 / 3.0 * np.pi / volume) ** (1.0 / 3.0)
    if isinstance(source, Start):
        body, placement = source.placed(scale, center, config.fit, placement)
        source_name = source.problem.target_name
    else:
        placed = source.transformed(scale, [-scale * float(c) for c in center])
        body = sample(placed, seed=config.seed, method="even", **options)
        source_name = Path(source.name).stem or "source"
        if config.fit:  # volume and centroid of the sample, which exist for open meshes, too
            body, middle, factor = _matched(body, volume * scale**3, config)
            x, y, z = center - factor * (center + middle / scale)
            placement = replace(placement, fit=Similarity(factor, shift=(x, y, z)).after(placement.fit))
    goal_x = (goal.x - center) * scale
    sizes = _cell_sizes(body.x, goal_x, volume * scale**3, config)
    cell = min(sizes) / (config.fine_ratio * FIELD_POINTS * scale)
    least = float(np.prod(np.ptp(target.vertices, axis=0)) / MOST_FIELD_CELLS) ** (1.0 / 3.0)
    dense = sample(target, spacing=max(cell, least), seed=config.seed + 1, colors=False, dtype=np.float64)
    field = np.ascontiguousarray((dense.x - center) * scale, dtype=config.dtype)

    def resample(number: int) -> Array:
        other = sample(target, seed=config.seed + 1 + number, colors=False, **options)
        return np.ascontiguousarray((other.x - center) * scale, dtype=config.dtype)

    extent = float(np.ptp(goal.x, axis=0).max())
    arrays = {name: getattr(body, name) for name in ("x", "F", "Fp", "mass", "volume", "lam", "mu", "color")}
    cast = {name: array.astype(config.dtype) for name, array in arrays.items() if array is not None}
    return Problem(
        placement=replace(placement, origin=origin_of(center, extent)),
        body=Particles.create(**cast),
        target=field,
        sims=tuple(_grid(dx, body.x, field, config) for dx in sizes),
        scale=scale,
        center=center,
        spacing=float((volume * scale**3 / config.particles) ** (1.0 / 3.0)),
        source_name=source_name,
        target_name=Path(target.name).stem or "target",
        solid=target.transformed(scale, [-scale * float(c) for c in center]),
        resample=resample,
    )


def _matched(body: Particles, volume: float, config: MorphConfig) -> tuple[Particles, Array, float]:
    """Move the body's centroid to the origin and scale it to a volume; return body, old centroid and factor."""
    middle = body.x.mean(axis=0)
    factor = (volume / float(np.sum(body.volume))) ** (1.0 / 3.0)
    x = (body.x - middle) * factor
    each = volume / body.count
    options: dict[str, Any] = {"lam": config.lam, "mu": config.mu, "color": body.color}
    return Particles.create(x, mass=config.density * each, volume=each, **options), middle, factor


def _cell_sizes(body: Array, target: Array, volume: float, config: MorphConfig) -> tuple[float, ...]:
    """Return the cell size of each level, coarse to fine."""
    diagonal = max(float(np.linalg.norm(np.ptp(body, axis=0))), float(np.linalg.norm(np.ptp(target, axis=0))))
    if not np.isfinite(diagonal) or diagonal <= 0.0:
        raise ConfigError(f"source: expected a shape with an extent, got a bounding-box diagonal of {diagonal}")
    fine = (config.cell_particles * volume / config.particles) ** (1.0 / 3.0)
    coarse = max((volume / config.coarse_cells) ** (1.0 / 3.0), fine)
    steps = round(float(np.log(coarse / fine) / np.log(config.refinement)))
    return (*(fine * (coarse / fine) ** (n / steps) for n in range(steps, 0, -1)), fine)


def _grid(dx: float, body: Array, target: Array, config: MorphConfig) -> SimConfig:
    """Choose the grid around body and target, and the time step by the cell size."""
    low = np.minimum(body.min(axis=0), target.min(axis=0)) - MARGIN_CELLS * dx
    high = np.maximum(body.max(axis=0), target.max(axis=0)) + MARGIN_CELLS * dx
    counts = np.minimum(np.ceil((high - low) / dx), 1e9).astype(int) + 1
    dims = (int(counts[0]), int(counts[1]), int(counts[2]))
    check_memory(dims, BYTES_PER_NODE, "cells")
    return SimConfig(
        dx=dx,
        dt=config.time_step * dx,
        origin=(float(low[0]), float(low[1]), float(low[2])),
        dims=dims,
        basis=config.basis,
        material=config.material,
        smoothing=config.smoothing,
        volume_carried=config.volume_carried,
        drag=config.drag,
    )
