# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The adjoint of a rollout: dot products, central differences, independent autograd, both dtypes, every step."""

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
    assert_matches_mirror,
    assert_precisions_agree,
    assert_same_vector,
    combinations,
    five_point_difference,
    make_scene,
    objective,
    pull_back,
    random_cotangents,
    run,
    travelling_scene,
)

Case = tuple[str, str, str, str]
COMBINATIONS = combinations()
# Scale of the change of each input in a central difference: its magnitude in the scenes (drag: that of 1 / dt).
SCALE = {"lam": 400.0, "mu": 300.0, "volume": 0.1, "gravity": 10.0, "C": 5.0}

each_combination = pytest.mark.parametrize("case", COMBINATIONS, ids="-".join)
each_length = pytest.mark.parametrize("steps", [1, 9], ids=["one_step", "nine_steps"])


def unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    direction = np.asarray(rng.standard_normal(shape))
    return direction / np.linalg.norm(direction)


def central_difference(scene: Scene, name: str, direction: np.ndarray, drag_scale: float = 100.0) -> float:
    """Return the derivative of the objective of the core along `direction` of the input `name`."""
    h = tol.CENTRAL_DIFFERENCE_STEP * (drag_scale if name == "drag" else SCALE.get(name, 1.0))

    def value(step: float) -> float:
        moved = scene.with_inputs(**{name: scene.inputs[name] + step * direction})
        return objective(run(moved), moved)

    return five_point_difference(value, h)


def assert_central_differences(scene: Scene, rng: np.random.Generator, drag_scale: float = 100.0) -> None:
    """Compare along a random direction and along the gradient, relative to the gradient."""
    grads = pull_back(run(scene), scene)
    for name in INPUTS:
        if name == "G":
            continue  # always starts at the identity; tested against the mirror
        gradient = grads[name].astype(np.float64)
        size = float(np.linalg.norm(gradient))
        assert size > 0.0, f"{name}: zero gradient"
        for direction in (unit(rng, gradient.shape), gradient / size):
            expected = central_difference(scene, name, direction, drag_scale)
            got = float(np.vdot(direction, gradient))
            # The component of the gradient along a random unit direction is about size / sqrt(components).
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
    # All inputs together and single ones, so that large contributions cannot mask small ones.
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


@each_combination
def test_single_precision(case: Case, rng: np.random.Generator) -> None:
    assert_precisions_agree(make_scene(rng, *case, steps=8))


@pytest.mark.parametrize("quantity", [*STATE, "grid_mass"])
@pytest.mark.parametrize("step", [0, 1, 4, 8])
@pytest.mark.parametrize("basis", BASES)
def test_adjoint_of_one_step(basis: str, step: int, quantity: str, rng: np.random.Generator, mirror: Any) -> None:
    scene = make_scene(rng, basis, option="smoothing", steps=8)
    chosen = random_cotangents(rng, scene.count, DIMS)[f"adj_{quantity}"]
    scene = replace(scene, cotangents={step: {f"adj_{quantity}": chosen}})
    # A uniform acceleration does not change the strain of one step: zero up to rounding in both.
    zero = ("gravity",) if step == 1 and quantity in ("C", "F", "G") else ()
    grads = assert_matches_mirror(scene, mirror, skip=zero)
    for name in zero:
        assert np.abs(grads[name]).max() < 1e-14  # dt |adj_C| eps / dx
    later = -(-step // scene.control_stride)
    assert not np.any(grads["control"][later:]), "a control affects an earlier state"


@pytest.mark.parametrize("basis", BASES)
def test_adjoints_of_steps_add_up(basis: str, rng: np.random.Generator) -> None:
    scene = make_scene(rng, basis, option="all", steps=8)
    scene = replace(scene, cotangents={n: random_cotangents(rng, scene.count, DIMS) for n in (0, 3, 4, 8)})
    roll = run(scene)
    together = pull_back(roll, scene)
    single = [pull_back(roll, replace(scene, cotangents={n: c})) for n, c in scene.cotangents.items()]
    for name in INPUTS:
        # Different summation order: a stiff rollout amplifies 1e-16 by about 1e3.
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
        # Every component is nonzero.
        assert np.count_nonzero(gradient) == gradient.size, (
            f"{name}: {gradient.size - np.count_nonzero(gradient)} zeros"
        )
    for name in INPUTS:
        alone = pull_back(roll, scene, wrt=(name,))
        assert set(alone) == {name}, "only the requested gradient is returned"
        assert_same_vector(alone[name], grads[name], tol.MIRROR, name)


@pytest.mark.parametrize("basis", BASES)
class TestTravel:
    """Particles that cross several grid blocks and are sorted repeatedly."""

    def test_matches_autograd(self, basis: str, rng: np.random.Generator, mirror: Any) -> None:
        scene = travelling_scene(rng, basis)
        assert_matches_mirror(scene, mirror)

    def test_matches_central_differences(self, basis: str, rng: np.random.Generator) -> None:
        scene = travelling_scene(rng, basis)
        frames = run(scene).frames_x()
        cells = np.floor((frames - np.array(scene.fields["origin"])) / scene.fields["dx"])
        assert np.abs(cells.max(0) - cells.min(0)).max() >= 6, "the scene does not travel"
        # At this speed a drag of 1 moves the particles by cells, so use small changes that cross no spline knot.
        assert_central_differences(scene, rng, drag_scale=1.0)


@pytest.mark.parametrize("stride", [1, 3, 8, 20])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_control_strides(stride: int, boundary: str, rng: np.random.Generator, mirror: Any) -> None:
    scene = make_scene(rng, "quadratic", boundary=boundary, steps=8, control_stride=stride)
    assert_matches_mirror(scene, mirror)


@pytest.mark.parametrize("layers", [1, 2])
def test_fewer_controls_than_steps(layers: int, rng: np.random.Generator, mirror: Any) -> None:
    scene = make_scene(rng, steps=8, control_stride=2)
    assert_matches_mirror(scene.with_inputs(control=scene.inputs["control"][:layers]), mirror)


def test_every_option_is_active(rng: np.random.Generator) -> None:
    """Each option changes the motion of these scenes, so the tests above cover it."""
    scene = make_scene(rng, steps=9)
    plain = run(scene)
    for option, fields in OPTIONS.items():
        if option != "plain":
            changed = run(replace(scene, fields={**scene.fields, **fields}))
            assert np.abs(changed.F - plain.F).max() > 1e-6, option
    for boundary in BOUNDARIES[1:]:
        changed = run(replace(scene, fields={**scene.fields, "boundary": boundary}))
        assert np.abs(changed.v - plain.v).max() > 1e-3, boundary
