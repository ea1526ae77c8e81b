# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Show the version, backends and packages of this installation, the measures of a result, or facts about a mesh."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import platform
from pathlib import Path
from typing import Any

from .. import _build_info, _core
from ..errors import ConfigError
from ..geometry import EXTENSIONS, Appearance, shapes
from ..morphing.verdict import verdict
from ..splats import is_scene, load_shape
from .results import print_measures

__all__ = ["collect", "register"]


EXTRAS = {"gltf": "DracoPy", "video": "imageio-ffmpeg", "usd": "usd-core", "alembic": "alembic3d", "viewer": "viser"}
"""Package that each extra installs."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    from . import COMMANDS

    parser = subparsers.add_parser("info", help=COMMANDS["info"], description=__doc__)
    parser.add_argument(
        "path",
        metavar="RESULT|MESH",
        nargs="?",
        help="output folder of 'diffmpm morph', or a mesh file or built-in shape",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _torch_line() -> str:
    """Return the PyTorch support of the build and of this environment."""
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
    rebuild = "'DIFFMPM_WITH_TORCH=ON pip install .' in a source checkout"
    if installed:
        return f"no ({_build_info.TORCH_NOTE}); torch {installed} is installed: rebuild with {rebuild}"
    return f"no ({_build_info.TORCH_NOTE}); 'pip install torch' and then {rebuild} add it"


def _cuda_line() -> str:
    """Return the CUDA devices, or why this build has no CUDA backend."""
    status = str(_core.cuda_status())
    return status if _core.cuda_compiled() else f"{status} ({_build_info.CUDA_NOTE})"


def _extras() -> dict[str, str | None]:
    """Return the installed version of the package of each extra, None if it is missing."""
    versions: dict[str, str | None] = {}
    for extra, package in EXTRAS.items():
        try:
            versions[extra] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[extra] = None
    return versions


def _extras_line(versions: dict[str, str | None]) -> str:
    """Return the installed extras, and how to install the others."""
    installed = [f"{name} ({EXTRAS[name]} {version})" for name, version in versions.items() if version]
    missing = [name for name, version in versions.items() if not version]
    remedy = f"pip install 'diffmpm[{','.join(missing)}]' adds {', '.join(missing)}"
    return "; ".join([", ".join(installed) or "none", *([remedy] if missing else [])])


def collect() -> dict[str, Any]:
    """Return the facts that the command prints, as JSON types by name."""
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


def _measures(folder: str) -> dict[str, Any]:
    """Return the content of metrics.json of a result."""
    path = Path(folder) / "metrics.json"
    try:
        measures: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = f"{path.name}: {getattr(error, 'strerror', None) or error}"
        raise ConfigError(f"result: expected a folder written by 'diffmpm morph', got {folder!r} ({reason})") from error
    return measures


def _mesh(path: str) -> dict[str, Any]:
    """Return facts about a mesh, as JSON types by name."""
    mesh = load_shape(path)
    low, high = mesh.bounds.tolist()
    return {
        "mesh": mesh.name,
        "vertices": len(mesh.vertices),
        "triangles": len(mesh.triangles),
        "closed": mesh.is_closed,
        "volume": mesh.volume,
        "low": low,
        "high": high,
        "colors": _colors(mesh.appearance),
    }


def _colors(look: Appearance | None) -> list[str]:
    """Return the vertex colours, textures and materials of a mesh as text."""
    if look is None:
        return []
    textures = {id(m.texture): m.texture for m in look.materials if m.texture is not None}
    texts = [f"texture {t.name} ({t.pixels.shape[1]} x {t.pixels.shape[0]})" for t in textures.values()]
    uniform = sum(material.texture is None for material in look.materials)
    texts += [f"{uniform} material{'s' * (uniform > 1)} without texture"] if uniform else []
    texts += ["vertex colours"] if look.colors is not None else []
    return [*texts, "all of one grey"] if look.is_uniform_grey and texts else texts


def _run(args: argparse.Namespace) -> int:
    if args.path is not None and (
        args.path in shapes.names() or Path(args.path).suffix.lower() in EXTENSIONS or is_scene(args.path)
    ):
        facts = _mesh(args.path)
        if args.json:
            print(json.dumps(facts, indent=2))
            return 0
        for name, value in {**facts, "colors": ", ".join(facts["colors"]) or "none"}.items():
            numbers = value if isinstance(value, list) else [value]
            print(f"{name:<10} " + " ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in numbers))
        return 0
    if args.path is not None:
        measures = _measures(args.path)
        if args.json:
            print(json.dumps(measures, indent=2))
        else:
            for leg in (entry["summary"] for entry in measures.get("legs", [])):
                print(f"{leg['source']} to {leg['target']}: silhouette IoU {leg['silhouette_iou']:.3f}, {verdict(leg)}")
            print_measures(measures)
            print(verdict(measures))
        return 0
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
