"""Split trees as the evidence has them: flat lists in preorder, read into nodes and written back.

Written from the description of the format, without the program's own codec.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = Any
STILL_OPEN, BY_SOLVER = 0, 1


class NoTreeError(ValueError):
    """A list that is no tree."""


@dataclass
class Node:
    """A node: what falls there, and how it goes on.

    Attributes:
        dropped: groups `[rows, inputs]`, `[rows, inputs, planes]` or `[rows, inputs, planes, slopes, pushes]`.
        how: None for a leaf closed by counting, 0 for an open one, 1 for a solver's, `["j", ...]` and `["c", ...]` for
            closings, else a split `["b" | "s" | "n" | "i", ...]`.
        rest: clips of a split node, and what is shared.
        anew: whether the node starts from no ends from above.
    """

    dropped: list[Json]
    how: Json = None
    rest: list[Json] = field(default_factory=list)
    anew: bool = False
    children: list[Node] = field(default_factory=list)

    @property
    def split(self) -> list[Json] | None:
        return self.how if isinstance(self.how, list) and self.how[0] in ("b", "s", "n", "i") else None

    def walk(self) -> Iterator[Node]:
        """This node and all below, in preorder."""
        yield self
        for child in self.children:
            yield from child.walk()


def parse(flat: Json) -> Node:
    """The tree of a flat list.

    Raises:
        NoTreeError: for anything else.
    """
    if not isinstance(flat, list):
        raise NoTreeError("no list")
    items = iter(flat)
    root = _node(items)
    if next(items, None) is not None:
        raise NoTreeError("something stands behind the last leaf")
    return root


def _node(items: Iterator[Json]) -> Node:
    item = next(items, None)
    anew = isinstance(item, list) and item[:1] == ["a"]
    parts = item[1:] if anew else item
    if not isinstance(parts, list) or not 1 <= len(parts) <= 4 or not isinstance(parts[0], list):
        raise NoTreeError(f"no node: {item}")
    node = Node(parts[0], parts[1] if len(parts) > 1 else None, list(parts[2:]), anew)
    if node.split is not None:
        count = len(node.split[1]) if node.split[0] == "i" else 2
        node.children = [_node(items) for _ in range(count)]
    elif node.how not in (None, STILL_OPEN, BY_SOLVER) and not (
        isinstance(node.how, list) and node.how[:1] in (["j"], ["c"])
    ):
        raise NoTreeError(f"no closing: {node.how}")
    return node


def flatten(root: Node) -> list[Json]:
    """The flat list of a tree."""
    return [_flat(node) for node in root.walk()]


def _flat(node: Node) -> list[Json]:
    parts = [node.dropped, *([] if node.how is None else [node.how]), *node.rest]
    return ["a", *parts] if node.anew else parts


def leaves(flat: Json) -> int:
    """Leaves of a flat list, as far as it is one."""
    try:
        return sum(not node.children for node in parse(flat).walk())
    except (NoTreeError, TypeError, IndexError):
        return 0
