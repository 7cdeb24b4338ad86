"""What a trigger of the evidence does, evaluated by this checker: in every allowed evaluation, in some, in its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.adjoint import row_radii
from verifluxa.certificate.check.claim import Claim, Share
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.network import LAST_ONLY, Constants, constants_of, evaluated
from verifluxa.certificate.refuse import refused, require
from verifluxa.certificate.statement import Counterexample, Nested
from verifluxa.graph.graph import Graph
from verifluxa.question import Question

EVERY_ORDER = "every order"
SOFTMAX_ERROR = 2.0**-18
"""Of a softmax or logsoftmax in the deployed arithmetic, beyond what its inputs are off, per unit of a result."""
NEAR = 1e-9
"""Relative error of a margin that was rounded once more when it was written."""
Flags = NDArray[np.bool_]
Options = Sequence[Sequence[tuple[int, ...]]]
"""Of each input the alternatives that a violation has, each as numbers of rows."""


@dataclass(frozen=True, eq=False)
class Effect:
    """What one trigger does to the inputs of a selection, in its order.

    Attributes:
        question: what it was shown for.
        trigger: its values, shape (d,).
        chosen: the inputs, indices into the claim's, shape (n,).
        share: how many of them count.
        surely: which violate in every evaluation, shape (n,).
        replayed: which violate in this checker's own evaluation, shape (n,).
        possibly: which violate in some evaluation, shape (n,).
        margins: least and largest strict margin of the deployed evaluation, shape (n, 2).
    """

    question: Question
    trigger: Floats
    chosen: NDArray[np.int64]
    share: Share
    surely: Flags
    replayed: Flags
    possibly: Flags
    margins: Floats

    def counting(self, claim: Claim, which: Flags) -> int:
        """How many of some of the inputs count in every evaluation."""
        return int((which & claim.surely[self.chosen]).sum())

    def always_refutes(self, claim: Claim) -> bool:
        """Whether it breaks the claim in every evaluation, and whichever of the inputs in doubt count."""
        threshold = claim.threshold_of(self.question.selection, self.share.most)
        return self.counting(claim, self.surely) >= max(1, threshold)

    def refutes(self, claim: Claim) -> bool:
        """Whether it breaks the claim in some evaluation for sure: in all of them, or in this checker's own."""
        counts = claim.replayed[self.chosen]
        threshold = claim.threshold_of(self.question.selection, int(counts.sum()) + claim.replayed_besides)
        return self.always_refutes(claim) or int((counts & self.replayed).sum()) >= max(1, threshold)


class Triggers:
    """Evaluates triggers of one property."""

    def __init__(self, claim: Claim, graph: Graph, arithmetic: str) -> None:
        self.claim, self.graph, self.arithmetic = claim, graph, arithmetic

    @np.errstate(all="ignore")
    def effect(self, question: Question, trigger: Floats) -> Effect:
        """What a trigger does.

        Args:
            question: what it was shown for.
            trigger: its values, as the evidence has them.

        Raises:
            CertificateError: VF5057 for one that is not of the family.
        """
        claim = self.claim
        if trigger.shape != claim.positions.shape[1:] or not _on_grid(trigger, claim):
            raise refused("VF5057", f"the trigger of question {list(question)} is not in its domain")
        chosen = np.array(claim.selections[question.selection], dtype=np.int64)
        stamped = claim.inputs[chosen].reshape(len(chosen), -1)
        stamped[:, claim.positions[question.placement]] = trigger
        constants = constants_of(self.graph, stamped, self.arithmetic)
        assert constants is not None, "whatever the domain reaches was found not to overflow"
        options = [claim.violations[question.violation][int(claim.labels[index])] for index in chosen]
        value, radius = self._rows(constants, options)
        # A violation is strict in the outputs themselves: in front of a softmax by more than may tie behind it.
        surely = _met(value + claim.constants[:, 0] - radius > 0, options)
        possibly = _met(value + claim.constants[:, 2] + radius > 0, options)
        own = None if self.arithmetic == "real" else evaluated(constants.steps, stamped, self.graph.dtype)
        replayed = surely if own is None else _met(self._own(own) > 0, options)
        margins = self._margins(constants, (value, radius), stamped, options)
        share = claim.shares[question.selection]
        return Effect(question, trigger, chosen, share, surely, replayed | surely, possibly, margins)

    def _margins(self, constants: Constants, rows: tuple[Floats, Floats], stamped: Floats, options: Options) -> Floats:
        """Least and largest strict margin of the deployed evaluation, shape (n, 2); infinite where nothing is known."""
        deployed = constants
        if self.arithmetic != self.graph.dtype:
            other = constants_of(self.graph, stamped, self.graph.dtype)
            if other is None:
                return np.full((len(stamped), 2), (-np.inf, np.inf))
            deployed, rows = other, self._rows(other, options)
        if self._last is None:
            value = rows[0] + self.claim.constants[:, 1]
            bounds = value - rows[1], value + rows[1]
        else:
            bounds = self._behind(deployed)
        return np.stack([_margin(bound, options) for bound in bounds], axis=1)

    def _rows(self, constants: Constants, options: Options) -> tuple[Floats, Floats]:
        """Values of all rows without their constants, and how far they may be off, shape (n, R).

        Only the rows that some alternative of an input names are looked at: the radius of others is infinite.
        """
        weight, named = self.claim.weight, [sorted({row for item in every for row in item}) for every in options]
        value = (weight @ constants.balls[-1].value).T
        radius, width = np.full(value.shape, np.inf), max(map(len, named), default=0)
        # As many of each input as the one with most has: where one has fewer its first row stands in again.
        table = np.array([(own + (own or [0])[:1] * width)[:width] for own in named], dtype=np.int64)
        radius[np.arange(len(named))[:, None], table] = row_radii(constants, weight[table])
        return value, radius

    def _own(self, outputs: Floats) -> Floats:
        """Least values of all rows in this checker's own evaluation, shape (n, R)."""
        rows = self.claim.weight @ outputs + self.claim.constants[:, 0, None]
        return np.where(np.isnan(rows), -np.inf, rows).T

    @property
    def _last(self) -> str | None:
        """The softmax behind what the rows speak of."""
        kind = self.graph.nodes[-1].op.kind
        return kind if kind in LAST_ONLY else None

    def _behind(self, readout: Constants) -> tuple[Floats, Floats]:
        """Least and largest values of all rows over the outputs themselves, behind a softmax, shape (n, R)."""
        ball = readout.balls[-1]
        value = ball.value - ball.value.max(axis=0)
        value = value - np.log(np.exp(value).sum(axis=0))
        error = 2 * ball.error.max(axis=0) + SOFTMAX_ERROR * (1 + np.abs(value))
        if self._last == "softmax":
            value, error = np.exp(value), np.minimum(error, 1.0)
        middle, radius = self.claim.weight @ value, np.abs(self.claim.weight) @ error
        return (middle - radius).T, (middle + radius).T


def check_example(claim: Claim, example: Counterexample, effects: Sequence[Effect]) -> Effect:
    """A stated counterexample must be one of the evidence's triggers, and do what is stated.

    Returns:
        What its trigger does.

    Raises:
        CertificateError: VF5057.
    """
    facts: list[tuple[str, bool]] = []
    # Of single inputs the same trigger may refute several.
    for effect in effects:
        if _is_same(claim, example, effect):
            facts = _facts(claim, example, effect)
            if all(holds for _, holds in facts):
                return effect
    require("VF5057", "the counterexample states other {} than its trigger gives", facts)
    raise refused("VF5057", "no trigger of the evidence is the counterexample of the certificate")


def unsupported(claim: Claim, example: Counterexample, effect: Effect) -> list[str]:
    """What a counterexample states that does not follow from what its trigger does, in words."""
    listed = _listed(claim, example, effect)
    shown = not claim.unjudged and bool((effect.surely | effect.replayed)[listed].all())
    facts = (
        ("holds in every order of evaluation", example.holds_in != EVERY_ORDER or effect.always_refutes(claim)),
        ("misleads exactly the inputs that it lists", shown),
        ("has the margin that it states", not claim.unjudged and bool(np.isfinite(effect.margins[listed]).all())),
    )
    return [f"that its counterexample {what}" for what, follows in facts if not follows]


def _is_same(claim: Claim, example: Counterexample, effect: Effect) -> bool:
    row, column = claim.places[effect.question.placement]
    same = tuple(sorted(example.placement)) == (("column", column), ("row", row))
    target = claim.targets[effect.question.violation]
    return same and example.target == target and _same_trigger(claim, example.trigger, effect.trigger)


def _facts(claim: Claim, example: Counterexample, effect: Effect) -> list[tuple[str, bool]]:
    listed = _listed(claim, example, effect)
    known = len(listed) == len(set(listed)) == len(example.inputs) > 0
    sure = np.flatnonzero(effect.surely & claim.surely[effect.chosen])
    between = known and set(sure.tolist()) <= set(listed) and bool(effect.possibly[listed].all())
    selection, share = effect.question.selection, effect.share
    totals = range(max(1, share.stated), len(effect.chosen) + 1)
    fits = [total for total in totals if example.rate is None or example.rate * total == len(listed)]
    enough = [total for total in fits if len(listed) >= max(1, claim.threshold_of(selection, total))]
    facts = [
        ("inputs", between),
        ("rate", bool(fits) and (example.rate is None) == claim.per_input),
        ("inputs, too few of them,", bool(enough)),
        ("replay", example.replayed),
    ]
    if not all(holds for _, holds in facts):
        return facts
    # What the verdict rests on is the threshold-th largest margin, since weaker ones could be left out.
    place = min(max(1, claim.threshold_of(selection, enough[0])), len(listed)) - 1
    low, high = (np.sort(part)[::-1][place] for part in effect.margins[listed].T)
    stated, slack = float(example.margin), NEAR * (1 + abs(float(example.margin)))
    return [*facts, ("margin", bool(stated > 0 and low - slack <= stated <= high + slack))]


def _listed(claim: Claim, example: Counterexample, effect: Effect) -> list[int]:
    """The inputs of a counterexample, as numbers of the selection that its trigger was shown for."""
    positions = {claim.indices[index]: number for number, index in enumerate(effect.chosen.tolist())}
    return [positions[index] for index in example.inputs if index in positions]


def _same_trigger(claim: Claim, stated: Nested, trigger: Floats) -> bool:
    """Whether nested decimals, rows of pixels with a value or one for each channel, are the values of a trigger."""
    rows, columns, channels = claim.extent
    try:
        levels = np.array(stated, dtype=np.float64)
    except ValueError:
        return False
    if levels.shape != ((rows, columns) if channels == 1 else (rows, columns, channels)):
        return False
    return bool((levels.reshape(rows, columns, channels).transpose(2, 0, 1).ravel() == trigger).all())


def _met(rows: Flags, options: Options) -> Flags:
    """Which inputs meet all rows of some alternative, shape (n,)."""
    return np.array([any(row[list(item)].all() for item in every) for row, every in zip(rows, options, strict=True)])


def _margin(rows: Floats, options: Options) -> Floats:
    """The best alternative's worst row, shape (n,)."""
    pairs = zip(rows, options, strict=True)
    return np.array([max((row[list(item)].min() for item in every), default=-np.inf) for row, every in pairs])


def _on_grid(tau: Floats, claim: Claim) -> bool:
    inside = bool(((tau >= claim.lower) & (tau <= claim.upper)).all())
    return inside and (not claim.step or all((Fraction(x) - Fraction(claim.lower)) % claim.step == 0 for x in tau))
