# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Install the extension, morph two objects, and describe the scene: use_extension.py OUT ZIP FOLDER."""

import importlib
import json
import sys
from pathlib import Path

import bpy
import numpy as np

out, package, folder = sys.argv[1:]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.extensions.package_install_files(filepath=package, repo="user_default", enable_on_install=True)
NAME = "bl_ext.user_default.diffmpm_blender"
extension = importlib.import_module(NAME)
operators, panel = (importlib.import_module(f"{NAME}.{module}") for module in ("operators", "panel"))
scene = bpy.context.scene
facts = {"presets": [item.identifier for item in scene.diffmpm.bl_rna.properties["preset"].enum_items]}


def textured(name, linear, painted):
    """Return a material whose base colour is an image, or the colours of the mesh."""
    material = bpy.data.materials.new(name)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    if painted:
        node = nodes.new("ShaderNodeVertexColor")
    else:
        node = nodes.new("ShaderNodeTexImage")
        node.image = bpy.data.images.new(name, 4, 4)
        node.image.pixels.foreach_set(np.tile(np.float32([*linear, 1.0]), 16))
        node.image.pack()
    links.new(node.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    return material


def world(item):
    """Return the evaluated vertices in world coordinates."""
    evaluated = item.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh, matrix = evaluated.to_mesh(), np.array(evaluated.matrix_world)
    return np.array([vertex.co for vertex in mesh.vertices]) @ matrix[:3, :3].T + matrix[:3, 3]


def described():
    """Return what must not change in the scene of the user."""
    return {
        "objects": {
            item.name: [list(map(list, item.matrix_world)), [m.type for m in item.modifiers], item.hide_get()]
            for item in (source, target)
        },
        "meshes": [[list(vertex.co) for vertex in item.data.vertices] for item in (source, target)],
        "materials": [[m.name for m in item.data.materials] for item in (source, target)],
        "selected": sorted(item.name for item in bpy.context.selected_objects),
        "active": bpy.context.view_layer.objects.active.name,
        "scene": [scene.frame_start, scene.frame_end, scene.frame_current, scene.render.fps],
    }


# Source: painted. Target: textured quads, moved, turned, stretched and mirrored, with a modifier.
bpy.ops.mesh.primitive_ico_sphere_add(subdivisions=2, location=(4.0, 0.0, 0.0))
source = bpy.context.object
layer = source.data.color_attributes.new("paint", "BYTE_COLOR", "CORNER")
layer.data.foreach_set("color_srgb", np.tile(np.float32([1.0, 0.0, 0.0, 1.0]), len(layer.data)))
source.data.materials.append(textured("painted", None, True))
bpy.ops.mesh.primitive_cube_add(location=(10.0, 20.0, 30.0), rotation=(0.3, 0.2, 0.5))
target = bpy.context.object
target.scale = 4.0, -1.5, 0.7
target.modifiers.new("Rounder", "SUBSURF").levels = 2
target.data.materials.append(textured("blue", [0.0, 0.0, 1.0], False))
bpy.ops.mesh.primitive_plane_add()  # something else is selected

settings = scene.diffmpm
settings.source, settings.target, settings.particles, settings.preset = source, target, 200, "fast"
settings.start, settings.length = 11, 21
preferences = bpy.context.preferences.addons[NAME].preferences
preferences.folder = folder
facts["before"] = described()
counts = {name: len(getattr(bpy.data, name)) for name in ("meshes", "materials", "objects")}

# A morph that fails: no diffmpm in this Python.
preferences.python = "/bin/false"
try:
    bpy.ops.diffmpm.morph()
except RuntimeError as error:
    facts["failure"] = str(error)
facts["left_after_failure"] = [path.name for path in Path(folder).iterdir()]
preferences.python = ""

# A morph that is cancelled.
operators.current = operators._start(bpy.context)
assert operators.current.job.poll() and not operators.DIFFMPM_OT_morph.poll(bpy.context)
process = operators.current.job._process
facts["cancel"] = list(bpy.ops.diffmpm.cancel())
facts["process_ended"] = process.poll() is not None
facts["left_after_cancel"] = [path.name for path in Path(folder).iterdir()]

facts["morph"] = list(bpy.ops.diffmpm.morph())
facts["after"] = described()
facts["added"] = {name: len(getattr(bpy.data, name)) - count for name, count in counts.items()}
collection = bpy.data.collections[f"{source.name} to {target.name}"]
mesh, points = collection.objects
(facts["folder"],) = [str(path) for path in Path(folder).iterdir()]


def film():
    """Return facts about the frames of the result."""
    mesh, points = bpy.data.collections[collection_name].objects
    target = bpy.data.objects[target_name]
    rows = []
    for frame in (1, 11, 21, 31, 41):
        scene = bpy.context.scene
        scene.frame_set(frame)
        moved, expected = world(mesh), world(target)
        geometry = points.evaluated_get(bpy.context.evaluated_depsgraph_get()).evaluated_geometry()
        cloud = geometry.pointcloud
        values = {name: np.empty(size * len(cloud.points), np.float32) for name, size in (("Color", 4), ("det_F", 1))}
        cloud.attributes["Color"].data.foreach_get("color", values["Color"])
        cloud.attributes["det_F"].data.foreach_get("value", values["det_F"])
        rows.append(
            {
                "frame": frame,
                "error": float(np.abs(moved - expected).max() / np.linalg.norm(np.ptp(expected, axis=0))),
                "vertices": [len(moved), len(expected)],
                "points": [list(point.co) for point in cloud.points],
                "radius": cloud.points[0].radius,
                "colors": values["Color"].reshape(-1, 4)[:, :3].tolist(),
                "det_F": values["det_F"].tolist(),
            }
        )
    return rows


collection_name, target_name = collection.name, target.name
facts["mesh"] = {
    "polygons": [sorted({len(p.vertices) for p in mesh.data.polygons}), len(mesh.data.polygons)],
    "materials": [m.name for m in mesh.data.materials],
    "uvs": [layer.name for layer in mesh.data.uv_layers],
}
facts["hidden"] = [mesh.hide_get(), points.hide_get(), points.hide_render]
facts["center"] = list(points.location)
facts["film"] = film()


def rendered(item):
    """Return the mean colour of an object in white light, drawn by Cycles, as displayed."""
    scene = bpy.context.scene
    for other in scene.objects:
        other.hide_render = other != item
    scene.world = bpy.data.worlds.new("white")
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = 1.0, 1.0, 1.0, 1.0
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera, camera.data.type, camera.data.ortho_scale = camera, "ORTHO", 2.0  # smaller than the object
    camera.location = item.location[0], item.location[1], item.location[2] + 50.0
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 4, "CPU"
    scene.render.resolution_x = scene.render.resolution_y = 16
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(Path(folder) / "image.png")
    scene.frame_set(31)
    bpy.ops.render.render(write_still=True)
    pixels = np.array(bpy.data.images.load(scene.render.filepath).pixels).reshape(-1, 4)
    return pixels[:, :3].mean(axis=0).tolist()


path = str(Path(folder) / "scene.blend")
bpy.ops.wm.save_as_mainfile(filepath=path)
bpy.ops.wm.open_mainfile(filepath=path)
facts["film_of_file"] = film()
facts["rendered"] = [rendered(item) for item in bpy.data.collections[collection_name].objects]


class Layout:
    """Layout that checks that properties and operators exist."""

    def prop(self, owner, name):
        """Check a property."""
        assert name in owner.bl_rna.properties
        drawn.append(name)

    def operator(self, name, **_):
        """Check an operator."""
        module, _, operator = name.partition(".")
        assert getattr(bpy.ops, module).__getattr__(operator).get_rna_type()
        drawn.append(name)

    def column(self, **_):
        """Return a layout."""
        return self

    box = row = column

    def separator(self):
        """Draw nothing."""

    def label(self, text, **_):
        """Store a line of text."""
        drawn.append(text)

    def progress(self, factor, text):
        """Store a bar."""
        assert 0.0 <= factor <= 1.0
        drawn.append(text)


class FakeContext:
    """What the panel reads. Without a user interface there is no region, and its scale is 0."""

    scene = bpy.context.scene
    region = type("Region", (), {"width": 300})
    preferences = type("Preferences", (), {"system": type("System", (), {"ui_scale": 1.0})})


drawn = []
operators.error = "a message that is longer than the panel is wide, and wraps"
fake = type("Fake", (), {"layout": Layout()})()
panel.DIFFMPM_PT_morph.draw(fake, FakeContext)
facts["panel"] = drawn
bpy.ops.preferences.addon_disable(module=NAME)
facts["unregistered"] = not hasattr(bpy.types.Scene, "diffmpm")
Path(out).write_text(json.dumps(facts))
