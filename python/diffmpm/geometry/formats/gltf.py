# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""glTF 2.0 files: the triangles of their scene, placed as it shows them at rest.

Read: triangles, strips and fans; accessors of every type, normalized, strided and sparse; node transforms; instances
(EXT_mesh_gpu_instancing); skins in the pose of their joints; morph targets with their weights; quantized attributes
(KHR_mesh_quantization); Draco and meshopt where the packages DracoPy and meshopt are installed. Not read: points,
lines, materials, animations.

References:
    Khronos Group, glTF 2.0 specification, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._arrays import Array
from .._surfaces import Surface
from .gltf_document import DRACO, INSTANCES, Document, dequantized

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MOST = 1 << 27
"""Vertices and indices of all instances together."""


def read_gltf(content: bytes, name: str) -> Surface:
    """Read a .glb file, or a .gltf file that holds its buffers as data URIs.

    Args:
        content: All bytes of the file.
        name: Name of the file for messages.

    Raises:
        MeshError: If the file is damaged, refers to another file, or needs an extension that is not supported.
    """
    with np.errstate(all="ignore"):  # `checked_mesh` refuses vertices beyond the range of numbers
        return _Scene(Document(content, name)).surface()


@dataclass
class _Part:
    """One primitive of a mesh in its own coordinates."""

    vertices: Array
    triangles: Array
    joints: Array
    """Indices into the skin's joints, shape (V, J); J is 0 without a skin."""
    weights: Array
    """Their weights, which add up to 1, shape (V, J)."""


class _Scene:
    """The scene of a file."""

    def __init__(self, file: Document) -> None:
        self._file = file
        self._worlds = np.zeros((0, 4, 4))
        self._known: dict[tuple[int, bytes], list[_Part]] = {}

    def surface(self) -> Surface:
        """Return the triangles of everything in the scene."""
        points, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
        for mesh, matrices, skin, node in self._placed():
            for part in self._parts(mesh, node):
                # The joints place a skin, and not its node.
                skinned = skin is not None and part.joints.shape[1] > 0
                for matrix in [self._skinning(part, skin)] if skinned else matrices:  # type: ignore[arg-type]
                    moved, turned = _moved(part, matrix)
                    points.append(moved)
                    faces.append(turned + count)
                    count += len(moved)
        return Surface(np.concatenate(points), np.concatenate(faces))

    # --- The scene

    def _placed(self) -> Iterator[tuple[int, Array, int | None, int | None]]:
        """Yield mesh, matrices (K, 4, 4) of its instances, skin, and node of every mesh in the scene."""
        nodes = self._file.items("nodes")
        if not nodes:  # a library of meshes
            meshes = range(len(self._file.items("meshes")))
            self._check_size([(mesh, 1) for mesh in meshes])
            yield from ((mesh, np.eye(4)[None], None, None) for mesh in meshes)
            return
        parents = self._parents()
        self._worlds = self._world_matrices(parents)
        shown = [n for n in self._in_scene(parents) if "mesh" in self._file.item("nodes", n, "")]
        self._check_size([self._claim(n) for n in shown])
        for n in shown:
            where, node = f"node {n}", self._file.item("nodes", n, "")
            mesh = self._file.index(node["mesh"], "meshes", f"{where}: mesh")
            skin = self._file.index(node["skin"], "skins", f"{where}: skin") if "skin" in node else None
            matrices = self._worlds[n][None]
            instances = self._file.extension(node, INSTANCES, where)
            if instances is not None:
                if skin is not None:
                    raise self._file.error(f"{where}: expected {INSTANCES} or a skin", "both")
                matrices = matrices @ self._instances(instances, where)
            yield mesh, matrices, skin, n

    def _parents(self) -> list[int]:
        """Return the parent of each node, -1 without one; no node has two, and none is its own ancestor."""
        count = len(self._file.items("nodes"))
        parents = [-1] * count
        for n in range(count):
            for child in self._file.array(self._file.item("nodes", n, "").get("children", []), f"node {n}: children"):
                index = self._file.index(child, "nodes", f"node {n}: children")
                if parents[index] != -1 or index == n:
                    raise self._file.error("expected a tree of nodes", f"node {index} below node {n} and another one")
                parents[index] = n
        return parents

    def _world_matrices(self, parents: list[int]) -> Array:
        """Return the matrices of all nodes in the world, shape (nodes, 4, 4)."""
        worlds = np.zeros((len(parents), 4, 4))
        done = [False] * len(parents)
        for n in range(len(parents)):
            path: list[int] = []
            while n != -1 and not done[n]:
                if len(path) > len(parents):
                    raise self._file.error("expected a tree of nodes", f"node {n} among its own ancestors")
                path.append(n)
                n = parents[n]
            for k in reversed(path):
                local = self._local_matrix(self._file.item("nodes", k, ""), f"node {k}")
                worlds[k] = local if parents[k] == -1 else worlds[parents[k]] @ local
                done[k] = True
        return worlds

    def _in_scene(self, parents: list[int]) -> list[int]:
        """Return the nodes of the default scene, or of the first one, in order; without scenes, all of them."""
        scenes = self._file.items("scenes")
        if not scenes:
            return list(range(len(parents)))
        scene = self._file.index(self._file.json.get("scene", 0), "scenes", "scene")
        roots = self._file.array(self._file.item("scenes", scene, "").get("nodes", []), f"scene {scene}: nodes")
        waiting = [self._file.index(root, "nodes", f"scene {scene}: nodes") for root in roots][::-1]
        found: dict[int, None] = {}
        while waiting:
            n = waiting.pop()
            if n not in found:
                found[n] = None
                waiting += reversed(self._file.item("nodes", n, "").get("children", []))
        return list(found)

    def _local_matrix(self, node: dict[str, Any], where: str) -> Array:
        if "matrix" in node:
            return self._file.numbers(node["matrix"], 16, f"{where}: matrix").reshape(4, 4).T
        translation = self._file.numbers(node.get("translation", (0, 0, 0)), 3, f"{where}: translation")
        rotation = self._file.numbers(node.get("rotation", (0, 0, 0, 1)), 4, f"{where}: rotation")
        scale = self._file.numbers(node.get("scale", (1, 1, 1)), 3, f"{where}: scale")
        return np.asarray(self._trs(translation[None], rotation[None], scale[None], where)[0])

    def _claim(self, n: int) -> tuple[int, int]:
        """Return the mesh of a node and the number of its instances, as far as the JSON says it."""
        where, node = f"node {n}", self._file.item("nodes", n, "")
        mesh = self._file.index(node["mesh"], "meshes", f"{where}: mesh")
        instances = self._file.extension(node, INSTANCES, where)
        if instances is None:
            return mesh, 1
        attributes = self._file.mapping(instances.get("attributes"), f"{where}: attributes")
        return mesh, max((self._claimed(accessor) for accessor in attributes.values()), default=1)

    def _instances(self, extension: dict[str, Any], where: str) -> Array:
        """Return the matrices of the instances of a node, shape (K, 4, 4)."""
        where = f"{where}: {INSTANCES}"
        attributes = self._file.mapping(extension.get("attributes"), f"{where}: attributes")
        rows = {
            name: self._file.accessor(attributes[name], f"{where}: {name}", width)
            for name, width in (("TRANSLATION", 3), ("ROTATION", 4), ("SCALE", 3))
            if name in attributes
        }
        counts = {len(values) for values in rows.values()} or {1}
        if len(counts) > 1:
            raise self._file.error(f"{where}: expected as many of each attribute", f"{sorted(counts)}")
        count = counts.pop()
        neutral = {"TRANSLATION": (0, 0, 0), "ROTATION": (0, 0, 0, 1), "SCALE": (1, 1, 1)}
        t, r, s = (rows.get(name, np.tile(np.array(v, np.float64), (count, 1))) for name, v in neutral.items())
        return self._trs(t, r, s, where)

    def _trs(self, translation: Array, rotation: Array, scale: Array, where: str) -> Array:
        """Return the matrices of translations, quaternions (x, y, z, w) and scales, shape (K, 4, 4)."""
        length = np.linalg.norm(rotation, axis=1)
        if not (length > 0.0).all():
            raise self._file.error(f"{where}: expected a rotation of unit length", "a quaternion of zeros")
        x, y, z, w = (rotation / length[:, None]).T
        R = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        ).transpose(2, 0, 1)
        matrices = np.zeros((len(length), 4, 4))
        matrices[:, :3, :3] = R * scale[:, None, :]
        matrices[:, :3, 3] = translation
        matrices[:, 3, 3] = 1.0
        return matrices

    def _skinning(self, part: _Part, skin: int) -> Array:
        """Return a matrix for each vertex, shape (V, 4, 4): joints in the world times inverse bind matrices."""
        where = f"skin {skin}"
        item = self._file.item("skins", skin, where)
        joints = [
            self._file.index(j, "nodes", f"{where}: joints")
            for j in self._file.array(item.get("joints"), f"{where}: joints")
        ]
        matrices = self._worlds[joints]
        if "inverseBindMatrices" in item:
            bind = self._file.accessor(item["inverseBindMatrices"], f"{where}: inverseBindMatrices", 16)
            if len(bind) < len(joints):
                raise self._file.error(f"{where}: expected {len(joints)} inverseBindMatrices", str(len(bind)))
            matrices = matrices @ bind[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        used = part.joints[part.weights > 0.0]
        if used.size and used.max() >= len(joints):
            raise self._file.error(f"{where}: expected joints below {len(joints)}", str(int(used.max())))
        blended = np.zeros((len(part.vertices), 4, 4))
        for k in range(part.joints.shape[1]):
            blended += part.weights[:, k, None, None] * matrices[np.minimum(part.joints[:, k], len(joints) - 1)]
        return blended

    # --- Meshes

    def _check_size(self, placed: list[tuple[int, int]]) -> None:
        """Refuse a file that stands for more than is reasonable, before any array of it is made.

        Args:
            placed: Meshes and the numbers of their instances.
        """
        sizes: dict[int, int] = {}
        total = 0
        for mesh, instances in placed:
            if mesh not in sizes:
                sizes[mesh] = 1 + sum(
                    self._claimed(value)
                    for primitive in self._primitives(mesh)
                    for value in (primitive.get("indices"), _attributes(primitive).get("POSITION"))
                )
            total += sizes[mesh] * instances
        if total > _MOST:
            raise self._file.error(f"expected at most {_MOST} vertices and indices with all instances", str(total))

    def _claimed(self, accessor: object) -> int:
        accessors = self._file.items("accessors")
        if not isinstance(accessor, int) or not 0 <= accessor < len(accessors):
            return 0  # refused where it is read
        item = accessors[accessor]
        count = item.get("count") if isinstance(item, dict) else 0
        return count if isinstance(count, int) else 0

    def _primitives(self, mesh: int) -> list[dict[str, Any]]:
        """Return the primitives of a mesh that have triangles."""
        where = f"mesh {mesh}"
        found = []
        for k, value in enumerate(
            self._file.array(self._file.item("meshes", mesh, where).get("primitives"), f"{where}: primitives")
        ):
            primitive = self._file.mapping(value, f"{where}, primitive {k}")
            mode = primitive.get("mode", _TRIANGLES)
            if mode not in range(7):
                raise self._file.error(f"{where}, primitive {k}: expected a mode from 0 to 6", repr(mode))
            found += [{**primitive, "where": f"{where}, primitive {k}"}] if mode >= _TRIANGLES else []
        return found

    def _parts(self, mesh: int, node: int | None) -> list[_Part]:
        """Return the primitives of a mesh, with its morph targets at their weights."""
        weights = self._file.item("meshes", mesh, "").get("weights", [])
        if node is not None:
            weights = self._file.item("nodes", node, "").get("weights", weights)
        shares = self._file.numbers(weights, None, f"mesh {mesh}: weights")
        key = mesh, shares.tobytes()
        if key not in self._known:
            primitives = [p for p in self._primitives(mesh) if "POSITION" in _attributes(p)]
            self._known[key] = [self._part(primitive, shares) for primitive in primitives]
        return self._known[key]

    def _part(self, primitive: dict[str, Any], shares: Array) -> _Part:
        where = primitive["where"]
        columns, indices = self._columns(primitive, where)
        points = columns["POSITION"]
        for target, share in zip(
            self._file.array(primitive.get("targets", []), f"{where}: targets"), shares, strict=False
        ):
            if share != 0.0 and "POSITION" in self._file.mapping(target, f"{where}: targets"):
                moves = self._file.accessor(target["POSITION"], f"{where}: targets", 3)
                if moves.shape != points.shape:
                    raise self._file.error(f"{where}: expected {len(points)} vertices in each target", str(len(moves)))
                points = points + share * moves
        faces = self._faces(primitive.get("mode", _TRIANGLES), indices, len(points), where)
        return _Part(points, faces, *self._joints(columns, len(points), where))

    def _columns(self, primitive: dict[str, Any], where: str) -> tuple[dict[str, Array], Array]:
        """Return positions, joints and weights by name, and the vertex indices."""
        packed = self._file.extension(primitive, DRACO, where)
        if packed is not None:
            decoded = self._draco(packed, primitive, where)
            if decoded is not None:
                return decoded
        columns = {
            name: self._file.accessor(accessor, f"{where}: {name}", _width(name))
            for name, accessor in _attributes(primitive).items()
        }
        if "indices" not in primitive:
            return columns, np.arange(len(columns["POSITION"]))
        indices = self._file.accessor(primitive["indices"], f"{where}: indices", 1, whole=True)[:, 0]
        return columns, indices.astype(np.int64)

    def _faces(self, mode: int, indices: Array, count: int, where: str) -> Array:
        """Return the triangles of a list, strip or fan of vertex indices."""
        if indices.size and indices.max() >= count:
            raise self._file.error(f"{where}: expected vertex indices below {count}", str(int(indices.max())))
        if mode == _TRIANGLES:
            if len(indices) % 3:
                raise self._file.error(f"{where}: expected three indices a triangle", f"{len(indices)} of them")
            return indices.reshape(-1, 3)
        if len(indices) < 3:
            raise self._file.error(f"{where}: expected at least three indices", str(len(indices)))
        if mode == _FAN:
            return np.stack([indices[1:-1], indices[2:], np.broadcast_to(indices[0], len(indices) - 2)], axis=1)
        odd = np.arange(len(indices) - 2) % 2 == 1
        a, b, c = indices[:-2], np.where(odd, indices[2:], indices[1:-1]), np.where(odd, indices[1:-1], indices[2:])
        kept = (a != b) & (b != c) & (c != a)  # the others join strips
        return np.stack([a, b, c], axis=1)[kept]

    def _joints(self, columns: dict[str, Array], count: int, where: str) -> tuple[Array, Array]:
        """Return joints and weights of the vertices, shape (V, J); the weights add up to 1."""
        pairs = [(columns[f"JOINTS_{k}"], columns.get(f"WEIGHTS_{k}")) for k in range(8) if f"JOINTS_{k}" in columns]
        if not pairs:
            return np.zeros((count, 0), np.int64), np.zeros((count, 0))
        if any(w is None or w.shape != (count, 4) or j.shape != (count, 4) for j, w in pairs):
            raise self._file.error(f"{where}: expected joints and weights of {count} vertices", "others")
        joints = np.concatenate([j for j, _ in pairs], axis=1).astype(np.int64)
        weights = np.concatenate([w for _, w in pairs if w is not None], axis=1)
        if joints.min(initial=0) < 0 or weights.min(initial=0.0) < 0.0:
            raise self._file.error(f"{where}: expected joints and weights of 0 or more", "negative ones")
        total = weights.sum(axis=1, keepdims=True)
        weights[total[:, 0] == 0.0, 0] = 1.0
        return joints, weights / np.where(total == 0.0, 1.0, total)

    def _draco(
        self, packed: dict[str, Any], primitive: dict[str, Any], where: str
    ) -> tuple[dict[str, Array], Array] | None:
        """Decode a primitive; None if it cannot be decoded here and has its data uncompressed as well."""
        try:
            import DracoPy
        except ImportError:
            position = self._file.item("accessors", _attributes(primitive)["POSITION"], f"{where}: POSITION")
            if "bufferView" in position:
                return None
            raise self._file.missing(f"{where}: Draco compression ({DRACO})", "DracoPy") from None
        where = f"{where}: {DRACO}"
        data, start, length, _ = self._file.view(packed.get("bufferView"), where)
        ids = self._file.mapping(packed.get("attributes"), f"{where}: attributes")
        try:
            decoded = DracoPy.decode(data[start : start + length])
            by_id = {row["unique_id"]: np.asarray(row["data"]) for row in decoded.attributes}
            faces = np.asarray(decoded.faces, np.int64).reshape(-1)
        except Exception as error:  # whatever the decoder stumbles over
            raise self._file.error(f"{where}: expected valid data", f"{type(error).__name__}: {error}") from None
        columns: dict[str, Array] = {}
        for name, accessor in _attributes(primitive).items():
            values = next((row for key, row in by_id.items() if key == ids.get(name)), None)
            if values is None:
                columns[name] = self._file.accessor(accessor, f"{where}: {name}", _width(name))
                continue
            if values.ndim != 2 or values.shape[1] != _width(name):
                raise self._file.error(
                    f"{where}: expected {_width(name)} numbers a vertex in {name}", str(values.shape)
                )
            item = self._file.item("accessors", accessor, f"{where}: {name}")
            columns[name] = self._file.finite(dequantized(values, bool(item.get("normalized"))), f"{where}: {name}")
        if faces.size and faces.min() < 0:
            raise self._file.error(f"{where}: expected vertex indices of 0 or more", str(int(faces.min())))
        primitive["mode"] = _TRIANGLES  # strips come out as triangles
        return columns, faces


def _attributes(primitive: dict[str, Any]) -> dict[str, Any]:
    """Return the accessors of positions, joints and weights by name."""
    found = primitive.get("attributes")
    names = found if isinstance(found, dict) else {}
    return {n: names[n] for n in names if n == "POSITION" or n.startswith(("JOINTS_", "WEIGHTS_"))}


def _width(attribute: str) -> int:
    return 3 if attribute == "POSITION" else 4


def _moved(part: _Part, matrices: Array) -> tuple[Array, Array]:
    """Return the vertices of a part moved by one matrix, or by one each, and its triangles, outside out."""
    points = np.einsum("...ij,...j->...i", matrices[..., :3, :3], part.vertices) + matrices[..., :3, 3]
    mirrored = np.linalg.det(matrices[..., :3, :3]) < 0.0
    turned = part.triangles[:, ::-1]
    if mirrored.ndim == 0:
        return points, turned if mirrored else part.triangles
    return points, np.where(mirrored[part.triangles[:, :1]], turned, part.triangles)
