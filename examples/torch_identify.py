# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""System identification: recover the Lamé parameters or the initial velocity of a falling block from its motion.

The block falls on a floor. The observations are particle positions at a few times.
Run: python examples/torch_identify.py --help
"""

import argparse
from collections.abc import Sequence

import diffmpm as dm
import diffmpm.torch as dmt
import numpy as np
import torch

TRUE_LAM, TRUE_MU = dm.lame_parameters(E=4e4, nu=0.3)
TRUE_VELOCITY = (0.8, -0.5, -2.0)


def scene(count: int) -> tuple[dm.Simulation, int]:
    """Return a block just above a floor, and the number of steps until it has bounced."""
    block = dm.sample("box", particles=count, density=1000.0, lam=TRUE_LAM, mu=TRUE_MU, dtype=np.float64)
    dx = 2.0 * float(block.volume[0]) ** (1 / 3)
    dt = 0.3 * dx / float(np.sqrt((TRUE_LAM + 2.0 * TRUE_MU) / 1000.0))
    block = block.replace(x=block.x + np.array([0.0, 0.0, 0.05 - block.x[:, 2].min()]))
    floor = dm.HalfSpace(point=(0.0, 0.0, 0.0), normal=(0.0, 0.0, 1.0), mode="separate")
    config = dm.SimConfig(dx=dx, dt=dt, gravity=(0.0, 0.0, -9.81), colliders=(floor,))
    return dm.Simulation(block, config), round(0.25 / dt)


def observe(sim: dm.Simulation, steps: int, times: list[int]) -> torch.Tensor:
    """Return the positions at some time steps of a rollout with the true parameters, shape (K, N, 3)."""
    velocity = np.tile(np.array(TRUE_VELOCITY), (sim.particles.count, 1))
    roll = dm.Simulation(sim.particles.replace(v=velocity), sim.config).rollout(steps)
    return torch.from_numpy(np.stack([roll.state(n).x for n in times]))


def fit(parameters: list[torch.Tensor], misfit, iterations: int, label: str) -> float:
    """Minimise the misfit by L-BFGS; return its final value."""
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=iterations, line_search_fn="strong_wolfe", tolerance_change=1e-14
    )
    count = 0

    def closure() -> torch.Tensor:
        nonlocal count
        optimizer.zero_grad()
        loss = misfit()
        loss.backward()
        count += 1
        print(f"  {label} {count:3d}: misfit {loss.item():.3e}", flush=True)
        return loss

    optimizer.step(closure)
    return float(misfit().detach())


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Fit material and velocity; return the relative errors of lam, mu and the velocity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=1000)
    parser.add_argument("--iterations", type=int, default=25)
    args = parser.parse_args(argv)
    sim, steps = scene(args.particles)
    times = [steps // 2, 3 * steps // 4, steps]
    observed = observe(sim, steps, times)
    inputs = dmt.tensors(sim.particles)
    true_v = torch.tensor(TRUE_VELOCITY, dtype=torch.float64)

    def misfit(**unknowns: torch.Tensor) -> torch.Tensor:
        out = dmt.rollout(sim.config, steps, **{**inputs, **unknowns}, layers=times)
        return (out.x - observed).square().mean() / sim.config.dx**2

    # Logarithms of the moduli keep them positive and make steps relative.
    guess = torch.log(torch.tensor([2.0 * TRUE_LAM, 0.6 * TRUE_MU], dtype=torch.float64)).requires_grad_()
    true_velocities = true_v.expand(sim.particles.count, 3)
    fit([guess], lambda: misfit(lam=guess[0].exp(), mu=guess[1].exp(), v=true_velocities), args.iterations, "material")
    lam, mu = guess.detach().exp().tolist()

    velocity = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    fit([velocity], lambda: misfit(v=velocity.expand(sim.particles.count, 3)), args.iterations, "velocity")

    errors = {
        "lam": abs(lam / TRUE_LAM - 1.0),
        "mu": abs(mu / TRUE_MU - 1.0),
        "velocity": float((velocity.detach() - true_v).norm() / true_v.norm()),
    }
    print(f"{sim.particles.count} particles, {steps} steps")
    print(f"lam      {lam:10.1f} Pa, true {TRUE_LAM:10.1f}, error {errors['lam']:.1e}")
    print(f"mu       {mu:10.1f} Pa, true {TRUE_MU:10.1f}, error {errors['mu']:.1e}")
    print(f"velocity {velocity.detach().numpy().round(4)} m/s, true {TRUE_VELOCITY}, error {errors['velocity']:.1e}")
    return errors


if __name__ == "__main__":
    main()
