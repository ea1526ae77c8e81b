# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Colours of particles over time, and in images and files."""

from __future__ import annotations

from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import view
from diffmpm._color import display_color, linear_light
from diffmpm.export import read_npz
from diffmpm.view.colors import NEUTRAL, ParticleColors, blend_weights
from diffmpm.view.config import RenderConfig
from numpy.testing import assert_allclose, assert_array_equal

COUNT = 300


def body(n: int = COUNT) -> np.ndarray:
    return dm.sample("sphere", particles=n).x


def result(**colors: np.ndarray | None) -> SimpleNamespace:
    """Return a ball that moves to the right and grows, the right half earlier."""
    start = body()
    frames = []
    for k, s in enumerate(np.linspace(0.0, 1.0, 7, dtype=np.float32)):
        own = np.where(start[:, :1] > 0.0, np.minimum(2.0 * s, 1.0), s).astype(np.float32)
        x = start * (1.0 + 0.2 * own) + own * np.array([2.0, 0.0, 0.0], np.float32)
        eye = np.tile(np.eye(3, dtype=np.float32), (len(x), 1, 1))
        frames.append(SimpleNamespace(x=x, F=eye, G=eye, time=0.1 * k * k))
    both = {"source_color": None, "rest_color": None, **colors}
    return SimpleNamespace(source_x=start, x=frames[-1].x, frames=tuple(frames), **both)


def paint(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(COUNT, 3)).astype(np.float32)


def test_bodies_without_colors_look_as_before():
    plain = result()
    for look in ("arrival", "target"):
        with pytest.warns(dm.DiffMPMWarning, match="appearance: expected a shape with colours or a texture, got none"):
            ParticleColors(plain, RenderConfig(appearance=look))
    for config in (RenderConfig(), RenderConfig(color="material")):
        colors = ParticleColors(plain, config)
        assert not colors.vary
        assert_array_equal(colors(plain.frames[3]), view.material_colors(plain.source_x))
    del plain.source_color, plain.rest_color  # an object of another class
    assert_array_equal(ParticleColors(plain, RenderConfig())(plain.frames[0]), view.material_colors(plain.source_x))


@pytest.mark.parametrize("appearance", ["arrival", "crossfade"])
@pytest.mark.parametrize("width", [0.1, 0.6, 1.0])
def test_weights_rise_from_zero_to_one_and_never_fall(appearance, width):
    paths = [frame.x for frame in result().frames]
    paths.insert(3, paths[-1] + 5)  # an overshoot
    weights = blend_weights(paths, appearance, width)
    assert_array_equal(weights[0], 0)
    assert_array_equal(weights[-1], 255)
    assert (np.diff(weights.astype(int), axis=0) >= 0).all()
    if appearance == "crossfade":
        assert (weights == weights[:, :1]).all()


def test_material_that_arrives_first_changes_first():
    moving = result()
    weights = blend_weights([frame.x for frame in moving.frames], "arrival", 0.5)
    early = moving.source_x[:, 0] > 0.0
    assert weights[4][early].min() > weights[4][~early].max() + 50


def test_bodies_at_rest_change_with_the_frames():
    x = body()
    assert_array_equal(blend_weights([x], "arrival", 0.5), np.zeros((1, COUNT)))
    assert_array_equal(blend_weights([x, x, x], "crossfade", 0.5)[[0, -1]], [[0] * COUNT, [255] * COUNT])


def test_colors_are_functions_of_particle_and_time():
    source, rest = paint(1), paint(2)
    colored = result(source_color=source, rest_color=rest)
    colors = ParticleColors(colored, RenderConfig())
    assert colors.vary
    forward = [colors(frame) for frame in colored.frames]
    again = [ParticleColors(colored, RenderConfig())(frame) for frame in reversed(colored.frames)][::-1]
    assert_array_equal(forward, again)
    assert_allclose(forward[0], display_color(source), atol=1e-6)
    assert_allclose(forward[-1], display_color(rest), atol=1e-6)
    # A time between two frames: between their colours, in linear light.
    between = SimpleNamespace(time=0.5 * (colored.frames[3].time + colored.frames[4].time))
    mean = 0.5 * (linear_light(forward[3]) + linear_light(forward[4]))
    assert_allclose(linear_light(colors(between)), mean, atol=1e-5)


def test_appearances():
    source, rest = paint(1), paint(2)
    colored = result(source_color=source, rest_color=rest)
    middle = colored.frames[3]
    assert_allclose(ParticleColors(colored, RenderConfig(appearance="source"))(middle), display_color(source))
    assert_allclose(ParticleColors(colored, RenderConfig(appearance="target"))(middle), display_color(rest))
    # An explicit colour overrides all appearances.
    assert_array_equal(ParticleColors(colored, RenderConfig(color="clay"))(middle), view.colors.NAMED["clay"])
    material = ParticleColors(colored, RenderConfig(color="material", appearance="source"))
    assert_array_equal(material(middle), view.material_colors(colored.source_x))
    with pytest.raises(dm.ConfigError, match="appearance: expected"):
        RenderConfig(appearance="fade")
    with pytest.raises(dm.ConfigError, match="appearance_width"):
        RenderConfig(appearance_width=0.0)


def test_a_body_without_colors_beside_one_with_colors_is_grey():
    rest = paint(2)
    colors = ParticleColors(result(rest_color=rest), RenderConfig())
    frames = result().frames
    assert_allclose(colors(frames[0]), np.tile(NEUTRAL, (COUNT, 1)), atol=1e-6)
    assert_allclose(colors(frames[-1]), display_color(rest), atol=1e-6)
    colors = ParticleColors(result(source_color=rest), RenderConfig())
    assert_allclose(colors(frames[-1]), np.tile(NEUTRAL, (COUNT, 1)), atol=1e-6)


def test_a_running_morph_has_the_colors_of_its_source():
    source = paint(1)
    running = SimpleNamespace(source_x=body(), source_color=source, frames=result().frames)
    assert_allclose(ParticleColors(running, RenderConfig())(running.frames[2]), display_color(source))


def test_images_and_exports_have_the_colors_of_their_time(tmp_path):
    # All particles of one colour: red becomes blue.
    red, blue = (np.tile(np.array(c, np.float32), (COUNT, 1)) for c in ((1, 0, 0), (0, 0, 1)))
    colored = result(source_color=red, rest_color=blue)
    config = RenderConfig(size=64, samples=800, supersample=1, shadow=False)
    images = [image.astype(int) for image in view.render_frames(colored, config)]
    redness = [(image[..., 0] - image[..., 2])[24:40, 8:].sum() for image in images]
    assert redness[0] > 0 > redness[-1]
    view.export_frames(colored, tmp_path, "npz", config=config, lit=False)
    archives = sorted((tmp_path / "npz").glob("*.npz"))
    assert len(archives) == len(colored.frames)
    first, last = read_npz(archives[0]), read_npz(archives[-1])
    assert_allclose(first["particle_colors"], red)
    assert_allclose(last["particle_colors"], blue)
    assert_allclose(first["colors"][:, 0], 1.0, atol=1e-5)
    assert_allclose(last["colors"][:, 2], 1.0, atol=1e-5)
    view.export_frames(colored, tmp_path, "obj", config=config)
    for number, expected in ((0, (1, 0, 0)), (-1, (0, 0, 1))):
        mesh = dm.load_mesh(sorted((tmp_path / "obj").glob("*.obj"))[number])
        assert_allclose(mesh.appearance.colors, np.tile(expected, (len(mesh.vertices), 1)), atol=1e-3)


def test_pictures_show_the_colors_of_the_target(tmp_path):
    red = np.tile(np.array((1, 0, 0), np.float32), (COUNT, 1))
    colored = result(source_color=red, rest_color=red)
    more = {"target_x": colored.x, "target_color": red, "metrics": {}, "source_name": "a", "target_name": "b"}
    row = {"window": 1, "loss_start": 2.0, "loss": 1.0, "step": 0.01, "det_F_min": 0.9}
    colored = SimpleNamespace(**vars(colored), **more, history=[row])
    view.save_pictures(colored, tmp_path, size=48, gif_frames=3)
    from PIL import Image

    for name in ("source", "target", "result"):
        image = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
        assert (image[..., 0] - image[..., 2]).max() > 60, name
