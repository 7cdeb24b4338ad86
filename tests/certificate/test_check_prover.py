"""Proofs of the real engine are accepted; spoiled ones are refused, or proved by something else in them."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from tests.certificate.scenes import Scene, Shape, narrowed, scene
from verifluxa.certificate.check.section import Section, Tally
from verifluxa.certificate.evidence_lines import Record
from verifluxa.errors import CertificateError, DataError
from verifluxa.evidence import OPEN, BoxSplit, Dropped, Joint, Node, StripSplit
from verifluxa.verdict import Verdict

SAMPLED = ("swish", "softplus", "selu", "hardswish", "mish", "softsign", "logcosh", "hardsigmoid", "softshrink")
MORE_SHAPES = [
    Shape("branches"),
    Shape("branches", "tanh", channels=2, layout="hwcn", targeted=False),
    Shape("branches", "gelu", per_input=True, scale=0.5),
    Shape("pool", "elu"),
    Shape("cnn", "gelu"),
    *(Shape(activation=name, scale=0.5) for name in SAMPLED),
]
"""For the long version."""
SHAPES = [
    Shape(),
    Shape(activation="leakyrelu", targeted=False),
    Shape(activation="clip"),
    Shape(activation="tanh", scale=0.5),
    Shape(activation="sigmoid", softmax=True),
    Shape(per_input=True, scale=0.5),
    Shape(continuous=True, limit=Fraction(2, 5)),
    Shape("cnn"),
    Shape("cnn", "leakyrelu", targeted=False),
    Shape("cnn", channels=2, layout="hwcn"),
    Shape("cnn", per_input=True, scale=0.5),
    Shape("pool"),
    Shape("pool", "leakyrelu"),
    Shape("pool", "tanh", scale=0.5),
    Shape(dtype="float64"),
    Shape("branches", inputs=10, places=((3, 3),)),
    Shape(activation="gelu", scale=0.5),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("seed", [1])
def test_proofs_of_the_engine_are_accepted(shape: Shape, seed: int) -> None:
    found = scene(seed, shape, shape.dtype)
    records = found.prove()
    tally = found.check(records)
    assert tally.verdicts == Counter(record.verdict for record in records)
    assert tally.leaves == sum(record.leaves for record in records if record.verdict is Verdict.CERTIFIED)
    assert tally.unrechecked == 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 40))
@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES], ids=str)
@pytest.mark.parametrize("arithmetic", ["own", "real"])
def test_many_proofs_of_the_engine_are_accepted(shape: Shape, seed: int, arithmetic: str) -> None:
    try:
        found = scene(seed, shape, shape.dtype if arithmetic == "own" else "real")
    except DataError:
        pytest.skip("a target without inputs")
    found.check(found.prove())


HARD = Shape("pool", limit=Fraction(1, 2), places=((3, 3),))


@pytest.fixture(scope="module")
def proved() -> tuple[Scene, list[Record]]:
    """A scene whose proofs split boxes and strips, clip, and close leaves jointly, with branching."""
    found = scene(6, HARD)
    records = found.prove(joint=True)
    every = [node for record in records if record.tree for node in nodes(record.tree)]
    assert any(isinstance(node.split, BoxSplit) for node in every)
    assert any(isinstance(node.split, StripSplit) for node in every)
    assert any(drop.planes for node in every for drop in node.dropped)
    assert any(node.joint is not None and node.joint.branch_on >= 0 for node in every)
    assert any(record.witness for record in records)
    return found, records


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
    node.split, node.children, node.closed = None, [], True
    return record


def move_box(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: isinstance(item.split, BoxSplit))
    if node is None:
        return None
    assert isinstance(node.split, BoxSplit)
    shift = float(random.integers(1, 40))
    node.split = replace(node.split, high_start=node.split.high_start + shift)
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
    node.split = replace(node.split, coordinate=(node.split.coordinate + 1) % 4)
    return record


def move_strip(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: isinstance(item.split, StripSplit))
    if node is None:
        return None
    assert isinstance(node.split, StripSplit)
    node.split = replace(node.split, cut=node.split.cut + 30.0)
    return record


def turn_direction(record: Record, random: np.random.Generator) -> Record | None:
    if record.directions is None or not any(isinstance(n.split, StripSplit) for n in nodes(record.tree or Node())):
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
    node.dropped = [Dropped(drop.input, drop.rows) for drop in node.dropped]
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
    return replace(record, verdict=Verdict.CERTIFIED, reason=None, witness=None, tree=Node(closed=True))


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
    return replace(record, question=record.question._replace(need=record.question.need + 1))


def joint_without_weights(record: Record, random: np.random.Generator) -> Record | None:
    node = a_node(record, random, lambda item: item.split is None and item.closed)
    if node is None:
        return None
    node.joint = Joint()
    node.dropped = []
    return record


def weights_of(joint: Joint) -> int:
    return len(joint.weights) + sum(weights_of(child) for child in joint.children)


def changed_joint(joint: Joint, change: Callable[[Joint], Joint]) -> Joint:
    children = tuple(changed_joint(child, change) for child in joint.children)
    return replace(change(joint) if joint.weights else joint, children=children)


def joint_leaf(record: Record, random: np.random.Generator, branched: bool = False) -> Node | None:
    def keep(node: Node) -> bool:
        return node.joint is not None and (node.joint.branch_on >= 0 if branched else weights_of(node.joint) > 0)

    return a_node(record, random, keep)


def heavier_weights(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    assert node.joint is not None
    node.joint = changed_joint(
        node.joint, lambda item: replace(item, weights=tuple(w._replace(weight=w.weight * 3) for w in item.weights))
    )
    return record


def weights_of_other_rows(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    assert node.joint is not None
    node.joint = changed_joint(
        node.joint, lambda item: replace(item, weights=tuple(w._replace(row=(w.row + 1) % 6) for w in item.weights))
    )
    return record


def fewer_weights(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    assert node.joint is not None
    node.joint = changed_joint(node.joint, lambda item: replace(item, weights=item.weights[::2]))
    return record


def other_clips(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    node.clips = node.clips[1:]
    return record


def other_point(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random)
    if node is None:
        return None
    node.point = tuple(255.0 - value for value in node.point)
    return record


def swapped_branches(record: Record, random: np.random.Generator) -> Record | None:
    node = joint_leaf(record, random, branched=True)
    if node is None:
        return None
    assert node.joint is not None
    node.joint = replace(node.joint, children=node.joint.children[::-1])
    return record


def branching_on_nothing(record: Record, random: np.random.Generator) -> Record | None:
    """Both branches of a joint closing on an input that is not there prove nothing more than one."""
    node = joint_leaf(record, random)
    if node is None:
        return None
    node.joint = Joint(branch_on=10**6, children=(Joint(), Joint()))
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
ALWAYS_REFUSED = {drop_leaf, move_box, certify, trigger_off_the_grid, other_question, other_need}
CODES = {"VF5053", "VF5054", "VF5055", "VF5056", "VF5057"}


@cache
def prepared(found: Scene) -> Section:
    """A section with its constants, which is never written to; the bounds of its placements are kept too."""
    return Section(found.claim(), found.sources.models["net"], found.header)


def judged_alone(found: Scene, record: Record) -> str:
    """The code with which one record is refused, or nothing."""
    section = copy.copy(prepared(found))
    section.tally, section.open, section.shown = Tally(), set(section.open), {}
    section._by_selection = {}
    try:
        section.record(record)
    except CertificateError as error:
        return error.code
    return ""


def judged(found: Scene, records: list[Record]) -> str:
    try:
        found.check(records)
    except CertificateError as error:
        return error.code
    return ""


def spoiled(records: list[Record], spoil: Spoil, seed: int) -> Record | None:
    """One of the records, spoiled; None where there is nothing to spoil in that way."""
    random = np.random.default_rng(seed)
    for at in random.permutation(len(records)):
        changed = spoil(copy.deepcopy(records[at]), random)
        if changed is not None:
            return changed
    return None


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda item: item.__name__)
def test_spoiled_proofs_are_refused_or_hold_anyway(proved: tuple[Scene, list[Record]], spoil: Spoil) -> None:
    """An edit that is accepted must be a proof: sampled triggers of its question never reach `need`."""
    found, records = proved
    tried, refused = try_spoils(found, records, spoil, range(1, 2))
    assert tried
    if spoil in ALWAYS_REFUSED:
        assert refused == tried


def try_spoils(found: Scene, records: list[Record], spoil: Spoil, seeds: Iterable[int]) -> tuple[int, int]:
    """How many edits were tried, and how many of them refused; the others are looked at with triggers."""
    tried = refused = 0
    for seed in seeds:
        change = spoiled(records, spoil, seed)
        if change is None:
            continue
        tried += 1
        code = judged_alone(found, change)
        assert code in CODES | {""}
        refused += code != ""
        if not code and change.verdict is Verdict.CERTIFIED:
            assert most_violations(found, change, seed) < change.question.need
    return tried, refused


def test_most_kinds_of_spoiling_are_noticed(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    changes = [spoiled(records, spoil, 20) for spoil in SPOILS]
    noticed = [change for change in changes if change is not None and judged_alone(found, change)]
    assert len(noticed) >= len(SPOILS) - 5


@pytest.mark.soak
def test_a_thousand_spoiled_proofs(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    counts = [try_spoils(found, records, spoil, range(100, 145)) for spoil in SPOILS]
    assert sum(tried for tried, _ in counts) >= 1000


def most_violations(found: Scene, record: Record, seed: int) -> int:
    """The most inputs that any of many sampled triggers sends over, by the deployed network."""
    claim, question = found.claim(), record.question
    random = np.random.default_rng(seed)
    size = claim.positions.shape[1]
    triggers = np.concatenate([random.integers(0, 256, (40, size)), random.choice([0, 255], (40, size))])
    chosen = list(claim.selections[question.selection])
    most = 0
    for trigger in triggers:
        stamped = claim.inputs[chosen].reshape(len(chosen), -1)
        stamped[:, claim.positions[question.placement]] = trigger
        outputs = found.sources.models["net"].run(stamped.reshape(len(chosen), *claim.inputs.shape[1:]))
        count = 0
        for index, output in zip(chosen, outputs, strict=True):
            alternatives = claim.violations[question.violation][int(claim.labels[index])]
            met = claim.weight @ output > 0
            count += any(met[list(item)].all() for item in alternatives)
        most = max(most, count)
    return most


def test_evidence_for_another_limit_is_refused(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    assert judged(narrowed(found, Fraction(1, 10)), records) == "VF5052"


def test_evidence_for_another_network_is_refused(proved: tuple[Scene, list[Record]]) -> None:
    _, records = proved
    other = scene(7, HARD)
    assert judged(other, records) in CODES | {"VF5052"}


def test_missing_and_doubled_questions(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    assert judged(found, records[1:]) == "VF5053"
    assert judged(found, [*records, records[0]]) == "VF5053"
    assert judged(found, [replace(records[0], tree=None, verdict=Verdict.CERTIFIED), *records[1:]]) == "VF5055"


def test_order_of_records_does_not_matter(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    assert judged(found, records[::-1]) == ""


def test_claiming_more_than_is_proved(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    at = next(i for i, record in enumerate(records) if record.verdict is Verdict.CERTIFIED and record.proved > 0)
    less = replace(records[at], proved=0)
    assert judged(found, [*records[:at], less, *records[at + 1 :]]) in {"VF5056", ""}
    tally = found.check([replace(records[at]), *(record for i, record in enumerate(records) if i != at)])
    assert tally.proved > 0
