# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Control of the emulated devices of a build with DIFFMPM_EMULATE_CUDA: logs, memory limits, failures."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import pytest
from diffmpm import _core

Result = TypeVar("Result")
WORK = ("launch", "copy", "to_host", "from_host", "allocate", "wait")


class Entry(NamedTuple):
    """An operation on a stream."""

    work: str
    device: int
    stream: int


class Emulation:
    """Functions at the end of tests/cpp/cuda/emulated/devices.cpp."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(_core.__file__)
        for name in ("fail", "log"):
            getattr(self._library, f"diffmpm_emulated_{name}").restype = ctypes.c_int64

    def used(self, device: int = 0) -> int:
        """Return the bytes in use on a device."""
        return _core.memory_use(device)[2]

    def capture(self, captures: bool) -> None:
        """Let all streams be, or not be, captured into graphs."""
        self._library.diffmpm_emulated_capture(int(captures))

    @contextmanager
    def limited(self, size: int) -> Iterator[None]:
        """Limit the memory of each device to `size` bytes."""
        self._library.diffmpm_emulated_limit(ctypes.c_int64(size))
        try:
            yield
        finally:
            self._library.diffmpm_emulated_limit(ctypes.c_int64(0))

    def failing(self, k: int, call: Callable[[], Result]) -> tuple[Result | None, int]:
        """Call with the k-th allocation failing; return the result, or None, and the number of allocations."""
        self._library.diffmpm_emulated_fail(ctypes.c_int64(k))
        try:
            return call(), int(self._library.diffmpm_emulated_fail(ctypes.c_int64(0)))
        except MemoryError:
            return None, k
        finally:
            self._library.diffmpm_emulated_fail(ctypes.c_int64(0))

    @contextmanager
    def native_operators(self, device: int, stream: Callable[[], int]) -> Iterator[None]:
        """Let the native PyTorch operators take CPU tensors for tensors on a device with a current stream."""
        import torch

        path = next((path for path in torch.ops.loaded_libraries if "_torch_ops" in path), None)
        if path is None:
            pytest.skip("built without the native operators")

        def store(device: int, out: Any) -> int:
            out[0] = stream()
            return 0

        function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p))(store)
        library = ctypes.CDLL(path)
        library.diffmpm_use_table.argtypes = [ctypes.c_size_t, ctypes.c_void_p]
        library.diffmpm_use_table(_core.operator_table(), ctypes.cast(function, ctypes.c_void_p))
        emulated_device = ctypes.c_int.in_dll(library, "diffmpm_emulated_device")
        before, emulated_device.value = emulated_device.value, device
        try:
            yield
        finally:
            emulated_device.value = before

    def watched(self, call: Callable[[], Result]) -> tuple[Result, list[Entry]]:
        """Return the result of a call and its operations on streams."""
        self._library.diffmpm_emulated_log(1)
        result = call()
        count = int(self._library.diffmpm_emulated_log(0))
        values = (ctypes.c_int64 * 3)()
        entries = []
        for n in range(count):
            self._library.diffmpm_emulated_entry(ctypes.c_int64(n), values)
            entries.append(Entry(WORK[values[0]], values[1], values[2]))
        return result, entries


def emulation() -> Emulation | None:
    """Return the emulation, or None if this build does not emulate devices."""
    return Emulation() if hasattr(ctypes.CDLL(_core.__file__), "diffmpm_emulated_log") else None
