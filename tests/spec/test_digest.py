"""The property digest: the same for the same statement however it is written, another one for anything else."""

from __future__ import annotations

import json

import pytest

from tests.spec.sample import DECLARATIONS, PROPERTY, check
from verifluxa.spec.digest import canonical, property_digest
from verifluxa.spec.format import format_spec
from verifluxa.spec.spec import Property, Spec

DATA = {"eval": "sha256:" + "ab" * 32}
BASE = "\n".join(["spec 1", *DECLARATIONS.values(), "param p : fraction = 5 %", PROPERTY.replace("5 %", "p")]) + "\n"


def first(text: str, **params: str) -> tuple[Spec, Property]:
    spec = check(text, **params).spec
    return spec, spec.properties[0]


def digest(text: str, data: dict[str, str] = DATA, **params: str) -> str:
    return property_digest(*first(text, **params), data)


def test_the_digested_text_is_fixed() -> None:
    """Stored digests stand in certificates and policies, so this text may only change with its schema."""
    text = BASE.replace("at any", "at (24, 23)").replace("classes(digits)", "{7}")
    assert canonical(*first(text), DATA).decode() == (
        '{"data":{"labels_start_at":0,"sha256":"sha256:' + "ab" * 32 + '","take":100},'
        '"models":[{"classes":10,"encode":[["divide",["255/1"]]],"labels":[],"layout":"whcn"}],'
        '"schema":"verifluxa/property/1",'
        '"selection":{"correct":0,"label_is_not_target":true,"labels":null},'
        '"space":{"channels":1,"height":28,"kind":"image","levels":[0,255],"width":28},'
        '"statement":{"kind":"rate","limit":"1/20","targets":[7]},'
        '"trigger":{"kind":"patch","levels":["0/1","255/1"],"places":[[24,23]],"size":[3,3],"step":1}}'
    )
    assert digest(text) == "sha256:ec38757a78dbfc42e293ea80d07acc5a3f26c2a991278430a62052b7e2fbe13c"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("spec 1\n", "# a comment\nspec 1\n\n"),
        ("{ take", '{ file = "other.npz" take'),
        ("{ encode", '{ file = "m.jld2" architecture = "a.txt" layout = whcn encode'),
        ("property no_trigger {", 'property other {\n  """A doc text."""'),
        ("= 5 %", "= 0.05"),
        ("<= p", "<= 1/20 + 0 * p"),
        ("correct(digits, x) and label(x) != target", "label(x) != target and correct(digits, x)"),
        ("at any", "at rows 0..25, columns 0..25"),
        ("forall t in patch, target in classes(digits)", "forall target in {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, t in patch"),
        ("digits", "model_under_test"),
        ("patch", "sticker"),
        ("victims", "v"),
    ],
)
def test_what_does_not_matter(old: str, new: str) -> None:
    assert old in BASE
    assert digest(BASE.replace(old, new)) == digest(BASE)


def test_formatting_does_not_matter() -> None:
    assert digest(format_spec(BASE)) == digest(BASE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("= 5 %", "= 4 %"),
        ("3 px x 3 px", "3 px x 2 px"),
        ("at any", "at corners"),
        ("0..255 level }", "0..254 level }"),
        ("0..255 level }", "0..255 level continuous }"),
        ("level / 255", "level / 256"),
        ("level / 255", "level / 255 - 0.5"),
        ("level / 255", "level / 255 layout = hwcn"),
        ("level / 255", 'level / 255 flux = "0.16.7"'),
        ("take = 100", "take = 99"),
        ("{ take = 100 }", ""),
        ("take = 100", "take = 100 labels start at 1"),
        ("correct(digits, x) and ", ""),
        (" and label(x) != target", ""),
        (" and label(x) != target", " and label(x) != target and label(x) != 3"),
        ("classes(digits)", "{3}"),
        ("class(10)", 'class("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")'),
        ("class(10)", "class(11)"),
        ("== target", "!= label(x)"),
        ("of 0..255 level", "of 0..256 level"),
        ("28 px, 28 px", "29 px, 28 px"),
    ],
)
def test_what_matters(old: str, new: str) -> None:
    changed = BASE.replace(old, new)
    if "!= label(x)" in new:
        changed = changed.replace(" and label(x) != target", "")
    assert changed != BASE
    assert digest(changed) != digest(BASE)


def test_values_from_the_command_line_are_in_it() -> None:
    assert digest(BASE, p="99%") != digest(BASE)
    assert digest(BASE, p="1/20") == digest(BASE)


def test_the_data_is_in_it() -> None:
    assert digest(BASE, {"eval": "sha256:" + "cd" * 32}) != digest(BASE)
    with pytest.raises(KeyError):
        digest(BASE, {})


def test_a_second_model_in_where_is_in_it() -> None:
    other = BASE.replace("model digits", "model old : digit -> class(10) { encode = level }\nmodel digits")
    asked = other.replace("correct(digits", "correct(old")
    assert digest(other) == digest(BASE)
    assert digest(asked) != digest(BASE)
    assert json.loads(canonical(*first(asked), DATA))["selection"]["correct"] == 1


def test_per_input_and_expected_classes() -> None:
    per_input = "property q { forall x in eval, t in patch assert class(digits(t(x))) CLAIM }"
    claims = ("== label(x)", "== 3", "!= 3", "!= 4")
    digests = {digest(per_input.replace("CLAIM", claim)) for claim in claims}
    assert len(digests) == len(claims)
