# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Backtracking line search with rejection of invalid trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from .. import _core
from .._arrays import Array, as_positive, contiguous
from .._options import Range, as_integer
from .._repr import short_repr
from ..errors import ConfigError

Payload = TypeVar("Payload")

SHORTEST = 0.1
"""Smallest factor from one trial to the next."""


class Rejected(Exception):
    """Raise it in the evaluation of a trial that must not be accepted whatever its value; the text is the reason."""


@short_repr
@dataclass(frozen=True)
class LineSearchResult(Generic[Payload]):
    """Outcome of a line search."""

    step: float
    """Accepted step, 0 if none was."""
    control: Array
    """Accepted controls; the initial ones if no step was accepted."""
    value: float
    """Objective at `control`."""
    payload: Payload | None
    """Second result of the evaluation of the accepted trial."""
    trials: int
    """Number of evaluations."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Number of failed trials by reason: "increase", "not_finite" or the text of `Rejected`."""

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
    row: int | None = None,
    slope: float | None = None,
) -> LineSearchResult[Payload]:
    """Try `control - step * direction` with shorter and shorter steps until the objective falls.

    Args:
        evaluate: Returns (objective, payload) of controls, or raises `Rejected`.
        control: Initial controls, any shape; never written into.
        value: Objective at `control`.
        direction: Step direction, shape of `control`, or of `control[row]`.
        step: First step, above 0.
        shrink: Largest factor from one trial to the next, in (0, 1).
        trials: Maximum number of evaluations, at least 1.
        row: The only entry of `control` along its first axis that changes; None for all.
        slope: Inner product of gradient and direction. The next step is then the minimum of the parabola through both
            values, at least `SHORTEST` times the last step. If None or 0, or if a trial is not finite, it is `shrink`.

    Raises:
        ConfigError: If `step`, `shrink` or `trials` is out of range.
    """
    as_positive(step, "step")
    if not as_positive(shrink, "shrink") < 1.0:
        raise ConfigError(f"shrink: expected a number in (0, 1), got {shrink!r}")
    as_integer(trials, "trials", Range(least=1, most=1 << 20))
    rejected: dict[str, int] = {}
    start, direction = contiguous(control), contiguous(direction)
    for trial in range(trials):
        candidate = _core.add_scaled(start, -step, direction, row)
        factor = shrink
        try:
            new_value, payload = evaluate(candidate)
            reason = "" if new_value < value else ("increase" if np.isfinite(new_value) else "not_finite")
        except Rejected as rejection:
            reason = str(rejection)
        if not reason:
            return LineSearchResult(step, candidate, new_value, payload, trial + 1, rejected)
        expected = 0.0 if slope is None else slope * step
        if expected > 0.0 and reason == "increase":
            factor = min(shrink, max(SHORTEST, 0.5 * expected / (new_value - value + expected)))
        rejected[reason] = rejected.get(reason, 0) + 1
        step *= factor
    return LineSearchResult(0.0, control, value, None, trials, rejected)
