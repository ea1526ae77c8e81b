# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Exceptions and warnings of the package; every one derives from `DiffMPMError`."""

from __future__ import annotations


class DiffMPMError(Exception):
    """Base of every error that the package raises on purpose."""


class ConfigError(DiffMPMError, ValueError):
    """An argument has the wrong kind, shape, dtype or value."""


class MeshError(DiffMPMError, ValueError):
    """A mesh cannot be read, or is not a solid that can be sampled."""


class CheckpointError(DiffMPMError, ValueError):
    """A checkpoint is damaged or belongs to another run."""


class MissingPackageError(DiffMPMError, ImportError):
    """An optional package that a function needs is not installed."""


class OutputError(DiffMPMError, OSError):
    """A result cannot be written; nothing that existed before was lost."""


class DeviceError(DiffMPMError, RuntimeError):
    """A CUDA device is missing, or a call of it failed."""


class SimulationError(DiffMPMError, RuntimeError):
    """A step produced a state that the method cannot continue from; the caller's arrays are untouched.

    Attributes:
        particle: Index of the first offending particle, in the caller's order.
        step: Step (0-based) that produced the state.
        cause: "left_grid", "not_finite", "inverted" or "degenerate".
    """

    def __init__(self, message: str, *, particle: int, step: int, cause: str) -> None:
        super().__init__(message)
        self.particle = particle
        self.step = step
        self.cause = cause

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_simulation_error, (str(self), self.particle, self.step, self.cause)


_REMEDIES = {
    "left_grid": "enlarge the grid (origin, dims), or reduce dt or the velocity",
    "not_finite": "reduce dt or the control, and check the inputs",
    "inverted": "reduce dt or the control",
    "degenerate": "its gradient does not exist there; reduce the compression",
    "initial": "pass deformation gradients that preserve orientation",
}


def simulation_error(what: str, particle: int, step: int, cause: str) -> SimulationError:
    """Build the error of a step that failed; called by the native core."""
    remedy = _REMEDIES["initial" if "initial F" in what else cause]
    return SimulationError(f"{what}; {remedy}", particle=particle, step=step, cause=cause)


def _rebuild_simulation_error(message: str, particle: int, step: int, cause: str) -> SimulationError:
    return SimulationError(message, particle=particle, step=step, cause=cause)


class DiffMPMWarning(UserWarning):
    """Base of the package's warnings."""


class MeshWarning(DiffMPMWarning):
    """A mesh is open, non-manifold, wound inconsistently or inside out, or its volume is not what its surface says."""
