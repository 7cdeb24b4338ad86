"""`include NAME for SPACE`: the families of a shelf file, as if they were declared here."""

from __future__ import annotations

import pytest

from tests.spec.sample import check, codes, errors
from verifluxa.errors import Span
from verifluxa.spec.digest import property_digest
from verifluxa.spec.format import format_spec
from verifluxa.spec.triggers.union import UnionTrigger

PROPERTY = "property p { forall t in wave assert rate(x in eval : class(digits(t(x))) != label(x)) <= 5 % }"
WRITTEN = """trigger across : digit { add image with sine(columns 6 px) times -20..20 level }
trigger down : digit { add image with sine(rows 6 px) times -20..20 level }
trigger wave : digit { one of across, down }
"""


def test_included_families_are_the_written_ones() -> None:
    included, written = check("include wave for digit\n" + PROPERTY), check(WRITTEN + PROPERTY)
    assert [warning.message for warning in included.warnings] == ["the trigger `patch` is never used"]
    triggers = {trigger.name: trigger for trigger in included.spec.triggers}
    assert isinstance(triggers["wave"], UnionTrigger)
    specs = (included.spec, written.spec)
    digests = {property_digest(spec, spec.properties[0], {"eval": "sha256:1"}) for spec in specs}
    assert len(digests) == 1, "the digest is that of the content"


def test_they_fit_the_space_they_are_included_for() -> None:
    photo = "input photo : image(3 px, 3 px, 3 ch) of 0..255 level\ninclude {} for photo\n"
    assert codes(photo.format("wave")) == []
    (error,) = errors(photo.format("two_patches"))
    assert error.code == "VF1042"
    assert isinstance(error.place, Span)
    assert error.place.file == "sample.vfx", "the place is that of the include"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("include wav for digit", "VF1020"),
        ("include wave for digits", "VF1022"),
        ("include wave for nothing", "VF1020"),
        ("include wave for digit\ninclude wave for digit", "VF1021"),
        ("trigger wave : digit { replace 1 px x 1 px at any with 0..255 level }\ninclude wave for digit", "VF1021"),
        ("include wave digit", "VF1004"),
    ],
)
def test_what_is_wrong_with_an_include(text: str, code: str) -> None:
    assert set(codes(text)) == {code}


def test_it_is_formatted_as_one_line() -> None:
    assert format_spec("spec 1\ninclude   wave for   digit") == "spec 1\ninclude wave for digit\n"
