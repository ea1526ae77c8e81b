# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Blender extension: morph one mesh object into another with DiffMPM."""

from __future__ import annotations

import bpy

from . import operators, panel, settings

CLASSES = (
    settings.DIFFMPM_Preferences,
    settings.DIFFMPM_Settings,
    operators.DIFFMPM_OT_morph,
    operators.DIFFMPM_OT_cancel,
    panel.DIFFMPM_PT_morph,
)


def register() -> None:
    """Add the classes, and the settings to scenes."""
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.Scene.diffmpm = bpy.props.PointerProperty(type=settings.DIFFMPM_Settings)


def unregister() -> None:
    """Cancel a running morph and remove the classes."""
    operators.cancel()
    del bpy.types.Scene.diffmpm
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
