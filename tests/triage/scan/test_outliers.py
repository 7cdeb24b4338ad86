"""Outlier indices against the formula of the paper, and where there is nothing to compare."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifluxa.triage.scan.classes import anomaly_index, share_of_median

VALUES = st.lists(st.floats(0.1, 100.0), min_size=5, max_size=12)


@given(VALUES, st.booleans())
def test_the_index_is_that_of_the_paper(values: list[float], small: bool) -> None:
    index = anomaly_index(np.array(values), small)
    middle = np.median(values)
    spread = 1.4826 * np.median([abs(value - middle) for value in values])
    for value, found in zip(values, index, strict=True):
        away = middle - value if small else value - middle
        if spread > 0:
            assert found == pytest.approx(away / spread, abs=1e-9)
        else:
            assert found == (0 if away == 0 else np.copysign(np.inf, away))


def test_what_is_missing_counts_for_nothing() -> None:
    values = np.array([1.0, 10.0, 11.0, np.nan, 9.0, 10.0])
    index, shares = anomaly_index(values, small=True), share_of_median(values)
    assert np.isnan(index[3])
    assert np.isnan(shares[3])
    assert index[0] == pytest.approx(9 / 1.4826)
    assert shares[0] == 0.1


def test_few_classes_have_no_usual_value() -> None:
    few = np.array([1.0, 10.0, 10.0, np.nan, 10.0])
    assert np.isnan(anomaly_index(few, small=True)).all()
    assert np.isnan(share_of_median(few)).all()
    assert np.isnan(share_of_median(np.zeros(6))).all()
