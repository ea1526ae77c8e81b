# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The simulation as a JAX function with its exact gradient; works under jit and grad.

The core runs on the CPU: at once where values are known, in a callback under jit. JAX arrays cannot own a trajectory,
so the gradient runs the rollout again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

import numpy as np

try:
    import jax
    import jax.numpy as jnp
    from jax.extend.core import Primitive
    from jax.interpreters import ad, batching, mlir
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
    x = _positions(x)
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
        given[name] = _per_particle(value, name, x)
    wanted = (int(steps),) if layers is None else tuple(_layer(layer, int(steps)) for layer in layers)
    run = _Run(config, int(steps), int(control_stride), wanted, bool(motion_gradient), memory_budget)
    out = _states(run, given)
    x, v, C, F, *G = (a[0] if layers is None else a for a in out)
    return States(x, v, C, F, G[0] if G else None)


def grid_mass(x: ArrayLike, mass: ArrayLike, config: SimConfig) -> jax.Array:
    """Spread particle masses over the grid nodes; arguments as for `diffmpm.grid_mass`, both differentiable."""
    x = _positions(x)
    return _grid_mass(config, x, _per_particle(mass, "mass", x))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _states(run: _Run, given: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
    x, k = given["x"], len(run.layers)
    n = x.shape[0]
    shapes = [(k, n, 3), (k, n, 3), (k, n, 3, 3), (k, n, 3, 3), *([(k, n, 3, 3)] if run.motion_gradient else [])]
    return _on_host(_forward, (run, tuple(given)), [(shape, x.dtype) for shape in shapes], *given.values())


def _states_fwd(run: _Run, given: dict[str, jax.Array]) -> tuple[tuple[jax.Array, ...], dict[str, jax.Array]]:
    return _states(run, given), given


def _states_bwd(run: _Run, given: dict[str, jax.Array], adjoints: tuple[jax.Array, ...]) -> tuple[Any]:
    shapes = [(value.shape, value.dtype) for value in given.values()]
    gradients = _on_host(_backward, (run, tuple(given)), shapes, *given.values(), *adjoints)
    return (dict(zip(given, gradients, strict=True)),)


_states.defvjp(_states_fwd, _states_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _grid_mass(config: SimConfig, x: jax.Array, mass: jax.Array) -> jax.Array:
    return _on_host(_mass, (config,), [(config.dims, x.dtype)], x, mass)[0]


def _grid_mass_fwd(config: SimConfig, x: jax.Array, mass: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _grid_mass(config, x, mass), (x, mass)


def _grid_mass_bwd(config: SimConfig, saved: tuple[jax.Array, jax.Array], adj: jax.Array) -> tuple[Any, ...]:
    return _on_host(_mass_vjp, (config,), [(a.shape, a.dtype) for a in saved], *saved, adj)


_grid_mass.defvjp(_grid_mass_fwd, _grid_mass_bwd)


# A primitive of its own and not jax.pure_callback: that one compiles anew for each function that it is given, and hands
# over arrays of JAX, whose values may come from the very thread that the callback keeps busy.
_HOST = Primitive("diffmpm_host")
_HOST.multiple_results = True


def _on_host(function: Callable[..., Any], static: tuple[Any, ...], results: Any, *arrays: jax.Array) -> Any:
    """Return `function(*static, *arrays)`, which works on NumPy arrays; `results` are the shapes and dtypes."""
    avals = tuple(jax.core.ShapedArray(shape, dtype) for shape, dtype in results)
    return tuple(_HOST.bind(*arrays, function=function, static=static, results=avals))


@_HOST.def_impl
def _call(*arrays: jax.Array, function: Callable[..., Any], static: tuple[Any, ...], results: Any) -> Any:
    return [jnp.asarray(value) for value in function(*static, *map(np.asarray, arrays))]


@_HOST.def_abstract_eval
def _shapes(*arrays: Any, function: Callable[..., Any], static: tuple[Any, ...], results: Any) -> Any:
    return results


def _lower(ctx: Any, *operands: Any, function: Callable[..., Any], static: tuple[Any, ...], results: Any) -> Any:
    def callback(*arrays: Array) -> tuple[Array, ...]:
        return tuple(function(*static, *arrays))

    found = mlir.emit_python_callback(
        ctx, callback, None, list(operands), ctx.avals_in, ctx.avals_out, has_side_effect=False
    )
    return found[0]


def _refuse_batch(*_: object, **__: object) -> NoReturn:
    raise ConfigError("diffmpm.jax: expected one body, got a batch of jax.vmap; use jax.lax.map or a loop")


def _refuse_derivative(*_: object, **__: object) -> NoReturn:
    raise ConfigError(
        "diffmpm.jax: expected first derivatives, got the derivative of a gradient; there are no second ones"
    )


mlir.register_lowering(_HOST, _lower)
# As method calls: the manual's stand-in for JAX has no item assignment.
batching.primitive_batchers.__setitem__(_HOST, _refuse_batch)
ad.primitive_jvps.__setitem__(_HOST, _refuse_derivative)


def _run_native(run: _Run, given: dict[str, Array], differentiable: bool) -> Rollout:
    arrays = dict(given)
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


def _forward(run: _Run, names: tuple[str, ...], *arrays: Array) -> list[Array]:
    roll = _run_native(run, dict(zip(names, arrays, strict=True)), False)
    states = [roll.state(layer) for layer in run.layers]
    fields = ("x", "v", "C", "F", "G") if run.motion_gradient else ("x", "v", "C", "F")
    return [np.stack([getattr(state, name) for state in states]) for name in fields]


def _backward(run: _Run, names: tuple[str, ...], *arrays: Array) -> list[Array]:
    given = dict(zip(names, arrays, strict=False))
    adjoints = dict(zip(("adj_x", "adj_v", "adj_C", "adj_F", "adj_G"), arrays[len(names) :], strict=False))
    roll = _run_native(run, given, True)
    wrt = [name for name in _INPUTS if name in given]
    total: dict[str, Array] = {}
    # A layer may be named twice; cotangents of a layer are a dictionary, so each naming is a call of its own.
    for part in _distinct(run.layers):
        layers = {run.layers[k]: {name: a[k] for name, a in adjoints.items()} for k in part}
        found = roll.vjp(layers=layers, wrt=wrt)
        for name in wrt:
            gradient = np.asarray(getattr(found, name)).astype(given[name].dtype)
            total[name] = total[name] + gradient if name in total else gradient
    return [total[name] for name in names]


def _mass(config: SimConfig, x: Array, mass: Array) -> list[Array]:
    return [native_grid_mass(x, mass, config)]


def _mass_vjp(config: SimConfig, x: Array, mass: Array, adj: Array) -> tuple[Array, ...]:
    return tuple(native_grid_mass_vjp(x, mass, config, adj))


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


def _positions(value: Any) -> jax.Array:
    x = _kept(value, "x")
    if x.dtype not in (jnp.float32, jnp.float64):
        raise ConfigError(f"x: expected float32 or float64, got {x.dtype}; convert it with .astype")
    if x.ndim != 2 or x.shape[1] != 3 or x.shape[0] == 0:
        raise ConfigError(f"x: expected shape (N, 3) with N > 0, got {x.shape}")
    return x


def _per_particle(value: Any, name: str, x: jax.Array) -> jax.Array:
    n = x.shape[0]
    return jnp.broadcast_to(_checked(value, name, () if jnp.ndim(value) == 0 else (n,), x), (n,))


def _kept(value: Any, name: str) -> jax.Array:
    """Return an array in JAX, which rounds float64 without a word unless it is told otherwise."""
    array = jnp.asarray(value)
    if getattr(value, "dtype", None) == np.float64 != array.dtype:
        raise ConfigError(
            f"{name}: expected float32, got float64, which JAX rounds; convert it with .astype('float32'), or call "
            "jax.config.update('jax_enable_x64', True) first"
        )
    return array


def _checked(value: Any, name: str, shape: tuple[int | None, ...], like: jax.Array) -> jax.Array:
    plain = isinstance(value, np.generic) or not hasattr(value, "dtype")  # numbers take the dtype of the positions
    array = jnp.asarray(value, like.dtype) if plain else _kept(value, name)
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
