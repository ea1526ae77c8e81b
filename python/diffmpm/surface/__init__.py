# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The surface of a particle body: anisotropic Gaussians that follow it, fitted surfaces, and triangle meshes."""

from __future__ import annotations

from .binding import Binding, Gaussians, SurfaceGradients, bind, gaussians, outer_particles, track
from .carrying import CarriedMesh, CarryReport, carry
from .config import SurfaceConfig
from .fitting import FittedSurface, fit_surface
from .meshing import SurfaceMesh, mesh

__all__ = [
    "Binding",
    "CarriedMesh",
    "CarryReport",
    "FittedSurface",
    "Gaussians",
    "SurfaceConfig",
    "SurfaceGradients",
    "SurfaceMesh",
    "bind",
    "carry",
    "fit_surface",
    "gaussians",
    "mesh",
    "outer_particles",
    "track",
]
