# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Any value of any field either works or raises a package error that names the field."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm import optimize
from diffmpm.losses import image, structure
from diffmpm.morphing import run_morph
from diffmpm.render import DirectionalLight, PointLight
from diffmpm.view import RenderConfig, render_body
from diffmpm.view import orbit as orbit_of
from hypothesis import example, given
from hypothesis import strategies as st

finite = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.one_of(
    st.sampled_from([0, 1, -1, 2, 7, 0.0, -0.0, 0.5, 1.0, 1e-300, 1e300, 5e-324, math.nan, math.inf, -math.inf]),
    st.integers(-3, 40),
    st.integers(-(1 << 200), 1 << 200),
    st.just(10**400),
    st.floats(),
    st.floats(0.0, 1.0),
    st.booleans(),
    st.floats(width=32).map(np.float32),
    st.integers(-5, 300).map(np.int64),
    st.integers(0, 200).map(np.uint8),
    finite.map(np.longdouble),
)
NAMES = (
    "sphere",
    "cubic",
    "quadratic",
    "x",
    "z",
    "material",
    "#ff8800",
    "G",
    "keep",
    "slip",
    "neo_hookean",
    "",
    "lbfgs",
)
SHARES = st.one_of(
    st.floats(0.0, 1.0), st.floats(1e-6, 1e6), st.sampled_from([5e-324, 1e-300, 1e-12, 1e12, 1e38, 1.7e308])
)
CHOICES = (
    "adam", "gradient_descent", "lbfgs", "joint", "layered", "log_mass", "squared_mass", "cubic", "quadratic",
    "fixed_corotated", "neo_hookean", "slip", "sticky", "separate", "none", "float64", "x", "y", "clay",
)  # fmt: skip
PLAUSIBLE = {bool: st.booleans(), int: st.integers(0, 5), float: SHARES, str: st.sampled_from(CHOICES)}


def plausible(make: Any, field: str) -> Any:
    """Return a strategy of values that the field is likely to accept."""
    default = next(f.default for f in dataclasses.fields(make) if f.name == field)
    return PLAUSIBLE.get(type(default), SHARES)


ANYTHING = st.one_of(
    NUMBERS,
    st.none(),
    st.sampled_from(NAMES),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.lists(NUMBERS, max_size=4),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.lists(NUMBERS, min_size=3, max_size=3).map(lambda v: np.array(v, dtype=object)),
    st.lists(st.floats(width=32), min_size=3, max_size=3).map(lambda v: np.array(v, np.float32)),
    st.sampled_from([
        np.array(3.0), np.zeros((0, 3)), np.zeros((2, 2)), {}, {"dx": 1}, set(), object(), int, 1j, Decimal("0.5"),
        Fraction(1, 2), [[1, 2], [3]], range(3), np.array(["a", "b"]), np.datetime64("2020-01-01"), b"abc", (), len,
    ]),
)  # fmt: skip


def orbit(**options: Any) -> list[dm.Camera]:
    return dm.Camera.orbit(**{"radius": 3.0, "count": 2, "width": 8, "height": 6, **options})


def look_at(**options: Any) -> dm.Camera:
    return dm.Camera.look_at(**{"eye": (0, -4, 0), "target": (0, 0, 0), "width": 8, "height": 6, **options})


def intrinsics(**options: Any) -> dm.Camera:
    return dm.Camera.from_intrinsics(**{"viewmat": np.eye(4), "width": 8, "height": 6, "fov": 30.0, **options})


MADE: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "SimConfig": (dm.SimConfig, {"dx": 0.5, "dt": 1e-3}),
    "HalfSpace": (dm.HalfSpace, {"point": (0, 0, 0), "normal": (0, 0, 1)}),
    "Sphere": (dm.Sphere, {"center": (0, 0, 0), "radius": 1.0}),
    "SurfaceConfig": (dm.SurfaceConfig, {}),
    "MorphConfig": (dm.MorphConfig, {}),
    "RenderConfig": (RenderConfig, {}),
    "RenderGuidance": (dm.RenderGuidance, {}),
    "WeightSchedule": (image.WeightSchedule, {}),
    "Depth": (image.Depth, {}),
    "SilhouettePyramid": (image.SilhouettePyramid, {}),
    "SSIM": (structure.SSIM, {}),
    "CovarianceSize": (structure.CovarianceSize, {"size": 1.0}),
    "OptInput": (dm.OptInput, {}),
    "DirectionalLight": (DirectionalLight, {"direction": (0, 0, 1)}),
    "PointLight": (PointLight, {"position": (0, 0, 1)}),
    "look_at": (look_at, {"up": (0, 0, 1), "fov": 30.0, "fx": None, "fy": None, "cx": None, "cy": None}),
    "from_intrinsics": (intrinsics, {"fx": None, "fy": None, "cx": None, "cy": None}),
    "orbit": (orbit, {"target": (0, 0, 0), "elevations": 0.0, "up": (0, 0, 1), "start": 0.0, "fov": 30.0}),
    "lame_parameters": (dm.lame_parameters, {"E": 1.0, "nu": 0.3}),
    "Adam": (optimize.Adam, {}),
    "GradientDescent": (optimize.GradientDescent, {}),
    "LBFGS": (optimize.LBFGS, {}),
    "LogMass": (lambda **options: dm.losses.LogMass(np.ones((8, 8, 8)), **options), {"m_ref": 1.0, "weight": 1.0}),
    "Kinetic": (dm.losses.Kinetic, {"window": False, "weight": 1.0}),
}


def fields_of(name: str) -> list[str]:
    make, base = MADE[name]
    if dataclasses.is_dataclass(make):
        return [field.name for field in dataclasses.fields(make) if field.init]
    if inspect.isclass(make):
        return [p for p in inspect.signature(make).parameters if p != "self"]
    return list(base) + (["width", "height"] if name in ("look_at", "from_intrinsics", "orbit") else [])


def make_or_refuse(name: str, changes: dict[str, Any]) -> Any:
    """Return the configuration, or None if it was refused with a proper error."""
    make, base = MADE[name]
    try:
        return make(**{**base, **changes})
    except dm.DiffMPMError as error:
        assert str(error).count("\n") == 0 or any("\n" in repr(v) for v in changes.values()), error
        return None


@pytest.mark.parametrize("name", MADE)
@given(data=st.data())
def test_every_field_accepts_or_refuses_every_value(name: str, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(fields_of(name)), min_size=1, max_size=3, unique=True))
    make_or_refuse(name, {field: data.draw(ANYTHING, label=field) for field in names})


def body() -> dm.Particles:
    x = np.random.default_rng(1).uniform(-1.0, 1.0, (30, 3))
    return dm.Particles.create(x, mass=1.0, volume=0.1, lam=10.0, mu=10.0)


BODY = body()


@given(data=st.data())
@example(data=None)
def test_simulations_of_accepted_options_run_or_fail_clearly(data: Any) -> None:
    changes = {"dx": 1e-320}
    if data is not None:
        names = data.draw(st.lists(st.sampled_from(fields_of("SimConfig")), min_size=1, max_size=4, unique=True))
        changes = {field: data.draw(plausible(dm.SimConfig, field), label=field) for field in names}
    config = make_or_refuse("SimConfig", changes)
    if config is None:
        return
    try:
        roll = dm.Simulation(BODY, config).rollout(3)
        grads = roll.vjp(adj_x=np.ones((30, 3)), wrt="all")
    except dm.DiffMPMError:
        return
    for array in (roll.x, roll.v, roll.F, grads.x, grads.F):
        assert np.isfinite(array).all()


SMALL = {"particles": 60, "windows": 1, "steps": 3, "iterations": 1, "passes": 1, "trials": 3, "released_steps": 0}


@given(data=st.data())
def test_morphs_of_accepted_options_run_or_fail_clearly(data: st.DataObject) -> None:
    rest = [field for field in fields_of("MorphConfig") if field not in SMALL]
    names = data.draw(st.lists(st.sampled_from(rest), min_size=1, max_size=2, unique=True))
    config = make_or_refuse(
        "MorphConfig", {**SMALL, **{f: data.draw(plausible(dm.MorphConfig, f), label=f) for f in names}}
    )
    if config is None:
        return
    try:
        result = run_morph("sphere", "box", config.replace(**({} if "cells" in names else {"cell_particles": 3.0})))
    except dm.DiffMPMError:
        return
    for array in (result.x, result.F, result.G):
        assert np.isfinite(array).all()
    assert all(np.isfinite(row["loss"]) for row in result.history if "loss" in row)


@given(data=st.data())
def test_images_of_accepted_options_are_drawn_or_fail_clearly(data: st.DataObject) -> None:
    rest = [field for field in fields_of("RenderConfig") if field not in ("size", "samples", "supersample")]
    names = data.draw(st.lists(st.sampled_from(rest), min_size=1, max_size=2, unique=True))
    config = make_or_refuse("RenderConfig", {f: data.draw(plausible(RenderConfig, f), label=f) for f in names})
    if config is None:
        return
    try:
        options = config.replace(size=12, samples=40, supersample=1)
        view = {name: getattr(options, name) for name in ("size", "azimuth", "elevation", "up", "fov")}
        picture = render_body(BODY.x, orbit_of(BODY.x, **view), config=options)
    except dm.DiffMPMError:
        return
    assert picture.shape == (12, 12, 3)


@given(data=st.data())
def test_counts_and_seeds_accept_or_refuse_every_value(data: st.DataObject) -> None:
    value = data.draw(ANYTHING)
    small = not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 50
    calls: list[Callable[[], object]] = [
        lambda: dm.sample("box", particles=20, seed=value),
        lambda: dm.sample("box", particles=20, density=value),
        lambda: dm.sample("box", particles=20, method=value),
        lambda: dm.sample("box", particles=20, dtype=value),
        lambda: dm.gaussians(BODY.x, BODY.F, samples=10, seed=value),
        lambda: dm.Simulation(BODY, dm.SimConfig(dx=0.5, dt=1e-3)).rollout(2, control_stride=value),
        lambda: dm.Simulation(BODY, dm.SimConfig(dx=0.5, dt=1e-3)).rollout(2, memory_budget=value),
        lambda: dm.Simulation(BODY, dm.SimConfig(dx=0.5, dt=1e-3)).rollout(2).state(value),
        lambda: dm.Simulation(BODY, dm.SimConfig(dx=0.5, dt=1e-3)).rollout(2).frames_x(value),
        lambda: dm.Simulation(BODY, dm.SimConfig(dx=0.5, dt=1e-3)).rollout(2).vjp(wrt=value),
        lambda: dm.losses.Kinetic().scaled(value),
        lambda: dm.metrics.evaluate(BODY.x, BODY.x, spacing=value),
        lambda: dm.Mesh(*BOX, name="box").transformed(value),
        lambda: dm.Mesh(*BOX, name="box").transformed(1.0, value),
        lambda: dm.load_mesh(value),
        lambda: dm.morph("sphere", "box", value),
        lambda: dm.shapes.make(value),
    ]
    if small:
        calls += [
            lambda: dm.sample("box", particles=value),
            lambda: dm.gaussians(BODY.x, BODY.F, samples=value),
            lambda: dm.Simulation(BODY, dm.SimConfig(dx=0.5, dt=1e-3)).rollout(value),
        ]
    call = data.draw(st.sampled_from(calls))
    try:
        call()
    except dm.DiffMPMError:
        pass


BOX = (dm.shapes.make("box").vertices, dm.shapes.make("box").triangles)
