"""Leaves that are closed jointly, as flat arrays and back.

`["j", joint, clips, point]`: `joint` lists the nodes of the closing in preorder, `["w", weights, beta]` or
`["z", input]`, the latter followed by the two nodes where the input does not violate and where it does. A
weight is `[input, position, row, tangent (0 or 1), "weight"]`, a clip is `[input, position, rows]`. A leaf whose claims
clip each other has the list of `[input, row]` behind the point.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from verifluxa.certificate.document import Json
from verifluxa.certificate.fields import wrong
from verifluxa.certificate.numbers import float_text, parse_float_text
from verifluxa.evidence import Clip, FarkasTerm, Joint, Node, PrunedDisjunct

LARGEST_INDEX = 2**31
DEEPEST = 64
"""Branchings below each other in one closing; real ones have a handful."""


def encode_joint_leaf(node: Node) -> Json:
    """The flat form of what closes a leaf jointly.

    Raises:
        ValueError: for a branching without two children: a mistake of the caller.
    """
    assert node.joint is not None
    flat: list[Json] = []
    waiting = [node.joint]
    while waiting:
        joint = waiting.pop()
        if len(joint.children) != (2 if joint.branch_on >= 0 else 0):
            raise ValueError("a branching of a joint closing has two children, weights have none")
        flat.append(_encode(joint))
        waiting.extend(reversed(joint.children))
    leaf: list[Json] = ["j", flat, encode_clips(node.clips), [float_text(float(value)) for value in node.point]]
    return [*leaf, encode_shared(node.shared)] if node.shared else leaf


def decode_joint_leaf(dropped: list[PrunedDisjunct], item: list[Json], place: str) -> Node:
    """The leaf of a flat form.

    Raises:
        CertificateError: VF5005 for anything that `encode_joint_leaf` does not write.
    """
    match item:
        case ["j", list(flat), list(clips), list(point), *more] if not more or (len(more) == 1 and more[0]):
            reading = iter(flat)
            joint = _decode(reading, place, 0)
            if next(reading, None) is None:
                decoded = tuple(_clip(clip, place) for clip in clips)
                shared = decode_shared(more[0], place) if more else ()
                return Node(
                    dropped, closed=True, joint=joint, clips=decoded, point=_floats(point, place), shared=shared
                )
        case _:
            pass
    raise wrong(place, 'a joint closing: ["j", joint, clips, point] or ["j", joint, clips, point, shared]', item)


def encode_shared(pairs: Iterable[tuple[int, int]]) -> list[Json]:
    """The flat form of planes, each by its input and row."""
    return [[int(i), int(row)] for i, row in pairs]


def decode_shared(items: Json, place: str) -> tuple[tuple[int, int], ...]:
    """Pairs of an input and a row, of which there are some.

    Raises:
        CertificateError: VF5005.
    """
    pairs = [indices(item, place) for item in items] if isinstance(items, list) else []
    if not pairs or any(len(pair) != len(("input", "row")) for pair in pairs):
        raise wrong(place, "[input, row] of each plane that clips others", items)
    return tuple((number, row) for number, row in pairs)


def encode_clips(clips: Iterable[Clip]) -> list[Json]:
    """The flat form of a node's clips."""
    return [[int(i), int(at), [int(row) for row in rows]] for i, at, rows in clips]


def decode_clips(items: Json, place: str) -> tuple[Clip, ...]:
    """The clips of a split node, of which there are some.

    Raises:
        CertificateError: VF5005.
    """
    if not isinstance(items, list) or not items:
        raise wrong(place, "clips of a node", items)
    return tuple(_clip(item, place) for item in items)


def indices(values: Json, place: str, low: int = 0) -> tuple[int, ...]:
    """An array of indices, `low` or more.

    Raises:
        CertificateError: VF5005.
    """
    if not isinstance(values, list) or not all(is_index(value, low) for value in values):
        raise wrong(place, "an array of indices", values)
    return tuple(values)  # type: ignore[arg-type]


def is_index(value: Json, low: int = 0) -> bool:
    """Whether a value is an index, `low` or more."""
    return type(value) is int and low <= value < LARGEST_INDEX


def _encode(joint: Joint) -> Json:
    if joint.branch_on >= 0:
        return ["z", int(joint.branch_on)]
    weights: list[Json] = [
        [int(item.input), int(item.position), int(item.row), int(item.tangent), float_text(float(item.weight))]
        for item in joint.weights
    ]
    return ["w", weights, [float_text(float(value)) for value in joint.beta]]


def _decode(reading: Iterator[Json], place: str, depth: int) -> Joint:
    """The next node of the list, with what is below it."""
    item = next(reading, None)
    match item:
        case ["w", list(weights), list(beta)]:
            return Joint(tuple(_weight(weight, place) for weight in weights), _floats(beta, place))
        case ["z", int(number)] if is_index(number) and depth < DEEPEST:
            first = _decode(reading, place, depth + 1)
            return Joint(branch_on=number, children=(first, _decode(reading, place, depth + 1)))
    raise wrong(place, f'["w", weights, beta] or ["z", input], at most {DEEPEST} below each other', item)


def _weight(item: Json, place: str) -> FarkasTerm:
    match item:
        case [int(number), int(position), int(row), int(tangent), text]:
            value, whole = parse_float_text(text), all(map(is_index, (number, position, row, tangent)))
            if value is not None and value >= 0 and whole and tangent <= 1:
                return FarkasTerm(number, position, row, bool(tangent), value)
        case _:
            pass
    raise wrong(place, '[input, position, row, 0 or 1, "weight"], the weight not negative', item)


def _clip(item: Json, place: str) -> Clip:
    match item:
        case [int(number), int(position), list(rows)] if is_index(number) and is_index(position):
            return number, position, indices(rows, place)
        case _:
            raise wrong(place, "[input, position, rows]", item)


def _floats(values: list[Json], place: str) -> tuple[float, ...]:
    numbers = tuple(number for number in map(parse_float_text, values) if number is not None)
    if len(numbers) != len(values):
        raise wrong(place, "numbers as shortest decimal strings", values)
    return numbers
