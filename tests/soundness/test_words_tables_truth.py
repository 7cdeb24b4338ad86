"""Triggers of words: every verdict about a tiny network is what trying all triggers says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.soundness.word_problems import (
    CLASSES,
    LENGTH,
    NETWORKS,
    WORDS,
    Put,
    Setting,
    build_problem,
    network,
    triggered,
    truth,
)
from verifluxa.graph.graph import build
from verifluxa.graph.ops import Affine, Conv, Embedding
from verifluxa.lower.words import appended
from verifluxa.question import AffineInputMap, Domain, Placement, Problem
from verifluxa.search import words
from verifluxa.search.replay import replay_trigger
from verifluxa.search.workspace import workspace_of
from verifluxa.spec.spec import TokenSpace
from verifluxa.spec.triggers.words import WordTrigger
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import AttackStage, Strategy, load_strategy
from verifluxa.verdict import Verdict


def settings() -> Iterator[Setting]:
    for kind, (seed, (count, inserts, per_input)) in itertools.product(
        NETWORKS,
        enumerate([(1, True, False), (1, False, True), (2, True, False), (2, False, False), (1, True, True)] * 3),
    ):
        yield Setting(kind, seed, count, inserts, per_input)


@pytest.mark.parametrize("attacked", [True, False], ids=["attack", "no attack"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_verdict_is_the_truth(kind: str, attacked: bool) -> None:
    strategy = load_strategy("balanced")
    if not attacked:
        strategy = Strategy(**{**vars(strategy), "stages": _without_attack(strategy)})
    seen = set()
    for setting in settings():
        if setting.kind == kind:
            seen |= judge(build_problem(setting), strategy)
    assert {Verdict.CERTIFIED, Verdict.FALSIFIED} <= seen


@pytest.mark.parametrize("kind", NETWORKS)
def test_clusters_of_words_give_the_truth(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two words, as if there were too many to try them all: clusters are bounded, halved, and their rest evaluated."""
    monkeypatch.setattr("verifluxa.search.words.MOST_TRIGGERS", 1)
    seen = set()
    for first, least, share in ((4, 1, 0.0), (2, 4, 0.5), (1, 1, 0.1)):
        for name, value in (("FIRST", first), ("LEAST", least), ("SHARE", share), ("BEST", least)):
            monkeypatch.setattr(f"verifluxa.search.word_pairs.{name}", value)
        for seed in (first, first + 10):
            setting = Setting(kind, seed, 2, inserts=first != 2, per_input=False)
            seen |= judge(build_problem(setting), load_strategy("balanced"), ties=False)
    assert {Verdict.CERTIFIED, Verdict.FALSIFIED} <= seen


def _without_attack(strategy: Strategy) -> tuple[object, ...]:
    return tuple(stage for stage in strategy.stages if not isinstance(stage, AttackStage))


def judge(problem: Problem, strategy: Strategy, ties: bool = True, put: Put = triggered) -> set[Verdict]:
    seen = set()
    for outcome in decide(problem, list(problem.all_questions()), strategy):
        strict, loose = truth(problem, outcome.question, put)
        need = outcome.question.threshold
        assert outcome.found <= strict
        assert outcome.proved >= loose
        if outcome.verdict is Verdict.CERTIFIED:
            assert loose < need
        elif outcome.verdict is Verdict.FALSIFIED:
            assert strict >= need
            assert outcome.witness is not None
            played = replay_trigger(problem, outcome.question, outcome.witness.trigger)
            assert len(played.violated) >= need
            assert set(outcome.witness.inputs) == set(played.violated.tolist())
        elif ties:
            assert strict < need <= loose, "only a tie is left open: the networks compute exactly"
        seen.add(outcome.verdict)
    return seen


@pytest.mark.parametrize("kind", NETWORKS)
def test_radii_hold_what_float32_computes(kind: str) -> None:
    """Weights that round: the deployed value lies within the radius, for every input, word and output."""
    rng = np.random.default_rng(5)
    graph = network(kind, 3)
    noisy = []
    for node in graph.nodes:
        op = node.op
        if isinstance(op, Embedding | Affine | Conv):
            parts = {**vars(op), "weight": op.weight + rng.normal(0, 0.3, op.weight.shape).astype(np.float32)}
            op = type(op)(**parts)
        noisy.append((op, node.inputs))
    problem = build_problem(Setting(kind, 3, 1, True, False))
    problem = Problem(**{**vars(problem), "graph": build(noisy)})
    for placement in range(len(problem.placements)):
        assert_enclosed(problem, placement)


def assert_enclosed(problem: Problem, placement: int) -> None:
    cut = words.network_split(problem)
    assert cut is not None
    stamp = problem.placements[placement].stamp
    slots = words.slots_of(stamp, problem.domain)
    assert slots is not None
    base, places = words.base_of(problem, stamp, slots, cut)
    constants = words.tail_constants(problem, cut.split, base)
    found = words.evaluate(cut.split, constants, *cut.split.put(places, slots.triggers()), slice(0, None))
    assert (found.radius < 1e-2).all()
    for t, word in enumerate(slots.points[0][:, 0]):
        deployed = problem.graph.run(triggered(problem, placement, (float(word),))).astype(np.float64)
        assert (np.abs(found.values[:, t] - deployed) <= found.radius).all()


def test_placements_of_a_bag_come_to_one() -> None:
    """Inserting into a bag of words whose last word falls off: the place does not matter."""
    problem = build_problem(Setting("bag", 0, 1, True, False))
    cut = words.network_split(problem)
    assert cut is not None
    assert cut.in_any_order
    keys = set()
    for placement in problem.placements:
        slots = words.slots_of(placement.stamp, problem.domain)
        assert slots is not None
        keys.add(words.base_of(problem, placement.stamp, slots, cut)[0].tobytes())
    assert len(keys) == 1
    other = words.network_split(build_problem(Setting("convolution", 0, 1, True, False)))
    assert other is not None
    assert not other.in_any_order


def test_what_does_more_than_putting_words_is_not_enumerated() -> None:
    problem = build_problem(Setting("bag", 0, 1, False, False))
    stamp = problem.placements[0].stamp
    for wrong in (
        AffineInputMap(stamp.positions, stamp.keep, stamp.gain * 2, stamp.offset),
        AffineInputMap(stamp.positions, stamp.keep, stamp.gain, stamp.offset + 1),
        AffineInputMap(stamp.positions, stamp.keep + 1, stamp.gain, stamp.offset),
    ):
        changed = Problem(**{**vars(problem), "placements": (Placement((("position", 0),), wrong),)})
        assert words.enumerable(workspace_of(changed), 0) is None
    free = Problem(**{**vars(problem), "domain": Domain(np.ones(1), np.full(1, 5.0), np.ones(1))})
    assert words.enumerable(workspace_of(free), 0) is None, "no list of words"


def test_a_late_run_is_unknown() -> None:
    problem = build_problem(Setting("bag", 0, 1, False, False))
    work = workspace_of(problem)
    cut = words.enumerable(work, 0)
    assert cut is not None
    for outcome in words.decide_words(work, cut, problem.questions(0), -1.0):
        assert outcome.verdict is Verdict.UNKNOWN
        assert str(outcome.reason) == "time"


def appending(kind: str, seed: int, count: int, per_input: bool) -> Problem:
    """Texts of one to `LENGTH - count` words behind which `count` are put; the rest is word 0."""
    problem = build_problem(Setting(kind, seed, count, False, per_input))
    rng = np.random.default_rng(seed)
    inputs = rng.integers(1, WORDS, (len(problem.inputs), LENGTH)).astype(np.float64)
    ends = rng.integers(1, LENGTH - count + 1, len(inputs))
    inputs[np.arange(LENGTH)[None] >= ends[:, None]] = 0.0
    space = TokenSpace("r", LENGTH, tuple("abcdef"), "v", "sha256:0", pad=0)
    trigger = WordTrigger("t", "r", True, count, (0,), (1, 2, 4, 5), appends=True)
    labels = problem.graph.run(inputs).argmax(1).astype(np.int64)
    placements = appended(trigger, space, inputs, "a.jsonl")
    changed = {"inputs": inputs, "labels": labels, "placements": placements, "digest": f"sha256:{kind}{seed}{count}"}
    return Problem(**{**vars(problem), **changed})


def behind(problem: Problem, placement: int, point: tuple[float, ...]) -> NDArray[np.float64]:
    """The texts with the words behind their ends."""
    rows = []
    for row in problem.inputs:
        text = list(row)
        while text and text[-1] == 0.0:
            text.pop()
        text += point
        rows.append(text + [0.0] * (LENGTH - len(text)))
    return np.array(rows)


@pytest.mark.parametrize("kind", NETWORKS)
def test_words_behind_the_end_of_each_text(kind: str) -> None:
    seen = set()
    for seed, (count, per_input) in enumerate(itertools.product((1, 2), (False, True))):
        for more in (0, 20):
            problem = appending(kind, seed + more, count, per_input)
            assert problem.placements[0].which is not None
            seen |= judge(problem, load_strategy("balanced"), put=behind)
    assert {Verdict.CERTIFIED, Verdict.FALSIFIED} <= seen


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_place_that_depends_on_the_input_is_nothing_to_bounds(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the one stamp of such a placement proves nothing; what replays refute is refuted."""
    for room in ("decide", "attacking"):
        monkeypatch.setattr(f"verifluxa.strategy.{room}.enumerable", lambda work, placement: None)
    for seed in range(4):
        problem = appending(kind, seed, 1, False)
        assert Verdict.CERTIFIED not in judge(problem, load_strategy("balanced"), ties=False, put=behind)


@pytest.mark.parametrize("seed", range(8))
def test_equal_texts_with_other_labels_have_tables_of_their_own(seed: int) -> None:
    """Two groups of one place may come to the same bag of words; what they violate depends on their labels."""
    problem = appending("bag", seed, 1, True)
    # The first ends at its second word, the other behind padding inside: the same bag, another end.
    inputs = np.array([[3.0, 3.0, 0.0, 0.0], [3.0, 0.0, 3.0, 0.0]])
    space = TokenSpace("r", LENGTH, tuple("abcdef"), "v", "sha256:0", pad=0)
    trigger = WordTrigger("t", "r", True, 1, (0,), (1, 2, 4, 5), appends=True)
    label = int(problem.graph.run(inputs).argmax(1)[0])
    changed = {
        "inputs": inputs,
        "labels": np.array([label, (label + 1) % CLASSES]),
        "placements": appended(trigger, space, inputs, "a.jsonl"),
        "selections": (np.array([0]), np.array([1])),
        "pairs": ((0, 0), (0, 1)),
        "thresholds": (1, 1),
        "indices": (0, 1),
        "digest": f"sha256:bags{seed}",
    }
    two = Problem(**{**vars(problem), **changed})
    assert len(two.placements[0].stamps) == 2
    for question, outcome in zip(two.questions(0), decide(two, two.questions(0), load_strategy("quick")), strict=True):
        chosen = two.selections[question.selection]
        own = two.labels[chosen][:, None]
        outputs = [two.graph.run(behind(two, 0, (word,)))[chosen] for word in (1.0, 2.0, 4.0, 5.0)]
        met = [bool(((o >= np.take_along_axis(o, own, 1)) & (np.arange(CLASSES) != own)).any()) for o in outputs]
        assert outcome.proved == int(any(met))
