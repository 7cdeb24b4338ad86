"""The lines of an evidence file: a header, a record for each question, an end. Exact both ways."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Annotated, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.codec import FLOAT, HEX, TRUE_OR_FALSE, array, codec_of, integer
from verifluxa.certificate.document import Fields, Json, canonical_json
from verifluxa.certificate.tree_codec import count_leaves, decode_tree, encode_tree
from verifluxa.documents import LARGEST_INTEGER, NOT_ZERO, SHA256, Form, Rule
from verifluxa.errors import CertificateError
from verifluxa.evidence import Node, Outcome, Strongest, Unrecorded, Witness
from verifluxa.question import OutputConstraints, Problem, Question
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


_FLOATS = array(FLOAT)
_DIRECTIONS = codec_of(
    Annotated[
        tuple[tuple[Annotated[float, HEX], ...], ...],
        Rule(f"at most {MOST_DIRECTIONS} rows", lambda rows: len(rows) <= MOST_DIRECTIONS),
        Rule("rows of one length", lambda rows: len(set(map(len, rows))) == 1),
    ]
)
_OUTPUTS_ASCEND = Rule("outputs ascending", lambda pairs: all(one[0] < two[0] for one, two in pairwise(pairs)))
_Whole = Annotated[int, integer(-LARGEST_INTEGER, LARGEST_INTEGER)]
_Digest = Annotated[str, SHA256]
_Numbers = tuple[Annotated[int, integer(0, LARGEST_INTEGER)], ...]


class Row(NamedTuple):
    """A linear row over the outputs: (output, coefficient) pairs, sorted; the constant; closed or open."""

    coefficients: Annotated[tuple[tuple[int, Annotated[float, NOT_ZERO]], ...], _OUTPUTS_ASCEND]
    constant: float
    closed: Annotated[bool, TRUE_OR_FALSE]


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

    property: Annotated[str, Form("a text of at most 255 characters", r"[^\x00-\x08\x0b-\x1f\x7f]{0,255}")]
    digest: _Digest
    graph: _Digest
    data: _Digest
    arithmetic: Annotated[str, Form("float32, float64 or real", "float32|float64|real")]
    inputs: _Numbers
    placements: tuple[tuple[tuple[str, _Whole], ...], ...]
    violations: tuple[str, ...]
    selections: tuple[_Numbers, ...]
    needs: _Numbers
    pairs: tuple[tuple[int, int], ...]
    rows: tuple[Row, ...]


_HEADER = {name: codec_of(hint) for name, hint in get_type_hints(Header, include_extras=True).items()}


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
        needs=tuple(int(need) for need in problem.thresholds),
        pairs=tuple((int(violation), int(selection)) for violation, selection in problem.pairs),
        rows=_rows_of(problem.constraints),
    )


def _rows_of(rows: OutputConstraints) -> tuple[Row, ...]:
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


def line_of(record: Record, longest: int = LONGEST) -> tuple[bytes, int]:
    """The line of a record, and how many leaves its tree has there.

    A proof that would make it longer than that is left out: like a solver's, it cannot be recomputed.
    """
    line = canonical_json(encode_record(record))
    if len(line) <= longest or record.tree is None:
        return line, record.leaves
    bare = replace(record, tree=Node(step=Unrecorded()), directions=None)
    return canonical_json(encode_record(bare)), bare.leaves


def encode_header(header: Header) -> dict[str, Json]:
    """A header as a JSON object."""
    return {"schema": SCHEMA, **{name: codec.encode(getattr(header, name)) for name, codec in _HEADER.items()}}


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
    header = Header(**{name: fields.read(name, codec.decode) for name, codec in _HEADER.items()})
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
        verdict=fields.member("v", Verdict),
        reason=fields.member("r", Reason) if fields.has("r") else None,
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
    return found if strongest.trigger is None else found | {"strongest": _FLOATS.encode(strongest.trigger)}


def decode_strongest(fields: Fields) -> Strongest:
    """The fields that `encode_strongest` wrote.

    Raises:
        CertificateError: VF5005.
    """
    trigger = np.array(fields.read("strongest", _FLOATS.decode)) if fields.has("strongest") else None
    return Strongest(fields.integer("found"), trigger)


def encode_witness(witness: Witness) -> dict[str, Json]:
    """A witness as a JSON object."""
    return {
        "trigger": _FLOATS.encode(witness.trigger),
        "inputs": [int(index) for index in witness.inputs],
        "margins": _FLOATS.encode(witness.margins),
        "robust": int(witness.robust),
    }


def decode_witness(fields: Fields) -> Witness:
    """A witness from its JSON object.

    Raises:
        CertificateError: VF5005 or VF5006.
    """
    witness = Witness(
        trigger=np.array(fields.read("trigger", _FLOATS.decode), dtype=np.float64),
        inputs=fields.integers("inputs"),
        margins=fields.read("margins", _FLOATS.decode),
        robust=fields.integer("robust"),
    )
    fields.close()
    return witness


def encode_directions(directions: NDArray[np.float64]) -> Json:
    """Strip directions, numbers in hex."""
    return _DIRECTIONS.encode(directions)


def decode_directions(fields: Fields) -> NDArray[np.float64]:
    """The field `directions` of a record.

    Raises:
        CertificateError: VF5005 or VF5006.
    """
    return np.array(fields.read("directions", _DIRECTIONS.decode), dtype=np.float64)
