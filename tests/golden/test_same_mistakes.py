"""The mistakes of Vehicle's golden errors, made here: each is found, with its place and what to do.

The names are those of the folders in `vehicle/tests/golden/error/` of vehicle-lang/vehicle (its state of October 2024);
nothing of their text is here. Where this language has no such mistake the table says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.data.samples import SPACE, declared, images, npz
from tests.spec.sample import complete, errors
from verifluxa.data.load import load_dataset
from verifluxa.errors import Span, VerifluxaError
from verifluxa.inputs import chosen, data_path, find_spec
from verifluxa.library import Library, resolve
from verifluxa.spec.check import load_spec, parse_spec

Make = Callable[[Path], object]


class Spec(NamedTuple):
    """A mistake in the text of a spec, with `--set` where it lies there."""

    code: str
    text: str
    params: Mapping[str, str] = {}


class Use(NamedTuple):
    """A mistake in files or on the command line; `make` gets an empty folder."""

    code: str
    make: Make


class Absent(NamedTuple):
    """No such mistake can be made here."""

    why: str


WHEEL = "model wheel : digit -> real(2) { encode = level / 255 }\n"
LIMIT = "param most : fraction = 5 %\n"
COUNT = "param many : integer = 5\ndata eval : digit { take = many }"


def claim(condition: str, forall: str = "x in eval, t in patch") -> str:
    return f"property p {{ forall {forall} assert {condition} }}"


def data(**arrays: object) -> Make:
    return lambda folder: load_dataset(declared(), SPACE, npz(folder, **arrays))


def _unknown_format(folder: Path) -> None:
    (folder / "eval.blerp").write_bytes(b"x")
    load_dataset(declared(), SPACE, folder / "eval.blerp")


def _no_data_file(_: Path) -> None:
    spec = parse_spec(complete(""), "a.vfx").spec
    data_path(spec, spec.data[0], {})


def _no_property(_: Path) -> None:
    chosen(parse_spec(complete(""), "a.vfx").spec, ["nowhere"])


def _negative(_: Path) -> Path:
    load_dataset(declared(), SPACE, npz(_, x=images().astype(int) - 1, y=np.arange(5)))
    return _


VARIES = "input digit : image(n, 28 px, 1 ch) of 0..255 level"
ALTERNATES = (
    "property p { forall x in eval search exists t in patch : rate(x in eval : class(digits(t(x))) == 7) >= 5 % }"
)
QUADRATIC = claim("wheel(t(x))[0] * wheel(t(x))[1] <= 3")

TABLE: dict[str, Spec | Use | Absent] = {
    "argument/missingDeclaration": Use("VF4402", _no_property),
    "argument/missingInputFile": Use("VF1001", lambda folder: load_spec(str(folder / "missing.vfx"))),
    "argument/missingVerifier": Use("VF4001", lambda _: resolve(Library.SOLVERS, "marabu")),
    "argument/wrongFileExtension": Use("VF4002", lambda _: find_spec("wrong.vclt")),
    "dataset/invalidContainerType": Spec("VF1022", "data eval : digits { take = 10 }"),
    "dataset/invalidElementType": Use("VF3005", data(x=np.array([{}], dtype=object), y=np.arange(1))),
    "dataset/mismatchedDimensionSize": Use("VF3010", data(x=images()[:, :, :2], y=np.arange(5))),
    "dataset/mismatchedDimensions": Use("VF3010", data(x=images()[0, 0, 0], y=np.arange(4))),
    "dataset/mismatchedType": Use("VF3012", data(x=images() / 2, y=np.arange(5))),
    "dataset/missingDataset": Use("VF3001", lambda folder: load_dataset(declared(), SPACE, folder / "missing.npz")),
    "dataset/negativeNat": Use("VF3013", _negative),
    "dataset/notProvided": Use("VF4408", _no_data_file),
    "dataset/tooBigIndex": Use("VF3017", data(x=images(), y=np.full(5, 10))),
    "dataset/unsupportedFormat": Use("VF3036", _unknown_format),
    "dataset/variableDimensions": Spec("VF1040", VARIES),
    "inferableParameter/unsupportedType": Spec("VF1035", "param n : real = 1"),
    "linearity/nonLinearIfCondition": Absent("there is no `if`; conditions on outputs are joined by and, or, not"),
    "linearity/quadraticFunInput": Spec("VF1047", "model digits : digit -> class(10) { encode = level * level }"),
    "linearity/quadraticFunOutput": Spec("VF1074", WHEEL + QUADRATIC),
    "linearity/quadraticInput": Spec("VF1047", "model digits : digit -> class(10) { encode = (level + 1) * level }"),
    "linearity/quadraticInputOutput": Spec("VF1020", WHEEL + claim("wheel(t(x))[0] * x <= 3")),
    "linearity/quadraticTensorInputLookup": Absent("a claim speaks of outputs, never of single pixels"),
    "linearity/reciprocalInput": Spec("VF1047", "model digits : digit -> class(10) { encode = 1 / level }"),
    "network/notAFunction": Spec("VF1004", "model digits : digit { encode = level / 255 }"),
    "other-verifier/duplicateVariableName": Spec("VF1021", claim("class(digits(t(x))) == 1", "x in eval, x in patch")),
    "other-verifier/quantifiedNat": Spec("VF1020", claim("class(digits(t(x))) == 1", "x in integer, t in patch")),
    "other-verifier/quantifiedVectorNat": Spec("VF1027", claim("class(digits(t(x))) == 1", "x in image(2)")),
    "parameter/givenDefinition": Absent("a param has a value in the file, which `--set` replaces"),
    "parameter/invalidIndex": Spec("VF1064", claim("class(digits(t(x))) == 10")),
    "parameter/invalidIndex/invalidNat": Spec("VF1032", COUNT, {"many": "-5"}),
    "parameter/invalidNat": Spec("VF1032", "data eval : digit { take = -5 }"),
    "parameter/notProvided": Spec("VF1004", "param many : integer"),
    "parameter/unparseableBool": Absent("there are no params that are true or false"),
    "parameter/unparseableIndex": Spec("VF1035", COUNT, {"many": "1/3"}),
    "parameter/unparseableNat": Spec("VF1039", COUNT, {"many": "~"}),
    "parameter/unparseableRat": Spec("VF1039", LIMIT + claim("class(digits(t(x))) == 1"), {"most": "~"}),
    "parameter/unsupportedType": Spec("VF1035", "param p : function = 1"),
    "parsing/annotationWithNoDeclaration": Spec("VF1004", "forall t in patch"),
    "parsing/functionNotGivenBody": Spec("VF1004", "trigger patch : digit"),
    "parsing/functionWithMismatchedNames": Absent("a declaration has its name once"),
    "parsing/invalidAnnotationParameter": Spec("VF1023", "data eval : digit { fiel = 3 }"),
    "parsing/invalidAnnotationParameterValue": Spec("VF1050", "model digits : digit -> class(10) { layout = xsd }"),
    "parsing/missingVariablesLambda": Spec("VF1004", "property p { forall assert class(digits(x)) == 1 }"),
    "parsing/multipleResources": Spec("VF1004", "data param eval : digit { take = 10 }"),
    "parsing/unchainableOrdersEqualsEquals": Spec("VF1004", WHEEL + claim("0 <= wheel(t(x))[0] <= 1")),
    "polarity/alternating": Spec("VF1070", ALTERNATES),
    "polarity/alternatingFun": Absent("there are no functions to hide a quantifier in"),
    "polarity/alternatingImplies": Absent("quantifiers stand in front of a claim alone"),
    "polarity/alternatingIndirectNegFun": Absent("there are no functions to hide a quantifier in"),
    "polarity/alternatingNeg": Spec("VF1004", claim("not forall y in eval")),
    "polarity/alternatingNegNeg": Absent("quantifiers stand in front of a claim alone"),
    "property/invalidType": Spec("VF1067", claim("label(x) + 1")),
    "property/noDefinition": Spec("VF1004", "property p"),
    "scoping/freeBoundShadowing": Spec("VF1021", claim("class(digits(t(digits))) == 1", "digits in eval, t in patch")),
    "scoping/freeFreeShadowing": Spec("VF1021", "data a : digit { take = 1 }\ntrigger a : digit { one of patch }"),
    "scoping/unboundName": Spec("VF1020", claim("class(digits(t(y))) == 1")),
    "typing/incorrectTensorLength": Spec("VF1048", "model digits : digit -> class(10) { encode = level / [1, 2] }"),
    "typing/indexOutOfBoundsConcrete": Spec("VF1075", WHEEL + claim("wheel(t(x))[2] <= 3")),
    "typing/indexOutOfBoundsUnknown": Spec("VF1075", WHEEL + claim('wheel(t(x))["n"] <= 3')),
    "typing/intAsNat": Spec("VF1032", "data eval : digit { take = -10 }"),
    "typing/unsolvedMeta": Spec("VF1004", claim("class(digits(x)) == 1", "x")),
}


def found(entry: Spec | Use, folder: Path) -> list[VerifluxaError]:
    if isinstance(entry, Spec):
        return errors(entry.text, **entry.params)
    try:
        entry.make(folder)
    except VerifluxaError as error:
        return [error]
    return []


@pytest.mark.parametrize("name", [name for name, entry in TABLE.items() if not isinstance(entry, Absent)])
def test_the_mistake_is_found_with_its_place_and_what_to_do(name: str, tmp_path: Path) -> None:
    entry = TABLE[name]
    assert not isinstance(entry, Absent)
    first = found(entry, tmp_path)[0]
    assert first.code == entry.code, str(first)
    assert first.expected or first.remedy, "what was expected, or how to mend it"
    if isinstance(entry, Spec) and not entry.params:
        assert isinstance(first.place, Span), "line and column"


def test_what_cannot_be_a_mistake_here_says_why() -> None:
    reasons = [entry.why for entry in TABLE.values() if isinstance(entry, Absent)]
    assert all(len(why) > 20 for why in reasons)
    assert len(reasons) * 5 < len(TABLE)
