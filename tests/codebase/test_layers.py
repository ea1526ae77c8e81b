# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Allowed imports between the Python modules and includes between the C++ areas."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "python" / "diffmpm"

# Lowest first. A module imports from its own area and from lower layers, but not from other areas of its layer.
LAYERS: list[set[str]] = [
    {"_core", "_build_info"},
    {"errors", "_repr"},
    {"_color", "_options", "_files", "_placement", "_deprecated"},
    {"config", "types", "_threads"},
    {"_arrays"},
    {"geometry", "mpm", "surface", "render", "export"},
    {"losses", "metrics", "splats"},
    {"optimize", "torch", "jax"},
    {"view"},
    {"morphing"},
    {"cli", "legacy"},  # the rest of the package must not import legacy
    {"__main__", "compgraph", "sampling", "renderer"},
]
# Exceptions, with their reasons.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("types", "_arrays"): "Particles validates its arrays; _arrays does not use Particles",
    ("_repr", "view"): "draws the pictures of notebooks when one asks for them",
}
BRIDGES = {"torch", "jax", "legacy"}
"""Areas that may import PyTorch or JAX; legacy does so inside functions that return tensors."""
LAYER_OF = {module: n for n, layer in enumerate(LAYERS) for module in layer}

# Areas under cpp/include/diffmpm, and the areas that each may include besides itself.
HEADERS: dict[str, set[str]] = {
    "core": set(),
    "math": {"core"},
    **{area: {"core", "math"} for area in ("geometry", "mpm", "losses", "optimize", "surface", "render")},
    "backend.hpp": {"core", "geometry", "mpm", "losses", "optimize", "surface", "render"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def area_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes except those under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from runtime_nodes(node)


def imported_areas(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the areas of diffmpm that a file imports, with line numbers."""
    package = ("diffmpm", *path.relative_to(PACKAGE).parts[:-1])
    for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "diffmpm" else [module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "diffmpm" and len(parts) > 1:
                yield parts[1], node.lineno


def test_python_modules_import_lower_layers_only() -> None:
    wrong = []
    for path in modules():
        area = area_of(path)
        assert area in LAYER_OF, f"{area} has no layer; add it to LAYERS"
        for target, line in imported_areas(path):
            if target in (area, "__version__") or (area, target) in EXCEPTIONS:
                continue
            if LAYER_OF.get(target, len(LAYERS)) >= LAYER_OF[area]:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line}: {area} must not import {target}")
    assert not wrong, "\n".join(wrong)


def test_only_the_bridges_import_torch_and_jax() -> None:
    wrong = []
    for path in modules():
        if area_of(path) in BRIDGES:
            continue
        for node in runtime_nodes(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            if {name.split(".")[0] for name in names} & {"torch", "jax"}:
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert not wrong, "\n".join(wrong)


def includes(path: Path) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+"diffmpm/([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)


def test_headers_include_lower_layers_only() -> None:
    wrong = []
    for path in sorted((ROOT / "cpp" / "include" / "diffmpm").rglob("*.hpp")):
        area = path.relative_to(ROOT / "cpp" / "include" / "diffmpm").parts[0]
        assert area in HEADERS, f"{area} has no layer; add it to HEADERS"
        for name in includes(path):
            if name.split("/")[0] not in {area} | HEADERS[area]:
                wrong.append(f"{path.relative_to(ROOT)}: must not include diffmpm/{name}")
    assert not wrong, "\n".join(wrong)


def test_sources_do_not_include_bindings_or_python() -> None:
    for folder in ("include", "src", "cuda"):
        for path in (ROOT / "cpp" / folder).rglob("*.[ch]*"):
            text = path.read_text(encoding="utf-8")
            assert "nanobind" not in text, f"{path.relative_to(ROOT)} depends on the Python bindings"
            assert "torch/" not in text, f"{path.relative_to(ROOT)} depends on PyTorch"


def test_kernels_or_device_check_compile_all_headers() -> None:
    """Kernels or the device check include each header with device functions and call each of its adjoints."""
    host_only = {"math/pack.hpp", "math/row.hpp"}  # CPU vectors; device threads use scalars
    folder = ROOT / "cpp" / "include" / "diffmpm"
    sources = [*(ROOT / "cpp" / "cuda").rglob("*.cu"), *(ROOT / "cpp" / "cuda").rglob("*.cuh")]
    compiled, pending = set[str](), {name for path in sources for name in includes(path)}
    while pending:
        compiled |= pending
        pending = {name for header in pending for name in includes(folder / header)} - compiled
    calls = "\n".join(path.read_text(encoding="utf-8") for path in [*sources, *(folder / name for name in compiled)])
    for path in sorted(folder.rglob("*.hpp")):
        name, text = path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")
        if "DIFFMPM_HD " not in text.replace("#define DIFFMPM_HD", "") or name in host_only:
            continue
        assert name in compiled, f"{name} is missing in compile_check.cu"
        for function in re.findall(r"DIFFMPM_HD[^;{(]*?(\w+_vjp)\(", text):
            assert len(re.findall(rf"\b{function}[<(]", calls)) > 1, (
                f"{function} of {name} is missing in compile_check.cu"
            )
