# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Follow the gradient of an image loss: renderer, surface, a learned parameter of the surface, and physics.

Four checks with their figures. The first three are those that users of the older interface know; the fourth goes on
through the simulation into the controls and compares with central differences along random directions, in float64.
Run: python examples/gradient_flow.py --help
"""

import argparse
from collections.abc import Sequence

import diffmpm as dm
import diffmpm.torch as dmt
import numpy as np
import torch
from diffmpm.renderer import GSRenderer3DGS, make_matrices_from_yaml
from diffmpm.sampling import synthesize_runtime_surface

STEP = 1e-8
"""Of central differences. A picture jumps where a Gaussian passes the opacity of 1/255 at a pixel; among a million
pairs of Gaussian and pixel a step must be small to meet none of those jumps, and float64 leaves room for that."""


def view(size: int) -> GSRenderer3DGS:
    """Return a renderer that looks at the origin."""
    camera = {"width": size, "height": size, "fov": 35.0, "lookat": {"eye": [1.5, 1.0, 4.0], "target": [0, 0, 0]}}
    return GSRenderer3DGS(*make_matrices_from_yaml(camera))


def share(gradient: torch.Tensor) -> float:
    """Return the share of rows of a gradient that are not zero."""
    return float((gradient.flatten(1).abs().sum(1) > 0).double().mean())


def through_renderer(renderer: GSRenderer3DGS, body: dm.Particles, cfg: dict, target: torch.Tensor) -> float:
    """Check 1: the gradient of the image with respect to the Gaussians."""
    surface = synthesize_runtime_surface(body.x, body.F, cfg)
    points, cov = (surface[name].detach().requires_grad_() for name in ("points", "cov"))
    image = renderer.render(points, cov, normals=surface["normals"].detach(), return_torch=True)["image"]
    (image - target).square().mean().backward()
    print("1 through the renderer")
    for name, tensor in (("points", points), ("cov", cov)):
        print(f"    {name:7s} gradient norm {tensor.grad.norm():.3e}, {share(tensor.grad):.1%} of the points not zero")
    return min(share(points.grad), share(cov.grad))


def through_surface(renderer: GSRenderer3DGS, body: dm.Particles, cfg: dict, target: torch.Tensor) -> float:
    """Check 2: on through the sampling of the surface, into positions and deformation gradients."""
    x, F = (torch.tensor(a, requires_grad=True) for a in (body.x, body.F))
    surface = synthesize_runtime_surface(x, F, cfg)
    surface["points"].retain_grad()
    image = renderer.render(surface["points"], surface["cov"], normals=surface["normals"], return_torch=True)["image"]
    (image - target).square().mean().backward()
    print("2 through sampling and renderer")
    print(
        f"    {share(surface['points'].grad):.1%} of {len(surface['points'])} points with a gradient that is not zero"
    )
    for name, tensor in (("x", x), ("F", F)):
        print(
            f"    {name:7s} gradient norm {tensor.grad.norm():.3e}, {share(tensor.grad):.1%} of the particles reached"
        )
    return share(surface["points"].grad)


def learnt(renderer: GSRenderer3DGS, body: dm.Particles, cfg: dict, target: torch.Tensor, steps: int) -> list[float]:
    """Check 3: a parameter of the surface, sigma0, learns the size that the target was drawn with."""
    sigma0 = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([sigma0], lr=0.05)
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        surface = synthesize_runtime_surface(body.x, body.F, {**cfg, "sigma0": sigma0})
        image = renderer.render(surface["points"], surface["cov"], normals=surface["normals"], return_torch=True)
        (image["image"] - target).square().mean().backward()
        optimizer.step()
        history.append(sigma0.item())
    print(f"3 a learned parameter: sigma0 0.4000 -> {history[-1]:.4f} in {steps} steps; the target has {cfg['sigma0']}")
    return history


def into_controls(renderer: GSRenderer3DGS, sim: dm.Simulation, cfg: dict, target: torch.Tensor, steps: int) -> float:
    """Check 4: renderer, surface and physics in one backward(), against central differences."""
    rng = np.random.default_rng(0)
    given = dmt.tensors(sim.particles)
    control = torch.tensor(0.02 * rng.standard_normal((steps, sim.particles.count, 3, 3)), requires_grad=True)
    binding = dmt.bind(given["x"], given["F"], samples=cfg["samples"])

    def loss(control: torch.Tensor) -> torch.Tensor:
        out = dmt.rollout(sim.config, steps, control=control, motion_gradient=True, **given)
        surface = dmt.gaussians(out.x, out.G, binding=binding)
        drawn = renderer.render(surface.means, surface.covars, normals=surface.normals, return_torch=True)
        return (drawn["image"] - target).square().mean()

    loss(control).backward()
    print(f"4 through renderer, surface and {steps} steps of physics into the controls")
    print(f"    gradient norm {control.grad.norm():.3e}, {share(control.grad.transpose(0, 1)):.1%} of the particles")
    worst = 0.0
    for n in range(3):
        direction = torch.from_numpy(rng.standard_normal(control.shape))
        with torch.no_grad():
            sides = [float(loss(control + side * STEP * direction)) for side in (1.0, -1.0)]
        exact, difference = float((control.grad * direction).sum()), (sides[0] - sides[1]) / (2.0 * STEP)
        relative = abs(exact - difference) / abs(exact)
        worst = max(worst, relative)
        print(f"    direction {n + 1}: gradient {exact:+.9e}, differences {difference:+.9e}, relative {relative:.1e}")
    return worst


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Print the checks; return their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--size", type=int, default=96, help="pixels of the image")
    parser.add_argument("--steps", type=int, default=8, help="steps of the simulation")
    parser.add_argument("--iterations", type=int, default=30, help="of the learned parameter")
    args = parser.parse_args(argv)
    ball = dm.sample("sphere", particles=args.particles, dtype=np.float64)
    dx = 2.0 * float(ball.volume[0]) ** (1 / 3)
    sim = dm.Simulation(ball, dm.SimConfig(dx=dx, dt=2e-2 * dx, smoothing=0.3))
    renderer = view(args.size)
    cfg = {"samples": args.samples, "sigma0": 0.75}
    goal = synthesize_runtime_surface(ball.x, ball.F, cfg)
    target = renderer.render(goal["points"], goal["cov"], normals=goal["normals"], return_torch=True)["image"]
    shifted = torch.roll(target, args.size // 16, 1)
    figures = {
        "renderer": through_renderer(renderer, ball, cfg, shifted),
        "surface": through_surface(renderer, ball, cfg, shifted),
        "sigma0": learnt(renderer, ball, cfg, target, args.iterations)[-1],
        "controls": into_controls(renderer, sim, cfg, shifted, args.steps),
    }
    print(f"largest relative difference {figures['controls']:.1e}")
    return figures


if __name__ == "__main__":
    main()
