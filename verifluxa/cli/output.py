"""Printing: the machine format on stdout, words for people on stdout or, beside a machine format, on stderr."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from verifluxa.cli.formats import rendered
from verifluxa.cli.options import Format
from verifluxa.report.summary import SHADES, Line, Screen, summary
from verifluxa.result.result import Result
from verifluxa.spec.problems import visible

NARROWEST = 40
WIDEST = 100


def present(result: Result, chosen: Format, out: Path | None) -> None:
    """Prints a result."""
    machine = chosen is not Format.TEXT
    stream = sys.stderr if machine else sys.stdout
    print_lines(summary(result, out, screen_of(stream)), stream)
    if machine:
        emit(rendered(result, chosen))


def screen_of(stream: TextIO) -> Screen:
    """What a stream shows: the terminal's width up to a readable one, 80 columns where it is none."""
    width = shutil.get_terminal_size().columns if stream.isatty() else Screen().width
    return Screen(width=min(max(width, NARROWEST), WIDEST), has_blocks=_shows(SHADES, stream))


def _shows(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def print_lines(lines: Iterable[Line], stream: TextIO) -> None:
    """Prints styled lines; plain ones where the stream is no terminal or NO_COLOR is set."""
    console = Console(file=stream, highlight=False, soft_wrap=True, markup=False, emoji=False)
    for line in lines:
        console.print(Text(visible(line.words), style=line.style))
    stream.flush()


def print_words(lines: Iterable[str]) -> None:
    """Prints plain lines on stdout; what could act on a terminal is spelt out."""
    print_lines((Line(words) for words in lines), sys.stdout)


def emit(text: str) -> None:
    """Writes text to stdout as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()
