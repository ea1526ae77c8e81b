# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""NumPy archives."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .._arrays import Array
from .._files import read_file
from ..errors import CheckpointError
from .atomic import PathLike, write_bytes

_MOST_INFLATED = 1 << 30
"""Most bytes of arrays beyond the archive size. Archives of this package are compressed little or not at all."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def write_npz(path: PathLike, **arrays: object) -> Path:
    """Write arrays by name, without compression, from which particle data gains little."""
    return write_bytes(path, encode_npz(**arrays))


def encode_npz(**arrays: object) -> bytes:
    """Return the bytes that `write_npz` writes."""
    return _encoded(np.savez, arrays)


def encode_compressed_npz(**arrays: object) -> bytes:
    """Return a compressed archive, which saves about a tenth of positions."""
    return _encoded(np.savez_compressed, arrays)


def _encoded(save: Callable[..., None], arrays: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    save(stream, **{name: np.asarray(array) for name, array in arrays.items()})
    return stream.getvalue()


def read_npz(path: PathLike) -> dict[str, Array]:
    """Read all arrays of an archive.

    Returns:
        Arrays by name.

    Raises:
        CheckpointError: If it is missing or damaged.
    """
    try:
        return decode_npz(read_file(path))
    except Exception as error:  # NumPy and zipfile raise many types
        raise CheckpointError(
            f"archive: expected a complete .npz file, got {str(path)!r} ({type(error).__name__}: {error}); "
            "write it again"
        ) from error


def decode_npz(content: bytes) -> dict[str, Array]:
    """Return the arrays of an archive. Sizes are checked before anything is decompressed; errors are of any type."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > len(content) + _MOST_INFLATED:
            raise ValueError(
                f"expected arrays of at most {_MOST_INFLATED >> 30} GiB beyond the size of the file, got "
                f"{total / 2**30:.1f} GiB; save them uncompressed"
            )
        return {member.filename.removesuffix(".npy"): _decode(archive.read(member)) for member in members}


def _decode(content: bytes) -> Array:
    """Return the array of an .npy file."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"expected an array of version 1.0 or 2.0, got {version}")
    shape, fortran_order, dtype = _HEADERS[version](stream)
    start = stream.tell()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"expected an array of {dtype} of shape {shape}, got {len(content) - start} bytes")
    return np.ndarray(shape, dtype, content, start, order="F" if fortran_order else "C").copy(order="K")
