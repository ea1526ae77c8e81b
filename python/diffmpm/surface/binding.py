# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A body's surface as anisotropic Gaussians, and the binding that carries them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np

from .. import _core
from .._arrays import Array, DeviceArray, Kept, as_array, as_names, as_points, device_of, frozen, to_host
from .._deprecated import renamed_arguments, renamed_attributes
from .._options import Range, as_integer
from ..errors import ConfigError
from .config import SurfaceConfig, native_params

DEFAULT_SAMPLES = 50_000
MOST_SAMPLES = 10_000_000
Input = Literal["x", "F", "sigma0"]
WRT: tuple[Input, ...] = get_args(Input)
"""What `Gaussians.vjp` can differentiate by."""


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


@renamed_attributes(covs="covars")
@dataclass(frozen=True, eq=False)
class Gaussians:
    """M anisotropic Gaussians on the surface of a body.

    All float arrays share the dtype of the positions and are where these are; `parents` are on the CPU. `x` and `F` are
    the caller's own arrays where these were C-contiguous, and `parents` is that of the binding; all else is new memory.
    """

    means: Array
    """Centres [m], shape (M, 3)."""
    covars: Array
    """Covariances [m^2], shape (M, 3, 3): sigma0^2 F Sigma0 F^T with the interpolated F."""
    normals: Array
    """Outward unit normals, shape (M, 3)."""
    weights: Array
    """Shares of the parents in each sample, shape (M, K); a row adds up to 1."""
    parents: Array
    """Particles that carry each sample, nearest at the binding first, shape (M, K), int32."""
    binding: Binding = field(repr=False)
    """What the samples keep from frame to frame."""
    x: Array = field(repr=False)
    """Positions [m] they were evaluated at, shape (N, 3)."""
    F: Array = field(repr=False)
    """Deformation gradients they were evaluated at, shape (N, 3, 3)."""
    sigma0: float
    """Standard deviation over the sample spacing."""
    _kept: Kept = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_kept", Kept("Gaussians", x=self.x, F=self.F))

    @property
    def count(self) -> int:
        """Number of Gaussians M."""
        return int(self.means.shape[0])

    @renamed_arguments(adj_covs="adj_covars")
    def vjp(
        self,
        adj_means: object = None,
        adj_covars: object = None,
        adj_normals: object = None,
        adj_weights: object = None,
        *,
        wrt: Iterable[Input] | Input = ("x", "F"),
    ) -> SurfaceGradients:
        """Run the exact adjoint at a fixed binding: gradients of sum <adj_y, y> with respect to the particles.

        Args:
            adj_means: Derivative of a scalar with respect to `means`, shape (M, 3), where the Gaussians are; zero if
                None.
            adj_covars: With respect to `covars`, shape (M, 3, 3); need not be symmetric.
            adj_normals: With respect to `normals`, shape (M, 3).
            adj_weights: With respect to `weights`, shape (M, K).
            wrt: Inputs to differentiate by: "x", "F", "sigma0".

        Raises:
            ConfigError: If a shape, dtype or name does not fit, or `x` or `F` on the CPU is not as it was.
        """
        names = as_names(wrt, "wrt", WRT)
        self._kept.check()
        m, k = self.weights.shape
        shapes = {"adj_means": (m, 3), "adj_covars": (m, 3, 3), "adj_normals": (m, 3), "adj_weights": (m, k)}
        values = (adj_means, adj_covars, adj_normals, adj_weights)
        cotangents = [
            None if value is None else as_array(value, name, shapes[name], self.means.dtype, device=device_of(self.x))
            for name, value in zip(shapes, values, strict=True)
        ]
        if isinstance(self.x, DeviceArray):
            adj_x, adj_F, total = self.binding._uploaded(self.x).vjp(self.x, self.F, self.sigma0, *cotangents)
        else:
            native = self.binding._arrays(self.x.dtype)
            adj_x, adj_F, total = _core.surface_evaluate_vjp(self.x, self.F, *native, self.sigma0, *cotangents)
        gradients = {"x": adj_x, "F": adj_F}
        if "sigma0" in names:
            gradients["sigma0"] = np.array(to_host(total), dtype=self.x.dtype)
        return SurfaceGradients({name: gradients[name] for name in names})


@dataclass(frozen=True, eq=False)
class Binding:
    """M samples of a surface, each with its parents and its rest offset from them; made by `bind`.

    It is what the samples keep over frames: evaluated on a moved body it carries them along without flicker. Rest
    means the frame in which F is the identity. It has no gradient; the evaluation has. Its arrays are on the CPU and go
    to a device once, when it is first evaluated there. They are read-only; `dataclasses.replace` makes another binding,
    checked and with copies of its own.

    Raises:
        ConfigError: If shapes or dtypes do not fit one another, or a parent is no particle.
    """

    parents: Array
    """Particles that carry each sample, nearest first, shape (M, K), int32."""
    offsets: Array
    """Rest offsets [m] from the parents, shape (M, K, 3), float64."""
    supports: Array
    """Radius [m] of the weights' kernel, shape (M,), float64."""
    axes: Array
    """Square root A of the rest covariance over sigma0^2, Sigma0 = A A^T [m^2], shape (M, 3, 3), float64."""
    normals: Array
    """Unit rest normals, shape (M, 3), float64."""
    kept: Array
    """Which samples continue one of the binding that this one updates, shape (M,), bool."""
    outer: Array
    """Which particles form the outer layer, as `outer_particles` finds them, shape (N,), bool."""
    particles: int
    """Number of particles N."""
    spacing: float
    """Distance [m] of the particles where it was bound."""
    config: SurfaceConfig
    """Options it was bound with."""
    seed: int
    """Seed it was bound with."""
    _single: list[tuple[Array, ...]] = field(init=False, default_factory=list, repr=False)
    _device: dict[tuple[str, int], Any] = field(init=False, default_factory=dict, repr=False)

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
            object.__setattr__(self, name, frozen(array))

    def __reduce__(self) -> tuple[Any, ...]:
        return Binding, tuple(getattr(self, f.name) for f in fields(self) if not f.name.startswith("_"))

    @property
    def count(self) -> int:
        """Number of samples M."""
        return int(self.parents.shape[0])

    def evaluate(self, x: object, F: object, *, sigma0: float | None = None) -> Gaussians:
        """Return the Gaussians on a body: smooth in x and F, and exact for rigid and affine motions.

        Args:
            x: Positions [m], shape (N, 3), float32 or float64, on the CPU or a CUDA device. Differentiable.
            F: Deformation gradients, or motion gradients, shape (N, 3, 3), same dtype and device. Differentiable.
            sigma0: Standard deviation over the sample spacing; that of `config` if None. Differentiable.

        Raises:
            ConfigError: If a shape, dtype or value does not fit.
        """
        pos, grads = _body(x, F)
        if pos.shape[0] != self.particles:
            raise ConfigError(
                f"x: expected the {self.particles} particles of the binding, got {pos.shape[0]}; bind them first"
            )
        size = self.config.sigma0 if sigma0 is None else self.config.replace(sigma0=sigma0).sigma0
        if isinstance(pos, DeviceArray):
            found = self._uploaded(pos).evaluate(pos, grads, float(size))
        else:
            found = _core.surface_evaluate(pos, grads, *self._arrays(pos.dtype), float(size))
        means, covars, normals, weights = found
        return Gaussians(means, covars, normals, weights, self.parents, self, pos, grads, float(size))

    def update(self, x: object, F: object) -> Binding:
        """Return a binding to a later frame of the same body that keeps as many samples as it can.

        Samples that still lie on the surface stay, each in its row, and are set back onto it; those that were swallowed
        or crowded are drawn anew where the surface is thinly covered (`kept` tells which). So the surface stays closed
        over a motion that turns the inside of a body out, and little moves from one frame to the next.

        Args:
            x: Positions [m], shape (N, 3), float32 or float64. Arrays of a device are copied to the CPU, here and in
                `bind`: samples are bound there.
            F: Deformation gradients, shape (N, 3, 3), same dtype and device.

        Raises:
            ConfigError: If a shape, dtype or value does not fit, or the body has no surface.
        """
        carried = to_host(self.evaluate(x, F).means)
        return _bind(*_body_on_host(x, F), self.count, self.config, self.seed, carried)

    def _arrays(self, dtype: np.dtype[np.floating]) -> tuple[Array, ...]:
        """Return the native arrays in the precision of the particles; converted once."""
        arrays = (self.offsets, self.supports, self.axes, self.normals)
        if dtype == np.float64:
            return (self.parents, *arrays)
        if not self._single:
            self._single.append(tuple(a.astype(np.float32) for a in arrays))
        return (self.parents, *self._single[0])

    def _uploaded(self, x: DeviceArray) -> Any:
        """Return the native binding on the device and in the precision of the positions; uploaded once."""
        key = x.dtype.name, x.device_index
        if key not in self._device:
            make = _core.DeviceBinding32 if x.dtype == np.float32 else _core.DeviceBinding64
            self._device[key] = make(*self._arrays(x.dtype), self.particles, x.device_index)
        return self._device[key]


def gaussians(
    x: object, F: object, *, samples: int = DEFAULT_SAMPLES, config: SurfaceConfig | None = None, seed: int = 0
) -> Gaussians:
    """Cover the surface of a body of particles with anisotropic Gaussians.

    The surface is where the particles fill half of their neighbourhood. Samples are drawn on it evenly, as F measures
    distances, and bound to the particles around them; see `diffmpm.surface.bind`. A call looks at one frame alone. For
    a sequence of frames use `diffmpm.surface.track`, which keeps the samples from one to the next.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64, on the CPU or a CUDA device. Differentiable through
            `Gaussians.vjp`.
        F: Deformation gradients, shape (N, 3, 3), same dtype; better motion gradients G, where F was smoothed.
            Differentiable.
        samples: Number M of Gaussians, at least 1.
        config: Options; the defaults if None.
        seed: Seed of the samples, at least 0; equal seeds give equal samples for any number of threads.

    Returns:
        The Gaussians, in the dtype of `x`.

    Raises:
        ConfigError: If a shape, dtype or value does not fit, or the particles have no surface.

    References:
        docs/method.md, section 6.
    """
    return bind(x, F, samples=samples, config=config, seed=seed).evaluate(x, F)


def bind(
    x: object, F: object, *, samples: int = DEFAULT_SAMPLES, config: SurfaceConfig | None = None, seed: int = 0
) -> Binding:
    """Draw samples on the surface of a body and bind them to its particles.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64.
        F: Deformation gradients, shape (N, 3, 3), same dtype. A particle whose F does not preserve orientation carries
            its samples by translation.
        samples: Number M of samples, at least 1.
        config: Options; the defaults if None.
        seed: Seed of the samples, at least 0.

    Raises:
        ConfigError: If a shape, dtype or value does not fit, or the particles have no surface.
    """
    return _bind(
        *_body_on_host(x, F),
        as_integer(samples, "samples", Range(least=1, most=MOST_SAMPLES)),
        config or SurfaceConfig(),
        _seed(seed),
        None,
    )


def track(
    frames: Iterable[tuple[object, object]],
    *,
    samples: int = DEFAULT_SAMPLES,
    config: SurfaceConfig | None = None,
    seed: int = 0,
) -> Iterator[Gaussians]:
    """Yield the Gaussians of each frame of a sequence; samples go on from frame to frame wherever they can.

    Args:
        frames: Pairs (x, F) of the same N particles.
        samples: Number M of Gaussians, at least 1.
        config: Options; the defaults if None.
        seed: Seed of the samples, at least 0.

    Yields:
        Gaussians of each frame; row i of one frame and row i of the next are the same sample where
        `binding.kept` of the latter says so.

    Raises:
        ConfigError: If a shape, dtype or value does not fit, or a frame has no surface.
    """
    binding: Binding | None = None
    for x, F in frames:
        binding = bind(x, F, samples=samples, config=config, seed=seed) if binding is None else binding.update(x, F)
        yield binding.evaluate(x, F)


def outer_particles(x: object, *, config: SurfaceConfig | None = None) -> Array:
    """Return which particles form the outer layer of a body: about one layer, none deeper than 1.2 spacings.

    Args:
        x: Positions [m], shape (N, 3), float32 or float64.
        config: Options; the defaults if None.

    Returns:
        Flags, shape (N,), bool.

    Raises:
        ConfigError: If shape, dtype or values do not fit.
    """
    pos = _points_on_host(x).astype(np.float64, copy=False)
    try:
        flags = _core.surface_outer(pos, native_params(config or SurfaceConfig()))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return np.asarray(flags, dtype=bool)


def _bind(x: Array, F: Array, samples: int, config: SurfaceConfig, seed: int, carried: Array | None) -> Binding:
    wide = [None if a is None else a.astype(np.float64, copy=False) for a in (x, F, carried)]
    try:
        found = _core.surface_bind(wide[0], wide[1], samples, seed, native_params(config), wide[2])
    except ValueError as error:
        raise ConfigError(str(error)) from None
    found |= {name: found[name].astype(bool) for name in ("kept", "outer")}
    for value in found.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False  # of the core's own: the binding need not copy it
    return Binding(**found, particles=int(x.shape[0]), config=config, seed=seed)


def _body(x: object, F: object) -> tuple[Array, Array]:
    pos = as_points(x, "x", device="any")
    return pos, as_array(F, "F", (pos.shape[0], 3, 3), pos.dtype, device=device_of(pos))


def _body_on_host(x: object, F: object) -> tuple[Array, Array]:
    pos = _points_on_host(x)
    given = as_array(F, "F", (pos.shape[0], 3, 3), pos.dtype, finite=False, device="any")
    return pos, as_array(to_host(given), "F", (pos.shape[0], 3, 3))


def _points_on_host(x: object) -> Array:
    return as_points(to_host(as_array(x, "x", (None, 3), finite=False, device="any")), "x")


def _seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 64:
        raise ConfigError(f"seed: expected an integer from 0 to 2^64 - 1, got {seed!r}")
    return int(seed)
