# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Surfaces of frames, made in the background for the viewer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._arrays import Array
from .._placement import up_vector
from .._threads import get_num_threads
from ..errors import DiffMPMError
from .body import bodies
from .config import RenderConfig
from .render import body_colors, film_cameras

Surface = tuple[Array, Array, Array, Array]
"""Means (M, 3), covariances (M, 3, 3), colours (M, 3) and opacities (M, 1), placed in the viewer's units."""


SHARE = 0.03
"""Share of the time that a viewer takes, in each of its two threads at most, from a morph that runs."""
LIVE_SAMPLES = 10_000
"""Most Gaussians while a morph runs."""
FIRST_COST = 0.3
"""Time [s] that the first surface is expected to take."""
_GLANCE = 0.25
"""Time [s] between two looks at how much the morph has worked."""


class Feed:
    """Thread that makes the surfaces of frames, one after the other, the newest first while a morph runs.

    Args:
        first_x: Positions [m] of the first frame, shape (N, 3): the light stands around it.
        source_x: Positions [m] that the colours come from, shape (N, 3).
        config: Options.
        center: Point [m] that becomes the origin, shape (3,).
        scale: Factor from metres to the viewer's units.
    """

    def __init__(self, first_x: Array, source_x: Array, config: RenderConfig, center: Array, scale: float) -> None:
        self._config, self._center, self._scale = config, center, scale
        self._camera = film_cameras([first_x], config)[0]
        self._colors = body_colors(source_x, config)
        self._frames: Sequence[Any] = ()
        self._live = self._wanted = False
        self._surfaces: dict[int, Surface | None] = {}
        self._debt = self._price(FIRST_COST)
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="diffmpm-surfaces", daemon=True)
        self._thread.start()

    def put(self, frames: Sequence[Any], *, live: bool, wanted: bool) -> None:
        """Take all frames so far.

        Args:
            frames: Frames.
            live: Whether only the newest one is made, in `SHARE` of the time.
            wanted: Whether surfaces are made at all.
        """
        with self._news:
            if self._live and not live:
                self._surfaces.clear()  # those were coarse
            self._frames, self._live, self._wanted = frames, live, wanted
            self._news.notify()

    def surface(self, index: int) -> Surface | None:
        """Return the surface of a frame, None if it is not done or the frame has none."""
        return self._surfaces.get(index)

    @property
    def done(self) -> int:
        """Number of frames from the first on that have been looked at."""
        return next(n for n in range(len(self._frames) + 1) if n not in self._surfaces)

    @property
    def note(self) -> str:
        """What a person should know about the surfaces, "" if nothing."""
        done, count = len(self._surfaces), len(self._frames)
        if None in self._surfaces.values():
            return "Some frames have no surface: their particles are shown"
        return f"Surfaces: {done} of {count}" if self._wanted and not self._live and done < count else ""

    def close(self) -> None:
        """End the thread."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(timeout=10.0)

    def _next(self) -> int | None:
        """Wait for a frame without a surface and return its index; None at the end."""
        with self._news:
            while not self._closed:
                newest = len(self._frames) - 1
                choice = (newest,) if self._live else range(newest + 1)
                missing = next((n for n in choice if n not in self._surfaces), None)
                if self._wanted and missing is not None:
                    return missing
                self._news.wait()
        return None

    def _run(self) -> None:
        while self._next() is not None:
            try:
                self._track()
            except DiffMPMError:  # no surface, as of a body that has fallen apart
                with self._news:
                    self._surfaces[self._index] = None

    def _track(self) -> None:
        """Make surfaces, each from the one before, until a morph begins or ends."""
        live, config, up = self._live, self._config, up_vector(self._config.axis)
        if live:
            config = config.replace(samples=min(config.samples, LIVE_SAMPLES))
        for body in bodies(self._chosen(live), self._colors, config):
            splats = body.lit(self._camera, up, config, fixed=True)
            means = ((splats.means - self._center) * self._scale).astype(np.float32)
            covars = splats.covariances() * np.float32(self._scale**2)
            with self._news:
                if self._live == live:
                    self._surfaces[self._index] = (means, covars, splats.colors, splats.opacities[:, None])
            self._debt = self._price(time.thread_time() - self._began)

    def _price(self, seconds: float) -> float:
        """Return the processor time of this process at which work of so many seconds is paid for.

        The clock on the wall would charge too little where other programs slow the morph down.
        """
        return time.process_time() + get_num_threads() * seconds / SHARE

    def _rest(self) -> None:
        """Wait until the morph has worked so long that the last surface was a small share of it."""
        with self._news:
            while time.process_time() < self._debt and self._live and not self._closed:
                self._news.wait(_GLANCE)

    def _chosen(self, live: bool) -> Iterator[tuple[Array, Array]]:
        """Yield the frames to look at; while a morph runs, each after a rest that pays for it."""
        while True:
            if live:
                self._rest()
            index = self._next()
            if index is None or self._live != live:
                return
            self._index, self._began = index, time.thread_time()
            frame = self._frames[index]
            yield frame.x, frame.G
