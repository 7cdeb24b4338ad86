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

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
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
