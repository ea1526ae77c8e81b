# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Grids and point clouds of the seed-compatible interface."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from .._arrays import Array, aligned, as_array
from .._build_info import TORCH_SUPPORT
from ..config import SimConfig, lame_parameters
from ..errors import ConfigError
from ..geometry import sample
from ..mpm import grid_mass, grid_mass_vjp
from ..types import Particles
from .options import OptInput, OptionTypeError, as_integer, as_kind, as_number, as_triple

if TYPE_CHECKING:
    import torch

_LEAST_NODES = 8
"""Nodes per axis that the core needs: a stencil and the margin around it."""
_MOST_NODES = 1 << 20
"""Nodes per axis that the core takes."""


class Grid:
    """A uniform grid and the mass on its nodes; node (i, j, k) stands at min_point + dx * (i, j, k).

    Args:
        dim_x: Number of nodes along x, at least 8.
        dim_y: Number of nodes along y.
        dim_z: Number of nodes along z.
        dx: Distance [m] between nodes, above 0.
        min_point: Position [m] of node (0, 0, 0), three numbers.

    Raises:
        ConfigError: If an argument does not fit.
    """

    def __init__(self, dim_x: int, dim_y: int, dim_z: int, dx: float, min_point: object) -> None:
        dims = []
        for name, value in (("dim_x", dim_x), ("dim_y", dim_y), ("dim_z", dim_z)):
            dims.append(as_integer(value, name, _LEAST_NODES))
            if dims[-1] > _MOST_NODES:
                raise ConfigError(f"{name}: expected at most {_MOST_NODES} nodes, got {dims[-1]}; choose a larger dx")
        self._dims = (dims[0], dims[1], dims[2])
        self._dx = as_number(dx, "dx", above=0.0)
        self._min_point = as_triple(min_point, "min_point")
        self._mass: Array | None = None

    @classmethod
    def from_options(cls, opt: OptInput) -> Grid:
        """Return an empty grid over grid_min_point to grid_max_point at spacing grid_dx.

        Raises:
            ConfigError: If the box is not at least seven cells wide.
        """
        as_kind(opt, "opt", OptInput)
        low, high = np.array(opt.grid_min_point), np.array(opt.grid_max_point)
        dims = np.ceil((high - low) / opt.grid_dx - 1e-6) + 1  # 1e-6: a whole number of cells, up to rounding
        if (dims < _LEAST_NODES).any() or (dims > _MOST_NODES).any():
            raise ConfigError(
                f"grid_max_point: expected a box of {_LEAST_NODES} to {_MOST_NODES} nodes per axis, got "
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
        """Return the mass [kg] of every node, shape `dims`, float32: what `p2g` wrote last, or zeros; a copy."""
        return aligned(np.zeros(self._dims, np.float32) if self._mass is None else self._mass)

    def __repr__(self) -> str:
        return f"Grid{(*self._dims, self._dx, self._min_point)}"


class PointCloud:
    """Particles of one layer and the control that acts on them there.

    Args:
        particles: State and constants, float32 or float64.
        control: Control dFc, shape (N, 3, 3), dtype of the particles; None for zero.

    Raises:
        ConfigError: If an argument does not fit.
    """

    def __init__(self, particles: Particles, control: object = None) -> None:
        as_kind(particles, "particles", Particles, "use load_point_cloud_from_obj or Particles.create")
        self._particles = particles
        self._control: Array | None = None
        if control is not None:
            self._control = as_array(control, "control", (particles.count, 3, 3), particles.dtype)

    @property
    def particles(self) -> Particles:
        """State and constants, for `diffmpm.Simulation`; its arrays are shared: do not write into them."""
        return self._particles

    def get_positions(self) -> Array:
        """Return the positions [m], shape (N, 3); a copy."""
        return aligned(self._particles.x)

    def get_masses(self) -> Array:
        """Return the masses [kg], shape (N,); a copy."""
        return aligned(self._particles.mass)

    def get_def_grads(self) -> Array:
        """Return the deformation gradients F without control, shape (N, 3, 3); a copy."""
        return aligned(self._particles.F)

    def get_def_grads_morph(self) -> Array:
        """Return the control dFc that acts at this layer, shape (N, 3, 3), zero where none does; a copy."""
        return aligned(np.zeros_like(self._particles.F) if self._control is None else self._control)

    def get_def_grads_total(self) -> Array:
        """Return F + dFc, shape (N, 3, 3); a copy."""
        return aligned(self._particles.F if self._control is None else self._particles.F + self._control)

    if TORCH_SUPPORT:

        def get_positions_torch(self, requires_grad: bool = False) -> torch.Tensor:
            """Return the positions [m] as a tensor of its own, shape (N, 3), float32, on the CPU.

            Args:
                requires_grad: Whether the tensor is a leaf that collects `.grad`.

            Raises:
                ImportError: If PyTorch is not installed.
            """
            return _tensor(self.get_positions(), requires_grad, "get_positions_torch")

        def get_def_grads_total_torch(self, requires_grad: bool = False) -> torch.Tensor:
            """Return F + dFc as a tensor of its own, shape (N, 3, 3), float32, on the CPU.

            Args:
                requires_grad: Whether the tensor is a leaf that collects `.grad`.

            Raises:
                ImportError: If PyTorch is not installed.
            """
            return _tensor(self.get_def_grads_total(), requires_grad, "get_def_grads_total_torch")

    def __len__(self) -> int:
        return self._particles.count

    def __repr__(self) -> str:
        return f"PointCloud({self._particles.count} particles)"


def import_torch(caller: str) -> Any:
    """Return PyTorch.

    Raises:
        ImportError: If it is not installed.
    """
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


def grid_config(grid: Grid) -> SimConfig:
    """Return the configuration of the transfers between particles and a grid (its time step has no meaning)."""
    return SimConfig(dx=grid.dx, dt=1.0, origin=grid.min_point, dims=grid.dims)


def load_point_cloud_from_obj(path: str | os.PathLike[str], opt: OptInput) -> PointCloud:
    """Fill a mesh with particles at rest, on a lattice of spacing grid_dx / points_per_cell_cuberoot.

    Args:
        path: Mesh file (.obj, or another kind that `diffmpm.load_mesh` reads) or the name of a built-in shape.
        opt: Options; grid_dx, points_per_cell_cuberoot, p_density, lam and mu are used.

    Returns:
        Particles, float32, that share mass and volume of the solid equally.

    Raises:
        ConfigError: If an argument is of the wrong kind.
        MeshError: If the mesh cannot be read or encloses nothing.
    """
    if not isinstance(path, str | os.PathLike):
        raise OptionTypeError(f"path: expected a path, got {type(path).__name__}")
    as_kind(opt, "opt", OptInput)
    return PointCloud(
        sample(
            path,
            spacing=opt.grid_dx / opt.points_per_cell_cuberoot,
            method="lattice",
            density=opt.p_density,
            lam=opt.lam,
            mu=opt.mu,
        )
    )


def p2g(pc: PointCloud, grid: Grid) -> None:
    """Write the mass of a point cloud, spread by the cubic basis, on the nodes of a grid.

    Args:
        pc: Point cloud.
        grid: Grid; the masses that it held are replaced.

    Raises:
        ConfigError: If an argument is of the wrong kind.
        SimulationError: If a particle is outside the grid; the grid keeps what it held.
    """
    as_kind(pc, "pc", PointCloud)
    as_kind(grid, "grid", Grid)
    p = pc.particles
    grid._mass = grid_mass(p.x, p.mass, grid_config(grid)).astype(np.float32, copy=False)


def calculate_point_cloud_volumes(pc: PointCloud, grid: Grid) -> None:
    """Set rest volumes from the mass density on a grid: V_p = m_p / rho_p with rho_p = sum_i w_ip m_i / dx^3.

    Without it each particle has its share of the volume of its mesh. The density falls off at the surface, so the
    particles there get more volume this way.

    Args:
        pc: Point cloud; its rest volumes are replaced.
        grid: Grid, of which only the geometry is used.

    Raises:
        ConfigError: If an argument is of the wrong kind.
        SimulationError: If a particle is outside the grid; the cloud keeps its volumes.
    """
    as_kind(pc, "pc", PointCloud)
    as_kind(grid, "grid", Grid)
    p, config = pc.particles, grid_config(grid)
    _, gathered = grid_mass_vjp(p.x, p.mass, config, grid_mass(p.x, p.mass, config))
    pc._particles = p.replace(volume=p.mass * p.mass.dtype.type(grid.dx**3) / gathered)


def calculate_lame_parameters(E: float, nu: float) -> tuple[float, float]:
    """Return (lam, mu) [Pa] of Young's modulus E [Pa] and Poisson's ratio nu.

    Raises:
        ConfigError: If E <= 0 or nu is outside (-1, 0.5).
    """
    return lame_parameters(E, nu)


def get_positions_from_pc(pc: PointCloud) -> Array:
    """Return the positions [m] of a point cloud, shape (N, 3); a copy."""
    positions: Array = as_kind(pc, "pc", PointCloud).get_positions()
    return positions
