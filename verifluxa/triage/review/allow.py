"""Comments that allow a finding: `# verifluxa: allow stamp: masks the watermark of the scanner`.

A comment counts for its own line, and for the next one where it stands alone. Without a reason it does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from verifluxa.errors import Span
from verifluxa.triage.review.finding import Finding
from verifluxa.triage.review.rules import NO_REASON, UNUSED
from verifluxa.triage.review.tree import Code

_COMMENT = re.compile(r"#\s*verifluxa:\s*allow\b(?P<rules>[^:]*)(:(?P<reason>.*))?")
_LEAST = 8
"""Letters of a reason."""


@dataclass(frozen=True)
class Allowed:
    """One comment: where, for which lines (from 1) and rules, and why."""

    span: Span
    lines: tuple[int, ...]
    rules: tuple[str, ...]
    reason: str


def comments(code: Code) -> Iterator[Allowed]:
    """The `allow` comments of a file."""
    for part in code.top.inside():
        match = _COMMENT.match(part.text) if part.kind == "line_comment" else None
        if match is None:
            continue
        alone = not code.lines[part.row][: part.column].strip()
        lines = (part.row + 1, part.row + 2) if alone else (part.row + 1,)
        rules = tuple(re.findall(r"[\w-]+", match["rules"]))
        yield Allowed(part.span(code.path), lines, rules, (match["reason"] or "").strip())


def applied(findings: Iterable[Finding], allowed: Iterable[Allowed], known: frozenset[str]) -> Iterator[Finding]:
    """The findings with the reasons of the comments, and what is wrong with the comments.

    Args:
        findings: of one file.
        allowed: the comments of that file.
        known: the names of all rules.
    """
    good = [one for one in allowed if len(one.reason) >= _LEAST and one.rules and set(one.rules) <= known]
    used = set()
    for finding in findings:
        match = next((one for one in good if finding.span.line in one.lines and finding.rule.name in one.rules), None)
        if match is not None:
            used.add(match.span)
        yield finding if match is None else replace(finding, reason=match.reason)
    for one in allowed:
        if one not in good:
            wrong = next((name for name in one.rules if name not in known), None)
            detail = (
                f"there is no rule `{wrong}`" if wrong else "no reason is given" if one.rules else "no rule is named"
            )
            yield Finding(one.span, NO_REASON, detail)
        elif one.span not in used:
            yield Finding(one.span, UNUSED, ", ".join(one.rules))
