# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Surface of a body for images and files: Gaussians, their colours, and their lighting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from .._arrays import Array, as_array
from .._repr import short_repr
from ..export import Splats
from ..render import Camera
from ..surface import FittedSurface, fit_surface
from .config import RenderConfig
from .studio import Occluder, light_axes, studio_colors

LOWER = 1e-3
"""Fraction of the Gaussians below the floor, so that no single one sets its height."""


@dataclass(frozen=True, eq=False)
class Drawable(ABC):
    """Gaussians that are drawn over a floor."""

    splats: Splats
    """Gaussians with unlit colours."""

    @abstractmethod
    def lit(self, camera: Camera, up: Array, config: RenderConfig) -> Splats:
        """Return the Gaussians with the colours that a camera sees, where `up` is a unit vector, shape (3,)."""

    def bottom(self, up: Array) -> float:
        """Return the height of the bottom along a unit vector [m], below which `LOWER` of the Gaussians are."""
        heights = self.splats.means @ up.astype(np.float32)
        return float(np.partition(heights, int(LOWER * len(heights)))[int(LOWER * len(heights))])


@short_repr
@dataclass(frozen=True, eq=False)
class SceneBody(Drawable):
    """Gaussians of a trained scene, whose colours contain the light of the scene."""

    def lit(self, camera: Camera, up: Array, config: RenderConfig) -> Splats:
        """Return the Gaussians with their colours as seen from the camera."""
        return replace(self.splats, colors=self.splats.colors_from(camera.position), sh_rest=None)


@short_repr
@dataclass(frozen=True, eq=False)
class Body(Drawable):
    """Surface of a body in one frame."""

    normals: Array
    """Outward unit normals, shape (M, 3), float32."""
    interior: Array
    """Points that fill the body [m], shape (N, 3)."""

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
        normals, view = self.normals, None
        if not fixed:
            view = (eye - x).astype(np.float32)
            view /= np.maximum(np.linalg.norm(view, axis=1, keepdims=True), np.float32(1e-30))
            away = np.minimum(np.einsum("gi,gi->g", normals, view), 0.0)
            normals = normals - away[:, None] * view
            normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.float32(1e-30))
        stage = light_axes(camera, up).astype(np.float32).T
        occluder = Occluder(self.interior.astype(np.float32) @ stage) if config.occlusion else None
        colors = studio_colors(
            self.splats.colors,
            normals @ stage,
            x @ stage,
            None if view is None else view @ stage,
            occluder,
            config.specular,
        )
        return replace(self.splats, colors=colors)


class BodyMaker:
    """Makes the surfaces of the frames of one body, each from its positions alone.

    Particle spacing and Gaussians per area are those of the first frame, so that they do not change during a film.

    Args:
        first_x: Positions [m] of the first frame, shape (N, 3).
        colors: Particle colours of the first frame in [0, 1], shape (N, 3) or (3,).
        config: Options.

    Raises:
        ConfigError: If a shape or value does not fit, or the frame has no surface.
    """

    def __init__(self, first_x: Array, colors: Array, config: RenderConfig) -> None:
        self._config = config
        self._first_colors, self._colors = colors, self._checked(colors, len(first_x))
        self._first_x, self._first = first_x, self._fit(first_x, self._colors, config.surface.spacing)
        self._spacing = self._first.spacing
        self._splits = max(1, round((config.samples / self._first.quad_count) ** 0.5))

    @staticmethod
    def _checked(colors: Array, count: int) -> Array:
        paint = np.asarray(colors, np.float32)
        return paint if paint.ndim == 1 else as_array(paint, "colors", (count, 3))

    def __call__(self, x: Array, colors: Array | None = None) -> Body:
        """Return the surface of a frame.

        Args:
            x: Positions [m], shape (N, 3).
            colors: Particle colours of the frame, like those of the first frame, which they default to.

        Raises:
            ConfigError: If a shape or value does not fit, or the frame has no surface.
        """
        options, paint = self._config.surface, self._colors
        if colors is None or colors is self._first_colors:
            surface = self._first if x is self._first_x else self._fit(x, paint, self._spacing)
        else:
            paint = self._checked(colors, len(x))
            surface = self._fit(x, paint, self._spacing)
        discs = surface.cover(self._splits, sigma=options.sigma0, flatness=options.flatness)
        blended = np.broadcast_to(paint, discs["means"].shape) if paint.ndim == 1 else discs["colors"]
        opacities = np.full(len(blended), self._config.opacity, np.float32)
        return Body(Splats(discs["means"], discs["scales"], discs["quats"], blended, opacities), discs["normals"], x)

    def _fit(self, x: Array, paint: Array, spacing: float | None) -> FittedSurface:
        colors = None if paint.ndim == 1 else paint
        return fit_surface(x, colors=colors, spacing=spacing, smoothing=self._config.surface.smoothing)
