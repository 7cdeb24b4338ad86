"""Forged drops and joint closings: whatever the checker accepts, no sampled trigger may contradict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from tests.certificate.scenes import Scene, Shape, scene
from verifluxa.certificate.check.claim import Claim
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_lines import Record
from verifluxa.errors import CertificateError
from verifluxa.evidence import (
    CONTRADICTED,
    NOTHING_FOUND,
    OPEN,
    BoxSplit,
    Clip,
    FarkasTerm,
    Joint,
    JointClosing,
    Node,
    Partition,
    PrunedDisjunct,
    SlabSplit,
    Split,
    Unrecorded,
)
from verifluxa.question import Question
from verifluxa.verdict import Verdict

SHAPES = [
    Shape(scale=0.8),
    Shape("cnn", "leakyrelu", targeted=False),
    Shape("pool"),
    Shape("branches", inputs=20),
    Shape(activation="gelu", scale=0.8),
    Shape(activation="sigmoid", softmax=True, scale=0.8),
    Shape(activation="clip", scale=0.8),
]
HIDDEN = (12, 8)
"""Neurons of the plain network's layers."""


@dataclass(frozen=True, eq=False)
class Part:
    """A box of levels, cut by one strip from above; the way there; triggers inside."""

    splits: tuple[tuple[Partition, int], ...]
    directions: Floats
    triggers: Floats

    def tree(self, leaf: Node, handed: tuple[Clip, ...]) -> Node:
        """A tree that closes nothing but this part on its own word; each half starts from clipped ends."""
        for split, side in reversed(self.splits):
            others = [Node(step=Unrecorded()), leaf] if side else [leaf, Node(step=Unrecorded())]
            leaf = Node([], Split(split, others, handed))
        return leaf


def part_of(random: np.random.Generator, size: int, width: int) -> Part:
    lower = random.integers(0, 256 - width, size)
    upper = lower + width
    splits: list[tuple[Partition, int]] = []
    for at in range(size):
        if lower[at] > 0:
            splits.append((BoxSplit(at, float(lower[at] - 1), float(lower[at])), 1))
        if upper[at] < 255:
            splits.append((BoxSplit(at, float(upper[at]), float(upper[at] + 1)), 0))
    directions = random.normal(size=(1, size))
    cut = float(directions[0] @ (lower + upper) / 2 + random.uniform(-0.3, 0.5) * np.abs(directions[0]).sum() * width)
    splits.append((SlabSplit(0, cut), 0))
    inside = random.integers(lower, upper + 1, (400, size))
    corners = np.where(random.random((400, size)) < 0.5, lower, upper)
    triggers = np.concatenate([inside, corners]).astype(np.float64)
    return Part(tuple(splits), directions, triggers[triggers @ directions[0] <= cut])


def met(found: Scene, claim: Claim, question: Question, triggers: Floats) -> dict[tuple[int, int], np.ndarray]:
    """For each (input, alternative) by which triggers it is met, as deployed in float32."""
    graph, answer = found.sources.models["net"], {}
    for index in claim.selections[question.selection]:
        stamped = np.repeat(claim.inputs[index].reshape(1, -1), len(triggers), axis=0)
        stamped[:, claim.positions[question.placement]] = triggers
        outputs = graph.run(stamped.reshape(len(triggers), *claim.inputs.shape[1:]))
        for number, rows in enumerate(claim.violations[question.violation][int(claim.labels[index])]):
            first, second = (claim.weight[list(rows)].argmax(axis=1), claim.weight[list(rows)].argmin(axis=1))
            answer[index, number] = (outputs[:, first] > outputs[:, second]).all(axis=1)
    return answer


def accepted(section: Section, question: Question, part: Part, leaf: Node, handed: tuple[Clip, ...] = ()) -> bool:
    """Whether the tree with this leaf, behind nodes that hand clipped ends down, is not refused."""
    section.open = {question}
    count = len(section.claim.selections[question.selection])
    record = Record(question, Verdict.CERTIFIED, None, NOTHING_FOUND, count, part.tree(leaf, handed), part.directions)
    code = ""
    try:
        section.records([record])
    except CertificateError as error:
        code = error.code
    assert code in {"", "VF5054", "VF5055"}
    return not code


def forged_drop(
    random: np.random.Generator, found: Scene, key: tuple[int, int], rows: tuple[int, ...], plain: bool
) -> PrunedDisjunct:
    """Any record of one alternative, whose rows have these numbers in the evidence."""
    rounds = 0 if plain else int(random.integers(0, 3))
    planes = tuple(int(random.choice(rows)) for _ in range(rounds))
    row = CONTRADICTED if random.random() < 0.2 else int(random.choice(rows))
    chosen = not plain and random.random() < 0.5
    slopes = tuple(random.integers(0, 256, size, dtype=np.uint8).tobytes().hex() for size in HIDDEN) if chosen else ()
    return PrunedDisjunct(key[0], (OPEN,) * key[1] + (row,), planes, slopes)


def numbers_of(found: Scene, claim: Claim) -> dict[int, int]:
    """The evidence's number of each row of the claim."""
    return {row: number for number, row in enumerate(claim.numbers(found.header.rows)) if row is not None}


def rows_of(
    claim: Claim, question: Question, keys: Iterable[tuple[int, int]], numbers: dict[int, int]
) -> dict[tuple[int, int], tuple[int, ...]]:
    """The evidence's numbers of the rows of each alternative."""
    options = {key: claim.violations[question.violation][int(claim.labels[key[0]])][key[1]] for key in keys}
    return {key: tuple(numbers[row] for row in rows) for key, rows in options.items()}


def try_drops(shape: Shape, seeds: range) -> tuple[int, int]:
    """How many forged drops were accepted and refused."""
    counts = [0, 0]
    for seed in seeds:
        random, found = np.random.default_rng(seed), scene(seed % 7, shape)
        claim = found.claim()
        section, numbers = Section(claim, found.sources.models["net"], found.header), numbers_of(found, claim)
        question = sorted(section.open)[int(random.integers(len(section.open)))]
        part = part_of(random, claim.positions.shape[1], int(random.choice([0, 20, 80])))
        truth = met(found, claim, question, part.triggers)
        rows = rows_of(claim, question, truth, numbers)
        for key, by in truth.items():
            record = forged_drop(random, found, key, rows[key], bool(random.random() < 0.4))
            other = (key[0], int(random.integers(sum(index == key[0] for index, _ in truth))))
            handed = ((*other, (int(random.choice(rows[other])),)),) if random.random() < 0.5 else ()
            good = accepted(section, question, part, Node([record], Unrecorded()), handed)
            assert not (good and by.any())
            counts[not good] += 1
    return counts[0], counts[1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forged_drops_are_refused_or_hold(shape: Shape) -> None:
    assert min(try_drops(shape, range(1, 3))) > 1


@pytest.mark.soak
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_many_forged_drops_are_refused_or_hold(shape: Shape) -> None:
    assert min(try_drops(shape, range(100, 130))) > 20


def forged_joint(
    random: np.random.Generator, keys: list[tuple[int, int]], rows: dict[tuple[int, int], tuple[int, ...]]
) -> Joint:
    """Any weights, or a branching on any input."""
    if random.random() < 0.3:
        children = (forged_joint(random, keys, rows), forged_joint(random, keys, rows))
        return Joint(branch_on=keys[int(random.integers(len(keys)))][0], children=children)
    # Half of them speak of all alternatives: with fewer nearly nothing follows where inputs have several.
    count = len(keys) if random.random() < 0.5 else int(random.integers(1, len(keys) + 1))
    used = [keys[int(at)] for at in random.permutation(len(keys))[:count]]
    scale = float(random.choice([0.2, 1.0, 3.0]))
    weights = tuple(
        FarkasTerm(
            *key, int(random.choice(rows[key])), bool(random.random() < 0.5), float(random.uniform(0.5, 1.0) * scale)
        )
        for key in used
    )
    return Joint(weights, (float(random.normal()) * 1e-2,) if random.random() < 0.5 else ())


def try_joints(shape: Shape, seeds: range) -> tuple[int, int]:
    """How many forged joint closings were accepted and refused."""
    counts = [0, 0]
    for seed in seeds:
        random, found = np.random.default_rng(seed), scene(seed % 7, shape)
        claim = found.claim()
        section, numbers = Section(claim, found.sources.models["net"], found.header), numbers_of(found, claim)
        question = sorted(section.open)[int(random.integers(len(section.open)))]
        part = part_of(random, claim.positions.shape[1], int(random.choice([1, 20, 60])))
        truth = met(found, claim, question, part.triggers)
        most = int(
            np.sum(
                [np.any([truth[k] for k in truth if k[0] == i], axis=0) for i in {k[0] for k in truth}], axis=0
            ).max()
        )
        rows = rows_of(claim, question, truth, numbers)
        clips = tuple(
            (*key, tuple(int(random.choice(rows[key])) for _ in range(int(random.integers(0, 2))))) for key in truth
        )
        point = tuple(map(float, part.triggers[0]))
        for _ in range(4):
            leaf = Node(step=JointClosing(forged_joint(random, list(truth), rows), clips, point))
            good = accepted(section, question, part, leaf, clips if random.random() < 0.5 else ())
            assert not (good and most >= question.threshold)
            counts[not good] += 1
    return counts[0], counts[1]


LIMITED = [replace(shape, limit=Fraction(3, 10), inputs=20) for shape in SHAPES[:4]]


@pytest.mark.parametrize("shape", LIMITED, ids=str)
def test_forged_joint_closings_are_refused_or_hold(shape: Shape) -> None:
    assert sum(try_joints(shape, range(2))) == 8


@pytest.mark.soak
@pytest.mark.parametrize("shape", LIMITED, ids=str)
def test_many_forged_joint_closings_are_refused_or_hold(shape: Shape) -> None:
    assert min(try_joints(shape, range(100, 160)))
