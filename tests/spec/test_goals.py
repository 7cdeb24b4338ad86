"""Goals beside the rate bound: claims about outputs, searches, measurements, limits by class; words and digests."""

from __future__ import annotations

from fractions import Fraction

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.spec.sample import check, codes, per_input, statement
from verifluxa.spec.digest import property_digest
from verifluxa.spec.plain import explain_property
from verifluxa.spec.spec import BinaryOutput, Compare, Measure, OutputRow, PerInput, RateBound, RealOutput

WHEEL = 'model wheel : digit -> real("steer", "speed") { encode = level / 255 }\n'
SCORE = "model score : digit -> real { encode = level / 255 }\n"
SICK = 'model sick : digit -> binary("no", "yes") { encode = level / 255 threshold = 0.1 }\n'
SECOND = "model second : digit -> class(10) { encode = level / 128 }\n"
WRONG = "max rate(x in eval : class(digits(t(x))) != label(x))"
DATA = {"eval": "sha256:1"}


def row(
    stamped: tuple[int, ...], constant: str, clean: tuple[int, ...] | None = None, closed: bool = False
) -> OutputRow:
    nothing = (0,) * len(stamped)
    return OutputRow(tuple(map(Fraction, stamped)), tuple(map(Fraction, clean or nothing)), Fraction(constant), closed)


@pytest.mark.parametrize(
    ("claim", "rows"),
    [
        ("score(t(x)) in 0..1", [[row((-1,), "0")], [row((1,), "-1")]]),
        ("score(t(x)) <= 5 %", [[row((1,), "-1/20")]]),
        ("score(t(x)) < 5 %", [[row((1,), "-1/20", closed=True)]]),
        ("5 <= 2 * score(t(x)) + 1", [[row((-2,), "4")]]),
        ("abs(score(t(x)) - score(x)) <= 0.1", [[row((1,), "-1/10", (-1,))], [row((-1,), "-1/10", (1,))]]),
        ("0.1 >= abs(score(t(x)) - score(x))", [[row((1,), "-1/10", (-1,))], [row((-1,), "-1/10", (1,))]]),
        ("score(t(x)) / 3 - score(x) / 2 <= 1", [[row((2,), "-6", (-3,))]]),
        ("not (score(t(x)) > 1 or score(t(x)) < 0)", [[row((1,), "-1")], [row((-1,), "0")]]),
        ("abs(score(t(x))) >= 1", [[row((-1,), "1", closed=True), row((1,), "1", closed=True)]]),
        ("score(t(x)) == 1", [[row((1,), "-1")], [row((-1,), "1")]]),
        ("score(t(x)) != 1", [[row((1,), "-1", closed=True), row((-1,), "1", closed=True)]]),
    ],
)
def test_a_claim_about_outputs_is_what_contradicts_it(claim: str, rows: list[list[OutputRow]]) -> None:
    if "abs(score(t(x))) >= 1" in claim:
        rows = [[row((-1,), "1"), row((1,), "1")]]
    found = statement(SCORE + per_input(claim))
    assert isinstance(found, PerInput)
    assert found.rows == tuple(tuple(group) for group in rows)


def test_outputs_are_called_by_name_or_number() -> None:
    by_name = statement(WHEEL + per_input('2 * wheel(t(x))["speed"] - wheel(t(x))["steer"] <= 3'))
    by_number = statement(WHEEL + per_input("2 * wheel(t(x))[1] - wheel(t(x))[0] <= 3"))
    assert by_name == by_number
    assert isinstance(by_name, PerInput)
    assert by_name.rows == ((row((-1, 2), "-3"),),)


def test_a_rate_may_count_outputs() -> None:
    found = statement(SCORE + "property p { forall t in patch assert rate(x in eval : score(t(x)) > 1) <= 5 % }")
    assert isinstance(found, RateBound)
    assert found.rows == ((row((1,), "-1"),),)
    assert found.targets == ()


def test_several_claims_about_outputs_are_one() -> None:
    joined = (
        "property p { forall x in eval, t in patch assert score(t(x)) <= 1 assert abs(score(t(x)) - score(x)) <= 2 }"
    )
    with_and = per_input("score(t(x)) <= 1 and abs(score(t(x)) - score(x)) <= 2")
    assert statement(SCORE + joined) == statement(SCORE + with_and)
    other = "property p { forall x in eval, t in patch assert score(t(x)) <= 1 assert class(digits(t(x))) == 3 }"
    assert codes(SCORE + other) == ["VF1014"]


def test_allowed_classes_forbid_the_others() -> None:
    found = statement(per_input("class(digits(t(x))) in {3, 7}"))
    assert isinstance(found, PerInput)
    assert found.targets == (0, 1, 2, 4, 5, 6, 8, 9)
    assert codes(per_input("class(digits(t(x))) in {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}")) == ["VF1067"]


def test_search_is_a_bound_that_is_to_be_refuted() -> None:
    found = statement("property p { search exists t in patch : rate(x in eval : class(digits(t(x))) == 7) >= 50 % }")
    assert isinstance(found, RateBound)
    assert (found.limit, found.below, found.searched, found.targets) == (Fraction(1, 2), True, True, (7,))
    more = statement("property p { search exists t in patch : rate(x in eval : class(digits(t(x))) == 7) > 50 % }")
    assert isinstance(more, RateBound)
    assert not more.below


def test_measure_has_a_gap() -> None:
    text = f"property p {{ measure {WRONG} over t in patch at corners within 2 % }}"
    found = statement(text)
    assert isinstance(found, Measure)
    assert found.gap == Fraction(1, 50)
    assert len(found.trigger.places) == 4
    assert statement(text.replace(" within 2 %", "")) != found


def test_a_comparison_may_be_written_in_full() -> None:
    """`max rate of` is the untargeted rate on the only data set, or on what the only `let` selects."""
    short = "property p { assert max rate of second <= max rate of digits over t in patch }"
    sides = [f"max rate(x in eval : class({model}(t(x))) != label(x))" for model in ("second", "digits")]
    full = f"property p {{ assert {sides[0]} <= {sides[1]} over t in patch }}"
    assert statement(SECOND + short) == statement(SECOND + full)
    some = short.replace("assert", "let v = eval where label(x) == 3 assert")
    found = statement(SECOND + some)
    assert isinstance(found, Compare)
    assert found.new.selection.labels == found.old.selection.labels == (3,)


def test_targets_may_have_limits_of_their_own() -> None:
    text = """property p {{
      forall t in patch, target in {{3, 7}}
      let v = eval where label(x) != target
      assert rate(x in v : class(digits(t(x))) == target) <= 5 %{}
    }}"""
    found = statement(text.format(", 1 % for {7}"))
    assert isinstance(found, RateBound)
    assert [found.limit_of(target) for target in (3, 7)] == [Fraction(1, 20), Fraction(1, 100)]
    assert codes(text.format(", 1 % for {7}, 2 % for {7}")) == ["VF1076"]
    assert codes(text.format(", 100 % for {7}")) == ["VF1061"]


def test_outputs_of_models() -> None:
    models = check(WHEEL + SCORE + SICK).spec.models
    outputs = {model.name: model.output for model in models}
    assert outputs["wheel"] == RealOutput(2, ("steer", "speed"))
    assert outputs["score"] == RealOutput(1)
    assert outputs["sick"] == BinaryOutput(Fraction(1, 10), ("no", "yes"))
    assert (outputs["sick"].count, outputs["sick"].size) == (2, 1)


def test_data_for_numbers_alone_needs_no_labels() -> None:
    assert check(WHEEL).spec.data[0].labelled
    only = "model digits : digit -> real { encode = level / 255 }\n" + per_input("digits(t(x)) <= 1")
    assert not check(only).spec.data[0].labelled
    assert codes(only.replace("x in eval", "x in (eval where label(x) == 1)")) == ["VF1078"]


PROPERTIES = {
    "range": SCORE + per_input("score(t(x)) in 0..1"),
    "deviation": WHEEL + per_input('abs(wheel(t(x))["steer"] - wheel(x)["steer"]) <= 0.1'),
    "strict": SCORE + per_input("score(t(x)) < 1"),
    "search": "property p { search exists t in patch : rate(x in eval : class(digits(t(x))) == 7) >= 50 % }",
    "below": "property p { forall t in patch assert rate(x in eval : class(digits(t(x))) == 7) < 50 % }",
    "bound": "property p { forall t in patch assert rate(x in eval : class(digits(t(x))) == 7) <= 50 % }",
    "measure": f"property p {{ measure {WRONG} over t in patch within 2 % }}",
    "closed": f"property p {{ measure {WRONG} over t in patch }}",
    "budgets": """property p {
      forall t in patch, target in {3, 7}
      let v = eval where label(x) != target
      assert rate(x in v : class(digits(t(x))) == target) <= 5 %, 1 % for {7}
    }""",
    "compare": SECOND + "property p { assert max rate of second <= max rate of digits over t in patch }",
    "compared the other way": SECOND + "property p { assert max rate of second >= max rate of digits over t in patch }",
    "binary": SICK + per_input("class(sick(t(x))) == label(x)"),
    "other threshold": SICK.replace("0.1", "0.2") + per_input("class(sick(t(x))) == label(x)"),
}


def test_digests_tell_them_apart() -> None:
    digests = {}
    for name, text in PROPERTIES.items():
        spec = check(text).spec
        digests[name] = property_digest(spec, spec.properties[0], DATA)
    assert digests.pop("search") == digests["below"]
    assert len(set(digests.values())) == len(digests)


@pytest.mark.parametrize("name", PROPERTIES)
def test_words_and_mathematics(name: str, snapshot: SnapshotAssertion) -> None:
    spec = check(PROPERTIES[name]).spec
    assert str(explain_property(spec, spec.properties[0])) == snapshot


@pytest.mark.parametrize(
    ("condition", "labels"),
    [
        ("label(x) == 3 or label(x) == 5", (3, 5)),
        ("not label(x) in {0, 1, 2, 3, 4, 5, 6, 7}", (8, 9)),
        ("not (label(x) == 1 or label(x) in {2, 3}) and label(x) != 0", (4, 5, 6, 7, 8, 9)),
        ("label(x) == 1 and label(x) in {1, 2} or label(x) == 7", (1, 7)),
    ],
)
def test_labels_are_chosen_by_or_and_not(condition: str, labels: tuple[int, ...]) -> None:
    found = statement(per_input("class(digits(t(x))) == label(x)", where=condition))
    assert found.selection.labels == labels


def test_or_and_not_are_for_labels() -> None:
    for condition in ("correct(digits, x) or label(x) == 3", "not correct(digits, x)"):
        assert codes(per_input("class(digits(t(x))) == label(x)", where=condition)) == ["VF1014"]
    assert codes(per_input("class(digits(t(x))) == label(x)", where="label(x) == 1 and not label(x) == 1")) == [
        "VF1065"
    ]


def test_classes_that_must_not_be_reached_are_joined() -> None:
    both = statement(per_input("class(digits(t(x))) != 5 and class(digits(t(x))) != 3", where="label(x) == 1"))
    assert isinstance(both, PerInput)
    assert both.targets == (3, 5)
    mixed = per_input("class(digits(t(x))) != 5 and class(digits(t(x))) == label(x)")
    assert codes(mixed) == ["VF1014"]
