# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians that move with the particles of a body."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .._arrays import Array, ArrayLike, as_array, as_points
from .._placement import rotations
from .._repr import short_repr
from ..export import Splats, decompose
from ..export.harmonics import rotated
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
    """Their centres, as samples of the body."""
    _axes: Array = field(repr=False)

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
        u, stretches, vt = _decomposed(as_array(F, "F", (len(x), 3, 3), x.dtype))
        limited = (u * np.clip(stretches, 1.0 / _MOST_STRETCH, _MOST_STRETCH)[:, None, :]) @ vt
        moved = self.binding.evaluate(x, limited.astype(x.dtype))
        u, stretches, vt = _decomposed(np.einsum("mk,mkij->mij", moved.weights, limited[self.binding.parents]))
        half, turn = (u * stretches[:, None, :]) @ vt @ self._axes, u @ vt
        scales, quats = decompose(half @ half.transpose(0, 2, 1))
        splats = self.splats
        return replace(
            splats,
            means=np.asarray(moved.means).astype(np.float32),
            scales=scales,
            quats=quats,
            sh_rest=None if splats.sh_rest is None else rotated(splats.sh_rest, turn),
        )


def _decomposed(F: Array) -> tuple[Array, Array, Array]:
    """Return U, the stretches and V^T of F = U diag(stretches) V^T with rotations U and V, shapes (N, 3, 3) and (N, 3).

    Where F does not preserve orientation, the smallest stretch counts as positive.
    """
    u, stretches, vt = np.linalg.svd(F.astype(np.float64))
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    return u, stretches, vt


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
    return SplatBinding(splats, binding, axes)
