# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Surface of a body for images and files: Gaussians, their colours, and their lighting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .._arrays import Array, as_array
from ..export import Splats
from ..render import Camera, DirectionalLight, shade
from ..surface import Binding, bind
from .config import RenderConfig

WIDEST = 2.0
"""Limit of the axes of a Gaussian, relative to the median of the longest axes. Torn material would exceed it."""
KEY = (-0.50, 0.80, 0.55)
"""Direction to the key light: right, up, towards the camera."""
_FILL, _RIM = (0.85, 0.25, 0.40), (0.25, 0.55, -0.85)
_LIGHTS = ((KEY, (1.0, 0.985, 0.96)), (_FILL, (0.24, 0.27, 0.32)), (_RIM, (0.22, 0.23, 0.26)))
_AMBIENT, _DIFFUSE, _SHININESS = 0.34, 0.70, 36.0


@dataclass(frozen=True, eq=False)
class Body:
    """Surface of a body in one frame."""

    splats: Splats
    """Gaussians with unlit colours."""
    normals: Array
    """Outward unit normals, shape (M, 3), float32."""

    def lit(self, camera: Camera, up: Array, config: RenderConfig, *, fixed: bool = False) -> Splats:
        """Return the Gaussians with lit colours.

        Normals on the outline may point away from the camera. They are tilted until they are perpendicular to the view
        direction, so that the shading stays continuous.

        Args:
            camera: Camera, which the lights are placed around.
            up: Unit vector that is up, shape (3,).
            config: Options.
            fixed: Return colours for every view direction: without highlights, and with normals as they are.
        """
        x, eye = self.splats.means, camera.position
        normals = self.normals
        if not fixed:
            view = (eye - x).astype(np.float32)
            view /= np.maximum(np.linalg.norm(view, axis=1, keepdims=True), np.float32(1e-30))
            away = np.minimum(np.einsum("gi,gi->g", normals, view), 0.0)
            normals = normals - away[:, None] * view
        frame = light_axes(camera, up)
        shading = shade(
            normals,
            x,
            albedo=self.splats.colors,
            lights=[DirectionalLight(_triple(-np.array(to) @ frame), color) for to, color in _LIGHTS],
            eye=None if fixed else eye,
            ambient=_AMBIENT,
            diffuse=_DIFFUSE,
            specular=0.0 if fixed else config.specular,
            shininess=_SHININESS,
            two_sided=not fixed,
        )
        return replace(self.splats, colors=np.clip(shading.color, 0.0, 1.0))


def light_axes(camera: Camera, up: Array) -> Array:
    """Return the axes right, up and horizontally towards the camera as rows, shape (3, 3)."""
    right = camera.viewmat[0, :3] - (camera.viewmat[0, :3] @ up) * up
    right = right / np.linalg.norm(right)
    return np.stack([right, up, np.cross(right, up)])


def bodies(
    frames: Iterable[tuple[Array, Array]], colors: Array, config: RenderConfig, *, seed: int = 0
) -> Iterator[Body]:
    """Yield the surface of each frame. Gaussians persist from frame to frame as far as possible.

    Args:
        frames: Positions [m], shape (N, 3), and motion gradients, shape (N, 3, 3), of the same particles. A frame equal
            to the one before has the same surface.
        colors: Particle colours in [0, 1], shape (N, 3) or (3,).
        config: Options.
        seed: Seed of the samples.

    Raises:
        ConfigError: If a shape or value does not fit, or a frame has no surface.
    """
    colors = np.asarray(colors, np.float32)
    before: tuple[Array, Array] | None = None
    binding: Binding | None = None
    body: Body | None = None
    for frame in frames:
        x, F = (np.ascontiguousarray(a, np.float32) for a in frame)
        if binding is None:
            binding = bind(x, F, samples=config.samples, config=config.surface, seed=seed)
        elif body and before and np.array_equal(x, before[0]) and np.array_equal(F, before[1]):
            yield body
            continue
        else:
            binding = binding.update(x, F)
        before = (x, F)
        g = binding.evaluate(x, F)
        if colors.ndim == 2:
            as_array(colors, "colors", (len(x), 3))
            blended = np.einsum("gk,gkc->gc", g.weights, colors[g.parents])
        else:
            blended = np.broadcast_to(colors, g.means.shape)
        body = Body(Splats.create(g.means, g.covars, blended, opacity=config.opacity, widest=WIDEST), g.normals)
        yield body


def _triple(a: Array) -> tuple[float, float, float]:
    return float(a[0]), float(a[1]), float(a[2])
