"""One line of the log of decisions: bounded, and chained to the line before by its digest.

Lines of schema 1, which list files, reasons and verdicts in full, are still read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from verifluxa.certificate.document import Fields, Json, canonical_json, read_json
from verifluxa.errors import CertificateError, GateError
from verifluxa.gate.reference import Reference, parse_reference
from verifluxa.verdict import Verdict

SCHEMA = 2
START = "sha256:" + "0" * 64
"""What the first line names as the line before it."""
NO_FILES = "none"
ANY_PROPERTY = "*"
LONGEST = 2**14
"""Bytes of a line; the longest that this version writes."""
LONGEST_EVER = 2**20
"""Bytes of a line of schema 1."""
MOST_LISTED = 16
"""Codes, keys and properties in one line; what is beyond is counted."""
ACTIONS = ("decide", "promote", "server", "load", "audit", "changed", "withdrawn")


@dataclass(frozen=True)
class Line:
    """A decision as it is remembered.

    Attributes:
        time, action, reference, permitted: what was decided when.
        certificate, time_verified: of the certificate that counted.
        files: digest of all files, or `none` where none were looked at.
        falsified: required properties that a trusted certificate showed to be false of these files.
        overridden: permitted by an override.
        serial: of the policy, 0 where it has none.
        decision: digest of the signed decision, or `none`.
        source: where the registry kept the files.
        counted: refusals since the line before that were counted and not written.
        words: the whole line.
    """

    time: datetime
    action: str
    reference: Reference
    permitted: bool
    certificate: str
    time_verified: datetime | None
    files: str
    falsified: tuple[str, ...] = ()
    overridden: bool = False
    serial: int = 0
    decision: str = "none"
    source: str = ""
    counted: int = 0
    words: Mapping[str, Json] = field(default_factory=dict)


def parse_time(text: str) -> datetime:
    """A time as `time_text` writes it."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def line_digest(line: bytes) -> str:
    """`sha256:...` of a line without its end."""
    return "sha256:" + hashlib.sha256(line).hexdigest()


def encode_line(record: Mapping[str, Json], index: int, previous: str) -> bytes:
    """The bytes of a line, without its end.

    Raises:
        GateError: VF6070 when it is too long: no value of a record may be unbounded.
    """
    line = canonical_json({**record, "schema": SCHEMA, "index": index, "previous": previous})
    if len(line) > LONGEST:
        raise broken("the log", f"a line of {len(line)} bytes is too long")
    return line


def chained(line: bytes, index: int, previous: str) -> bool:
    """Whether a line names its number and the line before it; nothing else is looked at.

    Lines are canonical JSON, so that these texts stand in no string within.
    """
    return b'"index":%d,' % index in line and b'"previous":"%b"' % previous.encode() in line


def parse_line(line: bytes, index: int, previous: str, place: str) -> Line:
    """Reads one line strictly.

    Args:
        line: its bytes, without the end.
        index: the number that it must have.
        previous: digest of the line before.
        place: what the line is called in messages.

    Raises:
        GateError: VF6070 for anything that the gate did not write there.
    """
    if len(line) > LONGEST_EVER:
        raise broken(place, "a line is too long")
    try:
        value = read_json(line, place)
        fields = Fields(value, place)
        if fields.integer("index") != index or fields.text("previous") != previous:
            raise broken(place, "the chain is broken: a line was changed, moved or left out before it")
        schema = fields.integer("schema", 1, SCHEMA) if fields.has("schema") else 1
        found = (_first if schema == 1 else _second)(fields)
    except (CertificateError, GateError) as error:
        if error.code == "VF6070":
            raise
        raise broken(place, f"a line is not one that the gate wrote: {error.message}") from error
    words = value if isinstance(value, dict) else {}
    return Line(
        time=fields.time("time"),
        action=fields.choice("action", *ACTIONS),
        reference=parse_reference(fields.text("reference")),
        permitted=fields.flag("permitted"),
        certificate=fields.text("certificate"),
        time_verified=fields.time("timeVerified") if fields.has("timeVerified") else None,
        overridden=fields.has("override"),
        words=words,
        **found,
    )


def _first(fields: Fields) -> dict[str, Any]:
    verdicts = fields.named_texts("verdicts")
    falsified = tuple(name for name, verdict in verdicts.items() if verdict == Verdict.FALSIFIED)
    return {"files": fields.text("filesDigest"), "falsified": falsified}


def _second(fields: Fields) -> dict[str, Any]:
    falsified = [str(item) for item in fields.items("falsified", MOST_LISTED + 1)]
    return {
        "files": fields.text("files"),
        "falsified": tuple(falsified),
        "serial": fields.integer("serial"),
        "decision": fields.text("decision"),
        "source": fields.text("source"),
        "counted": fields.integer("counted"),
    }


def broken(place: str, why: str) -> GateError:
    """The error for a log that cannot be relied on (VF6070)."""
    return GateError(
        "VF6070",
        f"the log of decisions cannot be relied on: {why}",
        place=place,
        expected="every line as the gate wrote it, in its place",
        remedy="compare with a copy; without its memory the gate permits nothing (`verifluxa explain VF6070`)",
    )
