"""The notebook of the digits runs from its folder, cell by cell, without Jupyter."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "digits" / "tour.ipynb"


def test_the_cells_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(NOTEBOOK.parent)
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells), "a notebook is committed without outputs"
    script = tmp_path / "tour.py"
    script.write_text("\n".join("".join(cell["source"]) for cell in cells), encoding="utf-8")
    names = runpy.run_path(str(script))
    assert (str(names["clean"].verdict), str(names["suspect"].verdict)) == ("certified", "falsified")
    assert "go to class 7" in capsys.readouterr().out
