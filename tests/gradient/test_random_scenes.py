# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Random scenes (grid, count, options, colliders, controls, cotangents, memory budget) against the mirror."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tolerances as tol
from scenes import (
    BASES,
    BOUNDARIES,
    INPUTS,
    MATERIALS,
    MODES,
    Scene,
    assert_matches_mirror,
    assert_precisions_agree,
    assert_same_vector,
    make_scene,
    pull_back,
    random_cotangents,
    random_inputs,
    run,
)


def random_collider(rng: np.random.Generator, point: np.ndarray, dx: float) -> SimpleNamespace:
    mode = str(rng.choice(MODES))
    if rng.random() < 0.5:
        return SimpleNamespace(center=tuple(point), radius=dx * rng.uniform(0.5, 3.0), mode=mode)
    normal = rng.standard_normal(3)
    return SimpleNamespace(point=tuple(point), normal=tuple(normal / np.linalg.norm(normal)), mode=mode)


def random_fields(rng: np.random.Generator) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "dx": float(rng.uniform(0.2, 2.0)),
        "dt": float(rng.uniform(1e-3, 4e-3)),
        "origin": tuple(rng.normal(0.0, 5.0, 3)),
        "dims": tuple(int(n) for n in rng.integers(8, 24, 3)),
        "basis": str(rng.choice(BASES)),
        "material": str(rng.choice(MATERIALS)),
        "boundary": str(rng.choice(BOUNDARIES)),
        "boundary_nodes": int(rng.integers(0, 5)),
        "volume_carried": bool(rng.random() < 0.3),
    }
    limits = {"smoothing": 0.97, "shear_viscosity": 5.0, "bulk_viscosity": 5.0, "damping": 0.5}
    fields |= {name: float(rng.uniform(0.0, limit)) for name, limit in limits.items() if rng.random() < 0.4}
    return fields


def random_scene(rng: np.random.Generator) -> Scene:
    """Return 1 to 200 particles in a random box of the grid, in any state that does not invert."""
    fields = random_fields(rng)
    dx, dims, origin = fields["dx"], fields["dims"], np.array(fields["origin"])
    ends = rng.uniform(1.7, np.array(dims) - 2.7, (2, 3))
    low, high = ends.min(0), ends.max(0)
    x = origin + dx * rng.uniform(low, high, (int(rng.integers(1, 200)), 3))
    fields["colliders"] = tuple(
        random_collider(rng, origin + dx * rng.uniform(low, high), dx) for _ in range(rng.integers(0, 3))
    )
    steps, stride = int(rng.integers(1, 11)), int(rng.integers(1, 5))
    inputs = random_inputs(rng, x, int(rng.integers(1, -(-steps // stride) + 1)))
    inputs["v"] *= dx * rng.uniform(0.0, 6.0)
    inputs["volume"] *= dx**3
    inputs["mass"] *= dx**3
    if rng.random() < 0.3:
        inputs["F"][:] = np.eye(3)
    layers = {steps, *(int(n) for n in rng.integers(0, steps + 1, 2))}
    return Scene(fields, inputs, steps, stride, {n: random_cotangents(rng, len(x), dims) for n in sorted(layers)})


@pytest.mark.parametrize("seed", range(40))
def test_matches_autograd(seed: int, mirror: Any) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng)
    budget = int(rng.integers(1, 200_000)) if rng.random() < 0.5 else None
    assert_matches_mirror(scene, mirror, memory_budget=budget)


@pytest.mark.parametrize("seed", range(40))
def test_single_precision(seed: int) -> None:
    assert_precisions_agree(random_scene(np.random.default_rng(seed)))


@pytest.mark.parametrize("controlled", [False, True])
@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("basis", BASES)
def test_without_rest_state_or_motion_gradient(
    basis: str, material: str, controlled: bool, rng: np.random.Generator, mirror: Any
) -> None:
    """Rollouts without Fp, G and control use separate code paths in the core."""
    full = make_scene(rng, basis, material, "separate", "all", steps=8)
    eyes = np.broadcast_to(np.eye(3), (full.count, 3, 3)).copy()
    inputs = full.inputs if controlled else {**full.inputs, "control": np.zeros((1, full.count, 3, 3))}
    full = Scene(
        full.fields,
        {**inputs, "Fp": eyes},
        full.steps,
        full.control_stride,
        {n: {k: a for k, a in c.items() if k != "adj_G"} for n, c in full.cotangents.items()},
    )
    absent = {"Fp", "G"} if controlled else {"Fp", "G", "control"}
    lean = Scene(
        full.fields,
        {k: a for k, a in full.inputs.items() if k not in absent},
        full.steps,
        full.control_stride,
        full.cotangents,
    )
    _, expected = mirror.gradients(
        full.inputs, full.mirror_config(mirror), full.steps, full.cotangents, full.control_stride
    )
    grads = pull_back(run(lean, motion_gradient=False), lean)
    assert set(grads) == set(INPUTS) - absent
    for name, gradient in grads.items():
        assert_same_vector(gradient, expected[name], tol.MIRROR, f"gradient of {name}")
