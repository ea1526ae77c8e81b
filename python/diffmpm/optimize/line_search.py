# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Backtracking line search that accepts only what its judge accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from .. import _core
from .._arrays import Array, as_positive
from .._options import Range, as_integer
from ..errors import ConfigError
from .base import contiguous

Payload = TypeVar("Payload")


class Rejected(Exception):
    """Raised by the evaluation of a trial that must not be accepted, whatever its value; its text is the reason."""


@dataclass(frozen=True)
class LineSearchResult(Generic[Payload]):
    """Outcome of a line search."""

    step: float
    """Accepted step, 0 if none was."""
    control: Array
    """Accepted controls; those of the start if no step was accepted."""
    value: float
    """Objective at `control`."""
    payload: Payload | None
    """What the evaluation returned for the accepted trial."""
    trials: int
    """Number of evaluations."""
    rejected: dict[str, int] = field(default_factory=dict)
    """How many trials failed, by reason: "increase", "not_finite" or the text of `Rejected`."""

    @property
    def accepted(self) -> bool:
        """Whether a step was accepted."""
        return self.step > 0.0


def backtracking(
    evaluate: Callable[[Array], tuple[float, Payload]],
    control: Array,
    value: float,
    direction: Array,
    *,
    step: float,
    shrink: float = 0.5,
    trials: int = 10,
) -> LineSearchResult[Payload]:
    """Try `control - step * direction` with ever smaller steps until the objective falls.

    Args:
        evaluate: Returns (objective, payload) of controls, or raises `Rejected`.
        control: Start, any shape; never written into.
        value: Objective at the start.
        direction: Step direction, shape of `control`.
        step: First step, above 0.
        shrink: Factor from one trial to the next, in (0, 1).
        trials: Largest number of evaluations, at least 1.

    Raises:
        ConfigError: If `step`, `shrink` or `trials` is out of range.
    """
    as_positive(step, "step")
    if not as_positive(shrink, "shrink") < 1.0:
        raise ConfigError(f"shrink: expected a number in (0, 1), got {shrink!r}")
    as_integer(trials, "trials", Range(least=1, most=1 << 20))
    rejected: dict[str, int] = {}
    for trial in range(trials):
        candidate = _core.descend(contiguous(control), step, contiguous(direction))
        try:
            new_value, payload = evaluate(candidate)
            reason = "" if new_value < value else ("increase" if np.isfinite(new_value) else "not_finite")
        except Rejected as rejection:
            reason = str(rejection)
        if not reason:
            return LineSearchResult(step, candidate, new_value, payload, trial + 1, rejected)
        rejected[reason] = rejected.get(reason, 0) + 1
        step *= shrink
    return LineSearchResult(0.0, control, value, None, trials, rejected)
