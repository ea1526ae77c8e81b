# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Timeline of films and exports: which state of a finished morph each image shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array
from .._color import display_color
from .._options import Configuration, option
from .._repr import short_repr
from ..errors import ConfigError, MeshError
from ..geometry import EXTENSIONS, Mesh, load_mesh

_DIRECTIONS = {sign + axis: (k, way) for k, axis in enumerate("xyz") for sign, way in (("", 1.0), ("-", -1.0))}
"""Axis and orientation of the directions of a sweep."""
_RADIAL = {"radial": 1.0, "-radial": -1.0}


def _sweep(value: object, name: str) -> str:
    """Return a sweep: a direction, "radial", or the path of a painted mesh; refuse anything else."""
    text = os.fsdecode(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or (_is_file(text) and Path(text).suffix.lower() not in EXTENSIONS):
        names = ", ".join((*_DIRECTIONS, *_RADIAL))
        raise ConfigError(f"{name}: expected one of {names}, or a mesh file with vertex colours, got {value!r}")
    return text


class Timeline(Configuration):
    """When a film or an export shows which state of a morph.

    The states are interpolated between the stored frames, so that no timeline needs a new simulation. Each shape of the
    morph is held; the motions between them take equally long. In a loop the first shape is held once, and the last
    state, which is the first one, is not shown again.
    """

    duration: float | None = option(
        default=None,
        doc="Length, including the holds. None: one image per frame, and the holds.",
        unit="s",
        above=0,
        most=86_400,
    )
    fps: float = option(default=24.0, doc="Images per second.", above=0, most=1000)
    hold: float = option(default=0.0, doc="Time for which each shape is held.", unit="s", least=0, most=3600)
    ease: float = option(
        default=0.0,
        doc="How slowly each motion starts and stops: 0 for a uniform motion, 1 for a start and an end at rest.",
        least=0,
        most=1,
    )
    start_sweep: str | None = option(
        default=None,
        doc='Which particles start first: those at the low end of an axis ("x", "y", "z") or at its high end ("-x", '
        '...), those at the centre ("radial") or far from it ("-radial"), or the dark ones of a mesh file that paints '
        "the first shape with vertex colours. None: all at the same time.",
        check=_sweep,
        schema={"type": "string"},
    )
    sweep_length: float = option(
        default=0.5, doc="Fraction of each motion until the last particles start.", above=0, below=1
    )

    def poses(self, result: Any, frames: Sequence[Any] | None = None) -> list[Pose]:
        """Return the state of each image.

        Args:
            result: A `MorphResult`.
            frames: The frames to pass through, in order; all frames if None. A single one is shown as a still.

        Raises:
            ConfigError: If the holds leave no time for the motions, a frame is not one of the result, or the painted
                mesh has no vertex colours.
        """
        track = Track(result)
        keys = list(range(len(track.frames))) if frames is None else [track.number(frame) for frame in frames]
        if not keys:
            raise ConfigError("frames: expected at least one frame, got none")
        if len(keys) == 1:
            return [Pose(track, float(keys[0]), 0.0)]
        stops = [keys[0], *(leg.last for leg in track.legs if keys[0] < leg.last < keys[-1]), keys[-1]]
        loop = track.loop and (keys[0], keys[-1]) == (0, len(track.frames) - 1)
        held = round(self.hold * self.fps)
        through = [sorted({a, b, *(key for key in keys if a < key < b)}) for a, b in pairwise(stops)]
        counts = self._counts([len(path) - 1 for path in through], held, loop)
        delays = _Delays(track, self.start_sweep)
        places: list[float | Array] = [float(stops[0])] * (1 + held)
        for path, count in zip(through, counts, strict=True):
            for step in range(1, count):
                passed = self._passed(step / count, delays(path[0]))
                place = np.interp(passed, np.linspace(0.0, 1.0, len(path)), path)
                places.append(float(place) if np.ndim(place) == 0 else place)
            places += [float(path[-1])] * (1 + held)
        if loop:
            del places[-1 - held :]
        return [Pose(track, place, n / self.fps) for n, place in enumerate(places)]

    def check(self, motions: int, *, loop: bool = False) -> None:
        """Refuse a timeline that does not fit a morph before it runs.

        Args:
            motions: Number of motions from shape to shape.
            loop: Whether the last one returns to the first shape.

        Raises:
            ConfigError: If the holds leave no time for the motions, or the painted mesh has no vertex colours.
            MeshError: If the painted mesh cannot be read.
        """
        self._counts([1] * motions, round(self.hold * self.fps), loop)
        if self.start_sweep is not None and _is_file(self.start_sweep):
            _painted_mesh(Path(self.start_sweep))

    def _passed(self, time: float, delays: float | Array) -> Any:
        """Return the fraction of a motion that has passed at a fraction of its time; of each particle with delays."""
        if isinstance(delays, float):
            u: Any = time
        else:
            u = np.clip((time - self.sweep_length * delays) / (1.0 - self.sweep_length), 0.0, 1.0)
        return u - self.ease * np.sin(2.0 * np.pi * u) / (2.0 * np.pi)

    def _counts(self, stored: list[int], held: int, loop: bool) -> list[int]:
        """Return the number of intervals between images of each motion, `stored` without a duration."""
        if self.duration is None:
            return stored
        legs = len(stored)
        holds = legs if loop else legs + 1
        intervals = round(self.duration * self.fps) - holds * held - (not loop)
        if intervals < legs:
            least = (legs + holds * held + (not loop)) / self.fps
            raise ConfigError(
                f"duration: expected at least {least:.3g} s for {holds} holds of {self.hold:g} s and an image of each "
                f"motion, got {self.duration:g} s; shorten the holds (--hold) or lengthen the film (--duration)"
            )
        return [intervals * (k + 1) // legs - intervals * k // legs for k in range(legs)]


FILM = Timeline(fps=15.0, hold=0.9)
"""Timeline of films, unless another one is chosen."""


@dataclass(frozen=True)
class Span:
    """Frames of one motion from shape to shape."""

    first: int
    """Index of its first frame."""
    last: int
    """Index of its last frame, which is the first one of the next motion."""


class Track:
    """The frames of a morph as a function of a position: the index of a frame, or a fraction between two.

    Args:
        result: A `MorphResult`, or an object with `frames`.
    """

    def __init__(self, result: Any) -> None:
        self.result, self.frames = result, list(result.frames)
        stops = [0, *(leg.last for leg in getattr(result, "legs", ())[:-1]), len(self.frames) - 1]
        self.legs = [Span(a, b) for a, b in pairwise(stops)]
        """Motions from shape to shape; one for a morph of two shapes."""
        self.loop = bool(getattr(result, "loop", False))
        self._times = np.array([float(getattr(frame, "time", k)) for k, frame in enumerate(self.frames)])

    def number(self, frame: Any) -> int:
        """Return the index of a frame."""
        for k, other in enumerate(self.frames):
            if other is frame:
                return k
        raise ConfigError("frames: expected frames of the result, got another one")

    def place(self, frame: Any) -> float | Array:
        """Return the position of a pose, or of a frame by its time; one per particle in a sweep."""
        if isinstance(frame, Pose):
            return frame.place
        return float(np.interp(frame.time, self._times, np.arange(len(self._times))))

    def leg_at(self, place: float | Array) -> int:
        """Return the number of the motion of a position: the earlier one at a shape between two."""
        middle = float(np.max(place))
        return next((k for k, leg in enumerate(self.legs) if middle <= leg.last), len(self.legs) - 1)

    def blend(
        self,
        values: Sequence[Array] | Array,
        place: float | Array,
        first: int = 0,
        mix: Callable[[Array, Array, float | Array], Array] | None = None,
    ) -> Array:
        """Interpolate between the values of frames, shape (N, ...), of which frame `first` is the first.

        `mix` is a function of two values and the weight of the second; None interpolates linearly.
        """
        mix, before = mix or linear, np.minimum(np.floor(place), len(self.frames) - 1).astype(int)
        weight = place - before
        if isinstance(place, float):
            k = int(before) - first
            return values[k] if weight == 0.0 else mix(values[k], values[k + 1], weight)
        blended = np.empty(values[0].shape, _real(values[0].dtype))
        for k in np.unique(before) - first:
            rows = np.flatnonzero(before == k + first)
            a, w = values[k][rows], weight[rows]
            blended[rows] = mix(a, values[k + 1][rows], w) if w.any() else a
        return blended


@short_repr
@dataclass(frozen=True, eq=False)
class Pose:
    """State of the body in one image."""

    track: Track
    place: float | Array
    """Position in the frames: an index, or a fraction between two; one per particle, shape (N,), during a sweep."""
    time: float
    """Time in the film [s]."""

    @cached_property
    def x(self) -> Array:
        """Positions, shape (N, 3), interpolated linearly."""
        return self.track.blend([frame.x for frame in self.track.frames], self.place)

    @cached_property
    def F(self) -> Array | None:
        """Elastic deformation gradients, shape (N, 3, 3), interpolated as `between` does."""
        return self._gradients("F")

    @cached_property
    def G(self) -> Array | None:
        """Motion gradients since the start of the motion between two shapes, likewise."""
        return self._gradients("G")

    def same(self, other: Pose) -> bool:
        """Return whether both show the same state."""
        return isinstance(self.place, float) and isinstance(other.place, float) and self.place == other.place

    def _gradients(self, name: str) -> Array | None:
        arrays: list[Any] = [getattr(frame, name, None) for frame in self.track.frames]
        if any(array is None for array in arrays):
            return None
        first = self.track.legs[self.track.leg_at(self.place)].first
        if name == "G" and first > 0:  # the motion starts again at each shape
            arrays[first] = np.broadcast_to(np.eye(3, dtype=arrays[first].dtype), arrays[first].shape)
        return self.track.blend(arrays, self.place, mix=between)


def evaluated(frames: Iterable[Any]) -> Iterator[Any]:
    """Yield frames, and copies of poses, with which the arrays that they have computed are freed."""
    for frame in frames:
        yield replace(frame) if isinstance(frame, Pose) else frame


def linear(a: Array, b: Array, weight: float | Array) -> Array:
    """Interpolate linearly between arrays of N rows; the weight is a number in [0, 1], or one per row."""
    w = weight if isinstance(weight, float) else np.reshape(weight, (-1, *(1,) * (a.ndim - 1)))
    return np.asarray((1.0 - w) * a + w * b, _real(a.dtype))


def _real(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def between(a: Array, b: Array, weight: float | Array) -> Array:
    """Interpolate between matrices with positive determinants; so is that of the result.

    With the polar decomposition b a^-1 = R P it is R^w (I + w (P - I)) a: the rotation turns at a constant rate, and
    the stretch changes linearly.

    Args:
        a: Matrices at weight 0, shape (N, 3, 3).
        b: Matrices at weight 1, shape (N, 3, 3).
        weight: Number in [0, 1], or one per matrix, shape (N,).

    References:
        Shoemake and Duff 1992, Matrix animation and polar decomposition.
    """
    from scipy.spatial.transform import Rotation

    start = a.astype(np.float64)
    u, stretches, vt = np.linalg.svd(b.astype(np.float64) @ np.linalg.inv(start))
    flip = np.where(np.linalg.det(u @ vt) < 0.0, -1.0, 1.0)
    u[:, :, 2] *= flip[:, None]
    stretches[:, 2] *= flip
    w = np.broadcast_to(np.asarray(weight, np.float64), len(a))[:, None]
    turned = Rotation.from_rotvec(w * Rotation.from_matrix(u @ vt).as_rotvec()).as_matrix()
    stretch = (vt.transpose(0, 2, 1) * (1.0 + w * (stretches - 1.0))[:, None, :]) @ vt
    return np.asarray(turned @ stretch @ start, a.dtype)


class _Delays:
    """Start of each particle in a motion, from 0 for the first to 1 for the last; 0.0 without a sweep."""

    def __init__(self, track: Track, sweep: str | None) -> None:
        self._track, self._sweep = track, sweep
        self._painted = _painted(track.result, Path(sweep)) if sweep is not None and _is_file(sweep) else None

    def __call__(self, first: int) -> float | Array:
        """Return the delays in the motion that begins at a frame."""
        if self._sweep is None:
            return 0.0
        if self._painted is not None:
            return self._painted
        x = self._track.frames[first].x.astype(np.float64)
        if self._sweep in _DIRECTIONS:
            axis, way = _DIRECTIONS[self._sweep]
            along = way * x[:, axis]
        else:
            along = _RADIAL[self._sweep] * np.linalg.norm(x - x.mean(axis=0), axis=1)
        return np.asarray((along - along.min()) / max(float(np.ptp(along)), np.finfo(np.float64).tiny))


def _is_file(sweep: str) -> bool:
    return sweep not in _DIRECTIONS and sweep not in _RADIAL


def _painted_mesh(path: Path) -> Mesh:
    try:
        mesh = load_mesh(path)
    except MeshError as error:
        raise ConfigError(f"start_sweep: expected a mesh with vertex colours, got {str(path)!r} ({error})") from None
    if mesh.appearance is None or mesh.appearance.colors is None:
        raise ConfigError(
            f"start_sweep: expected a mesh with vertex colours, got none in {str(path)!r}; paint the first shape and "
            "save it as .ply, .glb or .obj"
        )
    return mesh


def _painted(result: Any, path: Path) -> Array:
    """Return the brightness of each particle of the first frame on a painted mesh, shape (N,)."""
    mesh, placement = _painted_mesh(path), result.placement
    x = placement.fit.inverse()(result.frames[0].x + np.array(placement.origin))
    return np.asarray(display_color(mesh.colors_at(x)).mean(axis=1), np.float64)
