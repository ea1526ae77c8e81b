# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""What a loss returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LossValue:
    """Value of a loss and its gradient."""

    value: float
    """The loss."""
    adj: dict[str, Any]
    """Cotangents as keyword arguments of `Rollout.vjp`: arrays of the end, and `layers` for those before."""
    terms: dict[str, float] = field(default_factory=dict)
    """Value of each named term, weight included; they add up to `value`."""
