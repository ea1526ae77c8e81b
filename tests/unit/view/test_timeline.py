# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Timelines of films and exports, and the path of the camera."""

from __future__ import annotations

from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import view
from diffmpm._placement import Placement
from diffmpm.export import write_mesh
from diffmpm.view import CameraKey, RenderConfig, Timeline
from diffmpm.view.camera import film_cameras
from diffmpm.view.timeline import Track, between
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

COUNT = 60


def turning(frames=5, legs=(), loop=False):
    """Return a body that turns by 30 degrees, stretches and moves by 1 in each frame."""
    rest = np.random.default_rng(0).uniform(-1, 1, (COUNT, 3)).astype(np.float32)
    film = []
    for k in range(frames):
        turn = Rotation.from_euler("z", 30.0 * k, degrees=True).as_matrix().astype(np.float32)
        F = np.broadcast_to(turn * np.float32(1 + 0.1 * k), (COUNT, 3, 3))
        film.append(SimpleNamespace(x=rest + np.float32([k, 0, 0]), F=F, G=F, time=0.1 * k))
    ends = tuple(SimpleNamespace(last=last, rest_color=None) for last in legs)
    placement = Placement()
    return SimpleNamespace(frames=film, source_x=rest, legs=ends, loop=loop, placement=placement)


def places(timeline, body, frames=None):
    return [pose.place for pose in timeline.poses(body, frames)]


def test_the_default_shows_each_frame_once():
    body = turning()
    poses = Timeline().poses(body)
    assert [pose.place for pose in poses] == [0, 1, 2, 3, 4]
    for pose, frame in zip(poses, body.frames, strict=True):
        assert pose.x is frame.x and pose.F is frame.F
    assert_allclose([pose.time for pose in poses], np.arange(5) / 24)


def test_shapes_are_held_and_motions_take_equally_long():
    shown = places(Timeline(duration=3.0, fps=10.0, hold=0.5), turning(7, legs=(2, 6)))
    assert len(shown) == 30
    assert shown[:6] == [0.0] * 6 and shown[-6:] == [6.0] * 6
    assert shown.count(2.0) == 6 and shown.index(2.0) - 5 == 7  # intervals of both motions: 7 and 7
    assert_allclose(np.diff(shown[5 : shown.index(2.0) + 1]), 2 / 7)


def test_a_loop_shows_its_last_state_only_as_the_first_one():
    body = turning(5, legs=(2, 4), loop=True)
    shown = places(Timeline(duration=2.0, fps=10.0, hold=0.2), body)
    assert len(shown) == 20
    assert shown[:3] == [0.0] * 3 and shown.count(2.0) == 3 and shown[3] > 0.0
    assert shown[-1] == pytest.approx(4 - shown[3])  # one interval before the first image
    assert places(Timeline(), body) == [0, 1, 2, 3]


def test_ease_starts_and_stops_slowly_in_the_same_time():
    uniform, eased = (np.diff(places(Timeline(duration=4, fps=10, ease=e), turning())) for e in (0.0, 1.0))
    assert_allclose(uniform, 4 / 39)
    assert eased[0] < 0.05 * uniform[0] and eased[-1] < 0.05 * uniform[0] and eased.max() < 2.01 * uniform[0]
    assert eased.sum() == pytest.approx(4)


def test_selected_frames_are_passed_through():
    body = turning(7)
    assert places(Timeline(), body, body.frames[::3]) == [0, 3, 6]
    assert places(Timeline(hold=1.0), body, body.frames[2:3]) == [2]  # a still
    assert places(Timeline(), body, body.frames[2:5]) == [2, 3, 4]


@pytest.mark.parametrize("sweep", ["x", "-z", "radial", "-radial"])
def test_a_sweep_starts_particles_one_after_the_other(sweep):
    body = turning()
    timeline = Timeline(duration=4.0, fps=20.0, start_sweep=sweep, sweep_length=0.6)
    poses = timeline.poses(body)
    x = body.frames[0].x.astype(float)
    along = {"x": x[:, 0], "-z": -x[:, 2]}.get(sweep, np.linalg.norm(x - x.mean(axis=0), axis=1))
    along = -along if sweep == "-radial" else along
    first, last = int(along.argmin()), int(along.argmax())
    moved = np.array([np.broadcast_to(pose.place, COUNT) > 0 for pose in poses])
    start = moved[:, [first, last]].argmax(axis=0)
    assert start[0] == 1 and start[1] == pytest.approx(0.6 * 80, abs=2)
    assert_array_equal(poses[0].x, body.frames[0].x)
    assert_array_equal(poses[-1].x, body.frames[-1].x)
    middle = poses[40]
    expected = body.frames[0].x + np.outer(middle.place, [1, 0, 0])
    assert_allclose(middle.x, expected, atol=1e-5)
    for name in ("F", "G"):
        for pose in poses[10:70:7]:
            assert np.linalg.det(getattr(pose, name)).min() > 0.9


def test_a_sweep_may_be_painted(tmp_path):
    mesh = dm.load_mesh("box")
    low, high = mesh.bounds[:, 0]
    light = ((mesh.vertices[:, :1] - low) / (high - low)).repeat(3, axis=1)
    path = write_mesh(tmp_path / "paint.ply", mesh.vertices, mesh.triangles, colors=light)
    body = turning()
    pose = Timeline(duration=2, fps=20, start_sweep=str(path), sweep_length=0.9).poses(body)[18]
    height = body.source_x[:, 0]
    assert pose.place[height < -0.6].min() > 3 and pose.place[height > 0.6].max() == 0
    assert np.corrcoef(pose.place, height)[0, 1] < -0.7
    plain = write_mesh(tmp_path / "plain.ply", mesh.vertices, mesh.triangles)
    with pytest.raises(dm.ConfigError, match="start_sweep: expected a mesh with vertex colours, got none in"):
        Timeline(start_sweep=str(plain)).check(1)
    with pytest.raises(dm.ConfigError, match=r"start_sweep: expected a mesh with vertex colours, got .*none.ply'"):
        Timeline(start_sweep=str(tmp_path / "none.ply")).check(1)


def test_a_timeline_that_does_not_fit_is_refused():
    body = turning(7, legs=(2, 6))
    with pytest.raises(dm.ConfigError, match=r"duration: expected at least 3.3 s for 3 holds of 1 s and an image of"):
        Timeline(duration=2.0, fps=10.0, hold=1.0).poses(body)
    assert len(Timeline(duration=3.3, fps=10.0, hold=1.0).poses(body)) == 33
    Timeline(duration=2.2, fps=10.0, hold=1.0).check(2, loop=True)
    with pytest.raises(dm.ConfigError, match="for 2 holds of 1 s"):
        Timeline(duration=2.1, fps=10.0, hold=1.0).check(2, loop=True)
    with pytest.raises(dm.ConfigError, match="frames: expected frames of the result, got another one"):
        Timeline().poses(body, [turning().frames[0]])
    with pytest.raises(dm.ConfigError, match="start_sweep: expected one of x, -x, y"):
        Timeline(start_sweep="up")


def test_interpolated_gradients_turn_at_a_constant_rate():
    rng = np.random.default_rng(1)
    a = np.eye(3) + 0.3 * rng.standard_normal((20, 3, 3))
    a = a[np.linalg.det(a) > 0.1]
    turn = Rotation.from_rotvec([0, 0, 2.8]).as_matrix()
    b = turn @ a
    assert_allclose(between(a, b, 0.25), Rotation.from_rotvec([0, 0, 0.7]).as_matrix() @ a, atol=1e-12)
    assert_allclose(between(a, b, 1.0), b, atol=1e-12)
    c = rng.permutation(a) * np.array([1.0, 2.0, 0.5])[:, None]
    each = np.linspace(0, 1, len(a))
    assert np.linalg.det(between(a, c, each)).min() > 0
    assert_allclose(between(a, c, each)[-1], c[-1], atol=1e-12)
    assert_allclose(between(a, a, 0.3), a, atol=1e-12)


def test_motion_gradients_begin_again_at_each_shape():
    body = turning(5, legs=(2, 4))
    track = Track(body)
    after = view.timeline.Pose(track, 2.5, 0.0)
    identity = np.broadcast_to(np.eye(3, dtype=np.float32), (COUNT, 3, 3))
    assert_allclose(after.G, between(identity, body.frames[3].G, 0.5))
    assert_allclose(after.F, between(body.frames[2].F, body.frames[3].F, 0.5))


def test_a_film_repeats_the_images_of_holds():
    config = RenderConfig(size=16, samples=300, supersample=1)
    body = turning(2)
    sphere = dm.sample("sphere", particles=200).x.astype(np.float32)
    for k, frame in enumerate(body.frames):
        frame.x = sphere + np.float32([0, 0, 0.2 * k])
    body.source_x = sphere
    images = list(view.render_frames(body, config, timeline=Timeline(fps=10, hold=0.3)))
    assert len(images) == 8
    assert all(image is images[0] for image in images[:4]) and all(image is images[4] for image in images[4:])
    assert (images[0] != images[4]).any()


def test_exports_have_the_states_of_the_film(tmp_path):
    body = turning(3)
    sphere = dm.sample("sphere", particles=300).x.astype(np.float32)
    F = np.broadcast_to(np.eye(3, dtype=np.float32), (300, 3, 3))
    body.frames = [SimpleNamespace(x=sphere + np.float32([0, 0, k]), F=F, G=F, time=0.1 * k) for k in range(3)]
    body.source_x = sphere
    timeline = Timeline(duration=1.0, fps=10, hold=0.2, ease=1)
    folder = view.export_frames(body, tmp_path, "npz", config=RenderConfig(samples=300), timeline=timeline)
    heights = [float(np.load(path)["x"][0, 2] - sphere[0, 2]) for path in sorted(folder.iterdir())]
    assert_allclose(heights, [pose.place for pose in timeline.poses(body)], atol=1e-6)
    assert len(heights) == 10 and heights[2] == 0 and heights[-3] == pytest.approx(2)
    page = view.export_frames(body, tmp_path, "html", config=RenderConfig(samples=300), timeline=timeline)
    assert '"fps":10.0,"holds":[0.0,0.1]' in (page / "morph.html").read_text("utf-8")
    with pytest.raises(dm.ConfigError, match="fps: expected that of the timeline, got both"):
        view.export_frames(body, tmp_path, "html", timeline=timeline, fps=12.0)


def test_a_carried_mesh_follows_the_timeline(tmp_path):
    body, shape = turning(2), dm.load_mesh("sphere")
    x = dm.sample("sphere", particles=300).x.astype(np.float32)
    body.frames = [SimpleNamespace(x=x + np.float32([0, 0, k - 1]), F=None, G=None, time=float(k)) for k in range(2)]
    body.source_x = x
    body.mesh = lambda side, asset: shape
    timeline = Timeline(duration=1, fps=6, hold=0.2, start_sweep="x", sweep_length=0.3)
    folder = view.export_frames(body, tmp_path, "obj", topology="target", timeline=timeline)
    meshes = [dm.load_mesh(path).vertices for path in sorted(folder.glob("*.obj"))]
    assert len(meshes) == 6
    assert_allclose(meshes[-1], shape.vertices, atol=1e-6)
    assert_allclose(meshes[0], shape.vertices - [0, 0, 1], atol=0.05)
    lifted = meshes[2][:, 2] - meshes[0][:, 2]  # the low end of x has started, the high end has not
    assert lifted[shape.vertices[:, 0] < -0.9].min() > lifted[shape.vertices[:, 0] > 0.9].max() + 0.1


def test_the_camera_passes_its_keys_without_overshooting():
    x = dm.sample("box", particles=500).x
    keys = (CameraKey(time=1, azimuth=0), CameraKey(time=2, azimuth=90, elevation=40), CameraKey(time=3, distance=2))
    config = RenderConfig(camera=keys, azimuth=30.0, elevation=10.0, size=64)
    times = np.linspace(0, 4, 41)
    cameras = film_cameras([x], config, times.tolist(), 4.1)
    away = np.array([camera.position for camera in cameras]) - 0.5 * (x.min(axis=0) + x.max(axis=0))
    lengths = np.linalg.norm(away, axis=1)
    azimuth = np.degrees(np.arctan2(away[:, 1], away[:, 0]))
    elevation = np.degrees(np.arcsin(away[:, 2] / lengths))
    for n, expected in ((0, 0), (10, 0), (20, 90), (30, 30), (40, 30)):
        assert azimuth[n] == pytest.approx(expected, abs=1e-3)
    assert elevation[20] == pytest.approx(40, abs=1e-3) and azimuth.max() < 90.01 and elevation.min() > 9.99
    assert_allclose(lengths[[30, 40]], 2 * lengths[0])
    for camera in cameras:
        pixel, _ = camera.project(x)
        assert pixel.min() > 0 and pixel.max() < 64
    turned = film_cameras([x], config.replace(turns=0.5), times.tolist(), 4.1)
    away = np.array([camera.position for camera in turned]) - 0.5 * (x.min(axis=0) + x.max(axis=0))
    assert (np.degrees(np.arctan2(away[20, 1], away[20, 0])) - 90) % 360 == pytest.approx(180 * 2 / 4.1, abs=1e-3)


def test_a_camera_path_that_does_not_fit_is_refused():
    x = dm.sample("box", particles=100).x
    config = RenderConfig(camera=[{"time": 0}, {"time": 5, "azimuth": 10}])
    with pytest.raises(dm.ConfigError, match="camera: expected times up to 3 s, the length of the film, got 5 s"):
        film_cameras([x], config, [0.0, 1.0], 3.0)
    with pytest.raises(dm.ConfigError, match="camera: expected keys in the order of their times, got 2 s, then 1 s"):
        RenderConfig(camera=[{"time": 2}, {"time": 1}])
    with pytest.raises(dm.ConfigError, match="camera: key 2: azimut: expected a field of CameraKey; did you mean"):
        RenderConfig(camera=[{"time": 2}, {"time": 3, "azimut": 1}])
    with pytest.raises(dm.ConfigError, match="camera: expected a list of camera keys, got 3"):
        RenderConfig(camera=3)
    assert RenderConfig.from_dict(config.to_dict()) == config
