"""One line for each class, and the rule that calls a class suspect.

The thresholds were fixed with `benchmarks/bench_scan.py` on other seeds than those whose rates the documents report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from verifluxa.question import Floats
from verifluxa.result.result import Share
from verifluxa.triage.scan.inversion import Inverted
from verifluxa.triage.scan.probes import Tried
from verifluxa.triage.scan.rates import Ends, by_target, largest_proved, strongest

# How far one class lies from the others: the anomaly index of Neural Cleanse, and the share of the median.
#
# Wang et al., "Neural Cleanse", IEEE S&P 2019, section IV-B: the deviation of a value from the median, divided by the
# median absolute deviation (MAD) times 1.4826, which is the standard deviation where values are normal.

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


# A line for each class, and the rule

MASK_SHARE, CHANGE_SHARE = 0.25, 0.5
"""A class is suspect where its smallest mask, or change, is below this share of the median class's."""
PATCH_RATE, LISTED_RATE = 0.9, 0.8
"""And where a patch, or a word or value, sends at least this share of the inputs of other classes there."""
PROBE_RATE = 0.98
"""A known trigger; large bright ones move most digits of a small clean network as well."""
REACHED = 0.8
"""Share of all inputs that an inverted trigger must move as deployed; it was searched on a few of them."""


@dataclass(frozen=True)
class Reason:
    """Why a class is suspect.

    Attributes:
        measure: `trigger`, `mask`, `change` or `probe`.
        words: one sentence.
        score: how far beyond the threshold; 1 is at it.
    """

    measure: str
    words: str
    score: float


@dataclass(frozen=True, eq=False)
class ClassRow:
    """What is known of one class as a target.

    Attributes:
        target, name: the class.
        best: the strongest trigger of fixed size.
        proved: no trigger of the family does more, at any place; None where that was not proved in the time.
        sizes: of the smallest mask and change; NaN where none was found.
        shares: the same as shares of the median over the classes.
        indices: anomaly indices (Neural Cleanse) of `mask`, `change`, `found`, `proved`; NaN where there is none.
        reasons: why it is suspect; empty: nothing was found.
        score: of the strongest measure; a class is suspect from 1 on.
    """

    target: int
    name: str
    best: Ends
    proved: Share | None
    sizes: Mapping[str, float]
    shares: Mapping[str, float]
    indices: Mapping[str, float]
    reasons: tuple[Reason, ...] = ()
    score: float = field(default=0.0)


@dataclass(frozen=True, eq=False)
class Seen:
    """All that was measured.

    Attributes:
        names: of the classes.
        ends: of all places and targets.
        inverted: the smallest masks and changes; empty where inputs are no images.
        probes: known triggers.
        what: what the trigger family puts, in words: `a patch of 3 x 3 px`.
        rate: the share of inputs from which a trigger of the family is suspect.
    """

    names: Sequence[str]
    ends: Sequence[Ends]
    inverted: Sequence[Inverted]
    probes: Sequence[Tried]
    what: str
    rate: float


def class_rows(seen: Seen) -> list[ClassRow]:
    """One row for each class, the most suspect first."""
    classes = range(len(seen.names))
    own = by_target(seen.ends)
    best = [strongest(own[target]) for target in classes]
    proved = [largest_proved(own[target]) for target in classes]
    sizes = {one.kind.name: one.size for one in seen.inverted}
    indices = {name: anomaly_index(size, small=True) for name, size in sizes.items()}
    indices["found"] = anomaly_index(_rates([one.found for one in best]), small=False)
    indices["proved"] = anomaly_index(_rates(proved), small=False)
    shares = {name: share_of_median(size) for name, size in sizes.items()}
    rows = []
    for target in classes:
        scored = list(_scored(seen, target, best[target], shares))
        rows.append(
            ClassRow(
                target=target,
                name=seen.names[target],
                best=best[target],
                proved=proved[target],
                sizes={name: float(size[target]) for name, size in sizes.items()},
                shares={name: float(share[target]) for name, share in shares.items()},
                indices={name: float(index[target]) for name, index in indices.items()},
                reasons=tuple(sorted((one for one in scored if one.score >= 1), key=lambda one: -one.score)),
                score=max((one.score for one in scored), default=0.0),
            )
        )
    return sorted(rows, key=lambda row: (-row.score, row.target))


def _rates(shares: Sequence[Share | None]) -> Floats:
    return np.array([np.nan if share is None else float(share.rate) for share in shares])


def _scored(seen: Seen, target: int, best: Ends, shares: Mapping[str, Floats]) -> list[Reason]:
    """Every measure of a class, with its score."""
    found = best.found
    reasons = [
        Reason(
            "trigger",
            f"{seen.what} sends {found} inputs of other classes there",
            float(found.rate) / seen.rate,
        )
    ]
    limits = {"mask": (MASK_SHARE, "mask"), "change": (CHANGE_SHARE, "change of all pixels")}
    for one in seen.inverted:
        limit, words = limits[one.kind.name]
        share = float(shares[one.kind.name][target])
        if share > 0 and one.success[target] >= REACHED:
            sentence = f"the smallest {words} that sends inputs there has {share:.2f} of the usual size"
            reasons.append(Reason(one.kind.name, sentence, limit / share))
    for probe in seen.probes:
        if probe.target == target:
            sentence = (
                f"the known trigger `{probe.name}` sends {probe.success:.0%} there, without it {probe.before:.0%}"
            )
            reasons.append(Reason("probe", sentence, (probe.success - probe.before) / PROBE_RATE))
    return reasons
