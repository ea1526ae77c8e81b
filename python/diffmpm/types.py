# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Particles: the plain data that areas exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._arrays import (
    Array,
    ArrayLike,
    DeviceArray,
    aligned_copy,
    as_array,
    check_device_name,
    device_of,
    move_to,
    refuse_grad,
    resolve_device,
)
from ._options import refuse_unknown
from ._repr import pictured, short_repr
from .errors import ConfigError


@pictured("particles")
@short_repr
@dataclass(frozen=True)
class Particles:
    """State and particle properties of N particles; all arrays are C-contiguous, with one dtype and device.

    Build it with `Particles.create`, which checks the arrays.
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
    color: Array | None = None
    """Colours in linear light, in [0, 1], shape (N, 3), or None. They do not affect the simulation."""

    @property
    def count(self) -> int:
        """Number of particles N."""
        return int(self.x.shape[0])

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """float32 or float64."""
        return self.x.dtype

    @property
    def device(self) -> str:
        """Device of the arrays, "cpu" or "cuda:N". On a CUDA device they are `DeviceArray`, and so are results."""
        return device_of(self.x)

    def to(self, device: str) -> Particles:
        """Return the particles on a device; themselves if they are there already.

        Args:
            device: "cpu", "cuda:N", or "cuda" for the current CUDA device of this thread.

        Raises:
            ConfigError: If the name is invalid.
            DeviceError: If there is no such device.
            MemoryError: If the device memory is full; the particles are unchanged.
        """
        target = resolve_device(check_device_name(device))
        if target == self.device:
            return self
        moved: dict[str, Any] = {n: None if a is None else move_to(a, target) for n, a in vars(self).items()}
        return Particles(**moved)

    @staticmethod
    def create(
        x: ArrayLike,
        *,
        mass: ArrayLike,
        volume: ArrayLike,
        lam: ArrayLike,
        mu: ArrayLike,
        v: ArrayLike | None = None,
        C: ArrayLike | None = None,
        F: ArrayLike | None = None,
        Fp: ArrayLike | None = None,
        color: ArrayLike | None = None,
        dtype: npt.DTypeLike | None = None,
    ) -> Particles:
        """Check the arrays, and fill in defaults.

        Args:
            x: Positions [m], shape (N, 3), on the CPU or a CUDA device; all arrays must be on its device.
            mass: Masses [kg], one number or shape (N,).
            volume: Rest volumes [m^3], one number or shape (N,).
            lam: First Lame parameter [Pa], one number or shape (N,).
            mu: Shear modulus [Pa], one number or shape (N,).
            v: Velocities [m/s], shape (N, 3); zero if None.
            C: Affine velocities [1/s], shape (N, 3, 3); zero if None.
            F: Deformation gradients, shape (N, 3, 3); identity if None.
            Fp: Rest state, shape (N, 3, 3), det > 0; identity if None.
            color: Colours in linear light, in [0, 1], shape (N, 3); no colours if None.
            dtype: float32 or float64; that of `x` if None.

        Raises:
            ConfigError: If a shape, dtype or value is invalid.
        """
        pos = as_array(x, "x", (None, 3), dtype, device="any")
        if pos.shape[0] == 0:
            raise ConfigError("x: expected at least one particle, got shape (0, 3)")
        like = _Like(pos.shape[0], pos.dtype, device_of(pos))
        return Particles(
            x=pos,
            v=like.array(v, "v", np.zeros(3)),
            C=like.array(C, "C", np.zeros((3, 3))),
            F=like.array(F, "F", np.eye(3)),
            Fp=None if Fp is None else _rest_state(like.array(Fp, "Fp", np.eye(3))),
            mass=like.property(mass, "mass", positive=True),
            volume=like.property(volume, "volume", positive=True),
            lam=like.property(lam, "lam", positive=False),
            mu=like.property(mu, "mu", positive=False),
            color=None if color is None else _colors(like.array(color, "color", np.zeros(3))),
        )

    def replace(self, **changes: ArrayLike | None) -> Particles:
        """Return a copy with some arrays replaced, all checked again; the others are shared."""
        refuse_unknown(changes, vars(self), "a field of Particles")
        return Particles.create(**{**vars(self), "dtype": self.dtype, **changes})


@dataclass(frozen=True)
class _Like:
    """Common properties of the arrays of a body."""

    count: int
    dtype: np.dtype[np.floating]
    device: str

    def array(self, value: ArrayLike | None, name: str, default: Array) -> Array:
        """Return an array of one entry per particle, each of the shape of the default."""
        if value is None:
            return self.filled(default)
        return as_array(value, name, (self.count, *default.shape), self.dtype, device=self.device)

    def filled(self, entry: npt.ArrayLike) -> Array:
        """Return an array that repeats an entry for each particle."""
        entry = np.asarray(entry, self.dtype)
        return move_to(aligned_copy(np.broadcast_to(entry, (self.count, *entry.shape))), self.device)

    def property(self, value: ArrayLike, name: str, *, positive: bool) -> Array:
        """Return one finite number per particle, above 0 or at least 0, from an array or a number."""
        refuse_grad(value, name)
        limit = "> 0" if positive else ">= 0"
        if getattr(value, "ndim", 0) == 0 and not isinstance(value, list | tuple):
            try:
                with np.errstate(over="ignore"):  # infinity is refused below
                    number = self.dtype.type(float(value))  # type: ignore[arg-type]
            except (TypeError, ValueError, OverflowError):
                raise ConfigError(f"{name}: expected a number or shape ({self.count},), got {value!r}") from None
            if not (np.isfinite(number) and (number > 0 if positive else number >= 0)):
                raise ConfigError(f"{name}: expected finite values {limit}, got {number:g} at index 0")
            return self.filled(number)
        array = as_array(value, name, (self.count,), self.dtype, device=self.device)
        if isinstance(array, DeviceArray):
            low = _core.value_range(array)[0]
            if not (low > 0.0 if positive else low >= 0.0):
                raise ConfigError(f"{name}: expected finite values {limit}, got some that are not")
            return array
        bad = (array <= 0) if positive else (array < 0)
        if bad.any():
            p = int(np.argmax(bad))
            raise ConfigError(f"{name}: expected finite values {limit}, got {array[p]:g} at index {p}")
        return array


def _colors(color: Array) -> Array:
    low, high = _core.value_range(color)
    if low < 0.0 or high > 1.0:
        raise ConfigError(
            f"color: expected linear light from 0 to 1, got {low:g} to {high:g}; divide 8-bit values by 255"
        )
    return color


def _rest_state(Fp: Array) -> Array:
    if isinstance(Fp, DeviceArray):
        if not _core.determinant_range(Fp)[0] > 0.0:
            raise ConfigError("Fp: expected det Fp > 0, got some that are not")
        return Fp
    det = np.linalg.det(Fp)
    if not (det > 0).all():
        p = int(np.argmin(det > 0))
        raise ConfigError(f"Fp: expected det Fp > 0, got {det[p]:g} at index {p}")
    return Fp
