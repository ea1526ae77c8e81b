# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The public names of diffmpm: one list, all of them importable, known to type checkers."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import diffmpm
import pytest

ROOT = Path(__file__).parents[2]
STUB = ROOT / "python" / "diffmpm" / "__init__.pyi"
REFERENCE = re.findall(
    r"auto(class|function|exception|module):: diffmpm\.([\w.]+)", (ROOT / "docs" / "api.md").read_text("utf-8")
)
BRIDGES = ("torch", "jax")
MODULES = [name for name in diffmpm.__all__ if isinstance(getattr(diffmpm, name), ModuleType)]


def module(name: str) -> ModuleType:
    """The module `diffmpm.<name>`; the test is skipped where the framework of a bridge is missing."""
    if name in BRIDGES:
        pytest.importorskip(name, reason=f"{name} is not installed")
        return importlib.import_module(f"diffmpm.{name}")
    found = getattr(diffmpm, name) if name else diffmpm
    assert isinstance(found, ModuleType)
    return found


@pytest.mark.parametrize("name", diffmpm.__all__)
def test_name_can_be_imported(name: str) -> None:
    assert getattr(diffmpm, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    imports = [node for node in ast.parse(STUB.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    assert {alias.asname: node.module or "" for node in imports for alias in node.names} == diffmpm._LAZY


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'diffmpm' has no attribute 'nothing'"):
        diffmpm.nothing  # noqa: B018


def test_dir_lists_names_before_they_are_imported() -> None:
    assert set(diffmpm.__all__) <= set(dir(diffmpm))


@pytest.mark.parametrize("name", sorted(name for kind, name in REFERENCE if kind != "module"))
def test_what_the_reference_lists_is_public(name: str) -> None:
    owner, _, leaf = name.rpartition(".")
    assert leaf in module(owner).__all__
    assert hasattr(module(owner), leaf)


@pytest.mark.parametrize("name", [*MODULES, *BRIDGES])
def test_what_is_public_is_in_the_reference(name: str) -> None:
    if ("module", name) in REFERENCE:
        return  # listed as a whole
    documented = {listed for _, listed in REFERENCE}
    for leaf in module(name).__all__:
        if inspect.isclass(value := getattr(module(name), leaf)) or inspect.isfunction(value):
            assert f"{name}.{leaf}" in documented or leaf in diffmpm.__all__, leaf
