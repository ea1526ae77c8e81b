# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The surface of a body as anisotropic Gaussians, and the binding that carries them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np

from .. import _core
from .._arrays import (
    Array,
    ArrayLike,
    InputGuard,
    as_array,
    as_names,
    as_points,
    device_index,
    device_of,
    points_on_host,
    read_only,
    to_host,
)
from .._deprecated import renamed_arguments, renamed_attributes
from .._options import Range, as_integer, as_seed
from .._repr import pictured, short_repr
from ..errors import ConfigError
from .config import SurfaceConfig, native_params

DEFAULT_SAMPLES = 50_000
MOST_SAMPLES = 10_000_000
Input = Literal["x", "F", "sigma0"]
WRT: tuple[Input, ...] = get_args(Input)


@short_repr
class SurfaceGradients(tuple[Array, ...]):
    """Gradients of a scalar with respect to the inputs of the Gaussians; also a tuple, in the order of `wrt`.

    They have the dtype of the positions. The unit is that of the scalar over that of the input.
    """

    x: Array | None = None
    """Positions, shape (N, 3); None where `wrt` does not name them."""
    F: Array | None = None
    """Deformation gradients, shape (N, 3, 3)."""
    sigma0: Array | None = None
    """Standard deviation over the sample spacing, shape (), on the CPU."""

    def __new__(cls, gradients: Mapping[str, Array]) -> SurfaceGradients:
        """Build from the gradients by name, in the order of the tuple."""
        self = super().__new__(cls, gradients.values())
        vars(self).update(gradients)
        return self

    def __getnewargs__(self) -> tuple[dict[str, Array]]:
        return (vars(self),)


@pictured("gaussians")
@short_repr
@renamed_attributes(covs="covars")
@dataclass(frozen=True, eq=False)
class Gaussians:
    """M anisotropic Gaussians on the surface of a body.

    Float arrays have the dtype and device of the positions; `parents` are on the CPU. `x` and `F` alias the caller's
    arrays where these are C-contiguous, `parents` aliases the binding; the others are new.
    """

    means: Array
    """Centres [m], shape (M, 3)."""
    covars: Array
    """Covariances [m^2], shape (M, 3, 3): sigma0^2 F Sigma0 F^T with the interpolated F."""
    normals: Array
    """Outward unit normals, shape (M, 3)."""
    weights: Array
    """Weights of the parents of each sample, shape (M, K); a row adds up to 1."""
    parents: Array
    """Particles that carry each sample, shape (M, K), int32; the nearest when it was bound first."""
    binding: Binding = field(repr=False)
    """The binding that was evaluated."""
    x: Array = field(repr=False)
    """Particle positions [m], shape (N, 3)."""
    F: Array = field(repr=False)
    """Deformation gradients, shape (N, 3, 3)."""
    sigma0: float
    """Standard deviation over the sample spacing."""
    _guard: InputGuard = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_guard", InputGuard("Gaussians", x=self.x, F=self.F))

    @property
    def count(self) -> int:
        """Number of Gaussians M."""
        return int(self.means.shape[0])

    @renamed_arguments(adj_covs="adj_covars")
    def vjp(
        self,
        adj_means: ArrayLike | None = None,
        adj_covars: ArrayLike | None = None,
        adj_normals: ArrayLike | None = None,
        adj_weights: ArrayLike | None = None,
        *,
        wrt: Iterable[Input] | Input = ("x", "F"),
    ) -> SurfaceGradients:
        """Run the exact adjoint at a fixed binding: gradients of sum <adj_y, y> with respect to the particles.

        Args:
            adj_means: Cotangent of `means`, shape (M, 3), on the device of the Gaussians; zero if None.
            adj_covars: Cotangent of `covars`, shape (M, 3, 3); need not be symmetric.
            adj_normals: Cotangent of `normals`, shape (M, 3).
            adj_weights: Cotangent of `weights`, shape (M, K).
            wrt: Inputs to differentiate by: "x", "F", "sigma0".

        Raises:
            ConfigError: If a shape, dtype or name is wrong, or `x` or `F` on the CPU was changed.
        """
        names = as_names(wrt, "wrt", WRT)
        self._guard.check()
        adjoints = {"means": adj_means, "covars": adj_covars, "normals": adj_normals, "weights": adj_weights}
        dtype, device = self.x.dtype, device_of(self.x)
        cotangents = [
            None if adj is None else as_array(adj, f"adj_{name}", getattr(self, name).shape, dtype, device=device)
            for name, adj in adjoints.items()
        ]
        adj_x, adj_F, total = self.binding._native_for(self.x).vjp(self.x, self.F, self.sigma0, *cotangents)
        gradients = {"x": adj_x, "F": adj_F}
        if "sigma0" in names:
            gradients["sigma0"] = np.array(to_host(total), dtype=dtype)
        return SurfaceGradients({name: gradients[name] for name in names})


@short_repr
@dataclass(frozen=True, eq=False)
class Binding:
    """M samples of a surface, each with its parents and its rest offset from them; made by `bind`.

    Evaluated on a moved body, it carries the samples along without flicker. Rest is the frame in which F is the
    identity. A binding has no gradient; its evaluation has. Its read-only arrays are on the CPU and are uploaded to a
    device once, when it is first evaluated there. `dataclasses.replace` checks and copies the arrays.

    Raises:
        ConfigError: If shapes or dtypes are inconsistent, or a parent is not a particle.
    """

    parents: Array
    """Particles that carry each sample, nearest first, shape (M, K), int32."""
    offsets: Array
    """Rest offsets [m] from the parents, shape (M, K, 3), float64."""
    supports: Array
    """Kernel radius [m] of the weights, shape (M,), float64."""
    axes: Array
    """Square root A [m] of the rest covariance over sigma0^2, Sigma0 = A A^T, shape (M, 3, 3), float64."""
    normals: Array
    """Unit rest normals, shape (M, 3), float64."""
    kept: Array
    """Which samples continue a sample of the updated binding, shape (M,), bool."""
    outer: Array
    """Which particles form the outer layer (see `outer_particles`), shape (N,), bool."""
    particles: int
    """Number of particles N."""
    spacing: float
    """Particle spacing [m] when it was bound."""
    config: SurfaceConfig
    """Options of the binding."""
    seed: int
    """Seed of the samples."""
    _native: dict[tuple[str, str], Any] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        particles = as_integer(self.particles, "particles", Range(least=1, most=1 << 31))
        parents = np.asarray(self.parents)
        if parents.ndim != 2 or parents.dtype.kind not in "iu" or not 1 <= parents.shape[1] <= _core.MAX_PARENTS:
            raise ConfigError(
                f"parents: expected integers of shape (N, K) with K from 1 to {_core.MAX_PARENTS}, got {parents.dtype} "
                f"of shape {parents.shape}"
            )
        low, high = int(parents.min(initial=0)), int(parents.max(initial=0))
        if low < 0 or high >= particles:
            raise ConfigError(
                f"parents: expected indices from 0 to {particles - 1}, got {low if low < 0 else high}; "
                "bind the samples to this body"
            )
        m, k = parents.shape
        shapes = {"offsets": (m, k, 3), "supports": (m,), "axes": (m, 3, 3), "normals": (m, 3)}
        arrays = {name: as_array(getattr(self, name), name, shape, np.float64) for name, shape in shapes.items()}
        for name, size in (("kept", m), ("outer", particles)):
            arrays[name] = np.asarray(getattr(self, name), dtype=bool)
            if arrays[name].shape != (size,):
                raise ConfigError(f"{name}: expected shape ({size},), got {arrays[name].shape}")
        arrays["parents"] = np.ascontiguousarray(parents, dtype=np.int32)
        for name, array in arrays.items():
            object.__setattr__(self, name, read_only(array))

    def __reduce__(self) -> tuple[Any, ...]:
        return Binding, tuple(getattr(self, f.name) for f in fields(self) if not f.name.startswith("_"))

    @property
    def count(self) -> int:
        """Number of samples M."""
        return int(self.parents.shape[0])

    def evaluate(self, x: ArrayLike, F: ArrayLike, *, sigma0: float | None = None) -> Gaussians:
        """Return the Gaussians on a body: smooth in x and F, exact for rigid and affine motions.

        Args:
            x: Positions [m], shape (N, 3), float32 or float64, on the CPU or a CUDA device. Differentiable.
            F: Deformation gradients, or motion gradients, shape (N, 3, 3), same dtype and device. Differentiable.
            sigma0: Standard deviation over the sample spacing; that of `config` if None. Differentiable.

        Raises:
            ConfigError: If a shape, dtype or value is invalid.
        """
        x = as_points(x, "x", device="any")
        F = as_array(F, "F", (x.shape[0], 3, 3), x.dtype, device=device_of(x))
        if x.shape[0] != self.particles:
            raise ConfigError(
                f"x: expected the {self.particles} particles of the binding, got {x.shape[0]}; bind them first"
            )
        sigma0 = self.config.sigma0 if sigma0 is None else self.config.replace(sigma0=sigma0).sigma0
        means, covars, normals, weights = self._native_for(x).evaluate(x, F, sigma0)
        return Gaussians(means, covars, normals, weights, self.parents, self, x, F, sigma0)

    def update(self, x: ArrayLike, F: ArrayLike) -> Binding:
        """Return a binding to a later frame of the same body that retains as many samples as possible.

        Samples still near the surface are projected onto it and stay in their rows. Those inside the body or too close
        to others are resampled where the surface is thinly covered; `kept` marks the others. The surface stays closed
        when a motion turns a body inside out, and changes little between frames.

        Args:
            x: Positions [m], shape (N, 3), float32 or float64. CUDA arrays are copied to the CPU, here and in `bind`.
            F: Deformation gradients, shape (N, 3, 3), same dtype and device.

        Raises:
            ConfigError: If a shape, dtype or value is invalid, or the body has no surface.
        """
        carried = to_host(self.evaluate(x, F).means)
        return _bind(*_body_on_host(x, F), self.count, self.config, self.seed, carried)

    def _native_for(self, x: Array) -> Any:
        """Return the native binding with the device and dtype of the positions; converted and uploaded once."""
        key = x.dtype.name, device_of(x)
        if key not in self._native:
            arrays = (a.astype(x.dtype, copy=False) for a in (self.offsets, self.supports, self.axes, self.normals))
            make = _core.BoundSurface32 if x.dtype == np.float32 else _core.BoundSurface64
            self._native[key] = make(self.parents, *arrays, self.particles, device_index(x))
        return self._native[key]


def gaussians(
    x: ArrayLike, F: ArrayLike, *, samples: int = DEFAULT_SAMPLES, config: SurfaceConfig | None = None, seed: int = 0
) -> Gaussians:
    """Cover the surface of a particle body with anisotropic Gaussians.

    The surface is where the fill fraction is 1/2. Samples are drawn evenly on it, in the metric of F, and bound to the
    particles around them; see `diffmpm.surface.bind`. For a sequence of frames use `diffmpm.surface.track`, which
    carries the samples from frame to frame.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64, on the CPU or a CUDA device. Differentiable through
            `Gaussians.vjp`.
        F: Deformation gradients, shape (N, 3, 3), same dtype; motion gradients G if F was smoothed. Differentiable.
        samples: Number M of Gaussians, at least 1.
        config: Options; the defaults if None.
        seed: Seed of the samples, at least 0; samples do not depend on the number of threads.

    Raises:
        ConfigError: If a shape, dtype or value is invalid, or the particles have no surface.

    References:
        docs/method.md, section 6.
    """
    return bind(x, F, samples=samples, config=config, seed=seed).evaluate(x, F)


def bind(
    x: ArrayLike, F: ArrayLike, *, samples: int = DEFAULT_SAMPLES, config: SurfaceConfig | None = None, seed: int = 0
) -> Binding:
    """Draw samples on the surface of a body and bind them to its particles.

    Arguments and errors as for `diffmpm.gaussians`. Particles whose F does not preserve orientation only translate
    their samples.
    """
    x, F = _body_on_host(x, F)
    count = as_integer(samples, "samples", Range(least=1, most=MOST_SAMPLES))
    return _bind(x, F, count, config or SurfaceConfig(), as_seed(seed), None)


def track(
    frames: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    samples: int = DEFAULT_SAMPLES,
    config: SurfaceConfig | None = None,
    seed: int = 0,
) -> Iterator[Gaussians]:
    """Yield the Gaussians of each frame of a sequence, with the same samples as far as possible.

    Args:
        frames: Pairs (x, F) of the same N particles.
        samples: Number M of Gaussians, at least 1.
        config: Options; the defaults if None.
        seed: Seed of the samples, at least 0.

    Yields:
        Gaussians of each frame; row i is the same sample as in the previous frame where `binding.kept` is set.

    Raises:
        ConfigError: If a shape, dtype or value is invalid, or a frame has no surface.
    """
    binding: Binding | None = None
    for x, F in frames:
        binding = bind(x, F, samples=samples, config=config, seed=seed) if binding is None else binding.update(x, F)
        yield binding.evaluate(x, F)


def outer_particles(x: ArrayLike, *, config: SurfaceConfig | None = None) -> Array:
    """Return which particles form the outer layer of a body: about one layer, none deeper than 1.2 spacings.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64.
        config: Options; the defaults if None.

    Returns:
        Flags, shape (N,), bool.

    Raises:
        ConfigError: If a shape, dtype or value is invalid.
    """
    pos = points_on_host(x).astype(np.float64, copy=False)
    return np.asarray(_core.surface_outer(pos, native_params(config or SurfaceConfig())), dtype=bool)


def _bind(x: Array, F: Array, samples: int, config: SurfaceConfig, seed: int, carried: Array | None) -> Binding:
    x64, F64, carried64 = (None if a is None else a.astype(np.float64, copy=False) for a in (x, F, carried))
    arrays = _core.surface_bind(x64, F64, samples, seed, native_params(config), carried64)
    arrays |= {name: arrays[name].astype(bool) for name in ("kept", "outer")}
    for value in arrays.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False  # so that the binding need not copy it
    return Binding(**arrays, particles=int(x.shape[0]), config=config, seed=seed)


def _body_on_host(x: ArrayLike, F: ArrayLike) -> tuple[Array, Array]:
    pos = points_on_host(x)
    F = as_array(F, "F", (pos.shape[0], 3, 3), pos.dtype, finite=False, device="any")
    return pos, as_array(to_host(F), "F", (pos.shape[0], 3, 3))
