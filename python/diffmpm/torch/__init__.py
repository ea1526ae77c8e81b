# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The package in PyTorch: simulation and losses as operators with exact gradients.

    import diffmpm as dm, diffmpm.torch as dmt
    sim = dm.Simulation(dm.sample("box"), dm.SimConfig(dx=0.1, dt=1e-3))
    module = dmt.Rollout(sim, steps=20)
    loss = dmt.kinetic(module().v)
    loss.backward()  # module.control.grad is exact

Every function works under no_grad, inference_mode, torch.compile and torch.utils.checkpoint, from any number of
threads. `bind`, `objective`, `shade` and `tensors` work on NumPy arrays: torch.compile breaks its graph there, and
fullgraph=True refuses them. docs/pytorch.md has the table of all transforms. `torch.set_num_threads` also holds for the
core, in the thread that calls it, unless `diffmpm.set_num_threads` overrides it.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as _error:
    raise ImportError(
        "diffmpm.torch: needs PyTorch, which is not installed; install it with pip install 'diffmpm[torch]'"
    ) from _error

from ._operator import NATIVE
from .losses import kinetic, log_mass, objective, squared_mass
from .module import Rollout
from .mpm import States, grid_mass, rollout, tensors
from .render import rasterize, shade
from .surface import Gaussians, SurfaceBinding, bind, gaussians

__all__ = [
    "NATIVE",
    "Gaussians",
    "Rollout",
    "States",
    "SurfaceBinding",
    "bind",
    "gaussians",
    "grid_mass",
    "kinetic",
    "log_mass",
    "objective",
    "rasterize",
    "rollout",
    "shade",
    "squared_mass",
    "tensors",
]
