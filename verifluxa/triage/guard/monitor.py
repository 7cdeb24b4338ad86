"""A monitor of class rates over a log of predictions: a sequential test that is valid at every moment.

For each class: is it predicted more often than in the reference? With p the upper end of a Clopper-Pearson interval
of the reference rate, and X the predictions one after the other, the likelihood ratio of a rate q > p against p is a
supermartingale under every rate up to p. Mixed over rates q (Robbins 1970) and over the moment at which the change
begins, with weights 1/(j(j+1)), it stays one, and by Ville's inequality it ever reaches 1/a with probability at most
a. Half of the user's false alarm rate goes to the references, half to the tests, each divided by the classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from verifluxa.errors import UsageError

SHIFTS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Differences of log-odds between the rates q and p."""


@dataclass(frozen=True)
class ClassRate:
    """One class: what the monitor saw of it.

    Attributes:
        name: the class.
        reference: share in the reference.
        limit: upper end of what the reference allows.
        count: predictions of it in the log.
        rate: their share.
        evidence: the largest value of the test; an alarm at `Monitored.needed`.
        alarm: number of the record at which it was reached, from 1; None: never.
    """

    name: str
    reference: float
    limit: float
    count: int
    rate: float
    evidence: float
    alarm: int | None


@dataclass(frozen=True)
class Monitored:
    """All classes, and what the test needs for an alarm."""

    classes: tuple[ClassRate, ...]
    records: int
    needed: float

    @property
    def alarms(self) -> tuple[ClassRate, ...]:
        """The classes with an alarm."""
        return tuple(one for one in self.classes if one.alarm is not None)


def monitor(reference: Sequence[str], log: Sequence[str], false_alarm: float) -> Monitored:
    """Tests a log against a reference.

    Args:
        reference: predicted classes of a time that is known to be good.
        log: predicted classes, in order.
        false_alarm: probability that there is ever an alarm while no rate is above that of the reference.

    Raises:
        UsageError: VF8073 for a false alarm rate that is none, or an empty reference or log.
    """
    if not 0 < false_alarm < 1 or not reference or not log:
        raise UsageError(
            "VF8073",
            f"a false alarm rate of {false_alarm:g}, {len(reference):,} reference records and {len(log):,} of the log",
            expected="a rate between 0 and 1, and at least one record in both",
        )
    names = sorted(set(reference) | set(log))
    share = false_alarm / (2 * len(names))
    known, seen = Counter(reference), np.array(log)
    rates = [_class(name, known[name], len(reference), seen == name, share) for name in names]
    return Monitored(tuple(rates), len(log), 1 / share)


def _class(name: str, count: int, total: int, hits: NDArray[np.bool_], share: float) -> ClassRate:
    limit = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1 - share))
    values = evidence(hits, limit)
    over = np.flatnonzero(values >= -np.log(share))
    return ClassRate(
        name,
        count / total,
        limit,
        int(hits.sum()),
        float(hits.mean()),
        float(np.exp(min(values.max(), 700.0))),
        int(over[0]) + 1 if len(over) else None,
    )


def evidence(hits: NDArray[np.bool_], limit: float) -> NDArray[np.float64]:
    """The logarithm of the test after each record, shape (n,), for a rate of at most `limit`."""
    count = len(hits)
    if limit >= 1:
        return np.zeros(count)
    moments = np.arange(1, count + 1)
    weights = -np.log(moments) - np.log(moments + 1)
    # What is left for changes that have not begun yet: 1 - sum of the weights so far.
    total = -np.log(moments + 1)
    for shift in SHIFTS:
        odds = limit / (1 - limit) * np.exp(shift)
        rate = odds / (1 + odds)
        steps = np.where(hits, np.log(rate / limit), np.log((1 - rate) / (1 - limit)))
        walked = np.cumsum(steps)
        begun = np.logaddexp.accumulate(weights - np.concatenate([[0.0], walked[:-1]])) + walked
        total = np.logaddexp(total, begun - np.log(len(SHIFTS)))
    return np.asarray(total)
