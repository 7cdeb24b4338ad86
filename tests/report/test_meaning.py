"""What a verdict means: the sentence follows from the numbers, whatever they are."""

import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from page_tools import Reader, changed
from result_fakes import certified_outcomes, falsified_outcomes, image_problem, per_input_outcomes, result_of

from verifluxa.report.meaning import effect_of, meaning
from verifluxa.report.page.page import page
from verifluxa.report.story import account
from verifluxa.report.words import percent
from verifluxa.result.result import Compared, Share
from verifluxa.verdict import Reason, Verdict

TOTALS = (1, 2, 3, 7, 10, 83, 2000)
LIMITS = (Fraction(0), Fraction(1, 100), Fraction(1, 3), Fraction(1, 2), Fraction(19, 20))


def shares():
    for total in TOTALS:
        step = max(1, total // 97)
        yield from (Share(count, total) for count in sorted({*range(0, total + 1, step), 1, total - 1, total}))


def property_of(verdict, found, proved, limit=None, target=1, condition=None, kind="assert"):
    item = result_of(image_problem(), falsified_outcomes()).properties[0]
    shown = replace(item.counterexample, rate=found, target=target) if found.count else None
    return replace(
        item,
        verdict=verdict,
        reason=Reason.TIME if verdict is Verdict.UNKNOWN else None,
        kind=kind,
        found=found,
        proved=proved,
        limit=limit,
        condition=condition,
        counterexample=shown if verdict is Verdict.FALSIFIED else None,
        strongest=shown if kind == "measure" else None,
    )


@pytest.mark.parametrize("target", [None, "class 7"])
@pytest.mark.parametrize("condition", [None, "y > 0"])
def test_the_effect_says_no_more_than_the_rate(target, condition):
    for share in shares():
        words = effect_of(share, target, condition)
        assert ("decides" in words) == (share.count == share.total and target is not None and condition is None)
        assert ("every counted input" in words) == (share.count == share.total)
        assert ("in most cases, though not in all" in words) == (Fraction(1, 2) < share.rate < 1)
        assert ("a part of" in words) == (Fraction(1, 10) <= share.rate <= Fraction(1, 2))
        assert ("few inputs" in words) == (0 < share.rate < Fraction(1, 10))
        assert words.startswith("No trigger") == (share.count == 0)
        assert (target is not None and condition is None and share.count > 0) == ("class 7" in words)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("target", [None, 1])
def test_a_refuted_rate_is_told_with_its_limit(limit, target):
    for found in (share for share in shares() if share.rate > limit):
        words = meaning(property_of(Verdict.FALSIFIED, found, found, limit, target))
        assert ("The property allows none." in words) == (limit == 0)
        assert (f"The property allows {float(100 * limit):g} % at most." in words) == (limit > 0)
        assert words.endswith("the model does not tell.")


def test_a_weak_trigger_does_not_decide_what_the_model_says():
    words = meaning(property_of(Verdict.FALSIFIED, Share(2, 83), Share(83, 83), Fraction(1, 50)))
    assert words.startswith("The trigger works on few inputs: 2 of 83 go to class one, the others do not.")
    assert "The property allows 2 % at most." in words


def test_a_class_with_a_limit_of_its_own_is_told_that_limit():
    item = property_of(Verdict.FALSIFIED, Share(2, 83), Share(83, 83), Fraction(1, 2))
    assert "The property allows 1 % at most." in meaning(replace(item, limits=((1, Fraction(1, 100)),)))


@pytest.mark.parametrize("proved", list(shares()))
def test_a_proof_says_what_it_leaves_open(proved):
    words = meaning(property_of(Verdict.CERTIFIED, Share(0, proved.total), proved, proved.rate))
    assert ("is not ruled out" in words) == (proved.count > 0)
    assert ("every input is not ruled out" in words) == (proved.count == proved.total)
    exactly = meaning(property_of(Verdict.CERTIFIED, proved, proved, proved.rate))
    assert "not ruled out" not in exactly


def test_open_questions_do_not_calm_when_a_strong_trigger_is_known():
    words = meaning(property_of(Verdict.UNKNOWN, Share(80, 83), Share(83, 83), kind="measure"))
    assert "in most cases" in words
    assert "every input is not ruled out" in words
    assert words.endswith("Unknown never counts as success.")
    assert "alarm" not in words


def test_a_comparison_says_which_model_is_safer():
    other = Compared("old", Share(1, 83), Share(2, 83))
    item = replace(property_of(Verdict.FALSIFIED, Share(80, 83), Share(83, 83)), compared=other)
    assert meaning(item).startswith("Against triggers of this kind old is the safer model.")
    assert "is open" in meaning(replace(item, verdict=Verdict.UNKNOWN))
    assert "Both models may still be easy to mislead" in meaning(replace(item, verdict=Verdict.CERTIFIED))


def test_single_inputs_have_triggers_of_their_own():
    problem = image_problem(per_input=True)
    item = result_of(problem, per_input_outcomes(problem)).properties[0]
    assert "which need not work on any other" in meaning(item)


def test_a_certified_property_speaks_of_every_trigger():
    item = result_of(image_problem(), certified_outcomes()).properties[0]
    assert meaning(item).startswith("This speaks of every trigger of the stated family")


def test_the_page_of_a_weak_trigger(results, tmp_path):
    def weak(document):
        item = document["properties"][0]
        item["bound"]["found"] = item["counterexample"]["rate"] = "2/78"

    path = changed(results["fashion"], tmp_path / "result.json", weak)
    words = Reader(page(account(path))).text
    assert "2 of 78 go to class Sandal, the others do not." in words
    assert "decides what the model says" not in words


@pytest.mark.parametrize(
    ("share", "words"),
    [(Share(0, 9), "0.0 %"), (Share(1, 5000), "< 0.1 %"), (Share(4999, 5000), "> 99.9 %"), (Share(9, 9), "100.0 %")],
)
def test_no_rate_is_rounded_to_none_or_all(share, words):
    assert percent(share) == words
