# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Differentiable MPM: morph one solid shape into another by exact elastodynamics."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# libgomp lets idle threads spin for milliseconds, which takes the cores from whatever else runs: on a busy machine a
# step becomes up to ten times slower. A short spin costs an idle machine nothing. Read when the runtime is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

try:
    from . import _core as _core  # type: ignore[attr-defined, unused-ignore]
    from ._build_info import VERSION as __version__
except ImportError as error:  # pragma: no cover - needs a broken installation
    raise ImportError(
        f"diffmpm: its compiled module could not be loaded ({error}); install the package with 'pip install .' "
        "from its source folder, and do not import it from that folder without installing"
    ) from error

if TYPE_CHECKING:
    from . import compgraph as compgraph
    from . import export as export
    from . import geometry as geometry
    from . import losses as losses
    from . import metrics as metrics
    from . import morphing as morphing
    from . import mpm as mpm
    from . import render as render
    from . import renderer as renderer
    from . import sampling as sampling
    from . import surface as surface
    from . import view as view
    from ._arrays import DeviceArray as DeviceArray
    from ._arrays import to_device as to_device
    from ._threads import get_num_threads as get_num_threads
    from ._threads import set_num_threads as set_num_threads
    from .config import HalfSpace as HalfSpace
    from .config import SimConfig as SimConfig
    from .config import Sphere as Sphere
    from .config import lame_parameters as lame_parameters
    from .errors import CheckpointError as CheckpointError
    from .errors import ConfigError as ConfigError
    from .errors import DeviceError as DeviceError
    from .errors import DiffMPMError as DiffMPMError
    from .errors import DiffMPMWarning as DiffMPMWarning
    from .errors import MeshError as MeshError
    from .errors import MeshWarning as MeshWarning
    from .errors import MissingPackageError as MissingPackageError
    from .errors import OutputError as OutputError
    from .errors import SimulationError as SimulationError
    from .geometry import Mesh as Mesh
    from .geometry import fit as fit
    from .geometry import load_mesh as load_mesh
    from .geometry import sample as sample
    from .geometry import shapes as shapes
    from .legacy import CompGraph as CompGraph
    from .legacy import Grid as Grid
    from .legacy import OptInput as OptInput
    from .legacy import PointCloud as PointCloud
    from .legacy import calculate_lame_parameters as calculate_lame_parameters
    from .legacy import calculate_point_cloud_volumes as calculate_point_cloud_volumes
    from .legacy import get_positions_from_pc as get_positions_from_pc
    from .legacy import load_point_cloud_from_obj as load_point_cloud_from_obj
    from .legacy import p2g as p2g
    from .morphing import MorphConfig as MorphConfig
    from .morphing import RenderGuidance as RenderGuidance
    from .morphing import TargetViews as TargetViews
    from .morphing import morph as morph
    from .mpm import Gradients as Gradients
    from .mpm import Rollout as Rollout
    from .mpm import Simulation as Simulation
    from .mpm import grid_mass as grid_mass
    from .mpm import grid_mass_vjp as grid_mass_vjp
    from .render import Camera as Camera
    from .render import rasterize as rasterize
    from .surface import Gaussians as Gaussians
    from .surface import SurfaceConfig as SurfaceConfig
    from .surface import gaussians as gaussians
    from .types import Particles as Particles

# Public name -> module that holds it; an empty module means that the name is itself a submodule. Resolved on first
# use, so that 'import diffmpm' costs no more than the compiled module.
_LAZY: dict[str, str] = {
    "Camera": "render",
    "CheckpointError": "errors",
    "CompGraph": "legacy",
    "ConfigError": "errors",
    "DeviceArray": "_arrays",
    "DeviceError": "errors",
    "DiffMPMError": "errors",
    "DiffMPMWarning": "errors",
    "Gaussians": "surface",
    "Gradients": "mpm",
    "Grid": "legacy",
    "HalfSpace": "config",
    "Mesh": "geometry",
    "MeshError": "errors",
    "MeshWarning": "errors",
    "MissingPackageError": "errors",
    "MorphConfig": "morphing",
    "OptInput": "legacy",
    "OutputError": "errors",
    "Particles": "types",
    "PointCloud": "legacy",
    "RenderGuidance": "morphing",
    "Rollout": "mpm",
    "SimConfig": "config",
    "Simulation": "mpm",
    "SimulationError": "errors",
    "Sphere": "config",
    "SurfaceConfig": "surface",
    "TargetViews": "morphing",
    "calculate_lame_parameters": "legacy",
    "calculate_point_cloud_volumes": "legacy",
    "compgraph": "",
    "export": "",
    "fit": "geometry",
    "gaussians": "surface",
    "geometry": "",
    "get_num_threads": "_threads",
    "get_positions_from_pc": "legacy",
    "grid_mass": "mpm",
    "grid_mass_vjp": "mpm",
    "lame_parameters": "config",
    "load_mesh": "geometry",
    "load_point_cloud_from_obj": "legacy",
    "losses": "",
    "metrics": "",
    "morph": "morphing",
    "morphing": "",
    "mpm": "",
    "p2g": "legacy",
    "rasterize": "render",
    "render": "",
    "renderer": "",
    "sample": "geometry",
    "sampling": "",
    "set_num_threads": "_threads",
    "shapes": "geometry",
    "surface": "",
    "to_device": "_arrays",
    "view": "",
}

__all__ = ["__version__", *_LAZY]


if not TYPE_CHECKING:  # to a type checker a name that is not listed above is an error

    def __getattr__(name: str) -> Any:
        """Import a public name on first use."""
        try:
            module = _LAZY[name]
        except KeyError:
            raise AttributeError(f"module 'diffmpm' has no attribute {name!r}") from None
        if module:
            value = getattr(importlib.import_module(f".{module}", __name__), name)
        else:
            value = importlib.import_module(f".{name}", __name__)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
