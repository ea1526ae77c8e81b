# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`diffmpm.sampling`: the surface of the older interface."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
from diffmpm.sampling import default_cfg, synthesize_runtime_surface

CFG = {"samples": 200}


@pytest.fixture(scope="module")
def body() -> dm.Particles:
    return dm.sample("sphere", particles=800, dtype=np.float64)


def synthesize(body: dm.Particles, **options: Any) -> dict[str, Any]:
    return synthesize_runtime_surface(body.x, body.F, {**CFG, **options.pop("cfg", {})}, return_torch=False, **options)


def test_arrays_are_those_of_the_native_call(body: dm.Particles) -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the old global state, which must not move
    found = synthesize(body)
    native = dm.gaussians(body.x, body.F, samples=200, seed=1234)
    for name, other in (("points", "means"), ("cov", "covs"), ("normals", "normals"), ("weights", "weights")):
        scenes.assert_same_bits(found[name], getattr(native, other), name)
    assert found["points"].shape == (200, 3) and found["cov"].shape == (200, 3, 3)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_every_key_changes_something(body: dm.Particles) -> None:
    cfg = default_cfg()
    assert set(cfg) == {"samples", *(f.name for f in fields(dm.SurfaceConfig))}
    changes = {
        "samples": 150, "sigma0": 0.4, "flatness": 0.5, "stretch_limit": 1.0, "spacing": 0.2, "kernel_radius": 3.5,
        "smoothing": 0.0, "level": 0.4, "parents": 5, "weight_radius": 4.0, "relaxation": 0,
    }  # fmt: skip
    assert set(changes) == set(cfg)
    stretched = body.F.copy()
    stretched[:, 0, 0] = 3.0  # for stretch_limit
    dense = {"samples": 2000}  # smoothing needs neighbours
    start = synthesize_runtime_surface(body.x, stretched, dense, return_torch=False)
    for key, value in changes.items():
        found = synthesize_runtime_surface(body.x, stretched, {**dense, key: value}, return_torch=False)
        same = [np.array_equal(found[name], start[name]) for name in ("points", "cov")]
        assert not all(same), key


def test_samples_go_on_from_frame_to_frame(body: dm.Particles) -> None:
    first = synthesize(body)
    moved = body.replace(x=body.x + np.array([0.01, 0.0, 0.02]))
    second = synthesize(moved, ema_state=first["ema_state"])
    moved_by = np.linalg.norm(second["points"] - first["points"] - [0.01, 0.0, 0.02], axis=1)
    assert moved_by.max() < 0.1, "set back onto the surface, by less than a spacing (0.17)"
    anew = synthesize(moved, seed=7)
    assert np.median(np.linalg.norm(anew["points"] - first["points"], axis=1)) > 5 * np.median(moved_by)
    with pytest.raises(dm.ConfigError, match="ema_state: expected one of 100 samples, got 200"):
        synthesize(moved, ema_state=first["ema_state"], cfg={"samples": 100})
    with pytest.raises(dm.ConfigError, match="ema_state: expected that of an earlier result, got int"):
        synthesize(moved, ema_state=3)


def test_wrong_options(body: dm.Particles) -> None:
    with pytest.raises(dm.ConfigError, match=r"cfg: expected keys among samples, sigma0, .*, got 'colour'"):
        synthesize(body, cfg={"colour": 1})
    with pytest.raises(dm.ConfigError, match="cfg: expected a dictionary, got int"):
        synthesize_runtime_surface(body.x, body.F, 3)  # type: ignore[arg-type]
    with pytest.raises(dm.ConfigError, match="samples: expected an integer"):
        synthesize(body, cfg={"samples": 0})
    with pytest.raises(dm.ConfigError, match=r"F: expected shape"):
        synthesize_runtime_surface(body.x, body.x, CFG, return_torch=False)


def test_gradients_reach_x_F_and_sigma0(body: dm.Particles, rng: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, F = (torch.tensor(a, requires_grad=True) for a in (body.x, body.F + 0.02 * rng.standard_normal(body.F.shape)))
    sigma0 = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    found = synthesize_runtime_surface(x, F, {**CFG, "sigma0": sigma0})
    weights = [torch.from_numpy(rng.standard_normal(found[name].shape)) for name in ("points", "cov")]

    def value(x: Any, F: Any, sigma0: Any) -> Any:
        out = synthesize_runtime_surface(x, F, {**CFG, "sigma0": sigma0}, found["ema_state"])
        return sum((out[name] * w).sum() for name, w in zip(("points", "cov"), weights, strict=True))

    (found["points"] * weights[0]).sum().add((found["cov"] * weights[1]).sum()).backward()
    native = found["ema_state"]["binding"].evaluate(x.detach().numpy(), F.detach().numpy(), sigma0=0.6)
    adj_x, adj_F, adj_s = native.vjp(*(w.numpy() for w in weights), wrt=("x", "F", "sigma0"))
    for leaf, expected in ((x, adj_x), (F, adj_F), (sigma0, adj_s)):
        scenes.assert_same_bits(leaf.grad.numpy(), expected)
    detached = synthesize_runtime_surface(x, F, CFG, differentiable=False)
    assert not detached["points"].requires_grad
    with pytest.raises(dm.ConfigError, match=r"x: expected a CPU tensor, got one on meta; pass x\.cpu\(\)"):
        synthesize_runtime_surface(x.to("meta"), F, CFG)
