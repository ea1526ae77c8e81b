# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Scenes in the frames of a morph."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.export import Splats, write_gaussian_ply
from diffmpm.view import RenderConfig, Timeline, export_frames, timeline
from diffmpm.view.body import SceneBody
from diffmpm.view.camera import film_cameras
from diffmpm.view.draw import draw
from diffmpm.view.scenes import CarriedScenes
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from .conftest import MakeScene


def turned_body(scenes: dict[str, Splats | None]) -> SimpleNamespace:
    """Return a body that turns about x by 40 degrees in three frames, moving by one unit each time."""
    x = dm.sample("sphere", particles=500).x
    frames = []
    for k in range(3):
        turn = Rotation.from_euler("x", 20.0 * k, degrees=True).as_matrix().astype(np.float32)
        moved = x @ turn.T + np.float32([k, 0, 0])
        frames.append(SimpleNamespace(x=moved, G=np.broadcast_to(turn, (500, 3, 3)), time=float(k)))
    return SimpleNamespace(frames=frames, scene=scenes.get)


def test_film_begins_with_the_source_and_ends_with_the_target(scene: MakeScene) -> None:
    source, target = scene("sphere", 300, 1), scene("sphere", 200, 3, seed=1)
    target = Splats(**{**vars(target), "means": target.means + np.float32([2, 0, 0])})
    body = turned_body({"source": source, "target": target})
    carried = CarriedScenes(body, RenderConfig())
    for frame, truth in ((body.frames[0], source), (body.frames[2], target)):
        shown = carried(frame)
        assert shown.count == truth.count
        assert_allclose(shown.means, truth.means, atol=1e-5)
        assert_allclose(shown.covariances(), truth.covariances(), atol=1e-6)
        assert_allclose(shown.opacities, truth.opacities, atol=1e-6)
        eye = np.array([0.0, -8.0, 2.0])
        assert_allclose(shown.colors_from(eye), truth.colors_from(eye), atol=1e-4)
    middle = carried(body.frames[1])
    assert middle.sh_degree == 3 and middle.count > 300
    assert carried(body.frames[1]).opacities.max() < max(source.opacities.max(), target.opacities.max())


def test_one_scene_is_carried_all_the_time(scene: MakeScene) -> None:
    source, body = scene("sphere", 300, 2), turned_body({})
    body.scene = {"source": source}.get
    shown = CarriedScenes(body, RenderConfig())(body.frames[2])
    turn = body.frames[2].G[0]
    assert_allclose(shown.means, source.means @ turn.T + [2, 0, 0], atol=1e-5)
    assert_allclose(shown.opacities, source.opacities)
    body.scene = {"target": source}.get
    back = CarriedScenes(body, RenderConfig())(body.frames[0])
    assert_allclose(back.means, (source.means - [2, 0, 0]) @ turn, atol=1e-5)


def test_a_pose_between_frames_has_carried_scenes(scene: MakeScene) -> None:
    source, body = scene("sphere", 300, 1), turned_body({})
    body.scene = {"source": source}.get
    carried = CarriedScenes(body, RenderConfig())
    poses = Timeline(duration=0.9, fps=10).poses(body)
    for pose in poses:
        turn = Rotation.from_euler("x", 20.0 * pose.place, degrees=True).as_matrix()
        assert_allclose(carried(pose).means, source.means @ turn.T + [pose.place, 0, 0], atol=0.04)
    assert_allclose(carried(poses[4]).means, carried(body.frames[1]).means)
    # In a chain each motion carries the scenes at its ends.
    body.frames = [*body.frames, *turned_body({}).frames[1:]]
    for k, frame in enumerate(body.frames):
        frame.time = float(k)
    middle = scene("box", 200, 0)
    body.legs = [SimpleNamespace(last=2, rest_color=None), SimpleNamespace(last=4, rest_color=None)]
    body.scene = {"source": source, 1: middle, "target": source}.get
    carried = CarriedScenes(body, RenderConfig())
    at = Timeline(fps=1).poses(body)
    assert [carried(pose).count for pose in (at[0], at[2], at[4])] == [300, 200, 300]
    assert_allclose(carried(at[2]).means, middle.means, atol=1e-5)


def test_frames_without_gradients_are_carried(scene: MakeScene) -> None:
    body = turned_body({"source": scene("sphere", 50, 0)})
    carried = CarriedScenes(body, RenderConfig())(body.frames[1])
    body.frames[1].G = None
    assert_array_equal(CarriedScenes(body, RenderConfig())(body.frames[1]).quats, carried.quats)


def test_export_of_a_morphed_scene_has_its_gaussians(tmp_path: Path, scene: MakeScene) -> None:
    source = scene("sphere", 3_000, 1)
    path = write_gaussian_ply(tmp_path / "scene.ply", source)
    result = dm.morph(path, "box", particles=200, windows=1, iterations=1, progress=False)
    folder = result.export(tmp_path / "out", format="ply")
    first = dm.load_splats(folder / "morph_0000.ply")
    scale = result.placement.fit.scale
    assert first.sh_degree == 1
    assert_allclose(first.means, result.placement.fit(source.means), atol=1e-4 * scale)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(dm.ConfigError, match=r"got .*scene\.ply' with other content"):
        result.export(tmp_path / "again", format="ply")


def test_last_file_is_drawn_like_the_target(tmp_path: Path, scene: MakeScene) -> None:
    paths = [write_gaussian_ply(tmp_path / f"{name}.ply", scene(name, 3_000, 3)) for name in ("sphere", "box")]
    result = dm.morph(*paths, particles=200, windows=1, iterations=1, progress=False)
    files = sorted(result.export(tmp_path / "out", format="ply").glob("*.ply"))
    config = RenderConfig(size=96, supersample=1)
    before, truth = (dm.load_splats(path) for path in (files[-2], paths[1]))
    camera = film_cameras([truth.means], config)[0]
    images = [
        draw(SceneBody(splats), camera, config).astype(float) for splats in (before, dm.load_splats(files[-1]), truth)
    ]
    assert np.abs(images[1] - images[2]).mean() < 0.05  # of 255
    assert np.abs(images[0] - images[2]).mean() > 1.0 and images[2].std() > 20.0


def test_an_export_interpolates_each_gradient_once(
    tmp_path: Path, scene: MakeScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, calls = scene("sphere", 300, 1), []
    body, path = turned_body({"source": source}), write_gaussian_ply(tmp_path / "scene.ply", source)
    body.run, body.source_x = SimpleNamespace(shapes=(str(path), "box")), body.frames[0].x
    between = timeline.between
    monkeypatch.setattr(timeline, "between", lambda *a: calls.append(a) or between(*a))
    times = Timeline(duration=0.9, fps=10)
    export_frames(body, tmp_path / "out", "npz", timeline=times)
    inner = [pose for pose in times.poses(body) if pose.place % 1.0]
    assert len(calls) == len(inner) > 3


def test_images_of_a_morph_of_scenes_show_its_gaussians(tmp_path: Path, scene: MakeScene) -> None:
    paths = [write_gaussian_ply(tmp_path / f"{name}.ply", scene(name, 3_000, 1)) for name in ("sphere", "box")]
    result = dm.morph(*paths, particles=200, windows=1, iterations=1, progress=False)
    config = RenderConfig(size=32, supersample=1).upright(result)
    camera = film_cameras([result.frames[-1].x], config)[0]
    target = result.scene("target")
    assert target is not None
    assert_array_equal(result.image(-1, size=32, supersample=1), draw(SceneBody(target), camera, config))
    assert np.abs(target.colors_from(camera.position) - target.colors).max() > 0.01
    paths[1].write_bytes(paths[1].read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.warns(UserWarning, match=r"got .*box\.ply' with other content.*; the surface .* is drawn instead"):
        result.image(-1, size=32, supersample=1)


def test_frames_of_a_file_with_all_frames_have_the_same_gaussians(scene: MakeScene) -> None:
    source, target = scene("sphere", 300, 1), scene("sphere", 200, 3, seed=1)
    body = turned_body({"source": source, "target": target})
    whole, carried = CarriedScenes(body, RenderConfig()), CarriedScenes(body, RenderConfig(), most=300)
    for frame in body.frames:
        shown, expected = carried(frame), whole(frame)
        assert shown.count == 500 and shown.sh_degree == 0
        assert_allclose(shown[shown.opacities > 0.0].means, expected.means, atol=1e-6)
    with pytest.warns(dm.DiffMPMWarning, match="expected at least 300 to show all Gaussians of a scene, got 250"):
        carried = CarriedScenes(body, RenderConfig(), most=250)
    first = carried(body.frames[0])
    chosen = first[first.opacities > 0.0]
    rows = np.abs(source.means[:, None] - chosen.means).max(axis=2).argmin(axis=0)
    assert len(np.unique(rows)) == chosen.count == 250
    assert_allclose(chosen.scales, source.scales[rows] * np.sqrt(300 / 250), rtol=1e-4)


def test_the_page_shows_the_gaussians_of_the_scenes(tmp_path: Path, scene: MakeScene) -> None:
    source, target = scene("sphere", 300, 1), scene("sphere", 200, 0, seed=1)
    body = turned_body({"source": source, "target": target})
    paths = [write_gaussian_ply(tmp_path / f"{k}.ply", splats) for k, splats in enumerate((source, target))]
    body.run, body.source_x = SimpleNamespace(shapes=tuple(map(str, paths))), body.frames[0].x
    for frame in body.frames:
        frame.F = frame.G
    text = (export_frames(body, tmp_path, "html") / "morph.html").read_text("utf-8")
    header = json.loads(re.search(r'<script id="header"[^>]*>(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    assert header["splats"] == 500 and not header["lit"]
    packed = re.search(r'<script id="frames"[^>]*>(.*?)</script>', text, re.DOTALL)[1]  # type: ignore[index]
    data = np.frombuffer(zlib.decompress(base64.b64decode(packed), -15), np.uint8)
    records = data[3 * 500 :].reshape(3, (16 + 6) * 500)
    planes = records[:, 12 * 500 : 16 * 500].reshape(3, 4, 500)
    paint = np.cumsum(planes, axis=0, dtype=np.uint8).transpose(0, 2, 1) / 255.0
    for number, own, truth in ((0, slice(300), source), (2, slice(300, 500), target)):
        assert_allclose(paint[number, own, :3], truth.colors, atol=0.51 / 255)
        assert_allclose(paint[number, own, 3], truth.opacities, atol=0.51 / 255)
        assert (np.delete(paint[number, :, 3], own) == 0.0).all()
    # Transparent Gaussians do not move.
    still = paint[1, :, 3] == 0.0
    assert not records[1, : 12 * 500].reshape(12, 500)[:, still & (paint[0, :, 3] == 0.0)].any()
