# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The public names of diffmpm: one list, all of them importable, known to type checkers."""

from __future__ import annotations

import ast
from pathlib import Path

import diffmpm
import pytest

SOURCE = Path(__file__).parents[2] / "python" / "diffmpm" / "__init__.py"


@pytest.mark.parametrize("name", diffmpm.__all__)
def test_name_can_be_imported(name: str) -> None:
    assert getattr(diffmpm, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    names = set()
    for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            names = {alias.asname for child in node.body if isinstance(child, ast.ImportFrom) for alias in child.names}
    assert names == set(diffmpm._LAZY)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'diffmpm' has no attribute 'nothing'"):
        diffmpm.nothing  # noqa: B018


def test_dir_lists_names_before_they_are_imported() -> None:
    assert set(diffmpm.__all__) <= set(dir(diffmpm))
