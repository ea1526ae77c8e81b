# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What every optimiser offers, and the table of optimisers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .. import _core
from .._arrays import Array
from ..errors import ConfigError

State = dict[str, Any]


class Optimizer(Protocol):
    """Propose steps for one array of controls.

    A state is made of plain numbers and of arrays that are replaced and never written into, so that taking it costs
    nothing and restoring it undoes a rejected proposal exactly.
    """

    def direction(self, control: Array, gradient: Array) -> Array:
        """Return the direction d of the step `control - step * d` and remember what the next one needs.

        Args:
            control: Where the gradient was taken, any shape.
            gradient: Gradient of the objective, shape of `control`, finite.
        """
        ...

    def state(self) -> State:
        """Return everything that `direction` depends on."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` returned."""
        ...

    def reset(self) -> None:
        """Forget the past."""
        ...


def make_optimizer(name: str, **options: Any) -> Optimizer:
    """Make an optimiser by name.

    Args:
        name: "adam", "gradient_descent" or "lbfgs".
        **options: Arguments of its class.

    Raises:
        ConfigError: If there is none of that name.
    """
    from .adam import Adam
    from .descent import GradientDescent
    from .lbfgs import LBFGS

    table = {"adam": Adam, "gradient_descent": GradientDescent, "lbfgs": LBFGS}
    if name not in table:
        raise ConfigError(f"optimizer: expected one of {', '.join(sorted(table))}, got {name!r}")
    made: Optimizer = table[name](**options)
    return made


def unit_rms(gradient: Array) -> Array:
    """Return the gradient divided by the root mean square of its entries; zero stays zero."""
    largest, factor = _core.unit_scale(contiguous(gradient))
    if largest == 0.0:
        return gradient
    scaled: Array = gradient / gradient.dtype.type(largest)  # the squares of tiny float32 numbers would underflow
    scaled *= gradient.dtype.type(factor)
    return scaled


def contiguous(array: Array) -> Array:
    """Return an array as the core takes it; those of a device always are."""
    return np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array
