"""The error tree: what a user reads, exit codes, and the way from a worker to the driver."""

from __future__ import annotations

import pickle

import pytest

from verifluxa.errors import (
    CertificateError,
    DataError,
    ManyErrors,
    ModelError,
    Span,
    SpecError,
    TryAgainError,
    UnsupportedError,
    UsageError,
    VerifluxaError,
)

PLACE = Span("a.vfx", 3, 7, 3, 12)
KINDS = [SpecError, ModelError, DataError, UsageError, TryAgainError, CertificateError, UnsupportedError]
KINDS += [VerifluxaError]


def test_an_error_says_where_what_was_expected_and_what_helps() -> None:
    error = SpecError("VF1004", "this is no rate", place=PLACE, expected="a fraction", remedy="write `5 %`")
    assert str(error) == ("a.vfx:3:7: error[VF1004]: this is no rate\n  expected: a fraction\n  help: write `5 %`")


def test_an_error_leaves_out_what_it_does_not_know() -> None:
    assert str(ModelError("VF2001", "the file is empty")) == "error[VF2001]: the file is empty"
    assert str(DataError("VF3001", "no images", place="x.npz")) == "x.npz: error[VF3001]: no images"


@pytest.mark.parametrize("kind", KINDS)
def test_errors_survive_pickling_whole(kind: type[VerifluxaError]) -> None:
    error = kind("VF9999", "a message", place=PLACE, expected="this", remedy="that")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)
    assert type(again) is kind
    assert (again.code, again.message, again.place) == ("VF9999", "a message", PLACE)
    assert (again.expected, again.remedy, str(again)) == ("this", "that", str(error))


def test_several_errors_are_one_error_in_order() -> None:
    first, second = SpecError("VF1001", "one", place=PLACE), ModelError("VF2001", "two", remedy="mend it")
    both = ManyErrors([first, second])
    assert str(both) == f"{first}\n{second}"
    assert (both.code, both.place) == ("VF1001", PLACE)
    again = pickle.loads(pickle.dumps(both))  # noqa: S301 (our own bytes)
    assert isinstance(again, ManyErrors)
    assert str(again) == str(both)
    assert [type(error) for error in again.errors] == [SpecError, ModelError]


def test_exit_codes_tell_bad_input_from_wrong_use_and_refusal() -> None:
    assert {kind: kind.exit_code for kind in KINDS} == {
        SpecError: 4,
        ModelError: 4,
        DataError: 4,
        UsageError: 2,
        TryAgainError: 75,
        CertificateError: 1,
        UnsupportedError: 4,
        VerifluxaError: 4,
    }


def test_spans_sort_by_their_place() -> None:
    spans = [Span("a", 2, 1, 2, 2), Span("a", 1, 9, 1, 10), Span("a", 1, 2, 1, 3)]
    assert [str(span) for span in sorted(spans)] == ["a:1:2", "a:1:9", "a:2:1"]
