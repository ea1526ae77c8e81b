# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Plain data that the layers hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ._arrays import Array, aligned, as_array, refuse_grad
from .errors import ConfigError


@dataclass(frozen=True)
class Particles:
    """State and constants of N particles; all arrays share one dtype and are C-contiguous.

    Build it with `Particles.create`, which checks everything.
    """

    x: Array
    """Positions [m], shape (N, 3)."""
    v: Array
    """Velocities [m/s], shape (N, 3)."""
    C: Array
    """Affine velocities [1/s], shape (N, 3, 3)."""
    F: Array
    """Deformation gradients, shape (N, 3, 3)."""
    Fp: Array | None
    """Rest state, shape (N, 3, 3), or None for the identity."""
    mass: Array
    """Masses [kg], shape (N,), above 0."""
    volume: Array
    """Rest volumes [m^3], shape (N,), above 0."""
    lam: Array
    """First Lame parameter [Pa], shape (N,), at least 0."""
    mu: Array
    """Shear modulus [Pa], shape (N,), at least 0."""

    @property
    def count(self) -> int:
        """Number of particles N."""
        return int(self.x.shape[0])

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float32 or float64."""
        return self.x.dtype

    @staticmethod
    def create(
        x: object,
        *,
        mass: object,
        volume: object,
        lam: object,
        mu: object,
        v: object = None,
        C: object = None,
        F: object = None,
        Fp: object = None,
        dtype: npt.DTypeLike | None = None,
    ) -> Particles:
        """Check the arrays and fill in what is missing.

        Args:
            x: Positions [m], shape (N, 3).
            mass: Masses [kg], one number or shape (N,).
            volume: Rest volumes [m^3], one number or shape (N,).
            lam: First Lame parameter [Pa], one number or shape (N,).
            mu: Shear modulus [Pa], one number or shape (N,).
            v: Velocities [m/s], shape (N, 3); zero if None.
            C: Affine velocities [1/s], shape (N, 3, 3); zero if None.
            F: Deformation gradients, shape (N, 3, 3); identity if None.
            Fp: Rest state, shape (N, 3, 3), det > 0; identity if None.
            dtype: float32 or float64; that of `x` if None.

        Raises:
            ConfigError: If a shape, dtype or value does not fit.
        """
        pos = as_array(x, "x", (None, 3), dtype)
        n, kind = pos.shape[0], pos.dtype
        if n == 0:
            raise ConfigError("x: expected at least one particle, got shape (0, 3)")
        eye = np.broadcast_to(np.eye(3, dtype=kind), (n, 3, 3))
        rest = None if Fp is None else as_array(Fp, "Fp", (n, 3, 3), kind)
        if rest is not None:
            det = np.linalg.det(rest)
            if not (det > 0).all():
                p = int(np.argmin(det > 0))
                raise ConfigError(f"Fp: expected det Fp > 0, got {det[p]:g} at index {p}")
        return Particles(
            x=pos,
            v=_optional(v, "v", (n, 3), kind, 0.0),
            C=_optional(C, "C", (n, 3, 3), kind, 0.0),
            F=aligned(eye) if F is None else as_array(F, "F", (n, 3, 3), kind),
            Fp=rest,
            mass=_per_particle(mass, "mass", n, kind, positive=True),
            volume=_per_particle(volume, "volume", n, kind, positive=True),
            lam=_per_particle(lam, "lam", n, kind, positive=False),
            mu=_per_particle(mu, "mu", n, kind, positive=False),
        )

    def replace(self, **changes: object) -> Particles:
        """Return a copy with some arrays changed, all checked again; the others are shared."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        unknown = sorted(set(changes) - set(values))
        if unknown:
            raise ConfigError(f"{unknown[0]}: expected a field of Particles, one of {sorted(values)}")
        values.update(changes)
        return Particles.create(values.pop("x"), dtype=self.dtype, **values)


def _optional(value: object, name: str, shape: tuple[int, ...], dtype: np.dtype[np.floating], fill: float) -> Array:
    if value is not None:
        return as_array(value, name, shape, dtype)
    return aligned(np.broadcast_to(dtype.type(fill), shape))


def _per_particle(value: object, name: str, n: int, dtype: np.dtype[np.floating], *, positive: bool) -> Array:
    refuse_grad(value, name)
    if getattr(value, "ndim", 0) == 0 and not isinstance(value, list | tuple):
        try:
            with np.errstate(over="ignore"):  # infinity is refused below
                number = dtype.type(float(value))  # type: ignore[arg-type]
            array = aligned(np.broadcast_to(number, n))
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(f"{name}: expected a number or shape ({n},), got {value!r}") from None
    else:
        array = as_array(value, name, (n,), dtype)
    bad = ~np.isfinite(array) | ((array <= 0) if positive else (array < 0))
    if bad.any():
        p = int(np.argmax(bad))
        raise ConfigError(
            f"{name}: expected finite values {'> 0' if positive else '>= 0'}, got {array[p]:g} at index {p}"
        )
    return array
