# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The up axis, from input files to images and exported files."""

import json
import re
import struct

import diffmpm as dm
import numpy as np
import pytest
from diffmpm._placement import Placement, Similarity, turn
from diffmpm.cli import main
from diffmpm.export import read_npz, read_ply
from diffmpm.geometry.formats import READERS
from diffmpm.morphing import MorphResult
from gltf_files import CORNERS, TRIANGLES, Gltf

TINY = [
    "--particles",
    "400",
    "--windows",
    "1",
    "--set",
    "cell_particles=3",
    "--set",
    "steps=3",
    "--quiet",
    "--no-pictures",
]
TALL = np.array([1.0, 3.0, 1.0])
"""Size of a box that stands along y."""
PLACE = np.array([5.0, -1.0, 2.0])


def tall(path, up="y", center=PLACE):
    """Write a box of 1 x 1 x 3 that stands along an axis around `center`."""
    points = turn("y", up)((CORNERS - 0.5) * TALL) + center
    if path.suffix == ".glb":
        file = Gltf()
        file.mesh(file.primitive(points))
        return file.nodes({"mesh": 0}).glb(path)
    if path.suffix == ".stl":
        rows = b"".join(struct.pack("<12fH", 0, 0, 0, *points[list(t)].ravel(), 0) for t in TRIANGLES)
        path.write_bytes(b" " * 80 + struct.pack("<I", len(TRIANGLES)) + rows)
        return path
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in points.tolist()]
    head = {".obj": "", ".off": "OFF\n8 12 0\n", ".ply": PLY}[path.suffix]
    mark = {".obj": ("f", 1), ".off": ("3", 0), ".ply": ("3", 0)}[path.suffix]
    if path.suffix != ".obj":
        lines = [line[2:] for line in lines]
    lines += [f"{mark[0]} " + " ".join(str(k + mark[1]) for k in t) for t in TRIANGLES.tolist()]
    path.write_text(head + "\n".join(lines) + "\n")
    return path


PLY = """ply
format ascii 1.0
element vertex 8
property double x
property double y
property double z
element face 12
property list uchar int vertex_indices
end_header
"""


def morphed(out, source, target, *options):
    assert main(["morph", str(source), str(target), "--out", str(out), *TINY, *options]) == 0
    return MorphResult.load(out)


def long_axis(x):
    return "xyz"[int(np.argmax(np.ptp(x, axis=0)))]


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """Morph of an upright box in an .stl file, z up, to one in a .glb file, y up."""
    folder = tmp_path_factory.mktemp("standing")
    source, target = tall(folder / "a.stl", "z", np.array([50.0, 60.0, 70.0])), tall(folder / "b.glb")
    morphed(folder / "out", source, target)
    return folder / "out"


@pytest.mark.parametrize("suffix", READERS)
def test_each_format_has_its_up(suffix, tmp_path):
    if suffix == ".gltf":
        file = Gltf()
        file.mesh()
        assert dm.load_mesh(file.gltf(tmp_path / "a.gltf")).up == "y"
    else:
        mesh = dm.load_mesh(tall(tmp_path / f"a{suffix}"))
        assert mesh.up == {".glb": "y", ".stl": "z"}.get(suffix)
        assert mesh.transformed(2.0).up == mesh.up
    assert dm.load_mesh("torus").up is None


def test_the_source_is_rotated_upright(standing):
    result = MorphResult.load(standing)
    assert (result.placement.up, result.placement.source_up) == ("y", "z")
    assert long_axis(result.source_x) == long_axis(result.target_x) == long_axis(result.x) == "y"
    corner = np.array([50.5, 60.5, 71.5])  # in coordinates of the source's file
    np.testing.assert_allclose(result.placement.fit(corner), [5.5, 0.5, 1.5], atol=0.05)


def test_no_rotation_with_explicit_up_or_without_fit(tmp_path):
    source, target = tall(tmp_path / "a.stl", "z"), tall(tmp_path / "b.glb")
    explicit = morphed(tmp_path / "explicit", source, target, "--up", "z")
    assert (explicit.placement.up, explicit.placement.source_up) == ("z", "z")
    assert long_axis(explicit.source_x) == "z" and long_axis(explicit.target_x) == "y"
    assert explicit.placement.fit.rotation == Similarity().rotation
    as_it_is = morphed(tmp_path / "as_it_is", source, target, "--no-fit")
    assert (as_it_is.placement.up, as_it_is.placement.source_up) == ("y", "z")
    assert long_axis(as_it_is.source_x) == "z" and as_it_is.placement.fit == Similarity()


@pytest.mark.parametrize(
    ("source", "target", "up"),
    [
        ("sphere", "a.glb", "y"),
        ("sphere", "a.stl", "z"),
        ("a.glb", "b.obj", "y"),
        ("a.obj", "b.stl", "z"),
        ("a.obj", "b.ply", "z"),
        ("box", "box", "z"),
    ],
)
def test_shapes_without_an_up_axis_use_that_of_the_other(source, target, up, tmp_path):
    paths = [tall(tmp_path / name) if "." in name else name for name in (source, target)]
    placement = morphed(tmp_path / "out", *paths).placement
    assert (placement.up, placement.source_up) == (up, up)


@pytest.mark.parametrize(
    ("source", "target", "options", "line"),
    [
        ("a.stl", "b.glb", [], "up: y, as in all .glb files; a was rotated from z up"),
        ("a.obj", "b.obj", [], "up: z (a guess, because .obj files do not store it; --up changes it)"),
        ("a.obj", "b.obj", ["--up", "y"], "up: y"),
        ("sphere", "box", [], "up: z"),
    ],
)
def test_the_up_axis_is_reported(source, target, options, line, tmp_path, capsys):
    paths = [str(tall(tmp_path / name)) if "." in name else name for name in (source, target)]
    rest = [o for o in TINY if o != "--quiet"]
    assert main(["morph", *paths, "--out", str(tmp_path / "out"), *rest, *options]) == 0
    assert line in capsys.readouterr().out.splitlines()


def test_another_up_axis_needs_no_new_morph(tmp_path):
    source, target = tall(tmp_path / "a.obj"), tall(tmp_path / "b.obj")
    before = morphed(tmp_path / "out", source, target)
    after = morphed(tmp_path / "out", source, target, "--up", "y", "--resume")
    assert (before.placement.up, after.placement.up) == ("z", "y")
    np.testing.assert_array_equal(before.x, after.x)


def positions(folder, format):
    """Return the positions of an export, read by independent code."""
    path = next(p for p in sorted(folder.glob("morph*")) if p.suffix != ".pvd")
    if format == "splat":
        return np.frombuffer(path.read_bytes(), np.float32).reshape(-1, 8)[:, :3]
    if format == "npz":
        return read_npz(path)["means"]
    if format == "usd":
        pxr = pytest.importorskip("pxr.Usd", reason="usd-core is not installed")
        stage = pxr.Stage.Open(str(path))
        return np.array(stage.GetPrimAtPath("/Morph/Gaussians").GetAttribute("positions").Get(0))
    content = path.read_bytes()
    if format in ("glb", "mesh-glb"):
        size = struct.unpack_from("<I", content, 12)[0]
        document = json.loads(content[20 : 20 + size])
        assert set(document["nodes"][0]) == {"mesh"}
        count = document["accessors"][0]["count"]
        return np.frombuffer(content, "<f4", 3 * count, 28 + size).reshape(count, 3)
    if format == "obj":
        return np.array([line.split()[1:4] for line in content.decode().splitlines() if line.startswith("v ")], float)
    head, body = content.split(b"end_header\n", 1)
    count = int(re.search(rb"element vertex (\d+)", head).group(1))
    dtypes = {b"float": "<f4", b"double": "<f8", b"uchar": "u1"}
    fields = [(name.decode(), dtypes[k]) for k, name in re.findall(rb"property (float|double|uchar) (\w+)", head)]
    table = np.frombuffer(body, fields, count)
    return np.stack([table[axis] for axis in "xyz"], axis=1)


EVERY = ["ply", "splat", "npz", "obj", "mesh-ply", "glb", "mesh-glb", "usd"]


def exported(standing, out, format, *options):
    if "mesh" not in format and format != "obj":
        options = (*options, "--samples", "500")
    if format == "usd":
        pytest.importorskip("pxr", reason="usd-core is not installed")
    assert main(["export", str(standing), "--format", format, "--out", str(out), "--quiet", *options]) == 0
    return positions(out, format)


@pytest.mark.parametrize("format", EVERY)
def test_every_format_has_the_axes_of_the_target(format, standing, tmp_path):
    x = exported(standing, tmp_path, format, "--frames", "-1")
    assert long_axis(x) == "y"
    np.testing.assert_allclose(0.5 * (x.min(axis=0) + x.max(axis=0)), PLACE, atol=0.3)


@pytest.mark.parametrize("format", ["ply", "splat", "npz", "obj", "mesh-ply", "usd"])
def test_up_turns_every_format(format, standing, tmp_path):
    x = exported(standing, tmp_path / "y", format, "--frames", "-1")
    z = exported(standing, tmp_path / "z", format, "--frames", "-1", "--up", "z")
    np.testing.assert_allclose(z, np.asarray(x) @ turn("y", "z").matrix.T, atol=1e-5)
    if format == "usd":
        from pxr import Usd, UsdGeom

        ups = [UsdGeom.GetStageUpAxis(Usd.Stage.Open(str(tmp_path / up / "morph.usdc"))) for up in "yz"]
        assert ups == ["Y", "Z"]


@pytest.mark.parametrize(
    ("format", "up"), [("glb", "y"), ("mesh-glb", "y"), ("ply", "z"), ("splat", "z"), ("obj", "z")]
)
def test_keep_transform_restores_source_coordinates(format, up, standing, tmp_path):
    """The first frame is the source: 1 x 1 x 3 around (50, 60, 70), z up, but y up in .glb files."""
    x = exported(standing, tmp_path, format, "--frames", "0", "--keep-transform")
    assert long_axis(x) == up
    middle, size = turn("z", up)([50.0, 60.0, 70.0]), np.abs(turn("z", up)([1.0, 1.0, 3.0]))
    np.testing.assert_allclose(0.5 * (x.min(axis=0) + x.max(axis=0)), middle, atol=0.15)
    np.testing.assert_allclose(np.ptp(x, axis=0), size, atol=0.4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["glb", "--up", "z"], "up: expected y for glb, got 'z'; leave it out, and if the body lies on its side"),
        (["mesh-glb", "--up", "x"], "up: expected y for mesh-glb, got 'x'"),
        (["usd", "--up", "x"], "up: expected y or z for usd, got 'x'"),
        (["obj", "--samples", "500"], "samples: expected a format that uses it .ply, .*, got obj; leave it out"),
        (["mesh-ply", "--unlit"], "unlit: expected a format that uses it .ply, .*, got mesh-ply"),
        (
            ["splat", "--sh-degree", "3"],
            "sh_degree: expected a format that uses it .ply, sog., got splat; leave it out",
        ),
    ],
)
def test_options_without_effect_are_refused(options, message, standing, tmp_path, capsys):
    if options[0] == "usd":
        pytest.importorskip("pxr", reason="usd-core is not installed")
    assert main(["export", str(standing), "--out", str(tmp_path), "--quiet", "--format", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("diffmpm export: ") and error.count("\n") == 1 and re.search(message, error), error
    assert not list(tmp_path.iterdir())


def test_sh_degree_adds_zeros(standing, tmp_path):
    exported(standing, tmp_path, "ply", "--frames", "-1", "--sh-degree", "2")
    head = next(tmp_path.glob("*.ply")).read_bytes().split(b"end_header")[0].decode()
    assert re.findall(r"f_rest_(\d+)", head) == [str(k) for k in range(24)]


def test_images_show_the_body_upright(standing, tmp_path):
    """The body covers more rows than columns in images and films."""
    Image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    from diffmpm.view import save_pictures

    result = MorphResult.load(standing)
    save_pictures(result, tmp_path, size=64, gif_frames=2)
    options = [
        "--frames",
        "-1",
        "--format",
        "png",
        "--size",
        "64",
        "--samples",
        "500",
        "--out",
        str(tmp_path),
        "--quiet",
    ]
    assert main(["render", str(standing), "--no-shadow", *options]) == 0
    for path in (
        tmp_path / "target.png",
        tmp_path / "result.png",
        tmp_path / "source.png",
        tmp_path / "png" / "morph_0000.png",
    ):
        with Image.open(path) as page:
            picture = np.asarray(page.convert("RGB"))[:, :64].astype(int)
        body = np.abs(picture - picture[0, 0]).max(axis=2) > 90  # neither background nor shadow
        rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
        assert np.ptp(rows) > 1.3 * np.ptp(columns), path.name


def test_placements_are_read_back(standing):
    placement = MorphResult.load(standing).placement
    stored = json.loads((standing / "metrics.json").read_text())["placement"]
    assert Placement.from_dict(stored) == placement and stored == json.loads(json.dumps(placement.to_dict()))
    with pytest.raises(ValueError, match="up"):
        Placement.from_dict({**stored, "up": "w"})


def test_distant_bodies_keep_their_precision(tmp_path):
    """Map coordinates in metres, which float32 resolves to a quarter of a metre."""
    center, goal = np.array([388096.0, 3948996.0, 41.0]), np.array([388099.0, 3948996.5, 41.25])
    source, target = tall(tmp_path / "a.obj", "y", center), tall(tmp_path / "b.obj", "y", goal)
    result = morphed(tmp_path / "out", source, target)
    assert all(len(np.unique(result.x[:, k])) > 300 for k in range(3))
    middle = result.placement.origin + result.x.astype(float).mean(axis=0)
    np.testing.assert_allclose(middle, goal, atol=0.05)
    np.testing.assert_allclose(read_ply(tmp_path / "out" / "result.ply")["x"].mean(axis=0), middle, atol=1e-4)
    stored = exported(tmp_path / "out", tmp_path / "stored", "ply", "--frames", "0", "--keep-transform")
    head = (tmp_path / "stored" / "morph_0000.ply").read_bytes().split(b"end_header")[0].decode()
    origin = np.array(re.search(r"comment origin (.*)", head).group(1).split(), float)
    np.testing.assert_allclose(origin + stored.mean(axis=0), center, atol=0.1)
    assert len(np.unique(stored[:, 1])) > 300
