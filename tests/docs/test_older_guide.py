# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The code blocks of a guide to the older bindings run with this package; only their imports are changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import diffmpm as dm
import pytest
from diffmpm._build_info import TORCH_SUPPORT

SCENE = """
import numpy as np
import diffmpm as m
from diffmpm.renderer import GSRenderer3DGS, make_matrices_from_yaml
from diffmpm.sampling import default_cfg, synthesize_runtime_surface

opt = m.OptInput()
opt.mpm_input_mesh_path = "sphere.obj"
opt.mpm_target_mesh_path = "box.obj"
opt.grid_dx = 1.0
opt.grid_min_point = [-8.0, -8.0, -8.0]
opt.grid_max_point = [8.0, 8.0, 8.0]
opt.num_timesteps = 5
opt.max_ls_iters = 3

input_pc = m.load_point_cloud_from_obj(opt.mpm_input_mesh_path, opt)
target_pc = m.load_point_cloud_from_obj(opt.mpm_target_mesh_path, opt)
input_grid = m.Grid(17, 17, 17, opt.grid_dx, opt.grid_min_point)
target_grid = m.Grid(17, 17, 17, opt.grid_dx, opt.grid_min_point)
m.p2g(input_pc, input_grid)
m.p2g(target_pc, target_grid)
m.calculate_point_cloud_volumes(input_pc, input_grid)

cg = m.CompGraph(input_pc, input_grid, target_grid)
cg.run_optimization(opt)
pc = cg.get_point_cloud(cg.get_num_layers() - 1)

W, H, tanfovx, tanfovy, view_T, proj_T, campos = make_matrices_from_yaml({
    "width": 48, "height": 36, "fov": 45.0, "znear": 0.01, "zfar": 100.0,
    "lookat": {"eye": [0.0, -12.0, 3.0], "target": [0.0, 0.0, 0.0], "up": [0.0, 0.0, 1.0]},
})
renderer = GSRenderer3DGS(W, H, tanfovx, tanfovy, view_T, proj_T, campos, bg=(1.0, 1.0, 1.0), device="cpu")
"""

BASIC_USAGE = """
import torch

x = pc.get_positions_torch(requires_grad=True)
F = pc.get_def_grads_total_torch(requires_grad=True)

cfg = default_cfg()
cfg["M"] = 400
cfg["differentiable"] = True

result = synthesize_runtime_surface(
    x, F, cfg, ema_state=None, seed=1234, differentiable=True, return_torch=True
)
mu = result["points"]
cov = result["cov"]
assert mu.shape == (400, 3) and cov.shape == (400, 3, 3)
assert mu.requires_grad and cov.requires_grad

loss = mu.pow(2).mean() + cov.pow(2).mean()
loss.backward()
assert x.grad is not None and x.grad.abs().sum() > 0
assert F.grad is not None and F.grad.abs().sum() > 0
"""

END_TO_END = """
import torch

cfg = default_cfg()
cfg["M"] = 400
cfg["differentiable"] = True
target_alpha = torch.zeros(H, W)
target_alpha[8:28, 12:36] = 1.0

ema_state = None
losses = []
for episode in range(2):
    opt.current_episodes = episode
    cg.run_optimization(opt)
    pc = cg.get_point_cloud(cg.get_num_layers() - 1)
    x = pc.get_positions_torch(requires_grad=True)
    F = pc.get_def_grads_total_torch(requires_grad=True)
    result = synthesize_runtime_surface(
        x, F, cfg, ema_state=ema_state, seed=1234, differentiable=True, return_torch=True
    )
    ema_state = result["ema_state"]
    rgb = np.full((400, 3), 0.7)
    opacity = np.ones((400, 1))
    out = renderer.render(result["points"], result["cov"], rgb=rgb, opacity=opacity, return_torch=True)
    assert out["image"].shape == (H, W, 3) and out["depth"].shape == (H, W)
    loss = (out["alpha"] - target_alpha).pow(2).mean()
    loss.backward()
    losses.append(loss.item())
    cg.clear_render_gradients()
    cg.accumulate_render_grads(F.grad.cpu().numpy(), x.grad.cpu().numpy())
    info = cg.get_render_gradient_info()
    assert cg.has_render_gradients() and info["dLdF_norm"] > 0 and info["dLdx_norm"] > 0
    cg.run_optimization(opt)
    assert np.isfinite(cg.end_layer_mass_loss())

# The gradient continues through the physics to the controls.
cg.requires_grad_(True)
pc = cg.get_point_cloud(cg.get_num_layers() - 1)
x = pc.get_positions_torch(requires_grad=True)
F = pc.get_def_grads_total_torch(requires_grad=True)
result = synthesize_runtime_surface(x, F, cfg, ema_state=None, seed=1234, differentiable=True, return_torch=True)
out = renderer.render(result["points"], result["cov"], return_torch=True)
(out["alpha"] - target_alpha).pow(2).mean().backward()
assert x.grad.abs().sum() > 0 and F.grad.abs().sum() > 0
assert cg.controls.grad.shape == cg.controls.shape and cg.controls.grad.abs().sum() > 0
"""

FALLBACK = """
try:
    import torch
    with_torch = hasattr(pc, "get_positions_torch")
except ImportError:
    with_torch = False

cfg = default_cfg()
cfg["M"] = 400
cfg["differentiable"] = False
x = m.get_positions_from_pc(pc)
F = pc.get_def_grads_total()
result = synthesize_runtime_surface(x, F, cfg, ema_state=None, seed=1234, differentiable=False, return_torch=False)
assert isinstance(result["points"], np.ndarray) and isinstance(result["cov"], np.ndarray)
out = renderer.render(
    result["points"], result["cov"], rgb=np.full((400, 3), 0.7), opacity=np.ones(400), normals=result["normals"],
    return_torch=False, render_normal_map=True,
)
assert out["image"].shape == out["normal_map"].shape == (H, W, 3) and out["alpha"].max() > 0.9

if with_torch:  # tensors of the same arrays give the same numbers
    tensors = synthesize_runtime_surface(
        torch.from_numpy(x), torch.from_numpy(F), cfg, ema_state=None, seed=1234, differentiable=False,
        return_torch=True,
    )
    assert not tensors["cov"].requires_grad
    assert np.array_equal(tensors["cov"].numpy(), result["cov"])
"""

VERIFICATION = """
import torch

cfg = default_cfg()
cfg["M"] = 400
cfg["differentiable"] = True
cfg["fast_cov_only"] = True  # reuse the samples of the first call, so that the result depends only on x and F

x = torch.from_numpy(pc.get_positions()).double().requires_grad_(True)
F = torch.from_numpy(pc.get_def_grads_total()).double().requires_grad_(True)
result = synthesize_runtime_surface(x, F, cfg, ema_state=None, seed=1234, differentiable=True, return_torch=True)
weights = torch.randn(result["cov"].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
(result["cov"] * weights).sum().backward()
assert torch.isfinite(x.grad).all() and torch.isfinite(F.grad).all()

def value(F):
    again = synthesize_runtime_surface(
        x.detach(), F, cfg, ema_state=result["ema_state"], seed=1234, differentiable=False, return_torch=True
    )
    return float((again["cov"] * weights).sum())

eps = 1e-6
for p in result["parents"][:5, 0].tolist():
    for i in range(3):
        for j in range(3):
            step = torch.zeros_like(F)
            step[p, i, j] = eps
            numeric = (value(F.detach() + step) - value(F.detach() - step)) / (2 * eps)
            assert abs(numeric - float(F.grad[p, i, j])) <= 1e-6 * float(F.grad.abs().max())
"""

BLOCKS = {
    "basic-usage": BASIC_USAGE,
    "end-to-end": END_TO_END,
    "fallback": FALLBACK,
    "verification": VERIFICATION,
}


@pytest.fixture
def meshes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two bodies of a few hundred particles, in the current folder."""
    for name, scale in (("sphere", 3.0), ("box", 2.4)):
        mesh = dm.shapes.make(name)
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices * scale]
        lines += [f"f {a} {b} {c}" for a, b, c in mesh.triangles + 1]
        (tmp_path / f"{name}.obj").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", BLOCKS)
def test_block_runs_as_written(name: str, meshes: Path) -> None:
    if name != "fallback":
        pytest.importorskip("torch", reason="PyTorch is not installed")
        if not TORCH_SUPPORT:
            pytest.skip("built without PyTorch support")
    namespace: dict[str, Any] = {"__name__": "script"}
    exec(compile(SCENE + BLOCKS[name], name, "exec"), namespace)


def test_fallback_runs_without_torch(meshes: Path) -> None:
    code = "import sys\nsys.modules['torch'] = None  # as if it were not installed\n" + SCENE + FALLBACK
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=meshes, check=True)
