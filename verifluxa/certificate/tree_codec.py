"""Split trees as flat arrays in preorder, and back: compact, exact, and of bounded depth in JSON.

A node is `[dropped]` (leaf closed by counting), `[dropped, 0]` (open leaf), `[dropped, 1]` (leaf that nobody can
recompute), `[dropped, ["j", joint, clips, point]]` (leaf closed jointly), `[dropped, ["c", conflicts]]` (leaf closed by
conflicts), `[dropped, partition]` or `[dropped, partition, clips]`, followed in the list by its subtrees. A node that
starts anew has an "a" in front. Where claims clip each other, their planes stand behind the clips of a split, or behind
the point of a joint closing; slopes of ends stand behind the conflicts.
A partition is `["b", coordinate, low_end, high_start]`, `["s", direction, cut]`, `["n", input, layer, neuron]` or
`["i", [[input, row], ...]]`, which has a child for each input. `dropped` groups the inputs that fell by equal rows:
`[[rows, inputs], [rows, inputs, planes], [rows, inputs, planes, slopes, betas], ...]`. Inputs are sorted, so a tree has
one encoding. Rows may be -1 (this alternative stays open) or -2 (contradicted); see `verifluxa.evidence`.

Inside a leaf there are trees too, again in preorder. A joint closing: `["w", weights, beta]`, or `["z", input]`,
followed by what holds where the input does not violate and where it does. The cases of a conflict `[claims, cases]`:
`["p", planes]` for a leaf and `["n", input, layer, neuron]` for a split, with planes behind where they clip its cases.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any

from verifluxa.certificate.codec import FLOAT, Codec, array, codec_of, flatten, integer, unflatten
from verifluxa.certificate.document import Json, wrong
from verifluxa.documents import NOT_EMPTY
from verifluxa.evidence import (
    CONTRADICTED,
    Betas,
    Case,
    Clip,
    Conflicts,
    Counted,
    FarkasTerm,
    Joint,
    JointClosing,
    NeuronSplit,
    Node,
    Partition,
    PrunedDisjunct,
    Shared,
    Slopes,
    Split,
    Unrecorded,
    WeightedTerm,
    parts_of,
)

OPEN_LEAF, UNRECORDED = 0, 1
MOST_BRANCHINGS = 64
"""Branchings below each other in one joint closing; real ones have a handful."""
MOST_SPLITS = 256
"""Splits below each other in one conflict."""

_INDEX, _ROWS, _INDICES = codec_of(int), array(integer(low=CONTRADICTED)), codec_of(tuple[int, ...])
_SLOPES, _BETAS, _FLOATS = codec_of(Slopes), codec_of(Betas), array(FLOAT)
_WEIGHTS = array(codec_of(FarkasTerm))
_STEERED = codec_of(Annotated[tuple[WeightedTerm, ...], NOT_EMPTY])
_NEURON, _PARTITION = codec_of(NeuronSplit), codec_of(Partition)
_CLIPS, _SHARED = codec_of(Annotated[tuple[Clip, ...], NOT_EMPTY]), codec_of(Annotated[Shared, NOT_EMPTY])
_SPLIT = (_PARTITION, _CLIPS, _SHARED)


def encode_tree(root: Node) -> list[Json]:
    """The flat form of a tree.

    Raises:
        ValueError: for a node without all its children, or with too many: a mistake of the caller.
    """
    return flatten(root, _encode_node)


def decode_tree(flat: Json, place: str) -> Node:
    """The tree of a flat form.

    Raises:
        CertificateError: VF5005 for anything that `encode_tree` does not write.
    """
    root: Node = unflatten(flat, place, _decode_node, _with_children)
    return root


def count_leaves(root: Node) -> int:
    """Number of leaves below and at `root`."""
    leaves, waiting = 0, [root]
    while waiting:
        node = waiting.pop()
        leaves += not node.children
        waiting.extend(node.children)
    return leaves


def _encode_node(node: Node) -> Json:
    head: list[Json] = ["a"] if node.anew else []
    return [*head, _encode_dropped(node.dropped), *_encode_step(node)]


def _encode_step(node: Node) -> list[Json]:
    step = node.step
    if isinstance(step, Split):
        if len(step.children) != parts_of(step.partition):
            raise ValueError("a split has its halves or cases")
        said = (step.partition, step.clips, step.shared)[: 1 + bool(step.clips) + bool(step.clips and step.shared)]
        return [codec.encode(part) for codec, part in zip(_SPLIT, said, strict=False)]
    if isinstance(step, Counted):
        return []
    if step is None or isinstance(step, Unrecorded):
        return [OPEN_LEAF if step is None else UNRECORDED]
    return [_CLOSING.encode(step)]


def _decode_node(item: Json, place: str) -> tuple[Node, int]:
    parts = item[1:] if isinstance(item, list) and item[:1] == ["a"] else item
    if not isinstance(parts, list) or not 1 <= len(parts) <= len(("dropped", "split", "clips", "shared")):
        raise wrong(place, "a node: [dropped], [dropped, 0 or 1], [dropped, how], [..., clips] or [..., shared]", item)
    node = Node(_decode_dropped(parts[0], place), _decode_step(parts[1:], place), anew=parts is not item)
    return node, parts_of(node.split) if node.split else 0


def _decode_step(parts: list[Json], place: str) -> Any:
    match parts:
        case []:
            return Counted()
        case [int(code)] if type(code) is int and code in {OPEN_LEAF, UNRECORDED}:
            return Unrecorded() if code == UNRECORDED else None
        case [["j" | "c", *_]]:
            return _CLOSING.decode(parts[0], place)
    partition, *more = [codec.decode(part, place) for codec, part in zip(_SPLIT, parts, strict=False)]
    return Split(partition, [], *more)


def _with_children(node: Node, children: list[Node]) -> Node:
    node.children.extend(children)
    return node


def _encode_dropped(dropped: list[PrunedDisjunct]) -> Json:
    groups: dict[tuple[Any, ...], list[int]] = {}
    for item in sorted(dropped):
        rows, planes = tuple(map(int, item.rows)), tuple(map(int, item.planes))
        groups.setdefault((rows, planes, item.slopes, item.betas), []).append(int(item.input))
    return [_encode_group(inputs, *group) for group, inputs in sorted(groups.items())]


def _encode_group(inputs: Any, rows: Any, planes: Any, slopes: Slopes, betas: Betas) -> Json:
    chosen = [_SLOPES.encode(slopes), _BETAS.encode(betas)] if slopes or betas else []
    return [list(rows), inputs, *([list(planes), *chosen] if planes or chosen else [])]


def _decode_dropped(groups: Json, place: str) -> list[PrunedDisjunct]:
    if not isinstance(groups, list):
        raise wrong(place, "groups of dropped inputs", groups)
    dropped = [item for group in groups for item in _decode_group(group, place)]
    dropped.sort()
    if any(first == second for first, second in pairwise(dropped)):
        raise wrong(place, "each record once in a node", groups)
    return dropped


def _decode_group(group: Json, place: str) -> list[PrunedDisjunct]:
    if not isinstance(group, list) or len(group) not in {2, 3, 5}:
        raise wrong(place, "a group: [rows, inputs], [rows, inputs, planes] or [..., slopes, betas]", group)
    codecs = (_ROWS, _INDICES, _INDICES, _SLOPES, _BETAS)
    rows, inputs, *more = [codec.decode(part, place) for codec, part in zip(codecs, group, strict=False)]
    if not inputs or (more and not any(more[-2:])):
        raise wrong(place, "inputs, and planes, slopes or betas where there are any", group)
    return [PrunedDisjunct(number, rows, *more) for number in inputs]


def _encode_joint(joint: Joint) -> Json:
    if len(joint.children) != (2 if joint.branch_on >= 0 else 0):
        raise ValueError("a branching of a joint closing has two children, weights have none")
    if joint.branch_on >= 0:
        return ["z", int(joint.branch_on)]
    return ["w", _WEIGHTS.encode(joint.weights), _FLOATS.encode(joint.beta)]


def _decode_joint(item: Json, place: str) -> tuple[Joint, int]:
    match item:
        case ["w", weights, beta]:
            return Joint(_WEIGHTS.decode(weights, place), _FLOATS.decode(beta, place)), 0
        case ["z", number]:
            return Joint(branch_on=_INDEX.decode(number, place)), 2
    raise wrong(place, '["w", weights, beta] or ["z", input]', item)


def _encode_case(case: Case) -> Json:
    if len(case.children) != (2 if case.split else 0):
        raise ValueError("a split of a conflict has two cases and a leaf has none")
    if case.split is None:
        return ["p", _STEERED.encode(case.planes)]
    split = _NEURON.encode(case.split)
    assert isinstance(split, list)
    return [*split, _STEERED.encode(case.planes)] if case.planes else split


def _decode_case(item: Json, place: str) -> tuple[Case, int]:
    match item:
        case ["p", planes]:
            return Case(_STEERED.decode(planes, place)), 0
        case ["n", number, layer, neuron, *clip] if len(clip) < 2:
            split = _NEURON.decode(["n", number, layer, neuron], place)
            return Case(_STEERED.decode(clip[0], place) if clip else (), split), 2
    raise wrong(place, '["p", planes], ["n", input, layer, neuron] or ["n", input, layer, neuron, planes]', item)


def _branching(name: str, encode: Any, decode: Any, deepest: int) -> Codec:
    """Trees inside a leaf."""

    def join(node: Any, children: list[Any]) -> Any:
        return replace(node, children=tuple(children))

    return Codec(
        name, lambda root: flatten(root, encode), lambda flat, place: unflatten(flat, place, decode, join, deepest)
    )


_CLOSING = codec_of(
    JointClosing | Conflicts,
    {
        Joint: _branching("a joint closing in preorder", _encode_joint, _decode_joint, MOST_BRANCHINGS),
        Case: _branching("cases in preorder", _encode_case, _decode_case, MOST_SPLITS),
    },
)
