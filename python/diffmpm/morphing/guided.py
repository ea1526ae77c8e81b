# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The objective of a guided morph: physics losses plus images of the body's surface, balanced in every window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._arrays import Array, Constant, Rows, append, device_of, dot, peak, place
from ..errors import ConfigError
from ..losses import ImageLoss, Images, Loss
from ..mpm import Rollout
from ..render import Camera, Raster, rasterize
from ..surface import Binding, Gaussians, SurfaceConfig, bind
from ..types import Particles
from .guidance import RenderGuidance
from .objective import Evaluation, History
from .problem import Problem

OPACITY = 0.9
"""Opacity of each Gaussian: below the clamp of the rasteriser, so that its middle has a gradient too."""

BALL = 0.5
"""Standard deviation, in spacings, of the ball that stands for a particle: it covers about its own volume."""

TARGET_SAMPLES = 4
"""Samples of the target whose images are averaged: those of a single one show where its particles happen to lie."""

SETTLED = 0.01
"""Part of the first physics loss at which the images have their whole share."""


class ImageGuide:
    """Cameras, target images and image losses of a morph, in canonical units.

    Args:
        problem: The morph.
        guidance: Its options.

    Raises:
        ConfigError: If a loss needs an image that the views do not have.
    """

    def __init__(self, problem: Problem, guidance: RenderGuidance) -> None:
        self.guidance = guidance
        self._surface = SurfaceConfig(spacing=problem.spacing)
        self._kind = problem.body.dtype
        self._ball = self._kind.type((BALL * problem.spacing) ** 2)
        if guidance.views is None:
            radius = max(float(np.linalg.norm(x, axis=1).max()) for x in (problem.target, problem.body.x))
            self.cameras: tuple[Camera, ...] = tuple(guidance.cameras(radius))
            self.losses = guidance.chosen_losses(depth=True)
            shots = (self._rendered(problem.target if n == 0 else problem.resample(n)) for n in range(TARGET_SAMPLES))
            self.target = mean_images(list(shots))
        else:
            views = guidance.views.canonical(problem.scale, problem.center)
            self.cameras = tuple(views.cameras)
            self.losses = guidance.chosen_losses(depth=views.depth is not None)
            depth = None if views.depth is None else views.depth * views.alpha
            given = [None if a is None else a.astype(self._kind) for a in (views.alpha, depth, views.normals)]
            self.target = Images(*given)
        self._targets = {"cpu": self.target}
        for loss in self.losses:
            for name in loss.needs:
                if name != "covars" and getattr(self.target, name) is None:
                    field = {"color": "normals"}.get(name, name)
                    raise ConfigError(f"losses: expected views with {field} for {loss.name}, got none; add {field}")

    def target_on(self, device: str) -> Images:
        """Return the target's images on a device."""
        if device not in self._targets:
            self._targets[device] = self.target.to(device)
        return self._targets[device]

    def bind(self, x: Array, F: Array) -> Binding:
        """Return a fresh binding of the surface."""
        return bind(x, F, samples=self.guidance.samples, config=self._surface)

    def drawn(self, binding: Binding) -> Rows:
        """Return the particles that are drawn: those of the outer layer, and what has left the body."""
        return Rows(np.flatnonzero(binding.outer) if self.guidance.particles else np.empty(0, dtype=np.int64))

    def look(self, gaussians: Gaussians, drawn: Rows) -> tuple[Raster, Images]:
        """Return the images of Gaussians and particles from all cameras; colours are the normals of the surface."""
        colored = any("color" in loss.needs for loss in self.losses)
        means, covars, device = gaussians.means, gaussians.covars, device_of(gaussians.means)
        colors = gaussians.normals if colored else place(np.zeros((gaussians.count, 1), means.dtype), device)
        if len(drawn):
            x = drawn.take(gaussians.x)
            means = append(means, x)
            covars = append(covars, place(self._ball * identities(x), device))
            colors = append(colors, place(np.zeros((len(x), colors.shape[1]), x.dtype), device))
        raster = rasterize(means, covars=covars, opacities=OPACITY, colors=colors, cameras=self.cameras)
        color = raster.color if colored else None
        return raster, Images(raster.alpha, raster.depth, color, gaussians.covars)

    def _rendered(self, x: Array) -> Images:
        eye = identities(x)
        binding = self.bind(x, eye)
        return self.look(binding.evaluate(x, eye), self.drawn(binding))[1]


class SurfaceImages:
    """Image losses of a rollout's end, seen on the surface as it was bound where the window starts.

    Args:
        guide: Cameras, target images and losses.
        body: State at the start of the window.
        progress: Progress of the morph from 0 to 1, for the schedules.
    """

    def __init__(self, guide: ImageGuide, body: Particles, progress: float) -> None:
        self._guide, self._progress = guide, progress
        eye = identities(body.x)
        self._eye = Constant(eye)
        self._binding = guide.bind(body.x, body.F if guide.guidance.through == "F" else eye)
        self._drawn = guide.drawn(self._binding)

    def view(self, roll: Rollout) -> View:
        """Return what the cameras see, without its gradient yet."""
        through, device = self._guide.guidance.through, roll.particles.device
        F = self._eye.on(device) if through == "x" else roll.G if through == "G" else roll.F
        gaussians = self._binding.evaluate(roll.x, F)
        raster, images = self._guide.look(gaussians, self._drawn)
        target, losses = self._guide.target_on(device), self._guide.losses
        return View(through, gaussians, self._drawn, raster, images, target, losses, self._progress)


@dataclass(frozen=True, eq=False)
class View:
    """Images of one rollout's end; value and gradient are worked out when asked for."""

    through: str
    gaussians: Gaussians
    drawn: Rows
    raster: Raster
    images: Images
    target: Images
    losses: tuple[ImageLoss, ...]
    progress: float

    @cached_property
    def terms(self) -> dict[str, float]:
        """Value of each loss, weight included."""
        total: dict[str, float] = {}
        for value in self._values:
            for name, term in value.terms.items():
                total[name] = total.get(name, 0.0) + term
        return total

    @property
    def value(self) -> float:
        """Sum of the terms."""
        return sum(self.terms.values())

    @cached_property
    def adj(self) -> dict[str, Array]:
        """Cotangents of the rollout's end, as keyword arguments of `Rollout.vjp`."""
        sums: dict[str, Array] = {}
        for value in self._values:
            for name, adj in value.adj.items():
                sums[name] = sums[name] + adj if name in sums else adj
        adj_covars = sums.pop("adj_covars", None)
        pulled = self.raster.vjp(**sums, wrt=("means", "covars", "colors"))
        assert pulled.means is not None and pulled.covars is not None and pulled.colors is not None
        m = self.gaussians.count  # the first m are the surface, all others are balls at the particles
        covars = pulled.covars[:m] if adj_covars is None else pulled.covars[:m] + adj_covars
        normals = pulled.colors[:m] if self.images.color is not None else None
        adj_x, adj_F = self.gaussians.vjp(pulled.means[:m], covars, normals)
        self.drawn.add(adj_x, pulled.means[m:])
        return {"adj_x": adj_x} if self.through == "x" else {"adj_x": adj_x, f"adj_{self.through}": adj_F}

    @cached_property
    def _values(self) -> list[Any]:
        return [loss.evaluate(self.images, self.target, progress=self.progress) for loss in self.losses]


class GuidedObjective:
    """Losses of the body plus weighted images of its surface, Eq. 5.1.

    The weight is fixed by the first rollout of each window, which is that without control.

    Args:
        physics: Losses of the body.
        guide: Cameras, target images and losses.
        windows: Largest number of windows of the morph.
    """

    weight = 0.0
    """Weight of the images in this window."""

    def __init__(self, physics: Loss, guide: ImageGuide, windows: int) -> None:
        self.physics, self.guide, self.windows = physics, guide, windows
        self._image: SurfaceImages | None = None
        self._first: list[float] | None = None  # physics and images at the start of the morph
        self._start: list[float] | None = None  # of the window
        self._balance: dict[str, float] = {}
        self._gradients: tuple[Evaluation, Array, Array] | None = None  # of the last evaluation that asked for them

    def begin_window(self, body: Particles, history: History) -> GuidedObjective:
        """Return the objective of the window that starts at `body`: its surface is bound there."""
        bound = GuidedObjective(self.physics, self.guide, self.windows)
        bound._image = SurfaceImages(self.guide, body.to("cpu"), len(history) / max(1, self.windows - 1))
        if history and "guidance" in history[0]:
            bound._first = history[0]["guidance"]["start"]
        return bound

    def evaluate(self, roll: Rollout) -> Evaluation:
        """Return the objective of a rollout's end."""
        assert self._image is not None
        physics, image = self.physics.evaluate(roll), self._image.view(roll)
        if self._start is None:
            self._start = [float(physics.value), float(image.value)]
            self._fix_weight(roll, Evaluation(0.0, {}, (physics, image)))
        terms = {**physics.terms, **{name: self.weight * term for name, term in image.terms.items()}}
        return Evaluation(float(physics.value + self.weight * image.value), terms, (physics, image))

    def gradient(self, roll: Rollout, evaluation: Evaluation) -> Array:
        """Return the gradient in the controls, shape (L, N, 3, 3), conflicts resolved by Eq. 5.3 if asked for."""
        of_physics, of_image = self.gradients(roll, evaluation)
        kind = of_physics.dtype.type
        total: Array = of_physics + kind(self.weight) * of_image
        if self.guide.guidance.conflict == "project":
            against, p = dot(of_physics, of_image), norm(of_physics)
            if against < 0.0 and p > 0.0:
                total -= kind(self.weight * against / p**2) * of_physics
        return total

    def gradients(self, roll: Rollout, evaluation: Evaluation) -> tuple[Array, Array]:
        """Return the gradients of both parts in the controls, unweighted; those of the last evaluation are cached."""
        image = evaluation.parts[1]
        if self._gradients is None or self._gradients[0].parts[1] is not image:
            physics, images = (roll.vjp(**part.adj, wrt=("control",)).control for part in evaluation.parts)
            assert physics is not None and images is not None
            self._gradients = evaluation, physics, images
        return self._gradients[1:]

    def report(self, evaluation: Evaluation) -> dict[str, Any]:
        """Return the merit, (5.1) with weights that never change, and what a window reports about its guidance."""
        physics, image = evaluation.parts
        assert self._start is not None
        share, start = self.guide.guidance.share, self._first or self._start
        parts = zip((1.0 - share, share), (physics.value, image.value), start, strict=True)
        guidance = {
            "weight": self.weight,
            **self._balance,
            "physics": float(physics.value),
            "image": image.value,
            "terms": dict(image.terms),
            "start": start,
        }
        return {
            "merit": float(sum(w * now / then if then > 0.0 else 0.0 for w, now, then in parts)),
            "guidance": guidance,
        }

    def _fix_weight(self, roll: Rollout, evaluation: Evaluation) -> None:
        """Fix the weight so that the images have their share of the gradient.

        Eq. 5.2: with norms p and i of both gradients in the controls and share s, the weight is s / (1 - s) * p / i.
        """
        of_physics, of_image = self.gradients(roll, evaluation)
        first = None if self._first is None else self._first[0]
        share = self.guide.guidance.share * settled(float(evaluation.parts[0].value), first)
        p, i = norm(of_physics), norm(of_image)
        if np.isfinite(p) and np.isfinite(i) and i > 0.0:
            self.weight = share / (1.0 - share) * p / i
        along = dot(of_physics, of_image) / (p * i) if p * i > 0.0 else 0.0
        weighted = self.weight * i
        self._balance = {"share": weighted / (p + weighted) if weighted > 0.0 else 0.0, "cosine": along}


def settled(physics: float, first: float | None) -> float:
    """Return how far the body has settled: 0 where the morph starts, 1 where the physics losses are `SETTLED` of that.

    Between, it grows with the logarithm of the loss. While the body is still on its way, images would move its outer
    particles ahead of those within, which loosens the skin for good.
    """
    if first is None or first <= 0.0:
        return 0.0
    if physics <= SETTLED * first:
        return 1.0
    return max(0.0, float(np.log(physics / first) / np.log(SETTLED)))


def mean_images(shots: list[Images]) -> Images:
    """Return the mean of images of one kind; covariances, which have no order in common, are left out."""
    stacks = {name: [getattr(shot, name) for shot in shots] for name in ("alpha", "depth", "color")}
    means = {name: np.mean(stack, axis=0) for name, stack in stacks.items() if stack[0] is not None}
    return Images(**{name: mean.astype(stacks[name][0].dtype, copy=False) for name, mean in means.items()})


def norm(array: Array) -> float:
    """Return the L2 norm; squares of tiny float32 numbers do not underflow."""
    largest = peak(array)
    if not np.isfinite(largest) or largest == 0.0:
        return largest
    scaled = array / array.dtype.type(largest)
    return largest * float(np.sqrt(dot(scaled, scaled)))


def identities(x: Array) -> Array:
    """Return N unit matrices in the dtype of positions, shape (N, 3, 3)."""
    return np.ascontiguousarray(np.broadcast_to(np.eye(3, dtype=x.dtype), (len(x), 3, 3)))
