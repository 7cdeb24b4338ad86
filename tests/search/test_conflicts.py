"""Conflicts between inputs under one trigger, against enumeration; choices against trying all; the evidence's codec."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import combinations, pairwise, product

import numpy as np
import pytest

from tests.certificate.steps import conflicts_of
from tests.search.small import all_triggers, in_float32, in_real, most, row_values, with_need, with_thresholds
from tests.soundness.build import Ask, Family, dense, levels, make_problem, mlp, relu, replacing
from tests.soundness.judge import judge
from tests.soundness.truth import Oracle
from verifluxa.bounds.domain import geometry_of
from verifluxa.certificate.tree_codec import decode_tree, encode_tree
from verifluxa.errors import CertificateError
from verifluxa.evidence import Case, Outcome, WeightedTerm
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Conv, Reshape
from verifluxa.question import Problem, Question
from verifluxa.search.bab import Budget
from verifluxa.search.choices import choose, several
from verifluxa.search.disjuncts import BoundContext
from verifluxa.search.initial_bounds import bound_root, whole_domain
from verifluxa.search.relational import begin_conflicts, find_conflicts, relational_search
from verifluxa.search.workspace import workspace_of
from verifluxa.stages import CrossStage
from verifluxa.verdict import Verdict

ALL = CrossStage(values=0, alone=0, seconds=60.0, cases=300)


def run(problem: Problem, question: Question, settings: CrossStage = ALL) -> Outcome:
    work = workspace_of(problem)
    (outcome,) = find_conflicts(work, bound_root(work, [question], "interval"), settings, None)
    return outcome


def steady(seed: int, ask: Ask | None = None, top: int = 3) -> Problem:
    """A 6-9-6-3 network that is right about its six inputs, and a trigger of three values 0..top."""
    random = np.random.default_rng(seed)
    sizes = (6, 9, 6, 3)
    graph = mlp((1, 1, 6), *((random.normal(size=(b, a)), random.normal(size=b)) for a, b in pairwise(sizes)))
    inputs = random.integers(0, 4, (6, 6)).astype(float)
    labels = graph.run(inputs.reshape(6, 1, 1, 6).astype(np.float32)).argmax(1).tolist()
    return make_problem(graph, inputs, labels, Family((replacing((0, 2, 5)),), levels(3, 0, top)), ask or Ask())


def size(case: Case) -> int:
    return 1 + sum(map(size, case.children))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ask", [Ask(), Ask(targets=(1,))])
def test_every_need_agrees_with_enumeration(seed: int, ask: Ask) -> None:
    problem = in_real(steady(seed, ask))
    oracle = Oracle(problem)
    loose = most(problem, with_need(problem, 1))
    for need in range(1, len(problem.selections[0]) + 1):
        question = with_need(problem, need)
        outcome = run(problem, question)
        judge(problem, outcome, oracle.truth(question), list(oracle.points(question)), oracle)
        assert outcome.proved >= loose
        if outcome.tree is not None:
            flat = encode_tree(outcome.tree)
            assert encode_tree(decode_tree(flat, "here")) == flat


def test_something_is_proved_by_cases_and_something_by_several_inputs_together() -> None:
    """The examples are not all trivial: conflicts of two inputs, and conflicts that take more than one case."""
    largest, most_cases = 0, 0
    for seed in (0, 3):
        problem = in_real(steady(seed))
        for need in (1, 4):
            outcome = run(problem, with_need(problem, need), replace(ALL, cases=300))
            for conflict in conflicts_of(outcome.tree):
                largest = max(largest, len(conflict.claims))
                most_cases = max(most_cases, size(conflict.case))
    assert largest >= 2
    assert most_cases >= 3


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_no_trigger_meets_all_claims_of_a_conflict(seed: int) -> None:
    problem = in_float32(steady(seed))
    triggers = all_triggers(problem.domain)
    seen = 0
    for need in (1, 2, 4, 5):
        question = with_need(problem, need)
        outcome = run(problem, question)
        by_label = problem.violations[question.violation].by_label
        values = [row_values(problem, question, trigger) for trigger in triggers]
        chosen = problem.selections[question.selection].tolist()
        for conflict in conflicts_of(outcome.tree):
            seen += 1
            met = np.ones(len(triggers), dtype=bool)
            for number, position in conflict.claims:
                rows = list(by_label[int(problem.labels[number])][position])
                met &= [bool((value[chosen.index(number), rows] >= 0).all()) for value in values]
            assert not met.any()
    assert seen


@pytest.mark.parametrize("seed", range(4))
def test_what_is_left_without_cases_is_no_less_than_any_trigger_reaches(seed: int) -> None:
    problem = in_real(steady(seed))
    question = with_need(problem, 1)
    work = workspace_of(problem)
    (rooted,) = bound_root(work, [question], "interval")
    scene = BoundContext(work.at(0), work.net(0), geometry_of(whole_domain(work)))
    crossing, unsafe = relational_search(scene, rooted, ALL, Budget())
    left = crossing.without_cases()
    assert not unsafe
    assert most(problem, question) <= left <= rooted.remaining
    assert left == crossing.most()


def test_a_layer_that_reads_nothing_of_the_trigger_has_no_neuron_to_split() -> None:
    """The stride steps over the pixel of the trigger; one of the inputs violates whatever is put there."""
    kernel = np.ones((1, 1, 1, 1), np.float32)
    read = [Conv(kernel, None, (1, 2), (0, 0), (0, 0), (1, 1)), relu(), Reshape((-1,))]
    graph = chain((1, 1, 3), [*read, dense(np.eye(2)), relu(), dense([[1.0, 0.0], [0.0, 1.0]])])
    family = Family((replacing((1,)),), levels(1, 0, 3))
    problem = in_real(make_problem(graph, [[1.0, 0.0, 2.0], [2.0, 0.0, 1.0]], [0, 0], family, Ask()))
    oracle = Oracle(problem)
    for need in (1, 2):
        question = with_need(problem, need)
        judge(problem, run(problem, question), oracle.truth(question), list(oracle.points(question)), oracle)


def test_of_many_claims_with_little_weight_each_some_are_kept() -> None:
    """Sixty inputs that are the same share the weight evenly."""
    graph = mlp((1, 1, 2), ([[1.0, -1.0], [-1.0, 1.0]], None), ([[0.0, 0.0], [1.0, 1.0]], [0.5, 0.0]))
    family = Family((replacing((0,)),), levels(1, 0, 3))
    problem = in_real(make_problem(graph, [[0.0, 2.0]] * 60, [0] * 60, family, Ask()))
    work, question = workspace_of(problem), with_need(problem, 60)
    search = begin_conflicts(work, bound_root(work, [question], "interval"), replace(ALL, cases=200), None)[question]
    search.run(200)
    assert search.relational is not None
    tried = [*search.relational.begun, *(conflict.claims for conflict in search.relational.conflicts)]
    assert tried
    assert all(tried)


def test_small_triggers_are_left_to_boxes_and_time_ends_it() -> None:
    problem = in_real(steady(1))
    question = with_need(problem, 1)
    work = workspace_of(problem)
    assert not list(find_conflicts(work, bound_root(work, [question], "interval"), CrossStage(values=0, alone=3), None))
    two = bound_root(work, [with_need(problem, 2)], "interval")
    assert not list(find_conflicts(work, two, CrossStage(values=3, alone=0), None))
    (outcome,) = find_conflicts(work, bound_root(work, [question], "interval"), ALL, time.monotonic() - 1)
    assert outcome.verdict is Verdict.UNKNOWN


def test_planes_of_little_weight_stay_out_of_the_cases() -> None:
    """With the heaviest plane of each input alone what is certified is still true, and what is seen meets all rows."""
    heaviest, seen, split = with_thresholds(ALL, least_weight=1.0), 0, 0
    for seed in range(6):
        problem = in_real(steady(seed, Ask(targets=(1,))))
        question, oracle = with_need(problem, 1), Oracle(problem)
        work = workspace_of(problem)
        search = begin_conflicts(work, bound_root(work, [question], "interval"), heaviest, None)[question]
        outcome = search.run(300)
        judge(problem, outcome, oracle.truth(question), list(oracle.points(question)), oracle)
        for conflict in conflicts_of(outcome.tree):
            split += bool(conflict.case.children)
            assert all(len(planes) == 1 for child in conflict.case.children for planes in leaves(child))
        assert search.relational is not None
        for begun in search.relational.begun.values():
            seen += begun.search.seen is not None
            assert begun.search.seen is None or begun.search.meets(begun.search.seen)
    assert seen
    assert split


def leaves(case: Case) -> list[tuple[WeightedTerm, ...]]:
    return [case.planes] if case.split is None else [own for child in case.children for own in leaves(child)]


@pytest.mark.parametrize("seed", range(6))
def test_a_search_may_be_gone_on_with(seed: int) -> None:
    """In bits it says nothing false on the way, and what it comes to at last is as true."""
    problem = in_real(steady(seed))
    question, oracle = with_need(problem, 1), Oracle(problem)
    work = workspace_of(problem)
    rooted = bound_root(work, [question], "interval")
    begun = begin_conflicts(work, rooted, ALL, None)
    outcomes = [begun[question].run(cases) for cases in (1, 4)]
    assert outcomes[0].boxes <= outcomes[1].boxes
    (last,) = find_conflicts(work, rooted, ALL, None, begun)
    for outcome in (*outcomes, last):
        judge(problem, outcome, oracle.truth(question), list(oracle.points(question)), oracle)
    assert last.verdict is run(problem, question).verdict
    assert last.seconds >= outcomes[1].seconds


def test_the_same_seedless_search_gives_the_same_evidence() -> None:
    problem = in_real(steady(2))
    first, second = (run(problem, with_need(replace(problem), 3)) for _ in range(2))
    assert first.tree == second.tree
    assert first.proved == second.proved


@pytest.mark.parametrize("seed", range(20))
def test_choices_are_those_of_trying_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    options, number = [], 0
    for _ in range(5):
        many = int(random.integers(0, 4))
        options.append(list(range(number, number + many)))
        number += many
    conflicts = [
        frozenset(random.choice(number, 2, replace=False).tolist()) for _ in range(int(random.integers(1, 12)))
    ]
    for need in range(1, 6):
        possible = [
            tuple(sorted(choice))
            for some in combinations(options, need)
            for choice in product(*some)
            if not any(conflict <= set(choice) for conflict in conflicts)
        ]
        found = choose(options, conflicts, need)
        assert found.complete
        assert (found.choice is None) == (not possible)
        assert found.choice is None or found.choice in possible
        listed, complete = several(options, conflicts, need, 1000, 100_000)
        assert complete
        assert set(listed) == set(possible)


def test_a_search_that_is_too_large_says_so() -> None:
    pairs = [frozenset((2 * a, 2 * b)) for a, b in combinations(range(12), 2)]
    found = choose([[2 * n] for n in range(12)], pairs, 2, nodes=3)
    assert found.choice is None
    assert not found.complete


@pytest.mark.parametrize(
    "item",
    [
        ["c", []],
        ["c", [[[], [["p", [[0, 0, 0, "1", [], []]]]]]]],
        ["c", [[[[0, 0]], []]]],
        ["c", [[[[0, 0]], [["p", []]]]]],
        ["c", [[[[0, 0]], [["n", 0, 0, 0], ["p", [[0, 0, 0, "1", [], []]]]]]]],
        ["c", [[[[0, 0]], [["p", [[0, 0, 0, "0", [], []]]]]]]],
        ["c", [[[[0, 0]], [["p", [[0, 0, 0, "-1", [], []]]]]]]],
        ["c", [[[[0, 0]], [["p", [[0, 0, 0, "1", ["0g"], []]]]]]]],
        ["c", [[[[0, 0]], [["p", [[0, 0, 0, "1", [], [[0, 0, "0"]]]]]]]]],
        ["c", [[[[0, -1]], [["p", [[0, 0, 0, "1", [], []]]]]]]],
        ["c", [[[[0, 0]], [["p", [[0, 0, 0, "1", [], []]]], ["p", [[0, 0, 0, "1", [], []]]]]]]],
    ],
)
def test_what_the_codec_does_not_write_is_refused(item: list[object]) -> None:
    with pytest.raises(CertificateError, match="VF5005"):
        decode_tree([[[], item]], "here")
