"""What verdicts, rates and triggers are called: the same words in the terminal, on the page and in machine formats."""

from __future__ import annotations

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
    """The rate of a share with one decimal."""
    return f"{float(100 * share.rate):.1f} %"


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
