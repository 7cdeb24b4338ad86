"""The manual page `verifluxa.1`, made from the command line itself: `python -m docs.manual` writes it.

It is kept in the repository, since the wheel carries it and is built without the package's dependencies.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from docs.commands import Command, Parameter, commands
from verifluxa import __version__
from verifluxa.cli.app import EXAMPLES

PATH = Path(__file__).with_name("verifluxa.1")
EXIT_CODES = (
    ("0", "certified, permitted, accepted, or done"),
    ("1", "falsified, denied, rejected, or not the same"),
    ("2", "wrong use: an option, a strategy, a name"),
    ("3", "unknown, not rechecked, or a search that did not finish"),
    ("4", "bad input: a file that is missing, unreadable or malformed"),
    ("5", "internal error, to be reported"),
    ("75", "another process kept the ledger locked: try again"),
)


def page(all_commands: tuple[Command, ...]) -> str:
    """The manual page in the macros of man(7)."""
    root, *others = all_commands
    lines = [
        f'.TH VERIFLUXA 1 "" "verifluxa {__version__}" "User Commands"',
        ".SH NAME",
        "verifluxa \\- prove that a Flux.jl model carries no backdoor, or show the trigger",
        ".SH SYNOPSIS",
        ".B verifluxa",
        "COMMAND [OPTIONS]",
        ".SH DESCRIPTION",
        *_paragraphs(root),
        *(line for item in root.parameters for line in _parameter(item)),
        ".SH COMMANDS",
        *(line for command in others for line in _command(command)),
        ".SH EXIT STATUS",
        *(line for code, meaning in EXIT_CODES for line in (".TP", f".B {code}", _text(meaning))),
        ".SH ENVIRONMENT",
        *(".TP", ".B VERIFLUXA_DEBUG", "With 1, an internal error shows its traceback."),
        *(".TP", ".B VERIFLUXA_LOG", "A level, as --log-level: debug, info, warning or error."),
        *(".TP", ".B NO_COLOR", "When set, nothing is coloured."),
        ".SH SEE ALSO",
        _text("`verifluxa explain CODE` for every error; the documents in the source distribution."),
    ]
    return "\n".join(lines) + "\n"


def _command(command: Command) -> Iterator[str]:
    yield f'.SS "{_text(command.usage)}"'
    yield from _paragraphs(command)
    for item in command.parameters:
        yield from _parameter(item)


def _paragraphs(command: Command) -> Iterator[str]:
    for paragraph in command.paragraphs:
        if paragraph.startswith(EXAMPLES):
            title, *examples = paragraph.splitlines()
            yield from (title, ".PP", ".nf", *(f"    {_text(line)}" for line in examples), ".fi", ".PP")
        else:
            yield from (_text(paragraph), ".PP")


def _parameter(item: Parameter) -> Iterator[str]:
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in item.names)
    value = f" \\fI{_text(item.value)}\\fR" if item.value else ""
    default = f" Default: {_text(item.default)}." if item.default else ""
    required = " Must be given." if item.required and item.option else ""
    yield from (".TP", names + value, _text(item.help) + default + required)


def _text(text: str) -> str:
    """Escaped for roff: a backslash, a hyphen that is meant as one, and a dot or quote that begins a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return "\\&" + escaped if escaped[:1] in (".", "'") else escaped


if __name__ == "__main__":
    PATH.write_text(page(commands()), encoding="utf-8")
