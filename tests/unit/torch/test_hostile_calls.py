# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""`torch.ops.diffmpm.*` with invalid arguments: refused in words, and never a memory error.

The native kernels, those in Python and those for tracing are held against one another. Run under the sanitizers, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import diffmpm as dm
import numpy as np
import pytest

COUNT, SAMPLES, CAMERAS, STEPS = 30, 12, 2, 3
SIZE = (2, 5)  # rows and columns of the images

Changes = list[tuple[str, Any]]


@pytest.fixture(scope="module")
def calls() -> dict[str, list[Any]]:
    """Valid arguments of every operator by name."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import diffmpm.torch
    from diffmpm.mpm.params import pack_params

    dmt, ops = diffmpm.torch, torch.ops.diffmpm
    body = dm.sample("sphere", particles=COUNT, dtype=np.float64)
    count = body.count
    colliders = (dm.HalfSpace((0, 0, -3), (0, 0, 1)), dm.Sphere((9, 9, 9), 0.1))
    config = dm.Simulation(body, dm.SimConfig(dx=0.5, dt=1e-3, colliders=colliders)).config
    inputs, numbers = dmt.tensors(body), pack_params(config)
    state = [inputs[name] for name in ("x", "v", "C", "F")]
    eye = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
    control = torch.zeros((2, count, 3, 3), dtype=torch.float64)
    constants = [inputs[name] for name in ("mass", "volume", "lam", "mu")]
    forces = [torch.zeros(3, dtype=torch.float64), torch.zeros((), dtype=torch.float64)]
    rollout = [*state, eye, control, *constants, *forces, numbers, STEPS, 2, [1, STEPS], True, True, 0]
    *states, trajectory = ops.rollout(*rollout)
    cotangents = [torch.ones_like(t) for t in states]
    x, mass = inputs["x"], inputs["mass"]
    grid = ops.grid_mass(x, mass, numbers)
    binding = dmt.bind(x, inputs["F"], samples=SAMPLES)
    surface = [x, inputs["F"], torch.tensor(0.8, dtype=torch.float64), *binding[:5]]
    gaussians = ops.surface(*surface)
    cameras = dm.Camera.orbit(radius=4.0, count=CAMERAS, width=SIZE[1], height=SIZE[0])
    matrices = [torch.from_numpy(np.stack([getattr(c, name) for c in cameras])) for name in ("viewmat", "K")]
    means, covars = gaussians[0], gaussians[1] + 0.01 * torch.eye(3, dtype=torch.float64)
    opacities, colors = means.new_full((SAMPLES,), 0.5), means.new_full((CAMERAS, SAMPLES, 3), 0.5)
    backgrounds = means.new_zeros((CAMERAS, 3))
    quats, scales = means.new_ones((SAMPLES, 4)), means.new_full((SAMPLES, 3), 0.1)
    flat = colors[0].clone()
    rasterize = [means, covars, None, None, opacities, colors, backgrounds, *matrices, SIZE[1], SIZE[0], 0.01]
    images = ops.rasterize(*rasterize)
    drawn = [torch.ones_like(t) for t in images[:3]]
    return {
        "rollout": rollout,
        "rollout_vjp": [trajectory, *cotangents, [1, STEPS], (1 << 12) - 1, 2],
        "grid_mass": [x, mass, numbers],
        "grid_mass_vjp": [x, mass, torch.ones_like(grid), numbers],
        "mass_loss": [grid, grid.clone(), 0, 1.0, 2.0],
        "kinetic_loss": [x],
        "rasterize": rasterize,
        "rasterize quats": [means, None, quats, scales, opacities, flat, None, *matrices, SIZE[1], SIZE[0], 0.01],
        "rasterize_vjp": [images[8], means, colors, *drawn, 0b111110011],
        "surface": surface,
        "surface_vjp": [*surface, *(torch.ones_like(t) for t in gaussians)],
    }


OPERATORS = (
    "rollout", "rollout_vjp", "grid_mass", "grid_mass_vjp", "mass_loss", "kinetic_loss", "rasterize", "rasterize quats",
    "rasterize_vjp", "surface", "surface_vjp",
)  # fmt: skip
# Values that only the kernels can see: tracing has none.
VALUES = "value"


def tensor_changes(name: str, argument: str, t: Any, torch: Any) -> Iterator[tuple[str, Any]]:
    """Yield invalid tensors for an argument."""
    if argument in ("trajectory", "images"):
        yield VALUES, t.clone()
        yield VALUES, torch.zeros(2, dtype=torch.int64)
        yield VALUES, torch.zeros(0, dtype=torch.int64)
        yield VALUES, torch.tensor([10**12, 10**12])
        yield VALUES, t.to(torch.float64)
        return
    alone = name == "kinetic_loss"
    if t.dim() > 0 and not alone and argument != "control":
        yield "one row less", t[:-1]
        yield "one row more", torch.cat([t, t[:1]])
        yield "no rows", t[:0]
    if t.dim() > 0:
        yield "no axes", t.flatten()[0].clone()
        if argument != "colors" or name != "rasterize quats":  # fewer channels
            yield "a shorter last axis", t[..., :-1]
    yield "one axis more", t[None, None]
    yield "empty", t.new_empty(0)
    yield "half", t.half()
    yield "complex", t.to(torch.complex128)
    yield "bool", t.bool()
    yield "of 64 bits", t.long()
    if t.is_floating_point() and not alone:
        yield "float32", t.float()
    if not alone:
        yield "meta", t.to("meta")
    if argument in ("viewmats", "Ks"):
        yield VALUES, t * float("nan")
        yield VALUES, torch.zeros_like(t)
        yield VALUES, t + 0.1 * torch.ones_like(t)
    if argument == "viewmats":
        yield VALUES, t.transpose(1, 2)
        yield "very many", t[:1].expand(1 << 21, 4, 4)
    if argument == "parents":
        for value in (-1, COUNT * 100, 2**30, -(2**31)):
            worst = t.clone()
            worst[3, 1] = value
            yield VALUES, worst
        yield "too many parents", t[:, :1].expand(len(t), 33)
        yield "no parents", t[:, :0]
    if argument == "colors":
        yield "no channels", t[..., :0]
        yield "very many channels", t[..., :1].expand(*t.shape[:-1], 1 << 20)
    if argument in ("mass", "volume") and name == "rollout":
        yield VALUES, torch.zeros_like(t)
    if argument in ("mass", "volume", "lam", "mu") and name == "rollout":
        yield VALUES, -t - 1
        yield VALUES, t * float("nan")
    if argument == "drag":
        yield VALUES, t - 5.0
    if argument in ("drag", "gravity"):
        yield VALUES, t * float("inf")
    if argument == "control":
        yield "too many layers", t[:1].expand(9, *t.shape[1:])


INTEGERS = (-1.0, 0.5, 2.0**33)
BAD: dict[str, tuple[float, ...]] = {
    "dx": (0.0, -1.0, 1e-40), "dt": (0.0, -1.0), "origin": (), "dims": (0.0, 7.0, (1 << 20) + 1.0, *INTEGERS),
    "basis": (2.0, *INTEGERS), "material": (2.0, *INTEGERS), "boundary": (4.0, *INTEGERS), "boundary_nodes": INTEGERS,
    "smoothing": (-0.1, 1.0), "drag": (-5.0,), "gravity": (), "shear_viscosity": (-1.0,), "bulk_viscosity": (-1.0,),
    "damping": (1.0, -0.1), "volume_carried": (2.0, *INTEGERS), "shape": (2.0, *INTEGERS),
    "mode": (0.0, 4.0, *INTEGERS), "point": (), "normal": (), "radius": (-1.0, 0.0),
}  # fmt: skip


def fields(config: list[float]) -> dict[str, tuple[int, int]]:
    """Start and length of each option, and of those of the last collider, in the list of them."""
    from diffmpm import _core

    lengths = {"origin": 3, "dims": 3, "gravity": 3, "point": 3, "normal": 3}
    result, start = {}, 0
    for field, _ in _core.PARAM_FIELDS:
        result[field] = (start, lengths.get(field, 1))
        start += result[field][1]
    start = len(config) - 9
    for field, _ in _core.COLLIDER_FIELDS:
        result[field] = (start, lengths.get(field, 1))
        start += result[field][1]
    assert start == len(config)
    return result


def replaced(values: list[Any], index: int, value: Any) -> list[Any]:
    return [*values[:index], value, *values[index + 1 :]]


def other_changes(name: str, argument: str, value: Any) -> Iterator[Any]:
    """Yield invalid numbers and lists for an argument."""
    if argument == "config":
        yield from ([], value[:-1], [*value, 0.0], [*value, *value[-9:] * 15])
        for field, (start, size) in fields(value).items():
            if name == "rollout" and field in ("gravity", "drag"):
                continue  # here tensors replace them
            for bad in (*BAD[field], float("nan"), float("inf"), 1e300, -1e300):
                yield replaced(value, start + size - 1, bad)
    elif argument in ("steps", "memory_budget"):
        yield from (-1, -(2**63))
        yield from (2**60, 2**63 - 1) if argument == "steps" else ()
    elif argument == "stride":
        yield from (0, -3)
    elif argument == "layers":
        yield from ([STEPS + 1, 1], [-1, 1], [10**9, 1], [2**62, -(2**62)])
        if name == "rollout_vjp":
            yield from ([], [1], [1, 2, 3])
    elif argument == "wrt":
        yield from (-1, 1 << (12 if name == "rollout_vjp" else 9), 2**62)
        if name == "rasterize_vjp":
            yield from (0b100, 0b1000)
    elif argument == "control_steps":
        yield from (0, 1, 3, 10**9, -1)
    elif argument == "loss":
        yield from (-1, 2, 2**33)
    elif argument == "m_ref":
        yield from (0.0, -1.0, float("nan"), float("inf"))
    elif argument == "outside_weight":
        yield from (-1.0, float("nan"), float("inf"))
    elif argument == "near_plane":
        yield from (0.0, -1.0, float("nan"), float("inf"))
    elif argument in ("width", "height"):
        yield from (0, -1, (1 << 15) + 1, 2**33 + 5)


def refusal(call: Callable[..., Any], args: list[Any]) -> str | None:
    """Return the message of the error, or None."""
    try:
        call(*args)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        assert "INTERNAL" not in str(error) and "std::" not in str(error), error
        words = re.search(r"diffmpm: (.*) \[\w+ -?\d+ -?\d+\]", str(error), re.DOTALL)
        return words.group(1) if words else str(error)
    return None


def head(words: str | None) -> str | None:
    """Return a message without the value, which has other digits in C++."""
    return words and words.split(", got")[0]


def cells() -> list[tuple[str, int, str]]:
    """Every argument of every operator."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    import diffmpm.torch  # noqa: F401
    from diffmpm.torch._operator import OPERATORS as DECLARED

    return [(name, k, arg) for name in OPERATORS for k, arg in enumerate(DECLARED[name.split()[0]].names)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "index", "argument"), cells())
def test_wrong_arguments(name: str, index: int, argument: str, calls: Any, torch: Any) -> None:
    from diffmpm.torch._operator import OPERATORS as DECLARED
    from torch._subclasses import FakeTensorMode

    operator, python = getattr(torch.ops.diffmpm, name.split()[0]), DECLARED[name.split()[0]].run
    good = calls[name]
    value = good[index]
    if value is None or isinstance(value, bool):
        return
    tensor = isinstance(value, torch.Tensor)
    changes = (
        list(tensor_changes(name, argument, value, torch))
        if tensor
        else [("number", change) for change in other_changes(name, argument, value)]
    )
    assert changes
    hidden = ("trajectory", "control_steps")  # what the sizes of an adjoint are held against, which tracing has not
    for case, change in changes:
        bad = replaced(good, index, change)
        words = refusal(operator, bad)
        assert words, f"{argument}: {case} {change} is taken"
        traced = case != VALUES and argument not in hidden and not (name.endswith("_vjp") and "surface" not in name)
        if traced and case != "meta":
            with FakeTensorMode() as mode:
                fake = [mode.from_tensor(arg) if isinstance(arg, torch.Tensor) else arg for arg in bad]
                assert head(refusal(operator, fake)) == head(words), f"{argument}: {case}"
        if not name.endswith("_vjp") or "surface" in name or "grid" in name:
            in_python = refusal(python, bad)
            assert in_python and (head(in_python) == head(words) or case in ("meta", VALUES))
    assert refusal(operator, good) is None


def test_python_adjoints_refuse_the_same_arguments(calls: Any, torch: Any) -> None:
    """Adjoints of results that a kernel in Python computed."""
    from diffmpm.torch._operator import OPERATORS as DECLARED

    for name in ("rollout", "rasterize"):
        python, operator = DECLARED[f"{name}_vjp"].run, getattr(torch.ops.diffmpm, f"{name}_vjp")
        native = calls[f"{name}_vjp"]
        good = [DECLARED[name].run(*calls[name])[-1], *native[1:]]
        assert refusal(python, good) is None
        for index, argument in enumerate(DECLARED[f"{name}_vjp"].names):
            value = good[index]
            if isinstance(value, torch.Tensor):
                changes = [change for _, change in tensor_changes(f"{name}_vjp", argument, value, torch)]
            else:
                changes = list(other_changes(f"{name}_vjp", argument, value))
            for change in changes:
                words = refusal(python, replaced(good, index, change))
                assert words, f"{argument}: {change}"
                if index > 0 and not (isinstance(change, torch.Tensor) and change.is_meta):
                    expected = refusal(operator, replaced(native, index, change))
                    assert expected and head(words) == head(expected)


def test_an_overwritten_trajectory_is_refused(calls: Any, torch: Any) -> None:
    """The content of the tensor that owns a trajectory has no effect."""
    arguments = calls["rollout_vjp"]
    expected = torch.ops.diffmpm.rollout_vjp(*arguments)
    arguments[0].fill_(10**12)
    for result, first in zip(torch.ops.diffmpm.rollout_vjp(*arguments), expected, strict=True):
        assert torch.equal(result, first)


def test_gradients_of_missing_inputs(calls: Any, torch: Any) -> None:
    rollout = replaced(replaced(calls["rollout"], 4, None), 16, False)
    *states, _, trajectory = torch.ops.diffmpm.rollout(*rollout)
    cotangents = [torch.ones_like(t) for t in states]
    with pytest.raises((RuntimeError, dm.ConfigError), match="wrt: expected inputs that were passed, got Fp"):
        torch.ops.diffmpm.rollout_vjp(trajectory, *cotangents, None, [1, STEPS], 1 << 4, 2)
    with pytest.raises((RuntimeError, dm.ConfigError), match=r"adj_G: expected shape \(2, 0, 3, 3\), got"):
        torch.ops.diffmpm.rollout_vjp(trajectory, *cotangents, cotangents[3], [1, STEPS], 1, 2)
    with pytest.raises((RuntimeError, dm.ConfigError), match="expected at least one cotangent, got none"):
        torch.ops.diffmpm.rollout_vjp(trajectory, *[None] * 5, [1, STEPS], 1, 2)


def layouts(t: Any, torch: Any) -> Iterator[Any]:
    """Tensors of the same values in other layouts."""
    yield torch.stack([t, torch.full_like(t, 7)], -1)[..., 0]
    if t.dim() > 1:
        yield t.transpose(0, -1).contiguous().transpose(0, -1)
        yield torch.cat([t, t], -1)[..., : t.shape[-1]]
    if t.dim() > 0:
        yield torch.cat([t, t])[: len(t)]
        yield torch.stack([t, torch.zeros_like(t)], 1)[:, 0]


@pytest.mark.parametrize("kernels", ["registered", "python"])
@pytest.mark.parametrize("name", OPERATORS)
def test_layouts_of_every_argument(name: str, kernels: str, calls: Any, torch: Any) -> None:
    """Strided and transposed tensors give the bits of contiguous ones, and expanded ones those of their copies."""
    from diffmpm.torch._operator import OPERATORS as DECLARED

    plain = name.split()[0]
    call = getattr(torch.ops.diffmpm, plain) if kernels == "registered" else DECLARED[plain].run
    good = list(calls[name])
    if kernels == "python" and plain in ("rollout_vjp", "rasterize_vjp"):
        good[0] = DECLARED[plain.removesuffix("_vjp")].run(*calls[plain.removesuffix("_vjp")])[-1]

    def results(args: list[Any]) -> list[Any]:
        result = call(*args)
        return [result] if isinstance(result, torch.Tensor) else [t for t in result if t.dtype != torch.int64]

    expected = results(good)
    for index, value in enumerate(good):
        if not isinstance(value, torch.Tensor) or value.dtype == torch.int64:
            continue
        for other in layouts(value, torch):
            for a, b in zip(results(replaced(good, index, other)), expected, strict=True):
                assert torch.equal(a, b), f"{name}: argument {index}"
        if value.dim() > 0 and not (plain == "rasterize" and index in (7, 8)):
            expanded = value[:1].expand(value.shape)
            alike = results(replaced(good, index, expanded.contiguous()))
            for a, b in zip(results(replaced(good, index, expanded)), alike, strict=True):
                assert torch.equal(a, b), f"{name}: argument {index}, expanded"
