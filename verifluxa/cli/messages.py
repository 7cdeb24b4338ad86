"""Errors, warnings and usage messages on stderr, in colour where that is a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text
from typer import TyperException

from verifluxa.errors import ManyErrors, Span, VerifluxaError
from verifluxa.files import open_file
from verifluxa.spec.problems import SpecWarning, render, visible

MOST_SHOWN = 20
MOST_SOURCE_BYTES = 1_000_000
STYLES = (
    (re.compile(r"^error\[VF\d{4}\]"), "bold red"),
    (re.compile(r"^(warning\[VF\d{4}\]|usage error)"), "bold yellow"),
    (re.compile(r"^ *\| +\^+$"), "bold red"),
    (re.compile(r"^ *(-->|= (expected|help):)"), "blue"),
    (re.compile(r"^more: .*"), "dim"),
)


def show_error(error: VerifluxaError) -> None:
    """Prints an error, or several, with the lines that they are about."""
    errors = error.errors if isinstance(error, ManyErrors) else (error,)
    for item in errors[:MOST_SHOWN]:
        _print(_rendered(item))
    if len(errors) > MOST_SHOWN:
        _print(f"... and {len(errors) - MOST_SHOWN} more errors")
    codes = list(dict.fromkeys(item.code for item in errors))
    _print("more: " + ", ".join(f"verifluxa explain {code}" for code in codes[:3]))


def show_warnings(warnings: Iterable[SpecWarning]) -> None:
    """Prints remarks; they stop nothing."""
    for warning in warnings:
        _print(_rendered(warning))


def show_usage(error: TyperException) -> None:
    """Prints what is wrong with a command or option."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "verifluxa"
    _print(f"usage error: {visible(error.format_message()).replace('Value error, ', '')}\n = help: {command} --help")


def _rendered(item: VerifluxaError | SpecWarning) -> str:
    """The message, with the line that it is about where the file still has it."""
    source = _source(item.place.file) if isinstance(item.place, Span) else None
    if isinstance(item, VerifluxaError) and source is None and item.place is not None:
        return render(
            VerifluxaError(item.code, item.message, place=str(item.place), expected=item.expected, remedy=item.remedy),
            "",
        )
    return render(item, source or "")


def _source(file: str) -> str | None:
    """The text of the file that an error is about, as it is now; None when it is gone or not a file at all."""
    try:
        with open_file(file) as stream:
            return stream.read(MOST_SOURCE_BYTES).decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return None


def _print(words: str) -> None:
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
    for line in words.split("\n"):
        text = Text(line)
        for pattern, style in STYLES:
            if match := pattern.search(line):
                text.stylize(style, *match.span())
        console.print(text)
