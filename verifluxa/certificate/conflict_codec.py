"""Leaves that are closed by conflicts, as flat arrays and back.

`["c", conflicts]` or `["c", conflicts, ends]`: a conflict is `[claims, cases]`, a claim `[input, position]`; `cases`
lists the tree in preorder, `["p", planes]` for a leaf and `["n", input, layer, neuron]` for a split, with planes as a
fifth part where they clip its cases, followed by its two cases (<= 0, >= 0). A plane is `[input, position, row,
"weight", slopes, pushes]`, a push `[layer, neuron, "multiplier"]`; slopes are two hex digits for each neuron of a
layer. Ends are `[input, layer, neurons, [neurons of each layer below], levels]`, the levels in base64, at most 2^19 of
one leaf.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from verifluxa.certificate.chosen_codec import decode_betas, decode_slopes, encode_betas
from verifluxa.certificate.document import Json
from verifluxa.certificate.fields import wrong
from verifluxa.certificate.joint_codec import indices, is_index
from verifluxa.certificate.numbers import float_text, parse_float_text
from verifluxa.evidence import MOST_LEVELS, Case, Conflict, Ends, NeuronSplit, Node, PrunedDisjunct, Steered

DEEPEST = 256
"""Splits below each other in one conflict."""


def encode_conflict_leaf(node: Node) -> Json:
    """The flat form of what closes a leaf by conflicts.

    Raises:
        ValueError: for a split without two cases, or a leaf with any: a mistake of the caller.
    """
    conflicts: list[Json] = [_encode(conflict) for conflict in node.conflicts]
    ends: list[Json] = [_encode_ends(own) for own in node.ends]
    return ["c", conflicts, ends] if ends else ["c", conflicts]


def decode_conflict_leaf(dropped: list[PrunedDisjunct], item: list[Json], place: str) -> Node:
    """The leaf of a flat form.

    Raises:
        CertificateError: VF5005 for anything that `encode_conflict_leaf` does not write.
    """
    match item:
        case ["c", list(conflicts)] if conflicts:
            return Node(dropped, closed=True, conflicts=tuple(_decode(conflict, place) for conflict in conflicts))
        case ["c", list(_), list(ends)] if ends:
            leaf, decoded = decode_conflict_leaf(dropped, item[:2], place), [_decode_ends(own, place) for own in ends]
            if sum(len(own.levels) for own in decoded) <= MOST_LEVELS:
                return replace(leaf, ends=tuple(decoded))
    expected = f'conflicts: ["c", [[claims, cases], ...]] or ["c", [...], ends], with at most {MOST_LEVELS} levels'
    raise wrong(place, expected, item)


def _encode_ends(own: Ends) -> Json:
    bent: list[Json] = [list(map(int, neurons)) for neurons in own.bent]
    levels = base64.b64encode(own.levels).decode("ascii")
    return [int(own.input), int(own.layer), list(map(int, own.neurons)), bent, levels]


def _decode_ends(item: Json, place: str) -> Ends:
    match item:
        case [int(number), int(layer), neurons, list(bent), str(text)] if is_index(number) and is_index(layer):
            below = tuple(_ascending(part, place) for part in bent)
            own = Ends(number, layer, _ascending(neurons, place), below, _bytes(text))
            if len(below) == layer and len(own.levels) == 2 * len(own.neurons) * sum(map(len, below)):
                return own
    raise wrong(place, "ends: [input, layer, neurons, neurons of each layer below, levels in base64]", item)


def _ascending(item: Json, place: str) -> tuple[int, ...]:
    found = indices(item, place)
    if any(first >= second for first, second in pairwise(found)):
        raise wrong(place, "neurons in ascending order", item)
    return found


def _bytes(text: str) -> bytes:
    """What a text says in base64; nothing where that is not how it would be written."""
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return found if base64.b64encode(found).decode("ascii") == text else b""


def _encode(conflict: Conflict) -> Json:
    flat: list[Json] = []
    waiting = [conflict.case]
    while waiting:
        case = waiting.pop()
        if len(case.children) != (2 if case.split else 0):
            raise ValueError("a split of a conflict has two cases and a leaf has none")
        split = case.split
        if split is not None:
            clip: list[Json] = [[_encode_plane(plane) for plane in case.planes]] if case.planes else []
            flat.append(["n", int(split.input), int(split.layer), int(split.neuron), *clip])
        else:
            flat.append(["p", [_encode_plane(plane) for plane in case.planes]])
        waiting.extend(reversed(case.children))
    claims: list[Json] = [[int(number), int(position)] for number, position in conflict.claims]
    return [claims, flat]


def _encode_plane(plane: Steered) -> Json:
    named: list[Json] = [int(plane.input), int(plane.position), int(plane.row), float_text(float(plane.weight))]
    return [*named, list(plane.slopes), encode_betas(plane.betas)]


def _decode(item: Json, place: str) -> Conflict:
    match item:
        case [list(claims), list(flat)] if claims:
            reading = iter(flat)
            case = _case(reading, place, 0)
            if next(reading, None) is None:
                return Conflict(tuple(_claim(claim, place) for claim in claims), case)
    raise wrong(place, "a conflict: [claims, cases in preorder]", item)


def _claim(item: Json, place: str) -> tuple[int, int]:
    match item:
        case [int(number), int(position)] if is_index(number) and is_index(position):
            return number, position
    raise wrong(place, "a claim: [input, position]", item)


def _case(reading: Iterator[Json], place: str, depth: int) -> Case:
    item = next(reading, None)
    match item:
        case ["p", planes]:
            return Case(_planes(planes, place))
        case ["n", int(number), int(layer), int(neuron), *clip] if all(map(is_index, (number, layer, neuron))):
            if depth < DEEPEST and len(clip) < 2:
                cut = tuple(own for part in clip for own in _planes(part, place))
                first = _case(reading, place, depth + 1)
                return Case(cut, NeuronSplit(number, layer, neuron), (first, _case(reading, place, depth + 1)))
    splits = '["n", input, layer, neuron] or ["n", input, layer, neuron, planes]'
    raise wrong(place, f'["p", planes], {splits}, at most {DEEPEST} below each other', item)


def _planes(item: Json, place: str) -> tuple[Steered, ...]:
    if not isinstance(item, list) or not item:
        raise wrong(place, "planes, at least one", item)
    return tuple(_plane(plane, place) for plane in item)


def _plane(item: Json, place: str) -> Steered:
    match item:
        case [int(number), int(position), int(row), text, slopes, betas]:
            weight = parse_float_text(text)
            if weight is not None and weight > 0 and all(map(is_index, (number, position, row))):
                chosen = decode_slopes(slopes, place), decode_betas(betas, place)
                return Steered(number, position, row, weight, *chosen)
    raise wrong(place, '[input, position, row, "weight", slopes, pushes], the weight positive', item)
