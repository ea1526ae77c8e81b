# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Meshes from files and arrays: results, errors and warnings; volume, centroid and fit."""

from __future__ import annotations

import warnings
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.errors import ConfigError, MeshError, MeshWarning

TETRAHEDRON = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], dtype=np.int32)

QUAD_CUBE = """# quads, a texture index, a missing material
mtllib missing.mtl
o cube
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
v 1 0 1
v 1 1 1
v 0 1 1
vt 0 0
vn 0 0 1
f 4/1/1 3/1/1 2/1/1 1/1/1
f 5//1 6//1 7//1 8//1
f 1 2 6 5
f 2 3 7 6
f -6 -5 -1 -2
f 4 1 5 8
"""

# An L-shaped prism: its caps are concave polygons of six corners.
CONCAVE = """v 0 0 0
v 2 0 0
v 2 1 0
v 1 1 0
v 1 2 0
v 0 2 0
v 0 0 1
v 2 0 1
v 2 1 1
v 1 1 1
v 1 2 1
v 0 2 1
f 6 5 4 3 2 1
f 7 8 9 10 11 12
f 1 2 8 7
f 2 3 9 8
f 3 4 10 9
f 4 5 11 10
f 5 6 12 11
f 6 1 7 12
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl", ".off", ".glb"])
def test_every_file_format(suffix: str, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / f"tetrahedron{suffix}"
    trimesh.Trimesh(TETRAHEDRON, FACES, process=False).export(path)
    mesh = dm.load_mesh(path)
    assert mesh.name == path.name
    assert mesh.is_closed
    # .stl and .glb store float32.
    np.testing.assert_allclose(mesh.volume, 1.0 / 6.0, rtol=1e-6)
    np.testing.assert_allclose(mesh.centroid, [0.25] * 3, rtol=1e-6)
    if suffix in (".obj", ".ply", ".off"):
        np.testing.assert_array_equal(mesh.vertices, TETRAHEDRON)
        np.testing.assert_array_equal(mesh.triangles, FACES)


def test_upper_case_extension(tmp_path: Path) -> None:
    assert dm.load_mesh(write(tmp_path / "CUBE.OBJ", QUAD_CUBE)).is_closed


def test_quads_negative_indices_and_missing_material(tmp_path: Path) -> None:
    mesh = dm.load_mesh(write(tmp_path / "cube.obj", QUAD_CUBE))
    assert mesh.triangles.shape == (12, 3)
    np.testing.assert_allclose(mesh.volume, 1.0, rtol=1e-12)


def test_concave_polygons(tmp_path: Path) -> None:
    mesh = dm.load_mesh(write(tmp_path / "corner.obj", CONCAVE))
    np.testing.assert_allclose(mesh.volume, 3.0, rtol=1e-12)
    x = dm.sample(mesh, particles=2000).x
    assert not ((x[:, 0] > 1) & (x[:, 1] > 1)).any()


def test_scene_parts_are_merged_in_place(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    scene = trimesh.Scene()
    part = trimesh.Trimesh(TETRAHEDRON, FACES, process=False)
    for shift in (0.0, 5.0):
        matrix = np.eye(4)
        matrix[0, 3] = shift
        scene.add_geometry(part.copy(), transform=matrix)
    scene.export(tmp_path / "two.glb")
    mesh = dm.load_mesh(tmp_path / "two.glb")
    np.testing.assert_allclose(mesh.bounds, [[0, 0, 0], [6, 1, 1]], atol=1e-6)
    np.testing.assert_allclose(mesh.volume, 2.0 / 6.0, rtol=1e-6)


def test_vertices_keep_their_order(shared: Path) -> None:
    path = shared / "meshes" / "spot.obj"
    rows = [line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")]
    np.testing.assert_array_equal(dm.load_mesh(path).vertices, np.array(rows, dtype=np.float64))


def test_arrays_are_copied() -> None:
    vertices = TETRAHEDRON.copy()
    mesh = dm.load_mesh((vertices, FACES))
    vertices[:] = 7.0
    np.testing.assert_array_equal(mesh.vertices, TETRAHEDRON)
    assert dm.load_mesh(mesh) is mesh


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int16])
def test_integer_dtypes(dtype: type) -> None:
    assert dm.load_mesh((TETRAHEDRON.astype(np.float32), FACES.astype(dtype))).triangles.dtype == np.int32
    assert dm.load_mesh((TETRAHEDRON.tolist(), FACES.tolist())).is_closed


def only_warning(source: object) -> tuple[dm.Mesh, str]:
    """Load, sample and fit a mesh; return it with the text of the only warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mesh = dm.load_mesh(source)  # type: ignore[arg-type]
        dm.sample(mesh, particles=100)
        dm.fit(mesh, "sphere")
    assert [w.category for w in caught] == [MeshWarning]
    return mesh, str(caught[0].message)


def test_open_mesh_warns_once() -> None:
    sphere = dm.shapes.make("sphere")
    mesh, message = only_warning((sphere.vertices, sphere.triangles[:-20]))
    assert "the mesh is open (" in message
    assert "the winding number decides what is inside" in message
    # Twenty of 5120 triangles are missing: the w = 1/2 surface bridges the hole.
    np.testing.assert_allclose(mesh.volume, 4.0 / 3.0 * np.pi, rtol=5e-3)


def test_non_manifold_mesh_warns_once() -> None:
    fin = np.concatenate([FACES, [[0, 1, 4], [1, 0, 4]]])
    _, message = only_warning((np.concatenate([TETRAHEDRON, [[0.5, -1.0, -1.0]]]), fin))
    assert "non-manifold (1 edges with more than two triangles)" in message


@pytest.mark.parametrize("missing", [0, 1])
def test_inverted_mesh_is_turned_with_a_warning(missing: int) -> None:
    sphere = dm.shapes.make("sphere")
    mesh, message = only_warning((sphere.vertices, sphere.triangles[missing:, ::-1]))
    assert "inside out (turned over)" in message
    assert ("open" in message) == bool(missing)
    np.testing.assert_allclose(mesh.volume, 4.0 / 3.0 * np.pi, rtol=3e-3)
    np.testing.assert_array_equal(mesh.triangles, sphere.triangles[missing:])


def test_closed_mesh_with_a_cavity_has_the_volume_of_the_shell() -> None:
    sphere = dm.shapes.make("sphere")
    vertices = np.concatenate([sphere.vertices, 0.5 * sphere.vertices])
    triangles = np.concatenate([sphere.triangles, sphere.triangles[:, ::-1] + len(sphere.vertices)])
    mesh = dm.load_mesh((vertices, triangles))
    np.testing.assert_allclose(mesh.volume, 4.0 / 3.0 * np.pi * 0.875, rtol=1e-9)
    assert np.linalg.norm(dm.sample(mesh, particles=3000).x, axis=1).min() > 0.49


def test_overlapping_pieces_count_once() -> None:
    sphere = dm.shapes.make("sphere")
    vertices = np.concatenate([sphere.vertices, sphere.vertices + np.array([0.2, 0.0, 0.0])])
    triangles = np.concatenate([sphere.triangles, sphere.triangles + len(sphere.vertices)])
    mesh = dm.load_mesh((vertices, triangles))
    with pytest.warns(MeshWarning, match=r"its solid has the volume 4\.\d+ and the divergence theorem gives 8\.3"):
        assert mesh.volume
    # Union of two unit balls 0.2 apart: 2 V - lens, lens = pi (2 - d)^2 (d^2 + 4 d) / (12 d) with d = 0.2.
    d = 0.2
    lens = np.pi * (2 - d) ** 2 * (d**2 + 4 * d) / (12 * d)
    # Stratified estimate: relative error about 1e-3.
    np.testing.assert_allclose(mesh.volume, 8.0 / 3.0 * np.pi - lens, rtol=5e-3)


def test_closed_volumes_are_exact() -> None:
    cube = dm.load_mesh("box").transformed(2.0, (1.0, 2.0, 3.0))
    np.testing.assert_allclose(cube.volume, 8.0 * 4.0 / 3.0 * np.pi, rtol=1e-12)
    np.testing.assert_allclose(cube.centroid, [1.0, 2.0, 3.0], rtol=1e-12)
    fresh = dm.load_mesh((cube.vertices, cube.triangles))
    np.testing.assert_allclose(fresh.volume, cube.volume, rtol=1e-12)
    np.testing.assert_allclose(fresh.centroid, cube.centroid, rtol=1e-12)


def test_published_volumes(shared: Path) -> None:
    for name, expected in (("isosphere", 1394.26), ("spot", 956.00), ("bob", 1345.54)):
        np.testing.assert_allclose(dm.load_mesh(shared / "meshes" / f"{name}.obj").volume, expected, rtol=1e-5)


@pytest.mark.parametrize("target", ["torus", "letter_m"])
def test_fit_matches_volume_and_centroid(target: str) -> None:
    goal = dm.load_mesh(target).transformed(7.5, (100.0, -20.0, 3.0))
    body = dm.fit("cross", goal)
    np.testing.assert_allclose(body.volume, goal.volume, rtol=1e-12)
    np.testing.assert_allclose(body.centroid, goal.centroid, rtol=1e-12, atol=1e-12)
    measured = dm.load_mesh((body.vertices, body.triangles))
    np.testing.assert_allclose(measured.volume, goal.volume, rtol=1e-9)
    np.testing.assert_allclose(measured.centroid, goal.centroid, rtol=1e-9)


def test_missing_file() -> None:
    with pytest.raises(MeshError, match=r"mesh: expected an existing file, got 'nowhere\.obj'; check the path"):
        dm.load_mesh("nowhere.obj")


def test_a_similar_file_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "spot.obj").write_text("")
    with pytest.raises(MeshError, match=r"spott\.obj'; did you mean '.*spot\.obj'\?"):
        dm.load_mesh(tmp_path / "spott.obj")


def test_unknown_shape_name() -> None:
    with pytest.raises(
        MeshError, match=r"expected a built-in shape or a mesh file .* got 'spere'; did you mean sphere\?"
    ):
        dm.load_mesh("spere")
    with pytest.raises(MeshError, match=r"expected a built-in shape .* got 'klein'; the shapes are sphere"):
        dm.load_mesh("klein")
    with pytest.raises(MeshError, match="shape: expected one of sphere, box"):
        dm.shapes.make("spere")


def test_unsupported_extension(tmp_path: Path) -> None:
    with pytest.raises(
        MeshError, match=r"expected a file with suffix \.obj \.ply \.stl \.off \.glb \.gltf, got .*a\.step"
    ):
        dm.load_mesh(write(tmp_path / "a.step", "x"))


def test_folder_empty_file_and_garbage(tmp_path: Path) -> None:
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(MeshError, match=r"readable file, got .*\(it is a folder, not a regular file\)"):
        dm.load_mesh(tmp_path / "folder.obj")
    with pytest.raises(MeshError, match=r"empty\.obj: expected a mesh, got an empty file"):
        dm.load_mesh(write(tmp_path / "empty.obj", ""))
    for suffix in ("ply", "stl", "off", "glb"):
        with pytest.raises(MeshError, match=rf"garbage\.{suffix}: .*expected a readable \.{suffix} file"):
            dm.load_mesh(write(tmp_path / f"garbage.{suffix}", "not a mesh\nat all\n"))


def test_file_without_faces_or_vertices(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"points\.obj: expected a mesh with faces, got 2 vertices and no face"):
        dm.load_mesh(write(tmp_path / "points.obj", "v 0 0 0\nv 1 0 0\n"))
    with pytest.raises(MeshError, match=r"comment\.obj: expected a mesh with vertices, got an empty one"):
        dm.load_mesh(write(tmp_path / "comment.obj", "# nothing here\n"))


@pytest.mark.parametrize(
    ("vertices", "triangles", "error", "message"),
    [
        (np.zeros((0, 3)), FACES, MeshError, "mesh: expected a mesh with vertices, got an empty one"),
        (TETRAHEDRON, np.zeros((0, 3), int), MeshError, "mesh: expected a mesh with faces, got 4 vertices"),
        (TETRAHEDRON, [], MeshError, "mesh: expected a mesh with faces, got 4 vertices"),
        (np.full((4, 3), np.inf), FACES, MeshError, "mesh: expected finite vertices, got"),
        (TETRAHEDRON, FACES + 1, MeshError, "mesh: expected vertex indices from 0 to 3, got 4 in triangle 1"),
        (TETRAHEDRON, FACES - 1, MeshError, "mesh: expected vertex indices from 0 to 3, got -1 in triangle 0"),
        (TETRAHEDRON[:, :2], FACES, ConfigError, r"mesh: vertices: expected shape \(N, 3\), got \(4, 2\)"),
        (TETRAHEDRON.T, FACES, ConfigError, r"vertices: expected shape \(N, 3\), got \(3, 4\); pass .*\.T\.copy\(\)"),
        (TETRAHEDRON, np.zeros((2, 4), int), ConfigError, r"mesh: triangles: expected shape \(T, 3\), got \(2, 4\)"),
        (TETRAHEDRON, np.zeros((3, 5), int), ConfigError, r"got \(3, 5\); pass triangles\.T\.copy\(\)"),
        (TETRAHEDRON, FACES.astype(float), ConfigError, "mesh: triangles: expected integers, got dtype float64"),
        (TETRAHEDRON, [[0, 1, 2], [0, 1]], ConfigError, "expected shape .* got rows of different length"),
        (TETRAHEDRON.astype(complex), FACES, ConfigError, "mesh: vertices: expected numbers, got dtype complex128"),
        (TETRAHEDRON.astype(str), FACES, ConfigError, "mesh: vertices: expected numbers, got dtype <U"),
    ],
)
def test_wrong_arrays(vertices: object, triangles: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        dm.load_mesh((vertices, triangles))


@pytest.mark.parametrize("source", [3, None, TETRAHEDRON])
def test_wrong_source_type(source: object) -> None:
    with pytest.raises(ConfigError, match="mesh: expected a path, the name of a shape, a pair"):
        dm.load_mesh(source)  # type: ignore[arg-type]


def test_pair_of_three() -> None:
    with pytest.raises(ConfigError, match=r"mesh: expected a pair \(vertices, triangles\), got 3 items"):
        dm.load_mesh((TETRAHEDRON, FACES, FACES))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::diffmpm.errors.MeshWarning")
@pytest.mark.parametrize("thickness", [0.0, 1e-12])
def test_mesh_without_volume(thickness: float) -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, thickness]], dtype=np.float64)
    with pytest.raises(MeshError, match="expected a mesh that encloses a volume, got none"):
        dm.sample((square, np.array([[0, 1, 2], [0, 2, 3]])), particles=100)
    both_sides = np.array([[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]])
    with pytest.raises(MeshError, match="expected a mesh that encloses a volume, got none"):
        dm.sample((square, both_sides), particles=100)
    with pytest.raises(MeshError, match="expected a mesh that encloses a volume, got none"):
        dm.fit((square, both_sides), "sphere")


@pytest.mark.filterwarnings("ignore::diffmpm.errors.MeshWarning")
def test_all_vertices_at_one_point() -> None:
    with pytest.raises(MeshError, match="expected a mesh that encloses a volume, got none"):
        dm.sample((np.ones((4, 3)), FACES), particles=10)


def test_thin_plate_is_a_solid() -> None:
    box = dm.load_mesh("box")
    plate = dm.load_mesh((box.vertices * [1.0, 1.0, 1e-3] @ _turn(), box.triangles))
    np.testing.assert_allclose(plate.volume, box.volume * 1e-3, rtol=1e-9)
    assert dm.sample(plate, particles=2000).count == 2000


def _turn() -> np.ndarray:
    q, _ = np.linalg.qr(np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 4.0], [5.0, 6.0, 0.0]]))
    return q


@pytest.mark.parametrize(
    ("scale", "offset", "message"),
    [
        (0.0, (0, 0, 0), "scale: expected a finite number > 0, got 0"),
        (-1.0, (0, 0, 0), "scale: expected a finite number > 0, got -1"),
        (1.0, (0, 0), r"offset: expected shape \(3,\), got \(2,\)"),
        (1.0, (0, 0, float("nan")), "offset: expected finite values, got nan"),
    ],
)
def test_wrong_transform(scale: float, offset: tuple[float, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dm.load_mesh("box").transformed(scale, offset)
