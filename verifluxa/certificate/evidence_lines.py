"""The lines of an evidence file: a header, a record for each question, an end. Exact both ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.document import Json, canonical_json
from verifluxa.certificate.fields import SHA256, Fields, wrong
from verifluxa.certificate.numbers import float_text, parse_float_text, parse_hex_float
from verifluxa.certificate.tree_codec import count_leaves, decode_tree, encode_tree
from verifluxa.errors import CertificateError
from verifluxa.evidence import Node, Outcome, Strongest, Witness
from verifluxa.question import Problem, Question, Rows
from verifluxa.verdict import Reason, Verdict

SCHEMA = "verifluxa/evidence/3"
READ = (SCHEMA, "verifluxa/evidence/2")
"""The layout, and the rules for what it leaves out: a neuron's lines where none are named. A new number with either.
2, which is still read, has no `strongest`."""
DEEPEST = 12
"""Nested arrays and objects of a line: the multipliers of a conflict's planes lie that deep."""
LONGEST = 16 * 2**20
"""Bytes of a line. Readers take no longer one."""
MOST_DIRECTIONS = 64
QUESTION_PARTS = 4


class Row(NamedTuple):
    """A linear row over the outputs: (output, coefficient) pairs, sorted; the constant; closed or open."""

    coefficients: tuple[tuple[int, float], ...]
    constant: float
    closed: bool


@dataclass(frozen=True)
class Header:
    """What the records of one property speak of.

    Attributes:
        property: its name.
        digest: its property digest.
        graph: digest of the canonical graph that was bounded: `encode`, then the lifted network.
        data: digest of the data file.
        arithmetic: `float32`, `float64` or `real`.
        inputs: frozen positions of the counted inputs in the data file.
        placements: label of each placement.
        violations: label of each violation.
        selections: for each selection the inputs (indices into `inputs`).
        needs: `need` of each selection.
        pairs: (violation, selection) pairs that are asked at each placement.
        rows: the rows that trees name by number, each as its coefficients that are not zero,
            its constant, and whether it is closed (met at 0).
    """

    property: str
    digest: str
    graph: str
    data: str
    arithmetic: str
    inputs: tuple[int, ...]
    placements: tuple[tuple[tuple[str, int], ...], ...]
    violations: tuple[str, ...]
    selections: tuple[tuple[int, ...], ...]
    needs: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, eq=False)
class Record:
    """The answer to one question; `leaves` counts the tree's, `size` is that of the line it was read from, in bytes."""

    question: Question
    verdict: Verdict
    reason: Reason | None
    strongest: Strongest
    proved: int
    tree: Node | None = None
    directions: NDArray[np.float64] | None = None
    witness: Witness | None = None
    size: int = field(default=0, compare=False)

    @property
    def leaves(self) -> int:
        """Leaves of the tree, 0 without one."""
        return count_leaves(self.tree) if self.tree is not None else 0


@dataclass(frozen=True)
class End:
    """Closes a property's records, so that a file that was cut short is noticed."""

    questions: int
    leaves: int


def header_of(problem: Problem, data_digest: str) -> Header:
    """The header of a problem; `data_digest` is that of the data file."""
    return Header(
        property=problem.name,
        digest=problem.digest,
        graph=problem.graph.digest,
        data=data_digest,
        arithmetic=problem.arithmetic,
        inputs=tuple(int(index) for index in problem.indices),
        placements=tuple(placement.label for placement in problem.placements),
        violations=tuple(violation.label for violation in problem.violations),
        selections=tuple(tuple(int(index) for index in selection) for selection in problem.selections),
        needs=tuple(int(need) for need in problem.needs),
        pairs=tuple((int(violation), int(selection)) for violation, selection in problem.pairs),
        rows=_rows_of(problem.rows),
    )


def _rows_of(rows: Rows) -> tuple[Row, ...]:
    sparse = []
    for coefficients, constant, closed in zip(rows.coefficients, rows.constants, rows.closed, strict=True):
        pairs = tuple((int(output), float(coefficients[output])) for output in np.flatnonzero(coefficients))
        sparse.append(Row(pairs, float(constant), bool(closed)))
    return tuple(sparse)


def record_of(outcome: Outcome) -> Record:
    """The record of an outcome."""
    return Record(
        question=outcome.question,
        verdict=outcome.verdict,
        reason=outcome.reason,
        strongest=outcome.strongest,
        proved=outcome.proved,
        tree=outcome.tree,
        directions=outcome.directions,
        witness=outcome.witness,
    )


def line_of(record: Record) -> tuple[bytes, int]:
    """The line of a record, and how many leaves its tree has there.

    A proof that would make it longer than `LONGEST` is left out: like a solver's, it cannot be recomputed.
    """
    line = canonical_json(encode_record(record))
    if len(line) <= LONGEST or record.tree is None:
        return line, record.leaves
    bare = replace(record, tree=Node(closed=True, unrecorded=True), directions=None)
    return canonical_json(encode_record(bare)), bare.leaves


def encode_header(header: Header) -> dict[str, Json]:
    """A header as a JSON object."""
    return {
        "schema": SCHEMA,
        "property": header.property,
        "digest": header.digest,
        "graph": header.graph,
        "data": header.data,
        "arithmetic": header.arithmetic,
        "inputs": list(header.inputs),
        "placements": [[[name, value] for name, value in label] for label in header.placements],
        "violations": list(header.violations),
        "selections": [list(selection) for selection in header.selections],
        "needs": list(header.needs),
        "pairs": [list(pair) for pair in header.pairs],
        "rows": [_encode_row(row) for row in header.rows],
    }


def decode_header(fields: Fields) -> Header:
    """A header from its JSON object.

    Raises:
        CertificateError: VF5005, VF5006, or VF5010 where it follows another schema.
    """
    if (schema := fields.text("schema")) not in READ:
        raise CertificateError(
            "VF5010",
            f"this evidence follows another schema: {schema!r}",
            place=fields.place,
            expected=SCHEMA,
            remedy="recheck it with the version of verifluxa that wrote it, or verify the model again",
        )
    header = Header(
        property=fields.text("property", limit=255),
        digest=fields.text("digest", SHA256),
        graph=fields.text("graph", SHA256),
        data=fields.text("data", SHA256),
        arithmetic=fields.choice("arithmetic", "float32", "float64", "real"),
        inputs=fields.integers("inputs"),
        placements=tuple(_label(item, fields.place) for item in fields.items("placements")),
        violations=tuple(_text(item, fields.place) for item in fields.items("violations")),
        selections=tuple(_integers(item, fields.place) for item in fields.items("selections")),
        needs=fields.integers("needs"),
        pairs=tuple(_pair(item, fields.place) for item in fields.items("pairs")),
        rows=tuple(_decode_row(item, fields.place) for item in fields.items("rows")),
    )
    fields.close()
    return header


def encode_record(record: Record) -> dict[str, Json]:
    """A record as a JSON object; parts that are not there are left out."""
    result: dict[str, Json] = {
        "q": [int(part) for part in record.question],
        "v": record.verdict.value,
        **encode_strongest(record.strongest),
        "proved": int(record.proved),
    }
    if record.reason is not None:
        result["r"] = record.reason.value
    if record.tree is not None:
        result["tree"] = encode_tree(record.tree)
    if record.directions is not None and len(record.directions):
        result["directions"] = encode_directions(record.directions)
    if record.witness is not None:
        result["witness"] = encode_witness(record.witness)
    return result


def decode_record(fields: Fields) -> Record:
    """A record from its JSON object.

    Raises:
        CertificateError: VF5005 or VF5006.
    """
    question = fields.integers("q")
    if len(question) != QUESTION_PARTS:
        fields.fail("q", "[placement, violation, selection, need]", list(question))
    record = Record(
        question=Question(*question),
        verdict=Verdict(fields.choice("v", *Verdict)),
        reason=Reason(fields.choice("r", *Reason)) if fields.has("r") else None,
        strongest=decode_strongest(fields),
        proved=fields.integer("proved"),
        tree=decode_tree(fields.raw("tree"), f"{fields.place}.tree") if fields.has("tree") else None,
        directions=decode_directions(fields) if fields.has("directions") else None,
        witness=decode_witness(fields.child("witness")) if fields.has("witness") else None,
    )
    fields.close()
    return record


def encode_strongest(strongest: Strongest) -> dict[str, Json]:
    """The strongest trigger as two fields: how many inputs it makes violate in every evaluation, and its values."""
    found: dict[str, Json] = {"found": int(strongest.count)}
    return found if strongest.trigger is None else found | {"strongest": _texts(strongest.trigger)}


def decode_strongest(fields: Fields) -> Strongest:
    """The fields that `encode_strongest` wrote.

    Raises:
        CertificateError: VF5005.
    """
    trigger = np.array(_floats(fields, "strongest"), dtype=np.float64) if fields.has("strongest") else None
    return Strongest(fields.integer("found"), trigger)


def _texts(numbers: Iterable[float]) -> list[Json]:
    return [float_text(float(number)) for number in numbers]


def encode_witness(witness: Witness) -> dict[str, Json]:
    """A witness as a JSON object."""
    return {
        "trigger": _texts(witness.trigger),
        "inputs": [int(index) for index in witness.inputs],
        "margins": _texts(witness.margins),
        "robust": int(witness.robust),
    }


def decode_witness(fields: Fields) -> Witness:
    """A witness from its JSON object.

    Raises:
        CertificateError: VF5005 or VF5006.
    """
    witness = Witness(
        trigger=np.array(_floats(fields, "trigger"), dtype=np.float64),
        inputs=fields.integers("inputs"),
        margins=_floats(fields, "margins"),
        robust=fields.integer("robust"),
    )
    fields.close()
    return witness


def _floats(fields: Fields, key: str) -> tuple[float, ...]:
    values = [parse_float_text(item) for item in fields.items(key)]
    if any(value is None for value in values):
        fields.fail(key, "numbers as shortest decimal strings", fields.raw(key))
    return tuple(value for value in values if value is not None)


def encode_directions(directions: NDArray[np.float64]) -> Json:
    """Strip directions, numbers in hex."""
    return [[float(value).hex() for value in row] for row in directions]


def decode_directions(fields: Fields) -> NDArray[np.float64]:
    """The field `directions` of a record.

    Raises:
        CertificateError: VF5005 or VF5006.
    """
    rows = fields.items("directions", MOST_DIRECTIONS)
    values = [[parse_hex_float(item) for item in row] for row in rows if isinstance(row, list)]
    widths = {len(row) for row in values}
    if len(values) != len(rows) or len(widths) != 1 or any(value is None for row in values for value in row):
        fields.fail("directions", "rows of one length, numbers in hex", rows)
    return np.array(values, dtype=np.float64)


def _encode_row(row: Row) -> Json:
    coefficients: list[Json] = [[output, float_text(value)] for output, value in row.coefficients]
    return [coefficients, float_text(row.constant), row.closed]


def _decode_row(item: Json, place: str) -> Row:
    match item:
        case [list(pairs), constant_text, bool(closed)]:
            coefficients = [_coefficient(pair, place) for pair in pairs]
            constant = parse_float_text(constant_text)
            if constant is not None and all(first[0] < second[0] for first, second in pairwise(coefficients)):
                return Row(tuple(coefficients), constant, closed)
        case _:
            pass
    raise wrong(place, 'a row: [[[output, "coefficient"], ...], "constant", closed], outputs ascending', item)


def _coefficient(pair: Json, place: str) -> tuple[int, float]:
    match pair:
        case [int(output), text] if type(output) is int and output >= 0:
            value = parse_float_text(text)
            if value:
                return output, value
        case _:
            pass
    raise wrong(place, '[output, "coefficient"], the coefficient not zero', pair)


def _label(item: Json, place: str) -> tuple[tuple[str, int], ...]:
    if not isinstance(item, list):
        raise wrong(place, "a placement label: [[name, value], ...]", item)
    label = []
    for part in item:
        match part:
            case [str(name), int(value)] if type(value) is int:
                label.append((name, value))
            case _:
                raise wrong(place, "a placement label: [[name, value], ...]", item)
    return tuple(label)


def _text(item: Json, place: str) -> str:
    if not isinstance(item, str):
        raise wrong(place, "text", item)
    return item


def _integers(item: Json, place: str) -> tuple[int, ...]:
    if not isinstance(item, list) or not all(type(value) is int and value >= 0 for value in item):
        raise wrong(place, "an array of indices", item)
    return tuple(item)  # type: ignore[arg-type]


def _pair(item: Json, place: str) -> tuple[int, int]:
    values: Sequence[int] = _integers(item, place)
    if len(values) != 2:
        raise wrong(place, "[violation, selection]", item)
    return values[0], values[1]
