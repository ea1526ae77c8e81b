# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options of a morph that is guided by images."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Any, Literal

import numpy as np

from .. import losses
from .._arrays import as_array
from .._options import Configuration, option
from ..errors import ConfigError
from ..losses import ImageLoss
from ..render import Camera
from .config import CANONICAL_RADIUS
from .views import Views

Conflict = Literal["keep", "project"]
Through = Literal["G", "F", "x"]

RING_EXTENT = 1.15
"""Half width of the views of a ring over the largest distance of body and target from the middle."""


def _views(value: object, name: str) -> Views:
    if not isinstance(value, Views):
        raise ConfigError(f"{name}: expected Views, got {type(value).__name__}; pass Views(cameras, alpha)")
    return value


def _losses(value: object, name: str) -> tuple[ImageLoss, ...]:
    given = tuple(value) if isinstance(value, tuple | list) else ()
    if not given or not all(isinstance(loss, ImageLoss) for loss in given):
        raise ConfigError(f"{name}: expected at least one image loss, got {value!r}")
    return given


def _elevations(value: object, name: str) -> tuple[float, ...]:
    angles = as_array(value if np.ndim(value) else (value,), name, (None,))  # type: ignore[arg-type]
    if not angles.size or not (np.abs(angles) < 0.5 * np.pi).all():
        raise ConfigError(f"{name}: expected angles within (-pi/2, pi/2) rad, got {value!r}")
    return tuple(float(angle) for angle in angles)


class RenderGuidance(Configuration):
    """How images of the body enter the objective of a morph.

    In each window the body's surface is covered by Gaussians, drawn by `diffmpm.rasterize`, and compared with images
    of the target; the gradient goes through rasteriser, surface and physics into the controls.

    Raises:
        ConfigError: If a value is outside its range; the message names the field.
    """

    views: Views | None = option(
        default=None,
        doc=(
            "Photographs or other images of the target. None: a ring of cameras, and images of the target's own "
            "surface."
        ),
        check=_views,
        schema={"type": "null"},
    )
    ring: int = option(default=8, doc="Cameras on each circle of the ring.", least=1, most=1000)
    elevations: tuple[float, ...] = option(
        default=(0.0, 0.5, -0.5),
        doc="Angle of each circle above the horizon, within (-pi/2, pi/2); z is up.",
        unit="rad",
        check=_elevations,
        schema={"type": "array", "items": {"type": "number"}},
    )
    size: int = option(default=96, doc="Width and height of an image of the ring.", unit="px", least=8, most=4096)
    fov: float = option(default=30.0, doc="Field of view of the ring.", unit="degrees", above=0, below=180)
    losses: tuple[ImageLoss, ...] | None = option(
        default=None,
        doc="Image losses, lengths in canonical units. None: `SilhouettePyramid`, and `Depth` where depths are known.",
        check=_losses,
        schema={"type": "null"},
    )
    samples: int = option(default=10_000, doc="Gaussians on the surface.", least=16, most=1_000_000)
    particles: bool = option(
        default=True,
        doc=(
            "Whether the outer particles are drawn too, as balls of their own volume: what has left the surface is "
            "seen."
        ),
    )
    share: float = option(
        default=0.5,
        doc=(
            "Share of the image part in the sum of both gradients' norms in the controls. It is reached when the "
            "physics losses have fallen to 1 % of their start; before, it grows with the decades that they have "
            "fallen."
        ),
        least=0,
        below=1,
    )
    conflict: Conflict = option(
        default="keep",
        doc=(
            'Where the two gradients point against each other: "keep" adds them, "project" takes from that of the '
            "images what opposes the other."
        ),
    )
    through: Through = option(
        default="G",
        doc=(
            'What deforms the Gaussians besides the positions: the motion gradient "G" of the window, the elastic '
            'memory "F", or nothing, "x".'
        ),
    )

    def cameras(self, radius: float) -> list[Camera]:
        """Return the cameras of the ring around a canonical shape of that radius."""
        distance = RING_EXTENT * radius / np.sin(np.radians(0.5 * self.fov))
        return Camera.orbit(
            radius=distance,
            count=self.ring,
            elevations=[float(np.degrees(e)) for e in self.elevations],
            width=self.size,
            height=self.size,
            fov=self.fov,
        )

    def chosen_losses(self, *, depth: bool) -> tuple[ImageLoss, ...]:
        """Return the losses asked for, or the default ones."""
        if self.losses is not None:
            return self.losses
        silhouette = losses.SilhouettePyramid()
        return (silhouette, losses.Depth(extent=CANONICAL_RADIUS)) if depth else (silhouette,)

    def fingerprint(self) -> str:
        """Return a digest: equal digests, equal guidance."""
        digest = hashlib.sha256()
        options: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "views"}
        digest.update(repr(sorted(options.items())).encode())
        if self.views is not None:
            for camera in self.views.cameras:
                digest.update(camera.viewmat.tobytes() + camera.K.tobytes())
            for array in (self.views.alpha, self.views.depth, self.views.normals):
                digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
