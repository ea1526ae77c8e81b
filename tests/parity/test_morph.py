# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Morphs on a device match the CPU, and a window downloads only scalars."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.cli import main
from diffmpm.geometry.appearance import Appearance
from diffmpm.morphing.guided_objective import GuidedObjective, ImageGuide
from diffmpm.morphing.problem import make_problem
from diffmpm.morphing.window import run_window
from numpy.testing import assert_allclose, assert_array_equal

SMALL: dict[str, Any] = {
    "particles": 150,
    "windows": 2,
    "steps": 6,
    "released_steps": 2,
    "iterations": 2,
    "control_stride": 2,
    "arrival": 0.0,
}
COURSES: dict[str, dict[str, Any]] = {
    "adam": {"optimizer": "adam", "iterations": 1, "step": 0.01, "velocity_kept": 0.5, "transport_weight": 0.0},
    "gradient_descent": {"optimizer": "gradient_descent"},
    "lbfgs": {"optimizer": "lbfgs", "iterations": 3},
    "layered": {"schedule": "layered", "optimizer": "gradient_descent", "passes": 2, "steps": 4, "released_steps": 2},
    "squared": {"loss": "squared_mass", "kinetic_weight": 0.1},
    "assimilation": {"assimilation": 0.5, "velocity_kept": 1.0, "basis": "quadratic"},
}


def morph(device: str, **options: Any) -> dm.morphing.MorphResult:
    return dm.morph("sphere", "box", **{**SMALL, "device": device, **options})


def course(result: dm.morphing.MorphResult) -> list[tuple[Any, ...]]:
    """Return the line search results of the windows."""
    return [(row["accepted"], row["trials"], row["rejected"], pytest.approx(row["step"])) for row in result.history]


@pytest.mark.parametrize("options", COURSES.values(), ids=COURSES)
def test_every_optimiser_and_schedule(options: dict[str, Any], device: str) -> None:
    expected, got = (morph(where, dtype="float64", **options) for where in ("cpu", device))
    assert {row["device"] for row in got.history} == {"cuda:0"}
    assert course(got) == course(expected)
    assert_allclose([r["loss"] for r in got.history], [r["loss"] for r in expected.history], rtol=1e-9)
    assert_allclose(got.x, expected.x, atol=1e-6)
    assert len(got.frames) == len(expected.frames)


def test_single_precision_agrees_within_one_percent(device: str) -> None:
    expected, got = (
        dm.morph("sphere", "torus", particles=400, windows=5, steps=12, released_steps=4, iterations=3, device=where)
        for where in ("cpu", device)
    )
    assert got.history[-1]["loss"] < 0.7 * got.history[0]["loss_start"]
    assert_allclose(got.history[-1]["loss"], expected.history[-1]["loss"], rtol=0.01)


def test_runs_are_bitwise_reproducible(device: str) -> None:
    first, second = (morph(device) for _ in range(2))
    assert_array_equal(first.x, second.x)
    assert_array_equal(first.F, second.F)


@pytest.mark.parametrize("step", [3.0, 300.0])
def test_guards_match_the_cpu(step: float, device: str) -> None:
    expected, got = (morph(where, step=step, trials=20, windows=1, dtype="float64") for where in ("cpu", device))
    assert expected.history[0]["rejected"]
    assert course(got) == course(expected)


@pytest.mark.parametrize("through", ["G", "x"])
@pytest.mark.parametrize("case", ["default", "normals", "covariances"])
def test_image_guidance(case: str, through: Any, device: str) -> None:
    losses = {
        "default": None,
        "normals": (dm.losses.Normals(),),
        "covariances": (dm.losses.SSIM(image="alpha"), dm.losses.CovarianceSpectrum(weight=0.01)),
    }[case]
    guidance = dm.RenderGuidance(
        ring=2, elevations=(0.0,), size=24, samples=300, losses=losses, through=through, particles=case != "normals"
    )
    expected, got = (morph(where, dtype="float64", render=guidance) for where in ("cpu", device))
    assert got.history[-1]["guidance"]["weight"] > 0.0  # images contribute
    for name in ("physics", "image", "weight"):
        values = ([row["guidance"][name] for row in result.history] for result in (got, expected))
        assert_allclose(*values, rtol=1e-6)


def test_resume_on_either_device(tmp_path: Path, device: str) -> None:
    whole = morph(device, out=tmp_path / "whole", windows=3)

    def stop(progress: Any) -> None:
        if progress.window == 1:
            raise KeyboardInterrupt

    for first, second in ((device, device), (device, "cpu"), ("cpu", device)):
        out = tmp_path / f"{first}-{second}"
        with pytest.raises(KeyboardInterrupt):
            morph(first, out=out, callback=stop, windows=3)
        result = morph(second, out=out, resume=True, windows=3)
        where = ["cpu" if name == "cpu" else "cuda:0" for name in (first, second, second)]
        assert [row["device"] for row in result.history] == where
        if first == second:
            assert_array_equal(result.x, whole.x)
        assert_allclose(result.x, whole.x, atol=1e-3)


@pytest.mark.parametrize(
    "options", [COURSES["adam"], COURSES["lbfgs"], COURSES["layered"]], ids=["adam", "lbfgs", "xu"]
)
def test_windows_download_no_array(options: dict[str, Any], device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {f"{name}_weight": 0.1 for name in ("kinetic", "transport", "proximity", "skin")}
    config = dm.MorphConfig(**{**SMALL, **weights, "cell_particles": 8.0, "device": device, **options})
    problem = make_problem(*(colored(dm.load_mesh(name)) for name in ("sphere", "box")), config)
    names = ("SilhouetteL1", "SilhouetteBCE", "SilhouetteDistance", "SilhouettePyramid", "Depth", "Color", "Normals",
             "SSIM", "EdgeAlignment", "CovarianceSpectrum")  # fmt: skip
    images = (*(getattr(dm.losses, name)() for name in names), dm.losses.CovarianceSize(size=0.5))
    guide = ImageGuide(problem, dm.RenderGuidance(ring=2, elevations=(0.0,), size=24, samples=300, losses=images))
    physics = problem.objectives(config)[0]
    for objective in (physics, GuidedObjective(physics, guide, windows=10)):
        bound = objective.begin_window(problem.body.to(device), ())
        run_window(problem.sims[0], bound, problem.body, config, config.step)  # uploads the particle properties
        with monkeypatch.context() as patch:
            patch.setattr(dm.DeviceArray, "numpy", refuse)
            assert run_window(problem.sims[0], bound, problem.body, config, config.step).accepted > 0


def colored(mesh: dm.Mesh) -> dm.Mesh:
    return replace(mesh, appearance=Appearance(colors=0.5 + 0.5 * mesh.vertices / np.abs(mesh.vertices).max()))


def refuse(_: object) -> None:
    raise AssertionError("an array was copied to the host")


def test_command_line(tmp_path: Path, device: str) -> None:
    options = ["--particles", "150", "--windows", "2", "--no-pictures", "--quiet"]
    options += [word for value in ("steps=4", "released_steps=2", "iterations=2") for word in ("--set", value)]
    for name in (device, "auto"):
        assert main(["morph", "sphere", "box", "--device", name, "--out", str(tmp_path / name), *options]) == 0
        history = json.loads((tmp_path / name / "history.json").read_text("utf-8"))
        assert {row["device"] for row in history["windows"]} == {"cuda:0"}


def test_gradient_of_the_controls_matches_the_cpu(device: str) -> None:
    gradients = []
    for where in ("cpu", device):
        config = dm.MorphConfig(**{**SMALL, "device": where, "dtype": "float64"})
        problem = make_problem("sphere", "box", config)
        roll = dm.Simulation(problem.body.to(where), problem.sims[-1]).rollout(4, motion_gradient=True)
        value = problem.loss(config, 0).evaluate(roll)
        gradient = roll.vjp(**value.adj, wrt="x").x
        gradients.append(gradient.numpy() if where != "cpu" else gradient)
    assert np.linalg.norm(gradients[1] - gradients[0]) <= 1e-10 * np.linalg.norm(gradients[0])
