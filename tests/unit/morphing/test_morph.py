# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import json
import warnings
from dataclasses import replace
from itertools import pairwise

import diffmpm as dm
import numpy as np
import pytest
from diffmpm._color import display_color
from diffmpm.errors import ConfigError, MeshError, OutputError, SimulationError
from diffmpm.export import read_npz, read_ply
from diffmpm.geometry import Appearance
from diffmpm.morphing import chain
from diffmpm.morphing.guided_objective import TARGET_SAMPLES
from diffmpm.morphing.problem import make_problem
from numpy.testing import assert_allclose, assert_array_equal


def losses(result):
    return [row["loss"] for row in result.history]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"released_steps": 3, "kinetic_weight": 0.01},
        {"optimizer": "gradient_descent", "iterations": 2, "control_stride": 2},
        {"optimizer": "lbfgs", "iterations": 3},
        {"schedule": "layered", "passes": 2, "control_stride": 2, "optimizer": "gradient_descent"},
        {"loss": "squared_mass", "assimilation": 0.5, "velocity_kept": 0.5},
        {"basis": "quadratic", "material": "neo_hookean", "dtype": "float64"},
    ],
    ids=lambda o: "-".join(f"{k}={v}" for k, v in o.items()) or "default",
)
def test_every_schedule_lowers_the_loss(tiny, options):
    result = dm.morph("sphere", "box", **tiny, **options)
    assert result.stopped == "windows"
    assert len(result.history) == 4
    for row in result.history:
        assert row["accepted"] >= 1
        assert row["loss"] < row["loss_start"]
        assert row["det_F_min"] > 0
        assert_allclose(sum(row["terms"].values()), row["loss"], rtol=1e-6)
    assert losses(result)[-1] < 0.9 * result.history[0]["loss_start"]
    assert np.isfinite(result.x).all()
    assert result.x.dtype == result.F.dtype == result.G.dtype == np.float32
    assert_array_equal(result.frames[0].x, result.source_x)
    assert_array_equal(result.frames[-1].x, result.x)


def test_is_reproducible_bit_for_bit(tiny):
    first, second = (dm.morph("sphere", "box", **tiny) for _ in range(2))
    assert_array_equal(first.x, second.x)
    assert_array_equal(first.F, second.F)
    assert losses(first) == losses(second)
    other = dm.morph("sphere", "box", **{**tiny, "seed": 5})
    assert not np.array_equal(first.x, other.x)


def test_scale_and_position_of_the_target_do_not_matter(tiny):
    box = dm.load_mesh("box")
    far = box.transformed(1e-3, (0.2, -0.1, 0.3))
    plain, moved = dm.morph("sphere", box, **tiny), dm.morph("sphere", far, **tiny)
    assert_allclose(losses(moved), losses(plain), rtol=2e-2)
    assert_allclose((moved.x - [0.2, -0.1, 0.3]) / 1e-3, plain.x, atol=0.02)
    assert_allclose(moved.target_x.mean(axis=0), far.vertices.mean(axis=0), atol=2e-4)


def test_source_is_not_moved_without_fit(tiny):
    small = dm.load_mesh("sphere").transformed(0.8, (0.3, 0.0, 0.0))
    result = dm.morph(small, "sphere", **{**tiny, "windows": 1}, fit=False)
    assert_allclose(result.source_x.mean(axis=0), [0.3, 0, 0], atol=0.06)
    radius = np.linalg.norm(result.source_x - [0.3, 0, 0], axis=1).max()
    assert 0.7 < radius < 0.83


def test_frames_are_close_together(tiny):
    """99 % of the particles move by at most the limit and one step, up to the last frame, the end."""
    result = dm.morph("sphere", "box", **{**tiny, "windows": 8, "frame_motion": 0.2})
    spacing = make_problem("sphere", "box", result.config).spacing
    scale = make_problem("sphere", "box", result.config).scale
    moves = [np.quantile(np.linalg.norm(b.x - a.x, axis=1), 0.99) * scale for a, b in pairwise(result.frames)]
    assert len(moves) > 3
    assert max(moves) < 0.5 * spacing
    assert min(moves[:-1]) > 0.15 * spacing
    times = [frame.time for frame in result.frames]
    assert times == sorted(times)


def test_result_is_the_best_state(tiny):
    """Not the last: a chain that may only rise ends with its first window, and is not called converged."""
    result = dm.morph("sphere", "box", **{**tiny, "windows": 12, "tolerance": 0.0})
    best = min(losses(result))
    last = result.frames[-1]
    assert result.history[last.window - 1]["loss"] == best
    assert_array_equal(result.x, last.x)


def test_settled_and_ceiling_are_reported(tiny):
    metrics = dm.morph("sphere", "box", **tiny).metrics
    assert abs(metrics["settled"] - metrics["silhouette_iou"]) < 0.05
    assert metrics["ceiling"]["silhouette_iou"] > metrics["silhouette_iou"] - 0.05
    assert set(metrics["ceiling"]) == set(metrics["start"])


def test_motion_gradient_maps_the_start_onto_the_end(tiny):
    result = dm.morph("sphere", "box", **{**tiny, "particles": 2000, "windows": 6})
    near = np.argsort(np.linalg.norm(result.source_x - result.source_x.mean(axis=0), axis=1))[:60]
    before = result.source_x[near] - result.source_x[near].mean(axis=0)
    after = result.x[near] - result.x[near].mean(axis=0)
    mapped = before @ result.G[near].mean(axis=0).T
    assert np.linalg.norm(mapped - after) < 0.2 * np.linalg.norm(after)


def test_callback_is_called_per_window_and_can_stop(tiny):
    calls = []

    def callback(progress):
        calls.append((progress.window, progress.windows, progress.loss))
        return progress.window < 2

    result = dm.morph("sphere", "box", **tiny, callback=callback)
    assert [window for window, _, _ in calls] == [1, 2]
    assert calls[1][2] == losses(result)[1]
    assert result.stopped == "callback"


def test_stops_on_convergence(tiny):
    result = dm.morph("sphere", "sphere", **{**tiny, "windows": 60, "tolerance": 0.5, "patience": 2})
    assert result.stopped in ("converged", "stuck")
    assert len(result.history) < 60


def test_same_shape_and_no_step_ends_stuck(tiny):
    result = dm.morph("sphere", "box", **{**tiny, "windows": 9}, step=1e-12, trials=1)
    assert result.stopped == "stuck"
    assert len(result.history) == 3
    assert all(row["rejected"] == {"increase": 1} for row in result.history)


def test_metrics_use_a_sample_that_no_loss_uses(tiny):
    result = dm.morph("sphere", "box", **tiny)
    problem = make_problem("sphere", "box", dm.MorphConfig(**tiny))
    for n in range(TARGET_SAMPLES):  # samples of the image losses
        sample = problem.to_world(problem.resample(n))
        assert np.linalg.norm(result.target_x - sample, axis=1).max() > 0.1 * problem.spacing / problem.scale
    metrics = dm.metrics.evaluate(result.x, result.target_x, F=result.F, x_start=result.source_x)
    assert result.metrics["silhouette_iou"] == metrics["silhouette_iou"]
    assert result.metrics["chamfer"] == metrics["chamfer"]


def test_saved_files_hold_the_result(tiny, tmp_path):
    result = dm.morph("sphere", "box", **tiny, out=tmp_path / "deep" / "out")
    out = tmp_path / "deep" / "out"
    saved = read_npz(out / "result.npz")
    for name in ("x", "F", "G", "source_x", "target_x"):
        assert_array_equal(saved[name], getattr(result, name))
    assert_array_equal(read_ply(out / "result.ply")["x"], result.x)
    count = len(result.frames)
    assert len(list((out / "frames").iterdir())) == len(list((out / "ply").iterdir())) == count
    assert_array_equal(read_npz(out / "frames" / f"frame_{count - 1:04d}.npz")["F"], result.F)
    metrics = json.loads((out / "metrics.json").read_text())
    names = ("chamfer", "silhouette_iou", "surface_gap", "off_target", "stray", "hole_fraction", "det_F_min")
    assert set(names) <= set(metrics)
    assert metrics["start"]["silhouette_iou"] < metrics["silhouette_iou"]
    assert len(json.loads((out / "history.json").read_text())["windows"]) == 4


def test_bad_inputs_are_named(tiny, tmp_path):
    with pytest.raises(MeshError, match=r"none.obj"):
        dm.morph(str(tmp_path / "none.obj"), "box", **tiny)
    with pytest.raises(ConfigError, match="config: expected a MorphConfig or the name of a preset, got int"):
        dm.morph("sphere", "box", 3)
    with pytest.raises(ConfigError, match="preset: expected one of"):
        dm.morph("sphere", "box", "slow")
    with pytest.raises(ConfigError, match="out: expected the folder of the interrupted run to resume, got None"):
        dm.morph("sphere", "box", **tiny, resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="out: expected a folder to write into"):
        dm.morph("sphere", "box", **tiny, out=tmp_path / "file")


def failing(monkeypatch, *numbers):
    """Make the calls with these numbers fail, and collect the initial speeds of the windows."""
    run_window, speeds = chain.run_window, []

    def run(sim, loss, body, *rest):
        speeds.append(float(np.abs(body.v).max()))
        if len(speeds) in numbers:
            raise SimulationError("particle 5 inverted", particle=5, step=2, cause="inverted")
        return run_window(sim, loss, body, *rest)

    monkeypatch.setattr(chain, "run_window", run)
    return speeds


def test_failed_window_is_retried_from_rest(tiny, monkeypatch):
    speeds = failing(monkeypatch, 3)
    result = dm.morph("sphere", "box", **tiny, velocity_kept=0.5)
    assert result.stopped == "windows"
    assert [row["halted"] for row in result.history] == ["", "", "inverted", ""]
    assert speeds[2] > speeds[3] == 0.0


def test_window_that_fails_twice_ends_the_chain_with_the_last_state(tiny, monkeypatch):
    failing(monkeypatch, 3, 4)
    result = dm.morph("sphere", "box", **tiny)
    assert result.stopped == "failed"
    assert result.history[-1] == {"window": 3, "failed": "inverted", "message": "particle 5 inverted"}
    assert_array_equal(result.x, dm.morph("sphere", "box", **{**tiny, "windows": 2}).x)


def test_unstable_steps_are_rejected_and_named(tiny):
    result = dm.morph("sphere", "box", **{**tiny, "time_step": 10.0})
    assert result.stopped == "stuck"
    reasons = set().union(*(row["rejected"] for row in result.history))
    assert reasons & {"gradient", "left_grid", "not_finite", "inverted", "degenerate"}
    assert_array_equal(result.x, result.source_x)


def test_timings_list_the_phases(tiny, tmp_path):
    result = dm.morph("sphere", "box", **tiny, out=tmp_path)
    parts = {"reading", "sampling", "objective", "windows", "frames", "checkpoints", "metrics"}
    assert set(result.timings) == parts | {"writing"}
    assert set(dm.morphing.MorphResult.load(tmp_path).timings) == parts
    assert 0.0 < result.timings["windows"] <= result.seconds + 0.01
    assert set(dm.morph("sphere", "box", **tiny).timings) == parts - {"checkpoints"}


@pytest.mark.parametrize("seed", range(6))
def test_ball_with_thin_spikes(seed):
    """Particles of the spikes lie on grid nodes, where a weight was once -7e-21."""
    ball = dm.shapes.make("sphere")
    golden = (1 + 5**0.5) / 2
    tips = [np.roll([0.0, a, b * golden], k) for k in range(3) for a in (-1, 1) for b in (-1, 1)]
    vertices, triangles = [ball.vertices], [np.array(ball.triangles)]
    for tip in tips:
        base = 0.06 * np.linalg.svd(tip[None])[2][1:]
        foot = 0.9 * tip / np.linalg.norm(tip) + np.array([base[0], base[1], -base[0] - base[1]])
        faces = np.array([[0, 1, 3], [1, 2, 3], [2, 0, 3], [0, 2, 1]]) + sum(map(len, vertices))
        triangles.append(faces)
        vertices.append(np.vstack([foot, 1.95 * tip / np.linalg.norm(tip)]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dm.MeshWarning)
        urchin = dm.load_mesh((np.concatenate(vertices), np.concatenate(triangles)))
        result = dm.morph("sphere", urchin, particles=500, windows=1, seed=seed)
    assert np.isfinite(result.x).all()


def colored(name: str, color: tuple[float, float, float]) -> dm.Mesh:
    mesh = dm.load_mesh(name)
    return replace(mesh, appearance=Appearance(np.tile(color, (len(mesh.vertices), 1)) * _ramp(mesh.vertices)))


def _ramp(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * (x[:, 2:] - x[:, 2].min()) / np.ptp(x[:, 2])


def test_colors_are_part_of_a_result_and_its_files(tiny, tmp_path):
    source, target = colored("sphere", (1.0, 0.2, 0.1)), colored("box", (0.1, 0.2, 1.0))
    plain = dm.morph("sphere", "box", **tiny)
    result = dm.morph(source, target, **tiny, out=tmp_path / "out")
    for name in ("x", "F", "G", "source_x", "target_x"):  # colours do not affect the simulation
        assert_array_equal(getattr(result, name), getattr(plain, name))
    assert plain.source_color is plain.rest_color is plain.target_color is None
    # The source is placed on the target by `fit`.
    nearest = source.colors_at(result.placement.fit.inverse()(result.source_x))
    assert_allclose(result.source_color, nearest, atol=1e-3)
    assert_allclose(result.rest_color, target.colors_at(result.x.astype(float)), atol=1e-3)
    assert_allclose(result.target_color, target.colors_at(result.target_x.astype(float)), atol=1e-3)
    assert_allclose(result.colors(0), display_color(result.source_color), atol=1e-6)
    assert_allclose(result.colors(), display_color(result.rest_color), atol=1e-6)

    loaded = dm.MorphResult.load(tmp_path / "out")
    for name in ("source_color", "rest_color", "target_color"):
        assert_array_equal(getattr(loaded, name), getattr(result, name))
    assert_array_equal(loaded.colors(1), result.colors(1))
    particles = read_ply(tmp_path / "out" / "result.ply")
    levels = np.stack([particles[name] for name in ("red", "green", "blue")], axis=1)
    assert_array_equal(levels, np.rint(255 * result.colors()))

    plain.save(tmp_path / "plain")
    assert set(read_npz(tmp_path / "plain" / "result.npz")) == {"x", "F", "G", "source_x", "target_x"}
    assert set(read_ply(tmp_path / "plain" / "result.ply")) == {"x"}
    assert dm.MorphResult.load(tmp_path / "plain").rest_color is None


def test_a_resumed_morph_has_its_colors(tiny, tmp_path):
    pair = colored("sphere", (1.0, 0.2, 0.1)), "box"
    whole = dm.morph(*pair, **tiny)
    dm.morph(*pair, **{**tiny, "windows": 2}, out=tmp_path)
    result = dm.morph(*pair, **tiny, out=tmp_path, resume=True)
    assert_array_equal(result.source_color, whole.source_color)
    assert result.rest_color is None
