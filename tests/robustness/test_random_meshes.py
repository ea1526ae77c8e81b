# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Any mesh (open, flat, doubled, tiny, huge, not finite) is sampled, measured and fitted, or refused clearly."""

from __future__ import annotations

import warnings
from typing import Any

import diffmpm as dm
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

BOX = dm.shapes.make("box")
SPHERE = dm.shapes.make("sphere")
COORDINATES = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5]),
    st.floats(-2.0, 2.0),
    st.sampled_from([1e-30, 1e-12, 1e6, 1e12, 1e29, 1e31, 1e154, 1e308, 5e-324, np.nan, np.inf]),
)
SCALES = st.one_of(st.sampled_from([1e-35, 1e-29, 1e-12, 1e-6, 1.0, 1e6, 1e12, 1e28, 1e33]), st.floats(1e-3, 1e3))


@st.composite
def soups(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """A few vertices, some duplicated, with arbitrary triangles."""
    vertices = draw(st.lists(st.tuples(COORDINATES, COORDINATES, COORDINATES), min_size=0, max_size=9))
    vertices += draw(st.lists(st.sampled_from(vertices), max_size=2)) if vertices else []
    index = st.integers(0, max(len(vertices) - 1, 0)) if draw(st.integers(0, 4)) else st.integers(-2, len(vertices) + 1)
    triangles = draw(st.lists(st.tuples(index, index, index), max_size=12))
    dtype = draw(st.sampled_from([np.int32, np.int64, np.uint8, np.uint64]))
    faces = np.array(triangles, np.int64).reshape(-1, 3)
    return np.array(vertices, np.float64).reshape(-1, 3), faces.astype(dtype)


@st.composite
def dented(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """A closed mesh with moved or merged vertices and missing, doubled or flipped triangles, at any scale."""
    mesh = draw(st.sampled_from([BOX, BOX, SPHERE]))
    vertices, triangles = mesh.vertices.copy(), mesh.triangles.copy()
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for _ in range(draw(st.integers(0, 2))):
            vertices[draw(st.integers(0, 7)), draw(st.integers(0, 2))] = draw(COORDINATES)
        vertices = vertices * draw(SCALES) + draw(st.sampled_from([0.0, 0.0, 3.0, 1e8]))
    keep = np.ones(len(triangles), bool)
    keep[draw(st.lists(st.integers(0, 11), max_size=4))] = False
    triangles = triangles[keep]
    if draw(st.booleans()):
        triangles = np.concatenate([triangles, triangles[: draw(st.integers(0, 12))]])
    turned = draw(st.integers(0, 6))
    triangles[:turned] = triangles[:turned, ::-1]
    return vertices, triangles


def sampled_or_refused(arrays: tuple[np.ndarray, np.ndarray], dtype: Any, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dm.MeshWarning)
        try:
            mesh = dm.load_mesh(arrays)
            body = dm.sample(mesh, particles=30, dtype=dtype, method=method)
            fitted = dm.fit(mesh, BOX)
        except dm.DiffMPMError as error:
            assert "\n" not in str(error)
            return
    low, high = mesh.bounds
    spacing = (mesh.volume / 30) ** (1.0 / 3.0)
    # The solid of an open mesh extends beyond its box by a fraction of its size per layer of triangles.
    beyond = 0.0 if mesh.is_closed else float((high - low).max())
    slack = 3.0 * spacing + beyond + 1e-6 * np.abs(mesh.bounds).max()
    assert body.count == 30
    assert len(np.unique(body.x, axis=0)) == 30
    assert np.isfinite(body.x).all()
    assert (body.x >= low - slack).all()
    assert (body.x <= high + slack).all()
    assert np.isfinite(mesh.volume) and mesh.volume > 0.0
    assert np.isfinite(mesh.centroid).all()
    assert np.isfinite(mesh.area)
    np.testing.assert_allclose(float(body.volume.sum()), mesh.volume, rtol=1e-5)
    np.testing.assert_allclose(fitted.volume, BOX.volume, rtol=1e-6)


methods = st.sampled_from(["jittered", "lattice"])
dtypes = st.sampled_from([np.float32, np.float64])


@given(arrays=soups(), dtype=dtypes, method=methods)
def test_triangle_soups(arrays: tuple[np.ndarray, np.ndarray], dtype: Any, method: str) -> None:
    sampled_or_refused(arrays, dtype, method)


@given(arrays=dented(), dtype=dtypes, method=methods)
def test_dented_solids(arrays: tuple[np.ndarray, np.ndarray], dtype: Any, method: str) -> None:
    sampled_or_refused(arrays, dtype, method)
