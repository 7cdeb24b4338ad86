"""JUnit and SARIF, the formats that build servers read: for results, reviews of code, and decisions of the gate."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from xml.etree import ElementTree

from verifluxa.errors import Span

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Trouble(NamedTuple):
    """Why a test case did not pass: a line, and all of it."""

    kind: Literal["failure", "error"]
    type: str
    message: str
    text: str


class JUnitCase(NamedTuple):
    """A test case; `trouble` is None where it passed."""

    name: str
    trouble: Trouble | None
    seconds: float | None = None


def junit(suite: str, classname: str, cases: Sequence[JUnitCase]) -> str:
    """One test suite as XML."""
    counts = Counter(case.trouble.kind for case in cases if case.trouble is not None)
    times = [case.seconds for case in cases if case.seconds is not None]
    root = ElementTree.Element("testsuites", name="verifluxa")
    top = _element(
        root,
        "testsuite",
        name=suite,
        tests=str(len(cases)),
        failures=str(counts["failure"]),
        errors=str(counts["error"]),
        skipped="0",
        **_time(sum(times) if times else None),
    )
    for case in cases:
        entry = _element(top, "testcase", classname=classname, name=case.name, **_time(case.seconds))
        if case.trouble is not None:
            note = _element(entry, case.trouble.kind, type=case.trouble.type, message=case.trouble.message)
            note.text = _xml(case.trouble.text)
    ElementTree.indent(root)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ElementTree.tostring(root, encoding="unicode")


def sarif_log(
    version: str,
    rules: Sequence[Mapping[str, object]],
    results: Sequence[Mapping[str, object]],
    tool: str = "verifluxa",
) -> dict[str, object]:
    """A SARIF 2.1.0 log of one run of this tool.

    Args:
        version: of the tool.
        rules: that the results name, as `reportingDescriptor` objects.
        results: as `result` objects.
        tool: its name.
    """
    driver = {"name": tool, "version": version, "rules": list(rules)}
    run = {"tool": {"driver": driver}, "results": list(results)}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def sarif_place(file: str, span: Span | None) -> dict[str, object]:
    """A SARIF location."""
    place: dict[str, object] = {"artifactLocation": {"uri": file}}
    if span is not None:
        place["region"] = {"startLine": span.line, "startColumn": span.column}
    return {"physicalLocation": place}


def _element(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, {name: _xml(value) for name, value in attributes.items()})


def _time(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"time": f"{seconds:.3f}"}


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 cannot hold."""
    return _NOT_XML.sub("?", text)
