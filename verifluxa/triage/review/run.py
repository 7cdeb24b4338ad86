"""A review from its files to its findings. Nothing of the code is run; every file is bounded in size and time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from verifluxa.errors import DataError, Span, UsageError, VerifluxaError
from verifluxa.triage.review.finding import Finding, Review, Rule
from verifluxa.triage.review.names import names_of
from verifluxa.triage.review.packages import PACKAGE_RULES, Packages, is_packages, of_packages, read_packages
from verifluxa.triage.review.rules import CODE_RULES, DEEP, HIDDEN, NO_REASON, SYNTAX, UNUSED
from verifluxa.triage.review.tree import Code, cannot_review, quoted, read_code

# Comments that allow a finding: `# verifluxa: allow stamp: masks the watermark of the scanner`.
#
# A comment counts for its own line, and for the next one where it stands alone. Without a reason it does not count.

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


# A review of a folder

MOST_FILES = 2000
MOST_SECONDS = 20.0
"""CPU seconds for the rules on one file."""
ALL_RULES: tuple[Rule, ...] = (
    *(row.rule for row in CODE_RULES),
    *(SYNTAX, DEEP, HIDDEN, NO_REASON, UNUSED),
    *PACKAGE_RULES,
)
_HIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def review(paths: Sequence[str], against: str | None = None) -> Review:
    """Reviews files; of a folder all Julia files, Project.toml and Manifest.toml.

    Args:
        paths: files and folders.
        against: a Manifest.toml that was reviewed before, to compare with.

    Raises:
        UsageError: VF8050 without tree-sitter, VF8054 when there are no files or too many, VF8055 when `against` has
            nothing to be compared with.
        DataError: `against` cannot be read.
    """
    files = _files(paths)
    lock = None if against is None else read_packages(against)
    if lock is not None and not any(_is_manifest(path) for path in files):
        raise UsageError(
            "VF8055",
            "--against compares manifests, and none is reviewed",
            expected="a Manifest.toml among the files",
        )
    findings: list[Finding] = []
    refused: list[VerifluxaError] = []
    read, lines = [], 0
    for path in files:
        try:
            found, count = _of_packages(path, files, lock) if is_packages(path) else _of_code(path)
        except DataError as error:
            refused.append(error)
            continue
        findings += sorted(found, key=lambda one: (one.span.line, one.span.column, one.rule.name))
        lines += count
        read.append(path)
    return Review(tuple(read), lines, tuple(findings), tuple(refused))


def _files(paths: Sequence[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        if Path(path).is_dir():
            inside = (one for one in sorted(Path(path).rglob("*")) if one.suffix == ".jl" or is_packages(str(one)))
            found += [str(one) for one in inside if one.is_file()]
        else:
            found.append(path)
    unique = list(dict.fromkeys(found))
    if not 0 < len(unique) <= MOST_FILES:
        raise UsageError(
            "VF8054",
            f"there are {len(unique):,} files to review",
            expected=f"1 to {MOST_FILES:,} files: Julia code (.jl), Project.toml, Manifest.toml",
            remedy="name the files that the training runs",
        )
    return unique


def _is_manifest(path: str) -> bool:
    return is_packages(path) and "Manifest" in Path(path).name


def _of_packages(path: str, files: Sequence[str], lock: Packages | None) -> tuple[list[Finding], int]:
    folder = Path(path).parent
    locked = any(_is_manifest(other) and Path(other).parent == folder for other in files)
    locked = locked or (folder / "Manifest.toml").is_file() or (folder / "JuliaManifest.toml").is_file()
    return list(of_packages(read_packages(path), locked, lock)), 0


def _of_code(path: str) -> tuple[list[Finding], int]:
    if Path(path).suffix != ".jl" and Path(path).is_file():
        raise cannot_review(path, "its name does not end in .jl, so it is no Julia code")
    code = read_code(path)
    found = [*_hidden(code), *_struck(code), *_broken(code)]
    found += [Finding(part.span(path), DEEP, quoted(part)) for part in code.cut[:1]]
    known = frozenset(rule.name for rule in ALL_RULES)
    return list(applied(found, list(comments(code)), known)), len(code.lines) - (code.lines[-1] == "")


def _struck(code: Code) -> Iterator[Finding]:
    """Each rule strikes a part once, and no rule twice on one line for nested parts."""
    names = names_of(code.top)
    limit = time.process_time() + MOST_SECONDS
    seen: set[tuple[str, int]] = set()
    for number, part in enumerate(code.top.inside()):
        if number % 1000 == 0 and time.process_time() > limit:
            raise DataError(
                "VF8052",
                f"the review of this file takes longer than {MOST_SECONDS:g} seconds",
                place=code.path,
                expected="code that people can read",
            )
        for row in CODE_RULES:
            shown = row.strikes(part, names)
            if shown is not None and (row.rule.name, shown.row) not in seen:
                seen.add((row.rule.name, shown.row))
                yield Finding(shown.span(code.path), row.rule, quoted(shown))


def _broken(code: Code) -> Iterator[Finding]:
    """The innermost parts that do not parse: the ones around them only say that something is wrong inside."""
    rows: set[int] = set()
    around = {id(one) for part in code.top.inside() if part.broken for one in part.around()}
    for part in code.top.inside():
        if part.broken and id(part) not in around and part.row not in rows:
            rows.add(part.row)
            yield Finding(part.span(code.path), SYNTAX, quoted(part) or f"`{part.kind}` is missing here")


def _hidden(code: Code) -> Iterator[Finding]:
    for row, line in enumerate(code.lines):
        for match in _HIDDEN.finditer(line):
            if row == 0 and match.start() == 0 and match[0] == "\ufeff":
                continue
            column = match.start() + 1
            yield Finding(Span(code.path, row + 1, column, row + 1, column + 1), HIDDEN, f"U+{ord(match[0]):04X}")
