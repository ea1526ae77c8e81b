# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The base of the optimisers, and the table of optimisers by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from .._arrays import Array
from ..errors import ConfigError

State = dict[str, Any]


class Optimizer(ABC):
    """Propose steps for one array of controls.

    A state consists of numbers and of arrays that are replaced, never written into: taking it copies nothing, and
    restoring it undoes a rejected proposal exactly. Subclasses set `START` and define `direction`.
    """

    START: ClassVar[State] = {}
    """Initial state."""

    def __init__(self) -> None:
        self.reset()

    @abstractmethod
    def direction(self, control: Array, gradient: Array) -> Array:
        """Return the direction d of the step `control - step * d`, and update the state.

        Args:
            control: Point at which the gradient was computed, any shape.
            gradient: Gradient of the objective, shape of `control`, finite; must not be written into later.
        """

    def state(self) -> State:
        """Return the state that `direction` depends on."""
        return dict(self._state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set the state to one that `state` returned."""
        self._state = dict(state)

    def reset(self) -> None:
        """Discard the state."""
        self._state = dict(self.START)


def make_optimizer(name: str, **options: Any) -> Optimizer:
    """Return an optimiser by name.

    Args:
        name: "adam", "gradient_descent" or "lbfgs".
        **options: Arguments of its class.

    Raises:
        ConfigError: If the name is unknown.
    """
    from .adam import Adam
    from .descent import GradientDescent
    from .lbfgs import LBFGS

    table = {"adam": Adam, "gradient_descent": GradientDescent, "lbfgs": LBFGS}
    if name not in table:
        raise ConfigError(f"optimizer: expected one of {', '.join(sorted(table))}, got {name!r}")
    optimizer: Optimizer = table[name](**options)
    return optimizer
