# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A carried mesh follows motions with a known answer, and its report counts what it should."""

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.errors import ConfigError
from diffmpm.geometry.matching import assign
from diffmpm.surface import carry
from diffmpm.surface.carrying import singular_values, vertex_normals
from numpy.testing import assert_allclose, assert_array_equal

FRAMES = 6


@pytest.fixture(scope="module")
def ball():
    mesh = dm.load_mesh("sphere")
    body = dm.sample(mesh, particles=2000, seed=3)
    return mesh, np.asarray(body.x, np.float64)


def turned(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def test_rigid_motion_is_followed_exactly_enough(ball):
    """Affine maps reproduce it; only smoothing and the fitted surface, a tenth of a spacing, remain."""
    mesh, x = ball
    moves = [turned(0.1 * k) for k in range(FRAMES)]
    frames = [x @ R.T + [0.3 * k, 0.0, 0.0] for k, R in enumerate(moves)]
    for rest in (0, -1, 2):
        R, shift = moves[rest], np.array([0.3 * (rest % FRAMES), 0.0, 0.0])
        carried = carry(frames, mesh.vertices @ R.T + shift, mesh.triangles, rest=rest)
        for k, points in enumerate(carried.frames):
            expected = mesh.vertices @ moves[k].T + [0.3 * k, 0.0, 0.0]
            assert np.abs(points - expected).max() < 0.35 * carried.spacing
        report = carried.report()
        assert report.far_vertices == sum(report.stretched) == sum(report.collapsed) == sum(report.folded) == 0
        assert max(report.stretch) < 1.1


@pytest.mark.parametrize("rest", [0, -1])
def test_the_frame_at_rest_is_the_mesh_itself(ball, rest):
    mesh, x = ball
    frames = [x * [1.0, 1.0, 1.0 + 0.1 * k] for k in range(FRAMES)]
    vertices = mesh.vertices * [1.0, 1.0, 1.0 + 0.1 * (rest % FRAMES)]
    carried = carry(frames, vertices, mesh.triangles, rest=rest)
    assert_array_equal(carried.frames[rest], vertices)
    last = carried.frames[0 if rest else -1]  # the other end
    height = 1.0 if rest else 1.0 + 0.1 * (FRAMES - 1)
    assert np.ptp(last[:, 2]) / np.ptp(mesh.vertices[:, 2]) == pytest.approx(height, rel=0.04)
    steps = np.array([np.abs(b - a).max() for a, b in zip(carried.frames, carried.frames[1:], strict=False)])
    assert steps.max() < 3.0 * np.median(steps)  # no jump


def test_a_loop_closes(ball):
    """The body turns by 25 degrees and returns to its first state in another order: the mesh needs help."""
    mesh, x = ball
    count = 9
    frames = [x @ turned(np.radians(25.0 * k / (count - 1))).T for k in range(count)]
    stretch = [1.0 + 0.3 * np.sin(np.pi * k / (count - 1)) for k in range(count)]
    frames = [points * [1.0, 1.0, factor] for points, factor in zip(frames, stretch, strict=True)]
    frames[-1] = x[assign(frames[-1], x)]
    for rest in (0, -1):
        carried = carry(frames, mesh.vertices, mesh.triangles, rest=rest, loop=True)
        for end in (0, -1):
            assert_array_equal(carried.frames[end], mesh.vertices)
        steps = [np.abs(b - a).max() for a, b in zip(carried.frames, carried.frames[1:], strict=False)]
        assert max(steps) < 0.25 * np.ptp(x[:, 0])  # no jump at the end
        heights = [np.ptp(points[:, 2]) / np.ptp(mesh.vertices[:, 2]) for points in carried.frames]
        assert_allclose(heights, stretch, rtol=0.05)
        report = carried.report()
        assert sum(report.stretched) == sum(report.folded) == sum(report.crossing) == 0
    open_mesh = carry(frames, mesh.vertices, mesh.triangles, rest=0)
    assert np.abs(open_mesh.frames[-1] - mesh.vertices).max() > carried.spacing
    with pytest.raises(ConfigError, match="rest: expected the first or last frame of a loop, got 3"):
        carry(frames, mesh.vertices, mesh.triangles, rest=3, loop=True)


def test_coinciding_vertices_stay_together(ball):
    mesh, x = ball
    soup = mesh.vertices[mesh.triangles].reshape(-1, 3)
    frames = [x * [1.0 + 0.1 * k, 1.0, 1.0] for k in range(3)]
    carried = carry(frames, soup, np.arange(len(soup)).reshape(-1, 3), rest=0)
    whole = carry(frames, mesh.vertices, mesh.triangles, rest=0)
    for k in range(3):
        assert_allclose(carried.frames[k], whole.frames[k][mesh.triangles].reshape(-1, 3), atol=1e-9)
        assert_allclose(carried.normals(k), whole.normals(k)[mesh.triangles].reshape(-1, 3), atol=1e-9)


def test_parts_that_separate_are_reported(ball):
    """A torn body stretches the triangles across the gap, and nothing forms a needle beyond both halves."""
    mesh, x = ball
    size = np.ptp(x[:, 0])
    frames = [x + np.where(x[:, :1] > 0.0, 1.0, -1.0) * [0.25 * k * size, 0.0, 0.0] for k in range(FRAMES)]
    carried = carry(frames, mesh.vertices, mesh.triangles, rest=0)
    report = carried.report()
    assert report.stretched[0] == 0 and report.stretched[-1] > 0
    low, high = frames[-1].min(axis=0), frames[-1].max(axis=0)
    assert (carried.frames[-1] > low - carried.spacing).all() and (carried.frames[-1] < high + carried.spacing).all()


def test_vertices_without_a_particle_are_counted(ball):
    mesh, x = ball
    far = mesh.vertices.copy()
    far[7] *= 3.0
    carried = carry([x, x], far, mesh.triangles, rest=0)
    assert_array_equal(np.flatnonzero(carried.far), [7])
    assert carried.report().far_vertices == 1


def test_singular_values_are_those_of_the_linear_map():
    rng = np.random.default_rng(1)
    rest = rng.standard_normal((3, 3))
    A = rng.standard_normal((3, 3))
    edges = np.linalg.qr((rest[1:] - rest[0]).T)[0]  # basis of the plane of the triangle
    expected = np.linalg.svd(A @ edges, compute_uv=False)
    largest, smallest = singular_values(rest, rest @ A.T, np.array([[0, 1, 2]]))
    assert_allclose([largest[0], smallest[0]], expected, rtol=1e-9)


def test_a_fold_is_counted():
    points = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    normals = vertex_normals(points, np.array([[0, 1, 2], [0, 2, 3]]))
    assert_allclose(normals, np.broadcast_to([0.0, 0.0, 1.0], (4, 3)))


def test_bad_arguments_are_named(ball):
    mesh, x = ball
    with pytest.raises(ConfigError, match="frames: expected at least one, all with the same particles"):
        carry([x, x[:-1]], mesh.vertices, mesh.triangles)
    with pytest.raises(ConfigError, match="rest: expected the index of one of 1 frames, got 1"):
        carry([x], mesh.vertices, mesh.triangles, rest=1)
    with pytest.raises(ConfigError, match=r"triangles: expected integers of shape \(T, 3\), got float64"):
        carry([x], mesh.vertices, mesh.triangles * 1.0)
    with pytest.raises(ConfigError, match="triangles: expected indices below 3, got 0 to"):
        carry([x], mesh.vertices[:3], mesh.triangles)


def test_crossing_triangles_are_counted(ball):
    """Two balls that overlap at the end of a motion, as one mesh, and the same balls beside each other."""
    mesh, x = ball
    size = np.ptp(x[:, 0])
    along = np.array([size, 0.0, 0.0])
    vertices = np.concatenate([mesh.vertices, mesh.vertices + 1.5 * along])
    triangles = np.concatenate([mesh.triangles, mesh.triangles + len(mesh.vertices)])
    frames = [np.concatenate([x, x + (1.5 - 0.3 * k) * along]) for k in range(4)]
    report = carry(frames, vertices, triangles, rest=0).report()
    assert report.crossing[0] == report.crossing[1] == 0
    assert 0 < report.crossing[-1] < len(triangles) // 2
    # A mesh without welded vertices has the same crossing triangles.
    soup = vertices[triangles].reshape(-1, 3)
    again = carry(frames[:1], soup, np.arange(len(soup)).reshape(-1, 3), rest=0).report()
    assert again.crossing == [0]
