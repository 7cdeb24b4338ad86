"""What closes nodes of split trees, to look at and to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from verifluxa.evidence import Conflict, Conflicts, IntermediateSlopes, Joint, JointClosing, Node, Unrecorded


def joint_of(node: Node) -> Joint | None:
    return node.step.joint if isinstance(node.step, JointClosing) else None


def conflicts_of(node: Node | None) -> tuple[Conflict, ...]:
    return node.step.conflicts if node is not None and isinstance(node.step, Conflicts) else ()


def leaf_ends(node: Node | None) -> tuple[IntermediateSlopes, ...]:
    return node.step.ends if node is not None and isinstance(node.step, Conflicts) else ()


def is_unrecorded(node: Node) -> bool:
    return isinstance(node.step, Unrecorded)


def edit(node: Node, **changes: Any) -> None:
    """Changes fields of what a node is closed or split by."""
    assert node.step is not None
    node.step = replace(node.step, **changes)


def edited(node: Node | None, **changes: Any) -> Node:
    """A copy with other fields of what the node is closed or split by."""
    assert node is not None
    assert node.step is not None
    return replace(node, step=replace(node.step, **changes))
