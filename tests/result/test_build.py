"""From outcomes to the result of a property."""

from fractions import Fraction

import numpy as np
import pytest
from result_fakes import per_input_outcomes

from verifluxa.evidence import NOTHING_FOUND, Outcome, Strongest, Witness
from verifluxa.question import Question
from verifluxa.result.build import PropertyQuery, Spent, deciding_margin, property_result, unasked_result, words_of
from verifluxa.result.result import Counts, PropertyResult, Share
from verifluxa.verdict import Reason, Verdict

ASKED = PropertyQuery("no_trigger", "No patch does it.", None, "sha256:" + "1" * 64, Fraction(1, 2))


def result_of(problem, outcomes) -> PropertyResult:
    return property_result(ASKED, problem, outcomes, Spent(1.5, 4.0))


def test_a_falsified_property_tells_the_trigger_by_its_place_in_the_picture(problem, falsified):
    result = result_of(problem, falsified)
    found = result.counterexample
    assert result.verdict is Verdict.FALSIFIED
    assert result.reason is None
    assert found is not None
    assert found.placement == (("row", 2), ("column", 0))
    assert found.target == 1
    assert found.trigger == [[1, 2, 3], [40, 50, 60.5]]
    assert found.inputs == (4, 9)
    assert str(found.rate) == "2/3"
    assert found.margin == 0.25
    assert found.holds_in == "every order"
    assert (str(result.found), str(result.proved)) == ("2/3", "3/3")


def test_a_margin_within_the_error_radius_holds_in_this_replay_only(problem, falsified):
    falsified[1] = Outcome(
        falsified[1].question,
        Verdict.FALSIFIED,
        None,
        Strongest(1),
        3,
        Witness(np.zeros(6), (0, 2), (0.75, 1e-9), 1),
        "attack",
    )
    found = result_of(problem, falsified).counterexample
    assert found is not None
    assert found.holds_in == "this replay"


def test_an_open_property_tells_why_and_where(problem, open_outcomes):
    result = result_of(problem, open_outcomes)
    assert result.verdict is Verdict.UNKNOWN
    assert result.reason is Reason.TIME
    assert result.unknown == (("row 2, column 0, target 1", Reason.TIME),)
    assert result.counterexample is None
    assert result.counts == Counts(2, 1, 0, 1, 0)
    assert [str(place.proved) for place in result.places] == ["1/3", "3/3"]


def test_skipped_questions_count_as_unknown_but_are_not_listed(problem, falsified):
    falsified[0] = Outcome(falsified[0].question, Verdict.UNKNOWN, Reason.DECIDED, NOTHING_FOUND, 3)
    result = result_of(problem, falsified)
    assert result.counts == Counts(2, 0, 1, 1, 1)
    assert result.unknown == ()


def test_an_interruption_explains_all_that_is_open(problem, open_outcomes):
    more = Outcome(open_outcomes[0].question, Verdict.UNKNOWN, Reason.INTERRUPTED, NOTHING_FOUND, 3)
    assert result_of(problem, [more, open_outcomes[1]]).reason is Reason.INTERRUPTED


def test_stages_share_the_time_of_a_placement(problem, open_outcomes):
    early = Outcome(Question(1, 0, 0, 2), Verdict.CERTIFIED, None, NOTHING_FOUND, 1, stage="crown", seconds=0.75)
    assert result_of(problem, [*open_outcomes, early]).stages == {"attack": 1.5, "crown": 1.25, "branch": 1.25}


@pytest.mark.parametrize(("need", "margin"), [(1, 0.9), (2, 0.5), (3, 0.1), (4, 0.1)])
def test_the_deciding_margin_is_the_need_th_largest(need, margin):
    assert deciding_margin((0.5, 0.9, 0.1), need) == margin


def test_a_per_input_property_tells_the_verdict_of_each_input(per_input_problem):
    result = result_of(per_input_problem, per_input_outcomes(per_input_problem))
    assert result.verdict is Verdict.FALSIFIED
    assert result.per_input == ((4, Verdict.CERTIFIED), (7, Verdict.FALSIFIED), (9, Verdict.UNKNOWN))
    assert result.found is None
    assert result.counterexample is not None
    assert result.counterexample.rate is None
    assert result.counterexample.inputs == (7,)
    assert [(str(p.found), str(p.proved)) for p in result.places] == [("0/3", "1/3"), ("1/3", "1/3")]
    assert result.unknown == (("input 9, row 0, column 1, target 1", Reason.NODES),)


def test_the_bound_compares_rates_not_counts(problem):
    outcomes = [
        Outcome(Question(0, 0, 0, 2), Verdict.CERTIFIED, None, NOTHING_FOUND, 1, stage="crown"),
        Outcome(Question(1, 0, 0, 2), Verdict.CERTIFIED, None, Strongest(1), 1, stage="crown"),
    ]
    result = result_of(problem, outcomes)
    assert (result.found, result.proved) == (Share(1, 3), Share(1, 3))


def test_what_cannot_be_asked_is_one_unknown_question():
    result = unasked_result(ASKED, Reason.UNSUPPORTED, "there is no relaxation of `gelu`")
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, Reason.UNSUPPORTED)
    assert result.counts == Counts(1, 0, 0, 1, 0)
    assert result.message == "there is no relaxation of `gelu`"


def test_words_of_a_question(problem, per_input_problem):
    assert words_of(problem, Question(1, 0, 0, 2)) == "row 2, column 0, target 1"
    assert words_of(per_input_problem, Question(1, 0, 2, 1)) == "input 9, row 2, column 0, target 1"
