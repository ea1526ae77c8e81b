# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Mesh objects as .obj files with materials, textures and vertex colours."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

NDArray = np.ndarray[Any, Any]
_WHITE = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class BaseColor:
    """Base colour of a material: an image, the colours of a mesh, or one colour."""

    image: bpy.types.Image | None = None
    attribute: str | None = None
    """Name of a colour attribute; empty for the active one."""
    color: tuple[float, float, float] = _WHITE
    """Colour in linear light."""


def world_mesh(item: bpy.types.Object, graph: bpy.types.Depsgraph) -> bpy.types.Mesh:
    """Return a new mesh of an object with its modifiers applied, in world coordinates."""
    evaluated = item.evaluated_get(graph)
    mesh = bpy.data.meshes.new_from_object(evaluated, preserve_all_data_layers=True, depsgraph=graph)
    corners = _corners(mesh)
    mesh.transform(evaluated.matrix_world)
    # A reflection turns the faces inside out. Some versions of Blender turn them back.
    if evaluated.matrix_world.determinant() < 0.0 and np.array_equal(corners, _corners(mesh)):
        mesh.flip_normals()
    return mesh


def write_mesh(mesh: bpy.types.Mesh, path: Path) -> None:
    """Write a mesh as .obj, with its .mtl file and .png textures beside it.

    Vertices have the order of the mesh; polygons are written as triangles.
    """
    looks = [base_color(material) for material in mesh.materials] or [BaseColor(attribute="")]
    mesh.calc_loop_triangles()
    count = len(mesh.loop_triangles)
    corners, loops, owners = np.empty(3 * count, np.int32), np.empty(3 * count, np.int32), np.empty(count, np.int32)
    mesh.loop_triangles.foreach_get("vertices", corners)
    mesh.loop_triangles.foreach_get("loops", loops)
    mesh.loop_triangles.foreach_get("material_index", owners)
    corners, loops, owners = corners.reshape(-1, 3) + 1, loops.reshape(-1, 3) + 1, owners.clip(0, len(looks) - 1)
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    rows, form = points.reshape(-1, 3), "v {:.9g} {:.9g} {:.9g}"
    colors = _vertex_colors(mesh, looks)
    if colors is not None:
        rows, form = np.hstack([rows, colors]), form + " {:.5g} {:.5g} {:.5g}"
    lines = [f"mtllib {path.stem}.mtl", *(form.format(*row) for row in rows.tolist())]
    layer = mesh.uv_layers.active
    face = "f {} {} {}"
    if layer is not None:
        uvs = np.empty(2 * len(mesh.loops), np.float32)
        layer.uv.foreach_get("vector", uvs)
        lines += ["vt {:.9g} {:.9g}".format(*row) for row in uvs.reshape(-1, 2).tolist()]
        corners, face = np.stack([corners, loops], axis=2).reshape(-1, 6), "f {}/{} {}/{} {}/{}"
    for number in range(len(looks)):
        lines.append(f"usemtl material_{number}")
        lines += [face.format(*row) for row in corners[owners == number].tolist()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    _write_materials(looks, path)


def _corners(mesh: bpy.types.Mesh) -> NDArray:
    """Return the vertex of each corner of the polygons."""
    corners = np.empty(len(mesh.loops), np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    return corners


def base_color(material: bpy.types.Material | None) -> BaseColor:
    """Return the base colour of the surface of a material."""
    if material is None:
        return BaseColor(color=(0.8, 0.8, 0.8))  # as Blender draws it
    output = None if material.node_tree is None else material.node_tree.get_output_node("ALL")
    if output is None or not output.inputs["Surface"].is_linked:
        return BaseColor(color=tuple(material.diffuse_color[:3]))
    sockets, visited = [output.inputs["Surface"]], set()
    while sockets:
        socket = sockets.pop()
        if not socket.is_linked:
            continue
        node = socket.links[0].from_node
        if node in visited:
            continue
        visited.add(node)
        if node.type == "TEX_IMAGE" and node.image is not None:
            return BaseColor(image=node.image)
        if node.type == "VERTEX_COLOR":
            return BaseColor(attribute=node.layer_name)
        if node.type == "ATTRIBUTE":
            return BaseColor(attribute=node.attribute_name)
        color = node.inputs.get("Base Color") or node.inputs.get("Color")
        if color is not None and not color.is_linked:
            return BaseColor(color=tuple(color.default_value[:3]))
        sockets += reversed([color] if color is not None else list(node.inputs))
    return BaseColor(color=tuple(material.diffuse_color[:3]))


def _vertex_colors(mesh: bpy.types.Mesh, looks: list[BaseColor]) -> NDArray | None:
    """Return sRGB colours of the vertices, shape (V, 3), if a material uses colours of the mesh, else None.

    In .obj files they replace the colours of all materials, so vertices of the others have those.
    """
    if not any(look.attribute is not None for look in looks):
        return None
    corners, owners = _corners(mesh), np.empty(len(mesh.polygons), np.int32)
    sizes = np.empty(len(mesh.polygons), np.int32)
    mesh.polygons.foreach_get("material_index", owners)
    mesh.polygons.foreach_get("loop_total", sizes)
    owners = np.repeat(owners.clip(0, len(looks) - 1), sizes)
    total = np.zeros((len(mesh.vertices), 3))
    for number, look in enumerate(looks):
        own = np.flatnonzero(owners == number)
        layers = mesh.color_attributes
        layer = layers.get(look.attribute) if look.attribute else layers.active_color
        if look.attribute is None or layer is None:
            colors = _display(np.array(look.color))
        else:
            values = np.empty(4 * len(layer.data), np.float32)
            layer.data.foreach_get("color_srgb", values)
            colors = values.reshape(-1, 4)[own if layer.domain == "CORNER" else corners[own], :3].clip(0.0, 1.0)
        np.add.at(total, corners[own], colors)
    count = np.bincount(corners, minlength=len(total))[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), 1.0)


def _write_materials(looks: list[BaseColor], path: Path) -> None:
    lines = []
    for number, look in enumerate(looks):
        lines.append(f"newmtl material_{number}")
        content = None if look.image is None else _png(look.image)
        if content is None:
            lines.append("Kd {:.6g} {:.6g} {:.6g}".format(*_display(np.array(look.color))))
        else:
            name = f"{path.stem}_{number}.png"
            (path.parent / name).write_bytes(content)
            lines.append(f"map_Kd {name}")
    path.with_suffix(".mtl").write_text("\n".join(lines) + "\n", "utf-8")


def _png(image: bpy.types.Image) -> bytes | None:
    """Return an image as an opaque sRGB .png file, None if it has no pixels."""
    width, height = image.size
    if not width or not height or len(image.pixels) != width * height * image.channels or image.channels < 3:
        return None
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    colors = np.clip(values.reshape(height, width, -1)[::-1, :, :3], 0.0, 1.0)
    if image.is_float:  # linear light; others are as displayed
        colors = _display(colors)
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each row begins with its filter, 0
    rows[:, 1:] = np.rint(255.0 * colors).reshape(height, -1)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + chunk(b"IEND", b"")


def _display(colors: NDArray) -> NDArray:
    """Return linear colours as displayed (sRGB), clipped to [0, 1]."""
    colors = np.clip(colors, 0.0, 1.0)
    return np.where(colors <= 0.0031308, 12.92 * colors, 1.055 * colors ** (1 / 2.4) - 0.055)
