# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
from dataclasses import replace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import ConfigError, losses
from diffmpm.errors import CheckpointError
from diffmpm.geometry.appearance import Appearance
from diffmpm.morphing.guided_objective import GuidedObjective, ImageGuide, combined, norm, settled
from diffmpm.morphing.objective import LossObjective
from diffmpm.morphing.problem import make_problem

SMALL = {"ring": 3, "elevations": (0.2,), "size": 24, "samples": 200}
EVERY_LOSS = (
    losses.SilhouettePyramid(),
    losses.SilhouetteDistance(weight=0.1),
    losses.Depth(extent=7.0),
    losses.Normals(),
    losses.SSIM(image="normals", weight=losses.WeightSchedule(start=0.2, end=0.1, interpolation="linear")),
    losses.CovarianceSpectrum(weight=0.01),
)

SETTLED = ({"guidance": {"start": [1e30, 1.0]}},)
"""History of a morph whose physics loss has fallen by far."""


def guidance(**options):
    return dm.RenderGuidance(**{**SMALL, **options})


def without_seconds(result):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.history]


def colored(name, seed):
    """A built-in shape with random vertex colours."""
    mesh = dm.load_mesh(name)
    colors = np.random.default_rng(seed).uniform(size=mesh.vertices.shape)
    return replace(mesh, appearance=Appearance(colors=colors))


def make_scene(tiny, render, shapes=("sphere", "box"), **options):
    """A problem, its guide, and a rollout of its body with random controls."""
    config = dm.MorphConfig(**tiny, dtype="float64", **options)
    problem = make_problem(*shapes, config)
    simulation = dm.Simulation(problem.body, problem.sims[-1])
    control = 1e-3 * np.random.default_rng(1).normal(size=(config.steps, problem.body.count, 3, 3))

    def roll(change):
        return simulation.rollout(steps=config.steps, control=control + change, motion_gradient=True)

    return problem, ImageGuide(problem, render), roll, control


@pytest.mark.parametrize("through", ["G", "F", "x"])
@pytest.mark.parametrize("particles", [True, False])
@pytest.mark.parametrize("also", [(), (losses.Color(),)], ids=["plain", "colored"])
def test_gradient_reaches_the_controls_exactly(tiny, through, particles, also):
    render = guidance(through=through, particles=particles, losses=EVERY_LOSS + also)
    shapes = (colored("sphere", 0), colored("box", 1)) if also else ("sphere", "box")
    problem, guide, roll, control = make_scene(tiny, render, shapes)
    objective = GuidedObjective(LossObjective(problem.loss(dm.MorphConfig(**tiny), 0)), guide, windows=3)
    window = objective.begin_window(problem.body, ({},))  # half of the morph
    start = roll(0.0)
    value = window.render(start)
    assert set(value.adj) == {"adj_x"} | ({f"adj_{through}"} if through != "x" else set())
    gradient = start.vjp(**value.adj, wrt=("control",)).control
    random = np.random.default_rng(2)
    for _ in range(2):
        along = random.normal(size=control.shape)
        h = 1e-6  # small, because the list of Gaussians of a pixel depends on the positions
        ahead, back = (window.render(roll(s * h * along)).loss.value for s in (1, -1))
        size = norm(gradient) * norm(along)
        assert abs((ahead - back) / (2.0 * h) - np.vdot(gradient, along)) < 2e-5 * size


@pytest.mark.parametrize("conflict", ["keep", "project"])
def test_weight_gives_the_configured_fraction(tiny, conflict):
    render = guidance(fraction=0.3, conflict=conflict)
    problem, guide, roll, _ = make_scene(tiny, render)
    objective = GuidedObjective(
        LossObjective(problem.loss(dm.MorphConfig(**tiny, dtype="float64"), 0)), guide, windows=4
    )
    guided = objective.begin_window(problem.body, SETTLED)
    start = roll(0.0)
    value, of_physics, of_images = guided.evaluate(start), objective.physics.loss.evaluate(start), guided.render(start)
    physics, image = (start.vjp(**part.adj, wrt=("control",)).control for part in (of_physics, of_images))
    assert guided.weight * norm(image) / (norm(physics) + guided.weight * norm(image)) == pytest.approx(0.3)
    assert value.report()["guidance"]["fraction"] == pytest.approx(0.3)
    assert value.value == pytest.approx(of_physics.value + guided.weight * of_images.loss.value)
    assert sum(value.terms.values()) == pytest.approx(value.value)
    total = value.gradient()
    if conflict == "keep" or np.vdot(physics, image) >= 0.0:
        np.testing.assert_allclose(total, physics + guided.weight * image, rtol=1e-12)


def test_colors_of_the_images_are_those_of_the_shapes(tiny):
    """A red ball with the target red at the top and green below: the colours pull only the lower half away."""
    ball, split = dm.load_mesh("sphere"), dm.load_mesh("sphere")
    red, green = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    ball = replace(ball, appearance=Appearance(colors=np.tile(red, (len(ball.vertices), 1))))
    colors = np.where(split.vertices[:, 2:] > 0.0, red, green)
    split = replace(split, appearance=Appearance(colors=colors))
    render = guidance(losses=(losses.Color(),), samples=2000, elevations=(0.0,))
    problem, guide, roll, _ = make_scene({**tiny, "particles": 2000}, render, (ball, split))
    upper, lower = guide.target.color[:, :8], guide.target.color[:, -8:]
    assert upper[..., 0].max() > 0.9 and upper[..., 1].max() < 0.05
    assert lower[..., 1].max() > 0.9 and lower[..., 0].max() < 0.05
    np.testing.assert_allclose(guide.target.color.sum(axis=-1), guide.target.alpha, atol=1e-5)
    objective = GuidedObjective(LossObjective(problem.loss(dm.MorphConfig(**tiny), 0)), guide, windows=3)
    images = objective.begin_window(problem.body, ()).render(roll(0.0)).images
    np.testing.assert_allclose(images.color[..., 0], images.alpha, atol=1e-5)
    assert not images.color[..., 1].any()


def test_color_losses_need_colors(tiny):
    render = guidance(losses=(losses.Color(),))
    for shapes, side in (("sphere", colored("box", 0)), "source"), ((colored("sphere", 0), "box"), "target"):
        with pytest.raises(ConfigError, match=f"losses: expected a {side} with colours for color, got one without"):
            make_scene(tiny, render, shapes)


def test_projection_removes_the_component_that_opposes_the_physics():
    physics = np.random.default_rng(0).normal(size=(5, 300, 3, 3))
    image = -0.5 * physics + np.random.default_rng(1).normal(size=physics.shape)
    rest = combined(physics, image, 2.0, project=True) - physics
    assert abs(np.vdot(rest, physics)) < 1e-12 * norm(rest) * norm(physics)
    assert np.vdot(rest, image) > 0.0


def test_images_enter_as_the_body_settles(tiny):
    assert settled(5.0, None) == 0.0  # the first window
    assert settled(0.0, 0.0) == 0.0  # no loss to begin with
    assert settled(7.0, 5.0) == 0.0  # above the start
    assert settled(0.5, 5.0) == pytest.approx(0.5)  # one decade of two
    assert settled(0.05, 5.0) == settled(1e-9, 5.0) == 1.0
    problem, guide, roll, _ = make_scene(tiny, guidance(fraction=0.4))
    objective = GuidedObjective(
        LossObjective(problem.loss(dm.MorphConfig(**tiny, dtype="float64"), 0)), guide, windows=4
    )
    start = roll(0.0)
    loss = objective.physics.loss.evaluate(start).value
    for first, fraction in ((None, 0.0), (10.0 * loss, 0.2), (1e9 * loss, 0.4)):
        history = () if first is None else ({"guidance": {"start": [first, 1.0]}},)
        guided = objective.begin_window(problem.body, history)
        report = guided.evaluate(start).report()
        assert report["guidance"]["fraction"] == pytest.approx(fraction)


def test_images_of_the_target_are_means_over_samples(tiny):
    problem, guide, *_ = make_scene(tiny, guidance(losses=EVERY_LOSS))
    samples = [guide.sample_images(n) for n in range(4)]
    for name in ("alpha", "depth", "normals"):
        expected = np.mean([getattr(images, name) for images in samples], axis=0)
        np.testing.assert_allclose(getattr(guide.target, name), expected, rtol=0, atol=1e-12)
    assert np.abs(samples[0].alpha - samples[1].alpha).max() > 0.01
    np.testing.assert_array_equal(problem.resample(2), problem.resample(2))


def test_a_sample_is_evaluated_with_the_weights_of_the_merit(tiny):
    problem, guide, roll, _ = make_scene(tiny, guidance(fraction=0.3))
    physics = LossObjective(problem.loss(dm.MorphConfig(**tiny, dtype="float64"), 0), sample_loss=3.0)
    value = GuidedObjective(physics, guide, windows=4).begin_window(problem.body, ()).evaluate(roll(0.0))
    sample = guide.sample_images(4)
    image = sum(loss.evaluate(sample, guide.target).value for loss in guide.losses)
    start = value.report()["guidance"]["start"]
    assert value.report()["merit"] == pytest.approx(1.0)  # the morph starts here
    assert value.report()["sample_loss"] == pytest.approx(0.7 * 3.0 / start[0] + 0.3 * image / start[1])
    assert 0.0 < image < start[1]


def test_guided_morph_reports_and_lowers_the_images(tiny):
    result = dm.morph("sphere", "box", **tiny, render=guidance())
    rows = [row["guidance"] for row in result.history]
    assert rows[0]["fraction"] == 0.0
    assert 0.0 < rows[-1]["fraction"] <= 0.5
    assert rows[-1]["image"] < rows[0]["start"][1]
    assert result.history[-1]["merit"] < 1.0
    assert set(rows[0]["terms"]) == {"silhouette_pyramid", "depth"}
    for row in result.history:
        assert sum(row["terms"].values()) == pytest.approx(row["loss"], rel=1e-4)


@pytest.mark.parametrize("options", [{"iterations": 3}, {"schedule": "layered", "passes": 1}, {"optimizer": "lbfgs"}])
def test_guided_morph_under_other_schedules(tiny, options):
    result = dm.morph("sphere", "box", **tiny, **options, render=guidance(conflict="project"))
    assert result.history[-1]["merit"] < 1.0


def test_resumed_morph_equals_uninterrupted_morph(tiny, tmp_path):
    render = guidance(losses=EVERY_LOSS)
    whole = dm.morph("sphere", "box", **tiny, render=render)

    def stop(progress):
        if progress.window == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dm.morph("sphere", "box", **tiny, render=render, out=tmp_path, callback=stop)
    resumed = dm.morph("sphere", "box", **tiny, render=guidance(losses=EVERY_LOSS), out=tmp_path, resume=True)
    np.testing.assert_array_equal(resumed.x, whole.x)
    assert without_seconds(resumed) == without_seconds(whole)
    for other in (None, guidance(losses=EVERY_LOSS, fraction=0.4)):
        with pytest.raises(CheckpointError, match="expected the guidance by images of the interrupted run"):
            dm.morph("sphere", "box", **tiny, render=other, out=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 8}, "views: expected TargetViews, got int"),
        ({"ring": 0}, "ring: expected an integer from 1 to 1000, got 0"),
        ({"size": 4}, "size: expected an integer from 8 to 4096, got 4"),
        ({"samples": 1.5}, "samples: expected an integer from 16"),
        ({"fraction": 1.0}, r"fraction: expected a finite number >= 0 and < 1, got 1.0"),
        ({"fov": 180.0}, "fov: expected a finite number > 0 and < 180, got 180"),
        ({"conflict": "fight"}, "conflict: expected one of keep, project, got 'fight'"),
        ({"through": "v"}, "through: expected one of G, F, x, got 'v'"),
        ({"elevations": (2.0,)}, "elevations: expected angles within"),
        ({"losses": ()}, "losses: expected at least one image loss"),
        ({"losses": (1,)}, "losses: expected at least one image loss"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        guidance(**options)


def test_one_loss_needs_no_tuple():
    loss = EVERY_LOSS[0]
    assert guidance(losses=loss).losses == (loss,)


def test_render_must_be_guidance(tiny):
    with pytest.raises(ConfigError, match="render: expected a RenderGuidance or None, got bool"):
        dm.morph("sphere", "box", **tiny, render=True)
