# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""Sphinx directive {notebook}, which shows an executed notebook without running it.

To execute the notebook again: pip install nbclient ipykernel, and in the folder examples

    jupyter execute --inplace --NotebookClient.coalesce_streams=True --NotebookClient.record_timing=False morph.ipynb
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class Notebook(SphinxDirective):
    """Include the cells and stored outputs of a notebook."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = self.env.relfn2path(self.arguments[0])[1]
        self.env.note_dependency(path)
        parts = []
        for cell in json.loads(Path(path).read_text("utf-8"))["cells"]:
            source = "".join(cell["source"])
            parts.append(source if cell["cell_type"] == "markdown" else f"````python\n{source}\n````")
            parts += [f"````{{raw}} html\n{_shown(output)}\n````" for output in cell.get("outputs", ())]
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


def _shown(output: dict[str, Any]) -> str:
    """Return an output as HTML."""
    data = {kind: "".join(content) for kind, content in output.get("data", {}).items()}
    if "image/png" in data:
        shown = f'<img alt="Output of the cell" src="data:image/png;base64,{data["image/png"].strip()}">'
    elif "text/html" in data:
        shown = data["text/html"]
    else:
        shown = f"<pre>{html.escape(data.get('text/plain') or ''.join(output['text']))}</pre>"
    return f'<div class="cell-output">{shown}</div>'


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("notebook", Notebook)
    return {"parallel_read_safe": True}
