# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Sphinx configuration. Build: sphinx-build -W --keep-going docs build/docs (needs pip install -e '.[docs]')."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import diffmpm
from docutils import nodes
from sphinx.util.inspect import TypeAliasForwardRef

sys.path.insert(0, str(Path(__file__).parent))  # for notebooks.py

project = "DiffMPM"
author = "The DiffMPM authors"
copyright = "2026, The DiffMPM authors"
release = version = diffmpm.__version__

extensions = [
    "myst_parser",
    "notebooks",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx-mathjax-offline",  # after mathjax: formulas without a network
]
exclude_patterns = ["changelog.d", "images", "static"]
myst_enable_extensions = ["deflist", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

# The bridges are documented where their frameworks are not installed, too.
autodoc_mock_imports = [name for name in ("torch", "jax") if importlib.util.find_spec(name) is None]
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True
autodoc_type_aliases = {
    **{name: name for name in ("Array", "MeshLike", "npt.DTypeLike")},
    "Rollout": "diffmpm.Rollout",  # not that of diffmpm.torch
}
TypeAliasForwardRef.__repr__ = lambda alias: alias.name  # type: ignore[method-assign] # as a part of a union, too
default_role = "code"  # single backticks in docstrings

# Every reference must resolve, except to types of other packages and to our type aliases.
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(torch|jax|os|pathlib|collections|numpy|npt|np|argparse)\..*"),
    (
        "py:class",
        r"diffmpm\.(_placement|_arrays)\..*|diffmpm\.export\.formats\.Options|Triple|Path|Placement|Similarity",
    ),
    ("py:class", r"diffmpm\.render\.raster\.GaussiansLike|diffmpm\.view\.timeline\.Track"),
    ("py:class", r"Array|Input|MeshLike|PathLike|Tensor|npt\.DTypeLike"),
    ("py:class", r"diffmpm\.optimize\.line_search\.Payload|diffmpm\.legacy\.learning\.Learnable"),
]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"DiffMPM {version}"
html_static_path = ["static"]
html_css_files = ["manual.css"]


COLON, MARK = ":", "\N{RATIO}"


def _before_napoleon(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Hide colons from napoleon, which takes 'Adam: decay' in the text below a field for a type and its text."""
    if what in ("attribute", "data", "property"):
        lines[:] = [line.replace(COLON, MARK) for line in lines]


def _after_napoleon(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Bring the colons back, and keep |v| from being taken for a substitution of reStructuredText."""
    lines[:] = [line.replace(MARK, COLON).replace("|", "\\|") for line in lines]


def _number_equations(app: object, doctree: nodes.document) -> None:
    """Let equations be referred to: (2) in the text of the page that has it, and {ref}`eq-2` anywhere else."""
    env = app.env  # type: ignore[attr-defined]
    tags = {}
    for block in doctree.findall(nodes.math_block):
        for number in re.findall(r"\\tag\{([\d.]+)\}", block.astext()):
            tags[number] = f"eq-{number.replace('.', '-')}"
            block["ids"].append(tags[number])
            label = env.domaindata["std"]
            label["anonlabels"][f"eq-{number}"] = env.docname, tags[number]
            label["labels"][f"eq-{number}"] = env.docname, tags[number], f"({number})"
    for text in list(doctree.findall(nodes.Text)) if tags else []:
        if isinstance(text.parent, nodes.paragraph):
            parts = re.split(r"(\((?:\d+\.)?\d+\))", text.astext())
            text.parent.replace(text, [_link(part, tags.get(part[1:-1])) for part in parts if part])


def _link(text: str, target: str | None) -> nodes.Node:
    return nodes.Text(text) if target is None else nodes.reference("", text, refid=target, internal=True)


def setup(app: object) -> None:
    app.connect("doctree-read", _number_equations)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", _before_napoleon, priority=400)  # type: ignore[attr-defined]
    app.connect("autodoc-process-docstring", _after_napoleon, priority=600)  # type: ignore[attr-defined]
