# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Compare the exact adjoint of a rollout with central differences for every input.

For a random direction u in each input, prints the derivative <gradient, u> and the finite difference.
Run: python examples/gradient_check.py --help
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import diffmpm as dm
import numpy as np

STEP = 1e-6
"""Near the cube root of the rounding error, which is best for central differences in float64."""


def scene(count: int, steps: int) -> tuple[dm.Particles, dm.SimConfig, np.ndarray, dm.losses.Loss]:
    """Return a moving box of particles, the options, a control, and a loss."""
    rng = np.random.default_rng(0)
    lam, mu = dm.lame_parameters(2e4, 0.3)
    body = dm.sample("box", particles=count, density=1000.0, lam=lam, mu=mu, dtype=np.float64)
    body = body.replace(
        v=0.5 * rng.standard_normal(body.x.shape),
        F=np.eye(3) + 0.05 * rng.standard_normal(body.F.shape),
    )
    dx = 2.0 * float(body.volume[0]) ** (1 / 3)
    config = dm.SimConfig(dx=dx, dt=0.02 * dx, gravity=(0.0, 0.0, -9.81), drag=0.1)
    config = dm.Simulation(body, config).config  # includes the automatic grid
    control = 0.01 * rng.standard_normal((steps, body.count, 3, 3))
    target = dm.grid_mass(dm.sample("sphere", particles=count, dtype=np.float64).x, body.mass, config)
    return body, config, control, dm.losses.LogMass(target) + 0.1 * dm.losses.Kinetic()


def main(argv: Sequence[str] | None = None) -> float:
    """Print the comparison; return the largest relative difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--steps", type=int, default=10)
    args = parser.parse_args(argv)
    body, config, control, loss = scene(args.particles, args.steps)

    # One forward pass, one loss and one backward pass compute all gradients.
    roll = dm.Simulation(body, config).rollout(args.steps, control=control)
    value = loss.evaluate(roll)
    grads = roll.vjp(**value.adj, wrt="all")

    def evaluate(name, change):
        """Return the loss after adding `change` to one input."""
        inputs, options, dFc = body, config, control
        if name == "control":
            dFc = control + change
        elif name in ("gravity", "drag"):
            new = np.asarray(getattr(config, name)) + change
            options = config.replace(**{name: tuple(new) if name == "gravity" else float(new)})
        else:
            inputs = replace(body, **{name: getattr(body, name) + change})
        return loss.evaluate(dm.Simulation(inputs, options).rollout(args.steps, control=dFc)).value

    print(f"loss {value.value:.6f}\n{'input':>8} {'adjoint':>18} {'difference':>18} {'relative':>10}")
    rng = np.random.default_rng(1)
    worst = 0.0
    for name in ("control", "x", "v", "C", "F", "lam", "mu", "mass", "volume", "gravity", "drag"):
        gradient = np.asarray(getattr(grads, name))
        scale = np.abs(getattr(body, name)).mean() if name in ("lam", "mu", "mass", "volume") else 1.0
        u = scale * rng.standard_normal(gradient.shape)
        exact = float(np.sum(gradient * u))
        difference = (evaluate(name, STEP * u) - evaluate(name, -STEP * u)) / (2 * STEP)
        relative = abs(exact - difference) / abs(exact)
        worst = max(worst, relative)
        print(f"{name:>8} {exact:18.10g} {difference:18.10g} {relative:10.1e}")
    return worst


if __name__ == "__main__":
    main()
