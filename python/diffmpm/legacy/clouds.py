# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Grids and point clouds of the legacy interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import Array, aligned_copy, as_array
from .._build_info import TORCH_SUPPORT
from .._options import Range
from ..config import SimConfig, lame_parameters
from ..errors import ConfigError
from ..geometry import sample
from ..mpm import grid_mass, grid_mass_vjp
from ..types import Particles
from .options import OptInput, OptionTypeError, as_instance, as_integer, as_number, as_triple

if TYPE_CHECKING:
    import torch

_MIN_NODES = 8
"""Fewest nodes per axis: the stencil and its margin."""
_MAX_NODES = 1 << 20


class Grid:
    """A uniform grid and its nodal mass. Node (i, j, k) is at min_point + dx * (i, j, k).

    Args:
        dim_x: Number of nodes along x, at least 8.
        dim_y: Number of nodes along y.
        dim_z: Number of nodes along z.
        dx: Distance [m] between nodes, above 0.
        min_point: Position [m] of node (0, 0, 0), three numbers.

    Raises:
        ConfigError: If an argument is invalid.
    """

    def __init__(self, dim_x: int, dim_y: int, dim_z: int, dx: float, min_point: object) -> None:
        dims = []
        for name, value in (("dim_x", dim_x), ("dim_y", dim_y), ("dim_z", dim_z)):
            dims.append(as_integer(value, name, _MIN_NODES))
            if dims[-1] > _MAX_NODES:
                raise ConfigError(f"{name}: expected at most {_MAX_NODES} nodes, got {dims[-1]}; choose a larger dx")
        self._dims = (dims[0], dims[1], dims[2])
        self._dx = as_number(dx, "dx", Range(above=0))
        self._min_point = as_triple(min_point, "min_point")
        self._mass: Array | None = None

    @classmethod
    def from_options(cls, opt: OptInput) -> Grid:
        """Return an empty grid from grid_min_point to grid_max_point with spacing grid_dx.

        Raises:
            ConfigError: If the box is less than seven cells wide.
        """
        as_instance(opt, "opt", OptInput)
        low, high = np.array(opt.grid_min_point), np.array(opt.grid_max_point)
        dims = np.ceil((high - low) / opt.grid_dx - 1e-6) + 1  # 1e-6: an integer number of cells, up to rounding
        if (dims < _MIN_NODES).any() or (dims > _MAX_NODES).any():
            raise ConfigError(
                f"grid_max_point: expected a box of {_MIN_NODES} to {_MAX_NODES} nodes per axis, got "
                f"{opt.grid_min_point} to {opt.grid_max_point} at spacing {opt.grid_dx:g}"
            )
        return cls(int(dims[0]), int(dims[1]), int(dims[2]), opt.grid_dx, opt.grid_min_point)

    @property
    def dims(self) -> tuple[int, int, int]:
        """Number of nodes per axis."""
        return self._dims

    @property
    def dx(self) -> float:
        """Distance [m] between nodes."""
        return self._dx

    @property
    def min_point(self) -> tuple[float, float, float]:
        """Position [m] of node (0, 0, 0)."""
        return self._min_point

    def get_masses(self) -> Array:
        """Return a copy of the nodal masses [kg] that `p2g` wrote last, or zeros; shape `dims`, float32."""
        return aligned_copy(np.zeros(self._dims, np.float32) if self._mass is None else self._mass)

    def __repr__(self) -> str:
        return f"Grid{(*self._dims, self._dx, self._min_point)}"


class PointCloud:
    """Particles of one layer, and the control that acts on them.

    Args:
        particles: State and particle properties, float32 or float64.
        control: Control dFc, shape (N, 3, 3), dtype of the particles; None for zero.

    Raises:
        ConfigError: If an argument is invalid.
    """

    def __init__(self, particles: Particles, control: object = None) -> None:
        as_instance(particles, "particles", Particles, "use load_point_cloud_from_obj or Particles.create")
        self._particles = particles
        self._control: Array | None = None
        self._history: Callable[[], tuple[torch.Tensor, torch.Tensor]] | None = None
        if control is not None:
            self._control = as_array(control, "control", (particles.count, 3, 3), particles.dtype)

    @property
    def particles(self) -> Particles:
        """State and particle properties, for `diffmpm.Simulation`. The arrays are shared: do not write to them."""
        return self._particles

    def get_positions(self) -> Array:
        """Return a copy of the positions [m], shape (N, 3)."""
        return aligned_copy(self._particles.x)

    def get_masses(self) -> Array:
        """Return a copy of the masses [kg], shape (N,)."""
        return aligned_copy(self._particles.mass)

    def get_def_grads(self) -> Array:
        """Return a copy of the deformation gradients F without control, shape (N, 3, 3)."""
        return aligned_copy(self._particles.F)

    def get_def_grads_morph(self) -> Array:
        """Return a copy of the control dFc that acts at this layer, shape (N, 3, 3); zero without one."""
        return aligned_copy(np.zeros_like(self._particles.F) if self._control is None else self._control)

    def get_def_grads_total(self) -> Array:
        """Return a copy of F + dFc, shape (N, 3, 3)."""
        return aligned_copy(self._particles.F if self._control is None else self._particles.F + self._control)

    if TORCH_SUPPORT:

        def get_positions_torch(self, requires_grad: bool = False) -> torch.Tensor:
            """Return the positions [m] as a CPU tensor, shape (N, 3), float32.

            Args:
                requires_grad: Whether the tensor accumulates `.grad`. If the controls of the graph are learnable, it
                    has history and is the same in every call, otherwise it is a new leaf.

            Raises:
                ImportError: If PyTorch is not installed.
            """
            if requires_grad and self._history is not None:
                return self._history()[0]
            return _tensor(self.get_positions(), requires_grad, "get_positions_torch")

        def get_def_grads_total_torch(self, requires_grad: bool = False) -> torch.Tensor:
            """Return F + dFc as a CPU tensor, shape (N, 3, 3), float32; see `get_positions_torch`."""
            if requires_grad and self._history is not None:
                return self._history()[1]
            return _tensor(self.get_def_grads_total(), requires_grad, "get_def_grads_total_torch")

    def __reduce__(self) -> tuple[Any, ...]:
        return PointCloud, (self._particles, self._control)  # a copy has no history

    def __len__(self) -> int:
        return self._particles.count

    def __repr__(self) -> str:
        return f"PointCloud({self._particles.count} particles)"


def import_torch(caller: str) -> Any:
    """Return PyTorch, or raise an ImportError that names the function which needs it."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{caller}: needs PyTorch, which is not installed; install it with pip install torch"
        ) from error
    return torch


def _tensor(array: Array, requires_grad: bool, caller: str) -> torch.Tensor:
    tensor: torch.Tensor = import_torch(caller).from_numpy(array.astype(np.float32, copy=False))
    return tensor.requires_grad_(bool(requires_grad))


def _transfer_config(grid: Grid) -> SimConfig:
    """Return the configuration of transfers between particles and a grid; dt is arbitrary."""
    return SimConfig(dx=grid.dx, dt=1.0, origin=grid.min_point, dims=grid.dims)


def load_point_cloud_from_obj(path: str | os.PathLike[str], opt: OptInput) -> PointCloud:
    """Fill a mesh with particles at rest, on a lattice of spacing grid_dx / points_per_cell_cuberoot.

    Args:
        path: Mesh file (.obj, or any other format of `diffmpm.load_mesh`) or the name of a built-in shape.
        opt: Options; grid_dx, points_per_cell_cuberoot, p_density, lam and mu are used.

    Returns:
        Particles of equal mass and volume, float32.

    Raises:
        ConfigError: If an argument has the wrong type.
        MeshError: If the mesh cannot be read or has no volume.
    """
    if not isinstance(path, str | os.PathLike):
        raise OptionTypeError(f"path: expected a path, got {type(path).__name__}")
    as_instance(opt, "opt", OptInput)
    spacing = opt.grid_dx / opt.points_per_cell_cuberoot
    return PointCloud(sample(path, spacing=spacing, method="lattice", density=opt.p_density, lam=opt.lam, mu=opt.mu))


def p2g(pc: PointCloud, grid: Grid) -> None:
    """Spread the mass of a point cloud to the nodes of a grid with the cubic basis.

    Args:
        pc: Point cloud.
        grid: Grid whose masses are replaced.

    Raises:
        ConfigError: If an argument has the wrong type.
        SimulationError: If a particle is outside the grid; the grid is unchanged.
    """
    p = as_instance(pc, "pc", PointCloud).particles
    as_instance(grid, "grid", Grid)
    grid._mass = grid_mass(p.x, p.mass, _transfer_config(grid)).astype(np.float32, copy=False)


def calculate_point_cloud_volumes(pc: PointCloud, grid: Grid) -> None:
    """Set rest volumes from the mass density on a grid: V_p = m_p / rho_p with rho_p = sum_i w_ip m_i / dx^3.

    Loaded particles already have equal volumes. Because the density falls off at the surface, this function assigns
    more volume to the particles there.

    Args:
        pc: Point cloud whose rest volumes are replaced.
        grid: Grid; only its geometry is used.

    Raises:
        ConfigError: If an argument has the wrong type.
        SimulationError: If a particle is outside the grid; the volumes are unchanged.
    """
    p = as_instance(pc, "pc", PointCloud).particles
    config = _transfer_config(as_instance(grid, "grid", Grid))
    _, gathered = grid_mass_vjp(p.x, p.mass, config, grid_mass(p.x, p.mass, config))
    pc._particles = p.replace(volume=p.mass * p.mass.dtype.type(grid.dx**3) / gathered)


calculate_lame_parameters = lame_parameters


def get_positions_from_pc(pc: PointCloud) -> Array:
    """Return a copy of the positions [m] of a point cloud, shape (N, 3)."""
    positions: Array = as_instance(pc, "pc", PointCloud).get_positions()
    return positions
