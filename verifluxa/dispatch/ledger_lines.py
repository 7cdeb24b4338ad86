"""What the ledger keeps as canonical JSON: attacks at one placement, and a question that goes on in pieces. Exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from verifluxa.certificate.document import Fields, Json, Limits, canonical_json, read_json
from verifluxa.certificate.evidence_lines import (
    DEEPEST,
    LONGEST,
    QUESTION_PARTS,
    decode_directions,
    decode_strongest,
    decode_witness,
    encode_directions,
    encode_strongest,
    encode_witness,
)
from verifluxa.certificate.numbers import float_text, parse_float_text
from verifluxa.certificate.tree_codec import decode_tree, encode_tree
from verifluxa.dispatch.pieces import Path, at, put
from verifluxa.dispatch.slices import PieceDone
from verifluxa.evidence import Node
from verifluxa.question import Question
from verifluxa.strategy import work
from verifluxa.strategy.work import Attacked, Checkpoint
from verifluxa.verdict import Reason

ATTACK_LIMITS = Limits(16 * 2**20, 8)


def encode_attacked(items: Sequence[Attacked]) -> bytes:
    """The record."""
    return canonical_json({"attacked": [_encode(item) for item in items]})


def decode_attacked(line: bytes, place: str) -> list[Attacked]:
    """What was found.

    Raises:
        CertificateError: VF5001 to VF5006 for a record that is not well formed.
    """
    fields = Fields(read_json(line, place, ATTACK_LIMITS), place)
    items = [_decode(Fields(item, place)) for item in fields.items("attacked")]
    fields.close()
    return items


def _encode(item: Attacked) -> dict[str, Json]:
    value: dict[str, Json] = {"q": [int(part) for part in item.question], **encode_strongest(item.strongest)}
    if item.witness is not None:
        value["witness"] = encode_witness(item.witness)
    if item.trigger is not None:
        value["trigger"] = [float_text(float(number)) for number in item.trigger]
    return value


def _decode(fields: Fields) -> Attacked:
    question = fields.integers("q")
    if len(question) != QUESTION_PARTS:
        fields.fail("q", "[placement, violation, selection, need]", list(question))
    trigger = None
    if fields.has("trigger"):
        numbers = [parse_float_text(item) for item in fields.items("trigger")]
        if any(number is None for number in numbers):
            fields.fail("trigger", "numbers as shortest decimal strings", fields.raw("trigger"))
        trigger = np.array([number for number in numbers if number is not None], dtype=np.float64)
    attacked = Attacked(
        question=Question(*question),
        strongest=decode_strongest(fields),
        witness=decode_witness(fields.child("witness")) if fields.has("witness") else None,
        trigger=trigger,
    )
    fields.close()
    return attacked


PIECE_LIMITS = Limits(LONGEST, DEEPEST + 1)
"""A tree may be as long as in evidence, and lies one array deeper here."""


def encode_begun(begun: Checkpoint) -> bytes:
    """The record of a question that was handed back."""
    allowed = begun.allowed
    value: dict[str, Json] = {
        "q": [int(part) for part in begun.question],
        "stage": begun.stage,
        "tree": encode_tree(begun.root),
        "boxes": begun.boxes,
        "seconds": float_text(begun.seconds),
        **encode_strongest(begun.strongest),
        "proved": begun.proved,
        "closed": begun.closed,
        "allowed": [allowed.boxes, None if allowed.seconds is None else float_text(allowed.seconds)],
        "later": int(begun.later),
    }
    if len(begun.directions):
        value["directions"] = encode_directions(begun.directions)
    return canonical_json(value)


def encode_grown(done: PieceDone) -> bytes:
    """The record of a piece that came back."""
    grown = done.grown
    value: dict[str, Json] = {
        "paths": [list(path) for path in done.slice.paths],
        "trees": [encode_tree(at(grown.root, path)) for path in done.slice.paths],
        "boxes": grown.boxes,
        "seconds": float_text(grown.seconds),
        **encode_strongest(grown.strongest),
        "closed": grown.closed,
    }
    if grown.reason is not None and not grown.cut_short:
        value["reason"] = grown.reason.value
    return canonical_json(value)


def decode_begun(line: bytes, pieces: Iterable[bytes], dimension: int, place: str) -> Checkpoint:
    """A question with all the pieces that came back.

    Args:
        line: its first record.
        pieces: those of its pieces, in the order in which they came.
        dimension: of tau, for trees without slabs.
        place: for messages.

    Raises:
        CertificateError: VF5001 to VF5006 for records that are not well formed.
    """
    begun = _begun(Fields(read_json(line, place, PIECE_LIMITS), place), dimension)
    for piece in pieces:
        begun = _put(begun, Fields(read_json(piece, place, PIECE_LIMITS), place))
    return begun


def _begun(fields: Fields, dimension: int) -> Checkpoint:
    question = fields.integers("q")
    if len(question) != QUESTION_PARTS:
        fields.fail("q", "[placement, violation, selection, need]", list(question))
    given = fields.has("directions")
    begun = Checkpoint(
        question=Question(*question),
        stage=fields.integer("stage"),
        root=decode_tree(fields.raw("tree"), f"{fields.place}.tree"),
        directions=decode_directions(fields) if given else np.zeros((0, dimension)),
        boxes=fields.integer("boxes"),
        seconds=_seconds(fields, fields.raw("seconds")),
        strongest=decode_strongest(fields),
        proved=fields.integer("proved"),
        closed=fields.integer("closed"),
        allowed=_allowed(fields),
        later=bool(fields.integer("later", 0, 1)),
    )
    fields.close()
    return begun


def _put(begun: Checkpoint, fields: Fields) -> Checkpoint:
    trees = [decode_tree(tree, f"{fields.place}.tree") for tree in fields.items("trees")]
    paths = [_path(fields, path) for path in fields.items("paths")]
    if len(paths) != len(trees):
        fields.fail("paths", "one path for each tree", len(paths))
    for path, tree in zip(paths, trees, strict=True):
        if not _is_open_leaf(begun.root, path):
            fields.fail("paths", "paths to open leaves", list(path))
        put(begun.root, path, tree)
    reason = fields.member("reason", Reason) if fields.has("reason") else None
    changed = replace(
        begun,
        boxes=begun.boxes + fields.integer("boxes"),
        seconds=begun.seconds + _seconds(fields, fields.raw("seconds")),
        strongest=begun.strongest.or_stronger(decode_strongest(fields)),
        closed=max(begun.closed, fields.integer("closed")),
        reason=begun.reason or reason,
    )
    fields.close()
    return changed


def _is_open_leaf(root: Node, path: Path) -> bool:
    node = root
    for number in path:
        if number >= len(node.children):
            return False
        node = node.children[number]
    return node.step is None


def _path(fields: Fields, value: Json) -> Path:
    if not isinstance(value, list) or not all(type(number) is int and number in (0, 1) for number in value):
        fields.fail("paths", "arrays of 0 and 1", value)
    return tuple(value)  # type: ignore[arg-type]


def _allowed(fields: Fields) -> work.Limits:
    value = fields.raw("allowed")
    if not isinstance(value, list) or len(value) != 2 or type(value[0]) is not int:
        fields.fail("allowed", "[boxes, seconds]", value)
    boxes, seconds = value
    assert isinstance(boxes, int)
    return work.Limits(boxes, None if seconds is None else _seconds(fields, seconds))


def _seconds(fields: Fields, value: Json) -> float:
    number = parse_float_text(value)
    if number is None or number < 0:
        fields.fail("seconds", "a number as its shortest decimal string", value)
    return number
