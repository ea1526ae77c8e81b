# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Configuration of a morph and its presets."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from .._arrays import check_device_name
from .._options import Configuration, option
from ..config import Basis, Material
from ..errors import ConfigError

Schedule = Literal["joint", "layered"]
Loss = Literal["log_mass", "squared_mass"]


CANONICAL_RADIUS = 7.0
"""Radius of the ball that has the target's volume in the optimiser's own units."""


def _device(value: object, name: str) -> str:
    return check_device_name(value, auto=True)


class MorphConfig(Configuration):
    """Every knob of a morph. Lengths, times and stresses are in canonical units, in which the target has the volume
    of a ball of radius 7; meshes of any scale and position therefore share the defaults.

    Raises:
        ConfigError: If a value is outside its range; the message names the field.
    """  # noqa: D205

    magnitudes: ClassVar[tuple[float, float]] = (1e-12, 1e12)  # beyond them, products leave the range of float32

    particles: int = option(
        default=20_000,
        doc="Number of particles of the body, and of the target sample.",
        least=8,
        group="shape",
    )
    seed: int = option(default=0, doc="Seed of the sampling of both meshes.", least=0)
    fit: bool = option(
        default=True,
        doc="Whether the source is scaled to the target's volume and moved to its centroid.",
    )
    up: Literal["auto", "x", "y", "z"] = option(
        default="auto",
        doc=(
            'Axis that is up in source and target. "auto": y in .glb and .gltf files, z in .stl files, else that of '
            "the other mesh, or z. Where they differ, the fit turns the source until its up is that of the target."
        ),
    )
    cells: float = option(
        default=26.0,
        doc="Bounding-box diagonal of the larger shape, in cells, up to 40,000 particles; grows with N^(1/3) above.",
        above=0,
        group="simulation",
    )
    time_step: float = option(
        default=1.0 / 120.0,
        doc="Time step of a cell of size 1; proportional to the cell.",
        above=0,
    )
    basis: Basis = option(default="cubic", doc="B-spline of the transfers.")
    material: Material = option(default="fixed_corotated", doc="Constitutive model.")
    density: float = option(default=75.0, doc="Mass per volume.", above=0)
    lam: float = option(default=38_888.89, doc="First Lame parameter.", least=0)
    mu: float = option(default=58_333.3, doc="Shear modulus.", least=0)
    smoothing: float = option(default=0.955, doc="Smoothing factor s of F.", least=0, below=1)
    drag: float = option(default=0.5, doc="Drag.", least=0)
    volume_carried: bool = option(
        default=True,
        doc=(
            "Whether det F follows the volume of the motion although F is smoothed, so that pressure keeps the volume."
        ),
    )
    assimilation: float = option(
        default=0.0,
        doc="Plastic assimilation eta: Fp becomes S_e^eta Fp after each window; 0 leaves the rest shape.",
        least=0,
        most=1,
    )
    dtype: Literal["float32", "float64"] = option(default="float32", doc="Precision of the simulation.")
    device: str = option(
        default="cpu",
        doc=(
            'Where windows are computed: "cpu", "cuda:N", "cuda" for the current CUDA device, or "auto", a CUDA '
            "device where there is one."
        ),
        check=_device,
        schema={"type": "string"},
    )
    loss: Loss = option(
        default="log_mass",
        doc="Mass loss: difference of log(1 + m / m_ref), or of the masses.",
        group="objective",
    )
    m_ref: float = option(
        default=1.0,
        doc="Reference mass of the log loss for a cell of size 1, proportional to the cell's volume.",
        above=0,
    )
    outside_weight: float = option(default=1.0, doc="Weight of grid nodes without target mass.", above=0)
    kinetic_weight: float = option(
        default=0.0,
        doc="Weight of the mean squared speed at the end of a window; 0 leaves the term out.",
        least=0,
    )
    density_weight: float = option(
        default=1.0,
        doc=(
            "Weight of the squared difference of the masses, in masses of a full cell: it spreads what the log piles "
            "up."
        ),
        least=0,
    )
    fine_weight: float = option(
        default=1.0,
        doc=(
            "Weight of the log mass loss on a grid with `fine_ratio` times the nodes per axis: it smooths the surface."
        ),
        least=0,
    )
    fine_ratio: float = option(default=2.0, doc="Simulation cells over cells of that grid.", above=0)
    distance_weight: float = option(
        default=100.0,
        doc=(
            "Weight of the mass outside the target times its distance, in full cells times cells: it brings all of it "
            "home."
        ),
        least=0,
    )
    optimizer: Literal["adam", "gradient_descent", "lbfgs"] = option(
        default="adam",
        doc="Optimiser of the controls.",
        group="optimizer",
    )
    iterations: int = option(default=1, doc='Optimiser iterations per window ("joint").', least=1)
    beta1: float = option(default=0.9, doc="Adam: decay of the mean.", least=0, below=1)
    beta2: float = option(default=0.999, doc="Adam: decay of the mean square.", least=0, below=1)
    eps: float = option(
        default=1e-3,
        doc="Adam: added to the root of the mean square of the normalised gradient.",
        above=0,
    )
    step: float = option(default=0.01, doc="First step of each line search.", above=0)
    shrink: float = option(default=0.5, doc="Factor from one trial step to the next.", above=0, below=1)
    trials: int = option(default=10, doc="Largest number of trial steps of a line search.", least=1)
    windows: int = option(default=120, doc="Largest number of windows of the chain.", least=1, group="schedule")
    steps: int = option(default=20, doc="Driven steps per window (T).", least=1)
    released_steps: int = option(
        default=0,
        doc="Steps without control after them; the loss is read at their end.",
        least=0,
    )
    control_stride: int = option(default=1, doc="Steps from one control layer to the next.", least=1)
    schedule: Schedule = option(
        default="joint",
        doc='"joint" moves all control layers of a window at once; "layered" one after the other, as Xu et al.',
    )
    passes: int = option(default=3, doc='Passes over the layers ("layered").', least=1)
    velocity_kept: float = option(
        default=0.5,
        doc="Fraction of v and C that enters the next window.",
        least=0,
        most=1,
    )
    tolerance: float = option(
        default=0.02,
        doc="The chain has converged when `patience` windows lowered the best loss by less than this fraction.",
        least=0,
    )
    patience: int = option(default=20, doc="Windows that the test of convergence looks back.", least=1)
    frame_motion: float = option(
        default=0.1,
        doc="A frame is stored whenever the body has moved on average by this many cells since the last.",
        above=0,
        group="output",
    )

    @property
    def layers(self) -> int:
        """Number of control layers of a window."""
        return -(-self.steps // self.control_stride)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"windows": 30, "tolerance": 0.05, "patience": 10},
    "quality": {"windows": 300, "tolerance": 0.01, "patience": 40},
    "xu": {
        "schedule": "layered",
        "optimizer": "gradient_descent",
        "passes": 3,
        "steps": 10,
        "windows": 30,
        "step": 0.005,
        "velocity_kept": 0.25,
    },
}
"""Named sets of options: "default", "fast" (stops early), "quality" (goes on for longer) and "xu", the published
schedule of Xu et al. (layer after layer, normalised gradient, step halved until the loss falls)."""


def preset(name: str, **changes: Any) -> MorphConfig:
    """Return the configuration of a preset, with changes.

    Args:
        name: A key of `PRESETS`.
        **changes: Fields of `MorphConfig`.

    Raises:
        ConfigError: If the preset is unknown, or a change does not fit.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return MorphConfig().replace(**{**PRESETS[name], **changes})
