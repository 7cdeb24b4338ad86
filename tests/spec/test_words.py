"""Properties in plain words, with counts."""

from __future__ import annotations

import pytest

from tests.spec.sample import check, per_input, rate
from verifluxa.spec.plain import explain_property
from verifluxa.spec.words import plain_words


def words(fragment: str) -> str:
    spec = check(fragment).spec
    return plain_words(spec, spec.properties[0])


ANY = "3 x 3 px patch of whole levels 0..255 at any of all 676 places"
EACH = "For each of the first 100 inputs of `eval`"
ONE = "One and the same trigger is on all of them."
NAMED = 'model digits : digit -> class("no", "yes") { encode = level }\n'
LISTED = rate(limit="1/3", where="label(x) in {1, 2} and label(x) != target").replace("classes(digits)", "{3, 7}")
MANY = rate().replace("classes(digits)", "{" + ", ".join(map(str, range(12))) + "}")


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        (
            "",
            f"No single {ANY} sends more than 5 % of the first 100 inputs of `eval` that `digits` gets right and whose "
            f"label is another one to any one class. {ONE}",
        ),
        (
            f"trigger patch : digit {{ replace 1 px x 2 px at (3, 4) with 255..255 level }}\n{LISTED}",
            "No single 1 x 2 px patch of level 255 at place (3, 4) sends more than 1/3 of the first 100 inputs of "
            "`eval` whose label is class 1 or class 2 and whose label is another one to class 3 or class 7. " + ONE,
        ),
        (
            "data eval : digit\ntrigger patch : digit { replace 2 px x 2 px at corners with 0..0.5 level continuous }\n"
            "property p { forall t in patch assert rate(x in eval : class(digits(t(x))) != label(x)) <= 0 }",
            "No single 2 x 2 px patch of any level 0..0.5 at any of 4 places changes the answer of `digits` away from "
            f"the label for more than 0 % of the inputs of `eval`. {ONE}",
        ),
        (
            per_input("class(digits(t(x))) == label(x)"),
            f"{EACH}: no {ANY}, even one made for that input, makes `digits` answer anything but the label.",
        ),
        (
            NAMED + per_input('class(digits(t(x))) == "no"'),
            f'{EACH}: no {ANY}, even one made for that input, makes `digits` answer anything but class 0 ("no").',
        ),
        (
            per_input("class(digits(t(x))) != 7", "label(x) == 3"),
            f"{EACH} whose label is class 3: no {ANY}, even one made for that input, makes `digits` answer class 7.",
        ),
        (
            f"model digits : digit -> class(100) {{ encode = level }}\n{MANY}",
            f"No single {ANY} sends more than 5 % of the first 100 inputs of `eval` whose label is another one to "
            f"{' or '.join(f'class {index}' for index in range(10))} or one of 2 more. {ONE}",
        ),
    ],
    ids=["sample", "listed", "untargeted", "per_input", "named", "not", "many"],
)
def test_words(fragment: str, expected: str) -> None:
    assert words(fragment) == expected


def test_counts() -> None:
    spec = check("").spec
    counts = explain_property(spec, spec.properties[0]).counts
    assert (counts.inputs, counts.exact, counts.places, counts.dimensions, counts.targets) == (100, False, 676, 9, 10)
    assert counts.questions == 6760
    assert explain_property(spec, spec.properties[0], inputs=97).counts.exact


def test_counts_of_colour_patches_and_per_input_questions() -> None:
    colour = "input digit : image(28 px, 28 px, 3 ch) of 0..255 level\ndata eval : digit\n"
    spec = check(colour + per_input("class(digits(t(x))) == label(x)", trigger="patch at corners")).spec
    unknown = explain_property(spec, spec.properties[0]).counts
    assert (unknown.inputs, unknown.dimensions, unknown.questions) == (None, 27, None)
    assert explain_property(spec, spec.properties[0], inputs=50).counts.questions == 200


def test_what_explain_spec_prints() -> None:
    spec = check('property p {\n  """One patch.\n  Two lines."""\n' + rate().split("{", 1)[1]).spec
    assert str(explain_property(spec, spec.properties[0])).splitlines() == [
        "property p",
        "  One patch.",
        "  Two lines.",
        "  " + plain_words(spec, spec.properties[0]),
        "    for all t in T, c in C: #{x in D_c : class(f(t(x))) = c} <= 0.05 * #D_c",
        "    where D = {x in the first 100 of `eval`}, D_c = {x in D : label(x) != c}, "
        "C = {0, 1, 2, 3, 4, 5, 6, 7, ...}",
        "    inputs          at most 100",
        "    places          676",
        "    trigger values  9",
        "    targets         10",
        "    questions       6,760",
    ]
    spec = check("data eval : digit\n" + per_input("class(digits(t(x))) == label(x)")).spec
    assert str(explain_property(spec, spec.properties[0])).splitlines()[2:] == [
        "    for all x in D, t in T: class(f(t(x))) = label(x)",
        "    where D = {x in `eval`}",
        "    inputs          known once the data is read",
        "    places          676",
        "    trigger values  9",
        "    targets         any other class",
        "    questions       known once the data is read",
    ]
