"""The file of a ledger: its tables, how it is opened so that a hostile one can do nothing, and what is said of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from verifluxa.certificate.evidence_lines import LONGEST
from verifluxa.errors import CertificateError, UsageError
from verifluxa.result.write import cannot_write


def this_process() -> str:
    """Host, number and start of this process, as one word."""
    return f"{_host()}:{os.getpid()}:{_start(os.getpid())}"


def is_alive(name: str) -> bool:
    """Whether the process of that name still runs; on another host we cannot know, and say no."""
    host, _, rest = name.partition(":")
    number, _, start = rest.partition(":")
    if host != _host() or not number.isdigit() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _start(int(number)) == start


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else "here"


def _start(number: int) -> str:
    """When the process began, in clock ticks since boot; empty where the system does not tell (not Linux)."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


LEDGER_FILE = "ledger.sqlite"
APPLICATION = 0x5646584C  # "VFXL"
VERSION = 2

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
"""


def connected(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """Opens the file with everything switched off that a hostile database could use."""
    if read_only:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=5)
    else:
        database = sqlite3.connect(path, isolation_level=None, timeout=1)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * LONGEST)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    database.execute("PRAGMA trusted_schema = OFF")
    return database


def written(database: sqlite3.Connection) -> sqlite3.Connection:
    """WAL: a reader sees whole transactions, and a killed writer loses none."""
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    return database


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


def free(database: sqlite3.Connection) -> sqlite3.Connection:
    """Makes sure that no living process writes it."""
    row = database.execute("SELECT value FROM progress WHERE key = 'writer'").fetchone()
    if row is not None and is_alive(row[0]):
        raise BlockingIOError(row[0])
    return database


def locked(database: sqlite3.Connection) -> sqlite3.Connection:
    """Keeps other writers out; readers stay welcome. The lock is a row that names a process; a dead one holds nothing.

    (SQLite's own exclusive mode would shut readers out too.)
    """
    free(database)
    database.execute("INSERT OR REPLACE INTO progress VALUES ('writer', ?)", (this_process(),))
    database.execute("DELETE FROM progress WHERE key = 'over'")
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
        raise cannot_write(path, OSError(str(error))) from error
    except sqlite3.DatabaseError as error:
        raise not_a_ledger(path, f"it cannot be read: {error}") from error
    except OSError as error:
        raise cannot_write(path, error) from error


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
        remedy="put the files back, or start again with `verifluxa verify`",
    )
