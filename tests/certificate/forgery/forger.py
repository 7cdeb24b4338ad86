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
BY_THE_PROOF = (
    "predicate.properties[].verdict",
    "predicate.properties[].bound.proved",
    "predicate.properties[].coverage.certified",
    "predicate.properties[].coverage.falsified",
    "predicate.properties[].population",
    "evidence.",
)
"""What rests on the leaves of a proof, and is not vouched for while one of them is not rechecked."""
BY_THE_INPUTS = (
    *BY_THE_PROOF,
    "predicate.properties[].coverage.inputs",
    "predicate.properties[].coverage.questions",
    "predicate.data[].counted",
    "predicate.data[].excluded",
    "predicate.data[].indices",
)
"""What is not vouched for either while nobody can tell which inputs count."""
BY_THE_FILES = ("predicate.properties[].digest", "predicate.properties[].evidence")
"""What is checked even of a property of which nothing is recomputed."""
BY_ITSELF = {
    "predicate.properties[].bound.proved": "no trigger misleads more than",
    "predicate.properties[].bound.found": "that a trigger misleads",
    "predicate.properties[].population": "of the population",
    "predicate.properties[].counterexample.holdsIn": "in every order of evaluation",
    "predicate.properties[].counterexample.inputs": "exactly the inputs that it lists",
    "predicate.properties[].counterexample.rate": "exactly the inputs that it lists",
    "predicate.properties[].counterexample.margin": "the margin that it states",
}
"""What a report may name as not vouched for, and the words by which it does."""


@dataclass(frozen=True)
class Passed:
    """A mutant that was not rejected, and the false values in it that a reader is left to believe."""

    base: str
    mutant: Mutant
    code: int
    wrong: tuple[Wrong, ...]


def check(base: Base, path: Path) -> CheckReport:
    """What `verifluxa cert check` says of a certificate of this world."""
    return check_certificate(path, spec=str(base.folder / "spec.vfx"))


def try_all(name: str, base: Base, mutants: Iterable[Mutant], folder: Path) -> Iterator[tuple[int, Passed | None]]:
    """The exit code of each mutant, and what passed with it beside what was false before."""
    for mutant in mutants:
        files = mutant.make()
        report = check(base, files.write(folder))
        if report.exit_code == REJECTED:
            yield REJECTED, None
            continue
        wrong = [one for one in false_values(base, files) if one not in base.false_before and is_vouched(report, one)]
        yield report.exit_code, Passed(name, mutant, report.exit_code, tuple(wrong))


def is_vouched(report: CheckReport, wrong: Wrong) -> bool:
    """Whether a reader of the report is left to believe a value."""
    if wrong.path == "predicate.properties":  # a property of the spec is missing: saying so is enough
        return re.search(rf"\b{re.escape(wrong.prop or '')}\b", report.text()) is None
    if wrong.path == "predicate.verdict":
        return report.exit_code == ACCEPTED
    found = next((one for one in report.properties if one.said.name == wrong.prop), None)
    if found is None:
        return True
    named = " ".join(getattr(found, "unvouched", ()))
    left = [path for path, words in BY_ITSELF.items() if words in named]
    left += BY_THE_PROOF if found.unrechecked else ()
    left += BY_THE_INPUTS if getattr(found, "unjudged", 0) else ()
    left += ("predicate.properties[].", *BY_THE_INPUTS) if found.note else ()
    return not wrong.path.startswith(tuple(left)) or (bool(found.note) and wrong.path in BY_THE_FILES)
