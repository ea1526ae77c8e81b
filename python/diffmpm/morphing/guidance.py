# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options of guidance by images."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import Literal

import numpy as np

from .. import losses
from .._arrays import as_array
from .._deprecated import renamed_arguments, renamed_attributes
from .._options import Configuration, option
from ..errors import ConfigError
from ..losses import ImageLoss
from ..render import Camera
from .config import CANONICAL_RADIUS
from .target_views import TargetViews

RING_EXTENT = 1.15
"""Half width of the images of a ring over the largest distance of body and target from the origin."""


def _losses(value: object, name: str) -> tuple[ImageLoss, ...]:
    items = tuple(value) if isinstance(value, tuple | list) else (value,)
    if not items or not all(isinstance(loss, ImageLoss) for loss in items):
        raise ConfigError(f"{name}: expected at least one image loss, got {value!r}")
    return items


def _elevations(value: object, name: str) -> tuple[float, ...]:
    angles = as_array(value if np.ndim(value) else (value,), name, (None,))  # type: ignore[arg-type]
    if not angles.size or not (np.abs(angles) < 0.5 * np.pi).all():
        raise ConfigError(f"{name}: expected angles within (-pi/2, pi/2) rad, got {value!r}")
    return tuple(float(angle) for angle in angles)


@renamed_arguments(share="fraction")
@renamed_attributes(chosen_losses="effective_losses", share="fraction")
class RenderGuidance(Configuration):
    """Guidance of a morph by images.

    In each window the body's surface is covered by Gaussians, rendered by `diffmpm.rasterize`, and compared with images
    of the target. The gradient passes through rasteriser, surface and physics to the controls.
    """

    views: TargetViews | None = option(
        default=None,
        doc="Photographs or other images of the target. None: renderings of the target's surface from a ring of "
        "cameras.",
        schema={"type": "null"},
        group="views",
    )
    ring: int = option(default=8, doc="Number of cameras on each circle of the ring.", least=1, most=1000)
    elevations: tuple[float, ...] = option(
        default=(0.0, 0.5, -0.5),
        doc="Elevation of each circle, within (-pi/2, pi/2); z is up.",
        unit="rad",
        check=_elevations,
        schema={"type": "array", "items": {"type": "number"}},
    )
    size: int = option(default=96, doc="Width and height of the ring's images.", unit="px", least=8, most=4096)
    fov: float = option(default=30.0, doc="Field of view of the ring.", unit="degrees", above=0, below=180)
    samples: int = option(
        default=10_000, doc="Number of Gaussians on the surface.", least=16, most=1_000_000, group="surface"
    )
    particles: bool = option(
        default=True,
        doc="Whether to render the outer particles, too, each with its own volume, so that the images show particles "
        "that have left the surface.",
    )
    through: Literal["G", "F", "x"] = option(
        default="G",
        doc='What deforms the Gaussians, besides the positions: the motion gradient "G" of the window, the elastic '
        'deformation gradient "F", or nothing, "x".',
    )
    losses: tuple[ImageLoss, ...] | None = option(
        default=None,
        doc="Image losses, lengths in canonical units; those of colours compare the source's with the target's. None: "
        "`SilhouettePyramid`, and `Depth` if depths are known.",
        check=_losses,
        schema={"type": "null"},
        group="objective",
    )
    fraction: float = option(
        default=0.5,
        doc="Fraction of the images in the sum of the norms of both gradients, reached when the physics loss has "
        "fallen to 1 % of its start. Before, it grows with the logarithm of that ratio.",
        least=0,
        below=1,
    )
    conflict: Literal["keep", "project"] = option(
        default="keep",
        doc='If the gradients oppose each other: "keep" adds them, "project" removes the component of the image '
        "gradient that opposes the physics.",
    )

    def cameras(self, radius: float) -> list[Camera]:
        """Return the cameras of the ring around a shape of a canonical radius."""
        distance = RING_EXTENT * radius / np.sin(np.radians(0.5 * self.fov))
        return Camera.orbit(
            radius=distance,
            count=self.ring,
            elevations=[float(np.degrees(e)) for e in self.elevations],
            width=self.size,
            height=self.size,
            fov=self.fov,
        )

    def effective_losses(self, *, depth: bool) -> tuple[ImageLoss, ...]:
        """Return the configured losses, or the default ones."""
        if self.losses is not None:
            return self.losses
        silhouette = losses.SilhouettePyramid()
        return (silhouette, losses.Depth(extent=CANONICAL_RADIUS)) if depth else (silhouette,)

    def fingerprint(self) -> str:
        """Return a digest, equal for equal guidance."""
        digest = hashlib.sha256()
        options = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "views"}
        digest.update(repr(sorted(options.items())).encode())
        if self.views is not None:
            for camera in self.views.cameras:
                digest.update(camera.viewmat.tobytes() + camera.K.tobytes())
            for array in (self.views.alpha, self.views.depth, self.views.normals, self.views.color):
                digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
