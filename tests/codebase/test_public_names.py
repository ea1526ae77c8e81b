# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The public names of diffmpm can be imported, are known to type checkers, and are in the reference."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from enum import Enum
from pathlib import Path
from types import ModuleType

import diffmpm
import pytest
from diffmpm._repr import short_repr

ROOT = Path(__file__).parents[2]
STUB = ROOT / "python" / "diffmpm" / "__init__.pyi"
REFERENCE = re.findall(
    r"auto(class|function|exception|module):: diffmpm\.([\w.]+)",
    "".join(
        page.read_text("utf-8") for page in (ROOT / "docs" / "api.md", *(ROOT / "docs" / "reference").glob("*.md"))
    ),
)
BRIDGES = ("torch", "jax")
MODULES = [name for name in diffmpm.__all__ if isinstance(getattr(diffmpm, name), ModuleType)]


def module(name: str) -> ModuleType:
    """Return the module `diffmpm.<name>`; skip the test if the framework of a bridge is missing."""
    if name in BRIDGES:
        pytest.importorskip(name, reason=f"{name} is not installed")
        return importlib.import_module(f"diffmpm.{name}")
    result = getattr(diffmpm, name) if name else diffmpm
    assert isinstance(result, ModuleType)
    return result


def test_names_can_be_imported() -> None:
    assert [name for name in diffmpm.__all__ if getattr(diffmpm, name) is None] == []


def test_type_checkers_see_the_same_names() -> None:
    imports = [node for node in ast.parse(STUB.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    assert {alias.asname: node.module or "" for node in imports for alias in node.names} == diffmpm._LAZY


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'diffmpm' has no attribute 'nothing'"):
        diffmpm.nothing  # noqa: B018


def test_dir_lists_the_public_names() -> None:
    assert dir(diffmpm) == sorted(diffmpm.__all__)


CLASSES = sorted(
    {value for name in MODULES for value in vars(module(name)).values() if inspect.isclass(value)}
    | {value for name in diffmpm.__all__ if inspect.isclass(value := getattr(diffmpm, name))},
    key=lambda cls: f"{cls.__module__}.{cls.__qualname__}",
)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_reprs_of_public_classes_are_short(cls: type) -> None:
    """Classes with arrays or collections use `short_repr`; the others have few numbers, or the text of `object`."""
    if cls.__repr__ in (object.__repr__, short_repr(type("Other", (), {})).__repr__):
        return
    values = " ".join(map(str, inspect.get_annotations(cls).values()))
    assert issubclass(cls, BaseException | Enum) or not re.search("Array|ndarray|Tensor|dict|tuple|list", values), (
        "add @short_repr"
    )


def test_short_reprs() -> None:
    mesh = diffmpm.shapes.make("sphere")
    body = diffmpm.sample(mesh, particles=1000)
    roll = diffmpm.Simulation(body, diffmpm.SimConfig(dx=0.3, dt=1e-4)).rollout(2)
    config = diffmpm.MorphConfig(seed=7, windows=7, steps=7)
    changed = {name: 0.987654321 * value for name, value in config.to_dict().items() if isinstance(value, float)}
    everything = config.replace(**changed)
    bound = diffmpm.gaussians(roll.x, roll.F, samples=100)
    image = diffmpm.rasterize(bound, diffmpm.Camera.look_at((9, 9, 9), (0, 0, 0), width=16, height=16))
    objects = (mesh, body, roll, roll.vjp(adj_x=roll.x), bound, bound.binding, image, config, everything)
    for item in (*objects, diffmpm.losses.Kinetic() + diffmpm.losses.Compression()):
        assert len(repr(item)) < 300, repr(item)
        assert repr(item).startswith(f"{type(item).__name__}(")
    assert repr(mesh) == "Mesh(vertices=<float64 (2562, 3)>, triangles=<int32 (5120, 3)>, name='sphere')"
    assert repr(config) == "MorphConfig(seed=7, windows=7, steps=7)"


def owner_of(name: str) -> str:
    return name.rpartition(".")[0]


@pytest.mark.parametrize("owner", sorted({owner_of(name) for directive, name in REFERENCE if directive != "module"}))
def test_documented_names_are_public(owner: str) -> None:
    names = {
        name.rpartition(".")[2] for directive, name in REFERENCE if directive != "module" and owner_of(name) == owner
    }
    assert names <= set(module(owner).__all__)
    assert [name for name in names if not hasattr(module(owner), name)] == []


@pytest.mark.parametrize("name", [*MODULES, *BRIDGES])
def test_public_names_are_documented(name: str) -> None:
    if ("module", name) in REFERENCE:
        return  # automodule lists all members
    documented = {listed for _, listed in REFERENCE} | {f"{name}.{leaf}" for leaf in diffmpm.__all__}
    values = {leaf: getattr(module(name), leaf) for leaf in module(name).__all__}
    names = {f"{name}.{leaf}" for leaf, value in values.items() if inspect.isclass(value) or inspect.isfunction(value)}
    assert names <= documented
