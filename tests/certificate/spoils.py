"""Edits that spoil a record: each returns the record, or None where it has nothing to spoil."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.certificate.steps import edit, joint_of
from verifluxa.certificate.evidence_lines import Record
from verifluxa.evidence import OPEN, BoxSplit, Counted, Joint, JointClosing, Node, PrunedDisjunct, SlabSplit
from verifluxa.verdict import Verdict


def nodes(root: Node) -> list[Node]:
    return [root, *(item for child in root.children for item in nodes(child))]


Spoil = Callable[[Record, np.random.Generator], Record | None]


def a_node(record: Record, random: np.random.Generator, keep: Callable[[Node], bool]) -> Node | None:
    if record.tree is None:
        return None
    chosen = [node for node in nodes(record.tree) if keep(node)]
    return chosen[int(random.integers(len(chosen)))] if chosen else None


def drop_leaf(record: Record, random: np.random.Generator) -> Record | None:
    """An inner node loses its children and claims to be closed by counting."""
    node = a_node(record, random, lambda item: item.split is not None)
    if node is None:
        return None
    node.step = Counted()
    return record


def move_box(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: isinstance(item.split, BoxSplit))
    if node is None:
        return None
    assert isinstance(node.split, BoxSplit)
    shift = float(random.integers(1, 40))
    edit(node, partition=replace(node.split, high_start=node.split.high_start + shift))
    return record


def swap_halves(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: item.split is not None)
    if node is None:
        return None
    node.children.reverse()
    return record


def other_coordinate(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: isinstance(item.split, BoxSplit))
    if node is None:
        return None
    assert isinstance(node.split, BoxSplit)
    edit(node, partition=replace(node.split, coordinate=(node.split.coordinate + 1) % 4))
    return record


def move_strip(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: isinstance(item.split, SlabSplit))
    if node is None:
        return None
    assert isinstance(node.split, SlabSplit)
    edit(node, partition=replace(node.split, cut=node.split.cut + 30.0))
    return record


def turn_direction(record: Record, random: np.random.Generator) -> Record | None:
    if record.directions is None or not any(isinstance(n.split, SlabSplit) for n in nodes(record.tree or Node())):
        return None
    return replace(record, directions=-record.directions)


def drop_input(record: Record, random: np.random.Generator) -> Record | None:
    """A record of a dropped input goes missing."""
    node = a_node(record, random, lambda item: bool(item.dropped))
    if node is None:
        return None
    node.dropped.pop(int(random.integers(len(node.dropped))))
    return record


def other_row(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: bool(item.dropped))
    if node is None:
        return None
    at = int(random.integers(len(node.dropped)))
    item = node.dropped[at]
    node.dropped[at] = item._replace(rows=tuple(row if row == OPEN else (row + 1) % 6 for row in item.rows))
    return record


def other_input(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: bool(item.dropped))
    if node is None:
        return None
    at = int(random.integers(len(node.dropped)))
    node.dropped[at] = node.dropped[at]._replace(input=int(random.integers(30)))
    return record


def no_clipping(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: any(drop.planes for drop in item.dropped))
    if node is None:
        return None
    node.dropped = [PrunedDisjunct(drop.input, drop.rows) for drop in node.dropped]
    return record


def early_drop(record: Record, random: np.random.Generator) -> Record | None:
    """What falls far below is claimed to fall at the root already."""
    tree = record.tree
    node = a_node(record, random, lambda item: item is not tree and bool(item.dropped))
    if node is None or tree is None:
        return None
    tree.dropped = [*tree.dropped, *(drop for drop in node.dropped if drop not in tree.dropped)]
    return record


def certify(record: Record, random: np.random.Generator) -> Record | None:
    """A falsified or unknown question is called certified with a leaf that nothing closes."""
    if record.verdict is Verdict.CERTIFIED:
        return None
    return replace(record, verdict=Verdict.CERTIFIED, reason=None, witness=None, tree=Node(step=Counted()))


def other_trigger(record: Record, random: np.random.Generator) -> Record | None:
    if record.witness is None:
        return None
    return replace(record, witness=replace(record.witness, trigger=random.integers(0, 256, 4).astype(np.float64)))


def trigger_off_the_grid(record: Record, random: np.random.Generator) -> Record | None:
    if record.witness is None:
        return None
    return replace(record, witness=replace(record.witness, trigger=record.witness.trigger + 0.5))


def other_question(record: Record, random: np.random.Generator) -> Record | None:
    return replace(record, question=record.question._replace(violation=(record.question.violation + 1) % 3))


def other_need(record: Record, random: np.random.Generator) -> Record | None:
    return replace(record, question=record.question._replace(threshold=record.question.threshold + 1))


def joint_without_weights(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: item.split is None and item.step is not None)
    if node is None:
        return None
    node.step = JointClosing(Joint())
    node.dropped = []
    return record


def weights_of(joint: Joint) -> int:
    return len(joint.weights) + sum(weights_of(child) for child in joint.children)


def changed_joint(joint: Joint, change: Callable[[Joint], Joint]) -> Joint:
    children = tuple(changed_joint(child, change) for child in joint.children)
    return replace(change(joint) if joint.weights else joint, children=children)


def change_joint(node: Node, change_weights: Callable[[Joint], Joint]) -> None:
    joint = joint_of(node)
    assert joint is not None
    edit(node, joint=changed_joint(joint, change_weights))


def joint_leaf(record: Record, random: np.random.Generator, branched: bool = False) -> Node | None:
    def keep(node: Node) -> bool:
        joint = joint_of(node)
        return joint is not None and (joint.branch_on >= 0 if branched else weights_of(joint) > 0)

    return a_node(record, random, keep)


def heavier_weights(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    change_joint(node, lambda item: replace(item, weights=tuple(w._replace(weight=w.weight * 3) for w in item.weights)))
    return record


def weights_of_other_rows(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    change_joint(node, lambda item: replace(item, weights=tuple(w._replace(row=(w.row + 1) % 6) for w in item.weights)))
    return record


def fewer_weights(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    change_joint(node, lambda item: replace(item, weights=item.weights[::2]))
    return record


def other_clips(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    edit(node, clips=node.clips[1:])
    return record


def other_point(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    assert isinstance(node.step, JointClosing)
    edit(node, point=tuple(255.0 - value for value in node.step.point))
    return record


def swapped_branches(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random, branched=True)
    if node is None:
        return None
    joint = joint_of(node)
    assert joint is not None
    edit(node, joint=replace(joint, children=joint.children[::-1]))
    return record


def branching_on_nothing(record: Record, random: np.random.Generator) -> Record | None:
    """Both branches of a joint closing on an input that is not there prove nothing more than one."""
    node = joint_leaf(record, random)
    if node is None:
        return None
    edit(node, joint=Joint(branch_on=10**6, children=(Joint(), Joint())))
    return record


SPOILS: list[Spoil] = [
    drop_leaf,
    move_box,
    swap_halves,
    other_coordinate,
    move_strip,
    turn_direction,
    drop_input,
    other_row,
    other_input,
    no_clipping,
    early_drop,
    certify,
    other_trigger,
    trigger_off_the_grid,
    other_question,
    other_need,
    joint_without_weights,
    heavier_weights,
    weights_of_other_rows,
    fewer_weights,
    other_clips,
    other_point,
    swapped_branches,
    branching_on_nothing,
]
