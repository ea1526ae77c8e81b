# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The surface of a body as a differentiable function of tensors."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .. import _core
from .._arrays import Array, DeviceArray, device_index
from .._deprecated import renamed_attributes
from .._repr import short_repr
from ..errors import ConfigError
from ..surface import Binding, SurfaceConfig
from ..surface import bind as native_bind
from ._operator import Function, as_size, operator, outside_graphs
from ._tensors import check_once, checked, shared, to_array

_Body = Annotated[Array, ("n", 3)]
_BodyMatrices = Annotated[Array, ("n", 3, 3)]
_Number = Annotated[Tensor, ()]
_Parents = Annotated[Tensor, ("m", "k", torch.int32)]
_Offsets = Annotated[Array, ("m", "k", 3)]
_Supports = Annotated[Array, ("m",)]
_Vectors = Annotated[Array, ("m", 3)]
_Matrices = Annotated[Array, ("m", 3, 3)]
_Weights = Annotated[Array, ("m", "k")]


def _check_binding(args: Any, sizes: dict[str, Any]) -> None:
    as_size(sizes["k"], "parents of a sample", 1, _core.MAX_PARENTS)
    as_size(sizes["m"], "samples", 0, 10_000_000)


@operator(
    results={"means": ("m", 3), "covars": ("m", 3, 3), "normals": ("m", 3), "weights": ("m", "k")},
    check=_check_binding,
)
def _surface(
    x: _Body, F: _BodyMatrices, sigma0: _Number, parents: _Parents, offsets: _Offsets, supports: _Supports,
    axes: _Matrices, normals: _Vectors,
) -> tuple[Array, ...]:  # fmt: skip
    return _native(x, parents, offsets, supports, axes, normals).evaluate(x, F, float(sigma0))  # type: ignore[no-any-return]


@operator(forward=_surface, wrt=["x", "F", "sigma0"], check=_check_binding)
def _surface_vjp(
    x: _Body, F: _BodyMatrices, sigma0: _Number, parents: _Parents, offsets: _Offsets, supports: _Supports,
    axes: _Matrices, normals: _Vectors, adj_means: _Vectors | None, adj_covars: _Matrices | None,
    adj_normals: _Vectors | None, adj_weights: _Weights | None,
) -> tuple[Any, ...]:  # fmt: skip
    native = _native(x, parents, offsets, supports, axes, normals)
    return native.vjp(x, F, float(sigma0), adj_means, adj_covars, adj_normals, adj_weights)  # type: ignore[no-any-return]


def _native(x: Array, parents: Tensor, *arrays: Array) -> Any:
    """Return the native binding; it checks the parents itself on the CPU, but not those on a device."""
    if isinstance(x, DeviceArray):
        check_once(parents, len(x), lambda: _check_parents(parents, len(x)))
    make = _core.BoundSurface32 if x.dtype == np.float32 else _core.BoundSurface64
    return make(to_array(parents), *arrays, len(x), device_index(x))


def _check_parents(parents: Tensor, particles: int) -> None:
    low, high = torch.stack(parents.aminmax()).tolist() if parents.numel() else (0, -1)
    if low < 0 or high >= particles:
        raise ConfigError(
            f"parents: expected indices from 0 to {particles - 1}, got {low if low < 0 else high}; "
            "bind the samples to this body"
        )


@short_repr
class SurfaceBinding(NamedTuple):
    """A `diffmpm.surface.Binding` as tensors: what stays with the samples from frame to frame. It has no gradient."""

    parents: Tensor
    """Particles that carry each sample, shape (M, K), int32."""
    offsets: Tensor
    """Rest offsets [m] from the parents, shape (M, K, 3)."""
    supports: Tensor
    """Radius [m] of the weights' kernel, shape (M,)."""
    axes: Tensor
    """Square root of the rest covariance over sigma0^2 [m], shape (M, 3, 3)."""
    normals: Tensor
    """Unit rest normals, shape (M, 3)."""
    sigma0: float
    """Standard deviation over the sample spacing."""


@short_repr
@renamed_attributes(covs="covars")
class Gaussians(NamedTuple):
    """M anisotropic Gaussians on the surface of a body."""

    means: Tensor
    """Centres [m], shape (M, 3)."""
    covars: Tensor
    """Covariances [m^2], shape (M, 3, 3)."""
    normals: Tensor
    """Outward unit normals, shape (M, 3)."""
    weights: Tensor
    """Weights of the parents, shape (M, K)."""
    parents: Tensor
    """Particles that carry each sample, shape (M, K), int32."""


@outside_graphs
def bind(
    x: Tensor, F: Tensor, *, samples: int = 50_000, config: SurfaceConfig | None = None, seed: int = 0
) -> SurfaceBinding:
    """Draw samples on the surface of a body and bind them to its particles; arguments as for `diffmpm.gaussians`.

    There is no gradient: which particle a sample belongs to is a choice. CUDA tensors are copied to the CPU; the result
    is where they are.
    """
    x = checked(x, "x", (None, 3), cuda=True)
    F = checked(F, "F", (x.shape[0], 3, 3), x)
    return SurfaceBinding(*_bind.apply(x, F, samples, config, seed))


def binding_tensors(binding: Binding, dtype: torch.dtype, device: torch.device | None = None) -> SurfaceBinding:
    """Return a binding as tensors of a dtype, on a device or else on the CPU."""
    parents = shared(np.ascontiguousarray(binding.parents)).to(device)
    arrays = (binding.offsets, binding.supports, binding.axes, binding.normals)
    offsets, supports, axes, normals = (shared(a).to(device, dtype) for a in arrays)
    return SurfaceBinding(parents, offsets, supports, axes, normals, binding.config.sigma0)


def _bound(x: Tensor, F: Tensor, samples: int, config: SurfaceConfig | None, seed: int) -> SurfaceBinding:
    body = (tensor.detach().resolve_neg().cpu().numpy() for tensor in (x, F))
    return binding_tensors(native_bind(*body, samples=samples, config=config, seed=seed), x.dtype, x.device)


def _bound_setup(ctx: Any, inputs: tuple[Any, ...], output: SurfaceBinding) -> None:
    ctx.mark_non_differentiable(*output[:5])


_bind = Function("bind", _bound, _bound_setup, lambda ctx, *adj: (None,) * 5)


def gaussians(
    x: Tensor,
    F: Tensor,
    *,
    samples: int = 50_000,
    config: SurfaceConfig | None = None,
    seed: int = 0,
    binding: SurfaceBinding | None = None,
    sigma0: Tensor | None = None,
) -> Gaussians:
    """Cover the surface of a body with anisotropic Gaussians; see `diffmpm.gaussians`.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64, on the CPU or, in builds with the CUDA backend,
            on a CUDA device. Differentiable.
        F: Deformation gradients, better motion gradients G, shape (N, 3, 3). Differentiable.
        samples: Number M of Gaussians, without a binding.
        config: Options, without a binding.
        seed: Seed of the samples, without a binding.
        binding: Samples of an earlier frame, from `bind`; required under torch.compile.
        sigma0: Standard deviation over the sample spacing, shape (). Differentiable; that of the options if None.

    Raises:
        ConfigError: If an argument does not fit, or the particles have no surface.
    """
    x = checked(x, "x", (None, 3), cuda=True)
    F = checked(F, "F", (x.shape[0], 3, 3), x)
    if binding is None:
        binding = bind(x, F, samples=samples, config=config, seed=seed)
    for what, actual, expected in (
        ("dtype", binding.offsets.dtype, x.dtype),
        ("device", binding.offsets.device, x.device),
    ):
        if actual != expected:
            raise ConfigError(f"binding: expected {expected}, the {what} of x, got {actual}; bind it again")
    # On the CPU, so that reading the number does not wait for a device.
    width = torch.tensor(binding.sigma0, dtype=x.dtype) if sigma0 is None else sigma0
    inputs = _surface.accept(x, F=F, sigma0=width, **dict(zip(binding._fields[:5], binding, strict=False)))
    means, covars, normals, weights = _surface(*inputs)
    return Gaussians(means, covars, normals, weights, binding.parents)
