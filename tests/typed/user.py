# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A program of a user who checks types: the public names with the types that they must have."""

from __future__ import annotations

from typing import Any

import diffmpm as dm
import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

Array = npt.NDArray[Any]


class Height(dm.losses.Loss):
    """A loss of one's own: the mean height of the body at the end."""

    name = "height"

    def compute(self, roll: dm.Rollout) -> tuple[float, dict[str, Any]]:
        adj = np.zeros_like(roll.x)
        adj[:, 2] = 1.0 / len(adj)
        return float(roll.x[:, 2].mean()), {"adj_x": adj}


def simulate(particles: int) -> dm.Gradients:
    """A body that falls on a plane, and the gradients of its height and speed."""
    body: dm.Particles = dm.sample("box", particles=particles, dtype=np.float64)
    config = dm.SimConfig(
        dx=0.25,
        dt=1e-3,
        basis="quadratic",
        material="neo_hookean",
        boundary="separate",
        gravity=(0.0, 0.0, -9.81),
        colliders=(dm.HalfSpace((0.0, 0.0, -1.2), (0.0, 0.0, 1.0), mode="slip"), dm.Sphere((3.0, 0.0, 0.0), 0.5)),
    )
    sim = dm.Simulation(body, config.replace(drag=0.1))
    roll = sim.rollout(3, control=np.zeros((3, body.count, 3, 3)), control_stride=1)
    assert_type(roll.x, Array)
    assert_type(roll.state(0).G, Array | None)
    loss: dm.losses.Loss = dm.losses.Sum([Height(weight=2.0), dm.losses.Kinetic(weight=0.5)])
    value = loss.evaluate(roll)
    assert_type(value.value, float)
    grads = roll.vjp(**value.adj, wrt=("control", "mu", "gravity"))
    assert_type(grads.control, Array | None)
    assert_type(roll.vjp(adj_x=roll.x, wrt="all").drag, float | None)
    assert_type(dm.lame_parameters(1e5, 0.3), tuple[float, float])
    return grads


def draw(particles: int) -> Array:
    """The surface of a body, drawn, with the gradient of the picture by the means."""
    body = dm.sample(dm.shapes.make("sphere"), particles=particles)
    surface: dm.Gaussians = dm.gaussians(body.x, body.F, samples=200, seed=1, config=dm.SurfaceConfig(parents=6))
    camera = dm.Camera.look_at((0.0, -6.0, 2.0), (0.0, 0.0, 0.0), width=48, height=32)
    image = dm.rasterize(surface, camera, opacities=0.9, colors=surface.normals)
    pulled = surface.vjp(adj_means=np.ones_like(surface.means), wrt="x")
    assert_type(pulled.x, Array | None)
    plain = dm.rasterize(surface.means.tolist(), camera, covars=surface.covars.astype(np.float64))
    assert_type(plain.color, Array)
    grads = image.vjp(adj_color=np.ones_like(image.color), wrt="means")
    assert_type(image.meta.radii, Array)
    assert grads.means is not None
    return grads.means


def morph(particles: int) -> float:
    """A morph that is watched, and what its result holds."""

    def watch(progress: dm.morphing.Progress) -> bool:
        return progress.window < 2

    options = dm.MorphConfig(particles=particles, windows=3, steps=5, optimizer="adam", loss="log_mass")
    result = dm.morph("sphere", "torus", options, callback=watch, seed=1)
    assert_type(result.frames[0].x, Array)
    assert_type(result.stopped, str)
    return float(result.metrics["silhouette_iou"])


def older(particles: int) -> Array:
    """The classes of the older interface."""
    opt = dm.OptInput(grid_dx=1.0, max_gd_iters=1)
    cloud = dm.PointCloud(dm.Particles.create(np.zeros((particles, 3)), mass=1.0, volume=1.0, lam=1.0, mu=1.0))
    assert_type(opt.grid_dx, float)
    assert_type(cloud.get_def_grads_total(), Array)
    return dm.get_positions_from_pc(cloud)


def threads() -> int:
    """The number of threads, and errors by their base class."""
    try:
        dm.set_num_threads(1)
        return dm.get_num_threads()
    except dm.DiffMPMError as error:
        raise SystemExit(str(error)) from error
    finally:
        dm.set_num_threads(None)


if __name__ == "__main__":
    print(simulate(300).gravity, draw(300).shape, morph(300), older(8).shape, threads(), dm.__version__)
