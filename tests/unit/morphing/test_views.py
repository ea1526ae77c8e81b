# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import diffmpm as dm
import numpy as np
import pytest
from diffmpm import ConfigError, losses, metrics
from diffmpm.render import Camera

CENTER = np.array([3.0, -1.0, 0.5])


def ring(size=64, center=CENTER):
    def orbit(**options):
        return Camera.orbit(center, radius=8.0, count=4, width=size, height=size, **options)

    return orbit(elevations=-10.0) + orbit(elevations=35.0, start=45.0)


def ball_views(size=64, radius=1.0):
    """Exact silhouettes of a ball: pixels whose ray intersects it."""
    cameras, alpha = ring(size), []
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    for camera in cameras:
        ray = np.stack(
            [(columns - size / 2) / camera.K[0, 0], (rows - size / 2) / camera.K[1, 1], np.ones_like(rows)], -1
        )
        ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
        alpha.append(
            np.linalg.norm(np.cross(ray, camera.viewmat[:3, :3] @ CENTER + camera.viewmat[:3, 3]), axis=-1) < radius
        )
    return dm.TargetViews(cameras, np.array(alpha))


def test_hull_of_a_ball_is_a_little_larger_and_in_place():
    hull = ball_views().hull()
    assert hull.solid.volume == pytest.approx(4.0 / 3.0 * np.pi, rel=0.2)  # measured: 1.13 times the volume of the ball
    assert hull.solid.volume > 4.0 / 3.0 * np.pi
    np.testing.assert_allclose(0.5 * (hull.vertices.min(0) + hull.vertices.max(0)), CENTER, atol=0.05)
    edges = np.sort(np.concatenate([hull.triangles[:, [0, 1]], hull.triangles[:, [1, 2]], hull.triangles[:, [2, 0]]]))
    assert (np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0).all()  # closed


def test_canonical_cameras_see_the_same():
    views = dm.TargetViews(ring(), np.ones((8, 64, 64)), depth=np.full((8, 64, 64), 2.0))
    moved = views.canonical(3.0, CENTER)
    points = CENTER + np.random.default_rng(0).normal(size=(10, 3))
    for before, after in zip(views.cameras, moved.cameras, strict=True):
        pixels, depth = before.project(points)
        again, far = after.project(3.0 * (points - CENTER))
        np.testing.assert_allclose(again, pixels, rtol=1e-9)
        np.testing.assert_allclose(far, 3.0 * depth, rtol=1e-9)
    assert (moved.depth == 6.0).all()


def test_morph_towards_silhouettes_alone(tiny):
    views = ball_views()
    options = {**tiny, "windows": 12}
    result = dm.morph("box", views, **options, render=dm.RenderGuidance(samples=300))
    end = metrics.evaluate(result.x, CENTER + ball_sample(300))
    before = metrics.evaluate(result.source_x, CENTER + ball_sample(300))
    assert end["silhouette_iou"] > before["silhouette_iou"]
    assert result.target_name == "views"
    assert set(result.history[0]["guidance"]["terms"]) == {"silhouette_pyramid"}
    assert len(dm.morph("box", views, **tiny).history[0]["guidance"]["terms"]) == 1


def ball_sample(count):
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (4 * count, 3))
    return x[np.linalg.norm(x, axis=1) < 1.0][:count]


def test_missing_images_of_losses_are_named(tiny):
    views = ball_views(16)
    for loss, field in ((losses.Depth(), "depth"), (losses.Normals(), "normals"), (losses.Color(), "color")):
        with pytest.raises(ConfigError, match=f"losses: expected views with {field} for {loss.name}, got none"):
            dm.morph("box", views, **tiny, render=dm.RenderGuidance(losses=(loss,)))
    full = dm.TargetViews(
        views.cameras, views.alpha, np.full(views.alpha.shape, 8.0), np.zeros((*views.alpha.shape, 3))
    )
    render = dm.RenderGuidance(losses=(losses.Depth(), losses.Normals()), samples=100, views=full)
    result = dm.morph("box", "sphere", **{**tiny, "windows": 1}, render=render)
    assert set(result.history[0]["guidance"]["terms"]) == {"depth", "normals"}


def test_bad_views_are_named():
    cameras, alpha = ring(16), np.ones((8, 16, 16))
    with pytest.raises(ConfigError, match="cameras: expected at least one Camera"):
        dm.TargetViews([], alpha)
    with pytest.raises(ConfigError, match="cameras: expected one size"):
        dm.TargetViews([*cameras[:7], cameras[7].resized(8, 8)], alpha)
    with pytest.raises(ConfigError, match="alpha: expected shape"):
        dm.TargetViews(cameras, alpha[:3])
    with pytest.raises(ConfigError, match=r"alpha: expected values in \[0, 1\], got 255 to 255; divide by 255"):
        dm.TargetViews(cameras, 255.0 * alpha)
    with pytest.raises(ConfigError, match="alpha: expected a silhouette in every view, got an empty one in view 0"):
        dm.TargetViews(cameras, 0.0 * alpha)
    with pytest.raises(ConfigError, match="depth: expected shape"):
        dm.TargetViews(cameras, alpha, depth=alpha[:3])
    with pytest.raises(ConfigError, match="cameras: expected views from different directions, got parallel ones"):
        dm.TargetViews(cameras[:1], alpha[:1]).hull()
    apart = np.zeros((8, 16, 16))
    apart[::2, :, :2] = apart[1::2, :, -2:] = 1.0
    with pytest.raises(ConfigError, match="alpha: expected silhouettes of one shape, got none that fits"):
        dm.TargetViews(cameras, apart).hull()
