"""The whole page of one result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from verifluxa.report.meaning import meaning
from verifluxa.report.page.elements import Markup, clipped, element, joined, ranges, short, table
from verifluxa.report.page.property import badge, property_section
from verifluxa.report.page.style import policy, sheet
from verifluxa.report.story import Account
from verifluxa.report.words import headline, sentence
from verifluxa.result.result import DataUsed, Result
from verifluxa.result.write import RESULT_FILE

CERTIFICATE = "certificate.json"

ARITHMETIC = {
    "float32": "every IEEE-754 binary32 evaluation of the network's own operation sequence: sums in any order, with or "
    "without fused multiply-add. Excluded by name: TF32, Winograd and FFT convolutions, reduced-precision modes.",
    "float64": "every IEEE-754 binary64 evaluation of the network's own operation sequence: sums in any order, with or "
    "without fused multiply-add. Excluded by name: TF32, Winograd and FFT convolutions, reduced-precision modes.",
    "real": "exact real arithmetic over the stored numbers. It says nothing certain about a deployed network.",
}
ALWAYS = (
    "Only the triggers of the stated family are covered. Warps, rotations and triggers made for each input by a "
    "generator are not, unless the statement says so.",
    "A rate speaks of the inputs that were counted, and of no others.",
    "Ties count against a property, and a trigger that was found violates strictly.",
    "This page repeats what the result says, and is no proof. The certificate can be recomputed: see the commands.",
)


def inputs_that_do_not_count(result: Result) -> list[Markup]:
    """Which inputs were left out, and why."""
    parts: list[Markup] = []
    for data in result.data:
        words = f"{data.file.name} ({data.file.path}): {data.counted:,} inputs count, {len(data.excluded):,} do not."
        parts.append(element("p", words))
        if data.excluded:
            rows = [[reason, f"{len(at):,}", ranges(at)] for reason, at in _by_reason(data)]
            head = ["reason", "inputs", "positions in the file, from 0"]
            parts.append(table(f"Inputs of {data.file.name} that do not count", head, rows))
    return [element("h2", "Inputs that do not count", id="excluded"), *parts]


def _by_reason(data: DataUsed) -> list[tuple[str, list[int]]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for index, reason in data.excluded:
        groups[reason].append(index)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def assumptions(result: Result) -> list[Markup]:
    """What a reader must know before relying on it."""
    covered = ARITHMETIC.get(result.arithmetic, "an arithmetic that this version does not know.")
    words = [f"Arithmetic {result.arithmetic}: {covered}", *ALWAYS]
    if any(item.population is not None for item in result.properties):
        from verifluxa.certificate.population import ASSUMPTIONS

        words.append(f"What is said of the population: {ASSUMPTIONS}")
    return [element("h2", "What is assumed", id="assumptions"), element("ul", *(element("li", line) for line in words))]


def commands(told: Account, name: str = "") -> list[Markup]:
    """How to do it again, and how to check it without trusting who did it; `name`: of one of two results."""
    folder, path = Path(told.path).parent, told.path
    lines = [("The same run again", verify_command(told))]
    if any(item.counterexample is not None for item in told.result.properties):
        lines.append(("Only the trigger, on the model", f"verifluxa replay {quote(path)}"))
    if Path(path).name == RESULT_FILE:
        check = f"verifluxa cert check {quote(str(folder / CERTIFICATE))}"
        lines.append(("The proof, recomputed by a small program of its own", check))
    lines.append(("This page", f"verifluxa report {quote(path)}"))
    steps = [part for words, line in lines for part in (element("p", words + ":"), element("pre", clipped(line)))]
    note = (
        "Paths are as the run was given them; the seed is the strategy's own unless --seed was given. With --force the "
        "same run replaces this result; give another folder to --out to keep both."
    )
    title = "How to do it again and check it" + (f": {name}" if name else "")
    return [element("h2", title, id=f"again{name}"), *steps, element("p.note", note)]


def verify_command(told: Account) -> str:
    """The exact command of the run, as far as a result tells it."""
    result = told.result
    words = ["verifluxa", "verify", result.spec.path]
    for option, files in (
        ("--model", [model.file for model in result.models]),
        ("--data", [d.file for d in result.data]),
    ):
        for file in files:
            words += [option, f"{file.name}={file.path}"]
    for name, value in result.params:
        words += ["--set", f"{name}={value}"]
    if not told.whole:
        for item in result.properties:
            words += ["--property", item.name]
    gaps = {item.gap for item in result.properties if item.gap is not None}
    if len(gaps) == 1:
        words += ["--gap", f"{float(100 * gaps.pop()):g}%"]
    words += ["--strategy", result.strategy[0], "--cluster", result.machine.cluster, "--arithmetic", result.arithmetic]
    return " ".join(quote(word) for word in [*words, "--out", str(Path(told.path).parent), "--force"])


def digests(accounts: Sequence[Account]) -> list[Markup]:
    """The digests of everything that a result speaks of; of two results side by side."""
    rows: dict[str, list[str]] = {}
    for number, told in enumerate(accounts):
        for name, digest in _digests(told):
            rows.setdefault(name, [""] * len(accounts))[number] = digest
    head = ["what", "SHA-256"] if len(accounts) == 1 else ["what", "A", "B"]
    body = [
        [name, *(element("code", value.removeprefix("sha256:")) for value in values)] for name, values in rows.items()
    ]
    return [element("h2", "Digests", id="digests"), table("What this page speaks of", head, body)]


def _digests(told: Account) -> list[tuple[str, str]]:
    result = told.result
    found = [("result document", told.sha256), ("spec", result.spec.sha256)]
    for model in result.models:
        found += [
            (f"model {model.file.name}, file", model.file.sha256),
            (f"model {model.file.name}, lifted", model.graph_sha256),
        ]
        if model.architecture is not None:
            found.append((f"model {model.file.name}, architecture", model.architecture.sha256))
    found += [(f"data {data.file.name}", data.file.sha256) for data in result.data]
    found += [(f"property {item.name}", item.digest) for item in result.properties]
    return [*found, (f"strategy {result.strategy[0]}", result.strategy[1])]


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
        *([element("p", meaning(stories[0]))] if len(stories) == 1 else []),
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
