# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Transforms of PyTorch applied to every function of `diffmpm.torch`: each cell of the table in docs/pytorch.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest

DOCS = Path(__file__).parents[3] / "docs" / "pytorch.md"
Function = Callable[[Any], Any]


def read_table() -> dict[tuple[str, str], str]:
    """Return the cells of the table of transforms by function and transform."""
    text = DOCS.read_text("utf-8").split("\n## Transforms\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    header, _, *body = rows
    return {(row[0].strip("`"), name): cell for row in body for name, cell in zip(header[1:], row[1:], strict=True)}


TABLE = read_table()


class Case:
    """Every function with a single float64 tensor as its argument, and that tensor."""

    def __init__(self, torch: Any, dmt: Any, dtype: Any) -> None:
        body = dm.sample("sphere", particles=200, dtype=dtype)
        sim = dm.Simulation(body, dm.SimConfig(dx=0.4, dt=1e-3))
        config, inputs = sim.config, dmt.tensors(body)
        x, F, mass = inputs["x"], inputs["F"], inputs["mass"]
        rest = {name: value for name, value in inputs.items() if name != "x"}
        binding = dmt.bind(x, F, samples=30)
        grid = dmt.grid_mass(x, mass, config)
        target = grid.roll(1, 0)
        module = dmt.Rollout(sim, 2, learn=("x",))
        camera = dm.Camera.look_at((3, 1, 1), (0, 0, 0), width=12, height=9)
        means = binding.offsets[:, 0] + x[binding.parents[:, 0].long()]
        splats = {
            "covars": torch.eye(3, dtype=x.dtype).expand(30, 3, 3) * 0.01,
            "opacities": torch.full((30,), 0.8, dtype=x.dtype),
            "colors": binding.normals,
            "viewmats": torch.from_numpy(camera.viewmat[None].copy()),
            "Ks": torch.from_numpy(camera.K[None].copy()),
        }
        loss = dm.losses.LogMass(target.numpy())
        self.functions: dict[str, tuple[Function, Any]] = {
            "Rollout": (lambda t: torch.func.functional_call(module, {"x": t}).x, x),
            "bind": (lambda t: dmt.bind(t, F, samples=30).offsets, x),
            "gaussians": (lambda t: dmt.gaussians(t, F, binding=binding).means, x),
            "grid_mass": (lambda t: dmt.grid_mass(t, mass, config), x),
            "kinetic": (dmt.kinetic, x),
            "log_mass": (lambda t: dmt.log_mass(t, target), grid),
            "objective": (lambda t: dmt.objective(loss, config, x=t, mass=mass), x),
            "rasterize": (lambda t: dmt.rasterize(t, **splats, width=12, height=9)[0], means),
            "rollout": (lambda t: dmt.rollout(config, 2, x=t, **rest).x, x),
            "shade": (lambda t: dmt.shade(t, t, albedo=t.abs(), eye=(3.0, 1.0, 1.0), specular=0.3), binding.normals),
            "squared_mass": (lambda t: dmt.squared_mass(t, target), grid),
            "tensors": (lambda t: dmt.tensors(body)["x"], x),
        }


@pytest.fixture(scope="module")
def case() -> Case:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import diffmpm.torch

    return Case(torch, diffmpm.torch, np.float64)


def gradient(torch: Any, function: Function, x: Any) -> Any:
    x = x.detach().clone().requires_grad_()
    function(x).square().sum().backward()
    return x.grad


def same(torch: Any, transformed: Function, function: Function, x: Any) -> None:
    """Values and, where there is one, the gradient of a transformed function."""
    assert torch.equal(transformed(x), function(x))
    if function(x.clone().requires_grad_()).requires_grad:
        assert torch.allclose(gradient(torch, transformed, x), gradient(torch, function, x), rtol=1e-12, atol=0)


# What each column does; an error is judged by `test_every_cell`.


def jvp(torch: Any, function: Function, x: Any) -> None:
    tangent = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    _, result = torch.func.jvp(function, (x,), (tangent,))
    difference = (function(x + 1e-6 * tangent) - function(x - 1e-6 * tangent)) / 2e-6
    assert torch.allclose(result, difference, rtol=1e-6)
    with torch.autograd.forward_ad.dual_level():
        dual = function(torch.autograd.forward_ad.make_dual(x, tangent))
        assert torch.equal(torch.autograd.forward_ad.unpack_dual(dual).tangent, result)


def vmap(torch: Any, function: Function, x: Any) -> None:
    torch.vmap(function)(torch.stack([x, x]))


def func_grad(torch: Any, function: Function, x: Any) -> None:
    result = torch.func.grad(lambda t: function(t).square().sum())(x)
    assert torch.equal(result, gradient(torch, function, x))


def double_backward(torch: Any, function: Function, x: Any) -> None:
    x = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    first.sum().backward()


def compiled(**options: Any) -> Callable[[Any, Function, Any], None]:
    def run(torch: Any, function: Function, x: Any) -> None:
        torch._dynamo.reset()
        same(torch, torch.compile(function, backend="aot_eager", **options), function, x)

    return run


def inference_mode(torch: Any, function: Function, x: Any) -> None:
    with torch.inference_mode():
        result, again = function(x), function(x.clone())
    assert (
        result.is_inference() and torch.equal(result.clone(), function(x)) and torch.equal(again.clone(), function(x))
    )


def half(torch: Any, function: Function, x: Any) -> None:
    with pytest.raises(dm.ConfigError, match=r"float32 or torch.float64, got torch.bfloat16; pass \w+\.float\(\)"):
        function(x.bfloat16())
    function(x.half())


def sparse(torch: Any, function: Function, x: Any) -> None:
    function(x.to_sparse())


def hooks(torch: Any, function: Function, x: Any) -> None:
    """A hook on the result sees its cotangent and may change it; one on the input runs once."""
    calls = []
    leaf = x.detach().clone().requires_grad_()
    value = function(leaf)
    value.register_hook(lambda adj: 2 * adj)
    leaf.register_hook(lambda adj: calls.append(adj.shape))
    value.square().sum().backward()
    assert calls == [x.shape] and torch.equal(leaf.grad, 2 * gradient(torch, function, x))


COLUMNS = {
    "jvp": jvp,
    "vmap": vmap,
    "func.grad": func_grad,
    "double backward": double_backward,
    "compile": compiled(dynamic=False),
    "dynamic": compiled(dynamic=True),
    "fullgraph": compiled(dynamic=True, fullgraph=True),
    "inference_mode": inference_mode,
    "half": half,
    "sparse": sparse,
    "hooks": hooks,
}
REFUSALS = {
    "jvp": "diffmpm: forward-mode AD is not supported here",
    "vmap": r"diffmpm::\w+: vmap is not supported; loop over the batch",
    "double backward": "diffmpm: double backward is not supported",
    "fullgraph": r"diffmpm\.torch\.\w+ works on NumPy arrays",
    "half": r"expected torch.float32 or torch.float64, got torch.float16; pass \w+\.float\(\)",
    "sparse": r"expected a dense tensor, got torch.sparse_coo; pass \w+\.to_dense\(\)",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "column"), [cell for cell in TABLE if cell[1] in COLUMNS])
def test_every_cell(name: str, column: str, case: Case, torch: Any) -> None:
    function, x = case.functions[name]
    cell, run = TABLE[name, column], COLUMNS[column]
    if cell == "yes":
        run(torch, function, x)
    elif cell == "refused":
        with pytest.raises(Exception, match=REFUSALS[column]) as caught:
            run(torch, function, x)
        assert column == "vmap" or "vmap" not in str(caught.value)
    elif cell == "no gradient":
        assert not function(x.clone().requires_grad_()).requires_grad
    else:
        assert cell == "takes none" and name == "tensors"


def test_the_table_is_complete(dmt: Any) -> None:
    """A row for every public function, a column for every transform."""
    functions = {name for name in dmt.__all__ if callable(getattr(dmt, name))}
    types = {"Gaussians", "States", "SurfaceBinding"}
    assert {name for name, _ in TABLE} == functions - types
    assert {column for _, column in TABLE} == {*COLUMNS, "autocast"}


@pytest.mark.parametrize("name", [name for name, column in TABLE if column == "autocast"])
def test_autocast(name: str, torch: Any, dmt: Any) -> None:
    function, x = Case(torch, dmt, np.float32).functions[name]
    if TABLE[name, "autocast"] == "takes none":
        return
    assert TABLE[name, "autocast"] == "yes"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert function(x.bfloat16()).dtype == torch.float32


@pytest.mark.filterwarnings("ignore")
def test_sizes_may_change_under_one_graph(case: Case, torch: Any, dmt: Any) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    kinetic = torch.compile(dmt.kinetic, backend="aot_eager", dynamic=True, fullgraph=True)
    for count in (5, 9, 30):
        v = torch.rand((count, 3), dtype=torch.float64)
        assert torch.equal(kinetic(v), dmt.kinetic(v))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


@pytest.mark.filterwarnings("ignore")
def test_raw_operators_do_not_drop_tangents(case: Case, torch: Any) -> None:
    """Also where nothing requires grad, `torch.ops.diffmpm` never returns a result without its tangent."""
    _, x = case.functions["kinetic"]
    tangent = torch.ones_like(x)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, tangent)
        value, _ = torch.ops.diffmpm.kinetic_loss(dual)
        result = torch.autograd.forward_ad.unpack_dual(value).tangent
        assert result.item() == pytest.approx((2 * x.mean(0)).sum().item())
        with pytest.raises(NotImplementedError, match="forward-mode AD is not supported"):
            config = dm.Simulation(dm.sample("box", particles=60), dm.SimConfig(dx=0.5, dt=1e-3)).config
            from diffmpm.mpm.params import pack_params

            torch.ops.diffmpm.grid_mass(dual, torch.ones(len(x), dtype=x.dtype), pack_params(config))


@pytest.mark.filterwarnings("ignore")
def test_higher_derivatives_are_refused_with_a_message(case: Case, torch: Any) -> None:
    for name, (function, x) in case.functions.items():
        if TABLE[name, "func.grad"] != "yes":
            continue
        scale = torch.ones((), dtype=x.dtype)
        with pytest.raises(NotImplementedError, match="diffmpm"):
            torch.func.grad(torch.func.grad(lambda s, f=function, x=x: f(s * x).sum()))(scale)
