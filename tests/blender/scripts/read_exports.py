# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Import files into Blender and describe them: read_exports.py OUT FPS FRAME... -- FILE..."""

import json
import sys
from pathlib import Path

import bpy
import numpy as np

IMPORT = {
    ".glb": lambda path: bpy.ops.import_scene.gltf(filepath=path),
    ".usdc": lambda path: bpy.ops.wm.usd_import(filepath=path),
    ".abc": lambda path: bpy.ops.wm.alembic_import(filepath=path),
    ".obj": lambda path: bpy.ops.wm.obj_import(filepath=path),
    ".ply": lambda path: bpy.ops.wm.ply_import(filepath=path),
}
SEQUENCES = (".obj", ".ply")
"""Suffixes of formats with one file per frame."""


def base_color(material):
    """Return what the base colour of a material comes from."""
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    color = shader.inputs["Base Color"]
    if not color.is_linked:
        return [round(value, 4) for value in color.default_value[:3]]
    node = color.links[0].from_node
    return [node.type, *(node.image.size if node.type == "TEX_IMAGE" else [])]


def corners(item):
    """Return the world positions of the corners of the evaluated mesh, ordered by material, shape (T, 3, 3)."""
    evaluated = item.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    points = np.array([vertex.co for vertex in mesh.vertices]) @ np.array(evaluated.matrix_world)[:3, :3].T
    points += np.array(evaluated.matrix_world)[:3, 3]
    order = np.argsort([polygon.material_index for polygon in mesh.polygons], kind="stable")
    return np.stack([points[list(mesh.polygons[k].vertices)] for k in order]).tolist()


def load(path, fps):
    """Import a file into an empty scene and return its mesh object."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = fps
    IMPORT[path.suffix](str(path))
    (item,) = [item for item in bpy.data.objects if item.type == "MESH"]
    return item


def describe(path, fps, frames):
    """Import a file and describe its mesh; of a sequence, the file of each frame by the order of the names."""
    item = load(path, fps)
    scene = bpy.context.scene
    mesh = item.data
    keys = mesh.shape_keys
    facts = {
        "vertices": len(mesh.vertices),
        "uvs": [[list(layer.uv[k].vector) for k in range(len(mesh.loops))] for layer in mesh.uv_layers],
        "uv_corners": [loop.vertex_index for loop in mesh.loops],
        "materials": [base_color(material) for material in mesh.materials if material],
        "colors": len(mesh.color_attributes),
        "range": list(keys.animation_data.action.frame_range) if keys else [scene.frame_start, scene.frame_end],
        "velocity": "velocity" in item.evaluated_get(bpy.context.evaluated_depsgraph_get()).data.attributes,
        "corners": {},
    }
    if path.suffix in SEQUENCES:
        files = sorted(path.parent.glob(f"*{path.suffix}"))
        facts["range"] = [0, len(files) - 1]
        facts["shades"] = [list(color.color_srgb) for layer in mesh.color_attributes for color in layer.data]
        facts["corners"] = {frame: corners(load(files[frame], fps)) for frame in frames}
        return facts
    for frame in frames:
        scene.frame_set(frame)
        facts["corners"][frame] = corners(item)
    return facts


out, fps, *rest = sys.argv[1:]
split = rest.index("--")
facts = {Path(path).suffix: describe(Path(path), int(fps), [*map(int, rest[:split])]) for path in rest[split + 1 :]}
Path(out).write_text(json.dumps(facts))
