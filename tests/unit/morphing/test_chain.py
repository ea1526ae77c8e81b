# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Rules of the chain: acceptance of windows, steps, levels and the end."""

from dataclasses import replace
from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.morphing import chain
from diffmpm.morphing.config import MorphConfig
from diffmpm.morphing.problem import make_problem
from diffmpm.morphing.window import PAIRS_KEPT, run_window
from diffmpm.mpm import Simulation

ADAM = MorphConfig(optimizer="adam", step=0.01)


def state(merits, level=0, **fields):
    rows = tuple({"loss": m, "level": level, "accepted": 1, "accepted_window": True} for m in merits)
    return SimpleNamespace(history=rows, level=level, **fields)


def test_step_of_alternating_ends_does_not_starve():
    """Ends that alternate, as on fine grids, but descend: the step stays near its largest value."""
    merits, step = [100.0], ADAM.step
    for n in range(60):
        merit = 100.0 * 0.97**n * (1.3 if n % 2 else 1.0)
        step = chain._next_step(merits, SimpleNamespace(step=step), merit, step, ADAM)
        merits.append(merit)
    assert step > 0.5 * ADAM.step


def test_step_shortens_without_progress():
    merits, step = [100.0], ADAM.step
    for _ in range(30):
        step = chain._next_step(merits, SimpleNamespace(step=step), 100.0, step, ADAM)
        merits.append(100.0)
    assert step == chain.STEP_LEAST * ADAM.step


def test_first_step_of_lbfgs_recovers():
    config, step = MorphConfig(), 1e-4
    for _ in range(20):
        step = chain._next_step([1.0], SimpleNamespace(step=step), 2.0, step, config)
    assert step == config.step


@pytest.mark.parametrize(
    ("merits", "expected"),
    [
        ((10.0, 5.0, 2.5), ""),
        ((10.0, 9.9, 9.8), "converged"),
        ((10.0, 11.0, 12.0), "stuck"),
        ((10.0,) * 30, "converged"),
    ],
)
def test_a_rising_merit_is_not_converged(merits, expected):
    assert chain._stop(state(merits), MorphConfig(), last=True) == expected


def test_a_level_ends_when_its_windows_gain_little():
    assert chain._stop(state((10.0, 5.0)), MorphConfig(), last=False) == ""
    assert chain._stop(state((10.0, 8.0)), MorphConfig(), last=False) == "converged"


def test_the_last_level_ends_at_the_loss_of_a_target_sample():
    def arrived(loss, *, last, arrival=0.85):
        rows = state((10.0, 5.0, loss))
        rows.history[-1]["sample_loss"] = 2.0
        return chain._stop(rows, MorphConfig(arrival=arrival, level_tolerance=0.0), last=last)

    assert arrived(1.8, last=True) == ""
    assert arrived(1.6, last=True) == "converged"
    assert arrived(1.6, last=False) == arrived(1.6, last=True, arrival=0.0) == ""


def test_records_contain_the_loss_of_a_target_sample(tiny):
    problem = make_problem("sphere", "box", MorphConfig(**tiny))
    x = problem.resample(1)
    roll = Simulation(replace(problem.body, x=x), problem.sims[0]).rollout(0)
    expected = problem.loss(MorphConfig(**tiny), 0).evaluate(roll).value
    result = dm.morph("sphere", "box", **tiny)
    assert [row["sample_loss"] for row in result.history] == [expected] * len(result.history)


def test_windows_pass_on_curvature_until_one_is_rejected(tiny):
    config = MorphConfig(**tiny)
    problem = make_problem("sphere", "box", config)
    objectives = problem.objectives(config)
    first = chain.advance(chain.start_chain(problem, config), problem, objectives, config)
    assert len(first.pairs) == PAIRS_KEPT
    assert all(np.vdot(step, change) > 0.0 for step, change in first.pairs)
    low = tuple({**row, "loss": 0.0} for row in first.history)  # no window can end below this
    assert chain.advance(replace(first, history=low), problem, objectives, config).pairs == ()


@pytest.mark.parametrize(
    ("target", "options"),
    [
        # Fine cells without a coarse grid before them: chains of Adam on the diagonal over 36 rang and diverged here.
        ("torus", {"particles": 20_000, "cell_particles": 8.7}),
        (
            "letter_s",
            {"particles": 4_000, "cell_particles": 6.0, "optimizer": "adam", "step": 0.2, "velocity_kept": 0.9},
        ),
    ],
)
def test_the_result_is_the_best_window_on_fine_cells(target, options):
    few = {"windows": 4, "iterations": 1, "steps": 8, "released_steps": 2, "transport_weight": 0.0, "arrival": 0.0}
    result = dm.morph("sphere", target, **options, **few, coarse_cells=1e9, patience=20)
    accepted = [row["loss"] for row in result.history if row["accepted_window"]]
    assert all(loss <= max(accepted[max(0, n - chain.MEMORY) : n]) for n, loss in enumerate(accepted) if n)
    assert result.history[result.frames[-1].window - 1]["loss"] == min(accepted)
    assert min(accepted) < result.history[0]["loss_start"]
    assert result.stopped == "windows"


def test_levels_refine_from_a_fixed_to_a_particle_dependent_cell():
    """The coarsest cell does not depend on the particle count, the finest holds `cell_particles`."""
    coarse = []
    for particles, levels in ((2_000, 1), (20_000, 2), (100_000, 3)):
        problem = make_problem("sphere", "torus", MorphConfig(particles=particles))
        assert len(problem.sims) == levels
        cells = [problem.body.volume.sum() / sim.dx**3 for sim in problem.sims]
        assert cells[-1] == pytest.approx(particles / 12.0, rel=1e-3)
        assert cells == sorted(cells)
        coarse.append(cells[0])
    assert coarse[1] == pytest.approx(coarse[2]) == pytest.approx(333.0, rel=1e-3)


def test_a_chain_of_levels_ends_on_the_finest():
    options = {"particles": 1500, "steps": 10, "released_steps": 5, "control_stride": 5, "cell_particles": 4.0}
    result = dm.morph("sphere", "box", **options, coarse_cells=120.0, windows=12)
    levels = [row["level"] for row in result.history]
    assert levels == sorted(levels)
    assert levels[0] == 0
    assert levels[-1] == 1
    assert result.metrics["silhouette_iou"] > result.metrics["start"]["silhouette_iou"] + 0.03


def test_merits_of_accepted_windows_are_bounded_by_the_three_before():
    """Too large a step makes the windows of this chain rise; they are rejected and the bound holds."""
    options = {"optimizer": "adam", "iterations": 1, "step": 0.2, "velocity_kept": 0.9, "transport_weight": 0.0}
    result = dm.morph("sphere", "box", particles=400, windows=25, patience=25, cell_particles=4.0, steps=10, **options)
    merits = [row["loss"] for row in result.history if row["accepted_window"]]
    assert all(merit <= max(merits[max(0, n - chain.MEMORY) : n]) for n, merit in enumerate(merits) if n)
    best = result.frames[-1].window
    assert result.history[best - 1]["loss"] == np.min(merits)


def test_motion_gradients_are_those_of_the_time_steps(monkeypatch):
    """Those of the frames come from the stored states; a rollout that carries them gives the same."""
    config = MorphConfig(particles=300, cell_particles=3.0, steps=5, released_steps=3, frame_motion=0.02, iterations=2)
    problem = make_problem("sphere", "box", config)
    outcomes = []

    def run(*args):
        outcomes.append(run_window(*args))
        return outcomes[-1]

    monkeypatch.setattr(chain, "run_window", run)
    state = chain.start_chain(problem, config)
    after = chain.advance(state, problem, problem.objectives(config), config)
    (outcome,) = outcomes
    carried = dm.Simulation(problem.body, problem.sims[0]).rollout(
        config.window_steps, control=outcome.control, control_stride=config.control_stride, motion_gradient=True
    )
    assert outcome.accepted > 0 and not outcome.rollout.motion_gradient
    np.testing.assert_allclose(after.G, carried.G, rtol=0, atol=2e-6)  # products round differently
    assert len(after.frames) > 2
    for frame in after.frames[1:]:
        np.testing.assert_allclose(frame.G, carried.array(frame.step, "G"), rtol=0, atol=2e-6)


@pytest.mark.parametrize("count", [1, 7, 100, 250])
def test_a_frame_follows_when_the_quantile_of_the_motion_is_reached(count, rng):
    before = rng.normal(size=(count, 3))
    x = before + rng.normal(size=(count, 3))
    ways = np.sort(np.linalg.norm(x - before, axis=1))
    quantile = ways[min(count - 1, int(chain.MOTION_QUANTILE * count))]
    assert chain._moved(x, before, 0.999 * quantile)
    assert not chain._moved(x, before, 1.001 * quantile)
