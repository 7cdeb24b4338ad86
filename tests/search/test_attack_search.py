"""The attack finds what is planted, stays on the grid, and says the same again for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.search.small import counts, most, random_problem
from tests.soundness.build import Ask, Family, digested, levels, make_problem, mlp, replacing
from verifluxa.question import Domain, Problem
from verifluxa.search.attack import COLD, AttackSettings, count_violations, run_attack
from verifluxa.search.workspace import workspace_of

HARD = AttackSettings(inputs=0, starts=8, steps=24, coordinate_rounds=4)


def planted(size: int = 6, need: int = 8) -> Problem:
    """Only near the pattern 200, 0, 200, 0, ... does the target win: relu(total agreement - threshold)."""
    signs = np.where(np.arange(size) % 2 == 0, 1.0, -1.0)
    detector = np.concatenate([np.zeros(3), signs])
    first = np.stack([detector, np.eye(size + 3)[0] / 10])
    graph = mlp((1, 1, size + 3), (first, [-150.0 * size / 2, 0.0]), ([[1.0, 0.0], [0.0, 1.0]], [0.0, 20.0]))
    inputs = np.random.default_rng(0).integers(0, 200, (need, size + 3)).astype(float)
    positions = range(3, 3 + size)
    family = Family((replacing(positions),), levels(size, 0, 200))
    return make_problem(graph, inputs, [1] * need, family, Ask(targets=(0,), need=need))


def test_a_planted_trigger_is_found() -> None:
    problem = planted()
    (found,) = run_attack(workspace_of(problem), problem.questions(0), HARD)
    assert found.count == 8
    assert found.looked_at == 8
    assert counts(problem, found.question, found.trigger.numpy()[None], strict=True).tolist() == [8]


def test_what_violates_everywhere_ends_the_attack(clock: Clock) -> None:
    """Of many steps few are taken: more than all inputs there are not."""
    problem = planted()
    many = replace(HARD, steps=400, deadline=1e9, clock=clock.monotonic)
    (found,) = run_attack(workspace_of(problem), problem.questions(0), many)
    assert found.count == found.looked_at == 8
    assert clock.now < 50


def test_a_known_trigger_is_looked_at_on_all_inputs() -> None:
    problem = planted()
    pattern = np.tile([200.0, 0.0], 3)
    known = digested(replace(problem, domain=Domain(pattern, pattern, np.ones(6))))
    (found,) = run_attack(workspace_of(known), known.questions(0), AttackSettings(inputs=2, starts=8, steps=24))
    assert found.trigger.tolist() == pattern.tolist()
    assert (found.count, found.looked_at) == (8, 8)


@pytest.mark.parametrize("seed", range(6))
def test_no_more_is_found_than_there_is(seed: int) -> None:
    problem = random_problem(seed, Ask(targets=(0, 2)))
    for found in run_attack(workspace_of(problem), problem.questions(0), HARD):
        true = int(counts(problem, found.question, found.trigger.numpy()[None], strict=True)[0])
        assert found.count == true <= most(problem, found.question, strict=True)


def test_most_small_problems_are_solved_exactly() -> None:
    exact = 0
    for seed in range(10):
        problem = random_problem(seed)
        (found,) = run_attack(workspace_of(problem), problem.questions(0), HARD)
        exact += found.count == most(problem, found.question, strict=True)
    assert exact >= 8


def test_the_same_seed_gives_the_same_triggers() -> None:
    problem = random_problem(5, Ask(targets=(0, 1)))
    for settings in (HARD, AttackSettings(2, 3, 5, 0, 17)):
        first, second = (run_attack(workspace_of(problem), problem.questions(1), settings) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            assert (one.count, one.soft, one.looked_at) == (other.count, other.soft, other.looked_at)
            assert torch.equal(one.trigger, other.trigger)


def test_another_seed_looks_elsewhere() -> None:
    problem = random_problem(3, positions=(0, 1, 2, 3))
    short = AttackSettings(0, 3, 0)
    found = [
        run_attack(workspace_of(problem), problem.questions(0), replace(short, seed=s))[0].trigger for s in range(8)
    ]
    assert len({tuple(trigger.tolist()) for trigger in found}) > 1


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(0.0, 200.0, 1.0), (-7.0, 5.0, 1.0), (0.5, 3.5, 1.0), (3.0, 3.0, 1.0), (1.0, 9.5, 2.0)],
)
def test_triggers_are_on_the_grid(low: float, high: float, step: float) -> None:
    problem = replace(planted(), domain=levels(6, low, high, step))
    for steps in (0, 7):
        for found in run_attack(workspace_of(problem), problem.questions(0), AttackSettings(0, 5, steps, 2)):
            trigger = found.trigger.numpy()
            assert ((trigger >= low) & (trigger <= high)).all()
            assert ((trigger - low) / step % 1 == 0).all()


def test_continuous_triggers_of_a_float32_network_are_float32_numbers() -> None:
    """The network reads float32; a trigger that it cannot read is none, and rounding must not leave the box."""
    problem = digested(replace(planted(), domain=levels(6, 0.1, 0.7, 0.0), arithmetic="float32"))
    work = workspace_of(problem)
    (found,) = run_attack(work, problem.questions(0), AttackSettings(0, 4, 5, 2))
    random = torch.as_tensor(np.random.default_rng(0).uniform(0, 1, (200, 6)))
    for trigger in (found.trigger, work.on_grid(random)):
        assert torch.equal(trigger, trigger.float().double())
        assert ((trigger >= 0.1) & (trigger <= 0.7)).all()
    assert float(np.float32(0.7)) < 0.7
    assert float(work.on_grid(torch.ones(6).double())[0]) == float(np.float32(0.7))
    assert float(np.float32(0.3)) > 0.3
    lower = workspace_of(digested(replace(problem, domain=levels(6, 0.1, 0.3, 0.0))))
    assert 0.3 - 1e-7 < float(lower.on_grid(torch.ones(6).double())[0]) < 0.3
    real = workspace_of(digested(replace(problem, arithmetic="real")))
    assert (real.on_grid(torch.ones(6).double()) == 0.7).all(), "exact arithmetic reads any number"


def test_a_range_without_a_float32_number_keeps_its_points() -> None:
    point = 1 / 3
    problem = digested(replace(planted(), domain=levels(6, point, point, 0.0), arithmetic="float32"))
    assert (workspace_of(problem).on_grid(torch.zeros(6).double()) == point).all()


def test_mixed_coordinates() -> None:
    domain = Domain(np.array([0.0, 0.0, 1.0]), np.array([4.0, 1.0, 1.0]), np.array([2.0, 0.0, 1.0]))
    problem = digested(replace(planted(3), domain=domain, arithmetic="float32"))
    grid = workspace_of(problem).on_grid(torch.tensor([2.9, 0.3, 7.0], dtype=torch.float64))
    assert grid.tolist() == [2.0, float(np.float32(0.3)), 1.0]


def test_few_inputs_may_be_looked_at() -> None:
    problem = planted()
    (found,) = run_attack(workspace_of(problem), problem.questions(0), AttackSettings(3, 4, 12))
    assert found.looked_at == 3
    assert found.count <= 3


def test_a_good_start_is_not_lost() -> None:
    problem = planted()
    start = torch.tensor([[200.0, 0.0] * 3], dtype=torch.float64)
    (found,) = run_attack(workspace_of(problem), problem.questions(0), AttackSettings(0, 1, 0), start)
    assert found.count == 8
    assert found.trigger.tolist() == start[0].tolist()


def test_coordinates_climb_from_the_best_point() -> None:
    """Without gradient steps, coordinate search alone never makes it worse, and mostly better."""
    better = 0
    for seed in range(8):
        problem = random_problem(seed)
        plain, climbed = (
            run_attack(workspace_of(problem), problem.questions(0), AttackSettings(0, 1, 0, rounds))[0]
            for rounds in (0, 5)
        )
        assert (climbed.count, climbed.soft) >= (plain.count, plain.soft)
        better += climbed.count > plain.count
    assert better


def test_counting_is_by_input_not_by_alternative() -> None:
    """An untargeted violation has several alternatives; an input that meets two of them counts once."""
    graph = mlp((1, 1, 2), ([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], [0.0, 1.0, 0.0]))
    family = Family((replacing([0]),), levels(1, 0, 9))
    problem = make_problem(graph, [[0.0, 0.0]] * 3, [2, 2, 2], family, Ask())
    work = workspace_of(problem)
    triggers = torch.tensor([[0.0], [5.0], [9.0]], dtype=torch.float64)
    assert count_violations(work, work.net(0), work.claims(0, 0), triggers).tolist() == [3, 3, 3]
    two = work.claims(0, 0).take(torch.tensor([0, 1, 2]))
    assert count_violations(work, work.net(0), two, triggers).tolist() == [1, 2, 2]


def test_a_tie_is_no_violation() -> None:
    graph = mlp((1, 1, 1), ([[1.0], [0.0]], [0.0, 5.0]))
    family = Family((replacing([0]),), levels(1, 0, 5))
    problem = make_problem(graph, [[0.0]], [1], family, Ask())
    (found,) = run_attack(workspace_of(problem), problem.questions(0), HARD)
    assert found.count == 0
    assert found.trigger.tolist() == [5.0]


def test_questions_in_parts_are_all_answered() -> None:
    problem = random_problem(3, Ask(targets=(0, 1, 2)))
    found = run_attack(workspace_of(problem), problem.questions(0), HARD, at_once=1)
    assert [candidate.question for candidate in found] == problem.questions(0)


def out_of_reach() -> Problem:
    """Every coordinate helps, and all of them together do not do it."""
    graph = mlp((1, 1, 12), ([[0.01] * 12, [0.0] * 12], [0.0, 30.0]))
    family = Family((replacing(range(12)),), levels(12, 0, 200))
    return make_problem(graph, [[0.0] * 12] * 3, [1] * 3, family, Ask(targets=(0,)))


class Clock:
    """One second for each look at it: there is one in each step."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    "settings",
    [AttackSettings(0, 4, 4000, deadline=5), AttackSettings(0, 1, 0, 4000, deadline=5)],
    ids=["steps", "coordinates"],
)
def test_past_the_deadline_the_best_so_far_is_what_was_found(settings: AttackSettings, clock: Clock) -> None:
    problem = out_of_reach()
    settings = replace(settings, clock=clock.monotonic)
    unlimited = replace(settings, steps=min(settings.steps, 40), deadline=1e9)
    run_attack(workspace_of(problem), problem.questions(0), unlimited)
    assert clock.now > 10, "without a deadline it goes on"
    clock.now = 0.0
    (found,) = run_attack(workspace_of(problem), problem.questions(0), settings)
    assert 5 < clock.now <= 7, "one more step at most"
    assert found.soft > float(torch.sigmoid(torch.tensor(-18 / COLD, dtype=torch.float64))) * 3, (
        "better than the center"
    )


def test_past_the_deadline_no_further_questions_are_begun() -> None:
    problem = random_problem(3, Ask(targets=(0, 1, 2)))
    first, *_ = problem.questions(0)
    found = run_attack(workspace_of(problem), problem.questions(0), replace(HARD, deadline=-1.0), at_once=1)
    assert [candidate.question for candidate in found] == [first]
