"""The gate's memory: an append-only log of decisions, one JSON line each, chained by digests.

Every line names the digest of the line before.

Beside it lies `<log>.head` with the number and digest of the last line, so that lines cut off at the end are noticed.
Whoever can rewrite both files can only be noticed by a copy of the head kept elsewhere: `gate audit --head`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from verifluxa.certificate.document import Json, canonical_json, read_json
from verifluxa.certificate.fields import Fields
from verifluxa.errors import CertificateError, GateError
from verifluxa.files import read_file
from verifluxa.gate.reference import Reference, parse_reference

START = "sha256:" + "0" * 64
LONGEST_LINE = 2**20
LARGEST = 2**30
ACTIONS = ("decide", "promote", "server", "load", "audit", "changed")


@dataclass(frozen=True)
class Entry:
    """What later decisions need of an earlier one; `words` holds the whole line."""

    time: datetime
    action: str
    reference: Reference
    permitted: bool
    certificate: str
    time_verified: datetime | None
    files: str
    verdicts: Mapping[str, str]
    overridden: bool = False
    words: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """The log, read and its chain verified.

    Attributes:
        entries: in order.
        head: digest of the last line.
    """

    entries: tuple[Entry, ...] = ()
    head: str = START


def read_log(path: Path) -> History:
    """Reads a log and verifies its chain; a log that does not exist yet is empty.

    Raises:
        GateError: VF6070 when a line was changed, left out, moved or cut off, or the file cannot be read.
    """
    head = _head_path(path)
    try:
        data = read_file(path, LARGEST) if path.exists() else b""
        noted = read_file(head, 1000).decode("ascii").split() if head.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise broken(str(path), f"it cannot be read: {error}") from error
    lines = data.splitlines()
    if data and not data.endswith(b"\n"):
        raise broken(str(path), "its last line is not whole")
    entries, before = [], START
    for number, line in enumerate(lines):
        entries.append(_entry(line, number, before, f"{path}:{number + 1}"))
        before = line_digest(line)
    if noted != ([str(len(lines)), before] if lines else []):
        raise broken(str(path), "it does not end as the head beside it says: lines were cut off or added")
    return History(tuple(entries), before)


def check_contains(path: Path, head: str) -> None:
    """Refuses a log in which a head that was kept elsewhere does not stand: it was rewritten.

    Raises:
        GateError: VF6070.
    """
    read_log(path)
    lines = read_file(path, LARGEST).splitlines() if path.exists() else []
    if head not in {START, *(line_digest(line) for line in lines)}:
        raise broken(str(path), f"the head {head} that was kept elsewhere is not in it")


def line_digest(line: bytes) -> str:
    """`sha256:...` of a line without its end."""
    return "sha256:" + hashlib.sha256(line).hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the log for one decision and what follows from it; other processes wait.

    Raises:
        GateError: VF6070 when the lock cannot be taken: a decision that cannot be recorded is none.
    """
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise broken(str(path), f"its lock cannot be made: {error.strerror or error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def append(path: Path, history: History, record: Mapping[str, Json]) -> History:
    """Adds one line, on disk before this returns. The caller holds the lock and has read `history` under it.

    Raises:
        GateError: VF6070 when it cannot be written.
    """
    number = len(history.entries)
    line = canonical_json({**record, "index": number, "previous": history.head})
    entry = _entry(line, number, history.head, str(path))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        with open(descriptor, "ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _write_head(_head_path(path), number + 1, line_digest(line))
    except OSError as error:
        raise broken(str(path), f"it cannot be written: {error.strerror or error}") from error
    return History((*history.entries, entry), line_digest(line))


def _write_head(path: Path, count: int, digest: str) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="ascii") as file:
        file.write(f"{count} {digest}\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _head_path(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def _entry(line: bytes, number: int, before: str, place: str) -> Entry:
    if len(line) > LONGEST_LINE:
        raise broken(place, "a line is too long")
    try:
        value = read_json(line, place)
        fields = Fields(value, place)
        if fields.integer("index") != number or fields.text("previous") != before:
            raise broken(place, "the chain is broken: a line was changed, moved or left out before it")
        return Entry(
            time=fields.time("time"),
            action=fields.choice("action", *ACTIONS),
            reference=parse_reference(fields.text("reference")),
            permitted=fields.flag("permitted"),
            certificate=fields.text("certificate"),
            time_verified=fields.time("timeVerified") if fields.has("timeVerified") else None,
            files=fields.text("filesDigest"),
            verdicts=fields.texts("verdicts"),
            overridden=fields.has("override"),
            words=value if isinstance(value, dict) else {},
        )
    except (CertificateError, GateError) as error:
        if error.code == "VF6070":
            raise
        raise broken(place, f"a line is not one that the gate wrote: {error.message}") from error


def broken(place: str, why: str) -> GateError:
    """The error for a log that cannot be relied on (VF6070)."""
    return GateError(
        "VF6070",
        f"the log of decisions cannot be relied on: {why}",
        place=place,
        expected="every line as the gate wrote it, in its place",
        remedy="compare with a copy; without its memory the gate permits nothing",
    )
