# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Optimise the controls of a morph with torch.optim, and with the package's own optimiser for comparison.

Run: python examples/torch_controls.py --help
"""

import argparse
from collections.abc import Sequence

import diffmpm as dm
import diffmpm.torch as dmt
import numpy as np
import torch
from diffmpm.optimize import Adam, Rejected, backtracking

STEP = 0.02
"""Step size of Adam in the deformation gradient, and the initial step of a line search."""


def problem(count: int, steps: int) -> tuple[dm.Simulation, np.ndarray, float]:
    """Return a ball, the grid mass of the target ellipsoid, and the reference mass."""
    ball = dm.sample("sphere", particles=count)
    dx = 2.0 * float(ball.volume[0]) ** (1 / 3)
    config = dm.SimConfig(dx=dx, dt=2.5e-2 * dx, smoothing=0.955, drag=0.5)
    sim = dm.Simulation(ball, config)
    stretched = ball.x * np.array([1.25, 1.0, 0.8], np.float32)
    target = dm.grid_mass(stretched, ball.mass, sim.config)
    return sim, target, 0.1 * float(target.max())


def own(sim: dm.Simulation, target: np.ndarray, m_ref: float, steps: int, iterations: int) -> list[float]:
    """Return the losses of the package's Adam with its line search."""
    loss = dm.losses.LogMass(target, m_ref=m_ref)

    def evaluate(control: np.ndarray) -> tuple[float, tuple[dm.Rollout, dm.losses.LossValue]]:
        try:
            roll = sim.rollout(steps, control)
        except dm.SimulationError as error:
            raise Rejected(error.cause) from error
        value = loss.evaluate(roll)
        return value.value, (roll, value)

    control = np.zeros((steps, sim.particles.count, 3, 3), np.float32)
    current, (roll, value) = evaluate(control)
    optimizer, history = Adam(), [current]
    for _ in range(iterations):
        gradient = roll.vjp(**value.adj, wrt="control").control
        search = backtracking(evaluate, control, current, optimizer.direction(control, gradient), step=STEP)
        if search.payload is None:
            break
        control, current, (roll, value) = search.control, search.value, search.payload
        history.append(current)
    return history


def with_torch(
    name: str, sim: dm.Simulation, target: np.ndarray, m_ref: float, steps: int, iterations: int
) -> list[float]:
    """Return the losses of an optimiser from torch.optim."""
    module = dmt.Rollout(sim, steps, grid_mass=True)
    goal, history = torch.from_numpy(target), []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        try:
            loss = dmt.log_mass(module().grid_mass, goal, m_ref=m_ref)
        except dm.SimulationError:  # a trial step of the line search was too large
            return torch.tensor(float("inf"))
        loss.backward()
        history.append(loss.item())
        return loss

    if name == "Adam":
        # Without a line search, a shorter gradient average avoids overshooting.
        optimizer = torch.optim.Adam(module.parameters(), lr=0.4 * STEP, betas=(0.7, 0.999))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations, eta_min=0.0)
        for _ in range(iterations):
            optimizer.step(closure)
            schedule.step()
    else:
        limits = {"max_iter": iterations, "tolerance_grad": 0.0, "tolerance_change": 0.0}
        optimizer = torch.optim.LBFGS(module.parameters(), line_search_fn="strong_wolfe", **limits)
        optimizer.step(closure)
    closure()
    return history


def main(argv: Sequence[str] | None = None) -> dict[str, list[float]]:
    """Print the losses; return them by optimiser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=40)
    args = parser.parse_args(argv)
    sim, target, m_ref = problem(args.particles, args.steps)
    rest = (sim, target, m_ref, args.steps, args.iterations)
    histories = {"diffmpm Adam": own(*rest)}
    for name in ("Adam", "LBFGS"):
        histories[f"torch {name}"] = with_torch(name, *rest)
    for name, history in histories.items():
        print(f"{name:14s} loss {history[0]:10.4f} -> {min(history):10.4f}")
    return histories


if __name__ == "__main__":
    main()
