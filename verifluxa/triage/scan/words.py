"""A scan in words, for people."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from verifluxa.result.result import Share
from verifluxa.result.trigger import trigger_grid
from verifluxa.spec.spec import TableSpace, TokenSpace
from verifluxa.triage.scan.classes import ClassRow
from verifluxa.triage.scan.rates import Ends
from verifluxa.triage.scan.run import Scan, accuracy, most_found
from verifluxa.triage.scan.subject import limit_of

MEANS_NOT = (
    "`nothing found` does not mean clean: triggers of other kinds, larger ones, and those that need a condition in the"
    " input were not looked for; `suspect` is no proof of a planted backdoor. `verifluxa verify` gives verdicts."
)
SHOWN_CLASSES, SHOWN_PLACES, SHOWN_PROBES, SHOWN_WORDS = 10, 5, 5, 10
NOT_PROVED = "not proved in the time"


def lines(scan: Scan, spec: str | None, explanation: Sequence[str] = ()) -> Iterator[str]:
    """The report.

    Args:
        scan: what was found.
        spec: where the next spec was written, or None.
        explanation: what the answer to a triggered input hangs on.
    """
    yield f"{scan.model.path}: {scan.verdict}"
    yield f"  {scan.data.path}: right on {scan.right} of {scan.inputs} inputs; proofs cover {scan.arithmetic}"
    for row in scan.suspects:
        yield f"  class {row.name} is suspect:"
        yield from (f"    {words}" for words in _reasons(row))
    if scan.unfinished:
        yield "  the budget ended the search; not searched:"
        yield from (f"    {words}" for words in scan.unfinished)
    yield from ("", *_classes(scan))
    if scan.kind != "tokens":
        yield from ("", *_places(scan))
    if scan.probes:
        yield from ("", *_probes(scan))
    if scan.words:
        yield from ("", *_words(scan))
    if scan.strange:
        yield from ("", *_strange(scan))
    if explanation:
        yield from ("", *explanation)
    yield from ("", *_next(scan, spec), "", *textwrap.wrap(MEANS_NOT, 110))


def _reasons(row: ClassRow) -> Iterator[str]:
    """Each measure once; of known triggers the first."""
    known = [reason for reason in row.reasons if reason.measure == "probe"]
    for reason in row.reasons:
        more = f", and {len(known) - 1} more of them" if reason in known and len(known) > 1 else ""
        if reason not in known[1:]:
            yield reason.words + more


def _classes(scan: Scan) -> Iterator[str]:
    """The table of classes."""
    yield f"classes, the most suspect first ({scan.what}; a score of 1 and more is suspect):"
    sizes = [one.kind.name for one in scan.inverted]
    heads = "".join(f"  {name + ' (index)':>17}" for name in sizes)
    yield f"  {'class':<12}  {'score':>5}  {'found':>13}  {'proved':>13}{heads}"
    for row in scan.rows[:SHOWN_CLASSES]:
        numbers = "".join(f"  {_size(scan, row, name):>17}" for name in sizes)
        proved = "open" if row.proved is None else _rate(row.proved)
        yield f"  {row.name[:12]:<12}  {row.score:>5.2f}  {_rate(row.best.found):>13}  {proved:>13}{numbers}"
    if len(scan.rows) > SHOWN_CLASSES:
        yield f"  ... and {len(scan.rows) - SHOWN_CLASSES} more"
    left = sum(one.proved is None for one in scan.ends)
    if left:
        yield f"  open: {left} of {len(scan.ends)} places and targets were {NOT_PROVED}"
    if sizes:
        yield "  mask: pixels; change: root of the sum of squares, 1 is a pixel from darkest to brightest;"
        yield "  in brackets the anomaly index of Neural Cleanse over the classes"


def _size(scan: Scan, row: ClassRow, name: str) -> str:
    size, index = row.sizes[name], row.indices[name]
    if math.isnan(size):
        finished = all(one.steps[0] == one.steps[1] for one in scan.inverted if one.kind.name == name)
        return "none found" if finished else "not finished"
    return f"{size:.2f} ({index:.1f})" if not math.isnan(index) else f"{size:.2f}"


def _places(scan: Scan) -> Iterator[str]:
    yield "places, the strongest trigger first:"
    found = most_found(scan, SHOWN_PLACES)
    if not found:
        yield "  no trigger of this family moves any input"
    for one in found:
        proved = NOT_PROVED if one.proved is None else f"proved: no more than {_rate(one.proved)}"
        yield f"  {_at(scan, one)} to {scan.loaded.class_name(one.question.violation)}: {_rate(one.found)}, {proved}"


def _at(scan: Scan, one: Ends) -> str:
    """Where a trigger is; of a column its value as well."""
    problem = scan.loaded.problem
    if isinstance(scan.loaded.space, TableSpace) and one.trigger is not None:
        said = problem.domain_of(one.question.placement).described(one.trigger)
        return ", ".join(said)
    return ", ".join(f"{name} {value}" for name, value in problem.placements[one.question.placement].label)


def _probes(scan: Scan) -> Iterator[str]:
    yield f"known triggers ({len(scan.probes)} tried; without one the model is right on {accuracy(scan):.0%}):"
    for one in scan.probes[:SHOWN_PROBES]:
        place = ", ".join(f"{name} {value}" for name, value in one.place)
        target = scan.loaded.class_name(one.target)
        yield (
            f"  {one.name} at {place}: {one.success:.0%} to {target}, without it {one.before:.0%};"
            f" right on {one.accuracy:.0%}"
        )


def _words(scan: Scan) -> Iterator[str]:
    yield "single words or values, the strongest first:"
    for one in scan.words[:SHOWN_WORDS]:
        place = ", ".join(f"{name} {value}" for name, value in one.place)
        at = f" ({place})" if isinstance(scan.loaded.space, TokenSpace) else ""
        yield f"  {one.said}{at} to {scan.loaded.class_name(one.target)}: {_rate(one.found)}"


def _strange(scan: Scan) -> Iterator[str]:
    yield "inputs that are none, and the class that most of them get (common in clean models too):"
    for one in scan.strange:
        yield f"  {one.kind}: {one.shares[one.top]:.0%} of {one.count} to {scan.loaded.class_name(one.top)}"


def _next(scan: Scan, spec: str | None) -> Iterator[str]:
    limit, first = limit_of(scan.rows), scan.rows[0]
    yield f"verify next: {scan.what} sends no more than {limit} % of the inputs of other classes to {first.name}"
    yield f"  verifluxa verify {spec}" if spec else "  -o SPEC writes this as a spec"


def _rate(share: Share) -> str:
    return f"{share} ({float(share.rate):.0%})"


# The scan document, schema `verifluxa/scan/2`: what `--format json` prints.

SCHEMA = "verifluxa/scan/2"
MOST_PLACES = 50


def document(scan: Scan) -> dict[str, Any]:
    """The document as JSON holds it; numbers that do not exist are null."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "verifluxa", "version": scan.version},
        "model": {"path": scan.model.path, "sha256": scan.model.sha256},
        "data": {"path": scan.data.path, "sha256": scan.data.sha256, "inputs": scan.inputs, "right": scan.right},
        "arithmetic": scan.arithmetic,
        "verdict": scan.verdict,
        "unfinished": list(scan.unfinished),
        "means_not": MEANS_NOT,
        "family": scan.what,
        "classes": [_class(scan, row) for row in scan.rows],
        "places": [_place(scan, one) for one in most_found(scan, MOST_PLACES)],
        "proved_questions": {"proved": sum(one.proved is not None for one in scan.ends), "total": len(scan.ends)},
        "clean_accuracy": accuracy(scan),
        "known_triggers": [
            {
                "name": one.name,
                "title": one.title,
                "source": one.source,
                "placement": dict(one.place),
                "target": one.target,
                "success": one.success,
                "without": one.before,
                "accuracy": one.accuracy,
            }
            for one in scan.probes
        ],
        "words": [
            {"said": one.said, "placement": dict(one.place), "target": one.target, "found": str(one.found)}
            for one in scan.words
        ],
        "strange": [
            {"kind": one.kind, "count": one.count, "top": one.top, "shares": list(one.shares)} for one in scan.strange
        ],
        "next_spec": scan.next_spec,
        "seconds": {part: round(seconds, 3) for part, seconds in scan.seconds.items()},
    }


def _class(scan: Scan, row: ClassRow) -> dict[str, Any]:
    successes = {one.kind.name: float(one.success[row.target]) for one in scan.inverted}
    return {
        "target": row.target,
        "name": row.name,
        "score": row.score,
        "suspect": bool(row.reasons),
        "reasons": [{"measure": one.measure, "words": one.words, "score": one.score} for one in row.reasons],
        "found": str(row.best.found),
        "proved": _share(row.proved),
        "sizes": {name: _number(value) for name, value in row.sizes.items()},
        "shares_of_median": {name: _number(value) for name, value in row.shares.items()},
        "successes": {name: _number(value) for name, value in successes.items()},
        "anomaly_indices": {name: _number(value) for name, value in row.indices.items()},
        "strongest": _place(scan, row.best),
    }


def _place(scan: Scan, one: Ends) -> dict[str, Any]:
    problem = scan.loaded.problem
    place = problem.placements[one.question.placement]
    trigger = None if one.trigger is None else trigger_grid(problem, place, one.trigger)
    return {
        "placement": dict(place.label),
        "target": one.question.violation,
        "found": str(one.found) if one.tried else None,
        "proved": _share(one.proved),
        "trigger": trigger,
    }


def _share(share: Share | None) -> str | None:
    return None if share is None else str(share)


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "infinite"
