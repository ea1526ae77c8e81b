# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Tensors as arrays of the core and back; on CUDA devices with PyTorch's stream and caching allocator.

Results on a device are tensors of PyTorch, so their memory may move between streams (`Tensor.record_stream`). Work
space and trajectories come from the allocator's C interface, which needs neither the GIL nor a tensor.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from .. import _core
from .._arrays import Array, DeviceArray, shape_text
from .._build_info import CUDA_SUPPORT
from ..errors import ConfigError

FLOATS = (torch.float32, torch.float64)
_HALF = (torch.float16, torch.bfloat16)
_ALLOCATOR = "aoti_torch_cuda_caching_allocator_raw_alloc", "aoti_torch_cuda_caching_allocator_raw_delete"


def checked(
    value: Tensor,
    name: str,
    shape: tuple[int | None, ...],
    like: Tensor | None = None,
    *,
    of: str = "x",
    dtype: torch.dtype | None = None,
    cuda: bool = False,
    autocast: bool = True,
) -> Tensor:
    """Return a tensor after checks of its layout, device, dtype and shape.

    Args:
        value: The tensor.
        name: Its name in messages.
        shape: Expected shape; None stands for any size.
        like: Tensor on the expected device and of the expected dtype. A tensor without axes may also be on the CPU.
        of: Name of `like`.
        dtype: Expected dtype, if not that of `like`.
        cuda: Whether a tensor without `like` may be on a CUDA device that the core can use.
        autocast: Whether half precision becomes float32 under autocast.

    Raises:
        ConfigError: If a check fails.
    """
    if not isinstance(value, Tensor):
        raise ConfigError(f"{name}: expected a torch.Tensor, got {type(value).__name__}; use torch.as_tensor")
    expected = like.dtype if dtype is None and like is not None else dtype
    dense = value.layout is torch.strided
    if dense and like is not None and value.dtype is expected and value.device == like.device and _fits(value, shape):
        return value
    if not dense:
        raise ConfigError(f"{name}: expected a dense tensor, got {value.layout}; pass {name}.to_dense()")
    if like is not None and not like.is_cpu and value.device != like.device and (shape or not value.is_cpu):
        raise ConfigError(f"{name}: expected a tensor on {like.device}, as the others are, got one on {value.device}")
    elsewhere = cuda and value.is_cuda and _core.cuda_device_count() > 0 if like is None else not like.is_cpu
    if not value.is_cpu and not elsewhere:
        raise ConfigError(f"{name}: expected a CPU tensor, got one on {value.device}; pass {name}.cpu()")
    if autocast and dtype is None and value.dtype in _HALF and torch.is_autocast_enabled(value.device.type):
        value = value.float()
    if dtype is None and value.dtype not in FLOATS:
        raise ConfigError(f"{name}: expected torch.float32 or torch.float64, got {value.dtype}; pass {name}.float()")
    if expected is not None and value.dtype != expected:
        source, remedy = (f", the dtype of {of}", f"{of}.dtype") if dtype is None else ("", expected)
        raise ConfigError(f"{name}: expected {expected}{source}, got {value.dtype}; pass {name}.to({remedy})")
    if not _fits(value, shape):
        raise ConfigError(f"{name}: expected shape {shape_text(shape)}, got {shape_text(value.shape)}")
    return value


def _fits(value: Tensor, shape: tuple[int | None, ...]) -> bool:
    if value.dim() != len(shape):
        return False
    for expected, size in zip(shape, value.shape, strict=True):  # a loop, for torch.compile and symbolic sizes
        if expected is not None and expected != size:
            return False
    return True


def shared(array: np.ndarray) -> Tensor:
    """Return a tensor on an array's memory; a read-only array is copied, because tensors cannot protect it."""
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def to_array(tensor: Tensor) -> Array:
    """Return a tensor's values as an array of the core, without a copy if they are contiguous."""
    plain = tensor.detach().resolve_neg().contiguous()
    if not _on_device(plain):
        return plain.numpy()  # type: ignore[no-any-return]
    if tensor.dtype not in (*FLOATS, torch.int32):
        return _core.from_dlpack(plain)  # says what is wrong
    # The work goes to PyTorch's own stream, so nothing has to wait, as it would with DLPack.
    dtype = str(plain.dtype).removeprefix("torch.")
    return _core.view_memory(plain.data_ptr(), tuple(plain.shape), dtype, _device_index(plain), plain)


def to_tensor(value: Array | Tensor | float, like: Tensor) -> Tensor:
    """Return an array of the core, or a number in the dtype of `like`, as a tensor."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, DeviceArray):
        return _from_device(value)
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else like.new_tensor(value)


def check_once(tensor: Tensor, fact: object, check: Callable[[], object]) -> None:
    """Check the values of a tensor; those on a device once, and again after PyTorch has recorded a change."""
    if not _on_device(tensor) or tensor.is_inference():
        check()
    elif getattr(tensor, "_diffmpm_checked", None) != (tensor._version, fact):
        check()
        tensor._diffmpm_checked = tensor._version, fact  # type: ignore[attr-defined]


def on_stream(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return a kernel for CUDA tensors, which runs on PyTorch's current stream and with PyTorch's memory."""

    @functools.wraps(kernel)
    def run(*args: Any) -> Any:
        device = _device_index(next(arg for arg in args if isinstance(arg, Tensor) and _on_device(arg)))
        return _core.call_on_stream(device, _stream(device), kernel, *args)

    return run


def default_budget(device: int) -> int:
    """Return a quarter of the free memory [bytes] of a device; memory cached by PyTorch is free."""
    idle = 0
    if torch.cuda.is_initialized():
        stats = torch.cuda.memory_stats_as_nested_dict(device)
        reserved, allocated = (stats.get(f"{name}_bytes", {}) for name in ("reserved", "allocated"))
        idle = reserved.get("all", {}).get("current", 0) - allocated.get("all", {}).get("current", 0)
    return max(1, (int(_core.memory_use(device)[0]) + int(idle)) // 4)


def _on_device(tensor: Tensor) -> bool:
    return tensor.is_cuda


def _device_index(tensor: Tensor) -> int:
    return int(tensor.device.index)


def _from_device(array: DeviceArray) -> Tensor:
    """Return a tensor on the memory of an array, which may be that of a tensor already."""
    if array.owner is None:
        return from_dlpack(array.__dlpack__(stream=-1))  # type: ignore[no-any-return]
    dtype = torch.float64 if array.dtype == np.float64 else torch.float32
    values: Tensor = array.owner[: array.size * dtype.itemsize].view(dtype)
    return values.view(array.shape)


def _stream(device: int) -> int:
    return int(torch.cuda.current_stream(device).cuda_stream)


def make_bytes(size: int, device: int) -> Tensor:
    """Return an uninitialised tensor of at least one byte on a CUDA device.

    Raises:
        MemoryError: If the memory of the device is full.
    """
    for last in (False, True):
        try:
            return torch.empty(max(size, 1), dtype=torch.uint8, device=torch.device("cuda", device))
        except torch.cuda.OutOfMemoryError as error:
            if last:
                raise MemoryError(str(error)) from None
            _core.release_idle_memory()  # of the core's own pool
    raise AssertionError


def cuda_function(name: str) -> int:
    """Return the address of a function of PyTorch's C interface for CUDA, 0 in versions without it."""
    folder = Path(torch.__file__).parent / "lib"
    for file in ("libtorch_cuda.so", "torch_cuda.dll"):
        if (folder / file).exists() and hasattr(library := ctypes.CDLL(str(folder / file)), name):
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    return 0


if CUDA_SUPPORT:
    _core.use_memory_of_torch(make_bytes, *map(cuda_function, _ALLOCATOR))
