"""What a review says: rules, and the places where they strike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from verifluxa.errors import Span, VerifluxaError


class Severity(StrEnum):
    """How much a finding says: a place to read, something unusual, something that backdoors are made of."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Rule:
    """What is looked for, in words.

    Attributes:
        name: by which comments and programs call it.
        severity: of its findings.
        title: what was found, a few words.
        why: what it has to do with backdoors.
        advice: what to do.
    """

    name: str
    severity: Severity
    title: str
    why: str
    advice: str


@dataclass(frozen=True)
class Finding:
    """A place where a rule strikes.

    Attributes:
        span: the place.
        rule: the rule.
        detail: the piece of code, or the package, on one line.
        reason: why a comment in the code allows it; None where nothing does.
    """

    span: Span
    rule: Rule
    detail: str
    reason: str | None = None


@dataclass(frozen=True)
class Review:
    """All that was found.

    Attributes:
        files: the files that were read, in order.
        lines: of Julia code, in all.
        findings: in the order of their places, the allowed ones included.
        refused: files that could not be read, and why.
    """

    files: tuple[str, ...]
    lines: int
    findings: tuple[Finding, ...]
    refused: tuple[VerifluxaError, ...]

    @property
    def open(self) -> Sequence[Finding]:
        """The findings that no comment allows."""
        return [item for item in self.findings if item.reason is None]

    @property
    def alarms(self) -> Sequence[Finding]:
        """The open findings that are more than a place to read."""
        return [item for item in self.open if item.rule.severity is not Severity.NOTE]
