# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Trained scenes of Gaussians: read them, fill them, and carry them with a body."""

from .carrying import SplatBinding, bind
from .filling import load_shape, solid, without_floaters
from .reading import is_scene, load_splats

__all__ = ["SplatBinding", "bind", "is_scene", "load_shape", "load_splats", "solid", "without_floaters"]
