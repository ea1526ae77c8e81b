# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Follow the gradient of an image loss through renderer, surface, a surface parameter, and physics.

The first three checks use the legacy interface. The fourth runs through the simulation to the controls and compares
with central differences along random directions in float64.
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
"""Step of central differences. An image is discontinuous where the opacity of a Gaussian at a pixel crosses 1/255, so
the step must be small enough to cross no threshold among a million pairs of Gaussians and pixels."""


def view(size: int) -> GSRenderer3DGS:
    """Return a renderer that looks at the origin."""
    camera = {"width": size, "height": size, "fov": 35.0, "lookat": {"eye": [1.5, 1.0, 4.0], "target": [0, 0, 0]}}
    return GSRenderer3DGS(*make_matrices_from_yaml(camera))


def nonzero(gradient: torch.Tensor) -> float:
    """Return the fraction of nonzero rows of a gradient."""
    return float((gradient.flatten(1).abs().sum(1) > 0).double().mean())


def through_renderer(renderer: GSRenderer3DGS, body: dm.Particles, cfg: dict, target: torch.Tensor) -> float:
    """Check 1: the gradient of the image with respect to the Gaussians."""
    surface = synthesize_runtime_surface(body.x, body.F, cfg)
    points, cov = (surface[name].detach().requires_grad_() for name in ("points", "cov"))
    image = renderer.render(points, cov, normals=surface["normals"].detach(), return_torch=True)["image"]
    (image - target).square().mean().backward()
    print("1 through the renderer")
    for name, tensor in (("points", points), ("cov", cov)):
        print(f"    {name:7s} gradient norm {tensor.grad.norm():.3e}, {nonzero(tensor.grad):.1%} of the points nonzero")
    return min(nonzero(points.grad), nonzero(cov.grad))


def through_surface(renderer: GSRenderer3DGS, body: dm.Particles, cfg: dict, target: torch.Tensor) -> float:
    """Check 2: through the surface to positions and deformation gradients."""
    x, F = (torch.tensor(a, requires_grad=True) for a in (body.x, body.F))
    surface = synthesize_runtime_surface(x, F, cfg)
    surface["points"].retain_grad()
    image = renderer.render(surface["points"], surface["cov"], normals=surface["normals"], return_torch=True)["image"]
    (image - target).square().mean().backward()
    print("2 through sampling and renderer")
    print(f"    {nonzero(surface['points'].grad):.1%} of {len(surface['points'])} points have a nonzero gradient")
    for name, tensor in (("x", x), ("F", F)):
        print(
            f"    {name:7s} gradient norm {tensor.grad.norm():.3e}, {nonzero(tensor.grad):.1%} of the particles nonzero"
        )
    return nonzero(surface["points"].grad)


def learned(renderer: GSRenderer3DGS, body: dm.Particles, cfg: dict, target: torch.Tensor, steps: int) -> list[float]:
    """Check 3: fit the surface parameter sigma0 to the target image."""
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
    """Check 4: one backward() through renderer, surface and physics, against central differences."""
    rng = np.random.default_rng(0)
    inputs = dmt.tensors(sim.particles)
    control = torch.tensor(0.02 * rng.standard_normal((steps, sim.particles.count, 3, 3)), requires_grad=True)
    binding = dmt.bind(inputs["x"], inputs["F"], samples=cfg["samples"])

    def loss(control: torch.Tensor) -> torch.Tensor:
        out = dmt.rollout(sim.config, steps, control=control, motion_gradient=True, **inputs)
        surface = dmt.gaussians(out.x, out.G, binding=binding)
        drawn = renderer.render(surface.means, surface.covars, normals=surface.normals, return_torch=True)
        return (drawn["image"] - target).square().mean()

    loss(control).backward()
    print(f"4 through renderer, surface and {steps} steps of physics to the controls")
    print(f"    gradient norm {control.grad.norm():.3e}, {nonzero(control.grad.transpose(0, 1)):.1%} of the particles")
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
    """Run the checks; return their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--size", type=int, default=96, help="image size in pixels")
    parser.add_argument("--steps", type=int, default=8, help="simulation steps")
    parser.add_argument("--iterations", type=int, default=30, help="iterations of the fit of sigma0")
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
        "sigma0": learned(renderer, ball, cfg, target, args.iterations)[-1],
        "controls": into_controls(renderer, sim, cfg, shifted, args.steps),
    }
    print(f"largest relative difference {figures['controls']:.1e}")
    return figures


if __name__ == "__main__":
    main()
