# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The migration guide covers every name of the older bindings, and the names it recommends exist."""

from __future__ import annotations

import inspect
import re

import diffmpm as dm
import pytest
from diffmpm._build_info import TORCH_SUPPORT
from manual import DOCS

TEXT = (DOCS / "migration.md").read_text("utf-8")

FIELDS = """mpm_input_mesh_path mpm_target_mesh_path grid_dx grid_min_point grid_max_point points_per_cell_cuberoot lam
    mu p_density dt drag f_ext num_animations num_timesteps control_stride max_gd_iters max_ls_iters initial_alpha
    gd_tol smoothing_factor current_episodes""".split()
FUNCTIONS = """load_point_cloud_from_obj p2g calculate_point_cloud_volumes calculate_lame_parameters
    get_positions_from_pc""".split()
CLOUD = "get_positions get_masses get_def_grads get_def_grads_morph get_def_grads_total".split()
CLOUD_TORCH = "get_positions_torch get_def_grads_total_torch".split()
GRAPH = """run_optimization get_num_layers get_point_cloud get_point_cloud_at_timestep end_layer_mass_loss
    set_up_comp_graph compute_forward_pass compute_backward_pass optimize_single_timestep accumulate_render_grads
    set_render_gradients clear_render_gradients has_render_gradients get_render_gradient_info
    promote_last_as_initial""".split()
SAMPLING = "default_cfg synthesize_runtime_surface".split()
RENDERER = "GSRenderer3DGS make_matrices_from_yaml".split()
KEYS = """differentiable M sigma0 k_surface thr_percentile knn_tau soft_tau surface_power sampling_tau density_gamma
    surf_jitter_alpha thickness use_F_kernel k_F h_mul use_amp use_hybrid_faiss use_faiss_ivf ivf_nlist ivf_nprobe
    use_soft_radius soft_radius_candidates use_surface_detection ema_beta hysteresis ed.* post_equalize.* smoother.*
    smooth_normals normal_smooth_* fast_cov_only fast_use_f_smooth cache_for_fast clear_cache_each_call
    verbose""".split()
"""The names of the older bindings, by location."""


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_has_a_line(name: str) -> None:
    assert hasattr(dm.OptInput(), name)
    assert re.search(rf"^\| `opt\.{name} = ", TEXT, re.MULTILINE), name


@pytest.mark.parametrize(
    ("owner", "start", "names"),
    [
        (dm, r"m\.", [*FUNCTIONS, "Grid"]),
        (dm, r"(?:pc|g) = m\.", ["PointCloud", "CompGraph"]),
        (dm.PointCloud, r"pc\.", CLOUD),
        (dm.CompGraph, r"g\.", GRAPH),
        (dm.sampling, r"(?:cfg = )?", SAMPLING),
        (dm.renderer, "", RENDERER),
        (dm.renderer.GSRenderer3DGS, r"renderer\.", ["render"]),
    ],
)
def test_every_name_has_a_line(owner: object, start: str, names: list[str]) -> None:
    for name in names:
        assert hasattr(owner, name), name
        assert re.search(rf"^\| `{start}{name}\b", TEXT, re.MULTILINE), name


@pytest.mark.parametrize("name", CLOUD_TORCH)
def test_tensors_have_a_line(name: str) -> None:
    assert hasattr(dm.PointCloud, name) == TORCH_SUPPORT
    assert re.search(rf"^\| `pc\.{name}\(", TEXT, re.MULTILINE), name


def test_every_surface_key_has_a_line() -> None:
    table = TEXT.partition("| key | here |")[2].partition("\n\n")[0]
    listed = re.findall(r"`([\w.*]+)`", " ".join(re.findall(r"^(\|.*?\|)", table, re.MULTILINE)))
    assert sorted(listed) == sorted(KEYS)
    cfg = dm.sampling.default_cfg()
    assert [key for key in KEYS if key.removesuffix(".*") not in cfg] == ["normal_smooth_*"]
    native = {"samples", *dm.SurfaceConfig.__dataclass_fields__}
    assert set(cfg) - native == {key.removesuffix(".*") for key in KEYS} - {"normal_smooth_*", "sigma0"}
    acting = {"M", "differentiable", "sigma0", "fast_cov_only"}
    for row in table.strip().splitlines()[2:]:
        assert acting.isdisjoint(re.findall(r"`(\w+)`", row.split("|")[1])) == ("no effect" in row), row


def test_no_line_has_another_name() -> None:
    """The lists above are complete, except for names that the page calls new."""
    lines = set(re.findall(r"^\| `(?:opt|pc|g)\.(\w+)", TEXT, re.MULTILINE))
    assert lines == {*FIELDS, *CLOUD, *CLOUD_TORCH, *GRAPH}
    public = {name for name, _ in inspect.getmembers(dm.CompGraph) if not name.startswith("_")}
    new = {"requires_grad_", "controls", "get_controls", "set_controls", "config", "control_stride"}
    assert public - new == set(GRAPH)


def test_native_equivalents_exist() -> None:
    """Checks `Class.field`, `Class.method(keyword=)` and `dm.name(keyword=)` in the last column."""
    from diffmpm import morphing

    homes = {"SimConfig": dm.SimConfig, "MorphConfig": dm.MorphConfig, "Simulation": dm.Simulation}
    homes |= {"SurfaceConfig": dm.SurfaceConfig, "Binding": dm.surface.Binding}
    homes |= {"Particles": dm.Particles, "Progress": morphing.Progress, "dm": dm}
    rows = [row.rsplit("|", 2)[1] for row in re.findall(r"^\| `.*\|$", TEXT, re.MULTILINE)]
    names = re.findall(
        r"\b(SimConfig|SurfaceConfig|MorphConfig|Binding|Simulation|Particles|Progress|dm)\.(\w+)(?:\((.*?)\)`)?",
        " ".join(rows),
    )
    assert len(names) > 40
    for home, name, arguments in names:
        owner = homes[home]
        fields = getattr(owner, "__dataclass_fields__", {})
        if (home, name) == ("dm", "optimize"):
            continue  # a module
        assert name in fields or hasattr(owner, name), f"{home}.{name}"
        for keyword in re.findall(r"(\w+)=", arguments):
            known = inspect.signature(getattr(owner, name)).parameters
            if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
                assert keyword in known, f"{home}.{name}({keyword}=)"
