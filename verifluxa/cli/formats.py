"""The machine formats of a result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from xml.etree import ElementTree

from verifluxa.errors import Span
from verifluxa.result.document import document, dumps, footing, heading, property_entry
from verifluxa.result.result import PropertyResult, Result
from verifluxa.verdict import Verdict

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Format(StrEnum):
    """What stands on stdout."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    JUNIT = "junit"
    SARIF = "sarif"


class VerifyFormat(StrEnum):
    """The formats of `verify`: those of every result, and that of a benchmark instance."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    JUNIT = "junit"
    SARIF = "sarif"
    VNNCOMP = "vnncomp"


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
    counts = {verdict: sum(item.verdict is verdict for item in result.properties) for verdict in Verdict}
    suite = ElementTree.Element(
        "testsuite",
        name=_xml(result.spec.path),
        tests=str(len(result.properties)),
        failures=str(counts[Verdict.FALSIFIED]),
        errors=str(counts[Verdict.UNKNOWN]),
        skipped="0",
        time=f"{sum(item.seconds for item in result.properties):.3f}",
    )
    for item in result.properties:
        case = ElementTree.SubElement(
            suite, "testcase", classname="verifluxa", name=item.name, time=f"{item.seconds:.3f}"
        )
        if item.verdict is not Verdict.CERTIFIED:
            kind = "failure" if item.verdict is Verdict.FALSIFIED else "error"
            note = ElementTree.SubElement(
                case, kind, type=str(item.reason or item.verdict), message=_xml(_message(item))
            )
            note.text = _xml(item.words)
    root = ElementTree.Element("testsuites", name="verifluxa")
    root.append(suite)
    ElementTree.indent(root)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ElementTree.tostring(root, encoding="unicode")


def _sarif(result: Result) -> dict[str, object]:
    """SARIF 2.1.0: a result for each property, at its line in the spec."""
    rules: list[dict[str, object]] = [
        {"id": str(verdict), "shortDescription": {"text": f"the property is {verdict}"}} for verdict in Verdict
    ]
    return sarif_log(result.version, rules, [_sarif_result(result, item) for item in result.properties])


def sarif_log(
    version: str, rules: Sequence[Mapping[str, object]], results: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """A SARIF 2.1.0 log of one run of this tool.

    Args:
        version: of the tool.
        rules: that the results name, as `reportingDescriptor` objects.
        results: as `result` objects.
    """
    driver = {"name": "verifluxa", "version": version, "rules": list(rules)}
    run = {"tool": {"driver": driver}, "results": list(results)}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def sarif_place(file: str, span: Span | None) -> dict[str, object]:
    """A SARIF location."""
    place: dict[str, object] = {"artifactLocation": {"uri": file}}
    if span is not None:
        place["region"] = {"startLine": span.line, "startColumn": span.column}
    return {"physicalLocation": place}


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


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold."""
    return _NOT_XML.sub("?", text)
