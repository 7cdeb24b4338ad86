"""Two results side by side: a clean and a suspect model, an old and a new one; and what changed."""

from __future__ import annotations

from collections.abc import Sequence

from verifluxa.errors import UnsupportedError
from verifluxa.report.page.elements import Content, Markup, element, interval, legend, table
from verifluxa.report.page.examples import examples
from verifluxa.report.page.heat import RATES, along, figure, strip
from verifluxa.report.page.page import LEAST_CELLS, MOST_CELLS, assumptions, commands, digests, document, footer
from verifluxa.report.page.property import badge
from verifluxa.report.page.trigger import shown_trigger
from verifluxa.report.sensitivity import is_map, place_map
from verifluxa.report.story import Account, Story
from verifluxa.report.words import class_name, headline, label_words, percent, sentence
from verifluxa.result.result import Place, Result

NAMES = ("A", "B")
MOST_EXAMPLES = 2
MOST_CHANGES = 8

Key = tuple[tuple[tuple[str, int], ...], int | None]


def comparison(first: Account, second: Account) -> str:
    """The page of two results.

    Raises:
        UnsupportedError: VF7012 when they have no property in common.
    """
    told = (first, second)
    theirs = {story.item.name: story for story in second.stories}
    both = [(story, theirs[story.item.name]) for story in first.stories if story.item.name in theirs]
    if not both:
        raise _nothing_in_common(told)
    most = max(LEAST_CELLS, MOST_CELLS // len(both))
    sections = [_section(pair, most) for pair in both]
    return document(
        "comparison",
        [
            element("header", element("p.kicker", "Verifluxa comparison"), element("h1", _title(both))),
            element(
                "main",
                _pair([_side(one, name) for one, name in zip(told, NAMES, strict=True)]),
                *_differences(first.result, second.result),
                *sections,
                *_alone(told, {pair[0].item.name for pair in both}),
                *assumptions(first.result),
                *([] if first.result.arithmetic == second.result.arithmetic else assumptions(second.result)),
                _pair([element("div", *commands(one, name)) for one, name in zip(told, NAMES, strict=True)]),
                *digests(told),
            ),
            footer([one.result for one in told]),
        ],
    )


def _nothing_in_common(told: tuple[Account, Account]) -> UnsupportedError:
    names = [", ".join(story.item.name for story in one.stories[:5]) for one in told]
    return UnsupportedError(
        "VF7012",
        f"these results have no property in common: {names[0]}; {names[1]}",
        place=told[1].path,
        expected="two results with at least one property of the same name",
        remedy="verify both models against the same spec (--model NAME=FILE)",
    )


def _title(both: Sequence[tuple[Story, Story]]) -> str:
    changed = [pair for pair in both if pair[0].item.verdict is not pair[1].item.verdict]
    if not changed:
        verdicts = f"{both[0][0].item.verdict}" if len(both) == 1 else "the same verdicts"
        return f"No verdict changed between A and B: {verdicts} in both."
    if len(both) == 1:
        return f"From A to B the verdict changed: {changed[0][0].item.verdict}, then {changed[0][1].item.verdict}."
    return f"From A to B the verdicts of {len(changed)} of {len(both)} properties changed."


def _side(told: Account, name: str) -> Markup:
    result = told.result
    models = ", ".join(f"{model.file.name} ({model.file.path})" for model in result.models)
    return element(
        "div.panel",
        element("h2", f"{name} ", badge(result.verdict)),
        element("p", headline([story.item for story in told.stories])),
        element("p.note", f"Model: {models}"),
        element("p.note", f"Result: {told.path}"),
    )


def _pair(sides: Sequence[Content]) -> Markup:
    return element("div.pair", *sides)


def _differences(first: Result, second: Result) -> list[Markup]:
    """What the two runs do not have in common."""
    rows, same = [], []
    ours, theirs = (dict(_facts(result)) for result in (first, second))
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = ours.get(name), theirs.get(name)
        if one == other:
            same.append(name)
        else:
            rows.append([name, *(" ".join(fact or ("not there",)) for fact in (one, other))])
    parts: list[Markup] = [table("What is not the same", ["", *NAMES], rows)] if rows else []
    if same:
        parts.append(element("p.note", f"The same in both: {', '.join(same)}."))
    return [element("h2", "What the runs differ in", id="runs"), *parts]


def _facts(result: Result) -> list[tuple[str, tuple[str, ...]]]:
    facts: list[tuple[str, tuple[str, ...]]] = [("spec", (result.spec.path, f"({result.spec.sha256[7:19]}...)"))]
    facts += [(f"model {m.file.name}", (m.file.path, f"({m.file.sha256[7:19]}...)")) for m in result.models]
    facts += [(f"data {d.file.name}", (d.file.path, f"({d.file.sha256[7:19]}...)")) for d in result.data]
    facts += [(f"inputs of {d.file.name} that count", (f"{d.counted:,}",)) for d in result.data]
    facts += [(f"param {name}", (str(value),)) for name, value in result.params]
    return [*facts, ("strategy", result.strategy[:1]), ("arithmetic", (result.arithmetic,))]


def _section(pair: tuple[Story, Story], most: int) -> Markup:
    first, second = (story.item for story in pair)
    note = (
        []
        if first.digest == second.digest
        else [element("p.panel", "The two runs did not ask the same: the statement, its parameters or its data differ. "
                      "Rates of different questions cannot be compared as they stand.")]
    )  # fmt: skip
    return element(
        "section.property",
        element("h2", first.name),
        *note,
        _pair([_answer(story, name) for story, name in zip(pair, NAMES, strict=True)]),
        _pair([_trigger(story, name) for story, name in zip(pair, NAMES, strict=True)]),
        *_places(pair, most),
        *_changes(pair),
    )


def _answer(story: Story, name: str) -> Markup:
    item = story.item
    title = element("h3", f"{name} ", badge(item.verdict, item.reason))
    return element("div", title, element("p", sentence(item)), *interval(item))


def _trigger(story: Story, name: str) -> Markup:
    shown = shown_trigger(story) or [element("p.note", "None that breaks the property.")]
    return element("div", element("h3", f"{name}: the trigger"), *shown, *examples(story, MOST_EXAMPLES))


def _places(pair: tuple[Story, Story], most: int) -> list[Markup]:
    """Both maps, found rates above and proved ones below; or both strips."""
    items = [story.item for story in pair]
    head = element("h3", "Which places carry the risk: A, B")
    if all(is_map(item.places) for item in items):
        whole = [place_map(item.places, most) for item in items]
        both = [[figure(item, one, which) for item, one in zip(items, whole, strict=True)] for which in RATES]
        return [head, *(_pair(figures) for figures in both), legend()]
    lines = [along(item.places) for item in items]
    drawn = [strip(item.places, line, item.limit) for item, line in zip(items, lines, strict=True) if line is not None]
    return [head, _pair(drawn)] if len(drawn) == len(pair) else []


def _changes(pair: tuple[Story, Story]) -> list[Markup]:
    """Where the found rate changed most, among the places about which both know something."""
    before, after = (_by_place(story.item.places) for story in pair)
    common = [key for key in before if key in after]
    change = {key: after[key].found.rate - before[key].found.rate for key in common}
    order = sorted(common, key=lambda key: -abs(change[key]))[:MOST_CHANGES]
    classes = pair[0].item.classes
    rows = [
        [
            label_words(key[0]),
            "" if key[1] is None else class_name(classes, key[1]),
            _ends(before[key]),
            _ends(after[key]),
            f"{float(100 * change[key]):+.1f} points",
        ]
        for key in order
        if change[key]
    ]
    head = ["place", "to class", "A: found .. proved", "B: found .. proved", "found, from A to B"]
    return [table("Where the strongest trigger found changed most", head, rows)] if rows else []


def _ends(place: Place) -> str:
    return f"{percent(place.found)} .. {percent(place.proved)}"


def _by_place(places: Sequence[Place]) -> dict[Key, Place]:
    """Places by what they are; without those of which nothing was found and nothing proved."""
    known = (place for place in places if place.found.count or place.proved.count < place.proved.total)
    return {(place.placement, place.target): place for place in known}


def _alone(told: tuple[Account, Account], both: set[str]) -> list[Markup]:
    """Properties that only one of them has."""
    rows = [
        [story.item.name, name, badge(story.item.verdict, story.item.reason), sentence(story.item)]
        for one, name in zip(told, NAMES, strict=True)
        for story in one.stories
        if story.item.name not in both
    ]
    return (
        [table("Properties of one result alone", ["property", "in", "verdict", "what it means"], rows)] if rows else []
    )
