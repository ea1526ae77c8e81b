# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Text and binary formats in the variants that programs write, and damaged files, whose errors name the line."""

from __future__ import annotations

import itertools
import struct
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import diffmpm as dm
import numpy as np
import pytest
from diffmpm.errors import MeshError
from diffmpm.geometry.formats import READERS, Companions, polygons

Polygons = Sequence[Sequence[int]]


class Solid:
    """Vertices, polygons (counter-clockwise as seen from outside) and the enclosed volume."""

    def __init__(self, vertices: object, faces: Polygons, volume: float) -> None:
        self.vertices = np.array(vertices, np.float64)
        self.faces = [list(face) for face in faces]
        self.volume = volume

    @property
    def triangles(self) -> list[tuple[int, int, int]]:
        """Fans of the polygons, which must be convex."""
        return [(f[0], f[k], f[k + 1]) for f in self.faces for k in range(1, len(f) - 1)]


def prism(outline: object, low: float, high: float, area: float) -> Solid:
    """Solid between two copies of a plane polygon."""
    flat = np.array(outline, np.float64)
    n = len(flat)
    vertices = np.concatenate([np.column_stack([flat, np.full(n, z)]) for z in (low, high)])
    sides = [[i, (i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    return Solid(vertices, [list(range(n))[::-1], list(range(n, 2 * n)), *sides], area * (high - low))


HEXAGON = [(np.cos(a), np.sin(a)) for a in np.arange(6) * np.pi / 3]
COMB = [(0, 0), (7, 0), (7, 3), (6, 3), (6, 1), (4, 1), (4, 3), (3, 3), (3, 1), (1, 1), (1, 3), (0, 3)]
ARROW = [(0, 0), (2, 1), (0, 2), (0.5, 1)]  # a quadrilateral with an inner corner
SOLIDS = {
    "box": prism([(10, 20), (12, 20), (12, 23), (10, 23)], 30, 34, 6.0),
    "hexagons": prism(HEXAGON, 0, 2, 1.5 * 3**0.5),
    "comb": prism(COMB, -1, 1, 7 + 3 * 2),
    "arrow": prism(ARROW, 0, 3, 1.5),
}
CONVEX = ("box", "hexagons")


# --- OBJ ---


def obj(solid: Solid, corner: Callable[[int], str] = str, number: Callable[[float], str] = repr) -> str:
    lines = ["v " + " ".join(number(float(c)) for c in v) for v in solid.vertices]
    lines += ["f " + " ".join(corner(i + 1) for i in face) for face in solid.faces]
    return "\n".join(lines) + "\n"


def split_objects(solid: Solid) -> str:
    """One object per face, with separate vertices and negative indices."""
    text = ""
    for k, face in enumerate(solid.faces):
        text += f"o part {k}\n"
        text += "".join("v {} {} {}\n".format(*solid.vertices[i]) for i in face)
        text += "f " + " ".join(str(i - len(face)) for i in range(len(face))) + "\n"
    return text


def mixed_corners(solid: Solid) -> str:
    styles = itertools.cycle(["{0}", "{0}/1", "{0}//1", "{0}/1/1"])
    lines = obj(solid).splitlines()
    for k, line in enumerate(lines):
        if line.startswith("f"):
            style = next(styles)
            lines[k] = "f " + " ".join(style.format(i) for i in line.split()[1:])
    return "\n".join(["vt 0 0", "vn 0 0 1", *lines])


def continued(text: str, mark: str = "\\\n") -> str:
    return "\n".join(
        line.replace(" ", f" {mark} ", 2) if line[:2] in ("f ", "v ") else line for line in text.split("\n")
    )


OBJ: dict[str, Callable[[Solid], str]] = {
    "plain": obj,
    "tabs": lambda s: obj(s).replace(" ", "\t"),
    "some tabs": lambda s: obj(s).replace("v ", "v\t", 3).replace("f ", "f \t"),
    "other white space": lambda s: obj(s).replace(" ", " \t  ").replace("\n", " \t \n"),
    "form feeds": lambda s: obj(s).replace("\n", " \f\n\v\n"),
    "indented": lambda s: "".join(f"  \t{line}\n" for line in obj(s).splitlines()),
    "comments": lambda s: "# v 1 2 3\n" + obj(s).replace("\n", " # f 1 2 3\n"),
    "comments without a space": lambda s: obj(s).replace("\n", "#ff00ff\n"),
    "byte order mark": lambda s: "\ufeff" + obj(s),
    "CR": lambda s: obj(s).replace("\n", "\r"),
    "CRLF": lambda s: obj(s).replace("\n", "\r\n"),
    "blank lines": lambda s: "\n\n" + obj(s).replace("\n", "\n\n"),
    "no line end at the end": lambda s: obj(s).rstrip(),
    "continued": lambda s: continued(obj(s)),
    "continued with blanks": lambda s: continued(obj(s), "\\ \t\r\n"),
    "names with backslashes": lambda s: "mtllib C:\\a\\\no x\\\n# y\\\n" + obj(s).replace("f", "usemtl z\\\nf", 1),
    "counted from the end": lambda s: obj(s, lambda i: str(i - 1 - len(s.vertices))),
    "objects": split_objects,
    "mixed corners": mixed_corners,
    "colours": lambda s: obj(s).replace("\nv", " 0.5 1 0\nv"),
    "weights": lambda s: obj(s).replace("\nv", " 1.0\nv"),
    "colours of some vertices": lambda s: obj(s).replace("\nv", " 0.5 1 0 1\nv", 2),
    "faces first": lambda s: "".join(sorted(obj(s).splitlines(keepends=True), key=lambda line: line[0])),
    "plus signs": lambda s: obj(s, lambda i: f"+{i}", lambda c: f"{c:+.17g}"),
    "exponents": lambda s: obj(s, number=lambda c: f"{c:.17E}"),
    "no leading zeros": lambda s: obj(s, number=lambda c: repr(c).removesuffix("0").replace("0.", ".", c == 0.5)),
    "points and lines": lambda s: obj(s) + "p 1 2\nl 1 2 3\nl 1/1 2/1\n",
    "curves": lambda s: "vp 0.1 0.2\ncstype bezier\n" + obj(s) + "deg 3\ncurv 0 1 1 2 3 \\\n 4\nparm u 0 1\nend\n",
    "groups": lambda s: "g a b\ns off\n" + obj(s).replace("f", "g c\ns 1\nusemtl m\nf", 1),
    "obsolete keyword for faces": lambda s: obj(s).replace("f ", "fo "),
    "unused vertices": lambda s: obj(s).replace("f", "v 0.5 0.5 0.5\nf", 1),
}


# --- PLY ---

PLY_TYPES = {
    "char": "b",
    "uchar": "B",
    "short": "h",
    "ushort": "H",
    "int": "i",
    "uint": "I",
    "float": "f",
    "double": "d",
}
PLY_TYPES |= {"int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "float64": "d"}


class Ply:
    """Elements with properties ("type name" or "list type type name") and rows."""

    def __init__(self, solid: Solid) -> None:
        self.elements: dict[str, tuple[list[str], list[list[object]]]] = {
            "vertex": (["double x", "double y", "double z"], solid.vertices.tolist()),
            "face": (["list uchar int vertex_indices"], [[face] for face in solid.faces]),
        }

    def change(self, element: str, properties: list[str], row: Callable[[list[object]], list[object]]) -> Ply:
        self.elements[element] = (properties, [row(old) for old in self.elements[element][1]])
        return self

    def add(self, name: str, properties: list[str], rows: list[list[object]], first: bool = False) -> Ply:
        more = {name: (properties, rows)}
        self.elements = {**more, **self.elements} if first else {**self.elements, **more}
        return self

    def write(self, order: str, end: bytes = b"\n") -> bytes:
        encoding = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[order]
        head, body = ["ply", f"format {encoding} 1.0", "comment made by a test"], b""
        for name, (properties, rows) in self.elements.items():
            head += [f"element {name} {len(rows)}", *(f"property {p}" for p in properties)]
            for row in rows:
                body += self._row(properties, row, order) + (b"" if order else end)
        return end.join([line.encode() for line in [*head, "end_header"]]) + end + body

    def _row(self, properties: list[str], row: list[object], order: str) -> bytes:
        parts: list[tuple[str, object]] = []
        for text, value in zip(properties, row, strict=True):
            words = text.split()
            if words[0] == "list":
                assert isinstance(value, list)
                parts += [(words[1], len(value)), *((words[2], item) for item in value)]
            else:
                parts.append((words[0], value))
        if not order:
            return " ".join(str(value) for _, value in parts).encode()
        return b"".join(struct.pack(order + PLY_TYPES[name], value) for name, value in parts)


def strips(solid: Solid) -> Ply:
    """Each face as a zigzag strip, all in one list."""
    ply, flat = Ply(solid), []
    for face in solid.faces:
        row, low, high = [face[0]], 1, len(face) - 1
        while low <= high:
            row.append(face[low])
            low += 1
            if low <= high:
                row.append(face[high])
                high -= 1
        flat += [*row, -1]
    del ply.elements["face"]
    return ply.add("tristrips", ["list int int vertex_indices"], [[flat]])


def several_strips(solid: Solid) -> Ply:
    ply = strips(solid)
    flat = ply.elements.pop("tristrips")[1][0][0]
    assert isinstance(flat, list)
    split = [int(i) for i, index in enumerate(flat) if index == -1]
    return ply.add("tristrips", ["list int int vertex_indices"], [[flat[: split[1]]], [flat[split[1] + 1 : -1]]])


PLY: dict[str, Callable[[Solid], Ply]] = {
    "plain": Ply,
    "vertex_index": lambda s: Ply(s).change("face", ["list uint8 uint32 vertex_index"], list),
    "short lists": lambda s: Ply(s).change("face", ["list short ushort vertex_indices"], list),
    "wide lists": lambda s: Ply(s).change("face", ["list uint uint vertex_indices"], list),
    "bytes": lambda s: Ply(s).change("face", ["list int8 uchar vertex_indices"], list),
    "backwards": lambda s: Ply(s).change("vertex", ["double z", "double y", "double x"], lambda row: row[::-1]),
    "colours": lambda s: (
        Ply(s)
        .change(
            "vertex", ["uchar red", "double x", "double y", "float w", "double z"], lambda r: [7, *r[:2], 0.5, r[2]]
        )
        .change("face", ["uchar red", "list uchar int vertex_indices", "short k"], lambda r: [255, *r, -3])
    ),
    "other lists": lambda s: (
        Ply(s)
        .change(
            "vertex", ["list uchar float a", *(f"double {c}" for c in "xyz")], lambda r: [[1.5] * int(r[2] != 0), *r]
        )
        .change("face", ["list int double uv", "list uchar int vertex_indices"], lambda r: [[0.5] * len(r[0]) * 2, *r])
    ),
    "elements before": lambda s: Ply(s).add(
        "camera", ["list uchar float f", "int n"], [[[1.0, 2.0], 3], [[], 4]], True
    ),
    "elements between": lambda s: Ply(Solid(s.vertices, s.faces, s.volume)).add(
        "face", *Ply(s).add("edge", ["int a", "int b"], [[0, 1]]).elements.pop("face")
    ),
    "elements after": lambda s: Ply(s).add("edge", ["int a", "int b"], [[0, 1], [1, 2]]).add("none", ["int a"], []),
    "strips": strips,
    "several strips": several_strips,
    "triangles and polygons": lambda s: Ply(
        Solid(
            s.vertices,
            [[f[0], f[1], f[2]] for f in s.faces[:1]] + [[f[0], *f[2:]] for f in s.faces[:1]] + s.faces[1:],
            0,
        )
    ),
    "edges as faces": lambda s: Ply(Solid(s.vertices, [[0, 1], *s.faces, [2]], 0)),
}


# --- STL ---


def stl(solid: Solid, name: str = "part", number: Callable[[float], str] = repr) -> str:
    text = f"solid {name}\n"
    for face in solid.triangles:
        text += "  facet normal 0 0 1\n    outer loop\n"
        text += "".join("      vertex " + " ".join(number(float(c)) for c in solid.vertices[i]) + "\n" for i in face)
        text += "    endloop\n  endfacet\n"
    return text + f"endsolid {name}\n"


def stl_halves(solid: Solid) -> str:
    whole = stl(solid, "a").split("  facet")
    half = len(whole) // 2
    return "  facet".join(whole[:half]) + "endsolid a\n\nsolid b\n  facet" + "  facet".join(whole[half:])


def stl_polygons(solid: Solid) -> str:
    text = "solid\n"
    for face in solid.faces:
        text += "facet normal 0 0 0\nouter loop\n"
        text += "".join("vertex {} {} {}\n".format(*solid.vertices[i]) for i in face) + "endloop\nendfacet\n"
    return text + "endsolid\n"


STL_TEXT: dict[str, Callable[[Solid], str]] = {
    "plain": stl,
    "no name": lambda s: stl(s, ""),
    "normal in name": lambda s: stl(s, "normal part"),
    "vertex in name": lambda s: stl(s, "vertex cover"),
    "facet in name": lambda s: stl(s, "outer loop facet endfacet vertex 1 2 3"),
    "name of letters": lambda s: stl(s, "Größe 3 µm"),
    "end solid": lambda s: stl(s).replace("endsolid", "end solid"),
    "upper case": lambda s: stl(s).upper(),
    "tabs": lambda s: stl(s).replace(" ", "\t"),
    "CRLF": lambda s: stl(s).replace("\n", "\r\n"),
    "CR": lambda s: stl(s).replace("\n", "\r"),
    "exponents": lambda s: stl(s, number=lambda c: f"{c:.9e}"),
    "upper exponents": lambda s: stl(s, number=lambda c: f"{c:+.9E}"),
    "two solids": stl_halves,
    "polygons": stl_polygons,
    "byte order mark": lambda s: "\ufeff" + stl(s),
    "one line per facet": lambda s: (
        stl(s).replace("\n    outer", " outer").replace("\n      ", " ").replace("\n    e", " e")
    ),
    "colours": lambda s: stl(s).replace("  endfacet", "  color 1 0 0\n  endfacet"),
    "bad normals": lambda s: stl(s).replace("normal 0 0 1", "normal -nan(ind) nan 1.#QNAN"),
    "no end": lambda s: stl(s).rpartition("endsolid")[0],
    "no line end": lambda s: stl(s).rstrip(),
}


def stl_bytes(
    solid: Solid, count: int | None = None, head: bytes = b"binary", rest: bytes = b"", attribute: int = 0
) -> bytes:
    corners = solid.vertices[np.array(solid.triangles)].astype("<f4")
    facets = b"".join(bytes(12) + facet.tobytes() + struct.pack("<H", attribute) for facet in corners)
    return head.ljust(80)[:80] + struct.pack("<I", len(corners) if count is None else count) + facets + rest


STL_BYTES: dict[str, Callable[[Solid], bytes]] = {
    "plain": stl_bytes,
    "solid": lambda s: stl_bytes(s, head=b"solid of binary numbers"),
    "solid, wrong count": lambda s: stl_bytes(s, 0, b"solid facet normal vertex"),
    "count 0": lambda s: stl_bytes(s, 0),
    "count too low": lambda s: stl_bytes(s, 3),
    "count too high": lambda s: stl_bytes(s, 1000),
    "count of all bits": lambda s: stl_bytes(s, 0xFFFFFFFF),
    "trailing byte": lambda s: stl_bytes(s, rest=b"\n"),
    "trailing bytes": lambda s: stl_bytes(s, rest=b"\0" * 7),
    "trailing zeros": lambda s: stl_bytes(s, rest=bytes(100)),
    "trailing text": lambda s: stl_bytes(
        s, rest=b"made by a program that likes to leave its name at the end of a file" * 3
    ),
    "wrong count and trailing bytes": lambda s: stl_bytes(s, 0, rest=b"1234567"),
    "attributes": lambda s: stl_bytes(s, attribute=0xFFFF),
}


# --- OFF ---


def off(solid: Solid, head: str = "OFF\n{} {} 0\n", vertex: str = "", face: str = "") -> str:
    text = head.format(len(solid.vertices), len(solid.faces))
    text += "".join("{} {} {}".format(*v) + vertex + "\n" for v in solid.vertices.tolist())
    return text + "".join(f"{len(f)} " + " ".join(map(str, f)) + face + "\n" for f in solid.faces)


OFF: dict[str, Callable[[Solid], str]] = {
    "plain": off,
    "counts in the first line": lambda s: off(s, "OFF {} {} 0\n"),
    "counts joined to the keyword": lambda s: off(s, "OFF{} {} 0\n"),
    "no edges": lambda s: off(s, "OFF\n{} {}\n"),
    "no header": lambda s: off(s, "{} {} 0\n"),
    "lower case": lambda s: off(s, "off\n{} {} 0\n"),
    "comments": lambda s: "# a\n" + off(s, "OFF # b\n# c\n\n{} {} 0 # d\n\n", " # 1 2", " # 3"),
    "COFF": lambda s: off(s, "COFF\n{} {} 0\n", " 255 0 0 255"),
    "NOFF": lambda s: off(s, "NOFF\n{} {} 0\n", " 0 0 1"),
    "STOFF": lambda s: off(s, "STOFF\n{} {} 0\n", " 0.5 0.5"),
    "STCNOFF": lambda s: off(s, "STCNOFF {} {} 0\n", " 0 0 1 0.1 0.2 0.3 1 0.5 0.5"),
    "colours of faces": lambda s: off(s, face=" 255 0 0"),
    "colours of faces as floats": lambda s: off(s, face="  0.5 0.25 1.0 1.0"),
    "tabs": lambda s: off(s).replace(" ", "\t"),
    "CRLF": lambda s: off(s).replace("\n", "\r\n"),
    "CR": lambda s: off(s).replace("\n", "\r"),
    "byte order mark": lambda s: "\ufeff" + off(s),
    "indented": lambda s: off(s).replace("\n", "\n   "),
    "edges as faces": lambda s: off(Solid(s.vertices, [[0, 1], *s.faces, [3]], 0)),
}


def files() -> Iterator[tuple[str, str, bytes, str]]:
    """Yield variant, suffix, content and name of the solid."""
    for solid in SOLIDS:
        for variant, text in OBJ.items():
            yield variant, ".obj", text(SOLIDS[solid]).encode(), solid
        yield "UTF-16", ".obj", obj(SOLIDS[solid]).encode("utf-16"), solid
        for variant, off_text in OFF.items():
            yield variant, ".off", off_text(SOLIDS[solid]).encode(), solid
        for (variant, make), (order, name) in itertools.product(
            PLY.items(), (("", "text"), ("<", "little"), (">", "big"))
        ):
            if solid in CONVEX or variant not in ("strips", "several strips", "triangles and polygons"):
                yield f"{variant}, {name}", ".ply", make(SOLIDS[solid]).write(order), solid
        for order, end in itertools.product(("", "<", ">"), (b"\r\n", b"\r")):
            yield f"line ends {order}{end!r}", ".ply", Ply(SOLIDS[solid]).write(order, end), solid
        for order, rest in itertools.product("<>", (b"\n", b"\r\n", bytes(100))):
            yield f"trailing {order}{rest[:2]!r}", ".ply", Ply(SOLIDS[solid]).write(order) + rest, solid
        yield "trailing lines", ".ply", Ply(SOLIDS[solid]).write("") + b"\n \r\n\n", solid
    for solid in CONVEX:
        for variant, text in STL_TEXT.items():
            yield variant, ".stl", text(SOLIDS[solid]).encode(), solid
        for variant, binary in STL_BYTES.items():
            yield f"{variant}, binary", ".stl", binary(SOLIDS[solid]), solid


FILES = list(files())


@pytest.mark.parametrize(
    ("variant", "suffix", "content", "name"), FILES, ids=[f"{f[1][1:]}-{f[3]}-{f[0]}" for f in FILES]
)
def test_volume_and_bounds(variant: str, suffix: str, content: bytes, name: str, tmp_path: Path) -> None:
    solid, path = SOLIDS[name], tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mesh = dm.load_mesh(path)
    assert mesh.is_closed
    assert mesh.non_manifold_edges == 0
    rtol = 3e-7 if suffix == ".stl" else 1e-15  # binary .stl holds float32
    np.testing.assert_allclose(
        mesh.bounds, [solid.vertices.min(axis=0), solid.vertices.max(axis=0)], rtol=rtol, atol=1e-15
    )
    np.testing.assert_allclose(mesh.volume, solid.volume, rtol=1e-6 if suffix == ".stl" else 1e-12)


def test_every_reader_has_files() -> None:
    assert len(FILES) > 400
    assert {suffix for _, suffix, _, _ in FILES} == set(READERS) - {".glb", ".gltf"}


BOX = SOLIDS["box"]
CUT = "expected .*; it was cut off, export or download the mesh again"
REFUSED = {
    "index 0": (".obj", obj(BOX, lambda i: str(i - 1)),
        r"line 9: expected a vertex from 1 to 8, got '0'; vertices are"),
    "index too high": (".obj", obj(BOX) + "f 1 2 9\n", "line 15: expected a vertex from 1 to 8, got '9'"),
    "index too low": (".obj", "v 0 0 0\nv 1 0 0\nf -1 -2 -3\n", "line 3: expected a vertex from -2 to -1, got '-3'"),
    "no index": (".obj", obj(BOX).replace("f 4", "f /4"), "line 9: expected an integer, got '/4'"),
    "index 4.5": (".obj", obj(BOX).replace("f 4", "f 4.5"), r"line 9: expected an integer, got '4\.5'"),
    "decimal commas": (".obj", obj(BOX).replace(".", ","), "line 1: expected a number, got '10,0'; .* without commas"),
    "commas": (".obj", "# x\n" + obj(BOX).replace("10.0 20.0 30.0", "10,20,30"),
        "line 2: expected three .* without commas"),
    "commas in a face": (".obj", obj(BOX).replace("f 4 3 2 1", "f 4,3,2,1"),
        "line 9: expected a face .* without commas"),
    "word": (".obj", obj(BOX).replace("12.0", "twelve", 1), "line 2: expected a number, got 'twelve'"),
    "two dots": (".obj", obj(BOX).replace("12.0", "1.2.0", 1), r"line 2: expected a number, got '1\.2\.0'"),
    "hexadecimal": (".obj", obj(BOX).replace("12.0", "0x12", 1), "line 2: expected a number, got '0x12'"),
    "underscore": (".obj", obj(BOX).replace("12.0", "1_2", 1), "line 2: expected a number, got '1_2'"),
    "not a number": (".obj", obj(BOX).replace("12.0", "nan", 1), "line 2: expected finite numbers, got 'nan'"),
    "infinity": (".obj", obj(BOX).replace("12.0", "-INF", 1), "line 2: expected finite numbers, got '-INF'"),
    "overflow": (".obj", obj(BOX).replace("12.0", "1e999", 1), "line 2: expected finite numbers, got '1e999'"),
    "two coordinates": (".obj", obj(BOX) + "v 1 2\n", "line 15: expected three coordinates, got 2"),
    "two corners": (".obj", obj(BOX) + "\n\nf 1 2\n", "line 17: expected a face of three corners or more, got 2"),
    "line after CR": (".obj", (obj(BOX) + "f 0 1 2\n").replace("\n", "\r"), "line 15: expected a vertex from 1"),
    "line after CRLF": (".obj", (obj(BOX) + "f 0 1 2\n").replace("\n", "\r\n"), "line 15: expected a vertex from 1"),
    "line after continued lines": (".obj", continued(obj(BOX)) + "f 0 1 2\n", "line 43: expected a vertex from 1"),
    "line within a continued line": (".obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 \\\n2 \\\n7\n",
        "line 6: expected a vertex from 1"),
    "long word": (".obj", "v 1 2 " + "x" * 1000, r"line 1: expected a number, got 'x{40}\.\.\.'"),
    "bytes that are not text": (".obj", "\xff" * 10, "expected a mesh with vertices"),
    "truncated in the header": (".ply", Ply(BOX).write("")[:60],
        "expected a readable .ply file, got one without a complete header"),
    "unknown type": (".ply", Ply(BOX).write("").replace(b"double y", b"real y"),
        "line 6: expected .* got 'property real y'"),
    "unknown order": (".ply", Ply(BOX).write("").replace(b"ascii", b"binary"),
        "line 2: expected .* got 'format binary 1.0'"),
    "list with a float count": (".ply", Ply(BOX).write("").replace(b"uchar", b"float"), "line 9: expected a format"),
    "no format": (".ply", Ply(BOX).write("").replace(b"format", b"comment"), "line 4: expected a format, an element"),
    "negative count": (".ply", Ply(BOX).write("").replace(b"vertex 8", b"vertex -8"), "line 4: expected a format"),
    "element declared twice": (".ply", Ply(BOX).write("").replace(b"element face 6", b"element vertex 6"),
        "line 8: expected a format"),
    "no z": (".ply", Ply(BOX).write("<").replace(b"double z", b"double w"),
        "expected vertices with x, y and z, got no z"),
    "points": (".ply", Ply(BOX).add("face", ["int a"], []).write("<"),
        "got 8 vertices and no face; a point cloud has no"),
    "short row": (".ply", Ply(BOX).write("").replace(b"12.0 20.0 30.0", b"12.0 20.0"),
        r"line 12: expected a row of vertex \(x"),
    "long row": (".ply", Ply(BOX).write("").replace(b"12.0 20.0 30.0", b"1 2 3 4"), "line 12: .*, got 4 numbers"),
    "more rows": (".ply", Ply(BOX).write("") + b"3 0 1 2\n", "line 25: expected the end of the file, got '3'"),
    "fewer rows": (".ply", Ply(BOX).write("").replace(b"face 6", b"face 7"), "line 24: expected 7 rows of face, got 6"),
    "many rows": (".ply", Ply(BOX).write("").replace(b"face 6", b"face 999999999999"), "got 6; the file ends early"),
    "too few vertices": (".ply", Ply(BOX).write("").replace(b"vertex 8", b"vertex 7"),
        r"line 18: expected an integer, got '10\.0'"),
    "word in text": (".ply", Ply(BOX).write("").replace(b"12.0", b"a", 1), "line 12: expected a number, got 'a'"),
    "nan in text": (".ply", Ply(BOX).write("").replace(b"12.0", b"nan", 1),
        "line 12: expected finite numbers, got 'nan'"),
    "index in text": (".ply", Ply(BOX).write("").replace(b"4 3 2", b"4 3 8"), "got 8 in row 0 of face"),
    "list of floats": (".ply", Ply(BOX).write("<").replace(b"int v", b"float v"),
        "expected integers as vertex indices"),
    "truncated in faces": (".ply", Ply(BOX).write("<")[:-1],
        "expected 6 rows of face, got a file that ends early or is damaged"),
    "truncated in vertices": (".ply", Ply(BOX).write(">")[:250],
        "expected 8 rows of vertex, got a file that ends early"),
    "truncated in strips": (".ply", strips(BOX).write("<")[:-4],
        "expected 1 rows of tristrips, got a file that ends early"),
    "many faces": (".ply", Ply(BOX).write("<").replace(b"face 6", b"face 999999999999999"),
        "got a file that ends early"),
    "list beyond the end": (".ply", Ply(BOX).change("face", ["list int int vertex_indices"], list).write("<")
                     .replace(struct.pack("<I", 4), b"\xff\xff\xff\x7f"), "got a file that ends early or is damaged"),
    "list of -1": (".ply", Ply(BOX).change("face", ["list int int vertex_indices"], list).write("<")
                   .replace(struct.pack("<I", 4), b"\xff" * 4), r"ends early or is damaged \(from row 0"),
    "truncated in a facet": (".stl", stl(BOX)[:1000], "line [0-9]+: " + CUT),
    "truncated after a facet": (".stl", "endfacet".join(stl(BOX).split("endfacet")[:7]) + "endfacet\n",
        "line 50: " + CUT),
    "truncated in a number": (".stl", stl(BOX).partition("vertex 12.0 2")[0] + "vertex 12.0 2", "line [0-9]+: " + CUT),
    "truncated in a word": (".stl", stl(BOX).rpartition("vertex")[0] + "ver", "line [0-9]+: " + CUT),
    "two corners in text": (".stl", stl(BOX).replace("      vertex 10.0 20.0 34.0\n", "", 1),
        "expected a triangle, got 2 corners"),
    "word in a facet": (".stl", stl(BOX).replace("12.0", "a", 1), "line [0-9]+: expected a number, got 'a'"),
    "nan in a facet": (".stl", stl(BOX).replace("12.0", "nan", 1), "line [0-9]+: expected finite numbers, got 'nan'"),
    "decimal commas in text": (".stl", stl(BOX).replace(".", ","),
        "line 4: expected a number, got '.*,0'; .* without commas"),
    "vertices without a loop": (".stl", "solid\nvertex 1 2 3\nendsolid\n",
        "line 2: expected outer loop before a vertex"),
    "truncated binary": (".stl", stl_bytes(BOX)[:-17],
        "expected 12 triangles, got 11 and a part of one; the file was cut off"),
    "header without triangles": (".stl", stl_bytes(BOX)[:84], "expected a mesh with vertices, got an empty one"),
    "truncated binary header": (".stl", bytes(50), "expected a readable .stl file, got 50 bytes"),
    "other text": (".stl", "not a mesh\nat all\n", "expected a readable .stl file, got other text"),
    "empty solid": (".stl", "solid x\nendsolid x\n", "expected a mesh with vertices, got an empty one"),
    "binary OFF": (".off", "OFF BINARY\n" + off(BOX),
        "line 1: expected OFF in three dimensions as text, got OFF BINARY"),
    "four dimensions": (".off", off(BOX, "4OFF\n{} {} 0\n"),
        "line 1: expected OFF in three dimensions as text, got 4OFF"),
    "n dimensions": (".off", off(BOX, "nOFF 3\n{} {} 0\n"),
        "line 1: expected OFF in three dimensions as text, got nOFF"),
    "other text in OFF": (".off", "not a mesh\nat all\n", "line 1: expected a readable .off file"),
    "OFF without counts": (".off", "OFF\n", "line 1: expected the vertex and face counts, got the end of the file"),
    "count that is a word": (".off", off(BOX, "OFF\na {} {}\n"), "line 2: expected an integer, got 'a'"),
    "negative count in OFF": (".off", off(BOX, "OFF\n-8 {1}\n"),
        "line 2: expected vertex and face counts .*, got -8 and 6"),
    "truncated OFF": (".off", off(BOX)[:-15], "line 15: expected 8 vertices and 6 faces, got 13 lines of both"),
    "OFF with 10^12 faces": (".off", off(BOX, "OFF\n{} 999999999999 0\n"),
        "expected 8 vertices and 999999999999 faces"),
    "extra lines in OFF": (".off", off(BOX) + "3 0 1 2\n",
        "line 17: expected the end of the file after 8 vertices and 6"),
    "too few vertices in OFF": (".off", off(BOX, "OFF\n7 7 0\n"), "line 10: expected an integer, got '10.0'"),
    "too many vertices in OFF": (".off", off(BOX, "OFF\n9 5 0\n"),
        "line 11: expected 3 numbers as in the first vertex, got 5"),
    "two coordinates in OFF": (".off", off(BOX).replace("12.0 20.0 30.0", "12 20"),
        "line 4: expected three coordinates, got 2"),
    "short face in OFF": (".off", off(BOX).replace("4 3 2 1 0", "5 3 2 1 0"),
        "line 11: expected a face of 5 corners, got 4"),
    "index in OFF": (".off", off(BOX).replace("4 3 2 1 0", "4 3 2 1 8"),
        "line 11: expected a vertex from 0 to 7, got 8"),
    "word in OFF": (".off", off(BOX).replace("12.0", "a", 1), "line 4: expected a number, got 'a'"),
    "decimal commas in OFF": (".off", off(BOX).replace(".0", ",5"),
        "line 3: expected a number, got '10,5'; .* without commas"),
    "damaged UTF-16": (".off", b"\xff\xfe\x00", "expected text, got damaged UTF-16"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_errors_name_the_line(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    suffix, content, message = REFUSED[case]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MeshError, match=rf"^file\{suffix}: .*{message}"):
        dm.load_mesh(path)
    assert capfd.readouterr() == ("", "")


RIGHT = {
    **{name: 24.0 for name in ("neg_interleaved", "tabs", "tab_some", "tab_shift", "bom", "cr", "f_comment", "indent")},
    "hexcols": 1.5 * 3**0.5 * 2,
}
RIGHT = {f"obj_{name}.obj": volume for name, volume in RIGHT.items()}
RIGHT |= {f"ply_l_{name}.ply": 24.0 for name in ("mixed", "trailing", "strips")}
RIGHT |= {f"stl_{name}.stl": 24.0 for name in ("b_trail", "b_count0", "a_end_solid", "a_normalname", "a_vertexname")}
RIGHT |= {"plyhex_l.ply": 1.5 * 3**0.5 * 2, "offhex.off": 1.5 * 3**0.5 * 2}
WRONG = {
    "obj_index0.obj": "line 9: expected a vertex from 1 to 8, got '0'",
    "obj_comma.obj": "line 1: .* without commas",
    "obj_commas.obj": "line 1: .* without commas",
    "stl_a_trunc.stl": "line 58: expected endsolid, got the end of the file; it was cut off",
    "two_sided.obj": "expected a mesh that encloses a volume, got none",
}


@pytest.mark.filterwarnings("ignore::diffmpm.errors.MeshWarning")
@pytest.mark.parametrize("name", [*RIGHT, *WRONG])
def test_files_of_other_programs(name: str, shared: Path) -> None:
    path = shared / "cases" / "meshes" / name
    if not path.exists():
        pytest.skip("the cases are not here")
    if name in WRONG:
        with pytest.raises(MeshError, match=WRONG[name]):
            _ = dm.load_mesh(path).volume
        return
    mesh = dm.load_mesh(path)
    low, high = ([10, 20, 30], [12, 23, 34]) if RIGHT[name] == 24.0 else ([-1, -(3**0.5) / 2, 0], [1, 3**0.5 / 2, 2])
    np.testing.assert_allclose(mesh.bounds, [low, high], atol=1e-6)
    np.testing.assert_allclose(mesh.volume, RIGHT[name], rtol=1e-5)


def random_polygon(rng: np.random.Generator, corners: int) -> tuple[np.ndarray, float]:
    """A star-shaped polygon with random radii, and its area."""
    angle = np.sort(rng.random(corners)) * 2 * np.pi
    radius = rng.uniform(0.05, 1.0, corners)
    flat = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    x, y = flat.T
    return flat, 0.5 * float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())


@pytest.mark.parametrize("seed", range(20))
def test_concave_polygons_are_covered_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    flat, area = random_polygon(rng, int(rng.integers(4, 60)))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    points = np.column_stack([flat, np.zeros(len(flat))]) @ turn
    triangles = polygons.triangulate(points, np.arange(len(flat)), np.array([len(flat)]))
    assert len(triangles) == len(flat) - 2
    a, b, c = (points[triangles[:, k]] for k in range(3))
    normals = 0.5 * np.cross(b - a, c - a)
    # Equal areas and equal orientations: no triangle lies outside.
    np.testing.assert_allclose(np.linalg.norm(normals.sum(axis=0)), abs(area), rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1).sum(), abs(area), rtol=1e-9)


@pytest.mark.parametrize(
    "outline",
    [
        [(0, 0), (1, 1), (1, 0), (0, 1)],  # crosses itself
        [(0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
        [(0, 0), (1, 0), (2, 0), (3, 0), (1.5, 0)],
        [(np.nan, 0), (1, 0), (1, 1), (0.1, 0.1), (0, 1)],
        [(1e200, 0), (-1e200, 1e200), (3, 3), (1e200, 1e200), (0, 0), (2, -1e200)],
    ],
)
def test_polygons_without_a_valid_cut_keep_their_boundary(outline: list[tuple[float, float]]) -> None:
    points = np.array([(x, y, 0.0) for x, y in outline])
    n = len(points)
    triangles = polygons.triangulate(points, np.arange(n), np.array([n]))
    edges = [tuple(edge) for t in triangles.tolist() for edge in itertools.pairwise([*t, t[0]])]
    boundary = sorted(edge for edge in edges if edge[::-1] not in edges)
    assert boundary == sorted((i, (i + 1) % n) for i in range(n))


def test_large_polygons_are_fast() -> None:
    """A comb of 4,000 corners is cut; one of 100,000 becomes a fan, with the same volume."""
    for teeth in (1000, 25_000):
        x = np.repeat(np.arange(2 * teeth), 2)
        y = np.tile([0, 1, 1, 0], teeth)
        solid = prism(np.column_stack([np.concatenate([x, [x[-1], 0]]), np.concatenate([y, [-1, -1]])]), 0, 1, 0)
        area = teeth + (2 * teeth - 1)
        surface = READERS[".obj"](obj(solid).encode(), "comb.obj", Companions(None, "comb.obj"))
        a, b, c = (surface.vertices[surface.triangles[:, k]] for k in range(3))
        volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0
        np.testing.assert_allclose(abs(volume), area, rtol=1e-9)
