"""`evidence.jsonl`: written while proving, read back line by line; a suffix `.gz` compresses it.

One file holds the sections of one or more properties. A section is a header line, a line for each question
and an end line with the counts. Readers hold one line at a time, and never more than the limits allow.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO

from verifluxa.certificate.document import Fields, Json, Limits, canonical_json, read_json, unreadable
from verifluxa.certificate.evidence_lines import (
    DEEPEST,
    LONGEST,
    End,
    Header,
    Record,
    decode_header,
    decode_record,
    encode_header,
    line_of,
    record_of,
)
from verifluxa.errors import CertificateError
from verifluxa.evidence import Outcome
from verifluxa.files import open_file

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31
_PIECE = 1 << 18
_SYNC_EVERY = 1 << 16

Item = Header | Record | End


@dataclass(frozen=True)
class FileLimits:
    """How much a reader takes in: bytes of the file, of its text when inflated, and of one line."""

    packed: int = 2 * 2**30
    text: int = 4 * 2**30
    line: int = LONGEST


DEFAULT_FILE_LIMITS = FileLimits()


@dataclass(frozen=True)
class Section:
    """What was written of one property."""

    property: str
    questions: int
    leaves: int


@dataclass(frozen=True)
class EvidenceSummary:
    """A finished evidence file: its digest, its size in bytes, its sections."""

    sha256: str
    size: int
    sections: tuple[Section, ...]

    def leaves(self, name: str) -> int:
        """Leaves of a property's trees."""
        return next(section.leaves for section in self.sections if section.property == name)


class EvidenceWriter:
    """Streams records to disk; `begin`, `write` for each outcome, `end`, and at last `close`."""

    def __init__(self, path: Path, longest: int = LONGEST) -> None:
        self._longest = longest
        self._file: IO[bytes] = path.open("wb")
        self._hash = hashlib.sha256()
        self._size = 0
        self._pack = zlib.compressobj(wbits=_GZIP_WINDOW) if path.suffix == ".gz" else None
        self._unsynced = 0
        self._sections: list[Section] = []
        self._header: Header | None = None
        self._questions = 0
        self._leaves = 0

    def __enter__(self) -> EvidenceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def begin(self, header: Header) -> None:
        """Starts a property's section."""
        if self._header is not None:
            raise ValueError("a section is open")
        self._header, self._questions, self._leaves = header, 0, 0
        self._line(encode_header(header))

    def write(self, outcome: Outcome) -> None:
        """Appends one outcome and hands it to the operating system."""
        self.write_record(record_of(outcome))

    def write_record(self, record: Record) -> None:
        """Appends one record."""
        self.write_encoded(*line_of(record, self._longest))

    def write_encoded(self, record: bytes, leaves: int) -> None:
        """Appends a record that is in its canonical form already; `leaves` counts its tree's."""
        if self._header is None:
            raise ValueError("no section is open")
        self._bytes(record)
        self._questions += 1
        self._leaves += leaves

    def end(self) -> Section:
        """Closes the section; what it holds goes into the certificate."""
        if self._header is None:
            raise ValueError("no section is open")
        self._line({"end": {"questions": self._questions, "leaves": self._leaves}})
        section = Section(self._header.property, self._questions, self._leaves)
        self._sections.append(section)
        self._header = None
        return section

    def close(self) -> EvidenceSummary:
        """Finishes the file."""
        if self._header is not None:
            raise ValueError("a section is open")
        if self._pack is not None:
            self._put(self._pack.flush())
        self._file.close()
        return EvidenceSummary("sha256:" + self._hash.hexdigest(), self._size, tuple(self._sections))

    def _line(self, value: dict[str, Json]) -> None:
        self._bytes(canonical_json(value))

    def _bytes(self, line: bytes) -> None:
        data = line + b"\n"
        if self._pack is None:
            self._put(data)
        else:
            self._unsynced += len(data)
            self._put(self._pack.compress(data))
            if self._unsynced >= _SYNC_EVERY:
                self._put(self._pack.flush(zlib.Z_SYNC_FLUSH))
                self._unsynced = 0
        self._file.flush()

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)


def write_evidence(path: Path, sections: Iterable[tuple[bytes, Iterable[tuple[bytes, int]]]]) -> EvidenceSummary:
    """Writes a whole file from canonical lines: for each property its header, and (record, leaves) of its questions.

    Raises:
        CertificateError: VF5001 to VF5006 for a header that is not well formed.
        OSError: when it cannot be written.
    """
    with EvidenceWriter(path) as writer:
        for header, records in sections:
            writer.begin(
                decode_header(Fields(read_json(header, str(path), Limits(DEFAULT_FILE_LIMITS.line, DEEPEST)), "header"))
            )
            for record, leaves in records:
                writer.write_encoded(record, leaves)
            writer.end()
        return writer.close()


def read_evidence(path: Path, limits: FileLimits = DEFAULT_FILE_LIMITS) -> Iterator[Item]:
    """Reads an evidence file item by item: Header, Record..., End, and again.

    Raises:
        CertificateError: VF5001 to VF5007 for lines that are not well formed, VF5040 where the order of
            lines or the counts are wrong, VF5041 where the file ends too early or is badly compressed.
    """
    section = _Reading(str(path))
    for number, line in enumerate(_lines(path, limits), start=1):
        place = f"{path}, line {number}"
        item = section.take(Fields(read_json(line, place, Limits(limits.line, DEEPEST)), place))
        yield replace(item, size=len(line)) if isinstance(item, Record) else item
    section.finish()


class _Reading:
    """Where a reader is in the grammar of sections."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.open = False
        self.sections = 0
        self.questions = 0
        self.leaves = 0

    def take(self, fields: Fields) -> Item:
        if fields.has("schema"):
            return self._header(fields)
        if not self.open:
            raise _disorder(fields.place, "a record stands before any header", "a header line first")
        if fields.has("end"):
            return self._end(fields)
        record = decode_record(fields)
        self.questions += 1
        self.leaves += record.leaves
        return record

    def finish(self) -> None:
        if self.open or not self.sections:
            raise _cut(self.place, "the evidence ends too early")

    def _header(self, fields: Fields) -> Header:
        if self.open:
            raise _disorder(fields.place, "a header stands inside a section", "an end line before the next header")
        self.open, self.questions, self.leaves = True, 0, 0
        self.sections += 1
        return decode_header(fields)

    def _end(self, fields: Fields) -> End:
        inner = fields.child("end")
        end = End(inner.integer("questions"), inner.integer("leaves"))
        inner.close()
        fields.close()
        if (end.questions, end.leaves) != (self.questions, self.leaves):
            found = f"{self.questions} questions and {self.leaves} leaves"
            raise _disorder(fields.place, f"the section holds {found}", f"{end.questions} and {end.leaves}")
        self.open = False
        return end


def _lines(path: Path, limits: FileLimits) -> Iterator[bytes]:
    rest = b""
    pieces: list[bytes] = []
    held = 0
    for piece in _text(path, limits):
        start = 0
        while (stop := piece.find(b"\n", start)) >= 0:
            pieces.append(piece[start:stop])
            yield b"".join(pieces)
            pieces, held, start = [], 0, stop + 1
        rest = piece[start:]
        held += len(rest)
        pieces.append(rest)
        if held > limits.line:
            raise _too_large(path, f"a line is longer than {limits.line} bytes")
    if held:
        raise _cut(str(path), "the last line does not end")


def _text(path: Path, limits: FileLimits) -> Iterator[bytes]:
    total = 0
    packed = _packed(path, limits)
    first = next(packed, b"")
    source = _inflate(path, first, packed) if first.startswith(_GZIP_MAGIC) else _chain(first, packed)
    for piece in source:
        total += len(piece)
        if total > limits.text:
            raise _too_large(path, f"its text is longer than {limits.text} bytes")
        yield piece


def _packed(path: Path, limits: FileLimits) -> Iterator[bytes]:
    total = 0
    try:
        with open_file(path) as file:
            while piece := file.read(_PIECE):
                total += len(piece)
                if total > limits.packed:
                    raise _too_large(path, f"it is larger than {limits.packed} bytes")
                yield piece
    except OSError as error:
        raise unreadable(path, error) from error


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _inflate(path: Path, first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Inflates one gzip member in pieces of at most `_PIECE` bytes."""
    unpack = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        for packed in _chain(first, rest):
            data = packed
            while data and not unpack.eof:
                yield unpack.decompress(data, _PIECE)
                data = unpack.unconsumed_tail
            if unpack.eof and (unpack.unused_data or data):
                raise _cut(str(path), "something follows the compressed evidence")
    except zlib.error as error:
        raise _cut(str(path), f"the evidence is badly compressed: {error}") from error
    if not unpack.eof:
        raise _cut(str(path), "the compressed evidence ends too early")


def _disorder(place: str, what: str, expected: str) -> CertificateError:
    return CertificateError(
        "VF5040",
        what,
        place=place,
        expected=expected,
        remedy="use the evidence file as `verifluxa verify` wrote it; do not trust it otherwise",
    )


def _cut(place: str, what: str) -> CertificateError:
    return CertificateError(
        "VF5041",
        what,
        place=place,
        expected="a whole evidence file, closed by an end line",
        remedy="copy the file again, or verify the model again if the run was interrupted",
    )


def _too_large(path: Path, what: str) -> CertificateError:
    return CertificateError(
        "VF5003",
        f"the evidence is refused: {what}",
        place=str(path),
        expected="evidence within the reader's limits",
        remedy="check that this is the right file; a very large proof can be split by property",
    )
