# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Seed-compatible sampling of a body's surface, over `diffmpm.gaussians`.

    cfg = default_cfg()
    cfg["samples"] = 20_000
    surface = synthesize_runtime_surface(x, F, cfg)
    surface["points"], surface["cov"]

New code is better served by `diffmpm.gaussians` and `diffmpm.torch.gaussians`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from ._arrays import aligned
from .errors import ConfigError
from .surface import Binding, SurfaceConfig, bind
from .surface.binding import DEFAULT_SAMPLES

__all__ = ["default_cfg", "synthesize_runtime_surface"]

_STATE_KEY = "binding"


def default_cfg() -> dict[str, Any]:
    """Return the options of `synthesize_runtime_surface`, each at its default; there are no others.

    Returns:
        samples (number M of points, 50,000), and every field of `diffmpm.SurfaceConfig`: sigma0 (standard deviation
        of a Gaussian over the sample spacing; a number, or a tensor of shape () that is learnt), flatness,
        stretch_limit, spacing, kernel_radius, smoothing, level, parents, weight_radius, relaxation.
    """
    return {"samples": DEFAULT_SAMPLES, **{f.name: f.default for f in fields(SurfaceConfig)}}


def synthesize_runtime_surface(
    x: Any,
    F: Any,
    cfg: Mapping[str, Any] | None = None,
    ema_state: Mapping[str, Any] | None = None,
    seed: int = 1234,
    differentiable: bool = True,
    return_torch: bool = True,
) -> dict[str, Any]:
    """Cover the surface of a body with anisotropic Gaussians.

    Args:
        x: Positions [m], shape (N, 3); a NumPy array or a CPU tensor, float32 or float64. Differentiable.
        F: Deformation gradients, shape (N, 3, 3), likewise. Differentiable.
        cfg: Options, a subset of the keys of `default_cfg()`; the defaults if None.
        ema_state: "ema_state" of the result for the frame before: the samples go on from it, so that frames do not
            flicker. None for a first frame.
        seed: Seed of the samples; the same seed gives the same samples. The global random state is not touched.
        differentiable: Whether gradients reach x, F and sigma0; False detaches them.
        return_torch: Whether the result holds tensors; NumPy arrays, without history, otherwise.

    Returns:
        points, shape (M, 3), cov, shape (M, 3, 3), normals, shape (M, 3), weights and parents, shape (M, K), and
        ema_state for the next frame.

    Raises:
        ConfigError: If an argument does not fit or a key is unknown.
        ImportError: If tensors are asked for and PyTorch is not installed.
    """
    options, samples, sigma0 = _options(cfg)
    arrays = [_array(value, name) for value, name in ((x, "x"), (F, "F"))]
    binding = _binding(arrays, samples, options, ema_state, seed)
    if return_torch:
        found = _with_torch(x, F, binding, sigma0, differentiable)
    else:
        plain = binding.evaluate(*arrays, sigma0=options.sigma0)
        found = (plain.means, plain.covs, plain.normals, plain.weights, plain.parents)
    names = ("points", "cov", "normals", "weights", "parents")
    return {**dict(zip(names, found, strict=True)), "ema_state": {_STATE_KEY: binding}}


def _options(cfg: Mapping[str, Any] | None) -> tuple[SurfaceConfig, int, Any]:
    if cfg is not None and not isinstance(cfg, Mapping):
        raise ConfigError(f"cfg: expected a dictionary, got {type(cfg).__name__}; start from default_cfg()")
    values = default_cfg()
    for key, value in (cfg or {}).items():
        if key not in values:
            raise ConfigError(f"cfg: expected keys among {', '.join(values)}, got {key!r}")
        values[key] = value
    samples, sigma0 = values.pop("samples"), values["sigma0"]
    values["sigma0"] = float(sigma0.detach()) if hasattr(sigma0, "detach") else float(sigma0)
    return SurfaceConfig(**values), samples, sigma0


def _binding(
    arrays: list[Any], samples: int, options: SurfaceConfig, ema_state: Mapping[str, Any] | None, seed: int
) -> Binding:
    if ema_state is None:
        return bind(*arrays, samples=samples, config=options, seed=seed)
    before = ema_state.get(_STATE_KEY) if isinstance(ema_state, Mapping) else None
    if not isinstance(before, Binding):
        raise ConfigError(f"ema_state: expected that of an earlier result, got {type(ema_state).__name__}")
    if before.count != samples:
        raise ConfigError(
            f"ema_state: expected one of {samples} samples, got {before.count}; begin anew with ema_state=None"
        )
    return before.update(*arrays)


def _with_torch(x: Any, F: Any, binding: Binding, sigma0: Any, differentiable: bool) -> tuple[Any, ...]:
    import torch

    from .torch.pictures import binding_tensors, gaussians

    tensors = [value if isinstance(value, torch.Tensor) else torch.from_numpy(aligned(value)) for value in (x, F)]
    width = sigma0 if isinstance(sigma0, torch.Tensor) else tensors[0].new_tensor(sigma0)
    with torch.set_grad_enabled(differentiable and torch.is_grad_enabled()):
        return tuple(
            gaussians(*tensors, binding=binding_tensors(binding, tensors[0].dtype), sigma0=width.to(tensors[0].dtype))
        )


def _array(value: Any, name: str) -> Any:
    """Return the values of an array or tensor; the choice of samples has no gradient."""
    if hasattr(value, "detach"):
        if value.device.type != "cpu":
            raise ConfigError(f"{name}: expected a CPU tensor, got one on {value.device}; pass {name}.cpu()")
        value = value.detach().numpy()
    return np.asarray(value)
