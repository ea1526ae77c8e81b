# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Pictures of particles on the CPU: stills, contact sheets, animations, plots."""

from .camera import Camera, orbit
from .pictures import comparison, contact_sheet, save_gif, save_pictures, save_png
from .plots import save_loss_plot
from .splat import material_colors, render_particles

__all__ = [
    "Camera",
    "comparison",
    "contact_sheet",
    "material_colors",
    "orbit",
    "render_particles",
    "save_gif",
    "save_loss_plot",
    "save_pictures",
    "save_png",
]
