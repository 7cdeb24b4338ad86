"""Who writes a ledger: one row names the process, a token grows with each writer, a thread gives signs of life.

A process of this machine is asked for: it runs or it does not. One of another machine, or of another container, cannot
be; as long as its signs of life come, and for a while after the last one, it keeps the ledger. Whoever takes a ledger
raises the token, and every write looks at it in its own transaction (a fencing token, M. Kleppmann, "How to do
distributed locking", 2016), so a writer that was stopped, taken for dead and goes on again writes nothing more.
"""

from __future__ import annotations

import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from verifluxa.dispatch.interrupts import interrupts_blocked
from verifluxa.dispatch.ledger_file import connected, not_a_ledger, transaction
from verifluxa.errors import UsageError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """How patient the writers of a ledger are.

    Attributes:
        patience: seconds for which a lock of the file is waited for, with growing pauses.
        beat: seconds between two signs of life of a writer.
        silence: seconds without a sign of life after which a writer elsewhere counts as dead.
    """

    patience: float = 60.0
    beat: float = 5.0
    silence: float = 30.0


USUAL = Timing()
MOST_WRITERS = 2**53


@dataclass(frozen=True)
class Writer:
    """Who writes, or wrote last.

    Attributes:
        token: grows with each writer.
        held: whether it has not let go.
        host: its host name.
        boot: which boot of which machine, and which process namespace (a container's numbers mean nothing outside).
        process: its number.
        start: when the process began, in clock ticks since boot; empty where the system does not tell.
        thread: the name of its heartbeat's thread, which tells the ledgers of one process apart.
        beats: its signs of life so far.
    """

    token: int
    held: bool
    host: str
    boot: str
    process: int
    start: str
    thread: str
    beats: int = 0

    @classmethod
    def here(cls, token: int, thread: str) -> Writer:
        """This process."""
        return cls(token, True, os.uname().nodename, _boot(), os.getpid(), _start(os.getpid()), thread)

    @property
    def is_foreign(self) -> bool:
        """Whether it runs where its number cannot be looked up."""
        here = Writer.here(0, "")
        return (self.host, self.boot) != (here.host, here.boot)

    @property
    def is_gone(self) -> bool:
        """Whether it has let go, or is a process of this machine or a ledger of this process that has ended."""
        if not self.held or self.is_foreign:
            return not self.held
        if self.process == os.getpid():
            return self.thread not in {thread.name for thread in threading.enumerate()}
        return not _runs(self.process, self.start)

    @property
    def row(self) -> tuple[int, int, str, str, int, str, str, int]:
        """As it stands in the ledger."""
        return self.token, int(self.held), self.host, self.boot, self.process, self.start, self.thread, self.beats


def writer_of(path: Path, database: sqlite3.Connection) -> Writer:
    """The writer that a ledger names.

    Raises:
        UsageError: VF4420 when it names none.
    """
    row = database.execute("SELECT token, held, host, boot, process, start, thread, beats FROM writer").fetchone()
    kinds = (int, int, str, str, int, str, str, int)
    if row is None or not all(type(value) is kind for value, kind in zip(row, kinds, strict=True)):
        raise not_a_ledger(path, "it does not say who writes it")
    if not 0 < row[0] < MOST_WRITERS:
        raise not_a_ledger(path, "it does not say who writes it")
    return Writer(row[0], bool(row[1]), *row[2:])


def put_writer(database: sqlite3.Connection, writer: Writer) -> None:
    """Names a writer in place of the one before."""
    database.execute("INSERT OR REPLACE INTO writer VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", writer.row)


def claim(
    path: Path,
    database: sqlite3.Connection,
    thread: str,
    take_over: bool = False,
    timing: Timing = USUAL,
    renew: Callable[[], None] | None = None,
) -> int:
    """Makes this process the writer, in one transaction; readers stay welcome.

    Args:
        path: of the ledger.
        database: the ledger.
        thread: name of the heartbeat that will give the signs of life.
        take_over: whether a writer elsewhere, which cannot be asked, is taken for dead at once.
        timing: how long its silence must be otherwise.
        renew: what belongs to the same transaction.

    Returns:
        The token that every write must find in place.

    Raises:
        UsageError: VF4420, VF4421 when another process writes it, and what `renew` raises.
    """
    silent: Writer | None = None
    while True:
        with transaction(database):
            found = writer_of(path, database)
            if found.is_gone or found == silent or (take_over and found.is_foreign):
                put_writer(database, Writer.here(found.token + 1, thread))
                if renew is not None:
                    renew()
                database.execute("DELETE FROM progress WHERE key = 'over'")
                return found.token + 1
        if not found.is_foreign:
            raise in_use(path, found)
        log.warning("%s: waiting %.0f s for a sign of life of %s", path, timing.silence, _words(found))
        silent = _when_silent(path, database, found, timing)


def _when_silent(path: Path, database: sqlite3.Connection, writer: Writer, timing: Timing) -> Writer:
    """The same writer, when it has given no sign of life for long enough; our own clock tells how long that is."""
    end = time.monotonic() + timing.silence
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, timing.beat / 2))
        found = writer_of(path, database)
        if found != writer:
            if found.is_gone:
                return found
            raise in_use(path, found)
    return writer


def check_token(path: Path, database: sqlite3.Connection, token: int) -> None:
    """Lets nobody write who has lost the ledger.

    Raises:
        UsageError: VF4426.
    """
    found = writer_of(path, database)
    if found.token != token:
        raise UsageError(
            "VF4426",
            f"another run has taken this ledger over ({_words(found)})",
            place=str(path),
            expected="the ledger that this run began with",
            remedy="nothing more was written here; the other run goes on with all that was found",
        )


def release(database: sqlite3.Connection, token: int) -> None:
    """Lets go, so that nobody has to find out whether this process still runs."""
    with suppress(sqlite3.Error):  # a full disk, a lock: then the next writer finds out
        database.execute("PRAGMA busy_timeout = 1000")
        database.execute("UPDATE writer SET held = 0 WHERE token = ?", (token,))


class Heartbeat:
    """A thread that gives signs of life, also while this process works on something long.

    It begins before the ledger is taken, and as long as it goes on, the ledger counts as held within this process.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path, self._seconds, self._token = path, seconds, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"ledger-{secrets.token_hex(8)}", daemon=True)
        with interrupts_blocked():  # else a signal that the main thread blocks would come through this one
            self._thread.start()

    @property
    def name(self) -> str:
        """Of the thread; no other has it."""
        return self._thread.name

    def begin(self, token: int) -> None:
        """Gives signs of life for this writer from now on."""
        self._token = token

    def end(self) -> None:
        """Ends the thread. May be called twice."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._seconds):
            # A full disk or a lock costs one sign of life; the main thread meets the same and says so.
            with suppress(sqlite3.Error), closing(connected(self._path, patience=1.0)) as database:
                database.execute("UPDATE writer SET beats = beats + 1 WHERE token = ?", (self._token,))


def in_use(path: Path, writer: Writer) -> UsageError:
    """VF4421."""
    elsewhere = "; where it is surely gone, `--take-over`" if writer.is_foreign else ""
    return UsageError(
        "VF4421",
        f"another run writes this ledger ({_words(writer)})",
        place=str(path),
        expected="a ledger that no run holds",
        remedy=f"wait for it or end it{elsewhere}; `verifluxa watch` may look on meanwhile",
    )


def _words(writer: Writer) -> str:
    return f"process {writer.process} on host `{writer.host}`"


def _boot() -> str:
    """What tells this boot of this machine and this process namespace from others; empty where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _runs(number: int, start: str) -> bool:
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is there and belongs to somebody else
    return number > 0 and _start(number) == start


def _start(number: int) -> str:
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return "ended" if fields[0] in "ZX" else fields[19]  # a dead child that nobody has asked for yet is no writer
    except (OSError, IndexError):
        return ""
