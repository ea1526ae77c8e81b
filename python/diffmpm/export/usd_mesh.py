# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A mesh of constant topology over time as a USD stage with one Mesh."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, as_positive
from .atomic import PathLike, write_bytes
from .moment import MeshFrames, Moment
from .parts import ROUGHNESS, MeshPart, mesh_parts, plain_name, texture_file
from .usd import import_usd, write_stage

MESH = "/Morph/Mesh"


def write_usd_mesh(path: PathLike, moments: Iterable[Moment], *, up: str = "y", fps: float = 24.0) -> Path:
    """Write the meshes of some frames with one time sample each: points, normals, velocities and extent.

    Textures are written into the folder `textures` beside the file. Time codes are 0, 1, 2 ...

    Args:
        path: File ending in .usd, .usda or .usdc.
        moments: Frames whose meshes have the same triangles.
        up: Axis that is up, "y" or "z"; USD has no other.
        fps: Time codes per second; velocities are per second.

    Raises:
        ConfigError: If the suffix or `up` does not fit, there is no frame, or a mesh is missing or differs.
        MissingPackageError: If usd-core is not installed.

    References:
        OpenUSD, UsdGeom Mesh and UsdShade UsdPreviewSurface.
    """
    rate = as_positive(fps, "fps")
    import_usd()
    frames = MeshFrames.collect(moments)
    parts = list(mesh_parts(frames.triangles, frames.appearance))
    names: dict[int, str] = {}
    for part in parts:
        if part.material is None or part.material.texture is None:
            continue
        texture = part.material.texture
        if id(texture) not in names:
            name, content, _ = texture_file(part.material, len(names))
            folder = Path(path).parent / "textures"
            folder.mkdir(exist_ok=True)
            write_bytes(folder / name, content)
            names[id(texture)] = f"./textures/{name}"

    def fill(stage: Any) -> int:
        _materials(stage, _mesh(stage, frames, rate), parts, names)
        return len(frames.positions)

    write_stage(path, fill, up=up, fps=rate, origin=frames.origin)
    return Path(path)


def _mesh(stage: Any, frames: MeshFrames, rate: float) -> Any:
    from pxr import Sdf, UsdGeom, Vt

    mesh = UsdGeom.Mesh.Define(stage, MESH)
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(frames.triangles), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(np.ascontiguousarray(frames.triangles.ravel(), np.int32)))
    mesh.CreateDoubleSidedAttr(True)
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    primvars, look = UsdGeom.PrimvarsAPI(mesh), frames.appearance
    if look is not None and look.uvs is not None:
        uvs = primvars.CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
        uvs.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(look.uvs.reshape(-1, 2), np.float32)))
    if frames.colors is not None:
        colors = primvars.CreatePrimvar("displayColor", Sdf.ValueTypeNames.Color3fArray, UsdGeom.Tokens.vertex)
        colors.Set(_vectors(frames.colors))
    for time, (points, normals, velocities) in enumerate(
        zip(frames.positions, frames.normals, frames.velocities(rate), strict=True)
    ):
        mesh.GetPointsAttr().Set(_vectors(points), time)
        mesh.GetNormalsAttr().Set(_vectors(normals), time)
        mesh.GetVelocitiesAttr().Set(_vectors(velocities), time)
        mesh.GetExtentAttr().Set(_vectors(np.stack([points.min(axis=0), points.max(axis=0)])), time)
    return mesh


def _vectors(rows: Array) -> Any:
    from pxr import Vt

    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(rows, np.float32))


def _materials(stage: Any, mesh: Any, parts: list[MeshPart], textures: dict[int, str]) -> None:
    """Bind a UsdPreviewSurface to the triangles of each part."""
    from pxr import UsdGeom, UsdShade, Vt

    for number, part in enumerate(parts):
        if part.material is None:
            continue
        name = plain_name(part.material.name, number)
        material = _material(stage, f"/Morph/Materials/{name}", part, textures)
        target = mesh.GetPrim()
        if len(parts) > 1:
            rows = Vt.IntArray.FromNumpy(np.ascontiguousarray(part.rows, np.int32))
            subset = UsdShade.MaterialBindingAPI(mesh).CreateMaterialBindSubset(name, rows, UsdGeom.Tokens.face)
            target = subset.GetPrim()
        UsdShade.MaterialBindingAPI.Apply(target).Bind(material)


def _material(stage: Any, path: str, part: MeshPart, textures: dict[int, str]) -> Any:
    from pxr import Gf, Sdf, UsdShade

    types, look = Sdf.ValueTypeNames, part.material
    assert look is not None
    material = UsdShade.Material.Define(stage, path)

    def shader(name: str, type_name: str) -> Any:
        node = UsdShade.Shader.Define(stage, f"{path}/{name}")
        node.CreateIdAttr(type_name)
        return node

    surface = shader("Surface", "UsdPreviewSurface")
    surface.CreateInput("roughness", types.Float).Set(ROUGHNESS)
    color = surface.CreateInput("diffuseColor", types.Color3f)
    color.Set(Gf.Vec3f(*look.color))
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    if look.texture is None:
        return material
    reader, image = shader("Coordinates", "UsdPrimvarReader_float2"), shader("Texture", "UsdUVTexture")
    reader.CreateInput("varname", types.String).Set("st")
    image.CreateInput("file", types.Asset).Set(textures[id(look.texture)])
    image.CreateInput("st", types.Float2).ConnectToSource(reader.ConnectableAPI(), "result")
    image.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
    image.CreateInput("scale", types.Float4).Set(Gf.Vec4f(*look.color, 1.0))
    for side, wrap in zip(("wrapS", "wrapT"), look.wrap, strict=True):
        image.CreateInput(side, types.Token).Set(wrap)
    color.ConnectToSource(image.ConnectableAPI(), "rgb")
    reader.CreateOutput("result", types.Float2)
    image.CreateOutput("rgb", types.Float3)
    return material
