"""The commands as values, read off the command line: the page of commands and the manual page are made of them."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from verifluxa.cli.app import EXAMPLES, build_app


@dataclass(frozen=True)
class Parameter:
    """An argument or an option.

    Attributes:
        names: `--out`, `-o`; for an argument what stands for it.
        value: what stands for the value, empty for a flag.
        help: its sentence.
        default: as one types it, empty where there is none.
        required: whether it must be given.
        option: whether it is an option.
        repeated: whether it may be given several times.
    """

    names: tuple[str, ...]
    value: str
    help: str
    default: str
    required: bool
    option: bool
    repeated: bool


@dataclass(frozen=True)
class Command:
    """A command or a group: its words after `verifluxa`, its help in paragraphs, its parameters."""

    words: tuple[str, ...]
    paragraphs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    group: bool

    @property
    def name(self) -> str:
        """As it is typed."""
        return " ".join(("verifluxa", *self.words))

    @property
    def usage(self) -> str:
        """The line that shows what it takes."""
        if self.group:
            return f"{self.name} COMMAND ..."
        parts = [part for parameter in self.parameters if (part := _in_usage(parameter))]
        optional = any(item.option and not item.required for item in self.parameters)
        return " ".join([self.name, *(["[OPTIONS]"] if optional else []), *parts])


def commands() -> tuple[Command, ...]:
    """Every command, depth first, in the order of the command line's own help; the first is `verifluxa`."""
    return tuple(_walk((), typer.main.get_command(build_app())))


def markdown(all_commands: tuple[Command, ...]) -> str:
    """The page of commands."""
    lines = ["# Commands", "", "Made from the command line itself: `verifluxa COMMAND --help` says the same."]
    for command in all_commands:
        lines += ["", f"{'##' if len(command.words) < 2 else '###'} {command.name}", "", f"    {command.usage}", ""]
        lines += [line for text in command.paragraphs for line in (_shown(text), "")]
        lines += _table(command.parameters)
    return "\n".join(lines).rstrip() + "\n"


def _shown(paragraph: str) -> str:
    """Examples as a block of code."""
    title, *lines = paragraph.splitlines()
    return "\n".join((title, "", *(f"    {line}" for line in lines))) if title == EXAMPLES else paragraph


def _table(parameters: tuple[Parameter, ...]) -> list[str]:
    if not parameters:
        return []
    rows = ["| what | meaning | default |", "|---|---|---|"]
    for item in parameters:
        typed = ", ".join(item.names) + (f" {item.value}" if item.value else "")
        default = "required" if item.required else f"`{item.default}`" if item.default else ""
        more = " May be repeated." if item.repeated else ""
        rows.append(f"| `{_cell(typed)}` | {_cell(item.help)}{more} | {default} |")
    return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _in_usage(item: Parameter) -> str:
    if item.option:
        return f"{item.names[0]} {item.value}" if item.required else ""
    name = item.names[0] + ("..." if item.repeated else "")
    return name if item.required else f"[{name}]"


def _walk(words: tuple[str, ...], found: Any) -> Iterator[Command]:
    children = getattr(found, "commands", {})
    parameters = tuple(_parameter(item) for item in found.params if not item.hidden)
    yield Command(words, _paragraphs(found.help or ""), parameters, bool(children))
    for name, child in children.items():
        yield from _walk((*words, name), child)


def _paragraphs(text: str) -> tuple[str, ...]:
    parts = re.split(r"\n\s*\n", text.strip())
    return tuple(part.rstrip() if part.startswith(EXAMPLES) else " ".join(part.split()) for part in parts)


def _parameter(item: Any) -> Parameter:
    option = item.param_type_name == "option"
    flag = option and item.is_flag
    names = tuple(sorted(item.opts, key=len, reverse=True)) if option else (_value(item).strip("[]."),)
    shown = "" if flag or item.default in (None, "", ()) else _text(item.default)
    repeated = item.multiple or item.nargs == -1
    return Parameter(
        names, _value(item) if option and not flag else "", item.help or "", shown, item.required, option, repeated
    )


def _value(item: Any) -> str:
    kind = item.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "|".join(str(one.value) for one in kind)
    return item.metavar or {int: "N", float: "X"}.get(kind, item.name.strip("_").upper())


def _text(value: object) -> str:
    return str(value.value) if isinstance(value, enum.Enum) else str(value)
