# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A mesh over time is read back by independent programs."""

import io
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from diffmpm import export
from diffmpm.errors import ConfigError, MissingPackageError
from diffmpm.geometry import Appearance, MeshMaterial, Texture
from numpy.testing import assert_allclose, assert_array_equal

FPS = 12.0
COUNT = 4
TRIANGLES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)
POINTS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
UVS = np.random.default_rng(2).random((4, 3, 2)).astype(np.float32)
LOOK = Appearance(
    colors=np.linspace(0.0, 1.0, 12, dtype=np.float32).reshape(4, 3),
    uvs=UVS,
    materials=(
        MeshMaterial(texture=Texture(PIXELS, name="skin.png"), wrap=("repeat", "clamp"), name="skin"),
        MeshMaterial(color=(1.0, 0.0, 0.0), name="red"),
    ),
    material=np.array([0, 0, 1, 0], np.int32),
)


def moments(look=LOOK, origin=(0.0, 0.0, 0.0)):
    for k in range(COUNT):
        points = POINTS * [1.0, 1.0, 1.0 + 0.5 * k * k]
        normals = points - points.mean(axis=0)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        empty = (np.zeros((1, 3), np.float32), *(np.zeros((1, 3, 3), np.float32) for _ in range(2)))
        yield export.Moment(float(k), *empty, mesh=(points, TRIANGLES, normals), appearance=look, origin=origin)


EXPECTED = [moment.mesh[0] for moment in moments()]


def write(tmp_path, name, up="y", look=LOOK, origin=(0.0, 0.0, 0.0)):
    return export.export_moments(moments(look, origin), tmp_path, name, up=up, fps=FPS)


def accessor(model, index):
    entry = model.accessors[index]
    view = model.bufferViews[entry.bufferView]
    parts, dtype = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[entry.type], {5126: "<f4", 5125: "<u4"}[entry.componentType]
    assert view.byteOffset % 4 == 0
    values = np.frombuffer(model.binary_blob(), dtype, parts * entry.count, view.byteOffset)
    return values.reshape(entry.count, parts)


@pytest.mark.parametrize("look", [LOOK, None], ids=["textured", "plain"])
def test_glb_plays_the_frames(tmp_path, look):
    pygltflib = pytest.importorskip("pygltflib", reason="pygltflib is not installed")
    model = pygltflib.GLTF2().load(str(write(tmp_path, "animated-glb", look=look) / "morph.glb"))
    (animation,) = model.animations
    assert animation.channels[0].target.path == "weights" and animation.samplers[0].interpolation == "LINEAR"
    times = accessor(model, animation.samplers[0].input)[:, 0]
    assert_allclose(times, np.arange(COUNT) / FPS)
    weights = accessor(model, animation.samplers[0].output).reshape(COUNT, COUNT - 1)
    primitives = model.meshes[0].primitives
    assert len(primitives) == (2 if look else 1) and len(model.meshes[0].weights) == COUNT - 1
    corners = {k: [] for k in range(COUNT)}
    for primitive in primitives:
        base = accessor(model, primitive.attributes.POSITION)
        targets = [accessor(model, target["POSITION"]) for target in primitive.targets]
        index = accessor(model, primitive.indices)[:, 0]
        for k in range(COUNT):
            corners[k].append((base + np.tensordot(weights[k], targets, 1))[index])
    order = np.argsort(LOOK.material, kind="stable") if look else np.arange(4)
    for k in range(COUNT):
        assert_allclose(np.concatenate(corners[k]), EXPECTED[k][TRIANGLES[order]].reshape(-1, 3), atol=1e-6)
    if look:
        skin = primitives[0]
        uvs = accessor(model, skin.attributes.TEXCOORD_0)[accessor(model, skin.indices)[:, 0]]
        assert_allclose(uvs * [1, -1] + [0, 1], UVS[[0, 1, 3]].reshape(-1, 2), atol=1e-6)
        assert [material.name for material in model.materials] == ["skin", "red"]
        view = model.bufferViews[model.images[0].bufferView]
        assert_array_equal(decoded(model.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]), PIXELS)
        assert (model.samplers[0].wrapS, model.samplers[0].wrapT) == (10497, 33071)


WEB = Path(__file__).parents[2] / "web"


def run_in_node(script, package, *arguments):
    """Return the JSON that a script of tests/web prints. DIFFMPM_NODE is a folder with node_modules."""
    folder = os.environ.get("DIFFMPM_NODE")
    if shutil.which("node") is None or folder is None or not (Path(folder) / "node_modules" / package).is_dir():
        pytest.skip(f"no node on PATH, or DIFFMPM_NODE names no folder in which 'npm install {package}' has run")
    command = ["node", str(WEB / script), folder, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("look", [LOOK, None], ids=["textured", "plain"])
def test_three_js_plays_the_frames(tmp_path, look):
    times = [0.0, 1.0, 2.0, 1.5, 3.0]
    file = write(tmp_path, "animated-glb", look=look) / "morph.glb"
    played = run_in_node("play.mjs", "three", file, *(time / FPS for time in times))
    assert played["duration"] == pytest.approx((COUNT - 1) / FPS)
    order = np.argsort(LOOK.material, kind="stable") if look else np.arange(4)
    for time, corners in zip(times, played["frames"], strict=True):
        before, after = EXPECTED[int(time)], EXPECTED[int(np.ceil(time))]
        points = before + (time - int(time)) * (after - before)
        assert_allclose(np.reshape(corners, (-1, 3)), points[TRIANGLES[order]].reshape(-1, 3), atol=1e-6)


@pytest.mark.parametrize("look", [LOOK, None], ids=["textured", "plain"])
def test_glb_passes_the_validator(tmp_path, look):
    report = run_in_node("validate.mjs", "gltf-validator", write(tmp_path, "animated-glb", look=look) / "morph.glb")
    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]
    assert report["info"]["animationCount"] == 1


def decoded(content):
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content)))


def test_glb_is_drawn_by_trimesh(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    scene = trimesh.load(write(tmp_path, "animated-glb") / "morph.glb")
    assert sum(len(part.faces) for part in scene.geometry.values()) == len(TRIANGLES)
    assert_allclose(scene.bounds, [[0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize("up", ["y", "z"])
def test_usd_has_time_samples_and_passes_the_validators(tmp_path, up):
    usd = pytest.importorskip("pxr.Usd", reason="usd-core is not installed")
    from pxr import UsdGeom, UsdShade

    folder = write(tmp_path, "animated-usd", up)
    stage = usd.Stage.Open(str(folder / "morph.usdc"))
    mesh = UsdGeom.Mesh(stage.GetPrimAtPath("/Morph/Mesh"))
    assert UsdGeom.GetStageUpAxis(stage) == up.upper()
    assert (stage.GetTimeCodesPerSecond(), stage.GetEndTimeCode()) == (FPS, COUNT - 1)
    assert_array_equal(np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3), TRIANGLES)
    for k in range(COUNT):
        assert_allclose(np.array(mesh.GetPointsAttr().Get(k)), EXPECTED[k])
        low, high = mesh.GetExtentAttr().Get(k)
        assert_allclose([low, high], [EXPECTED[k].min(axis=0), EXPECTED[k].max(axis=0)])
    velocities = np.array(mesh.GetVelocitiesAttr().Get(1))
    assert_allclose(velocities, (EXPECTED[2] - EXPECTED[0]) * FPS / 2)
    st = UsdGeom.PrimvarsAPI(mesh).GetPrimvar("st")
    assert st.GetInterpolation() == "faceVarying"
    assert_array_equal(np.array(st.Get()).reshape(-1, 3, 2), UVS)
    subsets = UsdShade.MaterialBindingAPI(mesh).GetMaterialBindSubsets()
    assert [list(subset.GetIndicesAttr().Get()) for subset in subsets] == [[0, 1, 3], [2]]
    assert_array_equal(decoded((folder / "textures" / "skin_0.png").read_bytes()), PIXELS)
    validation = pytest.importorskip("pxr.UsdValidation", reason="usd-core is older than 24.11")
    validators = validation.ValidationRegistry().GetOrLoadAllValidators()
    errors = validation.ValidationContext(validators).Validate(stage)
    assert [(error.GetName(), error.GetMessage()) for error in errors] == []


def test_alembic_has_samples_uvs_and_velocities(tmp_path):
    alembic = pytest.importorskip("alembic3d", reason="alembic3d is not installed")
    origin = (1000.0, 2.0, 3.0)
    path = write(tmp_path, "animated-abc", origin=origin) / "morph.abc"
    parent = alembic.Abc.IArchive(str(path)).getTop().children[0]
    placement = alembic.AbcGeom.IXform(parent.getParent(), parent.getName()).getSchema().getValue()
    assert tuple(placement.getTranslation()) == origin
    schema = alembic.AbcGeom.IPolyMesh(parent, "Mesh").getSchema()
    assert schema.getNumSamples() == COUNT
    assert schema.getTimeSampling().getTimeSamplingType().getTimePerCycle() == pytest.approx(1 / FPS)
    for k in range(COUNT):
        sample = schema.getValue(alembic.Abc.ISampleSelector(k / FPS))
        assert_allclose(np.array(sample.getPositions()), EXPECTED[k])
        assert_array_equal(np.array(sample.getFaceIndices()).reshape(-1, 3), TRIANGLES[:, ::-1])
    velocities = np.array(schema.getValue(alembic.Abc.ISampleSelector(0.0)).getVelocities())
    assert_allclose(velocities, (EXPECTED[1] - EXPECTED[0]) * FPS)
    colors = alembic.AbcGeom.IC3fGeomParam(schema.getArbGeomParams(), "Cd")
    assert colors.getScope() == alembic.AbcGeom.GeometryScope.kVertexScope
    values = colors.getExpandedValue(alembic.Abc.ISampleSelector(0.0)).getVals()
    assert_allclose([tuple(value) for value in values], LOOK.colors)
    uvs = schema.getUVsParam().getExpandedValue(alembic.Abc.ISampleSelector(0.0)).getVals()
    assert_allclose(np.array(uvs).reshape(-1, 3, 2), UVS[:, ::-1])


def test_obj_sequence_has_uvs_and_materials(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    folder = write_obj(tmp_path)
    assert {path.suffix for path in folder.iterdir()} == {".obj", ".mtl", ".png"}
    last = trimesh.load(folder / f"morph_{COUNT - 1:04d}.obj", process=False, split_object=False, group_material=True)
    parts = last.geometry.values() if hasattr(last, "geometry") else [last]
    assert sum(len(part.faces) for part in parts) == len(TRIANGLES)
    assert_allclose(last.bounds, [EXPECTED[-1].min(axis=0), EXPECTED[-1].max(axis=0)])
    from diffmpm import load_mesh

    back = load_mesh(folder / "morph_0001.obj")
    assert_allclose(back.vertices, EXPECTED[1])
    rows = np.argsort(LOOK.material, kind="stable")
    assert_array_equal(back.triangles, TRIANGLES[rows])
    assert_allclose(back.appearance.uvs, UVS[rows])
    assert_array_equal(back.appearance.materials[0].texture.pixels, PIXELS)


def test_ply_sequence_has_uvs_and_textures(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    folder = export.export_moments(moments(), tmp_path, "mesh-ply", up="y")
    back = trimesh.load(folder / "morph_0002.ply", process=False)
    assert len(back.faces) == len(TRIANGLES)
    assert_allclose(back.bounds, [EXPECTED[2].min(axis=0), EXPECTED[2].max(axis=0)])
    from diffmpm import load_mesh

    own = load_mesh(folder / "morph_0002.ply")
    assert_allclose(own.vertices, EXPECTED[2])
    assert_array_equal(own.triangles, TRIANGLES)
    assert_allclose(own.appearance.uvs, UVS)
    assert_array_equal(own.appearance.material, LOOK.material)
    assert_array_equal(own.appearance.materials[0].texture.pixels, PIXELS)
    assert_array_equal(own.appearance.materials[1].texture.pixels, [[[255, 0, 0]]])


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
def test_a_single_mesh_has_uvs_and_textures(tmp_path, suffix):
    from diffmpm import load_mesh

    back = load_mesh(export.write_mesh(tmp_path / f"a{suffix}", POINTS, TRIANGLES, appearance=LOOK))
    assert len(back.triangles) == len(TRIANGLES)
    uvs, expected = (a[rows.material == 0] for a, rows in ((back.appearance.uvs, back.appearance), (UVS, LOOK)))
    assert_allclose(uvs, expected, atol=1e-6)
    assert_array_equal(back.appearance.materials[0].texture.pixels, PIXELS)


def write_obj(tmp_path):
    return export.export_moments(moments(), tmp_path, "obj", up="y")


def test_bad_arguments_are_named(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="moments: expected at least one frame, got none"):
        export.write_animated_glb(tmp_path / "a.glb", [])
    other = list(moments())
    other[1] = export.Moment(1.0, other[0].x, other[0].F, other[0].G, mesh=(POINTS, TRIANGLES[:2], POINTS))
    with pytest.raises(ConfigError, match="moments: expected meshes with the same triangles"):
        export.write_animated_glb(tmp_path / "a.glb", other)
    with pytest.raises(ConfigError, match="fps: expected a finite number > 0, got 0"):
        export.export_moments(moments(), tmp_path, "animated-glb", up="y", fps=0.0)
    with pytest.raises(ConfigError, match=r"fps: expected a format that uses it \(html, usd, animated-glb"):
        export.export_moments(moments(), tmp_path, "obj", up="y", fps=24.0)
    with pytest.raises(ConfigError, match=r"fps: expected a format that uses it .* got animated-pc2"):
        export.export_moments(moments(), tmp_path, "animated-pc2", up="y", fps=24.0)
    with pytest.raises(ConfigError, match=r"path: expected a file ending in \.abc"):
        export.write_alembic(tmp_path / "a.obj", moments())
    monkeypatch.setitem(sys.modules, "alembic3d", None)
    with pytest.raises(MissingPackageError, match=r"alembic3d: needed .* pip install 'diffmpm\[alembic\]'"):
        export.write_alembic(tmp_path / "a.abc", moments())


def test_pc2_has_the_vertices_of_each_frame(tmp_path):
    folder = export.export_moments(moments(origin=(10.0, 2.0, 3.0)), tmp_path, "animated-pc2", up="z")
    content = (folder / "morph.pc2").read_bytes()
    name, version, vertices, start, rate, samples = struct.unpack_from("<12siiffi", content)
    assert (name, version, vertices, start, rate, samples) == (b"POINTCACHE2\0", 1, 4, 0.0, 1.0, COUNT)
    rows = np.frombuffer(content, "<f4", offset=32).reshape(COUNT, 4, 3)
    assert_allclose(rows, np.add(EXPECTED, [10.0, 2.0, 3.0]), rtol=1e-6)
