"""How far one class lies from the others: the anomaly index of Neural Cleanse, and the share of the median.

Wang et al., "Neural Cleanse", IEEE S&P 2019, section IV-B: the deviation of a value from the median, divided by the
median absolute deviation (MAD) times 1.4826, which is the standard deviation where values are normal.
"""

from __future__ import annotations

import numpy as np

from verifluxa.question import Floats

CONSISTENCY = 1.4826
LEAST_CLASSES = 5
"""With fewer classes the median says nothing of what is usual."""


def anomaly_index(values: Floats, small: bool) -> Floats:
    """Deviations from the median in the direction that is suspect, in robust standard deviations, shape (K,).

    Args:
        values: one for each class, shape (K,); NaN where there is none, which counts for nothing.
        small: whether small values are suspect (sizes of triggers) or large ones (rates).

    Returns:
        0 where nothing deviates; infinite where all the others are equal; NaN where there is no value, and
        everywhere with fewer than `LEAST_CLASSES`.

    >>> anomaly_index(np.array([1.0, 10.0, 11.0, 9.0, 10.0]), small=True).round(1).tolist()
    [6.1, 0.0, -0.7, 0.7, 0.0]
    """
    known = values[~np.isnan(values)]
    if len(known) < LEAST_CLASSES:
        return np.full(len(values), np.nan)
    middle = np.median(known)
    spread = CONSISTENCY * np.median(np.abs(known - middle))
    away = middle - values if small else values - middle
    with np.errstate(divide="ignore", invalid="ignore"):
        index: Floats = np.where(away == 0, 0.0, away / spread)
    return index


def share_of_median(values: Floats) -> Floats:
    """Each value as a share of the median, shape (K,); NaN where there is none or there are too few classes."""
    known = values[~np.isnan(values)]
    if len(known) < LEAST_CLASSES or np.median(known) <= 0:
        return np.full(len(values), np.nan)
    shares: Floats = values / np.median(known)
    return shares
