# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""glTF files: encodings of a box, and damaged files."""

from __future__ import annotations

import json
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.errors import MeshError
from gltf_files import CORNERS, FACES, LOW, POINTS, SIZE, TRIANGLES, Gltf, container

BOX = (24.0, (LOW, LOW + SIZE))
HALF = 0.5**0.5
TURNED = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""A quarter turn about z."""

Good = dict[str, tuple[Callable[[], Gltf], tuple[float, Any]]]


def moved(
    points: Any, matrix: Any = ((1, 0, 0), (0, 1, 0), (0, 0, 1)), shift: Any = (0, 0, 0)
) -> tuple[float, tuple[Any, Any]]:
    """Return volume and bounds of a box after a motion."""
    x = np.asarray(points) @ np.asarray(matrix, float).T + np.asarray(shift, float)
    return 24.0 * abs(np.linalg.det(matrix)), (x.min(axis=0), x.max(axis=0))


def plain(width: str = "u2", **more: Any) -> Gltf:
    file = Gltf()
    file.mesh(file.primitive(width=width, **more))
    return file.nodes({"mesh": 0})


def without_indices(mode: int = 4) -> Gltf:
    file = Gltf()
    if mode == 4:
        file.mesh(file.primitive(POINTS[TRIANGLES.ravel()], None))
    else:
        file.mesh(*(file.primitive(POINTS[list(face)], None, mode=mode) for face in FACES))
    return file.nodes({"mesh": 0})


def strips(joined: bool) -> Gltf:
    """Each face as a strip, or all faces as one strip joined by degenerate triangles."""
    file, rows = Gltf(), [(a, b, d, c) for a, b, c, d in FACES]
    if not joined:
        file.mesh(*(file.primitive(POINTS, row, mode=5) for row in rows))
        return file.nodes({"mesh": 0})
    one = list(rows[0])
    for row in rows[1:]:
        one += [one[-1], row[0], *row]  # an even number of joints keeps the winding
    file.mesh(file.primitive(POINTS, one, mode=5))
    return file.nodes({"mesh": 0})


def long_strip() -> Gltf:
    """The sides as one strip, the caps as fans."""
    file = Gltf()
    around = [1, 0, 5, 4, 7, 6, 3, 2, 1, 0]
    caps = [(0, 2, 6, 4), (1, 5, 7, 3)]
    file.mesh(file.primitive(POINTS, around, mode=5), *(file.primitive(POINTS, cap, mode=6) for cap in caps))
    return file.nodes({"mesh": 0})


def fans(width: str = "u2") -> Gltf:
    file = Gltf()
    file.mesh(*(file.primitive(POINTS, face, mode=6, width=width) for face in FACES))
    return file.nodes({"mesh": 0})


def with_points_and_lines() -> Gltf:
    file = Gltf()
    others = [file.primitive(POINTS + 100, [0, 1, 2, 3, 4, 5], mode=mode) for mode in (0, 1, 2, 3)]
    file.mesh(file.primitive(), *others)
    return file.nodes({"mesh": 0})


def offset_and_stride(stride: int, offset: int) -> Gltf:
    file = Gltf()
    position = file.accessor(POINTS, stride=stride, offset=offset)
    indices = file.accessor(TRIANGLES.ravel(), "u4", offset=offset)
    file.mesh({"attributes": {"POSITION": position}, "indices": indices})
    return file.nodes({"mesh": 0})


def quantized(dtype: str, normalized: bool) -> Gltf:
    """Corners as integers, transformed to the box by the node."""
    file, top = Gltf(), np.iinfo(dtype).max
    low = 0 if dtype[0] == "u" else -top
    values = np.where(CORNERS > 0, top, low)
    scale = SIZE / ((top - low) / (top if normalized else 1))
    middle = LOW - scale * (low / (top if normalized else 1))
    width = {1: 4, 2: 8}[np.dtype(dtype).itemsize]
    position = file.accessor(values, dtype, stride=width, normalized=normalized)
    file.mesh({"attributes": {"POSITION": position}, "indices": file.accessor(TRIANGLES.ravel(), "u1")})
    file.nodes({"mesh": 0, "scale": scale.tolist(), "translation": middle.tolist()})
    return file.uses("KHR_mesh_quantization")


def sparse(dtype: str, based: bool) -> Gltf:
    """Some or all corners in a sparse accessor."""
    file = Gltf()
    rows = np.array([0, 3, 7]) if based else np.arange(8)
    stored = POINTS.copy()
    stored[rows] = -99.0
    position = file.accessor(stored)
    item = file.json["accessors"][position]
    if not based:
        del item["bufferView"]
    item["sparse"] = {
        "count": len(rows),
        "indices": {
            "bufferView": file.view(rows.astype("<" + dtype).tobytes()),
            "componentType": {"u1": 5121, "u2": 5123, "u4": 5125}[dtype],
        },
        "values": {"bufferView": file.view(POINTS[rows].astype("<f4").tobytes())},
    }
    file.mesh({"attributes": {"POSITION": position}, "indices": file.accessor(TRIANGLES.ravel(), "u2")})
    return file.nodes({"mesh": 0})


def sparse_indices() -> Gltf:
    file = Gltf()
    wrong = TRIANGLES.ravel().copy()
    wrong[5] = 0
    primitive = file.primitive(POINTS, wrong)
    file.json["accessors"][primitive["indices"]]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": file.view(b"\5"), "componentType": 5121},
        "values": {"bufferView": file.view(struct.pack("<H", TRIANGLES.ravel()[5]))},
    }
    file.mesh(primitive)
    return file.nodes({"mesh": 0})


def node(**more: Any) -> Gltf:
    file = Gltf()
    file.mesh()
    return file.nodes({"mesh": 0, **more})


def matrix(R: Any, t: Any = (0, 0, 0)) -> list[float]:
    full = np.eye(4)
    full[:3, :3], full[:3, 3] = R, t
    return full.T.ravel().tolist()


def nested_nodes() -> Gltf:
    """Three nested nodes."""
    file = Gltf()
    file.mesh(file.primitive(CORNERS))
    return file.nodes(
        {"mesh": 0, "scale": [2, 1, 1]},
        {"children": [0], "scale": [1, 3, 4]},
        {"children": [1], "translation": LOW.tolist()},
        roots=(2,),
    )


def twice() -> Gltf:
    file = Gltf()
    file.mesh()
    return file.nodes({"mesh": 0}, {"mesh": 0, "translation": [10, 0, 0]})


def two_scenes(default: int | None) -> Gltf:
    file = twice()
    file.json["scenes"] = [{"nodes": [1]}, {"nodes": [0]}]
    file.json.pop("scene")
    if default is not None:
        file.json["scene"] = default
    return file


def without_scenes() -> Gltf:
    file = node()
    del file.json["scenes"], file.json["scene"]
    return file


def without_nodes() -> Gltf:
    file = Gltf()
    file.mesh()
    return file


def instances(**attributes: Any) -> Gltf:
    file = Gltf()
    file.mesh(file.primitive(SIZE * (CORNERS - 0.5)))
    rows = {
        name: file.accessor(values, *normalized, **({"normalized": True} if normalized else {}))
        for name, (values, *normalized) in attributes.items()
    }
    file.nodes({"mesh": 0, "translation": [1, 2, 3], "extensions": {"EXT_mesh_gpu_instancing": {"attributes": rows}}})
    return file.uses("EXT_mesh_gpu_instancing")


def skinned(
    weights: Any = None,
    joints: Any = None,
    *,
    bind: Any = None,
    joint_dtype: str = "u1",
    weight_dtype: str = "f4",
    **joint: Any,
) -> Gltf:
    """A box bound to joint 1; the transform of its node must be ignored."""
    file = Gltf()
    primitive = file.primitive()
    bound = np.tile([1, 0, 0, 0], (8, 1)) if joints is None else joints
    weight = np.tile([1, 0, 0, 0], (8, 1)) if weights is None else weights
    top = 1 if weight_dtype == "f4" else np.iinfo(weight_dtype).max
    primitive["attributes"]["JOINTS_0"] = file.accessor(bound, joint_dtype)
    primitive["attributes"]["WEIGHTS_0"] = file.accessor(
        np.asarray(weight) * top, weight_dtype, **({} if top == 1 else {"normalized": True})
    )
    file.mesh(primitive)
    skin: dict[str, Any] = {"joints": [1, 2]}
    if bind is not None:
        skin["inverseBindMatrices"] = file.accessor(np.array([matrix(*m) for m in bind]).reshape(2, 16))
    file.json["skins"] = [skin]
    file.nodes(
        {"mesh": 0, "skin": 0, "translation": [500, 0, 0], "scale": [9, 9, 9]}, {"translation": [7, 0, 0]}, {**joint}
    )
    return file


def morphed(weights: Any, at: str, *, sparse_target: bool = False) -> Gltf:
    """A cube with two morph targets that scale and translate it to the box."""
    file = Gltf()
    targets = [{"POSITION": file.accessor(2 * v)} for v in ((SIZE - 1) * CORNERS, np.tile(LOW, (8, 1)))]
    if sparse_target:  # the target stores only sparse values
        item = file.json["accessors"][targets[1]["POSITION"]]
        del item["bufferView"]
        item["sparse"] = {
            "count": 8,
            "indices": {"bufferView": file.view(bytes(range(8))), "componentType": 5121},
            "values": {"bufferView": file.view(np.tile(2 * LOW, (8, 1)).astype("<f4").tobytes())},
        }
    primitive = file.primitive(CORNERS, targets=targets)
    file.mesh(primitive, **({"weights": weights} if at == "mesh" else {"weights": [0, 0]}))
    return file.nodes({"mesh": 0, **({"weights": weights} if at == "node" else {})})


PAIR = np.array([[11.0, 21.5, 32.0], [31.0, 21.5, 32.0]]) - (1, 2, 3)
TWO = (48.0, (LOW, LOW + SIZE + (20, 0, 0)))

GOOD: Good = {
    **{f"indices {w}": ((lambda w=w: plain(w)), BOX) for w in ("u1", "u2", "u4")},
    "default mode": (lambda: plain(), BOX),
    "mode 4": (lambda: plain(mode=4), BOX),
    "no indices": (without_indices, BOX),
    "fans": (fans, BOX),
    "fans u1": (lambda: fans("u1"), BOX),
    "fans u4": (lambda: fans("u4"), BOX),
    "fans without indices": (lambda: without_indices(6), BOX),
    "strips": (lambda: strips(False), BOX),
    "joined strips": (lambda: strips(True), BOX),
    "one strip around the sides": (long_strip, BOX),
    "points and lines": (with_points_and_lines, BOX),
    **{
        f"stride {s} offset {o}": ((lambda s=s, o=o: offset_and_stride(s, o)), BOX)
        for s, o in ((0, 4), (16, 0), (32, 8), (252, 4))
    },
    **{
        f"quantized {d} {n}": ((lambda d=d, n=n: quantized(d, n)), BOX)
        for d in ("i1", "u1", "i2", "u2")
        for n in (True, False)
    },
    **{f"sparse {d} {b}": ((lambda d=d, b=b: sparse(d, b)), BOX) for d in ("u1", "u2", "u4") for b in (True, False)},
    "sparse indices": (sparse_indices, BOX),
    "translation": (lambda: node(translation=[1, 2, 3]), moved(POINTS, np.eye(3), (1, 2, 3))),
    "rotation": (lambda: node(rotation=[0, 0, HALF, HALF]), moved(POINTS, TURNED)),
    "rotation of any length": (lambda: node(rotation=[0, 0, 3, 3]), moved(POINTS, TURNED)),
    "scale": (lambda: node(scale=[1, 2, 3]), moved(POINTS, np.diag([1, 2, 3]))),
    "mirroring scale": (lambda: node(scale=[-1, 2, 3]), moved(POINTS, np.diag([-1, 2, 3]))),
    "translation rotation scale": (
        lambda: node(translation=[5, 6, 7], rotation=[0, 0, HALF, HALF], scale=[2, 1, 1]),
        moved(POINTS, TURNED @ np.diag([2, 1, 1]), (5, 6, 7)),
    ),
    "matrix": (lambda: node(matrix=matrix(TURNED, (4, 5, 6))), moved(POINTS, TURNED, (4, 5, 6))),
    "shearing matrix": (
        lambda: node(matrix=matrix([[1, 0.5, 0], [0, 1, 0], [0, 0, 1]])),
        moved(POINTS, [[1, 0.5, 0], [0, 1, 0], [0, 0, 1]]),
    ),
    "mirroring matrix": (lambda: node(matrix=matrix(np.diag([1, 1, -1]))), moved(POINTS, np.diag([1, 1, -1]))),
    "nested nodes": (nested_nodes, BOX),
    "one mesh twice": (twice, (48.0, (LOW, LOW + SIZE + (10, 0, 0)))),
    "scene 0": (lambda: two_scenes(0), moved(POINTS, np.eye(3), (10, 0, 0))),
    "scene 1": (lambda: two_scenes(1), BOX),
    "no default scene": (lambda: two_scenes(None), moved(POINTS, np.eye(3), (10, 0, 0))),
    "no scenes": (without_scenes, BOX),
    "no nodes": (without_nodes, BOX),
    "translated instances": (lambda: instances(TRANSLATION=(PAIR,)), TWO),
    "translated and scaled instances": (
        lambda: instances(TRANSLATION=(PAIR,), SCALE=([[1, 1, 1], [2, 2, 2]],)),
        (24.0 + 192.0, (np.array([10.0, 18.5, 28.0]), np.array([33.0, 24.5, 36.0]))),
    ),
    "rotated instances": (
        lambda: instances(TRANSLATION=(PAIR,), ROTATION=([[0, 0, 1, 0], [0, 0, 0, 1]],)),
        TWO,
    ),
    "rotated instances i2": (
        lambda: instances(TRANSLATION=(PAIR,), ROTATION=([[0, 0, 32767, 0], [0, 0, 0, 32767]], "i2")),
        TWO,
    ),
    "mirroring instance": (
        lambda: instances(TRANSLATION=(PAIR,), SCALE=([[-1, 1, 1], [1, 1, 1]],)),
        TWO,
    ),
    "skin": (lambda: skinned(), moved(POINTS)),
    "skin u2": (lambda: skinned(joint_dtype="u2"), moved(POINTS)),
    "skin weights u1": (lambda: skinned(weight_dtype="u1"), moved(POINTS)),
    "skin weights u2": (lambda: skinned(weight_dtype="u2"), moved(POINTS)),
    "translated skin": (lambda: skinned(translation=[1, 2, 3]), moved(POINTS, np.eye(3), (1, 2, 3))),
    "skin with bind matrices": (
        lambda: skinned(bind=[(np.eye(3), (0, 0, 0)), (np.eye(3), (-1, -2, -3))], translation=[1, 2, 3]),
        moved(POINTS),
    ),
    "skin in centimetres": (lambda: skinned(scale=[0.01, 0.01, 0.01]), moved(POINTS, 0.01 * np.eye(3))),
    "mirroring skin": (lambda: skinned(scale=[-1, 1, 1]), moved(POINTS, np.diag([-1, 1, 1]))),
    "skin of two joints": (
        lambda: skinned(weights=np.tile([0.5, 0.5, 0, 0], (8, 1)), joints=np.tile([0, 1, 0, 0], (8, 1))),
        moved(POINTS, np.eye(3), (3.5, 0, 0)),
    ),
    "skin weights that add up to 2": (lambda: skinned(weights=np.tile([2, 0, 0, 0], (8, 1))), moved(POINTS)),
    "morph targets of the mesh": (lambda: morphed([0.5, 0.5], "mesh"), BOX),
    "morph targets of the node": (lambda: morphed([0.5, 0.5], "node"), BOX),
    "morph target stored sparsely": (lambda: morphed([0.5, 0.5], "mesh", sparse_target=True), BOX),
    "morph target at half weight": (
        lambda: morphed([0.5, 0.25], "mesh"),
        (24.0, (0.5 * LOW, 0.5 * LOW + SIZE)),
    ),
    "material extension": (lambda: plain().uses("KHR_materials_unlit", "EXT_texture_webp"), BOX),
}


def load(path: Path) -> dm.Mesh:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return dm.load_mesh(path)


@pytest.mark.parametrize("name", GOOD)
def test_encodings_of_a_box(name: str, tmp_path: Path) -> None:
    make, (volume, bounds) = GOOD[name]
    file = make()
    for mesh in (load(file.glb(tmp_path / "box.glb")), load(file.gltf(tmp_path / "box.gltf"))):
        assert mesh.is_closed
        np.testing.assert_allclose(mesh.volume, volume, rtol=1e-4)
        np.testing.assert_allclose(mesh.bounds, bounds, rtol=1e-4, atol=1e-5)


def test_vertices_keep_their_order(tmp_path: Path) -> None:
    mesh = load(plain().glb(tmp_path / "box.glb"))
    np.testing.assert_array_equal(mesh.vertices, POINTS)
    np.testing.assert_array_equal(mesh.triangles, TRIANGLES)


def test_unknown_chunks_and_trailing_bytes_are_skipped(tmp_path: Path) -> None:
    file = plain()
    content = file.glb(tmp_path / "box.glb").read_bytes()
    more = content + struct.pack("<I4s", 4, b"ABCD") + b"1234"
    path = tmp_path / "more.glb"
    path.write_bytes(more[:8] + struct.pack("<I", len(more)) + more[12:] + b"\n\n")
    np.testing.assert_allclose(load(path).volume, 24.0)


# --- Compression


def draco(tmp_path: Path, *, fallback: bool = False) -> Path:
    DracoPy = pytest.importorskip("DracoPy", reason="DracoPy is not installed")
    content = DracoPy.encode(POINTS.astype(np.float32), TRIANGLES.astype(np.uint32), quantization_bits=16)
    file = Gltf()
    primitive = file.primitive()
    if not fallback:
        for index in (primitive["attributes"]["POSITION"], primitive["indices"]):
            del file.json["accessors"][index]["bufferView"]
        file.uses("KHR_draco_mesh_compression")
    packed = {"bufferView": file.view(content), "attributes": {"POSITION": 0}}
    primitive["extensions"] = {"KHR_draco_mesh_compression": packed}
    file.mesh(primitive)
    return file.nodes({"mesh": 0}).glb(tmp_path / "draco.glb")


def test_draco_is_decoded(tmp_path: Path) -> None:
    mesh = load(draco(tmp_path))
    np.testing.assert_allclose(mesh.volume, 24.0, rtol=1e-3)
    np.testing.assert_allclose(mesh.bounds, BOX[1], atol=1e-3)


def test_missing_draco_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, both = draco(tmp_path).rename(tmp_path / "packed.glb"), draco(tmp_path, fallback=True)
    monkeypatch.setitem(sys.modules, "DracoPy", None)
    with pytest.raises(MeshError, match=r"primitive 0: Draco compression .* pip install 'diffmpm\[gltf\]'"):
        load(packed)
    np.testing.assert_allclose(load(both).volume, 24.0)


def test_damaged_draco_is_refused(tmp_path: Path) -> None:
    path = draco(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"DRACO", b"DRACA"))
    with pytest.raises(MeshError, match=r"KHR_draco_mesh_compression: expected valid data"):
        load(path)


def compressed(path: Path, content: list[bytes], mode: str = "TRIANGLES", chosen: str = "NONE", width: int = 2) -> Path:
    """Write a box whose buffer views are these, compressed by meshopt."""
    file = Gltf()
    primitive = file.primitive(width=f"u{width}")
    views, extension = file.json["bufferViews"], "EXT_meshopt_compression"
    for n, (data, stride, count, how) in enumerate(
        zip(content, (12, width), (8, 36), ("ATTRIBUTES", mode), strict=True)
    ):
        packed = {"buffer": 0, "byteOffset": views[file.view(data)]["byteOffset"], "byteLength": len(data)}
        packed.update(byteStride=stride, count=count, mode=how, **({"filter": chosen} if n == 0 else {}))
        views[n] = {"buffer": 1, "byteOffset": 0, "byteLength": stride * count, "extensions": {extension: packed}}
    file.mesh(primitive)
    file.nodes({"mesh": 0}).uses(extension)
    file.json["buffers"] = [{"byteLength": len(file.binary)}, {"byteLength": 999, "extensions": {extension: {}}}]
    return file.glb(path)


@pytest.mark.parametrize("width", [2, 4])
@pytest.mark.parametrize("mode", ["TRIANGLES", "INDICES"])
@pytest.mark.parametrize("chosen", ["NONE", "EXPONENTIAL"])
def test_meshopt_is_decoded(chosen: str, mode: str, width: int, tmp_path: Path) -> None:
    meshopt = pytest.importorskip("meshopt", reason="meshopt, which needs Python 3.12, is not installed")
    points = POINTS.astype(np.float32)
    stored = points if chosen == "NONE" else meshopt.encode_filter_exp(points, 16)
    content = [meshopt.encode_gltf_buffer(stored, "ATTRIBUTES")]
    content.append(meshopt.encode_gltf_buffer(TRIANGLES.astype(np.uint32).ravel(), mode))
    mesh = load(compressed(tmp_path / "box.glb", content, mode, chosen, width))
    np.testing.assert_array_equal(mesh.bounds, BOX[1])
    np.testing.assert_allclose(mesh.volume, 24.0)
    with pytest.raises(MeshError, match="EXT_meshopt_compression: expected valid data"):
        load(compressed(tmp_path / "box.glb", [b"junk", b"junk"], mode, chosen, width))


def test_missing_meshopt_decoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "meshopt", None)
    with pytest.raises(MeshError, match=r"bufferView 0: EXT_meshopt_compression .*pip install 'diffmpm\[gltf\]'"):
        load(compressed(tmp_path / "box.glb", [b"junk", b"junk"]))


CASES = {"draco": BOX, "quant": BOX, "skin_root": BOX, "sparse": BOX, "fans": BOX, "instancing": (48.0, None)}


@pytest.mark.parametrize("name", CASES)
def test_files_of_other_programs(name: str, shared: Path) -> None:
    if name == "draco":
        pytest.importorskip("DracoPy", reason="DracoPy is not installed")
    mesh, (volume, bounds) = load(shared / "cases" / "meshes" / f"glb_{name}.glb"), CASES[name]
    assert mesh.is_closed
    np.testing.assert_allclose(mesh.volume, volume, rtol=1e-4)
    if bounds is not None:
        np.testing.assert_allclose(mesh.bounds, bounds, atol=2e-4)


# --- Invalid files


def damaged(change: Callable[[dict[str, Any]], Any], base: Callable[[], Gltf] = plain) -> Callable[[], Gltf]:
    def make() -> Gltf:
        file = base()
        change(file.json)
        return file

    return make


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a function that sets the entry at a path of keys and indices."""

    def change(document: dict[str, Any]) -> None:
        *keys, last = path.split()
        item: Any = document
        for key in keys:
            item = item[int(key)] if isinstance(item, list) else item[key]
        item[int(last) if isinstance(item, list) else last] = value

    return change


def not_a_number() -> Gltf:
    file = Gltf()
    points = POINTS.copy()
    points[5, 1] = np.nan
    file.mesh(file.primitive(points))
    return file.nodes({"mesh": 0})


P = "meshes 0 primitives 0"
BAD: dict[str, tuple[Callable[[], Gltf], str]] = {
    "unknown extension": (
        lambda: plain().uses("ACME_curved_space"),
        r"expected supported extensions, got 'ACME_curved_space' in extensionsRequired",
    ),
    "version": (damaged(put("asset version", "1.0")), r"expected glTF 2.0 in asset.version, got '1.0'"),
    "external buffer": (
        damaged(lambda d: d.update(buffers=[{"byteLength": 96, "uri": "ext%20buffer.bin"}])),
        r"buffer 0: expected all data in this file, got the uri 'ext%20buffer.bin'; export a single",
    ),
    "URL": (
        damaged(lambda d: d.update(buffers=[{"byteLength": 96, "uri": "http://localhost/x"}])),
        r"buffer 0: .* got the uri 'http://localhost/x'",
    ),
    "invalid base64": (
        damaged(lambda d: d.update(buffers=[{"byteLength": 96, "uri": "data:;base64,§§§"}])),
        r"buffer 0: expected base64",
    ),
    "buffer too short": (
        damaged(lambda d: d.update(buffers=[{"byteLength": 1 << 40}])),
        r"buffer 0: expected 1099511627776 bytes, got \d+ in a file that ends early",
    ),
    "view beyond its buffer": (
        damaged(put("bufferViews 0 byteLength", 1 << 40)),
        r"bufferView 0: expected bytes within its buffer",
    ),
    "view at a negative offset": (damaged(put("bufferViews 0 byteOffset", -4)), r"bufferView 0: byteOffset: expected"),
    "view of a missing buffer": (
        damaged(put("bufferViews 0 buffer", 7)),
        r"bufferView 0: buffer: expected an index below 1",
    ),
    "elements beyond their view": (
        damaged(put("accessors 0 count", 1 << 20)),
        r"primitive 0: POSITION: accessor 0: expected data within its bufferView of 96 bytes, got 12582912 bytes",
    ),
    "elements beyond their view by an offset": (
        damaged(put("accessors 0 byteOffset", 4)),
        r"accessor 0: expected data within its bufferView of 96 bytes, got 100 bytes",
    ),
    "huge count": (
        damaged(put("accessors 0 count", 1 << 40)),
        r"expected at most \d+ vertices and indices with all instances, got \d+",
    ),
    "huge count without data": (
        damaged(lambda d: (d["accessors"][0].pop("bufferView"), d["accessors"][0].update(count=100_000_000))),
        r"accessor 0: expected data for its elements, got a count of 100000000 and no bufferView",
    ),
    "stride too short": (
        damaged(put("bufferViews 0 byteStride", 4)),
        r"accessor 0: expected a byteStride of 12 or more, got 4",
    ),
    "component type": (damaged(put("accessors 0 componentType", 5124)), r"accessor 0: expected a glTF componentType"),
    "component type of indices": (damaged(put("accessors 1 componentType", 5126)), r"accessor 1: expected a glTF comp"),
    "component type that is a list": (
        damaged(put("accessors 0 componentType", [])),
        r"accessor 0: expected a glTF comp",
    ),
    "type": (damaged(put("accessors 0 type", "VEC2")), r"accessor 0: expected 3 numbers per element, got type 'VEC2'"),
    "count that is a string": (damaged(put("accessors 0 count", "8")), r"accessor 0: count: expected an integer of 0"),
    "missing accessor": (
        damaged(put(f"{P} attributes POSITION", 9)),
        r"mesh 0, primitive 0: POSITION: expected an index below 2 into accessors, got 9",
    ),
    "index beyond the vertices": (
        damaged(put("accessors 0 count", 7)),
        r"mesh 0, primitive 0: expected vertex indices below 7, got 7",
    ),
    "number of indices": (damaged(put("accessors 1 count", 35)), r"primitive 0: expected three indices per triangle"),
    "strip too short": (
        damaged(lambda d: (put(f"{P} mode", 5)(d), put("accessors 1 count", 2)(d))),
        r"primitive 0: expected at least three indices, got 2",
    ),
    "mode": (damaged(put(f"{P} mode", 9)), r"primitive 0: expected a mode from 0 to 6, got 9"),
    "not a number": (not_a_number, r"POSITION: accessor 0: expected finite numbers, got nan in element 5"),
    "missing mesh": (damaged(put("nodes 0 mesh", 3)), r"node 0: mesh: expected an index below 1 into meshes"),
    "missing node": (damaged(put("scenes 0 nodes", [4])), r"scene 0: nodes: expected an index below 1"),
    "missing scene": (damaged(put("scene", 2)), r"scene: expected an index below 1 into scenes, got 2"),
    "node that is its own child": (damaged(put("nodes 0 children", [0])), r"expected a tree of nodes, got node 0"),
    "cycle of nodes": (
        damaged(lambda d: d.update(nodes=[{"children": [1]}, {"children": [2]}, {"children": [0], "mesh": 0}])),
        r"expected a tree of nodes, got node \d among its own ancestors",
    ),
    "two parents": (
        damaged(lambda d: d.update(nodes=[{"children": [2]}, {"children": [2]}, {"mesh": 0}])),
        r"expected a tree of nodes, got node 2 below node 1 and another one",
    ),
    "rotation of zeros": (damaged(put("nodes 0 rotation", [0, 0, 0, 0])), r"node 0: expected a rotation"),
    "scale of two numbers": (damaged(put("nodes 0 scale", [1, 2])), r"node 0: scale: expected 3 numbers"),
    "translation of strings": (
        damaged(put("nodes 0 translation", ["1", "2", "3"])),
        r"node 0: translation: expected 3",
    ),
    "infinite matrix": (damaged(put("nodes 0 matrix", [1e999] * 16)), r"expected JSON"),
    "instances of different counts": (
        lambda: instances(TRANSLATION=(PAIR,), SCALE=([[1, 1, 1]],)),
        r"node 0: EXT_mesh_gpu_instancing: expected attributes of equal counts, got \[1, 2\]",
    ),
    "missing joint": (
        lambda: skinned(joints=np.tile([5, 0, 0, 0], (8, 1))),
        r"skin 0: expected joints below 2, got 5",
    ),
    "too few bind matrices": (
        damaged(put("accessors 4 count", 1), lambda: skinned(bind=[(np.eye(3),), (np.eye(3),)])),
        r"skin 0: expected 2 inverseBindMatrices, got 1",
    ),
    "target with another vertex count": (
        damaged(put("accessors 0 count", 7), lambda: morphed([0.5, 0.5], "mesh")),
        r"primitive 0: expected 8 vertices in each target, got 7",
    ),
    "sparse index beyond the elements": (
        damaged(put("accessors 0 count", 6), lambda: sparse("u2", False)),
        r"accessor 0: sparse: expected indices below 6, got 7",
    ),
    "lines only": (damaged(put(f"{P} mode", 1)), r"expected a mesh with vertices, got an empty one"),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_files_are_rejected(name: str, tmp_path: Path) -> None:
    make, message = BAD[name]
    with pytest.raises(MeshError, match="^box.glb: .*" + message):
        load(make().glb(tmp_path / "box.glb"))


def test_many_instances_of_a_large_mesh_are_rejected_before_allocation(tmp_path: Path) -> None:
    """10,000 nodes that show 10,000 primitives of one box each."""
    file = Gltf()
    file.mesh(*[file.primitive()] * 10_000)
    with pytest.raises(MeshError, match=r"expected at most \d+ vertices and indices with all instances"):
        load(file.nodes(*[{"mesh": 0}] * 10_000).glb(tmp_path / "box.glb"))


def test_many_nodes_of_many_instances_are_rejected_before_allocation(tmp_path: Path) -> None:
    """2,000 nodes that show an empty mesh 200,000 times each: the matrices alone would fill 51 GB."""
    file = Gltf()
    file.mesh({"attributes": {}, "mode": 1})
    rows = {"TRANSLATION": file.accessor(np.zeros((200_000, 3)))}
    node = {"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": rows}}}
    with pytest.raises(MeshError, match=r"expected at most \d+ vertices and indices with all instances"):
        load(file.nodes(*[node] * 2_000).uses("EXT_mesh_gpu_instancing").glb(tmp_path / "box.glb"))


@pytest.mark.parametrize(
    "change", [lambda b: b[:15], lambda b: b[:-8], lambda b: b[:4] + b"\1" + b[5:], lambda b: b[:200]]
)
def test_damaged_containers_are_refused(change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = plain().glb(tmp_path / "box.glb")
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(MeshError, match=r"^box.glb: expected "):
        load(path)


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"[" * 100_000, b'{"asset": {"version": "2.0"}, "nodes": NaN}', b"\xff\xfe", b""]
)
def test_damaged_json_is_refused(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "box.glb"
    path.write_bytes(container(text, b""))
    with pytest.raises(MeshError, match=r"^box.glb: expected "):
        load(path)


def test_random_documents_raise_only_mesh_errors(tmp_path: Path, rng: np.random.Generator) -> None:
    """Replace each value of a document in turn by values of other types."""
    junk: list[Any] = [None, True, -1, 0, 3, 1 << 70, 0.5, "x", [], [0], [[0]], {}, {"a": 1}]
    path = tmp_path / "box.glb"
    for make in (
        plain,
        quantized_file,
        lambda: instances(TRANSLATION=(PAIR,)),
        skinned,
        lambda: morphed([1, 1], "node"),
    ):
        whole = json.dumps(make().json)
        for path_in_json in list(paths(json.loads(whole))):
            for value in rng.choice(np.array(junk, object), 4, replace=False):
                file = make()
                put_at(file.json, path_in_json, value)
                file.glb(path)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", dm.MeshWarning)
                    try:
                        dm.load_mesh(path)
                    except MeshError as error:
                        assert len(str(error)) < 500


def quantized_file() -> Gltf:
    return quantized("i2", True)


def paths(item: Any) -> Any:
    entries = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
    for key, value in entries:
        yield (key,)
        yield from ((key, *rest) for rest in paths(value))


def put_at(item: Any, path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        item = item[key]
    item[path[-1]] = value
