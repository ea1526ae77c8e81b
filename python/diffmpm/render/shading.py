# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Lambert and Blinn-Phong shading of points with normals, and its exact adjoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from .._arrays import Array, ArrayLike, as_array, as_names, as_positive, ndim
from .._repr import short_repr
from ..errors import ConfigError

Input = Literal["normals", "points", "albedo"]
WRT: tuple[Input, ...] = get_args(Input)


def _triple(value: ArrayLike, name: str) -> tuple[float, float, float]:
    array = as_array(value, name, (3,))
    return float(array[0]), float(array[1]), float(array[2])


def _direction(value: ArrayLike, name: str) -> tuple[float, float, float]:
    array = np.array(_triple(value, name))
    length = float(np.linalg.norm(array))
    if length == 0.0:
        raise ConfigError(f"{name}: expected a direction of non-zero length, got {tuple(array.tolist())}")
    return _triple(array / length, name)


def _color(value: ArrayLike, name: str) -> tuple[float, float, float]:
    color = _triple(value, name)
    if min(color) < 0.0:
        raise ConfigError(f"{name}: expected intensities >= 0, got {color}")
    return color


@short_repr
@dataclass(frozen=True)
class DirectionalLight:
    """Parallel light from far away."""

    direction: tuple[float, float, float]
    """Direction of travel, of any length above 0."""
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Intensity of each channel."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", _direction(self.direction, "direction"))
        object.__setattr__(self, "color", _color(self.color, "color"))


@short_repr
@dataclass(frozen=True)
class PointLight:
    """Light from a point."""

    position: tuple[float, float, float]
    """Position of the light [m]."""
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Intensity of each channel."""
    reference_distance: float | None = None
    """Distance r0 [m] of that intensity, which falls off as (r0 / r)^2; None for no falloff."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "position", _triple(self.position, "position"))
        object.__setattr__(self, "color", _color(self.color, "color"))
        if self.reference_distance is not None:
            as_positive(self.reference_distance, "reference_distance")


Light = DirectionalLight | PointLight


@short_repr
@dataclass(frozen=True)
class ShadingGradients:
    """Gradients of a scalar with respect to the inputs of `shade`; None where `wrt` does not name them.

    Arrays have the dtype of the normals. The unit is that of the scalar over that of the input.
    """

    normals: Array | None = None
    """Shape (N, 3); orthogonal to the normals, whose length has no effect."""
    points: Array | None = None
    """Shape (N, 3)."""
    albedo: Array | None = None
    """Shape (N, 3) or (3,), that of the argument."""


@dataclass(frozen=True)
class _Reflection:
    """Reflection of one light at every point, stored for the adjoint."""

    light: Array  # unit vectors towards the light (N, 3)
    distance: Array  # (N, 1)
    strength: Array  # incident intensity (N, 1)
    diffuse: Array  # cosine, at least 0 (N, 1)
    half: Array  # unit half vectors (N, 3)
    half_length: Array  # before normalization (N, 1)
    cosine: Array  # of normal and half vector, at least 0 (N, 1)
    specular: Array  # (N, 1)


@short_repr
class Shading:
    """Shaded colours, made by `shade`; stores copies of what the adjoint needs."""

    def __init__(
        self, normals: Array, points: Array, albedo: Array, eye: Array | None, lights: Sequence[Light],
        ambient: float, diffuse: float, specular: float, shininess: float, two_sided: bool,
    ) -> None:  # fmt: skip
        self._normals, self._points, self._albedo, self._lights = normals, points, albedo, tuple(lights)
        self._ambient, self._diffuse, self._specular, self._shininess = ambient, diffuse, specular, shininess
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        self._inverse_length = np.divide(1, length, out=np.zeros_like(length), where=length > 0)
        self._unit = normals * self._inverse_length
        self._view: Array | None = None
        self._view_distance: Array | None = None
        if eye is not None:
            self._view, self._view_distance = _towards(eye - points)
        self._two_sided = two_sided
        self._reflections = [self._reflect(light) for light in self._lights]
        self.color = self._color()
        """Colours, shape (N, 3)."""

    def vjp(self, adj_color: ArrayLike, wrt: Iterable[Input] | Input = WRT) -> ShadingGradients:
        """Run the exact adjoint: gradients of sum <adj_color, color>.

        At a cosine of 0, where a surface turns away from the light or the half vector, the derivative is zero.

        Args:
            adj_color: Cotangent of `color`, of its shape and dtype.
            wrt: Inputs to differentiate by: normals, points, albedo.

        Raises:
            ConfigError: If a shape, dtype or name is wrong.
        """
        names = as_names(wrt, "wrt", WRT)
        adj = as_array(adj_color, "adj_color", self.color.shape, self.color.dtype)
        adj_unit, adj_points, adj_albedo = np.zeros_like(adj), np.zeros_like(adj), self._ambient * adj
        adj_view = np.zeros_like(adj)
        for light, r in zip(self._lights, self._reflections, strict=True):
            color = np.asarray(light.color, adj.dtype)
            adj_albedo = adj_albedo + adj * color * (self._diffuse * r.strength * r.diffuse)
            self._reflect_vjp(light, r, adj * color, adj_unit, adj_points, adj_view)
        if self._view is not None and self._view_distance is not None:
            adj_points -= _unit_vjp(self._view, self._view_distance, adj_view)
        along = np.sum(adj_unit * self._unit, axis=1, keepdims=True)
        gradients = {
            "normals": (adj_unit - along * self._unit) * self._inverse_length,
            "points": adj_points,
            "albedo": adj_albedo if self._albedo.ndim == 2 else adj_albedo.sum(axis=0),
        }
        return ShadingGradients(**{name: gradients[name] for name in names})

    def _reflect(self, light: Light) -> _Reflection:
        n, dtype = self._unit, self._unit.dtype
        if isinstance(light, DirectionalLight):
            towards = np.broadcast_to(-np.asarray(light.direction, dtype), n.shape)
            distance = strength = np.ones((len(n), 1), dtype)
        else:
            towards, distance = _towards(np.asarray(light.position, dtype) - self._points)
            strength = np.ones_like(distance)
            if light.reference_distance is not None:
                strength = np.divide(
                    light.reference_distance, distance, out=np.zeros_like(distance), where=distance > 0
                )
                strength = strength * strength
        side = self._side(towards)
        diffuse = np.maximum(np.sum(n * towards, axis=1, keepdims=True) * side, 0)
        if self._view is None:
            empty = np.zeros_like(diffuse)
            return _Reflection(towards, distance, strength, diffuse, np.zeros_like(n), empty, empty, empty)
        half, half_length = _towards(towards + self._view)
        cosine = np.maximum(np.sum(n * half, axis=1, keepdims=True) * side, 0)
        specular = np.where(diffuse > 0, cosine**self._shininess, 0).astype(dtype, copy=False)
        return _Reflection(towards, distance, strength, diffuse, half, half_length, cosine, specular)

    def _side(self, towards: Array) -> Array:
        """Return -1 where the back of a two-sided surface faces the eye, or else the light; otherwise 1; (N, 1)."""
        if not self._two_sided:
            return np.ones((len(towards), 1), towards.dtype)
        facing = np.sum(self._unit * (towards if self._view is None else self._view), axis=1, keepdims=True)
        return np.where(facing < 0, -1, 1).astype(towards.dtype)

    def _color(self) -> Array:
        out = np.broadcast_to(self._ambient * self._albedo, self._normals.shape).copy()
        for light, r in zip(self._lights, self._reflections, strict=True):
            color = np.asarray(light.color, out.dtype)
            out += color * r.strength * (self._diffuse * r.diffuse * self._albedo + self._specular * r.specular)
        return out

    def _reflect_vjp(
        self, light: Light, r: _Reflection, adj: Array, adj_unit: Array, adj_points: Array, adj_view: Array
    ) -> None:
        """Add the adjoint of one light; `adj` is the cotangent of colour / light colour."""
        side, n = self._side(r.light), self._unit
        of_albedo, of_light = np.sum(adj * self._albedo, axis=1, keepdims=True), np.sum(adj, axis=1, keepdims=True)
        adj_diffuse = np.where(r.diffuse > 0, self._diffuse * r.strength * of_albedo * side, 0)
        adj_unit += adj_diffuse * r.light
        adj_towards = adj_diffuse * n
        if self._view is not None:
            lit = (r.diffuse > 0) & (r.cosine > 0)
            slope = np.power(r.cosine, self._shininess - 1, out=np.zeros_like(r.cosine), where=lit) * self._shininess
            adj_cosine = self._specular * r.strength * of_light * slope * side
            adj_unit += adj_cosine * r.half
            adj_sum = _unit_vjp(r.half, r.half_length, adj_cosine * n)
            adj_towards = adj_towards + adj_sum
            adj_view += adj_sum
        if isinstance(light, PointLight):
            adj_points -= _unit_vjp(r.light, r.distance, adj_towards)
            if light.reference_distance is not None:
                adj_strength = self._diffuse * r.diffuse * of_albedo + self._specular * r.specular * of_light
                # strength = r0^2 / r^2; r decreases as the point moves towards the light.
                fall = np.divide(2 * r.strength, r.distance, out=np.zeros_like(r.distance), where=r.distance > 0)
                adj_points += adj_strength * fall * r.light


def shade(
    normals: ArrayLike,
    points: ArrayLike | None = None,
    *,
    albedo: ArrayLike = (0.8, 0.8, 0.8),
    lights: Light | Sequence[Light] = (DirectionalLight((-0.4, 0.6, -0.7)),),
    eye: ArrayLike | None = None,
    ambient: float = 0.25,
    diffuse: float = 0.75,
    specular: float = 0.0,
    shininess: float = 32.0,
    two_sided: bool = True,
) -> Shading:
    """Shade points by their normals: colours for `rasterize`.

    For lights of colour c, unit vectors l towards the light, v towards the eye, h halfway, and unit normals n:
    color = ambient * albedo + sum c * [diffuse * albedo * max(0, n.l) + specular * max(0, n.h)^shininess].

    Args:
        normals: Normals of any length, shape (N, 3), float32 or float64; a zero normal has the ambient term alone.
        points: Positions [m], shape (N, 3), dtype of the normals; needed for point lights and for an eye.
        albedo: Fraction of light that is reflected, shape (N, 3) or (3,).
        lights: Directional and point lights.
        eye: Camera position [m], three numbers (`Camera.position`); needed for highlights.
        ambient: Factor of the ambient term, at least 0.
        diffuse: Factor of the Lambertian term, at least 0.
        specular: Factor of the Blinn-Phong highlight, at least 0.
        shininess: Exponent of the highlight, at least 1.
        two_sided: Whether a normal that points away from the eye, or without an eye from the light, is flipped.

    Raises:
        ConfigError: If a shape, dtype or value is invalid.

    References:
        Blinn 1977, Models of light reflection for computer synthesized pictures.
    """
    n = as_array(normals, "normals", (None, 3))
    lights = (lights,) if isinstance(lights, DirectionalLight | PointLight) else tuple(lights)
    for light in lights:
        if not isinstance(light, DirectionalLight | PointLight):
            raise ConfigError(f"lights: expected DirectionalLight or PointLight, got {type(light).__name__}")
    factors = [
        as_positive(v, k, zero=True) for k, v in (("ambient", ambient), ("diffuse", diffuse), ("specular", specular))
    ]
    if as_positive(shininess, "shininess") < 1.0:
        raise ConfigError(f"shininess: expected a finite number >= 1, got {shininess:g}")
    if specular > 0.0 and eye is None:
        raise ConfigError("eye: expected the camera position for highlights, got None; pass Camera.position")
    if points is None and (eye is not None or any(isinstance(light, PointLight) for light in lights)):
        raise ConfigError("points: expected positions for a point light or an eye, got None; pass the points")
    x = np.zeros_like(n) if points is None else as_array(points, "points", n.shape, n.dtype)
    a = as_array(albedo, "albedo", (3,) if ndim(albedo, "albedo") == 1 else n.shape, n.dtype).copy()
    position = None if eye is None else as_array(eye, "eye", (3,)).astype(n.dtype)
    return Shading(n, x, a, position, lights, factors[0], factors[1], factors[2], float(shininess), bool(two_sided))


def _towards(offset: Array) -> tuple[Array, Array]:
    """Return unit vectors (N, 3), zero for zero, and lengths (N, 1)."""
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    return np.divide(offset, length, out=np.zeros_like(offset), where=length > 0), length


def _unit_vjp(unit: Array, length: Array, adj: Array) -> Array:
    """Adjoint of the unit vectors of `_towards`; zero where the offset is zero."""
    off = adj - np.sum(adj * unit, axis=1, keepdims=True) * unit
    return np.divide(off, length, out=np.zeros_like(off), where=length > 0)
