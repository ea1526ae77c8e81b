# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Tensors of a rollout that has run already, with history into its controls."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..mpm import Rollout


def attach(roll: Rollout, layer: int, control: Tensor) -> tuple[Tensor, Tensor]:
    """Return positions and deformation gradients of a layer as functions of the controls that the rollout ran with.

    Args:
        roll: A differentiable rollout.
        layer: Layer, 0 to T.
        control: Its controls, shape (L, N, 3, 3). What is differentiated is the run that was, whatever they are now.

    Returns:
        x, shape (N, 3), and F, shape (N, 3, 3), dtype of the particles.
    """
    x, F = _Attach.apply(roll, layer, control)
    return x, F


class _Attach(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, roll: Rollout, layer: int, control: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.roll, ctx.layer = roll, layer
        state = roll.state(layer)
        return torch.from_numpy(state.x), torch.from_numpy(state.F)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, adj_x: Tensor | None, adj_F: Tensor | None) -> tuple[Tensor | None, ...]:
        given = {"adj_x": adj_x, "adj_F": adj_F}
        cotangents: dict[str, np.ndarray] = {k: a.contiguous().numpy() for k, a in given.items() if a is not None}
        control = ctx.roll.vjp(layers={ctx.layer: cotangents}, wrt=("control",)).control
        return None, None, torch.from_numpy(control)
