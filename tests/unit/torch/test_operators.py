# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""The operators torch.ops.diffmpm.*: registration, native against Python kernels, what the library links."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffmpm as dm
import numpy as np
import pytest
import scenes
from diffmpm import _build_info

TESTS = Path(__file__).parents[2]


def operator_arguments(scene: Any, torch: Any, grad: bool) -> tuple[Any, ...]:
    """Return the arguments of the rollout operator for a scene."""
    from diffmpm.mpm.params import pack_params

    tensors = {k: torch.tensor(v, requires_grad=grad) for k, v in scene.inputs.items()}
    names = ("x", "v", "C", "F", "Fp", "control", "mass", "volume", "lam", "mu", "gravity", "drag")
    config, steps = pack_params(scenes.configuration(scene)), scene.steps
    return *(tensors[n] for n in names), config, steps, scene.control_stride, [1, steps], True, grad, 0


# Each operator is checked for its schema, its autograd registration, its fake kernel and tracing with dynamic shapes.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("option", ["plain", "all"])
def test_opcheck(option: str, rng: Any, torch: Any, dmt: Any) -> None:
    scene = scenes.make_scene(rng, option=option, steps=3)
    ops = torch.ops.diffmpm
    for grad in (False, True):
        torch.library.opcheck(ops.rollout.default, operator_arguments(scene, torch, grad))
    arguments = operator_arguments(scene, torch, True)
    config, dims = arguments[12], scenes.configuration(scene).dims
    basics = ("test_schema", "test_faketensor")  # the adjoint has no gradient; another test checks its error
    x, mass = (arguments[n].detach().clone().requires_grad_() for n in (0, 6))
    torch.library.opcheck(ops.grid_mass.default, (x, mass, config))
    grid = torch.rand(dims, dtype=torch.float64)
    plain = (x.detach(), mass.detach(), grid)
    torch.library.opcheck(ops.grid_mass_vjp.default, (*plain, config), test_utils=basics)
    for loss in (0, 1):
        m = grid.clone().requires_grad_()
        torch.library.opcheck(ops.mass_loss.default, (m, torch.rand_like(grid), loss, 0.7, 2.0))
    torch.library.opcheck(ops.kinetic_loss.default, (arguments[1].detach().clone().requires_grad_(),))


@pytest.mark.parametrize("wrt", [(1 << 12) - 1, 0b100000000101])
def test_shapes_of_the_adjoint(wrt: int, rng: Any, torch: Any, dmt: Any) -> None:
    """opcheck calls an operator on copies, which are no trajectories; its check of the fake kernel is here."""
    from torch._subclasses import FakeTensorMode

    arguments = operator_arguments(scenes.make_scene(rng, steps=3), torch, True)
    *states, trajectory = (t.detach() for t in torch.ops.diffmpm.rollout(*arguments))
    cotangents = [torch.rand_like(t) for t in states]
    rest = ([1, 3], wrt, arguments[5].shape[0])
    actual = torch.ops.diffmpm.rollout_vjp(trajectory, *cotangents, *rest)
    with FakeTensorMode() as mode:
        fake = torch.ops.diffmpm.rollout_vjp(*(mode.from_tensor(t) for t in (trajectory, *cotangents)), *rest)
    assert [(t.shape, t.dtype) for t in fake] == [(t.shape, t.dtype) for t in actual]
    expected = [t.shape for bit, t in enumerate(arguments[:12]) if wrt >> bit & 1]
    assert [t.shape for t in actual] == expected


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch, scenes, tolerances
import diffmpm as dm, diffmpm.torch as dmt
torch.set_num_threads(1)
arrays = {}
for dtype in (torch.float32, torch.float64):
    for basis in scenes.BASES:
        scene = scenes.make_scene(np.random.default_rng(3), basis, option="all", steps=5)
        inputs = {k: torch.tensor(v, dtype=dtype, requires_grad=True) for k, v in scene.inputs.items() if k != "G"}
        out = dmt.rollout(scenes.configuration(scene), 5, control_stride=2, layers=[2, 5], motion_gradient=True,
                          grid_mass=True, **inputs)
        target = torch.tensor(np.abs(scene.cotangents[5]["adj_grid_mass"]), dtype=dtype)
        loss = dmt.log_mass(out.grid_mass[1], target, m_ref=0.5, outside_weight=2.0) + dmt.kinetic(out.v[0])
        loss = loss + dmt.squared_mass(out.grid_mass[0], target) + out.G.square().sum() + out.C.sum()
        loss.backward()
        key = f"{dtype}-{basis}-"
        arrays |= {key + "loss": loss.detach().numpy()}
        arrays |= {key + n: t.detach().numpy() for n, t in out._asdict().items()}
        arrays |= {key + "adj_" + n: t.grad.numpy() for n, t in inputs.items()}
body = dm.sample("sphere", particles=300)
camera = dm.Camera.look_at((3.0, 1.0, 1.0), (0, 0, 0), (0, 0, 1), fov=40.0, width=40, height=30)
for dtype in (torch.float32, torch.float64):
    x, F = (torch.tensor(a, dtype=dtype, requires_grad=True) for a in (body.x, body.F))
    g = dmt.gaussians(x, F, samples=80)
    out = dmt.rasterize(g.means, covars=g.covars, opacities=torch.full_like(g.means[:, 0], 0.8), colors=g.normals,
                        cameras=camera, render_mode="RGB+ED")
    out[0].square().sum().backward()
    arrays |= {f"{dtype}-image": out[0].detach().numpy(), f"{dtype}-adj_x": x.grad.numpy(),
               f"{dtype}-adj_F": F.grad.numpy(), f"{dtype}-covars": g.covars.detach().numpy()}
np.savez(sys.argv[2], native=dmt.NATIVE, **arrays)
"""


@pytest.mark.skipif(not _build_info.TORCH_OPERATORS, reason="built without the native operators")
def test_native_and_python_kernels_agree_bitwise(tmp_path: Path, torch: Any) -> None:
    results = []
    for value in ("1", "0"):
        file = tmp_path / f"{value}.npz"
        env = os.environ | {"DIFFMPM_TORCH_OPERATORS": value}
        subprocess.run([sys.executable, "-c", SCRIPT, str(TESTS), str(file)], check=True, env=env, timeout=300)
        results.append(np.load(file))
    native, python = results
    assert native["native"] and not python["native"]
    assert len(native.files) == len(python.files) > 40
    for name in native.files:
        if name != "native":
            scenes.assert_same_bits(native[name], python[name], name)


def library() -> Path:
    """Return the file of the native operators."""
    import diffmpm.torch

    if not diffmpm.torch.NATIVE:
        pytest.skip("built without the native operators, or they are turned off")
    return next(Path(dm._core.__file__).parent.glob("_torch_ops*"))


STABLE = re.compile(r"(aoti_torch|torch)_\w+")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF files")
def test_library_uses_the_stable_abi_alone(torch: Any) -> None:
    """The library imports only C functions of the stable ABI from PyTorch: no mangled name of torch, at or c10."""
    nm, cxxfilt = shutil.which("nm"), shutil.which("c++filt")
    if nm is None or cxxfilt is None:
        pytest.skip("nm and c++filt (binutils) are not installed")
    text = subprocess.run([nm, "-D", "--undefined-only", str(library())], capture_output=True, text=True, check=True)
    names = [line.split()[-1].split("@")[0] for line in text.stdout.splitlines()]
    torch_names = [name for name in names if "torch" in name or "c10" in name or re.search(r"\dat[A-Z0-9]", name)]
    assert torch_names, "the library does not use PyTorch at all"
    assert all(STABLE.fullmatch(name) for name in torch_names)
    # and nothing from the core, which it calls through the table
    assert not any("diffmpm" in name or "GOMP" in name or "omp_" in name for name in names)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF files")
def test_library_needs_torch_by_name_alone(torch: Any) -> None:
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf (binutils) is not installed")
    text = subprocess.run([readelf, "-d", str(library())], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"NEEDED.*\[(.+)\]", text))
    assert "libtorch_cpu.so" in needed
    assert not {name for name in needed if name.startswith(("libc10", "libtorch_python", "libgomp", "libpython"))}
    assert "RPATH" not in text and "RUNPATH" not in text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads ELF files")
def test_library_names_no_folder_of_the_build(torch: Any) -> None:
    assert str(TESTS.parent / "cpp").encode() not in library().read_bytes()


def test_another_build_is_refused(torch: Any, dmt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    use_table = ctypes.CDLL(str(library())).diffmpm_use_table
    use_table.argtypes = [ctypes.c_size_t]
    wrong = (ctypes.c_size_t * 1)(1)
    assert use_table(ctypes.addressof(wrong)) == 1
    assert use_table(dm._core.operator_table()) == 0


OPENMP = """
import sys
first, second = sys.argv[1:3]
__import__(first); __import__(second)
import diffmpm as dm, diffmpm.torch as dmt, torch, numpy as np
body = dm.sample("box", particles=4000)
sim = dm.Simulation(body, dm.SimConfig(dx=0.2, dt=1e-4))
sim.rollout(2)
torch.randn(1000, 1000) @ torch.randn(1000, 1000)
dmt.rollout(sim.config, 2, **dmt.tensors(body))
maps = {line.split()[-1] for line in open("/proc/self/maps") if "gomp" in line or "libomp" in line or "iomp5" in line}
print("\\n".join(sorted(maps)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/maps")
@pytest.mark.parametrize("order", [("diffmpm", "torch"), ("torch", "diffmpm")])
def test_one_openmp_runtime_in_either_order(order: tuple[str, str], torch: Any) -> None:
    result = subprocess.run(
        [sys.executable, "-c", OPENMP, *order], capture_output=True, text=True, check=True, timeout=120
    )
    assert len(result.stdout.split()) == 1, f"several OpenMP runtimes:\n{result.stdout}"


FORK = """
import os, signal
import diffmpm as dm, diffmpm.torch as dmt, torch
body = dm.sample("box", particles=8000)
sim = dm.Simulation(body, dm.SimConfig(dx=0.2, dt=1e-4))
def work():
    control = torch.zeros((1, body.count, 3, 3), requires_grad=True)
    dmt.rollout(sim.config, 3, control=control, control_stride=3, **dmt.tensors(body)).x.sum().backward()
    return control.grad.numpy().tobytes()
expected = work()
child = os.fork()
if child == 0:
    signal.alarm(30)
    torch.set_num_threads(1)  # PyTorch's own parallel loops do not survive a fork either
    os._exit(0 if work() == expected else 1)
_, status = os.waitpid(child, 0)
raise SystemExit(0 if status == 0 else f"the child ended with {status}")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_operators_work_after_a_fork(torch: Any) -> None:
    result = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr


INTERRUPT = """
import os, signal, threading
import diffmpm as dm, diffmpm.torch as dmt
body = dm.sample("box", particles=20000)
sim = dm.Simulation(body, dm.SimConfig(dx=0.15, dt=1e-5))
threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    dmt.rollout(sim.config, 1_000_000, **dmt.tensors(body))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize("native", ["1", "0"])
def test_ctrl_c_ends_a_rollout(native: str, torch: Any) -> None:
    env = os.environ | {"DIFFMPM_TORCH_OPERATORS": native}
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPT], capture_output=True, text=True, check=False, timeout=120, env=env
    )
    assert result.stdout == "interrupted\n", result.stderr


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # as if it were not installed
import diffmpm as dm
assert dm.sample("box", particles=100).count == 100
try:
    import diffmpm.torch
except ImportError as error:
    print(error)
"""


def test_import_without_torch_names_the_package_to_install() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True)
    assert "needs PyTorch, which is not installed; install it with pip install 'diffmpm[torch]'" in result.stdout
