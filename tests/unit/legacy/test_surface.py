# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The legacy sampling of a surface."""

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
    surface = synthesize(body)
    native = dm.gaussians(body.x, body.F, samples=200, seed=1234)
    for name, other in (("points", "means"), ("cov", "covars"), ("normals", "normals"), ("weights", "weights")):
        scenes.assert_same_bits(surface[name], getattr(native, other), name)
    assert surface["points"].shape == (200, 3) and surface["cov"].shape == (200, 3, 3)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_every_native_key_changes_something(body: dm.Particles) -> None:
    changes = {
        "samples": 150, "sigma0": 0.4, "flatness": 0.5, "stretch_limit": 1.0, "spacing": 0.2, "kernel_radius": 3.5,
        "smoothing": 0.0, "level": 0.4, "parents": 5, "weight_radius": 4.0, "relaxation": 0,
    }  # fmt: skip
    assert set(changes) == {"samples", *(f.name for f in fields(dm.SurfaceConfig))} <= set(default_cfg())
    stretched = body.F.copy()
    stretched[:, 0, 0] = 3.0  # for stretch_limit
    dense = {"samples": 2000}  # smoothing needs neighbours
    start = synthesize_runtime_surface(body.x, stretched, dense, return_torch=False)
    for key, value in changes.items():
        surface = synthesize_runtime_surface(body.x, stretched, {**dense, key: value}, return_torch=False)
        same = [np.array_equal(surface[name], start[name]) for name in ("points", "cov")]
        assert not all(same), key


def test_samples_go_on_from_frame_to_frame(body: dm.Particles) -> None:
    first = synthesize(body)
    moved = body.replace(x=body.x + np.array([0.01, 0.0, 0.02]))
    second = synthesize(moved, ema_state=first["ema_state"])
    moved_by = np.linalg.norm(second["points"] - first["points"] - [0.01, 0.0, 0.02], axis=1)
    assert moved_by.max() < 0.1, "set back onto the surface, by less than a spacing (0.17)"
    fresh = synthesize(moved, seed=7)
    assert np.median(np.linalg.norm(fresh["points"] - first["points"], axis=1)) > 5 * np.median(moved_by)
    with pytest.raises(dm.ConfigError, match="ema_state: expected 100 samples, got 200"):
        synthesize(moved, ema_state=first["ema_state"], cfg={"samples": 100})
    with pytest.raises(dm.ConfigError, match="ema_state: expected that of a previous result, got int"):
        synthesize(moved, ema_state=3)


def test_wrong_options(body: dm.Particles) -> None:
    for key, nearest in (("sample", "samples"), ("difrentiable", "differentiable"), ("k_surfaces", "k_surface")):
        message = rf"cfg: expected a key of default_cfg\(\), got '{key}'; the nearest is '{nearest}'"
        with pytest.raises(dm.ConfigError, match=message):
            synthesize(body, cfg={key: 1})
    with pytest.raises(dm.ConfigError, match="M: expected that of samples, 200, got 300; set one of the two"):
        synthesize(body, cfg={"M": 300})
    with pytest.raises(dm.ConfigError, match="differentiable: expected True or False, got 'yes'"):
        synthesize(body, cfg={"differentiable": "yes"})
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
    surface = synthesize_runtime_surface(x, F, {**CFG, "sigma0": sigma0})
    weights = [torch.from_numpy(rng.standard_normal(surface[name].shape)) for name in ("points", "cov")]

    def value(x: Any, F: Any, sigma0: Any) -> Any:
        out = synthesize_runtime_surface(x, F, {**CFG, "sigma0": sigma0}, surface["ema_state"])
        return sum((out[name] * w).sum() for name, w in zip(("points", "cov"), weights, strict=True))

    (surface["points"] * weights[0]).sum().add((surface["cov"] * weights[1]).sum()).backward()
    native = surface["ema_state"]["binding"].evaluate(x.detach().numpy(), F.detach().numpy(), sigma0=0.6)
    adj_x, adj_F, adj_s = native.vjp(*(w.numpy() for w in weights), wrt=("x", "F", "sigma0"))
    for leaf, expected in ((x, adj_x), (F, adj_F), (sigma0, adj_s)):
        scenes.assert_same_bits(leaf.grad.numpy(), expected)
    for cfg, differentiable in ((CFG, False), ({**CFG, "differentiable": False}, True)):
        assert not synthesize_runtime_surface(x, F, cfg, differentiable=differentiable)["points"].requires_grad
    with pytest.raises(dm.ConfigError, match=r"x: expected a CPU tensor, got one on meta; pass x\.cpu\(\)"):
        synthesize_runtime_surface(x.to("meta"), F, CFG)


def test_positions_decide_the_dtype(body: dm.Particles) -> None:
    x = body.x.astype(np.float32)
    surface, same = (synthesize_runtime_surface(x, F, CFG, return_torch=False) for F in (body.F, body.F.astype("f4")))
    scenes.assert_same_bits(surface["cov"], same["cov"])
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    F = torch.tensor(body.F, requires_grad=True)
    tensors = synthesize_runtime_surface(torch.tensor(x), F, CFG)
    scenes.assert_same_bits(tensors["cov"].detach().numpy(), same["cov"])
    tensors["cov"].sum().backward()
    assert F.grad.dtype == torch.float64 and F.grad.abs().sum() > 0


def test_either_spelling_of_the_number_of_samples(body: dm.Particles) -> None:
    for cfg in ({"M": 200}, {"samples": 200}, {"M": 200, "samples": 200}, {**default_cfg(), "M": np.int64(200)}):
        surface = synthesize_runtime_surface(body.x, body.F, cfg, return_torch=False)
        scenes.assert_same_bits(surface["points"], synthesize(body)["points"])


WITHOUT_EFFECT = """k_surface thr_percentile knn_tau soft_tau surface_power sampling_tau density_gamma surf_jitter_alpha
    thickness use_F_kernel k_F h_mul use_amp use_hybrid_faiss use_faiss_ivf ivf_nlist ivf_nprobe use_soft_radius
    soft_radius_candidates use_surface_detection ema_beta hysteresis smooth_normals fast_use_f_smooth cache_for_fast
    clear_cache_each_call verbose""".split()


def test_keys_without_effect_are_named_in_one_warning(body: dm.Particles) -> None:
    cfg = {**default_cfg(), "M": 200}
    expected = synthesize_runtime_surface(body.x, body.F, cfg, return_torch=False)  # warnings are errors here
    for key in WITHOUT_EFFECT:
        assert isinstance(cfg[key], bool | int | float), key
        cfg[key] = not cfg[key] if isinstance(cfg[key], bool) else cfg[key] + 1
    cfg["ed"]["enabled"], cfg["smoother"]["rounds"], cfg["post_equalize"] = True, 3, {"k": {"first": 1}}
    cfg["normal_smooth_k"] = 12
    with pytest.warns(dm.DiffMPMWarning) as caught:
        surface = synthesize_runtime_surface(body.x, body.F, cfg, return_torch=False)
    assert [w.filename for w in caught] == [__file__]
    named = str(caught[0].message).removeprefix("cfg: ").partition(" have no effect; ")[0].split(", ")
    assert sorted(named) == sorted(
        [*WITHOUT_EFFECT, "ed.enabled", "smoother.rounds", "post_equalize.k.first", "normal_smooth_k"]
    )
    scenes.assert_same_bits(surface["cov"], expected["cov"])
    with pytest.warns(dm.DiffMPMWarning, match=r"^cfg: thickness has no effect; "):
        synthesize(body, cfg={"thickness": 0.1})
    assert default_cfg()["ed"] == {"enabled": False}  # each call gets dictionaries of its own


def test_samples_are_carried_where_covariances_alone_are_asked_for(body: dm.Particles) -> None:
    first = synthesize(body)
    moved = body.replace(x=body.x * 1.1, F=body.F * 1.1)
    carried = synthesize(moved, ema_state=first["ema_state"], cfg={"fast_cov_only": True})
    np.testing.assert_allclose(carried["points"], 1.1 * first["points"], atol=1e-12)
    np.testing.assert_allclose(carried["cov"], 1.21 * first["cov"], rtol=1e-9)
    assert carried["ema_state"]["binding"] is first["ema_state"]["binding"]
