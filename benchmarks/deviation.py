# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Deviation of the fitted surface from the true surface of the built-in shapes, in particle spacings.

A vertex is flat, smooth or at an edge if the normal of the true surface turns by less than 3 degrees, less than 30
degrees, or more within 2.5 spacings.
"""

from __future__ import annotations

import argparse

import diffmpm as dm
import numpy as np
from diffmpm import _core
from diffmpm.surface import fit_surface
from scipy.spatial import KDTree

REACH = 2.5
FLAT, SMOOTH = np.cos(np.radians([3.0, 30.0]))


def points_of(mesh: dm.Mesh, spacing: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return about 9 points per squared spacing on a mesh, shape (K, 3), and the unit normals of their triangles."""
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    areas = np.linalg.norm(normals, axis=1)
    rows = rng.choice(len(areas), int(areas.sum() / 2 / spacing**2 * 9), p=areas / areas.sum())
    u, v = rng.random((2, len(rows), 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return a[rows] + u * (b - a)[rows] + v * (c - a)[rows], normals[rows] / areas[rows, None]


def measure(name: str, particles: int, method: str) -> str:
    """Return one line with the largest deviation at flat, smooth and edge vertices, and root mean squares."""
    mesh = dm.load_mesh(name)
    spacing = (mesh.volume / particles) ** (1 / 3)
    surface = fit_surface(dm.sample(mesh, particles=particles, method=method).x)
    rows, weights = _core.closest_on_mesh(mesh.vertices, mesh.triangles, np.ascontiguousarray(surface.vertices))
    feet = np.einsum("kc,kcd->kd", weights, mesh.vertices[mesh.triangles[rows]])
    deviation = np.linalg.norm(surface.vertices - feet, axis=1) / spacing
    points, normals = points_of(mesh, spacing, np.random.default_rng(0))
    tree = KDTree(points)
    own = normals[tree.query(feet)[1]]
    near = tree.query_ball_point(feet, REACH * spacing)
    agreement = np.array([(normals[n] @ m).min() if n else 1.0 for n, m in zip(near, own, strict=True)])

    def largest(values: np.ndarray) -> str:
        return f"{values.max():10.3f} {np.sqrt((values**2).mean()):6.3f}" if len(values) else f"{'':17}"

    parts = (agreement > FLAT, agreement > SMOOTH, agreement <= SMOOTH)
    return f"{name:14}" + "".join(largest(deviation[part]) for part in parts)


def main() -> None:
    """Print one line per shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=20_000)
    parser.add_argument("--method", choices=("even", "jittered"), default="even", help="see diffmpm.sample")
    parser.add_argument("--shapes", nargs="+", default=dm.shapes.names())
    args = parser.parse_args()
    print(f"{args.particles} particles, {args.method}: largest and root mean square deviation [spacings]")
    print(f"{'shape':14}{'flat':>17}{'smooth':>17}{'edge':>17}")
    for name in args.shapes:
        print(measure(name, args.particles, args.method), flush=True)


if __name__ == "__main__":
    main()
