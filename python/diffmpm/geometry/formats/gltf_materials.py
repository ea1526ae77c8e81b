# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Base colours of glTF 2.0 materials.

References:
    Khronos Group, glTF 2.0 specification, section 3.9; KHR_texture_transform; EXT_texture_webp.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._arrays import Array
from ..appearance import MeshMaterial, Texture, Wrap
from .companions import Companions
from .gltf_document import Document

_WRAPS: dict[object, Wrap] = {10497: "repeat", 33648: "mirror", 33071: "clamp"}
_TRANSFORM, _WEBP = "KHR_texture_transform", "EXT_texture_webp"


class GltfMaterials:
    """Materials of a document; -1 is the default material."""

    def __init__(self, document: Document, companions: Companions) -> None:
        self._doc, self._companions = document, companions
        self._images: dict[int, Texture | None] = {}

    def of(self, primitive: dict[str, Any]) -> int:
        """Return the material of a primitive."""
        if "material" not in primitive:
            return -1
        return self._doc.index(primitive["material"], "materials", f"{primitive['where']}: material")

    def uv_set(self, material: int) -> int | None:
        """Return the number of the texture coordinates that a material needs, None without a texture."""
        info = self._texture_info(material)
        if info is None:
            return None
        moved = self._doc.extension(info, _TRANSFORM, f"material {material}") or {}
        number = moved.get("texCoord", info.get("texCoord", 0))
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 100:
            raise self._doc.error(f"material {material}: expected texCoord of 0 or more", repr(number)[:60])
        return number

    def moved(self, uvs: Array, material: int) -> Array:
        """Return the texture coordinates of the image, with (0, 0) at its lower left corner, as in other formats."""
        where = f"material {material}: {_TRANSFORM}"
        info = self._texture_info(material) or {}
        move = self._doc.extension(info, _TRANSFORM, where)
        if move is not None:
            offset = self._doc.numbers(move.get("offset", [0, 0]), 2, f"{where}: offset")
            scale = self._doc.numbers(move.get("scale", [1, 1]), 2, f"{where}: scale")
            (angle,) = self._doc.numbers([move.get("rotation", 0)], 1, f"{where}: rotation").tolist()
            c, s = np.cos(angle), np.sin(angle)
            uvs = (uvs * scale) @ np.array([[c, -s], [s, c]]) + offset
        return np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], axis=1)

    def read(self, material: int, *, textured: bool) -> MeshMaterial:
        """Return the base colour of a material, without its texture unless `textured` is set."""
        if material == -1:
            return MeshMaterial(name="default")
        where = f"material {material}"
        item = self._doc.item("materials", material, where)
        base = self._base(material)
        factor = self._doc.numbers(base.get("baseColorFactor", [1, 1, 1, 1]), 4, f"{where}: baseColorFactor")
        if factor.min() < 0.0 or factor.max() > 1.0:
            raise self._doc.error(f"{where}: expected baseColorFactor from 0 to 1", str(factor.tolist()))
        r, g, b = factor[:3].tolist()
        name = str(item.get("name", where))[:200]
        info = self._texture_info(material)
        if info is None or not textured:
            return MeshMaterial((r, g, b), name=name)
        texture = self._doc.item("textures", info.get("index"), f"{where}: baseColorTexture")
        return MeshMaterial((r, g, b), self._image(texture, where), self._wrap(texture, where), name)

    def _base(self, material: int) -> dict[str, Any]:
        item = self._doc.item("materials", material, "material")
        return self._doc.mapping(item.get("pbrMetallicRoughness", {}), f"material {material}: pbrMetallicRoughness")

    def _texture_info(self, material: int) -> dict[str, Any] | None:
        info = None if material == -1 else self._base(material).get("baseColorTexture")
        return None if info is None else self._doc.mapping(info, f"material {material}: baseColorTexture")

    def _wrap(self, texture: dict[str, Any], where: str) -> tuple[Wrap, Wrap]:
        if "sampler" not in texture:
            return "repeat", "repeat"
        sampler = self._doc.item("samplers", texture["sampler"], where)
        modes = [sampler.get(key, 10497) for key in ("wrapS", "wrapT")]
        for mode in modes:
            if mode not in (10497, 33648, 33071):
                raise self._doc.error(f"{where}: expected a glTF wrap mode", repr(mode)[:60])
        return _WRAPS[modes[0]], _WRAPS[modes[1]]

    def _image(self, texture: dict[str, Any], where: str) -> Texture | None:
        """Return the image of a texture; None if its file is missing or its format is not read."""
        webp = self._doc.extension(texture, _WEBP, where) or {}
        source = webp.get("source", texture.get("source"))
        if source is None:  # in an extension such as KHR_texture_basisu
            self._companions.missing.append(f"the texture of {where} has a format that is not read")
            return None
        number = self._doc.index(source, "images", f"{where}: source")
        if number not in self._images:
            self._images[number] = self._decoded(number)
        return self._images[number]

    def _decoded(self, number: int) -> Texture | None:
        where = f"image {number}"
        item = self._doc.item("images", number, where)
        name = str(item.get("name") or where)[:200]
        if "bufferView" in item:
            return self._companions.image(bytes(self._doc.view(item["bufferView"], where)[0]), name)
        uri = item.get("uri")
        if not isinstance(uri, str):
            raise self._doc.error(f"{where}: expected a bufferView or a uri", repr(uri)[:60])
        if not uri.startswith("data:"):
            return self._companions.texture(uri)
        return self._companions.image(self._doc.decoded(uri, where), name)
