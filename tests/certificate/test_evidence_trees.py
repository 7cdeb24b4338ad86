"""Trees in evidence files: exact round trips, and malformed ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.certificate.document import canonical_json
from verifluxa.certificate.tree_codec import count_leaves, decode_tree, encode_tree
from verifluxa.errors import CertificateError
from verifluxa.evidence import (
    CONTRADICTED,
    BoxSplit,
    Counted,
    FarkasTerm,
    InputSplit,
    Joint,
    JointClosing,
    Node,
    PrunedDisjunct,
    SlabSplit,
    Split,
    Unrecorded,
)

INDEX = st.integers(0, 40)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SLOPES = st.lists(st.binary(max_size=3).map(bytes.hex), max_size=2).map(tuple)
PUSHES = st.lists(st.tuples(INDEX, INDEX, FINITE.filter(bool)), max_size=2).map(tuple)
DROPPED = st.lists(
    st.builds(
        PrunedDisjunct,
        INDEX,
        st.lists(st.integers(CONTRADICTED, 40), max_size=3).map(tuple),
        st.lists(INDEX, max_size=2).map(tuple),
        SLOPES,
        PUSHES,
    ),
    max_size=6,
    unique=True,
).map(sorted)
SPLITS = st.builds(BoxSplit, INDEX, FINITE, FINITE) | st.builds(SlabSplit, INDEX, FINITE)
WEIGHTS = st.builds(FarkasTerm, INDEX, INDEX, INDEX, st.booleans(), st.floats(0, 1e6))
NUMBERS = st.lists(FINITE, max_size=3).map(tuple)
CLOSINGS = st.recursive(
    st.builds(Joint, st.lists(WEIGHTS, max_size=3).map(tuple), NUMBERS),
    lambda inner: st.builds(lambda at, pair: Joint(branch_on=at, children=pair), INDEX, st.tuples(inner, inner)),
    max_leaves=4,
)
CLIPS = st.lists(st.tuples(INDEX, INDEX, st.lists(INDEX, max_size=2).map(tuple)), max_size=3).map(tuple)
SHARED = st.lists(st.tuples(INDEX, INDEX), max_size=2).map(tuple)
LEAVES = st.one_of(
    st.builds(Node, DROPPED, st.sampled_from([None, Counted(), Unrecorded()]), st.booleans()),
    st.builds(Node, DROPPED, st.builds(JointClosing, CLOSINGS, CLIPS, NUMBERS, SHARED)),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(
            lambda dropped, split, halves, clips, more: Node(
                dropped, Split(split, list(halves), clips, more[1] if clips else ()), anew=more[0]
            ),
            DROPPED,
            SPLITS,
            st.tuples(inner, inner),
            CLIPS,
            st.tuples(st.booleans(), SHARED),
        )
        | st.builds(
            lambda dropped, cases, clips: Node(
                dropped, Split(InputSplit(tuple(case for case, _ in cases)), [child for _, child in cases], clips)
            ),
            DROPPED,
            st.lists(st.tuples(st.tuples(INDEX, INDEX), inner), min_size=1, max_size=3),
            CLIPS,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(TREES)
def test_trees_round_trip_exactly(tree: Node) -> None:
    flat = json.loads(canonical_json(encode_tree(tree)))
    assert decode_tree(flat, "tree") == tree
    assert encode_tree(decode_tree(flat, "tree")) == flat


def test_order_of_dropped_inputs_does_not_matter() -> None:
    first = Node([PrunedDisjunct(4, (1,)), PrunedDisjunct(2, (1,)), PrunedDisjunct(3, (0,), (5,))], Counted())
    assert encode_tree(first) == [[[[[0], [3], [5]], [[1], [2, 4]]]]]


def test_a_deep_tree_needs_no_deep_json() -> None:
    tree = Node(step=Counted())
    for depth in range(5000):
        tree = Node([], Split(BoxSplit(depth % 9, 0.0, 1.0), [tree, Node(step=Counted())]))
    flat = encode_tree(tree)
    assert count_leaves(decode_tree(flat, "tree")) == 5001
    assert encode_tree(decode_tree(flat, "tree")) == flat


@pytest.mark.parametrize(
    "tree",
    [
        Node([], Split(BoxSplit(0, 0, 1), [Node()])),
        Node([], Split(SlabSplit(0, 0.0), [])),
        Node([], Split(InputSplit(((0, 0),)), [Node(), Node()])),
        Node(step=JointClosing(Joint(branch_on=1))),
        Node(step=JointClosing(Joint(children=(Joint(), Joint())))),
    ],
)
def test_the_writer_refuses_malformed_trees(tree: Node) -> None:
    with pytest.raises(ValueError, match=r"halves or cases|two children"):
        encode_tree(tree)


@pytest.mark.parametrize(
    "flat",
    [
        [],
        {},
        [[]],
        [[[], 2]],
        [[[], False]],
        [[[], 0.0]],
        [[[], 0, 0]],
        ["a"],
        [["a"]],
        [["a", "a", []]],
        [["b", []]],
        [[[], ["s", 0, "1"], []], [[]], [[]]],
        [[[], ["s", 0, "1"], [[0, 0]]], [[]], [[]]],
        [[[], ["s", 0, "1"], [[0, -1, []]]], [[]], [[]]],
        [[[], ["s", 0, "1"], [[0, 0, [-1]]]], [[]], [[]]],
        [[[], 1, [[0, 0, []]]]],
        [[[]], [[]]],
        [[[], ["b", 0, "0", "1"]], [[]]],
        [[[], ["b", 0, "0", "1"]], [[]], [[]], [[]]],
        [[[], ["b", 0, 0, 1]], [[]], [[]]],
        [[[], ["b", -1, "0", "1"]], [[]], [[]]],
        [[[], ["b", True, "0", "1"]], [[]], [[]]],
        [[[], ["s", 0, "nan"]], [[]], [[]]],
        [[[], ["s", 0, "1.0"]], [[]], [[]]],
        [[[], ["s", 0]], [[]], [[]]],
        [[[], ["x", 0, "1"]], [[]], [[]]],
        [[[[[0], []]]]],
        [[[[[0], [1], []]]]],
        [[[[[0], [1, 1]]]]],
        [[[[[0], [1]], [[0], [2, 1]]]]],
        [[[[[-3], [1]]]]],
        [[[[[0], [-1]]]]],
        [[[[[0], [1], [-1]]]]],
        [[[[[0], [2**31]]]]],
        [[[[[0.5], [1]]]]],
        [[[[0, 1]]]],
        [[[["00", "11"]]]],
        [[[], ["j"]]],
        [[[], ["j", [], [], []]]],
        [[[], ["j", [["w", [], []], ["w", [], []]], [], []]]],
        [[[], ["j", [["z", 1], ["w", [], []]], [], []]]],
        [[[], ["j", [["z", -1], ["w", [], []], ["w", [], []]], [], []]]],
        [[[], ["j", [["x"]], [], []]]],
        [[[], ["j", [["w", [[0, 0, 0, 0, "-1"]], []]], [], []]]],
        [[[], ["j", [["w", [[0, 0, 0, 2, "1"]], []]], [], []]]],
        [[[], ["j", [["w", [[0, 0, 0, True, "1"]], []]], [], []]]],
        [[[], ["j", [["w", [[0, 0, 0, 0, 1]], []]], [], []]]],
        [[[], ["j", [["w", [], ["nan"]]], [], []]]],
        [[[], ["j", [["w", [], []]], [[0, 0]], []]]],
        [[[], ["j", [["w", [], []]], [], [1]]]],
        [[[], ["j", [*([["z", 1]] * 70), *([["w", [], []]] * 71)], [], []]]],
    ],
)
def test_malformed_trees_are_refused(flat: Any) -> None:
    with pytest.raises(CertificateError) as caught:
        decode_tree(flat, "tree")
    assert caught.value.code == "VF5005"
