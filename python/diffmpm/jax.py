# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The simulation as a JAX function with its exact gradient; works under jit and grad.

The core runs in a callback on the CPU. JAX arrays cannot own a trajectory, so the gradient runs the rollout again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

try:
    import jax
    import jax.numpy as jnp
    from jax.typing import ArrayLike
except ImportError as _error:
    raise ImportError(
        "diffmpm.jax: needs JAX, which is not installed; install it with pip install 'diffmpm[jax]'"
    ) from _error

from ._arrays import Array
from .config import SimConfig
from .errors import ConfigError
from .mpm import Rollout, Simulation
from .mpm import grid_mass as native_grid_mass
from .mpm import grid_mass_vjp as native_grid_mass_vjp
from .types import Particles

__all__ = ["States", "grid_mass", "rollout"]

_STATE = ("x", "v", "C", "F", "Fp")
_CONSTANTS = ("mass", "volume", "lam", "mu")
_INPUTS: tuple[Any, ...] = (*_STATE, "control", *_CONSTANTS, "gravity", "drag")


class States(NamedTuple):
    """Outputs of `rollout`; with `layers` given, each array has the layers as its first axis."""

    x: jax.Array
    """Positions [m], shape (N, 3)."""
    v: jax.Array
    """Velocities [m/s], shape (N, 3)."""
    C: jax.Array
    """Affine velocities [1/s], shape (N, 3, 3)."""
    F: jax.Array
    """Deformation gradients, shape (N, 3, 3)."""
    G: jax.Array | None
    """Motion gradients, shape (N, 3, 3), where `motion_gradient` was asked for."""


class _Run(NamedTuple):
    """What of a rollout is no array."""

    config: SimConfig
    steps: int
    stride: int
    layers: tuple[int, ...]
    motion_gradient: bool
    memory_budget: int | None


def rollout(
    config: SimConfig,
    steps: int,
    *,
    x: ArrayLike,
    mass: ArrayLike,
    volume: ArrayLike,
    lam: ArrayLike,
    mu: ArrayLike,
    v: ArrayLike | None = None,
    C: ArrayLike | None = None,
    F: ArrayLike | None = None,
    Fp: ArrayLike | None = None,
    control: ArrayLike | None = None,
    control_stride: int = 1,
    gravity: ArrayLike | Sequence[float] | None = None,
    drag: ArrayLike | None = None,
    layers: Sequence[int] | None = None,
    motion_gradient: bool = False,
    memory_budget: int | None = None,
) -> States:
    """Run the simulation; arguments as for `diffmpm.torch.rollout`, with JAX arrays of float32 or float64.

    Raises:
        ConfigError: If an argument does not fit. What a step makes of the values is known when it runs only, and ends
            in JAX's own error, whose message holds that of `diffmpm.SimulationError`.
    """
    if not isinstance(config, SimConfig) or config.dims is None:
        raise ConfigError("config: expected SimConfig with a grid; use diffmpm.Simulation(...).config")
    x = jnp.asarray(x)
    if x.dtype not in (jnp.float32, jnp.float64):
        raise ConfigError(f"x: expected float32 or float64, got {x.dtype}; convert it with .astype")
    if x.ndim != 2 or x.shape[1] != 3 or x.shape[0] == 0:
        raise ConfigError(f"x: expected shape (N, 3) with N > 0, got {x.shape}")
    n = x.shape[0]
    most = -(-int(steps) // int(control_stride))
    given: dict[str, jax.Array] = {
        "x": x,
        "v": jnp.zeros_like(x) if v is None else _checked(v, "v", (n, 3), x),
        "C": jnp.zeros((n, 3, 3), x.dtype) if C is None else _checked(C, "C", (n, 3, 3), x),
        "F": _identity(x) if F is None else _checked(F, "F", (n, 3, 3), x),
        "gravity": _checked(config.gravity if gravity is None else gravity, "gravity", (3,), x),
        "drag": _checked(config.drag if drag is None else drag, "drag", (), x),
    }
    if Fp is not None:
        given["Fp"] = _checked(Fp, "Fp", (n, 3, 3), x)
    if control is not None:
        given["control"] = _checked(control, "control", (None, n, 3, 3), x)
        if given["control"].shape[0] > most:
            raise ConfigError(f"control: expected at most {most} layers, got {given['control'].shape[0]}")
    for name, value in (("mass", mass), ("volume", volume), ("lam", lam), ("mu", mu)):
        whole = jnp.ndim(value) == 0
        given[name] = jnp.broadcast_to(_checked(value, name, () if whole else (n,), x), (n,))
    wanted = (int(steps),) if layers is None else tuple(_layer(layer, int(steps)) for layer in layers)
    run = _Run(config, int(steps), int(control_stride), wanted, bool(motion_gradient), memory_budget)
    out = _states(run, given)
    x, v, C, F, *G = (a[0] if layers is None else a for a in out)
    return States(x, v, C, F, G[0] if G else None)


def grid_mass(x: ArrayLike, mass: ArrayLike, config: SimConfig) -> jax.Array:
    """Spread particle masses over the grid nodes; arguments as for `diffmpm.grid_mass`, both differentiable."""
    x = jnp.asarray(x)
    return _grid_mass(config, x, jnp.broadcast_to(jnp.asarray(mass, x.dtype), x.shape[:1]))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _states(run: _Run, given: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
    x, k = given["x"], len(run.layers)
    n = x.shape[0]
    shapes = [(k, n, 3), (k, n, 3), (k, n, 3, 3), (k, n, 3, 3), *([(k, n, 3, 3)] if run.motion_gradient else [])]
    result = [jax.ShapeDtypeStruct(shape, x.dtype) for shape in shapes]
    return tuple(jax.pure_callback(partial(_forward, run), result, given))


def _states_fwd(run: _Run, given: dict[str, jax.Array]) -> tuple[tuple[jax.Array, ...], dict[str, jax.Array]]:
    return _states(run, given), given


def _states_bwd(run: _Run, given: dict[str, jax.Array], adjoints: tuple[jax.Array, ...]) -> tuple[Any]:
    shapes = {name: jax.ShapeDtypeStruct(value.shape, value.dtype) for name, value in given.items()}
    return (jax.pure_callback(partial(_backward, run), shapes, given, adjoints),)


_states.defvjp(_states_fwd, _states_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _grid_mass(config: SimConfig, x: jax.Array, mass: jax.Array) -> jax.Array:
    def host(x: Any, mass: Any) -> Array:
        return native_grid_mass(np.asarray(x), np.asarray(mass), config)

    return jax.pure_callback(host, jax.ShapeDtypeStruct(config.dims, x.dtype), x, mass)


def _grid_mass_fwd(config: SimConfig, x: jax.Array, mass: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _grid_mass(config, x, mass), (x, mass)


def _grid_mass_bwd(config: SimConfig, saved: tuple[jax.Array, jax.Array], adj: jax.Array) -> tuple[Any, ...]:
    def host(x: Any, mass: Any, adj: Any) -> tuple[Array, Array]:
        return native_grid_mass_vjp(np.asarray(x), np.asarray(mass), config, np.asarray(adj))

    shapes = tuple(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in saved)
    return tuple(jax.pure_callback(host, shapes, *saved, adj))


_grid_mass.defvjp(_grid_mass_fwd, _grid_mass_bwd)


def _run_native(run: _Run, given: dict[str, Any], differentiable: bool) -> Rollout:
    arrays = {name: np.asarray(value) for name, value in given.items()}
    gravity, drag, control = arrays.pop("gravity"), arrays.pop("drag"), arrays.pop("control", None)
    body = Particles.create(arrays.pop("x"), **arrays)
    config = run.config.replace(gravity=tuple(float(g) for g in gravity), drag=float(drag))
    return Simulation(body, config).rollout(
        run.steps,
        control,
        control_stride=run.stride,
        motion_gradient=run.motion_gradient,
        differentiable=differentiable,
        memory_budget=run.memory_budget,
    )


def _forward(run: _Run, given: dict[str, Any]) -> list[Array]:
    roll = _run_native(run, given, False)
    states = [roll.state(layer) for layer in run.layers]
    names = ("x", "v", "C", "F", "G") if run.motion_gradient else ("x", "v", "C", "F")
    return [np.stack([getattr(state, name) for state in states]) for name in names]


def _backward(run: _Run, given: dict[str, Any], adjoints: tuple[Any, ...]) -> dict[str, Array]:
    roll = _run_native(run, given, True)
    names = ("adj_x", "adj_v", "adj_C", "adj_F", "adj_G")
    arrays = dict(zip(names, (np.asarray(a) for a in adjoints), strict=False))
    wrt = [name for name in _INPUTS if name in given]
    total: dict[str, Array] = {}
    # A layer may be named twice; cotangents of a layer are a dictionary, so each naming is a call of its own.
    for part in _distinct(run.layers):
        layers = {run.layers[k]: {name: a[k] for name, a in arrays.items()} for k in part}
        found = roll.vjp(layers=layers, wrt=wrt)
        for name in wrt:
            gradient = np.asarray(getattr(found, f"{name}0" if name in ("x", "v", "C", "F") else name))
            gradient = gradient.astype(np.asarray(given[name]).dtype)
            total[name] = total[name] + gradient if name in total else gradient
    return total


def _distinct(layers: tuple[int, ...]) -> list[list[int]]:
    """Return the positions of `layers` in groups, none of which names a layer twice."""
    groups: list[list[int]] = []
    for k, layer in enumerate(layers):
        free = next((g for g in groups if layer not in [layers[j] for j in g]), None)
        if free is None:
            groups.append([k])
        else:
            free.append(k)
    return groups


def _checked(value: Any, name: str, shape: tuple[int | None, ...], like: jax.Array) -> jax.Array:
    array = jnp.asarray(value) if hasattr(value, "dtype") else jnp.asarray(value, like.dtype)
    if array.dtype != like.dtype:
        raise ConfigError(f"{name}: expected {like.dtype}, the dtype of x, got {array.dtype}; convert it with .astype")
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        text = ", ".join("L" if want is None else str(want) for want in shape) + ("," if len(shape) == 1 else "")
        raise ConfigError(f"{name}: expected shape ({text}), got {array.shape}")
    return array


def _identity(x: jax.Array) -> jax.Array:
    return jnp.broadcast_to(jnp.eye(3, dtype=x.dtype), (x.shape[0], 3, 3))


def _layer(layer: int, steps: int) -> int:
    n = int(layer) + (steps + 1 if layer < 0 else 0)
    if not 0 <= n <= steps:
        raise ConfigError(f"layers: expected layers from -{steps + 1} to {steps}, got {layer}")
    return n
