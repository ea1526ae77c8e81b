# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Plots of the history of a morph."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..export import write_bytes
from .text import printable


def save_loss_plot(history: Sequence[Mapping[str, Any]], path: str | os.PathLike[str], title: str = "") -> Path:
    """Plot loss, accepted step and smallest det F of each window.

    Args:
        history: Records of `MorphResult.history`.
        path: PNG file.
        title: Title of the plot.
    """
    return write_bytes(path, encode_loss_plot(history, title))


def encode_loss_plot(history: Sequence[Mapping[str, Any]], title: str = "") -> bytes:
    """Return the bytes that `save_loss_plot` writes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in history if "loss" in row]
    windows = [row["window"] for row in rows]
    figure = Figure(figsize=(8.0, 5.6), dpi=110)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.11, right=0.9, top=0.94, bottom=0.09, hspace=0.06)  # a layout engine draws twice
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.3])
    lower.xaxis.get_major_locator().set_params(integer=True)
    upper.semilogy(
        windows, [max(row["loss_start"], 1e-30) for row in rows], color="#b9c3d0", lw=1.4, label="uncontrolled"
    )
    upper.semilogy(windows, [max(row["loss"], 1e-30) for row in rows], color="#1f5fa8", lw=2.0, label="controlled")
    upper.set_ylabel("loss at the window's end")
    upper.legend(frameon=False)
    upper.set_title(printable(title), loc="left", fontsize=11, parse_math=False)
    lower.plot(windows, [row["step"] for row in rows], color="#d9772f", lw=1.6)
    lower.set_ylabel("accepted step", color="#d9772f")
    lower.set_xlabel("window")
    other = lower.twinx()
    other.plot(windows, [row["det_F_min"] for row in rows], color="#3a8f5c", lw=1.6)
    other.set_ylabel("min det F", color="#3a8f5c")
    for axes in (upper, lower, other):
        axes.spines["top"].set_visible(False)
    upper.grid(alpha=0.25, which="both", lw=0.5)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
