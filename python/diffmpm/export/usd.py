# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Gaussians over time as a USD stage with one ParticleField3DGaussianSplat."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .._arrays import as_positive
from .._placement import Triple
from ..errors import ConfigError, optional_package
from .atomic import PathLike, write_error, write_file
from .splats import Splats

PRIM = "/Morph/Gaussians"
_SUFFIXES = (".usd", ".usda", ".usdc")
_EXTENT = 3.0
"""Margin of the extent around the centres, in standard deviations."""


def write_usd(
    path: PathLike, frames: Iterable[Splats], *, up: str = "z", fps: float = 24.0, origin: Triple = (0.0, 0.0, 0.0)
) -> Path:
    """Write Gaussians with one time sample per frame.

    `displayColor` is in linear light; the harmonics hold colours as displayed (sRGB), as in trained Gaussians.

    Args:
        path: File ending in .usd, .usda or .usdc.
        frames: Gaussians of each frame, at least one. Time codes are 0, 1, 2 ...
        up: Axis that is up, "y" or "z"; USD has no other.
        fps: Time codes per second.
        origin: Point that the centres are relative to, stored as the translation of the parent.

    Raises:
        ConfigError: If the suffix or `up` does not fit, or there is no frame.
        MissingPackageError: If usd-core is not installed.

    References:
        OpenUSD, UsdVol, ParticleField3DGaussianSplat.
    """
    write_stage(path, lambda stage: _add_gaussians(stage, frames), up=up, fps=fps, origin=origin)
    return Path(path)


def write_stage(
    path: PathLike, fill: Callable[[Any], int], *, up: str, fps: float, origin: Triple = (0.0, 0.0, 0.0)
) -> None:
    """Write a stage whose default prim is /Morph, with the arguments and errors of `write_usd`.

    `fill` adds the contents below /Morph and returns the number of frames.
    """
    if Path(path).suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"path: expected a file ending in {', '.join(_SUFFIXES)}, got {str(path)!r}")
    if up not in ("y", "z"):
        raise ConfigError(f"up: expected y or z, the up axes of USD, got {up!r}")
    rate = as_positive(fps, "fps")
    usd, geom, _ = import_usd()
    from pxr import Tf

    # USD parses arguments from file names and accepts only UTF-8, so it writes to a plain name first.
    with write_file(path) as temporary, tempfile.TemporaryDirectory(prefix="diffmpm-") as folder:
        plain = Path(folder) / f"morph{Path(path).suffix.lower()}"
        try:
            stage = usd.Stage.CreateNew(str(plain))
            geom.SetStageUpAxis(stage, up.upper())
            geom.SetStageMetersPerUnit(stage, 1.0)
            stage.SetTimeCodesPerSecond(rate)
            stage.SetFramesPerSecond(rate)
            root = geom.Xform.Define(stage, "/Morph")
            if any(origin):
                root.AddTranslateOp().Set(origin)
            stage.SetDefaultPrim(root.GetPrim())
            count = fill(stage)
            if count == 0:
                raise ConfigError("frames: expected at least one frame, got none")
            stage.SetStartTimeCode(0)
            stage.SetEndTimeCode(count - 1)
            stage.GetRootLayer().Save()
        except Tf.ErrorException as error:  # usually a full disk; later errors follow from the first
            reasons = re.findall(r" : '(.*)'", str(error)) or [type(error).__name__]
            raise write_error(path, reasons[0]) from None
        shutil.copyfile(plain, temporary)


def _add_gaussians(stage: Any, frames: Iterable[Splats]) -> int:
    _, geom, tokens = import_usd()
    prim = stage.DefinePrim(PRIM, "ParticleField3DGaussianSplat")
    _attribute(prim, tokens, "radiance:sphericalHarmonicsDegree", "Int").Set(0)
    color = prim.CreateAttribute("primvars:displayColor", tokens.Color3fArray, False)
    geom.Primvar(color).SetInterpolation(geom.Tokens.vertex)
    count = 0
    for count, splats in enumerate(frames, 1):
        _sample(prim, tokens, splats, count - 1)
    return count


def _sample(prim: Any, tokens: Any, splats: Splats, time: int) -> None:
    """Set the time sample of all attributes."""
    from pxr import Gf, Vt

    margin = _EXTENT * splats.scales[:, :1]
    extent = np.stack([(splats.means - margin).min(axis=0), (splats.means + margin).max(axis=0)])
    quats = Vt.QuatfArray([Gf.Quatf(*map(float, q)) for q in splats.quats])
    for name, token, value in (
        ("positions", "Point3fArray", Vt.Vec3fArray.FromNumpy(splats.means)),
        ("orientations", "QuatfArray", quats),
        ("scales", "Float3Array", Vt.Vec3fArray.FromNumpy(splats.scales)),
        ("opacities", "FloatArray", Vt.FloatArray.FromNumpy(splats.opacities)),
        ("radiance:sphericalHarmonicsCoefficients", "Float3Array", Vt.Vec3fArray.FromNumpy(splats.sh)),
        ("primvars:displayColor", "Color3fArray", Vt.Vec3fArray.FromNumpy(splats.linear)),
        ("extent", "Float3Array", Vt.Vec3fArray.FromNumpy(extent.astype(np.float32))),
    ):
        _attribute(prim, tokens, name, token).Set(value, time)


def _attribute(prim: Any, tokens: Any, name: str, token: str) -> Any:
    """Return an attribute of the schema, created as documented in USD releases that lack the schema."""
    return prim.GetAttribute(name) or prim.CreateAttribute(name, getattr(tokens, token), False)


def import_usd() -> tuple[Any, Any, Any]:
    """Return the modules Usd and UsdGeom, and the value type names."""
    optional_package("pxr", "usd-core", "USD", "usd")
    from pxr import Sdf, Usd, UsdGeom

    return Usd, UsdGeom, Sdf.ValueTypeNames
