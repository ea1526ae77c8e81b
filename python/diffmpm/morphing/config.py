# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Configuration of a morph and its presets."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from .._arrays import check_device_name
from .._deprecated import renamed_attributes
from .._options import Configuration, option
from ..config import Basis, Material
from ..errors import ConfigError

CANONICAL_RADIUS = 7.0
"""Canonical length unit: a ball of this radius has the volume of the target."""


def _device(value: object, name: str) -> str:
    return check_device_name(value, auto=True)


@renamed_attributes(layers="control_steps")
class MorphConfig(Configuration):
    """Options of a morph. Lengths, times and stresses are in canonical units, in which the target has the volume of a
    ball of radius 7, so that meshes of any scale and position share the defaults.
    """  # noqa: D205

    magnitudes: ClassVar[tuple[float, float]] = (1e-12, 1e12)  # products of larger numbers exceed the range of float32

    particles: int = option(
        default=20_000, doc="Number of particles of the body and of the target sample.", least=8, group="shape"
    )
    seed: int = option(default=0, doc="Seed of the sampling of both meshes.", least=0)
    fit: bool = option(
        default=True, doc="Whether to scale the source to the target's volume and move it to the target's centroid."
    )
    up: Literal["auto", "x", "y", "z"] = option(
        default="auto",
        doc='Up axis of source and target. "auto": y for .glb and .gltf files, z for .stl files, otherwise that of the '
        "other mesh, or z. If the axes differ, the fit turns the source upright.",
    )
    cell_particles: float = option(
        default=12.0, doc="Particles per full cell of the finest grid.", above=0, group="simulation"
    )
    coarse_cells: float = option(
        default=333.0,
        doc="Volume of the target on the coarsest grid, unless the finest has fewer cells.",
        unit="cells",
        above=0,
    )
    refinement: float = option(default=1.75, doc="Approximate ratio of the cell sizes of successive grids.", above=1)
    det_F_min: float = option(
        default=0.4,
        doc="Limit of the determinant of F: a trial that falls below it is rejected. If the determinant is already "
        "below it without control, the limit is 98 % of the smallest value.",
        least=0,
        below=1,
    )
    time_step: float = option(
        default=1.0 / 120.0, doc="Time step for cells of size 1; proportional to the cell size.", above=0
    )
    basis: Basis = option(default="cubic", doc="B-spline of the transfers.")
    material: Material = option(default="fixed_corotated", doc="Constitutive model.")
    density: float = option(default=75.0, doc="Mass density.", above=0)
    lam: float = option(default=38_888.89, doc="First Lame parameter.", least=0)
    mu: float = option(default=58_333.3, doc="Shear modulus.", least=0)
    smoothing: float = option(default=0.955, doc="Fraction of the old F that a step retains.", least=0, below=1)
    drag: float = option(default=0.5, doc="Linear drag.", least=0)
    volume_carried: bool = option(
        default=True, doc="Whether det F follows the volume of the motion despite the smoothing of F."
    )
    assimilation: float = option(
        default=1.0,
        doc="Plastic assimilation eta: Fp becomes S_e^eta Fp after each window, so that the body stays where it is; 0 "
        "preserves the rest shape.",
        least=0,
        most=1,
    )
    dtype: Literal["float32", "float64"] = option(default="float32", doc="Precision of the simulation.")
    device: str = option(
        default="cpu",
        doc='Device that runs the windows: "cpu", "cuda:N", "cuda" for the current CUDA device, or "auto" for a CUDA '
        "device if there is one.",
        check=_device,
        schema={"type": "string"},
    )
    loss: Literal["log_mass", "squared_mass"] = option(
        default="log_mass", doc="Mass loss: squared difference of log(1 + m / m_ref), or of m.", group="objective"
    )
    m_ref: float = option(
        default=1.0,
        doc="Reference mass of the log mass loss for cells of size 1; proportional to the cell volume.",
        above=0,
    )
    outside_weight: float = option(default=1.0, doc="Weight of grid nodes without target mass.", above=0)
    kinetic_weight: float = option(
        default=0.0, doc="Weight of the mean squared speed at the end of a window; 0 disables the term.", least=0
    )
    density_weight: float = option(
        default=1.0,
        doc="Weight of the squared mass difference in masses of a full cell. It levels the density, which the log mass "
        "loss constrains weakly.",
        least=0,
    )
    fine_weight: float = option(
        default=1.0,
        doc="Weight of the log mass loss on a grid with `fine_ratio` times the nodes per axis. It smooths the surface.",
        least=0,
    )
    fine_ratio: float = option(default=3.0, doc="Simulation cell size over cell size of the fine grid.", above=0)
    distance_weight: float = option(
        default=100.0,
        doc="Weight of the mass outside the target times its distance, in full cells times cells. It pulls distant "
        "particles back.",
        least=0,
    )
    transport_weight: float = option(
        default=100.0,
        doc="Weight of the squared distances, in cells of the coarsest grid, to the goals that optimal transport "
        "assigns to the particles at the start of each window, per full cell of the target. On finer grids it is "
        "smaller by the square of the ratio of cell sizes. It moves material over any distance. 0 disables the term.",
        least=0,
    )
    compression_weight: float = option(
        default=30_000.0,
        doc="Weight of the compression of particles below a determinant of F of 0.7, per full cell of the target.",
        least=0,
    )
    proximity_weight: float = option(
        default=0.0,
        doc="Weight of the distances beyond a spacing from outer target points to their nearest particles, per full "
        "cell of the target. It fills thin parts. 0 disables the term.",
        least=0,
    )
    skin_weight: float = option(
        default=150.0,
        doc="Weight of the distances of particles outside the target, in spacings, per full cell of the target. It "
        "sharpens the surface.",
        least=0,
    )
    optimizer: Literal["adam", "gradient_descent", "lbfgs"] = option(
        default="lbfgs", doc="Optimiser of the controls.", group="optimizer"
    )
    iterations: int = option(default=12, doc='Optimiser iterations per window ("joint" schedule).', least=1)
    beta1: float = option(default=0.9, doc="Adam: decay rate of the first moment.", least=0, below=1)
    beta2: float = option(default=0.999, doc="Adam: decay rate of the second moment.", least=0, below=1)
    eps: float = option(
        default=1e-3, doc="Adam: added to the root of the second moment of the normalised gradient.", above=0
    )
    step: float = option(default=0.05, doc="First step of each line search.", above=0)
    shrink: float = option(default=0.5, doc="Ratio of successive steps of a line search.", above=0, below=1)
    trials: int = option(default=10, doc="Largest number of steps that a line search tries.", least=1)
    windows: int = option(default=30, doc="Largest number of windows.", least=1, group="schedule")
    steps: int = option(default=40, doc="Time steps per window under control.", least=1)
    released_steps: int = option(
        default=20, doc="Further time steps per window without control. The loss is evaluated after them.", least=0
    )
    control_stride: int = option(default=10, doc="Time steps per control step.", least=1)
    schedule: Literal["joint", "layered"] = option(
        default="joint",
        doc='"joint" optimises all control steps of a window at once, "layered" one after the other (Xu et al.).',
    )
    passes: int = option(default=3, doc='Passes over the control steps ("layered" schedule).', least=1)
    velocity_kept: float = option(
        default=0.0, doc="Fraction of v and C that is carried into the next window.", least=0, most=1
    )
    tolerance: float = option(
        default=0.03,
        doc="The morph has converged if the best loss fell by less than this fraction in `patience` windows.",
        least=0,
    )
    arrival: float = option(
        default=0.6,
        doc="The morph has also converged if the loss is below this fraction of that of a second sample of the target; "
        "0 disables this test.",
        least=0,
    )
    level_tolerance: float = option(
        default=0.35,
        doc="A window that lowers the best loss by less than this fraction is the last one on its grid.",
        least=0,
        below=1,
    )
    patience: int = option(default=2, doc="Number of windows in the convergence test.", least=1)
    frame_motion: float = option(
        default=1.4,
        doc="Motion from one stored frame to the next that 1 % of the particles exceed.",
        unit="particle spacings",
        above=0,
        group="output",
    )
    keep: Literal["all", "positions"] = option(
        default="all", doc='Content of stored frames: "all" includes F and G, "positions" takes a seventh of the space.'
    )

    @property
    def control_steps(self) -> int:
        """Number of control steps per window."""
        return -(-self.steps // self.control_stride)

    @property
    def window_steps(self) -> int:
        """Number of time steps per window."""
        return self.steps + self.released_steps


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"windows": 12, "iterations": 5, "tolerance": 0.2, "patience": 1, "arrival": 1.2},
    "quality": {"windows": 80, "iterations": 16, "tolerance": 0.02, "patience": 3, "arrival": 0.5},
    "xu": {
        "schedule": "layered",
        "optimizer": "gradient_descent",
        "passes": 3,
        "steps": 10,
        "released_steps": 0,
        "control_stride": 1,
        "windows": 42,
        "step": 0.005,
        "velocity_kept": 0.25,
        "cell_particles": 23.0,
        "coarse_cells": 1e9,
        "fine_ratio": 2.0,
        "transport_weight": 0.0,
        "compression_weight": 0.0,
        "skin_weight": 0.0,
        "assimilation": 0.0,
        "det_F_min": 0.0,
        "tolerance": 0.02,
        "arrival": 0.0,
        "patience": 20,
    },
}
"""Named sets of options: "default", "fast" (ends about as close to the target as a second sample of it), "quality"
(closer than the default) and "xu", the published schedule of Xu et al. (one control step after the other, normalised
gradient, backtracking line search)."""


def preset(name: str, **changes: Any) -> MorphConfig:
    """Return the configuration of a preset, with changes.

    Args:
        name: A key of `PRESETS`.
        **changes: Fields of `MorphConfig`.

    Raises:
        ConfigError: If the preset is unknown, or a change is invalid.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return MorphConfig().replace(**{**PRESETS[name], **changes})
