"""One property: its verdict, its interval, the trigger, the places, and what is open."""

from __future__ import annotations

from collections import defaultdict

from verifluxa.report.advice import advice
from verifluxa.report.page.elements import Markup, element, interval, ranges, table, worded
from verifluxa.report.page.examples import examples
from verifluxa.report.page.heat import along, maps, matrix, strip, worst_places
from verifluxa.report.page.trigger import trigger
from verifluxa.report.sensitivity import is_map, worst_of
from verifluxa.report.story import Story
from verifluxa.report.strongest import Strongest, strongest
from verifluxa.report.summary import population_words, time_words
from verifluxa.report.words import CLAIM, column_names, in_words, label_words, sentence
from verifluxa.verdict import Reason, Verdict

MARKS = {Verdict.CERTIFIED: "✓", Verdict.FALSIFIED: "✗", Verdict.UNKNOWN: "?"}
MOST_OPEN = 20
QUESTION = (
    "A question is one place and one target, or one place and one input. Once a trigger refutes a property, what is "
    "left is not asked."
)
NOT_KEPT = (
    "No trigger is known to break this property, so the result keeps none: what is too weak is told below by its rate."
)


def badge(verdict: Verdict, reason: Reason | None = None) -> Markup:
    """A verdict in a word, a sign and a colour."""
    words = f"{MARKS[verdict]} {verdict}" + (f" ({reason})" if reason is not None else "")
    return element(f"span.badge.{verdict}", words)


def property_section(story: Story, number: int | None, strategy: str, most: int) -> Markup:
    """The section of a property.

    Args:
        story: the property.
        number: from 1, for links; None where it is the only one, and the page begins with its sentence.
        strategy: the name of the strategy that was used.
        most: cells of one map.
    """
    item = story.item
    parts = [
        element("h2", item.name, " ", badge(item.verdict, item.reason)),
        *([element("p.lead", sentence(item))] if number is not None else []),
        *interval(item),
        element("div.panel", element("p", worded(f"{CLAIM[item.kind][item.verdict].capitalize()}: {item.words}"))),
        *([element("p", item.message)] if item.message is not None else []),
        *_missing(story),
        *trigger(story),
        *([element("p.note", NOT_KEPT)] if story.found is None and item.found is not None else []),
        *examples(story),
        *matrix(story),
        *_places(story, most),
        *_single_inputs(story),
        *_open(story, strategy),
    ]
    return element("section.property", *parts, id=None if number is None else f"p{number}")


def _missing(story: Story) -> list[Markup]:
    if story.missing is None:
        return []
    words = (
        "Not shown here: inputs before and after, single parts of the trigger, classes by name. They need the "
        f"spec, the model and the data that the result names: {story.missing}."
    )
    return [element("p.panel.note", words)]


def _places(story: Story, most: int) -> list[Markup]:
    item = story.item
    if not item.places:
        return []
    head = element("h3", "Which places carry the risk")
    if is_map(item.places):
        return [head, *maps(item, most), *_strongest(story)]
    name = along(item.places)
    drawn = [strip(item.places, name, item.limit)] if name is not None else []
    return [head, *drawn, worst_places(item, _names(story)), *_strongest(story)]


def _names(story: Story) -> dict[str, str]:
    """Sets of columns by the names of the columns."""
    problem = story.item.problem
    if problem is None:
        return {}
    found = {}
    for number, placement in enumerate(problem.placements):
        columns = column_names(problem.domain_of(number))
        if dict(placement.label).keys() == {"set"} and columns:
            found[label_words(placement.label)] = ", ".join(columns)
    return found


def _strongest(story: Story) -> list[Markup]:
    """The strongest words or combinations at the worst place."""
    problem, item = story.item.problem, story.item
    if problem is None or problem.per_input or not item.places:
        return []
    worst = worst_of(item.places)
    labels = [label_words(placement.label) for placement in problem.placements]
    if worst.words not in labels:
        return []
    questions = problem.questions(labels.index(worst.words))
    question = next((q for q in questions if problem.violations[q.violation].target == worst.target), questions[0])
    found = strongest(problem, question)
    return [] if found is None else [_ranked(found, _names(story).get(worst.words, worst.words))]


def _ranked(found: Strongest, where: str) -> Markup:
    rows = [[", ".join(one.words), in_words(one.rate)] for one in found.ranked]
    words = f"The strongest of all {found.count:,} triggers at {where}, each evaluated for this page"
    return table(words, ["trigger", "inputs that violate in every evaluation"], rows)


def _single_inputs(story: Story) -> list[Markup]:
    item = story.item
    if not item.per_input:
        return []
    groups: dict[Verdict, list[int]] = defaultdict(list)
    for index, verdict in item.per_input:
        groups[verdict].append(index)
    rows = [
        [f"{verdict}", f"{len(groups[verdict]):,}", ranges(groups[verdict])] for verdict in Verdict if groups[verdict]
    ]
    parts = [
        element("h3", "Input by input"),
        table("Verdicts of single inputs", ["verdict", "inputs", "positions in the file, from 0"], rows),
    ]
    if item.population is not None:
        done = "flipped" if item.condition is None else "made to violate"
        parts.append(element("p", population_words(*item.population, done).capitalize() + "."))
    return parts


def _open(story: Story, strategy: str) -> list[Markup]:
    """How the questions were answered; which are open, why, and what would help."""
    item = story.item
    counts = item.counts
    row = [
        f"{counts.total:,}",
        f"{counts.certified:,}",
        f"{counts.falsified:,}",
        f"{counts.unknown - counts.skipped:,}",
        f"{counts.skipped:,}",
    ]
    head = ["questions", "certified", "falsified", "open", "not asked"]
    parts = [
        element("h3", "Questions"),
        element("p.note", QUESTION),
        table("How they were answered", head, [row]),
        element("p.note", f"{time_words(item)}."),
    ]
    listed = [(question, reason) for question, reason in item.unknown if reason is not Reason.DECIDED]
    if not listed:
        return parts
    tips = [element("li", worded(words[0].upper() + words[1:])) for words in advice(item, strategy)]
    rows = [[question, f"{reason}"] for question, reason in listed[:MOST_OPEN]]
    more = "" if len(listed) <= MOST_OPEN else f", the first {MOST_OPEN} of {len(listed):,}"
    return [
        *parts,
        element("h4", "Open, and what would help"),
        element("ul", *tips),
        table(f"Open questions{more}", ["question", "reason"], rows),
    ]
