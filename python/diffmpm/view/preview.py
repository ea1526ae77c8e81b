# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Picture of a running morph, drawn in a background thread."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import _core
from .._arrays import Array
from ..errors import DiffMPMError
from ..export import write_together
from .body import BodyMaker
from .camera import film_cameras
from .colors import ParticleColors
from .config import RenderConfig
from .draw import draw
from .film import encode_png
from .overview import FILM_PARTICLES, comparison, target_colors, thinned
from .surface_worker import paid_after

WRITER = "preview"
"""Name of the picture's writer in the manifest."""
FILE = "preview.png"
"""File of the picture."""
FRACTION = 0.02
"""Largest fraction of the time of the morph that the pictures after the first one take."""
_EDGE, _SAMPLES = 320, 10_000
"""Longer side of a panel [px], and its number of Gaussians."""
_POLL = 0.25
"""Interval at which the processor time of the morph is checked [s]."""


class Preview:
    """Thread that writes `preview.png`: source, body so far and target, side by side.

    A callback of `morph`, and a context manager, which waits for the thread. A picture that cannot be drawn or written
    is skipped.

    Args:
        out: Output folder of the morph, locked by the caller until the thread has ended.
        config: Options of the picture.
        announce: Called from the thread with the path of the first picture.
        force: Replace a file that DiffMPM did not write.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        config: RenderConfig,
        announce: Callable[[Path], object] = lambda path: None,
        *,
        force: bool = False,
    ) -> None:
        self._out, self._announce, self._force = Path(out), announce, force
        width, height = config.image_size
        shrink = min(1.0, _EDGE / max(width, height))
        size = (max(8, round(shrink * width)), max(8, round(shrink * height)))
        self._config = config.replace(size=size, samples=min(config.samples, _SAMPLES), turns=0.0)
        self._newest: Any = None
        self._resume_at = 0.0
        self._scene: _Scene | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="diffmpm-preview", daemon=True)
        self._thread.start()

    def __call__(self, progress: Any) -> bool:
        """Draw the newest frame of a `Progress` as soon as `FRACTION` permits. Returns immediately."""
        with self._changed:
            self._newest = progress
            self._changed.notify()
        return True

    def __enter__(self) -> Preview:
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _next(self) -> Any:
        """Wait for a state to draw and return it, None at the end."""
        with self._changed:
            while not self._closed:
                if self._newest is None:
                    self._changed.wait()
                elif time.process_time() < self._resume_at:
                    self._changed.wait(_POLL)
                else:
                    newest, self._newest = self._newest, None
                    return newest
        return None

    def _run(self) -> None:
        _core.limit_thread_count(1)
        while (progress := self._next()) is not None:
            began = time.thread_time()
            try:
                first = self._scene is None
                if self._scene is None or self._scene.first is not progress.frames[0]:  # or another morph of a chain
                    self._scene = _Scene(progress, self._config.upright(progress))
                picture = encode_png(self._scene.draw(progress))
                with write_together(self._out, by=WRITER, whole=[FILE], force=self._force) as stage:
                    stage.write(FILE, picture)
                if first:
                    self._announce(self._out / FILE)
            except (DiffMPMError, MemoryError):  # the morph itself is not affected
                pass
            self._resume_at = paid_after(time.thread_time() - began, FRACTION)


class _Scene:
    """Camera and colours of the pictures, and the images of source and target."""

    def __init__(self, progress: Any, config: RenderConfig) -> None:
        self.first = progress.frames[0]
        source_x, target_x = self.first.x, progress.target_x
        self._config, self._subset = config, thinned(source_x, FILM_PARTICLES)
        shown = thinned(target_x, FILM_PARTICLES)
        colors, paint = ParticleColors(progress, config)(progress.frames[0]), target_colors(progress, config)
        source_x, target_x = source_x[self._subset], target_x[shown]
        self._camera = film_cameras([source_x, target_x], config)[0]
        self._make = BodyMaker(source_x, colors if colors.ndim == 1 else colors[self._subset], config)
        self._source = self._image(self._make, source_x)
        self._target = self._image(BodyMaker(target_x, paint if paint.ndim == 1 else paint[shown], config), target_x)

    def draw(self, progress: Any) -> Array:
        """Return the picture of a `Progress`."""
        body = self._source
        if len(progress.frames) > 1:
            body = self._image(self._make, progress.frames[-1].x[self._subset])
        title = f"{progress.source_name} to {progress.target_name}   window {progress.window} of {progress.windows}"
        return comparison([(title, [self._source, body, self._target])])

    def _image(self, make: BodyMaker, x: Array) -> Array:
        return draw(make(x), self._camera, self._config)
