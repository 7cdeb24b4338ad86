"""A verdict in one sentence that somebody understands who has never read a spec."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from verifluxa.report.words import allowed, percent
from verifluxa.result.result import PropertyResult, Share
from verifluxa.verdict import Verdict

STATE = {Verdict.CERTIFIED: "proved", Verdict.FALSIFIED: "refuted", Verdict.UNKNOWN: "open"}


def headline(properties: Sequence[PropertyResult]) -> str:
    """The sentence of the only property, or how many are proved, refuted and open."""
    if len(properties) == 1:
        return sentence(properties[0])
    tally = Counter(item.verdict for item in properties)
    parts = [f"{tally[verdict]} {STATE[verdict]}" for verdict in Verdict if tally[verdict]]
    return f"Of {len(properties)} properties: {', '.join(parts)}."


def sentence(item: PropertyResult) -> str:
    """What the verdict of a property means."""
    if not item.counted and item.found is None:
        return "Undecided: the question could not be put to this model."
    if item.compared is not None:
        return _compared(item)
    if item.found is None or item.proved is None:
        return _single(item)
    return {"measure": _measured, "search": _searched}.get(item.kind, _rate)(item, item.found, item.proved)


def meaning(verdict: Verdict) -> str:
    """What a verdict is worth, for those who must decide something by it."""
    return {
        Verdict.CERTIFIED: "This speaks of every trigger of the stated family, not only of those that were tried.",
        Verdict.FALSIFIED: "Whoever puts this trigger on an input decides what the model says. Whether somebody "
        "planted it, or honest training left it, the model does not tell.",
        Verdict.UNKNOWN: "This is no promise and no alarm. Unknown never counts as success.",
    }[verdict]


def inputs_words(share: Share) -> str:
    """`82 of 85 inputs (96.5 %)`."""
    return f"{share.count:,} of {share.total:,} inputs ({percent(share)})"


def misleads(item: PropertyResult) -> str:
    """What a trigger does to an input, as a verb."""
    return "misleads" if item.condition is None else "breaks the condition for"


def _rate(item: PropertyResult, found: Share, proved: Share) -> str:
    limit, verb = allowed(item.kind, item.limit), misleads(item)
    if item.verdict is Verdict.CERTIFIED:
        least = f"more than {inputs_words(proved)}" if proved.count < proved.total else "too many inputs"
        return f"Proved: no trigger of this kind {verb} {least}{limit}."
    if item.verdict is Verdict.FALSIFIED:
        return f"Refuted: one and the same trigger {verb} {inputs_words(found)}{limit}."
    return f"Undecided: the strongest trigger found {verb} {inputs_words(found)}{limit}; " + (
        f"more than {percent(proved)} is impossible." if proved.count < proved.total else "more is not ruled out."
    )


def _searched(item: PropertyResult, found: Share, proved: Share) -> str:
    if item.verdict is Verdict.FALSIFIED:
        return f"Found: one and the same trigger {misleads(item)} {inputs_words(found)}{_asked(item)}."
    if item.verdict is Verdict.CERTIFIED:
        return f"Proved: no trigger of this kind is as strong as was asked for{_asked(item)}."
    return f"Undecided: the strongest trigger found {misleads(item)} {inputs_words(found)}{_asked(item)}."


def _asked(item: PropertyResult) -> str:
    return allowed(item.kind, item.limit)


def _measured(item: PropertyResult, found: Share, proved: Share) -> str:
    ends = percent(found) if found.rate == proved.rate else f"between {percent(found)} and {percent(proved)}"
    close = "" if item.verdict is Verdict.CERTIFIED else ", less closely than was asked"
    return f"Measured{close}: the strongest trigger of this kind {misleads(item)} {ends} of the inputs."


def _compared(item: PropertyResult) -> str:
    other = item.compared
    assert other is not None
    if item.found is None or item.proved is None:
        return f"Undecided: the comparison with {other.model} was not made."
    if item.verdict is Verdict.CERTIFIED:
        return (
            f"Proved: the model is no easier to mislead than {other.model}: at most {percent(item.proved)} of the "
            f"inputs, against at least {percent(other.found)}."
        )
    if item.verdict is Verdict.FALSIFIED:
        return (
            f"Refuted: the model is easier to mislead than {other.model}: at least {percent(item.found)} of the "
            f"inputs, against at most {percent(other.proved)}."
        )
    return (
        f"Undecided: the strongest trigger misleads {percent(item.found)} to {percent(item.proved)} of the inputs, "
        f"and {percent(other.found)} to {percent(other.proved)} with {other.model}."
    )


def _single(item: PropertyResult) -> str:
    tally = Counter(verdict for _, verdict in item.per_input)
    total, verb = len(item.per_input), misleads(item)
    if item.verdict is Verdict.CERTIFIED:
        return f"Proved: no trigger of this kind {verb} any of the {total:,} inputs, even if made for it."
    if item.verdict is Verdict.FALSIFIED:
        rest = f"{tally[Verdict.CERTIFIED]:,} are proved safe, {tally[Verdict.UNKNOWN]:,} are open"
        return f"Refuted: a trigger {verb} {tally[Verdict.FALSIFIED]:,} of {total:,} inputs; {rest}."
    return f"Undecided: {tally[Verdict.CERTIFIED]:,} of {total:,} inputs are proved safe, the others are open."
