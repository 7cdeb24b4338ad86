"""Slopes and multipliers that a bound was made with, as arrays and back; see `verifluxa.evidence.Dropped`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from verifluxa.certificate.document import Json
from verifluxa.certificate.fields import wrong
from verifluxa.certificate.joint_codec import is_index
from verifluxa.certificate.numbers import float_text, parse_float_text

Beta = tuple[int, int, float]
"""Layer, neuron, multiplier."""
HEX = re.compile(r"([0-9a-f]{2})*")


def encode_betas(betas: Sequence[Beta]) -> list[Json]:
    """`[layer, neuron, "multiplier"]` of each."""
    return [[int(layer), int(neuron), float_text(float(value))] for layer, neuron, value in betas]


def decode_slopes(slopes: Json, place: str) -> tuple[str, ...]:
    """Texts of hex digits.

    Raises:
        CertificateError: VF5005 for anything else.
    """
    if isinstance(slopes, list):
        texts = tuple(text for text in slopes if isinstance(text, str) and HEX.fullmatch(text))
        if len(texts) == len(slopes):
            return texts
    raise wrong(place, "slopes: two lower-case hex digits for each neuron of a layer", slopes)


def decode_betas(betas: Json, place: str) -> tuple[Beta, ...]:
    """Multipliers.

    Raises:
        CertificateError: VF5005 for anything that `encode_betas` does not write, and for a multiplier of 0.
    """
    if not isinstance(betas, list):
        raise wrong(place, "a list of multipliers", betas)
    return tuple(_push(item, place) for item in betas)


def _push(item: Json, place: str) -> Beta:
    match item:
        case [int(layer), int(neuron), text] if is_index(layer) and is_index(neuron):
            value = parse_float_text(text)
            if value:
                return layer, neuron, value
        case _:
            pass
    raise wrong(place, '[layer, neuron, "multiplier"], the multiplier not 0', item)
