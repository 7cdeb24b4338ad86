"""`verifluxa verify --onnx F --vnnlib F`: one instance of a public benchmark, answered as VNN-COMP asks for it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from verifluxa.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from verifluxa.dispatch.slices import Pool
    from verifluxa.evidence import Witness
    from verifluxa.interop.vnnlib_problem import RegionQuery
    from verifluxa.question import Floats
    from verifluxa.verify import Request

EXIT_CODES = {"unsat": 0, "sat": 1, "unknown": 3, "timeout": 3}
MOST_ONNX_BYTES = 2**31


@dataclass(frozen=True, eq=False)
class Answer:
    """What stands on stdout: `unsat`, `sat` with a point and its outputs, `unknown` or `timeout`."""

    word: str
    point: Floats | None = None
    outputs: Floats | None = None

    def lines(self) -> list[str]:
        """The answer in the form of VNN-COMP."""
        if self.point is None or self.outputs is None:
            return [self.word]
        pairs = [f"(X_{i} {float(x)!r})" for i, x in enumerate(self.point)]
        pairs += [f"(Y_{j} {float(y)!r})" for j, y in enumerate(self.outputs)]
        pairs[0], pairs[-1] = "(" + pairs[0], pairs[-1] + ")"
        return [self.word, *pairs]


def instance(onnx: Path | None, vnnlib: Path | None, request: Request, plain: bool) -> int:
    """Reads an instance, answers it, prints the answer; returns the exit code.

    Args:
        onnx, vnnlib: the two files.
        request: strategy, cluster, budget, arithmetic and seed; `spec` is empty.
        plain: whether nothing else was asked for.

    Raises:
        VerifluxaError: whatever the user can mend.
    """
    from verifluxa.cli.output import emit
    from verifluxa.dispatch.interrupts import stop_is_an_interrupt

    if onnx is None or vnnlib is None or request.spec or not plain:
        raise UsageError(
            "VF4520",
            _misused(onnx, vnnlib, request, plain),
            expected="a SPEC, or both --onnx FILE and --vnnlib FILE",
            remedy="verifluxa verify --onnx FILE --vnnlib FILE --format vnncomp",
        )
    deadline = None if request.budget is None else time.monotonic() + request.budget
    asked = _asked(onnx, vnnlib, request)
    try:
        with stop_is_an_interrupt():
            answer = solve(asked, request, deadline)
    except UnsupportedError as error:
        print(error, file=sys.stderr)
        answer = Answer("unknown")
    except KeyboardInterrupt:
        answer = Answer("unknown")
    emit("\n".join(answer.lines()))
    return EXIT_CODES[answer.word]


def _misused(onnx: Path | None, vnnlib: Path | None, request: Request, plain: bool) -> str:
    if onnx is None and vnnlib is None:
        return "--format vnncomp is for an instance" if request.spec else "there is neither a spec nor an instance"
    if onnx is None or vnnlib is None:
        return "an instance needs both --onnx and --vnnlib"
    if request.spec:
        return "a spec and an instance are given together"
    assert not plain
    return "this option belongs to a spec; an instance takes --strategy, --cluster, --budget, --arithmetic and --seed"


def _asked(onnx: Path, vnnlib: Path, request: Request) -> tuple[RegionQuery, ...]:
    from verifluxa.data.npz import read_bytes as read_data
    from verifluxa.flux.files import read_bytes as read_model
    from verifluxa.graph.arithmetic import governing
    from verifluxa.inputs import named_as_given
    from verifluxa.interop.onnx_import import import_onnx
    from verifluxa.interop.vnnlib_problem import ask
    from verifluxa.interop.vnnlib_read import read_vnnlib

    with named_as_given(str(onnx)):
        graph = import_onnx(read_model(onnx, MOST_ONNX_BYTES)).graph
    query = read_vnnlib(read_data(str(vnnlib)), str(vnnlib))
    return ask(graph, query, governing(request.arithmetic, graph.dtype), str(vnnlib))


def solve(asked: tuple[RegionQuery, ...], request: Request, deadline: float | None) -> Answer:
    """Answers the regions of a question one by one: `sat` at the first that has a point.

    Raises:
        UsageError: for a strategy or a cluster that is not there.
        UnsupportedError: where the engine has no sound answer for the network.
    """
    from verifluxa.dispatch.cluster import load_cluster, open_pool
    from verifluxa.dispatch.engine import StrategyEngine, check_device
    from verifluxa.strategy.load import load_strategy

    strategy, cluster = load_strategy(request.strategy), load_cluster(request.cluster)
    check_device(cluster.own_device)
    if request.seed is not None:
        strategy = replace(strategy, seed=request.seed)
    if strategy.bounds != "native" and asked:
        from verifluxa.search import check_engine

        check_engine(asked[0].problem.arithmetic)
    engines = [StrategyEngine(strategy, device, cluster.threads) for device in (cluster.device, "cuda")]
    pool = open_pool(cluster, *engines)
    words = []
    try:
        for one in asked:
            answer = _region(one, pool, deadline)
            if answer.word == "sat":
                return answer
            words.append(answer.word)
    finally:
        pool.close()
    return Answer(next((word for word in ("timeout", "unknown") if word in words), "unsat"))


def _region(asked: RegionQuery, pool: Pool, deadline: float | None) -> Answer:
    from verifluxa.dispatch.driver import Plan, drive
    from verifluxa.verdict import Reason, Verdict

    # One bound settles most questions about one input, sooner than an attack ends.
    answers = drive(asked.placed, pool, Plan(deadline=deadline, attack_first=False))
    if answers.interrupted:
        raise KeyboardInterrupt
    (outcome,) = answers.outcomes
    if outcome.verdict is Verdict.CERTIFIED:
        return Answer("unsat")
    if outcome.verdict is Verdict.FALSIFIED and outcome.witness is not None:
        return _shown(asked, outcome.witness)
    return Answer("timeout" if outcome.reason is Reason.TIME else "unknown")


def _shown(asked: RegionQuery, found: Witness) -> Answer:
    """A counterexample inside the region exactly, replayed; `unknown` where rounding takes it outside."""
    import numpy as np

    from verifluxa.interop.vnnlib_problem import inward
    from verifluxa.search import certainly_violated, judge_replay, replay_trigger, workspace_of

    problem = asked.problem
    question = next(problem.all_questions())
    for point in (inward(asked.region, found.trigger, problem.graph.dtype), found.trigger):
        if not asked.region.contains(point):
            continue
        known = bool(found.robust) and bool((point == found.trigger).all())
        sure = (
            np.array([True])
            if known
            else certainly_violated(workspace_of(asked.placed), question, point, np.array([0]))
        )
        played = replay_trigger(problem, question, point)
        if judge_replay(workspace_of(problem), question, point, played, sure).inputs:
            return Answer("sat", point, played.after[0].astype("float64"))
    return Answer("unknown")
