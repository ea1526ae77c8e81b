# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The simulation as a JAX function with its exact gradient; works under jit and grad.

The core runs on the CPU, from a callback under jit. JAX arrays cannot own a trajectory, so the gradient repeats the
rollout.
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
from ._options import as_time_step
from ._repr import short_repr
from .config import SimConfig
from .errors import ConfigError
from .mpm import Rollout, Simulation
from .mpm import grid_mass as native_grid_mass
from .mpm import grid_mass_vjp as native_grid_mass_vjp
from .types import Particles

__all__ = ["States", "grid_mass", "rollout"]


@short_repr
class States(NamedTuple):
    """Results of `rollout`; with `layers`, each array has them as its first axis."""

    x: jax.Array
    """Positions [m], shape (N, 3)."""
    v: jax.Array
    """Velocities [m/s], shape (N, 3)."""
    C: jax.Array
    """Affine velocities [1/s], shape (N, 3, 3)."""
    F: jax.Array
    """Deformation gradients, shape (N, 3, 3)."""
    G: jax.Array | None
    """Motion gradients, shape (N, 3, 3), with `motion_gradient`."""


class _Run(NamedTuple):
    """Static arguments of a rollout."""

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
        ConfigError: If an argument does not fit. A step that fails raises JAX's own error, whose message contains that
            of `diffmpm.SimulationError`.
    """
    if not isinstance(config, SimConfig) or config.dims is None:
        raise ConfigError("config: expected SimConfig with a grid; use diffmpm.Simulation(...).config")
    x = _positions(x)
    n, T = x.shape[0], int(steps)
    values: dict[str, tuple[Any, tuple[int | None, ...]]] = {
        "v": (v, (n, 3)),
        "C": (C, (n, 3, 3)),
        "F": (F, (n, 3, 3)),
        "Fp": (Fp, (n, 3, 3)),
        "control": (control, (None, n, 3, 3)),
        "gravity": (config.gravity if gravity is None else gravity, (3,)),
        "drag": (config.drag if drag is None else drag, ()),
    }
    inputs = {"x": x, "v": jnp.zeros_like(x), "C": jnp.zeros((n, 3, 3), x.dtype)}
    inputs["F"] = jnp.broadcast_to(jnp.eye(3, dtype=x.dtype), (n, 3, 3))
    inputs |= {name: _checked(value, name, shape, x) for name, (value, shape) in values.items() if value is not None}
    for name, value in (("mass", mass), ("volume", volume), ("lam", lam), ("mu", mu)):
        inputs[name] = _per_particle(value, name, x)
    most = -(-T // int(control_stride))
    if "control" in inputs and inputs["control"].shape[0] > most:
        raise ConfigError(f"control: expected at most {most} control steps, got {inputs['control'].shape[0]}")
    stacked = (T,) if layers is None else tuple(as_time_step(layer, T, "layers") for layer in layers)
    run = _Run(config, T, int(control_stride), stacked, bool(motion_gradient), memory_budget)
    x, v, C, F, *G = (a[0] if layers is None else a for a in _states(run, inputs))
    return States(x, v, C, F, G[0] if G else None)


def grid_mass(x: ArrayLike, mass: ArrayLike, config: SimConfig) -> jax.Array:
    """Spread particle masses over the grid nodes; arguments as for `diffmpm.grid_mass`, both differentiable."""
    x = _positions(x)
    return _grid_mass(config, x, _per_particle(mass, "mass", x))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _states(run: _Run, inputs: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
    x, k = inputs["x"], len(run.layers)
    n = x.shape[0]
    shapes = [(k, n, 3), (k, n, 3), *[(k, n, 3, 3)] * (3 if run.motion_gradient else 2)]
    return _on_host(_forward, (run, tuple(inputs)), [(shape, x.dtype) for shape in shapes], *inputs.values())


def _states_fwd(run: _Run, inputs: dict[str, jax.Array]) -> tuple[tuple[jax.Array, ...], dict[str, jax.Array]]:
    return _states(run, inputs), inputs


def _states_bwd(run: _Run, inputs: dict[str, jax.Array], adjoints: tuple[jax.Array, ...]) -> tuple[Any]:
    shapes = [(value.shape, value.dtype) for value in inputs.values()]
    gradients = _on_host(_backward, (run, tuple(inputs)), shapes, *inputs.values(), *adjoints)
    return (dict(zip(inputs, gradients, strict=True)),)


_states.defvjp(_states_fwd, _states_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _grid_mass(config: SimConfig, x: jax.Array, mass: jax.Array) -> jax.Array:
    return _on_host(_mass, (config,), [(config.dims, x.dtype)], x, mass)[0]


def _grid_mass_fwd(config: SimConfig, x: jax.Array, mass: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _grid_mass(config, x, mass), (x, mass)


def _grid_mass_bwd(config: SimConfig, saved: tuple[jax.Array, jax.Array], adj: jax.Array) -> tuple[Any, ...]:
    return _on_host(_mass_vjp, (config,), [(a.shape, a.dtype) for a in saved], *saved, adj)


_grid_mass.defvjp(_grid_mass_fwd, _grid_mass_bwd)


# A primitive and not jax.pure_callback, which compiles again for each function, and passes JAX arrays whose values may
# come from the thread that the callback blocks.
_HOST = Primitive("diffmpm_host")
_HOST.multiple_results = True


def _on_host(function: Callable[..., Any], static: tuple[Any, ...], results: Any, *arrays: jax.Array) -> Any:
    """Return `function(*static, *arrays)`, which works on NumPy arrays; `results` are its shapes and dtypes."""
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

    return mlir.emit_python_callback(
        ctx, callback, None, list(operands), ctx.avals_in, ctx.avals_out, has_side_effect=False
    )[0]


def _refuse_batch(*_: object, **__: object) -> NoReturn:
    raise ConfigError("diffmpm.jax: expected one body, got a batch of jax.vmap; use jax.lax.map or a loop")


def _refuse_derivative(*_: object, **__: object) -> NoReturn:
    raise ConfigError(
        "diffmpm.jax: expected first derivatives, got the derivative of a gradient; there are no second ones"
    )


mlir.register_lowering(_HOST, _lower)
# Method calls, because the stand-in for JAX in the manual's build has no item assignment.
batching.primitive_batchers.__setitem__(_HOST, _refuse_batch)
ad.primitive_jvps.__setitem__(_HOST, _refuse_derivative)


def _run_native(run: _Run, inputs: dict[str, Array], differentiable: bool) -> Rollout:
    rest = dict(inputs)
    x, gravity, drag, control = rest.pop("x"), rest.pop("gravity"), rest.pop("drag"), rest.pop("control", None)
    config = run.config.replace(gravity=tuple(gravity.tolist()), drag=float(drag))
    return Simulation(Particles.create(x, **rest), config).rollout(
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
    fields = ("x", "v", "C", "F", "G")[: 5 if run.motion_gradient else 4]
    return [np.stack([getattr(state, name) for state in states]) for name in fields]


def _backward(run: _Run, names: tuple[Any, ...], *arrays: Array) -> list[Array]:
    inputs = dict(zip(names, arrays, strict=False))
    adjoints = dict(zip(("adj_x", "adj_v", "adj_C", "adj_F", "adj_G"), arrays[len(names) :], strict=False))
    cotangents: dict[int, dict[str, Array]] = {}
    for k, layer in enumerate(run.layers):  # which may name a time step twice
        total = cotangents.setdefault(layer, {})
        for name, adj in adjoints.items():
            total[name] = total[name] + adj[k] if name in total else adj[k]
    gradients = _run_native(run, inputs, True).vjp(layers=cotangents, wrt=names)
    return [np.asarray(getattr(gradients, name)).astype(inputs[name].dtype) for name in names]


def _mass(config: SimConfig, x: Array, mass: Array) -> list[Array]:
    return [native_grid_mass(x, mass, config)]


def _mass_vjp(config: SimConfig, x: Array, mass: Array, adj: Array) -> tuple[Array, ...]:
    return tuple(native_grid_mass_vjp(x, mass, config, adj))


def _positions(value: Any) -> jax.Array:
    x = _unrounded(value, "x")
    if x.dtype not in (jnp.float32, jnp.float64):
        raise ConfigError(f"x: expected float32 or float64, got {x.dtype}; convert it with .astype")
    if x.ndim != 2 or x.shape[1] != 3 or x.shape[0] == 0:
        raise ConfigError(f"x: expected shape (N, 3) with N > 0, got {x.shape}")
    return x


def _per_particle(value: Any, name: str, x: jax.Array) -> jax.Array:
    n = x.shape[0]
    return jnp.broadcast_to(_checked(value, name, () if jnp.ndim(value) == 0 else (n,), x), (n,))


def _unrounded(value: Any, name: str) -> jax.Array:
    """Return a JAX array; refuse float64 where JAX would round it silently."""
    array = jnp.asarray(value)
    if getattr(value, "dtype", None) == np.float64 != array.dtype:
        raise ConfigError(
            f"{name}: expected float32, got float64, which JAX rounds; convert it with .astype('float32'), or call "
            "jax.config.update('jax_enable_x64', True) first"
        )
    return array


def _checked(value: Any, name: str, shape: tuple[int | None, ...], like: jax.Array) -> jax.Array:
    plain = isinstance(value, np.generic) or not hasattr(value, "dtype")  # numbers take the dtype of the positions
    array = jnp.asarray(value, like.dtype) if plain else _unrounded(value, name)
    if array.dtype != like.dtype:
        raise ConfigError(f"{name}: expected {like.dtype}, the dtype of x, got {array.dtype}; convert it with .astype")
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        text = ", ".join("L" if want is None else str(want) for want in shape) + ("," if len(shape) == 1 else "")
        raise ConfigError(f"{name}: expected shape ({text}), got {array.shape}")
    return array
