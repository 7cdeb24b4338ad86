"""What verdicts, rates and triggers are called: the same words in the terminal, on the page and in machine formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.question import Domain, Problem
from verifluxa.result.result import Counterexample, PropertyResult, Share
from verifluxa.verdict import Verdict

OPEN_CLAIM = "neither proved nor refuted"
CLAIM = {
    "assert": {Verdict.CERTIFIED: "proved", Verdict.FALSIFIED: "refuted", Verdict.UNKNOWN: OPEN_CLAIM},
    "measure": {
        Verdict.CERTIFIED: "measured, as closely as was asked",
        Verdict.FALSIFIED: "refuted",
        Verdict.UNKNOWN: "measured, less closely than was asked",
    },
    "compare": {Verdict.CERTIFIED: "proved", Verdict.FALSIFIED: "refuted", Verdict.UNKNOWN: OPEN_CLAIM},
    "search": {Verdict.CERTIFIED: "proved", Verdict.FALSIFIED: "found, which refutes", Verdict.UNKNOWN: OPEN_CLAIM},
}
"""What a verdict says of the statement, by kind of property."""

OUTPUTS = "outputs"
"""The label of a violation that is a condition on outputs."""
MOST_NUMBERS = 3


def in_words(share: Share) -> str:
    """A share as people say it: `97 of 100 (97.0 %)`."""
    return f"{share.count} of {share.total} ({percent(share)})"


def percent(share: Share) -> str:
    """The rate of a share with one decimal; 0 and 100 only where it is exactly that.

    >>> [percent(Share(count, 5000)) for count in (0, 1, 2500, 4999, 5000)]
    ['0.0 %', '< 0.1 %', '50.0 %', '> 99.9 %', '100.0 %']
    """
    words = f"{float(100 * share.rate):.1f} %"
    if words == "0.0 %" and share.count:
        return "< 0.1 %"
    return "> 99.9 %" if words == "100.0 %" and share.count < share.total else words


def place_words(found: Counterexample) -> str:
    """`row 24, column 24`; of a table the columns that are set, which its words name."""
    columns = [word.partition(" = ")[0] for word in found.words]
    return ", ".join(columns) if dict(found.placement).keys() == {"set"} and columns else label_words(found.placement)


def label_words(label: Sequence[tuple[str, int]]) -> str:
    """A placement as people call it: `row 24, column 24`; `everywhere` where there is but one, without a name."""
    return ", ".join(f"{name} {value}" for name, value in label) or "everywhere"


def column_names(domain: Domain) -> list[str]:
    """The columns of a table that a trigger sets; nothing where its values have no such names."""
    words = {int(one.coordinates[0]): one.names[0] for one in domain.lists if one.names}
    words |= {at: name for at, name in enumerate(domain.names) if name}
    return [words[at].partition(" = ")[0] for at in sorted(words) if " = " in words[at]]


def effect_words(item: PropertyResult, found: Counterexample) -> str:
    """What the trigger does: `100 of 100 (100.0 %) go to class 7, allowed are 50 %`."""
    words = goes(item.classes, found.target, item.condition)
    return effect(found.rate, found.inputs, words, allowed(item.kind, item.limit_of(found.target)))


def goes(classes: Sequence[str], target: int | None, condition: str | None) -> tuple[str, str]:
    """What happens to one input, and to several: `goes to class 7`, `go to class 7`."""
    if condition is not None:
        return f"gives {condition}", f"give {condition}"
    where = "another class" if target is None else f"class {class_name(classes, target)}"
    return f"goes to {where}", f"go to {where}"


def allowed(kind: str, limit: Fraction | None) -> str:
    """What the property says of the rate: `, allowed are 5 %`."""
    if limit is None:
        return ""
    return f", {'asked for' if kind == 'search' else 'allowed'} are {float(100 * limit):g} %"


def effect(rate: Share | None, inputs: Sequence[int], words: tuple[str, str], limit: str) -> str:
    """The same from its parts: the share, or None where the property speaks of single inputs."""
    if rate is None:
        return f"input {', '.join(str(index) for index in inputs)} {words[0]}"
    return f"{in_words(rate)} {words[1]}{limit}"


def answers(problem: Problem, violation: int, outputs: NDArray[np.floating], classes: Sequence[str]) -> list[str]:
    """What the network says, for each row of outputs: the class, or the numbers where the property is about them."""
    if outputs.shape[1] > 1 and problem.violations[violation].label != OUTPUTS:
        return [class_name(classes, int(number)) for number in outputs.argmax(axis=1)]
    more = ", ..." if outputs.shape[1] > MOST_NUMBERS else ""
    return [", ".join(f"{value:.4g}" for value in row[:MOST_NUMBERS]) + more for row in outputs]


def class_name(classes: Sequence[str], number: int) -> str:
    """A class by its name where the spec gives one, else by its number."""
    return classes[number] if number < len(classes) else str(number)


# A verdict in one sentence that somebody understands who has never read a spec.

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
