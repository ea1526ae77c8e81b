# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What all losses share: a name, a weight, sums, and what they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from .._arrays import as_positive
from ..errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..mpm import Rollout

Part = TypeVar("Part")


@dataclass(frozen=True)
class LossValue:
    """Value of a loss and its gradient."""

    value: float
    """The loss."""
    adj: dict[str, Any]
    """Cotangents as keyword arguments of `Rollout.vjp` (arrays of the end, and `layers` for those before) or, for an
    image loss, of `Raster.vjp`."""
    terms: dict[str, float] = field(default_factory=dict)
    """Value of each named term, weight included; they add up to `value`."""


def weighted(name: str, weight: float, value: float, adj: dict[str, Any]) -> LossValue:
    """Return a loss times its weight."""
    if weight != 1.0:
        value, adj = weight * value, _scaled(adj, weight)
    return LossValue(value, adj, {name: value})


def total(values: Sequence[LossValue]) -> LossValue:
    """Return the sums of values, cotangents and terms."""
    value, adj, terms = 0.0, dict[str, Any](), dict[str, float]()
    for one in values:
        value += one.value
        adj = _added(adj, one.adj)
        for name, term in one.terms.items():
            terms[name] = terms.get(name, 0.0) + term
    return LossValue(value, adj, terms)


class Parts(Generic[Part]):
    """The parts of a sum; sums among them are taken apart."""

    parts: Sequence[Part]

    def _take_parts(self, kind: Any) -> None:
        flat: list[Part] = []
        for part in self.parts:
            if not isinstance(part, kind):
                raise ConfigError(f"parts: expected losses of one kind, got {type(part).__name__}")
            flat += part.parts if isinstance(part, Parts) else [part]
        object.__setattr__(self, "parts", tuple(flat))


@dataclass(frozen=True, eq=False, kw_only=True)
class Loss(ABC):
    """A scalar of a rollout. A subclass has a `name` and the method `compute`; losses can be added and multiplied.

    Raises:
        ConfigError: If the weight is negative or not finite.
    """

    name: ClassVar[str]
    weight: float = 1.0
    """Factor of the loss, at least 0."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", as_positive(self.weight, "weight", zero=True))

    @abstractmethod
    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the loss of a rollout without its weight, and the cotangents that `Rollout.vjp` takes."""

    def evaluate(self, roll: Rollout) -> LossValue:
        """Return value, gradient and terms at a rollout's end; the gradient is the gradient of the value."""
        return weighted(self.name, self.weight, *self.compute(roll))

    def scaled(self, factor: float) -> Self:
        """Return the same loss with its weight multiplied."""
        return replace(self, weight=self.weight * as_positive(factor, "factor", zero=True))

    def __add__(self, other: Loss) -> Loss:
        return Sum((self, other))

    def __mul__(self, factor: float) -> Self:
        return self.scaled(factor)

    __rmul__ = __mul__


@dataclass(frozen=True, eq=False)
class Sum(Loss, Parts[Loss]):
    """Sum of losses.

    Args:
        parts: Losses, each with its own weight.
    """

    name = "sum"
    parts: Sequence[Loss]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take_parts(Loss)

    def scaled(self, factor: float) -> Self:
        """Return the sum with every weight multiplied."""
        return replace(self, parts=tuple(part.scaled(factor) for part in self.parts))

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Any]]:
        """Return the sums of the parts' values and cotangents."""
        found = self.evaluate(roll)
        return found.value, found.adj

    def evaluate(self, roll: Rollout) -> LossValue:
        """Return the sums of the parts' values and cotangents, and every term."""
        return total([part.evaluate(roll) for part in self.parts])


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
