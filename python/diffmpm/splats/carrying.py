# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians that move with the particles of a body."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .. import _core
from .._arrays import ArrayLike, as_array, as_points
from .._placement import rotations
from .._repr import short_repr
from ..export import Splats
from ..export.splats import SMALLEST
from ..surface import Binding, SurfaceConfig

_PARENTS = 8
"""Particles that carry each Gaussian."""
_MOST_STRETCH = 2.0
"""Limit of the stretches around a particle; Gaussians follow the distances between particles in full."""


@short_repr
@dataclass(frozen=True, eq=False)
class SplatBinding:
    """Gaussians bound to the particles around them; made by `bind`."""

    splats: Splats
    """The Gaussians at rest."""
    binding: Binding
    """Their centres, and the square roots of their covariances, as samples of the body."""

    def evaluate(self, x: ArrayLike, F: ArrayLike) -> Splats:
        """Return the Gaussians on a moved body.

        Centres and covariances follow the particles and their F, whose stretches are limited to a factor of 2;
        orientations and spherical harmonics follow the rotation. Exact for rigid motions.

        Args:
            x: Positions [m], shape (N, 3), float32 or float64.
            F: Motion gradients from the body at rest, shape (N, 3, 3), same dtype.

        Raises:
            ConfigError: If a shape, dtype or value is invalid.
        """
        x = as_points(x, "x")
        gradients = np.ascontiguousarray(as_array(F, "F", (len(x), 3, 3), x.dtype), np.float64)
        limited = _core.limit_stretches(gradients, _MOST_STRETCH)
        moved = self.binding.evaluate(x, limited.astype(x.dtype))
        splats, weights = self.splats, np.asarray(moved.weights, np.float64)
        rest = None if splats.sh_rest is None else np.ascontiguousarray(splats.sh_rest, np.float32)
        scales, quats, sh_rest = _core.carry_gaussians(
            self.binding.parents, weights, self.binding.axes, limited, rest, SMALLEST
        )
        means = np.asarray(moved.means).astype(np.float32)
        return replace(splats, means=means, scales=scales, quats=quats, sh_rest=sh_rest)


def bind(splats: Splats, x: ArrayLike) -> SplatBinding:
    """Bind Gaussians to the particles of a body at rest.

    Args:
        splats: Gaussians in the coordinates of the body.
        x: Positions of the particles [m], shape (N, 3), at least 1.

    Raises:
        ConfigError: If a shape or value is invalid.
    """
    from scipy.spatial import cKDTree

    rest = as_points(x, "x").astype(np.float64)
    means = splats.means.astype(np.float64)
    count = min(_PARENTS, len(rest))
    distances, parents = (a.reshape(len(means), count) for a in cKDTree(rest).query(means, k=count))
    spacing = float(np.median(cKDTree(rest).query(rest[:1000], k=2)[0][:, 1])) if len(rest) > 1 else 1.0
    axes = rotations(splats.quats.astype(np.float64)) * splats.scales[:, None, :]
    binding = Binding(
        parents=parents.astype(np.int32),
        offsets=means[:, None, :] - rest[parents],
        supports=np.maximum(1.5 * distances[:, -1], spacing),
        axes=axes,
        normals=np.broadcast_to(np.array([0.0, 0.0, 1.0]), means.shape),
        kept=np.zeros(len(means), bool),
        outer=np.zeros(len(rest), bool),
        particles=len(rest),
        spacing=spacing,
        config=SurfaceConfig(),
        seed=0,
    )
    return SplatBinding(splats, binding)
