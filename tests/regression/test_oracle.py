# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Reproduce the reference rollouts, values and all gradients, that an independent program computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tolerances as tol
from scenes import DTYPES, INPUTS, Scene, assert_same_vector, pull_back, run

CASES = (
    "cubic_generic",
    "cubic_identity",
    "cubic_neo_hookean",
    "cubic_smoothing",
    "quadratic_generic",
    "quadratic_separate",
)
# Names of inputs that differ in the files.
STORED = {"control": "dFc", "volume": "vol", "gravity": "g"}


def load(case: str) -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("oracle") / f"{case}.npz") as stored:
        return {name: stored[name] for name in stored.files}


def scene_of(stored: dict[str, np.ndarray]) -> Scene:
    fields: dict[str, Any] = {name: str(stored[name]) for name in ("basis", "material", "boundary")}
    fields |= {name: float(stored[name]) for name in ("dx", "dt", "smoothing")}
    fields["boundary_nodes"] = int(stored["boundary_nodes"])
    fields["dims"] = tuple(int(n) for n in stored["dims"])
    fields["origin"] = tuple(float(c) for c in stored["origin"])
    inputs = {name: stored[STORED.get(name, name)] for name in INPUTS if name != "G"}
    inputs["G"] = np.broadcast_to(np.eye(3), stored["F"].shape).copy()
    steps = int(stored["T"])
    cotangents = {steps: {f"adj_{name}": stored[f"cot_{name}"] for name in "xvCF"}}
    return Scene(fields, inputs, steps, int(stored["control_stride"]), cotangents)


def mass_loss(m: np.ndarray, stored: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """Value of the log mass loss and its derivative with respect to the grid masses."""
    m = np.asarray(m, dtype=np.float64)
    m_ref = float(stored["m_ref"])
    difference = np.log1p(m / m_ref) - np.log1p(stored["m_target"] / m_ref)
    return 0.5 * float((difference**2).sum()), difference / (m_ref + m)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_core_reproduces(case: str, dtype: Any) -> None:
    stored = load(case)
    scene, tolerance = scene_of(stored), tol.ORACLE[np.dtype(dtype)]
    roll = run(scene, dtype)
    for name in "xvCF":
        assert_same_vector(getattr(roll, name), stored[f"{name}_T"], tolerance, name)

    value, adj_grid_mass = mass_loss(roll.grid_mass(), stored)
    loss = value + sum(
        float(np.sum(np.asarray(getattr(roll, name), np.float64) * stored[f"cot_{name}"])) for name in "xvCF"
    )
    np.testing.assert_allclose(value, stored["mass_loss"], rtol=tolerance)
    size = sum(np.linalg.norm(stored[f"cot_{name}"]) * np.linalg.norm(stored[f"{name}_T"]) for name in "xvCF")
    np.testing.assert_allclose(loss, stored["loss"], rtol=0.0, atol=tolerance * size)

    scene.cotangents[scene.steps]["adj_grid_mass"] = adj_grid_mass
    grads = pull_back(roll, scene, dtype)
    for name in INPUTS:
        if name != "G":  # not in the reference
            assert_same_vector(grads[name], stored[f"grad_{STORED.get(name, name)}"], tolerance, f"grad_{name}")


@pytest.mark.parametrize("case", CASES)
def test_mirror_reproduces(case: str, mirror: Any) -> None:
    stored = load(case)
    scene = scene_of(stored)
    config = scene.mirror_config(mirror)
    end = mirror.run(scene.inputs, config, scene.steps, scene.control_stride)[-1]
    _, adj_grid_mass = mass_loss(mirror.masses(end["x"], scene.inputs["mass"], config), stored)
    scene.cotangents[scene.steps]["adj_grid_mass"] = adj_grid_mass
    states, grads = mirror.gradients(scene.inputs, config, scene.steps, scene.cotangents, scene.control_stride)
    for name in "xvCF":
        assert_same_vector(states[-1][name], stored[f"{name}_T"], tol.MIRROR_ORACLE, name)
    for name in INPUTS:
        if name != "G":
            assert_same_vector(grads[name], stored[f"grad_{STORED.get(name, name)}"], tol.MIRROR_ORACLE, name)
