# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A mesh of constant topology over time as an Alembic archive."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array, as_positive
from ..errors import ConfigError, optional_package
from .atomic import PathLike, write_file
from .moment import MeshFrames, Moment


def write_alembic(path: PathLike, moments: Iterable[Moment], *, fps: float = 24.0) -> Path:
    """Write the meshes of some frames as one Alembic PolyMesh with normals, velocities, texture coordinates, colours.

    Vertex colours are the parameter `Cd`, in linear light. Alembic has no materials and no up axis; programs expect y.
    The origin is the translation of the parent.

    Args:
        path: File ending in .abc.
        moments: Frames whose meshes have the same triangles.
        fps: Frames per second; velocities are per second.

    Raises:
        ConfigError: If the suffix does not fit, there is no frame, or a mesh is missing or differs.
        MissingPackageError: If alembic3d is not installed.
    """
    if Path(path).suffix.lower() != ".abc":
        raise ConfigError(f"path: expected a file ending in .abc, got {str(path)!r}")
    rate = as_positive(fps, "fps")
    alembic = import_alembic()
    frames = MeshFrames.collect(moments)
    with write_file(path) as temporary:
        _write(alembic, str(temporary), frames, rate)
    return Path(path)


def _write(alembic: Any, path: str, frames: MeshFrames, rate: float) -> None:
    geom = alembic.AbcGeom
    archive = alembic.Abc.OArchive(path)
    sampling = archive.addTimeSampling(alembic.AbcCoreAbstract.TimeSampling(1.0 / rate, 0.0))
    parent = geom.OXform(archive.getTop(), "Morph")
    placement = geom.XformSample()
    placement.setTranslation(_imath().V3d(*map(float, frames.origin)))
    parent.getSchema().set(placement)
    schema = geom.OPolyMesh(parent, "Mesh", sampling).getSchema()
    # Alembic lists the corners of a polygon clockwise.
    indices, counts = _ints(frames.triangles[:, ::-1].ravel()), _ints(np.full(len(frames.triangles), 3))
    look = frames.appearance
    vertex, corner = geom.GeometryScope.kVertexScope, geom.GeometryScope.kFacevaryingScope
    if frames.colors is not None:
        colors = geom.OC3fGeomParam(schema.getArbGeomParams(), "Cd", False, vertex, 1)
        colors.set(geom.OC3fGeomParamSample(_imath().C3fArray(_vectors(frames.colors)), vertex))
    for points, normals, velocities in zip(frames.positions, frames.normals, frames.velocities(rate), strict=True):
        sample = geom.OPolyMeshSchemaSample(_vectors(points), indices, counts)
        sample.setNormals(geom.ON3fGeomParamSample(_vectors(normals), vertex))
        sample.setVelocities(_vectors(velocities))
        if look is not None and look.uvs is not None:
            uvs = _vectors(look.uvs[:, ::-1].reshape(-1, 2))
            sample.setUVs(geom.OV2fGeomParamSample(uvs, corner))
        schema.set(sample)


def _imath() -> Any:
    import imath

    return imath


def _ints(values: Array) -> Any:
    return _imath().IntArrayFromBuffer(np.ascontiguousarray(values, np.int32))


def _vectors(rows: Array) -> Any:
    return getattr(_imath(), f"V{rows.shape[1]}fArrayFromBuffer")(np.ascontiguousarray(rows, np.float32))


def import_alembic() -> Any:
    """Return the module alembic3d."""
    return optional_package("alembic3d", "alembic3d", "Alembic", "alembic")
