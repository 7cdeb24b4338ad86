"""The summary in the terminal: one screen that says what was proved or found, in words, and what to do next."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.report.advice import RESUMABLE, advice, duration, longer
from verifluxa.report.pictures import is_picture
from verifluxa.report.words import CLAIM, effect, goes, in_words, percent, place_words
from verifluxa.result.result import Counterexample, DataUsed, PropertyResult, Result
from verifluxa.verdict import Verdict

# A trigger drawn with block characters, for terminals.

SHADES = "·░▒▓█"
PLAIN = ".-+*#"
"""For terminals without block characters."""
MOST_COLUMNS = 32
MOST_NUMBERS = 10


def blocks(
    trigger: NDArray[np.float64], corner: tuple[int, int], levels: tuple[float, float], ramp: str = SHADES
) -> list[str]:
    """Lines that show a trigger: shades with the numbers of rows and columns, and the levels beside them.

    Args:
        trigger: levels, shape (channels, height, width).
        corner: row and column of its first pixel.
        levels: the levels that are shown as dots and as full blocks.
        ramp: characters from the one to the other.
    """
    _, height, width = trigger.shape
    if width > MOST_COLUMNS or height > MOST_COLUMNS:
        return [f"({height} x {width} pixels; see the pictures)"]
    label = max(len(str(corner[0] + height - 1)), 2)
    cell = max(len(str(corner[1] + width - 1)), 2)
    numbers = _shown_numbers(trigger) if width <= MOST_NUMBERS else [""] * height
    head = " ".join(str(corner[1] + column).rjust(cell) for column in range(width))
    lines = [" " * label + "  " + head]
    for row in range(height):
        shades = " ".join(_shade(float(level), levels, ramp) * cell for level in trigger[:, row].mean(axis=0))
        lines.append(f"{str(corner[0] + row).rjust(label)}  {shades}   {numbers[row]}".rstrip())
    return lines


def _shade(level: float, levels: tuple[float, float], ramp: str) -> str:
    if levels[1] <= levels[0]:
        return ramp[-1]
    share = (level - levels[0]) / (levels[1] - levels[0])
    return ramp[min(len(ramp) - 1, max(0, round(share * (len(ramp) - 1))))]


def _shown_numbers(trigger: NDArray[np.float64]) -> list[str]:
    """The levels of each row; those of several channels joined by commas."""
    words = [[_pixel(trigger[:, row, column]) for column in range(trigger.shape[2])] for row in range(trigger.shape[1])]
    widest = max(len(word) for row in words for word in row)
    return [" ".join(word.rjust(widest) for word in row) for row in words]


def _pixel(levels: Sequence[float] | NDArray[np.float64]) -> str:
    return ",".join(f"{level:.4g}" for level in levels)


# The summary

STYLES = {Verdict.CERTIFIED: "bold green", Verdict.FALSIFIED: "bold red", Verdict.UNKNOWN: "bold yellow"}
IMPORTANCE = (Verdict.FALSIFIED, Verdict.UNKNOWN, Verdict.CERTIFIED)
STATEMENT_LINES = (6, 4, 3, 2, 1)
"""How many lines a statement gets, tried in this order until everything fits."""
MOST_BLOCKS = 10
MOST_VALUES = 16
NOTED = 0.2
"""A share of the time from which on it is said what it went into."""
JOINED = "\N{NO-BREAK SPACE}"
"""Keeps a number and its sign on one line while lines are broken."""


class Line(NamedTuple):
    """One line of the summary and how it looks (a rich style, or empty)."""

    words: str = ""
    style: str = ""


class Screen(NamedTuple):
    """What the summary has to fit into.

    Attributes:
        width, rows: of the terminal, without the row of the next prompt.
        has_blocks: whether it shows block characters.
    """

    width: int = 80
    rows: int = 23
    has_blocks: bool = True


def summary(result: Result, out: Path | None = None, screen: Screen | None = None) -> list[Line]:
    """The lines of the summary.

    Args:
        result: what a run says.
        out: the folder that the result was written to, if any.
        screen: what it has to fit into.
    """
    screen = screen or Screen()
    head = [Line(f"{result.verdict.upper()}  {result.spec.path}", STYLES[result.verdict]), Line()]
    files = [line for words in _files(result) for line in _wrapped(words, screen, "")]
    following = [Line(words) for words in _next(result, out)]
    around = [*head, Line(), *files, *following]
    body = _body(result, screen, screen.rows - _height(around, screen))
    return [*head, *body, Line(), *files, *following]


def _height(lines: Iterable[Line], screen: Screen) -> int:
    """Rows of the terminal that lines take; a long path runs on in the next one."""
    return sum(max(1, math.ceil(len(line.words) / screen.width)) for line in lines)


def _body(result: Result, screen: Screen, rows: int) -> list[Line]:
    """All properties as fully as fits: first a line each, then the most important ones in full."""
    items = result.properties
    shown: dict[int, list[Line]] = {number: _short(item, screen) for number, item in enumerate(items)}
    left = rows - sum(_height(lines, screen) for lines in shown.values())
    if left < 0:
        return _cut(items, screen, rows)
    for number in sorted(shown, key=lambda at: IMPORTANCE.index(items[at].verdict)):
        for count in STATEMENT_LINES:
            full = list(_full(items[number], result.strategy[0], screen, count))
            more = _height(full, screen) - _height(shown[number], screen)
            if more <= left or (len(items) == 1 and count == STATEMENT_LINES[-1]):
                shown[number], left = full, left - more
                break
    return [line for number in sorted(shown) for line in shown[number]]


def _cut(items: Sequence[PropertyResult], screen: Screen, rows: int) -> list[Line]:
    """The most important properties, a line each, and how many more there are."""
    order = sorted(items, key=lambda item: IMPORTANCE.index(item.verdict))
    most = max(1, rows - 1)
    tally = Counter(item.verdict for item in order[most:])
    words = ", ".join(f"{tally[verdict]} {verdict}" for verdict in IMPORTANCE if tally[verdict])
    return [*(_short(item, screen)[0] for item in order[:most]), Line(f"... and {len(order) - most} more: {words}")]


def _short(item: PropertyResult, screen: Screen) -> list[Line]:
    figures = ""
    if item.found is not None and item.proved is not None:
        figures = f", rate {percent(item.found)} .. {percent(item.proved)}"
    elif item.per_input:
        safe = sum(verdict is Verdict.CERTIFIED for _, verdict in item.per_input)
        figures = f", {safe:,} of {len(item.per_input):,} inputs proved safe"
    words = f"{_name(item)}{figures}"
    return [Line(textwrap.shorten(words, screen.width, placeholder=" ..."), STYLES[item.verdict])]


def _name(item: PropertyResult) -> str:
    return f"{item.name}: {item.verdict}" + (f" ({item.reason})" if item.reason else "")


def _full(item: PropertyResult, strategy: str, screen: Screen, statement: int) -> Iterator[Line]:
    yield Line(_name(item), STYLES[item.verdict])
    claim = list(_wrapped(f"{CLAIM[item.kind][item.verdict]}: {item.words}", screen))
    yield from claim[:statement]
    if len(claim) > statement:
        yield Line("    ...")
    if item.message is not None:
        yield from _wrapped(item.message, screen)
    shown = item.counterexample or item.strongest
    if shown is not None:
        yield from _trigger(item, shown, screen)
    for words in (*_numbers(item, shown), *advice(item, strategy), time_words(item)):
        yield from _wrapped(words, screen)


def _trigger(item: PropertyResult, found: Counterexample, screen: Screen) -> Iterator[Line]:
    does = effect(found.rate, found.inputs, goes(item.classes, found.target, item.condition), "")
    for line in _wrapped(f"trigger at {place_words(found)}: {does}", screen):
        yield Line(line.words, "bold")
    yield from (Line(f"    {words}") for words in drawn(item, found, screen))
    orders = "in every order of evaluation" if found.holds_in == "every order" else "in this replay only"
    yield from _wrapped(f"replayed: margin {found.margin:.4g}; it violates {orders}", screen)


def drawn(item: PropertyResult, found: Counterexample, screen: Screen) -> list[str]:
    """The trigger in words, in block characters where it is a patch of pixels, else its values."""
    if found.words:
        return textwrap.wrap(", ".join(found.words), screen.width - 4)
    levels = np.asarray(found.trigger, dtype=np.float64)
    place = dict(found.placement)
    if item.problem is None or levels.ndim < 2 or not {"row", "column"} <= set(place):
        more = f" ... ({levels.size:,} values)" if levels.size > MOST_VALUES else ""
        words = " ".join(f"{level:.6g}" for level in levels.reshape(-1)[:MOST_VALUES]) + more
        return textwrap.wrap(words, screen.width - 4)
    image = levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1)
    domain = item.problem.domain_of(found.placement_index)
    ends = (float(domain.lower.min()), float(domain.upper.max()))
    lines = blocks(image, (place["row"], place["column"]), ends, SHADES if screen.has_blocks else PLAIN)
    fits = len(lines) <= MOST_BLOCKS and max(map(len, lines)) <= screen.width - 4
    return lines if fits else [f"({image.shape[1]} x {image.shape[2]} pixels; see the pictures or the report)"]


def _numbers(item: PropertyResult, shown: Counterexample | None) -> Iterator[str]:
    yield _questions(item)
    if item.gap is not None and item.found is not None and item.proved is not None:
        if item.found == item.proved:
            yield f"the largest rate is exactly {in_words(item.found)}: found, and proved to be the worst"
        else:
            yield f"the largest rate lies in {percent(item.found)} .. {percent(item.proved)} (found .. proved)"
        share = None if item.strongest is None else item.strongest.rate
        if share is not None and share.rate > item.found.rate:
            yield f"this replay alone shows {in_words(share)}"
    elif item.found is not None and item.proved is not None:
        if shown is None or shown.rate != item.found:
            yield f"strongest trigger found: {in_words(item.found)}"
        if item.proved.count < item.proved.total:
            yield f"no trigger does more than: {in_words(item.proved)}"
    if item.compared is not None:
        other = item.compared
        yield f"that of {other.model} lies in {percent(other.found)} .. {percent(other.proved)} (found .. proved)"
    if item.per_input:
        tally = Counter(verdict for _, verdict in item.per_input)
        parts = [f"{tally[verdict]:,} {verdict}" for verdict in Verdict if tally[verdict]]
        yield f"of {len(item.per_input):,} inputs: {', '.join(parts)}"
    if item.population is not None:
        yield population_words(*item.population, "flipped" if item.condition is None else "made to violate")


def _questions(item: PropertyResult) -> str:
    counts = item.counts
    words = f"{counts.certified:,} of {counts.total:,} questions certified"
    if counts.falsified:
        words += f", {counts.falsified:,} falsified"
    return words + (f"; {counts.skipped:,} then not asked" if counts.skipped else "")


def time_words(item: PropertyResult) -> str:
    """`12.6 s (attack 11.6 s, 2 decided)`."""
    parts = [f"{stage} {seconds:.1f} s{_closed(item, stage)}" for stage, seconds in item.stages.items()]
    rest = item.seconds - sum(item.stages.values())
    if rest > NOTED * item.seconds and item.counts.unknown:
        parts.append(f"questions that were not finished {rest:.1f} s")
    stages = "; ".join(parts)
    return f"{item.seconds:.1f} s" + (f" ({stages})" if stages else "")


def _closed(item: PropertyResult, stage: str) -> str:
    """How many questions a stage decided, where it decided any."""
    return f", {item.closed[stage]:,} decided" if item.closed.get(stage) else ""


def population_words(bound: str, confidence: str, done: str) -> str:
    """What follows for inputs that were not in the data; rounded up, and never without its assumptions."""
    share = math.ceil(Fraction(bound) * 1000) / 10
    return (
        f"at most {share:g} % of the population can be {done} ({float(100 * Fraction(confidence)):g} % confidence), "
        "if the inputs were drawn independently, and used neither for training nor for choosing the model"
    )


def _wrapped(words: str, screen: Screen, indent: str = "  ") -> Iterator[Line]:
    lines = textwrap.wrap(
        words.replace(" %", f"{JOINED}%"),
        screen.width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    yield from (Line(line.replace(JOINED, " ")) for line in lines)


def _files(result: Result) -> Iterable[str]:
    for model in result.models:
        yield f"model {model.file.name}: {model.file.path} ({model.file.sha256[:19]}...)"
    for data in result.data:
        yield f"data {data.file.name}: {data.file.path}, {counted_words(data)}"
    params = ", ".join(f"{name} = {value}" for name, value in result.params)
    yield f"strategy {result.strategy[0]}, arithmetic {result.arithmetic}" + (f", {params}" if params else "")


def counted_words(data: DataUsed) -> str:
    """`94 inputs count, 6 do not (not correct)`."""
    reasons = Counter(reason for _, reason in data.excluded).most_common()
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons) if len(reasons) > 1 else ""
    more = f", {len(data.excluded):,} do not ({why or reasons[0][0]})" if reasons else ""
    return f"{data.counted:,} inputs count{more}"


def _next(result: Result, out: Path | None) -> Iterator[str]:
    if out is None:
        yield "next: run it with --out DIR to keep the result and get a page to send"
        return
    drawn = any(has_pictures(item) for item in result.properties)
    yield f"written: {out / 'result.json'}" + (f", pictures in {out / 'pictures'}" if drawn else "")
    commands = [*_first(result, out), f"verifluxa report {quote(str(out / 'result.json'))}"]
    for number, command in enumerate(commands):
        yield ("      " if number else "next: ") + command


def has_pictures(item: PropertyResult) -> bool:
    """Whether a run draws the counterexample of a property: a patch in a picture."""
    found = item.counterexample
    return found is not None and item.problem is not None and is_picture(item.problem, found.placement)


def _first(result: Result, out: Path) -> Iterator[str]:
    """What a verdict asks for first: replay, recheck, or go on."""
    if result.verdict is Verdict.FALSIFIED:
        yield f"verifluxa replay {quote(str(out / 'result.json'))}"
    elif result.verdict is Verdict.CERTIFIED:
        yield f"verifluxa cert check {quote(str(out / 'certificate.json'))}"
    elif any(reason in RESUMABLE for item in result.properties for _, reason in item.unknown):
        more = sum(longer(item) or 0.0 for item in result.properties)
        yield f"verifluxa resume {quote(str(out))}" + (f" --budget {duration(more)}" if more else "")
