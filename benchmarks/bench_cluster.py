"""The cluster: what the driver costs for a slice, Ray beside local processes, memory, resume, and 1,000 on paper."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.asking import ask
from benchmarks.cluster_sim import Costs, saturation, service_times, simulate, slices_of
from benchmarks.records import Record, machine
from verifluxa.dispatch.driver import Plan, drive
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.dispatch.processes import InProcessPool, ProcessPool
from verifluxa.dispatch.ray_pool import RayPool, RaySettings
from verifluxa.dispatch.slices import AttackSlice, PieceSlice, Pool, ProofSlice
from verifluxa.evidence import NOTHING_FOUND, Counted, Node, Outcome
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine
from verifluxa.question import AffineInputMap, Domain, OutputConstraints, Placement, Problem, Violation
from verifluxa.strategy.work import Attacked, Fallen, SearchedUnit
from verifluxa.verdict import Verdict

NAME = "cluster"
ROOT = Path(__file__).parents[1]
DATA = "sha256:" + "0" * 64
LENGTHS = (1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Spinner:
    """Computes for so many seconds of CPU time at each placement, and certifies."""

    seconds: float = 0.0

    def attack(self, problem: Problem, slice: AttackSlice) -> list[Attacked]:
        return []

    def prove(self, problem: Problem, slice: ProofSlice) -> Iterator[Fallen]:
        for placement in slice.placements:
            end = time.process_time() + self.seconds
            while time.process_time() < end:
                pass
            for question in problem.questions(placement):
                tree = Node(step=Counted())
                closed = Outcome(question, Verdict.CERTIFIED, None, NOTHING_FOUND, 0, stage="crown", tree=tree)
                yield (replace(closed, seconds=self.seconds),)

    def further(self, problem: Problem, slice: PieceSlice) -> SearchedUnit:
        raise NotImplementedError


def run(small: bool) -> list[Record]:
    """All figures of the cluster."""
    alone = _driver(200 if small else 5000)
    costs, side_by_side = _ray_beside_local(small)
    return [alone, *_queue(1000 if small else 100_000), *side_by_side, *_paper(small, costs)]


def _problem(placements: int) -> Problem:
    """Two features, one question at each of many places."""
    stamp = AffineInputMap(np.array([0]), np.zeros(1), np.eye(1), np.zeros(1))
    return Problem(
        name="queue",
        digest=DATA,
        graph=chain((2,), [Affine(np.eye(2, dtype=np.float32))]),
        inputs=np.zeros((1, 2)),
        labels=np.zeros(1, dtype=np.int64),
        indices=(0,),
        excluded=(),
        placements=tuple(Placement((("row", place), ("column", 0)), stamp) for place in range(placements)),
        domain=Domain(np.zeros(1), np.ones(1), np.ones(1)),
        constraints=OutputConstraints(np.array([[1.0, -1.0]]), np.zeros(1), np.array([True])),
        violations=(Violation("target 1", 1, (((0,),), ((0,),))),),
        selections=(np.arange(1),),
        thresholds=(1,),
        pairs=((0, 0),),
        per_input=False,
    )


def _driven(pool: Pool, problem: Problem, plan: Plan) -> float:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Ledger.create(Path(folder) / "l.sqlite", Origin({}, {})) as ledger:
        ledger.begin(problem, DATA)
        drive(problem, pool, plan, ledger, ledger)
        ledger.end(problem)
    return time.perf_counter() - started


def _driver(slices: int) -> Record:
    """CPU time of the driver for a slice that takes no time itself: queue, tally, cover check, ledger."""
    before = time.process_time()
    _driven(InProcessPool(Spinner()), _problem(slices), Plan(attack_slice=slices, prove_slice=1))
    each = 1000 * (time.process_time() - before) / slices
    return Record(
        NAME, f"{slices:,} slices of nothing", "driver without a cluster, CPU ms a slice", each, machine=machine()
    )


def _queue(questions: int) -> Iterable[Record]:
    """A driver with a long queue, in a process of its own: its memory, and how soon the first slice is out."""
    code = (
        "import sys; from benchmarks.bench_cluster import queue_alone; "
        f"sys.stdout.write(repr(queue_alone({questions})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    megabytes, first = (float(part) for part in done.stdout.strip("()").split(","))
    case = f"{questions:,} questions queued"
    yield Record(NAME, case, "driver, MB in all (target 1,000)", megabytes, machine=machine())
    yield Record(NAME, case, "seconds to the first slice (target 10)", first, machine=machine())


def queue_alone(questions: int) -> tuple[float, float]:
    """Peak memory in MB, and seconds until the first slice of a proof is asked for."""
    started = time.perf_counter()

    class First(InProcessPool):
        seconds = 0.0

        def submit(self, slice: AttackSlice | ProofSlice | PieceSlice) -> None:
            if isinstance(slice, ProofSlice) and not First.seconds:
                First.seconds = time.perf_counter() - started
            super().submit(slice)

    _driven(First(Spinner()), _problem(questions), Plan(attack_slice=1000, prove_slice=100))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, First.seconds


def _ray_beside_local(small: bool) -> tuple[Costs, list[Record]]:
    """The same slices of one second on two workers: Ray, then processes, in turn; start-up of both is not counted."""
    seconds, count, repeats = (0.05, 4, 1) if small else (1.0, 12, 3)
    engine = Spinner(seconds)
    problem, plan = _problem(count), Plan(attack_slice=count, prove_slice=1)
    settings = RaySettings(workers=2, environment={"PYTHONPATH": str(ROOT)})
    pools: dict[str, Pool] = {
        "ray": RayPool({False: engine, True: engine}, settings),
        "local": ProcessPool(engine, 2),
    }
    times: dict[str, list[float]] = {name: [] for name in pools}
    try:
        for pool in pools.values():
            drive(_first(problem, 2), pool, plan)
        for _ in range(repeats):
            for name, pool in pools.items():
                times[name].append(_driven(pool, problem, plan))
    finally:
        for pool in pools.values():
            pool.close()
    ours, theirs = (statistics.median(times[name]) for name in ("ray", "local"))
    costs, trip = _ray_costs(settings, 20 if small else 400)
    case = f"{count} slices of {seconds:g} s CPU, 2 workers"
    what = "wall seconds (target: at most 10 % more)"
    played = simulate(np.full(count, seconds), 2, replace(costs, start=0.0)).seconds
    return costs, [
        Record(NAME, case, what, ours, "local processes", theirs, theirs / ours, repeats, machine()),
        Record(NAME, case, "wall seconds, simulated", played, "Ray, measured", ours, ours / played, repeats, machine()),
        *trip,
    ]


def _ray_costs(settings: RaySettings, slices: int) -> tuple[Costs, list[Record]]:
    """Slices of nothing on one Ray worker: what a round trip takes, and how much of it the driver computes."""
    engine, problem = Spinner(), _problem(slices)
    pool = RayPool({False: engine, True: engine}, replace(settings, workers=1))
    try:
        drive(_first(problem, 2), pool, Plan(prove_slice=1))
        before = time.process_time()
        wall = _driven(pool, problem, Plan(attack_slice=slices, prove_slice=1)) / slices
        driver = (time.process_time() - before) / slices
    finally:
        pool.close()
    case = f"{slices} slices of nothing, 1 Ray worker"
    return Costs(driver, max(0.0, wall - driver) / 2), [
        Record(NAME, case, "driver, CPU ms a slice (target 2)", 1000 * driver, machine=machine()),
        Record(NAME, case, "round trip, wall ms a slice", 1000 * wall, machine=machine()),
    ]


def _first(problem: Problem, placements: int) -> Problem:
    """The first places of a problem: workers get warm on it."""
    return replace(problem, placements=problem.placements[:placements])


def _paper(small: bool, costs: Costs) -> Iterable[Record]:
    """Simulated: efficiency at 1 to 1,000 workers, where the driver saturates, what the length of slices does.

    A million 3x3 questions at 50 % are an hour and a half of one core: a thousand workers have a few seconds of work
    each, and starting them is most of it. Questions worth a cluster are the harder ones.
    """
    questions = 10_000 if small else 1_000_000
    for kind, services in (("3x3 at 40 %", _recorded(3, "40 %", 1)), ("5x5 at 10 %", _recorded(5, "10 %", 10))):
        mean = float(services.mean())
        yield Record(NAME, f"recorded, {kind}", "mean seconds a question", mean, repeats=len(services))
        for length in LENGTHS:
            slices = slices_of(services, questions, length)
            runs = {workers: simulate(slices, workers, costs) for workers in (1, 10, 100, 300, 1000)}
            case = f"simulated, {questions:,} questions {kind}, slices of {length:g} s"
            curve = [(float(workers), 100 * run.efficiency) for workers, run in runs.items()]
            yield Record(NAME, case, "workers: efficiency in %", None, curve=tuple(curve), machine=machine())
            yield Record(NAME, case, "efficiency at 1,000 workers, % (target 90)", 100 * runs[1000].efficiency)
            yield Record(NAME, case, "driver busy at 1,000 workers, %", 100 * runs[1000].driver)
            yield Record(NAME, case, "workers at which the driver saturates", saturation(length, costs))


def _recorded(side: int, rate: str, step: int) -> np.ndarray:
    """Service times from the ledger of a real run: the digit example with another patch, rate and places."""
    from verifluxa.inputs import Choice
    from verifluxa.verify import Request, prepare

    digits = ROOT / "examples" / "digits"
    last = 28 - side
    text = (digits / "no_backdoor.vfx").read_text(encoding="utf-8")
    text = text.replace("replace 3 px x 3 px", f"replace {side} px x {side} px")
    text = text.replace("at any", f"at rows 2..{last} step {step}, columns 2..{last} step {step}", 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in digits.iterdir():
            (folder / file.name).symlink_to(file)
        (folder / "recorded.vfx").write_text(text, encoding="utf-8")
        prepared = prepare(Request(str(folder / "recorded.vfx"), Choice(params={"max_rate": rate})))
        problem = prepared.ready[0].problem
        assert problem is not None
        # Every question is asked; the product would stop at the first counterexample.
        asked = ask(problem, prepared.strategy, prepared.cluster, 60.0)
        with Ledger.create(folder / "recorded.sqlite", Origin({}, {})) as ledger:
            ledger.begin(problem, DATA)
            for outcome in asked.outcomes:
                ledger.record(problem, outcome)
        return service_times(folder / "recorded.sqlite")
