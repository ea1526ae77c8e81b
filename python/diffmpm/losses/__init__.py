# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses on a rollout: value and exact gradient from one call; a sum of losses is a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import _core
from .._arrays import Array, as_array, as_positive, place, to_host
from ..errors import ConfigError
from ..types import Particles
from .image import (
    Color,
    Depth,
    ImageLoss,
    Images,
    SilhouetteBCE,
    SilhouetteDistance,
    SilhouetteL1,
    SilhouetteL2,
    SilhouettePyramid,
    WeightSchedule,
)
from .structure import SSIM, CovarianceSize, CovarianceSpectrum, EdgeAlignment
from .value import LossValue

if TYPE_CHECKING:
    from ..mpm import Rollout

__all__ = [
    "SSIM",
    "Color",
    "CovarianceSize",
    "CovarianceSpectrum",
    "Depth",
    "EdgeAlignment",
    "ImageLoss",
    "Images",
    "Kinetic",
    "LogMass",
    "Loss",
    "LossValue",
    "SilhouetteBCE",
    "SilhouetteDistance",
    "SilhouetteL1",
    "SilhouetteL2",
    "SilhouettePyramid",
    "SquaredMass",
    "Sum",
    "WeightSchedule",
]


class Loss(ABC):
    """A scalar of a rollout. Subclasses write `_evaluate` without the weight, and a `name`."""

    name: str
    weight: float

    def __init__(self, weight: float) -> None:
        self.weight = as_positive(weight, "weight", zero=True)

    @abstractmethod
    def _evaluate(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted value and its cotangents."""

    def evaluate(self, roll: Rollout) -> LossValue:
        """Return value, gradient and terms at a rollout's end; the gradient is the gradient of the value."""
        value, adj = self._evaluate(roll)
        if self.weight != 1.0:
            value, adj = self.weight * value, _scaled(adj, self.weight)
        return LossValue(value, adj, {self.name: value})

    def scaled(self, factor: float) -> Loss:
        """Return the same loss with its weight multiplied."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.weight = as_positive(self.weight * as_positive(factor, "factor", zero=True), "weight", zero=True)
        return copy

    def __add__(self, other: Loss) -> Loss:
        return Sum([self, other])

    def __mul__(self, factor: float) -> Loss:
        return self.scaled(factor)

    __rmul__ = __mul__


class Sum(Loss):
    """Sum of losses.

    Args:
        parts: Losses, each with its own weight.
    """

    name = "sum"

    def __init__(self, parts: Sequence[Loss]) -> None:
        super().__init__(1.0)
        flat: list[Loss] = []
        for part in parts:
            if not isinstance(part, Loss):
                raise ConfigError(f"parts: expected losses, got {type(part).__name__}")
            flat += part.parts if isinstance(part, Sum) else [part]
        self.parts: tuple[Loss, ...] = tuple(flat)

    def scaled(self, factor: float) -> Loss:
        """Return the sum with every weight multiplied."""
        return Sum([part.scaled(as_positive(factor, "factor", zero=True)) for part in self.parts])

    def _evaluate(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        result = self.evaluate(roll)
        return result.value, result.adj

    def evaluate(self, roll: Rollout) -> LossValue:
        """Return the sums of the parts' values and cotangents, and every term."""
        value, adj, terms = 0.0, dict[str, Any](), dict[str, float]()
        for part in self.parts:
            one = part.evaluate(roll)
            value += one.value
            adj = _added(adj, one.adj)
            for name, term in one.terms.items():
                terms[name] = terms.get(name, 0.0) + term
        return LossValue(value, adj, terms)


class _GridMass(Loss):
    kind: int

    def __init__(self, target: object, *, m_ref: float = 1.0, weight: float = 1.0, outside_weight: float = 1.0) -> None:
        super().__init__(weight)
        self.target = target if isinstance(target, Particles) else _masses(target)
        self._on_grid: tuple[tuple[Any, ...], Array] | None = None  # of the last grid asked for
        self.m_ref = as_positive(m_ref, "m_ref")
        self.outside_weight = as_positive(outside_weight, "outside_weight", zero=True)

    def _evaluate(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        target = self._target_mass(roll)
        value, adj = _core.loss_grid_mass(self.kind, roll.grid_mass(), target, self.m_ref, self.outside_weight)
        return value, {"adj_grid_mass": adj}

    def _target_mass(self, roll: Rollout) -> Array:
        """Return the target's mass on the rollout's grid and device; particles are spread once a grid."""
        body = roll.particles
        key = roll.config, body.dtype, body.device
        if self._on_grid is None or self._on_grid[0] != key:
            target = self.target
            mass = to_host(roll.grid_mass_of(target)) if isinstance(target, Particles) else target
            if mass.shape != roll.config.dims:
                raise ConfigError(
                    f"target: expected the grid's shape {roll.config.dims}, got {mass.shape}; "
                    "make it with diffmpm.grid_mass and the simulation's config, or pass particles"
                )
            mass = mass.astype(body.dtype, copy=False)
            self._on_grid = key, place(mass, body.device)
        return self._on_grid[1]


def _masses(target: object) -> Array:
    mass = to_host(as_array(target, "target", (None, None, None), device="any"))
    if mass.size and mass.min() < 0.0:
        raise ConfigError(f"target: expected masses >= 0, got {mass.min():g}")
    return mass


class LogMass(_GridMass):
    """1/2 sum_i w_i [log(1 + m_i / m_ref) - log(1 + m*_i / m_ref)]^2 over grid nodes, at the rollout's end.

    Args:
        target: Mass m* [kg] of the target on the simulation's grid, shape `config.dims` (see `diffmpm.grid_mass`), or
            the target as particles, which must lie inside the grid.
        m_ref: Reference mass [kg], above 0.
        weight: Factor of the loss, at least 0.
        outside_weight: Factor w_i of nodes where the target has no mass, at least 0.

    References:
        Xu et al. 2024, arXiv 2409.15746; docs/method.md, section 4.
    """

    name = "log_mass"
    kind = 0


class SquaredMass(_GridMass):
    """1/2 sum_i w_i (m_i - m*_i)^2 over grid nodes; arguments as for `LogMass` (m_ref has no effect)."""

    name = "squared_mass"
    kind = 1


class Kinetic(Loss):
    """Mean of |v|^2 [m^2/s^2] over the particles, at the rollout's end or over all its steps.

    Args:
        window: Whether to take the mean over layers 1 to T instead of the end alone.
        weight: Factor of the loss, at least 0.
    """

    name = "kinetic"

    def __init__(self, *, window: bool = False, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.window = window

    def _evaluate(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        if not self.window or roll.steps == 0:
            value, adj = _core.loss_kinetic(roll.v)
            return value, {"adj_v": adj}
        total, layers = 0.0, {}
        for n in range(1, roll.steps + 1):
            value, adj = _core.loss_kinetic(roll.state(n).v)
            total += value / roll.steps
            layers[n] = {"adj_v": adj / adj.dtype.type(roll.steps)}
        return total, {"layers": layers}


def _scaled(adj: dict[Any, Any], factor: float) -> dict[Any, Any]:
    """Return cotangents, nested by layer or not, times a number."""
    return {k: _scaled(a, factor) if isinstance(a, dict) else a * a.dtype.type(factor) for k, a in adj.items()}


def _added(a: dict[Any, Any], b: dict[Any, Any]) -> dict[Any, Any]:
    """Return the sum of cotangents, nested by layer or not."""
    out = dict(a)
    for key, value in b.items():
        if key not in out:
            out[key] = value
        else:
            out[key] = _added(out[key], value) if isinstance(value, dict) else out[key] + value
    return out
