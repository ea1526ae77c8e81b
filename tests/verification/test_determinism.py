# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Results are bitwise identical between runs and for any number of threads; inputs are never modified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scenes import (
    BASES,
    DTYPES,
    DX,
    INPUTS,
    ORIGIN,
    STATE,
    Scene,
    assert_same_bits,
    make_scene,
    particles,
    pull_back,
    random_cotangents,
    random_inputs,
    run,
)

THREADS = (1, 2, 3, 8)


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    import diffmpm as dm

    before = dm.get_num_threads()
    yield
    dm.set_num_threads(before)


def crowd(rng: np.random.Generator, basis: str) -> Scene:
    """Return 3,000 particles, some of them fast, of an uneven body over many grid blocks, with every option."""
    dims = (40, 36, 32)
    cells = np.concatenate([rng.uniform(6, 30, (2000, 3)) * [1, 0.8, 0.7], rng.normal(16, 1.5, (1000, 3))])
    inputs = random_inputs(rng, ORIGIN + DX * np.clip(cells, 4, 28), 3)
    inputs["v"] *= 8.0
    scene = make_scene(rng, basis, boundary="separate", option="all", steps=9)
    cotangents = {n: random_cotangents(rng, len(cells), dims) for n in (4, 9)}
    return replace(scene, fields={**scene.fields, "dims": dims}, inputs=inputs, cotangents=cotangents, control_stride=3)


def results(scene: Scene, dtype: Any) -> dict[str, np.ndarray]:
    import diffmpm as dm

    roll = run(scene, dtype)
    out = {name: np.array(getattr(roll, name)) for name in STATE}
    out["grid_mass"] = np.array(roll.grid_mass())
    out |= {f"gradient of {name}": np.array(g) for name, g in pull_back(roll, scene, dtype).items()}
    target = np.ascontiguousarray(np.roll(out["grid_mass"], 1, axis=0))
    loss = dm.losses.LogMass(target, outside_weight=2.0) + dm.losses.Kinetic(weight=0.5)
    value = loss.evaluate(roll)
    out["loss"] = np.array(value.value)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("basis", BASES)
def test_same_bits_for_any_thread_count(basis: str, dtype: Any, rng: np.random.Generator) -> None:
    import diffmpm as dm

    scene = crowd(rng, basis)
    dm.set_num_threads(THREADS[0])
    expected = results(scene, dtype)
    assert {f"gradient of {name}" for name in INPUTS} <= set(expected)
    for threads in THREADS[1:]:
        dm.set_num_threads(threads)
        got = results(scene, dtype)
        for name, value in expected.items():
            assert_same_bits(got[name], value, f"{name} with {threads} threads")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("basis", BASES)
def test_same_bits_from_run_to_run(basis: str, dtype: Any, rng: np.random.Generator) -> None:
    scene = crowd(rng, basis)
    expected = results(scene, dtype)
    for _ in range(3):
        got = results(scene, dtype)
        for name, value in expected.items():
            assert_same_bits(got[name], value, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("basis", BASES)
def test_inputs_are_not_modified(basis: str, dtype: Any, rng: np.random.Generator) -> None:
    import diffmpm as dm
    from scenes import configuration

    scene = make_scene(rng, basis, option="all")
    body = particles(scene, dtype)
    control = scene.inputs["control"].astype(dtype)
    layers = {n: {k: a.astype(dtype) for k, a in c.items()} for n, c in scene.cotangents.items()}
    arrays = {name: getattr(body, name) for name in ("x", "v", "C", "F", "Fp", "mass", "volume", "lam", "mu")}
    arrays["control"] = control
    arrays |= {f"{k} of {n}": a for n, c in layers.items() for k, a in c.items()}
    copies = {name: a.copy() for name, a in arrays.items()}
    for a in arrays.values():
        a.flags.writeable = False
    roll = dm.Simulation(body, configuration(scene)).rollout(
        steps=scene.steps, control=control, control_stride=scene.control_stride, motion_gradient=True
    )
    roll.vjp(layers=layers, wrt="all")
    for name, a in arrays.items():
        assert_same_bits(a, copies[name], name)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_own_their_memory(dtype: Any, rng: np.random.Generator) -> None:
    """Arrays outlive their rollout, and later calls do not overwrite them."""
    scene = make_scene(rng, steps=6)
    roll = run(scene, dtype)
    middle, end = roll.state(3), roll.x
    copies = {name: np.array(getattr(middle, name)) for name in STATE}
    end_copy = end.copy()
    pull_back(roll, scene, dtype)
    run(scene.with_inputs(v=-scene.inputs["v"]), dtype)
    del roll
    for name in STATE:
        assert_same_bits(getattr(middle, name), copies[name], name)
    assert_same_bits(end, end_copy, "x")


def test_particle_order_does_not_matter(rng: np.random.Generator) -> None:
    """A shuffled body gives shuffled results, up to the order of sums."""
    from scenes import assert_same_vector

    scene = crowd(rng, "quadratic")
    order = rng.permutation(scene.count)
    shuffled_inputs = {
        k: a if k in ("gravity", "drag") else (a[:, order] if k == "control" else a[order])
        for k, a in scene.inputs.items()
    }
    shuffled_cotangents = {
        n: {k: a if k == "adj_grid_mass" else a[order] for k, a in c.items()} for n, c in scene.cotangents.items()
    }
    shuffled = replace(scene, inputs=shuffled_inputs, cotangents=shuffled_cotangents)
    roll, other = run(scene), run(shuffled)
    for name in STATE:
        # 9 steps of sums in a different order, amplified by a stiff body: measured 1e-14, times 100
        assert_same_vector(getattr(other, name), getattr(roll, name)[order], 1e-12, name)
    grads, got = pull_back(roll, scene), pull_back(other, shuffled)
    for name in set(INPUTS) - {"gravity", "drag"}:
        expected = grads[name][:, order] if name == "control" else grads[name][order]
        assert_same_vector(got[name], expected, 1e-11, name)  # as above, with the backward pass
