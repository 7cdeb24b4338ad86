"""Reads a result document back into the result that it was written from, as far as it tells of it.

What a document does not hold stays empty: the place in the spec, limits, names of classes, the questions themselves.
"""

from __future__ import annotations

from verifluxa.documents import LARGEST_INTEGER, SHA256, Form
from verifluxa.result.read import Fields
from verifluxa.result.result import (
    Compared,
    Counterexample,
    Counts,
    DataUsed,
    FileUsed,
    Grid,
    Machine,
    ModelUsed,
    Place,
    Properties,
    PropertyResult,
    Result,
    Share,
)
from verifluxa.verdict import Reason, Verdict

KINDS = ("assert", "search", "measure", "compare")
MOST_DEPTH = 3
MOST_LEVEL = 1e300
SHARE = Form("a share as text: 0.95", r"0(\.[0-9]{1,30})?|1(\.0{1,30})?")
NO_INDEX = -1


def whole_result(top: Fields) -> Result:
    """The result of an open document.

    Raises:
        DataError: VF3901 for a field that is missing, of another kind, or contradicts another one.
    """
    params, strategy, machine = top.child("params"), top.child("strategy"), top.child("machine")
    result = Result(
        version=top.child("tool").text("version"),
        spec=_file("spec", top.child("spec")),
        params=tuple((name, params.exact(name)) for name in params.names()),
        models=tuple(_model(item) for item in top.objects("models")),
        data=tuple(_data(item) for item in top.objects("data")),
        strategy=(strategy.text("name"), strategy.text("sha256", SHA256)),
        arithmetic=top.text("arithmetic"),
        properties=Properties(map(_property, top.objects("properties"))),
        machine=Machine(machine.text("cluster"), machine.integer("workers"), machine.text("device")),
    )
    if not result.properties or top.member("verdict", Verdict) is not result.verdict:
        top.refuse("verdict", "the verdict that follows from at least one property")
    return result


def _file(name: str, item: Fields) -> FileUsed:
    return FileUsed(name, item.file_path("path"), item.text("sha256", SHA256))


def _model(item: Fields) -> ModelUsed:
    name = item.text("name")
    return ModelUsed(
        file=_file(name, item),
        graph_sha256=item.text("graph_sha256", SHA256),
        format=item.text("format"),
        flux_version="unknown",
        dtype=item.text("dtype"),
        architecture=_file(name, item.child("architecture")) if item.has("architecture") else None,
    )


def _data(item: Fields) -> DataUsed:
    excluded = tuple((entry.integer("index"), entry.text("reason")) for entry in item.objects("excluded"))
    return DataUsed(_file(item.text("name"), item), item.integer("counted"), excluded)


def _property(item: Fields) -> PropertyResult:
    found, proved = _bound(item.child("bound")) if item.has("bound") else (None, None)
    stages, closed = item.child("stages"), item.child("closed")
    return PropertyResult(
        name=item.text("name"),
        words=item.text("statement"),
        span=None,
        verdict=item.member("verdict", Verdict),
        reason=item.member("reason", Reason) if item.has("reason") else None,
        digest=item.text("digest", SHA256),
        limit=None,
        found=found,
        proved=proved,
        counts=_counts(item.child("questions")),
        counted=item.integer("counted"),
        per_input=tuple((one.integer("index"), one.member("verdict", Verdict)) for one in item.objects("per_input")),
        places=tuple(_place(one) for one in item.objects("places")),
        unknown=tuple((one.text("question"), one.member("reason", Reason)) for one in item.objects("unknown")),
        counterexample=_trigger(item, "counterexample"),
        stages={stage: stages.number(stage, 0, LARGEST_INTEGER) for stage in stages.names()},
        seconds=item.number("seconds", 0, LARGEST_INTEGER),
        population=_population(item.child("population")) if item.has("population") else None,
        message=item.text("message") if item.has("message") else None,
        kind=item.choice("kind", *KINDS),
        gap=item.exact("gap") if item.has("gap") else None,
        everywhere=item.has("everywhere"),
        strongest=_trigger(item, "strongest"),
        compared=_compared(item.child("compared")) if item.has("compared") else None,
        closed={stage: closed.integer(stage) for stage in closed.names()},
    )


def _bound(item: Fields) -> tuple[Share, Share]:
    found, proved = _share(item, "found"), _share(item, "proved")
    return (found, proved) if found.rate <= proved.rate else item.refuse("found", "no more than `proved`")


def _share(item: Fields, key: str) -> Share:
    """A share as it is written, not reduced: `2/97`."""
    item.exact(key)
    count, slash, total = item.text(key).partition("/")
    if not slash or not 0 <= int(count) <= int(total):
        item.refuse(key, "a share of at most 1: 2/97")
    return Share(int(count), int(total))


def _counts(item: Fields) -> Counts:
    counts = Counts(*(item.integer(key) for key in ("total", "certified", "falsified", "unknown", "skipped")))
    if counts.total != counts.certified + counts.falsified + counts.unknown or counts.skipped > counts.unknown:
        item.refuse("total", "the sum of certified, falsified and unknown")
    return counts


def _labels(item: Fields) -> tuple[tuple[str, int], ...]:
    return tuple((name, item.integer(name, -LARGEST_INTEGER)) for name in item.names())


def _target(item: Fields) -> int | None:
    return item.integer("target") if item.has("target") else None


def _place(item: Fields) -> Place:
    return Place(_labels(item.child("placement")), _target(item), *_bound(item))


def _trigger(entry: Fields, key: str) -> Counterexample | None:
    if not entry.has(key):
        return None
    item = entry.child(key)
    words = item.items("words") if item.has("words") else []
    return Counterexample(
        placement=_labels(item.child("placement")),
        placement_index=NO_INDEX,
        violation=NO_INDEX,
        selection=NO_INDEX,
        target=_target(item),
        trigger=_grid(item),
        inputs=item.integers("inputs"),
        rate=_share(item, "rate") if item.has("rate") else None,
        margin=item.decimal("margin"),
        holds_in=item.text("holds_in"),
        words=tuple(word if isinstance(word, str) else item.refuse("words", "texts") for word in words),
    )


def _grid(item: Fields) -> Grid:
    """The levels of a trigger: numbers, or rows of them, all equally long."""
    grid = item.items("trigger")
    if not grid or not _regular(grid, MOST_DEPTH):
        item.refuse("trigger", "numbers, or rows of them that are equally long")
    return grid


def _regular(value: object, depth: int) -> bool:
    """Whether a value is a full array of finite numbers, at most so deep."""
    if not isinstance(value, list):
        return type(value) in (int, float) and abs(value) <= MOST_LEVEL  # type: ignore[arg-type]
    same = {len(one) if isinstance(one, list) else None for one in value}
    return depth > 0 and len(same) == 1 and all(_regular(one, depth - 1) for one in value)


def _compared(item: Fields) -> Compared:
    return Compared(item.text("model"), *_bound(item.child("bound")))


def _population(item: Fields) -> tuple[str, str]:
    return item.text("bound", SHARE), item.text("confidence", SHARE)
