"""Triage: what a review and a screen find, what they find where nothing is, and what a guard costs."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.poison import STAMPS, Set, blend, image_sets, poisoned, poisoned_reviews, reviews
from benchmarks.questions import ROOT
from benchmarks.records import Record, machine
from benchmarks.train import Digits, train
from verifluxa.question import AffineInputMap, Placement
from verifluxa.replay import Replayed
from verifluxa.spec.spec import ImageSpace
from verifluxa.triage.guard.export import Wish, guard_of
from verifluxa.triage.guard.runtime import check
from verifluxa.triage.review.run import review
from verifluxa.triage.screen.activations import look_at_activations, penultimate
from verifluxa.triage.screen.examples import Examples
from verifluxa.triage.screen.run import CLEAR, screen
from verifluxa.triage.screen.suspicion import Suspicion, combined

NAME = "triage"
CORPUS = ROOT / "tests" / "triage" / "review"
COUNT, SHARES, HIDDEN = 3000, (0.01, 0.05, 0.1), (100, 50)
REPEATS = 20


def run(small: bool = False) -> list[Record]:
    """All parts: review, screen of images and of texts, guard."""
    return [*_review(), *_screens(small), *_texts(small), *_guards(small)]


def _record(case: str, what: str, value: float, repeats: int = 1) -> Record:
    return Record(NAME, case, what, value, repeats=repeats, machine=machine())


def _review() -> Iterator[Record]:
    clean = review([str(CORPUS / "clean")])
    planted, hits = 0, 0
    for path in sorted((CORPUS / "planted").glob("*.jl")):
        lines = path.read_text(encoding="utf-8").split("\n")
        wanted = {(n, rule) for n, line in enumerate(lines, 1) for rule in re.findall(r"# expect: ([\w-]+)", line)}
        found = {(one.span.line, one.rule.name) for one in review([str(path)]).open}
        planted, hits = planted + len(wanted), hits + len(wanted & found)
    case = f"review, {clean.lines:,} clean lines, {planted} planted patterns"
    yield _record(case, "share of planted patterns found", hits / planted)
    yield _record(case, "false alarms per 1,000 lines", 1000 * len(clean.alarms) / clean.lines)
    notes = len(clean.open) - len(clean.alarms)
    yield _record(case, "places to read (notes) per 1,000 lines", 1000 * notes / clean.lines)


def _screens(small: bool) -> Iterator[Record]:
    for data in image_sets(600 if small else COUNT):
        suspicions = _looks(data)
        for how, looks in suspicions.items():
            wrong = int((combined(looks, len(data.labels)) >= CLEAR).sum())
            yield _record(f"screen, clean, {data.name}", f"suspects per 1,000, {how}", 1000 * wrong / len(data.labels))
        for kind, stamp in STAMPS.items():
            for share in SHARES[1:2] if small else SHARES:
                changed, truth = poisoned(data, stamp, share)
                for how, looks in _looks(changed).items():
                    value = top(combined(looks, len(truth)), truth)
                    yield _record(f"screen, {kind} {share:.0%}, {data.name}", f"share in the top 2 x, {how}", value)


def _looks(data: Set) -> dict[str, list[Suspicion]]:
    """Suspicions from the data alone, from a model trained on them alone, and from both."""
    names = tuple(map(str, range(10)))
    examples = Examples("train", data.labels, names, data.images[:, None].astype(np.float32))
    pair = (data.images.astype(np.uint8), data.labels)
    graph = train(HIDDEN, Digits(pair, pair, data.name))
    activations = look_at_activations(examples, penultimate(graph, data.images[:, None] / 255))
    own = list(screen(examples, most=1).suspicions)
    return {"data alone": own, "activations alone": activations, "both": own + activations}


def top(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Share of the planted examples among the first 2 x (their number)."""
    count = int(truth.sum())
    return float(truth[np.argsort(-scores, kind="stable")[: 2 * count]].sum() / count)


def _texts(small: bool) -> Iterator[Record]:
    texts, labels = reviews()
    texts, labels = (texts[:200], labels[:200]) if small else (texts, labels)
    case = f"{len(labels):,} reviews"
    names = ("negative", "positive")
    clean = screen(Examples("reviews", labels, names, cells=texts), most=len(labels)).clear
    yield _record(f"screen, clean, {case}", "suspects per 1,000, data alone", 1000 * clean / len(labels))
    for share in SHARES:
        changed, marked, truth = poisoned_reviews(texts, labels, share)
        looks = screen(Examples("reviews", marked, names, cells=changed), most=1).suspicions
        value = top(combined(looks, len(truth)), truth)
        yield _record(f"screen, word {share:.0%}, {case}", "share in the top 2 x, data alone", value)


def _guards(small: bool) -> Iterator[Record]:
    """A patch and a blend: fitted on 100 clean digits, measured on others."""
    data = image_sets(600 if small else COUNT)[0]
    fitted, fresh = data.images[:100, None], data.images[100:].reshape(-1, 784)
    place = (np.arange(24, 27)[:, None] * 28 + np.arange(24, 27)).ravel()
    square = AffineInputMap(place, np.zeros(9), np.eye(9), np.zeros(9))
    pattern = ((blend(np.zeros((1, 28, 28))) - 0) / 0.2).ravel()
    mixed = AffineInputMap(np.arange(784), np.full(784, 0.8), 0.2 * np.eye(784), np.zeros(784))
    chequered = np.array([255.0, 0, 255, 0, 255, 0, 255, 0, 255])
    for name, stamp, trigger, wish in (
        ("patch", square, chequered, Wish()),
        ("patch anywhere", square, chequered, Wish(anywhere=True)),
        ("blend 20 %", mixed, pattern, Wish()),
    ):
        guard = guard_of([_replayed(stamp, trigger, fitted)], {"p": ImageSpace("digit", 28, 28, 1, 0, 255)}, wish)
        case = f"guard, {name}, {len(fresh):,} digits that it has not seen"
        yield _record(case, "share of clean ones flagged", float(check(guard, fresh).mean()))
        yield _record(
            case, "share of triggered ones flagged", float(check(guard, stamp.applied(fresh, trigger)).mean())
        )
        for size in (1, 1000):
            yield _record(
                case, f"microseconds per input, {size} at a time", _microseconds(guard, fresh[:size]), REPEATS
            )


def _replayed(stamp: AffineInputMap, trigger: NDArray[np.float64], inputs: NDArray[np.float64]) -> Replayed:
    """What a replay gives, as far as an export reads it: no model is needed to measure a guard."""
    problem = SimpleNamespace(
        graph=SimpleNamespace(input_shape=(1, 28, 28)),
        placements=(Placement((("row", 0), ("column", 0)), stamp),),
        violations=(SimpleNamespace(target=7),),
        inputs=inputs,
    )
    question = SimpleNamespace(placement=0, violation=0)
    return cast(
        "Replayed",
        SimpleNamespace(name="p", problem=problem, question=question, trigger=trigger, reproduced=True),
    )


def _microseconds(guard: dict[str, Any], inputs: NDArray[np.float64]) -> float:
    taken = []
    check(guard, inputs)
    for _ in range(REPEATS):
        start = time.process_time()
        for _ in range(50 if len(inputs) == 1 else 1):
            check(guard, inputs)
        taken.append((time.process_time() - start) / len(inputs) / (50 if len(inputs) == 1 else 1))
    return 1e6 * float(np.median(taken))
