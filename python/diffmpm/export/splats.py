# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians in the parameters of files and viewers: means, scales, quaternions, colours and opacities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Array, as_array, as_positive
from .._color import linear_light
from .._deprecated import renamed_arguments
from .._placement import Similarity, rotations
from .._repr import short_repr
from ..errors import ConfigError
from .harmonics import SH_DC, degree_of, evaluate, rotated

SMALLEST = 1e-6
"""Least ratio of the shortest to the longest axis. It keeps the logarithms of discs and needles finite."""
_SYMMETRY = 1e-3
"""Largest asymmetry of a covariance, relative to its largest entry, that counts as rounding error."""


@short_repr
@dataclass(frozen=True, eq=False)
class Splats:
    """M Gaussians; all arrays are float32. `Splats.create` builds them from covariances."""

    means: Array
    """Centres [m], shape (M, 3)."""
    scales: Array
    """Standard deviations [m] along the axes, positive, longest first, shape (M, 3)."""
    quats: Array
    """Orientations as unit quaternions (w, x, y, z) with w >= 0, shape (M, 4)."""
    colors: Array
    """Colours as displayed, in [0, 1] unless they depend on the view direction, shape (M, 3)."""
    opacities: Array
    """Opacities in (0, 1), shape (M,)."""
    sh_rest: Array | None = None
    """Spherical-harmonic coefficients of degrees 1 to d, shape (M, (d + 1)^2 - 1, 3); None for d = 0."""

    @property
    def count(self) -> int:
        """Number of Gaussians M."""
        return int(self.means.shape[0])

    @property
    def linear(self) -> Array:
        """Colours in linear light, shape (M, 3)."""
        return linear_light(self.colors)

    @property
    def sh(self) -> Array:
        """Spherical-harmonic coefficients of degree 0, shape (M, 3)."""
        return np.asarray((self.colors - np.float32(0.5)) / np.float32(SH_DC))

    def colors_from(self, eye: object) -> Array:
        """Return the colours as seen from a point, at least 0, shape (M, 3), float32.

        Args:
            eye: Position of the camera [m], shape (3,).
        """
        if self.sh_rest is None:
            return self.colors
        directions = self.means.astype(np.float32) - as_array(eye, "eye", (3,)).astype(np.float32)
        directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), np.float32(1e-30))
        coefficients = np.concatenate([self.sh[:, None, :], self.sh_rest], axis=1, dtype=np.float32)
        return np.maximum(evaluate(coefficients, directions), np.float32(0.0))

    @property
    def sh_degree(self) -> int:
        """Degree d of the spherical harmonics, 0 to 3."""
        return 0 if self.sh_rest is None else degree_of(1 + self.sh_rest.shape[1])

    @staticmethod
    @renamed_arguments(covs="covars")
    def create(
        means: object, covars: object, colors: object, *, opacity: float = 0.95, widest: float | None = None
    ) -> Splats:
        """Check the arrays and decompose the covariances.

        Args:
            means: Centres [m], shape (M, 3), float32 or float64.
            covars: Covariances [m^2], shape (M, 3, 3), same dtype.
            colors: Colours as displayed, clipped to [0, 1], shape (M, 3).
            opacity: Opacity of every Gaussian, in (0, 1).
            widest: Limit of the standard deviations, relative to the median of the longest axes; None for no limit.

        Raises:
            ConfigError: If a shape, dtype or value does not fit.
        """
        x = as_array(means, "means", (None, 3))
        m = x.shape[0]
        scales, quats = decompose(as_array(covars, "covars", (m, 3, 3), x.dtype))
        if widest is not None and m:
            scales = np.minimum(scales, np.float32(as_positive(widest, "widest") * np.median(scales[:, 0])))
        if not 0.0 < as_positive(opacity, "opacity") < 1.0:
            raise ConfigError(f"opacity: expected a number between 0 and 1, got {opacity:g}")
        rgb = np.clip(as_array(colors, "colors", (m, 3)).astype(np.float32), 0.0, 1.0)
        return Splats(x.astype(np.float32), scales, quats, rgb, np.full(m, opacity, dtype=np.float32))

    def moved(self, by: Similarity) -> Splats:
        """Return the Gaussians in other coordinates."""
        quats, rest = self.quats, self.sh_rest
        if not np.array_equal(by.matrix, np.eye(3)):
            quats = _product(_quaternions(by.matrix[None])[0], quats).astype(np.float32)
            rest = None if rest is None else rotated(rest, by.matrix)
        scales = (self.scales * by.scale).astype(np.float32)
        return Splats(by(self.means).astype(np.float32), scales, quats, self.colors, self.opacities, rest)

    def __getitem__(self, rows: Array) -> Splats:
        """Return some of the Gaussians: those of an index array, or where an array of flags is set."""
        arrays: dict[str, Any] = {name: None if a is None else a[rows] for name, a in vars(self).items()}
        return Splats(**arrays)

    def covariances(self) -> Array:
        """Return the covariances [m^2], shape (M, 3, 3), float32."""
        half = rotations(self.quats) * self.scales[:, None, :]
        return np.asarray(half @ half.transpose(0, 2, 1))


@renamed_arguments(covs="covars")
def decompose(covars: object) -> tuple[Array, Array]:
    """Decompose covariances: covar = R diag(scales^2) R^T with a rotation R.

    Args:
        covars: Symmetric positive semi-definite matrices [m^2] up to rounding errors, shape (M, 3, 3).

    Returns:
        Standard deviations [m], longest first, shape (M, 3), and unit quaternions (w, x, y, z) of R with w >= 0, shape
        (M, 4); float32. Axes are at least 1e-6 times as long as the longest one.

    Raises:
        ConfigError: If a matrix is not symmetric, has a negative eigenvalue, or is zero.
    """
    matrices = as_array(covars, "covars", (None, 3, 3)).astype(np.float64)
    transposed = matrices.transpose(0, 2, 1)
    size = np.abs(matrices).max(axis=(1, 2), initial=0.0)
    asymmetry = np.abs(matrices - transposed).max(axis=(1, 2), initial=0.0)
    values, axes = np.linalg.eigh(0.5 * (matrices + transposed))
    invalid = (asymmetry > _SYMMETRY * size) | (values[:, 0] < -_SYMMETRY * size) | (size == 0.0)
    if invalid.any():
        g = int(np.argmax(invalid))
        raise ConfigError(
            f"covars: expected symmetric positive semi-definite matrices other than zero, got {matrices[g].tolist()} "
            f"at index {g}; leave such Gaussians out"
        )
    values, axes = values[:, ::-1], axes[:, :, ::-1].copy()
    axes[:, :, 2] = np.cross(axes[:, :, 0], axes[:, :, 1])  # right-handed
    scales = np.sqrt(np.maximum(values, 0.0))
    return np.maximum(scales, SMALLEST * scales[:, :1]).astype(np.float32), _quaternions(axes).astype(np.float32)


def _product(p: Array, q: Array) -> Array:
    """Return the products p q, with w >= 0, of a quaternion and others, shape (M, 4)."""
    w, x, y, z = p
    left = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
    product = q @ left.T
    return np.asarray(np.where(product[:, :1] < 0.0, -product, product))


def _quaternions(R: Array) -> Array:
    """Return the unit quaternions (w, x, y, z), w >= 0, of rotations."""
    from scipy.spatial.transform import Rotation

    quats = Rotation.from_matrix(R).as_quat()[:, (3, 0, 1, 2)] if len(R) else np.zeros((0, 4))
    return np.asarray(np.where(quats[:, :1] < 0.0, -quats, quats))
