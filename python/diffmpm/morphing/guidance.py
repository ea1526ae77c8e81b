# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options of a morph that is guided by images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from .. import losses
from .._arrays import as_array, as_positive, as_whole
from ..config import choice
from ..errors import ConfigError
from ..losses import ImageLoss
from ..render import Camera
from .config import CANONICAL_RADIUS
from .views import Views

Conflict = Literal["keep", "project"]
Through = Literal["G", "F", "x"]

RING_EXTENT = 1.15
"""Half width of the views of a ring over the largest distance of body and target from the middle."""

_WHOLE = {"ring": (1, 1000), "size": (8, 4096), "samples": (16, 1_000_000)}
_CHOICES = {"conflict": ("keep", "project"), "through": ("G", "F", "x")}


@dataclass(frozen=True, kw_only=True)
class RenderGuidance:
    """How images of the body enter the objective of a morph.

    In each window the body's surface is covered by Gaussians, drawn by `diffmpm.rasterize`, and compared with images
    of the target; the gradient goes through rasteriser, surface and physics into the controls.

    Raises:
        ConfigError: If a value is outside its range; the message names the field.
    """

    views: Views | None = None
    """Photographs or other images of the target. None: a ring of cameras, and images of the target's own surface."""
    ring: int = 8
    """Cameras on each circle of the ring."""
    elevations: tuple[float, ...] = (0.0, 0.5, -0.5)
    """Angle [rad] of each circle above the horizon, within (-pi/2, pi/2); z is up."""
    size: int = 96
    """Width and height of an image of the ring [px]."""
    fov: float = 30.0
    """Field of view of the ring [degrees]."""
    losses: tuple[ImageLoss, ...] | None = None
    """Image losses, lengths in canonical units. None: `SilhouettePyramid`, and `Depth` where depths are known."""
    samples: int = 10_000
    """Gaussians on the surface."""
    particles: bool = True
    """Whether the outer particles are drawn too, as balls of their own volume: what has left the surface is seen."""
    share: float = 0.5
    """Share of the image part in the sum of both gradients' norms in the controls, in [0, 1). It is reached when the
    physics losses have fallen to 1 % of their start; before, it grows with the decades that they have fallen."""
    conflict: Conflict = "keep"
    """Where the two gradients point against each other: "keep" adds them, "project" takes from that of the images what
    opposes the other."""
    through: Through = "G"
    """What deforms the Gaussians besides the positions: the motion gradient "G" of the window, the elastic memory "F",
    or nothing, "x"."""

    def __post_init__(self) -> None:
        if self.views is not None and not isinstance(self.views, Views):
            raise ConfigError(f"views: expected Views, got {type(self.views).__name__}; pass Views(cameras, alpha)")
        for name, (least, most) in _WHOLE.items():
            as_whole(getattr(self, name), name, least, most)
        for name, choices in _CHOICES.items():
            choice(getattr(self, name), name, choices)
        if not 0.0 <= as_positive(self.share, "share", zero=True) < 1.0:
            raise ConfigError(f"share: expected a number in [0, 1), got {self.share!r}")
        if not 0.0 < as_positive(self.fov, "fov") < 180.0:
            raise ConfigError(f"fov: expected degrees below 180, got {self.fov:g}")
        angles = self.elevations if np.ndim(self.elevations) else (self.elevations,)
        object.__setattr__(self, "elevations", tuple(as_array(angles, "elevations", (None,)).tolist()))
        if not self.elevations or not all(abs(e) < 0.5 * np.pi for e in self.elevations):
            raise ConfigError(f"elevations: expected angles within (-pi/2, pi/2) rad, got {self.elevations}")
        if self.losses is not None:
            given = self.losses if isinstance(self.losses, tuple | list) else ()
            object.__setattr__(self, "losses", tuple(given))
            if not self.losses or not all(isinstance(loss, ImageLoss) for loss in self.losses):
                raise ConfigError(f"losses: expected at least one image loss, got {self.losses!r}")

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
