"""The machine formats of a result."""

from __future__ import annotations

import json
from typing import Literal

from verifluxa.cli.options import Format
from verifluxa.result.ci_formats import JUnitCase, Trouble, junit, sarif_log, sarif_place
from verifluxa.result.document import document, dumps, footing, heading, property_entry
from verifluxa.result.result import PropertyResult, Result
from verifluxa.verdict import Verdict


def rendered(result: Result, chosen: Format) -> str:
    """The result in a machine format."""
    if chosen is Format.JSONL:
        return _jsonl(result)
    if chosen is Format.JUNIT:
        return _junit(result)
    return dumps(_sarif(result) if chosen is Format.SARIF else document(result))


def _jsonl(result: Result) -> str:
    """A line for the run, one for each property, a last one with the verdict and the machine."""
    head = heading(result)
    verdict = head.pop("verdict")
    records: list[dict[str, object]] = [{"record": "run", **head}]
    records += [{"record": "property", **property_entry(item)} for item in result.properties]
    records.append({"record": "verdict", "verdict": verdict, **footing(result)})
    return "\n".join(json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)


def _junit(result: Result) -> str:
    """A test case for each property. Unknown is an error, not skipped: it must never pass for success."""
    return junit(result.spec.path, "verifluxa", [_test_case(item) for item in result.properties])


def _test_case(item: PropertyResult) -> JUnitCase:
    trouble = None
    if item.verdict is not Verdict.CERTIFIED:
        kind: Literal["failure", "error"] = "failure" if item.verdict is Verdict.FALSIFIED else "error"
        trouble = Trouble(kind, str(item.reason or item.verdict), _message(item), item.words)
    return JUnitCase(item.name, trouble, item.seconds)


def _sarif(result: Result) -> dict[str, object]:
    """SARIF 2.1.0: a result for each property, at its line in the spec."""
    rules: list[dict[str, object]] = [
        {"id": str(verdict), "shortDescription": {"text": f"the property is {verdict}"}} for verdict in Verdict
    ]
    return sarif_log(result.version, rules, [_sarif_result(result, item) for item in result.properties])


def _sarif_result(result: Result, item: PropertyResult) -> dict[str, object]:
    levels = {
        Verdict.CERTIFIED: ("pass", "none"),
        Verdict.FALSIFIED: ("fail", "error"),
        Verdict.UNKNOWN: ("open", "warning"),
    }
    kind, level = levels[item.verdict]
    return {
        "ruleId": str(item.verdict),
        "kind": kind,
        "level": level,
        "message": {"text": f"{item.name}: {_message(item)}. {item.words}"},
        "locations": [sarif_place(result.spec.path, item.span)],
        "properties": {"digest": item.digest},
    }


def _message(item: PropertyResult) -> str:
    from verifluxa.report.words import effect_words, place_words

    if item.counterexample is not None:
        return f"trigger at {place_words(item.counterexample)}: {effect_words(item, item.counterexample)}"
    return f"{item.verdict} ({item.reason})" if item.reason is not None else str(item.verdict)
