"""Cutting a split tree into pieces that different workers finish, and putting what they return back in.

A piece is the same tree in which the open leaves of the others look closed. It is a work order, never evidence:
only what was put back into the whole tree counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from verifluxa.evidence import Counted, Node, Split

Path = tuple[int, ...]
"""From the root to a node: which child, at each split."""
Paths = tuple[Path, ...]
"""The leaves of a piece."""


def open_paths(root: Node, start: Path = ()) -> Iterator[Path]:
    """The paths of the open leaves below a node, from left to right."""
    waiting = [(start, at(root, start))]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node.step, Split):
            waiting += [((*path, number), child) for number, child in enumerate(node.children)][::-1]
        elif node.step is None:
            yield path


def at(root: Node, path: Path) -> Node:
    """The node at the end of a path."""
    node = root
    for number in path:
        node = node.children[number]
    return node


def pieces(root: Node, count: int, below: Sequence[Path] = ((),)) -> list[Paths]:
    """The open leaves below some nodes, dealt out into at most `count` pieces of neighbours."""
    paths = [path for start in below for path in open_paths(root, start)]
    count = min(count, len(paths))
    ends = [len(paths) * number // count for number in range(count + 1)] if count else [0]
    return [tuple(paths[first:last]) for first, last in pairwise(ends)]


def pruned_to(root: Node, paths: Sequence[Path]) -> Node:
    """A copy of the tree down to the leaves of one piece; whatever the piece leaves alone looks closed."""
    if () in paths:
        return Node(dropped=list(root.dropped), anew=root.anew)
    assert isinstance(root.step, Split)
    children = []
    for number, child in enumerate(root.children):
        own = [path[1:] for path in paths if path[0] == number]
        children.append(pruned_to(child, own) if own else Node(step=Counted()))
    return Node(list(root.dropped), Split(root.step.partition, children))


def graft(root: Node, piece: Node, paths: Sequence[Path]) -> None:
    """Puts the subtrees that grew at the leaves of a piece in their place in the whole tree."""
    for path in paths:
        put(root, path, at(piece, path))


def put(root: Node, path: Path, grown: Node) -> None:
    """Makes a node of the tree what another one is."""
    vars(at(root, path)).update(vars(grown))
