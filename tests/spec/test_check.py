"""Syntax to a resolved Spec: what each construct means, down to exact numbers and indices."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import pytest

from tests.spec.sample import FILE, check, codes, complete, errors, per_input, rate, statement, warnings
from verifluxa.errors import SpecError
from verifluxa.spec.check import load_spec, parse_spec
from verifluxa.spec.spec import ClassOutput, EncodeStep, ImageSpace, ModelDecl, RateBound, Selection
from verifluxa.spec.triggers.patch import PatchTrigger


def model(encode: str, space: str = "image(4 px, 4 px, 3 ch) of 0..255 level") -> ModelDecl:
    fragment = f"input digit : {space}\nmodel digits : digit -> class(10) {{ encode = {encode} }}"
    return check(fragment).spec.models[0]


def trigger(clauses: str) -> PatchTrigger:
    return check(f"trigger patch : digit {{ {clauses} }}").spec.triggers[0]


def test_a_model_or_a_folder_in_place_of_a_spec(tmp_path: Path) -> None:
    """A first mistake: the message leads to a spec, not to an encoding."""
    (tmp_path / "model.jld2").write_bytes(b"\x89HDF\r\n\x1a\n\0\0\xff")
    with pytest.raises(SpecError, match=r"no text, and so no spec(.|\n)*verifluxa init MODEL") as caught:
        load_spec(str(tmp_path / "model.jld2"))
    assert caught.value.code == "VF1003"
    (tmp_path / "notepad.vfx").write_bytes("spec 1".encode("utf-16"))
    with pytest.raises(SpecError, match="save the file as UTF-8"):
        load_spec(str(tmp_path / "notepad.vfx"))
    with pytest.raises(SpecError, match=r"give one of its specs: notepad\.vfx"):
        load_spec(str(tmp_path))
    (tmp_path / "notepad.vfx").unlink()
    with pytest.raises(SpecError, match="a text file, usually"):
        load_spec(str(tmp_path))


def test_the_sample() -> None:
    text = complete("")
    checked = parse_spec(text, FILE)
    spec = checked.spec
    assert checked.warnings == ()
    assert spec.path == FILE
    assert spec.sha256 == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert spec.spaces == (ImageSpace("digit", 28, 28, 1, 0, 255),)
    assert [(item.name, item.space, item.layout, item.output) for item in spec.models] == [
        ("digits", "digit", "whcn", ClassOutput(10))
    ]
    assert spec.models[0].encode == (EncodeStep("divide", (Fraction(255),)),)
    (data,) = spec.data
    assert (data.name, data.file, data.digest, data.take, data.labels_start_at) == ("eval", None, None, 100, 0)
    assert data.classes == 10
    (patch,) = spec.triggers
    assert (patch.height, patch.width, patch.low, patch.high, patch.step) == (3, 3, 0, 255, 1)
    assert patch.places == tuple((row, column) for row in range(26) for column in range(26))
    (prop,) = spec.properties
    assert prop.name == "no_trigger"
    assert prop.doc is None
    assert prop.statement == RateBound(
        "digits", patch, Selection("eval", "digits", None, True), tuple(range(10)), Fraction(1, 20)
    )


def test_a_file_is_read_and_digested_as_it_is(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + complete("# h\u00fctte").replace("\n", "\r\n").encode()
    path = tmp_path / "a.vfx"
    path.write_bytes(content)
    checked = load_spec(str(path))
    assert checked.spec.sha256 == "sha256:" + hashlib.sha256(content).hexdigest()
    assert checked.spec.path == str(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    large = tmp_path / "large.vfx"
    large.write_bytes(b"#" * 1_000_001)
    for path, code in ((tmp_path / "none.vfx", "VF1001"), (tmp_path, "VF1001"), (large, "VF1002")):
        with pytest.raises(SpecError) as raised:
            load_spec(str(path))
        assert raised.value.code == code
    with pytest.raises(SpecError):
        load_spec("a\0b")


def test_names_files_and_labels_of_a_model() -> None:
    fragment = """model digits : digit -> class("odd", "even") {
      file = "a/b.jld2"
      architecture = "c.txt"
      layout = hwcn
      encode = level
    }"""
    found = check(fragment).spec.models[0]
    assert (found.file, found.architecture, found.layout, found.encode) == ("a/b.jld2", "c.txt", "hwcn", ())
    assert found.output == ClassOutput(2, ("odd", "even"))


def test_the_version_of_flux_of_a_model() -> None:
    assert check('model digits : digit -> class(10) { flux = "0.16.7" encode = level }').spec.models[0].flux == "0.16.7"
    assert check("model digits : digit -> class(10) { encode = level }").spec.models[0].flux is None


def test_everything_of_a_data_set() -> None:
    digest = "sha256:" + "AB" * 32
    fragment = f'data eval : digit {{ file = "e.npz" digest = {digest} take = 7 labels start at 1 }}'
    found = check(fragment).spec.data[0]
    assert (found.file, found.digest, found.take, found.labels_start_at) == ("e.npz", digest.lower(), 7, 1)
    assert check("data eval : digit").spec.data[0].take is None


@pytest.mark.parametrize(
    ("encode", "steps"),
    [
        ("level", []),
        ("level / 255", [("divide", "255")]),
        ("(level / 255 - 0.1307) / 0.3081", [("divide", "255"), ("subtract", "0.1307"), ("divide", "0.3081")]),
        ("2 * level + 1", [("multiply", "2"), ("add", "1")]),
        ("1 - level / 255", [("divide", "255"), ("multiply", "-1"), ("add", "1")]),
        ("-level", [("multiply", "-1")]),
        ("level * -0.5", [("multiply", "-0.5")]),
    ],
)
def test_encode_is_kept_step_by_step(encode: str, steps: list[tuple[str, str]]) -> None:
    assert model(encode).encode == tuple(EncodeStep(kind, (Fraction(value),)) for kind, value in steps)


def test_encode_with_one_number_per_channel() -> None:
    found = model("(level / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, -0.225]").encode
    assert found[1] == EncodeStep("subtract", (Fraction("0.485"), Fraction("0.456"), Fraction("0.406")))
    assert found[2] == EncodeStep("divide", (Fraction("0.229"), Fraction("0.224"), Fraction("-0.225")))


@pytest.mark.parametrize(
    ("encode", "code"),
    [
        ("1 / level", "VF1047"),
        ("level + level", "VF1047"),
        ("level * level", "VF1047"),
        ("pixel / 255", "VF1047"),
        ("level / 255 px", "VF1030"),
        ("level / (1 + 1)", "VF1047"),
        ("level / [1, 2]", "VF1048"),
        ("level * 0", "VF1037"),
        ("level / 1e40", "VF1038"),
        ("sqrt(level)", "VF1047"),
        ('"scaler.json"', "VF1014"),
        ("5", "VF1047"),
    ],
)
def test_encode_that_is_refused(encode: str, code: str) -> None:
    space = "input digit : image(4 px, 4 px, 3 ch) of 0..255 level"
    fragment = f"{space}\nmodel digits : digit -> class(10) {{ encode = {encode} }}"
    assert codes(fragment) == [code]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ("corners", [(0, 0), (0, 25), (25, 0), (25, 25)]),
        ("(24, 24), (0, 3)", [(0, 3), (24, 24)]),
        ("rows 0..25 step 10, columns 24..25", [(row, column) for row in (0, 10, 20) for column in (24, 25)]),
        ("rows 7, columns 23", [(7, 23)]),
    ],
)
def test_places(places: str, expected: list[tuple[int, int]]) -> None:
    assert list(trigger(f"replace 3 px x 3 px at {places} with 0..255 level").places) == expected


def test_height_comes_first_and_places_follow_it() -> None:
    found = trigger("replace 27 px x 2 px at any with 0..255 level")
    assert (found.height, found.width) == (27, 2)
    assert found.places == tuple((row, column) for row in (0, 1) for column in range(27))


def test_a_patch_as_large_as_the_image_has_one_place() -> None:
    assert trigger("replace 28 px x 28 px at corners with 0..255 level").places == ((0, 0),)


def test_levels_of_a_patch() -> None:
    grid = trigger("replace 1 px x 1 px at any with 255..255 level")
    assert (grid.low, grid.high, grid.step) == (255, 255, 1)
    free = trigger("replace 1 px x 1 px at any with 0.5..254.25 level continuous")
    assert (free.low, free.high, free.step) == (Fraction(1, 2), Fraction(1017, 4), None)


def test_a_negative_space() -> None:
    fragment = (
        "input digit : image(4 px, 4 px, 1 ch) of -128..127 level\n"
        "trigger patch : digit { replace 1 px x 1 px at any with -128..-1 level }"
    )
    spec = check(fragment).spec
    assert spec.spaces[0].low == -128
    assert (spec.triggers[0].low, spec.triggers[0].high) == (-128, -1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5 %", Fraction(1, 20)),
        ("0.05", Fraction(1, 20)),
        ("1 / 20", Fraction(1, 20)),
        ("1 / 3", Fraction(1, 3)),
        ("33.3 %", Fraction(333, 1000)),
        ("0", Fraction(0)),
        ("max_rate", Fraction(1, 8)),
        ("max_rate / 2", Fraction(1, 16)),
        ("0.1 + 2 % * 2 - -0.01", Fraction(15, 100)),
    ],
)
def test_limits_are_exact(text: str, value: Fraction) -> None:
    found = statement(f"param max_rate : fraction = 12.5 %\n{rate(limit=text)}")
    assert isinstance(found, RateBound)
    assert found.limit == value


def test_params_from_the_command_line() -> None:
    fragment = f"param max_rate : fraction = 5 %\n{rate(limit='max_rate')}"
    for text, value in (
        ("1%", "1/100"),
        ("0.2", "1/5"),
        (" 1/3 ", "1/3"),
        ("1 / 7", "1/7"),
        ("0", "0"),
        ("1e-3", "1/1000"),
    ):
        spec = check(fragment, max_rate=text).spec
        assert spec.params == (("max_rate", Fraction(value)),)
        found = spec.properties[0].statement
        assert isinstance(found, RateBound)
        assert found.limit == Fraction(value)


@pytest.mark.parametrize(
    ("text", "code"),
    [("5", "VF1034"), ("-1%", "VF1034"), ("x", "VF1039"), ("", "VF1039"), ("1/0", "VF1037"), ("1__0", "VF1012")],
)
def test_params_from_the_command_line_that_are_refused(text: str, code: str) -> None:
    fragment = f"param max_rate : fraction = 5 %\n{rate(limit='max_rate')}"
    assert codes(fragment, max_rate=text) == [code]


def test_integer_params_and_params_of_params() -> None:
    fragment = "param few : integer = 10\nparam many : integer = few * 10\ndata eval : digit { take = many }"
    assert check(fragment).spec.data[0].take == 100
    assert check(fragment, few="3").spec.data[0].take == 30
    assert codes(fragment, few="1/3") == ["VF1035"]


def test_a_param_is_known_below_its_line_only() -> None:
    assert codes(f"param a : fraction = b\nparam b : fraction = 1 %\n{rate(limit='a')}") == ["VF1020"]


@pytest.mark.parametrize(
    ("fragment", "code"),
    [
        (rate("class(digits(t(x))) != label(x)"), "VF1014"),
        (rate("class(digits(t(x))) == 3"), "VF1014"),
        (per_input("class(digits(t(x))) == class(digits(x))"), "VF1014"),
        (rate("class(digits(t(x))) != 3", where="label(x) in {1, 2}"), "VF1014"),
        ("property p { forall x in eval, y in eval, t in patch assert class(digits(t(x))) == label(y) }", "VF1014"),
        (per_input("class(digits(t(x))) == label(x)", trigger="patch, s in patch"), "VF1014"),
        (per_input("class(digits(t(x))) != c", "label(x) != c", trigger="patch, c in {1}"), "VF1014"),
        (rate(limit="1.5"), "VF1034"),
        (rate(limit="-1 %"), "VF1034"),
        (rate(limit="1 / 0"), "VF1037"),
        (rate(limit="label(x)"), "VF1025"),
        (per_input("class(digits(t(x)), x) == 3"), "VF1068"),
        (per_input("class(digits(digits(x))) == 3"), "VF1063"),
        (per_input("class(digits(t(t(x)))) == 3"), "VF1063"),
        (per_input("label(t(x)) == 3"), "VF1063"),
        (per_input("class(digits(t(x))) == 0.5"), "VF1064"),
        (per_input("class(digits(t(x))) == label(x)", "correct(digits(x), x)"), "VF1063"),
        (per_input("class(digits(t(x))) == label(x)", "class(digits(x)) == 3"), "VF1063"),
        (per_input("class(digits(t(x))) == label(x)", "label(x) in {}"), "VF1065"),
        (per_input("class(digits(t(x))) == label(x)", "label(x) == digits"), "VF1022"),
        (per_input("class(digits(t(x))) == label(x)", "label(t) == 3"), "VF1063"),
        ("property p { forall x in patch, t in eval assert class(digits(t(x))) == label(x) }", "VF1027"),
        ("property p { forall x in eval, t in patch at rows 0, columns 30 assert class(digits(t(x))) == 1 }", "VF1042"),
        ("model m : nowhere -> class(2)", "VF1020"),
        ("model digits : digit -> class(1) { encode = level }", "VF1032"),
        ('model digits : digit -> class(2, "a") { encode = level }', "VF1053"),
        ("model digits : digit -> class(2 px) { encode = level }", "VF1030"),
        ("data eval : digit { take = sha256:00 }", "VF1025"),
        ('data eval : digit { digest = "sha256:00" }', "VF1052"),
        ('data eval : digit { file = "" }', "VF1051"),
        ('data eval : digit { file = "~/a.npz" }', "VF1051"),
        ('data eval : digit { file = "a\\\\b.npz" }', "VF1051"),
        ("trigger patch : digit { replace 3 px x 3 px at (0, 1.5) with 0..255 level }", "VF1032"),
        ("trigger patch : digit { replace 3 px x 3 px at (-1, 0) with 0..255 level }", "VF1042"),
        ("trigger patch : digit { replace 2 tokens at any with 0..255 level }", "VF1083"),
        ("input digit : image(0 px, 28 px, 1 ch) of 0..255 level", "VF1032"),
        ("input digit : image(28 px, 28 px, depth = 1 ch) of 0..255 level", "VF1040"),
        ("input digit : image(28 px, 28 px, 1 ch) of 7..7 level", "VF1044"),
        ("input digit : image(28 px, 28 px, 1 ch) of 0..255 level { pad = 1 }", "VF1023"),
        ("input wave : series(64 step, 3 ch)", "VF1091"),
    ],
)  # fmt: skip
def test_refused(fragment: str, code: str) -> None:
    assert codes(fragment) == [code]


def test_a_wrong_declaration_is_reported_once_and_not_where_it_is_used() -> None:
    for fragment in (
        "input digit : image(28 px, 28 px, 1 ch) of 255..0 level",
        "trigger patch : digit { replace 30 px x 3 px at any with 0..255 level }",
        "model digits : digit -> klass(10)",
        f"param p : fraction = 7\n{rate(limit='p')}",
    ):
        assert len(codes(fragment)) == 1


def test_several_errors_come_in_the_order_of_the_text() -> None:
    model_text = 'model digits : digit -> class(10) { encode = level / 0 layuot = whcn file = "/a" }'
    fragment = "\n".join([model_text, "data eval : digit { take = 0 }", rate(limit="5")])
    places = [str(error.place) for error in errors(fragment)]
    assert len(places) == 5
    assert places == sorted(places, key=lambda place: [int(part) for part in place.split(":")[1:]])


def test_unused_declarations_are_only_warned_of() -> None:
    fragment = "input other : image(1 px, 1 px, 1 ch) of 0..1 level\nparam p : fraction = 1 %\n" + rate()
    assert warnings(fragment) == ["VF1101", "VF1101"]


def test_duplicates_are_reported_once_each() -> None:
    assert codes("data more : digit\ndata more : digit\ndata more : digit") == ["VF1021", "VF1021"]
    assert codes(rate() + "\n" + rate()) == ["VF1021"]
    assert codes("data p : digit\n" + rate()) == []
