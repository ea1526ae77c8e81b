# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Operators that start and cancel a morph. A timer follows its process and adds the result to the scene."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

from . import results, writing
from .job import Command, Job

_INTERVAL = 0.25
"""Seconds between looks at the process."""


@dataclass(frozen=True)
class Morph:
    """A running morph, and what its result needs. It refers to nothing in memory that undo would invalidate."""

    job: Job
    name: str
    scene: str
    materials: list[str]
    """Names of the materials of the mesh that will move."""
    center: tuple[float, float, float]
    """World position that the coordinates of the files are relative to."""
    topology: str
    playback: results.Playback


current: Morph | None = None
"""The running morph."""
error = ""
"""Message of the last morph, if it failed."""


class DIFFMPM_OT_morph(bpy.types.Operator):
    """Morph the source into the target in a background process, and add the result to the scene."""

    bl_idname = "diffmpm.morph"
    bl_label = "Morph"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Return whether both objects are set and no morph is running."""
        settings = context.scene.diffmpm
        return current is None and settings.source is not None and settings.target is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Start a morph. Without a user interface, wait for it."""
        global current, error
        error = ""
        try:
            current = _start(context)
        except (OSError, ValueError) as problem:
            error = str(problem)
        if error:
            self.report({"ERROR"}, error)
            return {"CANCELLED"}
        if not bpy.app.background:
            bpy.app.timers.register(_watch, first_interval=_INTERVAL, persistent=True)
            return {"FINISHED"}
        while _watch() is not None:
            time.sleep(_INTERVAL)
        if error:
            self.report({"ERROR"}, error)
        return {"CANCELLED"} if error else {"FINISHED"}


class DIFFMPM_OT_cancel(bpy.types.Operator):
    """End the running morph and discard its files."""

    bl_idname = "diffmpm.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _: bpy.types.Context) -> bool:
        """Return whether a morph is running."""
        return current is not None

    def execute(self, _: bpy.types.Context) -> set[str]:
        """Cancel the morph."""
        cancel()
        return {"FINISHED"}


def cancel() -> None:
    """End the running morph, if there is one, and remove its files."""
    global current
    if current is not None:
        current.job.cancel()
        shutil.rmtree(current.job.folder, ignore_errors=True)
        current = None


def _start(context: bpy.types.Context) -> Morph:
    """Write the meshes and start the process."""
    settings = context.scene.diffmpm
    for item in (settings.source, settings.target):
        item.update_from_editmode()
    graph = context.evaluated_depsgraph_get()
    preferences = context.preferences.addons[__package__].preferences
    name = f"{settings.source.name} to {settings.target.name}"
    base = bpy.path.abspath(preferences.folder) or bpy.utils.extension_path_user(__package__, path="results")
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    folder = Path(base) / f"{time.strftime('%Y%m%d-%H%M%S')}-{plain}"
    folder.mkdir(parents=True)
    meshes: dict[str, bpy.types.Mesh] = {}
    try:
        for side in ("source", "target"):
            meshes[side] = writing.world_mesh(getattr(settings, side), graph)
            if not meshes[side].polygons:
                raise ValueError(f"{getattr(settings, side).name}: expected a mesh with faces, got none")
        points = np.empty(3 * len(meshes["target"].vertices), np.float32)
        meshes["target"].vertices.foreach_get("co", points)
        low, high = points.reshape(-1, 3).min(axis=0), points.reshape(-1, 3).max(axis=0)
        center = tuple(float(c) for c in 0.5 * (low + high))
        for side, mesh in meshes.items():
            mesh.transform(Matrix.Translation(center).inverted())
            writing.write_mesh(mesh, folder / f"{side}.obj")
        materials = results.store_mesh(meshes.pop(settings.topology), folder / "mesh.blend")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        for mesh in meshes.values():
            bpy.data.meshes.remove(mesh)
    job = Job(folder, bpy.path.abspath(preferences.python), _commands(settings))
    playback = results.Playback(settings.start, settings.length)
    return Morph(job, name, context.scene.name, materials, center, settings.topology, playback)


def _commands(settings: bpy.types.PropertyGroup) -> list[Command]:
    options = ("--particles", str(settings.particles), "--preset", settings.preset, "--up", "z", "--no-pictures")
    morph = ("morph", "source.obj", "target.obj", "--out", "result", *options)
    mesh = ("--format", "animated-pc2", "--topology", settings.topology)
    points = ("--format", "particles", "--appearance", settings.appearance)
    return [
        Command("Simulating", morph, 0.8),
        Command("Carrying the mesh", ("export", "result", *mesh), 0.18),
        Command("Reading the points", ("export", "result", *points), 0.02),
    ]


def _watch() -> float | None:
    """Follow the process. Return the seconds until the next call, None if it has ended."""
    global current, error
    if current is None:
        return None
    running = current.job.poll()
    if not running:
        morph, current = current, None
        error = morph.job.error
        if error:
            shutil.rmtree(morph.job.folder, ignore_errors=True)
        else:
            try:
                _add(morph)
            except Exception as problem:  # a timer has no other place for it
                error = f"{problem}; the result is in {morph.job.folder}"
    _redraw()
    return _INTERVAL if running else None


def _add(morph: Morph) -> None:
    """Add the result to its scene."""
    scene = bpy.data.scenes.get(morph.scene)
    if scene is None:
        raise ValueError(f"the scene {morph.scene} no longer exists")
    exports = morph.job.folder / "result" / "export"
    collection = bpy.data.collections.new(morph.name)
    scene.collection.children.link(collection)
    mesh = results.load_mesh(morph.job.folder / "mesh.blend", morph.materials)
    results.add_mesh(mesh, exports / "animated-pc2" / "morph.pc2", morph.playback, collection)
    points = results.add_points(exports / "particles" / "morph.npz", morph.playback, collection)
    points.hide_render = True  # they fill the mesh
    for layer in scene.view_layers:
        points.hide_set(True, view_layer=layer)
    for item in collection.objects:
        item.location = morph.center
    for window in bpy.context.window_manager.windows[:1]:  # none in the background
        with bpy.context.temp_override(window=window):
            bpy.ops.ed.undo_push(message="Morph")


def _redraw() -> None:
    """Draw the progress."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()
