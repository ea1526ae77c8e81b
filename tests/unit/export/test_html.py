# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The web page: its data is read back, and its images in a real browser are compared with the rasteriser's."""

import base64
import json
import re
import zlib
from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from browser import browser
from diffmpm import export, view
from diffmpm.errors import ConfigError
from diffmpm.export.splats import rotations
from diffmpm.view.body import BodyMaker
from diffmpm.view.colors import ParticleColors
from numpy.testing import assert_allclose, assert_array_equal

WIDTH, HEIGHT = 360, 280
CONFIG = view.RenderConfig(samples=4000, shadow=False, occlusion=False, supersample=1, background="#f6f7f9")


def result():
    """A torus with halves of different colours that is stretched and moved."""
    start = dm.sample("torus", particles=1200, dtype=np.float32).x
    frames = []
    for k in range(4):
        A = np.eye(3, dtype=np.float32) + np.float32(0.12 * k) * np.float32(
            [[0.5, 0.9, 0], [0, -0.4, 0], [0.8, 0, 0.6]]
        )
        G = np.ascontiguousarray(np.broadcast_to(A, (len(start), 3, 3)))
        frames.append(SimpleNamespace(x=start @ A.T + np.float32(0.2 * k), G=G, F=G, time=0.5 * k))
    return SimpleNamespace(source_x=start, frames=tuple(frames))


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Pages by up axis."""
    out = {up: tmp_path_factory.mktemp(up) for up in "yz"}
    return {
        up: view.export_frames(result(), out[up], "html", config=CONFIG.replace(up=up)) / "morph.html" for up in "yz"
    }


@pytest.fixture(scope="module")
def path(paths):
    return paths["z"]


def surfaces(up):
    config = CONFIG.replace(up=up)
    colors = view.material_colors(result().source_x, up)
    frames = result().frames
    make = BodyMaker(frames[0].x, colors, config)
    return [make(f.x) for f in frames]


@pytest.mark.parametrize("up", ["y", "z"])
def test_data_is_read_back(paths, up):
    text = paths[up].read_text("utf-8")
    header = json.loads(re.search(r'<script id="header"[^>]*>(.*?)</script>', text, re.DOTALL)[1])
    packed = re.search(r'<script id="frames"[^>]*>(.*?)</script>', text, re.DOTALL)[1]
    data = np.frombuffer(zlib.decompress(base64.b64decode(packed), -15), np.uint8)
    m, n = header["splats"], header["particles"]
    bodies = surfaces(up)
    counts = [len(body.normals) for body in bodies]
    assert (header["frames"], m, n, header["up"]) == (4, max(counts), 1200, "xyz".index(up))
    assert min(counts) < max(counts)
    assert header["times"] == [0.0, 0.5, 1.0, 1.5]
    colors = data[: 3 * n].reshape(n, 3) / 255.0
    assert_allclose(colors, view.material_colors(result().source_x, up), atol=0.51 / 255)
    records = data[3 * n :].reshape(4, 18 * m + 6 * n)
    step = header["extent"] / header["steps"]

    def positions(planes, count):
        pairs = planes.reshape(4, 3, 2, count).astype(int)
        folded = pairs[:, :, 0] + 256 * pairs[:, :, 1]
        change = np.where(folded % 2, -(folded + 1) // 2, folded // 2)
        return np.array(header["low"]) + step * np.cumsum(change, axis=0).transpose(0, 2, 1)

    def whole(planes, count, dtype):
        return np.cumsum(planes.reshape(4, -1, count), axis=0, dtype=np.uint8).transpose(0, 2, 1).copy().view(dtype)

    means = positions(records[:, : 6 * m], m)
    roots = whole(records[:, 6 * m : 12 * m], m, np.int8) / 127.0
    paint = whole(records[:, 12 * m : 16 * m], m, np.uint8) / 255.0
    folded = whole(records[:, 16 * m : 18 * m], m, np.int8) / 127.0
    particles = positions(records[:, 18 * m :], n)
    for k, body in enumerate(bodies):
        own = slice(counts[k])
        assert_array_equal(paint[k, counts[k] :], 0)
        assert_allclose(means[k, own], body.splats.means, atol=0.51 * step)
        assert_allclose(particles[k], result().frames[k].x, atol=0.51 * step)
        assert_allclose(paint[k, own, :3], body.splats.colors, atol=0.51 / 255)
        assert_allclose(paint[k, own, 3], 0.98, atol=0.51 / 255)
        R, largest = rotations(body.splats.quats), header["root"]
        S = np.einsum("gik,gk,gjk->gij", R, body.splats.scales, R)
        entries = S[:, (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)]
        assert_allclose(np.sign(roots[k, own]) * roots[k, own] ** 2 * largest, entries, atol=1.01 / 127 * largest)
        x, y = folded[k, own].T
        z = 1.0 - abs(x) - abs(y)
        turned = np.where(
            z[:, None] < 0, (1 - abs(folded[k, own, ::-1])) * np.where(folded[k, own] < 0, -1, 1), folded[k, own]
        )
        normal = np.column_stack([turned, z]) / np.linalg.norm(np.column_stack([turned, z]), axis=1, keepdims=True)
        assert (normal * body.normals).sum(axis=1).min() > np.cos(np.radians(1.0))


def test_nothing_is_loaded_from_the_network(path):
    text = path.read_text("utf-8")
    assert "default-src 'none'" in text
    assert re.findall(r"(?:https?:|//cdn|<link|<img|@import|url\(|\bimport\s*\(|fetch\(|XMLHttp)", text) == []
    assert "{{" not in re.sub(r"<script id=.*?</script>", "", text, flags=re.DOTALL)


def moment(m=5, n=4, **changes):
    covars = np.tile(0.01 * np.eye(3), (m, 1, 1))
    splats = export.Splats.create(np.random.default_rng(0).standard_normal((m, 3)), covars, np.full((m, 3), 0.5))
    x, F = np.zeros((n, 3), np.float32), np.zeros((n, 3, 3), np.float32)
    return export.Moment(0.0, x, F, F, **{"splats": splats, **changes})


def test_bad_moments_are_named(tmp_path):
    out = tmp_path / "a.html"
    with pytest.raises(ConfigError, match="up: expected x, y or z, got 'w'"):
        export.write_html(out, [moment()], up="w")
    with pytest.raises(ConfigError, match="moments: expected at least one frame, got none"):
        export.write_html(out, [])
    with pytest.raises(ConfigError, match=r"moments: expected particles and Gaussians .* pass x and splats"):
        export.write_html(out, [moment(splats=None)])
    for other in (moment(n=3), moment(normals=np.eye(3)[[0, 1, 2, 0, 1]])):
        with pytest.raises(ConfigError, match=r"moments: expected 4 particles and normals \(none\) in each"):
            export.write_html(out, [moment(), other])
    assert not out.exists()


def test_titles_cannot_close_their_element(tmp_path):
    text = export.write_html(tmp_path / "a.html", [moment()], title="</title><script>").read_text("utf-8")
    assert "<title>&lt;/title>&lt;script></title>" in text


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def show(page, path, size=(WIDTH, HEIGHT), **state):
    """Open the page in a state, with the overlays hidden."""
    address = path.as_uri()
    page.open(f"{address}#{'&'.join(f'{name}={value}' for name, value in state.items())}", *size)
    page.wait("player.drawing.frames.length === player.last + 1")
    page.evaluate("for (const name of ['bar', 'hint']) document.getElementById(name).style.display = 'none'")
    page.settle()


def camera_of(page, up, azimuth, elevation):
    """Return the camera of the package and check that the page has the same one."""
    page_view = page.evaluate("player.camera.view(player.canvas.width, player.canvas.height)")
    target = page.evaluate("player.camera.target")
    towards = view.orbit(np.eye(3), azimuth=azimuth, elevation=elevation, up=up).viewmat[2, :3]
    eye = np.array(target) - page_view["distance"] * towards
    axis = np.eye(3)["xyz".index(up)]
    free = HEIGHT - 84  # above the controls
    above = dm.Camera.look_at(eye, target, axis, width=WIDTH, height=free, fov=30.0)
    assert_allclose([page_view["right"], page_view["down"], page_view["forward"]], above.viewmat[:3, :3], atol=1e-9)
    assert_allclose(page_view["eye"], above.position, atol=1e-6)
    assert_allclose([page_view["focal"], *page_view["center"]], [above.K[1, 1], WIDTH / 2, free / 2])
    return dm.Camera(above.viewmat, above.K, WIDTH, HEIGHT)


def likeness(image, expected):
    """Return the mean difference of two images [grey levels] where either shows the body, and their overlap."""
    back = np.array([246, 247, 249])
    covered = [np.abs(a.astype(int) - back).max(axis=2) > 24 for a in (image, expected)]
    both, either = covered[0] & covered[1], covered[0] | covered[1]
    return np.abs(image[either].astype(float) - expected[either]).mean(), both.sum() / either.sum()


VIEWS = pytest.mark.parametrize(
    ("up", "frame", "azimuth", "elevation"), [("z", 0, 35.0, 18.0), ("z", 2, -100.0, -35.0), ("y", 3, 160.0, 60.0)]
)


@VIEWS
def test_gaussians_match_the_rasteriser(page, paths, up, frame, azimuth, elevation):
    show(page, paths[up], frame=frame, azimuth=azimuth, elevation=elevation)
    camera = camera_of(page, up, azimuth, elevation)
    expected = view.draw.draw(surfaces(up)[frame], camera, CONFIG.replace(up=up), 0.0)
    difference, overlap = likeness(page.screenshot(), expected)
    # 8-bit roots, normals, colours and blending: measured 1.03 and 0.9991, times 2. Unsorted Gaussians differ by 6
    # to 88 levels, unlit ones by 18 and more, mirrored images by 36 and more.
    assert difference < 2.1 and overlap > 0.998
    assert page.problems == []
    assert {address.partition("#")[0] for address in page.requests} <= {path.as_uri() for path in paths.values()}


@VIEWS
def test_particles_are_balls_at_their_positions(page, paths, up, frame, azimuth, elevation):
    show(page, paths[up], frame=frame, azimuth=azimuth, elevation=elevation, look="particles")
    camera = camera_of(page, up, azimuth, elevation)
    x, colors = result().frames[frame].x, view.material_colors(result().source_x, up)
    radius = page.evaluate("player.drawing.header.radius")
    expected = np.tile(np.uint8([246, 247, 249]), (HEIGHT, WIDTH, 1))
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    pixels, depths = camera.project(x)
    for p in np.argsort(-depths):
        r = radius * camera.K[0, 0] / depths[p]
        expected[np.hypot(columns - pixels[p, 0], rows - pixels[p, 1]) < r] = colors[p] * 255 * 0.86
    difference, overlap = likeness(page.screenshot(), expected)
    # The reference draws discs of the mean colour; the shading of a ball varies by about 20 levels.
    assert difference < 30 and overlap > 0.97


def test_particles_are_interpolated_and_gaussians_are_not(page, path):
    pictures = []
    for time in (1, 1.4, 1.6, 2):
        show(page, path, frame=time)
        pictures.append(page.screenshot())
    assert_array_equal(pictures[0], pictures[1])
    assert_array_equal(pictures[2], pictures[3])
    pictures = []
    for time in (1, 1.5, 2):
        show(page, path, frame=time, look="particles")
        pictures.append(page.screenshot())
    ends = likeness(pictures[0], pictures[2])[0]
    assert max(likeness(pictures[1], pictures[k])[0] for k in (0, 2)) < 0.95 * ends


def state(page):
    return page.evaluate("({...player.camera, time: player.time, playing: player.playing, look: player.look})")


def test_keys_mouse_and_buttons(page, path):
    show(page, path, frame=1)
    page.key("ArrowRight")
    assert state(page)["time"] == 2
    for key, time in (("ArrowLeft", 1), ("End", 3), ("ArrowRight", 3), ("Home", 0)):
        page.key(key)
        assert state(page)["time"] == time
    page.key(" ")
    page.wait("player.time > 0.2")
    page.evaluate("document.getElementById('play').click()")
    assert not state(page)["playing"]
    before, first = state(page), page.screenshot()
    page.drag((180, 100), (230, 90))
    after = state(page)
    assert_allclose([after["azimuth"] - before["azimuth"], after["elevation"] - before["elevation"]], [-20.0, -4.0])
    page.send("Input.dispatchMouseEvent", type="mouseWheel", x=180, y=100, deltaX=0, deltaY=-300)
    page.settle()
    assert state(page)["zoom"] > 1.2
    page.key("p")
    assert state(page)["look"] == "particles"
    assert np.abs(page.screenshot().astype(int) - first).mean() > 5
    for key in ("p", "r"):
        page.key(key)
    assert_array_equal(page.screenshot(), first)
    page.evaluate("t = document.getElementById('timeline'); t.value = 2.5; t.dispatchEvent(new Event('input'))")
    assert state(page)["time"] == 2.5


def test_fingers_turn_and_pinch(page, path):
    show(page, path, frame=0)
    before = state(page)

    def touch(event, *points):
        fingers = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
        page.send("Input.dispatchTouchEvent", type=event, touchPoints=fingers)

    touch("touchStart", (100, 100))
    touch("touchMove", (150, 100))
    touch("touchEnd")
    page.wait(f"player.camera.azimuth < {before['azimuth'] - 10}")
    touch("touchStart", (160, 100), (200, 100))
    touch("touchMove", (120, 100), (240, 100))
    touch("touchEnd")
    page.wait("player.camera.zoom > 2")


def test_window_of_any_size_shows_the_whole_body(page, path):
    for size in ((500, 200), (200, 420)):
        show(page, path, size, frame=3)
        assert page.evaluate("[player.canvas.width, player.canvas.height]") == list(size)
        image = page.screenshot().astype(int)
        rim = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        assert np.abs(rim - [246, 247, 249]).max() <= 1
        rows, columns = np.nonzero(np.abs(image - [246, 247, 249]).max(axis=2) > 24)
        free = max(size[1] - 84, size[1] // 2)  # above the controls
        assert rows.max() < free
        assert 0.4 * min(size[0], free) < max(np.ptp(rows), np.ptp(columns)) < min(size[0], free)


def test_fine_screens_get_more_pixels(page, path):
    show(page, path, frame=0)
    page.send("Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=2, mobile=False)
    page.key("r")
    assert page.evaluate("[player.canvas.width, player.canvas.height]") == [2 * WIDTH, 2 * HEIGHT]
    assert page.screenshot().shape == (2 * HEIGHT, 2 * WIDTH, 3)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("HTMLCanvasElement.prototype.getContext = () => null", "This browser does not support WebGL 2"),
        ("delete window.DecompressionStream", "This browser does not support DecompressionStream"),
    ],
)
def test_missing_browser_features_are_named(page, path, code, message):
    script = page.send("Page.addScriptToEvaluateOnNewDocument", source=code)["identifier"]
    page.open(path.as_uri(), WIDTH, HEIGHT)
    page.wait("document.getElementById('bar').hidden")
    page.send("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    text = page.evaluate("document.getElementById('message').textContent")
    assert text == f"{message}. This page needs a browser from 2023 or later with hardware acceleration."
    page.problems.clear()


def test_particle_colors_that_change_are_stored_per_frame(tmp_path):
    body = result()
    rng = np.random.default_rng(0)
    red, blue = (rng.uniform(size=body.source_x.shape).astype(np.float32) for _ in range(2))
    colored = SimpleNamespace(**{**vars(body), "source_color": red, "rest_color": blue})
    page = view.export_frames(colored, tmp_path, "html", config=CONFIG) / "morph.html"
    text = page.read_text("utf-8")
    header = json.loads(re.search(r'<script id="header"[^>]*>(.*?)</script>', text, re.DOTALL)[1])
    assert header["tinted"] is True
    packed = re.search(r'<script id="frames"[^>]*>(.*?)</script>', text, re.DOTALL)[1]
    data = np.frombuffer(zlib.decompress(base64.b64decode(packed), -15), np.uint8)
    n, count = header["particles"], header["frames"]
    records = data[3 * n :].reshape(count, 18 * header["splats"] + 9 * n)
    changes = records[:, -3 * n :].reshape(count, 3, n)
    tints = data[: 3 * n].reshape(n, 3).T + np.cumsum(changes, axis=0, dtype=np.uint8)
    colors = ParticleColors(colored, CONFIG)
    for k, frame in enumerate(colored.frames):
        assert_allclose(tints[k].T / 255.0, colors(frame), atol=0.51 / 255)
