# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Tell what this installation can do, and how to get what it cannot."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import platform
from typing import Any

from .. import _build_info, _core

__all__ = ["collect", "register"]


EXTRAS = {"mesh": "scikit-image", "gltf": "DracoPy", "video": "imageio-ffmpeg", "usd": "usd-core", "viewer": "viser"}
"""Extra -> the package that it brings."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = subparsers.add_parser("info", help="show version, backends and what is missing", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    parser.set_defaults(run=_run)


def _torch_line() -> str:
    """Describe PyTorch support: of the build, and of this environment."""
    present = importlib.util.find_spec("torch") is not None
    installed = importlib.metadata.version("torch") if present else None
    if _build_info.TORCH_SUPPORT and installed:
        operators = "native operators" if _build_info.TORCH_OPERATORS else "operators in Python"
        return f"yes (built beside {_build_info.TORCH_VERSION}, installed {installed}, {operators})"
    if _build_info.TORCH_SUPPORT:
        return (
            f"built beside {_build_info.TORCH_VERSION}, but torch is not installed here; "
            "'pip install torch' makes it usable"
        )
    rebuild = "'DIFFMPM_WITH_TORCH=ON pip install .' in the folder of the sources"
    if installed:
        return f"no ({_build_info.TORCH_NOTE}); torch {installed} is installed: rebuild with {rebuild}"
    return f"no ({_build_info.TORCH_NOTE}); 'pip install torch' and then {rebuild} add it"


def _cuda_line() -> str:
    """Describe the devices, or why there is no CUDA backend in this build."""
    status = str(_core.cuda_status())
    return status if _core.cuda_compiled() else f"{status} ({_build_info.CUDA_NOTE})"


def _extras() -> dict[str, str | None]:
    """Return the version of the package that each extra brings, None where it is not installed."""
    versions: dict[str, str | None] = {}
    for extra, package in EXTRAS.items():
        try:
            versions[extra] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[extra] = None
    return versions


def _extras_line(versions: dict[str, str | None]) -> str:
    """Say which extras are there, and how to get the others."""
    there = [f"{name} ({EXTRAS[name]} {version})" for name, version in versions.items() if version]
    missing = [name for name, version in versions.items() if not version]
    remedy = f"pip install 'diffmpm[{','.join(missing)}]' adds {', '.join(missing)}"
    return "; ".join([", ".join(there) or "none", *([remedy] if missing else [])])


def collect() -> dict[str, Any]:
    """Collect the facts that the command prints.

    Returns:
        Name of each fact and its value, all of them JSON types.
    """
    return {
        "version": _build_info.VERSION,
        "python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
        "compiler": f"{_build_info.COMPILER}, {_build_info.BUILD_TYPE}",
        "backends": ["cpu", *(["cuda"] if _core.cuda_compiled() else [])],
        "instruction_set": _core.instruction_set(),
        "instruction_sets_built": list(_build_info.INSTRUCTION_SETS),
        "threads": _core.thread_count(),
        "openmp": _build_info.OPENMP,
        "torch_support": _build_info.TORCH_SUPPORT,
        "torch": _torch_line(),
        "extras": _extras(),
        "cuda_devices": _core.cuda_device_count(),
        "cuda": _cuda_line(),
    }


def _run(args: argparse.Namespace) -> int:
    """Print the facts."""
    facts = collect()
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    threads = str(facts["threads"])
    if not facts["openmp"]:
        threads += " (built without OpenMP; install libgomp or libomp and build again)"
    built = ", ".join(facts["instruction_sets_built"])
    rows = {
        "python": facts["python"],
        "compiler": facts["compiler"],
        "backends": ", ".join(facts["backends"]),
        "instruction set": f"{facts['instruction_set']} (built: {built})",
        "threads": threads,
        "torch support": facts["torch"],
        "extras": _extras_line(facts["extras"]),
        "cuda": facts["cuda"],
    }
    print(f"diffmpm {facts['version']}")
    for name, value in rows.items():
        print(f"  {name:<16} {value}")
    return 0
