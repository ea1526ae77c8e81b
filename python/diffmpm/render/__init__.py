# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Differentiable rendering of Gaussians: cameras, the rasteriser with its exact adjoint, and shading."""

from .camera import Camera
from .camera_files import read_colmap, read_transforms
from .raster import Raster, RasterGradients, RasterMeta, rasterize
from .shading import DirectionalLight, PointLight, Shading, ShadingGradients, shade

__all__ = [
    "Camera",
    "DirectionalLight",
    "PointLight",
    "Raster",
    "RasterGradients",
    "RasterMeta",
    "Shading",
    "ShadingGradients",
    "rasterize",
    "read_colmap",
    "read_transforms",
    "shade",
]
