# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Objective of a guided morph: physics losses plus images of the body's surface, balanced in each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, ClassVar

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
        self.guidance, self._problem = guidance, problem
        self._surface = SurfaceConfig(spacing=problem.spacing)
        dtype = problem.body.dtype
        self._ball = dtype.type((BALL * problem.spacing) ** 2)
        if guidance.views is None:
            radius = max(float(np.linalg.norm(x, axis=1).max()) for x in (problem.target, problem.body.x))
            self.cameras: tuple[Camera, ...] = tuple(guidance.cameras(radius))
            self.losses = guidance.effective_losses(depth=True)
            self._check_colors(problem)
            self.target = mean_images([self.sample_images(n) for n in range(TARGET_SAMPLES)])
        else:
            views = guidance.views.canonical(problem.scale, problem.center)
            self.cameras = tuple(views.cameras)
            self.losses = guidance.effective_losses(depth=views.depth is not None)
            depth = None if views.depth is None else views.depth * views.alpha
            images = {"alpha": views.alpha, "depth": depth, "normals": views.normals, "color": views.color}
            self.target = Images(**{name: None if a is None else a.astype(dtype) for name, a in images.items()})
            for loss in self.losses:
                for name in loss.needs:
                    if name != "covars" and images[name] is None:
                        raise ConfigError(f"losses: expected views with {name} for {loss.name}, got none; add {name}")
            self._check_colors(problem)
        self._targets = {"cpu": self.target}

    def _check_colors(self, problem: Problem) -> None:
        """Refuse losses of colours if a shape has none."""
        target = self.guidance.views is not None or problem.solid.is_colored
        for side, colored in (("source", problem.source_color is not None), ("target", target)):
            for loss in self.losses:
                if "color" in loss.needs and not colored:
                    raise ConfigError(f"losses: expected a {side} with colours for {loss.name}, got one without")

    @property
    def features(self) -> tuple[str, ...]:
        """Images besides opacity and depth that the losses compare."""
        return tuple(name for name in ("normals", "color") if any(name in loss.needs for loss in self.losses))

    def target_on(self, device: str) -> Images:
        """Return the target images on a device."""
        if device not in self._targets:
            self._targets[device] = self.target.to(device)
        return self._targets[device]

    def sample_loss(self, progress: float) -> float:
        """Return the image loss of a target sample that the target images do not contain; 0 if it is unknown."""
        if self.guidance.views is not None and "color" in self.features:  # the hull of the views has no colours
            return 0.0
        return float(total([loss.evaluate(self._sample, self.target, progress=progress) for loss in self.losses]).value)

    @cached_property
    def _sample(self) -> Images:
        return self.sample_images(TARGET_SAMPLES)

    def bind(self, x: Array, F: Array) -> Binding:
        """Return a new binding of the surface."""
        return bind(x, F, samples=self.guidance.samples, config=self._surface)

    def cover(self, x: Array, F: Array, color: Array | None) -> Covering:
        """Return what covers a body with particles of some colours, shape (N, 3), for `render`."""
        binding = self.bind(x, F)
        outer = np.flatnonzero(binding.outer) if self.guidance.particles else np.empty(0)
        colors = None
        if "color" in self.features:
            assert color is not None  # refused by `_check_colors`
            weights = binding.evaluate(x, F).weights
            colors = np.einsum("mk,mkc->mc", weights, color[binding.parents])
            colors = DeviceCopies(np.concatenate([colors, color[outer.astype(np.int32)]]).astype(x.dtype))
        return Covering(binding, DeviceCopies(outer.astype(np.int32)), colors)

    def render(self, gaussians: Gaussians, covering: Covering) -> tuple[dict[str, Raster], Images]:
        """Return rasters from all cameras by feature, of which the first has opacity and depth, and the images."""
        means, covars, device = gaussians.means, gaussians.covars, device_of(gaussians.means)
        particles, count = covering.particles, covering.particles.array.size
        if count:
            x = _core.take_rows(gaussians.x, particles.on(device))
            means = concatenate(means, x)
            balls = np.tile(self._ball * np.eye(3, dtype=x.dtype), (count, 1, 1))
            covars = concatenate(covars, move_to(balls, device))
        rasters = {}
        for name in self.features or ("none",):
            if name == "normals":
                colors = concatenate(gaussians.normals, move_to(np.zeros((count, 3), means.dtype), device))
            elif covering.colors is not None:
                colors = covering.colors.on(device)
            else:
                colors = move_to(np.zeros((means.shape[0], 1), means.dtype), device)
            rasters[name] = rasterize(means, covars=covars, opacities=OPACITY, colors=colors, cameras=self.cameras)
        first = next(iter(rasters.values()))
        features = {name: rasters[name].color for name in self.features}
        return rasters, Images(first.alpha, first.depth, covars=gaussians.covars, **features)

    def sample_images(self, number: int) -> Images:
        """Return the images of a target sample; see `Problem.resample`."""
        x = self._problem.resample(number)
        eye = identities(x)
        covering = self.cover(x, eye, self._problem.solid.colors_at(x))
        return self.render(covering.binding.evaluate(x, eye), covering)[1]


@dataclass(frozen=True, eq=False)
class Covering:
    """What is drawn of a body: Gaussians on its surface, and particles."""

    binding: Binding
    particles: DeviceCopies
    """Indices of the particles to draw: those of the outer layer, and those that have left the body."""
    colors: DeviceCopies | None
    """Constant colours of Gaussians and particles, in linear light, shape (M + P, 3); None if no loss compares them."""


@dataclass(frozen=True, eq=False)
class RenderedSurface:
    """Images of a rollout's end and their losses. The gradient is computed on first use."""

    through: str
    gaussians: Gaussians
    particles: DeviceCopies
    rasters: dict[str, Raster]
    images: Images
    loss: LossValue
    """Image losses, with cotangents of the images."""

    @cached_property
    def adj(self) -> dict[str, Array]:
        """Cotangents of the rollout's end, as keyword arguments of `Rollout.vjp`."""
        adj_images, m = self.loss.adj, self.gaussians.count  # of the rendered Gaussians, the first m are the surface
        means = covars = normals = None
        for name, raster in self.rasters.items():
            first = ("alpha", "depth") if means is None else ()
            adj = {f"adj_{image}": adj_images[f"adj_{image}"] for image in first if f"adj_{image}" in adj_images}
            if f"adj_{name}" in adj_images:
                adj["adj_color"] = adj_images[f"adj_{name}"]
            gradients = raster.vjp(**adj, wrt=("means", "covars", "colors"))
            assert gradients.means is not None and gradients.covars is not None and gradients.colors is not None
            means = gradients.means if means is None else add(means, gradients.means)
            covars = gradients.covars if covars is None else add(covars, gradients.covars)
            if name == "normals":
                normals = gradients.colors[:m]
        assert means is not None and covars is not None
        adj_covars = adj_images.get("adj_covars")
        surface_covars = covars[:m] if adj_covars is None else add(covars[:m], adj_covars)
        adj_x, adj_F = self.gaussians.vjp(means[:m], surface_covars, normals)
        adj_x = _core.add_rows(adj_x, self.particles.on(device_of(adj_x)), means[m:])
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
    allows_groups: ClassVar[bool] = False

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
        F = body.F if self.guidance.through == "F" else eye
        self._covering = self._guide.cover(body.x, F, None if body.color is None else np.asarray(body.color))
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
        gaussians = self._covering.binding.evaluate(roll.x, F)
        rasters, images = guide.render(gaussians, self._covering)
        target = guide.target_on(device)
        loss = total([loss.evaluate(images, target, progress=self._progress) for loss in guide.losses])
        return RenderedSurface(through, gaussians, self._covering.particles, rasters, images, loss)

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
            "fraction": weighted / (p + weighted) if weighted > 0.0 else 0.0,
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
    stacks = {name: [getattr(image, name) for image in images] for name in ("alpha", "depth", "color", "normals")}
    means = {name: np.mean(stack, axis=0) for name, stack in stacks.items() if stack[0] is not None}
    return Images(**{name: mean.astype(stacks[name][0].dtype, copy=False) for name, mean in means.items()})
