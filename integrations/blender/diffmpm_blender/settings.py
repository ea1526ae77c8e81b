# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Settings of a morph, stored in the scene, and preferences of the extension."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, IntProperty, PointerProperty, StringProperty


def _is_mesh(_: bpy.types.PropertyGroup, item: bpy.types.Object) -> bool:
    return item.type == "MESH"


class DIFFMPM_Settings(bpy.types.PropertyGroup):
    """Settings of a morph."""

    source: PointerProperty(
        type=bpy.types.Object, poll=_is_mesh, name="Source", description="Mesh at the start; it is scaled to the target"
    )
    target: PointerProperty(type=bpy.types.Object, poll=_is_mesh, name="Target", description="Mesh at the end")
    particles: IntProperty(name="Particles", default=20_000, min=100, soft_max=200_000, description="More show detail")
    preset: EnumProperty(
        name="Preset",
        default="default",
        items=(
            ("fast", "Fast", "A first look, in a fraction of the time"),
            ("default", "Default", "Most morphs"),
            ("quality", "Quality", "Closer to the target, several times slower"),
            ("xu", "Xu", "Options of the paper by Xu et al. 2025"),
        ),
    )
    topology: EnumProperty(
        name="Mesh",
        default="target",
        items=(
            ("target", "Target", "The mesh of the target moves, and ends exactly as it is"),
            ("source", "Source", "The mesh of the source moves, and starts as it is"),
        ),
    )
    appearance: EnumProperty(
        name="Point Colors",
        default="arrival",
        items=(
            ("arrival", "Arrival", "Points take the colors of the target as they arrive"),
            ("crossfade", "Crossfade", "All points change their colors at the same time"),
            ("source", "Source", "Colors of the source"),
            ("target", "Target", "Colors of the target"),
        ),
    )
    start: IntProperty(name="Start", default=1, description="Scene frame in which the morph starts")
    length: IntProperty(name="Length", default=96, min=2, description="Scene frames from start to end")


class DIFFMPM_Preferences(bpy.types.AddonPreferences):
    """Preferences of the extension."""

    bl_idname = __package__

    python: StringProperty(
        name="Python",
        subtype="FILE_PATH",
        description="Python program of an environment with diffmpm. Empty: the one of Blender, with bundled wheels",
    )
    folder: StringProperty(
        name="Results",
        subtype="DIR_PATH",
        description="Folder of the results, which animated objects read. Empty: a folder of the extension",
    )

    def draw(self, _: bpy.types.Context) -> None:
        """Draw the preferences."""
        self.layout.prop(self, "python")
        self.layout.prop(self, "folder")
