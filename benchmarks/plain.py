# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The workload of step.py in plain PyTorch and JAX, with gathers, scatters and autograd, for comparison.

Both use batched 3x3 algebra, one weight per particle and node, and one scatter-add. The rotation uses Newton's
iteration, whose derivative exists where that of the singular value decomposition does not.
"""

from typing import Any

import numpy as np

POLAR_ITERATIONS = 5  # F is within 3 % of the identity: converged in float32


class PlainStep:
    """A time step with the NumPy-like module `xp`; subclasses implement scatter and autograd."""

    name = ""
    xp: Any

    def __init__(self, sim: Any, control: np.ndarray, target: np.ndarray, steps: int) -> None:
        body, c = sim.particles, sim.config
        self.steps, self.dims, self.dt, self.drag, self.g = steps, c.dims, c.dt, c.drag, c.gravity
        self.width, self.shift = (4, 1.0) if c.basis == "cubic" else (3, 0.5)
        self.inv_D, self.walls = 3.0 if c.basis == "cubic" else 4.0, c.boundary_nodes
        slots = np.stack(np.meshgrid(*[np.arange(self.width)] * 3, indexing="ij"), -1).reshape(-1, 3)
        node = np.stack(np.meshgrid(*[np.arange(n) for n in c.dims], indexing="ij"), -1).reshape(-1, 3)
        low, high = node < self.walls, node >= np.array(c.dims) - self.walls
        arrays = {
            "x": body.x, "v": body.v, "C": body.C, "F": body.F, "control": control[0], "target": target.reshape(-1),
            "slots": slots, "low": low, "high": high, "eye": np.eye(3, dtype=body.dtype),
            "g": np.array(c.gravity, body.dtype),
        }  # fmt: skip
        self.a = {name: self.asarray(array) for name, array in arrays.items()}
        self.mass, self.volume = float(body.mass[0]), float(body.volume[0])
        self.lam, self.mu = float(body.lam[0]), float(body.mu[0])

    def weights(self, x: Any) -> tuple[Any, Any, Any]:
        """Return flat nodes (N, S), weights (N, S) and offsets (N, S, 3); dx is 1."""
        xp = self.xp
        base = xp.floor(x - self.shift)
        nodes = base[:, None, :] + self.a["slots"]
        r = xp.abs(x[:, None, :] - nodes)
        if self.width == 4:
            w = xp.where(r < 1.0, 0.5 * r**3 - r**2 + 2.0 / 3.0, (2.0 - r) ** 3 / 6.0)
        else:
            w = xp.where(r < 0.5, 0.75 - r**2, 0.5 * (1.5 - r) ** 2)
        n = self.integers(nodes)
        flat = (n[..., 0] * self.dims[1] + n[..., 1]) * self.dims[2] + n[..., 2]
        return flat, w[..., 0] * w[..., 1] * w[..., 2], nodes - x[:, None, :]

    def cofactor(self, F: Any) -> Any:
        """Return the cofactor matrices."""
        xp, (a, b, c) = self.xp, (F[:, 0], F[:, 1], F[:, 2])
        cross = self.cross
        return xp.stack([cross(b, c), cross(c, a), cross(a, b)], 1)

    def stress(self, F: Any) -> Any:
        """Return the Kirchhoff stress of the fixed corotated material."""
        R = F
        for _ in range(POLAR_ITERATIONS):
            cof = self.cofactor(R)
            R = 0.5 * (R + cof / (R[:, 0] * cof[:, 0]).sum(-1)[:, None, None])
        J = (F[:, 0] * self.cofactor(F)[:, 0]).sum(-1)[:, None, None]
        return 2.0 * self.mu * (F - R) @ self.transpose(F) + self.lam * (J - 1.0) * J * self.a["eye"]

    def step(self, x: Any, v: Any, C: Any, F: Any) -> tuple[Any, Any, Any, Any]:
        """Return the next state."""
        xp, a = self.xp, self.a
        flat, w, d = self.weights(x)
        A = -self.dt * self.volume * self.inv_D * self.stress(F) + self.mass * C
        q = (1.0 - self.dt * self.drag) * self.mass * v[:, None, :] + xp.einsum("pij,psj->psi", A, d)
        m = self.scatter(flat, w * self.mass)
        u = self.scatter(flat, w[..., None] * q) / xp.where(m > 0.0, m, xp.ones_like(m))[:, None] + self.dt * a["g"]
        blocked = (a["low"] & (u < 0.0)) | (a["high"] & (u > 0.0))
        u = xp.where(blocked | (m <= 0.0)[:, None], xp.zeros_like(u), u)
        near = w[..., None] * u[flat]
        v = near.sum(1)
        C = self.inv_D * xp.einsum("psi,psj->pij", near, d)
        return x + self.dt * v, v, C, (a["eye"] + self.dt * C) @ F

    def loss(self, control: Any) -> Any:
        """Return the log mass loss at the final state."""
        a = self.a
        x, v, C, F = a["x"], a["v"], a["C"], a["F"] + control
        for _ in range(self.steps):
            x, v, C, F = self.step(x, v, C, F)
        flat, w, _ = self.weights(x)
        m = self.scatter(flat, w * self.mass)
        return 0.5 * ((self.xp.log1p(m) - self.xp.log1p(a["target"])) ** 2).sum()


class TorchStep(PlainStep):
    """Plain PyTorch, eager."""

    name = "PyTorch"

    def __init__(self, *args: Any) -> None:
        import torch

        self.xp, self.asarray, self.cross = torch, torch.from_numpy, torch.linalg.cross
        super().__init__(*args)

    def integers(self, x: Any) -> Any:
        """Return integers as indices."""
        return x.long()

    def transpose(self, F: Any) -> Any:
        """Return the transposed matrices."""
        return F.transpose(-1, -2)

    def scatter(self, flat: Any, values: Any) -> Any:
        """Return the sums of values (N, S, ...) over the nodes."""
        shape = (int(np.prod(self.dims)), *values.shape[2:])
        return self.xp.zeros(shape, dtype=values.dtype).index_add(0, flat.reshape(-1), values.flatten(0, 1))

    def forward(self) -> Any:
        """Run all steps and the loss."""
        with self.xp.no_grad():
            return self.loss(self.a["control"])

    def gradient(self) -> np.ndarray:
        """Return the gradient of the loss with respect to the control."""
        control = self.a["control"].clone().requires_grad_()
        self.loss(control).backward()
        return control.grad.numpy()

    forward_backward = gradient


class JaxStep(PlainStep):
    """Plain JAX, jit-compiled as a whole."""

    name = "JAX"

    def __init__(self, *args: Any) -> None:
        import jax
        import jax.numpy as jnp

        self.xp, self.asarray, self.cross = jnp, jnp.asarray, jnp.cross
        super().__init__(*args)
        self._loss, self._gradient = jax.jit(self.loss), jax.jit(jax.grad(self.loss))

    def integers(self, x: Any) -> Any:
        """Return integers as indices."""
        return x.astype(int)

    def transpose(self, F: Any) -> Any:
        """Return the transposed matrices."""
        return F.swapaxes(-1, -2)

    def scatter(self, flat: Any, values: Any) -> Any:
        """Return the sums of values (N, S, ...) over the nodes."""
        shape = (int(np.prod(self.dims)), *values.shape[2:])
        return self.xp.zeros(shape, values.dtype).at[flat.reshape(-1)].add(values.reshape(-1, *values.shape[2:]))

    def forward(self) -> Any:
        """Run all steps and the loss."""
        return self._loss(self.a["control"]).block_until_ready()

    def gradient(self) -> np.ndarray:
        """Return the gradient of the loss with respect to the control."""
        return np.asarray(self._gradient(self.a["control"]).block_until_ready())

    forward_backward = gradient
