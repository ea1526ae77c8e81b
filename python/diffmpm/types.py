# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Plain data that the layers hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._arrays import (
    Array,
    DeviceArray,
    aligned,
    as_array,
    check_device_name,
    chosen_device,
    device_of,
    place,
    refuse_grad,
)
from .errors import ConfigError


@dataclass(frozen=True)
class Particles:
    """State and constants of N particles; all arrays share one dtype and one device and are C-contiguous.

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

    @property
    def device(self) -> str:
        """Where the arrays are: "cpu" or "cuda:N". There they are `DeviceArray`, and so is what is made of them."""
        return device_of(self.x)

    def to(self, device: str) -> Particles:
        """Return the particles with all arrays on a device; itself if they are there.

        Args:
            device: "cpu", "cuda:N", or "cuda" for the CUDA device that is current in this thread.

        Raises:
            ConfigError: If it is none of them.
            DeviceError: If there is no such device.
            MemoryError: If its memory is full; the particles are as they were.
        """
        target = chosen_device(check_device_name(device))
        if target == self.device:
            return self
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {n: None if array is None else place(array, target) for n, array in values.items()}
        return Particles(**moved)

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
            x: Positions [m], shape (N, 3); where it is, on the CPU or a CUDA device, all other arrays have to be.
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
        pos = as_array(x, "x", (None, 3), dtype, device="any")
        if pos.shape[0] == 0:
            raise ConfigError("x: expected at least one particle, got shape (0, 3)")
        like = _Like(pos.shape[0], pos.dtype, device_of(pos))
        rest = None if Fp is None else like.array(Fp, "Fp", 3, 3)
        if rest is not None:
            _check_rest(rest)
        return Particles(
            x=pos,
            v=like.filled(0.0, 3) if v is None else like.array(v, "v", 3),
            C=like.filled(0.0, 3, 3) if C is None else like.array(C, "C", 3, 3),
            F=like.filled(np.eye(3), 3, 3) if F is None else like.array(F, "F", 3, 3),
            Fp=rest,
            mass=_per_particle(mass, "mass", like, positive=True),
            volume=_per_particle(volume, "volume", like, positive=True),
            lam=_per_particle(lam, "lam", like, positive=False),
            mu=_per_particle(mu, "mu", like, positive=False),
        )

    def replace(self, **changes: object) -> Particles:
        """Return a copy with some arrays changed, all checked again; the others are shared."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        unknown = sorted(set(changes) - set(values))
        if unknown:
            raise ConfigError(f"{unknown[0]}: expected a field of Particles, one of {sorted(values)}")
        values.update(changes)
        return Particles.create(values.pop("x"), dtype=self.dtype, **values)


@dataclass(frozen=True)
class _Like:
    """What the arrays of a body have in common."""

    count: int
    dtype: np.dtype[np.floating]
    device: str

    def array(self, value: object, name: str, *shape: int) -> Array:
        """Return `value`, checked."""
        return as_array(value, name, (self.count, *shape), self.dtype, device=self.device)

    def filled(self, value: object, *shape: int) -> Array:
        """Return an array that repeats a value."""
        array = aligned(np.broadcast_to(np.asarray(value, self.dtype), (self.count, *shape)))
        return place(array, self.device)


def _check_rest(Fp: Array) -> None:
    if isinstance(Fp, DeviceArray):
        if _core.count_inverted(Fp) > 0:
            raise ConfigError("Fp: expected det Fp > 0, got some that are not")
        return
    det = np.linalg.det(Fp)
    if not (det > 0).all():
        p = int(np.argmin(det > 0))
        raise ConfigError(f"Fp: expected det Fp > 0, got {det[p]:g} at index {p}")


def _per_particle(value: object, name: str, like: _Like, *, positive: bool) -> Array:
    refuse_grad(value, name)
    limit = "> 0" if positive else ">= 0"
    if getattr(value, "ndim", 0) == 0 and not isinstance(value, list | tuple):
        try:
            with np.errstate(over="ignore"):  # infinity is refused below
                number = like.dtype.type(float(value))  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            raise ConfigError(f"{name}: expected a number or shape ({like.count},), got {value!r}") from None
        if not (np.isfinite(number) and (number > 0 if positive else number >= 0)):
            raise ConfigError(f"{name}: expected finite values {limit}, got {number:g} at index 0")
        return like.filled(number)
    array = like.array(value, name)
    if isinstance(array, DeviceArray):
        zero = like.dtype.type(0)
        if _core.count_not_above(array, float(zero if positive else np.nextafter(zero, -like.dtype.type(1)))) > 0:
            raise ConfigError(f"{name}: expected finite values {limit}, got some that are not")
        return array
    bad = (array <= 0) if positive else (array < 0)
    if bad.any():
        p = int(np.argmax(bad))
        raise ConfigError(f"{name}: expected finite values {limit}, got {array[p]:g} at index {p}")
    return array
