"""Split trees as flat arrays in preorder, and back: compact, exact, and of bounded depth in JSON.

A node is `[dropped]` (leaf closed by counting), `[dropped, 0]` (open leaf), `[dropped, 1]` (leaf closed by an SMT
solver), `[dropped, ["j", joint, clips, point]]` (leaf closed jointly, see `joint_codec`), `[dropped, ["c", conflicts]]`
(leaf closed by conflicts, see `conflict_codec`), `[dropped, split]` or `[dropped, split, clips]`, followed in the list
by its subtrees. A node that starts anew has an "a" in front; behind the clips of a split node stand the planes by which
they clip each other, where they do, as in a joint leaf.
A split is `["b", coordinate, low_end, high_start]`, `["s", direction, cut]`, `["n", input, layer, neuron]` or `["i",
[[input, row], ...]]`, which has a child for each input; floats are shortest decimal strings. `dropped` groups the
inputs that fell by equal rows: `[[rows, inputs], [rows, inputs, planes], [rows, inputs, planes, slopes, pushes], ...]`;
a push is `[layer, neuron, "multiplier"]`.
Inputs are sorted, so a tree has one encoding. Rows may be -1 (this alternative stays open) or -2
(contradicted); see `verifluxa.evidence`.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from verifluxa.certificate.chosen_codec import decode_betas, decode_slopes, encode_betas
from verifluxa.certificate.conflict_codec import decode_conflict_leaf, encode_conflict_leaf
from verifluxa.certificate.document import Json
from verifluxa.certificate.fields import wrong
from verifluxa.certificate.joint_codec import (
    decode_clips,
    decode_joint_leaf,
    decode_shared,
    encode_clips,
    encode_joint_leaf,
    encode_shared,
    indices,
    is_index,
)
from verifluxa.certificate.numbers import float_text, parse_float_text
from verifluxa.evidence import (
    CONTRADICTED,
    BoxSplit,
    InputSplit,
    NeuronSplit,
    Node,
    PrunedDisjunct,
    Split,
    StripSplit,
    children_of,
)

Chosen = tuple[tuple[str, ...], tuple[tuple[int, int, float], ...]]
"""Slopes and pushes of a record."""
CLIPPED = ("dropped", "split", "clips", "shared")
STILL_OPEN, BY_SOLVER = 0, 1


def encode_tree(root: Node) -> list[Json]:
    """The flat form of a tree.

    Raises:
        ValueError: for a split without its children, or a leaf with any: a mistake of the caller.
    """
    flat: list[Json] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        how = bool(node.split) + bool(node.joint) + node.unrecorded + bool(node.conflicts)
        open_ = (node.joint or node.unrecorded or node.conflicts) and not node.closed
        if len(node.children) != children_of(node.split) or how > 1 or open_ or (node.split and node.closed):
            raise ValueError("a split has its halves or cases and a leaf has none")
        flat.append(["a", *_encode_node(node)] if node.anew else _encode_node(node))
        waiting.extend(reversed(node.children))
    return flat


def decode_tree(flat: Json, place: str) -> Node:
    """The tree of a flat form.

    Raises:
        CertificateError: VF5005 for anything that `encode_tree` does not write.
    """
    if not isinstance(flat, list) or not flat:
        raise wrong(place, "a tree: an array of nodes in preorder", flat)
    root = _decode_node(flat[0], place)
    unfilled = [root] if root.split else []
    for item in flat[1:]:
        if not unfilled:
            raise wrong(place, "no node after the last leaf", item)
        node = _decode_node(item, place)
        unfilled[-1].children.append(node)
        if len(unfilled[-1].children) == children_of(unfilled[-1].split):
            unfilled.pop()
        if node.split:
            unfilled.append(node)
    if unfilled:
        raise wrong(place, "all halves and cases below every split", flat[-1])
    return root


def count_leaves(root: Node) -> int:
    """Number of leaves below and at `root`."""
    leaves, waiting = 0, [root]
    while waiting:
        node = waiting.pop()
        leaves += not node.children
        waiting.extend(node.children)
    return leaves


def _encode_node(node: Node) -> list[Json]:
    dropped = _encode_dropped(node.dropped)
    if node.split is not None:
        parts = [dropped, _encode_split(node.split)]
        if node.clips:
            parts += [encode_clips(node.clips), *([encode_shared(node.shared)] if node.shared else [])]
        return parts
    if node.joint is not None:
        return [dropped, encode_joint_leaf(node)]
    if node.conflicts:
        return [dropped, encode_conflict_leaf(node)]
    if node.unrecorded:
        return [dropped, BY_SOLVER]
    return [dropped] if node.closed else [dropped, STILL_OPEN]


def _encode_split(split: Split) -> Json:
    if isinstance(split, BoxSplit):
        return ["b", int(split.coordinate), float_text(split.low_end), float_text(split.high_start)]
    if isinstance(split, NeuronSplit):
        return ["n", int(split.input), int(split.layer), int(split.neuron)]
    if isinstance(split, InputSplit):
        return ["i", encode_shared(split.cases)]
    return ["s", int(split.direction), float_text(split.cut)]


def _encode_dropped(dropped: list[PrunedDisjunct]) -> Json:
    groups: dict[tuple[tuple[int, ...], tuple[int, ...], Chosen], list[int]] = {}
    for item in sorted(dropped):
        rows, planes = tuple(map(int, item.rows)), tuple(map(int, item.planes))
        groups.setdefault((rows, planes, (item.slopes, item.betas)), []).append(int(item.input))
    encoded: list[Json] = []
    for (rows, planes, (slopes, betas)), inputs in sorted(groups.items()):
        group: list[Json] = [list(rows), list(inputs)]
        if planes or slopes or betas:
            group.append(list(planes))
        if slopes or betas:
            group += [list(slopes), encode_betas(betas)]
        encoded.append(group)
    return encoded


def _decode_node(item: Json, place: str) -> Node:
    if isinstance(item, list) and item[:1] == ["a"]:
        return replace(_decode_plain(item[1:], place), anew=True)
    return _decode_plain(item, place)


def _decode_plain(item: Json, place: str) -> Node:
    if not isinstance(item, list) or not 1 <= len(item) <= len(CLIPPED):
        raise wrong(
            place, "a node: [dropped], [dropped, 0 or 1], [dropped, split], [..., clips] or [..., shared]", item
        )
    dropped = _decode_dropped(item[0], place)
    if len(item) > len(("dropped", "split")):
        shared = decode_shared(item[3], place) if len(item) == len(CLIPPED) else ()
        return Node(dropped, _decode_split(item[1], place), clips=decode_clips(item[2], place), shared=shared)
    if len(item) == 1:
        return Node(dropped, closed=True)
    if type(item[1]) is int and item[1] in {STILL_OPEN, BY_SOLVER}:
        return Node(dropped, closed=item[1] == BY_SOLVER, unrecorded=item[1] == BY_SOLVER)
    if isinstance(item[1], list) and item[1][:1] == ["j"]:
        return decode_joint_leaf(dropped, item[1], place)
    if isinstance(item[1], list) and item[1][:1] == ["c"]:
        return decode_conflict_leaf(dropped, item[1], place)
    return Node(dropped, _decode_split(item[1], place))


def _decode_split(item: Json, place: str) -> Split:
    match item:
        case ["b", int(coordinate), low, high] if is_index(coordinate):
            low_end, high_start = parse_float_text(low), parse_float_text(high)
            if low_end is not None and high_start is not None:
                return BoxSplit(coordinate, low_end, high_start)
        case ["s", int(direction), cut_text] if is_index(direction):
            cut = parse_float_text(cut_text)
            if cut is not None:
                return StripSplit(direction, cut)
        case ["n", int(number), int(layer), int(neuron)] if all(map(is_index, (number, layer, neuron))):
            return NeuronSplit(number, layer, neuron)
        case ["i", cases]:
            return InputSplit(decode_shared(cases, place))
        case _:
            pass
    expected = '["b", coordinate, low, high], ["s", direction, cut], ["n", input, layer, neuron] or ["i", cases]'
    raise wrong(place, f"a split: {expected}, numbers as strings", item)


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
        raise wrong(place, "a group: [rows, inputs], [rows, inputs, planes] or [..., slopes, pushes]", group)
    rows = indices(group[0], place, low=CONTRADICTED)
    inputs, *more = [indices(part, place) for part in group[1:3]]
    chosen = (decode_slopes(group[3], place), decode_betas(group[4], place)) if len(group) > 3 else ((), ())
    if not inputs or (len(group) == 3 and not more[0]) or (len(group) > 3 and chosen == ((), ())):
        raise wrong(place, "inputs, and planes, slopes or pushes where there are any", group)
    return [PrunedDisjunct(number, rows, more[0] if more else (), *chosen) for number in inputs]
