# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Small scenes for tests of the core, functions that run them through the public API, and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import tolerances as tol

BASES = ("quadratic", "cubic")
MATERIALS = ("fixed_corotated", "neo_hookean")
BOUNDARIES = ("none", "sticky", "slip", "separate")
MODES = ("sticky", "slip", "separate")
DTYPES = (np.float32, np.float64)
STATE = ("x", "v", "C", "F", "G")
INPUTS = ("control", "x", "v", "C", "F", "G", "Fp", "lam", "mu", "mass", "volume", "gravity", "drag")

DX = 0.8
ORIGIN = np.array([-3.0, 1.5, 0.25])
DIMS = (14, 13, 15)


def _half_space(mode: str) -> SimpleNamespace:
    """An oblique plane through the lower clump of `make_scene`."""
    normal = np.array([2.0, -1.0, 2.0]) / 3.0
    return SimpleNamespace(point=tuple(ORIGIN + DX * np.array([3.6, 3.5, 3.4])), normal=tuple(normal), mode=mode)


def _sphere(mode: str) -> SimpleNamespace:
    """A ball that covers part of the upper clump of `make_scene`."""
    center = ORIGIN + DX * (np.array(DIMS) - 1.0 - np.array([3.3, 3.1, 3.6]))
    return SimpleNamespace(center=tuple(center), radius=1.4 * DX, mode=mode)


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "smoothing": {"smoothing": 0.955},
    "shear_viscosity": {"shear_viscosity": 15.0},
    "bulk_viscosity": {"bulk_viscosity": 10.0},
    "damping": {"damping": 0.3},
    "volume_carried": {"volume_carried": True, "smoothing": 0.7},
    **{f"half_space_{mode}": {"colliders": (_half_space(mode),)} for mode in MODES},
    **{f"sphere_{mode}": {"colliders": (_sphere(mode),)} for mode in MODES},
    "all": {
        "smoothing": 0.4,
        "shear_viscosity": 15.0,
        "bulk_viscosity": 10.0,
        "damping": 0.2,
        "volume_carried": True,
        "colliders": (_half_space("separate"), _sphere("slip")),
    },
}


def combinations() -> list[tuple[str, str, str, str]]:
    """Return (basis, material, boundary, option): each boundary without and with all options, and each option alone."""
    cases = [
        (basis, material, boundary, option)
        for basis in BASES
        for material in MATERIALS
        for boundary in BOUNDARIES
        for option in ("plain", "all")
    ]
    cases += [
        (basis, material, "none", option)
        for basis in BASES
        for material in MATERIALS
        for option in OPTIONS
        if option not in ("plain", "all")
    ]
    return cases


@dataclass(frozen=True)
class Scene:
    """A rollout: configuration, inputs (float64) and cotangents at some steps."""

    fields: dict[str, Any]
    inputs: dict[str, np.ndarray]
    steps: int
    control_stride: int
    cotangents: dict[int, dict[str, np.ndarray]]

    @property
    def count(self) -> int:
        """Number of particles."""
        return len(self.inputs["x"])

    def with_inputs(self, **inputs: np.ndarray) -> Scene:
        """Return a copy with some inputs replaced."""
        return replace(self, inputs={**self.inputs, **inputs})

    def rounded(self, dtype: Any) -> Scene:
        """Return a copy with inputs and cotangents rounded to `dtype`, stored as float64."""

        def round_all(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {k: np.asarray(a, dtype=dtype).astype(np.float64) for k, a in values.items()}

        cotangents = {n: round_all(layer) for n, layer in self.cotangents.items()}
        return replace(self, inputs=round_all(self.inputs), cotangents=cotangents)

    def mirror_config(self, mirror: Any) -> Any:
        """Configuration for the mirror."""
        return mirror.config(**self.fields)


def clump(rng: np.random.Generator, count: int, low: Any, high: Any) -> np.ndarray:
    """Return random positions between two corners in cells."""
    return ORIGIN + DX * rng.uniform(np.asarray(low, float), np.asarray(high, float), size=(count, 3))


def random_inputs(rng: np.random.Generator, x: np.ndarray, layers: int) -> dict[str, np.ndarray]:
    """Return inputs at positions `x` that differ between particles."""
    n = len(x)
    eye = np.eye(3)
    return {
        "control": 0.02 * rng.standard_normal((layers, n, 3, 3)),
        "x": x,
        "v": 1.5 * rng.standard_normal((n, 3)),
        "C": 1.0 * rng.standard_normal((n, 3, 3)),
        "F": eye + 0.08 * rng.standard_normal((n, 3, 3)),
        "G": np.broadcast_to(eye, (n, 3, 3)).copy(),
        "Fp": eye + 0.05 * rng.standard_normal((n, 3, 3)),
        "lam": 400.0 * rng.uniform(0.7, 1.3, n),
        "mu": 300.0 * rng.uniform(0.7, 1.3, n),
        "mass": rng.uniform(0.5, 1.5, n),
        "volume": rng.uniform(0.05, 0.15, n),
        "gravity": np.array([0.3, -9.8, 0.7]),
        "drag": np.array(0.5),
    }


def random_cotangents(rng: np.random.Generator, count: int, dims: Iterable[int]) -> dict[str, np.ndarray]:
    """Return random cotangents of every output at a step."""
    shapes = {"x": (count, 3), "v": (count, 3), "C": (count, 3, 3), "F": (count, 3, 3), "G": (count, 3, 3)}
    cotangents = {f"adj_{name}": rng.standard_normal(shape) for name, shape in shapes.items()}
    cotangents["adj_grid_mass"] = rng.standard_normal(tuple(dims))
    return cotangents


def make_scene(
    rng: np.random.Generator,
    basis: str = "cubic",
    material: str = "fixed_corotated",
    boundary: str = "none",
    option: str = "plain",
    *,
    steps: int = 9,
    control_stride: int = 2,
    per_clump: int = 12,
    **fields: Any,
) -> Scene:
    """Return two clumps in opposite corners of the grid, which partly overlap its boundary layers.

    Cotangents apply to the final state and, with more than one step, to the middle one.
    """
    top = np.array(DIMS) - 1.0
    x = np.concatenate([clump(rng, per_clump, [2.1] * 3, [4.9] * 3), clump(rng, per_clump, top - 4.9, top - 2.1)])
    layers = -(-steps // control_stride)
    cotangents = {steps: random_cotangents(rng, len(x), DIMS)}
    if steps > 1:
        cotangents[steps // 2] = random_cotangents(rng, len(x), DIMS)
    base = {"dx": DX, "dt": 4e-3, "origin": tuple(ORIGIN), "dims": DIMS, "boundary_nodes": 3}
    chosen = {"basis": basis, "material": material, "boundary": boundary, **OPTIONS[option], **fields}
    return Scene({**base, **chosen}, random_inputs(rng, x, layers), steps, control_stride, cotangents)


def travelling_scene(rng: np.random.Generator, basis: str) -> Scene:
    """Return two clumps that fly 7 cells out and back across several grid blocks, at most 0.8 cells per step."""
    steps, dt, dims = 36, 4e-3, (26, 22, 18)
    x = np.concatenate([clump(rng, 14, [5, 4, 4], [8, 7, 7]), clump(rng, 14, [5, 12, 10], [8, 15, 13])])
    inputs = random_inputs(rng, x, 4)
    speed = 0.8 * DX / dt
    inputs["v"] = 2.0 * rng.standard_normal(x.shape) + speed * np.array([1.0, 0.4, -0.1])
    inputs["gravity"] = -2.0 * speed / (steps * dt) * np.array([1.0, 0.4, 0.0])
    inputs["drag"] = np.array(0.1)
    cotangents = {n: random_cotangents(rng, len(x), dims) for n in (10, 25, steps)}
    fields = {"dx": DX, "dt": dt, "origin": tuple(ORIGIN), "dims": dims, "basis": basis, "smoothing": 0.2}
    return Scene(fields, inputs, steps, 5, cotangents)


def configuration(scene: Scene) -> Any:
    """Build the `diffmpm.SimConfig` of a scene."""
    import diffmpm as dm

    fields = dict(scene.fields)
    if fields.get("colliders"):
        fields["colliders"] = tuple(
            dm.Sphere(center=c.center, radius=c.radius, mode=c.mode)
            if hasattr(c, "radius")
            else dm.HalfSpace(point=c.point, normal=c.normal, mode=c.mode)
            for c in fields["colliders"]
        )
    gravity = tuple(float(g) for g in scene.inputs["gravity"])
    return dm.SimConfig(**fields, gravity=gravity, drag=float(scene.inputs["drag"]))


def particles(scene: Scene, dtype: Any = np.float64) -> Any:
    """Build the `diffmpm.Particles` of a scene."""
    import diffmpm as dm

    names = ("v", "C", "F", "Fp", "lam", "mu", "mass", "volume")
    arrays = {n: np.ascontiguousarray(scene.inputs[n], dtype=dtype) for n in names if n in scene.inputs}
    return dm.Particles.create(np.ascontiguousarray(scene.inputs["x"], dtype=dtype), **arrays)


def simulation(scene: Scene, dtype: Any = np.float64, device: str = "cpu") -> Any:
    """Build the `diffmpm.Simulation` of a scene."""
    import diffmpm as dm

    return dm.Simulation(particles(scene, dtype).to(device), configuration(scene))


def run(scene: Scene, dtype: Any = np.float64, device: str = "cpu", **options: Any) -> Any:
    """Run a scene through the core, with its motion gradient."""
    control = scene.inputs.get("control")
    if control is not None:
        options = {"control": on(device, np.ascontiguousarray(control, dtype=dtype)), **options}
    options = {"steps": scene.steps, "control_stride": scene.control_stride, "motion_gradient": True, **options}
    return simulation(scene, dtype, device).rollout(**options)


def on(device: str, array: np.ndarray) -> Any:
    """Return an array on a device."""
    import diffmpm as dm

    return array if device == "cpu" else dm.to_device(array, device=device)


def host(array: Any) -> np.ndarray:
    """Return an array from any device as a NumPy array."""
    return np.asarray(array.numpy() if hasattr(array, "numpy") else array)


def pull_back(roll: Any, scene: Scene, dtype: Any = np.float64, wrt: Any = "all") -> dict[str, np.ndarray]:
    """Return the gradients of the scene's objective by the names of INPUTS."""
    device = roll.particles.device
    layers = {
        n: {k: on(device, np.ascontiguousarray(a, dtype=dtype)) for k, a in c.items()}
        for n, c in scene.cotangents.items()
    }
    end = layers.pop(scene.steps, {})
    grads = roll.vjp(**end, layers=layers, wrt=wrt)
    named = {name: getattr(grads, name) for name in INPUTS}
    return {name: host(g) for name, g in named.items() if g is not None}


def objective(roll: Any, scene: Scene) -> float:
    """Return the inner product of the states with the scene's cotangents."""
    value = 0.0
    for n, layer in scene.cotangents.items():
        state = roll.state(n)
        for name, adjoint in layer.items():
            quantity = name.removeprefix("adj_")
            output = roll.grid_mass(n) if quantity == "grid_mass" else getattr(state, quantity)
            value += float(np.sum(np.asarray(output, dtype=np.float64) * adjoint))
    return value


def assert_same_vector(got: Any, expected: Any, tolerance: float, name: str = "") -> None:
    """Compare shape, finiteness, relative L2 error and cosine; an expected zero must be zero exactly."""
    got, expected = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    assert got.shape == expected.shape, f"{name}: shape {got.shape}, expected {expected.shape}"
    assert np.isfinite(got).all(), f"{name}: not finite"
    size, got_size = float(np.linalg.norm(expected)), float(np.linalg.norm(got))
    if size == 0.0:
        assert got_size == 0.0, f"{name}: norm {got_size}, expected exactly zero"
        return
    error = float(np.linalg.norm(got - expected)) / size
    assert error <= tolerance, f"{name}: relative L2 error {error:.3g} > {tolerance:.3g} (norm {size:.3g})"
    cosine = float(np.vdot(got, expected)) / (size * got_size)
    assert cosine >= 1.0 - tolerance, f"{name}: cosine {cosine}"


def assert_same_bits(got: Any, expected: Any, name: str = "") -> None:
    """Compare two arrays bitwise."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype, f"{name}: dtype {got.dtype}, expected {expected.dtype}"
    assert got.shape == expected.shape, f"{name}: shape {got.shape}, expected {expected.shape}"
    different = np.count_nonzero(got != expected)
    assert got.tobytes() == expected.tobytes(), f"{name}: {different} of {got.size} values differ"


def assert_matches_mirror(scene: Scene, mirror: Any, skip: Iterable[str] = (), **options: Any) -> dict[str, np.ndarray]:
    """Compare the states of all steps, and the gradients of all inputs but `skip`, with the mirror; return them."""
    roll = run(scene, **options)
    states, expected = mirror.gradients(
        scene.inputs, scene.mirror_config(mirror), scene.steps, scene.cotangents, scene.control_stride
    )
    for n, state in enumerate(states):
        for name in STATE:
            assert_same_vector(getattr(roll.state(n), name), state[name], tol.MIRROR, f"{name} at step {n}")
    grads = pull_back(roll, scene)
    for name in set(INPUTS) - set(skip):
        assert_same_vector(grads[name], expected[name], tol.MIRROR, f"gradient of {name}")
    return grads


def assert_precisions_agree(scene: Scene) -> None:
    """Compare states and gradients in float32 with those in float64, from the same rounded inputs."""
    scene = scene.rounded(np.float32)
    single, double = run(scene, np.float32), run(scene)
    for name in STATE:
        assert getattr(single, name).dtype == np.float32
        assert_same_vector(getattr(single, name), getattr(double, name), tol.SINGLE_PRECISION, name)
    got, expected = pull_back(single, scene, np.float32), pull_back(double, scene)
    for name in INPUTS:
        assert_same_vector(got[name], expected[name], tol.SINGLE_PRECISION, f"gradient of {name}")


def random_rotations(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return random rotation matrices, shape (count, 3, 3)."""
    q, _ = np.linalg.qr(rng.standard_normal((count, 3, 3)))
    return q * np.linalg.det(q)[:, None, None]


def five_point_difference(function: Callable[[float], float], h: float) -> float:
    """Return the derivative of a function at 0 by five-point central differences."""
    return (function(-2 * h) - 8 * function(-h) + 8 * function(h) - function(2 * h)) / (12 * h)
