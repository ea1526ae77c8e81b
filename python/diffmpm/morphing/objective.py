# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What a morph minimises, as its windows see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from .._arrays import Array
from ..losses import Loss
from ..mpm import Rollout
from ..types import Particles

History = tuple[dict[str, Any], ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Objective of one rollout."""

    value: float
    """The objective."""
    terms: dict[str, float]
    """Value of each term; they add up to `value`."""
    parts: tuple[Any, ...]
    """What the objective's own `gradient` and `report` need."""


class Objective(Protocol):
    """Objective of a morph, and of one window after `begin_window`."""

    def begin_window(self, body: Particles, history: History) -> Objective:
        """Return the objective of the window that starts at `body`, after those in `history`."""

    def evaluate(self, roll: Rollout) -> Evaluation:
        """Return the objective of a rollout's end; the first rollout of a window is that without control."""

    def gradient(self, roll: Rollout, evaluation: Evaluation) -> Array:
        """Return the gradient in the controls, shape (L, N, 3, 3)."""

    def report(self, evaluation: Evaluation) -> dict[str, Any]:
        """Return what the record of a window says besides loss and terms.

        "merit" compares the ends of windows where the objective changes from one to the next; without it the loss does.
        """


class LossObjective:
    """A loss of the rollout's end, the same in every window.

    Args:
        loss: The loss.
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def begin_window(self, body: Particles, history: History) -> LossObjective:
        """Return the objective itself."""
        return self

    def evaluate(self, roll: Rollout) -> Evaluation:
        """Return the loss of a rollout's end."""
        found = self.loss.evaluate(roll)
        return Evaluation(found.value, found.terms, (found.adj,))

    def gradient(self, roll: Rollout, evaluation: Evaluation) -> Array:
        """Return the gradient in the controls, shape (L, N, 3, 3)."""
        gradient = roll.vjp(**evaluation.parts[0], wrt=("control",)).control
        assert gradient is not None
        return gradient

    def report(self, evaluation: Evaluation) -> dict[str, Any]:
        """Return nothing."""
        return {}
