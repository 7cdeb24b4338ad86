"""The file of a ledger: its tables, how it is opened so that a hostile one can do nothing, and what is said of it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from verifluxa.certificate.evidence_lines import LONGEST
from verifluxa.errors import CertificateError, TryAgainError, UsageError
from verifluxa.result.write import cannot_write

LEDGER_FILE = "ledger.sqlite"
APPLICATION = 0x5646584C  # "VFXL"
VERSION = 3

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
CREATE TABLE begun (
  property INTEGER NOT NULL, place INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (property, place)) WITHOUT ROWID;
CREATE TABLE piece (
  number INTEGER PRIMARY KEY, property INTEGER NOT NULL, place INTEGER NOT NULL, record BLOB NOT NULL);
CREATE TABLE progress (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE writer (
  one INTEGER PRIMARY KEY CHECK (one = 1), token INTEGER NOT NULL, held INTEGER NOT NULL, host TEXT NOT NULL,
  boot TEXT NOT NULL, process INTEGER NOT NULL, start TEXT NOT NULL, thread TEXT NOT NULL, beats INTEGER NOT NULL);
"""


RUN_TABLES = ("header", "property", "attack", "outcome", "begun", "piece", "progress")
"""What belongs to one run; the writer's row goes on from run to run, since its token only grows."""

FROM_OTHER_MACHINES = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|9p|virtiofs|ceph|lustre|gpfs|beegfs|afs|gfs2|ocfs2|fuse\..*"
)
"""Kinds of file systems that several machines may have mounted."""


def connected(path: Path, read_only: bool = False, patience: float = 5.0) -> sqlite3.Connection:
    """Opens a file that is there, with everything switched off that a hostile database could use.

    Args:
        path: of the file.
        read_only: whether nothing may be written.
        patience: seconds for which a lock of somebody else is waited for; SQLite looks again after pauses that grow.
    """
    mode = "ro" if read_only else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=patience)
    try:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * LONGEST)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        database.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        database.close()
        raise
    return database


def written(database: sqlite3.Connection, shared: bool) -> sqlite3.Connection:
    """Sets how writes reach the disk: a reader sees whole transactions, and a killed writer loses none.

    WAL keeps its index in memory that all processes share, so it serves one machine alone
    (https://www.sqlite.org/wal.html); where several machines may open the file there is a rollback journal.
    """
    database.execute(f"PRAGMA journal_mode = {'DELETE' if shared else 'WAL'}")
    database.execute(f"PRAGMA synchronous = {'FULL' if shared else 'NORMAL'}")
    return database


MOUNTS = Path("/proc/self/mounts")


def is_shared(path: Path, mounts: Path = MOUNTS) -> bool:
    """Whether other machines may open the same file, by the kind of its file system (False where none is told)."""
    try:
        rows = [line.split() for line in mounts.read_text(errors="replace").splitlines()]
    except OSError:
        return False
    folder = path.resolve().parent
    places = [(Path(row[1].replace("\\040", " ")), row[2]) for row in rows if len(row) > 2]
    holds = [(len(mount.parts), kind) for mount, kind in places if folder.is_relative_to(mount)]
    # Of those at one place the last one covers the others.
    deepest = max((depth for depth, _ in holds), default=0)
    kinds = [kind for depth, kind in holds if depth == deepest]
    return bool(kinds) and FROM_OTHER_MACHINES.fullmatch(kinds[-1]) is not None


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; the lock is taken before anything is read, so that nothing changes between a look and its use."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # a full disk may have rolled it back already
            database.execute("ROLLBACK")
        raise


def checked(path: Path, database: sqlite3.Connection) -> sqlite3.Connection:
    """Makes sure that it is one of ours: the tables, and nothing beside them (a trigger would run with our rights).

    Raises:
        UsageError: VF4420.
    """
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


def lost_with(database: sqlite3.Connection) -> int:
    """How many answers and begun searches of a run that was stopped would be lost; 0 of one that came to its end."""
    over = database.execute("SELECT 1 FROM progress WHERE key = 'over'").fetchone()
    stopped = database.execute("SELECT 1 FROM outcome WHERE reason = 'interrupted' LIMIT 1").fetchone()
    if over and not stopped:
        return 0
    (answers,) = database.execute("SELECT count(*) FROM outcome WHERE verdict != 'unknown'").fetchone()
    (begun,) = database.execute("SELECT count(*) FROM begun").fetchone()
    return int(answers) + int(begun)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turns what SQLite and the system say into messages for the user."""
    try:
        yield
    except CertificateError as error:
        raise not_a_ledger(path, f"a record is not understood: {error.message}") from error
    except sqlite3.OperationalError as error:
        if _is_locked(error):
            raise locked(path) from error
        raise cannot_write(path, OSError(str(error))) from error
    except sqlite3.DatabaseError as error:
        raise not_a_ledger(path, f"it cannot be read: {error}") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def _is_locked(error: sqlite3.Error) -> bool:
    """Whether a lock of somebody else did not go away; the lower byte of a code says what happened at all."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def locked(path: Path) -> TryAgainError:
    """VF4427."""
    return TryAgainError(
        "VF4427",
        "somebody else keeps this ledger locked",
        place=str(path),
        expected="a lock that goes away in time (writers wait for a minute)",
        remedy=f"nothing is lost: end what reads it in a transaction, then `verifluxa resume {path.parent}`",
    )


def stopped_run(path: Path, count: int) -> UsageError:
    """VF4425."""
    answers = f"its answer{'' if count == 1 else 's'} to {count:,} question{'' if count == 1 else 's'} would be lost"
    return UsageError(
        "VF4425",
        f"a run that was stopped lies here; {answers}",
        place=str(path),
        expected="a new folder, or one whose run came to its end",
        remedy=f"go on with it by `verifluxa resume {path.parent}`, or start anew with --force",
    )


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
        remedy="put the files back, or start anew: `verify --out` in another folder, `verify` or `batch` with --force",
    )
