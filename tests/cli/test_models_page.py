"""The commands of `docs/how-to/models.md` do what the page says."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.conformance.cases import ROOT

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "models.md"
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S) for line in block.splitlines()
]


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) == 6


@pytest.fixture
def files(here):
    for name in ("model.jld2", "state.jld2", "architecture.txt"):
        shutil.copy(ROOT / "layers" / "cnn_small" / name, here / name)
    shutil.copy(ROOT / "layers" / "cnn_small" / "expect.npz", here / "recorded.npz")


def test_the_commands_of_the_page_run(verifluxa, files) -> None:
    pytest.importorskip("onnx", reason="no onnx")
    for line in COMMANDS:
        program, *arguments = shlex.split(line)
        assert program == "verifluxa"
        assert verifluxa(*arguments).code == 0, line
