# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Background thread that computes the surfaces of frames for the viewer."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import Array
from .._placement import up_vector
from .._threads import get_num_threads
from ..errors import DiffMPMError
from .body import Body, BodyMaker
from .camera import film_cameras
from .colors import ParticleColors
from .config import RenderConfig

Surface = tuple[Array, Array, Array, Array]
"""Means (M, 3), covariances (M, 3, 3), colours (M, 3) and opacities (M, 1), in viewer units."""


LIVE_FRACTION = 0.03
"""Largest fraction of the time of a running morph that each of the viewer's two threads takes."""
LIVE_SAMPLES = 10_000
"""Most Gaussians while a morph runs."""
FIRST_COST = 0.1
"""Expected time of the first surface [s]."""
_POLL = 0.25
"""Interval at which the processor time of the morph is checked [s]."""


class SurfaceWorker:
    """Thread that computes the surfaces of frames in order; only of the newest frame while a morph runs.

    Args:
        first_x: Positions [m] of the first frame, shape (N, 3), which the lights are placed around.
        colors: Colours of the particles.
        config: Options.
        center: Point [m] that becomes the origin, shape (3,).
        scale: Factor from metres to viewer units.
    """

    def __init__(
        self, first_x: Array, colors: ParticleColors, config: RenderConfig, center: Array, scale: float
    ) -> None:
        self._config, self._center, self._scale = config, center, scale
        self._camera = film_cameras([first_x], config)[0]
        self._colors = colors
        self._frames: Sequence[Any] = ()
        self._live = self._enabled = False
        self._surfaces: dict[int, Surface | None] = {}
        self._resume_at = paid_after(FIRST_COST, LIVE_FRACTION)
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="diffmpm-surfaces", daemon=True)
        self._thread.start()

    def put(self, frames: Sequence[Any], colors: ParticleColors, *, live: bool, enabled: bool) -> None:
        """Set all frames so far; `live` limits the work to the newest one in `LIVE_FRACTION` of the time."""
        with self._changed:
            if (self._live and not live) or colors is not self._colors:
                self._surfaces.clear()  # live surfaces are coarse
            self._colors = colors
            self._frames, self._live, self._enabled = frames, live, enabled
            self._changed.notify()

    def surface(self, index: int) -> Surface | None:
        """Return the surface of a frame, None if it is not computed yet or the frame has none."""
        return self._surfaces.get(index)

    @property
    def done(self) -> int:
        """Number of leading frames that have been processed."""
        return next(n for n in range(len(self._frames) + 1) if n not in self._surfaces)

    @property
    def note(self) -> str:
        """Status of the surfaces for the user, "" if there is nothing to say."""
        done, count = len(self._surfaces), len(self._frames)
        if None in self._surfaces.values():
            return "Some frames have no surface: their particles are shown"
        return f"Surfaces: {done} of {count}" if self._enabled and not self._live and done < count else ""

    def close(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=10.0)

    def _next(self) -> int | None:
        """Wait for a frame without a surface and return its index, None after `close`.

        While a morph runs, also wait until it has run long enough since the last surface.
        """
        with self._changed:
            while not self._closed:
                if self._live and time.process_time() < self._resume_at:
                    self._changed.wait(_POLL)
                    continue
                newest = len(self._frames) - 1
                candidates = (newest,) if self._live else range(newest + 1)
                missing = next((n for n in candidates if n not in self._surfaces), None)
                if self._enabled and missing is not None:
                    return missing
                self._changed.wait()
        return None

    def _run(self) -> None:
        make: BodyMaker | None = None
        made_live = False
        while (index := self._next()) is not None:
            live, colors, began = self._live, self._colors, time.thread_time()
            try:
                if make is None or made_live != live:
                    config = (
                        self._config.replace(samples=min(self._config.samples, LIVE_SAMPLES)) if live else self._config
                    )
                    first = self._frames[0]
                    make, made_live = BodyMaker(first.x, colors(first), config), live
                frame = self._frames[index]
                surface = self._lit(make(frame.x, colors(frame)))
            except DiffMPMError:  # no surface, for instance because the body has disintegrated
                surface = None
            with self._changed:
                if self._live == live and self._colors is colors:
                    self._surfaces[index] = surface
            self._resume_at = paid_after(time.thread_time() - began, LIVE_FRACTION)

    def _lit(self, body: Body) -> Surface:
        splats = body.lit(self._camera, up_vector(self._config.axis), self._config, fixed=True)
        means = ((splats.means - self._center) * self._scale).astype(np.float32)
        return means, splats.covariances() * np.float32(self._scale**2), splats.colors, splats.opacities[:, None]


def paid_after(seconds: float, fraction: float) -> float:
    """Return the processor time of this process after which work of a duration is within a fraction of the time.

    Wall time would allow too much when other programs slow the process down.
    """
    return time.process_time() + get_num_threads() * seconds / fraction
