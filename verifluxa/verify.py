"""The whole pipeline on one page: spec -> models and data -> questions -> outcomes -> result."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

from verifluxa import __version__
from verifluxa.arguments import Number, choice_of
from verifluxa.asking import build_problem, describe_property
from verifluxa.certificate.population import population_bound
from verifluxa.data.dataset import Arrays
from verifluxa.dispatch.cluster import Cluster, load_cluster, open_pool
from verifluxa.dispatch.driver import Answers, Plan, drive, unasked
from verifluxa.dispatch.engine import StrategyEngine, check_device
from verifluxa.dispatch.measure import Closeness, compare, measure
from verifluxa.dispatch.observe import EvidenceSink, NoEvidence, Observer, Progress, Silent
from verifluxa.dispatch.slices import Engine, Pool
from verifluxa.dispatch.warm import warm_begun
from verifluxa.durations import seconds
from verifluxa.errors import UnsupportedError, UsageError
from verifluxa.graph.arithmetic import check_known
from verifluxa.graph.graph import Graph
from verifluxa.inputs import Choice, Inputs, LoadedModel, load_inputs
from verifluxa.question import Problem
from verifluxa.result.build import PropertyQuery, Spent, property_result, shown_trigger, unasked_result
from verifluxa.result.result import (
    Compared,
    Counterexample,
    DataUsed,
    FileUsed,
    Machine,
    ModelUsed,
    Properties,
    PropertyResult,
    Result,
    Share,
)
from verifluxa.spec.spec import Compare, Property, claims_of
from verifluxa.strategy.load import Strategy, load_strategy
from verifluxa.verdict import Reason


@dataclass(frozen=True)
class Request:
    """What is to be verified, and how.

    Attributes:
        spec: path of the spec, or the name of one in the library.
        choice: what the user chooses over the spec.
        strategy, cluster: names in the library, or paths of `.toml` files.
        budget: seconds for the whole run, or None.
        arithmetic: which evaluations the proof covers: `float32`, `float64`, `real`; None for the model's own.
        seed: of every random choice; None for the strategy's own.
        gap: how far the ends of a measurement may be apart, as an exact fraction; None for what the spec says.
    """

    spec: str
    choice: Choice = field(default_factory=Choice)
    strategy: str = "balanced"
    cluster: str = "laptop"
    budget: float | None = None
    arithmetic: str | None = None
    seed: int | None = None
    gap: str | None = None


@dataclass(frozen=True)
class RunContext:
    """Who takes part in a run beside the pipeline itself.

    Attributes:
        observer: is told about progress.
        evidence: keeps what closed each question.
        engine: works on the slices; None for the strategy's stages.
        pool: an open pool to work on; None for one of its own.
        warm: the folder of an older result, whose split trees are tried first.
    """

    observer: Observer = field(default_factory=Silent)
    evidence: EvidenceSink = field(default_factory=NoEvidence)
    engine: Engine | None = None
    pool: Pool | None = None
    warm: Path | None = None


def verify(
    spec: str | Path,
    *,
    models: Mapping[str, str | Path | Graph] | None = None,
    data: Mapping[str, str | Path | Arrays] | None = None,
    params: Mapping[str, Number] | None = None,
    properties: str | Sequence[str] = (),
    strategy: str | Path = "balanced",
    cluster: str | Path = "laptop",
    budget: str | float | timedelta | None = None,
    arithmetic: str | None = None,
    seed: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Verifies the properties of a spec.

    Args:
        spec: path of the spec, or the name of one in the library.
        models: by the name in the spec, in place of what the spec says: a file, or what `load_model` gave.
        data: likewise: a file, an array of inputs, or (inputs, labels), as an `.npz` file has them.
        params: values by name: `"2 %"`, `0.02`, `Fraction(1, 50)`.
        properties: names; all when left out.
        strategy: how to prove: a name in the library, or the path of a `.toml` file.
        cluster: where to prove, likewise.
        budget: for the whole run: seconds, `"90s"`, `"5m"`, a `timedelta`; no limit when left out.
        arithmetic: which evaluations the proof covers: `float32`, `float64`, `real`; the model's own when left out.
        seed: of every random choice; the strategy's own when left out.
        progress: is called a few times a second with where the work stands.

    Raises:
        VerifluxaError: whatever the user can mend: the spec, a model or data file, a name or a value.
        TypeError: for an argument of another name.
    """
    choice = choice_of(models, data, params, properties)
    request = Request(str(spec), choice, str(strategy), str(cluster), seconds(budget), arithmetic, seed)
    return run(request, watched_by(progress))


@dataclass(frozen=True)
class Watcher:
    """An observer that is a function."""

    update: Callable[[Progress], None]


def watched_by(progress: Callable[[Progress], None] | None) -> RunContext:
    """A run that tells a function where the work stands."""
    return RunContext() if progress is None else RunContext(Watcher(progress))


@dataclass(frozen=True)
class Ready:
    """A property before the work: its questions, or why they cannot be put.

    Attributes:
        prop: what the spec says.
        asked: the same in words and digests.
        problem: its questions; None where they cannot be put.
        other: those of the model that is compared with; None where nothing is compared.
        reason, message: why not.
    """

    prop: Property
    asked: PropertyQuery
    problem: Problem | None
    other: Problem | None = None
    reason: Reason = Reason.UNSUPPORTED
    message: str | None = None


@dataclass(frozen=True)
class Prepared:
    """A run before the work: everything is read, checked and put into questions."""

    strategy: Strategy
    cluster: Cluster
    inputs: Inputs
    ready: tuple[Ready, ...]
    arithmetic: str
    deadline: float | None


def run(request: Request, context: RunContext | None = None) -> Result:
    """Runs the whole pipeline. Ctrl-C ends it with a valid result: what was proved stays proved.

    Raises:
        VerifluxaError: whatever the user can mend.
        EngineCrash: a mistake of ours; never a verdict.
    """
    return carry_out(prepare(request), context)


def prepare(request: Request) -> Prepared:
    """Reads and checks everything and puts all questions, so that every mistake shows before any work is done.

    Raises:
        VerifluxaError: whatever the user can mend.
    """
    deadline = None if request.budget is None else time.monotonic() + request.budget
    strategy = load_strategy(request.strategy)
    if request.seed is not None:
        strategy = replace(strategy, seed=request.seed)
    cluster = load_cluster(request.cluster)
    check_device(cluster.own_device)
    if request.arithmetic is not None:
        check_known(request.arithmetic)
    inputs = load_inputs(request.spec, request.choice)
    arithmetic = request.arithmetic or _deployed(inputs)
    if strategy.bounds != "native":
        from verifluxa.search import check_engine

        check_engine(arithmetic)
    gap = None if request.gap is None else Fraction(request.gap)
    ready = tuple(_make_ready(inputs, prop, arithmetic, gap) for prop in inputs.properties)
    return Prepared(strategy, cluster, inputs, ready, arithmetic, deadline)


def _deployed(inputs: Inputs) -> str:
    """The arithmetic in which the models compute."""
    names = {claim.model for prop in inputs.properties for claim in claims_of(prop.statement)}
    types = {inputs.models[name].lifted.graph.dtype for name in names}
    if len(types) > 1:
        raise UsageError(
            "VF4404",
            f"the models of this spec compute in different types: {', '.join(sorted(types))}",
            expected="properties of one type in a run",
            remedy="verify them one by one with --property NAME, or all with --arithmetic real",
        )
    return types.pop()


def carry_out(prepared: Prepared, context: RunContext | None = None) -> Result:
    """Does the work.

    Raises:
        VerifluxaError: whatever the user can mend.
        EngineCrash: a mistake of ours; never a verdict.
    """
    context = context or RunContext()
    cluster = prepared.cluster
    pool = context.pool or pool_for(prepared, context.engine)
    plan = Plan(
        attack_slice=cluster.attack_slice,
        prove_slice=cluster.prove_slice,
        deadline=prepared.deadline,
        tries=cluster.tries,
        limits=cluster.limits,
        pieces=cluster.pieces,
    )
    try:
        properties = _decide_all(prepared, pool, plan, context)
    finally:
        if context.pool is None:
            pool.close()
    return _result(prepared, properties)


def pool_for(prepared: Prepared, engine: Engine | None = None) -> Pool:
    """The pool of a run's cluster; close it after use.

    Raises:
        UsageError: VF4430 to VF4434 when a Ray cluster cannot be used.
    """
    cluster, strategy = prepared.cluster, prepared.strategy
    on_cluster = engine or StrategyEngine(strategy, cluster.device, cluster.threads)
    return open_pool(cluster, on_cluster, engine or StrategyEngine(strategy, "cuda", cluster.threads))


def _make_ready(inputs: Inputs, prop: Property, arithmetic: str, gap: Fraction | None) -> Ready:
    asked, other = describe_property(inputs, prop, gap), None
    try:
        if isinstance(prop.statement, Compare):
            compared = replace(prop, statement=prop.statement.old)
            other = build_problem(inputs, compared, asked.digest, arithmetic)
        return Ready(prop, asked, build_problem(inputs, prop, asked.digest, arithmetic), other)
    except UnsupportedError as error:
        return Ready(prop, asked, None, None, Reason.UNSUPPORTED, str(error))


def _decide_all(prepared: Prepared, pool: Pool, plan: Plan, context: RunContext) -> tuple[PropertyResult, ...]:
    """One property after the other; after Ctrl-C the rest is put down as unknown(interrupted)."""
    results: list[PropertyResult] = []
    interrupted = False
    for item in prepared.ready:
        if item.problem is None:
            results.append(unasked_result(item.asked, item.reason, item.message))
            continue
        context.evidence.begin(item.problem, prepared.inputs.data[item.prop.statement.selection.data].sha256)
        if interrupted:
            decided = _Decided(unasked(item.problem, Reason.INTERRUPTED, context.evidence))
        else:
            decided = _decide(item, pool, plan, context, prepared.strategy)
        context.evidence.end(item.problem)
        interrupted = interrupted or decided.answers.interrupted
        found = _property(prepared.inputs, item.asked, item.problem, decided.answers)
        results.append(replace(found, strongest=decided.strongest, compared=decided.compared))
    return tuple(results)


@dataclass(frozen=True, eq=False)
class _Decided:
    """Answers, the strongest trigger of a measurement, what a comparison found out about the other model."""

    answers: Answers
    strongest: Counterexample | None = None
    compared: Compared | None = None


def _decide(item: Ready, pool: Pool, plan: Plan, context: RunContext, strategy: Strategy) -> _Decided:
    """Answers the questions of a property."""
    problem, gap, statement = item.problem, item.asked.gap, item.prop.statement
    assert problem is not None
    if item.other is not None and isinstance(statement, Compare):
        both = compare(problem, item.other, pool, plan, context.observer)
        _record(problem, both.answers, context)
        return _Decided(both.answers, compared=Compared(statement.old.model, *(Share(*end) for end in both.other)))
    if gap is None:
        warm = () if context.warm is None else warm_begun(problem, context.warm, strategy)
        return _Decided(drive(problem, pool, replace(plan, warm=warm), context.observer, context.evidence))
    measured = measure(problem, Closeness(gap, item.asked.everywhere), pool, plan, context.observer)
    _record(problem, measured.answers, context)
    strongest = None if measured.strongest is None else shown_trigger(problem, *measured.strongest)
    return _Decided(measured.answers, strongest)


def _record(problem: Problem, answers: Answers, context: RunContext) -> None:
    for outcome in answers.outcomes:
        context.evidence.record(problem, outcome)


def _property(inputs: Inputs, asked: PropertyQuery, problem: Problem, answers: Answers) -> PropertyResult:
    result = property_result(asked, problem, answers.outcomes, Spent(answers.attack_seconds, answers.seconds))
    if not problem.per_input:
        return result
    failures, total = result.failures
    bound = population_bound(failures, total, properties=len(inputs.properties))
    return replace(result, population=(bound.decimal, str(float(bound.confidence))))


def _result(prepared: Prepared, properties: tuple[PropertyResult, ...]) -> Result:
    inputs, cluster = prepared.inputs, prepared.cluster
    spec = inputs.spec
    return Result(
        version=__version__,
        spec=FileUsed("spec", spec.path, spec.sha256),
        params=spec.params,
        models=tuple(_model_used(name, model) for name, model in inputs.models.items()),
        data=tuple(_data_used(inputs, name, properties) for name in inputs.data),
        strategy=(prepared.strategy.name, prepared.strategy.sha256),
        arithmetic=prepared.arithmetic,
        properties=Properties(properties),
        machine=Machine(cluster.name, cluster.workers, cluster.device),
        interrupted=any(item.reason is Reason.INTERRUPTED for item in properties),
    )


def _model_used(name: str, model: LoadedModel) -> ModelUsed:
    lifted = model.lifted
    architecture = None if model.architecture is None else FileUsed(name, *model.architecture)
    return ModelUsed(
        file=FileUsed(name, model.path, model.sha256),
        graph_sha256=lifted.graph.digest,
        format=lifted.format,
        flux_version=lifted.flux_version or "unknown",
        dtype=lifted.graph.dtype,
        architecture=architecture,
    )


def _data_used(inputs: Inputs, name: str, properties: tuple[PropertyResult, ...]) -> DataUsed:
    """Counted: in at least one property. Excluded: in none; with the reason of the first property."""
    dataset = inputs.data[name]
    counted: set[int] = set()
    excluded: dict[int, str] = {}
    for prop, result in zip(inputs.properties, properties, strict=True):
        if name in {claim.selection.data for claim in claims_of(prop.statement)} and result.problem is not None:
            counted.update(result.problem.counted)
            for index, reason in result.problem.excluded:
                excluded.setdefault(int(index), reason)
    left_out = tuple((index, excluded[index]) for index in sorted(excluded.keys() - counted))
    return DataUsed(FileUsed(name, dataset.path, dataset.sha256), len(counted), left_out)


class _Callable(ModuleType):
    """Importing a submodule puts the module at `verifluxa.verify`, where the function must stay callable."""

    def __call__(self, *arguments: Any, **keywords: Any) -> Result:
        return verify(*arguments, **keywords)


sys.modules[__name__].__class__ = _Callable
