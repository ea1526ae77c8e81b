#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Build the Blender extension as a .zip file.

python integrations/blender/build.py
python integrations/blender/build.py --wheel diffmpm-0.1.0-cp310-abi3-manylinux_2_28_x86_64.whl

The second command bundles that wheel and its dependencies, which pip downloads for the platform of this machine.
Without it, the user chooses a Python that has diffmpm in the preferences of the extension.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGE = HERE / "diffmpm_blender"
PLATFORMS = {
    r"manylinux.*_x86_64|linux_x86_64": "linux-x64",
    r"win_amd64": "windows-x64",
    r"macosx.*_arm64": "macos-arm64",
    r"macosx.*_x86_64": "macos-x64",
}
"""Platforms of Blender by the platform tags of wheels."""
PYTHON, NUMPY = "3.11", "1.26.4"
"""Versions in Blender 4.2 to 5.0 and in Blender 5.0."""


def build(out: Path, wheels: list[Path]) -> Path:
    """Write the .zip file and return its path.

    Raises:
        ValueError: If the wheels do not fit.
    """
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)[1]
    manifest = (PACKAGE / "blender_manifest.toml").read_text("utf-8")
    head, permissions = manifest.split("\n[permissions]", 1)
    head += f'\nversion = "{version}"'
    if wheels:
        head += f"\nplatforms = {_toml(platforms(wheels))}"
        head += f"\nwheels = {_toml([f'./wheels/{wheel.name}' for wheel in wheels])}"
    platform = "-".join(["", *platforms(wheels)]) if wheels else ""
    path = out / f"diffmpm_blender-{version}{platform}.zip"
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("blender_manifest.toml", f"{head}\n\n[permissions]{permissions}")
        archive.write(ROOT / "LICENSE", "LICENSE")
        for module in sorted(PACKAGE.glob("*.py")):
            archive.write(module, module.name)
        for wheel in wheels:
            archive.write(wheel, f"wheels/{wheel.name}", zipfile.ZIP_STORED)
    return path


def platforms(wheels: list[Path]) -> list[str]:
    """Return the platforms of Blender that wheels are for.

    Raises:
        ValueError: If diffmpm is missing, NumPy is there, or a platform is unknown.
    """
    names = [re.sub(r"[-.]+", "_", wheel.name.partition("-")[0]).lower() for wheel in wheels]
    if "diffmpm" not in names:
        raise ValueError(f"wheels: expected that of diffmpm among them, got {', '.join(names)}")
    if "numpy" in names:
        raise ValueError("wheels: expected none of NumPy, which would replace that of Blender, got one; remove it")
    (native,) = [wheel for wheel, name in zip(wheels, names, strict=True) if name == "diffmpm"]
    tag = native.stem.rpartition("-")[2]
    supported = [platform for pattern, platform in PLATFORMS.items() if re.search(pattern, tag)]
    if not supported:
        raise ValueError(f"wheels: expected one for {', '.join(PLATFORMS.values())}, got {native.name}")
    return supported


def dependencies(wheel: Path, folder: Path) -> list[Path]:
    """Download the dependencies of a wheel that work with the Python and NumPy of Blender, and return all wheels."""
    options = ["--dest", str(folder), "--only-binary", ":all:", "--python-version", PYTHON]
    command = [sys.executable, "-m", "pip", "download", "-q", *options, str(wheel), f"numpy=={NUMPY}"]
    subprocess.run(command, check=True)
    return sorted(path for path in folder.glob("*.whl") if not path.name.startswith("numpy-"))


def _toml(values: list[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="wheel of diffmpm to bundle with its dependencies")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", metavar="DIR", help="folder of the file")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            wheels = dependencies(args.wheel, Path(folder)) if args.wheel else []
            print(build(args.out, wheels))
    except subprocess.CalledProcessError:
        return 2  # pip has printed why
    except ValueError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
