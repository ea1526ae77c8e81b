# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gradients of an image loss, passed to the graph as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arrays import Array, as_array, dot
from ..errors import ConfigError
from ..losses import Loss
from ..mpm import Rollout
from ..types import Particles


@dataclass(frozen=True)
class RenderGradients:
    """Gradients of an image loss at the end layer."""

    dLdF: Array
    """With respect to F, shape (N, 3, 3)."""
    dLdx: Array
    """With respect to x, shape (N, 3)."""
    count: int = 1
    """Number of contributions."""

    @staticmethod
    def create(dLdF: object, dLdx: object, body: Particles) -> RenderGradients:
        """Check the arrays and convert them to the dtype of the body; None stands for zero, but not for both."""
        if dLdF is None and dLdx is None:
            raise ConfigError(
                "dLdF_render: expected gradients, got None for both; use clear_render_gradients to remove them"
            )

        def checked(value: object, name: str, *shape: int) -> Array:
            return np.zeros(shape, body.dtype) if value is None else as_array(value, name, shape).astype(body.dtype)

        n = body.count
        return RenderGradients(checked(dLdF, "dLdF_render", n, 3, 3), checked(dLdx, "dLdx_render", n, 3))

    def __add__(self, other: RenderGradients) -> RenderGradients:
        return RenderGradients(self.dLdF + other.dLdF, self.dLdx + other.dLdx, self.count + other.count)


@dataclass(frozen=True, eq=False)
class RenderModel(Loss):
    """Linear model <dLdF, F - F_ref> + <dLdx, x - x_ref> of the image loss, zero at the state (x_ref, F_ref)."""

    name = "render"

    gradients: RenderGradients
    x_ref: Array
    F_ref: Array

    def compute(self, roll: Rollout) -> tuple[float, dict[str, Array]]:
        """Return the value of the model and its cotangents."""
        g = self.gradients
        value = dot(g.dLdF.astype(np.float64), roll.F.astype(np.float64) - self.F_ref)
        value += dot(g.dLdx.astype(np.float64), roll.x.astype(np.float64) - self.x_ref)
        return float(value), {"adj_F": g.dLdF, "adj_x": g.dLdx}


class RenderInput:
    """Methods of a graph that take gradients of image losses at its end layer."""

    _initial: Particles
    _render: RenderGradients | None

    def set_render_gradients(self, dLdF_render: object, dLdx_render: object) -> None:
        """Replace the gradients of an image loss at the end layer, which are added to those of the mass loss.

        They remain until they are replaced or cleared, or promotion starts another animation.

        Args:
            dLdF_render: Gradient with respect to the deformation gradients, shape (N, 3, 3); None for zero. Copied.
            dLdx_render: Gradient with respect to the positions, shape (N, 3); None for zero. Copied.

        Raises:
            ConfigError: If an array is invalid.
        """
        self._render = RenderGradients.create(dLdF_render, dLdx_render, self._initial)

    def accumulate_render_grads(self, dLdF_render: object, dLdx_render: object) -> None:
        """Add to the gradients of an image loss; arguments as for `set_render_gradients`."""
        more = RenderGradients.create(dLdF_render, dLdx_render, self._initial)
        self._render = more if self._render is None else self._render + more

    def clear_render_gradients(self) -> None:
        """Remove the gradients of image losses."""
        self._render = None

    def has_render_gradients(self) -> bool:
        """Return whether gradients of an image loss are set."""
        return self._render is not None

    def get_render_gradient_info(self) -> dict[str, Any]:
        """Return has_gradients, count (of contributions), num_particles, and the L2 norms dLdF_norm and dLdx_norm."""
        g = self._render
        return {
            "has_gradients": g is not None,
            "count": 0 if g is None else g.count,
            "num_particles": self._initial.count,
            "dLdF_norm": 0.0 if g is None else float(np.linalg.norm(g.dLdF.astype(np.float64))),
            "dLdx_norm": 0.0 if g is None else float(np.linalg.norm(g.dLdx.astype(np.float64))),
        }
