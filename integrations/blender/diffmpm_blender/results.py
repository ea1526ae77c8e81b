# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The result of a morph as objects of the scene: an animated mesh, and points with attributes."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils.kdtree import KDTree

NDArray = np.ndarray[Any, Any]
_WIDTH = 4096
"""Width of the image that holds the attributes of the points [px]; GPUs draw larger ones slowly."""
_COLOR = "Color"
"""Attribute of the colours. Cycles does not find one that is named "color"."""
_SAMPLE = 500
"""Number of points whose distances to their neighbours define the radius."""


@dataclass(frozen=True)
class Playback:
    """Mapping of the scene's time to the samples of a cache."""

    start: int
    """Scene frame of the first sample."""
    length: int
    """Scene frames from the first to the last sample, both included."""

    def rate(self, samples: int) -> float:
        """Return samples per scene frame."""
        return (samples - 1) / (self.length - 1)


def store_mesh(mesh: bpy.types.Mesh, path: Path) -> list[str]:
    """Write a mesh to a .blend file and remove it. Return the names of its materials, "" for empty slots.

    A mesh in memory would not survive undo, or loading another file, while the morph runs.
    """
    names = [material.name if material else "" for material in mesh.materials]
    for slot in range(len(names)):
        mesh.materials[slot] = None
    bpy.data.libraries.write(str(path), {mesh}, fake_user=True)
    bpy.data.meshes.remove(mesh)
    return names


def load_mesh(path: Path, materials: Iterable[str]) -> bpy.types.Mesh:
    """Return a mesh that `store_mesh` has written, with the materials of these names."""
    with bpy.data.libraries.load(str(path)) as (stored, loaded):
        loaded.meshes = stored.meshes
    (mesh,) = loaded.meshes
    mesh.use_fake_user = False
    for slot, name in enumerate(materials):
        mesh.materials[slot] = bpy.data.materials.get(name)
    return mesh


def add_mesh(mesh: bpy.types.Mesh, cache: Path, playback: Playback, collection: bpy.types.Collection) -> None:
    """Add an object whose vertices move as in a PC2 cache."""
    item = bpy.data.objects.new(collection.name, mesh)
    collection.objects.link(item)
    _play(item, cache, playback)


def add_points(archive: Path, playback: Playback, collection: bpy.types.Collection) -> bpy.types.Object:
    """Add an object with the particles as points and return it.

    Attributes: `Color` in linear light, `det_F` (volume relative to the start).
    """
    with np.load(archive) as file:
        points, colors, volume = (file[name] for name in ("x", "colors", "det_F"))
    cache = archive.with_suffix(".pc2")
    count, samples = points.shape[1], len(points)
    header = struct.pack("<12siiffi", b"POINTCACHE2\0", 1, count, 0.0, 1.0, samples)
    cache.write_bytes(header + points.astype("<f4").tobytes())
    name = f"{collection.name} points"
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(count)
    mesh.vertices.foreach_set("co", points[0].astype(np.float32).ravel())
    item = bpy.data.objects.new(name, mesh)
    collection.objects.link(item)
    _play(item, cache, playback)
    image = _attribute_image(name, linear(colors), volume)
    modifier = item.modifiers.new("Attributes", "NODES")
    modifier.node_group = _attribute_nodes(name, image, count, samples, playback, _radius(points[0]))
    return item


def linear(colors: NDArray) -> NDArray:
    """Return sRGB colours in linear light."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def _play(item: bpy.types.Object, cache: Path, playback: Playback) -> None:
    samples = struct.unpack("<i", cache.read_bytes()[28:32])[0]
    modifier = item.modifiers.new("Morph", "MESH_CACHE")
    modifier.cache_format = "PC2"
    modifier.filepath = str(cache)
    modifier.frame_scale = playback.rate(samples)  # sample = scale * frame - start
    modifier.frame_start = playback.start * playback.rate(samples)


def _radius(points: NDArray) -> float:
    """Return a radius at which most points overlap: three quarters of the median distance to the nearest other one."""
    tree = KDTree(len(points))
    for number, point in enumerate(points):
        tree.insert(point, number)
    tree.balance()
    step = max(1, len(points) // _SAMPLE)
    return 0.75 * float(np.median([tree.find_n(point, 2)[-1][2] for point in points[::step]]))


def _attribute_image(name: str, colors: NDArray, volume: NDArray) -> bpy.types.Image:
    """Return an image with colour and det F of each point; the points of a sample begin on a new row."""
    samples, count = volume.shape
    rows = -(-count // _WIDTH)
    pixels = np.zeros((samples, rows * _WIDTH, 4), np.float32)
    pixels[:, :count, :3], pixels[:, :count, 3] = colors, volume
    image = bpy.data.images.new(name, _WIDTH, rows * samples, alpha=True, float_buffer=True, is_data=True)
    image.alpha_mode = "CHANNEL_PACKED"
    image.pixels.foreach_set(pixels.ravel())
    image.update()
    image.pack()
    return image


def _attribute_nodes(
    name: str, image: bpy.types.Image, count: int, samples: int, playback: Playback, radius: float
) -> bpy.types.GeometryNodeTree:
    """Return nodes that store the attributes of the current sample and make points of the vertices."""
    tree = bpy.data.node_groups.new(name, "GeometryNodeTree")
    tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    size = tree.interface.new_socket("Radius", in_out="INPUT", socket_type="NodeSocketFloat")
    size.default_value, size.subtype, size.min_value = radius, "DISTANCE", 0.0
    tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    group_in, group_out = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")

    def node(type: str, inputs: dict[str | int, Any] | None = None, **fields: Any) -> Any:
        added = tree.nodes.new(type)
        for field, value in fields.items():
            setattr(added, field, value)
        for key, value in (inputs or {}).items():
            if isinstance(value, bpy.types.NodeSocket):
                tree.links.new(value, added.inputs[key])
            else:
                added.inputs[key].default_value = value
        return added

    def math(operation: str, *values: Any) -> Any:
        return node("ShaderNodeMath", dict(enumerate(values)), operation=operation).outputs[0]

    rows, rate = -(-count // _WIDTH), playback.rate(samples)
    scene_frame = node("GeometryNodeInputSceneTime").outputs["Frame"]
    sample = math("ROUND", math("MULTIPLY", math("SUBTRACT", scene_frame, float(playback.start)), rate))
    sample = math("MINIMUM", math("MAXIMUM", sample, 0.0), float(samples - 1))
    index = node("GeometryNodeInputIndex").outputs[0]
    u = math("DIVIDE", math("ADD", math("MODULO", index, float(_WIDTH)), 0.5), float(_WIDTH))
    row = math("ADD", math("MULTIPLY", sample, float(rows)), math("FLOOR", math("DIVIDE", index, float(_WIDTH))))
    v = math("DIVIDE", math("ADD", row, 0.5), float(rows * samples))
    place = node("ShaderNodeCombineXYZ", {"X": u, "Y": v}).outputs[0]
    lookup = node("GeometryNodeImageTexture", {"Image": image, "Vector": place}, interpolation="Closest")
    geometry = group_in.outputs["Geometry"]
    for attribute, dtype, value in ((_COLOR, "FLOAT_COLOR", "Color"), ("det_F", "FLOAT", "Alpha")):
        inputs = {"Geometry": geometry, "Name": attribute, "Value": lookup.outputs[value]}
        geometry = node("GeometryNodeStoreNamedAttribute", inputs, data_type=dtype, domain="POINT").outputs[0]
    points = node("GeometryNodeMeshToPoints", {"Mesh": geometry, "Radius": group_in.outputs["Radius"]}).outputs[0]
    painted = node("GeometryNodeSetMaterial", {"Geometry": points, "Material": _point_material(name)}).outputs[0]
    tree.links.new(painted, group_out.inputs[0])
    return tree


def _point_material(name: str) -> bpy.types.Material:
    """Return a material with the colours of the points."""
    material = bpy.data.materials.new(name)
    if material.node_tree is None:  # before Blender 5.0
        material.use_nodes = True
    nodes = material.node_tree.nodes
    attribute = nodes.new("ShaderNodeAttribute")
    attribute.attribute_name = _COLOR
    surface = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    material.node_tree.links.new(attribute.outputs["Color"], surface.inputs["Base Color"])
    return material
