"""From which class to which: what the network says of each class's inputs under the trigger that was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from verifluxa.replay import Replayed
from verifluxa.report.page.elements import Markup, element, table
from verifluxa.report.page.style import step_of
from verifluxa.report.story import Story
from verifluxa.report.words import OUTPUTS, class_name

MOST_CLASSES = 20
OTHERS = "others"
BREAKS, KEEPS = "violates", "does not"


def matrix(story: Story) -> list[Markup]:
    """The matrix of a trigger; nothing where it was not evaluated again, or the property is not about classes."""
    replayed = story.replayed
    if replayed is None or replayed.problem.violations[replayed.question.violation].label == OUTPUTS:
        return []
    rows, columns, counts = _counted(replayed)
    body = []
    for row in rows:
        total = sum(counts[row, column] for column in columns)
        cells = [_cell(counts[row, column], total) for column in columns]
        body.append([f"{row} ({total})", *cells])
    words = "Class of the input (how many), and what the network says with the trigger on it"
    return [
        element("h3", "From which class to which"),
        element("div.cells", table(words, ["", *columns], body)),
    ]


def _cell(count: int, total: int) -> Markup:
    return element("td", str(count) if count else "", class_=f"h{step_of(Fraction(count, max(total, 1)))}")


def _counted(replayed: Replayed) -> tuple[list[str], list[str], Counter[tuple[str, str]]]:
    """Rows and columns in order, and the number of inputs at each."""
    problem, played = replayed.problem, replayed.replay
    labels = [int(problem.labels[at]) for at in played.inputs]
    if played.after.shape[1] > 1:
        after = [int(number) for number in played.after.argmax(axis=1)]
        columns = _shown(after, replayed.classes, played.after.shape[1])
        said = [_named(number, columns, replayed.classes) for number in after]
    else:
        said = [BREAKS if margin > 0 else KEEPS for margin in played.margins]
        columns = [BREAKS, KEEPS]
    rows = _shown(labels, replayed.classes, 0)
    named = [_named(number, rows, replayed.classes) for number in labels]
    return rows, columns, Counter(zip(named, said, strict=True))


def _shown(numbers: Sequence[int], classes: Sequence[str], least: int) -> list[str]:
    """All classes where they are few, else those that occur; of very many the commonest, and one for all others."""
    tally = Counter(numbers)
    if len(tally) <= least <= MOST_CLASSES:
        return [class_name(classes, number) for number in range(least)]
    kept = sorted(number for number, _ in tally.most_common(MOST_CLASSES))
    return [class_name(classes, number) for number in kept] + ([OTHERS] if len(tally) > len(kept) else [])


def _named(number: int, shown: Sequence[str], classes: Sequence[str]) -> str:
    name = class_name(classes, number)
    return name if name in shown else OTHERS
