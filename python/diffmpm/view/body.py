# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Surface of a body for images and files: Gaussians, their colours, and their lighting."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._arrays import Array, as_array
from .._repr import short_repr
from ..export import Splats
from ..render import Camera, DirectionalLight, shade
from ..surface import fit_surface
from .config import RenderConfig

KEY = (-0.50, 0.80, 0.55)
"""Direction to the key light: right, up, towards the camera."""
_FILL, _RIM = (0.85, 0.25, 0.40), (0.25, 0.55, -0.85)
_LIGHTS = ((KEY, (1.0, 0.985, 0.96)), (_FILL, (0.24, 0.27, 0.32)), (_RIM, (0.22, 0.23, 0.26)))
_AMBIENT, _DIFFUSE, _SHININESS = 0.34, 0.70, 36.0


@short_repr
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
        self._colors = self._checked(colors, len(first_x))
        first = fit_surface(first_x, spacing=config.surface.spacing, smoothing=config.surface.smoothing)
        self._spacing = first.spacing
        self._splits = max(1, round((config.samples / first.quad_count) ** 0.5))

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
        options, paint = self._config.surface, self._colors if colors is None else self._checked(colors, len(x))
        one_color = paint.ndim == 1
        per_particle = None if one_color else paint
        surface = fit_surface(x, colors=per_particle, spacing=self._spacing, smoothing=options.smoothing)
        discs = surface.cover(self._splits, sigma=options.sigma0, flatness=options.flatness)
        blended = np.broadcast_to(paint, discs["means"].shape) if one_color else discs["colors"]
        opacities = np.full(len(blended), self._config.opacity, np.float32)
        return Body(Splats(discs["means"], discs["scales"], discs["quats"], blended, opacities), discs["normals"])


def _triple(a: Array) -> tuple[float, float, float]:
    return float(a[0]), float(a[1]), float(a[2])
