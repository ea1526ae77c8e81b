# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Legacy sampling of a surface, on top of `diffmpm.gaussians`.

    cfg = default_cfg()
    cfg["M"] = 20_000
    surface = synthesize_runtime_surface(x, F, cfg)
    surface["points"], surface["cov"]

Use `diffmpm.gaussians` and `diffmpm.torch.gaussians` in new code.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from .._arrays import aligned_copy
from ..errors import ConfigError, DiffMPMWarning
from ..surface import Binding, SurfaceConfig, bind
from ..surface.binding import DEFAULT_SAMPLES

__all__ = ["default_cfg", "synthesize_runtime_surface"]

_STATE_KEY = "binding"

_NO_EFFECT: dict[str, Any] = {
    # which particles are at the surface
    "use_surface_detection": True, "k_surface": 0, "thr_percentile": 0.0, "knn_tau": 0.0, "soft_tau": 0.0,
    "surface_power": 0.0, "use_soft_radius": False, "soft_radius_candidates": 0, "hysteresis": 0.0, "ema_beta": 0.0,
    # where samples are drawn
    "sampling_tau": 0.0, "density_gamma": 0.0, "surf_jitter_alpha": 0.0, "thickness": 1.0,
    # how F is interpolated, and what smooths the samples and their normals
    "use_F_kernel": True, "k_F": 8, "h_mul": 2.0, "smooth_normals": False, "fast_use_f_smooth": False,
    "ed": {"enabled": False}, "post_equalize": {"enabled": False}, "smoother": {"enabled": False},
    # how it is computed
    "use_amp": False, "use_hybrid_faiss": False, "use_faiss_ivf": False, "ivf_nlist": 0, "ivf_nprobe": 0,
    "cache_for_fast": False, "clear_cache_each_call": False, "verbose": False,
}  # fmt: skip
"""Keys of the older bindings without effect, at values that describe what this surface does."""
_IGNORED_PREFIXES = ("ed.", "post_equalize.", "smoother.", "normal_smooth_")
"""Prefixes of further keys without effect; a dot stands for a nested dictionary."""


def default_cfg() -> dict[str, Any]:
    """Return the options of `synthesize_runtime_surface` at their defaults.

    Returns:
        samples, the number of points; every field of `diffmpm.SurfaceConfig`, where sigma0 may be a tensor of shape ()
        that requires a gradient; and the keys of the older bindings: M (samples), differentiable (False detaches the
        result, like the argument), fast_cov_only (True carries the samples of ema_state along and does not project
        them onto the surface), and keys without effect, which cause a warning where they are changed.
    """
    return {
        "samples": DEFAULT_SAMPLES,
        **{f.name: f.default for f in fields(SurfaceConfig)},
        "M": DEFAULT_SAMPLES,
        "differentiable": True,
        "fast_cov_only": False,
        **deepcopy(_NO_EFFECT),
    }


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
        x: Positions [m], shape (N, 3); NumPy array or CPU tensor, float32 or float64. Differentiable.
        F: Deformation gradients, shape (N, 3, 3), converted to the dtype of x. Differentiable.
        cfg: Options, a subset of `default_cfg()`; the defaults if None.
        ema_state: "ema_state" of the previous frame, whose samples are continued to avoid flicker; None for a first
            frame.
        seed: Seed of the samples. The global random state is not used.
        differentiable: Whether gradients reach x, F and sigma0; False here or in cfg detaches the result.
        return_torch: Whether to return tensors instead of NumPy arrays.

    Returns:
        points, shape (M, 3), cov, shape (M, 3, 3), normals, shape (M, 3), weights and parents, shape (M, K), and
        ema_state for the next frame.

    Raises:
        ConfigError: If an argument is invalid, a key is unknown, or samples and M differ.
        ImportError: If `return_torch` is set and PyTorch is not installed.

    Warns:
        DiffMPMWarning: If keys without effect are changed; one warning names them all.
    """
    options = _options(cfg)
    arrays = [_array(value, name) for value, name in ((x, "x"), (F, "F"))]
    if all(a.dtype.kind == "f" for a in arrays):
        arrays[1] = arrays[1].astype(arrays[0].dtype, copy=False)
    binding = _binding(arrays, options, ema_state, seed)
    if return_torch:
        result = _evaluate_tensors(x, F, binding, options.sigma0, differentiable and options.differentiable)
    else:
        g = binding.evaluate(*arrays, sigma0=options.surface.sigma0)
        result = (g.means, g.covars, g.normals, g.weights, g.parents)
    names = ("points", "cov", "normals", "weights", "parents")
    return {**dict(zip(names, result, strict=True)), "ema_state": {_STATE_KEY: binding}}


class _Options(NamedTuple):
    surface: SurfaceConfig
    samples: int
    sigma0: Any
    """Number, or tensor with history."""
    differentiable: bool
    carried: bool
    """Whether samples of the previous frame are not projected onto the surface."""


def _options(cfg: Mapping[str, Any] | None) -> _Options:
    if cfg is not None and not isinstance(cfg, Mapping):
        raise ConfigError(f"cfg: expected a dictionary, got {type(cfg).__name__}; start from default_cfg()")
    values, unused = default_cfg(), dict(_flat(_NO_EFFECT))
    changed = []
    for key, value in _flat(cfg or {}):
        if key in _NO_EFFECT or key.startswith(_IGNORED_PREFIXES):
            changed += [key] if _differ(value, unused.get(key)) else []
        elif key in values:
            values[key] = value
        else:
            nearest = get_close_matches(key, values, 1, cutoff=0.0)[0]
            raise ConfigError(f"cfg: expected a key of default_cfg(), got {key!r}; the nearest is {nearest!r}")
    if changed:
        warnings.warn(
            f"cfg: {', '.join(changed)} {'has' if len(changed) == 1 else 'have'} no effect; see the table of keys in "
            "docs/migration.md, and leave them out",
            DiffMPMWarning,
            stacklevel=3,
        )
    surface = {f.name: values[f.name] for f in fields(SurfaceConfig)}
    sigma0 = surface["sigma0"]
    surface["sigma0"] = float(sigma0.detach()) if hasattr(sigma0, "detach") else float(sigma0)
    return _Options(
        SurfaceConfig(**surface),
        _samples(values["samples"], values["M"]),
        sigma0,
        _switch(values, "differentiable"),
        _switch(values, "fast_cov_only"),
    )


def _flat(cfg: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield keys and values; a key of a nested dictionary is "outer.inner"."""
    for key, value in cfg.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", entry) for inner, entry in _flat(value))
        else:
            yield str(key), value


def _differ(value: Any, default: Any) -> bool:
    return np.ndim(value) > 0 or bool(value != default)


def _samples(samples: Any, M: Any) -> Any:
    """Return the number of samples under either name; a default counts as not set."""
    chosen = [value for value in (samples, M) if value != DEFAULT_SAMPLES]
    if len(chosen) == 2 and samples != M:
        raise ConfigError(f"M: expected that of samples, {samples!r}, got {M!r}; set one of the two")
    return chosen[0] if chosen else DEFAULT_SAMPLES


def _switch(values: dict[str, Any], name: str) -> bool:
    if not isinstance(values[name], bool | np.bool_):
        raise ConfigError(f"{name}: expected True or False, got {values[name]!r}")
    return bool(values[name])


def _binding(arrays: list[Any], options: _Options, ema_state: Mapping[str, Any] | None, seed: int) -> Binding:
    if ema_state is None:
        return bind(*arrays, samples=options.samples, config=options.surface, seed=seed)
    previous = ema_state.get(_STATE_KEY) if isinstance(ema_state, Mapping) else None
    if not isinstance(previous, Binding):
        raise ConfigError(f"ema_state: expected that of a previous result, got {type(ema_state).__name__}")
    if previous.count != options.samples:
        raise ConfigError(
            f"ema_state: expected {options.samples} samples, got {previous.count}; start again with ema_state=None"
        )
    return previous if options.carried else previous.update(*arrays)


def _evaluate_tensors(x: Any, F: Any, binding: Binding, sigma0: Any, differentiable: bool) -> tuple[Any, ...]:
    import torch

    from ..torch.surface import binding_tensors, gaussians

    tensors = [value if isinstance(value, torch.Tensor) else torch.from_numpy(aligned_copy(value)) for value in (x, F)]
    tensors[1] = tensors[1].to(tensors[0].dtype)
    width = sigma0 if isinstance(sigma0, torch.Tensor) else tensors[0].new_tensor(sigma0)
    with torch.set_grad_enabled(differentiable and torch.is_grad_enabled()):
        return tuple(
            gaussians(*tensors, binding=binding_tensors(binding, tensors[0].dtype), sigma0=width.to(tensors[0].dtype))
        )


def _array(value: Any, name: str) -> Any:
    """Return the values of an array or tensor; samples are bound without a gradient."""
    if hasattr(value, "detach"):
        if value.device.type != "cpu":
            raise ConfigError(f"{name}: expected a CPU tensor, got one on {value.device}; pass {name}.cpu()")
        value = value.detach().numpy()
    return np.asarray(value)
