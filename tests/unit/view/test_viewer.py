# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The viewer: access control, its page in a real browser, and that it never blocks a morph."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import diffmpm as dm
import numpy as np
import pytest
from browser import browser
from diffmpm import view
from diffmpm.errors import ConfigError, MissingPackageError
from diffmpm.morphing import Frame
from diffmpm.view import surface_worker
from diffmpm.view.body import BodyMaker
from numpy.testing import assert_allclose

SIZE = (420, 320)
CONFIG = view.RenderConfig(samples=3000, shadow=False, occlusion=False, supersample=1, background="#ffffff")
HIDE = """for (const e of document.querySelectorAll('body *'))
  if (e.tagName !== 'CANVAS' && !e.querySelector('canvas')) e.style.visibility = 'hidden'"""


def frames(count=4):
    x = dm.sample("torus", particles=900, dtype=np.float32).x * np.float32(0.03)  # a small body of 6 cm
    sequence = []
    for k in range(count):
        A = np.diag(np.float32([1.0, 1.0 - 0.1 * k, 1.0 + 0.2 * k]))
        G = np.ascontiguousarray(np.broadcast_to(A, (len(x), 3, 3)))
        sequence.append(Frame(x @ A + np.float32(0.002 * k), G, G, window=k, step=0, time=0.0))
    return tuple(sequence)


@pytest.fixture
def viewer():
    pytest.importorskip("viser", reason="viser is not installed")
    with view.Viewer(config=CONFIG, port=0, title="A torus") as viewer:
        yield viewer


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    pytest.importorskip("viser", reason="viser is not installed")
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(tab):
    """The tab, which leaves the page before the viewer closes because a busy page responds late."""
    yield tab
    tab.send("Page.navigate", url="about:blank")


def show(page, url):
    """Open the page and wait for its first frame."""
    page.requests.clear()
    page.open(url, *SIZE)
    page.wait("document.body.innerText.match(/Frame \\d+ of/)")


def picture(page):
    """Return the image of the canvas after it has stopped changing."""
    page.evaluate(HIDE)
    before = page.screenshot()
    for _ in range(60):
        page.evaluate("new Promise(done => setTimeout(done, 250))")
        now = page.screenshot()
        if np.array_equal(before, now) and (now < 200).any():
            return now
        before = now
    raise TimeoutError("the image does not stop changing")


def listeners(port):
    """Return the local addresses that listen on a port, in the notation of Linux."""
    addresses = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            address, number = words[1].split(":")
            if words[3] == "0A" and int(number, 16) == port:
                addresses.append(address)
    return addresses


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of sockets")
def test_the_viewer_listens_only_on_this_machine(viewer):
    assert listeners(urlsplit(viewer.url).port) == ["0100007F"]
    assert viewer.url.startswith("http://127.0.0.1:")


def status(viewer, path="", *, host=None, origin=None, upgrade=False):
    """Return the HTTP status of a request; `path` is appended to the address."""
    own = urlsplit(viewer.url)
    lines = [f"GET {path} HTTP/1.1", f"Host: {host or own.netloc}"]
    lines += [f"Origin: {origin}"] if origin else []
    if upgrade:
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        lines += ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key]
        lines += [f"Sec-WebSocket-Protocol: viser-v{sys.modules['viser'].__version__}"]
    with socket.create_connection((own.hostname, own.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.recv(12).split()[1])


@pytest.mark.parametrize("upgrade", [False, True], ids=["page", "websocket"])
def test_only_requests_of_the_viewer_page_are_accepted(viewer, upgrade, capfd):
    own = urlsplit(viewer.url)
    token, good = own.path, 101 if upgrade else 200
    cases = {
        good: [
            {"path": token},
            {"path": token, "origin": f"http://{own.netloc}"},
            {"path": f"{token}/?websocket=x"},
            {"path": token, "host": f"localhost:{own.port}", "origin": f"http://localhost:{own.port}"},
        ],
        403: [
            {"path": "/"},
            {"path": "/index.html"},
            {"path": f"{token}x"},
            {"path": f"/{'A' * (len(token) - 1)}"},
            {"path": "/\N{LATIN SMALL LETTER E WITH ACUTE}"},
            {"path": f"/?{token[1:]}"},
            {"path": token, "origin": "http://evil.example"},
            {"path": token, "origin": "null"},
            {"path": token, "origin": f"https://{own.netloc}"},
            {"path": token, "origin": f"http://127.0.0.1:{own.port + 1}"},
            {"path": token, "host": f"evil.example:{own.port}"},  # DNS rebinding
            {"path": token, "host": f"evil.example:{own.port}", "origin": f"http://evil.example:{own.port}"},
            {"path": token, "host": "127.0.0.1"},
            {"path": token, "host": f"127.0.0.1:{own.port + 1}"},
            {"path": token, "host": f"127.0.0.1:{own.port}.evil.example"},
        ],
    }
    for expected, requests in cases.items():
        for request in requests:
            assert status(viewer, upgrade=upgrade, **request) == expected, request
    assert status(viewer, f"{token}/../../etc/passwd") == status(viewer, f"{token}/%2e%2e/x") == 404
    with socket.create_connection((own.hostname, own.port)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert b"200" not in connection.recv(100)
    assert len(token) == 23 and status(viewer, token) == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform == "darwin", reason="this system has one loopback address")
def test_another_loopback_address_is_checked_too(viewer):
    with view.Viewer(host="127.0.0.5", port=0) as other:
        path, port = urlsplit(other.url).path, urlsplit(other.url).port
        assert urlsplit(other.url).hostname == "127.0.0.5" and status(other, path) == 200
        assert status(other, path, host=f"evil.example:{port}") == 403


def test_the_token_is_new_for_every_viewer(viewer):
    with view.Viewer(port=0) as other:
        assert urlsplit(other.url).path != urlsplit(viewer.url).path


FORGED = {
    "_speed": ["fast", "", "nan", "-1", 4, [], {}, None],
    "_look": ["mesh", 0, ["particles"], None],
    "_slider": [float("nan"), float("inf"), -1, 1e300, "2", [1], None, True],
    "_button": ["yes", None, []],
}


def test_forged_messages_do_not_reach_the_player(viewer, monkeypatch, capfd):
    import msgspec
    from websockets.sync.client import connect

    viser = sys.modules["viser"]
    calls = []
    for name in ("request_share_url", "disconnect_share_url"):
        monkeypatch.setattr(viser.ViserServer, name, lambda *_, name=name: calls.append(name))
    viewer.show(frames())
    viewer._look.value = "particles"
    before = {name: getattr(viewer, name).value for name in FORGED}

    def update(name, **updates):
        return {"type": "GuiUpdateMessage", "uuid": getattr(viewer, name)._impl.uuid, "updates": updates}

    messages = [update(name, value=value) for name, values in FORGED.items() for value in values]
    messages += [update("_speed", options=["a"]), update("_speed", value="4", disabled=True), update("_slider", max=9)]
    messages += [update("_text", value="x"), update("_text", content="<b>mine</b>"), {"type": "ShareUrlRequest"}]
    messages += [{"type": "ShareUrlDisconnect"}, {"type": "GuiUpdateMessage"}, {"type": "NoSuchMessage"}, {}, 3, "x"]
    messages += [{"type": "GuiUpdateMessage", "uuid": [1], "updates": 3}, {"type": "ViewerCameraMessage", "fov": "x"}]
    origin = viewer.url.removesuffix(viewer._guard.path)
    protocols = [f"viser-v{viser.__version__}"]
    with connect(viewer.url.replace("http", "ws"), origin=origin, subprotocols=protocols, max_size=None) as page:
        for message in messages:
            page.send(msgspec.msgpack.encode(message))
        for raw in (b"", b"\xff" * 100, bytes(1000), "text"):
            page.send(raw)
        page.send(msgspec.msgpack.encode(update("_speed", value="4")))  # accepted, so everything before it was read
        for _ in range(200):
            if viewer._speed.value == "4":
                break
            viewer._closed.wait(0.05)
    before["_speed"] = "4"
    assert {name: getattr(viewer, name).value for name in FORGED} == before
    assert calls == [] and "mine" not in viewer._text.content
    viewer._set_playing(True)
    viewer._wake.set()
    first = viewer._slider.value
    for _ in range(200):
        if viewer._slider.value != first:
            break
        viewer._closed.wait(0.05)
    assert viewer._player.is_alive() and viewer._slider.value != first
    assert capfd.readouterr() == ("", "")


def test_a_server_that_cannot_be_guarded_is_not_run(monkeypatch):
    pytest.importorskip("viser", reason="viser is not installed")
    monkeypatch.setattr(view.guard.Guard, "installed", lambda self: contextlib.nullcontext())
    with pytest.raises(MissingPackageError, match=r"viser: expected a version .*, got 1\.\d"):
        view.Viewer(port=0)


def test_gaussians_match_the_rasteriser(viewer, page):
    viewer.show(frames())
    show(page, viewer.url)
    image = picture(page).astype(float)
    placed = viewer._server.initial_camera
    camera = dm.Camera.look_at(
        placed.position, placed.look_at, placed.up, width=SIZE[0], height=SIZE[1], fov=np.degrees(placed.fov)
    )
    f = frames()[0]
    body = BodyMaker(f.x, view.material_colors(f.x), CONFIG)(f.x)
    light = view.camera.film_cameras([f.x], CONFIG)[0]
    lit = body.lit(light, view.camera.up_vector("z"), CONFIG, fixed=True)
    means = ((lit.means - viewer._center) * viewer._scale).astype(np.float32)
    scales = lit.scales * np.float32(viewer._scale)
    expected = dm.rasterize(
        means, quats=lit.quats, scales=scales, opacities=lit.opacities, colors=lit.colors, cameras=camera,
        backgrounds=[1.0, 1.0, 1.0],
    ).color * 255.0  # fmt: skip
    covered = [(255 - a).max(axis=2) > 40 for a in (image, expected)]
    both, either = covered[0] & covered[1], covered[0] | covered[1]
    difference, overlap = np.abs(image - expected)[either].mean(), both.sum() / either.sum()
    # viser draws with another falloff at the rim and covariances in half precision: measured 1.7 and 0.989, times 2.
    assert difference < 3.4 and overlap > 0.978
    home = viewer.url.removesuffix(viewer._guard.path)
    others = [a for a in page.requests if not a.startswith(("data:", f"blob:{home}", viewer.url))]
    assert set(others) <= {viewer.url.replace("http:", "ws:")}


def text(page):
    return page.evaluate("document.body.innerText")


def press(page, label):
    page.evaluate(f"[...document.querySelectorAll('button')].find(b => b.innerText.trim() === '{label}').click()")


def test_timeline_and_looks(viewer, page):
    viewer.show(frames())
    show(page, viewer.url)
    assert "A torus" in text(page) and "Frame 0 of 3" in text(page)
    assert "Share" not in text(page)  # viser's tunnel to the internet is not offered
    viewer._speed.value = "0.25"
    press(page, "Play")
    page.wait("document.body.innerText.match(/Frame [123] of 3/)")
    press(page, "Pause")
    page.wait("document.body.innerText.includes('Play')")
    page.evaluate("document.querySelector('[role=slider]').focus()")
    page.key("End")
    page.wait("document.body.innerText.includes('Frame 3 of 3')")
    gaussians = picture(page)
    viewer._look.value = "particles"
    particles = picture(page)
    assert np.abs(gaussians.astype(int) - particles).mean() > 1
    silhouettes = [(a < 215).any(axis=2) for a in (gaussians, particles)]
    assert (silhouettes[0] & silhouettes[1]).sum() / (silhouettes[0] | silhouettes[1]).sum() > 0.8


def wait_for_surfaces(viewer, count):
    for _ in range(600):
        if viewer._worker.done == count:
            return
        viewer._closed.wait(0.05)
    raise TimeoutError(viewer._worker.note)


def test_a_morph_is_followed_and_never_waits(viewer, monkeypatch):
    """Unfinished surfaces never block a caller, and frames in between are dropped."""
    gate, positions = threading.Event(), []

    class Slow(BodyMaker):
        def __call__(self, x, colors=None):
            positions.append(x)
            assert gate.wait(30)
            return super().__call__(x, colors)

    monkeypatch.setattr(surface_worker, "BodyMaker", Slow)
    monkeypatch.setattr(surface_worker, "FIRST_COST", 0.0)
    viewer._look.value = viewer._initial_look = "gaussians"
    sequence = frames(6)
    for count in range(1, 7):
        viewer.show(sequence[:count], live=True)  # returns before the first surface is computed
    gate.set()
    viewer.show(sequence)
    wait_for_surfaces(viewer, 6)
    assert viewer._worker.note == "" and len(positions) < 6 + 3
    means = viewer._worker.surface(5)[0]
    assert_allclose(
        np.abs(means).max(axis=0) / viewer._scale, np.abs(sequence[5].x - viewer._center).max(axis=0), rtol=0.2
    )


def test_frames_of_another_motion_replace_the_earlier_ones(viewer):
    """Each morph of a chain has its own coordinates."""
    viewer.show(frames(3), live=True)
    center, worker = viewer._center, viewer._worker
    viewer.show(frames(4), live=True)
    assert viewer._worker is worker and viewer._center is center
    moved = [replace(frame, x=10.0 * frame.x + np.float32(3.0)) for frame in frames(2)]
    viewer.show(moved, live=True)
    assert viewer._worker is not worker and worker._closed
    assert_allclose(viewer._center, 10.0 * center + 3.0, rtol=1e-5)
    deadline = time.monotonic() + 60
    while not np.allclose(viewer._nodes["particles"].points, viewer._placed(moved[-1].x)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert viewer._slider.value == 1


def test_the_camera_frames_source_and_target(viewer):
    sequence = frames(1)
    far = sequence[0].x + np.float32([0.3, 0.0, 0.0])
    viewer.show(sequence, target_x=far, live=True)
    camera = viewer._server.initial_camera
    eye, forward = np.asarray(camera.position), np.asarray(camera.look_at) - np.asarray(camera.position)
    forward /= np.linalg.norm(forward)
    for x in (sequence[0].x, far):
        away = viewer._placed(x) - eye
        angles = np.degrees(np.arccos(away @ forward / np.linalg.norm(away, axis=1)))
        assert angles.max() < CONFIG.fov / 2


def test_the_viewer_is_a_morph_callback(viewer, page):
    dm.morph(
        "sphere",
        "box",
        particles=300,
        windows=3,
        cell_particles=3,
        steps=5,
        frame_motion=0.001,
        callback=viewer,
        arrival=0,
    )
    assert viewer._status.startswith("window 3 of 3, loss ") and len(viewer._frames) > 2
    assert viewer._look.value == "particles"
    show(page, viewer.url)
    page.wait(f"document.body.innerText.includes('Frame {len(viewer._frames) - 1} of')")
    assert "window 3 of 3" in text(page)


def test_a_frame_without_surface_is_reported_and_skipped(viewer, monkeypatch):
    sequence = frames(3)

    class Torn(BodyMaker):
        def __call__(self, x, colors=None):
            if x is sequence[1].x:
                raise ConfigError("x: expected particles that fill a solid")
            return super().__call__(x, colors)

    monkeypatch.setattr(surface_worker, "BodyMaker", Torn)
    viewer.show(sequence)
    wait_for_surfaces(viewer, 3)
    assert [viewer._worker.surface(n) is None for n in range(3)] == [False, True, False]
    assert viewer._worker.note == "Some frames have no surface: their particles are shown"


def test_bad_arguments_are_named(viewer):
    with pytest.raises(ConfigError, match="port: expected an integer from 0 to 65535, got 70000"):
        view.Viewer(port=70000)
    with pytest.raises(ConfigError, match=r"host: expected an address of this machine, got '192.0.2.1' .*127.0.0.1"):
        view.Viewer(host="192.0.2.1")
    with pytest.raises(ConfigError, match="look: expected one of gaussians, particles or None, got 'mesh'"):
        view.Viewer(look="mesh")
    with pytest.raises(ConfigError, match="frames: expected at least one frame, got none"):
        viewer.show(())


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(MissingPackageError, match=r"viser: needed .* pip install 'diffmpm\[viewer\]'"):
        view.Viewer()


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as a POSIX signal")
def test_commands_serve_until_ctrl_c(page, tmp_path):
    def command(*words):
        line = [sys.executable, "-m", "diffmpm", *map(str, words)]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    tiny = [
        "--particles",
        "300",
        "--windows",
        "2",
        "--set",
        "cell_particles=3",
        "--set",
        "steps=5",
        "--no-pictures",
        "--quiet",
    ]
    for out, shapes in (("chain", ("sphere", "box", "torus")), ("r", ("sphere", "box"))):
        with command("morph", *shapes, "--out", tmp_path / out, "--live", "--port", "0", *tiny) as process:
            live = re.fullmatch(r"live: (http://127\.0\.0\.1:\d+/[\w-]{22})\n", process.stdout.readline())
            assert process.stdout.readline() == f"still shown at {live[1]} (Ctrl-C to stop)\n"
            process.send_signal(signal.SIGINT)
            assert (process.wait(60), process.stdout.read()) == (0, "")
    with command("view", tmp_path / "r", "--port", "0", "--samples", "500") as process:
        line = re.fullmatch(
            r"sphere to box: (http://127\.0\.0\.1:\d+/[\w-]{22}) \(Ctrl-C to stop\)\n", process.stdout.readline()
        )
        show(page, line[1])
        assert 0.05 < (picture(page) < 215).any(axis=2).mean() < 0.6
        page.send("Page.navigate", url="about:blank")
        process.send_signal(signal.SIGINT)
        assert (process.wait(60), process.stdout.read()) == (0, "")
