"""`verifluxa review`: Julia training code and its packages, looked at without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from verifluxa.report.summary import Line
    from verifluxa.triage.review.finding import Finding, Review, Rule

SCHEMA = "verifluxa/review/1"
MEANS = (
    "What a clean review does not mean: it reads code, not data or weights, and knows these patterns only. It proves "
    "nothing; `verifluxa verify` does, about the model itself."
)
STYLES = {"note": "cyan", "warning": "bold yellow", "error": "bold red"}


class ReviewFormat(StrEnum):
    """What stands on stdout."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def review(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Julia files, Project.toml, Manifest.toml.")],
    format_: Annotated[ReviewFormat, typer.Option("--format", help="What stands on stdout.")] = ReviewFormat.TEXT,
    against: Annotated[
        str | None, typer.Option("--against", metavar="LOCK", help="A reviewed Manifest.toml to compare with.")
    ] = None,
) -> int:
    """Lists places in training code that a backdoor could come from. Runs nothing of it.

    Exit code 1: something more than a place to read was found. A folder stands for all Julia files in it.
    """
    import sys

    from verifluxa.cli.messages import show_error
    from verifluxa.cli.output import emit, print_lines
    from verifluxa.result.document import dumps
    from verifluxa.triage.review.run import review as reviewed

    found = reviewed(files, against)
    machine = format_ is not ReviewFormat.TEXT
    print_lines(_words(found), sys.stderr if machine else sys.stdout)
    if machine:
        emit(dumps(_document(found) if format_ is ReviewFormat.JSON else _sarif(found)))
    for error in found.refused:
        show_error(error)
    if found.refused:
        return found.refused[0].exit_code
    return 1 if found.alarms else 0


def _words(found: Review) -> Iterator[Line]:
    """A line for each finding, and what its rule means where it strikes first."""
    from verifluxa.report.summary import Line

    said: set[str] = set()
    for item in found.open:
        rule = item.rule
        yield Line(f"{item.span}: {rule.severity}[{rule.name}]: {rule.title}", STYLES[rule.severity])
        yield Line(f"    {item.detail}")
        if rule.name not in said:
            said.add(rule.name)
            yield Line(f"  why: {rule.why}")
            yield Line(f"  do:  {rule.advice}")
    if said:
        yield Line("")
    yield Line(_counted(found))
    yield Line(MEANS)


def _counted(found: Review) -> str:
    from verifluxa.triage.review.finding import Severity

    parts = []
    for severity in reversed(Severity):
        count = sum(item.rule.severity is severity for item in found.open)
        parts.append(f"{count} {severity}{'' if count == 1 else 's'}")
    allowed = len(found.findings) - len(found.open)
    more = f", {allowed} allowed by comments" if allowed else ""
    files = f"{len(found.files)} file{'' if len(found.files) == 1 else 's'}"
    return f"{files}, {found.lines:,} lines of Julia: {', '.join(parts)}{more}"


def _document(found: Review) -> dict[str, object]:
    from verifluxa import __version__

    return {
        "schema": SCHEMA,
        "tool": {"name": "verifluxa", "version": __version__},
        "files": list(found.files),
        "lines": found.lines,
        "findings": [_entry(item) for item in found.findings],
        "rules": {rule.name: {"why": rule.why, "advice": rule.advice} for rule in _used(found)},
        "refused": [{"code": error.code, "message": str(error)} for error in found.refused],
        "means": MEANS,
    }


def _entry(item: Finding) -> dict[str, object]:
    return {
        "rule": item.rule.name,
        "severity": str(item.rule.severity),
        "title": item.rule.title,
        "file": item.span.file,
        "line": item.span.line,
        "column": item.span.column,
        "code": item.detail,
        "allowed": item.reason,
    }


def _used(found: Review) -> list[Rule]:
    return list(dict.fromkeys(item.rule for item in found.findings))


def _sarif(found: Review) -> dict[str, object]:
    """SARIF 2.1.0; what a comment allows is a suppression with its justification."""
    from verifluxa import __version__
    from verifluxa.result.ci_formats import sarif_log

    rules: list[dict[str, object]] = [
        {
            "id": rule.name,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.why},
            "help": {"text": rule.advice},
            "defaultConfiguration": {"level": str(rule.severity)},
        }
        for rule in _used(found)
    ]
    return sarif_log(__version__, rules, [_sarif_result(item) for item in found.findings])


def _sarif_result(item: Finding) -> dict[str, object]:
    from verifluxa.result.ci_formats import sarif_place

    result: dict[str, object] = {
        "ruleId": item.rule.name,
        "level": str(item.rule.severity),
        "message": {"text": f"{item.rule.title}: {item.detail}. Why: {item.rule.why}. Do: {item.rule.advice}."},
        "locations": [sarif_place(item.span.file, item.span)],
    }
    if item.reason is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": item.reason}]
    return result
