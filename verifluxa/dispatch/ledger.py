"""The ledger of a run: an append-only SQLite file (WAL) that the driver writes, so that a killed run can go on.

What is committed survives a `kill -9` of the driver at any point: each event of a worker is one transaction. The
header names the digests of everything the run rests on; a run that would rest on anything else is refused. Outcomes
stand as the canonical records of the evidence file, which is written from here, in the order of the questions: the
same answers give the same bytes, whichever worker was first.

A ledger is a file like any other, so somebody may have changed it. It is read strictly (known tables, bounded
records, no SQL that it brings along is run), and what it says is rechecked where it counts: `cert check` recomputes
the evidence.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from verifluxa.certificate.document import Limits, canonical_json, read_json
from verifluxa.certificate.evidence_lines import (
    Record,
    decode_record,
    encode_header,
    encode_record,
    header_of,
    record_of,
)
from verifluxa.certificate.fields import Fields
from verifluxa.dispatch.attack_lines import decode_attacked, encode_attacked
from verifluxa.dispatch.observe import Progress, Recalled
from verifluxa.dispatch.slices import AttackDone
from verifluxa.errors import CertificateError, UsageError
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.strategy.attacked import Attacked
from verifluxa.verdict import Reason, Verdict

LEDGER_FILE = "ledger.sqlite"
APPLICATION = 0x5646584C  # "VFXL"
VERSION = 1
LARGEST = 16 * 2**20
"""Bytes of one record, as in an evidence file."""
SHOW_SECONDS = 1.0

TABLES = """
CREATE TABLE header (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE property (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, identity TEXT NOT NULL, header BLOB NOT NULL,
  questions INTEGER NOT NULL, placements INTEGER NOT NULL, started REAL NOT NULL, ended REAL);
CREATE TABLE attack (
  property INTEGER NOT NULL, placement INTEGER NOT NULL, seconds REAL NOT NULL, record BLOB NOT NULL,
  PRIMARY KEY (property, placement)) WITHOUT ROWID;
CREATE TABLE outcome (
  property INTEGER NOT NULL, place INTEGER NOT NULL, verdict TEXT NOT NULL, reason TEXT,
  found INTEGER NOT NULL, proved INTEGER NOT NULL, stage TEXT NOT NULL, boxes INTEGER NOT NULL, seconds REAL NOT NULL,
  leaves INTEGER NOT NULL, at REAL NOT NULL, record BLOB NOT NULL, PRIMARY KEY (property, place)) WITHOUT ROWID;
CREATE TABLE progress (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

TRIED_AGAIN = frozenset({Reason.TIME, Reason.INTERRUPTED, Reason.LOST_WORKER, Reason.MEMORY, Reason.DECIDED})
"""Reasons that may be gone when a run is taken up again: another budget, another machine."""


@dataclass(frozen=True)
class Origin:
    """What a run is: how it was asked for, and the digests of all that it rests on. JSON values only."""

    request: dict[str, Any]
    digests: dict[str, Any]


class Ledger:
    """An open ledger; an evidence sink (`dispatch.observe.EvidenceSink`) and an observer."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._database = connection
        self._number = -1
        self._places: dict[tuple[int, int, int], int] = {}
        self._shown = 0.0

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @classmethod
    def create(cls, path: Path, origin: Origin) -> Ledger:
        """Starts a new ledger in place of an older one.

        Raises:
            UsageError: VF4406 when it cannot be written, VF4421 when a run still writes the older one.
        """
        with _told(path):
            if path.exists():
                _locked(_checked(path, _connected(path))).close()
            for old in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                old.unlink(missing_ok=True)
            database = _written(_connected(path))
            database.executescript(f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; {TABLES}")
            ledger = cls(path, _locked(database))
            rows = [("request", json.dumps(origin.request)), ("digests", json.dumps(origin.digests))]
            database.executemany("INSERT INTO header VALUES (?, ?)", rows)
        return ledger

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Takes up a ledger.

        Raises:
            UsageError: VF4420 when it is none of ours, VF4421 when another run writes it.
        """
        with _told(path):
            return cls(path, _locked(_written(_checked(path, _connected(path)))))

    @classmethod
    def watch(cls, path: Path) -> Ledger:
        """Opens a ledger to read, while a run writes it or after.

        Raises:
            UsageError: VF4420 when it is none of ours.
        """
        with _told(path):
            return cls(path, _checked(path, _connected(path, read_only=True)))

    @property
    def origin(self) -> Origin:
        """What the run is.

        Raises:
            UsageError: VF4420.
        """
        with _told(self.path):
            rows = dict(self._database.execute("SELECT key, value FROM header"))
            try:
                request, digests = (json.loads(rows[key]) for key in ("request", "digests"))
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                raise not_a_ledger(self.path, "its header cannot be read") from error
        if not isinstance(request, dict) or not isinstance(digests, dict):
            raise not_a_ledger(self.path, "its header cannot be read")
        return Origin(request, digests)

    def begin(self, problem: Problem, data: str) -> None:
        """The questions of this problem follow; a property that the ledger knows must be the same one.

        Raises:
            UsageError: VF4422 when it is not.
        """
        self._number += 1
        header = canonical_json(encode_header(header_of(problem, data)))
        identity = "sha256:" + hashlib.sha256(header).hexdigest()
        self._places = {pair_key: at for at, pair_key in enumerate(_keys(problem))}
        with _told(self.path):
            known = self._database.execute(
                "SELECT name, identity FROM property WHERE number = ?", (self._number,)
            ).fetchone()
            if known is None:
                row = (self._number, problem.name, identity, header, problem.size, len(problem.placements), time.time())
                self._database.execute("INSERT INTO property VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", row)
            elif known[1] != identity:
                raise other_run(self.path, f"the questions of property `{problem.name}`")

    def recall(self, problem: Problem) -> Recalled:
        """What is known of the problem that was begun last.

        Raises:
            UsageError: VF4420 for records that are not understood.
        """
        with _told(self.path):
            attacks = self._database.execute(
                "SELECT placement, seconds, CAST(record AS BLOB) FROM attack WHERE property = ?", (self._number,)
            ).fetchall()
            outcomes = self._database.execute(
                "SELECT CAST(record AS BLOB), stage, boxes, seconds FROM outcome WHERE property = ? ORDER BY place",
                (self._number,),
            )
            attacked = [item for row in attacks for item in decode_attacked(row[2], str(self.path))]
            known = [_outcome(row, str(self.path)) for row in outcomes]
        asked = set(problem.all_questions())
        if not asked.issuperset([*(item.question for item in attacked), *(item.question for item in known)]):
            raise not_a_ledger(self.path, "it holds questions that the property does not ask")
        return Recalled(
            placements=frozenset(row[0] for row in attacks),
            attacked=tuple(attacked),
            outcomes=tuple(item for item in known if item.reason not in TRIED_AGAIN),
            seconds=sum(row[1] for row in attacks),
        )

    def attacked(self, problem: Problem, done: AttackDone) -> None:
        """An attack slice is finished: one transaction."""
        by_placement: dict[int, list[Attacked]] = {placement: [] for placement in done.slice.placements}
        for item in done.attacked:
            by_placement[item.question.placement].append(item)
        share = done.seconds / max(1, len(by_placement))
        rows = [(self._number, place, share, encode_attacked(items)) for place, items in by_placement.items()]
        with _told(self.path), self._transaction():
            self._database.executemany("INSERT OR IGNORE INTO attack VALUES (?, ?, ?, ?)", rows)

    def record(self, problem: Problem, outcome: Outcome) -> None:
        """One outcome. What an earlier run of this ledger left unknown may be answered now."""
        with _told(self.path):
            self._record(outcome, record_of(outcome))

    def _record(self, outcome: Outcome, record: Record) -> None:
        row = (
            self._number,
            self._places[outcome.question[:3]],
            str(outcome.verdict),
            None if outcome.reason is None else str(outcome.reason),
            int(outcome.found),
            int(outcome.proved),
            outcome.stage,
            int(outcome.boxes),
            float(outcome.seconds),
            record.leaves,
            time.time(),
            canonical_json(encode_record(record)),
        )
        self._database.execute(f"INSERT OR REPLACE INTO outcome VALUES ({', '.join('?' * len(row))})", row)

    def end(self, problem: Problem) -> None:
        """Every question of the problem has its outcome."""
        with _told(self.path):
            self._database.execute("UPDATE property SET ended = ? WHERE number = ?", (time.time(), self._number))

    def update(self, progress: Progress) -> None:
        """Keeps where the work stands for `verifluxa watch`, at most once a second."""
        now = time.monotonic()
        if now - self._shown < SHOW_SECONDS:
            return
        self._shown = now
        values = {
            "property": progress.name,
            "stage": progress.stage,
            "attacked": progress.attacked,
            "left": progress.left,
            "workers": progress.workers,
            "at": time.time(),
        }
        with _told(self.path):
            rows = [(key, json.dumps(value)) for key, value in values.items()]
            self._database.executemany("INSERT OR REPLACE INTO progress VALUES (?, ?)", rows)

    def finish(self) -> None:
        """The run is over and its result is written."""
        with _told(self.path):
            self._database.execute("INSERT OR REPLACE INTO progress VALUES ('over', 'true')")

    def sections(self) -> Iterator[tuple[bytes, Iterator[tuple[bytes, int]]]]:
        """For each property its header line and, in the order of the questions, (record line, leaves)."""
        with _told(self.path):
            headers = self._database.execute("SELECT number, header FROM property ORDER BY number").fetchall()
        for number, header in headers:
            yield header, self._lines(number)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Reads with a query of our own (`watch`, the simulator, the summary of where time went)."""
        with _told(self.path):
            return self._database.execute(query, values).fetchall()

    def close(self) -> None:
        """Closes the file; what is in it stays."""
        self._database.close()

    def remove(self) -> None:
        """Closes and deletes it: the run failed and left nothing worth keeping."""
        self.close()
        for name in (self.path.name, self.path.name + "-wal", self.path.name + "-shm"):
            self.path.with_name(name).unlink(missing_ok=True)

    def _lines(self, number: int) -> Iterator[tuple[bytes, int]]:
        with _told(self.path):
            yield from self._database.execute(
                "SELECT CAST(record AS BLOB), leaves FROM outcome WHERE property = ? ORDER BY place", (number,)
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _keys(problem: Problem) -> Iterator[tuple[int, int, int]]:
    """Placement, violation and selection of each question, in order; `need` follows from the selection."""
    return (question[:3] for question in problem.all_questions())


def _outcome(row: tuple[bytes, str, int, float], place: str) -> Outcome:
    line, stage, boxes, seconds = row
    record: Record = decode_record(Fields(read_json(line, place, Limits(LARGEST, 8)), place))
    return Outcome(
        question=record.question,
        verdict=Verdict(record.verdict),
        reason=record.reason,
        found=record.found,
        proved=record.proved,
        witness=record.witness,
        stage=stage,
        boxes=boxes,
        seconds=seconds,
        tree=record.tree,
        directions=record.directions,
    )


def _connected(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """Opens the file with everything switched off that a hostile database could use."""
    if read_only:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5)
    else:
        database = sqlite3.connect(path, isolation_level=None, timeout=1)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * LARGEST)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    database.execute("PRAGMA trusted_schema = OFF")
    return database


def _written(database: sqlite3.Connection) -> sqlite3.Connection:
    """WAL: a reader sees whole transactions, and a killed writer loses none."""
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    return database


def _checked(path: Path, database: sqlite3.Connection) -> sqlite3.Connection:
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise not_a_ledger(path, "this is no ledger of verifluxa")
    if version != VERSION:
        raise not_a_ledger(path, f"this ledger has version {version}, this tool writes version {VERSION}")
    found = dict(database.execute("SELECT name, type || ' ' || sql FROM sqlite_master WHERE sql IS NOT NULL"))
    ours = sqlite3.connect(":memory:")
    ours.executescript(TABLES)
    wanted = dict(ours.execute("SELECT name, type || ' ' || sql FROM sqlite_master WHERE sql IS NOT NULL"))
    ours.close()
    if found != wanted:
        raise not_a_ledger(path, "its tables are not those of a ledger")
    return database


def _locked(database: sqlite3.Connection) -> sqlite3.Connection:
    """Keeps other writers out; readers stay welcome. The lock is a row that names a process; a dead one holds nothing.

    (SQLite's own exclusive mode would shut readers out too.)
    """
    from verifluxa.dispatch.alive import is_alive, this_process

    row = database.execute("SELECT value FROM progress WHERE key = 'writer'").fetchone()
    if row is not None and is_alive(row[0]):
        raise BlockingIOError(row[0])
    database.execute("INSERT OR REPLACE INTO progress VALUES ('writer', ?)", (this_process(),))
    database.execute("DELETE FROM progress WHERE key = 'over'")
    return database


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns what SQLite and the system say into messages for the user."""
    try:
        yield
    except BlockingIOError as error:
        raise UsageError(
            "VF4421",
            f"another run writes this ledger (process {error})",
            place=str(path),
            expected="a ledger that no run holds",
            remedy="wait for it or end it; `verifluxa watch` may look on meanwhile",
        ) from error
    except CertificateError as error:
        raise not_a_ledger(path, f"a record is not understood: {error.message}") from error
    except sqlite3.OperationalError as error:
        from verifluxa.result.write import cannot_write

        raise cannot_write(path, OSError(str(error))) from error
    except sqlite3.DatabaseError as error:
        raise not_a_ledger(path, f"it cannot be read: {error}") from error
    except OSError as error:
        from verifluxa.result.write import cannot_write

        raise cannot_write(path, error) from error


def not_a_ledger(path: Path, what: str) -> UsageError:
    """VF4420."""
    return UsageError(
        "VF4420",
        what,
        place=str(path),
        expected=f"the `{LEDGER_FILE}` that `verifluxa verify --out DIR` writes",
        remedy="give the ledger as it was written by this version of the tool, or verify again",
    )


def other_run(path: Path, what: str) -> UsageError:
    """VF4422."""
    return UsageError(
        "VF4422",
        f"{what} are no longer what this ledger was begun with",
        place=str(path),
        expected="the same spec, models, data, strategy, arithmetic and version of the tool",
        remedy="put the files back, or start again with `verifluxa verify`",
    )
