# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Options of the surface; `cpp/include/diffmpm/surface/params.hpp` has the same fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .. import _core
from .._options import Configuration, option


class SurfaceConfig(Configuration):
    """Options of surface detection, sampling and Gaussians.

    Raises:
        ConfigError: If a value is out of range; the message names the field.
    """

    sigma0: float = option(
        default=0.75,
        doc="Standard deviation of a Gaussian over the sample spacing. Differentiable.",
        above=0,
        group="Gaussians",
    )
    flatness: float = option(
        default=1.0, doc="Thickness of a Gaussian along the rest normal over its width.", above=0, most=1
    )
    stretch_limit: float = option(
        default=8.0,
        doc=(
            "Largest ratio of the axes of a Gaussian when it is bound; 1 is round. Up to it Sigma0 is round and the "
            "covariance follows F; beyond it Sigma0 removes the excess."
        ),
        least=1,
        most=1000,
    )
    spacing: float | None = option(
        default=None,
        doc="Particle spacing, the cube root of the volume of a particle. None: measured.",
        unit="m",
        above=0,
        group="surface",
    )
    kernel_radius: float = option(
        default=3.0,
        doc="Radius of the density kernel, in particle spacings; larger is smoother and rounds edges.",
        least=1.5,
        most=6,
    )
    smoothing: float = option(
        default=4.0,
        doc="Radius of the patches that remove the noise of particle positions, in spacings; 0 for none.",
        least=0,
        most=8,
    )
    level: float = option(
        default=0.5, doc="Fill fraction at the surface; 1/2 is exact at a flat boundary.", above=0, below=1
    )
    parents: int = option(
        default=8, doc="Number of particles that carry a sample.", least=1, most=int(_core.MAX_PARENTS), group="binding"
    )
    weight_radius: float = option(
        default=2.0,
        doc="Radius of their weights, in particle spacings; larger where the parents are farther away.",
        least=1,
        most=8,
    )
    relaxation: int = option(default=6, doc="Number of relaxation rounds that even out the samples.", least=0, most=200)


def native_params(config: SurfaceConfig) -> Any:
    """Return the native options. sigma0 is not among them; it is an argument of the evaluation."""
    params = _core.SurfaceParams()
    for entry in fields(config):
        if entry.name not in ("sigma0", "spacing"):
            setattr(params, entry.name, getattr(config, entry.name))
    params.spacing = config.spacing or 0.0
    return params
