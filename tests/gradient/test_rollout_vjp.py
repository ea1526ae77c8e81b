# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The adjoint of a rollout is exact: dot product, differences, independent autograd, both dtypes, every layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tolerances as tol
from scenes import (
    BASES,
    BOUNDARIES,
    DIMS,
    INPUTS,
    MATERIALS,
    OPTIONS,
    STATE,
    Scene,
    assert_same_vector,
    combinations,
    make_scene,
    objective,
    pull_back,
    random_cotangents,
    run,
    travelling_scene,
)

Case = tuple[str, str, str, str]
COMBINATIONS = combinations()
# Scale of the change of each input in a central difference: its own magnitude in the scenes (drag: that of 1 / dt).
SCALE = {"lam": 400.0, "mu": 300.0, "volume": 0.1, "gravity": 10.0, "C": 5.0}
# Coefficients of f(-2h), f(-h), f(h), f(2h) in the five-point difference, times 12 h.
FIVE_POINTS = {-2: 1.0, -1: -8.0, 1: 8.0, 2: -1.0}

each_combination = pytest.mark.parametrize("case", COMBINATIONS, ids="-".join)
each_length = pytest.mark.parametrize("steps", [1, 9], ids=["one_step", "nine_steps"])


def unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    direction = np.asarray(rng.standard_normal(shape))
    return direction / np.linalg.norm(direction)


def central_difference(scene: Scene, name: str, direction: np.ndarray, drag_scale: float = 100.0) -> float:
    """Derivative of the objective of the core along `direction` of the input `name`."""
    h = tol.CENTRAL_DIFFERENCE_STEP * (drag_scale if name == "drag" else SCALE.get(name, 1.0))
    total = 0.0
    for k, weight in FIVE_POINTS.items():
        moved = scene.with_inputs(**{name: scene.inputs[name] + k * h * direction})
        total += weight * objective(run(moved), moved)
    return total / (12.0 * h)


def assert_central_differences(scene: Scene, rng: np.random.Generator, drag_scale: float = 100.0) -> None:
    """Compare along a random direction and along the steepest one, relative to the gradient."""
    grads = pull_back(run(scene), scene)
    for name in INPUTS:
        if name == "G":
            continue  # always starts at the identity: no way to move it through the API; the mirror proves it
        gradient = grads[name].astype(np.float64)
        size = float(np.linalg.norm(gradient))
        assert size > 0.0, f"{name}: zero gradient"
        for direction in (unit(rng, gradient.shape), gradient / size):
            expected = central_difference(scene, name, direction, drag_scale)
            got = float(np.vdot(direction, gradient))
            # A random unit direction sees about size / sqrt(components) of the gradient: relative to that.
            scale = max(abs(expected), size / np.sqrt(max(gradient.size, 1)))
            assert abs(got - expected) <= tol.CENTRAL_DIFFERENCE * scale, (
                f"{name}: got {got:.12g}, central difference {expected:.12g}, scale {scale:.3g}"
            )


@each_length
@each_combination
def test_matches_central_differences(case: Case, steps: int, rng: np.random.Generator) -> None:
    assert_central_differences(make_scene(rng, *case, steps=steps), rng)


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("material", MATERIALS)
def test_single_components_match_central_differences(basis: str, material: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, basis, material, "none", "plain", steps=8)
    grads = pull_back(run(scene), scene)
    for name in INPUTS:
        if name == "G":
            continue
        gradient = np.atleast_1d(grads[name]).astype(np.float64)
        for flat in np.unique(rng.integers(gradient.size, size=4)):
            direction = np.zeros(gradient.size)
            direction[flat] = 1.0
            expected = central_difference(scene, name, direction.reshape(np.shape(scene.inputs[name])))
            scale = max(abs(expected), float(np.linalg.norm(gradient)) / np.sqrt(gradient.size))
            error = abs(float(gradient.reshape(-1)[flat]) - expected)
            assert error <= tol.CENTRAL_DIFFERENCE * scale, f"{name}[{flat}]: off by {error:.3g} of {scale:.3g}"


@each_length
@each_combination
def test_dot_product(case: Case, steps: int, rng: np.random.Generator, mirror: Any) -> None:
    scene = make_scene(rng, *case, steps=steps)
    config = scene.mirror_config(mirror)
    grads = pull_back(run(scene), scene)
    directions = {name: np.asarray(rng.standard_normal(np.shape(a))) for name, a in scene.inputs.items()}
    # One input at a time as well, so that a small one cannot hide behind the others.
    for names in (INPUTS, *((name,) for name in rng.choice(INPUTS, size=2, replace=False))):
        moved = {name: directions[name] for name in names}
        expected = mirror.directional_derivative(
            scene.inputs, moved, config, scene.steps, scene.cotangents, scene.control_stride
        )
        parts = [float(np.vdot(directions[name], grads[name])) for name in names]
        size = sum(float(np.linalg.norm(grads[n]) * np.linalg.norm(moved[n]) / np.sqrt(moved[n].size)) for n in names)
        assert abs(sum(parts) - expected) <= tol.DOT_PRODUCT * max(abs(expected), size), names


@each_length
@each_combination
def test_matches_autograd(case: Case, steps: int, rng: np.random.Generator, mirror: Any) -> None:
    scene = make_scene(rng, *case, steps=steps)
    assert_matches_mirror(scene, mirror)


def assert_matches_mirror(scene: Scene, mirror: Any, skip: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Compare the states of all layers and the gradients of all inputs, but for `skip`, with the mirror's."""
    tolerance = tol.MIRROR
    roll = run(scene)
    states, expected = mirror.gradients(
        scene.inputs, scene.mirror_config(mirror), scene.steps, scene.cotangents, scene.control_stride
    )
    for n, layer in enumerate(states):
        for name in STATE:
            assert_same_vector(getattr(roll.state(n), name), layer[name], tolerance, f"{name} of layer {n}")
    grads = pull_back(roll, scene)
    for name in INPUTS:
        if name not in skip:
            assert_same_vector(grads[name], expected[name], tolerance, f"gradient of {name}")
    return grads


@each_combination
def test_single_precision(case: Case, rng: np.random.Generator) -> None:
    scene = make_scene(rng, *case, steps=8).rounded(np.float32)
    single, double = run(scene, np.float32), run(scene)
    for name in STATE:
        assert getattr(single, name).dtype == np.float32
        assert_same_vector(getattr(single, name), getattr(double, name), tol.SINGLE_PRECISION, name)
    got, expected = pull_back(single, scene, np.float32), pull_back(double, scene)
    for name in INPUTS:
        assert_same_vector(got[name], expected[name], tol.SINGLE_PRECISION, f"gradient of {name}")


@pytest.mark.parametrize("quantity", [*STATE, "grid_mass"])
@pytest.mark.parametrize("layer", [0, 1, 4, 8])
@pytest.mark.parametrize("basis", BASES)
def test_adjoint_of_one_layer(basis: str, layer: int, quantity: str, rng: np.random.Generator, mirror: Any) -> None:
    scene = make_scene(rng, basis, option="smoothing", steps=8)
    chosen = random_cotangents(rng, scene.count, DIMS)[f"adj_{quantity}"]
    scene = replace(scene, cotangents={layer: {f"adj_{quantity}": chosen}})
    # The strain of one step does not see a uniform acceleration: zero, but for rounding in both.
    blind = ("gravity",) if layer == 1 and quantity in ("C", "F", "G") else ()
    grads = assert_matches_mirror(scene, mirror, skip=blind)
    for name in blind:
        assert np.abs(grads[name]).max() < 1e-14  # dt |adj_C| eps / dx
    later = -(-layer // scene.control_stride)
    assert not np.any(grads["control"][later:]), "a control acts on an earlier layer"


@pytest.mark.parametrize("basis", BASES)
def test_adjoints_of_layers_add_up(basis: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, basis, option="all", steps=8)
    scene = replace(scene, cotangents={n: random_cotangents(rng, scene.count, DIMS) for n in (0, 3, 4, 8)})
    roll = run(scene)
    together = pull_back(roll, scene)
    single = [pull_back(roll, replace(scene, cotangents={n: c})) for n, c in scene.cotangents.items()]
    for name in INPUTS:
        # measured: the sums are taken in another order, which a stiff rollout magnifies by about 1e3 over 1e-16
        assert_same_vector(sum(g[name] for g in single), together[name], tol.MIRROR, name)


@pytest.mark.parametrize("option", ["plain", "all"])
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("material", MATERIALS)
def test_no_gradient_is_missing(basis: str, material: str, option: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, basis, material, option=option, steps=8)
    roll = run(scene)
    grads = pull_back(roll, scene)
    assert set(grads) == set(INPUTS)
    for name, gradient in grads.items():
        assert gradient.shape == np.shape(scene.inputs[name]), name
        assert np.isfinite(gradient).all(), name
        # Every particle, layer and component has its share: none is skipped.
        assert np.count_nonzero(gradient) == gradient.size, (
            f"{name}: {gradient.size - np.count_nonzero(gradient)} zeros"
        )
    for name in INPUTS:
        alone = pull_back(roll, scene, wrt=(name,))
        assert set(alone) == {name}, "what was not asked for is not returned"
        assert_same_vector(alone[name], grads[name], tol.MIRROR, name)


@pytest.mark.parametrize("basis", BASES)
class TestTravel:
    """Particles that cross several grid blocks and are sorted again and again."""

    def test_matches_autograd(self, basis: str, rng: np.random.Generator, mirror: Any) -> None:
        scene = travelling_scene(rng, basis)
        assert_matches_mirror(scene, mirror)

    def test_matches_central_differences(self, basis: str, rng: np.random.Generator) -> None:
        scene = travelling_scene(rng, basis)
        frames = run(scene).frames_x()
        cells = np.floor((frames - np.array(scene.fields["origin"])) / scene.fields["dx"])
        assert np.abs(cells.max(0) - cells.min(0)).max() >= 6, "the scene does not travel"
        # At this speed a drag of 1 moves the particles by cells: small changes only, so as not to meet a knot.
        assert_central_differences(scene, rng, drag_scale=1.0)


@pytest.mark.parametrize("stride", [1, 3, 8, 20])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_control_strides(stride: int, boundary: str, rng: np.random.Generator, mirror: Any) -> None:
    scene = make_scene(rng, "quadratic", boundary=boundary, steps=8, control_stride=stride)
    assert_matches_mirror(scene, mirror)


@pytest.mark.parametrize("layers", [1, 2])
def test_fewer_control_layers_than_steps(layers: int, rng: np.random.Generator, mirror: Any) -> None:
    scene = make_scene(rng, steps=8, control_stride=2)
    assert_matches_mirror(scene.with_inputs(control=scene.inputs["control"][:layers]), mirror)


def test_every_option_is_active(rng: np.random.Generator) -> None:
    """Each option changes the motion of these scenes, so that the proofs above prove something about it."""
    scene = make_scene(rng, steps=9)
    plain = run(scene)
    for option, fields in OPTIONS.items():
        if option != "plain":
            changed = run(replace(scene, fields={**scene.fields, **fields}))
            assert np.abs(changed.F - plain.F).max() > 1e-6, option
    for boundary in BOUNDARIES[1:]:
        changed = run(replace(scene, fields={**scene.fields, "boundary": boundary}))
        assert np.abs(changed.v - plain.v).max() > 1e-3, boundary
