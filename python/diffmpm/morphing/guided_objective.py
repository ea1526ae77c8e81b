# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Objective of a guided morph: physics losses plus images of the body's surface, balanced in each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from .. import _core
from .._arrays import Array, DeviceCopies, add, add_scaled, concatenate, device_of, dot, identities, move_to, norm
from ..errors import ConfigError
from ..losses import Images, Loss, LossValue
from ..losses.base import total
from ..mpm import Rollout
from ..render import Camera, Raster, rasterize
from ..surface import Binding, Gaussians, SurfaceConfig, bind
from ..types import Particles
from .guidance import RenderGuidance
from .objective import Evaluation, History, LossObjective, control_gradient, progress_of
from .problem import Problem

OPACITY = 0.9
"""Opacity of each Gaussian: below the clamp of the rasteriser, so that the gradient at its centre is not zero."""

BALL = 0.5
"""Standard deviation, in spacings, of the Gaussian of a particle: it covers about the particle's volume."""

TARGET_SAMPLES = 4
"""Number of target samples whose images are averaged, so that they depend less on the positions of single particles."""

SETTLED = 0.01
"""Fraction of the initial physics loss at which the images reach their full fraction of the gradient."""


class ImageGuide:
    """Cameras, target images and image losses of a morph, in canonical units.

    Args:
        problem: The morph.
        guidance: Options.

    Raises:
        ConfigError: If a loss needs an image that the views lack.
    """

    def __init__(self, problem: Problem, guidance: RenderGuidance) -> None:
        self.guidance = guidance
        self._surface = SurfaceConfig(spacing=problem.spacing)
        dtype = problem.body.dtype
        self._ball = dtype.type((BALL * problem.spacing) ** 2)
        if guidance.views is None:
            radius = max(float(np.linalg.norm(x, axis=1).max()) for x in (problem.target, problem.body.x))
            self.cameras: tuple[Camera, ...] = tuple(guidance.cameras(radius))
            self.losses = guidance.effective_losses(depth=True)
            samples = (problem.resample(n) for n in range(TARGET_SAMPLES))
            self.target = mean_images([self.sample_images(x) for x in samples])
        else:
            views = guidance.views.canonical(problem.scale, problem.center)
            self.cameras = tuple(views.cameras)
            self.losses = guidance.effective_losses(depth=views.depth is not None)
            depth = None if views.depth is None else views.depth * views.alpha
            self.target = Images(*(None if a is None else a.astype(dtype) for a in (views.alpha, depth, views.normals)))
        self._targets = {"cpu": self.target}
        self._resample = problem.resample
        for loss in self.losses:
            for name in loss.needs:
                if name != "covars" and getattr(self.target, name) is None:
                    field = {"color": "normals"}.get(name, name)
                    raise ConfigError(f"losses: expected views with {field} for {loss.name}, got none; add {field}")

    def target_on(self, device: str) -> Images:
        """Return the target images on a device."""
        if device not in self._targets:
            self._targets[device] = self.target.to(device)
        return self._targets[device]

    def sample_loss(self, progress: float) -> float:
        """Return the image loss of a target sample that the target images do not contain."""
        return float(total([loss.evaluate(self._sample, self.target, progress=progress) for loss in self.losses]).value)

    @cached_property
    def _sample(self) -> Images:
        return self.sample_images(self._resample(TARGET_SAMPLES))

    def bind(self, x: Array, F: Array) -> Binding:
        """Return a new binding of the surface."""
        return bind(x, F, samples=self.guidance.samples, config=self._surface)

    def visible_particles(self, binding: Binding) -> DeviceCopies:
        """Return the indices of the particles to draw: those of the outer layer, and those that have left the body."""
        outer = np.flatnonzero(binding.outer) if self.guidance.particles else np.empty(0)
        return DeviceCopies(outer.astype(np.int32))

    def render(self, gaussians: Gaussians, particles: DeviceCopies) -> tuple[Raster, Images]:
        """Return the images of Gaussians and particles from all cameras, coloured by the surface normals."""
        colored = any("color" in loss.needs for loss in self.losses)
        means, covars, device = gaussians.means, gaussians.covars, device_of(gaussians.means)
        colors = gaussians.normals if colored else move_to(np.zeros((gaussians.count, 1), means.dtype), device)
        if particles.array.size:
            x = _core.take_rows(gaussians.x, particles.on(device))
            means = concatenate(means, x)
            balls = np.tile(self._ball * np.eye(3, dtype=x.dtype), (len(x), 1, 1))
            covars = concatenate(covars, move_to(balls, device))
            colors = concatenate(colors, move_to(np.zeros((len(x), colors.shape[1]), x.dtype), device))
        raster = rasterize(means, covars=covars, opacities=OPACITY, colors=colors, cameras=self.cameras)
        return raster, Images(raster.alpha, raster.depth, raster.color if colored else None, gaussians.covars)

    def sample_images(self, x: Array) -> Images:
        """Return the images of a target sample."""
        eye = identities(x)
        binding = self.bind(x, eye)
        return self.render(binding.evaluate(x, eye), self.visible_particles(binding))[1]


@dataclass(frozen=True, eq=False)
class RenderedSurface:
    """Images of a rollout's end and their losses. The gradient is computed on first use."""

    through: str
    gaussians: Gaussians
    particles: DeviceCopies
    raster: Raster
    images: Images
    loss: LossValue
    """Image losses, with cotangents of the images."""

    @cached_property
    def adj(self) -> dict[str, Array]:
        """Cotangents of the rollout's end, as keyword arguments of `Rollout.vjp`."""
        adj_images = dict(self.loss.adj)
        adj_covars = adj_images.pop("adj_covars", None)
        gradients = self.raster.vjp(**adj_images, wrt=("means", "covars", "colors"))
        assert gradients.means is not None and gradients.covars is not None and gradients.colors is not None
        m = self.gaussians.count  # the first m Gaussians are the surface, the others are particles
        covars = gradients.covars[:m] if adj_covars is None else add(gradients.covars[:m], adj_covars)
        normals = gradients.colors[:m] if self.images.color is not None else None
        adj_x, adj_F = self.gaussians.vjp(gradients.means[:m], covars, normals)
        adj_x = _core.add_rows(adj_x, self.particles.on(device_of(adj_x)), gradients.means[m:])
        return {"adj_x": adj_x} if self.through == "x" else {"adj_x": adj_x, f"adj_{self.through}": adj_F}


@dataclass(frozen=True)
class GuidedObjective:
    """Losses of the body plus weighted images of its surface.

    Args:
        physics: Objective of the body without images.
        guide: Cameras, target images and losses.
        windows: Largest number of windows of the morph.
    """

    physics: LossObjective
    guide: ImageGuide
    windows: int

    def begin_window(self, body: Particles, history: History) -> GuidedWindow:
        """Return the objective of the window that starts at `body`, where its surface is bound."""
        return GuidedWindow(self, self.physics.window_loss(body), body.to("cpu"), history)

    def sample_loss(self, progress: float) -> list[float]:
        """Return physics and image loss of a second sample of the target."""
        return [self.physics.sample_loss, self.guide.sample_loss(progress)]


class GuidedWindow:
    """Objective of one window. Its first rollout, the one without control, determines the weight of the images.

    Args:
        objective: Objective of the morph.
        physics: Losses of the body in this window.
        body: State at the start of the window, on the CPU.
        history: Records of the previous windows.
    """

    def __init__(self, objective: GuidedObjective, physics: Loss, body: Particles, history: History) -> None:
        self._physics, self._objective = physics, objective
        self._guide, self.guidance = objective.guide, objective.guide.guidance
        self.reads_G = self.guidance.through == "G"
        """Whether it reads the motion gradient of the rollouts."""
        self._progress = progress_of(history, objective.windows)
        eye = identities(body.x)
        self._eye = DeviceCopies(eye)
        self._binding = self._guide.bind(body.x, body.F if self.guidance.through == "F" else eye)
        self._particles = self._guide.visible_particles(self._binding)
        self.first: list[float] | None = None
        """Physics and image loss at the start of the morph; None in the first window."""
        if history and "guidance" in history[0]:
            self.first = history[0]["guidance"]["start"]
        self.start: list[float] | None = None
        """Physics and image loss of this window without control."""
        self.weight = 0.0
        """Weight of the images."""
        self.balance: dict[str, float] = {}
        """Fraction of the images in the gradient, and cosine of the angle between both gradients."""

    def evaluate(self, roll: Rollout) -> Evaluation:
        """Return the sum of physics losses and weighted image losses, Eq. 5.1."""
        physics, surface = self._physics.evaluate(roll, progress=self._progress), self.render(roll)
        image = surface.loss

        @cache
        def gradients() -> tuple[Array, Array]:
            return control_gradient(roll, physics.adj), control_gradient(roll, surface.adj)

        if self.start is None:
            self.start = [float(physics.value), float(image.value)]
            self._set_weight(physics.value, *gradients())
        return Evaluation(
            roll,
            float(physics.value + self.weight * image.value),
            physics.terms | {name: self.weight * term for name, term in image.terms.items()},
            lambda: combined(*gradients(), self.weight, project=self.guidance.conflict == "project"),
            lambda: self._report(physics, image),
        )

    def render(self, roll: Rollout) -> RenderedSurface:
        """Return the images of the surface at the end of a rollout, and their losses."""
        guide, through, device = self._guide, self.guidance.through, roll.particles.device
        F = self._eye.on(device) if through == "x" else roll.G if through == "G" else roll.F
        gaussians = self._binding.evaluate(roll.x, F)
        raster, images = guide.render(gaussians, self._particles)
        target = guide.target_on(device)
        loss = total([loss.evaluate(images, target, progress=self._progress) for loss in guide.losses])
        return RenderedSurface(through, gaussians, self._particles, raster, images, loss)

    def _set_weight(self, physics: float, of_physics: Array, of_images: Array) -> None:
        """Set the weight for which the images have their fraction of the gradient.

        Eq. 5.2: with the norms p and i of both gradients and the fraction s, the weight is s / (1 - s) * p / i.
        """
        fraction = self.guidance.fraction * settled(physics, None if self.first is None else self.first[0])
        p, i = norm(of_physics), norm(of_images)
        if np.isfinite(p) and np.isfinite(i) and i > 0.0:
            self.weight = fraction / (1.0 - fraction) * p / i
        weighted = self.weight * i
        self.balance = {
            "share": weighted / (p + weighted) if weighted > 0.0 else 0.0,
            "cosine": dot(of_physics, of_images) / (p * i) if p * i > 0.0 else 0.0,
        }

    def _report(self, physics: LossValue, image: LossValue) -> dict[str, Any]:
        """Return "guidance", and as "merit" the objective with weights that are the same in all windows.

        "sample_loss" is the merit of a second sample of the target.
        """
        assert self.start is not None
        fraction, first = self.guidance.fraction, self.first or self.start

        def merit(values: Sequence[float]) -> float:
            parts = zip((1.0 - fraction, fraction), values, first, strict=True)
            return float(sum(w * now / start if start > 0.0 else 0.0 for w, now, start in parts))

        return {
            "merit": merit((physics.value, image.value)),
            "sample_loss": merit(self._objective.sample_loss(self._progress)),
            "guidance": {
                "weight": self.weight,
                **self.balance,
                "physics": float(physics.value),
                "image": image.value,
                "terms": dict(image.terms),
                "start": first,
            },
        }


def combined(of_physics: Array, of_images: Array, weight: float, *, project: bool) -> Array:
    """Return the gradient of the sum; `project` removes the component that opposes the physics by Eq. 5.3."""
    gradient = add_scaled(of_physics, weight, of_images)
    if project:
        against, p = dot(of_physics, of_images), norm(of_physics)
        if against < 0.0 and p > 0.0:
            gradient = add_scaled(gradient, -weight * against / p**2, of_physics)
    return gradient


def settled(physics: float, first: float | None) -> float:
    """Return how far the body has settled, on a logarithmic scale of the physics loss.

    0 at the initial loss, 1 at `SETTLED` times the initial loss. Before the body has settled, images would pull its
    outer particles ahead of the inner ones, which loosens the surface permanently.
    """
    if first is None or first <= 0.0:
        return 0.0
    if physics <= SETTLED * first:
        return 1.0
    return max(0.0, float(np.log(physics / first) / np.log(SETTLED)))


def mean_images(images: list[Images]) -> Images:
    """Return the mean images, without covariances, which have no common order."""
    stacks = {name: [getattr(image, name) for image in images] for name in ("alpha", "depth", "color")}
    means = {name: np.mean(stack, axis=0) for name, stack in stacks.items() if stack[0] is not None}
    return Images(**{name: mean.astype(stacks[name][0].dtype, copy=False) for name, mean in means.items()})
