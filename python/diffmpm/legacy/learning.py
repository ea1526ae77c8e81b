# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Controls of a graph as a PyTorch tensor: backward() of the tensors of its layers reaches them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

from .._arrays import Array
from .._build_info import TORCH_SUPPORT
from ..errors import ConfigError
from ..types import Particles
from .clouds import PointCloud, import_torch

if TYPE_CHECKING:
    import torch

    from ..mpm import Rollout


class Learnable:
    """PyTorch methods of a graph. The public ones exist only in builds with PyTorch support."""

    _controls: Array | None
    set_controls: Callable[[object], None]
    _learnable = False
    _tensor: torch.Tensor | None = None  # shares the memory of _controls
    _last_version = 0  # version of _tensor in the last forward pass

    if TORCH_SUPPORT:

        def requires_grad_(self, requires_grad: bool = True) -> Learnable:
            """Make the controls learnable, or constant again.

            `controls` is then a leaf tensor that any optimiser may change in place. The tensors that the point clouds
            of later layers return with requires_grad=True carry history and retain their `.grad`, and backward()
            continues through the physics, exactly, into `controls.grad`. If the controls have changed since the last
            pass, it is repeated before its result is returned.

            Args:
                requires_grad: Whether they are learnable.

            Returns:
                The graph.

            Raises:
                ImportError: If PyTorch is not installed.
            """
            import_torch("requires_grad_")
            self._learnable = bool(requires_grad)
            if not self._learnable:
                self._tensor = None
            return self

        @property
        def controls(self) -> torch.Tensor:
            """Controls dFc as a leaf tensor in the graph's memory, shape (L, N, 3, 3), after `requires_grad_`.

            Raises:
                ConfigError: If the controls are not learnable, or the graph is not set up.
            """
            if not self._learnable:
                raise ConfigError("controls: expected learnable ones; call requires_grad_(True) first")
            if self._controls is None:
                raise ConfigError(
                    "controls: expected layers, got the initial state alone; call set_up_comp_graph first"
                )
            if self._tensor is None:
                self._tensor = import_torch("controls").from_numpy(self._controls).requires_grad_()
                self._last_version = self._tensor._version
            return self._tensor

        @controls.setter
        def controls(self, value: object) -> None:
            if value is not self._tensor:  # 'graph.controls -= step' assigns the leaf itself
                self.set_controls(value)

    def _store_controls(self, controls: Array) -> None:
        """Replace the controls; a leaf of the same shape is updated in place, for optimisers that refer to it."""
        if self._tensor is not None and self._tensor.shape == controls.shape:
            self._tensor.data.copy_(import_torch("controls").from_numpy(controls))
        else:
            self._controls, self._tensor = controls, None

    def _controls_changed(self) -> bool:
        """Return, once, whether an optimiser has changed the controls since the last pass."""
        if self._tensor is None or self._tensor._version == self._last_version:
            return False
        self._last_version = self._tensor._version
        return True

    def _cloud(self, particles: Particles, control: int | None, rollout: Rollout | None, layer: int) -> PointCloud:
        """Return the point cloud of a layer; `control` is the index of the controls that act there."""
        if control is None or self._controls is None:
            cloud = PointCloud(particles)
        else:
            cloud = PointCloud(particles, self._controls[control].copy())
        if self._learnable and self._controls is not None:
            cloud._history = cache(partial(_tensors, particles, self.controls, control, rollout, layer))
        return cloud


def _tensors(
    particles: Particles, controls: torch.Tensor, control: int | None, rollout: Rollout | None, layer: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x and F + dFc of a layer in float32, with history back to the controls."""
    if rollout is None:  # the initial state
        torch = import_torch("get_positions_torch")
        x, F = (torch.from_numpy(a).clone() for a in (particles.x, particles.F))
        x.requires_grad_()
    else:
        from ..torch.mpm import attach

        x, F = attach(rollout, layer, controls)
    if control is not None:
        F = F + controls[control]
    tensors = x.float(), F.float()
    for tensor in tensors:
        if tensor.requires_grad:  # not under no_grad
            tensor.retain_grad()
    return tensors
