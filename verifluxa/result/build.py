"""From the outcomes of a property's questions to its result."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from verifluxa.errors import Span
from verifluxa.evidence import Outcome, Witness
from verifluxa.question import Problem, Question
from verifluxa.result.result import Counterexample, Counts, Place, PropertyResult, Share
from verifluxa.result.trigger import trigger_grid
from verifluxa.verdict import Reason, Verdict, combine


@dataclass(frozen=True)
class PropertyQuery:
    """What the spec says of a property.

    Attributes:
        name: in the spec.
        words: the statement in plain words.
        span: where it stands.
        digest: the property digest.
        limit: the allowed rate, or None.
        classes: names of the model's classes, or empty.
        kind: `assert`, `search`, `measure` or `compare`.
        condition: what counts, in words, where the property speaks of outputs in place of the class.
        limits: (target, limit) of targets with a limit of their own.
        gap: how far the ends of a measurement may be apart; None for other kinds.
        everywhere: whether that holds of each placement and target by itself.
    """

    name: str
    words: str
    span: Span | None
    digest: str
    limit: Fraction | None
    classes: tuple[str, ...] = ()
    kind: str = "assert"
    condition: str | None = None
    limits: tuple[tuple[int, Fraction], ...] = ()
    gap: Fraction | None = None
    everywhere: bool = False

    def limit_of(self, target: int | None) -> Fraction | None:
        """The rate that is allowed for a target."""
        return dict(self.limits).get(target, self.limit) if target is not None else self.limit


@dataclass(frozen=True)
class Spent:
    """Seconds: of the attack, and in all."""

    attack: float
    total: float


def property_result(
    asked: PropertyQuery, problem: Problem, outcomes: Sequence[Outcome], spent: Spent
) -> PropertyResult:
    """Puts the result of a property together.

    Args:
        asked: what the spec says of it.
        problem: its questions.
        outcomes: one for each of them.
        spent: the time that it took.
    """
    verdict = combine(outcome.verdict for outcome in outcomes)
    found, proved = (None, None) if problem.per_input else _bound(problem, outcomes)
    return PropertyResult(
        name=asked.name,
        words=asked.words,
        span=asked.span,
        verdict=verdict,
        reason=_reason(outcomes) if verdict is Verdict.UNKNOWN else None,
        digest=asked.digest,
        limit=asked.limit,
        found=found,
        proved=proved,
        counts=_counts(outcomes),
        counted=len(problem.counted),
        per_input=_per_input(problem, outcomes) if problem.per_input else (),
        places=_places_by_input(problem, outcomes) if problem.per_input else _places(problem, outcomes),
        unknown=_unknown(problem, outcomes),
        counterexample=_strongest(problem, outcomes) if verdict is Verdict.FALSIFIED else None,
        stages=_stages(outcomes, spent.attack),
        seconds=spent.total,
        classes=asked.classes,
        problem=problem,
        kind=asked.kind,
        condition=asked.condition,
        limits=asked.limits,
        gap=asked.gap,
        everywhere=asked.everywhere,
        closed=_closed(outcomes),
    )


def unasked_result(asked: PropertyQuery, reason: Reason, message: str | None = None) -> PropertyResult:
    """The result of a property whose questions could not even be put: it counts as one unknown question."""
    return PropertyResult(
        name=asked.name,
        words=asked.words,
        span=asked.span,
        verdict=Verdict.UNKNOWN,
        reason=reason,
        digest=asked.digest,
        limit=asked.limit,
        found=None,
        proved=None,
        counts=Counts(1, 0, 0, 1, 0),
        counted=0,
        per_input=(),
        places=(),
        unknown=((asked.name, reason),),
        counterexample=None,
        stages={},
        seconds=0.0,
        classes=asked.classes,
        message=message,
        kind=asked.kind,
        condition=asked.condition,
        limits=asked.limits,
        gap=asked.gap,
        everywhere=asked.everywhere,
    )


def words_of(problem: Problem, question: Question) -> str:
    """A question in words: `row 3, column 5, target 7`; of one input: `input 17, row 3, column 5, untargeted`."""
    parts = [f"{name} {value}" for name, value in problem.placements[question.placement].label]
    parts.append(problem.violations[question.violation].label)
    if problem.per_input:
        parts.insert(0, f"input {problem.indices[int(problem.selections[question.selection][0])]}")
    return ", ".join(parts)


def _bound(problem: Problem, outcomes: Iterable[Outcome]) -> tuple[Share, Share]:
    """The largest found and the largest proved rate over all questions."""
    shares = [_shares(problem, outcome) for outcome in outcomes]
    return max((found for found, _ in shares), key=_size), max((proved for _, proved in shares), key=_size)


def _size(share: Share) -> tuple[Fraction, int]:
    return share.rate, share.total


def _shares(problem: Problem, outcome: Outcome) -> tuple[Share, Share]:
    total = problem.totals[outcome.question.selection]
    return Share(outcome.found, total), Share(min(outcome.proved, total), total)


def _counts(outcomes: Sequence[Outcome]) -> Counts:
    by_verdict = Counter(outcome.verdict for outcome in outcomes)
    return Counts(
        total=len(outcomes),
        certified=by_verdict[Verdict.CERTIFIED],
        falsified=by_verdict[Verdict.FALSIFIED],
        unknown=by_verdict[Verdict.UNKNOWN],
        skipped=sum(outcome.reason is Reason.DECIDED for outcome in outcomes),
    )


def _reason(outcomes: Iterable[Outcome]) -> Reason:
    """Why the property is unknown: an interruption explains all that is open; else the commonest reason."""
    reasons = Counter(outcome.reason for outcome in outcomes if outcome.reason not in (None, Reason.DECIDED))
    if Reason.INTERRUPTED in reasons:
        return Reason.INTERRUPTED
    reason = max(reasons, key=lambda item: (reasons[item], str(item)))
    assert reason is not None
    return reason


def _per_input(problem: Problem, outcomes: Iterable[Outcome]) -> tuple[tuple[int, Verdict], ...]:
    """The verdict of each input: falsified by one counterexample, certified only where every question is."""
    verdicts: dict[int, list[Verdict]] = defaultdict(list)
    for outcome in outcomes:
        verdicts[int(problem.selections[outcome.question.selection][0])].append(outcome.verdict)
    return tuple((problem.indices[index], combine(verdicts[index])) for index in sorted(verdicts))


def _places(problem: Problem, outcomes: Iterable[Outcome]) -> tuple[Place, ...]:
    places = []
    for outcome in outcomes:
        found, proved = _shares(problem, outcome)
        question = outcome.question
        target = problem.violations[question.violation].target
        places.append(Place(problem.placements[question.placement].label, target, found, proved))
    return tuple(places)


def _places_by_input(problem: Problem, outcomes: Iterable[Outcome]) -> tuple[Place, ...]:
    """At each placement: how many inputs are known to be flipped, and how many are not proved safe."""
    groups: dict[tuple[int, int | None], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        target = problem.violations[outcome.question.violation].target
        groups[outcome.question.placement, target].append(outcome)
    places = []
    for (placement, target), group in groups.items():
        flipped = sum(outcome.verdict is Verdict.FALSIFIED for outcome in group)
        unsafe = sum(outcome.verdict is not Verdict.CERTIFIED for outcome in group)
        label = problem.placements[placement].label
        places.append(Place(label, target, Share(flipped, len(group)), Share(unsafe, len(group))))
    return tuple(places)


def _unknown(problem: Problem, outcomes: Iterable[Outcome]) -> tuple[tuple[str, Reason], ...]:
    return tuple(
        (words_of(problem, outcome.question), outcome.reason)
        for outcome in outcomes
        if outcome.reason is not None and outcome.reason is not Reason.DECIDED
    )


def _stages(outcomes: Iterable[Outcome], attack: float) -> Mapping[str, float]:
    """Seconds of work by stage.

    The questions of a placement go through the stages together and each tells how long after the start it was
    decided, so a stage took from the last answer of the one before it to its own last answer.
    """
    ends: dict[int, dict[str, float]] = defaultdict(dict)
    for outcome in outcomes:
        if outcome.stage and outcome.seconds:
            at_place = ends[outcome.question.placement]
            at_place[outcome.stage] = max(at_place.get(outcome.stage, 0.0), outcome.seconds)
    stages: dict[str, float] = {"attack": attack} if attack else {}
    for at_place in ends.values():
        before = 0.0
        for stage, end in sorted(at_place.items(), key=lambda item: item[1]):
            stages[stage] = stages.get(stage, 0.0) + end - before
            before = end
    return stages


def _closed(outcomes: Iterable[Outcome]) -> Mapping[str, int]:
    """How many questions each stage decided, in the order in which stages first did."""
    return Counter(outcome.stage for outcome in outcomes if outcome.stage and outcome.verdict is not Verdict.UNKNOWN)


def _strongest(problem: Problem, outcomes: Iterable[Outcome]) -> Counterexample:
    """The counterexample with the largest rate; among equals the one that stands in more evaluation orders."""
    refuted = [(outcome.question, outcome.witness) for outcome in outcomes if outcome.witness is not None]
    return shown_trigger(problem, *max(refuted, key=lambda pair: _strength(problem, *pair)))


def shown_trigger(problem: Problem, question: Question, witness: Witness) -> Counterexample:
    """A replayed trigger as people see it."""
    placement = problem.placements[question.placement]
    share = Share(len(witness.inputs), problem.replayed_total(question.selection))
    return Counterexample(
        placement=placement.label,
        placement_index=question.placement,
        violation=question.violation,
        selection=question.selection,
        target=problem.violations[question.violation].target,
        trigger=trigger_grid(problem, placement, witness.trigger),
        inputs=tuple(problem.indices[index] for index in witness.inputs),
        rate=None if problem.per_input else share,
        margin=deciding_margin(witness.margins, question.threshold),
        holds_in="every order" if witness.robust >= question.threshold else "this replay",
        words=problem.domain_of(question.placement).described(witness.trigger),
    )


def _strength(problem: Problem, question: Question, witness: Witness) -> tuple[Fraction, int, float]:
    total = problem.replayed_total(question.selection)
    return Fraction(len(witness.inputs), total), witness.robust, deciding_margin(witness.margins, question.threshold)


def deciding_margin(margins: Sequence[float], threshold: int) -> float:
    """The margin that the verdict rests on: the `threshold`-th largest, since weaker ones could be left out."""
    return sorted(margins, reverse=True)[min(threshold, len(margins)) - 1]
