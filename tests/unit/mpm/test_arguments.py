# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Every bad argument gets one sentence that names it, what was expected and what came."""

from __future__ import annotations

import dataclasses
import enum
import pickle

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core
from diffmpm._arrays import as_array
from diffmpm.mpm.params import native_params


def body(count: int = 8, dtype: type = np.float64, **changes: object) -> dm.Particles:
    x = np.random.default_rng(1).uniform(-1, 1, (count, 3)).astype(dtype)
    arguments = {"mass": 1.0, "volume": 0.1, "lam": 10.0, "mu": 10.0, **changes}
    return dm.Particles.create(arguments.pop("x", x), **arguments)


def config(**changes: object) -> dm.SimConfig:
    return dm.SimConfig(**{"dx": 0.5, "dt": 1e-3, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dt": -1e-3}, r"dt: expected a finite number > 0, got -0.001"),
        ({"dt": float("nan")}, r"dt: expected a finite number > 0, got nan"),
        ({"dx": 0.0}, r"dx: expected a finite number > 0"),
        ({"dx": "1"}, r"dx: expected a finite number > 0, got '1'"),
        ({"material": "jelly"}, r"material: expected one of fixed_corotated, neo_hookean.*, got 'jelly'"),
        ({"basis": "linear"}, r"basis: expected one of quadratic, cubic, got 'linear'"),
        ({"boundary": "open"}, r"boundary: expected one of none, sticky, slip, separate, got 'open'"),
        ({"smoothing": 1.0}, r"smoothing: expected a finite number >= 0 and < 1, got 1"),
        ({"damping": -0.1}, r"damping: expected a finite number >= 0 and < 1"),
        ({"drag": -1.0}, r"drag: expected a finite number >= 0"),
        ({"gravity": (0, 1)}, r"gravity: expected three finite numbers"),
        ({"origin": (0, 0, 0)}, r"origin: expected both origin and dims or neither"),
        ({"origin": (0, 0, 0), "dims": (4, 16, 16)}, r"dims: expected between 8 and 1048576 nodes"),
        ({"origin": (0, 0, 0), "dims": (8.5, 16, 16)}, r"dims: expected three integers"),
        ({"boundary_nodes": -1}, r"boundary_nodes: expected an integer from 0 to 1048576, got -1"),
        ({"colliders": ("wall",)}, r"colliders: expected HalfSpace or Sphere, got str"),
    ],
)
def test_config_names_the_bad_field(changes: dict[str, object], message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        config(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mass": -1.0}, r"mass: expected finite values > 0, got -1 at index 0"),
        ({"volume": 0.0}, r"volume: expected finite values > 0, got 0"),
        ({"lam": np.array([1.0] * 7 + [-2.0])}, r"lam: expected finite values >= 0, got -2 at index 7"),
        ({"mu": "soft"}, r"mu: expected a number or shape"),
        ({"x": np.zeros((3, 8))}, r"x: expected shape \(N, 3\), got \(3, 8\); pass x.T.copy\(\)"),
        ({"x": np.zeros((0, 3))}, r"x: expected at least one particle"),
        ({"x": np.full((2, 3), np.nan)}, r"x: expected finite values, got nan at index \(0, 0\)"),
        ({"x": np.zeros((2, 3), complex)}, r"x: expected numbers, got dtype complex128"),
        ({"Fp": np.diag([1.0, 1.0, -1.0]) * np.ones((8, 1, 1))}, r"Fp: expected det Fp > 0, got -1 at index 0"),
        ({"v": np.zeros((8, 2))}, r"v: expected shape \(8, 3\), got \(8, 2\)"),
        ({"F": np.zeros((8, 3, 3), np.float32)}, r"F: expected float64, got float32; convert it"),
    ],
)
def test_particles_name_the_bad_array(changes: dict[str, object], message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        body(**changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": -1}, r"steps: expected an integer >= 0, got -1"),
        ({"steps": 2.5}, r"steps: expected an integer >= 0, got 2.5"),
        ({"steps": 2, "control_stride": 0}, r"control_stride: expected an integer >= 1"),
        ({"steps": 2, "control": np.zeros((3, 8, 3, 3))}, r"control: expected at most 2 control steps"),
        ({"steps": 2, "control": np.zeros((1, 7, 3, 3))}, r"control: expected shape \(N, 8, 3, 3\)"),
        ({"steps": 2, "control": np.zeros((1, 8, 3, 3), np.float32)}, r"control: expected float64, got float32"),
        ({"steps": 2, "memory_budget": -5}, r"memory_budget: expected an integer >= 1"),
    ],
)
def test_rollout_names_the_bad_argument(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        dm.Simulation(body(), config()).rollout(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"adj_x": np.zeros((8, 2))}, r"adj_x: expected shape \(8, 3\)"),
        ({"adj_G": np.zeros((8, 3, 3))}, r"adj_G: expected a rollout that carries G"),
        ({"wrt": ("velocity",)}, r"wrt: expected names from control, x, .*got 'velocity'"),
        ({"wrt": ("G",)}, r"wrt: G needs a rollout that carries it"),
        ({"wrt": ("Fp",)}, r"wrt: Fp needs particles with a rest state"),
        ({"layers": {9: {}}}, r"layer: expected one of -3 to 2, got 9"),
        ({"layers": {1: {"x": 0}}}, r"layers: expected adj_x.*got 'x'"),
        ({"adj_grid_mass": np.zeros((2, 2, 2))}, r"adj_grid_mass: expected shape"),
    ],
)
def test_vjp_names_the_bad_argument(arguments: dict[str, object], message: str) -> None:
    roll = dm.Simulation(body(), config()).rollout(2)
    with pytest.raises(dm.ConfigError, match=message):
        roll.vjp(**arguments)


def test_rollouts_that_cannot_answer_say_so() -> None:
    roll = dm.Simulation(body(), config()).rollout(1, differentiable=False)
    with pytest.raises(dm.ConfigError, match="vjp: expected a differentiable rollout"):
        roll.vjp(adj_x=np.zeros((8, 3)))
    with pytest.raises(dm.ConfigError, match="G: expected a rollout that carries it"):
        _ = roll.G


def test_simulation_refuses_other_types() -> None:
    with pytest.raises(dm.ConfigError, match="particles: expected Particles, got str"):
        dm.Simulation("bunny.obj", config())  # type: ignore[arg-type]
    with pytest.raises(dm.ConfigError, match="config: expected SimConfig, got dict"):
        dm.Simulation(body(), {})  # type: ignore[arg-type]


def test_grid_that_is_too_small_names_the_particle() -> None:
    small = config(origin=(-10.0, -10.0, -10.0), dims=(8, 8, 8))
    with pytest.raises(dm.SimulationError, match=r"particle 0 left the grid in step 0; enlarge the grid") as caught:
        dm.Simulation(body(), small).rollout(1)
    assert (caught.value.particle, caught.value.step, caught.value.cause) == (0, 0, "left_grid")
    with pytest.raises(dm.ConfigError, match="config: expected a grid"):
        dm.grid_mass(body().x, body().mass, config())


def test_mismatched_target_grid() -> None:
    sim = dm.Simulation(body(), config())
    with pytest.raises(dm.ConfigError, match=r"target: expected the grid's shape .* got \(9, 9, 9\)"):
        dm.losses.LogMass(np.zeros((9, 9, 9))).evaluate(sim.rollout(0))


def test_too_many_colliders() -> None:
    wall = dm.HalfSpace((0, 1, 0), (0, 1, 0))
    with pytest.raises(dm.ConfigError, match="colliders: expected at most 16, got 17"):
        dm.Simulation(body(), config(colliders=(wall,) * 17)).rollout(1)


def test_unknown_fields_are_errors() -> None:
    with pytest.raises(dm.ConfigError, match="speed: expected a field of SimConfig"):
        config().replace(speed=1)
    with pytest.raises(dm.ConfigError, match="speed: expected a field of Particles"):
        body().replace(speed=1)


def test_tensors_that_require_grad_are_refused() -> None:
    class Tensor:
        requires_grad = True

    with pytest.raises(dm.ConfigError, match=r"x: the tensor requires grad.*tensor.detach\(\)"):
        as_array(Tensor(), "x", (None, 3))


def test_errors_survive_pickling() -> None:
    error = dm.SimulationError("text", particle=3, step=4, cause="inverted")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.particle, copy.step, copy.cause) == ("text", 3, 4, "inverted")


def test_config_mirrors_the_native_parameters() -> None:
    native = {name for name in dir(_core.MpmParams) if not name.startswith("_")}
    assert native == {field.name for field in dataclasses.fields(dm.SimConfig)}


def test_every_field_reaches_the_core() -> None:
    options = config(
        origin=(1.0, 2.0, 3.0), dims=(9, 10, 11), basis="quadratic", material="neo_hookean", boundary="slip",
        boundary_nodes=2, smoothing=0.25, drag=0.5, gravity=(0.1, 0.2, 0.3), shear_viscosity=0.6, bulk_viscosity=0.7,
        damping=0.125, volume_carried=True, colliders=(dm.Sphere((0, 0, 0), 1.0), dm.HalfSpace((0, 0, 0), (0, 0, 2))),
    )  # fmt: skip
    native = native_params(options)
    default = native_params(config(origin=(0.0, 0.0, 0.0), dims=(8, 8, 8)))
    for field in dataclasses.fields(dm.SimConfig):
        value = getattr(native, field.name)
        if field.name != "colliders":
            plain = value.name if isinstance(value, enum.Enum) else value
            assert (tuple(plain) if isinstance(plain, list) else plain) == getattr(options, field.name)
        if field.name not in ("dx", "dt"):
            assert value != getattr(default, field.name), f"{field.name} is not told from its default"
    ball, floor = native.colliders
    assert (ball.shape.name, ball.mode.name, ball.radius) == ("sphere", "separate", 1.0)
    assert (floor.shape.name, tuple(floor.normal)) == ("half_space", (0.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dx": 10**400}, r"dx: expected a finite number > 0"),
        ({"dx": 1e31}, r"dx: expected a magnitude from 1e-30 to 1e\+30, got 1e\+31"),
        ({"dt": 1e-31}, r"dt: expected a magnitude from 1e-30 to 1e\+30, got 1e-31"),
        ({"gravity": (0, 0, 1e300)}, r"gravity: expected magnitudes up to 1e\+30"),
        ({"basis": np.array(["cubic", "cubic"])}, r"basis: expected one of quadratic, cubic, got array"),
        ({"boundary_nodes": "3"}, r"boundary_nodes: expected an integer from 0 to 1048576, got '3'"),
        ({"volume_carried": np.zeros(2)}, r"volume_carried: expected True or False, got array"),
        ({"colliders": None}, r"colliders: expected a tuple of HalfSpace and Sphere, got None"),
        ({"origin": (0, 0, 0), "dims": [[1], [2, 3]]}, r"dims: expected three integers"),
    ],
)
def test_config_refuses_values_of_other_types(changes: dict[str, object], message: str) -> None:
    with pytest.raises(dm.ConfigError, match=message):
        config(**changes)


def test_grids_out_of_all_proportion_are_named() -> None:
    with pytest.raises(
        dm.ConfigError, match=r"dx: expected at most 1048576 cells along three times the particles' bound"
    ):
        dm.Simulation(body(), config(dx=1e-9))
    huge = config(origin=(-1e4, -1e4, -1e4), dims=(1 << 20, 1 << 20, 1 << 20))
    x = body().x
    if _core.available_memory() > 0:
        with pytest.raises(dm.ConfigError, match=r"dims: expected a grid that fits into half of the free memory, got"):
            dm.grid_mass(x, np.ones(8), huge)


def test_normals_of_any_length_are_taken() -> None:
    for length in (1e-200, 1.0, 1e30):
        assert dm.HalfSpace((0, 0, 0), (0, length, 0)).normal == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("radius", [0.12, 0.2])
def test_a_sphere_between_nodes_warns(radius: float) -> None:
    import diffmpm.errors

    grid = dm.SimConfig(dx=0.25, dt=1e-3, origin=(-3.0, -3.0, -3.0), dims=(25, 25, 25))
    small = dm.Sphere(center=(0.125, 0.125, -1.875), radius=radius, mode="sticky")
    with pytest.warns(diffmpm.errors.DiffMPMWarning, match=r"colliders\[0\]: .* it stops nothing"):
        dm.Simulation(body(), grid.replace(colliders=(small,)))
    wall = dm.HalfSpace((0.0, 0.0, -4.0), (0.0, 0.0, 1.0))
    with pytest.warns(diffmpm.errors.DiffMPMWarning, match=r"colliders\[0\]: .* half-space"):
        dm.Simulation(body(), grid.replace(colliders=(wall,)))


def test_a_collider_with_a_node_does_not_warn() -> None:
    grid = dm.SimConfig(dx=0.25, dt=1e-3, origin=(-3.0, -3.0, -3.0), dims=(25, 25, 25))
    good = dm.Sphere(center=(0.125, 0.125, -1.875), radius=0.3, mode="sticky")
    floor = dm.HalfSpace((0.0, 0.0, -3.0), (0.0, 0.0, 1.0))
    dm.Simulation(body(), grid.replace(colliders=(good, floor)))


@pytest.mark.parametrize("material", ["neo_hookean", "fixed_corotated"])
def test_an_inverted_initial_deformation_is_called_that(material: str) -> None:
    particles = body()
    F = particles.F.copy()
    F[3, 0, 0] = -1.0
    with pytest.raises(dm.SimulationError, match=r"particle 3 has an initial F that is inverted .* pass deformation"):
        dm.Simulation(particles.replace(F=F), config(material=material)).rollout(2)
