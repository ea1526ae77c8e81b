# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Independent reference implementation of the method in PyTorch, on a dense grid in float64, with autograd.

It shares no code with the package. All operations are holomorphic (branches use real parts only), so the code also runs
on complex128, where a complex step gives directional derivatives to machine precision. torch is imported inside
functions, so the module can be imported without it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

# Inputs of a rollout, by their names in `Rollout.vjp(wrt=...)`.
INPUTS = ("control", "x", "v", "C", "F", "G", "Fp", "lam", "mu", "mass", "volume", "gravity", "drag")
STATE = ("x", "v", "C", "F", "G")
# Newton's polar iteration halves large and doubles small singular values until they are near one, and then converges
# quadratically: after a change below this, one more iteration reaches machine precision, and another the derivative.
POLAR_CONVERGED = 1e-8


def config(**fields: Any) -> SimpleNamespace:
    """Return a stand-in for `diffmpm.SimConfig` with the same field names and defaults."""
    defaults = {
        "origin": (0.0, 0.0, 0.0),
        "basis": "cubic",
        "material": "fixed_corotated",
        "boundary": "none",
        "boundary_nodes": 3,
        "smoothing": 0.0,
        "shear_viscosity": 0.0,
        "bulk_viscosity": 0.0,
        "damping": 0.0,
        "volume_carried": False,
        "colliders": (),
    }
    return SimpleNamespace(**{**defaults, **fields})


def transpose(matrix: Any) -> Any:
    """Transpose a batch of matrices without conjugation."""
    return matrix.transpose(-1, -2)


def determinant(matrix: Any) -> Any:
    """Return determinants of 3x3 matrices as triple products of the rows."""
    import torch

    r0, r1, r2 = matrix.unbind(-2)
    return (r0 * torch.linalg.cross(r1, r2)).sum(-1)


def inverse_transpose(matrix: Any) -> Any:
    """Return inverse transposes of 3x3 matrices: cofactors over determinant."""
    import torch

    r0, r1, r2 = matrix.unbind(-2)
    cofactors = torch.stack([torch.linalg.cross(r1, r2), torch.linalg.cross(r2, r0), torch.linalg.cross(r0, r1)], -2)
    return cofactors / determinant(matrix)[..., None, None]


def rotation(F: Any) -> Any:
    """Return the rotation R of F = R S, det F > 0, by Newton's iteration X <- (X + X^-T) / 2.

    Autograd is correct at repeated singular values too, because no operation depends on their difference.
    """
    R, extra = F, 0
    for _ in range(200):
        change = 0.5 * (inverse_transpose(R) - R)
        R = R + change
        extra += int(float(change.detach().abs().max()) < POLAR_CONVERGED)
        if extra == 3:
            return R
    raise ValueError("the polar decomposition did not converge: F is singular or not finite")


def kirchhoff_stress(Fe: Any, lam: Any, mu: Any, material: str) -> Any:
    """Return Kirchhoff stresses tau = P(Fe) Fe^T, shape (N, 3, 3)."""
    import torch

    identity = torch.eye(3, dtype=Fe.dtype)
    J = determinant(Fe)[:, None, None]
    lam, mu = lam[:, None, None], mu[:, None, None]
    if material == "fixed_corotated":
        return 2.0 * mu * (Fe - rotation(Fe)) @ transpose(Fe) + lam * (J - 1.0) * J * identity
    if material == "neo_hookean":
        return mu * Fe @ transpose(Fe) + lam * (J - 1.0 - mu / lam) * J * identity
    raise ValueError(material)


def bspline(r: Any, basis: str) -> Any:
    """Return the B-spline at distances r [cells] of any shape."""
    import torch

    r = torch.where(r.real < 0.0, -r, r)
    if basis == "quadratic":
        inner, outer, knot = 0.75 - r**2, 0.5 * (1.5 - r) ** 2, 0.5
    else:
        inner, outer, knot = 0.5 * r**3 - r**2 + 2.0 / 3.0, (2.0 - r) ** 3 / 6.0, 1.0
    value = torch.where(r.real < knot, inner, outer)
    return torch.where(r.real < knot + 1.0, value, torch.zeros_like(value))


def stencil(x: Any, cfg: Any) -> tuple[Any, Any, Any]:
    """Return flat node indices (N, S), weights (N, S) and offsets x_i - x_p (N, S, 3) of the S = 27 or 64 nodes."""
    import torch

    width, shift = (3, -0.5) if cfg.basis == "quadratic" else (4, -1.0)
    origin = torch.tensor(np.asarray(cfg.origin, dtype=np.float64))
    position = (x - origin) / cfg.dx
    base = torch.floor(position.real + shift).long()
    slots = torch.cartesian_prod(*[torch.arange(width)] * 3)
    nodes = base[:, None, :] + slots
    dims = torch.tensor(list(cfg.dims))
    if bool((nodes < 0).any()) or bool((nodes >= dims).any()):
        raise ValueError("a particle left the grid")
    weights = bspline(position[:, None, :] - nodes, cfg.basis).prod(-1)
    flat = (nodes[..., 0] * dims[1] + nodes[..., 1]) * dims[2] + nodes[..., 2]
    return flat, weights, nodes.double() * cfg.dx + origin - x[:, None, :]


def scatter(values: Any, flat: Any, cfg: Any) -> Any:
    """Sum values (N, S, ...) over the nodes of the dense grid."""
    import torch

    shape = (int(np.prod(cfg.dims)), *values.shape[2:])
    return torch.zeros(shape, dtype=values.dtype).index_add(0, flat.reshape(-1), values.flatten(0, 1))


def grid_mass(x: Any, mass: Any, cfg: Any) -> Any:
    """Return the mass of every node, shape `dims`."""
    flat, weights, _ = stencil(x, cfg)
    return scatter(weights * mass[:, None], flat, cfg).reshape(tuple(cfg.dims))


def masses(x: np.ndarray, mass: np.ndarray, cfg: Any) -> np.ndarray:
    """Return `grid_mass` for NumPy arrays."""
    import torch

    return grid_mass(torch.tensor(np.asarray(x, np.float64)), torch.tensor(np.asarray(mass, np.float64)), cfg).numpy()


def collide(v: Any, nodes_x: Any, colliders: Any) -> Any:
    """Apply half-spaces and spheres to node velocities, in order."""
    import torch

    for collider in colliders:
        if hasattr(collider, "radius"):
            offset = nodes_x - torch.tensor(np.asarray(collider.center, dtype=np.float64))
            distance = offset.norm(dim=-1)
            inside = distance < collider.radius
            normal = offset / distance.clamp_min(1e-300)[:, None]
        else:
            normal = torch.tensor(np.asarray(collider.normal, dtype=np.float64)).expand(len(v), 3)
            inside = ((nodes_x - torch.tensor(np.asarray(collider.point, dtype=np.float64))) * normal).sum(-1) < 0.0
        speed = (v * normal).sum(-1, keepdim=True)
        if collider.mode == "sticky":
            blocked = torch.zeros_like(v)
        elif collider.mode == "slip":
            blocked = v - normal * speed
        else:
            blocked = v - normal * torch.where(speed.real < 0.0, speed, torch.zeros_like(speed))
        v = torch.where(inside[:, None], blocked, v)
    return v


def confine(v: Any, cfg: Any) -> Any:
    """Apply the boundary condition to the outer `boundary_nodes` node layers."""
    import torch

    if cfg.boundary == "none":
        return v
    dims = torch.tensor(list(cfg.dims))
    index = torch.cartesian_prod(*[torch.arange(n) for n in cfg.dims])
    low, high = index < cfg.boundary_nodes, index >= dims - cfg.boundary_nodes
    if cfg.boundary == "sticky":
        blocked = (low | high).any(-1, keepdim=True).expand(v.shape)
    elif cfg.boundary == "slip":
        blocked = low | high
    else:
        blocked = (low & (v.real < 0.0)) | (high & (v.real > 0.0))
    return torch.where(blocked, torch.zeros_like(v), v)


def step(state: dict[str, Any], control: Any | None, const: dict[str, Any], cfg: Any) -> dict[str, Any]:
    """Advance by one step, equations (1) to (9); `control` is dFc of the step or None."""
    import torch

    x, v, C, F = (state[name] for name in "xvCF")
    mass, volume, gravity, drag = (const[name] for name in ("mass", "volume", "gravity", "drag"))
    identity = torch.eye(3, dtype=F.dtype)
    D = cfg.dx**2 / (4.0 if cfg.basis == "quadratic" else 3.0)

    controlled = F if control is None else F + control
    Fe = controlled @ transpose(inverse_transpose(const["Fp"]))
    tau = kirchhoff_stress(Fe, const["lam"], const["mu"], cfg.material)
    strain_rate = 0.5 * (C + transpose(C))
    trace = strain_rate.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    tau = (
        tau + 2.0 * cfg.shear_viscosity * (strain_rate - trace / 3.0 * identity) + cfg.bulk_viscosity * trace * identity
    )
    A = -cfg.dt / D * volume[:, None, None] * tau + mass[:, None, None] * C

    flat, w, offset = stencil(x, cfg)
    carried = (1.0 - cfg.dt * drag) * mass[:, None] * v
    m = scatter(w * mass[:, None], flat, cfg)
    q = scatter(w[..., None] * (carried[:, None, :] + (A[:, None] @ offset[..., None])[..., 0]), flat, cfg)
    occupied = m.real > 0.0
    velocity = q / torch.where(occupied, m, torch.ones_like(m))[:, None] + cfg.dt * gravity
    velocity = torch.where(occupied[:, None], velocity, torch.zeros_like(velocity))
    nodes = torch.cartesian_prod(*[torch.arange(n) for n in cfg.dims])
    nodes_x = nodes.double() * cfg.dx + torch.tensor(np.asarray(cfg.origin, dtype=np.float64))
    velocity = confine(collide(velocity, nodes_x, cfg.colliders), cfg)

    gathered = w[..., None] * velocity[flat]
    v_next = gathered.sum(1)
    C_next = transpose(gathered) @ offset / D
    C_next = C_next - cfg.damping * 0.5 * (C_next + transpose(C_next))
    advance = identity + cfg.dt * C_next
    F_next = (1.0 - cfg.smoothing) * advance @ controlled + cfg.smoothing * F
    if cfg.volume_carried:
        ratio = determinant(F) * determinant(advance) / determinant(F_next)
        F_next = F_next * (ratio ** (1.0 / 3.0))[:, None, None]
    return {"x": x + cfg.dt * v_next, "v": v_next, "C": C_next, "F": F_next, "G": advance @ state["G"]}


def rollout(inputs: dict[str, Any], cfg: Any, steps: int, control_stride: int = 1) -> list[dict[str, Any]]:
    """Run `steps` steps from tensors named as in INPUTS and return the states of steps 0 to `steps`."""
    states = [{name: inputs[name] for name in STATE}]
    control = inputs.get("control")
    for n in range(steps):
        index, rest = divmod(n, control_stride)
        active = control is not None and rest == 0 and index < len(control)
        states.append(step(states[-1], control[index] if active else None, inputs, cfg))
    return states


def run(inputs: dict[str, np.ndarray], cfg: Any, steps: int, control_stride: int = 1) -> list[dict[str, np.ndarray]]:
    """Return `rollout` for NumPy arrays."""
    import torch

    tensors = {name: torch.tensor(np.asarray(a, dtype=np.float64)) for name, a in inputs.items()}
    return [{k: s.numpy() for k, s in state.items()} for state in rollout(tensors, cfg, steps, control_stride)]


def objective(
    states: list[dict[str, Any]], inputs: dict[str, Any], cfg: Any, cotangents: dict[int, dict[str, Any]]
) -> Any:
    """Return the inner product of states and grid masses with `cotangents[n]["adj_x" ... "adj_grid_mass"]`."""
    import torch

    value = 0.0
    for n, adjoints in cotangents.items():
        for name, adjoint in adjoints.items():
            quantity = name.removeprefix("adj_")
            output = grid_mass(states[n]["x"], inputs["mass"], cfg) if quantity == "grid_mass" else states[n][quantity]
            value = value + (output * torch.tensor(np.asarray(adjoint))).sum()
    return value


def gradients(
    inputs: dict[str, np.ndarray], cfg: Any, steps: int, cotangents: dict[int, dict[str, Any]], control_stride: int = 1
) -> tuple[list[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """Return the states of all steps and the gradient of `objective` with respect to every input, by autograd."""
    import torch

    leaves = {name: torch.tensor(np.asarray(a, dtype=np.float64), requires_grad=True) for name, a in inputs.items()}
    states = rollout(leaves, cfg, steps, control_stride)
    value = objective(states, leaves, cfg, cotangents)
    grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    named = {
        name: np.zeros(leaf.shape) if grad is None else grad.numpy()
        for (name, leaf), grad in zip(leaves.items(), grads, strict=True)
    }
    return [{k: s.detach().numpy() for k, s in state.items()} for state in states], named


def directional_derivative(
    inputs: dict[str, np.ndarray],
    directions: dict[str, np.ndarray],
    cfg: Any,
    steps: int,
    cotangents: dict[int, dict[str, Any]],
    control_stride: int = 1,
) -> float:
    """Return the derivative of `objective` along `directions` by a complex step of 1e-60, without truncation error."""
    import torch

    tiny = 1e-60
    with torch.no_grad():
        moved = {
            name: torch.tensor(np.asarray(a, dtype=np.float64) + 1j * tiny * directions.get(name, np.zeros_like(a)))
            for name, a in inputs.items()
        }
        states = rollout(moved, cfg, steps, control_stride)
        return float(objective(states, moved, cfg, cotangents).imag) / tiny
