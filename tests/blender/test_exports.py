# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Blender opens the animated meshes and the sequences of meshes."""

import numpy as np
import pytest
from diffmpm import export
from diffmpm._color import display_color
from diffmpm._placement import turn
from diffmpm.export.formats import file_up
from diffmpm.geometry import Appearance, MeshMaterial, Texture
from numpy.testing import assert_allclose

FPS, COUNT = 12, 4
TRIANGLES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
POINTS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
ORIGIN = (1000.0, 20.0, -3.0)
SKIN = MeshMaterial(texture=Texture(np.full((2, 4, 3), 200, np.uint8), name="skin.png"), name="skin")
RED = MeshMaterial(color=(0.9, 0.1, 0.2), name="red")
LOOKS = {
    "textured": Appearance(
        uvs=np.random.default_rng(2).random((4, 3, 2)).astype(np.float32),
        materials=(SKIN, RED),
        material=np.array([0, 0, 1, 0], np.int32),
    ),
    "colored": Appearance(colors=np.linspace(0.0, 1.0, 12, dtype=np.float32).reshape(4, 3)),
}
ANIMATED = {"animated-glb": ".glb", "animated-usd": ".usdc", "animated-abc": ".abc"}
SEQUENCES = {"obj": ".obj", "mesh-ply": ".ply"}
SUFFIXES = {**ANIMATED, **SEQUENCES}
UP_IN_BLENDER = {"obj": "y", "mesh-ply": "z"}
"""Axis that Blender's importers take as up, as their files have none."""


def positions(k):
    return POINTS * [1.0, 1.0, 1.0 + 0.5 * k * k] + [0.0, 0.25 * k, 0.0]


def moments(look, up):
    """Frames with z up. Their origin has the axes of the file."""
    x, y, z = ORIGIN
    empty = (np.zeros((1, 3), np.float32), *(np.zeros((1, 3, 3), np.float32) for _ in range(2)))
    normals = POINTS - POINTS.mean(axis=0)
    for k in range(COUNT):
        parts = {"mesh": (positions(k), TRIANGLES, normals), "appearance": LOOKS[look]}
        yield export.Moment(float(k), *empty, **parts, origin=ORIGIN if up == "z" else (x, z, -y))


@pytest.fixture(scope="module")
def imported(run_in_blender, tmp_path_factory):
    """Facts about each look and suffix."""
    pytest.importorskip("pxr.Usd", reason="usd-core is not installed")
    pytest.importorskip("alembic3d", reason="alembic3d is not installed")
    facts = {}
    for look in LOOKS:
        base = tmp_path_factory.mktemp(look)
        files = [
            export.export_moments(moments(look, file_up(name, "z")), base, name, up="z", fps=FPS) / f"morph{suffix}"
            for name, suffix in ANIMATED.items()
        ]
        for name, suffix in SEQUENCES.items():
            up = UP_IN_BLENDER[name]
            turned = [moment.moved(turn("z", up)) for moment in moments(look, up)]
            files.append(export.export_moments(turned, base, name, up=up) / f"morph_0000{suffix}")
        facts[look] = run_in_blender("read_exports.py", FPS, *range(COUNT), "--", *files)
    return facts


@pytest.mark.parametrize("suffix", SUFFIXES.values())
@pytest.mark.parametrize("look", LOOKS)
def test_every_frame_is_the_mesh_in_blender(imported, look, suffix):
    """Frames 0 to 3 at the frame rate of the file, or the files of a sequence, with z up as the moments."""
    facts = imported[look][suffix]
    assert facts["range"] == [0, COUNT - 1]
    order = np.arange(4) if LOOKS[look].material is None or suffix in (".abc", ".ply") else [0, 1, 3, 2]
    origin = 0.0 if suffix == ".ply" else np.array(ORIGIN)  # of .ply a comment, which no program reads
    for k in range(COUNT):
        got = np.array(facts["corners"][str(k)])
        expected = (positions(k) + origin)[TRIANGLES[order]]
        # The first corner is not part of the meaning of a triangle. float32 rounds at 1000.
        matches = [np.abs(np.roll(got, shift, axis=1) - expected).max(axis=(1, 2)) for shift in range(3)]
        assert np.min(matches, axis=0).max() < 1e-4, k


@pytest.mark.parametrize("suffix", [*ANIMATED.values(), ".obj"])
def test_textures_and_materials(imported, suffix):
    facts = imported["textured"][suffix]
    (uvs,) = facts["uvs"]
    expected = LOOKS["textured"].uvs.reshape(-1, 2)
    assert_allclose(sorted(uvs), sorted(expected.tolist()), atol=1e-6)
    if suffix != ".abc":  # which has no materials
        assert facts["materials"][0] == ["TEX_IMAGE", 4, 2]
        # Kd of .obj files is as displayed; Blender takes it as linear light.
        color = display_color(np.array(RED.color)) if suffix == ".obj" else RED.color
        assert_allclose(facts["materials"][1], color, atol=1e-4)


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_vertex_colours(imported, suffix):
    facts = imported["colored"][suffix]
    assert facts["vertices"] == len(POINTS)
    assert facts["colors"] == 1


@pytest.mark.parametrize("suffix", SEQUENCES.values())
def test_colours_of_sequences(imported, suffix):
    """As displayed, of each vertex, in steps of 1 / 255."""
    shades = np.array(imported["colored"][suffix]["shades"])[:, :3]
    assert_allclose(shades, display_color(LOOKS["colored"].colors), atol=0.6 / 255)


@pytest.mark.parametrize("suffix", [".usdc", ".abc"])
def test_velocities(imported, suffix):
    assert imported["textured"][suffix]["velocity"]
