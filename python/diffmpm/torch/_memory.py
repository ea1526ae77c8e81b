# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Memory of devices from PyTorch's caching allocator, for what is called with CUDA tensors.

Results are tensors of PyTorch: their memory may go from stream to stream (`Tensor.record_stream`). Work space and
trajectories come from its C interface, which asks for neither the lock of the interpreter nor a tensor.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import torch
from torch import Tensor

from .. import _core

_ALLOCATE = "aoti_torch_cuda_caching_allocator_raw_alloc"
_FREE = "aoti_torch_cuda_caching_allocator_raw_delete"


@functools.cache
def use_memory_of_torch() -> None:
    """Let the core take memory from PyTorch, where it works on PyTorch's stream of a device."""
    allocate, free = _functions()
    _core.use_memory_of_torch(make_bytes, allocate, free)


def make_bytes(size: int, device: int) -> Tensor:
    """Return an uninitialised tensor of bytes on a CUDA device, at least one.

    Raises:
        MemoryError: If the memory of the device is full.
    """
    try:
        return _empty(size, device)
    except torch.cuda.OutOfMemoryError:
        _core.release_idle_memory()  # the core has a pool of its own
    try:
        return _empty(size, device)
    except torch.cuda.OutOfMemoryError as error:
        raise MemoryError(str(error)) from None


def default_budget(device: int) -> int:
    """Return a quarter of the free memory of a device, in bytes, as the core would; what PyTorch keeps idle is free."""
    idle = 0
    if torch.cuda.is_initialized():
        stats = torch.cuda.memory_stats_as_nested_dict(device)
        reserved, allocated = (stats.get(f"{name}_bytes", {}) for name in ("reserved", "allocated"))
        idle = reserved.get("all", {}).get("current", 0) - allocated.get("all", {}).get("current", 0)
    return max(1, (int(_core.memory_use(device)[0]) + int(idle)) // 4)


def _empty(size: int, device: int) -> Tensor:
    return torch.empty(max(size, 1), dtype=torch.uint8, device=torch.device("cuda", device))


def _functions() -> tuple[int, int]:
    """Return the addresses of PyTorch's functions that allocate and free, 0 in versions that do not have them."""
    folder = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cuda.so", "torch_cuda.dll"):
        if (folder / name).exists():
            library = ctypes.CDLL(str(folder / name))
            if hasattr(library, _ALLOCATE) and hasattr(library, _FREE):
                return _address(getattr(library, _ALLOCATE)), _address(getattr(library, _FREE))
    return 0, 0


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
