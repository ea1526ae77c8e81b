# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Panel in the sidebar of the 3D view."""

from __future__ import annotations

import textwrap

import bpy

from . import operators

_WIDTH = 7
"""Width of a character at a user interface scale of 1 [px]."""


class DIFFMPM_PT_morph(bpy.types.Panel):
    """Settings, progress and message of a morph."""

    bl_label = "DiffMPM"
    bl_idname = "DIFFMPM_PT_morph"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "DiffMPM"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout, settings = self.layout, context.scene.diffmpm
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column()
        column.enabled = operators.current is None
        for group in (("source", "target"), ("particles", "preset", "topology", "appearance"), ("start", "length")):
            part = column.column(align=True)
            for name in group:
                part.prop(settings, name)
            column.separator()
        morph = operators.current
        if morph is None:
            layout.operator("diffmpm.morph", icon="MOD_PHYSICS")
        else:
            layout.progress(factor=morph.job.progress, text=morph.job.text)
            layout.operator("diffmpm.cancel", icon="CANCEL")
        if operators.error:
            box = layout.box()
            box.alert = True
            columns = max(20, int(context.region.width / (_WIDTH * context.preferences.system.ui_scale)))
            for number, line in enumerate(textwrap.wrap(operators.error, columns)):
                box.label(text=line, icon="NONE" if number else "ERROR")
