# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The adjoint of the surface evaluation: every input, every output, and singular points."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import tolerances as tol
from scenes import five_point_difference

OUTPUTS = ("means", "covars", "normals", "weights")
WRT = ("x", "F", "sigma0")


def body(rng: np.random.Generator, case: str = "jittered") -> tuple[np.ndarray, np.ndarray]:
    """Return a block of particles with different deformation gradients."""
    x = np.stack(np.meshgrid(*[np.arange(7.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    if case != "lattice":
        x = x + rng.uniform(-0.4, 0.4, x.shape)
    if case == "coincident":
        x[1::3] = x[0 : len(x) - 1 : 3][: len(x[1::3])]
    F = np.eye(3) + 0.15 * rng.standard_normal((len(x), 3, 3))
    return 0.1 * x + [3.0, -2.0, 1.0], F


def moved(rng: np.random.Generator, x: np.ndarray, F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the body in another frame than the binding: weights, normals and covariances change."""
    return x + 0.01 * rng.standard_normal(x.shape), F + 0.05 * rng.standard_normal(F.shape)


def cotangents(rng: np.random.Generator, g: dm.Gaussians) -> dict[str, np.ndarray]:
    scale = {"means": 10.0, "covars": 100.0, "normals": 1.0, "weights": 1.0}
    return {f"adj_{n}": scale[n] * rng.standard_normal(getattr(g, n).shape) for n in OUTPUTS}


def value(g: dm.Gaussians, adj: dict[str, np.ndarray]) -> float:
    return sum(float(np.vdot(a, getattr(g, n.removeprefix("adj_")))) for n, a in adj.items())


def slope(binding: Any, at: dict[str, Any], along: dict[str, Any], adj: dict[str, np.ndarray], h: float) -> float:
    """Return the central difference of <adj, outputs> along a direction of the inputs."""

    def objective(step: float) -> float:
        inputs = {k: v + step * along.get(k, 0.0) for k, v in at.items()}
        return value(binding.evaluate(inputs["x"], inputs["F"], sigma0=float(inputs["sigma0"])), adj)

    return five_point_difference(objective, h)


@pytest.mark.parametrize("case", ["jittered", "lattice", "coincident"])
@pytest.mark.parametrize("flatness", [1.0, 0.3])
def test_central_differences(case: str, flatness: float, rng: np.random.Generator) -> None:
    x0, F0 = body(rng, case)
    binding = dm.surface.bind(x0, F0, samples=150, config=dm.SurfaceConfig(flatness=flatness))
    x, F = moved(rng, x0, F0)
    at: dict[str, Any] = {"x": x, "F": F, "sigma0": 0.7}
    g = binding.evaluate(x, F, sigma0=0.7)
    scale = {"x": 0.1, "F": 1.0, "sigma0": 1.0}
    every = cotangents(rng, g)
    for adj in (every, *({n: a} for n, a in every.items())):
        grads = dict(zip(WRT, g.vjp(**adj, wrt=WRT), strict=True))
        for names in (WRT, *((name,) for name in WRT)):
            along = {n: scale[n] * rng.standard_normal(np.shape(at[n])) for n in names}
            expected = slope(binding, at, along, adj, tol.CENTRAL_DIFFERENCE_STEP)
            got = sum(float(np.vdot(along[n], grads[n])) for n in names)
            size = sum(scale[n] * float(np.linalg.norm(grads[n])) for n in names)
            # Some gradients are zero (means do not depend on sigma0), which leaves the rounding of the difference.
            total = sum(float(np.abs(a * getattr(g, n.removeprefix("adj_"))).sum()) for n, a in adj.items())
            rounding = 10 * tol.EPS[tol.F64] * total / tol.CENTRAL_DIFFERENCE_STEP
            assert abs(got - expected) <= tol.CENTRAL_DIFFERENCE * max(size, abs(expected)) + rounding, (
                tuple(adj),
                names,
            )


def test_every_component_by_central_differences(rng: np.random.Generator) -> None:
    """All input components of a tiny body."""
    x0, F0 = body(rng)
    near = np.linalg.norm(x0 - x0.mean(0), axis=1).argsort()[:40]
    binding = dm.surface.bind(x0[near], F0[near], samples=60)
    x, F = moved(rng, x0[near], F0[near])
    at: dict[str, Any] = {"x": x, "F": F, "sigma0": 0.75}
    g = binding.evaluate(x, F)
    adj = cotangents(rng, g)
    grads = dict(zip(WRT, g.vjp(**adj, wrt=WRT), strict=True))
    for name, scale in (("x", 0.1), ("F", 1.0)):
        expected = np.zeros(at[name].shape)
        for index in np.ndindex(*at[name].shape):
            along = np.zeros(at[name].shape)
            along[index] = scale
            expected[index] = slope(binding, at, {name: along}, adj, tol.CENTRAL_DIFFERENCE_STEP) / scale
        error = np.linalg.norm(grads[name] - expected) / np.linalg.norm(expected)
        assert error <= tol.CENTRAL_DIFFERENCE, name


def autograd(binding: Any, x: np.ndarray, F: np.ndarray, sigma0: float) -> tuple[Any, Any]:
    """Return the inputs and outputs of an independent PyTorch implementation."""
    torch = pytest.importorskip("torch")
    inputs = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, F, sigma0)]
    p = torch.tensor(binding.parents.astype(np.int64))
    r, s, A, n0 = (torch.tensor(a) for a in (binding.offsets, binding.supports, binding.axes, binding.normals))
    xs, Fs = inputs[0][p], inputs[1][p]
    positions = xs + (Fs @ r[..., None])[..., 0]
    u = ((positions[:, :1] - xs) ** 2).sum(-1) / s[:, None] ** 2
    w = torch.clamp(1 - u, min=0) ** 3 + 1e-6
    w = w / w.sum(1, keepdim=True)
    Fi = (w[..., None, None] * Fs).sum(1)
    B = inputs[2] * Fi @ A
    area = (torch.linalg.det(Fi)[:, None, None] * torch.linalg.inv(Fi).transpose(1, 2) @ n0[..., None])[..., 0]
    normals = area / area.norm(dim=1, keepdim=True)
    return inputs, ((w[..., None] * positions).sum(1), B @ B.transpose(1, 2), normals, w)


def test_matches_autograd(rng: np.random.Generator) -> None:
    x0, F0 = body(rng)
    binding = dm.surface.bind(x0, F0, samples=200)
    x, F = moved(rng, x0, F0)
    inputs, outputs = autograd(binding, x, F, 0.6)
    g = binding.evaluate(x, F, sigma0=0.6)
    for name, expected in zip(OUTPUTS, outputs, strict=True):
        np.testing.assert_allclose(getattr(g, name), expected.detach().numpy(), rtol=tol.MIRROR, atol=1e-12)
    adj = cotangents(rng, g)
    import torch

    torch.autograd.backward(outputs, [torch.tensor(adj[f"adj_{n}"]) for n in OUTPUTS])
    for name, got, tensor in zip(WRT, g.vjp(**adj, wrt=WRT), inputs, strict=True):
        expected = tensor.grad.numpy()
        assert np.linalg.norm(got - expected) <= tol.MIRROR * np.linalg.norm(expected), name


def test_dot_product(rng: np.random.Generator) -> None:
    """<adj, J d> by forward-mode differentiation in PyTorch against <J^T adj, d>."""
    torch = pytest.importorskip("torch")
    x0, F0 = body(rng)
    binding = dm.surface.bind(x0, F0, samples=100)
    x, F = moved(rng, x0, F0)
    g = binding.evaluate(x, F)
    adj = cotangents(rng, g)
    d = (0.1 * rng.standard_normal(x.shape), rng.standard_normal(F.shape), rng.standard_normal())
    inputs, outputs = autograd(binding, x, F, 0.75)
    total = 0.0
    for name, out in zip(OUTPUTS, outputs, strict=True):
        dummy = torch.zeros_like(out, requires_grad=True)
        pulled = torch.autograd.grad(out, inputs, dummy, create_graph=True, retain_graph=True, allow_unused=True)
        pushed = sum(
            (a * torch.tensor(b, dtype=torch.float64)).sum() for a, b in zip(pulled, d, strict=True) if a is not None
        )
        (tangent,) = torch.autograd.grad(
            pushed, dummy, retain_graph=True
        )  # J d, the derivative of J^T u with respect to u
        total += float(np.vdot(adj[f"adj_{name}"], tangent.numpy()))
    got = sum(float(np.vdot(a, b)) for a, b in zip(g.vjp(**adj, wrt=WRT), d, strict=True))
    assert abs(got - total) <= tol.DOT_PRODUCT * abs(total)


@pytest.mark.parametrize("case", ["lattice", "coincident", "collapsed", "far apart", "inverted", "flat", "single"])
def test_no_nan_at_singular_points(case: str, rng: np.random.Generator) -> None:
    x0, F0 = body(rng, "lattice" if case == "lattice" else "coincident" if case == "coincident" else "jittered")
    config = dm.SurfaceConfig(spacing=0.1)
    if case == "single":
        x0, F0 = x0[:1], F0[:1]
    binding = dm.surface.bind(x0, F0, samples=80, config=config)
    x, F = x0.copy(), F0.copy()
    if case == "collapsed":
        x[:] = x[0]
    elif case == "far apart":
        x *= 1e4
    elif case == "inverted":
        F *= -1.0
    elif case == "flat":
        F[:] = 0.0
    g = binding.evaluate(x, F)
    grads = g.vjp(**cotangents(rng, g), wrt=WRT)
    for array in (g.means, g.covars, g.normals, g.weights, *grads):
        assert np.isfinite(array).all()
    np.testing.assert_allclose(g.weights.sum(1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(g.normals, axis=1), 1.0, rtol=1e-12)


def test_weights_have_a_gradient(rng: np.random.Generator) -> None:
    """The weights depend on the current positions, and so does the gradient."""
    x0, F0 = body(rng)
    binding = dm.surface.bind(x0, F0, samples=100)
    x, F = moved(rng, x0, F0)
    g = binding.evaluate(x, F)
    adj = rng.standard_normal(g.covars.shape)
    # Covariances depend on x only through the weights.
    assert np.count_nonzero(np.abs(g.vjp(adj_covars=adj)[0]).sum(1)) > 100


def test_single_precision(rng: np.random.Generator) -> None:
    x0, F0 = (a.astype(np.float32) for a in body(rng))
    x, F = (a.astype(np.float32) for a in moved(rng, x0, F0))
    single = dm.surface.bind(x0, F0, samples=300)
    double = dm.surface.bind(x0.astype(np.float64), F0.astype(np.float64), samples=300)
    np.testing.assert_array_equal(single.parents, double.parents)
    got, expected = single.evaluate(x, F), double.evaluate(x.astype(np.float64), F.astype(np.float64))
    adj = cotangents(rng, expected)
    narrow = {n: a.astype(np.float32) for n, a in adj.items()}
    for name in OUTPUTS:
        a, b = getattr(got, name), getattr(expected, name)
        assert a.dtype == np.float32
        assert np.linalg.norm(a - b) <= tol.SINGLE_PRECISION * np.linalg.norm(b), name
    wide = {n: a.astype(np.float64) for n, a in narrow.items()}
    for name, a, b in zip(WRT, got.vjp(**narrow, wrt=WRT), expected.vjp(**wide, wrt=WRT), strict=True):
        assert a.dtype == np.float32
        assert np.linalg.norm(a - b) <= tol.SINGLE_PRECISION * np.linalg.norm(b), name
