# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The surface of a body: where the samples lie, how evenly, what they do over frames, and what is refused."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import _core
from diffmpm.errors import ConfigError
from scipy.spatial import cKDTree

ARRAYS = ("means", "covars", "normals", "weights", "parents")


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    before = dm.get_num_threads()
    yield
    dm.set_num_threads(before)


def rotation(rng: np.random.Generator) -> np.ndarray:
    q, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return q * np.linalg.det(q)


def small(name: str = "torus", count: int = 2000, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    particles = dm.sample(name, particles=count, dtype=dtype)
    return particles.x, particles.F


def surface_points(mesh: dm.Mesh, count: int) -> np.ndarray:
    trimesh = pytest.importorskip("trimesh")
    return np.asarray(trimesh.sample.sample_surface(trimesh.Trimesh(mesh.vertices, mesh.triangles), count, seed=0)[0])


def check_quality(mesh: dm.Mesh, method: Any) -> None:
    """99 % of the samples within half a spacing of the solid's boundary; no hole of 2 spacings.

    Near means: a point of the mesh is that near, or the segment of half a spacing inwards and outwards along the normal
    goes from inside the solid to outside (an open mesh has no triangles where its solid has a boundary all the same).
    """
    particles = dm.sample(mesh, particles=20_000, method=method)
    h = (mesh.volume / 20_000) ** (1 / 3)
    g = dm.gaussians(particles.x, particles.F)
    assert g.count == 50_000
    y, n = g.means.astype(np.float64), g.normals.astype(np.float64)
    true = surface_points(mesh, 300_000)
    near = cKDTree(true).query(y)[0] < 0.5 * h
    inner = _core.points_inside(mesh.vertices, mesh.triangles, y - 0.5 * h * n).astype(bool)
    outer = _core.points_inside(mesh.vertices, mesh.triangles, y + 0.5 * h * n).astype(bool)
    assert np.mean(near | (inner & ~outer)) >= 0.99
    assert cKDTree(y).query(true)[0].max() < 2.0 * h
    assert g.binding.spacing == pytest.approx(h, rel=0.02)


@pytest.mark.parametrize("method", ["jittered", "lattice"])
def test_ball(method: str) -> None:
    check_quality(dm.shapes.make("sphere"), method)


@pytest.mark.parametrize("method", ["jittered", "lattice"])
@pytest.mark.parametrize("name", ["bunny", "spot", "bob"])
def test_meshes(name: str, method: str, shared: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dm.MeshWarning)
        check_quality(dm.load_mesh(shared / "meshes" / f"{name}.obj"), method)


@pytest.mark.parametrize("method", ["jittered", "lattice"])
def test_ball_is_met_without_bias(method: Any) -> None:
    mesh = dm.shapes.make("sphere")
    radius = np.linalg.norm(mesh.vertices, axis=1).max()
    particles = dm.sample(mesh, particles=20_000, method=method)
    g = dm.gaussians(particles.x, particles.F)
    h = g.binding.spacing
    r = np.linalg.norm(g.means, axis=1)
    assert abs(r.mean() - radius) < 0.05 * h  # measured 0.03
    assert (r - radius).std() < 0.2 * h  # measured 0.14: the particles' places are random
    assert np.einsum("mr,mr->m", g.normals, g.means / r[:, None]).min() > 0.9


@pytest.mark.parametrize("method", ["jittered", "lattice"])
def test_outer_particles_are_one_layer(method: Any) -> None:
    mesh = dm.shapes.make("sphere")
    radius = np.linalg.norm(mesh.vertices, axis=1).max()
    x = dm.sample(mesh, particles=20_000, method=method, dtype=np.float64).x
    h = (mesh.volume / 20_000) ** (1 / 3)
    outer = dm.surface.outer_particles(x)
    depth = (radius - np.linalg.norm(x, axis=1)) / h
    assert outer.dtype == bool
    assert outer[depth < 0.5].mean() > 0.99
    assert not outer[depth > 2.0].any()
    assert not dm.surface.outer_particles(x[depth > 6], config=dm.SurfaceConfig(spacing=h)).all()


def test_a_binding_knows_the_outer_particles() -> None:
    x, F = small()
    config = dm.SurfaceConfig(kernel_radius=2.5)
    binding = dm.surface.bind(x, F, samples=300, config=config)
    np.testing.assert_array_equal(binding.outer, dm.surface.outer_particles(x, config=config))
    moved = x * [1.5, 1.0, 0.8]
    np.testing.assert_array_equal(binding.update(moved, F).outer, dm.surface.outer_particles(moved, config=config))


def test_relaxation_evens_out_the_samples() -> None:
    x, F = small("sphere", 5000)
    spread = []
    for rounds in (0, 2, 6, 20):
        y = dm.gaussians(x, F, samples=8000, config=dm.SurfaceConfig(relaxation=rounds)).means
        nearest = cKDTree(y).query(y, k=2)[0][:, 1]
        spread.append(nearest.std() / nearest.mean())
    assert spread == sorted(spread, reverse=True)
    assert spread[0] > 0.4  # as of random points: 0.52
    assert spread[2] < 0.15
    # The same where F stretches the surface: even in the frame that F came from.
    A = np.diag([1.6, 1.0, 0.7])
    g = dm.gaussians(x @ A.T, np.broadcast_to(A, F.shape).copy(), samples=8000)
    y = g.means @ np.linalg.inv(A).T
    nearest = cKDTree(y).query(y, k=2)[0][:, 1]
    assert nearest.std() / nearest.mean() < 0.2


def test_axes_of_an_ellipsoid(rng: np.random.Generator) -> None:
    x, F = small("sphere", 5000)
    A = rotation(rng) @ np.diag([1.7, 1.1, 0.6]) @ rotation(rng)
    g = dm.gaussians(x @ A.T, np.broadcast_to(A, F.shape).copy(), samples=5000)
    expected = A @ A.T
    ratio = g.covars / np.trace(g.covars, axis1=1, axis2=2)[:, None, None]
    np.testing.assert_allclose(ratio, np.broadcast_to(expected / np.trace(expected), ratio.shape), atol=1e-9)
    # The ellipsoid's normal at a point is along A^-T A^-1 y; the mean is on it, but for the particles' noise.
    back = np.linalg.inv(A)
    normal = g.means @ (back.T @ back)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    assert np.quantile(np.einsum("mr,mr->m", normal, g.normals), 0.01) > 0.95
    # And F alone deforms what a binding at rest carries: cov = F Sigma0 F^T.
    binding = dm.surface.bind(x, F, samples=2000, config=dm.SurfaceConfig(flatness=0.2))
    rest, deformed = binding.evaluate(x, F), binding.evaluate(x @ A.T, np.broadcast_to(A, F.shape).copy())
    np.testing.assert_allclose(deformed.covars, A @ rest.covars @ A.T, rtol=1e-9, atol=1e-15)
    widths = np.linalg.eigvalsh(rest.covars)
    np.testing.assert_allclose(np.sqrt(widths[:, 0] / widths[:, 2]), 0.2, rtol=1e-6)
    np.testing.assert_allclose(
        np.einsum("mrs,ms->mr", rest.covars, rest.normals) / widths[:, :1], rest.normals, atol=1e-6
    )


@pytest.mark.parametrize("case", ["rigid", "affine"])
def test_motions_are_reproduced(case: str, rng: np.random.Generator) -> None:
    x, F = small()
    F = F + 0.2 * rng.standard_normal(F.shape)
    A = rotation(rng) if case == "rigid" else np.eye(3) + 0.3 * rng.standard_normal((3, 3))
    b = rng.standard_normal(3)
    binding = dm.surface.bind(x, F, samples=1000)
    before, after = binding.evaluate(x, F), binding.evaluate(x @ A.T + b, A @ F)
    np.testing.assert_allclose(after.means, before.means @ A.T + b, atol=1e-12)
    if case == "rigid":
        np.testing.assert_allclose(after.covars, A @ before.covars @ A.T, atol=1e-15)
        np.testing.assert_allclose(after.normals, before.normals @ A.T, atol=1e-12)
        np.testing.assert_allclose(after.weights, before.weights, atol=1e-12)


def test_stretch_is_limited() -> None:
    x, F = small("sphere", 3000)
    A = np.diag([30.0, 1.0, 1.0])
    for limit in (1.0, 4.0):
        config = dm.SurfaceConfig(stretch_limit=limit)
        widths = np.linalg.eigvalsh(dm.gaussians(x, A @ F, samples=2000, config=config).covars)
        assert np.sqrt(widths[:, 2] / widths[:, 0]).max() < limit * (1 + 1e-9)


def wave(x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
    """A body that bends and twists, and the gradient of that motion."""
    y = x.copy()
    y[:, 0] += 0.3 * t * np.sin(2 * x[:, 1])
    y[:, 2] += 0.2 * t * x[:, 0] ** 2
    F = np.broadcast_to(np.eye(3), (len(x), 3, 3)).copy()
    F[:, 0, 1] = 0.6 * t * np.cos(2 * x[:, 1])
    F[:, 2, 0] = 0.4 * t * x[:, 0]
    return y, F


def test_video_with_one_binding_does_not_flicker() -> None:
    """No sample moves farther between two frames than its particles carry it."""
    x, F = small("torus", 3000)
    binding = dm.surface.bind(x, F, samples=4000)
    reach = np.linalg.norm(binding.offsets, axis=2).max()
    frames = [wave(x, t) for t in np.linspace(0, 1, 12)]
    images = [binding.evaluate(*frame) for frame in frames]
    for (x0, F0), (x1, F1), a, b in zip(frames, frames[1:], images, images[1:], strict=False):
        moved = np.linalg.norm(x1 - x0, axis=1).max() + reach * np.linalg.norm(F1 - F0, ord=2, axis=(1, 2)).max()
        shift = np.linalg.norm(b.means - a.means, axis=1)
        # Weights may change as well; they move a sample by no more than its parents disagree, here 2 % of the spacing.
        assert shift.max() <= moved + 0.02 * binding.spacing
        np.testing.assert_array_equal(a.parents, b.parents)
        assert np.einsum("mr,mr->m", a.normals, b.normals).min() > 0.95


def test_track_keeps_samples_and_stays_closed() -> None:
    x = small("torus", 3000)[0]
    frames = [wave(x, t) for t in np.linspace(0, 1, 6)]
    previous = None
    for (y, G), g in zip(frames, dm.surface.track(frames, samples=4000), strict=True):
        h = g.binding.spacing
        outer = dm.surface.outer_particles(y)
        assert cKDTree(g.means).query(y[outer])[0].max() < 2 * h
        assert cKDTree(y).query(g.means)[0].max() < 2 * h
        if previous is not None:
            carried = previous.binding.evaluate(y, G).means
            kept = g.binding.kept
            assert kept.mean() > 0.95
            shift = np.linalg.norm(g.means - carried, axis=1)[kept]
            assert np.median(shift) < 0.1 * h
            assert shift.max() < 1.5 * h
        else:
            assert not g.binding.kept.any()
        previous = g


def test_inside_that_becomes_surface_is_covered() -> None:
    """A body pulled in two: one binding would leave the cut open, an update closes it."""
    x, F = small("box", 4000)
    apart = x + np.where(x[:, :1] > 0, 1.0, 0.0) * [2.0, 0.0, 0.0]
    cut = np.abs(x[:, 0]) < 0.05
    binding = dm.surface.bind(x, F, samples=4000)
    stale, fresh = binding.evaluate(apart, F), binding.update(apart, F).evaluate(apart, F)
    assert cKDTree(stale.means).query(apart[cut])[0].max() > 4 * binding.spacing
    assert cKDTree(fresh.means).query(apart[cut])[0].max() < 2 * binding.spacing


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_thread_count(dtype: Any, rng: np.random.Generator) -> None:
    x, F = small("torus", 3000, dtype)
    y, G = (a.astype(dtype) for a in wave(x, 0.3))
    first: list[np.ndarray] | None = None
    for threads in (1, 2, 3, 8):
        dm.set_num_threads(threads)
        binding = dm.surface.bind(x, F, samples=3000, seed=3).update(y, G)
        g = binding.evaluate(y, G)
        arrays = [getattr(g, name) for name in ARRAYS] + list(
            g.vjp(g.means, g.covars, g.normals, wrt=("x", "F", "sigma0"))
        )
        first = first or arrays
        for a, b in zip(first, arrays, strict=True):
            assert a.tobytes() == b.tobytes()


def test_seed_decides_and_nothing_else() -> None:
    x, F = small()
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tobytes()  # type: ignore[index,union-attr] # noqa: NPY002
    first, second = (dm.gaussians(x, F, samples=700, seed=4) for _ in range(2))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.means, dm.gaussians(x, F, samples=700, seed=5).means)
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[index,union-attr] # noqa: NPY002


def test_shapes_dtypes_and_inputs() -> None:
    x, F = small(dtype=np.float32)
    copies = x.copy(), F.copy()
    x.flags.writeable = F.flags.writeable = False
    g = dm.gaussians(x, F, samples=33, config=dm.SurfaceConfig(parents=5))
    shapes = {"means": (33, 3), "covars": (33, 3, 3), "normals": (33, 3), "weights": (33, 5), "parents": (33, 5)}
    for name, shape in shapes.items():
        assert getattr(g, name).shape == shape
        assert getattr(g, name).dtype == (np.int32 if name == "parents" else np.float32)
    adj_x, adj_F = g.vjp(adj_means=np.ones((33, 3), np.float32))
    assert (adj_x.shape, adj_F.shape) == (x.shape, F.shape)
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(F, copies[1])
    assert dm.gaussians([[0.0, 0, 0], [1, 0, 0]], np.stack([np.eye(3)] * 2), samples=4).parents.shape == (4, 2)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_few_particles(count: int, rng: np.random.Generator) -> None:
    x = rng.uniform(0, 1, (count, 3))
    F = np.broadcast_to(np.eye(3), (count, 3, 3)).copy()
    g = dm.gaussians(x, F, samples=50, config=dm.SurfaceConfig(spacing=0.5))
    assert np.isfinite(g.means).all() and np.isfinite(g.covars).all()
    assert cKDTree(x).query(g.means)[0].max() < 1.0


def test_strays_make_no_floaters(rng: np.random.Generator) -> None:
    x, F = small("sphere", 3000)
    far = np.array([[30.0, 0, 0], [0, 1e6, 0]])
    g = dm.gaussians(np.concatenate([x, far]), np.concatenate([F, F[:2]]), samples=2000)
    assert np.linalg.norm(g.means, axis=1).max() < 1.2 * np.linalg.norm(x, axis=1).max()


def test_options_mirror_the_core() -> None:
    native = {n for n in dir(_core.SurfaceParams) if not n.startswith("_")}
    assert native == {f.name for f in fields(dm.SurfaceConfig)} - {"sigma0"}
    params, config = _core.SurfaceParams(), dm.SurfaceConfig()
    for name in native:
        assert getattr(params, name) == (getattr(config, name) or 0.0), name


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("sigma0", 0.0, "sigma0: expected a finite number > 0, got 0.0"),
        ("flatness", 1.5, "flatness: expected a finite number > 0 and <= 1, got 1.5"),
        ("level", 1.0, "level: expected a finite number > 0 and < 1, got 1.0"),
        ("spacing", -1.0, "spacing: expected a finite number > 0, got -1.0"),
        ("kernel_radius", 1.0, "kernel_radius: expected a finite number from 1.5 to 6, got 1.0"),
        ("smoothing", 9.0, "smoothing: expected a finite number from 0 to 8, got 9.0"),
        ("weight_radius", "wide", "weight_radius: expected a finite number from 1 to 8, got 'wide'"),
        ("stretch_limit", 0.5, "stretch_limit: expected a finite number from 1 to 1000, got 0.5"),
        ("parents", 33, "parents: expected an integer from 1 to 32, got 33"),
        ("relaxation", 1.5, "relaxation: expected an integer from 0 to 200, got 1.5"),
    ],
)
def test_options_out_of_range(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match="^" + message.replace(".", r"\.")):
        dm.SurfaceConfig(**{field: value})


def test_unknown_option() -> None:
    with pytest.raises(ConfigError, match="colour: expected a field of SurfaceConfig"):
        dm.SurfaceConfig().replace(colour=1)


def test_wrong_arguments() -> None:
    x, F = small(count=300)
    cases: list[tuple[str, Any]] = [
        (r"x: expected shape \(N, 3\), got \(3, 300\); pass x\.T\.copy", lambda: dm.gaussians(x.T, F)),
        ("x: expected at least one point", lambda: dm.gaussians(x[:0], F[:0])),
        (r"F: expected shape \(300, 3, 3\)", lambda: dm.gaussians(x, F[:5])),
        ("F: expected float64, got float32", lambda: dm.gaussians(x, F.astype(np.float32))),
        ("x: expected finite values", lambda: dm.gaussians(x * np.nan, F)),
        ("samples: expected an integer from 1", lambda: dm.gaussians(x, F, samples=0)),
        ("seed: expected an integer from 0", lambda: dm.gaussians(x, F, seed=-1)),
        ("at least two particles apart from each other", lambda: dm.gaussians(x[:1], F[:1])),
        ("at least two particles apart from each other", lambda: dm.surface.outer_particles(np.zeros((20, 3)))),
    ]
    for message, call in cases:
        with pytest.raises(ConfigError, match=message):
            call()


def test_wrong_arguments_of_a_binding() -> None:
    x, F = small(count=300)
    binding = dm.surface.bind(x, F, samples=20)
    g = binding.evaluate(x, F)
    with pytest.raises(ConfigError, match="x: expected the 300 particles of the binding, got 10; bind them first"):
        binding.evaluate(x[:10], F[:10])
    with pytest.raises(ConfigError, match="sigma0: expected a finite number > 0, got -1"):
        binding.evaluate(x, F, sigma0=-1)
    with pytest.raises(ConfigError, match="wrt: expected names from x, F, sigma0, got 'v'"):
        g.vjp(wrt=("v",))
    with pytest.raises(ConfigError, match=r"adj_means: expected shape \(20, 3\), got \(3, 20\); pass adj_means\.T"):
        g.vjp(adj_means=np.ones((3, 20)))


def test_a_crumb_beside_the_body_is_covered() -> None:
    """Its samples are alone on their patches of the smoothing, where there is nothing to fit."""
    x, _ = small("sphere", 4000, np.float32)
    crumb = np.random.default_rng(6).normal(loc=(3.0, 0.0, 0.0), scale=0.03, size=(6, 3))
    both = np.concatenate([x, crumb.astype(np.float32)])
    F = np.broadcast_to(np.eye(3, dtype=np.float32), (len(both), 3, 3)).copy()
    gaussians = dm.surface.gaussians(both, F, samples=60_000, config=dm.SurfaceConfig(smoothing=6.0))
    assert np.isfinite(gaussians.means).all() and np.isfinite(gaussians.covars).all()
    assert (gaussians.means[:, 0] > 2.0).any()


def test_a_native_binding_is_checked_and_read_only() -> None:
    body = dm.sample("sphere", particles=100)
    binding = dm.surface.bind(body.x, body.F, samples=30)
    with pytest.raises(ValueError, match="read-only"):
        binding.parents[:] = 2**30
    for parents, message in (
        (binding.parents + 10**6, "parents: expected indices from 0 to"),
        (-binding.parents - 1, "parents: expected indices from 0 to"),
        (binding.parents[:3], "offsets: expected shape"),
        (binding.parents.astype(np.float32), "parents: expected integers"),
        (binding.parents[:, :0], "parents: expected integers"),
        ("none", "parents: expected integers"),
    ):
        with pytest.raises(dm.ConfigError, match=message):
            dataclasses.replace(binding, parents=parents)
    with pytest.raises(dm.ConfigError, match="parents: expected indices from 0 to"):
        dataclasses.replace(binding, particles=5, outer=binding.outer[:5])
    names = ("parents", "offsets", "supports", "axes", "normals", "kept")
    half = dataclasses.replace(binding, **{name: getattr(binding, name)[::2] for name in names})
    for name in ARRAYS:
        half_rows, all_rows = (getattr(b.evaluate(body.x, body.F), name) for b in (half, binding))
        assert np.array_equal(half_rows, all_rows[::2]), name
    mine = binding.offsets * 2
    other = dataclasses.replace(binding, offsets=mine)
    mine[:] = 0  # the binding has its own
    assert not np.array_equal(other.evaluate(body.x, body.F).means, binding.evaluate(body.x, body.F).means)
    assert np.array_equal(other.offsets, 2 * binding.offsets)


@pytest.mark.parametrize("name", ["x", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_adjoint_of_values_that_were_overwritten_is_refused(dtype: Any, name: str, rng: Any) -> None:
    """The buffer of one frame is used for the next, and the adjoint of the first frame runs after that."""
    body = dm.sample("sphere", particles=200, dtype=dtype)
    state = {"x": body.x.copy(), "F": body.F.copy()}
    gaussians = dm.surface.bind(**state, samples=30).evaluate(**state)
    adj = rng.standard_normal(gaussians.covars.shape).astype(dtype)
    before = gaussians.vjp(adj_covars=adj)
    for change in (lambda a: a.__imul__(3), lambda a: a.__imul__(-1), lambda a: a.fill(0)):
        kept = state[name].copy()
        change(state[name])
        with pytest.raises(dm.ConfigError, match=f"{name}: expected the values that the Gaussians were computed from"):
            gaussians.vjp(adj_covars=adj)
        state[name][:] = kept
    for first, again in zip(before, gaussians.vjp(adj_covars=adj), strict=True):
        assert np.array_equal(first, again)


@pytest.mark.parametrize("bad", [2**30, -1, -(2**31), 500])
def test_the_core_checks_parents_itself(bad: int) -> None:
    body = dm.sample("box", particles=500, dtype=np.float64)
    binding = dm.surface.bind(body.x, body.F, samples=300)
    rest = (binding.offsets, binding.supports, binding.axes, binding.normals)
    bound = lambda parents: _core.BoundSurface64(parents, *rest, 500, -1)  # noqa: E731
    box = dm.shapes.make("box")
    assert not _core.mesh_topology(box.vertices, box.triangles[1:])[0].flags.writeable
    parents = binding.parents.copy()
    parents[299, 1] = bad
    adj = np.ones((300, 3))
    with pytest.raises(dm.ConfigError, match=rf"parents: expected indices from 0 to 499, got {bad}; bind the samples"):
        bound(parents).evaluate(body.x, body.F, 0.5)
    with pytest.raises(dm.ConfigError, match="parents: expected indices"):
        bound(parents).vjp(body.x, body.F, 0.5, adj, None, None, None)
    with pytest.raises(dm.ConfigError, match="parents: expected as many rows"):
        bound(parents[:5].copy())
    with pytest.raises(dm.ConfigError, match="x: expected the particles of the binding"):
        bound(binding.parents).evaluate(body.x[1:].copy(), body.F, 0.5)
