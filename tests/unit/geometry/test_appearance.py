# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Colours of meshes: readers of vertex colours, textures and materials; colours of surface points and particles."""

from __future__ import annotations

import io
import os
import re
import warnings
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm._color import display_color, linear_light
from diffmpm.geometry import Appearance, MeshMaterial, Texture
from gltf_files import CORNERS, POINTS, TRIANGLES, Gltf
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
PIXELS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
"""Red and green above blue and white."""
GRADIENT = CORNERS.astype(np.float32)
"""Vertex colours of the box: its coordinates."""


def png(pixels: np.ndarray = PIXELS, format: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def box_obj(colors: np.ndarray | None = None, *, faces: str = "", head: str = "") -> str:
    rows = POINTS if colors is None else np.hstack([POINTS, colors])
    text = "".join("v " + " ".join(f"{x:.9g}" for x in row) + "\n" for row in rows)
    return head + text + (faces or "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in TRIANGLES))


def seam_faces(uv: str = "vt 0.25 0.25\nvt 0.75 0.25\nvt 0.75 0.75\nvt 0.25 0.75\n") -> str:
    """Return box faces, each a whole image, so that every edge is a seam."""
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return (
        uv + "usemtl m\n" + "".join("f " + " ".join(f"{v + 1}/{k + 1}" for k, v in enumerate(q)) + "\n" for q in quads)
    )


def textured_obj(folder: Path, mtl: str = "newmtl m\nmap_Kd t.png\n", image: bytes | None = None, **more) -> Path:
    (folder / "box.obj").write_text(box_obj(faces=more.get("faces") or seam_faces(), head="mtllib box.mtl\n"))
    (folder / "box.mtl").write_text(mtl)
    (folder / "t.png").write_bytes(png() if image is None else image)
    return folder / "box.obj"


def corner_colors(mesh: dm.Mesh) -> np.ndarray:
    """Return the colours of all corners, shape (T, 3, 3)."""
    rows, eye = np.repeat(np.arange(len(mesh.triangles)), 3), np.tile(np.eye(3), (len(mesh.triangles), 1))
    assert mesh.appearance is not None
    return mesh.appearance.at(mesh.triangles, rows, eye).reshape(-1, 3, 3)


# --- Vertex colours


def test_vertex_colors_of_obj_and_ply_are_srgb(tmp_path):
    levels = np.rint(255 * GRADIENT * 0.5).astype(np.uint8)
    (tmp_path / "a.obj").write_text(box_obj(levels / 255.0))
    head = "ply\nformat ascii 1.0\nelement vertex 8\n" + "".join(f"property float {a}\n" for a in "xyz")
    head += "".join(f"property uchar {c}\n" for c in ("red", "green", "blue"))
    head += "element face 12\nproperty list uchar int vertex_indices\nend_header\n"
    rows = "".join(f"{x} {y} {z} {r} {g} {b}\n" for (x, y, z), (r, g, b) in zip(POINTS, levels, strict=True))
    (tmp_path / "a.ply").write_text(head + rows + "".join(f"3 {a} {b} {c}\n" for a, b, c in TRIANGLES))
    for name in ("a.obj", "a.ply"):
        mesh = dm.load_mesh(tmp_path / name)
        assert mesh.is_colored
        assert_allclose(mesh.appearance.colors, linear_light(levels / 255.0), atol=1e-6)
        assert mesh.appearance.uvs is None


def test_vertex_colors_of_glb_are_linear(tmp_path):
    for values, dtype in ((GRADIENT * 0.5, "f4"), (np.rint(GRADIENT * 127).astype(int), "u1")):
        gltf = Gltf()
        primitive = gltf.primitive()
        rows = np.hstack([values, np.ones((8, 1)) * (1 if dtype == "f4" else 255)])
        primitive["attributes"]["COLOR_0"] = gltf.accessor(rows, dtype, normalized=dtype == "u1")
        gltf.mesh(primitive)
        mesh = dm.load_mesh(gltf.glb(tmp_path / "a.glb"))
        assert_allclose(mesh.appearance.colors, GRADIENT * 0.5, atol=0.003)


def test_own_files_keep_their_colors(tmp_path):
    from diffmpm.export import write_mesh

    box = dm.load_mesh((POINTS, TRIANGLES))
    shades = 0.2 + 0.6 * GRADIENT
    for suffix in (".obj", ".ply", ".glb"):
        write_mesh(tmp_path / f"a{suffix}", box.vertices, box.triangles, colors=shades)
        mesh = dm.load_mesh(tmp_path / f"a{suffix}")
        assert_allclose(display_color(mesh.appearance.colors), shades, atol=0.005)


# --- Textures


def test_a_seam_keeps_the_vertices_welded(tmp_path):
    mesh = dm.load_mesh(textured_obj(tmp_path))
    assert len(mesh.vertices) == 8 and mesh.is_closed
    # Corners 0, 1, 2, 3 of each face are at the centres of the lower left, lower right, ... pixel.
    pixels = {(0.25, 0.25): BLUE, (0.75, 0.25): (1, 1, 1), (0.75, 0.75): GREEN, (0.25, 0.75): RED}
    expected = np.array([[pixels[tuple(uv)] for uv in row] for row in mesh.appearance.uvs.astype(float).tolist()])
    assert_allclose(corner_colors(mesh), expected, atol=1e-6)
    material = mesh.appearance.materials[0]
    assert (material.name, material.texture.name, material.texture.mime) == ("m", "t.png", "image/png")
    assert material.texture.content == png()


def test_a_reversed_triangle_keeps_its_colors(tmp_path):
    path = textured_obj(tmp_path)
    upright = dm.load_mesh(path)
    text = path.read_text()
    lines = [" ".join(["f", *reversed(li.split()[1:])]) if li.startswith("f ") else li for li in text.split("\n")]
    path.write_text("\n".join(lines))
    with pytest.warns(dm.MeshWarning, match="inside out"):
        turned = dm.load_mesh(path)
    points = np.random.default_rng(0).uniform(POINTS.min(0) - 1, POINTS.max(0) + 1, (300, 3))
    # Quads are cut along one of two diagonals; colours are equal in the corners.
    for look in (upright, turned):
        where = {tuple(v): [] for v in POINTS.tolist()}
        for corners, colors in zip(look.triangles, corner_colors(look), strict=True):
            for v, color in zip(corners, colors, strict=True):
                where[tuple(look.vertices[v])].append(tuple(np.round(color, 5)))
        look.__dict__["sets"] = {v: set(c) for v, c in where.items()}
    assert upright.__dict__["sets"] == turned.__dict__["sets"]
    assert np.isfinite(turned.colors_at(points)).all()


def test_textures_of_glb(tmp_path):
    for where in ("view", "data", "file"):
        gltf = Gltf()
        primitive = gltf.primitive(material=0)
        uvs = CORNERS[:, :2] * 0.5 + 0.25
        primitive["attributes"]["TEXCOORD_0"] = gltf.accessor(uvs)
        if where == "view":
            image = {"bufferView": gltf.view(png()), "mimeType": "image/png"}
        elif where == "data":
            import base64

            image = {"uri": "data:image/png;base64," + base64.b64encode(png()).decode()}
        else:
            image = {"uri": "t.png"}
            (tmp_path / "t.png").write_bytes(png())
        gltf.json |= {"images": [image], "textures": [{"source": 0}]}
        base = {"baseColorTexture": {"index": 0}, "baseColorFactor": [0.5, 1, 1, 1]}
        gltf.json["materials"] = [{"name": "skin", "pbrMetallicRoughness": base}]
        gltf.mesh(primitive)
        mesh = dm.load_mesh(gltf.glb(tmp_path / "a.glb"))
        # (0, 0) is the upper left corner of an image in glTF.
        colors = corner_colors(mesh).reshape(-1, 3)
        position = CORNERS[mesh.triangles].reshape(-1, 3)[:, :2].astype(int)
        table = np.array([[RED, BLUE], [GREEN, (1, 1, 1)]]) * [0.5, 1, 1]  # [u][v]
        assert_allclose(colors, table[position[:, 0], position[:, 1]], atol=1e-6)
        assert mesh.appearance.materials[0].name == "skin"


def test_texture_transform_wrap_and_second_set_of_glb(tmp_path):
    gltf = Gltf()
    primitive = gltf.primitive(material=0)
    primitive["attributes"]["TEXCOORD_0"] = gltf.accessor(np.full((8, 2), 0.25))
    primitive["attributes"]["TEXCOORD_1"] = gltf.accessor(np.full((8, 2), 0.75))
    gltf.json |= {
        "images": [{"bufferView": gltf.view(png())}],
        "samplers": [{"wrapS": 33071, "wrapT": 33648}],
        "textures": [{"source": 0, "sampler": 0}],
    }
    move = {"offset": [1.0, 0.0], "scale": [1.0, 1.0], "rotation": 0.0}
    info = {"index": 0, "texCoord": 1, "extensions": {"KHR_texture_transform": move}}
    gltf.json["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": info}}]
    gltf.mesh(primitive)
    mesh = dm.load_mesh(gltf.glb(tmp_path / "a.glb"))
    assert mesh.appearance.materials[0].wrap == ("clamp", "mirror")
    assert_allclose(corner_colors(mesh), np.ones((12, 3, 3)), atol=1e-6)  # clamped to the right column, lower row
    move["rotation"] = np.pi / 2  # (u, v) -> (v, -u) in the convention of the extension
    mesh = dm.load_mesh(gltf.glb(tmp_path / "a.glb"))
    assert_allclose(mesh.appearance.uvs[0, 0], [1.0 + 0.75, 1.0 + 0.75], atol=1e-6)


@pytest.mark.parametrize("binary", [False, True])
def test_textures_of_ply(tmp_path, binary):
    (tmp_path / "t.png").write_bytes(png())
    form = "binary_little_endian" if binary else "ascii"
    head = f"ply\nformat {form} 1.0\ncomment TextureFile t.png\nelement vertex 8\n"
    head += "".join(f"property float {a}\n" for a in "xyz") + "element face 12\n"
    head += "property list uchar int vertex_indices\nproperty list uchar float texcoord\nend_header\n"
    uvs = np.tile([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75]], (12, 1, 1))

    def write(counts: list[int]) -> None:
        if not binary:
            body = "".join(" ".join(map(str, row)) + "\n" for row in POINTS)
            for n, triangle, uv in zip(counts, TRIANGLES, uvs, strict=True):
                numbers = " ".join(map(str, uv.ravel()[:n]))
                body += f"3 {' '.join(map(str, triangle))} {n} {numbers}\n"
            (tmp_path / "a.ply").write_text(head + body)
            return
        content = head.encode() + POINTS.astype("<f4").tobytes()
        for n, triangle, uv in zip(counts, TRIANGLES, uvs, strict=True):
            content += b"\x03" + np.array(triangle, "<i4").tobytes()
            content += bytes([n]) + uv.ravel()[:n].astype("<f4").tobytes()
        (tmp_path / "a.ply").write_bytes(content)

    write([6] * 12)
    mesh = dm.load_mesh(tmp_path / "a.ply")
    assert_allclose(corner_colors(mesh), np.tile([BLUE, (1, 1, 1), GREEN], (12, 1, 1)), atol=1e-6)
    write([6] * 7 + [4] + [6] * 4)
    with pytest.raises(dm.MeshError, match=r"expected 6 texture coordinates in row 7 of face, got 4"):
        dm.load_mesh(tmp_path / "a.ply")


def test_vertex_uvs_of_ply(tmp_path):
    (tmp_path / "t.png").write_bytes(png())
    head = "ply\nformat ascii 1.0\ncomment TextureFile t.png\nelement vertex 8\n"
    head += "".join(f"property float {a}\n" for a in "xyzst")
    head += "element face 12\nproperty list uchar int vertex_indices\nend_header\n"
    body = "".join(" ".join(map(str, [*p, 0.75, 0.25])) + "\n" for p in POINTS)
    (tmp_path / "a.ply").write_text(head + body + "".join(f"3 {a} {b} {c}\n" for a, b, c in TRIANGLES))
    assert_allclose(corner_colors(dm.load_mesh(tmp_path / "a.ply")), np.ones((12, 3, 3)), atol=1e-6)


def test_materials_without_texture(tmp_path):
    faces = box_obj().split("\nf")
    text = faces[0] + "\nusemtl a\nf" + "\nf".join(faces[1:7]) + "\nusemtl b\nf" + "\nf".join(faces[7:])
    (tmp_path / "box.obj").write_text("mtllib box.mtl\n" + text)
    (tmp_path / "box.mtl").write_text("newmtl a\nKd 1 0 0\nnewmtl b\nKd 0 0 0.5\n")
    mesh = dm.load_mesh(tmp_path / "box.obj")
    assert mesh.is_colored
    colors = corner_colors(mesh)
    assert_allclose(colors[:6], np.broadcast_to(RED, (6, 3, 3)))
    assert_allclose(colors[6:], np.broadcast_to([0, 0, 0.21404114], (6, 3, 3)), atol=1e-6)
    (tmp_path / "box.mtl").write_text("newmtl a\nKd 0.8 0.8 0.8\nnewmtl b\nKd 0.8 0.8 0.8\n")
    mesh = dm.load_mesh(tmp_path / "box.obj")
    assert mesh.appearance is not None and not mesh.is_colored


def test_faces_without_uvs_have_no_texture(tmp_path):
    faces = seam_faces().replace("f 1/1 2/2 4/3 3/4", "f 1 2 4 3")
    mesh = dm.load_mesh(textured_obj(tmp_path, faces=faces))
    assert_allclose(corner_colors(mesh)[:2], np.ones((2, 3, 3)))
    assert len({material.texture is None for material in mesh.appearance.materials}) == 2


def test_options_of_mtl_textures(tmp_path):
    os.rename(textured_obj(tmp_path).parent / "t.png", tmp_path / "my texture.png")
    options = "-blendu on -mm 0 1 -s 2 2 2 -o 0.5 0 -clamp on"
    (tmp_path / "box.mtl").write_text(f"newmtl m\nKd 0.1 0.1 0.1\nmap_Kd {options} my texture.png\nKd 0 0 0\n")
    mesh = dm.load_mesh(tmp_path / "box.obj")
    assert mesh.appearance.materials[0].wrap == ("clamp", "clamp")
    assert_allclose(np.unique(mesh.appearance.uvs.reshape(-1, 2)[:, 0]), [1.0, 2.0])
    assert_allclose(np.unique(mesh.appearance.uvs.reshape(-1, 2)[:, 1]), [0.5, 1.5])
    assert mesh.appearance.materials[0].color == (1.0, 1.0, 1.0)


def test_image_formats(tmp_path):
    grey16 = (np.arange(4).reshape(2, 2) * 65535 // 3).astype(np.uint16)
    rgba = np.dstack([PIXELS, np.full((2, 2), 7, np.uint8)])
    indexed = io.BytesIO()
    Image.fromarray(PIXELS).convert("P", palette=Image.Palette.ADAPTIVE).save(indexed, "PNG")
    cases = [
        (png(rgba), PIXELS),
        (png(format="BMP"), PIXELS),
        (png(format="TGA"), PIXELS),
        (indexed.getvalue(), PIXELS),
    ]
    cases += [(png(grey16), np.repeat(np.rint(grey16 / 257)[..., None], 3, axis=2))]
    for content, expected in cases:
        mesh = dm.load_mesh(textured_obj(tmp_path, image=content))
        assert_array_equal(mesh.appearance.materials[0].texture.pixels, expected)


# --- Bad and hostile files


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("none.png", "is not a file in the folder"),
        ("../secret.png", "is outside of the folder"),
        ("link.png", "is outside of the folder"),
        ("http://example.org/t.png", "is a URL"),
        ("file:///etc/passwd", "is a URL"),
        ("a/../../secret.png", "is outside of the folder"),
        ("x" * 5000, "cannot be read"),
        (".", "is not a file"),
    ],
)
def test_a_missing_texture_is_a_warning(tmp_path, reference, reason):
    folder = tmp_path / "mesh"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    path = textured_obj(folder, f"newmtl m\nKd 1 0 0\nmap_Kd {reference}\n")
    with pytest.warns(dm.MeshWarning, match=reason) as record:
        mesh = dm.load_mesh(path)
    assert len(record) == 1 and record[0].filename == __file__
    assert_allclose(mesh.appearance.materials[0].color, RED)
    assert all(material.texture is None for material in mesh.appearance.materials)


def test_an_absolute_path_names_a_file_beside_the_mesh(tmp_path):
    for reference in (r"C:\Users\me\art\t.png", "/home/me/t.png", "C:t.png"):
        mesh = dm.load_mesh(textured_obj(tmp_path, f"newmtl m\nmap_Kd {reference}\n"))
        assert mesh.appearance.materials[0].texture is not None


def test_a_missing_mtl_is_a_warning_if_a_texture_is_missing(tmp_path):
    textured_obj(tmp_path)
    os.remove(tmp_path / "box.mtl")
    with pytest.warns(dm.MeshWarning, match=r"'box.mtl' is not a file in the folder"):
        dm.load_mesh(tmp_path / "box.obj")
    (tmp_path / "box.obj").write_text("mtllib box.mtl\nusemtl m\n" + box_obj())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dm.load_mesh(tmp_path / "box.obj").appearance is None


def bomb() -> bytes:
    """Return a PNG file that claims 60000 x 60000 pixels."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"not an image", "expected an image"),
        (png()[:50], "damaged"),
        (b"GIF89a" + bytes(100), "expected an image"),
        (bomb(), "expected"),
    ],
)
def test_bad_images_are_errors(tmp_path, image, message):
    with pytest.raises(dm.MeshError, match=message) as error:
        dm.load_mesh(textured_obj(tmp_path, image=image))
    assert str(error.value).startswith("box.obj: t.png: ")


@pytest.mark.parametrize(
    ("mtl", "message"),
    [
        ("newmtl m\nKd red\n", r"box.mtl: line 2: expected numbers, got 'red'"),
        ("newmtl m\nKd 2 0 0\n", r"line 2: expected three numbers from 0 to 1"),
        ("newmtl m\nKd nan 0 0\n", r"expected finite numbers"),
        ("newmtl m\nmap_Kd\n", r"expected a file name after map_Kd"),
        ("newmtl m\nmap_Kd -s on t.png\n", r"expected numbers after -s"),
    ],
)
def test_bad_materials_are_errors(tmp_path, mtl, message):
    with pytest.raises(dm.MeshError, match=message):
        dm.load_mesh(textured_obj(tmp_path, mtl))


@pytest.mark.parametrize(
    ("faces", "message"),
    [
        ("vt 0 0\nusemtl m\nf 1/1 2/2 3/1\n", r"line 12: expected a texture coordinate from 1 to 1, got '2/2'"),
        ("vt 0 0\nusemtl m\nf 1/1 2/-2 3/1\n", r"expected a texture coordinate from -1 to -1"),
        ("vt 0 0\nusemtl m\nf 1/x 2/1 3/1\n", r"expected an integer"),
        ("vt\nusemtl m\nf 1/1 2/1 3/1\n", r"expected texture coordinates after vt, got none"),
        ("vt a b\nusemtl m\nf 1/1 2/1 3/1\n", r"expected a number"),
    ],
)
def test_bad_uvs_are_errors(tmp_path, faces, message):
    with pytest.raises(dm.MeshError, match=message):
        dm.load_mesh(textured_obj(tmp_path, faces=faces))


def test_wrong_counts_are_errors():
    box = dm.load_mesh((POINTS, TRIANGLES))
    texture = Texture(PIXELS)
    with pytest.raises(dm.MeshError, match=re.escape("box: uvs: expected an entry for each of 12 triangles, got 11")):
        dm.Mesh(box.vertices, box.triangles, "box", appearance=Appearance(uvs=np.zeros((11, 3, 2))))
    with pytest.raises(dm.MeshError, match="colors: expected an entry for each of 8 vertices, got 7"):
        dm.Mesh(box.vertices, box.triangles, "box", appearance=Appearance(colors=np.zeros((7, 3))))
    with pytest.raises(dm.ConfigError, match="uvs: expected texture coordinates"):
        Appearance(materials=(MeshMaterial(texture=texture),))
    with pytest.raises(dm.ConfigError, match="material: expected indices from 0 to 0"):
        Appearance(materials=(MeshMaterial(),), material=np.array([0, 1]))
    with pytest.raises(dm.ConfigError, match="pixels"):
        Texture(np.zeros((2, 2), np.uint8))


# --- Colours of points


def test_sampled_colors_wrap_and_interpolate():
    texture = Texture(PIXELS)
    quarter = np.array([[0.25, 0.75], [0.75, 0.75], [0.25, 0.25], [0.75, 0.25]])
    expected = np.array([RED, GREEN, BLUE, (1, 1, 1)])
    for shift in (0.0, 1.0, -3.0):
        assert_allclose(texture.sample(quarter + shift), expected, atol=1e-6)
    assert_allclose(texture.sample(quarter + 1.0, ("mirror", "mirror")), expected[::-1], atol=1e-6)
    assert_allclose(texture.sample(quarter + 9.0, ("clamp", "clamp")), np.tile(GREEN, (4, 1)), atol=1e-6)
    # Halfway between pixels: the mean in linear light, not of the sRGB levels.
    assert_allclose(texture.sample(np.array([[0.5, 0.75]])), [[0.5, 0.5, 0.0]], atol=1e-6)
    assert_allclose(display_color(linear_light(np.linspace(0, 1, 256))), np.linspace(0, 1, 256), atol=1e-6)


def test_points_have_the_color_of_the_nearest_surface_point():
    sphere = dm.load_mesh("torus")
    colors = np.random.default_rng(1).uniform(size=(len(sphere.vertices), 3)).astype(np.float32)
    mesh = dm.Mesh(sphere.vertices, sphere.triangles, appearance=Appearance(colors=colors))
    points = np.random.default_rng(2).uniform(-1.5, 1.5, (60, 3))
    expected = []
    corners = mesh.vertices[mesh.triangles]
    grid = [(i / 40, j / 40) for i in range(41) for j in range(41 - i)]
    weights = np.array([(1 - u - v, u, v) for u, v in grid])
    for p in points:
        # The nearest of a fine set of points in the nearest few triangles.
        near = np.argsort(((corners.mean(axis=1) - p) ** 2).sum(axis=1))[:60]
        dense = np.einsum("wc,tcd->twd", weights, corners[near])
        t, w = np.unravel_index(np.argmin(((dense - p) ** 2).sum(axis=2)), dense.shape[:2])
        expected.append(weights[w] @ colors[mesh.triangles[near[t]]])
    assert_allclose(mesh.colors_at(points), expected, atol=0.03)


def test_particles_have_colors_and_keep_them():
    box = dm.load_mesh((POINTS, TRIANGLES))
    colored = dm.Mesh(box.vertices, box.triangles, appearance=Appearance(colors=GRADIENT))
    body = dm.sample(colored, particles=500)
    assert body.color.dtype == body.x.dtype and body.color.shape == (500, 3)
    assert_allclose(body.color, colored.colors_at(body.x.astype(np.float64)), atol=1e-5)
    plain = dm.sample(box, particles=500)
    assert plain.color is None
    assert_array_equal(plain.x, body.x)
    assert_array_equal(body.replace(x=body.x + 1).color, body.color)
    assert_array_equal(colored.transformed(3.0, (1, 2, 3)).colors_at(3.0 * POINTS + [1, 2, 3]), GRADIENT)
    with pytest.raises(dm.ConfigError, match="color: expected linear light from 0 to 1, got 0 to 255"):
        body.replace(color=np.full((500, 3), 255.0, np.float32) * (np.arange(500) > 3)[:, None].astype(np.float32))


def test_points_whose_distances_overflow_have_a_colour():
    colored = dm.Mesh(POINTS, TRIANGLES, appearance=Appearance(colors=GRADIENT))
    far = colored.colors_at([[1e300, 1e300, -1e300], [1e200, 0.0, 0.0]])
    assert (far >= 0.0).all() and (far <= 1.0).all()
