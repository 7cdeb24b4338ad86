"""The spec of what to verify next: the class that ranks first, at any place, and where the trigger was found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from verifluxa.spec.format import format_spec
from verifluxa.triage.scan.classes import ClassRow
from verifluxa.triage.scan.inversion import MASK, Inverted
from verifluxa.triage.scan.subject import TRIGGER, Loaded, Subject, declared, rate_of, victims_of

LEAST_LIMIT, MOST_LIMIT = 5, 80
"""Of the rate in the spec, in percent."""
COVERED, MOST_PIXELS = 0.5, 32
"""Pixels that count have this share of the mask's largest value; more than so many make no family to prove."""


def next_spec(subject: Subject, loaded: Loaded, rows: Sequence[ClassRow], inverted: Sequence[Inverted]) -> str:
    """The text, formatted. What it asks of the first class is open; the others need no more than the scan proved.

    Args:
        subject, loaded: what was scanned.
        rows: the classes, the most suspect first.
        inverted: the smallest masks and changes.
    """
    head = [line for line in subject.head if not line.startswith("# A first spec")]
    lines = [*head, *_claims(loaded, rows)]
    measures = {reason.measure for reason in rows[0].reasons}
    for one in inverted:
        if one.kind.name in measures:
            lines += _masked(loaded, rows[0], one) if one.kind is MASK else _whole_image(loaded, rows[0], one)
    return format_spec("\n".join(lines) + "\n", "scan")


def limit_of(rows: Sequence[ClassRow]) -> int:
    """In percent: above what was found for the classes that are not suspect, in steps of five."""
    usual = [row.best.found.rate for row in rows if not row.reasons] or [Fraction(0)]
    return min(MOST_LIMIT, max(LEAST_LIMIT, 5 * (math.floor(max(usual) * 20) + 1)))


def _claims(loaded: Loaded, rows: Sequence[ClassRow]) -> Iterator[str]:
    target = _class(loaded, rows[0].target)
    others = [_class(loaded, row.target) for row in sorted(rows[1:], key=lambda row: row.target)]
    yield from ("", "# The family that the scan looked at.", *declared(TRIGGER, loaded.trigger))
    yield from ("", "# Above what the scan found for the classes that it does not suspect.")
    yield f"param max_rate : fraction = {limit_of(rows)} %"
    yield from ("", "property first_ranked {")
    yield f'  """No trigger sends more than max_rate of the inputs of other classes to {_plain(rows[0].name)}."""'
    yield f"  forall t in {TRIGGER}, target in {{{target}}}"
    yield from (f"  {victims_of('target')}", f"  assert {rate_of('t', 'target')} <= max_rate", "}")
    yield from ("", "property other_classes {", '  """The same for every other class."""')
    yield f"  forall t in {TRIGGER}, target in {{{', '.join(others)}}}"
    yield from (f"  {victims_of('target')}", f"  assert {rate_of('t', 'target')} <= max_rate", "}")


def _masked(loaded: Loaded, row: ClassRow, mask: Inverted) -> Iterator[str]:
    """A search among all values of the pixels that the smallest mask covers."""
    cover = mask.mask[row.target, 0]
    covered = np.argwhere(cover >= COVERED * cover.max())
    if not 0 < len(covered) <= MOST_PIXELS:
        return
    low, high = loaded.problem.domain.lower.min(), loaded.problem.domain.upper.max()
    pixels = ", ".join(f"({at}, {column})" for at, column in covered)
    yield from ("", "# The pixels of the smallest mask, wherever they lie.")
    yield from declared("masked", [f"replace pixels {pixels}", f"with {low:g}..{high:g} level"])
    yield from _search("masked", "Is there one setting of these pixels", _class(loaded, row.target), row.name)


def _whole_image(loaded: Loaded, row: ClassRow, change: Inverted) -> Iterator[str]:
    """A search among changes of all pixels that are no larger than the one that was found."""
    levels = max(1, math.ceil(float(np.abs(change.pattern[row.target]).max())))
    target = _class(loaded, row.target)
    yield from ("", "# A faint change of the whole image, as a blended trigger makes it.")
    yield from declared("faint", ["add image", f"with -{levels}..{levels} level"])
    yield from _search("faint", "Is there one change of all pixels", target, row.name)


def _search(trigger: str, words: str, target: str, name: str) -> Iterator[str]:
    yield from ("", f"property {trigger}_trigger {{")
    yield f'  """{words} that sends half of the inputs of other classes to {_plain(name)}?"""'
    yield f"  {victims_of(target)}"
    yield f"  search exists t in {trigger} : {rate_of('t', target)} >= 50 %"
    yield "}"


def _class(loaded: Loaded, target: int) -> str:
    """A class as a spec names it."""
    if not loaded.output.labels:
        return str(target)
    return '"' + loaded.output.labels[target].replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(name: str) -> str:
    """A name inside a doc text."""
    return name.replace('"', "'")
