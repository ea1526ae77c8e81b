# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
import subprocess
from itertools import pairwise
from types import SimpleNamespace

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core, view
from diffmpm.errors import ConfigError, MissingPackageError, OutputError
from diffmpm.view import draw, film, overview
from diffmpm.view.body import BodyMaker
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial import KDTree

pytest.importorskip("PIL", reason="pillow is not installed")

QUICK = view.RenderConfig(size=64, samples=3000)


def ball(n=400):
    return dm.sample("sphere", particles=n).x


def identities(x):
    return np.broadcast_to(np.eye(3, dtype=np.float32), (len(x), 3, 3)).copy()


def result_of(*paths):
    frames = tuple(SimpleNamespace(x=x, time=float(k)) for k, x in enumerate(paths))
    row = {"window": 1, "loss_start": 2.0, "loss": 1.0, "step": 0.01, "det_F_min": 0.9}
    return SimpleNamespace(
        source_x=paths[0],
        target_x=paths[-1] * np.float32(0.9),
        x=paths[-1],
        frames=frames,
        metrics={"silhouette_iou": 0.5},
        history=[row, {"window": 2, "failed": "inverted"}],
        source_name="a",
        target_name="b",
    )


@pytest.mark.parametrize("up", ["x", "y", "z"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_orbit_frames_all_points(up, scale):
    x = ball() * np.array([1.0, 0.3, 2.0]) * scale + 5 * scale
    pixel, _ = view.orbit(x, size=100, up=up, elevation=30.0, fill=0.8).project(x)
    low, high = pixel.min(axis=0), pixel.max(axis=0)
    assert_allclose((high - low).max(), 80.0, atol=2.0)
    assert_allclose(0.5 * (low + high), 50.0, atol=1.5)


@pytest.mark.parametrize("size", [(160, 90), (90, 160)])
def test_orbit_fits_the_limiting_side(size):
    camera = view.orbit(ball(), size=size, fill=0.7)
    pixel, _ = camera.project(ball())
    low, high = pixel.min(axis=0), pixel.max(axis=0)
    assert (camera.width, camera.height) == size
    assert_allclose((high - low).max(), 0.7 * 90, atol=1.5)
    assert_allclose(0.5 * (low + high), np.array(size) / 2, atol=1.5)


@pytest.mark.parametrize(("up", "right"), [("z", [1, 0, 0]), ("y", [1, 0, 0]), ("x", [0, 0, -1])])
def test_the_default_view_faces_the_front(up, right):
    """Letters can be read: their right is on the right, whichever axis the usual quarter turn makes up."""
    corners = np.array([np.zeros(3), right, np.eye(3)["xyz".index(up)]])
    origin, along, above = view.orbit(corners, size=100, up=up).project(corners)[0]
    assert along[0] - origin[0] > 40  # not edge-on, not mirrored
    assert origin[1] - above[1] > 40


def test_picture_shows_the_nearer_body_in_front():
    camera = dm.Camera.look_at((0, -8, 0), (0, 0, 0), width=40, height=40)
    far, near = ball(800), ball(800) * np.float32(0.5) + np.float32([0, -2, 0])
    red, blue = np.tile([1.0, 0.0, 0.0], (800, 1)), np.tile([0.0, 0.0, 1.0], (800, 1))
    for x, colors in (((far, near), (red, blue)), ((near, far), (blue, red))):
        image = view.render_body(np.concatenate(x), camera, colors=np.concatenate(colors), config=QUICK)
        middle = image[18:22, 18:22].reshape(-1, 3).mean(axis=0)
        assert middle[2] > middle[0] + 20


def test_pictures_repeat_exactly_for_any_number_of_threads():
    x = ball()
    camera = view.orbit(x, size=64)
    before = dm.get_num_threads()
    images = []
    for threads in (1, 2):
        dm.set_num_threads(threads)
        images.append(view.render_body(x, camera, config=QUICK))
    dm.set_num_threads(before)
    assert images[0].shape == (64, 64, 3) and images[0].dtype == np.uint8
    assert_array_equal(*images)
    assert np.ptp(images[0].astype(int)) > 100


def test_body_is_closed():
    """A bright background does not show through anywhere inside the outline."""
    x = ball(2000)
    camera = view.orbit(x, size=160)
    config = QUICK.replace(color="#203040", background="#ffffff", shadow=False, specular=0.0, samples=20_000)
    image = view.render_body(x, camera, config=config)
    rows, columns = np.mgrid[0:160, 0:160] - 79.5
    inside = np.hypot(rows, columns) < 0.40 * 160
    assert image[inside].max() < 130
    outside = np.hypot(rows, columns) > 0.48 * 160
    assert image[outside].min() == 255


@pytest.mark.parametrize("scale", [2.0**-9, 2.0**-20, 2.0**9])
def test_pictures_do_not_depend_on_the_unit(scale):
    images = []
    for x in (ball(), np.float32(scale) * ball()):
        images.append(view.render_body(x, view.orbit(x, size=64), config=QUICK).astype(int))
    assert np.abs(images[0] - images[1]).mean() < 0.2


def test_shadow_falls_only_on_the_floor():
    x = ball()
    camera = view.orbit(x, size=64, fill=0.5)
    with_shadow, without = (view.render_body(x, camera, config=QUICK.replace(shadow=s)) for s in (True, False))
    darker = without.astype(int) - with_shadow
    assert darker.min() >= 0 and darker[36:].max() > 30
    assert darker[:20].max() <= 1
    below = dm.Camera.look_at((0, -6, -4), (0, 0, 0), width=64, height=64)
    assert_array_equal(*(view.render_body(x, below, config=QUICK.replace(shadow=s)) for s in (True, False)))


def test_a_body_at_rest_does_not_flicker():
    x = ball()
    first, second, third = view.render_frames(result_of(x, x, x), QUICK)
    assert_array_equal(first, second)
    assert_array_equal(second, third)


def test_a_slow_body_changes_slowly():
    """Images of a body that grows evenly change evenly: fresh samples of each frame do not shimmer."""
    x = dm.sample("torus", particles=4000).x
    grown = [(x * np.float32(1.0 + 0.003 * k)).astype(np.float32) for k in range(6)]
    images = [image.astype(int) for image in view.render_frames(result_of(*grown), QUICK.replace(samples=20_000))]
    change = np.mean([np.abs(b - a).mean() for a, b in pairwise(images)])
    bend = np.mean([np.abs(a - 2 * b + c).mean() for a, b, c in zip(images, images[1:], images[2:], strict=False)])
    far = np.abs(images[-1] - images[0]).mean()
    assert far > 2.5 * change  # changes add up instead of cancelling
    assert bend < 1.5 * change


def test_turntable_keeps_its_distance_and_completes_the_turn():
    x = dm.sample("box", particles=500).x
    config = QUICK.replace(turns=1.0)
    cameras = view.camera.film_cameras([x] * 5, config)
    center = 0.5 * (x.min(axis=0) + x.max(axis=0))
    distances = [np.linalg.norm(camera.position - center) for camera in cameras]
    assert_allclose(distances, distances[0], rtol=1e-6)
    for camera in cameras:
        pixel, _ = camera.project(x)
        assert pixel.min() > 0 and pixel.max() < 64
    ahead = np.degrees([np.arctan2(*(camera.position - center)[1::-1]) for camera in cameras])
    assert_allclose(np.diff(ahead) % 360.0, 72.0, atol=1e-3)


def test_every_frame_and_the_last():
    assert view.draw.every_frame([0, 1, 2, 3, 4, 5], 2) == [0, 2, 4, 5]
    assert view.draw.every_frame([0, 1, 2], 2) == [0, 2]
    assert view.draw.every_frame([], 2) == []


@pytest.mark.parametrize("name", ["letter_s", "trefoil"])
def test_no_gaussian_is_far_from_the_particles(name):
    """Also of a body that is torn apart: the Gaussians depend on positions alone."""
    x = dm.sample(name, particles=3000).x.astype(np.float64)
    torn = x + np.sign(x[:, 2:] - 0.2) * [0.0, 0.3, 0.6]
    for positions in (x, torn):
        body = BodyMaker(x, np.array([0.5, 0.5, 0.5]), QUICK)(positions)
        reach = KDTree(positions).query(body.splats.means)[0].max()
        assert reach < 2 * (dm.shapes.make(name).volume / len(x)) ** (1 / 3)
        assert body.splats.scales.max() < 2 * np.median(body.splats.scales[:, 0])


def test_shadow_and_floor_fade_before_the_border():
    x = ball(2000)
    camera = view.orbit(x, size=96, fill=0.74)
    image = view.render_body(x, camera, config=QUICK, floor=float(x[:, 2].min()) - 0.5)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert image[0, 0].tolist() == [246, 247, 249]
    assert_array_equal(border, np.broadcast_to(image[0, 0], border.shape))


def test_contact_sheet_keeps_reading_order():
    images = [np.full((4, 4, 3), k * 40, np.uint8) for k in range(5)]
    sheet = view.contact_sheet(images, columns=3, gap=2)
    assert sheet.shape == (10, 16, 3)
    assert_array_equal(sheet[6:10, 6:10], images[4])


@pytest.mark.parametrize("background", [(240, 240, 240), (0, 0, 80), (0, 0, 0, 0)])
def test_sheets_and_titles_have_no_seams(background):
    panel = np.broadcast_to(np.array(background, np.uint8), (20, 30, len(background)))
    sheet = view.contact_sheet([panel] * 3, columns=2)
    assert_array_equal(sheet, np.broadcast_to(panel[0, 0], sheet.shape))
    titled = view.comparison([("x", [panel, panel])])
    assert_array_equal(titled[[0, -1]], np.broadcast_to(panel[0, 0], (2, 60, len(background))))
    ink = np.abs(titled.astype(int) - panel[0, 0]).max(axis=(0, 1))
    assert ink[:3].max() > 100 and ink[-1] > 100  # readable


@pytest.mark.parametrize("background", ["#ffffff", "#c83020", "#000000"])
def test_a_transparent_picture_composes_over_any_colour(background):
    x = ball(2000)
    camera = view.orbit(x, size=96, fill=0.6)
    layer = view.render_body(x, camera, config=QUICK.replace(background="transparent")).astype(float)
    expected = view.render_body(x, camera, config=QUICK.replace(background=background)).astype(float)
    alpha = layer[..., 3:] / 255
    behind = np.array([int(background[k : k + 2], 16) for k in (1, 3, 5)])
    assert_allclose(alpha * layer[..., :3] + (1 - alpha) * behind, expected, atol=2.0)
    assert layer[0, 0, 3] == 0 and layer[..., 3].max() == 255
    shadow = (layer[..., :3].max(axis=2) == 0) & (layer[..., 3] > 40)
    assert shadow.sum() > 100  # black with partial alpha beside the body


def test_a_transparent_film_has_alpha_where_the_format_has_it(tmp_path):
    from PIL import Image

    config = QUICK.replace(background="transparent", size=32)
    images = list(view.render_frames(result_of(ball(), ball() * np.float32(1.1)), config))
    view.save_film(images, tmp_path, formats=("png", "webp", "gif"))
    for name in ("png/morph_0000.png", "morph.webp"):
        with Image.open(tmp_path / name) as page:
            corner = page.convert("RGBA").getpixel((0, 0))
        assert corner[3] == 0
    with Image.open(tmp_path / "morph.gif") as page:
        assert_allclose(page.convert("RGB").getpixel((0, 0)), (246, 247, 249), atol=2)


def test_a_smooth_gradient_has_no_bands_in_a_gif():
    from io import BytesIO

    from PIL import Image

    ramp = np.linspace(40.0, 220.0, 400)
    image = np.stack([np.add.outer(0.2 * ramp, 0.8 * ramp)] * 3, axis=2).astype(np.uint8)
    image[..., 2] = image[::-1, :, 2]
    image[:8] = (246, 247, 249)
    with Image.open(BytesIO(view.film.encode_gif([image]))) as page:
        shown = np.asarray(page.convert("RGB"))
    assert (shown[:8] == shown[0, 0]).all()  # a plain background stays plain
    changes = (shown[8:, 1:] != shown[8:, :-1]).any(axis=2)
    assert changes.mean() > 0.5  # 0.12 in bands


def test_every_body_of_a_film_stands_on_the_floor(monkeypatch):
    """The floor is at the bottom of each body, and a few Gaussians far below do not lower it."""
    floors, x = [], ball(2000)
    monkeypatch.setattr(draw, "floor_shadow", lambda splats, camera, up, floor: floors.append(floor) or 0.0)
    list(view.render_frames(result_of(x, x + np.float32([0, 0, 1])), QUICK))
    assert_allclose(floors, [x[:, 2].min(), x[:, 2].min() + 1], atol=0.1)
    body = BodyMaker(x, np.array([0.5, 0.5, 0.5]), QUICK)(x)
    body.splats.means[0, 2] -= 9
    assert_allclose(body.bottom(np.array([0.0, 0.0, 1.0])), x[:, 2].min(), atol=0.1)


def test_titles_grow_with_the_images():
    from diffmpm.view.overview import comparison

    paper = np.full((840, 600, 3), 245, np.uint8)
    small, large = comparison([("source", [paper[:420]])]), comparison([("source", [paper])])
    assert (len(small), len(large)) == (446, 892)
    ink = [np.flatnonzero((image[:100] < 200).any(axis=(1, 2))) for image in (small, large)]
    assert np.ptp(ink[1]) > 1.7 * np.ptp(ink[0])


def test_titles_support_other_alphabets():
    from diffmpm.view.overview import _title

    paper = np.full(3, 240, np.uint8)
    missing = _title("\U0010fffd", 64, paper)  # image of a character that the font lacks
    assert all((_title(letter, 64, paper) != missing).any() for letter in "öéłßжλ")


def test_film_is_written_as_pictures_and_gif(tmp_path):
    from PIL import Image

    images = [np.full((8, 8, 3), k * 60, np.uint8) for k in range(4)]
    written = view.save_film(iter(images), tmp_path, formats=("gif", "webp", "png"))
    assert written == [tmp_path / "png", tmp_path / "morph.gif", tmp_path / "morph.webp"]
    assert [path.name for path in sorted((tmp_path / "png").iterdir())] == [f"morph_{k:04d}.png" for k in range(4)]
    with Image.open(tmp_path / "png" / "morph_0003.png") as page:
        assert_array_equal(np.asarray(page), images[3])
    for name in ("morph.gif", "morph.webp"):
        with Image.open(tmp_path / name) as film_file:
            assert film_file.n_frames == 4


def moving_dot(count):
    """Return images in which a white column moves to the right."""
    return [255 * np.eye(count, dtype=np.uint8)[k][None, :, None].repeat(8, 0).repeat(3, 2) for k in range(count)]


def played(path):
    """Return the place of the white column and the duration [ms] of each image of an animation."""
    from PIL import Image, ImageSequence

    with Image.open(path) as pages:
        rows = [(np.asarray(page.convert("L"))[0], page.info["duration"]) for page in ImageSequence.Iterator(pages)]
    return [(int(row.argmax()), duration) for row, duration in rows]


@pytest.mark.parametrize("fps", [10.0, 15.0, 24.0, 30.0, 50.0, 60.0, 120.0])
def test_a_gif_keeps_its_time_with_delays_that_browsers_play(tmp_path, fps):
    view.save_film(moving_dot(121), tmp_path, formats=("gif",), fps=fps)
    shown, delays = zip(*played(tmp_path / "morph.gif"), strict=True)
    assert min(delays) >= 20
    assert shown[0] == 0 and shown[-1] == 120
    assert len(shown) == 121 if fps <= 50 else len(shown) > 30 * 120 / fps
    assert_allclose(sum(delays), 1000 * 121 / fps, atol=30)


def test_an_animation_stores_equal_images_once(tmp_path):
    first, second, third = moving_dot(3)
    view.save_gif(tmp_path / "a.gif", [first] * 5 + [second] + [third] * 3, milliseconds=100)
    assert played(tmp_path / "a.gif") == [(0, 500), (1, 100), (2, 300)]


def test_a_gradient_in_a_gif_has_many_greys(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (60, 64, 3), dtype=np.uint8)
    ramp = np.broadcast_to(np.linspace(80, 240, 64).astype(np.uint8)[None, :, None], (60, 64, 3))
    view.save_gif(tmp_path / "a.gif", [np.concatenate([ramp, colors])] * 3)
    from PIL import Image

    with Image.open(tmp_path / "a.gif") as page:
        greys = np.unique(np.asarray(page.convert("RGB"))[0], axis=0)
    assert len(greys) >= 24


@pytest.mark.parametrize("shape", [(66, 100), (65, 99)])
def test_mp4_keeps_colours_and_tags_their_space(tmp_path, shape, caplog):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    paints = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128], [20, 90, 200], [240, 150, 60]], np.uint8)
    image = np.repeat(paints, 17, axis=0)[None, : shape[1]].repeat(shape[0], axis=0)
    path = view.save_mp4(tmp_path / "a.mp4", [image] * 30)
    assert not caplog.records
    report = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", path], capture_output=True, text=True).stderr
    assert "yuv420p(tv, bt709" in report and "66x" not in report and "100x66" in report
    frames = imageio_ffmpeg.read_frames(path)
    next(frames)
    back = np.frombuffer(next(frames), np.uint8).reshape(66, 100, 3)
    for k, paint in enumerate(paints):
        assert_allclose(back[30, 17 * k + 8].astype(int), paint, atol=4)
    assert_allclose(back[65].astype(int), back[64], atol=4)


def test_mp4_contains_all_images(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    images = [np.full((32, 48, 3), k * 25, np.uint8) for k in range(10)]
    path = view.save_mp4(tmp_path / "a.mp4", images, fps=10.0)
    command = [ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    pages = np.frombuffer(raw, np.uint8).reshape(-1, 32, 48, 3)
    assert len(pages) == 10
    assert_allclose(pages[-1].mean(), 225.0, atol=4.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_interrupted_film_leaves_the_old_files(tmp_path):
    images = [np.full((8, 8, 3), k * 60, np.uint8) for k in range(3)]
    view.save_film(images, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}

    def interrupted():
        yield 255 - images[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        view.save_film(interrupted(), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


def test_an_encoder_that_stops_is_an_output_error(tmp_path, monkeypatch):
    def broken(*arguments, **options):
        yield
        raise OSError("Broken pipe")

    monkeypatch.setattr(film, "_ffmpeg", lambda: SimpleNamespace(write_frames=broken))
    with pytest.raises(OutputError, match=r"out: the video encoder stopped .*Broken pipe"):
        view.save_mp4(tmp_path / "a.mp4", [np.zeros((8, 8, 3), np.uint8)])
    assert list(tmp_path.iterdir()) == []


def test_missing_encoder_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingPackageError, match=r"imageio-ffmpeg: needed for mp4 .* pip install 'diffmpm\[video\]'"):
        view.save_film([np.zeros((8, 8, 3), np.uint8)], tmp_path, formats=("mp4",))


def test_all_pictures_of_a_result(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    x = ball()
    result = result_of(*(x * np.float32(s) for s in (1.0, 1.05, 1.1)))
    names = {path.name for path in view.save_pictures(result, tmp_path, size=32, up="y", gif_frames=4)}
    assert names | {"diffmpm.json"} == {path.name for path in tmp_path.iterdir()}
    assert names == {
        "source.png",
        "target.png",
        "result.png",
        "comparison.png",
        "contact_sheet.png",
        "morph.gif",
        "morph.webp",
        "loss.png",
    }


@pytest.mark.parametrize(("seconds", "images"), [(1.0, 16), (90.0, 21), (120.0, 31), (1e6, 40)])
def test_drawing_takes_a_quarter_of_the_whole_command(seconds, images):
    """The nine images of the comparison have taken 9 s; a third of the time of the morph is a quarter of the whole."""
    result = SimpleNamespace(timings={"windows": 0.9 * seconds, "metrics": 0.1 * seconds})
    assert overview._affordable(result, spent=9.0, cost=1.0) == images


def test_the_animation_of_a_large_body_uses_a_subset(monkeypatch):
    x = ball()
    result = result_of(x, x * np.float32(1.1))
    drawn = []

    def render_frames(start, config, *, timeline):
        drawn.extend((len(start.source_x), len(frame.x)) for frame in start.frames)
        return iter(())

    monkeypatch.setattr(overview, "render_frames", render_frames)
    scene = overview._Scene(result, view.RenderConfig(size=32))
    scene.film(5)
    monkeypatch.setattr(overview, "FILM_PARTICLES", 150)
    scene.film(5)
    assert drawn == [(len(x),) * 2] * 2 + [(150,) * 2] * 2


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size", 4, "size: expected an integer from 8 to 8192, or WIDTHxHEIGHT of such, got 4"),
        ("size", "640x", "size: expected an integer from 8 to 8192, or WIDTHxHEIGHT of such, got '640x'"),
        ("size", (640, 4), r"size: expected an integer from 8 to 8192, or WIDTHxHEIGHT of such, got \(640, 4\)"),
        ("samples", 0, "samples: expected an integer from 1 to 10000000, got 0"),
        ("elevation", 90.0, "elevation: expected a finite number from -89 to 89, got 90.0"),
        ("up", "w", "up: expected x, y or z, got 'w'"),
        ("color", "mauve", "color: expected #rrggbb or one of auto, material, clay, .*, got 'mauve'"),
        ("color", (0.0, 2.0, 0.0), r"color: expected three numbers in \[0, 1\], got"),
        ("background", "#12", "background: expected #rrggbb or one of transparent, clay, "),
        ("colour", "clay", "colour: expected a field of RenderConfig"),
    ],
)
def test_bad_options_are_named(field, value, message):
    with pytest.raises(ConfigError, match=message):
        view.RenderConfig().replace(**{field: value})


def test_bad_arguments_are_named(tmp_path):
    camera = dm.Camera.look_at((0, -5, 0), (0, 0, 0), width=32, height=32)
    with pytest.raises(ConfigError, match="up: expected x, y or z, got 'w'"):
        view.orbit(ball(), up="w")
    with pytest.raises(ConfigError, match=r"x: expected shape \(N, 3\)"):
        view.render_body(np.zeros((3, 2)), camera)
    with pytest.raises(ConfigError, match=r"colors: expected shape \(400, 3\)"):
        view.render_body(ball(), camera, colors=np.zeros((3, 3)), config=QUICK)
    with pytest.raises(ConfigError, match="frames: expected at least one frame, got none"):
        next(view.render_frames(result_of(ball()), frames=[]))
    for save in (view.save_gif, view.save_mp4):
        with pytest.raises(ConfigError, match="images: expected at least one image, got none"):
            save(tmp_path / "a", [])
    with pytest.raises(ConfigError, match="images: expected at least one image, got none"):
        view.contact_sheet([])
    with pytest.raises(ConfigError, match="images: expected at least one image, got none"):
        view.save_film([], tmp_path)
    with pytest.raises(ConfigError, match="images: expected at least one image, got none"):
        film.encode_webp([])
    with pytest.raises(ConfigError, match="format: expected names from png, gif, webp, mp4, got 'avi'"):
        view.save_film([], tmp_path, formats=("avi",))
    with pytest.raises(ConfigError, match="format: expected names from png, gif, webp, mp4, got none"):
        view.save_film([], tmp_path, formats=())


def test_large_pictures_are_drawn_one_at_a_time(monkeypatch):
    monkeypatch.setattr(_core, "available_memory", lambda: 1 << 30)
    assert draw._worker_count(view.RenderConfig(size=8192)) == 1
    assert draw._worker_count(view.RenderConfig(size=32)) == min(16, dm.get_num_threads())
