# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""NumPy archives."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import Array
from ..errors import CheckpointError
from .atomic import PathLike, write_bytes
from .handle import read_regular


def write_npz(path: PathLike, **arrays: object) -> Path:
    """Write arrays by name, uncompressed: particle data does not compress.

    Args:
        path: File.
        **arrays: Arrays.

    Returns:
        The file.

    Raises:
        OutputError: If it cannot be written.
    """
    return write_bytes(path, encode_npz(**arrays))


def encode_npz(**arrays: object) -> bytes:
    """Return the bytes of the archive that `write_npz` writes."""
    stream = io.BytesIO()
    content: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez(stream, **content)
    return stream.getvalue()


def read_npz(path: PathLike) -> dict[str, Array]:
    """Read all arrays of an archive.

    Args:
        path: File.

    Returns:
        Arrays by name.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    try:
        return decode_npz(read_regular(Path(path)))
    except Exception as error:  # NumPy and zipfile raise whatever they stumble over
        raise CheckpointError(
            f"archive: expected a complete .npz file, got {str(path)!r} ({type(error).__name__}: {error}); "
            "write it again"
        ) from error


def decode_npz(content: bytes) -> dict[str, Array]:
    """Return the arrays of the archive that `encode_npz` returned; errors are those of NumPy and zipfile."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
