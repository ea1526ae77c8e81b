# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Objectives of a morph: the protocol, and the objective made of one loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

from .._arrays import Array
from ..losses import Goals, Loss, Transport
from ..mpm import Rollout
from ..types import Particles

History = tuple[dict[str, Any], ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Objective of one rollout."""

    roll: Rollout
    """The rollout."""
    value: float
    """The objective."""
    terms: dict[str, float]
    """Value of each term; they add up to `value`."""
    gradient: Callable[[], Array]
    """Returns the gradient with respect to the controls, shape (L, N, 3, 3)."""
    report: Callable[[], dict[str, Any]] = dict
    """Returns further entries for the record of the window. If the objective changes between windows, "merit" compares
    their ends instead of the loss."""


class WindowObjective(Protocol):
    """Objective of one window."""

    @property
    def reads_G(self) -> bool:
        """Whether it reads the motion gradient of the rollouts, which takes more than a quarter of their memory."""

    def evaluate(self, roll: Rollout) -> Evaluation:
        """Return the objective at the end of a rollout. The first rollout of a window is the one without control."""


class Objective(Protocol):
    """Objective of a morph."""

    allows_groups: ClassVar[bool]
    """Whether a window may merge neighbouring particles on a coarse grid."""

    def begin_window(self, body: Particles, history: History) -> WindowObjective:
        """Return the objective of the window that starts at `body` after the windows in `history`."""


@dataclass(frozen=True)
class LossObjective:
    """A loss of the end of a rollout. Its weights follow their schedules from window to window.

    Args:
        loss: The loss.
        windows: Largest number of windows of the morph.
        transport: Optimal transport that assigns goals to the particles at the start of each window, if any.
        transport_weight: Weight of these goals.
        sample_loss: Loss of a second sample of the target, 0 if unknown; part of each record.
    """

    loss: Loss
    windows: int = 1
    transport: Transport | None = None
    transport_weight: float = 0.0
    sample_loss: float = 0.0
    allows_groups: ClassVar[bool] = True

    def begin_window(self, body: Particles, history: History) -> LossWindow:
        """Return the loss with the weights and goals of this window."""
        return LossWindow(self.window_loss(body), progress_of(history, self.windows), self.sample_loss)

    def window_loss(self, body: Particles) -> Loss:
        """Return the loss of the window that starts at `body`."""
        if self.transport is None or self.transport_weight == 0.0:
            return self.loss
        goals = self.transport.goals(body)
        return self.loss + Goals(goals, unit=self.transport.unit, weight=self.transport_weight)


@dataclass(frozen=True)
class LossWindow:
    """A loss with its weights at a progress of the morph from 0 to 1."""

    loss: Loss
    progress: float
    sample_loss: float = 0.0
    reads_G: ClassVar[bool] = False

    def evaluate(self, roll: Rollout) -> Evaluation:
        """Return the loss at the end of a rollout."""
        value = self.loss.evaluate(roll, progress=self.progress)
        gradient = partial(control_gradient, roll, value.adj)
        return Evaluation(roll, value.value, value.terms, gradient, lambda: {"sample_loss": self.sample_loss})


def progress_of(history: History, windows: int) -> float:
    """Return the progress of the window after those in `history`: 0 in the first, 1 in the last of `windows`."""
    return len(history) / max(1, windows - 1)


def control_gradient(roll: Rollout, adj: dict[str, Any]) -> Array:
    """Return the gradient with respect to the controls, shape (L, N, 3, 3), for cotangents of the end."""
    gradient = roll.vjp(**adj, wrt=("control",)).control
    assert gradient is not None
    return gradient
