# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Arrays of any layout give the same result; invalid arrays raise a package error and never give NaN."""

from __future__ import annotations

import array as plain
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import export, losses
from diffmpm.geometry import Mesh
from diffmpm.morphing import TargetViews
from diffmpm.render import shade
from hypothesis import given
from hypothesis import strategies as st

N = 24
RNG = np.random.default_rng(5)
CONFIG = dm.SimConfig(dx=0.5, dt=1e-3, origin=(-4.0, -4.0, -4.0), dims=(17, 17, 17))
CAMERAS = [dm.Camera.look_at((0, -4, 0), (0, 0, 0), width=8, height=6) for _ in range(2)]
BODY = dm.Particles.create(RNG.uniform(-1, 1, (N, 3)), mass=1.0, volume=0.1, lam=10.0, mu=10.0)
ROLL = dm.Simulation(BODY, CONFIG).rollout(2, motion_gradient=True)
SURFACE = dm.gaussians(BODY.x, BODY.F, samples=12)
BOX = dm.shapes.make("box")
IMAGE = RNG.uniform(0.2, 0.8, (2, 6, 8))
COVARS = np.tile(0.1 * np.eye(3), (N, 1, 1))
RASTER: dict[str, Any] = {"covars": COVARS, "opacities": np.full(N, 0.5), "colors": RNG.random((N, 3))}


def near_eye() -> np.ndarray:
    return np.eye(3) + 0.05 * RNG.standard_normal((N, 3, 3))


def simulate(control: Any = None, **arrays: Any) -> tuple[Any, ...]:
    particles = dm.Particles.create(arrays.pop("x", BODY.x), **{**CONSTANTS, **arrays})
    roll = dm.Simulation(particles, CONFIG).rollout(2, control)
    return roll.x, roll.F


CONSTANTS: dict[str, Any] = {"mass": 1.0, "volume": 0.1, "lam": 10.0, "mu": 10.0}


def draw(**arrays: Any) -> tuple[Any, ...]:
    kwargs = {**RASTER, "cameras": CAMERAS, **arrays}
    if "viewmats" in kwargs or "Ks" in kwargs:
        kwargs |= {"viewmats": kwargs.get("viewmats", VIEWS), "Ks": kwargs.get("Ks", KS), "width": 8, "height": 6}
        kwargs["cameras"] = None
    image = dm.rasterize(kwargs.pop("means", BODY.x), **kwargs)
    return image.color, image.alpha, image.depth


VIEWS = np.stack([c.viewmat for c in CAMERAS])
KS = np.stack([c.K for c in CAMERAS])


def pulled_raster(**arrays: Any) -> tuple[Any, ...]:
    grads = dm.rasterize(BODY.x, **RASTER, cameras=CAMERAS).vjp(**arrays)
    return grads.means, grads.covars, grads.colors


def image_loss(loss: Any, **arrays: Any) -> tuple[Any, ...]:
    value = loss.evaluate(losses.Images(**{**IMAGES, **arrays}), losses.Images(**IMAGES))
    return (value.value, *value.adj.values())


IMAGES: dict[str, Any] = {
    "alpha": IMAGE,
    "depth": 4.0 * IMAGE,
    "color": np.stack([IMAGE] * 3, axis=-1),
    "covars": COVARS,
}


def split(**arrays: Any) -> tuple[Any, ...]:
    s = export.Splats.create(**{"means": BODY.x, "covars": COVARS, "colors": RASTER["colors"], **arrays})
    return s.means, s.scales, s.quats, s.colors


def lit(**arrays: Any) -> tuple[Any, ...]:
    kwargs = {
        "normals": BODY.x,
        "points": BODY.x,
        "albedo": RASTER["colors"],
        "eye": np.array([0.0, -9.0, 0.0]),
        **arrays,
    }
    return (shade(kwargs.pop("normals"), specular=0.2, **kwargs).color,)


# Call and arrays by name.
CALLS: dict[str, tuple[Callable[..., tuple[Any, ...]], dict[str, np.ndarray]]] = {
    "rollout": (simulate, {
        "x": BODY.x, "v": RNG.random((N, 3)), "C": RNG.random((N, 3, 3)), "F": near_eye(), "Fp": near_eye(),
        "mass": np.ones(N), "volume": np.full(N, 0.1), "lam": np.ones(N), "mu": np.ones(N),
        "control": 0.01 * RNG.random((2, N, 3, 3)),
    }),
    "rollout_vjp": (lambda **a: tuple(ROLL.vjp(**a, wrt="all").__dict__[k] for k in ("x", "v", "F", "mass")), {
        "adj_x": RNG.random((N, 3)), "adj_v": RNG.random((N, 3)), "adj_C": RNG.random((N, 3, 3)),
        "adj_F": RNG.random((N, 3, 3)), "adj_G": RNG.random((N, 3, 3)), "adj_grid_mass": RNG.random((17, 17, 17)),
    }),
    "grid_mass": (lambda x=BODY.x, mass=BODY.mass: (dm.grid_mass(x, mass, CONFIG),), {"x": BODY.x, "mass": BODY.mass}),
    "grid_mass_vjp": (
        lambda x=BODY.x, mass=BODY.mass, adj=None: dm.grid_mass_vjp(x, mass, CONFIG, ZEROS if adj is None else adj),
        {"x": BODY.x, "mass": BODY.mass, "adj": RNG.random((17, 17, 17))},
    ),
    "sample": (
        lambda vertices=BOX.vertices: (dm.sample((vertices, BOX.triangles), particles=20, dtype=np.float64).x,),
        {"vertices": BOX.vertices},
    ),
    "Mesh": (lambda vertices=BOX.vertices: (Mesh(vertices, BOX.triangles).vertices,), {"vertices": BOX.vertices}),
    "LogMass": (lambda target: (losses.LogMass(target).evaluate(ROLL).value,), {"target": RNG.random((17, 17, 17))}),
    "rasterize": (draw, {"means": BODY.x, **RASTER, "viewmats": VIEWS, "Ks": KS, "backgrounds": np.ones((2, 3))}),
    "rasterize_vjp": (pulled_raster, {
        "adj_color": RNG.random((2, 6, 8, 3)), "adj_alpha": IMAGE, "adj_depth": IMAGE, "adj_expected_depth": IMAGE,
    }),
    "gaussians": (lambda x=BODY.x, F=BODY.F: (
        (g := dm.gaussians(x, F, samples=12)).means, g.covars, g.normals, g.weights), {"x": BODY.x, "F": near_eye()}),
    "gaussians_vjp": (SURFACE.vjp, {
        "adj_means": RNG.random((12, 3)), "adj_covars": RNG.random((12, 3, 3)), "adj_normals": RNG.random((12, 3)),
        "adj_weights": RNG.random((12, 8)),
    }),
    "outer_particles": (lambda x: (dm.surface.outer_particles(x),), {"x": BODY.x}),
    "evaluate": (
        lambda x=BODY.x, target_x=BODY.x, F=BODY.F, x_start=BODY.x: tuple(
            dm.metrics.evaluate(x, target_x, F=F, x_start=x_start, spacing=0.5).values()
        ),
        {"x": BODY.x, "target_x": RNG.random((30, 3)), "F": near_eye(), "x_start": RNG.random((N, 3))},
    ),
    "chamfer": (lambda x=BODY.x, target_x=BODY.x: (dm.metrics.chamfer(x, target_x),), {
        "x": BODY.x, "target_x": RNG.random((30, 3))}),
    "outer_points": (lambda points: (dm.metrics.outer_points(points),), {"points": BODY.x}),
    "Splats": (split, {"means": BODY.x, "covars": COVARS, "colors": RASTER["colors"]}),
    "shade": (lit, {"normals": RNG.random((N, 3)), "points": RNG.random((N, 3)), "albedo": RASTER["colors"],
                    "eye": np.array([1.0, -9.0, 0.0])}),
    "Camera": (
        lambda viewmat=VIEWS[0], K=KS[0]: (dm.Camera(viewmat, K, 8, 6).position,), {"viewmat": VIEWS[0], "K": KS[0]}
    ),
    "look_at": (
        lambda eye=(0, -4, 0), up=(0, 0, 1): (dm.Camera.look_at(eye, (0, 0, 0), up, width=8, height=6).viewmat,),
        {"eye": np.array([0.0, -4.0, 1.0]), "up": np.array([0.0, 0.1, 1.0])},
    ),
    "project": (lambda points: CAMERAS[0].project(points), {"points": BODY.x}),
    "orbit": (lambda x: (dm.view.orbit(x).viewmat,), {"x": BODY.x}),
    "material_colors": (lambda x: (dm.view.material_colors(x),), {"x": BODY.x}),
    "TargetViews": (lambda alpha: (TargetViews(CAMERAS, alpha).alpha,), {"alpha": IMAGE}),
    **{
        type(loss).__name__: (lambda loss=loss, **a: image_loss(loss, **a), {n: IMAGES[n] for n in loss.needs})
        for loss in (
            losses.SilhouetteL1(), losses.SilhouetteL2(), losses.SilhouetteBCE(), losses.SilhouettePyramid(),
            losses.SilhouetteDistance(), losses.Depth(), losses.Color(), losses.SSIM(), losses.EdgeAlignment(),
            losses.CovarianceSpectrum(), losses.CovarianceSize(size=0.3),
        )
    },
}  # fmt: skip
ZEROS = np.zeros((17, 17, 17))


def misaligned(a: np.ndarray) -> np.ndarray:
    out = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    out[...] = a
    return out


def read_only(a: np.ndarray) -> np.ndarray:
    out = a.copy()
    out.flags.writeable = False
    return out


def strided(a: np.ndarray) -> np.ndarray:
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan, a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


SAME: dict[str, Callable[[np.ndarray], Any]] = {
    "fortran order": np.asfortranarray,
    "strided": strided,
    "negative strides": lambda a: a[::-1].copy()[::-1],
    "transposed": lambda a: a.T.copy().T,
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "read only": read_only,
    "misaligned": misaligned,
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a.tolist()),
    "subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
    "masked nowhere": lambda a: np.ma.masked_array(a),
    "memory view": lambda a: memoryview(a),
}


def poisoned(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def poison(a: np.ndarray) -> np.ndarray:
        out = a.copy()
        out.reshape(-1)[a.size // 2] = value
        return out

    return poison


BAD: dict[str, Callable[[np.ndarray], Any]] = {
    "nan": poisoned(np.nan),
    "infinite": poisoned(np.inf),
    "huge": poisoned(1e30),
    "overflowing": poisoned(1e308),
    "tiny": lambda a: a * 1e-300,
    "other precision": lambda a: a.astype(np.float32),
    "half": lambda a: a.astype(np.float16),
    "long double": lambda a: a.astype(np.longdouble),
    "integers": lambda a: np.ones(a.shape, np.int64),
    "flags": lambda a: np.ones(a.shape, bool),
    "zeros": np.zeros_like,
    "one more axis": lambda a: a[None],
    "one axis less": lambda a: a[0],
    "one less": lambda a: a[1:],
    "one column less": lambda a: a[..., 1:],
    "empty": lambda a: a[:0],
    "no columns": lambda a: a[..., :0],
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "flat": np.ravel,
    "complex": lambda a: a.astype(complex),
    "text": lambda a: a.astype(str),
    "objects": lambda a: a.astype(object),
    "ragged": lambda a: [[1.0], [1.0, 2.0]],
    "masked": lambda a: np.ma.masked_array(a, mask=np.ones(a.shape, bool)),
    "structured": lambda a: np.zeros(a.shape, [("x", "f8")]),
    "dates": lambda a: np.zeros(a.shape, "M8[s]"),
    "bytes": lambda a: a.tobytes(),
    "buffer": lambda a: plain.array("d", a.ravel().tolist()),
    "number": lambda a: 1.0,
    "word": lambda a: "all",
    "object": lambda a: object(),
}


def cases() -> Iterator[tuple[str, str]]:
    for name, (_, arrays) in CALLS.items():
        for argument in arrays:
            yield name, argument


def outputs(name: str, arrays: dict[str, Any]) -> list[np.ndarray]:
    return [np.asarray(out) for out in CALLS[name][0](**arrays) if out is not None]


@pytest.mark.parametrize(("name", "argument"), list(cases()))
@given(layout=st.sampled_from(sorted(SAME)))
def test_layouts_make_no_difference(name: str, argument: str, layout: str) -> None:
    _, arrays = CALLS[name]
    whole = arrays[argument]
    expected = outputs(name, {argument: whole.copy()})
    for ours, theirs in zip(outputs(name, {argument: SAME[layout](whole)}), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


@pytest.mark.parametrize(("name", "argument"), list(cases()))
@given(data=st.data())
def test_invalid_arrays_are_refused(name: str, argument: str, data: st.DataObject) -> None:
    _, arrays = CALLS[name]
    case = data.draw(st.sampled_from(sorted(BAD)))
    value = BAD[case](arrays[argument])
    try:
        with warnings.catch_warnings():
            if case == "overflowing":  # overflows to infinity, as in NumPy
                warnings.simplefilter("ignore", RuntimeWarning)
            results = outputs(name, {argument: value})
    except dm.DiffMPMError as error:
        assert "\n" not in str(error)
        return
    for out in results:
        assert np.isfinite(out).all() or (name, argument) in MAY_BE_INFINITE or case == "overflowing", case


MAY_BE_INFINITE = {("project", "points"), ("evaluate", "x")}
"""Points in the camera plane have no image position, and particles at one point have no surface."""
