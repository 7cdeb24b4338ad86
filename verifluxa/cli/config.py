"""`--show-config`: each value of the strategy and the cluster, and where it came from."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from verifluxa.dispatch.cluster import KEYS, load_cluster
from verifluxa.library import Library, resolve
from verifluxa.strategy.load import parse_strategy
from verifluxa.verify import Request

COMMAND_LINE = "command line"
DEFAULT = "default"
NAME_WIDTH, VALUE_WIDTH = 22, 16


def config_lines(request: Request) -> list[str]:
    """The lines that `--show-config` prints.

    Raises:
        UsageError: for a strategy or cluster that is not there or not understood.
    """
    return [*_run(request), "", *_strategy(request), "", *_cluster(request)]


def _run(request: Request) -> Iterator[str]:
    yield "run"
    yield _line("arithmetic", request.arithmetic or "the model's", _origin(request.arithmetic is not None))
    budget = "none" if request.budget is None else f"{request.budget:g} s"
    yield _line("budget", budget, _origin(request.budget is not None))


def _strategy(request: Request) -> Iterator[str]:
    resource = resolve(Library.SOLVERS, request.strategy)
    strategy = parse_strategy(resource)
    table: dict[str, Any] = tomllib.loads(resource.text)
    path = _short(resource.path)
    yield f"strategy {strategy.name}: {strategy.description}" if strategy.description else f"strategy {strategy.name}"
    seeded = request.seed is not None
    yield _line("bounds", strategy.bounds, path if "bounds" in table else DEFAULT)
    seed_origin = COMMAND_LINE if seeded else path if "seed" in table else DEFAULT
    yield _line("seed", request.seed if seeded else strategy.seed, seed_origin)
    for number, (stage, given) in enumerate(zip(strategy.stages, table["stage"], strict=True), start=1):
        yield f"  stage {number}: {stage.kind}"
        for item in fields(stage):
            yield _line("  " + item.name, getattr(stage, item.name), path if item.name in given else DEFAULT)


def _cluster(request: Request) -> Iterator[str]:
    cluster = load_cluster(request.cluster)
    path = _short(Path(cluster.path))
    yield f"cluster {cluster.name}"
    for key in [key for key in KEYS if key not in ("schema", "name")]:
        yield _line(key, getattr(cluster, key), path if key in cluster.given else DEFAULT)


def _origin(given: bool) -> str:
    return COMMAND_LINE if given else DEFAULT


def _short(path: Path) -> str:
    """Folder and file for what comes with the tool, the path as given for the user's own."""
    return f"{path.parent.name}/{path.name}" if path.is_absolute() else str(path)


def _line(name: str, value: object, origin: str) -> str:
    return f"  {name:<{NAME_WIDTH}}{value!s:<{VALUE_WIDTH}}{origin}"
