# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The time and the modules that `import diffmpm` loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = """
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
import diffmpm
seconds = time.perf_counter() - start
loaded = sorted({name.split('.')[0] for name in set(sys.modules) - before})
print(json.dumps({"seconds": seconds, "loaded": loaded}))
"""
HEAVY = {"torch", "jax", "scipy", "trimesh", "PIL", "matplotlib", "tqdm", "argparse"}
# A hundred times the time on an idle machine: detects heavy imports, not a busy machine.
SECONDS_AT_MOST = 5.0


def test_import_is_light(record_property: Callable[[str, object], None]) -> None:
    best = None
    for _ in range(3):
        result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
        facts = json.loads(result.stdout)
        assert not HEAVY & set(facts["loaded"])
        best = min(best or facts["seconds"], facts["seconds"])
    record_property("import_seconds", best)
    print(f"import diffmpm: {1e3 * best:.1f} ms")
    assert best < SECONDS_AT_MOST


MORPH = """
import sys, warnings
import diffmpm as dm
dm.morph(sys.argv[1], "box", particles=64, windows=1, steps=2, out=sys.argv[2])
print(*sorted({name.split('.')[0] for name in sys.modules}))
"""


def test_a_morph_imports_what_it_uses(tmp_path: Path) -> None:
    """A morph of triangle meshes, with metrics and files, needs none of the heavy packages."""
    (tmp_path / "tetrahedron.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    )
    command = [sys.executable, "-c", MORPH, str(tmp_path / "tetrahedron.obj"), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not (HEAVY - {"argparse"}) & set(result.stdout.split())


def test_import_prints_nothing() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import diffmpm"], capture_output=True, text=True, check=True
    )
    assert result.stdout == result.stderr == ""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_idle_threads_spin_briefly_by_default(variables: dict[str, str], expected: str) -> None:
    env = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | variables
    code = "import os, diffmpm; print(os.environ.get('GOMP_SPINCOUNT'))"
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == expected
