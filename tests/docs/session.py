"""A reader's terminal: runs the commands of a page in one folder, `verifluxa` itself without a new process."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.blocks import ROOT, Step
from verifluxa.cli.main import run

SHELF = ("examples", "specs", "solvers", "cluster")
SHELL = re.compile(r"[|&;<>$`*?(){}\n]")
SHIM = f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m verifluxa "$@"\n'


@dataclass
class Finished:
    """What earlier commands printed and wrote, so that a long one runs once for all pages."""

    folder: Path
    known: dict[tuple[str, ...], tuple[int, str, Path]] = field(default_factory=dict)


@dataclass
class Session:
    """One folder, and what the last command said.

    Attributes:
        folder: the current one; it holds the examples and shelves of the repository.
        finished: shared by all pages.
        bin: holds the command `verifluxa` for the shell.
        code: exit code of the last command.
        names: of the Python examples of the page.
    """

    folder: Path
    finished: Finished
    bin: Path = Path()
    code: int = 0
    names: dict[str, object] = field(default_factory=dict)

    def prepare(self) -> None:
        """Puts the files in place that a checkout has."""
        for name in SHELF:
            shutil.copytree(ROOT / name, self.folder / name)
        self.bin = self.folder.parent / "bin"
        self.bin.mkdir()
        shim = self.bin / "verifluxa"
        shim.write_text(SHIM)
        shim.chmod(0o755)

    def execute(self, step: Step) -> str:
        """Runs one command; what it prints, on either stream."""
        if step.command == "echo $?":
            code, self.code = self.code, 0
            return f"{code}\n"
        if step.command.startswith("cd "):
            self.folder = (self.folder / step.command[3:]).resolve()
            os.chdir(self.folder)
            return ""
        words = [] if SHELL.search(step.command) else shlex.split(step.command, comments=True)
        if words[:1] == ["verifluxa"]:
            self.code, printed = self._command(words[1:])
            return printed
        environment = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "ROOT": str(ROOT)}
        done = subprocess.run(
            ["bash", "-c", step.command],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.code = done.returncode
        return done.stdout

    def python(self, text: str) -> None:
        """Runs a Python example with its prompts and compares what it prints."""
        example = doctest.DocTestParser().get_doctest(text, self.names, "example", None, 0)
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
        runner.run(example, out=report.write, clear_globs=False)
        self.names = example.globs
        assert runner.failures == 0, report.getvalue()

    def _command(self, arguments: list[str]) -> tuple[int, str]:
        """Runs a command; a run of `verify` into a folder is remembered, and its folder copied the next time."""
        if arguments[:1] != ["verify"] or "--out" not in arguments:
            return _run(arguments)
        out = arguments[arguments.index("--out") + 1]
        key = (arguments[1] if Path(arguments[1]).parts[0] == "examples" else str(self.folder), *arguments)
        if key not in self.finished.known:
            kept = self.finished.folder / str(len(self.finished.known))
            code, printed = _run(arguments)
            shutil.copytree(self.folder / out, kept)
            self.finished.known[key] = (code, printed, kept)
            return code, printed
        code, printed, kept = self.finished.known[key]
        shutil.copytree(kept, self.folder / out)
        return code, printed


def _run(arguments: list[str]) -> tuple[int, str]:
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        code = run(arguments)
    return code, stream.getvalue()
