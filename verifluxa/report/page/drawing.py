"""What all drawings share: the frame of an SVG, the colour scale, pixels as pictures inside the page."""

from __future__ import annotations

import base64
from fractions import Fraction

import numpy as np
from PIL import Image

from verifluxa.report.page.elements import Content, Markup, element
from verifluxa.report.page.style import STEPS, legend_words
from verifluxa.report.pictures import Levels, Pixels, png, shades
from verifluxa.report.words import in_words, percent
from verifluxa.result.result import PropertyResult, Share


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
