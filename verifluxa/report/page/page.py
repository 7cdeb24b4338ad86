"""The whole page of one result."""

from __future__ import annotations

from collections.abc import Sequence

from verifluxa.report.page.drawing import short
from verifluxa.report.page.elements import Markup, element, joined, table
from verifluxa.report.page.facts import assumptions, commands, digests, inputs_that_do_not_count
from verifluxa.report.page.property import badge, property_section
from verifluxa.report.page.style import policy, sheet
from verifluxa.report.story import Account
from verifluxa.report.words import headline, meaning, sentence
from verifluxa.result.result import Result

MOST_CELLS = 4_096
LEAST_CELLS = 64


def page(told: Account) -> str:
    """The page of a result: one HTML document that needs nothing else."""
    result = told.result
    most = max(LEAST_CELLS, MOST_CELLS // len(told.stories))
    numbers = [None] if len(told.stories) == 1 else range(1, len(told.stories) + 1)
    sections = [
        property_section(story, number, result.strategy[0], most)
        for number, story in zip(numbers, told.stories, strict=True)
    ]
    return document(
        f"{result.verdict}: {result.spec.path}",
        [
            element("header", *_top(told)),
            element(
                "main",
                *_overview(told),
                *sections,
                *inputs_that_do_not_count(result),
                *assumptions(result),
                *commands(told),
                *digests([told]),
            ),
            footer([result]),
        ],
    )


def document(title: str, body: Sequence[Markup]) -> str:
    """The frame of a page: its policy, its style, and what stands in it."""
    style = sheet()
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(style)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"Verifluxa report: {title}"),
        Markup(f"<style>{style}</style>"),
    )
    return joined([Markup("<!doctype html>\n"), element("html", head, element("body", *body), lang="en"), "\n"])


def footer(results: Sequence[Result]) -> Markup:
    """Who made it, and where the work was done."""
    made = [
        f"Verified by verifluxa {result.version}, strategy {result.strategy[0]}, cluster {result.machine.cluster}, "
        f"workers {result.machine.workers}, device {result.machine.device}."
        for result in results
    ]
    return element("footer", *(element("p", words) for words in dict.fromkeys(made)))


def _top(told: Account) -> list[Markup]:
    result = told.result
    stories = [story.item for story in told.stories]
    models = ", ".join(f"{model.file.name} ({model.file.path})" for model in result.models)
    return [
        element("p.kicker", "Verifluxa report"),
        element("h1", headline(stories)),
        element("p", badge(result.verdict), f" Model: {models}"),
        *([element("p", meaning(result.verdict))] if len(stories) == 1 and stories[0].compared is None else []),
        element("p.note", f"Asked in {result.spec.path}."),
    ]


def _overview(told: Account) -> list[Markup]:
    """A table of the properties, where there are several."""
    if len(told.stories) < 2:
        return []
    rows = [
        [
            element("a", story.item.name, href=f"#p{number}"),
            badge(story.item.verdict, story.item.reason),
            short(story.item),
            sentence(story.item),
        ]
        for number, story in enumerate(told.stories, 1)
    ]
    return [table("Properties", ["property", "verdict", "[found, proved]", "what it means"], rows)]
