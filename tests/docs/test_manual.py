# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The manual builds without warnings, its reference is complete, and its links are valid."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import diffmpm as dm
import pytest
from manual import DOCS, PAGES, ROOT, blocks

MODULES = """losses metrics render surface export view optimize sampling renderer morphing geometry mpm compgraph
    torch jax""".split()


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the manual as HTML; warnings, such as unresolved references, are errors."""
    for package in ("sphinx", "myst_parser", "furo", "sphinx-mathjax-offline"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed; pip install -e '.[docs]'")
    out = tmp_path_factory.mktemp("html")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(out)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return out


def resolved(name: str) -> object:
    """Return the object of a dotted name, or None."""
    parts = name.split(".")
    for k in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:k]))
            for part in parts[k:]:
                value = getattr(value, part)
            return value
        except (ImportError, AttributeError):
            continue
    return None


@pytest.mark.slow
def test_reference_has_every_public_name(html: Path) -> None:
    inventory = importlib.import_module("sphinx.util.inventory")
    entries = inventory.InventoryFile.loads((html / "objects.inv").read_bytes(), uri="").data
    listed = {name for role, names in entries.items() if role.startswith("py:") for name in names}
    objects = {id(value) for name in listed if (value := resolved(name)) is not None}
    for module in (dm, *(resolved(f"diffmpm.{name}") for name in MODULES)):
        for name in getattr(module, "__all__", ()):  # skips a bridge without its framework
            full = f"{module.__name__}.{name}"
            assert full in listed or id(getattr(module, name)) in objects or name == "__version__", full


@pytest.mark.slow
def test_equations_have_links(html: Path) -> None:
    method = (html / "method.html").read_text("utf-8")
    targets = set(re.findall(r'id="(eq-[\d-]+)"', method))
    links = set(re.findall(r'href="#(eq-[\d-]+)"', method))
    assert len(targets) > 25 and len(links) > 8
    assert links <= targets
    assert re.search(r'href="method.html#eq-7"[^>]*><span[^>]*>\(7\)', (html / "conventions.html").read_text("utf-8"))


def test_links_are_valid() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
        links += [
            block.language.split()[1] for block in blocks(page) if block.language.startswith(("{image}", "{notebook}"))
        ]
        for link in links:
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_scripts_exist_and_benchmarks_are_described() -> None:
    named = {
        script
        for page in PAGES
        for script in re.findall(r"\b(?:benchmarks|examples|tools)/[\w/]+\.\w+", page.read_text("utf-8"))
    }
    for script in named:
        assert (ROOT / script).exists(), script
    helpers = {"peers.py", "plain.py"}  # imported by other benchmarks
    for path in (ROOT / "benchmarks").glob("*.py"):
        assert path.name in helpers or f"benchmarks/{path.name}" in named, path.name


def test_every_page_is_in_the_contents() -> None:
    listed = [line for block in blocks(DOCS / "index.md") if "toctree" in block.language for line in block.text.split()]
    for page in PAGES:
        if page.is_relative_to(DOCS) and page.name != "index.md":
            assert page.relative_to(DOCS).with_suffix("").as_posix() in listed, page.name


def test_readme_starts_with_one_installation_and_one_morph() -> None:
    first = next(block for block in blocks(ROOT / "README.md") if block.language == "sh")
    install, morph = first.text.strip().split("\n")
    assert install == "pip install ."
    words = morph.split()
    assert words[:2] == ["diffmpm", "morph"]
    assert set(words[2:]) <= set(dm.shapes.names())
