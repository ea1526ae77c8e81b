# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Rollouts that recompute states are bitwise identical to rollouts that store them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scenes import (
    BASES,
    DTYPES,
    INPUTS,
    STATE,
    Scene,
    assert_same_bits,
    assert_same_vector,
    configuration,
    make_scene,
    pull_back,
    run,
    travelling_scene,
)

STEPS = 23  # prime: does not divide into equal segments


def state_bytes(scene: Scene, dtype: Any) -> int:
    """Return the size of x, v, C, F and G."""
    return scene.count * (3 + 3 + 9 + 9 + 9) * np.dtype(dtype).itemsize


def scene_for(rng: np.random.Generator, basis: str, case: str) -> Scene:
    if case == "travelling":
        return travelling_scene(rng, basis)
    return make_scene(rng, basis, boundary="separate", option="all", steps=STEPS)


@pytest.mark.parametrize("budget_states", [0, 3, 7, 12])
@pytest.mark.parametrize("case", ["all_options", "travelling"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("basis", BASES)
def test_same_bits(basis: str, dtype: Any, case: str, budget_states: int, rng: np.random.Generator) -> None:
    scene = scene_for(rng, basis, case)
    stored = run(scene, dtype, memory_budget=1 << 30)
    checkpointed = run(scene, dtype, memory_budget=max(1, budget_states * state_bytes(scene, dtype)))
    assert stored.stored_layers == scene.steps + 1
    assert checkpointed.stored_layers <= budget_states + 2, "the budget has no effect"
    got, expected = pull_back(checkpointed, scene, dtype), pull_back(stored, scene, dtype)
    for name in INPUTS:
        assert_same_bits(got[name], expected[name], f"gradient of {name}")
    # Backwards and in random order, after the adjoint has replaced the stored states.
    for n in (scene.steps, 0, scene.steps - 1, 5, 11, 6, 1):
        for name in STATE:
            assert_same_bits(
                getattr(checkpointed.state(n), name), getattr(stored.state(n), name), f"{name} at step {n}"
            )
        assert_same_bits(checkpointed.grid_mass(n), stored.grid_mass(n), f"grid mass at step {n}")
    assert_same_bits(checkpointed.frames_x(), stored.frames_x(), "frames")
    assert_same_bits(checkpointed.frames_x(stride=4), stored.frames_x(stride=4), "every fourth frame")


@pytest.mark.parametrize("basis", BASES)
def test_adjoint_twice_gives_same_bits(basis: str, rng: np.random.Generator) -> None:
    scene = scene_for(rng, basis, "all_options")
    roll = run(scene, np.float32, memory_budget=5 * state_bytes(scene, np.float32))
    first, second = pull_back(roll, scene, np.float32), pull_back(roll, scene, np.float32)
    for name in INPUTS:
        assert_same_bits(first[name], second[name], name)


@pytest.mark.parametrize("basis", BASES)
def test_without_adjoint_same_motion(basis: str, rng: np.random.Generator) -> None:
    scene = scene_for(rng, basis, "all_options")
    forward, full = run(scene, np.float32, differentiable=False), run(scene, np.float32)
    for name in STATE:
        assert_same_bits(getattr(forward, name), getattr(full, name), name)


@pytest.mark.parametrize("basis", BASES)
def test_motion_gradient_is_passive(basis: str, rng: np.random.Generator) -> None:
    scene = scene_for(rng, basis, "all_options")
    without, full = run(scene, np.float32, motion_gradient=False), run(scene, np.float32)
    for name in "xvCF":
        assert_same_bits(getattr(without, name), getattr(full, name), name)


@pytest.mark.parametrize("basis", BASES)
def test_split_rollout_continues(basis: str, rng: np.random.Generator) -> None:
    """Two rollouts joined by `end_particles` equal one rollout, up to the order of sums."""
    import diffmpm as dm

    scene = make_scene(rng, basis, steps=10)
    whole = run(scene)
    control = scene.inputs["control"]
    first = run(scene, steps=4, control=control[:2])
    config = configuration(scene)
    second = dm.Simulation(first.end_particles(), config).rollout(steps=6, control=control[2:], control_stride=2)
    for name in "xvCF":
        assert_same_vector(getattr(second, name), getattr(whole, name), 1e-13, name)  # 64 products, 10 steps
