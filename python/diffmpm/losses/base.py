# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Common base of the losses: name, weight, sums and results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import Field, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from .._arrays import add, as_positive, scaled
from .._deprecated import renamed_arguments, renamed_attributes
from .._options import Configuration, option
from .._repr import short_repr
from ..errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..mpm import Rollout

Part = TypeVar("Part", bound="Scalable")


@short_repr
@dataclass(frozen=True)
class LossValue:
    """Value of a loss and its gradient."""

    value: float
    """The loss."""
    adj: dict[str, Any]
    """Cotangents, as keyword arguments of `Rollout.vjp` (those of the end, and `layers` for earlier time steps) or, for
    an image loss, the fields of `Images` ("adj_alpha", ...)."""
    terms: dict[str, float] = field(default_factory=dict)
    """Weighted value of each named term; they add up to `value`."""


def weighted(name: str, weight: float, value: float, adj: dict[str, Any]) -> LossValue:
    """Return a loss times its weight."""
    if weight != 1.0:
        value, adj = weight * value, _scaled(adj, weight)
    return LossValue(value, adj, {name: value})


def total(values: Sequence[LossValue]) -> LossValue:
    """Return the sums of values, cotangents and terms."""
    sums = LossValue(0.0, {})
    for value in values:
        terms = sums.terms | {name: sums.terms.get(name, 0.0) + term for name, term in value.terms.items()}
        sums = LossValue(sums.value + value.value, _added(sums.adj, value.adj), terms)
    return sums


class Scalable(ABC):
    """A loss that a number can multiply."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        short_repr(cls)  # which `dataclass` does not replace

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """Return the loss with its weight, or its whole schedule, multiplied by a factor."""

    def __mul__(self, factor: float) -> Self:
        return self.scaled(factor)

    __rmul__ = __mul__


@renamed_arguments(kind="interpolation")
@renamed_attributes(kind="interpolation")
class WeightSchedule(Configuration):
    """Weight that changes during a run from `start` to `end`, linearly or along half a cosine wave."""

    start: float = option(default=1.0, doc="Weight at progress 0.", least=0)
    end: float = option(default=1.0, doc='Weight at progress 1; no effect for "constant".', least=0)
    interpolation: Literal["constant", "linear", "cosine"] = option(default="constant", doc="Course between them.")

    def at(self, progress: float) -> float:
        """Return the weight at a progress, which is clamped to [0, 1]."""
        t = min(1.0, max(0.0, progress))
        if self.interpolation == "constant":
            return self.start
        fraction = t if self.interpolation == "linear" else 0.5 - 0.5 * float(np.cos(np.pi * t))
        return self.start + (self.end - self.start) * fraction


class Weighted(Scalable):
    """A loss with a weight: a number or a schedule."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    weight: float | WeightSchedule

    def __post_init__(self) -> None:
        if not isinstance(self.weight, WeightSchedule):
            object.__setattr__(self, "weight", as_positive(self.weight, "weight", zero=True))

    def weight_at(self, progress: float) -> float:
        """Return the weight at a progress of the run from 0 to 1."""
        return self.weight.at(progress) if isinstance(self.weight, WeightSchedule) else float(self.weight)

    def scaled(self, factor: float) -> Self:
        """Return the loss with its weight, or its whole schedule, multiplied by a factor."""
        factor, weight = as_positive(factor, "factor", zero=True), self.weight
        if isinstance(weight, WeightSchedule):
            return replace(self, weight=replace(weight, start=factor * weight.start, end=factor * weight.end))
        return replace(self, weight=factor * weight)


class Parts(Generic[Part]):
    """The parts of a sum. Nested sums are flattened."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    parts: Sequence[Part]

    def scaled(self, factor: float) -> Self:
        """Return the sum with all weights multiplied by a factor."""
        return replace(self, parts=tuple(part.scaled(factor) for part in self.parts))

    def _flatten(self, cls: Any) -> None:
        flat: list[Part] = []
        for part in self.parts:
            if not isinstance(part, cls):
                raise ConfigError(f"parts: expected a sequence of {cls.__name__}, got {type(part).__name__} in it")
            flat += part.parts if isinstance(part, Parts) else [part]
        object.__setattr__(self, "parts", tuple(flat))


@dataclass(frozen=True, eq=False, kw_only=True)
class Loss(Weighted):
    """A scalar function of a rollout. Subclasses define `name` and `compute`; losses can be added and multiplied.

    Raises:
        ConfigError: If the weight is negative or not finite.
    """

    name: ClassVar[str]
    weight: float | WeightSchedule = 1.0
    """Factor of the loss, at least 0; a number is a constant schedule."""

    @abstractmethod
    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the unweighted loss of a rollout, and its cotangents as keyword arguments of `Rollout.vjp`."""

    def evaluate(self, roll: Rollout, *, progress: float = 0.0) -> LossValue:
        """Return the weighted value, its gradient and its terms. A loss whose schedule is at 0 is not computed.

        Args:
            roll: The rollout.
            progress: Progress of the run from 0 to 1, for the schedule of the weight.
        """
        weight = self.weight_at(progress)
        if weight == 0.0 and isinstance(self.weight, WeightSchedule):
            return LossValue(0.0, {}, {self.name: 0.0})
        return weighted(self.name, weight, *self.compute(roll))

    def __add__(self, other: Loss) -> Loss:
        return Sum((self, other))


@dataclass(frozen=True, eq=False)
class Sum(Parts[Loss], Loss):
    """Sum of losses.

    Args:
        parts: Losses, each with its own weight.
    """

    name = "sum"
    parts: Sequence[Loss]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._flatten(Loss)

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the sums of the values and cotangents."""
        value = self.evaluate(roll)
        return value.value, value.adj

    def evaluate(self, roll: Rollout, *, progress: float = 0.0) -> LossValue:
        """Return the sums of the values and cotangents, and all terms; see `Loss.evaluate`."""
        return total([part.evaluate(roll, progress=progress) for part in self.parts])


def _scaled(adj: dict[Any, Any], factor: float) -> dict[Any, Any]:
    """Return cotangents, with or without nesting by time step, times a factor."""
    return {k: _scaled(a, factor) if isinstance(a, dict) else scaled(a, factor) for k, a in adj.items()}


def _added(a: dict[Any, Any], b: dict[Any, Any]) -> dict[Any, Any]:
    """Return the sum of cotangents, with or without nesting by time step."""
    sums = a | b
    for key in a.keys() & b.keys():
        sums[key] = _added(a[key], b[key]) if isinstance(a[key], dict) else add(a[key], b[key])
    return sums
