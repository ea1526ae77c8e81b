# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Every format is read back by independent code."""

import json
import re
import struct
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from diffmpm import export
from diffmpm._placement import Similarity, turn, up_vector
from diffmpm.errors import ConfigError, MissingPackageError, OutputError
from numpy.testing import assert_allclose, assert_array_equal

M, N = 20, 5


def moment(k=0):
    rng = np.random.default_rng(k)
    A = rng.standard_normal((M, 3, 3))
    splats = export.Splats.create(rng.standard_normal((M, 3)), A @ A.transpose(0, 2, 1), rng.random((M, 3)))
    normals = rng.standard_normal((M, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    x, F, G = (rng.standard_normal(shape).astype(np.float32) for shape in ((N, 3), (N, 3, 3), (N, 3, 3)))
    triangle = (np.eye(3), np.array([[0, 1, 2]]), np.full((3, 3), 3**-0.5))
    return export.Moment(0.5 * k, x, F, G, splats, normals, triangle)


def write(tmp_path, name, count=2):
    folder = export.export_moments((moment(k) for k in range(count)), tmp_path, name)
    assert folder == tmp_path / name
    return folder


def test_ply_has_the_fields_of_the_inria_viewer(tmp_path):
    data = (write(tmp_path, "ply") / "morph_0001.ply").read_bytes()
    head, body = data.split(b"end_header\n", 1)
    lines = head.decode("ascii").splitlines()
    assert lines[:3] == ["ply", "format binary_little_endian 1.0", f"element vertex {M}"]
    names = "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3".split()
    assert lines[3:] == [f"property float {name}" for name in names]
    rows = np.array([struct.unpack("<17f", body[68 * g : 68 * g + 68]) for g in range(M)])
    assert len(body) == 68 * M
    expected = moment(1)
    s = expected.splats
    assert_allclose(rows[:, 0:3], s.means)
    assert_allclose(rows[:, 3:6], expected.normals)
    assert_allclose(0.5 + 0.28209479177387814 * rows[:, 6:9], s.colors, atol=1e-6)
    assert_allclose(1.0 / (1.0 + np.exp(-rows[:, 9])), s.opacities, rtol=1e-6)
    assert_allclose(np.exp(rows[:, 10:13]), s.scales, rtol=1e-5)
    assert_allclose(rows[:, 13:17], s.quats)


def test_ply_with_harmonics_of_degree_3(tmp_path):
    path = export.write_gaussian_ply(tmp_path / "a.ply", moment().splats, sh_degree=3)
    head, body = path.read_bytes().split(b"end_header\n", 1)
    names = re.findall(r"property float (\w+)", head.decode("ascii"))
    assert names[9:54] == [f"f_rest_{k}" for k in range(45)] and names[54] == "opacity"
    assert len(body) == 4 * 62 * M
    assert_array_equal(np.frombuffer(body, "<f4").reshape(M, 62)[:, 9:54], 0.0)
    with pytest.raises(ConfigError, match="sh_degree: expected 0, 1, 2 or 3, got 4"):
        export.write_gaussian_ply(tmp_path / "a.ply", moment().splats, sh_degree=4)


def test_splat_has_32_bytes_per_gaussian_largest_first(tmp_path):
    data = (write(tmp_path, "splat") / "morph_0000.splat").read_bytes()
    rows = [struct.unpack("<3f3f4B4B", data[32 * g : 32 * g + 32]) for g in range(M)]
    assert len(data) == 32 * M
    s = moment().splats
    order = sorted(range(M), key=lambda g: -float(np.prod(s.scales[g].astype(float))))
    for row, g in zip(rows, order, strict=True):
        assert_allclose(row[:3], s.means[g])
        assert_allclose(row[3:6], s.scales[g])
        assert_allclose(np.array(row[6:9]) / 255.0, s.colors[g], atol=0.5 / 255 + 1e-6)
        assert row[9] == round(0.95 * 255)
        assert_allclose((np.array(row[10:]) - 128) / 128.0, s.quats[g], atol=1.01 / 128)


def read_glb(path):
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, chunk_type = struct.unpack("<I4s", data[12:20])
    assert chunk_type == b"JSON" and size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    rest, chunk_type = struct.unpack("<I4s", data[20 + size : 28 + size])
    assert chunk_type == b"BIN\0" and 28 + size + rest == length
    return document, data[28 + size :]


def test_glb_has_the_attributes_of_the_extension(tmp_path):
    document, binary = read_glb(write(tmp_path, "glb") / "morph_0000.glb")
    assert document["extensionsUsed"] == ["KHR_gaussian_splatting"]
    primitive = document["meshes"][0]["primitives"][0]
    assert primitive["mode"] == 0
    assert primitive["extensions"]["KHR_gaussian_splatting"]["kernel"] == "ellipse"
    assert primitive["extensions"]["KHR_gaussian_splatting"]["colorSpace"] == "srgb_rec709_display"

    def values(name):
        accessor = document["accessors"][primitive["attributes"][name]]
        view = document["bufferViews"][accessor["bufferView"]]
        parts = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        assert accessor["componentType"] == 5126 and accessor["count"] == M
        assert view["byteOffset"] % 4 == 0 and view["byteLength"] == 4 * parts * M
        return np.frombuffer(binary, "<f4", parts * M, view["byteOffset"]).reshape(M, parts)

    s = moment().moved(turn("z", "y")).splats
    assert_array_equal(values("POSITION")[:, [0, 2, 1]] * [1, -1, 1], moment().splats.means)  # z becomes y
    assert_array_equal(values("POSITION"), s.means)
    assert_array_equal(values("KHR_gaussian_splatting:ROTATION"), s.quats[:, [1, 2, 3, 0]])
    assert_array_equal(values("KHR_gaussian_splatting:SCALE"), s.scales)
    assert_array_equal(values("KHR_gaussian_splatting:OPACITY")[:, 0], s.opacities)
    assert_array_equal(values("KHR_gaussian_splatting:SH_DEGREE_0_COEF_0"), s.sh)
    assert_allclose(values("COLOR_0")[:, 3], s.opacities)
    assert ((values("COLOR_0") >= 0) & (values("COLOR_0") <= 1)).all()
    assert_allclose(document["accessors"][0]["min"], s.means.min(axis=0))
    assert document["nodes"] == [{"mesh": 0}]


def test_glb_is_read_by_pygltflib(tmp_path):
    pygltflib = pytest.importorskip("pygltflib", reason="pygltflib is not installed")
    path = export.write_gaussian_glb(tmp_path / "a.glb", moment().splats)
    model = pygltflib.GLTF2().load(str(path))
    assert model.accessors[0].count == M and model.nodes[0].rotation is None


def appended(root, data, name):
    """Return the values of a DataArray of a VTK file with raw appended data."""
    node = next(node for node in root.iter("DataArray") if node.get("Name") == name)
    start = data.index(b'<AppendedData encoding="raw">') + len(b'<AppendedData encoding="raw">\n_')
    start += int(node.get("offset"))
    (size,) = struct.unpack("<Q", data[start : start + 8])
    dtype = {"Float32": "<f4", "Int64": "<i8"}[node.get("type")]
    return np.frombuffer(data[start + 8 : start + 8 + size], dtype).reshape(
        -1, int(node.get("NumberOfComponents", "1"))
    )


def test_vtp_time_series(tmp_path):
    folder = write(tmp_path, "vtp")
    sets = ElementTree.parse(folder / "morph.pvd").getroot().find("Collection").findall("DataSet")
    assert [(s.get("file"), float(s.get("timestep"))) for s in sets] == [
        ("morph_0000.vtp", 0.0),
        ("morph_0001.vtp", 0.5),
    ]
    for name, fields in (("morph_0001.vtp", ("F", "G")), ("morph_surface_0001.vtp", ("normals", "colors", "scales"))):
        data = (folder / name).read_bytes()
        root = ElementTree.fromstring(re.sub(rb"<AppendedData.*</AppendedData>", b"", data, flags=re.DOTALL))
        assert root.attrib["type"] == "PolyData" and root.attrib["byte_order"] == "LittleEndian"
        piece = root.find("PolyData/Piece")
        expected = moment(1)
        points = expected.x if "surface" not in name else expected.splats.means
        assert int(piece.get("NumberOfPoints")) == int(piece.get("NumberOfVerts")) == len(points)
        assert_array_equal(appended(root, data, "Points"), points)
        assert_array_equal(appended(root, data, "connectivity")[:, 0], np.arange(len(points)))
        assert_array_equal(appended(root, data, "offsets")[:, 0], np.arange(1, len(points) + 1))
        for field in fields:
            source = expected if field in ("F", "G", "normals") else expected.splats
            assert_array_equal(appended(root, data, field), getattr(source, field).reshape(len(points), -1))


def test_bad_fields_and_times_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"a: expected shape \(2,\), \(2, 3\) or \(2, 3, 3\), got \(3,\)"):
        export.write_vtp(tmp_path / "a.vtp", np.zeros((2, 3)), {"a": np.zeros(3)})
    with pytest.raises(ConfigError, match="a: expected floats, int32 or uint8, got complex128"):
        export.write_vtp(tmp_path / "a.vtp", np.zeros((2, 3)), {"a": np.zeros(2, complex)})
    with pytest.raises(ConfigError, match="times: expected one for each of the 1 files, got 2"):
        export.write_pvd(tmp_path / "a.pvd", ["a"], [0.0, 1.0])


def test_usd_has_time_samples(tmp_path):
    usd = pytest.importorskip("pxr.Usd", reason="usd-core is not installed")
    stage = usd.Stage.Open(str(write(tmp_path, "usd") / "morph.usdc"))
    prim = stage.GetPrimAtPath("/Morph/Gaussians")
    assert prim.GetTypeName() == "ParticleField3DGaussianSplat"
    assert stage.GetMetadata("upAxis") == "Z"
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0.0, 1.0)
    schema = usd.SchemaRegistry().FindConcretePrimDefinition("ParticleField3DGaussianSplat")
    names = ["positions", "orientations", "scales", "opacities", "radiance:sphericalHarmonicsCoefficients", "extent"]
    if schema:  # missing before release 26
        assert set(names) <= set(schema.GetPropertyNames())
        assert not prim.GetAttribute("positions").IsCustom()
    for k in range(2):
        s = moment(k).splats
        assert_array_equal(np.array(prim.GetAttribute("positions").Get(k)), s.means)
        assert_array_equal(np.array(prim.GetAttribute("scales").Get(k)), s.scales)
        assert_array_equal(np.array(prim.GetAttribute("opacities").Get(k)), s.opacities)
        assert_array_equal(np.array(prim.GetAttribute(names[4]).Get(k)), s.sh)
        assert_array_equal(np.array(prim.GetAttribute("primvars:displayColor").Get(k)), s.linear)
        quats = prim.GetAttribute("orientations").Get(k)
        assert_array_equal([[q.GetReal(), *q.GetImaginary()] for q in quats], s.quats)
        low, high = prim.GetAttribute("extent").Get(k)
        assert (np.array(low) <= s.means.min(axis=0)).all() and (np.array(high) >= s.means.max(axis=0)).all()
    assert prim.GetAttribute("radiance:sphericalHarmonicsDegree").Get() == 0
    assert prim.GetAttribute("primvars:displayColor").GetMetadata("interpolation") == "vertex"
    with pytest.raises(ConfigError, match="frames: expected at least one frame, got none"):
        export.write_usd(tmp_path / "b.usdc", [])
    assert {path.name for path in tmp_path.iterdir()} == {"usd", "diffmpm.json"}


def test_npz_holds_particles_and_gaussians(tmp_path):
    back = export.read_npz(write(tmp_path, "npz") / "morph_0001.npz")
    expected = moment(1)
    for name in ("x", "F", "G", "normals"):
        assert_array_equal(back[name], getattr(expected, name))
    for name in ("means", "scales", "quats", "colors", "opacities"):
        assert_array_equal(back[name], getattr(expected.splats, name))
    assert float(back["time"]) == 0.5


def test_particles_of_all_frames_are_in_one_archive(tmp_path):
    rows = [replace(moment(k), splats=None, colors=np.full((N, 3), 0.25 * k), origin=(5.0, 0.0, 0.0)) for k in range(3)]
    back = export.read_npz(export.export_moments(rows, tmp_path, "particles") / "morph.npz")
    assert_array_equal(back["x"], [row.x for row in rows])
    assert_allclose(back["det_F"], [np.linalg.det(row.F) for row in rows], rtol=1e-6)
    assert_array_equal(back["colors"], [row.colors for row in rows])
    assert back["time"].tolist() == [0.0, 0.5, 1.0] and back["origin"].tolist() == [5.0, 0.0, 0.0]
    bare = export.export_moments([replace(row, F=None, colors=None) for row in rows], tmp_path / "bare", "particles")
    assert set(export.read_npz(bare / "morph.npz")) == {"x", "time", "origin"}  # frames without F, --keep positions


@pytest.mark.parametrize(("name", "suffix"), [("obj", "obj"), ("mesh-ply", "ply"), ("mesh-glb", "glb")])
def test_meshes_are_read_by_trimesh(tmp_path, name, suffix):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    back = trimesh.load(write(tmp_path, name) / f"morph_0001.{suffix}", force="mesh", process=False)
    expected = moment(1).moved(turn("z", "y")) if suffix == "glb" else moment(1)
    order = np.argsort(np.asarray(back.vertices) @ [1, 2, 4])
    expected_order = np.argsort(expected.mesh[0] @ [1, 2, 4])
    assert_allclose(np.asarray(back.vertices)[order], expected.mesh[0][expected_order])
    assert_allclose(np.asarray(back.vertex_normals)[order], expected.mesh[2][expected_order], atol=1e-6)
    assert_allclose(np.asarray(back.vertices)[back.faces[0]], expected.mesh[0])


@pytest.mark.parametrize("name", sorted(export.FORMATS))
@pytest.mark.parametrize("before", ["x", "y", "z"])
def test_moments_are_rotated_to_an_up_axis_of_the_format(tmp_path, name, before):
    """A format that supports any up axis gets unchanged positions."""
    if name in ("usd", "html", "sog") or name.startswith("animated") or (name in ("ply", "splat") and before == "x"):
        return
    folder = export.export_moments([moment()], tmp_path, name, up=before)
    expected = moment().moved(turn(before, "y")) if name in ("glb", "mesh-glb") else moment()
    content = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    stored = expected.mesh[0] if "mesh" in name or name == "obj" else expected.splats.means
    if name == "particles":
        assert_array_equal(export.read_npz(folder / "morph.npz")["x"][0], expected.x)
    elif name == "obj":
        assert "v 1 0 0" in content.decode()
    elif name in ("ply", "splat"):  # interleaved records
        assert stored[0].astype("<f4").tobytes() in content
    else:
        dtype = "<f8" if name == "mesh-ply" else "<f4"
        assert stored.astype(dtype).tobytes() in content or stored[0].astype(dtype).tobytes() in content


def test_every_format_keeps_a_distant_origin(tmp_path):
    """Positions are float32 offsets from an origin, which each format stores in float64."""
    far = replace(moment(), origin=(388096.5, 3948996.25, 41.0))
    for name in export.FORMATS:
        if name not in ("usd", "html", "splat", "sog", "animated-usd", "animated-abc"):
            export.export_moments([far], tmp_path, name, up="y")
    assert b"\ncomment origin 388096.5 3948996.25 41.0\n" in (tmp_path / "ply" / "morph_0000.ply").read_bytes()
    assert b"\ncomment origin 388096.5 3948996.25 41.0\n" in (tmp_path / "mesh-ply" / "morph_0000.ply").read_bytes()
    assert "v 388097.5 3948996.25 41\n" in (tmp_path / "obj" / "morph_0000.obj").read_text()
    for name, file in (("glb", "morph_0000"), ("mesh-glb", "morph_0000"), ("animated-glb", "morph")):
        assert read_glb(tmp_path / name / f"{file}.glb")[0]["nodes"][0]["translation"] == list(far.origin)
    assert_array_equal(export.read_npz(tmp_path / "npz" / "morph_0000.npz")["origin"], far.origin)
    vtp = (tmp_path / "vtp" / "morph_0000.vtp").read_bytes()
    assert (far.x.astype(float) + far.origin).astype("<f8").tobytes() in vtp


def test_every_part_of_a_moment_is_moved():
    by = Similarity(2.0, turn("z", "y").rotation, (1.0, 2.0, 3.0))
    before, after = moment(), moment().moved(by)
    R = by.matrix
    assert_allclose(after.x, 2 * before.x @ R.T + [1, 2, 3], rtol=1e-6)
    assert_allclose(after.splats.means, 2 * before.splats.means @ R.T + [1, 2, 3], rtol=1e-5, atol=1e-6)
    assert_allclose(after.splats.covariances(), 4 * R @ before.splats.covariances() @ R.T, rtol=1e-3, atol=1e-4)
    assert_allclose(after.mesh[0], 2 * before.mesh[0] @ R.T + [1, 2, 3])
    assert_allclose(after.normals, before.normals @ R.T, atol=1e-6)
    assert_allclose(after.F, R @ before.F @ R.T, atol=1e-6)
    assert before.moved(Similarity()) is before
    back = after.moved(by.inverse())
    assert_allclose(back.x, before.x, atol=1e-5)


@pytest.mark.parametrize("before", ["x", "y", "z"])
@pytest.mark.parametrize("after", ["x", "y", "z"])
def test_turns_are_rotations_from_axis_to_axis(before, after):
    R = turn(before, after).matrix
    assert_array_equal(R @ up_vector(before), up_vector(after))
    assert_array_equal(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == 1.0
    assert turn(before, after).after(turn(after, before)) == Similarity()


def test_every_format_is_tested():
    # test_animated.py, splats/test_reading.py
    elsewhere = {"animated-glb", "animated-usd", "animated-abc", "animated-pc2", "sog"}
    here = {"ply", "splat", "html", "glb", "vtp", "usd", "npz", "obj", "mesh-ply", "mesh-glb", "particles"}
    assert set(export.FORMATS) == here | elsewhere


def test_a_failure_leaves_the_earlier_export(tmp_path):
    folder = write(tmp_path, "ply", 1)
    before = (folder / "morph_0000.ply").read_bytes()

    def interrupted():
        yield moment(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.export_moments(interrupted(), tmp_path, "ply")
    assert (folder / "morph_0000.ply").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"ply", "diffmpm.json"}


def test_foreign_folders_are_not_replaced(tmp_path):
    (tmp_path / "ply").mkdir()
    (tmp_path / "ply" / "mine.txt").write_text("precious")
    with pytest.raises(
        OutputError, match=r"out: expected to replace only unchanged files of diffmpm, got 'ply/mine.txt' in"
    ):
        write(tmp_path, "ply")
    assert (tmp_path / "ply" / "mine.txt").read_text() == "precious"


def test_missing_package_and_bad_arguments_are_named(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"format: expected one of ply, splat, .*, got 'fbx'"):
        export.export_moments([], tmp_path, "fbx")
    empty = export.Moment(0.0, *(np.zeros(shape, np.float32) for shape in ((1, 3), (1, 3, 3), (1, 3, 3))))
    with pytest.raises(ConfigError, match=r"moments: expected Gaussians in each of them"):
        export.export_moments([empty], tmp_path, "splat")
    with pytest.raises(ConfigError, match=r"moments: expected a mesh in each of them"):
        export.export_moments([empty], tmp_path, "obj")
    none = export.Splats.create(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, 3)))
    with pytest.raises(ConfigError, match="splats: expected at least one Gaussian, got none"):
        export.write_gaussian_glb(tmp_path / "a.glb", none)
    with pytest.raises(ConfigError, match="up: expected x, y or z, got 'w'"):
        export.export_moments([moment()], tmp_path, "ply", up="w")
    with pytest.raises(ConfigError, match=r"path: expected a file ending in .usd, .usda, .usdc"):
        export.write_usd(tmp_path / "a.obj", [])
    with pytest.raises(ConfigError, match="up: expected y or z, the up axes of USD, got 'x'"):
        export.write_usd(tmp_path / "a.usd", [], up="x")
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(MissingPackageError, match=r"usd-core: needed for USD .* pip install 'diffmpm\[usd\]'"):
        export.export_moments([], tmp_path, "usd")


def test_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match="could not write"), export.write_file(tmp_path / "none" / "a.txt") as path:
        path.write_text("")
