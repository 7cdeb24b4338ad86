"""The digit example as a whole: every place and target, rate after rate; how soon the planted trigger is found."""

from __future__ import annotations

import hashlib
import statistics
import time
from fractions import Fraction
from itertools import chain

from benchmarks.asking import Asked, ask
from benchmarks.questions import DIGITS, ROOT, Setting, problem
from benchmarks.records import Record, machine
from verifluxa.certificate.evidence_file import EvidenceWriter
from verifluxa.certificate.evidence_lines import header_of
from verifluxa.dispatch.cluster import load_cluster
from verifluxa.dispatch.observe import Progress
from verifluxa.inputs import Choice
from verifluxa.question import Problem
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Verdict
from verifluxa.verify import Request, RunContext, carry_out, prepare

NAME = "digits"
RATES = ("50 %", "40 %", "20 %", "10 %", "5 %")
CLUSTERS = (("laptop", "one thread"), ("local", "a process per core"))
BUDGET = 600.0
REPEATED_UNDER = 20.0
"""Runs that take longer than this many seconds are not repeated."""
REPEATS = 3


def run(small: bool = False) -> list[Record]:
    """All rates on the clean model, the convolutional one, then the planted trigger of the backdoored ones."""
    places = "rows 0..25 step 5, columns 0..25 step 5" if small else "any"
    settings = [Setting(rate=rate, places=places, arithmetic="float32") for rate in (RATES[:3:2] if small else RATES)]
    settings.append(Setting("clean_cnn", rate=RATES[0], places=places, arithmetic="float32"))
    records = [record for setting in settings for record in _rate(setting, small)]
    found = [_found(model, 1 if small else REPEATS) for model in ("badnets", "badnets_cnn")]
    return [*records, *chain.from_iterable(found)]


def _rate(setting: Setting, small: bool) -> list[Record]:
    """Both clusters in turn; the counts are those of the last run with a process per core."""
    asked = problem(setting)
    strategy = load_strategy("balanced")
    runs: dict[str, list[Asked]] = {name: [] for name, _ in CLUSTERS}
    for _ in range(1 if small else REPEATS):
        for name, _label in CLUSTERS:
            runs[name].append(ask(asked, strategy, load_cluster(name), BUDGET))
        if runs["laptop"][-1].seconds > REPEATED_UNDER:
            break
    last = runs["local"][-1]
    return [_seconds(setting, runs), *_counts(setting, last), *_evidence(setting, asked, last)]


def _seconds(setting: Setting, runs: dict[str, list[Asked]]) -> Record:
    """Both clusters side by side: the ratio is the speed-up."""
    both, alone = (sorted(item.seconds for item in runs[name]) for name in ("local", "laptop"))
    middle = len(alone) // 2
    what = "seconds for all questions"
    ours, theirs = both[middle], alone[middle]
    peer = "Verifluxa in one thread"
    return Record(NAME, _label(setting), what, ours, peer, theirs, theirs / ours, len(alone), machine())


def _counts(setting: Setting, asked: Asked) -> list[Record]:
    def record(what: str, value: float) -> Record:
        return Record(NAME, _label(setting), what, value, machine=machine())

    return [
        record("questions", asked.total),
        record("decided, in %", asked.decided),
        record("questions left open", asked.total - sum(o.verdict is not Verdict.UNKNOWN for o in asked.outcomes)),
        record("certified, in %", asked.share(Verdict.CERTIFIED)),
        record("falsified, in %", asked.share(Verdict.FALSIFIED)),
        record("boxes per question", asked.boxes / asked.total),
        record("seconds of these for the attack", asked.attack_seconds),
        record("CPU seconds of all processes, their start included", asked.cpu_seconds),
    ]


def _evidence(setting: Setting, asked: Problem, answers: Asked) -> list[Record]:
    """What closed the questions, written as a certificate's evidence is: its size, and what the writing costs."""
    path = ROOT / "build" / "bench" / "evidence.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    started = time.process_time()
    sink = EvidenceWriter(path)
    sink.begin(header_of(asked, "sha256:" + hashlib.sha256(b"").hexdigest()))
    for outcome in answers.outcomes:
        sink.write(outcome)
    sink.end()
    sink.close()
    seconds = time.process_time() - started
    label = _label(setting)
    return [
        Record(NAME, label, "evidence, MB on disk", path.stat().st_size / 1e6, machine=machine()),
        Record(NAME, label, "evidence, CPU seconds to write", seconds, machine=machine()),
    ]


def _label(setting: Setting) -> str:
    return (
        f"{setting.model} {setting.side}x{setting.side} {setting.places}, {setting.inputs} digits, rate {setting.rate}"
    )


class _FirstFound:
    """Notes when the first trigger above the limit is known."""

    def __init__(self, limit: Fraction) -> None:
        self.limit = limit
        self.seconds: float | None = None

    def update(self, progress: Progress) -> None:
        """Called by the driver as the work goes on."""
        if self.seconds is None and progress.found > self.limit:
            self.seconds = progress.elapsed


def _found(model: str, repeats: int) -> list[Record]:
    """The product's own run on a backdoored model, one thread."""
    spec = "no_backdoor_cnn" if model.endswith("_cnn") else "no_backdoor"
    choice = Choice(models={"digits": str(DIGITS / f"{model}.jld2")})
    request = Request(str(DIGITS / f"{spec}.vfx"), choice)
    runs = [_time_to_trigger(request) for _ in range(repeats)]
    first, whole = (statistics.median(column) for column in zip(*runs, strict=True))
    case = f"{model} 3x3 any, 100 digits, rate 50 %"
    return [
        Record(
            NAME,
            case,
            "seconds of work until the planted trigger is known",
            first,
            None,
            None,
            None,
            repeats,
            machine(),
        ),
        Record(NAME, case, "seconds from reading the spec to the verdict", whole, None, None, None, repeats, machine()),
    ]


def _time_to_trigger(request: Request) -> tuple[float, float]:
    """Seconds of work until the trigger, and of the whole run.

    Raises:
        RuntimeError: when it is not found.
    """
    watch = _FirstFound(Fraction(1, 2))
    started = time.monotonic()
    result = carry_out(prepare(request), RunContext(watch))
    whole = time.monotonic() - started
    if watch.seconds is None or result.verdict is not Verdict.FALSIFIED:
        raise RuntimeError(f"the planted trigger was not found: {result.verdict}")
    return watch.seconds, whole
