# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Exceptions and warnings of the package."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class DiffMPMError(Exception):
    """Base of the errors that the package raises on purpose."""


class ConfigError(DiffMPMError, ValueError):
    """An argument has the wrong type, shape, dtype or value."""


class MeshError(DiffMPMError, ValueError):
    """A mesh cannot be read, or is not a solid that can be sampled."""


class CheckpointError(DiffMPMError, ValueError):
    """A checkpoint is damaged or belongs to another run."""


class MissingPackageError(DiffMPMError, ImportError):
    """An optional package that a function needs is not installed."""


def optional_package(module: str, package: str, use: str, extra: str) -> Any:
    """Return a module of an optional package; raise a MissingPackageError with the remedy if it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{package}: needed for {use} and not installed; pip install 'diffmpm[{extra}]'"
        ) from error


class OutputError(DiffMPMError, OSError):
    """A result cannot be written; existing files are intact."""


class DeviceError(DiffMPMError, RuntimeError):
    """A CUDA device is missing, or a CUDA call failed."""


class SimulationError(DiffMPMError, RuntimeError):
    """A time step produced an invalid state; the arrays of the caller are unchanged.

    Attributes:
        particle: Index of the first invalid particle, in the order of the caller.
        step: Time step (0-based) that produced the state.
        cause: "left_grid", "not_finite", "inverted" or "degenerate".
    """

    def __init__(self, message: str, *, particle: int, step: int, cause: str) -> None:
        super().__init__(message)
        self.particle = particle
        self.step = step
        self.cause = cause

    def __reduce__(self) -> tuple[object, ...]:
        return _simulation_error, (str(self), self.particle, self.step, self.cause)


_REMEDIES = {
    "left_grid": "enlarge the grid (origin, dims), or reduce dt or the velocity",
    "not_finite": "reduce dt or the control, and check the inputs",
    "inverted": "reduce dt or the control",
    "degenerate": "its gradient does not exist there; reduce the compression",
    "initial": "pass deformation gradients that preserve orientation",
}


def simulation_error(what: str, particle: int, step: int, cause: str) -> SimulationError:
    """Build the error of a failed time step; called by the native core."""
    return _simulation_error(f"{what}; {_REMEDIES['initial' if 'initial F' in what else cause]}", particle, step, cause)


def _simulation_error(message: str, particle: int, step: int, cause: str) -> SimulationError:
    return SimulationError(message, particle=particle, step=step, cause=cause)


class DiffMPMWarning(UserWarning):
    """Base of the package's warnings."""


class MeshWarning(DiffMPMWarning):
    """A mesh is open, non-manifold, inconsistently wound or inside out, or its volume contradicts its surface."""
