"""What properties mean: targets, limits, selections and places, resolved."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.spec.sample import check, codes, per_input, rate, statement, warnings
from verifluxa.spec.spec import PerInput, RateBound, Selection


def test_untargeted_rate() -> None:
    found = statement(
        "property p { forall t in patch assert rate(y in eval : class(digits(t(y))) != label(y)) <= 1/3 }"
    )
    assert isinstance(found, RateBound)
    assert (found.targets, found.limit, found.selection) == ((), Fraction(1, 3), Selection("eval"))


def test_sides_may_be_exchanged() -> None:
    fragment = "property p { forall t in patch assert 5 % >= rate(x in eval : label(x) != class(digits(t(x)))) }"
    assert statement(fragment) == statement(
        "property p { forall t in patch assert rate(x in eval : class(digits(t(x))) != label(x)) <= 5 % }"
    )


def test_listed_targets_are_sorted_and_named() -> None:
    named = 'model digits : digit -> class("a", "b", "c") { encode = level }\n'
    text = rate().replace("classes(digits)", '{"c", 0, "c"}')
    found = statement(named + text)
    assert isinstance(found, RateBound)
    assert found.targets == (0, 2)


def test_one_fixed_target() -> None:
    fragment = (
        "property p { forall t in patch assert rate(x in eval where label(x) != 7 : class(digits(t(x))) == 7) <= 5 % }"
    )
    found = statement(fragment)
    assert isinstance(found, RateBound)
    assert found.targets == (7,)
    assert found.selection.labels == (0, 1, 2, 3, 4, 5, 6, 8, 9)
    assert warnings(fragment) == []


def test_leaving_the_one_selected_class_is_untargeted() -> None:
    fragment = (
        "property p { forall t in patch assert rate(x in eval where label(x) == 7 : class(digits(t(x))) != 7) <= 5 % }"
    )
    found = statement(fragment)
    assert isinstance(found, RateBound)
    assert (found.targets, found.selection.labels) == ((), (7,))


@pytest.mark.parametrize(
    ("where", "selection"),
    [
        ("label(x) != target and correct(digits, x)", Selection("eval", "digits", None, True)),
        ("label(x) in {5, 3} and label(x) != target", Selection("eval", None, (3, 5), True)),
        ("label(x) in {1, 2, 3} and label(x) != 2 and label(x) != target", Selection("eval", None, (1, 3), True)),
        ("3 == label(x) and label(x) != target", Selection("eval", None, (3,), True)),
    ],
)
def test_where(where: str, selection: Selection) -> None:
    assert statement(rate(where=where)).selection == selection


def test_selections_build_on_each_other() -> None:
    fragment = """property p {
      let right = eval where correct(digits, x)
      let low = right where label(x) in {0, 1, 2}
      forall x in (low where label(x) != 1), t in patch
      assert class(digits(t(x))) == label(x)
    }"""
    assert statement(fragment).selection == Selection("eval", "digits", (0, 2), False)


def test_correct_may_ask_another_model() -> None:
    other = "model old : digit -> class(10) { encode = level / 255 }\n"
    assert statement(other + rate(where="correct(old, x) and label(x) != target")).selection.correct == "old"
    both = other + rate(where="correct(old, x) and correct(digits, x) and label(x) != target")
    assert codes(both) == ["VF1014"]


@pytest.mark.parametrize(
    ("condition", "expected", "targets"),
    [
        ("class(digits(t(x))) == label(x)", None, ()),
        ("label(x) == class(digits(t(x)))", None, ()),
        ("class(digits(t(x))) == 3", 3, ()),
        ("class(digits(t(x))) != 3", None, (3,)),
    ],
)
def test_per_input(condition: str, expected: int | None, targets: tuple[int, ...]) -> None:
    found = statement(per_input(condition, "label(x) == 5"))
    assert isinstance(found, PerInput)
    assert (found.expected, found.targets, found.selection) == (expected, targets, Selection("eval", None, (5,)))


def test_per_input_with_targets_of_a_list() -> None:
    fragment = (
        "property p { forall x in (eval where label(x) == 5), t in patch, c in {3, 7} assert class(digits(t(x))) != c }"
    )
    found = statement(fragment)
    assert isinstance(found, PerInput)
    assert found.targets == (3, 7)


def test_per_input_with_a_class_name() -> None:
    named = 'model digits : digit -> class("negative", "positive") { encode = level }\n'
    found = statement(named + per_input('class(digits(t(x))) == "negative"', 'label(x) == "negative"'))
    assert isinstance(found, PerInput)
    assert (found.expected, found.selection.labels) == (0, (0,))


def test_places_can_be_narrowed_in_a_property() -> None:
    found = statement(per_input("class(digits(t(x))) == label(x)", trigger="patch at corners"))
    assert found.trigger.places == ((0, 0), (0, 25), (25, 0), (25, 25))
    spec = check(per_input("class(digits(t(x))) == label(x)", trigger="patch at (1, 2), (0, 5)")).spec
    assert spec.properties[0].statement.trigger.places == ((0, 5), (1, 2))
    assert len(spec.triggers[0].places) == 676


def test_at_any_keeps_the_triggers_own_places() -> None:
    own = "trigger patch : digit { replace 3 px x 3 px at (4, 5) with 0..255 level }\n"
    assert statement(own + per_input("class(digits(t(x))) == label(x)", trigger="patch at any")).trigger.places == (
        (4, 5),
    )


def test_docs_are_kept() -> None:
    doc = '"""One.\n\n    Two.\n  """\n'
    fragment = per_input("class(digits(t(x))) == label(x)").replace("{ ", "{ " + doc, 1)
    assert check(fragment).spec.properties[0].doc == "One.\n\nTwo."


def test_targets_that_have_no_inputs_are_left_out() -> None:
    fragment = rate(where="label(x) == 7 and label(x) != target")
    found = statement(fragment)
    assert isinstance(found, RateBound)
    assert found.targets == (0, 1, 2, 3, 4, 5, 6, 8, 9)
    assert warnings(fragment) == ["VF1104"]
