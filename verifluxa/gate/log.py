"""The gate's memory: an append-only log of decisions, its lock, and the index that makes it quick to ask.

`decisions.jsonl` takes one line a decision; each names the digest of the line before. A file that has grown to
`SEGMENT` bytes is renamed to `decisions.jsonl.000001` and so on, and the chain goes on in a new one. Beside them lie
`.index` (see `log_index`) and `.lock`. A decision looks at the last line and at what the file system says of the files
(size, inode, time of change); the whole chain is read again where that differs, and by `verify`.

Whoever can rewrite all of these files is noticed by a checkpoint elsewhere alone.
"""

from __future__ import annotations

import glob
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from verifluxa.certificate.document import Json
from verifluxa.errors import GateError
from verifluxa.files import locked, open_file
from verifluxa.gate.checkpoint import Checkpoint, Head
from verifluxa.gate.log_index import Index, Live, Memory, State
from verifluxa.gate.log_line import LONGEST_EVER, START, Line, broken, chained, encode_line, line_digest, parse_line
from verifluxa.gate.reference import Reference

SEGMENT = 8 * 2**20
"""Bytes after which the log goes on in a new file."""


@dataclass(frozen=True)
class Log:
    """A log by its place.

    Attributes:
        path: the file that lines are added to.
        checkpoint: where its head is kept elsewhere, or None.
        segment: bytes after which a new file is begun.
    """

    path: Path
    checkpoint: Checkpoint | None = None
    segment: int = SEGMENT

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Holds the log for one decision and what follows from it; everybody else waits.

        A thread that holds it already goes on with what it holds.

        Raises:
            GateError: VF6070 when the log cannot be relied on, or its lock not be taken.
        """
        mine: dict[Path, Held] = _HELD.__dict__.setdefault("logs", {})
        if self.path in mine:
            yield mine[self.path]
            return
        with _locked(self.path), _opened(self) as held:
            mine[self.path] = held
            try:
                yield held
            finally:
                del mine[self.path]

    def verify(self, head: str | None = None) -> State:
        """Reads every line, and compares index and checkpoint with them.

        Args:
            head: digest of a line that was kept elsewhere; it must stand in the log.

        Raises:
            GateError: VF6070.
        """
        with self.held() as held:
            return held.verify(head)

    def rebuild(self) -> State:
        """Makes the index again from the lines; for an operator who knows why it was lost.

        Raises:
            GateError: VF6070 when the lines are no chain.
        """
        with _locked(self.path):
            for path in (_beside(self.path, ".index"), _beside(self.path, ".head")):
                path.unlink(missing_ok=True)
            _cut_half_line(self.path)
            with _opened(self, trusted=True) as held:
                return held.state


_HELD = threading.local()
"""What each thread holds."""


@dataclass
class Held:
    """A log that this thread holds, and whose end is known."""

    log: Log
    index: Index
    state: State

    def memory(self, reference: Reference, files: str) -> Memory:
        """What a decision about these files at this place needs."""
        with _readable(self.log.path):
            return self.index.memory(reference, files)

    def memory_of_clock(self) -> datetime | None:
        """When the last decision was."""
        with _readable(self.log.path):
            return self.index.last()

    def live(self, name: str | None = None) -> list[tuple[Live, Live | None]]:
        """What is live as far as the log says; see `Index.live`."""
        with _readable(self.log.path):
            return list(self.index.live(name))

    def append(self, record: Mapping[str, Json]) -> Line:
        """Adds one line, on disk before this returns.

        Raises:
            GateError: VF6070 when it cannot be written.
        """
        path, state = self.log.path, self.state
        with _readable(path):
            data = encode_line({**record, "counted": self.index.pending()}, state.count, state.head)
            line = parse_line(data, state.count, state.head, str(path))
            try:
                _rotate(self.log, len(data) + 1)
                _write(path, data + b"\n")
            except OSError as error:
                raise broken(str(path), f"it cannot be written: {error.strerror or error}") from error
            self._take_in([(line, line_digest(data))])
        if self.log.checkpoint is not None:
            self.log.checkpoint.write(Head(self.state.count, self.state.head))
        return line

    def may_write_refusal(self, client: str, now: datetime, most: int, record: Mapping[str, Json]) -> bool:
        """Whether a refusal becomes a line, or is only counted: one client may fill so many lines a minute.

        What a trusted certificate shows to be false is always written, once: it may not be forgotten.

        Raises:
            GateError: VF6070 when the index cannot be written.
        """
        if not client:
            return True
        with _readable(self.log.path):
            if not self.index.is_known(record):
                return True
            return self.index.count_refusal(client, now, most)

    def confirm(self, reference: Reference) -> None:
        """Says that what was permitted has happened."""
        with _readable(self.log.path):
            self.index.confirm(reference)

    def verify(self, head: str | None = None) -> State:
        """See `Log.verify`."""
        with closing(Index(":memory:")) as index, _readable(self.log.path):
            seen = {START}
            for line, digest in _lines(self.log.path):
                index.apply(line, digest)
                seen.add(digest)
            if index.dump() != self.index.dump():
                raise broken(str(self.log.path), "its index says something else than its lines")
            if head is not None and head not in seen:
                raise broken(str(self.log.path), f"the head {head} that was kept elsewhere is not in it")
            return index.state()

    def check(self, trusted: bool) -> None:
        """Looks whether the files are as they were left; where not, reads them.

        Args:
            trusted: an operator vouches for lines that the index does not know.
        """
        if _stamps(self.log.path) != self.state.files or self.state.count == 0:
            self._read_again(trusted)
        self._check_checkpoint()

    def _read_again(self, trusted: bool) -> None:
        """Follows the chain up to the last line that is known, and takes in what comes after it."""
        path, known = self.log.path, self.state
        fresh: list[tuple[Line, str]] = []
        count, head = 0, START
        for number, data, place in _raw(path):
            if number < known.count:
                # The digest of the last known line stands for the content of all before it.
                if not chained(data, number, head):
                    raise broken(place, "the chain is broken: a line was changed, moved or left out before it")
            else:
                if number == known.count and head != known.head:
                    raise broken(place, "the line before it is not the one that was there")
                fresh.append((parse_line(data, number, head, place), line_digest(data)))
            count, head = number + 1, line_digest(data)
        if count < known.count or (count == known.count and head != known.head):
            raise broken(str(path), "lines were changed or cut off")
        if fresh and self.index.new and not trusted:
            self._check_old_head(count, head)
        self._take_in(fresh)

    def _check_old_head(self, count: int, head: str) -> None:
        """A log without an index is one of an earlier version, with the file that this version kept its head in."""
        path = _beside(self.log.path, ".head")
        try:
            with open_file(path) as file:
                noted = file.read(200).decode("ascii", errors="replace").split()
        except OSError:
            why = "its index is missing (`verifluxa gate log rebuild` makes it again, if you know why it is)"
            raise broken(str(self.log.path), why) from None
        if noted != [str(count), head]:
            raise broken(str(self.log.path), "it does not end as the head beside it says: lines were cut off or added")
        path.unlink()

    def _take_in(self, lines: list[tuple[Line, str]]) -> None:
        self.index.begin()
        try:
            for line, digest in lines:
                self.index.apply(line, digest)
            self.index.note_files(_stamps(self.log.path))
            self.index.commit()
        finally:
            self.index.abandon()
        self.state = self.index.state()

    def _check_checkpoint(self) -> None:
        checkpoint = self.log.checkpoint
        if checkpoint is None:
            return
        kept, here = checkpoint.read(), Head(self.state.count, self.state.head)
        if kept is None and here.count:
            why = "its checkpoint is missing (`verifluxa gate log checkpoint` writes it again, if you know why it is)"
            raise broken(str(checkpoint.path), why)
        if kept is not None and kept != here:
            # It may be one line behind after a crash; then it must stand in the log.
            if kept.count >= here.count or kept not in _heads(self.log.path):
                raise broken(str(self.log.path), "it does not end as its checkpoint says")
            checkpoint.write(here)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(_beside(path, ".lock")))
        except OSError as error:
            raise broken(str(path), f"its lock cannot be made: {error.strerror or error}") from error
        yield


@contextmanager
def _opened(log: Log, trusted: bool = False) -> Iterator[Held]:
    index: Index | None = None
    try:
        with _readable(log.path):
            index = Index(_beside(log.path, ".index"))
            held = Held(log, index, index.state())
            held.check(trusted)
    except GateError:
        _close(index)
        raise
    try:
        yield held
    finally:
        index.close()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What goes wrong with the files of a log, in words. A damaged index may hold anything where a number should be."""
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError) as error:
        why = f"its index is damaged: {error} (`verifluxa gate log rebuild` makes it again)"
        raise broken(str(path), why) from error
    except OSError as error:
        raise broken(str(path), f"it cannot be read: {error.strerror or error}") from error


def _close(index: Index | None) -> None:
    if index is not None:
        index.close()


def _segments(path: Path) -> list[Path]:
    """The files of a log, oldest first."""
    older = sorted(item for item in path.parent.glob(f"{glob.escape(path.name)}.[0-9]*") if item.suffix[1:].isdigit())
    return [*older, path]


def _stamps(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What the file system says of the files; the time of a change cannot be set by who changes them."""
    found = []
    for item in _segments(path):
        with suppress(FileNotFoundError):
            status = item.stat()
            found.append((item.name, status.st_ino, status.st_size, status.st_ctime_ns))
    return tuple(found)


def _raw(path: Path) -> Iterator[tuple[int, bytes, str]]:
    """Number, bytes and place of every line.

    Raises:
        GateError: VF6070 for a line without an end.
        OSError: when a file cannot be read.
    """
    number = 0
    for item in _segments(path):
        if item == path and not os.path.lexists(path):
            continue
        with open_file(item) as file:
            here = 0
            while data := file.readline(LONGEST_EVER + 2):
                here += 1
                place = f"{item}:{here}"
                if not data.endswith(b"\n"):
                    raise broken(place, "a line is too long" if len(data) > LONGEST_EVER else "a line is not whole")
                yield number, data[:-1], place
                number += 1


def _lines(path: Path) -> Iterator[tuple[Line, str]]:
    """Every line, read strictly, with its digest."""
    head = START
    for number, data, place in _raw(path):
        line = parse_line(data, number, head, place)
        head = line_digest(data)
        yield line, head


def _heads(path: Path) -> Iterator[Head]:
    for number, data, _ in _raw(path):
        yield Head(number + 1, line_digest(data))


def read_lines(path: Path) -> list[Line]:
    """Every line of a log, its chain verified; for those who want to show it.

    Raises:
        GateError: VF6070.
    """
    try:
        return [line for line, _ in _lines(path)]
    except OSError as error:
        raise broken(str(path), f"it cannot be read: {error.strerror or error}") from error


def _rotate(log: Log, more: int) -> None:
    with suppress(FileNotFoundError):
        size = log.path.stat().st_size
        if size and size + more > log.segment:
            number = len(_segments(log.path))
            os.rename(log.path, _beside(log.path, f".{number:06}"))
            _sync_folder(log.path.parent)


def _write(path: Path, data: bytes) -> None:
    new = not os.path.lexists(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError("the disk is full")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        _sync_folder(path.parent)


def _cut_half_line(path: Path) -> None:
    """Takes away a line that a crash left half written."""
    with suppress(FileNotFoundError), path.open("r+b") as file:
        data = file.read()
        if not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
