# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Create the pictures of the Blender tutorial with Blender, as a Python module, and the extension.

python docs/images/blender.py

This needs bpy and diffmpm, and takes some minutes.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

WORK = tempfile.TemporaryDirectory()
os.environ["BLENDER_USER_RESOURCES"] = WORK.name

import bpy  # noqa: E402, it reads the variable
import numpy as np  # noqa: E402
from mathutils import Vector  # noqa: E402
from PIL import Image  # noqa: E402

IMAGES = Path(__file__).parent
ROOT = IMAGES.parents[1]
FRAMES = (1, 8, 18, 34, 60, 96)
SIZE, SAMPLES = 230, 32
PARTICLES = 20_000


def install() -> None:
    """Build and install the extension."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "integrations" / "blender" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    package = build.build(Path(WORK.name), [])
    bpy.ops.extensions.package_install_files(filepath=str(package), repo="user_default", enable_on_install=True)


def material(name: str, type: str) -> tuple[bpy.types.Material, bpy.types.Node]:
    """Return a material whose base colour comes from a node of a type."""
    look = bpy.data.materials.new(name)
    nodes = look.node_tree.nodes
    node, surface = nodes.new(type), nodes["Principled BSDF"]
    surface.inputs["Roughness"].default_value = 0.45
    look.node_tree.links.new(node.outputs["Color"], surface.inputs["Base Color"])
    return look, node


def ball() -> bpy.types.Object:
    """Add a beach ball with an image texture."""
    bpy.ops.mesh.primitive_uv_sphere_add(segments=48, ring_count=24, location=(-3.5, 0.0, 0.0))
    added = bpy.context.object
    bpy.ops.object.shade_smooth()
    paints = np.array(
        [[214, 62, 48], [245, 240, 230], [240, 180, 40], [245, 240, 230], [38, 110, 180], [245, 240, 230]]
    )
    pixels = np.ones((64, 192, 4), np.float32)
    pixels[..., :3] = paints[np.arange(192) // 32] / 255.0
    pixels[:4, :, :3] = pixels[-4:, :, :3] = paints[1] / 255.0
    look, node = material("stripes", "ShaderNodeTexImage")
    node.image = bpy.data.images.new("stripes", 192, 64)
    node.image.pixels.foreach_set(pixels.ravel())
    added.data.materials.append(look)
    return added


def monkey() -> bpy.types.Object:
    """Add the monkey with painted vertices and a subdivision modifier."""
    bpy.ops.mesh.primitive_monkey_add(size=2.6)
    added = bpy.context.object
    bpy.ops.object.shade_smooth()
    added.modifiers.new("Subdivision", "SUBSURF").levels = 2
    paint = added.data.color_attributes.new("paint", "FLOAT_COLOR", "POINT")
    fur, face = (0.16, 0.07, 0.03, 1.0), (0.80, 0.52, 0.34, 1.0)
    colors = [face if v.co.y < -0.62 and abs(v.co.x) < 0.75 else fur for v in added.data.vertices]
    paint.data.foreach_set("color", np.float32(colors).ravel())
    look, node = material("fur", "ShaderNodeVertexColor")
    node.layer_name = "paint"
    added.data.materials.append(look)
    return added


def studio(height: float) -> None:
    """Add floor, lights and camera."""
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_plane_add(size=60.0, location=(0.0, 0.0, height))
    floor = bpy.data.materials.new("floor")
    floor.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.55, 0.56, 0.58, 1.0)
    bpy.context.object.data.materials.append(floor)
    for energy, size, place in ((450.0, 4.0, (-4.0, -4.0, 5.0)), (120.0, 6.0, (5.0, -3.0, 2.0))):
        light = bpy.data.objects.new("light", bpy.data.lights.new("light", "AREA"))
        light.data.energy, light.data.size, light.location = energy, size, place
        light.rotation_euler = (-Vector(place)).to_track_quat("-Z", "Y").to_euler()
        scene.collection.objects.link(light)
    scene.world = bpy.data.worlds.new("world")
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.5, 0.52, 0.55, 1.0)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.data.lens, camera.location = 86.0, (2.2, -8.2, 1.6)
    camera.rotation_euler = (Vector((0.0, 0.0, -0.05)) - camera.location).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", SAMPLES, "CPU"
    scene.cycles.use_denoising = True
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    scene.view_settings.view_transform = "Standard"


def strip(name: str) -> None:
    """Render the frames side by side."""
    images = []
    for frame in FRAMES:
        bpy.context.scene.frame_set(frame)
        bpy.context.scene.render.filepath = str(Path(WORK.name) / f"{frame}.png")
        bpy.ops.render.render(write_still=True)
        images.append(np.asarray(Image.open(bpy.context.scene.render.filepath).convert("RGB")))
    Image.fromarray(np.hstack(images)).quantize(256).save(IMAGES / name, optimize=True)


def main() -> int:
    """Morph the ball into the monkey and render the mesh and the points."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    install()
    settings = bpy.context.scene.diffmpm
    settings.source, settings.target, settings.particles = ball(), monkey(), PARTICLES
    bpy.ops.diffmpm.morph()
    mesh, points = bpy.data.collections[f"{settings.source.name} to {settings.target.name}"].objects
    settings.source.hide_render = settings.target.hide_render = True
    studio(-1.35)
    strip("blender-mesh.png")
    mesh.hide_render, points.hide_render = True, False
    points.hide_set(False)
    strip("blender-points.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
