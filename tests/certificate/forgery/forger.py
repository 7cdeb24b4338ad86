"""Hands mutants in, and says which false values the checker lets pass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.certificate.forgery.mutations import Mutant
from tests.certificate.forgery.oracle import Base, Wrong, false_values
from verifluxa.certificate.check.report import CheckReport
from verifluxa.certificate.check.run import check_certificate

ACCEPTED, REJECTED, NOT_RECHECKED = 0, 1, 3
BY_THE_PROOF = {
    "predicate.properties[].verdict",
    "predicate.properties[].bound.proved",
    "predicate.properties[].coverage.certified",
    "predicate.properties[].population.failures",
    "predicate.properties[].population.bound",
    "evidence.v",
    "evidence.proved",
}
"""What rests on the leaves of a proof, and is not vouched for while one of them is not rechecked."""
BY_THE_QUESTIONS = ("predicate.data[].counted", "predicate.data[].excluded", "predicate.data[].indices", "evidence")
"""What is not vouched for either, as is everything about a property, where nothing of it is recomputed."""
BY_THE_FILES = {f"predicate.properties[].{key}" for key in ("digest", "evidence")}
"""What is checked of every property."""


@dataclass(frozen=True)
class Passed:
    """A mutant that was not rejected, and the false values in it that a reader is left to believe."""

    base: str
    mutant: Mutant
    wrong: tuple[Wrong, ...]


def check(base: Base, path: Path) -> CheckReport:
    """What `verifluxa cert check` says of a certificate of this world."""
    return check_certificate(path, spec=str(base.folder / "spec.vfx"))


def try_all(name: str, base: Base, mutants: Iterable[Mutant], folder: Path) -> Iterator[tuple[int, Passed | None]]:
    """The exit code of each mutant, and what passed with it beside what was false before."""
    before = set(false_values(base, base.files))
    for mutant in mutants:
        files = mutant.make()
        report = check(base, files.write(folder))
        if report.exit_code == REJECTED:
            yield REJECTED, None
            continue
        wrong = tuple(one for one in false_values(base, files) if one not in before and is_vouched(report, one))
        yield report.exit_code, Passed(name, mutant, wrong)


def is_vouched(report: CheckReport, wrong: Wrong) -> bool:
    """Whether a reader of the report is left to believe a value."""
    if wrong.path == "predicate.properties":  # a property of the spec is missing: saying so is enough
        return re.search(rf"\b{re.escape(wrong.prop or '')}\b", report.text()) is None
    checks = [one for one in report.properties if one.said.name == wrong.prop]
    if wrong.path.startswith("predicate.properties[].bound.proved") and checks and not checks[0].vouched:
        return False
    if report.exit_code == ACCEPTED:
        return True
    if wrong.path == "predicate.verdict":
        return not report.unrechecked
    if checks and checks[0].note:
        about = wrong.path.startswith(("predicate.properties[].", *BY_THE_QUESTIONS))
        return not about or wrong.path in BY_THE_FILES
    return not checks or not checks[0].unrechecked or wrong.path not in BY_THE_PROOF


def names_as_free(report: CheckReport, word: str) -> bool:
    """Whether the report says of a field of free text that it does not vouch for it."""
    lines = [line.lower() for line in report.text().splitlines()]
    return any("not vouched for" in line and word.lower() in line for line in lines)
