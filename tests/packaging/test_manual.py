"""The manual page: up to date, well formed, and in the wheel; and the completion of the shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from typing import Any

import pytest

from docs.commands import commands
from docs.manual import PATH, page


def test_the_manual_page_is_that_of_the_commands() -> None:
    assert PATH.read_text(encoding="utf-8") == page(commands()), "run `python -m docs.manual`"


@pytest.mark.skipif(shutil.which("man") is None, reason="no man on this machine")
def test_man_renders_it_without_a_warning() -> None:
    asked = ["man", "--warnings=all", "-l", str(PATH)]
    environment = {**os.environ, "MANWIDTH": "300", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    shown = " ".join(done.stdout.split())
    assert [command.usage for command in commands()[1:] if command.usage not in shown] == []


def test_the_wheel_carries_it_where_man_looks(installed: Any) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/share/man/man1/verifluxa.1"))
        assert archive.read(name).decode() == PATH.read_text(encoding="utf-8")
    assert (installed.folder / "share" / "man" / "man1" / "verifluxa.1").is_file()


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("bash", {"COMP_WORDS": "verifluxa cert ch", "COMP_CWORD": "2"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "verifluxa cert ch"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "verifluxa cert ch", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_the_shell_completes_commands(shell: str, environment: dict[str, str]) -> None:
    asked = {**os.environ, "_VERIFLUXA_COMPLETE": f"complete_{shell}", **environment}
    command = [sys.executable, "-c", "from verifluxa.cli.main import entry; entry()"]
    done = subprocess.run(command, env=asked, capture_output=True, text=True, check=False)
    assert "check" in done.stdout, done.stderr
    assert "show" not in done.stdout
