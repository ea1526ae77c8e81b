# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Controls of a graph as a PyTorch tensor: the tensors of its layers carry history, and one backward() reaches them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._arrays import Array
from .._build_info import TORCH_SUPPORT
from ..errors import ConfigError
from ..types import Particles
from .clouds import PointCloud, import_torch

if TYPE_CHECKING:
    import torch

    from ..mpm import Rollout


class Learnable:
    """The part of a graph that PyTorch learns; its public names exist in builds with PyTorch support only."""

    _controls: Array | None
    set_controls: Callable[[object], None]
    _learnable = False
    _tensor: torch.Tensor | None = None  # on the memory of _controls
    _seen = 0  # version of _tensor that the last forward pass ran with

    if TORCH_SUPPORT:

        def requires_grad_(self, requires_grad: bool = True) -> Learnable:
            """Make the controls learnable, or constant again.

            Then `controls` is a leaf tensor, which any optimiser may change in place; the tensors that the point clouds
            of later layers hand out with requires_grad=True carry history, keep their `.grad`, and backward() continues
            through the physics, exactly, into `controls.grad`. A pass that is older than the controls is run again
            when its result is asked for.

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
            """Controls dFc as a leaf tensor on the graph's own memory, shape (L, N, 3, 3), after `requires_grad_`.

            Raises:
                ConfigError: If the controls are not learnable, or nothing was set up.
            """
            if not self._learnable:
                raise ConfigError("controls: expected learnable ones; call requires_grad_(True) first")
            if self._controls is None:
                raise ConfigError(
                    "controls: expected layers, got the initial state alone; call set_up_comp_graph first"
                )
            if self._tensor is None:
                torch = import_torch("controls")
                self._tensor = torch.from_numpy(self._controls).requires_grad_()
                self._seen = self._tensor._version
            return self._tensor

        @controls.setter
        def controls(self, value: object) -> None:
            # 'graph.controls -= step' ends here with the leaf itself
            if value is not self._tensor:
                self.set_controls(value)

    def _keep_controls(self, controls: Array) -> None:
        """Take new controls; a leaf of the same shape keeps its identity, so that an optimiser may go on with it."""
        if self._tensor is not None and self._tensor.shape == controls.shape:
            self._tensor.data.copy_(import_torch("controls").from_numpy(controls))
        else:
            self._controls, self._tensor = controls, None

    def _controls_changed(self) -> bool:
        """Say, once, whether an optimiser has written into the controls since the last pass."""
        if self._tensor is None or self._tensor._version == self._seen:
            return False
        self._seen = self._tensor._version
        return True

    def _cloud(self, particles: Particles, control: int | None, rollout: Rollout | None, layer: int) -> PointCloud:
        """Return the point cloud of a layer of a run; `control` is the index of the controls that act there."""
        acting = None if control is None or self._controls is None else self._controls[control].copy()
        if not self._learnable or self._controls is None:
            return PointCloud(particles, acting)
        return LearnableCloud(particles, acting, self.controls, control, rollout, layer)


class LearnableCloud(PointCloud):
    """Particles of a layer whose tensors lead back into the controls of the graph; a copy's do not."""

    def __init__(
        self,
        particles: Particles,
        acting: Array | None,
        controls: torch.Tensor,
        control: int | None,
        rollout: Rollout | None,
        layer: int,
    ) -> None:
        super().__init__(particles, acting)
        self._history = (controls, control, rollout, layer)
        self._tensors: tuple[torch.Tensor, torch.Tensor] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return PointCloud, (self._particles, self._control)

    def _with_history(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x and F + dFc in float32, the same tensors at every call."""
        if self._tensors is None:
            controls, control, rollout, layer = self._history
            if rollout is None:  # the initial state
                torch = import_torch("get_positions_torch")
                x, F = (torch.from_numpy(a).clone() for a in (self.particles.x, self.particles.F))
                x.requires_grad_()
            else:
                from ..torch.mpm import attach

                x, F = attach(rollout, layer, controls)
            if control is not None:
                F = F + controls[control]
            self._tensors = x.float(), F.float()
            for tensor in self._tensors:
                if tensor.requires_grad:  # under no_grad there is no history to keep
                    tensor.retain_grad()
        return self._tensors

    if TORCH_SUPPORT:

        def get_positions_torch(self, requires_grad: bool = False) -> torch.Tensor:
            """Return the positions [m], shape (N, 3), float32; with requires_grad, the tensor with history."""
            return self._with_history()[0] if requires_grad else super().get_positions_torch()

        def get_def_grads_total_torch(self, requires_grad: bool = False) -> torch.Tensor:
            """Return F + dFc, shape (N, 3, 3), float32; with requires_grad, the tensor with history."""
            return self._with_history()[1] if requires_grad else super().get_def_grads_total_torch()
