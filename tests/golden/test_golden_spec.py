"""What people see for each mistake in a spec: `tests/golden/spec/CODE_name.vfx` and the rendered text beside it.

`UPDATE_GOLDENS=1 pytest tests/golden/test_golden_spec.py` writes the texts again; read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from verifluxa.errors import VerifluxaError
from verifluxa.spec.check import load_spec
from verifluxa.spec.problems import render

GOLDENS = sorted((Path(__file__).parent / "spec").glob("*.vfx"))
SETTING = re.compile(r"^# --set (\w+)=(\S+)$", re.M)
CODE = re.compile(r"(?:error|warning)\[(VF\d{4})\]")


def shown(path: Path) -> str:
    """The rendered errors, or warnings; the file goes by its own name in them."""
    source = path.read_bytes().decode("utf-8", errors="replace")
    try:
        checked = load_spec(path.name, dict(SETTING.findall(source)))
    except VerifluxaError as error:
        return render(error, source)
    return "\n\n".join(render(warning, source) for warning in checked.warnings)


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_message(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    found = shown(path) + "\n"
    expected = path.with_suffix(".txt")
    if os.environ.get("UPDATE_GOLDENS"):
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")
    if path.stem.startswith("VF"):
        assert set(CODE.findall(found)) == {path.stem[:6]}


def test_each_code_of_a_spec_has_a_golden() -> None:
    pages = {page.stem for page in Path(load_spec.__code__.co_filename).parent.parent.glob("explain/VF1*.md")}
    with_file = {path.stem[:6] for path in GOLDENS}
    assert pages - with_file == {"VF1001", "VF1002"}
