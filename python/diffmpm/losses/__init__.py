# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Losses of a rollout and of images. One call returns value and exact gradient; a sum of losses is a loss."""

from __future__ import annotations

from .base import Loss, LossValue, Sum, WeightSchedule
from .image import (
    Color,
    Depth,
    ImageLoss,
    Images,
    ImageSum,
    Normals,
    SilhouetteBCE,
    SilhouetteDistance,
    SilhouetteL1,
    SilhouetteL2,
    SilhouettePyramid,
)
from .mass import Compression, FineMass, Kinetic, LogMass, OutsideMass, SquaredMass
from .structure import SSIM, CovarianceSize, CovarianceSpectrum, EdgeAlignment
from .surface import Proximity, Skin
from .transport import Goals, Transport

__all__ = [
    "SSIM",
    "Color",
    "Compression",
    "CovarianceSize",
    "CovarianceSpectrum",
    "Depth",
    "EdgeAlignment",
    "FineMass",
    "Goals",
    "ImageLoss",
    "ImageSum",
    "Images",
    "Kinetic",
    "LogMass",
    "Loss",
    "LossValue",
    "Normals",
    "OutsideMass",
    "Proximity",
    "SilhouetteBCE",
    "SilhouetteDistance",
    "SilhouetteL1",
    "SilhouetteL2",
    "SilhouettePyramid",
    "Skin",
    "SquaredMass",
    "Sum",
    "Transport",
    "WeightSchedule",
]
