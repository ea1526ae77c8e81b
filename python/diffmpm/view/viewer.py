# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A viewer in the browser for the frames of a running or a finished morph."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from .._arrays import Array
from .._options import Range, as_integer, is_real
from .._placement import up_vector
from ..errors import ConfigError, MissingPackageError, optional_package
from .camera import film_cameras
from .colors import ParticleColors
from .config import RenderConfig
from .guard import Guard
from .surface_worker import LIVE_FRACTION, Surface, SurfaceWorker
from .text import printable

LOOPBACK = "127.0.0.1"
"""Address that only this machine can reach."""
PORT = 8080
FPS = 15.0
"""Frames per second at speed 1."""
SPEEDS = ("0.25", "0.5", "1", "2", "4")
LOOKS = ("gaussians", "particles")
_RADIUS = 4.0
"""Radius of the body in viewer units. Covariances are sent in half precision, which has few small numbers."""
_POINT = 0.55
"""Size of a particle, relative to the particle distance in a filled ball."""


class Viewer:
    """Web page that shows frames: a timeline, Gaussians or particles, a free camera.

    The server starts at once in its own threads and accepts frames at any time. Use it as a context manager or call
    `close`. As a callback of `morph` it follows the optimisation in a small fraction of its time. The page requires
    `url`, which includes a token.

    Args:
        config: Options of surface, colours, up axis and camera; the defaults if None.
        host: Address to listen on. Any other than the default is open to other machines, without encryption.
        port: Port to listen on; the next free one if it is taken, any free one if 0.
        title: Title of the page.
        look: Initial look, "gaussians" or "particles"; if None, Gaussians, and particles while a morph runs.

    Raises:
        ConfigError: If the viewer cannot listen on the address.
        MissingPackageError: If viser is not installed, or its server cannot be guarded in this version.
    """

    def __init__(
        self,
        *,
        config: RenderConfig | None = None,
        host: str = LOOPBACK,
        port: int = PORT,
        title: str = "DiffMPM",
        look: str | None = None,
    ) -> None:
        if look not in (None, *LOOKS):
            raise ConfigError(f"look: expected one of {', '.join(LOOKS)} or None, got {look!r}")
        self._initial_look = look
        self._config = config or RenderConfig()
        viser = optional_package("viser", "viser", "the viewer", "viewer")
        _check_address(host, port)
        self._guard = Guard(host, self._permits)
        with contextlib.redirect_stdout(io.StringIO()), self._guard.installed():  # viser prints a banner anyway
            self._server = viser.ViserServer(host=host, port=port, label=printable(title), verbose=False)
        self._host = host
        self._refuse_sharing()
        self._worker: SurfaceWorker | None = None
        self._colors: ParticleColors
        self._painted_by: ParticleColors | None = None
        self._lock = threading.RLock()
        self._frames: Sequence[Any] = ()
        self._following = True
        self._closed = threading.Event()
        self._wake = threading.Event()
        self._nodes: dict[str, Any] = {}
        self._shown: tuple[SurfaceWorker | None, int, Surface | None] = (None, -1, None)
        self._controls()
        self._player = threading.Thread(target=self._play, name="diffmpm-viewer", daemon=True)
        self._player.start()

    @property
    def url(self) -> str:
        """Address of the page, including the token."""
        host = LOOPBACK if self._host in ("0.0.0.0", "::", "") else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.get_port()}{self._guard.path}"

    def show(
        self,
        frames: Sequence[Any],
        *,
        source_x: Array | None = None,
        result: Any = None,
        target_x: Array | None = None,
        live: bool = False,
        status: str = "",
    ) -> None:
        """Show all frames so far. Returns immediately.

        Args:
            frames: Frames with positions `x` [m], shape (N, 3), beginning with those of earlier calls. If the first one
                has other positions, they replace the earlier ones.
            source_x: Positions [m] that the colours are computed from, shape (N, 3); those of the first frame if None.
            result: `MorphResult`, or `Progress` of a running morph, whose own colours are shown, if it has any.
            target_x: Positions [m] that the camera keeps in view as well, shape (M, 3).
            live: Leave the processor to a running morph: compute Gaussians of the newest frame only, only while they
                are shown, and in a small fraction of the time.
            status: One line for the page.

        Raises:
            ConfigError: If there is no frame.
        """
        if not frames:
            raise ConfigError("frames: expected at least one frame, got none")
        with self._lock:
            if self._worker is not None and not np.array_equal(frames[0].x, self._frames[0].x):
                self._worker.close()
                self._worker = None
            if self._worker is None or (result is not None and not live):
                body = SimpleNamespace(source_x=frames[0].x if source_x is None else source_x)
                self._colors = ParticleColors(body if result is None else result, self._config)
            if self._worker is None:
                framed = [frame.x for frame in frames]
                self._set_scene(framed if target_x is None else [*framed, target_x], frames[0])
                if not self._frames:
                    self._following = live
                    if live and self._initial_look is None:
                        self._look.value = LOOKS[1]
                self._worker = SurfaceWorker(frames[0].x, self._colors, self._config, self._center, self._scale)
            self._frames = frames
            self._status = status
            self._live = live
            self._worker.put(frames, self._colors, live=live, enabled=not live or self._look.value == LOOKS[0])
        self._wake.set()

    def __call__(self, progress: Any) -> bool:
        """Show the frames of a `Progress`, as a callback of `morph`. The camera frames the target as well."""
        self._config = self._config.upright(progress)
        status = f"window {progress.window} of {progress.windows}"
        if progress.record:
            status += f", loss {progress.loss:.4g}"
        self.show(progress.frames, result=progress, target_x=progress.target_x, live=True, status=status)
        return True

    def wait(self) -> None:
        """Block until Ctrl-C or `close`."""
        with contextlib.suppress(KeyboardInterrupt):
            while not self._closed.wait(0.5):
                pass

    def close(self) -> None:
        """Stop the server and its threads."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._wake.set()
        if self._worker is not None:
            self._worker.close()
        self._player.join(timeout=5.0)
        with contextlib.redirect_stdout(io.StringIO()):  # viser prints a message
            self._server.stop()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _refuse_sharing(self) -> None:
        """Remove viser's tunnel to the internet, which a message from the page could open."""
        from viser import __version__, _messages

        if not self._guard.active:
            self._server.stop()
            raise MissingPackageError(
                f"viser: expected a version whose server can be guarded, got {__version__}; pip install "
                "'diffmpm[viewer]'"
            )
        for message in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
            self._server._websock_server.unregister_handler(message)

    def _permits(self, message: Any) -> bool:
        """Return whether a message is one that the page sends: a camera pose, or the value of a control."""
        fields = vars(message)
        if type(message).__name__ == "ViewerCameraMessage":
            return all(np.isfinite(np.asarray(value, dtype=np.float64)).all() for value in fields.values())
        if type(message).__name__ != "GuiUpdateMessage" or set(fields["updates"]) != {"value"}:
            return False
        value, control = fields["updates"]["value"], self._values.get(fields["uuid"])
        return control is not None and control(value)

    def _controls(self) -> None:
        """Add the panel."""
        gui = self._server.gui
        gui.configure_theme(control_width="small", show_logo=False, show_share_button=False)
        self._text = gui.add_markdown("Waiting for the first frame")
        self._slider = gui.add_slider("Frame", min=0, max=1, step=1, initial_value=0, disabled=True)
        self._button = gui.add_button("Play", disabled=True)
        self._speed = gui.add_dropdown("Speed", SPEEDS, initial_value="1")
        self._look = gui.add_dropdown("Show", LOOKS, initial_value=self._initial_look or LOOKS[0])
        self._playing = False
        self._status = ""
        self._live = False

        self._values: dict[str, Callable[[Any], bool]] = {
            self._slider._impl.uuid: lambda value: is_real(value) and 0 <= value <= self._slider.max,
            self._button._impl.uuid: lambda value: isinstance(value, bool),
            self._speed._impl.uuid: SPEEDS.__contains__,
            self._look._impl.uuid: LOOKS.__contains__,
        }
        """Valid values of each control."""
        self._slider.on_update(self._moved)
        self._button.on_click(self._pressed)
        self._look.on_update(self._chosen)

    def _moved(self, event: Any) -> None:
        if event.client is not None:  # moved by a user, not by the player
            self._set_playing(False)
            self._following = self._slider.value == self._slider.max
            self._wake.set()

    def _pressed(self, _: Any) -> None:
        self._set_playing(not self._playing)
        self._wake.set()

    def _chosen(self, _: Any) -> None:
        with self._lock:
            if self._frames:
                self.show(self._frames, live=self._live, status=self._status)

    def _set_playing(self, playing: bool) -> None:
        self._playing = playing
        self._button.label = "Pause" if playing else "Play"

    def _set_scene(self, paths: Sequence[Array], first: Any) -> None:
        """Place the camera so that it sees all positions, and create the particle node."""
        x, config, camera = paths[0], self._config, self._server.initial_camera
        low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
        self._center = 0.5 * (low + high)
        self._scale = _RADIUS / max(float(np.linalg.norm(x - self._center, axis=1).max()), 1e-30)
        view = film_cameras([self._placed(path) for path in paths], config.replace(turns=0.0, camera=()))[0]
        eye, forward = view.position, view.viewmat[2, :3]
        self._server.scene.set_up_direction(f"+{config.axis}")
        camera.fov, camera.up, camera.position = np.radians(config.fov), up_vector(config.axis), eye
        camera.look_at = eye - (eye @ forward) * forward  # the point of the optical axis nearest to the origin
        self._nodes["particles"] = self._server.scene.add_point_cloud(
            "/particles",
            self._placed(x),
            self._painted(first),
            point_size=_POINT * _RADIUS * (4.0 / 3.0 * np.pi / len(x)) ** (1.0 / 3.0),
            point_shape="circle",
            precision="float32",
        )

    def _placed(self, x: Array) -> Array:
        return np.asarray((x - self._center) * self._scale, dtype=np.float32)

    def _painted(self, frame: Any) -> Array:
        return np.rint(255.0 * np.broadcast_to(self._colors(frame), frame.x.shape)).astype(np.uint8)

    def _play(self) -> None:
        """Show the current frame until the viewer is closed."""
        clock, before = 0.0, time.monotonic()
        while not self._closed.is_set():
            began = time.monotonic()
            self._wake.clear()
            with self._lock:
                frames, worker = self._frames, self._worker
            if worker is not None:
                last = len(frames) - 1
                if self._playing:
                    # Stop at the first missing surface: particles between Gaussians would flicker.
                    end = worker.done if self._look.value == LOOKS[0] and worker.done else last + 1
                    clock = (clock + (began - before) * FPS * float(self._speed.value)) % end
                else:
                    clock = float(last if self._following else min(self._slider.value, last))
                with contextlib.suppress(RuntimeError):  # the server may have stopped
                    self._publish(int(clock), frames, worker)
            before, spent = began, time.monotonic() - began
            if self._playing:
                self._closed.wait(max(1.0 / FPS - spent, 0.01))
            else:
                self._wake.wait(0.5)
            if self._live:
                self._closed.wait(spent / LIVE_FRACTION)

    def _publish(self, index: int, frames: Sequence[Any], worker: SurfaceWorker) -> None:
        """Send a frame to the page unless it is shown already: as Gaussians if selected and computed."""
        text = "  \n".join(filter(None, (self._status, f"Frame {index} of {len(frames) - 1}", worker.note)))
        if text != self._text.content:
            self._text.content = text
        self._slider.max = max(len(frames) - 1, 1)
        self._slider.disabled = self._button.disabled = len(frames) < 2
        if self._slider.value != index:
            self._slider.value = index
        surface = worker.surface(index) if self._look.value == LOOKS[0] else None
        if self._shown[:2] == (worker, index) and surface is self._shown[2]:
            return
        self._shown = worker, index, surface
        with self._server.atomic():
            if surface is None:
                self._nodes["particles"].points = self._placed(frames[index].x)
                if self._painted_by is not self._colors or self._colors.vary:
                    self._nodes["particles"].colors = self._painted(frames[index])
                    self._painted_by = self._colors
            else:
                self._show_gaussians(*surface)
            for name, node in self._nodes.items():
                node.visible = (name == "particles") == (surface is None)

    def _show_gaussians(self, means: Array, covars: Array, colors: Array, opacities: Array) -> None:
        if "gaussians" in self._nodes:
            self._nodes["gaussians"].set_gaussians(means, covars, colors, opacities)
        else:
            self._nodes["gaussians"] = self._server.scene.add_gaussian_splats(
                "/gaussians", means, covars, colors, opacities
            )


def _check_address(host: str, port: int) -> None:
    """Check that the address belongs to this machine; otherwise the server would search for a free port forever."""
    as_integer(port, "port", Range(least=0, most=65535))
    try:
        family, type_, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, type_, protocol) as probe:
            probe.bind(address)
    except OSError as error:
        raise ConfigError(
            f"host: expected an address of this machine, got {host!r} ({error.strerror or error}); leave it out for "
            f"{LOOPBACK}"
        ) from error
