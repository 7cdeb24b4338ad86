"""What an attack found at one placement, as one canonical JSON record of the ledger. Exact both ways."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verifluxa.certificate.document import Fields, Json, Limits, canonical_json, read_json
from verifluxa.certificate.evidence_lines import (
    QUESTION_PARTS,
    decode_strongest,
    decode_witness,
    encode_strongest,
    encode_witness,
)
from verifluxa.certificate.numbers import float_text, parse_float_text
from verifluxa.question import Question
from verifluxa.strategy.work import Attacked

LIMITS = Limits(16 * 2**20, 8)


def encode_attacked(items: Sequence[Attacked]) -> bytes:
    """The record."""
    return canonical_json({"attacked": [_encode(item) for item in items]})


def decode_attacked(line: bytes, place: str) -> list[Attacked]:
    """What was found.

    Raises:
        CertificateError: VF5001 to VF5006 for a record that is not well formed.
    """
    fields = Fields(read_json(line, place, LIMITS), place)
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
