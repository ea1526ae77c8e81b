# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Motions with closed-form solutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tolerances as tol
from scenes import BASES, DTYPES, MATERIALS, MODES, random_rotations

DT = 4e-3
DX = 0.5
GRID = {"dx": DX, "dt": DT, "origin": (-4.0, -4.0, -4.0), "dims": (18, 20, 16)}
Array = np.ndarray


def body(rng: np.random.Generator, count: int = 40, half_width: float = 1.0) -> Array:
    return rng.uniform(-half_width, half_width, (count, 3)) + np.array([0.3, 0.4, -0.2])


def rollout(x: Array, dtype: Any = np.float64, *, steps: int = 10, **options: Any) -> tuple[Any, Any]:
    """Return a rollout and its particles; `options` are for the particles and the configuration."""
    import diffmpm as dm

    names = ("v", "C", "F", "Fp", "mass", "volume", "lam", "mu")
    fields: dict[str, Any] = {"mass": 1.3, "volume": 0.01, "lam": 400.0, "mu": 300.0}
    fields |= {name: options.pop(name) for name in names if name in options}
    fields = {name: value if np.ndim(value) == 0 else np.asarray(value, dtype) for name, value in fields.items()}
    particles = dm.Particles.create(np.asarray(x, dtype), **fields)
    return dm.Simulation(particles, dm.SimConfig(**{**GRID, **options})).rollout(steps=steps), particles


def spin(omega: Array) -> Array:
    a, b, c = omega
    return np.array([[0.0, -c, b], [c, 0.0, -a], [-b, a, 0.0]])


def kirchhoff(F: Array, lam: float, mu: float, material: str) -> Array:
    """Return tau of one F from its singular values, independent of polar decompositions."""
    u, sigma, _vt = np.linalg.svd(F)
    J = np.linalg.det(F)
    if material == "fixed_corotated":
        principal = 2.0 * mu * (sigma - 1.0) * sigma + lam * (J - 1.0) * J
    elif material == "neo_hookean":
        principal = mu * sigma**2 + lam * (J - 1.0 - mu / lam) * J
    else:
        raise ValueError(material)
    return (u * principal) @ u.T


each = pytest.mark.parametrize("basis", BASES)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@each
@each_dtype
@pytest.mark.parametrize("material", MATERIALS)
def test_rigid_translation_leaves_F(basis: str, dtype: Any, material: str, rng: np.random.Generator) -> None:
    """Uniform velocity, stress-free rotated particles: v, C and F are constant, x moves by t v."""
    x, velocity = body(rng), np.array([3.0, -2.0, 1.0])
    n = len(x)
    F = random_rotations(rng, n).astype(dtype)
    rest = F if material == "fixed_corotated" else np.broadcast_to(np.eye(3), F.shape)
    # Stable neo-Hookean: F = R is stress-free too, but only the identity without rounding.
    roll, _ = rollout(x, dtype, steps=20, v=np.tile(velocity, (n, 1)), F=rest, basis=basis, material=material)
    rounding = tol.steps_of_rounding(dtype, 20)
    # A rounding error of F causes a stress of lam + 2 mu = 1e3 times it, and C changes by dt V / (m D) times that.
    stress = rounding * 1e3 * DT * 0.01 / (1.3 * DX**2 / 4.0)
    np.testing.assert_allclose(roll.v, np.tile(velocity, (n, 1)), rtol=0.0, atol=3.0 * rounding + stress)
    np.testing.assert_allclose(roll.C, 0.0, atol=(3.0 * rounding + stress) / DX * 4.0)
    np.testing.assert_allclose(roll.F, rest, rtol=0.0, atol=rounding + 20 * DT * stress)
    np.testing.assert_allclose(roll.x, x + 20 * DT * velocity, rtol=0.0, atol=4.0 * rounding)


@each
@each_dtype
@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("assimilated", [False, True])
def test_rest_is_a_fixed_point(
    basis: str, dtype: Any, material: str, assimilated: bool, rng: np.random.Generator
) -> None:
    """No motion at F = Fp for any Fp."""
    x = body(rng)
    F = np.eye(3) + (0.1 * rng.standard_normal((len(x), 3, 3)) if assimilated else np.zeros((len(x), 3, 3)))
    roll, start = rollout(x, dtype, steps=20, F=F, Fp=F, basis=basis, material=material)
    rounding = tol.steps_of_rounding(dtype, 20)
    stress = rounding * 1e3 * DT * 0.01 / (1.3 * DX**2 / 4.0)
    np.testing.assert_allclose(roll.v, 0.0, atol=stress)
    np.testing.assert_allclose(roll.C, 0.0, atol=stress / DX * 4.0)
    np.testing.assert_allclose(roll.F, start.F, rtol=0.0, atol=rounding)
    np.testing.assert_allclose(roll.x, start.x, rtol=0.0, atol=20 * DT * stress)


@each
@each_dtype
@pytest.mark.parametrize("drag", [0.0, 0.7])
def test_free_fall(basis: str, dtype: Any, drag: float, rng: np.random.Generator) -> None:
    """v follows v <- (1 - dt drag) v + dt g, x is the sum of its steps, and F stays the identity."""
    x, steps = body(rng), 40
    v0, gravity = np.array([1.0, 2.0, -0.5]), np.array([0.5, -9.8, 1.0])
    roll, _ = rollout(x, dtype, steps=steps, v=np.tile(v0, (len(x), 1)), gravity=gravity, drag=drag, basis=basis)
    keep = 1.0 - DT * drag
    powers = keep ** np.arange(steps + 1)
    velocities = powers[1:, None] * v0 + np.cumsum(powers[:-1])[:, None] * DT * gravity
    scale = float(np.abs(velocities).max())
    rounding = tol.steps_of_rounding(dtype, steps, scale)
    np.testing.assert_allclose(roll.v, np.tile(velocities[-1], (len(x), 1)), rtol=0.0, atol=4.0 * rounding)
    np.testing.assert_allclose(roll.x, x + DT * velocities.sum(0), rtol=0.0, atol=4.0 * rounding)
    np.testing.assert_allclose(roll.F, np.broadcast_to(np.eye(3), (len(x), 3, 3)), rtol=0.0, atol=4.0 * rounding)


@each
@each_dtype
def test_affine_motion_is_reproduced(basis: str, dtype: Any, rng: np.random.Generator) -> None:
    """One step of v(x) = A x + b without stress: v and C are unchanged, F' = (I + dt A) F."""
    x = body(rng)
    A, b = 2.0 * rng.standard_normal((3, 3)), rng.standard_normal(3)
    v, C = x @ A.T + b, np.tile(A, (len(x), 1, 1))
    F = random_rotations(rng, len(x))
    roll, _start = rollout(x, dtype, steps=1, v=v, C=C, F=F, lam=0.0, mu=0.0, basis=basis)
    rounding = tol.steps_of_rounding(dtype, 1, float(np.abs(v).max() + np.abs(A).max() * 4.0))
    np.testing.assert_allclose(roll.v, v, rtol=0.0, atol=rounding)
    np.testing.assert_allclose(roll.C, C, rtol=0.0, atol=rounding * 4.0 / DX)
    np.testing.assert_allclose(roll.F, (np.eye(3) + DT * A) @ F, rtol=0.0, atol=rounding)
    np.testing.assert_allclose(roll.x, x + DT * v, rtol=0.0, atol=rounding)


@each
@pytest.mark.parametrize("material", MATERIALS)
def test_stiff_body_rotates_rigidly(basis: str, material: str) -> None:
    """A cube, whose inertia is isotropic, spins about any axis: positions and F rotate by R(omega t)."""
    spacing = DX / 2.0
    axis = (np.arange(6) - 2.5) * spacing
    x = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    omega, duration, steps, stiffness = np.array([1.0, 2.0, -1.5]), 0.2, 400, 1e4
    W = spin(omega)
    angle = float(np.linalg.norm(omega)) * duration
    K = W / np.linalg.norm(omega)
    R = np.eye(3) + np.sin(angle) * K + (1.0 - np.cos(angle)) * K @ K
    roll, _ = rollout(
        x, steps=steps, v=x @ W.T, C=np.tile(W, (len(x), 1, 1)), lam=stiffness, mu=stiffness,
        mass=spacing**3, volume=spacing**3, basis=basis, material=material, dt=duration / steps,
    )  # fmt: skip
    # The centrifugal load causes strain of omega^2 R^2 / E = 7.25 * 1.2 / 2.5e4 = 3e-4 and vibrations of that size.
    # Measured 1e-4, 3.4e-3 and 1.2e-4, times 4.
    assert angle > 0.5
    np.testing.assert_allclose(roll.x, x @ R.T, rtol=0.0, atol=4e-4)
    np.testing.assert_allclose(roll.v, roll.x @ W.T, rtol=0.0, atol=1.4e-2)
    np.testing.assert_allclose(roll.F, np.broadcast_to(R, roll.F.shape), rtol=0.0, atol=5e-4)


@each
@each_dtype
@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("assimilated", [False, True])
def test_stress_of_one_particle(
    basis: str, dtype: Any, material: str, assimilated: bool, rng: np.random.Generator
) -> None:
    """A single particle gets C' = C - dt V tau / (m D) and v' = v + dt g, which shows the stress."""
    F = np.eye(3) + 0.2 * rng.standard_normal((1, 3, 3))
    Fp = np.eye(3) + (0.1 if assimilated else 0.0) * rng.standard_normal((1, 3, 3))
    C, v = rng.standard_normal((1, 3, 3)), rng.standard_normal((1, 3))
    gravity = np.array([0.1, -9.8, 0.2])
    roll, _ = rollout(
        np.array([[0.13, 0.57, -0.71]]), dtype, steps=1,
        F=F, Fp=Fp, C=C, v=v, basis=basis, material=material, gravity=gravity,
    )  # fmt: skip
    tau = kirchhoff(F[0] @ np.linalg.inv(Fp[0]), 400.0, 300.0, material)
    D = DX**2 / (4.0 if basis == "quadratic" else 3.0)
    expected = C[0] - DT * 0.01 * tau / (1.3 * D)
    rounding = tol.steps_of_rounding(dtype, 1, 4.0)
    np.testing.assert_allclose(roll.C[0], expected, rtol=0.0, atol=rounding * 4.0)
    np.testing.assert_allclose(roll.v[0], v[0] + DT * gravity, rtol=0.0, atol=rounding)
    np.testing.assert_allclose(roll.F[0], (np.eye(3) + DT * expected) @ F[0], rtol=0.0, atol=rounding)


@each
@pytest.mark.parametrize("material", MATERIALS)
def test_stress_is_the_gradient_of_the_energy(basis: str, material: str, rng: np.random.Generator) -> None:
    """The impulse of one step is -dt V d(psi)/dF F^T / D, with central differences of the energy psi."""
    lam, mu, h = 400.0, 300.0, 1e-6
    F = np.eye(3) + 0.2 * rng.standard_normal((3, 3))

    def energy(F: Array) -> float:
        J = np.linalg.det(F)
        if material == "fixed_corotated":
            sigma = np.linalg.svd(F, compute_uv=False)
            return float(mu * ((sigma - 1.0) ** 2).sum() + 0.5 * lam * (J - 1.0) ** 2)
        if material == "neo_hookean":
            a = 1.0 + mu / lam
            return float(0.5 * mu * ((F**2).sum() - 3.0) + 0.5 * lam * (J - a) ** 2)
        raise ValueError(material)

    P = np.zeros((3, 3))
    for r in range(3):
        for s in range(3):
            E = np.zeros((3, 3))
            E[r, s] = h
            P[r, s] = (energy(F + E) - energy(F - E)) / (2.0 * h)
    roll, _ = rollout(np.zeros((1, 3)) + 0.1, steps=1, F=F[None], basis=basis, material=material)
    D = DX**2 / (4.0 if basis == "quadratic" else 3.0)
    got = -roll.C[0] * 1.3 * D / (DT * 0.01)
    # The differences have truncation errors.
    np.testing.assert_allclose(got, P @ F.T, rtol=0.0, atol=1e-6 * float(np.abs(P).max()))


@each
def test_viscosity_of_one_particle(basis: str, rng: np.random.Generator) -> None:
    """tau gains 2 eta dev(sym C) + zeta tr(C) I."""
    C = rng.standard_normal((1, 3, 3))
    roll, _ = rollout(np.zeros((1, 3)) + 0.1, steps=1, C=C, basis=basis, shear_viscosity=7.0, bulk_viscosity=5.0)
    sym = 0.5 * (C[0] + C[0].T)
    tau = 14.0 * (sym - np.trace(sym) / 3.0 * np.eye(3)) + 5.0 * np.trace(sym) * np.eye(3)
    D = DX**2 / (4.0 if basis == "quadratic" else 3.0)
    np.testing.assert_allclose(roll.C[0], C[0] - DT * 0.01 * tau / (1.3 * D), rtol=0.0, atol=1e-13)  # 50 eps of 4


@each
def test_damping_removes_strain_rate_only(basis: str, rng: np.random.Generator) -> None:
    C = rng.standard_normal((1, 3, 3))
    roll, _ = rollout(np.zeros((1, 3)) + 0.1, steps=1, C=C, basis=basis, damping=0.25)
    np.testing.assert_allclose(roll.C[0], C[0] - 0.125 * (C[0] + C[0].T), rtol=0.0, atol=1e-13)  # 50 eps of 4


@each
def test_smoothing_mixes_old_and_new_F(basis: str, rng: np.random.Generator) -> None:
    C, F = rng.standard_normal((1, 3, 3)), np.eye(3) + 0.1 * rng.standard_normal((1, 3, 3))
    roll, _ = rollout(np.zeros((1, 3)) + 0.1, steps=1, C=C, F=F, lam=0.0, mu=0.0, basis=basis, smoothing=0.955)
    advance = np.eye(3) + DT * C[0]
    np.testing.assert_allclose(roll.F[0], 0.045 * advance @ F[0] + 0.955 * F[0], rtol=0.0, atol=1e-13)  # 50 eps


@each
def test_volume_is_carried(basis: str, rng: np.random.Generator) -> None:
    """det F of every particle is its initial value times the product of det(I + dt C), for any smoothing."""
    x = body(rng)
    C = 3.0 * rng.standard_normal((len(x), 3, 3))
    roll, _ = rollout(x, steps=12, C=C, basis=basis, smoothing=0.955, volume_carried=True)
    volume = np.ones(len(x))
    for n in range(1, 13):
        volume = volume * np.linalg.det(np.eye(3) + DT * roll.state(n).C)
    assert np.abs(volume - 1.0).max() > 1e-3
    np.testing.assert_allclose(np.linalg.det(roll.F), volume, rtol=tol.steps_of_rounding(np.float64, 12))


@each
def test_motion_gradient_is_the_product_of_the_steps(basis: str, rng: np.random.Generator) -> None:
    """G = prod (I + dt C), without smoothing and control."""
    import diffmpm as dm

    x = body(rng)
    particles = dm.Particles.create(
        x, mass=1.0, volume=0.01, lam=400.0, mu=300.0, C=3.0 * rng.standard_normal((len(x), 3, 3))
    )
    control = 0.02 * rng.standard_normal((12, len(x), 3, 3))
    sim = dm.Simulation(particles, dm.SimConfig(**GRID, basis=basis, smoothing=0.9))
    roll = sim.rollout(steps=12, control=control, motion_gradient=True)
    G = np.broadcast_to(np.eye(3), (len(x), 3, 3))
    for n in range(1, 13):
        G = (np.eye(3) + DT * roll.state(n).C) @ G
    np.testing.assert_allclose(roll.G, G, rtol=0.0, atol=tol.steps_of_rounding(np.float64, 12))


@each
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", ["half_space", "sphere"])
def test_collider_acts_inside_only(basis: str, mode: str, shape: str, rng: np.random.Generator) -> None:
    """A body deep inside a large collider follows the mode; one far outside is unaffected."""
    import diffmpm as dm

    normal = np.array([2.0, -1.0, 2.0]) / 3.0
    inside = clump_at(rng, -2.0 * normal)
    outside = clump_at(rng, 2.0 * normal)
    x = np.concatenate([inside, outside])
    if shape == "half_space":
        collider: Any = dm.HalfSpace(point=(0.0, 0.0, 0.0), normal=tuple(normal), mode=mode)
    else:  # radius 1e6, so the surface is flat to 4^2 / 1e6
        collider = dm.Sphere(center=tuple(-1e6 * normal), radius=1e6, mode=mode)
    for sign in (1.0, -1.0):
        v0 = sign * 2.0 * normal + np.array([1.0, 2.0, 0.0])  # the second part is tangential
        roll, _ = rollout(x, steps=1, v=np.tile(v0, (len(x), 1)), basis=basis, colliders=(collider,))
        into = min(v0 @ normal, 0.0)
        expected = {"sticky": 0.0 * v0, "slip": v0 - normal * (v0 @ normal), "separate": v0 - normal * into}[mode]
        half = len(inside)
        atol = 1e-12 if shape == "half_space" else 1e-5  # the sphere's normal varies by 4 / 1e6
        np.testing.assert_allclose(roll.v[:half], np.tile(expected, (half, 1)), rtol=0.0, atol=atol)
        np.testing.assert_allclose(roll.v[half:], np.tile(v0, (half, 1)), rtol=0.0, atol=1e-12)


def clump_at(rng: np.random.Generator, centre: Array, count: int = 10) -> Array:
    return centre + rng.uniform(-0.05, 0.05, (count, 3))


@each
@pytest.mark.parametrize("boundary", MODES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("high", [False, True])
def test_boundary_layers(basis: str, boundary: str, axis: int, high: bool, rng: np.random.Generator) -> None:
    """A body over the boundary layers of one face follows the condition, moving inwards and outwards."""
    import diffmpm as dm

    cells = np.array(GRID["dims"]) / 2.0 - 0.5
    cells[axis] = GRID["dims"][axis] - 1.0 - 1.6 if high else 1.6
    x = clump_at(rng, np.array(GRID["origin"]) + DX * cells)
    outward = np.zeros(3)
    outward[axis] = 1.0 if high else -1.0
    # stencils reach 2 nodes from 1.6 cells: layers 0 to 3
    for speed in (1.5, -1.5):
        v0 = np.array([0.7, -0.4, 0.9])
        v0[axis] = speed * outward[axis]
        particles = dm.Particles.create(x, mass=1.0, volume=0.01, lam=4.0, mu=3.0, v=np.tile(v0, (len(x), 1)))
        config = dm.SimConfig(**GRID, basis=basis, boundary=boundary, boundary_nodes=4)
        roll = dm.Simulation(particles, config).rollout(steps=1)
        normal_part = (v0 @ outward) * outward
        blocked = normal_part if boundary == "slip" or speed > 0.0 else np.zeros(3)
        expected = np.zeros(3) if boundary == "sticky" else v0 - blocked
        np.testing.assert_allclose(roll.v, np.tile(expected, (len(x), 1)), rtol=0.0, atol=1e-13)  # 50 eps of 1.5
