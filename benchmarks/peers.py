# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The workload of step.py in NVIDIA Warp and Taichi, with their automatic differentiation, for comparison.

In each class `forward()` runs the steps, and `forward_backward()` also computes the gradient of the log mass loss with
respect to the control of the first step. Fixed corotated material, separating walls of three nodes, float32.
"""

from typing import Any

import numpy as np


class WarpStep:
    """Warp on one thread; its CPU backend is serial."""

    name = "Warp"

    def __init__(self, sim: Any, control: np.ndarray, target: np.ndarray, steps: int) -> None:
        import warp as wp

        wp.config.quiet = True
        wp.init()
        self.wp, self.steps = wp, steps
        body, config = sim.particles, sim.config
        n, nodes = body.count, config.dims[0]
        self.count, self.nodes = n, nodes
        kernels = _warp_kernels(wp, 4 if config.basis == "cubic" else 3)
        self.p2g, self.update, self.g2p, self.loss_kernel = kernels

        def array(values: np.ndarray, dtype: Any) -> Any:
            return wp.array(values, dtype=dtype, device="cpu", requires_grad=True)

        def zeros(dtype: Any) -> list[Any]:
            return [wp.zeros(n, dtype=dtype, device="cpu", requires_grad=True) for _ in range(steps)]

        self.x = [array(body.x, wp.vec3), *zeros(wp.vec3)]
        self.v = [array(body.v, wp.vec3), *zeros(wp.vec3)]
        self.C = [array(body.C, wp.mat33), *zeros(wp.mat33)]
        self.F = [array(body.F, wp.mat33), *zeros(wp.mat33)]
        self.control = array(control[0], wp.mat33)
        shape = (nodes, nodes, nodes)
        grid = {"device": "cpu", "requires_grad": True}
        self.m = [wp.zeros(shape, dtype=float, **grid) for _ in range(steps + 1)]
        self.q = [wp.zeros(shape, dtype=wp.vec3, **grid) for _ in range(steps + 1)]
        self.u = [wp.zeros(shape, dtype=wp.vec3, **grid) for _ in range(steps)]
        self.target = wp.array(target, dtype=float, device="cpu")
        self.loss = wp.zeros(1, dtype=float, device="cpu", requires_grad=True)
        self.properties = [float(body.mass[0]), float(body.volume[0]), float(body.lam[0]), float(body.mu[0])]
        self.dt, self.drag, self.g = float(config.dt), float(config.drag), float(config.gravity[1])

    def forward(self) -> None:
        """Run all steps and the loss."""
        wp = self.wp
        for array in (*self.m, *self.q):
            array.zero_()
        self.loss.zero_()
        for n in range(self.steps + 1):
            last = min(n, self.steps)
            wp.launch(
                self.p2g, self.count,
                [self.x[last], self.v[last], self.C[last], self.F[last], self.control, float(n == 0),
                 *self.properties, self.dt, self.drag, self.m[n], self.q[n]], device="cpu",
            )  # fmt: skip
            if n == self.steps:
                break
            wp.launch(self.update, self.m[n].shape, [self.m[n], self.q[n], self.dt, self.g, self.u[n]], device="cpu")
            wp.launch(
                self.g2p, self.count,
                [self.x[n], self.F[n], self.control, float(n == 0), self.u[n], self.dt,
                 self.x[n + 1], self.v[n + 1], self.C[n + 1], self.F[n + 1]], device="cpu",
            )  # fmt: skip
        wp.launch(self.loss_kernel, self.target.shape, [self.m[self.steps], self.target, self.loss], device="cpu")

    def forward_backward(self) -> None:
        """Run all steps and their adjoint."""
        tape = self.wp.Tape()
        with tape:
            self.forward()
        tape.backward(self.loss)
        tape.zero()


def _warp_kernels(wp: Any, S: int) -> tuple[Any, Any, Any, Any]:
    """Return the kernels for a stencil of S nodes, dx = 1."""
    width = wp.constant(S)
    shift = wp.constant(1.0 if S == 4 else 0.5)
    inv_d = wp.constant(3.0 if S == 4 else 4.0)
    cubic = wp.constant(S == 4)

    @wp.func
    def weight(e: float, a: int) -> float:
        d = wp.abs(e - float(a - 1))
        w = float(0.0)  # noqa: UP018 - a literal would be a constant
        if cubic:
            if d < 1.0:
                w = 2.0 / 3.0 - d * d + 0.5 * d * d * d
            elif d < 2.0:
                w = (2.0 - d) * (2.0 - d) * (2.0 - d) / 6.0
        else:
            if d < 0.5:
                w = 0.75 - d * d
            elif d < 1.5:
                w = 0.5 * (1.5 - d) * (1.5 - d)
        return w

    @wp.kernel
    def p2g(
        x: wp.array(dtype=wp.vec3), v: wp.array(dtype=wp.vec3), C: wp.array(dtype=wp.mat33),
        F: wp.array(dtype=wp.mat33), control: wp.array(dtype=wp.mat33), use: float,
        mass: float, volume: float, lam: float, mu: float, dt: float, drag: float,
        m: wp.array3d(dtype=float), q: wp.array3d(dtype=wp.vec3),
    ):  # fmt: skip
        p = wp.tid()
        Fc = F[p] + use * control[p]
        U = wp.mat33()
        V = wp.mat33()
        s = wp.vec3()
        wp.svd3(Fc, U, s, V)
        R = U * wp.transpose(V)
        J = wp.determinant(Fc)
        eye = wp.identity(n=3, dtype=float)
        tau = 2.0 * mu * (Fc - R) * wp.transpose(Fc) + lam * (J - 1.0) * J * eye
        A = -dt * volume * inv_d * tau + mass * C[p]
        pos = x[p]
        bx = int(wp.floor(pos[0] - shift))
        by = int(wp.floor(pos[1] - shift))
        bz = int(wp.floor(pos[2] - shift))
        e = pos - wp.vec3(float(bx + 1), float(by + 1), float(bz + 1))
        b = (1.0 - dt * drag) * mass * v[p]
        for i in range(width):
            for j in range(width):
                for k in range(width):
                    w = weight(e[0], i) * weight(e[1], j) * weight(e[2], k)
                    d = wp.vec3(float(i - 1), float(j - 1), float(k - 1)) - e
                    wp.atomic_add(m, bx + i, by + j, bz + k, w * mass)
                    wp.atomic_add(q, bx + i, by + j, bz + k, w * (b + A * d))

    @wp.kernel
    def update(
        m: wp.array3d(dtype=float), q: wp.array3d(dtype=wp.vec3), dt: float, g: float, u: wp.array3d(dtype=wp.vec3)
    ):
        i, j, k = wp.tid()
        value = wp.vec3()
        if m[i, j, k] > 0.0:
            value = q[i, j, k] / m[i, j, k] + wp.vec3(0.0, dt * g, 0.0)
            top = m.shape[0] - 3
            vx = value[0]
            vy = value[1]
            vz = value[2]
            if (i < 3 and vx < 0.0) or (i >= top and vx > 0.0):
                vx = 0.0
            if (j < 3 and vy < 0.0) or (j >= top and vy > 0.0):
                vy = 0.0
            if (k < 3 and vz < 0.0) or (k >= top and vz > 0.0):
                vz = 0.0
            value = wp.vec3(vx, vy, vz)
        u[i, j, k] = value

    @wp.kernel
    def g2p(
        x: wp.array(dtype=wp.vec3), F: wp.array(dtype=wp.mat33), control: wp.array(dtype=wp.mat33), use: float,
        u: wp.array3d(dtype=wp.vec3), dt: float,
        x1: wp.array(dtype=wp.vec3), v1: wp.array(dtype=wp.vec3), C1: wp.array(dtype=wp.mat33),
        F1: wp.array(dtype=wp.mat33),
    ):  # fmt: skip
        p = wp.tid()
        pos = x[p]
        bx = int(wp.floor(pos[0] - shift))
        by = int(wp.floor(pos[1] - shift))
        bz = int(wp.floor(pos[2] - shift))
        e = pos - wp.vec3(float(bx + 1), float(by + 1), float(bz + 1))
        v = wp.vec3()
        B = wp.mat33()
        for i in range(width):
            for j in range(width):
                for k in range(width):
                    w = weight(e[0], i) * weight(e[1], j) * weight(e[2], k)
                    d = wp.vec3(float(i - 1), float(j - 1), float(k - 1)) - e
                    g = w * u[bx + i, by + j, bz + k]
                    v += g
                    B += wp.outer(g, d)
        C = inv_d * B
        C1[p] = C
        v1[p] = v
        x1[p] = pos + dt * v
        F1[p] = (wp.identity(n=3, dtype=float) + dt * C) * (F[p] + use * control[p])

    @wp.kernel
    def loss(m: wp.array3d(dtype=float), target: wp.array3d(dtype=float), out: wp.array(dtype=float)):
        i, j, k = wp.tid()
        r = wp.log(1.0 + m[i, j, k]) - wp.log(1.0 + target[i, j, k])
        wp.atomic_add(out, 0, 0.5 * r * r)

    return p2g, update, g2p, loss


class TaichiStep:
    """Taichi on all cores with the LLVM backend; compiling takes one to two minutes."""

    name = "Taichi"

    def __init__(self, sim: Any, control: np.ndarray, target: np.ndarray, steps: int) -> None:
        import os

        import taichi as ti

        ti.init(arch=ti.cpu, default_fp=ti.f32, cpu_max_num_threads=os.cpu_count(), log_level=ti.ERROR)
        self.ti, self.steps = ti, steps
        body, config = sim.particles, sim.config
        n, nodes = body.count, config.dims[0]
        shape = (steps + 1, nodes, nodes, nodes)
        self.x = ti.Vector.field(3, float, (steps + 1, n), needs_grad=True)
        self.v = ti.Vector.field(3, float, (steps + 1, n), needs_grad=True)
        self.C = ti.Matrix.field(3, 3, float, (steps + 1, n), needs_grad=True)
        self.F = ti.Matrix.field(3, 3, float, (steps + 1, n), needs_grad=True)
        self.control = ti.Matrix.field(3, 3, float, n, needs_grad=True)
        self.m = ti.field(float, shape, needs_grad=True)
        self.q = ti.Vector.field(3, float, shape, needs_grad=True)
        self.u = ti.Vector.field(3, float, shape, needs_grad=True)
        self.target = ti.field(float, shape[1:])
        self.loss = ti.field(float, (), needs_grad=True)
        self.control.from_numpy(control[0])
        self.target.from_numpy(target)
        for field, values in ((self.x, body.x), (self.v, body.v), (self.C, body.C), (self.F, body.F)):
            full = np.zeros((steps + 1, *values.shape), np.float32)
            full[0] = values
            field.from_numpy(full)
        self.kernels = _taichi_kernels(ti, self, body, config)

    def forward(self) -> None:
        """Run all steps and the loss."""
        clear, p2g, update, g2p, loss = self.kernels
        clear()
        for n in range(self.steps):
            p2g(n)
            update(n)
            g2p(n)
        p2g(self.steps)
        loss()
        self.ti.sync()

    def forward_backward(self) -> None:
        """Run all steps and their adjoint."""
        clear, p2g, update, g2p, loss = self.kernels
        clear()
        with self.ti.ad.Tape(self.loss):
            for n in range(self.steps):
                p2g(n)
                update(n)
                g2p(n)
            p2g(self.steps)
            loss()
        self.ti.sync()


def _taichi_kernels(ti: Any, f: Any, body: Any, config: Any) -> tuple[Any, ...]:
    """Return the kernels over the fields of `f`, dx = 1."""
    S = 4 if config.basis == "cubic" else 3
    shift, inv_d = (1.0, 3.0) if S == 4 else (0.5, 4.0)
    mass, volume, lam, mu = (float(a[0]) for a in (body.mass, body.volume, body.lam, body.mu))
    dt, drag, g, top = float(config.dt), float(config.drag), float(config.gravity[1]), config.dims[0] - 3

    @ti.func
    def weight(e, a):
        d = ti.abs(e - (a - 1))
        w = 0.0
        if ti.static(S == 4):
            w = ti.select(d < 1.0, 2.0 / 3.0 - d * d + 0.5 * d * d * d, (2.0 - d) * (2.0 - d) * (2.0 - d) / 6.0)
        else:
            w = ti.select(d < 0.5, 0.75 - d * d, 0.5 * (1.5 - d) * (1.5 - d))
        return w

    @ti.kernel
    def clear():
        for index in ti.grouped(f.m):
            f.m[index] = 0.0
            f.q[index] = ti.Vector.zero(float, 3)

    @ti.kernel
    def p2g(n: ti.i32):
        for p in range(f.x.shape[1]):
            use = ti.select(n == 0, 1.0, 0.0)
            Fc = f.F[n, p] + use * f.control[p]
            R = Fc  # Newton's iteration, because the SVD of Taichi has no adjoint
            for _ in ti.static(range(5)):
                R = 0.5 * (R + R.inverse().transpose())
            J = Fc.determinant()
            eye = ti.Matrix.identity(float, 3)
            tau = 2.0 * mu * (Fc - R) @ Fc.transpose() + lam * (J - 1) * J * eye
            A = -dt * volume * inv_d * tau + mass * f.C[n, p]
            base = ti.floor(f.x[n, p] - shift, int)
            e = f.x[n, p] - (base + 1)
            b = (1.0 - dt * drag) * mass * f.v[n, p]
            for i, j, k in ti.static(ti.ndrange(S, S, S)):
                offset = ti.Vector([i, j, k])
                w = weight(e[0], i) * weight(e[1], j) * weight(e[2], k)
                f.m[n, base + offset] += w * mass
                f.q[n, base + offset] += w * (b + A @ (offset - 1 - e))

    @ti.kernel
    def update(n: ti.i32):
        for i, j, k in ti.ndrange(*f.m.shape[1:]):
            value = ti.Vector.zero(float, 3)
            if f.m[n, i, j, k] > 0:
                value = f.q[n, i, j, k] / f.m[n, i, j, k] + ti.Vector([0.0, dt * g, 0.0])
                at = ti.Vector([i, j, k])
                for r in ti.static(range(3)):
                    closed = (at[r] < 3 and value[r] < 0) or (at[r] >= top and value[r] > 0)
                    value[r] = ti.select(closed, 0.0, value[r])
            f.u[n, i, j, k] = value

    @ti.kernel
    def g2p(n: ti.i32):
        for p in range(f.x.shape[1]):
            use = ti.select(n == 0, 1.0, 0.0)
            base = ti.floor(f.x[n, p] - shift, int)
            e = f.x[n, p] - (base + 1)
            v = ti.Vector.zero(float, 3)
            B = ti.Matrix.zero(float, 3, 3)
            for i, j, k in ti.static(ti.ndrange(S, S, S)):
                offset = ti.Vector([i, j, k])
                w = weight(e[0], i) * weight(e[1], j) * weight(e[2], k)
                u = w * f.u[n, base + offset]
                v += u
                B += u.outer_product(offset - 1 - e)
            f.v[n + 1, p] = v
            f.C[n + 1, p] = inv_d * B
            f.x[n + 1, p] = f.x[n, p] + dt * v
            f.F[n + 1, p] = (ti.Matrix.identity(float, 3) + dt * inv_d * B) @ (f.F[n, p] + use * f.control[p])

    @ti.kernel
    def loss():
        for i, j, k in f.target:
            r = ti.log(1.0 + f.m[f.x.shape[0] - 1, i, j, k]) - ti.log(1.0 + f.target[i, j, k])
            f.loss[None] += 0.5 * r * r

    return clear, p2g, update, g2p, loss
