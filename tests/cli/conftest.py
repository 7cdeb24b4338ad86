"""Runs commands in this process, in a folder of the test's own with the digit example beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VERIFLUXA_DEBUG", raising=False)
    return tmp_path


@pytest.fixture
def verifluxa(here, capsys) -> Callable[..., Ran]:
    """Runs a command as the command line does, without a new process."""
    from verifluxa.cli.main import run

    def call(*arguments: str, build: Callable[[], Callable[..., object]] | None = None) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments], build)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def digits(here) -> Path:
    """The digit example in the current folder: small links to its files."""
    folder = here / "digits"
    folder.mkdir()
    for file in DIGITS.iterdir():
        (folder / file.name).symlink_to(file)
    return Path("digits")


SMALL = """spec 1

input digit : image(28 px, 28 px, 1 ch) of 0..255 level

model digits : digit -> class(10) {
  file         = "clean.jld2"
  architecture = "architecture.txt"
  layout       = whcn
  encode       = level / 255
}

data eval : digit {
  file = "mnist_eval.npz"
  take = 12
}

trigger patch : digit {
  replace 3 px x 3 px
  at (24, 24), (0, 0)
  with 0..255 level
}

param max_rate : fraction = 50 %

property universal {
  forall t in patch, target in {5, 7}
  let victims = eval where correct(digits, x) and label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= max_rate
}

property each {
  let clean = eval where correct(digits, x)
  forall x in clean, t in patch at (0, 0)
  assert class(digits(t(x))) == label(x)
}
"""


@pytest.fixture
def small(digits) -> Path:
    """A spec with two properties that take a moment: 2 places x 2 targets, and 12 inputs at one place."""
    path = digits / "small.vfx"
    path.write_text(SMALL)
    return path
