# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Damage files and read them, in a separate process because a reader may crash, hang or exhaust the memory.

    python tests/robustness/fuzz_files.py FOLDER KIND,KIND,... FIRST COUNT

reads COUNT damaged files of each case; file n depends on the case and n alone, and FOLDER/last names the last one. It
prints "PROBLEM ..." for each that brings anything but a result or an error of the package that names the file, and how
many were refused.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import re
import shutil
import struct
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = 60
"""Longest time for one file, beyond which it counts as a hang and the process ends with a traceback."""
MEMORY = 2 << 30
"""Most additional bytes of a reader. The files have at most about 10 kB."""
# fmt: off
NUMBERS = (b"0", b"-1", b"1", b"3", b"255", b"65536", b"4294967295", b"99999999999", b"1e39", b"1e300", b"-1e999")
# fmt: on
WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00FFFFFF, 0x3B9ACA00)


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with up to four changes: bits, bytes, words, numbers in text, missing, added or swapped parts."""
    out = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        n = len(out)
        if n == 0:
            break
        at, to = sorted(int(i) for i in rng.integers(0, n + 1, 2))
        choice = int(rng.integers(0, 10))
        if choice == 0:
            out[min(at, n - 1)] ^= 1 << int(rng.integers(0, 8))
        elif choice == 1:
            out[min(at, n - 1)] = int(rng.integers(0, 256))
        elif choice == 2:
            size, order = ((4, "little"), (4, "big"), (8, "little"), (2, "little"))[int(rng.integers(0, 4))]
            word = WORDS[int(rng.integers(0, len(WORDS)))] % (1 << 8 * size)
            at = int(rng.integers(0, min(n, 256) if rng.random() < 0.5 else n))  # headers hold the counts
            out[at : at + size] = word.to_bytes(size, order)  # type: ignore[arg-type]
        elif choice in (3, 4):
            matches = list(re.finditer(rb"-?\d+(\.\d+)?(e-?\d+)?", bytes(out[:2048])))
            if matches:
                chosen = matches[int(rng.integers(0, len(matches)))]
                out[chosen.start() : chosen.end()] = NUMBERS[int(rng.integers(0, len(NUMBERS)))]
        elif choice == 5:
            del out[at:]
        elif choice == 6:
            del out[at : min(to, at + 64)]
        elif choice == 7:
            out[at:at] = out[at : min(to, at + 512)] * int(rng.integers(1, 4))
        elif choice == 8:
            out += bytes(rng.integers(0, 256, int(rng.integers(1, 64)), dtype=np.uint8))
        else:
            out[: min(n, 8)] = (b"solid \nx", b"ply\nform", b"glTF\2\0\0\0", b"\x93NUMPY\1\0", b"PK\3\4\0\0\0\0")[
                int(rng.integers(0, 5))
            ]
    return bytes(out)


def _meshes() -> dict[str, tuple[str, bytes]]:
    """Return suffix and content of valid mesh files by name."""
    import trimesh

    box = trimesh.creation.icosphere(subdivisions=1)
    scene = trimesh.Scene([box, trimesh.creation.box().apply_translation([3, 0, 0])])
    meshes = {
        "stl": (".stl", box.export(file_type="stl")),
        "stl-text": (".stl", box.export(file_type="stl_ascii")),
        "ply": (".ply", box.export(file_type="ply")),
        "ply-text": (".ply", box.export(file_type="ply", encoding="ascii")),
        "off": (".off", box.export(file_type="off")),
        "obj": (".obj", box.export(file_type="obj")),
        "glb": (".glb", scene.export(file_type="glb")),
    }
    quads = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 1\nv 1 0 1\nv 1 1 1\nv 0 1 1\nvt 0 0\nvn 0 0 1\no a\ng b\ns 1\n"
    quads += "f 4//1 3//1 2//1 1//1\nf 5 6 7 8\nf -8 -7 -3 -4\nusemtl c\nf 2/1/1 3/1/1 7/1/1 6/1/1\nf 3 4 8 7\n"
    quads += "f 4 1 5 8\n"
    meshes["obj-quads"] = (".obj", quads.encode())
    head = b"ply\nformat binary_big_endian 1.0\ncomment x\nelement vertex 4\nproperty double x\nproperty double y\n"
    head += b"property double z\nproperty uchar red\nelement face 4\n"
    head += b"property list uchar int vertex_indices\nend_header\n"
    body = b"".join(struct.pack(">dddB", *v, 7) for v in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)))
    body += b"".join(struct.pack(">Biii", 3, *f) for f in ((0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2)))
    meshes["ply-big"] = (".ply", head + body)
    return {name: (end, c.encode() if isinstance(c, str) else c) for name, (end, c) in meshes.items()}


def _load_mesh(path: Path) -> None:
    import diffmpm as dm

    mesh = dm.load_mesh(path)
    body = dm.sample(mesh, particles=40)
    assert np.isfinite(body.x).all() and (body.volume > 0).all(), "not finite"


def _mesh_case(ending: str, content: bytes) -> tuple[bytes, Callable[[Path, bytes], None]]:
    def read(folder: Path, damaged: bytes) -> None:
        path = folder / f"damaged{ending}"
        path.write_bytes(damaged)
        _load_mesh(path)

    return content, read


def _glb_json(folder: Path) -> tuple[bytes, Callable[[Path, bytes], None]]:
    """Damage the JSON chunk of a .glb file and keep its lengths valid."""
    content = _meshes()["glb"][1]
    length = int.from_bytes(content[12:16], "little")

    def read(folder: Path, damaged: bytes) -> None:
        text = damaged + b" " * (-len(damaged) % 4)
        parts = struct.pack("<I", len(text)) + b"JSON" + text + content[20 + length :]
        path = folder / "damaged.glb"
        path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(parts)) + parts)
        _load_mesh(path)

    return content[20 : 20 + length], read


def _particles(folder: Path) -> tuple[bytes, Callable[[Path, bytes], None]]:
    from diffmpm import export

    path = folder / "damaged.ply"
    export.write_ply(path, np.random.default_rng(0).random((20, 3)), {"red": np.arange(20, dtype=np.uint8)})

    def read(folder: Path, damaged: bytes) -> None:
        path.write_bytes(damaged)
        export.read_ply(path)

    return path.read_bytes(), read


def _archive(folder: Path) -> tuple[bytes, Callable[[Path, bytes], None]]:
    from diffmpm import export

    path = folder / "damaged.npz"
    export.write_npz(path, x=np.random.default_rng(0).random((20, 3)), n=3, text="abc")

    def read(folder: Path, damaged: bytes) -> None:
        path.write_bytes(damaged)
        export.read_npz(path)

    return path.read_bytes(), read


def _morph(folder: Path) -> Path:
    import diffmpm as dm

    out = folder / "morph"
    if not (out / "metrics.json").exists():
        dm.morph("sphere", "box", **OPTIONS, out=out)
    return out


OPTIONS: dict[str, Any] = {"particles": 40, "cell_particles": 3.0, "steps": 2, "windows": 1, "frame_motion": 0.3}


def _result(folder: Path, name: str) -> tuple[bytes, Callable[[Path, bytes], None]]:
    from diffmpm.morphing import MorphResult

    path = _morph(folder) / name
    original = path.read_bytes()
    if name != "diffmpm.json":
        (folder / "morph" / "diffmpm.json").unlink()  # otherwise digests refuse every change

    def read(folder: Path, damaged: bytes) -> None:
        path.unlink()  # the checkpoint shares the frames' files
        path.write_bytes(damaged)
        try:
            result = MorphResult.load(path.parent if path.parent.name == "morph" else path.parent.parent)
            assert all(
                np.asarray(getattr(result, n)).dtype.kind == "f" for n in ("x", "F", "G", "source_x", "target_x")
            )
        finally:
            path.write_bytes(original)

    return original, read


def _checkpoint(folder: Path, *, signed: bool) -> tuple[bytes, Callable[[Path, bytes], None]]:
    """Damage the state and update its digest, as another version of the program might."""
    import diffmpm as dm

    out = _morph(folder)
    path = out / "checkpoint" / "state.bin"
    original = path.read_bytes()
    (out / "diffmpm.json").rename(folder / "diffmpm.json")

    def read(folder: Path, damaged: bytes) -> None:
        shutil.copytree(out, folder / "copy")
        (folder / "copy" / "checkpoint" / "state.bin").write_bytes(damaged)
        manifest = (folder / "diffmpm.json").read_bytes()
        (folder / "copy" / "diffmpm.json").write_bytes(_signed(manifest, damaged) if signed else manifest)
        try:
            dm.morph("sphere", "box", **OPTIONS, out=folder / "copy", resume=True)
        finally:
            shutil.rmtree(folder / "copy")

    return original, read


def _signed(manifest: bytes, state: bytes) -> bytes:
    """Return the manifest with the digest of another state."""
    from diffmpm.export.manifest import Entry, Manifest

    files = {name: Entry(**row) for name, row in json.loads(manifest)["files"].items()}
    files["checkpoint/state.bin"] = Entry("checkpoint", len(state), 0, hashlib.sha256(state).hexdigest())
    return Manifest(Path(), files).encode()


def _transforms(folder: Path) -> tuple[bytes, Callable[[Path, bytes], None]]:
    from diffmpm.render import read_transforms
    from PIL import Image

    pose = np.eye(4).tolist()
    frames = [{"file_path": "a", "transform_matrix": pose}, {"file_path": "b.png", "transform_matrix": pose, "w": 8}]
    frames[1]["h"] = 6
    Image.new("RGB", (8, 6)).save(folder / "a.png")
    (folder / "c.png").write_bytes((folder / "a.png").read_bytes()[:40])
    frames.append({"file_path": "c", "transform_matrix": pose, "fl_x": 9, "w": 8, "h": 6, "cx": 4, "k1": 0.0})
    path = folder / "damaged.json"

    def read(folder: Path, damaged: bytes) -> None:
        path.write_bytes(damaged)
        read_transforms(path)

    return json.dumps({"camera_angle_x": 0.6, "frames": frames}).encode(), read


def _colmap(folder: Path, name: str) -> tuple[bytes, Callable[[Path, bytes], None]]:
    from diffmpm.render import read_colmap

    place = folder / "damaged-colmap"
    place.mkdir(exist_ok=True)
    if name.endswith(".bin"):
        cameras = struct.pack("<QiiQQ4d", 1, 1, 1, 8, 6, 9.0, 9.0, 4.0, 3.0)
        image = struct.pack("<i7di", 1, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 1) + b"a.png\0"
        image += struct.pack("<Qddq", 1, 1, 2, 3)
        files = {"cameras.bin": cameras, "images.bin": struct.pack("<Q", 2) + image * 2}
    else:
        files = {"cameras.txt": b"# x\n1 PINHOLE 8 6 9 9 4 3\n"}
        files |= {"images.txt": b"# x\n1 1 0 0 0 0 0 4 1 a b.png\n1 2 3\n"}

    def read(folder: Path, damaged: bytes) -> None:
        for other in place.iterdir():
            other.unlink()
        for file, content in files.items():
            (place / file).write_bytes(damaged if file == name else content)
        read_colmap(place)

    return files[name], read


MESHES = ("stl", "stl-text", "ply", "ply-text", "ply-big", "off", "obj", "obj-quads", "glb", "glb-json")
CASES = (
    *MESHES, "particles", "archive", "diffmpm.json", "result.npz", "config.json", "metrics.json", "history.json",
    "frames/frame_0000.npz", "checkpoint", "checkpoint-signed", "transforms", "cameras.bin", "images.bin",
    "cameras.txt", "images.txt",
)  # fmt: skip


def reader_of(case: str, folder: Path) -> tuple[bytes, Callable[[Path, bytes], None]]:
    """Return a valid file and a function that reads a damaged one."""
    if case in ("particles", "archive", "glb-json"):
        return {"particles": _particles, "archive": _archive, "glb-json": _glb_json}[case](folder)
    if case.startswith("checkpoint"):
        return _checkpoint(folder, signed=case.endswith("signed"))
    if case == "transforms":
        return _transforms(folder)
    if case.startswith(("cameras", "images")):
        return _colmap(folder, case)
    if case in ("diffmpm.json", "result.npz", "config.json", "metrics.json", "history.json", "frames/frame_0000.npz"):
        return _result(folder, case)
    return _mesh_case(*_meshes()[case])


def main(folder: Path, case: str, first: int, count: int) -> None:
    """Read damaged files of one type."""
    from diffmpm.errors import DiffMPMError

    folder = folder / case.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    faulthandler.enable()
    warnings.simplefilter("ignore")
    content, read = reader_of(case, folder)
    read(folder, content)  # undamaged
    _limit_memory()
    refused = problems = 0
    for number in range(first, first + count):
        damaged = damage(content, np.random.default_rng([number, *case.encode()]))
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        (folder.parent / "last").write_text(f"{case} {number}")
        try:
            read(folder, damaged)
        except DiffMPMError as error:
            refused += 1
            named = any(name in str(error) for name in ("damaged", "state.bin", Path(case).name, "morph"))
            if "MemoryError" in str(error) or not named:
                problems += 1
                print(f"PROBLEM {case} {number}: {type(error).__name__}: {error}")
        except BaseException as error:
            problems += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            print(f"PROBLEM {case} {number}: {type(error).__name__}: {error} ({place.filename}:{place.lineno})")
    faulthandler.cancel_dump_traceback_later()
    print(f"{case}: {count} files, {refused} refused, {problems} problems")


def _limit_memory() -> None:
    """Make unreasonable allocations fail immediately on systems that can."""
    try:
        import resource
    except ImportError:
        return
    if Path("/proc/self/statm").exists():
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY))


if __name__ == "__main__":
    for case in sys.argv[2].split(","):
        main(Path(sys.argv[1]), case, int(sys.argv[3]), int(sys.argv[4]))
