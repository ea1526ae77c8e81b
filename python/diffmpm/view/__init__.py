# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Images of bodies, drawn on the CPU: stills, films, contact sheets, plots; and a viewer in the browser.

Files are written atomically, as in `diffmpm.export`.
"""

from .camera import orbit
from .colors import material_colors
from .config import CameraKey, RenderConfig
from .draw import render_body, render_frames
from .film import save_film, save_gif, save_mp4, save_png
from .frame_export import export_frames
from .overview import comparison, contact_sheet, save_pictures
from .plots import save_loss_plot
from .timeline import Pose, Timeline
from .viewer import Viewer

__all__ = [
    "CameraKey",
    "Pose",
    "RenderConfig",
    "Timeline",
    "Viewer",
    "comparison",
    "contact_sheet",
    "export_frames",
    "material_colors",
    "orbit",
    "render_body",
    "render_frames",
    "save_film",
    "save_gif",
    "save_loss_plot",
    "save_mp4",
    "save_pictures",
    "save_png",
]
