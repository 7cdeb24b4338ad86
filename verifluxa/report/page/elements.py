"""Elements of HTML and SVG. Text is always escaped; only what `element` made is taken as it is."""

from __future__ import annotations

import html
from collections.abc import Iterable

from verifluxa.spec.problems import visible

EMPTY = frozenset({"br", "col", "img", "link", "meta"})
COPIED = frozenset({"code", "pre", "title"})
MOST_LETTERS = 4_000
"""Of one text; a file may name a model by a novel."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content = str | Iterable["Content"]


def element(kind: str, *content: Content, **attributes: str | float | None) -> Markup:
    """An element.

    Args:
        kind: the name of the element, with its classes behind dots: `p.note`.
        content: texts, which are escaped; markup; or lists of either.
        attributes: by name; an underscore at the end goes away, others become hyphens; None leaves one out.
    """
    tag, *classes = kind.split(".")
    given: dict[str, str | float | None] = {"class": " ".join(classes)} if classes else {}
    given |= {_name(key): value for key, value in attributes.items()}
    words = "".join(f' {key}="{_value(value)}"' for key, value in given.items() if value is not None)
    if tag in EMPTY:
        return Markup(f"<{tag}{words}>")
    return Markup(f"<{tag}{words}>{joined(content, is_copied=tag in COPIED)}</{tag}>")


def joined(content: Iterable[Content], is_copied: bool = False) -> Markup:
    """Contents one after the other; `is_copied`: to the letter, since people copy them from the page."""
    return Markup(
        "".join(_escaped(item, is_copied) if isinstance(item, str) else joined(item, is_copied) for item in content)
    )


def table(caption: str, head: Iterable[Content], rows: Iterable[Iterable[Content]]) -> Markup:
    """A table whose first cell of each row is its heading; it scrolls by itself where it is too wide.

    What it shows stands above it, since a caption is no wider than its table.
    """
    body = [
        element("tr", *(_cell(cell, number) for number, cell in enumerate(row)))
        for row in rows
    ]  # fmt: skip
    inside = element(
        "table",
        element("thead", element("tr", *(element("th", cell, scope="col") for cell in head))),
        element("tbody", *body),
        aria_label=caption,
    )
    return element("div", element("p.note.caption", caption), scrolling(caption, inside))


def scrolling(label: str, *content: Content) -> Markup:
    """A part that may be wider than the page, and can be reached with the keyboard."""
    return element("div.scroll", *content, tabindex="0", role="region", aria_label=label)


def worded(text: str) -> list[Content]:
    """A sentence with names between backticks, which become code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return [text]
    return [element("code", part) if number % 2 else part for number, part in enumerate(parts)]


def clipped(text: str, most: int = MOST_LETTERS) -> str:
    """A text that is not too long to show."""
    return text if len(text) <= most else text[: most - 3] + "..."


def _cell(cell: Content, number: int) -> Markup:
    if isinstance(cell, Markup) and cell.startswith(("<td", "<th")):
        return cell
    return element("td", cell) if number else element("th", cell, scope="row")


def _escaped(text: str, is_copied: bool) -> str:
    if isinstance(text, Markup):
        return text
    safe = html.escape(visible(clipped(text)))
    return safe if is_copied else safe.replace(" %", "&nbsp;%")


def _value(value: str | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else html.escape(visible(clipped(str(value), 200_000)))


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
