# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A mesh of constant topology over time as binary glTF 2.0 with morph targets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, as_positive
from .atomic import PathLike, write_bytes
from .glb import TRIANGLES, GltfBuffer, container
from .moment import MeshFrames, Moment
from .parts import ROUGHNESS, MeshPart, mesh_parts, texture_file

_WRAPS = {"repeat": 10497, "mirror": 33648, "clamp": 33071}


def write_animated_glb(path: PathLike, moments: Iterable[Moment], *, fps: float = 24.0) -> Path:
    """Write the meshes of some frames as one .glb file: the first is the mesh, each other one a morph target.

    An animation blends linearly from frame to frame. A single frame has no animation. Textures are embedded.

    Args:
        path: File ending in .glb.
        moments: Frames whose meshes have the same triangles. y is up.
        fps: Frames per second.

    Raises:
        ConfigError: If there is no frame, a frame has no mesh, or its topology differs.

    References:
        Khronos Group, glTF 2.0, section 3.7.2.2 (morph targets).
    """
    rate = as_positive(fps, "fps")
    return write_bytes(path, encode_animated_glb(MeshFrames.collect(moments), rate))


def encode_animated_glb(frames: MeshFrames, fps: float = 24.0) -> bytes:
    """Return the bytes that `write_animated_glb` writes; normals may be missing from a single frame."""
    buffer, textures = GltfBuffer(), _Textures()
    primitives: list[dict[str, Any]] = []
    materials: list[dict[str, Any]] = []
    for part in mesh_parts(frames.triangles, frames.appearance):
        primitive = _primitive(buffer, frames, part)
        if part.material is not None:
            primitive["material"] = len(materials)
            materials.append(textures.material(buffer, part))
        primitives.append(primitive)
    count = len(frames.positions)
    mesh: dict[str, Any] = {"primitives": primitives}
    more: dict[str, Any] = {"materials": materials, **textures.tables()}
    if count > 1:
        mesh["weights"] = [0.0] * (count - 1)
        mesh["extras"] = {"targetNames": [f"frame_{k:04d}" for k in range(1, count)]}
        times = buffer.floats(np.arange(count)[:, None] / fps, bounds=True, vertices=False)
        weights = buffer.floats(np.eye(count)[:, 1:].reshape(-1, 1), vertices=False)
        channel = {"sampler": 0, "target": {"node": 0, "path": "weights"}}
        sampler = {"input": times, "output": weights, "interpolation": "LINEAR"}
        more["animations"] = [{"name": "morph", "channels": [channel], "samplers": [sampler]}]
    used = {name: table for name, table in more.items() if table}
    return container(*buffer.document(mesh, frames.origin, **used))


def _primitive(buffer: GltfBuffer, frames: MeshFrames, part: MeshPart) -> dict[str, Any]:
    own = part.owners
    columns: dict[str, Array] = {"POSITION": frames.positions[0][own]}
    if frames.normals:
        columns["NORMAL"] = frames.normals[0][own]
    if part.uvs is not None:
        columns["TEXCOORD_0"] = np.stack([part.uvs[:, 0], 1.0 - part.uvs[:, 1]], axis=1)  # v grows downwards in glTF
    if frames.colors is not None:
        columns["COLOR_0"] = frames.colors[own]
    primitive = {
        "attributes": buffer.vertices(columns),
        "indices": buffer.indices(part.triangles),
        "mode": TRIANGLES,
    }
    targets = []
    for position, normal in zip(frames.positions[1:], frames.normals[1:], strict=True):
        shifts = {"POSITION": position[own] - columns["POSITION"], "NORMAL": normal[own] - columns["NORMAL"]}
        targets.append(buffer.vertices(shifts))
    return {**primitive, "targets": targets} if targets else primitive


class _Textures:
    """Textures of a file, each embedded once."""

    def __init__(self) -> None:
        self._images: list[dict[str, Any]] = []
        self._samplers: list[dict[str, Any]] = []
        self._textures: list[dict[str, Any]] = []
        self._number: dict[int, int] = {}

    def material(self, buffer: GltfBuffer, part: MeshPart) -> dict[str, Any]:
        """Return the entry of the material of a part."""
        material = part.material
        assert material is not None
        color = {"baseColorFactor": [*np.clip(material.color, 0.0, 1.0).tolist(), 1.0]}
        surface: dict[str, Any] = {**color, "metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
        if material.texture is not None:
            image = self._number.setdefault(id(material.texture), len(self._images))
            if image == len(self._images):
                name, content, mime = texture_file(material, image)
                self._images.append({"bufferView": buffer.view(content), "mimeType": mime, "name": name})
            across, along = (_WRAPS[wrap] for wrap in material.wrap)
            self._samplers.append({"wrapS": across, "wrapT": along})
            self._textures.append({"source": image, "sampler": len(self._samplers) - 1})
            surface["baseColorTexture"] = {"index": len(self._textures) - 1}
        return {"name": material.name, "pbrMetallicRoughness": surface, "doubleSided": True}

    def tables(self) -> dict[str, Any]:
        """Return the top-level entries of the document."""
        return {"images": self._images, "samplers": self._samplers, "textures": self._textures}
