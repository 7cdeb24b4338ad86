"""The code blocks of the documents, with what stands before them.

A block runs unless `<!-- not run: REASON -->` stands before it. `<!-- first: COMMAND -->` runs something that the page
does not show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(
        path
        for shelf in ("specs", "solvers", "cluster", "examples", "editors")
        for path in (ROOT / shelf).rglob("*.md")
    ),
)
SECONDS = re.compile(r"\d+\\\.\d+\\ s\b")
RECIPES = ("python", "text")
"""Kinds of the blocks that `test_recipes` puts into a copy of the package."""
NOTE = re.compile(r"<!-- (not run|first): (.*?) -->", re.S)


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: relative to the repository.
        line: its first line, counted from 1.
        kind: the word after the fence; empty where there is none.
        text: what stands in it.
        reason: why it does not run, or None.
        first: commands that run before it.
    """

    page: str
    line: int
    kind: str
    text: str
    reason: str | None
    first: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One command of a console block, and the lines that it prints."""

    command: str
    printed: str


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    page = path.relative_to(ROOT).as_posix()
    notes: list[tuple[str, str]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")):
        if token.type == "html_block":
            notes = NOTE.findall(token.content)
        elif token.type in ("fence", "code_block"):
            reasons = [text for kind, text in notes if kind == "not run"]
            first = tuple(text for kind, text in notes if kind == "first")
            line = (token.map or [0])[0] + 1
            yield Block(page, line, token.info.strip(), token.content, next(iter(reasons), None), first)
            notes = []
        elif token.content:
            notes = []


def steps(text: str) -> list[Step]:
    """The commands of a console block: `$ ` begins one, `> ` goes on with it, all else is printed."""
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], ""])
        elif re.match(r">( |$)", line) and not found[-1][1]:
            found[-1][0] += "\n" + line[2:]
        else:
            found[-1][1] += line + "\n"
    return [Step(*item) for item in found]


def pattern(printed: str) -> re.Pattern[str]:
    """What must have been printed.

    `...` on a line of its own stands for any lines, within a line for any characters; times (`1.2 s`) may differ.
    """
    lines = ["(?:.*\\n)*?" if line == "..." else _line(line) + "\\n" for line in printed.rstrip("\n").splitlines()]
    return re.compile("".join(lines) or "\\n?")


def _line(line: str) -> str:
    text = ".*?".join(re.escape(part) for part in line.rstrip().split("..."))
    return SECONDS.sub(r"\\d+\\.\\d+\\ s\\b", text)
