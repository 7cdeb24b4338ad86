"""Joint closings: no point has more violating inputs than a bound of any weights says; what planes are made of."""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.certificate.scenes import Scene, Shape, walked
from tests.certificate.spoils import change_joint, changed_joint, nodes
from tests.certificate.steps import edit, joint_of
from tests.certificate.test_check_prover import possible, sharing
from verifluxa.certificate.check import joint as module
from verifluxa.certificate.check.bound_checker import PlacementBounds
from verifluxa.certificate.check.joint import _bounds, _cut, _ends, _Scaled, check_joints
from verifluxa.certificate.check.region import Regions
from verifluxa.certificate.evidence_lines import Record
from verifluxa.errors import CertificateError
from verifluxa.evidence import FarkasTerm, Joint, JointClosing, Node

Random = np.random.Generator
Floats = NDArray[np.float64]
Left = dict[int, dict[int, tuple[int, ...]]]
SIZE = 2


def branching(random: Random, rows: list[tuple[int, int, int]], inputs: list[int]) -> Joint:
    """Weights of some planes, some of them twice, at the ends of branchings on some inputs."""
    if inputs and random.random() < 0.6:
        children = tuple(branching(random, rows, inputs[1:]) for _ in range(2))
        return Joint(branch_on=inputs[0], children=children)
    chosen = [rows[int(k)] for k in random.integers(len(rows), size=random.integers(2 * len(rows)))]
    scale = float(random.choice([0.3, 1.0, 3.0]))
    return Joint(tuple(FarkasTerm(*row, False, scale * float(random.random())) for row in chosen))


def test_no_point_has_more_violating_inputs_than_a_bound_says() -> None:
    """At each end of a branching, with those inputs violating that it takes to, and none that it takes not to."""
    random, near, fixed_ends = np.random.default_rng(0), 0, 0
    for _ in range(400):
        left: Left = {i: {a: (2 * a, 2 * a + 1) for a in range(random.integers(1, 3))} for i in range(4)}
        rows = [(i, a, row) for i, several in left.items() for a, own in several.items() for row in own]
        value, slope = random.normal(size=len(rows)), random.normal(size=(len(rows), SIZE))
        half = random.random(SIZE) + 0.1
        fall = np.abs(slope) @ half
        says = fall - value > 0
        least = np.where(says, fall - value, 1.0)
        numbers = {(0, *row, 0): k for k, row in enumerate(rows) if says[k]}
        planes = _Scaled(numbers, value / least * says, slope / least[:, None] * says[:, None])
        key = (0, *rows[int(random.integers(len(rows)))][:2])
        gone = {key} if random.random() < 0.3 else set()
        none = np.zeros((0, SIZE))
        box = Regions(-half[None], half[None], none, np.zeros((1, 0)), np.zeros((1, 0)))
        checker: Any = SimpleNamespace(bounder=SimpleNamespace(regions=box), first=0)
        joint = branching(random, rows, random.permutation(4)[:2].tolist())
        node = Node(step=JointClosing(joint))
        leaf: Any = SimpleNamespace(at=0, node=node, left=left)
        ends = list(_ends(leaf, joint, {}))
        points = random.choice([-1.0, -0.5, 0.0, 0.5, 1.0], (60, SIZE)) * half
        met = dict(zip(rows, (value[:, None] + slope @ points.T >= 0), strict=True))
        for (_, _, fixed), bound in zip(ends, _bounds(checker, ends, planes, gone), strict=True):
            for at in range(len(points)):
                violating = {
                    i
                    for i, several in left.items()
                    if any((0, i, a) not in gone and all(met[i, a, r][at] for r in own) for a, own in several.items())
                }
                if all(i in violating for i, taken in fixed.items() if taken):
                    count = len(violating - {i for i, taken in fixed.items() if not taken})
                    assert count <= bound + 1e-9
                    near += bound < count + 0.6
                    fixed_ends += bool(fixed)
    assert near > 100
    assert fixed_ends > 1000


@pytest.mark.parametrize(
    "left", [{0: {0: (0,)}}, {i: {0: (i,)} for i in range(3)}, {0: {0: (0,), 1: (1,)}, 1: {0: (2,)}}]
)
def test_planes_of_others_clip_only_where_each_input_must_violate_in_one_way(left: Left) -> None:
    """Two are needed: fewer, more, or one with two alternatives."""
    subdomain, question = SimpleNamespace(upper=np.ones(1), lower=np.zeros(1)), SimpleNamespace(threshold=2)
    node = Node(step=JointClosing(Joint(), shared=((0, 0),)))
    leaf: Any = SimpleNamespace(at=0, question=question, node=node, joint=Joint(), left=left, subdomain=subdomain)
    found: Any = SimpleNamespace(gone=np.zeros(0, dtype=bool))
    with pytest.raises(CertificateError, match="not all of them must violate"):
        check_joints(SimpleNamespace(), [leaf], [], found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cut", "left"),
    [
        ((0, 1), {0: {0: (0,)}}),
        ((0, 9), {0: {0: (0,)}}),
        ((0, 0), {0: {0: (0,), 1: (1,)}}),
        ((1, 0), {0: {0: (0,)}}),
        ((1, 0), {0: {0: (0,)}, 1: {0: (0,)}}),
    ],
)
def test_what_clips_others_is_a_row_of_the_one_alternative_of_its_input(cut: tuple[int, int], left: Left) -> None:
    """Not of another one, none that is not there, of no input that has two left, has fallen or has no bounds."""
    subdomain = SimpleNamespace(upper=np.ones(1), lower=np.zeros(1))
    check: Any = SimpleNamespace(question=SimpleNamespace(row={0: 0, 1: 1}.get), left=left, subdomain=subdomain)
    assert _cut(SimpleNamespace(**{**vars(check), "left": {0: {0: (0,)}}}), 0, 0, {(0, 0): 3}) == (3, 0)  # type: ignore[arg-type]
    with pytest.raises(CertificateError, match="need not meet"):
        _cut(check, *cut, {(0, 0): 3})


@pytest.mark.parametrize("activation", ["relu", "leakyrelu", "tanh", "gelu"])
def test_lines_that_touch_the_point_stay_below(activation: str) -> None:
    """Only those of relu are moved: a slope of 0 or 1 lies above parts of other functions."""
    found = possible(3, Shape(activation=activation, inputs=8), "real")
    claim = found.claim()
    place = PlacementBounds(claim, walked(found.sources.models["net"], claim.inputs, "real"), 0)
    count, size = len(claim.labels), claim.positions.shape[1]
    state = place.root.state(np.arange(count), np.zeros(count, dtype=np.int64))
    before = [own.lines.low_slope.copy() for own in state.layers]
    subdomain = SimpleNamespace(upper=np.ones(1), lower=np.zeros(1))
    checker: Any = SimpleNamespace(bounder=place.root)
    node = Node(step=JointClosing(Joint(), point=(200.0,) * size))
    leaves: Any = [SimpleNamespace(node=node, subdomain=subdomain)] * count
    module._touch(checker, state, np.ones(count, dtype=bool), leaves)
    assert (activation == "relu") == any(
        (own.lines.low_slope != old).any() for own, old in zip(state.layers, before, strict=True)
    )
    for layer, own in zip(place.chain, state.layers, strict=False):
        for share in (0.0, 0.2, 0.5, 0.8, 1.0):
            z = own.lower + share * (own.upper - own.lower)
            assert layer.function is not None
            assert (layer.function.value(z) >= own.lines.low_slope * z + own.lines.low - 1e-9).all()
    other: Any = [
        SimpleNamespace(node=Node(step=JointClosing(Joint(), point=(200.0,) * (size + 1))), subdomain=subdomain)
    ] * count
    with pytest.raises(CertificateError, match="of another size"):
        module._touch(checker, state, np.ones(count, dtype=bool), other)


def test_the_most_of_all_ends_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the last one; and none may be as large as what is needed, or no number."""
    subdomain = SimpleNamespace(upper=np.ones(1), lower=np.zeros(1))
    question = SimpleNamespace(threshold=3)
    node = Node(step=JointClosing(BRANCHED))
    leaf: Any = SimpleNamespace(at=4, question=question, node=node, joint=BRANCHED, left={}, subdomain=subdomain)
    found: Any = SimpleNamespace(gone=np.zeros(0, dtype=bool))
    monkeypatch.setattr(module, "_planes", lambda *_: _Scaled({}, np.zeros(0), np.zeros((0, 1))))

    def closed(*bounds: float) -> dict[int, int]:
        monkeypatch.setattr(module, "_bounds", lambda *_: np.array(bounds))
        return check_joints(SimpleNamespace(), [leaf], [], found)  # type: ignore[arg-type]

    assert closed(2.5, 0.5) == closed(1.5, 2.0) == {4: 2}
    assert closed(-1.0, 0.5) == {4: 0}
    for bounds in ((3.0, 0.5), (0.5, 3.0), (np.nan, 0.5), (0.5, np.inf)):
        with pytest.raises(CertificateError, match="VF5054"):
            closed(*bounds)


BRANCHED = Joint(branch_on=3, children=(Joint(), Joint()))
BAD = {
    "twice": replace(BRANCHED, children=(BRANCHED, Joint())),
    "one child": replace(BRANCHED, children=(Joint(),)),
    "three children": replace(BRANCHED, children=(Joint(),) * 3),
}


@pytest.mark.parametrize("name", BAD)
def test_a_branching_has_two_children_and_an_input_of_its_own(name: str) -> None:
    subdomain = SimpleNamespace(upper=np.ones(1), lower=np.zeros(1))
    leaf: Any = SimpleNamespace(at=0, node=Node(step=JointClosing(BAD[name])), left={}, subdomain=subdomain)
    with pytest.raises(CertificateError, match="VF5054"):
        list(_ends(leaf, BAD[name], {}))


def proofs(arithmetic: str) -> tuple[Scene, list[Record]]:
    found = possible(13, Shape(inputs=14, targeted=False), arithmetic)
    return found, found.prove(joint=True, inherit=True, clip_rounds=1)


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_nothing_is_clipped_by_a_row_of_another_alternative(arithmetic: str) -> None:
    found, records = proofs(arithmetic)
    kinds = set()
    for number, record in enumerate(records):
        clipped = [k for k, node in enumerate(nodes(record.tree or Node())) if node.clips]
        for at in clipped[:2] + clipped[-2:]:
            other = copy.deepcopy(record)
            node = nodes(other.tree or Node())[at]
            (index, position, rows), *rest = node.clips
            edit(node, clips=((index, position, tuple((row + 1) % 6 for row in rows) or (0, 1, 2, 3, 4, 5)), *rest))
            kinds.add(node.split is None)
            with pytest.raises(CertificateError, match="VF5054"):
                found.check([*records[:number], other, *records[number + 1 :]])
    assert kinds


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_planes_of_others_close_no_leaf_without_weights(arithmetic: str) -> None:
    """Unless some ends exclude each other; a bound is looked at where they do not."""
    found, records, leaves = sharing(arithmetic)
    refused = 0
    for leaf in [leaf for leaf in leaves if leaf.shared]:
        before = joint_of(leaf) or Joint()
        edit(leaf, joint=changed_joint(before, lambda one: replace(one, weights=())))
        with suppress(CertificateError):
            found.check(records)
            refused -= 1
        refused += 1
        edit(leaf, joint=before)
    assert refused > 0


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_nothing_falls_or_is_clipped_twice(arithmetic: str) -> None:
    """Not in a node, not below it: forged evidence could make one node of any number of them."""
    found, records = proofs(arithmetic)
    kinds = set()
    for number, record in enumerate(records):
        for at, node in enumerate(nodes(record.tree or Node())[:8]):
            for kind in ("same", "below", "clip"):
                other = copy.deepcopy(record)
                changed = nodes(other.tree or Node())[at]
                if kind == "same" and node.dropped:
                    first = node.dropped[0]
                    changed.dropped = [*node.dropped, first._replace(slopes=("00",))]
                elif kind == "below" and node.dropped and node.children:
                    changed.children[-1].dropped = [*changed.children[-1].dropped, node.dropped[0]]
                elif kind == "clip" and node.clips:
                    edit(changed, clips=(*node.clips, node.clips[0]))
                else:
                    continue
                kinds.add(kind)
                with pytest.raises(CertificateError, match=r"VF5054.*twice|twice.*VF5054"):
                    found.check([*records[:number], other, *records[number + 1 :]])
    assert len(kinds) == 3


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_planes_are_of_rows_that_must_be_met_and_never_below_minus_one(
    arithmetic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are divided by as much as they can fall; weights of other rows have none."""
    made, seen = module._planes, []

    def watch(checker: Any, ends: Any, known: Any, found: Any) -> _Scaled:
        planes = made(checker, ends, known, found)
        leaves, at = {leaf.at: leaf for leaf, _, _ in ends}, np.zeros(len(planes.value), dtype=np.int64)
        for (leaf, index, position, row, _), k in planes.numbers.items():
            assert leaves[leaf].question.row(row) in leaves[leaf].left[index][position]
            at[k] = leaf - checker.first
        fall = checker.bounder.regions.spread(planes.slope[:, None], at)[1][:, 0]
        assert (planes.value - fall >= -1 - 1e-9).all()
        seen.extend(planes.value.tolist())
        return planes

    monkeypatch.setattr(module, "_planes", watch)
    found, records = proofs(arithmetic)
    found.check(records)
    assert min(seen) < 0 < max(seen)
    random = np.random.default_rng(0)
    changed = [copy.deepcopy(record) for record in records]
    for node in [node for record in changed for node in nodes(record.tree or Node()) if joint_of(node) is not None]:
        change_joint(
            node,
            lambda one: replace(one, weights=tuple(item._replace(row=int(random.integers(7))) for item in one.weights)),
        )
    with pytest.raises(CertificateError, match="VF5054"):
        found.check(changed)
