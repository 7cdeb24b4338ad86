"""`inspect`, `lift`, `supports`."""

import pytest

from verifluxa.cli.model_commands import _shape
from verifluxa.errors import UsageError

CLEAN = ("digits/clean.jld2", "--architecture", "digits/architecture.txt")


def test_inspect_shows_layers_shapes_and_parameters(verifluxa, digits):
    ran = verifluxa("inspect", *CLEAN)
    assert ran.code == 0
    assert "Dense(784 => 64, relu)  784    64      50,240" in ran.out
    assert "52,650 parameters in 4 layers" in ran.out
    assert "float32" in ran.out


def test_lift_shows_the_steps_in_order(verifluxa, digits):
    ran = verifluxa("lift", *CLEAN, "--input-shape", "1,28,28")
    assert ran.code == 0
    steps = [line.split()[1] for line in ran.out.splitlines() if line[:1].isdigit() and "steps:" not in line]
    assert steps[0] == "input"
    assert steps.count("affine") == 3
    assert steps.count("relu") == 2


def test_both_name_the_same_graph_as_a_result(verifluxa, digits):
    lines = [
        verifluxa(command, *CLEAN, "--input-shape", "1,28,28").out.splitlines()[3] for command in ("inspect", "lift")
    ]
    assert lines[0] == lines[1]
    assert lines[0].startswith("  graph  sha256:")


def test_what_cannot_be_read_names_the_file_and_the_place_in_it(verifluxa, digits):
    (digits / "x.jld2").write_bytes(b"nothing of the kind")
    ran = verifluxa("inspect", digits / "x.jld2")
    assert ran.code == 4
    assert "--> digits/x.jld2" in ran.err


def test_arrays_without_layers_need_the_architecture(verifluxa, digits):
    ran = verifluxa("inspect", "digits/clean.jld2")
    assert ran.code == 4
    assert "architecture" in ran.err


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (None, None),
        ("784", ((784,),)),
        ("1,28,28", ((1, 28, 28),)),
        ("3 x 8 x 8", ((3, 8, 8),)),
        ("5,4; 3,4", ((5, 4), (3, 4))),
    ],
)
def test_shapes_are_read(text, shape):
    assert _shape(text) == shape


@pytest.mark.parametrize("text", ["", "a", "1,,2", "0,28,28", "-1", "1;", ";2", "1;0", "1" * 30])
def test_other_shapes_are_refused(text):
    with pytest.raises(UsageError, match="no shape"):
        _shape(text)


def test_supports_tells_apart_what_lifts_and_what_is_provable(verifluxa):
    ran = verifluxa("supports")
    assert ran.code == 0
    rows = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line.strip()}
    assert rows["relu"] == ["yes"] * 6
    assert rows["tanh"] == [*["yes"] * 4, "no", "yes"]
    assert rows["Dense"] == ["model,", "state,", "weights", *["yes"] * 5]
