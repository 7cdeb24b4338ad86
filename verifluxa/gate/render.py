"""Decisions for people and for machines: text, JSON, JUnit, SARIF."""

from __future__ import annotations

import json
from collections.abc import Sequence

from verifluxa import __version__
from verifluxa.gate.case import Decision
from verifluxa.gate.formats import Format
from verifluxa.gate.run import record
from verifluxa.result.ci_formats import JUnitCase, Trouble, junit, sarif_log


def rendered(decisions: Sequence[Decision], chosen: Format, action: str) -> str:
    """Decisions in a format; `action` is what was done: `decide`, `promote`, `audit`."""
    if chosen is Format.JUNIT:
        return _junit(decisions, action)
    if chosen is Format.SARIF:
        return json.dumps(_sarif(decisions), indent=1)
    if chosen is Format.JSON:
        return json.dumps(
            {"schema": "verifluxa/gate/1", "decisions": [record(item, action) for item in decisions]}, indent=1
        )
    return "\n".join(line for item in decisions for line in _text(item))


def _text(decision: Decision) -> list[str]:
    if decision.permitted and decision.override is None:
        return [f"permitted: {decision.reference}", f"  certificate {decision.certificate}"]
    if decision.permitted and decision.override is not None:
        head = [
            f"PERMITTED BY OVERRIDE: {decision.reference}",
            f"  override {decision.override[0]}: {decision.override[1]}",
        ]
        return [*head, *(f"  despite {item.code}: {item.message}" for item in decision.reasons)]
    return [f"DENIED: {decision.reference}", *(_reason(item) for item in decision.reasons)]


def _reason(item: Exception) -> str:
    return "\n".join("  " + line for line in str(item).splitlines())


def _words(decision: Decision) -> str:
    return "; ".join(f"{item.code}: {item.message}" for item in decision.reasons)


def _junit(decisions: Sequence[Decision], action: str) -> str:
    return junit(f"verifluxa gate {action}", "verifluxa.gate", [_test_case(item) for item in decisions])


def _test_case(item: Decision) -> JUnitCase:
    reasons = "\n".join(str(reason) for reason in item.reasons)
    trouble = None if item.permitted else Trouble("failure", "denied", _words(item), reasons)
    return JUnitCase(str(item.reference), trouble)


def _sarif(decisions: Sequence[Decision]) -> dict[str, object]:
    """SARIF 2.1.0: a result for each reason; one that passes for each permission."""
    codes = sorted({reason.code for item in decisions for reason in item.reasons})
    rules = [{"id": code, "shortDescription": {"text": f"verifluxa explain {code}"}} for code in ("permitted", *codes)]
    results = [result for item in decisions for result in _results(item)]
    return sarif_log(__version__, rules, results, "verifluxa gate")


def _results(decision: Decision) -> list[dict[str, object]]:
    place = [{"logicalLocations": [{"fullyQualifiedName": str(decision.reference), "kind": "resource"}]}]
    if decision.permitted:
        words = f"{decision.reference} is permitted" + (
            f" by override: {decision.override[1]}" if decision.override else ""
        )
        message = {"text": words}
        return [{"ruleId": "permitted", "kind": "pass", "level": "none", "message": message, "locations": place}]
    return [
        {
            "ruleId": item.code,
            "level": "error",
            "message": {"text": f"{decision.reference}: {item.message}"},
            "locations": place,
        }
        for item in decision.reasons
    ]
