# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Objectives of a morph: the protocol, and the objective made of one loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from .._arrays import Array
from ..losses import Loss
from ..mpm import Rollout
from ..types import Particles

History = tuple[dict[str, Any], ...]


class Evaluation(Protocol):
    """Objective of one rollout."""

    @property
    def roll(self) -> Rollout:
        """The rollout."""

    @property
    def value(self) -> float:
        """The objective."""

    @property
    def terms(self) -> dict[str, float]:
        """Value of each term; they add up to `value`."""

    def gradient(self) -> Array:
        """Return the gradient with respect to the controls, shape (L, N, 3, 3)."""

    def report(self) -> dict[str, Any]:
        """Return entries for the record of the window, in addition to loss and terms.

        Objectives that change between windows report "merit", which compares the ends of windows instead of the loss.
        """


class WindowObjective(Protocol):
    """Objective of one window."""

    def evaluate(self, roll: Rollout) -> Evaluation:
        """Return the objective at the end of a rollout. The first rollout of a window is the one without control."""


class Objective(Protocol):
    """Objective of a morph."""

    def begin_window(self, body: Particles, history: History) -> WindowObjective:
        """Return the objective of the window that starts at `body` after the windows in `history`."""


def control_gradient(roll: Rollout, adj: dict[str, Any]) -> Array:
    """Return the gradient with respect to the controls, shape (L, N, 3, 3), for cotangents of the end."""
    gradient = roll.vjp(**adj, wrt=("control",)).control
    assert gradient is not None
    return gradient


@dataclass(frozen=True, eq=False)
class LossEvaluation:
    """Loss of one rollout; see `Evaluation`."""

    roll: Rollout
    value: float
    terms: dict[str, float]
    adj: dict[str, Any]

    def gradient(self) -> Array:
        """Return the gradient with respect to the controls, shape (L, N, 3, 3)."""
        return control_gradient(self.roll, self.adj)

    def report(self) -> dict[str, Any]:
        """Return no further entries."""
        return {}


@dataclass(frozen=True)
class LossObjective:
    """A loss of the end of a rollout, the same in every window."""

    loss: Loss

    def begin_window(self, body: Particles, history: History) -> LossObjective:
        """Return the objective itself."""
        return self

    def evaluate(self, roll: Rollout) -> LossEvaluation:
        """Return the loss at the end of a rollout."""
        value = self.loss.evaluate(roll)
        return LossEvaluation(roll, value.value, value.terms, value.adj)
