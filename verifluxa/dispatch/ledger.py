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
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from verifluxa.certificate.document import Fields, Limits, canonical_json, read_json
from verifluxa.certificate.evidence_lines import (
    DEEPEST,
    LONGEST,
    Header,
    Record,
    decode_header,
    decode_record,
    encode_header,
    header_of,
    line_of,
    record_of,
)
from verifluxa.dispatch.ledger_file import (
    APPLICATION,
    RUN_TABLES,
    TABLES,
    VERSION,
    checked,
    connected,
    is_shared,
    lost_with,
    not_a_ledger,
    other_run,
    stopped_run,
    told,
    transaction,
    written,
)
from verifluxa.dispatch.ledger_lines import (
    PIECE_LIMITS,
    decode_attacked,
    decode_begun,
    encode_attacked,
    encode_begun,
    encode_grown,
)
from verifluxa.dispatch.ledger_lock import (
    USUAL,
    Heartbeat,
    Timing,
    Writer,
    check_token,
    claim,
    in_use,
    put_writer,
    release,
    writer_of,
)
from verifluxa.dispatch.observe import Progress, Recalled
from verifluxa.dispatch.slices import AttackDone, PieceDone
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.result.write import umask
from verifluxa.strategy.work import Attacked, Checkpoint
from verifluxa.verdict import Reason, Verdict

SHOW_SECONDS = 1.0
WATCHES = 0
"""The token of those who only read."""
FIRST_TOKEN = 1

TRIED_AGAIN = frozenset({Reason.TIME, Reason.INTERRUPTED, Reason.LOST_WORKER, Reason.MEMORY, Reason.DECIDED})
"""Reasons that may be gone when a run is taken up again: another budget, another machine."""


@dataclass(frozen=True)
class Origin:
    """What a run is: how it was asked for, and the digests of all that it rests on. JSON values only."""

    request: dict[str, Any]
    digests: dict[str, Any]


class Ledger:
    """An open ledger; an evidence sink (`dispatch.observe.EvidenceSink`) and an observer."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, token: int = WATCHES, heartbeat: Heartbeat | None = None
    ) -> None:
        """Made by `create`, `open` and `watch`.

        Args:
            path: of the file.
            connection: to it.
            token: that every write must find in place.
            heartbeat: gives signs of life; None for a reader.
        """
        self.path = path
        self._database = connection
        self._token = token
        self._number = -1
        self._places: dict[tuple[int, int, int], int] = {}
        self._shown = 0.0
        self._heartbeat = heartbeat
        if heartbeat is not None:
            heartbeat.begin(token)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @classmethod
    def create(
        cls,
        path: Path,
        origin: Origin,
        force: bool = False,
        take_over: bool = False,
        timing: Timing = USUAL,
        shared: bool | None = None,
    ) -> Ledger:
        """Starts a new ledger, also in place of an older one, whose file stays and whose content goes at once or not.

        Args:
            path: of the file.
            origin: what the run is.
            force: whether also the work of a run that was stopped may be lost.
            take_over, timing: of the older one, see `ledger_lock.claim`.
            shared: whether other machines may open the file; None: looked up.

        Raises:
            UsageError: VF4406 when it cannot be written, VF4420 when something else lies there, VF4421 when a run still
                writes the older one, VF4425 when a run that was stopped has left work in it.
        """
        shared = is_shared(path) if shared is None else shared

        def renew() -> None:
            lost = lost_with(database)
            if lost and not force:
                raise stopped_run(path, lost)
            for table in RUN_TABLES:
                database.execute(f"DELETE FROM {table}")
            _put_header(database, origin)

        with told(path), ExitStack() as on_error:
            heartbeat = Heartbeat(path, timing.beat)
            on_error.callback(heartbeat.end)
            made = None if path.exists() else _made(path, origin, shared, timing, heartbeat.name)
            if made is not None:
                on_error.pop_all()
                return cls(path, made, FIRST_TOKEN, heartbeat)
            database = on_error.enter_context(closing(connected(path, patience=timing.patience)))
            written(checked(path, database), shared)
            token = claim(path, database, heartbeat.name, take_over, timing, renew)
            on_error.pop_all()
            return cls(path, database, token, heartbeat)

    @staticmethod
    def check_replaceable(path: Path, force: bool = False) -> None:
        """Makes sure that a new ledger may stand here; changes nothing.

        Whether a writer on another machine still lives is left to `create`, which waits for it.

        Raises:
            UsageError: as `create`.
        """
        if not path.exists():
            return
        with told(path), closing(connected(path)) as database:
            writer = writer_of(path, checked(path, database))
            if not writer.is_gone and not writer.is_foreign:
                raise in_use(path, writer)
            lost = lost_with(database)
        if lost and not force:
            raise stopped_run(path, lost)

    @classmethod
    def open(cls, path: Path, take_over: bool = False, timing: Timing = USUAL, shared: bool | None = None) -> Ledger:
        """Takes up a ledger; see `create`.

        Raises:
            UsageError: VF4420 when it is none of ours, VF4421 when another run writes it.
        """
        shared = is_shared(path) if shared is None else shared
        with told(path), ExitStack() as on_error:
            heartbeat = Heartbeat(path, timing.beat)
            on_error.callback(heartbeat.end)
            database = on_error.enter_context(closing(connected(path, patience=timing.patience)))
            written(checked(path, database), shared)
            token = claim(path, database, heartbeat.name, take_over, timing)
            on_error.pop_all()
            return cls(path, database, token, heartbeat)

    @classmethod
    def watch(cls, path: Path) -> Ledger:
        """Opens a ledger to read, while a run writes it or after.

        Raises:
            UsageError: VF4420 when it is none of ours.
        """
        with told(path), ExitStack() as on_error:
            database = on_error.enter_context(closing(connected(path, read_only=True)))
            checked(path, database)
            on_error.pop_all()
            return cls(path, database)

    @property
    def origin(self) -> Origin:
        """What the run is.

        Raises:
            UsageError: VF4420.
        """
        with told(self.path):
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
        with told(self.path), self._transaction():
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
        with told(self.path):
            attacks = self._database.execute(
                "SELECT placement, seconds, CAST(record AS BLOB) FROM attack WHERE property = ?", (self._number,)
            ).fetchall()
            outcomes = self._database.execute(
                "SELECT CAST(record AS BLOB), stage, boxes, seconds FROM outcome WHERE property = ? ORDER BY place",
                (self._number,),
            )
            rows = self.rows("SELECT place, CAST(record AS BLOB) FROM begun WHERE property = ?", self._number)
            begun = [self._begun(problem, *row) for row in rows]
            attacked = [item for row in attacks for item in decode_attacked(row[2], str(self.path))]
            known = [_outcome(str(self.path), *row) for row in outcomes]
        asked = set(problem.all_questions())
        named = [*(a.question for a in attacked), *(o.question for o in known), *(b.question for b in begun)]
        if not asked.issuperset(named):
            raise not_a_ledger(self.path, "it holds questions that the property does not ask")
        return Recalled(
            placements=frozenset(row[0] for row in attacks),
            attacked=tuple(attacked),
            outcomes=tuple(item for item in known if item.reason not in TRIED_AGAIN),
            begun=tuple(begun),
            seconds=sum(row[1] for row in attacks),
        )

    def attacked(self, problem: Problem, done: AttackDone) -> None:
        """An attack slice is finished: one transaction."""
        by_placement: dict[int, list[Attacked]] = {placement: [] for placement in done.slice.placements}
        for item in done.attacked:
            by_placement[item.question.placement].append(item)
        share = done.seconds / max(1, len(by_placement))
        rows = [(self._number, place, share, encode_attacked(items)) for place, items in by_placement.items()]
        with told(self.path), self._transaction():
            self._database.executemany("INSERT OR IGNORE INTO attack VALUES (?, ?, ?, ?)", rows)

    def begun(self, problem: Problem, begun: Checkpoint) -> None:
        """A question goes on in pieces; one whose tree is too long to be read again is not kept."""
        row = (self._number, self._places[begun.question[:3]], encode_begun(begun))
        with told(self.path), self._transaction():
            self._forget(row[1])
            if len(row[2]) <= PIECE_LIMITS.size:
                self._database.execute("INSERT INTO begun VALUES (?, ?, ?)", row)

    def grown(self, problem: Problem, done: PieceDone) -> None:
        """A piece of a question came back; where one is too long to be read again the question is begun anew."""
        row = (self._number, self._places[done.slice.piece.question[:3]], encode_grown(done))
        with told(self.path), self._transaction():
            if len(row[2]) > PIECE_LIMITS.size:
                self._forget(row[1])
            else:  # one without its beginning is read by nobody
                self._database.execute("INSERT INTO piece (property, place, record) VALUES (?, ?, ?)", row)

    def record(self, problem: Problem, outcome: Outcome) -> None:
        """One outcome. What an earlier run of this ledger left unknown may be answered now."""
        with told(self.path):
            self._record(outcome, record_of(outcome))

    def _record(self, outcome: Outcome, record: Record) -> None:
        line, leaves = line_of(record)
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
            leaves,
            time.time(),
            line,
        )
        with self._transaction():
            self._database.execute(f"INSERT OR REPLACE INTO outcome VALUES ({', '.join('?' * len(row))})", row)
            if outcome.reason not in TRIED_AGAIN:
                self._forget(row[1])

    def _forget(self, place: int) -> None:
        """The pieces of a question that has its answer are in it."""
        for table in ("begun", "piece"):
            self._database.execute(f"DELETE FROM {table} WHERE property = ? AND place = ?", (self._number, place))

    def end(self, problem: Problem) -> None:
        """Every question of the problem has its outcome."""
        with told(self.path), self._transaction():
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
        with told(self.path), self._transaction():
            rows = [(key, json.dumps(value)) for key, value in values.items()]
            self._database.executemany("INSERT OR REPLACE INTO progress VALUES (?, ?)", rows)

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """The run is over once what the block writes into its folder lies there; nobody takes the ledger meanwhile.

        Raises:
            UsageError: VF4426 when somebody has taken it before; then the block does not begin.
        """
        with told(self.path), self._transaction():
            yield
            self._database.execute("INSERT OR REPLACE INTO progress VALUES ('over', 'true')")

    def sections(self) -> Iterator[tuple[bytes, Iterator[tuple[bytes, int]]]]:
        """For each property its header line and, in the order of the questions, (record line, leaves)."""
        with told(self.path):
            headers = self._database.execute("SELECT number, header FROM property ORDER BY number").fetchall()
        for number, header in headers:
            yield header, self._lines(number)

    def headers(self) -> dict[int, Header]:
        """What the questions of each property are, by its number.

        Raises:
            UsageError: VF4420 when one is not understood.
        """
        place = str(self.path)
        with told(self.path):
            rows = self._database.execute("SELECT number, CAST(header AS BLOB) FROM property").fetchall()
            return {
                number: decode_header(Fields(read_json(line, place, Limits(LONGEST, DEEPEST)), place))
                for number, line in rows
            }

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Reads with a query of our own (`watch`, the simulator, the summary of where time went)."""
        with told(self.path):
            return self._database.execute(query, values).fetchall()

    @property
    def has_stopped(self) -> bool:
        """Whether it holds work of a run that did not come to its end."""
        with told(self.path):
            return lost_with(self._database) > 0

    def holds_work(self) -> bool:
        """Whether it holds anything that a run which takes it up need not do again."""
        found = "SELECT 1 FROM outcome WHERE verdict != 'unknown' UNION ALL SELECT 1 FROM begun"
        attacks = "SELECT 1 FROM attack WHERE CAST(record AS BLOB) != ?"
        return bool(self.rows(f"{found} UNION ALL {attacks} LIMIT 1", encode_attacked([])))

    @property
    def is_ours(self) -> bool:
        """Whether nobody has taken it over."""
        return self.rows("SELECT token FROM writer") == [(self._token,)]

    @property
    def token(self) -> int:
        """What tells this writer from all before and after it."""
        return self._token

    def close(self) -> None:
        """Lets go and closes the file; what is in it stays. May be called twice."""
        if self._heartbeat is not None:
            self._heartbeat.end()
            self._heartbeat = None
            release(self._database, self._token)
        self._database.close()

    def remove(self) -> None:
        """Deletes it: the run failed and left nothing worth keeping. Close it afterwards.

        Raises:
            UsageError: VF4426 when somebody has taken it over, whose it is then.
        """
        with told(self.path), self._transaction():
            _unlink(self.path)
        if self._heartbeat is not None:  # nothing is let go: whoever has opened it meanwhile must not go on with it
            self._heartbeat.end()
            self._heartbeat = None

    def _begun(self, problem: Problem, place: int, record: bytes) -> Checkpoint:
        pieces = self.rows(
            "SELECT CAST(record AS BLOB) FROM piece WHERE property = ? AND place = ? ORDER BY number",
            self._number,
            place,
        )
        dimension = len(problem.domain_of(place // len(problem.pairs)).lower)
        return decode_begun(record, (row[0] for row in pieces), dimension, str(self.path))

    def _lines(self, number: int) -> Iterator[tuple[bytes, int]]:
        with told(self.path):
            yield from self._database.execute(
                "SELECT CAST(record AS BLOB), leaves FROM outcome WHERE property = ? ORDER BY place", (number,)
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A write; whoever has lost the ledger meanwhile is stopped here."""
        with transaction(self._database):
            check_token(self.path, self._database, self._token)
            yield


def _made(path: Path, origin: Origin, shared: bool, timing: Timing, thread: str) -> sqlite3.Connection | None:
    """A new file, made aside and put in its place whole; None where somebody else has put one there meanwhile.

    A full disk so leaves nothing that nobody can use.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        with closing(connected(part)) as database:  # without WAL: what stays in one when it is closed would be lost
            database.executescript(
                f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; BEGIN; {TABLES} COMMIT"
            )
            with transaction(database):
                put_writer(database, Writer.here(FIRST_TOKEN, thread))
                _put_header(database, origin)
        part.chmod(0o666 & ~umask())
        _put_in_place(part, path)
    except FileExistsError:
        return None
    finally:
        _unlink(part)
    with ExitStack() as on_error:
        on_error.callback(_unlink, path)
        database = on_error.enter_context(closing(connected(path, patience=timing.patience)))
        written(database, shared)
        on_error.pop_all()
    return database


def _put_in_place(part: Path, path: Path) -> None:
    try:
        path.hardlink_to(part)  # unlike a renaming, it never replaces what somebody else has put there
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(path) from None
        part.rename(path)


def _put_header(database: sqlite3.Connection, origin: Origin) -> None:
    rows = [("request", json.dumps(origin.request)), ("digests", json.dumps(origin.digests))]
    database.executemany("INSERT INTO header VALUES (?, ?)", rows)


def _unlink(path: Path) -> None:
    for name in (path.name, path.name + "-wal", path.name + "-shm", path.name + "-journal"):
        path.with_name(name).unlink(missing_ok=True)


def _keys(problem: Problem) -> Iterator[tuple[int, int, int]]:
    """Placement, violation and selection of each question, in order; `threshold` follows from the selection."""
    return (question[:3] for question in problem.all_questions())


def _outcome(place: str, line: bytes, stage: str, boxes: int, seconds: float) -> Outcome:
    record: Record = decode_record(Fields(read_json(line, place, Limits(LONGEST, DEEPEST)), place))
    return Outcome(
        question=record.question,
        verdict=Verdict(record.verdict),
        reason=record.reason,
        strongest=record.strongest,
        proved=record.proved,
        witness=record.witness,
        stage=stage,
        boxes=boxes,
        seconds=seconds,
        tree=record.tree,
        directions=record.directions,
    )
