"""The certified interval of a rate: what was found, what is proved, what is allowed."""

from __future__ import annotations

from fractions import Fraction

from verifluxa.report.page.drawing import svg
from verifluxa.report.page.elements import Markup, element
from verifluxa.report.words import in_words, percent
from verifluxa.result.result import PropertyResult, Share

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
