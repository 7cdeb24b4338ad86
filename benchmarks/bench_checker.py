"""What a recheck costs: the independent checker's CPU time against the proof's, and the size of the evidence."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.questions import Setting, digits, lifted, problem, spec_of
from benchmarks.rechecked import Ground, recheck, write_evidence
from benchmarks.records import Record, interleaved, machine
from verifluxa.certificate.tree_codec import count_leaves
from verifluxa.evidence import Conflicts, JointClosing, Node, Outcome, Unrecorded
from verifluxa.question import Problem, Question
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BranchStage, Strategy, load_strategy
from verifluxa.verdict import Verdict

NAME = "checker"
REPEATS = 3
MANY = "rows 0..25 step 5, columns 0..25 step 5"
CORNERS = "rows 8..16 step 8, columns 8..16 step 8"
HALF = "rows 0..25 step 2, columns 0..25 step 2"
MIDDLE = "rows 7..17 step 5, columns 7..22 step 5"
PIXELS = {"clip_rounds": 0, "slabs": 0, "joint": False, "boxes": 600}


@dataclass(frozen=True)
class Case:
    """What is proved and rechecked.

    Attributes:
        what: what people call it.
        setting: the questions.
        limit: the target, as a share of the proof's time.
        branching: changes of the strategy's branching stage.
        strategy: its name.
        without: the stages that are left out; an attack proves nothing.
        rests: only those questions count whose proof rests on such a thing somewhere.
        target: only questions about this class are asked; None: about all.
    """

    what: str
    setting: Setting
    limit: float
    branching: Mapping[str, Any] = field(default_factory=dict)
    strategy: str = "balanced"
    without: tuple[str, ...] = ("attack",)
    rests: Callable[[Node], bool] = bool
    target: int | None = None


def _is_joint(node: Node) -> bool:
    return isinstance(node.step, JointClosing)


def _is_tuned(node: Node) -> bool:
    """Whether something falls by slopes that were optimised, or by cases of neurons with multipliers."""
    return any(record.slopes or record.betas for record in node.dropped)


def _is_searched(node: Node) -> bool:
    """Whether something falls by slopes that were optimised, by a linear program or by cases of neurons."""
    return _is_joint(node) or _is_tuned(node) or isinstance(node.step, Conflicts)


SMALL = Setting("clean", 4, CORNERS, "6 %", arithmetic="float32")
TUNED = Setting("clean", 4, MIDDLE, "6 %", arithmetic="float32")
ALL = Setting("clean", 3, HALF, "5 %", arithmetic="float32")
LARGE = Setting("clean", 5, "(10, 14)", "20 %", arithmetic="float32")
HARD = ("attack", "cross", "grid", "smt")
"""Left out, so that branching has to do the work; what a solver says is not recomputed either."""
CASES = (
    Case("one bound closes", Setting("clean", 3, MANY, "50 %", arithmetic="float32"), 1.0),
    Case("one bound closes, convolutions", Setting("clean_cnn", 3, MANY, "50 %", arithmetic="float32"), 3.0),
    Case("pixel splits alone", Setting("clean", 3, MIDDLE, "3 %", arithmetic="float32"), 0.6, PIXELS),
    Case("joint closings", SMALL, 0.1, {"boxes": 400}, rests=_is_joint),
    Case("one hard question", LARGE, 0.1, {"alpha": 0, "neurons": 0}, "thorough", HARD, _is_joint, 3),
    Case("optimised slopes", TUNED, 0.1, {"boxes": 400}, "thorough", HARD, _is_tuned),
    Case("what search proves in a run with its attack", TUNED, 0.1, without=(), rests=_is_searched),
    Case("all that a run with its attack proves", ALL, 0.1, without=()),
)


def run(small: bool = False) -> list[Record]:
    """Prover and checker from the evidence file on, in turn, on what is certified; then the size of a whole set."""
    with tempfile.TemporaryDirectory() as folder:
        records = [_ratio(case, Path(folder), 1 if small else REPEATS) for case in CASES[: 1 if small else None]]
        return [*records, _size(Path(folder), small)]


def _ratio(case: Case, folder: Path, repeats: int) -> Record:
    asked, strategy = problem(case.setting), _strategy(case)
    path = folder / "evidence.jsonl.gz"
    wanted = [question for question in asked.all_questions() if _is_about(asked, question, case.target)]
    outcomes = [one for one in _prove(asked, strategy, wanted) if one.verdict is Verdict.CERTIFIED]
    outcomes = [one for one in outcomes if one.tree is not None and _counts(case, one.tree)]
    questions = [outcome.question for outcome in outcomes]
    write_evidence(path, asked, outcomes)
    sides = [partial(recheck, path, _ground(case.setting)), partial(_proved, asked, strategy, questions)]
    ours, theirs = interleaved(sides, repeats)
    leaves = sum(count_leaves(outcome.tree) for outcome in outcomes if outcome.tree is not None)
    target = f"target: at most {case.limit:g} of the proof"
    what = f"CPU seconds to recheck {len(outcomes)} questions, {leaves} leaves ({target})"
    label = f"{case.setting.model} {case.what}, rate {case.setting.rate}"
    return Record(NAME, label, what, ours, "the proof itself", theirs, theirs / ours, repeats, machine())


def _ground(setting: Setting) -> Ground:
    return Ground(spec_of(setting), digits(setting.inputs), lifted(setting.model), setting.arithmetic)


def _is_about(asked: Problem, question: Question, target: int | None) -> bool:
    return target is None or asked.violations[question.violation].target == target


def _counts(case: Case, tree: Node) -> bool:
    """Whether a proof rests on what the case is about, and on nothing that the checker does not recompute."""
    nodes = list(_nodes(tree))
    return any(map(case.rests, nodes)) and not any(isinstance(node.step, Unrecorded) for node in nodes)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _size(folder: Path, small: bool) -> Record:
    asked = problem(Setting(places=MANY if small else "any", arithmetic="float32"))
    path = folder / "whole.jsonl.gz"
    write_evidence(path, asked, _prove(asked, load_strategy("balanced").without("attack")))
    label = f"{len(asked.placements)} places x 10 targets x 100 digits, rate 50 %"
    return Record(
        NAME, label, "MB of evidence, compressed (target: under 50)", path.stat().st_size / 1e6, machine=machine()
    )


def _strategy(case: Case) -> Strategy:
    found = load_strategy(case.strategy)
    for kind in case.without:
        found = found.without(kind)
    stages = (replace(stage, **case.branching) if isinstance(stage, BranchStage) else stage for stage in found.stages)
    return replace(found, stages=tuple(stages))


def _prove(asked: Problem, strategy: Strategy, questions: Sequence[Question] | None = None) -> list[Outcome]:
    """Nothing is kept from an earlier proof: the workspace is remembered by the identity of the inputs."""
    fresh = replace(asked, inputs=asked.inputs.copy())
    return list(decide(fresh, list(fresh.all_questions() if questions is None else questions), strategy))


def _proved(asked: Problem, strategy: Strategy, questions: Sequence[Question]) -> float:
    started = time.process_time()
    _prove(asked, strategy, questions)
    return time.process_time() - started
