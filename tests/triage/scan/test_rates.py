"""Both ends of the rates against every trigger of a small grid; the end of the time; the order of the attack."""

import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from tests.triage.scan.conftest import PIXEL, TARGET
from verifluxa.cli.init_spec import Look, best_way
from verifluxa.cli.scan_command import subject_of
from verifluxa.question import Problem
from verifluxa.search.replay import stamped_inputs
from verifluxa.triage.scan.rates import Where, found_ends, largest_proved, proved_ends, strongest
from verifluxa.triage.scan.subject import Loaded, load


def loaded(files, planted: bool, side: int = 1) -> Loaded:
    found = files(planted)
    folder = found.model.absolute().parent
    way = best_way(Look(found.model, found.data, None, None, None, folder))
    return load(subject_of(way, folder / "scan.vfx", ("model", "data"), side))


def reached(problem: Problem, placement: int, trigger: list[float], target: int) -> int:
    """Counted by running the network."""
    chosen = problem.selections[target]
    answers = problem.graph.run(stamped_inputs(problem, placement, np.array(trigger), chosen))
    return int((answers.argmax(1) == target).sum())


@pytest.mark.parametrize("planted", [False, True])
def test_both_ends_hold_for_every_level_of_a_pixel(files, planted) -> None:
    problem = loaded(files, planted).problem
    ends = found_ends(problem, proved_ends(problem, time.monotonic() + 60), Where(), time.monotonic() + 60)
    for one in ends:
        levels = product(np.linspace(0, 255, 18))
        most = max(reached(problem, one.question.placement, list(tau), one.question.violation) for tau in levels)
        assert one.proved is not None
        assert most <= one.proved.count
        assert one.found.count <= one.proved.count
        if one.tried:
            assert one.trigger is not None
            assert one.found.count <= reached(
                problem, one.question.placement, list(one.trigger), one.question.violation
            )
    top = strongest(ends)
    place = dict(problem.placements[top.question.placement].label)
    if planted:
        assert (place["row"], place["column"], top.question.violation) == (*PIXEL, TARGET)
        assert top.found.rate == 1
        assert largest_proved([one for one in ends if one.question.violation == TARGET]) == top.found
    else:
        assert top.found.count == 0


def test_nothing_is_proved_after_the_end_of_the_time(files) -> None:
    problem = loaded(files, planted=True).problem
    late = time.monotonic() - 1
    ends = found_ends(problem, proved_ends(problem, late), Where(), late)
    assert len(ends) == problem.size
    assert all(one.proved is None and not one.tried for one in ends)
    assert largest_proved(ends) is None


def test_without_bounds_the_attack_goes_where_the_mask_lies(files) -> None:
    problem = loaded(files, planted=True).problem
    at = next(n for n, place in enumerate(problem.placements) if dict(place.label) == {"row": 6, "column": 5})
    ends = proved_ends(problem, time.monotonic() - 1)
    found = found_ends(problem, ends, Where(0, {(at, TARGET): 0.9}), time.monotonic() + 60)
    tried = [one for one in found if one.tried and one.question.violation == TARGET]
    assert [one.question.placement for one in tried] == [at]
    assert tried[0].found.rate == 1
    assert tried[0].proved is None


def test_an_end_that_is_missing_leaves_the_class_open(files) -> None:
    problem = loaded(files, planted=False).problem
    ends = proved_ends(problem, time.monotonic() + 60)
    assert largest_proved(ends) is not None
    assert largest_proved([replace(ends[0], proved=None), *ends[1:]]) is None
