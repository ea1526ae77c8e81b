# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The import paths that docs/migration.md names."""

import subprocess
import sys

import diffmpm as dm
from diffmpm import legacy


def test_old_path_has_the_names_of_the_package():
    assert dm.compgraph.__all__ == legacy.__all__
    for name in legacy.__all__:
        assert getattr(dm.compgraph, name) is getattr(legacy, name)


def test_old_paths_import_without_a_warning():
    code = "import diffmpm.compgraph, diffmpm.renderer, diffmpm.sampling; from diffmpm.compgraph import OptProgress"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
