"""A monitor of class rates over a log of predictions: a sequential test that is valid at every moment.

For each class: is it predicted more often than in the reference? With p the upper end of a Clopper-Pearson interval
of the reference rate, and X the predictions one after the other, the likelihood ratio of a rate q > p against p is a
supermartingale under every rate up to p. Mixed over rates q (Robbins 1970) and over the moment at which the change
begins, with weights 1/(j(j+1)), it stays one, and by Ville's inequality it ever reaches 1/a with probability at most
a. Half of the user's false alarm rate goes to the references, half to the tests, each divided by the classes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from verifluxa.data.dataset import shown
from verifluxa.data.npz import Npz, read_bytes
from verifluxa.data.tables import csv_rows
from verifluxa.data.texts import json_lines
from verifluxa.errors import DataError, UsageError
from verifluxa.triage.guard.runtime import Truth, check, check_rows, check_texts, load

ARRAYS = ("x", "images", "tokens", "train_x", "test_x")


def predictions(path: str, column: str) -> list[str]:
    """The predicted classes of a log, in order.

    Raises:
        DataError: VF8074 when a record has no class; what the readers raise.
    """
    found = []
    for number, record in _records(path):
        value = record.get(column)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise DataError(
                "VF8074",
                f"record {number} has no {shown(column)}",
                place=path,
                expected=f"the predicted class in each record: a CSV column or JSON key called {shown(column)}",
                remedy="name another one with --column",
            )
        found.append(str(value).strip())
    return found


def _records(path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    content = read_bytes(path)
    if Path(path).suffix.lower() == ".csv":
        rows = csv_rows(content, path)
        header = [name.strip() for name in next(rows, (0, []))[1]]
        yield from ((number, dict(zip(header, row, strict=False))) for number, row in rows)
        return
    for number, line in json_lines(content, path):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise _no_inputs(f"line {number} is no JSON object", path)
        yield number, entry


def read_guard(path: str) -> dict[str, Any]:
    """Reads a guard file.

    Raises:
        DataError: VF8070 when it cannot be read or is no guard.
    """
    try:
        return load(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            "VF8070",
            f"this is no guard: {reason}",
            place=path,
            expected="the JSON file that `verifluxa guard export` wrote",
            remedy="export the guard again from its result",
        ) from None


def present(guard: dict[str, Any], path: str) -> Truth:
    """Which triggers are present in which inputs of a file, shape (N, triggers).

    Raises:
        DataError: VF8075 when the inputs are not those that the guard is for; what the readers raise.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        return _arrays(guard, path)
    if suffix == ".csv":
        rows = [{str(k): str(v) for k, v in record.items()} for _, record in _records(path)]
        wanted = {name for one in guard["triggers"] for name in one.get("columns", {})}
        missing = sorted(name for name in wanted if not rows or name not in rows[0])
        if not wanted or missing:
            raise _no_inputs(f"there is no column {', '.join(map(shown, missing)) or 'that it asks for'}", path)
        return check_rows(guard, rows)
    if suffix != ".jsonl":
        raise _no_inputs(f"the ending `{suffix}` says nothing", path)
    texts = [record.get("text") for _, record in _records(path)]
    if not all(isinstance(text, str) for text in texts) or any(one["kind"] != "words" for one in guard["triggers"]):
        raise _no_inputs("a line has no `text`, or the guard is not for texts", path)
    return check_texts(guard, [str(text) for text in texts])


def _arrays(guard: dict[str, Any], path: str) -> Truth:
    arrays = Npz(read_bytes(path), path)
    name = next((one for one in ARRAYS if one in arrays.names), None)
    if name is None:
        raise _no_inputs(f"none of its arrays is called {', '.join(ARRAYS)}", path)
    inputs = arrays.array(name)
    if inputs.ndim == 4 and len(guard["shape"]) == 3 and inputs.shape[1:] == tuple(np.roll(guard["shape"], -1)):
        inputs = np.moveaxis(inputs, 3, 1)
    try:
        return check(guard, inputs)
    except (ValueError, TypeError) as error:
        raise _no_inputs(str(error), path) from None


def _no_inputs(reason: str, path: str) -> DataError:
    return DataError(
        "VF8075",
        f"these are no inputs for this guard or log: {reason}",
        place=path,
        expected="inputs as the spec counts them: x in .npz, `text` in .jsonl, the columns of the table in .csv",
    )


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
