# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Independent reference rasteriser in PyTorch: every Gaussian at every pixel, with autograd."""

from __future__ import annotations

import torch

DILATION, NEAR, MARGIN = 0.3, 0.01, 0.3
ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN = 0.999, 1.0 / 255.0, 1e-4

Tensor = torch.Tensor


def covariances(quats: Tensor, scales: Tensor) -> Tensor:
    w, x, y, z = (quats / quats.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    M = torch.stack(rows, 1).reshape(-1, 3, 3) * scales[:, None, :]
    return M @ M.transpose(1, 2)


def project(means: Tensor, covars: Tensor, viewmat: Tensor, K: Tensor, width: int, height: int):
    """Return image means (N, 2), dilated covariances (N, 2, 2) and depths (N,)."""
    R, t = viewmat[:3, :3], viewmat[:3, 3]
    x, y, z = (means @ R.T + t).unbind(1)
    (fx, fy), (cx, cy) = (K[0, 0], K[1, 1]), (K[0, 2], K[1, 2])
    margin_x, margin_y = MARGIN * 0.5 * width / fx, MARGIN * 0.5 * height / fy
    u = torch.maximum(torch.minimum(x / z, (width - cx) / fx + margin_x), -cx / fx - margin_x)
    v = torch.maximum(torch.minimum(y / z, (height - cy) / fy + margin_y), -cy / fy - margin_y)
    zero = torch.zeros_like(z)
    J = torch.stack([fx / z, zero, -fx * u / z, zero, fy / z, -fy * v / z], 1).reshape(-1, 2, 3)
    V = R @ (0.5 * (covars + covars.transpose(1, 2))) @ R.T
    cov2d = J @ V @ J.transpose(1, 2) + DILATION * torch.eye(2, dtype=means.dtype)
    return torch.stack([fx * x / z + cx, fy * y / z + cy], 1), cov2d, z


def render(
    means: Tensor,
    covars: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmat: Tensor,
    K: Tensor,
    width: int,
    height: int,
    background: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, dict[str, int]]:
    """Return colour (H, W, K), alpha and depth (H, W) of one camera, and counts of special cases."""
    in_front = ((means @ viewmat[:3, :3].T + viewmat[:3, 3])[:, 2] > NEAR).nonzero()[:, 0]
    mean2d, cov2d, z = project(means[in_front], covars[in_front], viewmat, K, width, height)
    inverse = torch.linalg.inv(cov2d)
    order = torch.argsort(z.detach(), stable=True)
    rows = torch.arange(height, dtype=means.dtype) + 0.5
    columns = torch.arange(width, dtype=means.dtype) + 0.5
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).reshape(-1, 2)
    T = torch.ones(len(pixels), dtype=means.dtype)
    active = torch.ones(len(pixels), dtype=torch.bool)
    color = torch.zeros(len(pixels), colors.shape[1], dtype=means.dtype)
    depth = torch.zeros(len(pixels), dtype=means.dtype)
    counts = {"clamped": 0, "ended": 0, "skipped": 0}
    for g in order.tolist():
        d = pixels - mean2d[g]
        raw = opacities[in_front[g]] * torch.exp(-0.5 * ((d @ inverse[g]) * d).sum(1))
        alpha = torch.where(raw < ALPHA_MAX, raw, torch.full_like(raw, ALPHA_MAX))
        valid = active & (raw.detach() >= ALPHA_MIN)
        left = T * (1 - alpha)
        stops = valid & (left.detach() < TRANSMITTANCE_MIN)
        takes = valid & ~stops
        weight = torch.where(takes, alpha * T, torch.zeros_like(T))
        color = color + weight[:, None] * colors[in_front[g]]
        depth = depth + weight * z[g]
        T = torch.where(takes, left, T)
        active = active & ~stops
        counts["clamped"] += int((takes & (raw >= ALPHA_MAX)).sum())
        counts["ended"] += int(stops.sum())
        counts["skipped"] += int((active & ~valid).sum())
    if background is not None:
        color = color + T[:, None] * background
    shape = height, width
    return color.reshape(*shape, -1), (1 - T).reshape(shape), depth.reshape(shape), counts
