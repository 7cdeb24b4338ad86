"""What the gate remembers of its log, so that a decision costs the same however long the log has become.

An SQLite file beside the log. It holds nothing that the log does not say: it is filled line by line, and where it is
lost it is made again from the lines (`verifluxa gate log rebuild`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from verifluxa.documents import time_text
from verifluxa.gate.log_line import ANY_PROPERTY, NO_FILES, START, Line, parse_time
from verifluxa.gate.reference import STAGE, Reference, parse_reference

_TABLES = """
create table if not exists state (only integer primary key check (only = 1), count integer, head text, files text,
    last text, serial integer, counted integer, ready integer);
create table if not exists refusals (client text primary key, minute integer, number integer) without rowid;
create table if not exists pending (only integer primary key check (only = 1), number integer);
insert or ignore into pending values (1, 0);
create table if not exists accepted (place text primary key, certificate text, verified text);
create table if not exists denied (files text primary key) without rowid;
create table if not exists falsified (files text, property text, primary key (files, property)) without rowid;
create table if not exists live (place text primary key, named text, previous text, confirmed integer);
insert or ignore into state values (1, 0, '{start}', '[]', null, 0, 0, 0);
"""
_MEMORIES = ("accepted", "denied", "falsified", "live")
_PROMOTIONS = ("promote", "server")
EVERYBODY = "*"
CLIENTS = 10
"""All clients together may fill as many lines as so many of them."""


@dataclass(frozen=True)
class Accepted:
    """The last certificate that was accepted for a place."""

    certificate: str
    time_verified: datetime


@dataclass(frozen=True)
class Live:
    """What the gate let a name point to.

    Attributes:
        reference: the promotion.
        files: digest of all files.
        decision: digest of the signed decision, or `none` where there was none.
        source: where the files lay when they were promoted; empty where the registry is a folder.
        certificate: digest of the certificate's payload.
        overridden: an override made the difference.
        confirmed: the registry was changed accordingly.
    """

    reference: Reference
    files: str
    decision: str
    source: str
    certificate: str
    overridden: bool
    confirmed: bool = True


@dataclass(frozen=True)
class Memory:
    """What a decision needs of earlier ones.

    Attributes:
        last: time of the last decision.
        accepted: the last certificate that was accepted for this place.
        denied: whether these very files were denied before.
        falsified: properties that a trusted certificate showed to be false of these very files.
        serial: the highest serial number of a policy so far.
    """

    last: datetime | None = None
    accepted: Accepted | None = None
    denied: bool = False
    falsified: frozenset[str] = frozenset()
    serial: int = 0


@dataclass(frozen=True)
class State:
    """Up to where the log is known: number and digest of the last line, what its files looked like then."""

    count: int = 0
    head: str = START
    files: tuple[tuple[str, int, int, int], ...] = ()
    counted: int = 0


def place_of(reference: Reference) -> str:
    """What a promotion is the only one for: an alias has one version; a stage may have several at a time."""
    if reference.alias is None or reference.alias.startswith(STAGE):
        return str(reference)
    return f"{reference.scheme}:/{reference.name}@{reference.alias}"


class Index:
    """One open index. Methods raise `sqlite3.Error` when its file is damaged.

    Attributes:
        new: it was never compared with its log.
    """

    def __init__(self, path: Path | str) -> None:
        # No waiting for the disk: what the index lacks after a crash is read again from the log, which waits.
        self._database = sqlite3.connect(path, isolation_level=None, timeout=60)
        self._database.execute("pragma synchronous = off")
        self._database.execute("pragma journal_mode = memory")
        self._database.execute("pragma trusted_schema = off")
        if not self._database.execute("select 1 from sqlite_master where name = 'live'").fetchone():
            self._database.executescript(_TABLES.format(start=START))
        self.new = not self._database.execute("select ready from state").fetchone()[0]

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def begin(self) -> None:
        """Begins a change."""
        self._database.execute("begin immediate")

    def commit(self) -> None:
        """Ends a change."""
        self._database.execute("commit")

    def abandon(self) -> None:
        """Takes a change back."""
        if self._database.in_transaction:
            self._database.execute("rollback")

    def state(self) -> State:
        """Up to where the log is known."""
        count, head, files, counted = self._database.execute("select count, head, files, counted from state").fetchone()
        return State(count, head, tuple((str(a), int(b), int(c), int(d)) for a, b, c, d in json.loads(files)), counted)

    def note_files(self, files: tuple[tuple[str, int, int, int], ...]) -> None:
        """Remembers what the log's files look like."""
        self._database.execute("update state set files = ?, ready = 1", (json.dumps(files),))

    def apply(self, line: Line, digest: str) -> None:
        """Takes the next line in."""
        self._database.execute(
            "update state set count = count + 1, head = ?, last = ?, serial = max(serial, ?), counted = counted + ?",
            (digest, time_text(line.time), line.serial, line.counted),
        )
        if line.files != NO_FILES:
            if not line.permitted and line.action not in ("changed", "withdrawn"):
                self._database.execute("insert or ignore into denied values (?)", (line.files,))
            for name in line.falsified:
                self._database.execute("insert or ignore into falsified values (?, ?)", (line.files, name))
        if line.counted:
            self._database.execute("update pending set number = max(0, number - ?)", (line.counted,))
        place = place_of(line.reference)
        if line.permitted and not line.overridden and line.time_verified is not None:
            row = (place, line.certificate, time_text(line.time_verified))
            self._database.execute("insert or replace into accepted values (?, ?, ?)", row)
        if line.permitted and line.action in _PROMOTIONS:
            self._point(place, line)
        elif line.action == "withdrawn":
            self._database.execute("delete from live where place = ?", (place,))
        elif line.action == "changed":
            self._back(place)

    def confirm(self, reference: Reference) -> None:
        """What was permitted has happened; until then the place may still hold what it held before."""
        query = "update live set confirmed = 1, previous = null where place = ?"
        self._database.execute(query, (place_of(reference),))

    def last(self) -> datetime | None:
        """Time of the last line."""
        (text,) = self._database.execute("select last from state").fetchone()
        return None if text is None else parse_time(text)

    def pending(self) -> int:
        """Refusals that were counted and not written since the last line."""
        return int(self._database.execute("select number from pending").fetchone()[0])

    def count_refusal(self, client: str, now: datetime, most: int) -> bool:
        """Counts a refusal of a client; False where the client, or all of them, had too many in this minute."""
        minute = int(now.timestamp()) // 60
        self._database.execute("delete from refusals where minute <> ?", (minute,))
        within = True
        for name, limit in ((client, most), (EVERYBODY, most * CLIENTS)):
            row = self._database.execute("select number from refusals where client = ?", (name,)).fetchone()
            number = 1 if row is None else row[0] + 1
            within = within and number <= limit
            if within or name == EVERYBODY or row is not None:
                self._database.execute("insert or replace into refusals values (?, ?, ?)", (name, minute, number))
        if not within:
            self._database.execute("update pending set number = number + 1")
        return within

    def memory(self, reference: Reference, files: str) -> Memory:
        """What a decision about these files at this place needs."""
        last, serial, counted = self._database.execute("select last, serial, counted from state").fetchone()
        query = "select certificate, verified from accepted where place = ?"
        row = self._database.execute(query, (place_of(reference),)).fetchone()
        found = self._database.execute("select property from falsified where files = ?", (files,)).fetchall()
        return Memory(
            last=None if last is None else parse_time(last),
            accepted=None if row is None else Accepted(row[0], parse_time(row[1])),
            # Refusals that were only counted may have been of these files.
            denied=bool(counted or self.pending())
            or self._database.execute("select 1 from denied where files = ?", (files,)).fetchone() is not None,
            falsified=frozenset(name for (name,) in found),
            serial=serial,
        )

    def live(self, name: str | None = None) -> Iterator[tuple[Live, Live | None]]:
        """What is live as far as the log says, and what a name may point to instead.

        The second is there between a permission and the change of the registry, and after a crash between the two.
        """
        for row, previous, confirmed in self._database.execute(
            "select named, previous, confirmed from live order by place"
        ).fetchall():
            found = replace(_live(row), confirmed=bool(confirmed))
            if name is None or found.reference.name == name:
                yield found, None if confirmed or previous is None else _live(previous)

    def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """All that is remembered, to compare two indexes; what is confirmed does not stand in the log."""
        columns = {"live": "place, named"}
        return {
            table: sorted(self._database.execute(f"select {columns.get(table, '*')} from {table}").fetchall())
            for table in _MEMORIES
        }

    def _point(self, place: str, line: Line) -> None:
        before = self._database.execute("select named from live where place = ?", (place,)).fetchone()
        named = json.dumps(
            [str(line.reference), line.files, line.decision, line.source, line.certificate, line.overridden]
        )
        row = (place, named, None if before is None else before[0])
        self._database.execute("insert or replace into live values (?, ?, ?, 0)", row)

    def _back(self, place: str) -> None:
        row = self._database.execute("select previous from live where place = ?", (place,)).fetchone()
        self._database.execute("delete from live where place = ?", (place,))
        if row is not None and row[0] is not None:
            self._database.execute("insert into live values (?, ?, null, 1)", (place, row[0]))


def is_wildcard(falsified: frozenset[str]) -> bool:
    """Whether more properties were false than a line could list: then all count as false."""
    return ANY_PROPERTY in falsified


def _live(text: str) -> Live:
    reference, files, decision, source, certificate, overridden = json.loads(text)
    return Live(parse_reference(reference), files, decision, source, certificate, overridden)
