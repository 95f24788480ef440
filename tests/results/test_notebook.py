"""The notebook of docs/ is executed as a reader would, in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs/notebook.ipynb"


def _cells() -> list[Any]:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return list(notebook.cells)


def test_the_notebook_is_committed_without_outputs_and_paths() -> None:
    for cell in _cells():
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert not re.search(r"/(tmp|home|root|work|Users)/|\\\\Users", NOTEBOOK.read_text())


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output.data for output in outputs if "data" in output]
    html = "".join(data.get("text/html", "") for data in shown)
    assert "ViT-B" in html
    assert "supervised" not in re.sub(r"<details>.*?</details>", "", html)  # but for the notes
    assert any("image/svg+xml" in data for data in shown)
    assert any(data.get("text/plain") == "0" for data in shown), "it trained again"
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "epoch 2/2" in printed
    assert "\x1b" not in printed, "a log has no escape sequences"
    assert (tmp_path / "runs/records").is_dir()
    assert not (tmp_path / "reports").exists()
