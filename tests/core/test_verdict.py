"""How verdicts combine: falsified over unknown over certified, and never from nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.verdict import Reason, Verdict, combine

RANK = {Verdict.CERTIFIED: 0, Verdict.UNKNOWN: 1, Verdict.FALSIFIED: 2}
VERDICTS = st.lists(st.sampled_from(list(Verdict)), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(VERDICTS)
def test_the_worst_verdict_wins(verdicts: list[Verdict]) -> None:
    assert combine(verdicts) is max(verdicts, key=lambda verdict: RANK[verdict])


@settings(max_examples=50, deadline=None, derandomize=True)
@given(VERDICTS, VERDICTS)
def test_combining_in_parts_gives_the_same(first: list[Verdict], second: list[Verdict]) -> None:
    assert combine([*first, *second]) is combine([combine(second), combine(first)])


def test_one_unknown_is_never_a_pass() -> None:
    assert combine(iter([Verdict.CERTIFIED, Verdict.UNKNOWN, Verdict.CERTIFIED])) is Verdict.UNKNOWN


def test_nothing_to_combine_is_an_error() -> None:
    with pytest.raises(ValueError, match="no verdict"):
        combine([])


def test_the_words_in_documents_stay_as_they_are() -> None:
    assert [str(verdict) for verdict in Verdict] == ["certified", "falsified", "unknown"]
    assert {"time", "memory", "precision", "representability", "unsupported", "interrupted", "lost-worker"} <= {
        str(reason) for reason in Reason
    }
