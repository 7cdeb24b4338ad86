"""How errors are shown: carets below the place, whatever the line holds."""

from __future__ import annotations

from verifluxa.errors import ManyErrors, Span, SpecError
from verifluxa.spec.problems import SpecWarning, render, visible


def error(line: int, column: int, end: int, end_line: int | None = None) -> SpecError:
    place = Span("a.vfx", line, column, end_line or line, end)
    return SpecError("VF1004", "wrong", place=place, expected="right", remedy="mend")


def carets(found: str) -> tuple[str, str]:
    """The shown line and the part of it above the carets."""
    lines = found.splitlines()
    number = next(index for index, line in enumerate(lines) if line.strip().startswith("| ") and "^" in line)
    marks = lines[number]
    return lines[number - 1], lines[number - 1][marks.index("^") : marks.rindex("^") + 1]


def test_the_whole_form() -> None:
    assert render(error(2, 3, 6), "one\n  two three\n") == (
        "error[VF1004]: wrong\n --> a.vfx:2:3\n  |\n2 |   two three\n  |   ^^^\n  = expected: right\n  = help: mend"
    )


def test_line_numbers_of_several_digits_move_the_margin() -> None:
    lines = render(error(100, 1, 2), "x\n" * 100).splitlines()
    assert lines[1:5] == ["   --> a.vfx:100:1", "    |", "100 | x", "    | ^"]


def test_tabs_and_hidden_characters_are_shown_and_counted() -> None:
    assert carets(render(error(1, 3, 5), "\t\tab cd"))[1] == "ab"
    assert carets(render(error(1, 2, 3), "a\u202eb"))[1] == "<U+202E>"
    assert carets(render(error(1, 3, 4), "a\u202eb"))[1] == "b"
    assert visible("\x1b[31m") == "<U+001B>[31m"


def test_wide_characters_take_two_columns() -> None:
    lines = render(error(1, 3, 4), "\u6570\u5b57x").splitlines()
    assert lines[-3] == "  |     ^"
    assert render(error(1, 1, 3), "\u6570\u5b57x").splitlines()[-3] == "  | ^^^^"


def test_a_long_line_is_cut_around_the_place() -> None:
    line, marked = carets(render(error(1, 501, 505), "a" * 500 + "here" + "b" * 500))
    assert marked == "here"
    assert len(line) < 120
    assert line.endswith("...")
    _, marked = carets(render(error(1, 2, 900), "x" * 1000))
    assert marked == "x" * 100


def test_a_place_of_several_lines_is_marked_on_the_first() -> None:
    assert carets(render(error(1, 3, 2, end_line=3), "a {\n b\n}"))[1] == "{"


def test_a_place_behind_the_text_and_a_file_that_changed() -> None:
    assert render(error(1, 9, 10), "ab").splitlines()[3:5] == ["1 | ab", "  | ^"[:-1] + " " * 2 + "^"]
    assert render(error(7, 1, 2), "ab").splitlines() == [
        "error[VF1004]: wrong",
        " --> a.vfx:7:1",
        "  = expected: right",
        "  = help: mend",
    ]


def test_places_in_words_and_no_place() -> None:
    assert render(SpecError("VF1036", "wrong", place="--set a"), "") == "error[VF1036]: wrong\n--> --set a"
    assert render(SpecError("VF1036", "wrong", remedy="mend"), "") == "error[VF1036]: wrong\n = help: mend"


def test_several_errors_and_warnings() -> None:
    both = ManyErrors([error(1, 1, 2), error(2, 1, 2)])
    assert render(both, "a\nb") == render(error(1, 1, 2), "a\nb") + "\n\n" + render(error(2, 1, 2), "a\nb")
    warning = SpecWarning("VF1101", "odd", Span("a.vfx", 1, 1, 1, 2), None, "mend")
    assert render(warning, "a").splitlines()[0] == "warning[VF1101]: odd"
    assert str(warning) == "a.vfx:1:1: warning[VF1101]: odd\n  help: mend"
