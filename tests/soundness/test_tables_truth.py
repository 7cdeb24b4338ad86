"""Ground truth for triggers that set columns of a table: tiny networks, every combination tried by its meaning.

Weights are small whole numbers, so that float32 computes exactly and what it says is the truth.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.soundness.word_problems import class_rows, untargeted
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import Activation, Affine, Input, Shift
from verifluxa.lower.columns import FEW, place_columns
from verifluxa.lower.reading import Reads
from verifluxa.question import Problem, Question
from verifluxa.search.replay import replay_trigger
from verifluxa.search.words import enumerable
from verifluxa.search.workspace import workspace_of
from verifluxa.spec.spec import Feature, TableSpace
from verifluxa.spec.triggers.columns import KeptFeature, TableTrigger
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import AttackStage, Strategy, load_strategy
from verifluxa.verdict import Verdict

NOTHING = Reads("float32", np.zeros((0, 1)), "none.csv")
SPACE = TableSpace(
    "rows",
    (
        Feature("count", Fraction(-1), Fraction(3), 1, "piece"),
        Feature("region", Fraction(0), Fraction(2), 1, items=("north", "south", "east")),
        Feature("member", Fraction(0), Fraction(1), 1, boolean=True),
    ),
)
Row = dict[str, float]


def written(row: Row) -> list[float]:
    """What the network reads of a row, by the meaning of the columns."""
    return [row["count"], *(float(row["region"] == number) for number in range(3)), row["member"]]


def network(seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    return build(
        [
            (Input((5,)), ()),
            (Shift(np.array([-1, 0, 0, 0, 0], np.float32)), (0,)),
            (Affine(rng.integers(-3, 4, (4, 5)).astype(np.float32), rng.integers(-3, 4, 4).astype(np.float32)), (1,)),
            (Activation("relu"), (2,)),
            (Affine(rng.integers(-3, 4, (3, 4)).astype(np.float32), rng.integers(-3, 4, 3).astype(np.float32)), (3,)),
        ]
    )


def rows_of(rng: np.random.Generator, count: int = 6) -> list[Row]:
    columns = (("count", -1, 4), ("region", 0, 3), ("member", 0, 2))
    return [{name: float(rng.integers(low, high)) for name, low, high in columns} for _ in range(count)]


KEPT = {
    "count": KeptFeature("count", Fraction(-1), Fraction(3)),
    "some": KeptFeature("count", Fraction(-1), Fraction(3), (Fraction(0), Fraction(3))),
    "region": KeptFeature("region", Fraction(0), Fraction(2)),
    "coast": KeptFeature("region", Fraction(0), Fraction(2), (Fraction(0), Fraction(2))),
    "member": KeptFeature("member", Fraction(0), Fraction(1)),
}


def values(kept: KeptFeature) -> list[float]:
    if kept.kept:
        return [float(value) for value in kept.kept]
    return [float(value) for value in range(int(kept.low), int(kept.high) + 1)]


def trigger_of(names: tuple[str, ...], count: int) -> TableTrigger:
    places = tuple(itertools.combinations(range(len(names)), count))
    return TableTrigger("combo", "rows", count, tuple(KEPT[name] for name in names), places)


def build_problem(seed: int, trigger: TableTrigger, per_input: bool) -> tuple[Problem, list[Row]]:
    rng = np.random.default_rng(seed + 500)
    graph, rows = network(seed), rows_of(rng)
    inputs = np.array([written(row) for row in rows])
    placements = place_columns(trigger, SPACE, NOTHING)[0]
    everything = np.arange(len(rows))
    singles = tuple(everything[i : i + 1] for i in everything)
    assert placements[0].domain is not None
    problem = Problem(
        name="table",
        digest=f"sha256:{seed}",
        graph=graph,
        inputs=inputs,
        labels=graph.run(inputs).argmax(1).astype(np.int64),
        indices=tuple(range(len(rows))),
        excluded=(),
        placements=placements,
        domain=placements[0].domain,
        constraints=class_rows(),
        violations=(untargeted(),),
        selections=singles if per_input else (everything,),
        thresholds=(1,) * len(rows) if per_input else (int(rng.integers(2, 6)),),
        pairs=tuple((0, i) for i in range(len(rows))) if per_input else ((0, 0),),
        per_input=per_input,
        arithmetic="float32",
    )
    return problem, rows


def triggered(trigger: TableTrigger, placement: int, rows: list[Row]) -> Iterator[NDArray[np.float64]]:
    """The rows under every combination of a set, by the meaning of `set`."""
    chosen = [trigger.features[at] for at in trigger.places[placement]]
    for point in itertools.product(*(values(kept) for kept in chosen)):
        change = {kept.name: value for kept, value in zip(chosen, point, strict=True)}
        yield np.array([written({**row, **change}) for row in rows])


def truth(problem: Problem, question: Question, trigger: TableTrigger, rows: list[Row]) -> tuple[int, int]:
    """The most rows that one combination changes: strictly, and with ties."""
    strict, loose = 0, 0
    chosen = problem.selections[question.selection]
    for inputs in triggered(trigger, question.placement, rows):
        outputs = problem.graph.run(inputs).astype(np.float64)[chosen]
        own = outputs[np.arange(len(chosen)), problem.labels[chosen]][:, None]
        others = np.arange(3)[None] != problem.labels[chosen][:, None]
        strict = max(strict, int(((outputs > own) & others).any(1).sum()))
        loose = max(loose, int(((outputs >= own) & others).any(1).sum()))
    return strict, loose


TRIGGERS = [
    trigger_of(("region",), 1),
    trigger_of(("count", "region", "member"), 2),
    trigger_of(("some", "coast"), 2),
    trigger_of(("count", "member"), 1),
    trigger_of(("some", "region", "member"), 3),
]


@pytest.mark.parametrize("attacked", [True, False], ids=["attack", "no attack"])
@pytest.mark.parametrize("way", ["enumerated", "bounded"])
def test_every_verdict_is_the_truth(way: str, attacked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists are tried one by one where they are few, else bounded as boxes with strips: both must be right."""
    if way == "bounded":
        monkeypatch.setattr("verifluxa.lower.columns.FEW", 0)
    strategy = load_strategy("balanced")
    if not attacked:
        stages = tuple(stage for stage in strategy.stages if not isinstance(stage, AttackStage))
        strategy = Strategy(**{**vars(strategy), "stages": stages})
    seen = set()
    for seed, (trigger, per_input) in enumerate(itertools.product(TRIGGERS, (False, True))):
        problem, rows = build_problem(seed, trigger, per_input)
        for outcome in decide(problem, list(problem.all_questions()), strategy):
            strict, loose = truth(problem, outcome.question, trigger, rows)
            seen.add(outcome.verdict)
            if outcome.verdict is Verdict.CERTIFIED:
                assert loose < outcome.question.threshold
            elif outcome.verdict is Verdict.FALSIFIED:
                assert outcome.witness is not None
                assert strict >= outcome.question.threshold
                domain = problem.domain_of(outcome.question.placement)
                assert domain.contains(outcome.witness.trigger)
                assert (
                    len(replay_trigger(problem, outcome.question, outcome.witness.trigger).violated)
                    >= outcome.question.threshold
                )
            elif way == "enumerated":
                assert strict < outcome.question.threshold <= loose, "only a tie is left open"
            assert outcome.found <= strict
            assert outcome.proved >= loose
    assert {Verdict.CERTIFIED, Verdict.FALSIFIED} <= seen


def test_few_combinations_are_tried_and_many_are_bounded() -> None:
    problem, _ = build_problem(0, TRIGGERS[1], False)
    assert enumerable(workspace_of(problem), 0) is not None
    domain = problem.domain_of(0)
    assert (domain.slabs, len(domain.lists)) == (None, 1)
    wide = replace(SPACE, features=(Feature("count", Fraction(0), Fraction(FEW), 1), *SPACE.features[1:]))
    kept = (KeptFeature("count", Fraction(0), Fraction(FEW)), KEPT["region"])
    (placement,) = place_columns(TableTrigger("t", "rows", 2, kept, ((0, 1),)), wide, NOTHING)[0]
    assert placement.domain is not None
    assert placement.domain.slabs is not None
    assert placement.domain.slabs.directions.tolist() == [[0, 1, 1, 1]]


def test_a_combination_in_words() -> None:
    problem, _ = build_problem(0, TRIGGERS[1], False)
    assert problem.domain_of(0).described(np.array([2.0, 0.0, 0.0, 1.0])) == ("count = 2 piece", "region = east")
    assert problem.domain_of(2).described(np.array([0.0, 1.0, 0.0, 1.0])) == ("region = south", "member = 1")
