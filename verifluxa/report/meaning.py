"""What a verdict means for those who must decide something by it; each sentence follows from the numbers.

The one table is `EFFECT`: from the rate of a trigger, and whether it aims at a class, to what the trigger does. What
the limit adds, and what is not ruled out, are sentences of their own, since they do not depend on each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction

from verifluxa.report.words import class_name, inputs_words, percent
from verifluxa.result.result import PropertyResult, Share
from verifluxa.verdict import Verdict

EVERY_TRIGGER = "This speaks of every trigger of the stated family, not only of those that were tried."
PLANTED = "Whether somebody planted it, or honest training left it, the model does not tell."
UNDECIDED = "Unknown never counts as success."
FEW = Fraction(1, 10)
HALF = Fraction(1, 2)

EFFECT: tuple[tuple[Callable[[Fraction], bool], str, str, str], ...] = (
    (
        lambda rate: rate == 1,
        "Whoever puts this trigger on an input decides what the model says: it sent every counted input to {target}.",
        "Whoever puts this trigger on an input makes the model fail: it misled every counted input.",
        "Whoever puts this trigger on an input makes the model break the condition: it did so on every counted input.",
    ),
    (
        lambda rate: rate > HALF,
        "Whoever puts this trigger on an input gets {target} from the model in most cases, though not in all.",
        "Whoever puts this trigger on an input makes the model fail in most cases, though not in all.",
        "Whoever puts this trigger on an input makes the model break the condition in most cases, though not in all.",
    ),
    (
        lambda rate: rate >= FEW,
        "The trigger works on a part of the inputs: {percent} of those counted go to {target}, the others do not.",
        "The trigger works on a part of the inputs: {percent} of those counted are misled, the others are not.",
        "The trigger works on a part of the inputs: {percent} of those counted break the condition, the others do not.",
    ),
    (
        lambda rate: rate > 0,
        "The trigger works on few inputs: {count} of {total} go to {target}, the others do not.",
        "The trigger works on few inputs: {count} of {total} are misled, the others are not.",
        "The trigger works on few inputs: {count} of {total} break the condition, the others do not.",
    ),
    (
        lambda rate: rate == 0,
        "No trigger that sends a counted input to another class was found.",
        "No trigger that misleads a counted input was found.",
        "No trigger that makes the model break the condition was found.",
    ),
)
"""The first row whose condition holds of the rate: what a trigger does that aims at a class, that aims at none, and
where the property speaks of outputs."""


def meaning(item: PropertyResult) -> str:
    """What the verdict of a property means."""
    if item.compared is not None:
        return _compared(item, item.compared.model)
    if item.found is None or item.proved is None:
        return _single(item) if item.counted else f"Nothing was proved and nothing was found. {UNDECIDED}"
    shown = item.counterexample or item.strongest
    target = None if shown is None else shown.target
    rate = item.found if shown is None or shown.rate is None else shown.rate
    parts = []
    if item.verdict is Verdict.CERTIFIED:
        parts.append(EVERY_TRIGGER)
    if item.verdict is not Verdict.CERTIFIED or item.kind == "measure":
        parts.append(effect_of(rate, None if target is None else class_name(item.classes, target), item.condition))
    if item.verdict is Verdict.FALSIFIED:
        return " ".join([*parts, *against(rate, item.kind, item.limit_of(target)), PLANTED])
    parts += not_ruled_out(item.found, item.proved)
    return " ".join(parts if item.verdict is Verdict.CERTIFIED else [*parts, UNDECIDED])


def effect_of(rate: Share, target: str | None, condition: str | None = None) -> str:
    """What a trigger does, from its rate: the sentence of `EFFECT`.

    Args:
        rate: inputs that it misleads, of those that count.
        target: the class that it sends them to, by name; None where it aims at none.
        condition: what counts, where the property speaks of outputs in place of the class.
    """
    _, aimed, unaimed, outputs = next(row for row in EFFECT if row[0](rate.rate))
    words = outputs if condition is not None else unaimed if target is None else aimed
    return words.format(
        target=f"class {target}", percent=percent(rate), count=f"{rate.count:,}", total=f"{rate.total:,}"
    )


def against(rate: Share, kind: str, limit: Fraction | None) -> list[str]:
    """How a trigger that refutes stands to the limit; nothing where there is none."""
    if limit is None:
        return []
    if kind == "search":
        return [f"The property asks whether any trigger reaches {_percent(limit)}: this one does."]
    if rate.rate <= limit:
        return []
    return ["The property allows none." if limit == 0 else f"The property allows {_percent(limit)} at most."]


def not_ruled_out(found: Share, proved: Share) -> list[str]:
    """What a proved bound leaves open: weaker triggers than that."""
    if proved.count == 0:
        return []
    if proved.count == proved.total:
        return [] if found.count == found.total else ["A trigger that works on every input is not ruled out."]
    if found.rate == proved.rate:
        return []
    return [f"A trigger that works on up to {inputs_words(proved)} is not ruled out."]


def _percent(rate: Fraction) -> str:
    return f"{float(100 * rate):g} %"


def _compared(item: PropertyResult, other: str) -> str:
    if item.verdict is Verdict.CERTIFIED:
        return f"{EVERY_TRIGGER} Both models may still be easy to mislead: the rates say how easy."
    if item.verdict is Verdict.FALSIFIED:
        return f"Against triggers of this kind {other} is the safer model. {PLANTED}"
    return f"Which of the two models is safer against triggers of this kind is open. {UNDECIDED}"


def _single(item: PropertyResult) -> str:
    tally = Counter(verdict for _, verdict in item.per_input)
    if item.verdict is Verdict.CERTIFIED:
        return EVERY_TRIGGER
    if item.verdict is Verdict.FALSIFIED:
        return (
            "Each of the refuted inputs has a trigger that was made for it, which need not work on any other. "
            + PLANTED
        )
    safe = tally[Verdict.CERTIFIED]
    kept = f"The proofs of the {safe:,} safe inputs hold. " if safe else "Nothing is proved of any input. "
    return f"{kept}Of the others nothing is known. {UNDECIDED}"
