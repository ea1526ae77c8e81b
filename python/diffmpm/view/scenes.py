# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The Gaussians of the scenes that a morph starts from or ends on, in its frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .._arrays import Array
from ..errors import ConfigError
from ..export import Splats
from ..splats import SplatBinding, bind
from .colors import blend_weights
from .config import RenderConfig

_LEAST = 1.0 / 255.0
"""Gaussians with a smaller opacity are left out of a frame."""


class CarriedScenes:
    """Carries the Gaussians of the source and the target of a morph.

    Those of the target are carried back from where they are in the last frame. If both shapes are scenes, the first
    frame has the Gaussians of the source and the last one those of the target; in between their opacities change as
    material arrives. If one of them is a mesh, the Gaussians of the other are there all the time.

    Args:
        result: A `MorphResult` with all its frames.
        config: Options, of which `appearance` and `appearance_width` are used.

    Raises:
        ConfigError: If the frames have no motion gradients.
    """

    def __init__(self, result: Any, config: RenderConfig) -> None:
        self._frames = list(result.frames)
        if any(frame.G is None for frame in self._frames):
            raise ConfigError("frames: expected motion gradients, got positions only; morph with keep='all'")
        scenes = result.scene("source"), result.scene("target")
        self._source, self._target = (
            None if scene is None else bind(scene, self._frames[end].x)
            for scene, end in zip(scenes, (0, -1), strict=True)
        )
        self._back = np.linalg.inv(self._frames[-1].G.astype(np.float64))
        self._weights: Array | None = None
        if self._source is not None and self._target is not None:
            look = config.appearance
            if look in ("arrival", "crossfade"):
                self._weights = blend_weights([frame.x for frame in self._frames], look, config.appearance_width)
            else:  # of one side alone
                self._source, self._target = (self._source, None) if look == "source" else (None, self._target)

    def __call__(self, frame: Any) -> Splats:
        """Return the Gaussians in one of the frames of the result."""
        at = next((k for k, other in enumerate(self._frames) if other is frame), None)
        if at is None:
            raise ConfigError("frames: expected frames of the result, got another one")
        weights = None if self._weights is None else self._weights[at].astype(np.float32) / 255.0
        parts = []
        if self._source is not None:
            parts.append(_faded(self._source, frame.x, frame.G, None if weights is None else 1.0 - weights))
        if self._target is not None:
            motion = (frame.G.astype(np.float64) @ self._back).astype(frame.x.dtype)
            parts.append(_faded(self._target, frame.x, motion, weights))
        return parts[0] if len(parts) == 1 else _joined(*parts)


def _faded(binding: SplatBinding, x: Array, F: Array, weights: Array | None) -> Splats:
    """Return carried Gaussians with opacities times the weights of the particles that carry them, if there are some."""
    splats = binding.evaluate(x, F)
    if weights is None:
        return splats
    opacities = splats.opacities * weights[binding.binding.parents].mean(axis=1)
    visible = opacities >= _LEAST
    return replace(splats, opacities=opacities.astype(np.float32))[visible]


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
