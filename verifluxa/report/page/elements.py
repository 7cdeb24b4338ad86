"""Elements of HTML and SVG. Text is always escaped; only what `element` made is taken as it is."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from PIL import Image

from verifluxa.report.page.style import STEPS, legend_words
from verifluxa.report.pictures import Levels, Pixels, png, shades
from verifluxa.report.words import in_words, percent
from verifluxa.result.result import PropertyResult, Share
from verifluxa.spec.problems import visible

EMPTY = frozenset({"br", "col", "img", "link", "meta"})
COPIED = frozenset({"code", "pre", "title"})
MOST_LETTERS = 4_000
MOST_RANGES = 300
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


def ranges(numbers: Iterable[int]) -> str:
    """Numbers in short: `1, 3-5, 9`.

    >>> ranges([5, 3, 4, 9, 1])
    '1, 3-5, 9'
    """
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    words = [str(low) if low == high else f"{low}-{high}" for low, high in found[:MOST_RANGES]]
    return ", ".join(words) + (", ..." if len(found) > MOST_RANGES else "")


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


def svg(size: tuple[float, float], label: str, *content: Content, shown: tuple[float, float] | None = None) -> Markup:
    """A drawing.

    Args:
        size: width and height in its own units.
        label: what it shows, for those who do not see it.
        content: elements.
        shown: width and height in pixels, where those are others; it shrinks where there is less room.
    """
    width, height = shown or size
    return element(
        "svg",
        *content,
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
        aria_label=label,
    )


def text(words: str, x: float, y: float, anchor: str = "middle", look: str = "") -> Markup:
    """A text in a drawing."""
    return element("text", words, x=f"{x:g}", y=f"{y:g}", text_anchor=anchor, class_=look or None)


def legend() -> Markup:
    """The colour scale."""
    swatches = [
        element(
            "li",
            element(
                "svg",
                element("rect", width="14", height="14", class_=f"h{step}"),
                width="14",
                height="14",
                aria_hidden="true",
            ),
            words,
        )
        for step, words in zip(range(len(STEPS)), legend_words(), strict=True)
    ]
    return element("ul.legend", *swatches, aria_label="Colour scale: share of the inputs")


def picture(pixels: Pixels, levels: Levels) -> str:
    """The address of a picture that is the page's own: PNG in base64, one pixel for each pixel."""
    data = png(Image.fromarray(np.ascontiguousarray(shades(pixels, levels))))
    return "data:image/png;base64," + base64.b64encode(data).decode()


# The certified interval of a rate: what was found, what is proved, what is allowed.

WIDTH, HEIGHT, TOP = 640, 34, 9


def interval(item: PropertyResult) -> list[Markup]:
    """The interval of a property, and of the model that it is compared with; nothing where it is not a rate."""
    if item.found is None or item.proved is None:
        return []
    bars = [bar(item.found, item.proved, item.limit)]
    if item.compared is not None:
        other = item.compared
        bars += [element("p", f"The other model, {other.model}:"), bar(other.found, other.proved, None)]
    return bars


def bar(found: Share, proved: Share, limit: Fraction | None) -> Markup:
    """One interval on the axis from 0 to 100 %."""
    low, high = _x(found.rate), _x(proved.rate)
    look = "risk" if limit is not None and found.rate > limit else "within"
    parts = [
        element("rect.open", x="0", y=str(TOP), width=str(WIDTH), height="16"),
        element(f"rect.{look}", x="0", y=str(TOP), width=f"{low:.5g}", height="16"),
        element("rect.undecided", x=f"{low:.5g}", y=str(TOP), width=f"{max(high - low, 0.0):.5g}", height="16"),
    ]
    if limit is not None:
        at = f"{_x(limit):.5g}"
        parts.append(element("line.rule", x1=at, x2=at, y1="0", y2=str(HEIGHT)))
    words = interval_words(found, proved, limit)
    ends = element("div.ends", element("span", "0 %"), element("span", "100 %"), aria_hidden="true")
    return element("figure", svg((WIDTH, HEIGHT), words, *parts), ends, element("figcaption", words))


def interval_words(found: Share, proved: Share, limit: Fraction | None) -> str:
    """`Found: 30 of 88 (34.1 %). Proved: no more than 44 of 88 (50.0 %). Allowed: 50 %.`."""
    allowed = "" if limit is None else f" The line: {float(100 * limit):g} %, as the property says."
    if found.count == found.total:
        return f"Found: {in_words(found)}, which is all.{allowed}"
    if found.rate == proved.rate:
        return f"Exactly {in_words(found)}: found, and proved to be the worst.{allowed}"
    excluded = f"no more than {in_words(proved)}" if proved.count < proved.total else "nothing below 100 % is excluded"
    return f"Found: {in_words(found)}. Proved: {excluded}.{allowed}"


def short(item: PropertyResult) -> str:
    """The interval in a cell of a table: `[34.1 %, 50.0 %]`."""
    if item.found is None or item.proved is None:
        return ""
    return f"[{percent(item.found)}, {percent(item.proved)}]"


def _x(rate: Fraction) -> float:
    return float(rate) * WIDTH
