"""What would close the open questions of a property, from the run's own figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from verifluxa.report.words import percent
from verifluxa.result.result import PropertyResult
from verifluxa.verdict import Reason

HELP = {
    Reason.TIME: "more time would help",
    Reason.NODES: "more domains per question would help: a strategy with a larger `boxes` limit",
    Reason.MEMORY: "use a machine with more memory, or a smaller `prove_slice` in the cluster file",
    Reason.PRECISION: "float32 rounding is too coarse here to tell; `--arithmetic real` shows the rest, labelled",
    Reason.REPRESENTABILITY: "the bounds reach points that no legal input reaches; a longer search may close them",
    Reason.UNSUPPORTED: "`verifluxa supports` lists what can be proved about",
    Reason.INTERRUPTED: "the run was stopped; it can go on",
    Reason.LOST_WORKER: "look for what ends the workers (memory?); `--cluster laptop` works without them",
    Reason.STRATEGY: "this strategy has no stage that could prove it",
    Reason.DECIDED: "nothing: a counterexample had decided already",
}
STRONGER = {"attack-only": "balanced", "quick": "balanced", "balanced": "thorough", "exact-small": "thorough"}
"""The strategy in the library that goes further."""
FURTHER = {Reason.TIME, Reason.NODES, Reason.STRATEGY, Reason.REPRESENTABILITY}
"""What a stronger strategy may close."""
RESUMABLE = {Reason.TIME, Reason.INTERRUPTED, Reason.LOST_WORKER}
HARDER = 4
"""How much longer a question that is left takes than those that were closed: a guess, the easy ones close first."""
SHORTEST = 10.0
LITTLE = 0.2
"""A share of the time that tells nothing of what the rest would take."""


def advice(item: PropertyResult, strategy: str) -> Iterator[str]:
    """Sentences about the open questions: how many and why, and what this run's figures say would close them.

    Args:
        item: a property.
        strategy: the name of the strategy that was used.
    """
    reasons = Counter(reason for _, reason in item.unknown if reason is not Reason.DECIDED)
    for reason, count in reasons.most_common():
        yield f"{count:,} of {item.counts.total:,} questions open ({reason}): {HELP[reason]}"
    if not reasons or (item.problem is None and not item.places):
        return
    if reasons.keys() & RESUMABLE:
        yield from _pace(item)
    if reasons.keys() & FURTHER and strategy in STRONGER:
        yield f"a strategy that goes further than {strategy}: --strategy {STRONGER[strategy]}"
    yield from _where(item)


def longer(item: PropertyResult) -> float | None:
    """Seconds that would probably be enough for what is left; None where nothing was closed to judge by."""
    left, rate = _left(item), closing_rate(item)
    if not left or not rate:
        return None
    needed = max(SHORTEST, HARDER * left / rate)
    unit = 10.0 ** math.floor(math.log10(needed))
    return math.ceil(needed / unit) * unit


def closing_rate(item: PropertyResult) -> float:
    """Questions closed in a second of proving; 0 where none was."""
    proving = item.seconds - item.stages.get("attack", 0.0)
    decided = item.counts.certified + item.counts.falsified - item.closed.get("attack", 0)
    return decided / proving if proving > 0 else 0.0


def duration(seconds: float) -> str:
    """A length of time as `--budget` takes it: `90s`, `5m`, `2h`."""
    if seconds < 120:
        return f"{math.ceil(seconds)}s"
    return f"{math.ceil(seconds / 60)}m" if seconds < 7200 else f"{math.ceil(seconds / 3600)}h"


def _left(item: PropertyResult) -> int:
    return sum(reason is not Reason.DECIDED for _, reason in item.unknown)


def _pace(item: PropertyResult) -> Iterator[str]:
    rate, more = closing_rate(item), longer(item)
    if more is None and _unfinished(item) < LITTLE * item.seconds and not item.stages.keys() - {"attack"}:
        yield "it ended in the attack or right after: how long the proofs take is not known"
        return
    if more is None:
        yield f"none of them was closed in {item.seconds:.0f} s; more time alone may not be enough"
        return
    closed = item.counts.total - item.counts.unknown
    yield (
        f"{closed:,} closed in {item.seconds:.0f} s ({rate:.3g} a second while proving); what is left is harder: allow "
        f"about {duration(more)} more"
    )


def _unfinished(item: PropertyResult) -> float:
    """Seconds that went into questions of which no stage has come to its end."""
    return max(0.0, item.seconds - sum(item.stages.values()))


def _where(item: PropertyResult) -> Iterator[str]:
    """Where they are, and the limit that is proved already. To leave them out is to claim less, and is said to be."""
    places = {place.placement for place in item.places}
    open_at = {_place(question) for question, _ in item.unknown}
    if 1 <= len(open_at) < len(places):
        yield (
            f"they lie at {len(open_at):,} of {len(places):,} places; a spec whose `at` leaves those out states less: "
            "nothing is then known of triggers there"
        )
    proved = item.proved
    if proved is not None and proved.count < proved.total and item.kind == "assert":
        yield f"proved already: no trigger does more than {percent(proved)}"


def _place(question: str) -> str:
    """The words of a question without the input and the target: `row 3, column 5`."""
    parts = question.split(", ")
    return ", ".join(part for part in parts[: -1 if len(parts) > 1 else None] if not part.startswith("input "))
