# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Sphinx configuration. Build: sphinx-build -W --keep-going docs build/docs (needs pip install -e '.[docs]')."""

from __future__ import annotations

import importlib.util

import diffmpm

project = "DiffMPM"
author = "The DiffMPM authors"
copyright = "2026, The DiffMPM authors"
release = version = diffmpm.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
exclude_patterns = ["changelog.d", "images"]
myst_enable_extensions = ["deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

# The bridges are documented where their frameworks are not installed, too.
autodoc_mock_imports = [name for name in ("torch", "jax") if importlib.util.find_spec(name) is None]
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"Array": "Array", "MeshLike": "MeshLike", "npt.DTypeLike": "npt.DTypeLike"}
default_role = "code"  # single backticks in docstrings
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"DiffMPM {version}"
html_static_path: list[str] = []


COLON, MARK = ":", "\N{RATIO}"


def _before_napoleon(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Hide colons from napoleon, which takes 'Adam: decay' in the text below a field for a type and its text."""
    if what in ("attribute", "data", "property"):
        lines[:] = [line.replace(COLON, MARK) for line in lines]


def _after_napoleon(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Bring the colons back, and keep |v| from being taken for a substitution of reStructuredText."""
    lines[:] = [line.replace(MARK, COLON).replace("|", "\\|") for line in lines]


def setup(app: object) -> None:
    app.connect("autodoc-process-docstring", _before_napoleon, priority=400)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", _after_napoleon, priority=600)  # type: ignore[attr-defined]
