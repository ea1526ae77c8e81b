# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Groups of neighbouring particles. On a coarse grid, which cannot tell them apart, a group acts as one particle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import _core
from .._arrays import Array, device_of, move_to, to_host
from ..types import Particles


@dataclass(frozen=True, eq=False)
class Groups:
    """A partition of N particles into M groups.

    Args:
        order: Indices of the particles, those of a group one after the other, shape (N,).
        starts: Start of each group in `order`, ascending from 0, shape (M,).
    """

    order: Array
    starts: Array

    def merge(self, body: Particles) -> Particles:
        """Return one particle per group.

        Masses and volumes are sums. F and Fp, whose mean need not be a state of the material, are those of the particle
        closest to the mean F. Everything else is a mean.

        Args:
            body: N particles on any device.

        Returns:
            M particles on the same device, without colours.
        """
        arrays = {name: np.asarray(a) for name, a in vars(body.to("cpu")).items() if a is not None and name != "color"}
        fields = {name: self._sum(arrays[name]) for name in ("mass", "volume")}
        fields |= {name: self._mean(arrays[name]) for name in ("x", "v", "C", "lam", "mu")}
        group, F = self._groups(), arrays["F"]
        far = np.square(F - self._mean(F)[group], dtype=np.float64).sum(axis=(1, 2))
        closest = np.lexsort((far, group))[self.starts]
        fields |= {name: arrays[name][closest] for name in ("F", "Fp") if name in arrays}
        return Particles.create(**{name: array.astype(body.dtype) for name, array in fields.items()}).to(body.device)

    def spread(self, control: Array, merged: Particles, body: Particles) -> Array:
        """Return controls that change each particle like its group.

        A control D of a group moves its deformation gradient F_g to (1 + D F_g^-1) F_g. The same motion moves that of a
        particle, F, by D F_g^-1 F.

        Args:
            control: Controls of the groups, shape (L, M, 3, 3).
            merged: What `merge` returned for `body`.
            body: N particles.

        Returns:
            Controls of the particles, shape (L, N, 3, 3).
        """
        group = self._groups()
        relative = np.linalg.solve(np.asarray(to_host(merged.F), np.float64)[group], to_host(body.F))
        spread = to_host(control)[:, group] @ relative.astype(body.dtype)
        return move_to(np.ascontiguousarray(spread), device_of(control))

    def _groups(self) -> Array:
        """Return the group of each particle, shape (N,)."""
        group = np.empty_like(self.order)
        group[self.order] = np.repeat(np.arange(len(self.starts)), self._sizes())
        return group

    def _sizes(self) -> Array:
        """Return the number of particles of each group, shape (M,)."""
        return np.diff(self.starts, append=len(self.order))

    def _sum(self, values: Array) -> Array:
        return np.add.reduceat(values[self.order], self.starts, axis=0, dtype=np.float64)

    def _mean(self, values: Array) -> Array:
        return self._sum(values) / self._sizes().reshape(-1, *(1 for _ in values.shape[1:]))


def groups_of(x: Array, largest: float, widest: float) -> Groups | None:
    """Return groups of neighbouring particles, about equally many in each.

    The body is halved at the median along its longest edge, again and again.

    Args:
        x: Positions, shape (N, 3), on any device.
        largest: Largest number of particles of a group; most have at least about half as many.
        widest: Longest edge of the bounding box of a group. Wider ones, whose particles belong to different parts of
            the body, are halved further.

    Returns:
        The groups, or None if `largest` is below 2.
    """
    if largest < 2.0:
        return None
    return Groups(*_core.compact_groups(np.ascontiguousarray(to_host(x), np.float64), int(largest), widest))
