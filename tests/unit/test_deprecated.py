# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Old public names still work, and each warns once of the new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.export import splats

BODY = dm.sample("sphere", particles=60, dtype=np.float64)
SURFACE = dm.gaussians(BODY.x, BODY.F, samples=40)
COVARS = SURFACE.covars
ROLL = dm.Simulation(BODY, dm.SimConfig(dx=0.3, dt=1e-3)).rollout(2, motion_gradient=True)
GRADIENTS = ROLL.vjp(adj_x=ROLL.x, wrt="all")
IMAGES = dm.losses.Images(covars=COVARS)

CALLS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "Gaussians.covs": (lambda: SURFACE.covs, lambda: COVARS),
    "adj_covs": (lambda: SURFACE.vjp(adj_covs=COVARS), lambda: SURFACE.vjp(adj_covars=COVARS)),
    "Images.covs": (lambda: IMAGES.covs, lambda: COVARS),
    "covs": (lambda: dm.losses.Images(covs=COVARS).covars, lambda: COVARS),
    "covs of Splats.create": (
        lambda: splats.Splats.create(SURFACE.means, covs=COVARS, colors=SURFACE.normals).scales,
        lambda: splats.Splats.create(SURFACE.means, covars=COVARS, colors=SURFACE.normals).scales,
    ),
    **{
        f"Gradients.{n}0": (lambda n=n: getattr(GRADIENTS, f"{n}0"), lambda n=n: getattr(GRADIENTS, n)) for n in "xvCFG"
    },
    "diffmpm.Views": (lambda: dm.Views, lambda: dm.TargetViews),
    "diffmpm.morphing.Views": (lambda: dm.morphing.Views, lambda: dm.morphing.TargetViews),
    "MorphConfig.layers": (lambda: dm.MorphConfig().layers, lambda: dm.MorphConfig().control_steps),
    "RenderGuidance.chosen_losses": (
        lambda: dm.RenderGuidance().chosen_losses(depth=True),
        lambda: dm.RenderGuidance().effective_losses(depth=True),
    ),
    "RenderGuidance.share": (lambda: dm.RenderGuidance().share, lambda: 0.5),
    "share": (lambda: dm.RenderGuidance(share=0.3).fraction, lambda: 0.3),
    "WeightSchedule.kind": (lambda: dm.losses.WeightSchedule().kind, lambda: "constant"),
    "kind": (
        lambda: dm.losses.WeightSchedule(kind="linear").interpolation,
        lambda: dm.losses.WeightSchedule(interpolation="linear").interpolation,
    ),
    "covs of decompose": (lambda: splats.decompose(covs=COVARS), lambda: splats.decompose(COVARS)),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_old_name_works_and_warns_once(name: str) -> None:
    old, new = CALLS[name]
    with pytest.warns(DeprecationWarning) as warnings:
        before = old()
    assert [str(w.message).split(" is deprecated ")[0] for w in warnings] == [name.split(" of ")[0]]
    assert warnings[0].filename == __file__
    np.testing.assert_equal(before, new())


def test_tensors_have_their_old_attribute() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    import diffmpm.torch as dmt

    surface = dmt.gaussians(torch.from_numpy(BODY.x), torch.from_numpy(BODY.F), samples=40)
    with pytest.warns(DeprecationWarning, match=r"Gaussians\.covs is deprecated .*; use covars"):
        assert surface.covs is surface.covars


def test_gradients_that_were_tuples_unpack() -> None:
    adj = np.ones_like(SURFACE.means)
    of_F, of_x = SURFACE.vjp(adj_means=adj, wrt=("F", "x"))
    named = SURFACE.vjp(adj_means=adj)
    np.testing.assert_array_equal(of_F, named.F)
    np.testing.assert_array_equal(of_x, named[0])
    assert named.x is named[0] and named.sigma0 is None and len(named) == 2
    config = ROLL.config
    of_x, of_mass = dm.grid_mass_vjp(BODY.x, BODY.mass, config, ROLL.grid_mass())
    np.testing.assert_array_equal(dm.grid_mass_vjp(BODY.x, BODY.mass, config, ROLL.grid_mass()).mass, of_mass)


def test_both_names_are_refused() -> None:
    with pytest.raises(TypeError, match="covars: expected one value"):
        splats.decompose(covs=COVARS, covars=COVARS)


def test_new_names_do_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    for _, new in CALLS.values():
        new()
    assert not recwarn.list
