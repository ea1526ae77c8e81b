# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""glTF 2.0 files: the triangles of the scene in its rest pose, with vertex colours and base colours.

Supported: triangles, strips and fans; accessors of every type, normalized, strided and sparse; node transforms;
instances (EXT_mesh_gpu_instancing); skins; morph targets; quantized attributes (KHR_mesh_quantization); Draco and
meshopt compression if the packages DracoPy and meshopt are installed. Skipped:
points, lines, animations, and all of a material but its base colour.

References:
    Khronos Group, glTF 2.0 specification, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..._arrays import Array
from ..._placement import rotations
from .._surfaces import Surface
from ..appearance import Appearance
from .companions import Companions
from .gltf_document import DRACO, INSTANCES, Document, dequantized
from .gltf_materials import GltfMaterials

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_NEUTRAL: dict[str, tuple[int, ...]] = {"TRANSLATION": (0, 0, 0), "ROTATION": (0, 0, 0, 1), "SCALE": (1, 1, 1)}
"""Transform of a node or instance without these properties."""
_MOST = 1 << 27
"""Maximum number of vertices and indices of all instances."""


def read_gltf(content: bytes, name: str, companions: Companions) -> Surface:
    """Read a .glb file, or a .gltf file with data URIs."""
    with np.errstate(all="ignore"):  # `Mesh` rejects vertices out of range
        return _Scene(Document(content, name), companions).surface()


_Columns = tuple[dict[str, Array], Array]


@dataclass
class _Part:
    """A primitive in local coordinates."""

    vertices: Array
    triangles: Array
    joints: Array
    """Joint indices of the skin, shape (V, J); J is 0 without a skin."""
    weights: Array
    """Joint weights, which add up to 1, shape (V, J)."""
    colors: Array | None
    """Vertex colours in linear light, shape (V, 3)."""
    uvs: Array | None
    """Texture coordinates of the vertices, shape (V, 2)."""
    material: int
    """Material, -1 for the default one."""


class _Scene:
    """The scene of a document."""

    def __init__(self, document: Document, companions: Companions) -> None:
        self._doc = document
        self._materials = GltfMaterials(document, companions)
        self._worlds = np.zeros((0, 4, 4))
        self._cache: dict[tuple[int, bytes], list[_Part]] = {}

    def surface(self) -> Surface:
        """Return the merged triangles of the scene."""
        points, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
        looks: list[tuple[_Part, Array]] = []
        for mesh, matrices, skin, node in self._placed():
            for part in self._parts(mesh, node):
                # A skinned mesh is transformed by its joints, not by its node.
                skinned = skin is not None and part.joints.shape[1] > 0
                for matrix in [self._skinning(part, skin)] if skinned else matrices:  # type: ignore[arg-type]
                    moved, turned = _moved(part, matrix)
                    points.append(moved)
                    faces.append(turned + count)
                    looks.append((part, turned))
                    count += len(moved)
        return Surface(np.concatenate(points), np.concatenate(faces), self._appearance(looks))

    def _appearance(self, parts: list[tuple[_Part, Array]]) -> Appearance | None:
        """Return the appearance of parts with their triangles."""
        colors = uvs = None
        if any(part.colors is not None for part, _ in parts):
            columns = [np.ones_like(part.vertices) if part.colors is None else part.colors for part, _ in parts]
            colors = np.concatenate(columns)
        if any(part.uvs is not None for part, _ in parts):
            corners = [np.zeros((*t.shape, 2)) if part.uvs is None else part.uvs[t] for part, t in parts]
            uvs = np.concatenate(corners)
        used = sorted({(part.material, part.uvs is not None) for part, _ in parts})
        if colors is None and uvs is None and all(number == -1 for number, _ in used):
            return None
        number = {key: k for k, key in enumerate(used)}
        owner = [np.full(len(t), number[part.material, part.uvs is not None], np.int32) for part, t in parts]
        materials = [self._materials.read(material, textured=textured) for material, textured in used]
        return Appearance(colors, uvs, tuple(materials), np.concatenate(owner))

    # --- The scene

    def _placed(self) -> Iterator[tuple[int, Array, int | None, int | None]]:
        """Yield mesh, instance matrices (K, 4, 4), skin and node of every mesh in the scene."""
        nodes = self._doc.items("nodes")
        if not nodes:  # a library of meshes
            meshes = range(len(self._doc.items("meshes")))
            self._check_size([(mesh, 1) for mesh in meshes])
            yield from ((mesh, np.eye(4)[None], None, None) for mesh in meshes)
            return
        parents = self._parents()
        self._worlds = self._world_matrices(parents)
        shown = [n for n in self._in_scene(parents) if "mesh" in self._doc.item("nodes", n, "")]
        self._check_size([self._claim(n) for n in shown])
        for n in shown:
            where, node = f"node {n}", self._doc.item("nodes", n, "")
            mesh = self._doc.index(node["mesh"], "meshes", f"{where}: mesh")
            skin = self._doc.index(node["skin"], "skins", f"{where}: skin") if "skin" in node else None
            matrices = self._worlds[n][None]
            instances = self._doc.extension(node, INSTANCES, where)
            if instances is not None:
                if skin is not None:
                    raise self._doc.error(f"{where}: expected {INSTANCES} or a skin", "both")
                matrices = matrices @ self._instances(instances, where)
            yield mesh, matrices, skin, n

    def _parents(self) -> list[int]:
        """Return the parent of each node, -1 without one."""
        count = len(self._doc.items("nodes"))
        parents = [-1] * count
        for n in range(count):
            for index in self._doc.nodes(self._doc.item("nodes", n, ""), "children", f"node {n}"):
                if parents[index] != -1 or index == n:
                    raise self._doc.error("expected a tree of nodes", f"node {index} below node {n} and another one")
                parents[index] = n
        return parents

    def _world_matrices(self, parents: list[int]) -> Array:
        """Return the world matrices of all nodes, shape (nodes, 4, 4)."""
        worlds = np.zeros((len(parents), 4, 4))
        done = [False] * len(parents)
        for n in range(len(parents)):
            path: list[int] = []
            while n != -1 and not done[n]:
                if len(path) > len(parents):
                    raise self._doc.error("expected a tree of nodes", f"node {n} among its own ancestors")
                path.append(n)
                n = parents[n]
            for k in reversed(path):
                local = self._local_matrix(self._doc.item("nodes", k, ""), f"node {k}")
                worlds[k] = local if parents[k] == -1 else worlds[parents[k]] @ local
                done[k] = True
        return worlds

    def _in_scene(self, parents: list[int]) -> list[int]:
        """Return the nodes of the default or first scene in depth-first order; without scenes, all nodes."""
        scenes = self._doc.items("scenes")
        if not scenes:
            return list(range(len(parents)))
        scene = self._doc.index(self._doc.json.get("scene", 0), "scenes", "scene")
        stack = self._doc.nodes(self._doc.item("scenes", scene, ""), "nodes", f"scene {scene}")[::-1]
        visited: dict[int, None] = {}
        while stack:
            n = stack.pop()
            if n not in visited:
                visited[n] = None
                stack += reversed(self._doc.item("nodes", n, "").get("children", []))
        return list(visited)

    def _local_matrix(self, node: dict[str, Any], where: str) -> Array:
        if "matrix" in node:
            return self._doc.numbers(node["matrix"], 16, f"{where}: matrix").reshape(4, 4).T
        trs = [
            self._doc.numbers(node.get(name.lower(), default), len(default), f"{where}: {name.lower()}")[None]
            for name, default in _NEUTRAL.items()
        ]
        return np.asarray(self._trs(trs, where)[0])

    def _claim(self, n: int) -> tuple[int, int]:
        """Return the mesh of a node and its instance count, without reading accessors."""
        where, node = f"node {n}", self._doc.item("nodes", n, "")
        mesh = self._doc.index(node["mesh"], "meshes", f"{where}: mesh")
        instances = self._doc.extension(node, INSTANCES, where)
        if instances is None:
            return mesh, 1
        attributes = self._doc.mapping(instances.get("attributes"), f"{where}: attributes")
        return mesh, max((self._claimed(accessor) for accessor in attributes.values()), default=1)

    def _instances(self, extension: dict[str, Any], where: str) -> Array:
        """Return the instance matrices of a node, shape (K, 4, 4)."""
        where = f"{where}: {INSTANCES}"
        attributes = self._doc.mapping(extension.get("attributes"), f"{where}: attributes")
        rows = {
            name: self._doc.accessor(attributes[name], f"{where}: {name}", len(default))
            for name, default in _NEUTRAL.items()
            if name in attributes
        }
        counts = {len(values) for values in rows.values()} or {1}
        if len(counts) > 1:
            raise self._doc.error(f"{where}: expected attributes of equal counts", f"{sorted(counts)}")
        count = counts.pop()
        trs = [rows.get(name, np.tile(np.array(default, np.float64), (count, 1))) for name, default in _NEUTRAL.items()]
        return self._trs(trs, where)

    def _trs(self, trs: list[Array], where: str) -> Array:
        """Return the matrices of translations, quaternions (x, y, z, w) and scales, shape (K, 4, 4)."""
        translation, rotation, scale = trs
        length = np.linalg.norm(rotation, axis=1)
        if not (length > 0.0).all():
            raise self._doc.error(f"{where}: expected a rotation of unit length", "a quaternion of zeros")
        matrices = np.zeros((len(length), 4, 4))
        matrices[:, :3, :3] = rotations(rotation[:, (3, 0, 1, 2)] / length[:, None]) * scale[:, None, :]
        matrices[:, :3, 3] = translation
        matrices[:, 3, 3] = 1.0
        return matrices

    def _skinning(self, part: _Part, skin: int) -> Array:
        """Return one matrix per vertex, shape (V, 4, 4): weighted joint matrices times inverse bind matrices."""
        where = f"skin {skin}"
        item = self._doc.item("skins", skin, where)
        joints = self._doc.nodes(item, "joints", where, required=True)
        matrices = self._worlds[joints]
        if "inverseBindMatrices" in item:
            bind = self._doc.accessor(item["inverseBindMatrices"], f"{where}: inverseBindMatrices", 16)
            if len(bind) < len(joints):
                raise self._doc.error(f"{where}: expected {len(joints)} inverseBindMatrices", str(len(bind)))
            matrices = matrices @ bind[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        self._doc.below(part.joints[part.weights > 0.0], len(joints), f"{where}: expected joints")
        blended = np.zeros((len(part.vertices), 4, 4))
        for k in range(part.joints.shape[1]):
            blended += part.weights[:, k, None, None] * matrices[np.minimum(part.joints[:, k], len(joints) - 1)]
        return blended

    # --- Meshes

    def _check_size(self, placed: list[tuple[int, int]]) -> None:
        """Check the total size of meshes with their instance counts before any array is allocated."""
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
            raise self._doc.error(f"expected at most {_MOST} vertices and indices with all instances", str(total))

    def _claimed(self, accessor: object) -> int:
        accessors = self._doc.items("accessors")
        if not isinstance(accessor, int) or not 0 <= accessor < len(accessors):
            return 0  # `Document.accessor` rejects it
        item = accessors[accessor]
        count = item.get("count") if isinstance(item, dict) else 0
        return count if isinstance(count, int) else 0

    def _primitives(self, mesh: int) -> list[dict[str, Any]]:
        """Return the primitives of a mesh that consist of triangles."""
        where = f"mesh {mesh}"
        item, primitives = self._doc.item("meshes", mesh, where), []
        for k, value in enumerate(self._doc.array(item, "primitives", f"{where}: primitives", required=True)):
            name = f"{where}, primitive {k}"
            primitive = self._doc.mapping(value, name)
            mode = primitive.get("mode", _TRIANGLES)
            if mode not in range(7):
                raise self._doc.error(f"{name}: expected a mode from 0 to 6", repr(mode))
            primitives += [{**primitive, "where": name}] if mode >= _TRIANGLES else []
        return primitives

    def _parts(self, mesh: int, node: int | None) -> list[_Part]:
        """Return the primitives of a mesh with weighted morph targets."""
        weights = self._doc.item("meshes", mesh, "").get("weights", [])
        if node is not None:
            weights = self._doc.item("nodes", node, "").get("weights", weights)
        weights = self._doc.numbers(weights, None, f"mesh {mesh}: weights")
        key = mesh, weights.tobytes()
        if key not in self._cache:
            primitives = [p for p in self._primitives(mesh) if "POSITION" in _attributes(p)]
            self._cache[key] = [self._part(primitive, weights) for primitive in primitives]
        return self._cache[key]

    def _part(self, primitive: dict[str, Any], weights: Array) -> _Part:
        where = primitive["where"]
        columns, indices = self._columns(primitive, where)
        points = columns["POSITION"]
        targets = self._doc.array(primitive, "targets", f"{where}: targets")
        for target, weight in zip(targets, weights, strict=False):
            if weight != 0.0 and "POSITION" in self._doc.mapping(target, f"{where}: targets"):
                moves = self._doc.accessor(target["POSITION"], f"{where}: targets", 3)
                if moves.shape != points.shape:
                    raise self._doc.error(f"{where}: expected {len(points)} vertices in each target", str(len(moves)))
                points = points + weight * moves
        faces = self._faces(primitive.get("mode", _TRIANGLES), indices, len(points), where)
        joints, weights = self._joints(columns, len(points), where)
        material, uvs = self._materials.of(primitive), None
        if (set_number := self._materials.uv_set(material)) is not None:
            uvs = columns.get(f"TEXCOORD_{set_number}")
        colors = columns.get("COLOR_0")
        for name, column in (("COLOR_0", colors), ("texture coordinates", uvs)):
            if column is not None and len(column) != len(points):
                raise self._doc.error(f"{where}: expected {name} of {len(points)} vertices", str(len(column)))
        if uvs is not None:
            uvs = self._materials.moved(uvs, material)
        if colors is not None:
            colors = np.clip(colors[:, :3], 0.0, 1.0)
        return _Part(points, faces, joints, weights, colors, uvs, material)

    def _columns(self, primitive: dict[str, Any], where: str) -> _Columns:
        """Return positions, joints and weights by name, and the vertex indices."""
        packed = self._doc.extension(primitive, DRACO, where)
        if packed is not None and (decoded := self._draco(packed, primitive, where)) is not None:
            return decoded
        columns = {
            name: self._doc.accessor(accessor, f"{where}: {name}", self._width(name, accessor))
            for name, accessor in self._attributes(primitive).items()
        }
        if "indices" not in primitive:
            return columns, np.arange(len(columns["POSITION"]))
        indices = self._doc.accessor(primitive["indices"], f"{where}: indices", 1, indices=True)[:, 0]
        return columns, indices.astype(np.int64)

    def _attributes(self, primitive: dict[str, Any]) -> dict[str, Any]:
        """Return the accessors of `_attributes`, and of the texture coordinates that the material needs."""
        columns = _attributes(primitive)
        name = f"TEXCOORD_{self._materials.uv_set(self._materials.of(primitive))}"
        if name in primitive["attributes"]:
            columns[name] = primitive["attributes"][name]
        return columns

    def _width(self, attribute: str, accessor: object) -> int:
        """Return the number of components of an attribute."""
        if attribute == "COLOR_0":
            return 3 if self._doc.item("accessors", accessor, attribute).get("type") == "VEC3" else 4
        return 3 if attribute == "POSITION" else 2 if attribute.startswith("TEXCOORD_") else 4

    def _faces(self, mode: int, indices: Array, count: int, where: str) -> Array:
        """Return the triangles of a list, strip or fan of vertex indices."""
        self._doc.below(indices, count, f"{where}: expected vertex indices")
        if mode == _TRIANGLES:
            if len(indices) % 3:
                raise self._doc.error(f"{where}: expected three indices per triangle", f"{len(indices)} of them")
            return indices.reshape(-1, 3)
        if len(indices) < 3:
            raise self._doc.error(f"{where}: expected at least three indices", str(len(indices)))
        if mode == _FAN:
            return np.stack([indices[1:-1], indices[2:], np.broadcast_to(indices[0], len(indices) - 2)], axis=1)
        odd = np.arange(len(indices) - 2) % 2 == 1
        a, b, c = indices[:-2], np.where(odd, indices[2:], indices[1:-1]), np.where(odd, indices[1:-1], indices[2:])
        return np.stack([a, b, c], axis=1)[(a != b) & (b != c) & (c != a)]  # degenerate triangles join strips

    def _joints(self, columns: dict[str, Array], count: int, where: str) -> tuple[Array, Array]:
        """Return joints and normalized weights of the vertices, shape (V, J)."""
        pairs = [(columns[f"JOINTS_{k}"], columns.get(f"WEIGHTS_{k}")) for k in range(8) if f"JOINTS_{k}" in columns]
        if not pairs:
            return np.zeros((count, 0), np.int64), np.zeros((count, 0))
        if any(w is None or w.shape != (count, 4) or j.shape != (count, 4) for j, w in pairs):
            raise self._doc.error(f"{where}: expected joints and weights of {count} vertices", "other shapes")
        joints = np.concatenate([j for j, _ in pairs], axis=1).astype(np.int64)
        weights = np.concatenate([w for _, w in pairs if w is not None], axis=1)
        if joints.min(initial=0) < 0 or weights.min(initial=0.0) < 0.0:
            raise self._doc.error(f"{where}: expected joints and weights of 0 or more", "negative ones")
        total = weights.sum(axis=1, keepdims=True)
        weights[total[:, 0] == 0.0, 0] = 1.0
        return joints, weights / np.where(total == 0.0, 1.0, total)

    def _draco(self, packed: dict[str, Any], primitive: dict[str, Any], where: str) -> _Columns | None:
        """Decode a primitive; None without a decoder if the file also contains the uncompressed data."""
        try:
            import DracoPy
        except ImportError:
            position = self._doc.item("accessors", _attributes(primitive)["POSITION"], f"{where}: POSITION")
            if "bufferView" in position:
                return None
            raise self._doc.missing(f"{where}: Draco compression ({DRACO})", "DracoPy") from None
        where = f"{where}: {DRACO}"
        data, _ = self._doc.view(packed.get("bufferView"), where)
        ids = self._doc.mapping(packed.get("attributes"), f"{where}: attributes")
        try:
            decoded = DracoPy.decode(bytes(data))
            by_id = {row["unique_id"]: np.asarray(row["data"]) for row in decoded.attributes}
            faces = np.asarray(decoded.faces, np.int64).reshape(-1)
        except Exception as error:  # decoders raise errors of any type
            raise self._doc.error(f"{where}: expected valid data", f"{type(error).__name__}: {error}") from None
        columns: dict[str, Array] = {}
        for name, accessor in self._attributes(primitive).items():
            width = self._width(name, accessor)
            values = next((row for key, row in by_id.items() if key == ids.get(name)), None)
            if values is None:
                columns[name] = self._doc.accessor(accessor, f"{where}: {name}", width)
                continue
            if values.ndim != 2 or values.shape[1] != width:
                raise self._doc.error(f"{where}: expected {width} numbers per vertex in {name}", str(values.shape))
            item = self._doc.item("accessors", accessor, f"{where}: {name}")
            columns[name] = self._doc.finite(dequantized(values, bool(item.get("normalized"))), f"{where}: {name}")
        if faces.size and faces.min() < 0:
            raise self._doc.error(f"{where}: expected vertex indices of 0 or more", str(int(faces.min())))
        primitive["mode"] = _TRIANGLES  # the decoder returns strips as triangles
        return columns, faces


def _attributes(primitive: dict[str, Any]) -> dict[str, Any]:
    """Return the accessors of positions, joints, weights and colours by name."""
    attributes = primitive.get("attributes")
    items = attributes.items() if isinstance(attributes, dict) else ()
    known = ("POSITION", "COLOR_0")
    return {n: accessor for n, accessor in items if n in known or n.startswith(("JOINTS_", "WEIGHTS_"))}


def _moved(part: _Part, matrices: Array) -> tuple[Array, Array]:
    """Return the vertices of a part transformed by one matrix or one per vertex, and its outward triangles."""
    points = np.einsum("...ij,...j->...i", matrices[..., :3, :3], part.vertices) + matrices[..., :3, 3]
    mirrored = np.linalg.det(matrices[..., :3, :3]) < 0.0
    turned = part.triangles[:, ::-1]
    if mirrored.ndim == 0:
        return points, turned if mirrored else part.triangles
    return points, np.where(mirrored[part.triangles[:, :1]], turned, part.triangles)
