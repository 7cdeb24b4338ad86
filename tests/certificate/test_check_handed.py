"""Proofs that no trigger reaches one input more, changed and handed in for as many as one reaches: all are refused."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

from tests.certificate.scenes import Scene, Shape
from tests.certificate.spoils import changed_joint, nodes
from tests.certificate.steps import edit, joint_of
from tests.certificate.test_check_prover import possible
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_lines import Record
from verifluxa.errors import CertificateError
from verifluxa.evidence import BoxSplit, Counted, InputSplit, Node, PrunedDisjunct, Split
from verifluxa.verdict import Verdict

Random = np.random.Generator
Edit = Callable[[list[Node], Random], None]
"""Changes some node of a tree, given all of them; raises IndexError or ValueError where there is nothing to change."""
FEW = Shape(inputs=12, places=((0, 0),), limit=Fraction(9, 10))
SHAPES = [(replace(FEW, targeted=False), (1, 4, 6, 8)), (replace(FEW, kind="cnn", inputs=10), (1, 2, 3, 5, 6))]
"""With seeds whose proofs have many parts."""


@cache
def asked(seed: int, shape: Shape, arithmetic: str) -> tuple[Scene, Record, Record] | None:
    """A scene, what triggers refute in it, and a proof by all that hands ends down that they reach no more inputs."""
    best = max(prove(possible(seed, shape, arithmetic)), key=lambda one: one.strongest.count)
    for _ in range(3):
        question, found = best.question, best.strongest.count
        size = len(possible(seed, shape, arithmetic).problem.selections[question.selection])
        if found < 2 or found == size:
            return None
        more = prove(possible(seed, replace(shape, limit=Fraction(found, size)), arithmetic))
        best = next(one for one in more if one.question._replace(threshold=question.threshold) == question)
        if best.verdict is Verdict.CERTIFIED:
            exact = possible(seed, replace(shape, limit=Fraction(found - 1, size)), arithmetic)
            return exact, replace(best, question=question._replace(threshold=found), proved=found - 1), best
    return None


def prove(found: Scene) -> list[Record]:
    return found.prove(joint=True, clip_rounds=1, inherit=True, thin=1e9)


def some(random: Random, among: list[Node], keep: Callable[[Node], bool]) -> Node:
    chosen = [node for node in among if keep(node)]
    return chosen[int(random.integers(len(chosen)))]


def clips_of_another_branch(every: list[Node], random: Random) -> None:
    source, node = (some(random, every, lambda node: bool(node.clips)) for _ in range(2))
    edit(node, clips=source.clips)


def clips_by_other_rows(every: list[Node], random: Random) -> None:
    node = some(random, every, lambda node: bool(node.clips))
    edit(node, clips=tuple((number, at, (int(random.integers(6)),)) for number, at, _ in node.clips))


def many_rounds(every: list[Node], random: Random) -> None:
    node = some(random, every, lambda node: bool(node.clips))
    edit(node, clips=tuple((number, at, rows * 40) for number, at, rows in node.clips))


def halves_that_hand_down(every: list[Node], random: Random) -> None:
    """What clips a leaf clips the halves above it too, by each other."""
    source = some(random, every, lambda node: bool(node.clips))
    node = some(random, every, lambda node: isinstance(node.split, BoxSplit))
    edit(node, clips=source.clips, shared=tuple((number, rows[0]) for number, _, rows in source.clips[:2] if rows))


def case_order(every: list[Node], random: Random) -> None:
    node = some(random, every, lambda node: isinstance(node.split, InputSplit))
    assert isinstance(node.split, InputSplit)
    order = random.permutation(len(node.split.cases)).tolist()
    edit(node, partition=InputSplit(tuple(node.split.cases[number] for number in order)))
    if random.random() < 0.5:
        edit(node, children=[node.children[number] for number in order])


def fewer_cases(every: list[Node], random: Random) -> None:
    node = some(random, every, lambda node: isinstance(node.split, InputSplit))
    assert isinstance(node.split, InputSplit)
    left = int(random.integers(len(node.children)))
    edit(node, partition=InputSplit(tuple(one for number, one in enumerate(node.split.cases) if number != left)))
    edit(node, children=[child for number, child in enumerate(node.children) if number != left])


def cases_anywhere(every: list[Node], random: Random) -> None:
    """A node is split into cases of some inputs, which close as other nodes do."""
    source, node = some(random, every, lambda node: bool(node.clips)), some(random, every, lambda _: True)
    chosen = [source.clips[at] for at in random.permutation(len(source.clips))[: int(random.integers(1, 13))]]
    clips = node.clips or source.clips
    cases = InputSplit(tuple((number, rows[0] if rows else 0) for number, _, rows in chosen))
    children = [Node(list(some(random, every, lambda _: True).dropped), Counted()) for _ in chosen]
    vars(node).update(vars(Node(node.dropped, Split(cases, children, clips))))


def the_case_of_what_falls(every: list[Node], random: Random) -> None:
    """A node has the one case of an input that falls in it: what is left without it is not looked at."""
    node = some(random, every, lambda node: bool(node.dropped))
    first = node.dropped[int(random.integers(len(node.dropped)))]
    rest = [one for one in node.dropped if one.input != first.input]
    case = InputSplit(((first.input, max(0, *first.rows)),))
    leaf = Node([one for one in node.dropped if one not in rest], Counted())
    vars(node).update(vars(Node(rest, Split(case, [leaf]))))


def takes_a_part_for_the_whole(every: list[Node], random: Random) -> None:
    node = some(random, every, lambda node: bool(node.children))
    dropped, child = node.dropped, node.children[int(random.integers(len(node.children)))]
    vars(node).update(vars(child))
    node.dropped = [*dropped, *(one for one in child.dropped if one not in dropped)]


def drops_of_elsewhere(every: list[Node], random: Random) -> None:
    source, node = some(random, every, lambda node: bool(node.dropped)), some(random, every, lambda _: True)
    node.dropped = [*node.dropped, *(one for one in source.dropped if one not in node.dropped)]


def any_slopes(every: list[Node], random: Random) -> None:
    node = some(random, every, lambda node: bool(node.dropped))
    slopes = tuple(random.bytes(size).hex() for size in (12, 8))
    node.dropped = [
        one._replace(slopes=slopes) if sum(row != -1 for row in one.rows) == 1 else one for one in node.dropped
    ]


def starts_anew(every: list[Node], random: Random) -> None:
    node = some(random, every, lambda _: True)
    node.anew = not node.anew


def any_weights(every: list[Node], random: Random) -> None:
    node = some(random, every, lambda node: joint_of(node) is not None)
    joint = joint_of(node)
    size = float(random.choice([5e-324, 1e-300, 0.1, 3.0, 1e3, 1e300, 1.7e308]))
    assert joint is not None
    edit(
        node,
        joint=changed_joint(
            joint, lambda one: replace(one, weights=tuple(w._replace(weight=w.weight * size) for w in one.weights))
        ),
    )


def any_sums(every: list[Node], random: Random) -> None:
    """Multipliers of strips and of neurons whose sign nobody knows, of any size."""
    size = float(random.choice([5e-324, 1e300, -1.7e308]))
    node = some(random, every, lambda node: bool(node.dropped or joint_of(node)))
    if (joint := joint_of(node)) is not None:
        edit(node, joint=changed_joint(joint, lambda one: replace(one, beta=(size,) * len(one.beta))))
    else:
        node.dropped[0] = PrunedDisjunct(*node.dropped[0][:4], ((0, int(random.integers(8)), size),))


EDITS: list[Edit] = [
    clips_of_another_branch,
    clips_by_other_rows,
    many_rounds,
    halves_that_hand_down,
    case_order,
    fewer_cases,
    cases_anywhere,
    the_case_of_what_falls,
    takes_a_part_for_the_whole,
    drops_of_elsewhere,
    any_slopes,
    starts_anew,
    any_weights,
    any_sums,
]


def hand_in(seed: int, shape: Shape, arithmetic: str, times: int) -> Counter[str]:
    """How often each kind of edit was part of a proof that was refused, as all of them must be."""
    random, made, given = np.random.default_rng(seed), Counter[str](), asked(seed, shape, arithmetic)
    if given is None:
        return made
    found, false, proof = given
    section = Section(found.claim(), found.sources.models["net"], found.header)
    for _ in range(times):
        tree = copy.deepcopy(proof.tree)
        assert tree is not None
        for spoil in [EDITS[int(k)] for k in random.permutation(len(EDITS))[:2]]:
            with suppress(IndexError, ValueError):
                spoil(nodes(tree), random)
                made[spoil.__name__] += 1
        section.open = {false.question}
        with pytest.raises(CertificateError, match=r"VF505[45]"):
            section.records([replace(false, tree=tree)])
    return made


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
@pytest.mark.parametrize(("shape", "seeds"), SHAPES, ids=str)
def test_no_proof_of_less_is_one_of_what_a_trigger_refutes(
    shape: Shape, seeds: tuple[int, ...], arithmetic: str
) -> None:
    made = sum((hand_in(seed, shape, arithmetic, 20) for seed in seeds), Counter[str]())
    assert len(made) > len(EDITS) - 2


@pytest.mark.soak
@pytest.mark.parametrize("arithmetic", ["float32", "real"])
@pytest.mark.parametrize("shape", [shape for shape, _ in SHAPES], ids=str)
def test_many_proofs_of_less_are_refused(shape: Shape, arithmetic: str) -> None:
    made = sum((hand_in(seed, shape, arithmetic, 100) for seed in range(10, 40)), Counter[str]())
    assert min(made[spoil.__name__] for spoil in EDITS) > 5
