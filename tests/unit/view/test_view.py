# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
from types import SimpleNamespace

import numpy as np
import pytest
from diffmpm import view
from diffmpm.errors import ConfigError
from numpy.testing import assert_allclose, assert_array_equal

pytest.importorskip("PIL", reason="pillow is not installed")


def ball(n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    return (x / np.linalg.norm(x, axis=1, keepdims=True) * rng.random((n, 1)) ** (1 / 3)).astype(np.float32)


@pytest.mark.parametrize("up", ["x", "y", "z"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_orbit_frames_all_points(up, scale):
    x = ball() * np.array([1.0, 0.3, 2.0]) * scale + 5 * scale
    pixel, _ = view.orbit(x, up=up, elevation=30.0, fill=0.8).project(x, 100)
    low, high = pixel[:, :2].min(axis=0), pixel[:, :2].max(axis=0)
    assert_allclose((high - low).max(), 80.0, atol=2.0)
    assert_allclose(0.5 * (low + high), 50.0, atol=1.5)


def test_camera_has_right_and_down_axes():
    camera = view.Camera(eye=(0, -10, 0), target=(0, 0, 0))
    pixel, focal = camera.project(np.array([[1.0, 0, 0], [0, 0, 1.0]]), 200)
    assert pixel[0, 0] > 100
    assert_allclose(pixel[0], [100 + focal / 10, 100, 10])
    assert_allclose(pixel[1], [100, 100 - focal / 10, 10])


def test_picture_shows_the_nearer_sphere_in_front():
    camera = view.Camera(eye=(0, -10, 0), target=(0, 0, 0))
    x = np.array([[0.0, 0, 0], [0.0, -2.0, 0]])
    for order in ([0, 1], [1, 0]):
        colors = np.array([[1.0, 0, 0], [0, 0, 1.0]])[order]
        image = view.render_particles(x[order], camera, size=40, colors=colors, radius=0.8)
        middle = image[18:22, 18:22].reshape(-1, 3).mean(axis=0)
        assert middle[2] > middle[0] + 20


def test_pictures_repeat_exactly_and_differ_from_the_background():
    x = ball()
    camera = view.orbit(x)
    image = view.render_particles(x, camera, size=64, colors=view.material_colors(x))
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert_array_equal(image, view.render_particles(x, camera, size=64, colors=view.material_colors(x)))
    assert np.ptp(image[28:36, 28:36].astype(int)) > 10


def test_hidden_particles_do_not_change_the_picture():
    x = ball(3000)
    inner = np.linalg.norm(x, axis=1) < 0.4
    camera, colors = view.orbit(x), np.full((len(x), 3), 0.6)
    plain = view.render_particles(x, camera, size=96, colors=colors, radius=0.09)
    colors[inner] = (1.0, 0.0, 0.0)
    assert_array_equal(view.render_particles(x, camera, size=96, colors=colors, radius=0.09), plain)


def test_single_particle_is_drawn():
    image = view.render_particles(np.zeros((1, 3)), view.Camera((0, -5, 0), (0, 0, 0)), size=32, radius=0.5)
    assert np.ptp(image.astype(int)) > 50


def test_contact_sheet_keeps_reading_order():
    images = [np.full((4, 4, 3), k * 40, np.uint8) for k in range(5)]
    sheet = view.contact_sheet(images, columns=3, gap=2)
    assert sheet.shape == (10, 16, 3)
    assert_array_equal(sheet[6:10, 6:10], images[4])


def test_gif_holds_all_pictures(tmp_path):
    from PIL import Image

    images = [np.full((8, 8, 3), k * 60, np.uint8) for k in range(4)]
    with Image.open(view.save_gif(tmp_path / "a.gif", images)) as film:
        assert film.n_frames == 4


def test_all_pictures_of_a_result(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    x = ball()
    row = {"window": 1, "loss_start": 2.0, "loss": 1.0, "step": 0.01, "det_F_min": 0.9}
    result = SimpleNamespace(
        source_x=x,
        target_x=x * 0.9,
        x=x * 1.1,
        frames=[SimpleNamespace(x=x * s) for s in (1.0, 1.05, 1.1)],
        metrics={"silhouette_iou": 0.5},
        history=[row, {"window": 2, "failed": "inverted"}],
        source_name="a",
        target_name="b",
    )
    names = {path.name for path in view.save_pictures(result, tmp_path, size=32, up="y")}
    assert names == {path.name for path in tmp_path.iterdir()}
    assert names == {
        "source.png",
        "target.png",
        "result.png",
        "comparison.png",
        "contact_sheet.png",
        "morph.gif",
        "loss.png",
    }


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ConfigError, match="up: expected x, y or z, got 'w'"):
        view.orbit(ball(), up="w")
    with pytest.raises(ConfigError, match="up: expected a direction across the view"):
        view.Camera((0, 0, 5), (0, 0, 0)).axes()
    with pytest.raises(ConfigError, match=r"x: expected shape \(N, 3\)"):
        view.render_particles(np.zeros((3, 2)), view.Camera((0, -5, 0), (0, 0, 0)))
    with pytest.raises(ConfigError, match="size: expected at least 8 pixels"):
        view.render_particles(np.zeros((3, 3)), view.Camera((0, -5, 0), (0, 0, 0)), size=2)
    with pytest.raises(ConfigError, match="images: expected at least one picture, got none"):
        view.contact_sheet([])
    with pytest.raises(ConfigError, match="images: expected at least one picture, got none"):
        view.save_gif(tmp_path / "a.gif", [])
