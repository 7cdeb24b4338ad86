"""Proofs of the real engine are accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.certificate.scenes import Scene, Shape, scene, walked
from tests.certificate.spoils import nodes
from tests.certificate.steps import edit, joint_of
from verifluxa.certificate.check import tree
from verifluxa.certificate.check.bound_checker import BoundChecker, DisjunctCheck, NodeCheck
from verifluxa.certificate.check.bounds import State
from verifluxa.certificate.check.chain import chain_of
from verifluxa.certificate.check.report import Tally
from verifluxa.certificate.evidence_lines import Record
from verifluxa.errors import CertificateError, DataError
from verifluxa.evidence import Node
from verifluxa.search.workspace import workspace_of
from verifluxa.verdict import Verdict

BRANCHES = Shape("branches", inputs=10, places=((3, 3),))
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
    BRANCHES,
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


def test_what_a_round_of_clipping_decided_is_clipped_again_where_more_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A value that has a sign here may have been open to the prover, whose next round found its ends crossed."""

    def decided(_: BoundChecker, state: State, entries: Sequence[DisjunctCheck]) -> NDArray[np.bool_]:
        for layer in state.layers:
            layer.open[:] = False
        return np.zeros(len(entries), dtype=bool)

    found = scene(1)
    records = found.prove()
    trees = [record.tree for record in records if record.tree is not None]
    assert any(drop.planes for tree in trees for node in nodes(tree) for drop in node.dropped)
    monkeypatch.setattr(BoundChecker, "_clipped", decided)
    assert found.check(records).unrechecked == 0


ALIKE = [Shape(), Shape("cnn", channels=2, layout="hwcn"), Shape("pool", "tanh"), Shape(activation="sigmoid")]


@pytest.mark.parametrize("shape", ALIKE, ids=str)
def test_prover_and_checker_count_the_same_radii(shape: Shape) -> None:
    """Lines are chosen by ends that hold radii, so whoever counts them must come to the same."""
    found = possible(3, shape, "float32")
    claim = found.claim()
    theirs = chain_of(walked(found.sources.models["net"], claim.inputs), claim.positions[1])
    for number, (ours, layer) in enumerate(zip(workspace_of(found.problem).net(1).layers, theirs, strict=True)):
        assert np.array_equal(ours.weight.numpy(), layer.weight[number])
        wanted = layer.absolute + layer.relative[number].sum(axis=1)
        radii = ours.radius.numpy() + ours.slope_radius.numpy().sum(axis=1)
        np.testing.assert_allclose(np.broadcast_to(radii, wanted.shape), wanted, rtol=1e-6, atol=1e-11)


INHERITING = [
    *((shape, arithmetic) for shape in (Shape(), Shape("cnn")) for arithmetic in ("float32", "real")),
    (Shape("pool"), "float32"),
    (Shape("branches", inputs=12, places=((3, 3),)), "real"),
    pytest.param(Shape("branches", places=((3, 3),)), "real", marks=pytest.mark.soak),
    pytest.param(Shape("pool"), "real", marks=pytest.mark.soak),
    pytest.param(Shape("branches", places=((3, 3),)), "float32", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("shape", "arithmetic"), INHERITING, ids=str)
def test_proofs_whose_parts_start_from_clipped_ends_are_accepted(
    shape: Shape, arithmetic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = possible(11, shape, arithmetic)
    records = found.prove(joint=True, inherit=True)
    tally = found.check(records)
    assert tally.unrechecked == 0
    monkeypatch.setattr(tree, "MOST_HELD", 0)
    assert found.check(records) == tally, "the same, whichever nodes come first"
    assert any(node.clips for record in records for node in split_nodes(record))


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_nothing_is_inherited_that_the_evidence_does_not_hand_down(arithmetic: str) -> None:
    """A proof that rests on ends from above is refused without them, and with ends clipped by a row that is not met."""
    refused: Counter[bool] = Counter()
    for seed in range(11, 15):
        for row in (None, 10_000):
            found = possible(seed, Shape(), arithmetic)
            records = found.prove(joint=True, inherit=True)
            for node in [node for record in records for node in split_nodes(record)]:
                edit(node, clips=() if row is None else tuple((at, number, (row,)) for at, number, _ in node.clips))
            with suppress(CertificateError):
                found.check(records)
                continue
            refused[row is None] += 1
    assert refused[True] > 0
    assert refused[False] > 0


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_what_a_node_does_not_clip_stays_within_the_ends_from_above(
    arithmetic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the very ends that it had above, unless a part starts anew; then a proof that rests on them is refused."""
    checks: dict[int, NodeCheck] = {}
    judged = tree._checked

    def watch(some: Sequence[NodeCheck], tally: Tally, at_roots: bool = False) -> list[int]:
        checks.update({id(check.node): check for check in some})
        return judged(some, tally, at_roots)

    monkeypatch.setattr(tree, "_checked", watch)
    passed, refused = 0, 0
    for seed in range(11, 15):
        found = possible(seed, Shape(), arithmetic)
        records = found.prove(joint=True, inherit=True, inherited_from=0, narrower=0.0)
        assert found.check(records).unrechecked == 0
        some = [node for record in records for node in split_nodes(record) if checks[id(node)].known]
        for node in some:
            own, above = {clip[:2] for clip in node.clips}, checks[id(node)].known
            for known in (checks[id(child)].known for child in node.children):
                assert all(known[key] is ends for key, ends in above.items() if key not in own)
                passed += len(above.keys() - own)
        for child in [child for node in some for child in node.children]:
            child.anew = True
        with suppress(CertificateError):
            found.check(records)
            continue
        refused += 1
    assert passed > 0
    assert refused > 0


def sharing(arithmetic: str) -> tuple[Scene, list[Record], list[Node]]:
    """A proof with leaves that rest on planes of others, and all joint leaves of its trees."""
    for seed in range(1, 60):
        found = possible(seed, Shape(inputs=20), arithmetic)
        records = found.prove(joint=True, clip_rounds=1)
        leaves = [
            node for record in records if record.tree for node in nodes(record.tree) if joint_of(node) is not None
        ]
        if any(leaf.shared for leaf in leaves) and not all(leaf.shared for leaf in leaves):
            return found, records, leaves
    raise AssertionError("no proof rests on planes of others")


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_planes_of_others_clip_where_all_of_them_are_needed_and_nowhere_else(arithmetic: str) -> None:
    found, records, leaves = sharing(arithmetic)
    tally = found.check(records)
    assert tally.unrechecked == 0
    shared = next(leaf for leaf in leaves if leaf.shared)
    for wrong in ((shared.shared[0][0], 10_000), (10_000, shared.shared[0][1])):
        before = shared.shared
        edit(shared, shared=(wrong,))
        with pytest.raises(CertificateError, match="VF5054"):
            found.check(records)
        edit(shared, shared=before)
    # A leaf where more are left than are needed names a plane of its own, which is met where all violate, and no more.
    more = next(leaf for leaf in leaves if not leaf.shared and len(leaf.clips) > len(shared.clips))
    edit(more, shared=((more.clips[0][0], shared.shared[0][1]),))
    with pytest.raises(CertificateError, match="VF5054"):
        found.check(records)


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_a_plane_of_another_that_is_negative_everywhere_clips_nothing(arithmetic: str) -> None:
    """It has no slope, and any multiple of it is sound: the closing rests on the plane itself."""
    found = scene(96, Shape(patch=2, classes=2, places=((4, 3),), limit=Fraction(7, 8)), arithmetic)
    records = found.prove(joint=True, inherit=True)
    assert any(node.shared for record in records for node in nodes(record.tree or Node()))
    assert found.check(records).unrechecked == 0


def split_nodes(record: Record) -> Iterator[Node]:
    return (node for node in nodes(record.tree or Node()) if node.split is not None)


def possible(seed: int, shape: Shape, arithmetic: str) -> Scene:
    """The first scene from a seed on in which every target has inputs."""
    for more in range(seed, seed + 10_000, 1000):
        with suppress(DataError):
            return scene(more, shape, arithmetic)
    raise AssertionError("no scene has inputs for every target")


@pytest.mark.soak
@pytest.mark.parametrize("shape", [*SHAPES, *MORE_SHAPES], ids=str)
@pytest.mark.parametrize(
    ("arithmetic", "seed"), [*(("own", k) for k in range(10, 40)), *(("real", k) for k in range(10, 20))]
)
def test_many_proofs_of_the_engine_are_accepted(shape: Shape, seed: int, arithmetic: str) -> None:
    found = possible(seed, shape, shape.dtype if arithmetic == "own" else "real")
    found.check(found.prove())
