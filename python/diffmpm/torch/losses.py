# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The losses of the package as functions of tensors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._arrays import Array
from .._options import Range, is_real
from ..config import SimConfig
from ..errors import ConfigError
from ..losses import Loss
from ..mpm import grid_mass as native_grid_mass
from ..mpm import grid_mass_vjp as native_grid_mass_vjp
from ..types import Particles
from ._operator import Function, once, operator, outside_graphs
from ._tensors import checked, shared

_AnyShape = Annotated[Array, ("...",)]


def _check_weights(m_ref: object, outside_weight: object, dtype: torch.dtype) -> None:
    """Refuse numbers of a mass loss that have the wrong sign, also after rounding to the dtype."""
    limits = torch.finfo(dtype)
    for name, value, sign, least in (
        ("m_ref", m_ref, ">", limits.smallest_normal),
        ("outside_weight", outside_weight, ">=", 0.0),
    ):
        if not is_real(value) or not least <= value <= limits.max:
            raise ConfigError(f"{name}: expected a number {sign} 0, got {value!r}")


@operator(
    results={"value": (), "adj_m": ("...",)},
    check=lambda args, sizes: _check_weights(args.m_ref, args.outside_weight, args.m.dtype),
)
def _mass_loss(
    m: _AnyShape, target: _AnyShape, loss: Annotated[int, Range(least=0, most=1)], m_ref: float, outside_weight: float
) -> tuple[Any, Array]:
    return _core.loss_grid_mass(_core.MassLoss(loss), m, target, m_ref, outside_weight, wait=False)  # type: ignore[no-any-return]


def _check_velocities(args: Any, sizes: dict[str, Any]) -> None:
    if sizes["n"] == 0:
        raise ConfigError("v: expected at least one particle, got shape (0, 3)")


@operator(results={"value": (), "adj_v": ("n", 3)}, check=_check_velocities)
def _kinetic_loss(v: Annotated[Array, ("n", 3)]) -> tuple[Any, Array]:
    return _core.loss_kinetic(v, wait=False)  # type: ignore[no-any-return]


def log_mass(m: Tensor, target: Tensor, *, m_ref: float = 1.0, outside_weight: float = 1.0) -> Tensor:
    """1/2 sum_i w_i [log(1 + m_i / m_ref) - log(1 + m*_i / m_ref)]^2 over grid nodes.

    Args:
        m: Mass [kg] on the grid, any shape (see `grid_mass`). Differentiable.
        target: Mass m* [kg] of the target, shape and dtype of `m`. Not differentiable.
        m_ref: Reference mass [kg], above 0.
        outside_weight: Factor w_i of nodes where the target has no mass, at least 0.

    Returns:
        The loss, shape (), dtype of `m`.

    Raises:
        ConfigError: If an argument does not fit.

    References:
        Xu et al. 2024, arXiv 2409.15746; docs/method.md, section 4.
    """
    return _mass(0, m, target, m_ref, outside_weight)


def squared_mass(m: Tensor, target: Tensor, *, outside_weight: float = 1.0) -> Tensor:
    """1/2 sum_i w_i (m_i - m*_i)^2 over grid nodes; arguments as for `log_mass`."""
    return _mass(1, m, target, 1.0, outside_weight)


def kinetic(v: Tensor) -> Tensor:
    """Return the mean of |v|^2 [m^2/s^2] over the particles.

    Args:
        v: Velocities [m/s], shape (N, 3). Differentiable.

    Raises:
        ConfigError: If it does not fit.
    """
    return _kinetic_loss(checked(v, "v", (None, 3), cuda=True))[0]  # type: ignore[no-any-return]


@outside_graphs
def objective(
    loss: Loss, config: SimConfig, *, x: Tensor, mass: Tensor, v: Tensor | None = None, F: Tensor | None = None
) -> Tensor:
    """Return the value of any `diffmpm.losses.Loss` at the end of a rollout, for example that of a morph.

    Args:
        loss: The loss; it may depend on the end state only.
        config: Options of the simulation, with a grid.
        x: Positions [m], shape (N, 3). Differentiable, as are all tensors.
        mass: Masses [kg], shape (N,).
        v: Velocities [m/s], shape (N, 3), if the loss reads them.
        F: Deformation gradients, shape (N, 3, 3), if the loss reads them.

    Returns:
        The loss, shape (), dtype of `x`.

    Raises:
        ConfigError: If an argument does not fit, or the loss reads one that is None.
    """
    if not isinstance(loss, Loss):
        raise ConfigError(f"loss: expected a diffmpm.losses.Loss, got {type(loss).__name__}")
    x = checked(x, "x", (None, 3))
    n = x.shape[0]
    mass = checked(mass, "mass", (n,), x)
    v = None if v is None else checked(v, "v", (n, 3), x)
    F = None if F is None else checked(F, "F", (n, 3, 3), x)
    return _objective.apply(loss, config, x, mass, v, F)[0]  # type: ignore[no-any-return]


def _mass(loss: int, m: Tensor, target: Tensor, m_ref: float, outside_weight: float) -> Tensor:
    m = checked(m, "m", (None,) * m.dim() if isinstance(m, Tensor) else (), cuda=True)
    target = checked(target, "target", tuple(m.shape), m, of="m")
    if target.requires_grad:
        raise ConfigError("target: expected a tensor without gradient, got one that requires it; pass target.detach()")
    _check_weights(m_ref, outside_weight, m.dtype)
    return _mass_loss(m, target, loss, float(m_ref), float(outside_weight))[0]  # type: ignore[no-any-return]


class _EndState:
    """The end of a rollout, with what a loss reads of it."""

    steps = 0

    def __init__(self, config: SimConfig, x: Tensor, mass: Tensor, v: Tensor | None, F: Tensor | None) -> None:
        self.config = config
        self.particles = SimpleNamespace(
            x=x.numpy(), mass=mass.numpy(), dtype=x.numpy().dtype, count=x.shape[0], device="cpu"
        )
        self._tensors = {"x": x, "v": v, "F": F}

    def __getattr__(self, name: str) -> np.ndarray:
        tensor = self.__dict__["_tensors"].get(name)
        if tensor is None:
            raise ConfigError(f"{name}: the loss reads it; pass it to objective, if it is an argument")
        array: np.ndarray = tensor.numpy()
        return array

    def grid_mass(self) -> np.ndarray:
        """Return the mass on the grid."""
        return native_grid_mass(self.x, self.particles.mass, self.config)

    def grid_mass_of(self, particles: Particles) -> np.ndarray:
        """Return the mass of other particles on the grid."""
        return native_grid_mass(particles.x, particles.mass, self.config)


def _evaluate(loss: Loss, config: SimConfig, *state: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return the loss and its gradients with respect to x, mass, v and F, None for those that it does not depend on."""
    plain = [None if t is None else t.detach().resolve_neg().contiguous() for t in state]
    end = _EndState(config, *plain)  # type: ignore[arg-type]
    value = loss.evaluate(end)  # type: ignore[arg-type]
    adj = dict(value.adj)
    on_grid = adj.pop("adj_grid_mass", None)
    unknown = set(adj) - {"adj_x", "adj_v", "adj_F"}
    if unknown:
        raise ConfigError(f"loss: expected one of x, v and F at the end, got one with {sorted(unknown)[0]}")
    adj_mass = None
    if on_grid is not None:
        adj_x, adj_mass = native_grid_mass_vjp(end.x, end.particles.mass, config, on_grid)
        adj["adj_x"] = adj_x + adj["adj_x"] if "adj_x" in adj else adj_x
    gradients = (adj.get("adj_x"), adj_mass, adj.get("adj_v"), adj.get("adj_F"))
    assert plain[0] is not None
    return plain[0].new_tensor(value.value), *(None if a is None else shared(np.asarray(a)) for a in gradients)


def _objective_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
    ctx.mark_non_differentiable(*(gradient for gradient in output[1:] if gradient is not None))
    anchor = next((t for t in inputs[2:] if t is not None and t.requires_grad), None)
    ctx.save_for_backward(anchor, *output[1:])
    ctx.save_for_forward(anchor, *output[1:])


def _objective_backward(ctx: Any, adj: Tensor, *_: None) -> tuple[Tensor | None, ...]:
    anchor, *gradients = ctx.saved_tensors
    pulled = iter(once(anchor, [adj * gradient for gradient in gradients if gradient is not None]))
    return None, None, *(None if gradient is None else next(pulled) for gradient in gradients)


def _objective_jvp(ctx: Any, loss: None, config: None, *tangents: Tensor | None) -> tuple[Tensor | None, ...]:
    pairs = zip(ctx.saved_tensors[1:], tangents, strict=True)
    parts = [(gradient * t).sum() for gradient, t in pairs if gradient is not None and t is not None]
    return sum(parts[1:], parts[0]) if parts else None, *(None,) * len(tangents)


_objective = Function("objective", _evaluate, _objective_setup, _objective_backward, _objective_jvp)
