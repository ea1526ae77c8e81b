# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The Gaussians of the scenes that a morph starts from or ends on, in its frames."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array
from ..errors import ConfigError, DiffMPMWarning, MeshError
from ..export import Splats
from ..splats import bind, is_scene
from .colors import blend_weights
from .config import RenderConfig
from .timeline import Pose, Track

_LEAST = 1.0 / 255.0
"""Gaussians with a smaller opacity are left out of a frame, or transparent in it."""


class CarriedScenes:
    """Carries the Gaussians of the scenes among the shapes of a morph.

    In the motion between two shapes, those of its target are carried back from where they are in its last frame. If
    both shapes are scenes, the first frame has the Gaussians of the source and the last one those of the target; in
    between their opacities change as material arrives. If one of them is a mesh, the Gaussians of the other are there
    all the time.

    Args:
        result: A `MorphResult` with all its frames.
        config: Options, of which `appearance` and `appearance_width` are used.
        most: For files that hold all frames: at most this many Gaussians per scene, without harmonics, and the same
            ones in all frames of a motion, transparent ones included. None: all that are visible in a frame.

    """

    def __init__(self, result: Any, config: RenderConfig, *, most: int | None = None) -> None:
        self._track = Track(result)
        frames, count = self._track.frames, len(self._track.legs)
        shapes: list[Any] = ["source", *range(1, count), "target"]
        scenes = [result.scene(shape) for shape in shapes]
        if most is not None:
            scenes = [None if scene is None else _fewer(scene, most) for scene in scenes]
        self._drops = most is None
        look = config.appearance or "arrival"
        self._motions = []
        for number, leg in enumerate(self._track.legs):
            source, target = scenes[number], scenes[number + 1]
            if source is not None and target is not None and look in ("source", "target"):  # of one side alone
                source, target = (source, None) if look == "source" else (None, target)
            weights = None
            if source is not None and target is not None:
                paths = [frame.x for frame in frames[leg.first : leg.last + 1]]
                weights = blend_weights(paths, look, config.appearance_width)
            self._motions.append(
                _Motion(
                    None if source is None else _End(source, frames[leg.first].x),
                    None if target is None else _End(target, frames[leg.last].x),
                    weights,
                )
            )

    def __call__(self, frame: Any) -> Splats:
        """Return the Gaussians in one of the frames of the result, or in a pose."""
        if not isinstance(frame, Pose):
            frame = Pose(self._track, float(self._track.number(frame)), frame.time)
        number = self._track.leg_at(frame.place)
        motion = self._motions[number]
        weights = None
        if motion.weights is not None:
            first = self._track.legs[number].first
            weights = self._track.blend(motion.weights, frame.place, first).astype(np.float32) / 255.0
        parts = []
        if motion.source is not None:
            parts.append(self._faded(motion.source, frame.x, None if weights is None else 1.0 - weights))
        if motion.target is not None:
            parts.append(self._faded(motion.target, frame.x, weights))
        return parts[0] if len(parts) == 1 else _joined(*parts)

    def _faded(self, end: _End, x: Array, weights: Array | None) -> Splats:
        """Return carried Gaussians with opacities times the weights of the particles that carry them, if any."""
        splats = end.carried(x)
        if weights is None:
            return splats
        opacities = (splats.opacities * weights[end.parents].mean(axis=1)).astype(np.float32)
        visible = opacities >= _LEAST
        if self._drops:
            return replace(splats, opacities=opacities)[visible]
        return replace(splats, opacities=np.where(visible, opacities, np.float32(0.0)))


class _End:
    """The scene at one end of a motion, bound to the particles there.

    Its Gaussians follow gradients fitted to the motion of the particles. Those of the simulation, products over all
    time steps, drift away from that motion and would turn flat Gaussians out of the surface.
    """

    def __init__(self, splats: Splats, x: Array) -> None:
        self._binding = bind(splats, x)
        self._rest = np.ascontiguousarray(x, np.float64)
        self._tree = _core.PointTree(self._rest)
        self.parents = self._binding.binding.parents

    def carried(self, x: Array) -> Splats:
        """Return the Gaussians when the particles are at x, shape (N, 3)."""
        after = np.ascontiguousarray(x, np.float64)
        _, gradients = _core.displacements(self._tree, self._rest, after, self._rest)
        return self._binding.evaluate(x, (gradients + np.eye(3)).astype(x.dtype))


@dataclass(frozen=True, eq=False)
class _Motion:
    """The scenes at both ends of the motion between two shapes."""

    source: _End | None
    target: _End | None
    weights: Array | None
    """As of `blend_weights`, if both ends are scenes."""


def carried_scenes(result: Any, config: RenderConfig, *, most: int | None = None) -> CarriedScenes | None:
    """Return the scenes of a morph, None if a motion has none or the colours are those of the configuration.

    `most` is that of `CarriedScenes`.

    Raises:
        ConfigError: If a scene has changed since the morph.
        MeshError: If a scene cannot be read.
    """
    run = getattr(result, "run", None)
    if run is None or config.color != "auto" or not all(is_scene(a) or is_scene(b) for a, b in pairwise(run.shapes)):
        return None
    return CarriedScenes(result, config, most=most)


def drawn_scenes(result: Any, config: RenderConfig) -> CarriedScenes | None:
    """Return the same, but None after a warning instead of an error."""
    try:
        return carried_scenes(result, config)
    except (ConfigError, MeshError) as error:
        warnings.warn(f"{error}; the surface of the particles is drawn instead", stacklevel=2)
        return None


def _fewer(scene: Splats, most: int) -> Splats:
    """Return at most `most` random Gaussians of a scene, enlarged to cover the same area, without harmonics."""
    scene = replace(scene, sh_rest=None)
    if scene.count <= most:
        return scene
    warnings.warn(
        f"samples: expected at least {scene.count} to show all Gaussians of a scene, got {most}; the page shows {most} "
        "of them, enlarged",
        DiffMPMWarning,
        stacklevel=2,
    )
    rows = np.sort(np.random.default_rng(0).permutation(scene.count)[:most])
    chosen = scene[rows]
    return replace(chosen, scales=chosen.scales * np.float32((scene.count / most) ** 0.5))


def _joined(a: Splats, b: Splats) -> Splats:
    """Return all Gaussians of two scenes, with harmonics of the higher degree."""
    degree = max(a.sh_degree, b.sh_degree)
    arrays = {name: np.concatenate([getattr(s, name) for s in (a, b)]) for name in ("means", "scales", "quats")}
    rest = None
    if degree:
        bands = (degree + 1) ** 2 - 1
        rest = np.zeros((a.count + b.count, bands, 3), np.float32)
        for scene, first in ((a, 0), (b, a.count)):
            if scene.sh_rest is not None:
                rest[first : first + scene.count, : scene.sh_rest.shape[1]] = scene.sh_rest
    colors, opacities = np.concatenate([a.colors, b.colors]), np.concatenate([a.opacities, b.opacities])
    return Splats(**arrays, colors=colors, opacities=opacities, sh_rest=rest)
