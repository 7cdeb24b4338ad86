"""Text to syntax tree: the whole language, places, several errors at once, limits."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.spec.sample import FILE, complete
from verifluxa.errors import ManyErrors, Span, SpecError
from verifluxa.spec import syntax, terms
from verifluxa.spec.parse import MAX_DEPTH, MAX_ERRORS, MAX_TOKENS, parse
from verifluxa.spec.triggers.table import SYNTAX
from verifluxa.spec.triggers.words import From

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.vfx"))


def place(line: int, column: int, end: int) -> Span:
    return Span(FILE, line, column, line, end)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_whole_language_parses(path: Path) -> None:
    file = parse(path.read_text(encoding="utf-8"), path.name)
    assert file.version is not None
    assert any(isinstance(item, syntax.PropertySyntax) for item in file.items)


def test_every_kind_of_node_occurs_in_the_examples_or_here() -> None:
    more = """
    trigger t : d { replace 1 px x 1 px at rows 0..4 step 2, columns 3 blend 20 % with "p.png" }
    trigger v : d { insert 1 token at positions 0, 3..5 from "a", "b" }
    trigger w : d { set any 1 of a, b keep a in 1..2 keep b in {"x"} }
    trigger u : d { append 2 tokens at corners at (1, 2), (3, 4) with -1..1 level continuous }
    data j : d { labels start at 1 mean = [1, -2] half = -(1 + 2) * 3 / 4 - level }
    property p {
      search exists t in u at (0, 0), (1, 1), target in {1, "a"} : not a(x) or b(x) in {1}
      assert max rate of new <= max rate of old, 1 % for {3} over t in u
      assert m(t(x))[0] <= 1
      forall x in around e within 2 level
    }
    trigger v : d { replace pixels (0, 0) at (0, 0) and (1, 1) mask "m.png" unclipped }
    trigger w : d { add image with sine(rows 4 px shift 1 px), "p.png" times -2..2 level }
    trigger y : d { add 1 px x 2 px }
    trigger z : d { one of v, w }
    trigger k : d { probe cross }
    trigger s : d { replace words by synonyms "s.txt" }
    include wave for d
    """
    texts = [path.read_text(encoding="utf-8") for path in EXAMPLES] + [more]
    found = {type(node) for text in texts for node, _ in syntax.walk(parse(text, FILE))}
    parts = [vars(module).values() for module in (syntax, terms, *SYNTAX)]
    kinds = {kind for values in parts for kind in values if isinstance(kind, type) and issubclass(kind, terms.Node)}
    assert kinds - found == {terms.Node, terms.Rule, syntax.Clause, From}


def test_nodes_know_their_places() -> None:
    file = parse("spec 1\ndata eval : digit {\n  take = -1_000 level\n}", FILE)
    (item,) = file.items
    assert isinstance(item, syntax.DataSyntax)
    assert item.name.span == place(2, 6, 10)
    assert item.span == Span(FILE, 2, 1, 4, 2)
    (entry,) = item.block.entries if item.block else ()
    assert isinstance(entry, syntax.Setting)
    assert entry.key.span == place(3, 3, 7)
    assert isinstance(entry.value, terms.Minus)
    assert entry.value.span == place(3, 10, 22)
    assert entry.value.operand == terms.Number(
        "1_000", Fraction(1000), terms.Unit("level", span=item.span), span=item.span
    )


def test_signs_and_units_belong_to_a_number() -> None:
    (item,) = parse("trigger t : d { with -3..5 level }", FILE).items
    assert isinstance(item, syntax.TriggerSyntax)
    (clause,) = item.clauses
    assert isinstance(clause, syntax.WithLevels)
    assert clause.levels.low.value == -3
    assert clause.levels.low.span == place(1, 22, 24)
    assert clause.levels.high.span == place(1, 26, 33)


def test_a_unit_is_not_taken_for_the_next_setting() -> None:
    (item,) = parse(
        'data e : d { take = 100 layout = whcn size = 3 px # note\n file = "a" half=2\nlabels start at 1 }', FILE
    ).items
    assert isinstance(item, syntax.DataSyntax)
    keys = [entry.key.text for entry in item.block.entries if isinstance(entry, syntax.Setting)] if item.block else []
    assert keys == ["take", "layout", "size", "file", "half"]


def test_keywords_can_be_names() -> None:
    text = (
        "input input : image(1 px, 1 px, 1 ch)\ndata data : input\ntrigger at : any { set any 2 of at, set, x at any }"
    )
    names = [item.name.text for item in parse(text, FILE).items]
    assert names == ["input", "data", "at"]


def test_keywords_are_whole_words() -> None:
    for wrong in ("spec1", "spec 1 datae : d", "trigger t : d { atany }", "trigger t : d { replace 3 px xx 3 px }"):
        with pytest.raises(SpecError):
            parse(wrong, FILE)


def test_precedence() -> None:
    text = "property p { assert not a(x) == 1 or b(x) - 2 - 3 * -y / 4 < 5 and c(x) in 0..1 + 2 }"
    (item,) = parse(text, FILE).items
    assert isinstance(item, syntax.PropertySyntax)
    (assertion,) = item.statements
    assert isinstance(assertion, syntax.Assertion)
    match assertion.condition:
        case terms.Either(
            parts=(
                terms.Not(operand=terms.Comparison(operator="==")),
                terms.Both(
                    parts=(
                        terms.Comparison(
                            operator="<",
                            left=terms.Arithmetic(
                                operator="-",
                                left=terms.Arithmetic(operator="-"),
                                right=terms.Arithmetic(operator="/", left=terms.Arithmetic(operator="*")),
                            ),
                        ),
                        terms.InRange(high=terms.Arithmetic(operator="+")),
                    )
                ),
            )
        ):
            pass
        case other:
            pytest.fail(str(other))


def test_places_of_a_binder_and_the_next_binder() -> None:
    (item,) = parse("property p { forall t in q at (1, 2), (3, 4), c in {1}, x in e where a(x) in {1, 2} }", FILE).items
    assert isinstance(item, syntax.PropertySyntax)
    (forall,) = item.statements
    assert isinstance(forall, syntax.Forall)
    first, second, third = forall.binders
    assert isinstance(first.source, terms.TriggerAt)
    assert isinstance(first.source.places, terms.Points)
    assert [(point.row.value, point.column.value) for point in first.source.places.points] == [(1, 2), (3, 4)]
    assert first.span == place(1, 21, 45)
    assert isinstance(second.source, terms.Members)
    assert isinstance(third.source, terms.Selection)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing() -> None:
    text = complete("# a comment\n")
    assert parse("\ufeff" + text.replace("\n", "\r\n"), FILE) == parse(text, FILE)


def test_an_error_in_each_block_is_found() -> None:
    blocks = ["input d image", "model m : d => class(2)", 'data e : d { file "a" }', "param p : fraction ="]
    text = "\n".join(["spec 1", *blocks, "property q { }", "property r { asert }"])
    with pytest.raises(ManyErrors) as raised:
        parse(text, FILE)
    lines = [error.place.line for error in raised.value.errors if isinstance(error.place, Span)]
    assert lines == [2, 3, 4, 6, 7]
    assert raised.value.code == "VF1004"


def test_there_is_a_limit_to_the_errors_that_are_shown() -> None:
    with pytest.raises(ManyErrors) as raised:
        parse("data e d\n" * 100 + "data e : d\n" * 3 + "data f d : \n" * 10, FILE)
    assert len(raised.value.errors) <= MAX_ERRORS


def test_errors_inside_tokens_are_found_together() -> None:
    with pytest.raises(ManyErrors) as raised:
        parse('data e : d { a = 1__0 b = "\\q" c = 1e99 }', FILE)
    assert [error.code for error in raised.value.errors] == ["VF1012", "VF1013", "VF1012"]


def test_an_unclosed_block_does_not_hide_the_next_error() -> None:
    with pytest.raises(ManyErrors) as raised:
        parse("trigger t : d {\n at any\nproperty p { assert }\n", FILE)
    assert [(error.code, str(error.place)) for error in raised.value.errors] == [
        ("VF1008", f"{FILE}:1:15"),
        ("VF1004", f"{FILE}:3:21"),
    ]


@pytest.mark.parametrize(
    "deep",
    [
        "not " * 200 + "x",
        "-" * 200 + "1",
        "1" + " + 1" * 200,
        "(1 + " * 200 + "1" + ")" * 200,
        "f(" * 200 + "x" + ")" * 200,
        "[" * 200 + "1" + "]" * 200,
    ],
    ids=["not", "minus", "sum", "brackets", "calls", "lists"],
)
def test_depth_is_limited(deep: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse(f"property p {{ assert {deep} }}", FILE)
    assert raised.value.code == "VF1009"


def test_what_people_write_is_far_from_the_depth_limit() -> None:
    deepest = max(depth for path in EXAMPLES for _, depth in syntax.walk(parse(path.read_text(encoding="utf-8"), FILE)))
    assert deepest * 5 < MAX_DEPTH


def test_size_is_limited() -> None:
    for text in ("# " + "x" * 1_000_001, "a " * (MAX_TOKENS + 1)):
        with pytest.raises(SpecError) as raised:
            parse(text, FILE)
        assert raised.value.code == "VF1002"


def test_long_white_space_and_comments_are_fine() -> None:
    text = "data e : d {" + "# word\n" * 5000 + " file" + " " * 100_000 + '= "a" }'
    assert len(parse(text, FILE).items) == 1
