"""Reads a strategy: an ordered list of stages from a closed table, each with its limits. No code in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, ClassVar

from verifluxa import library
from verifluxa.errors import UsageError
from verifluxa.library import Shelf, Shelved


@dataclass(frozen=True)
class AttackStage:
    """Search for triggers: first all questions quickly, then the most promising ones harder.

    Attributes:
        inputs, starts, steps: of the first pass, per question.
        refine: how many of the best questions (over all placements) are tried again on all inputs.
        refine_starts, refine_steps: of the second pass, and of a last try before branching.
    """

    kind: ClassVar[str] = "attack"
    inputs: int = 16
    starts: int = 2
    steps: int = 12
    refine: int = 32
    refine_starts: int = 16
    refine_steps: int = 40


@dataclass(frozen=True)
class BoundStage:
    """One bound computation on the whole domain of a placement, shared by its questions.

    Attributes:
        method: one of `METHODS`.
        steps: gradient steps of `alpha`.
        refine: gradient steps of `alpha` on each neuron's own ends before; what closes then is not rechecked.
    """

    kind: ClassVar[str] = "bound"
    method: str = "crown"
    steps: int = 20
    refine: int = 0


@dataclass(frozen=True)
class BranchStage:
    """Branch and bound; see `search.settle.BranchSettings`."""

    kind: ClassVar[str] = "branch"
    boxes: int = 20000
    seconds: float = 60.0
    clip_rounds: int = 2
    strips: int = 3
    joint: bool = False
    gate: float = 3.0
    alpha: int = 0
    neurons: int = 0
    inherit: bool = False


@dataclass(frozen=True)
class SmtStage:
    """SMT on what is open: the whole domain, or the open leaves after branching; see `search.refine`.

    Attributes:
        seconds: for one question.
        memory_mb: of the solver's process.
        unstable: neurons that may bend within their bounds, for one input.
    """

    kind: ClassVar[str] = "smt"
    seconds: float = 30.0
    memory_mb: int = 2000
    unstable: int = 32


@dataclass(frozen=True)
class GridStage:
    """Domains of few grid points are enumerated; see `search.grid`.

    Attributes:
        points: most points of a domain.
        seconds: for one question.
    """

    kind: ClassVar[str] = "grid"
    points: int = 4096
    seconds: float = 30.0


@dataclass(frozen=True)
class CrossStage:
    """Conflicts between inputs under one trigger of many values; see `search.cross.CrossSettings`."""

    kind: ClassVar[str] = "cross"
    values: int = 64
    alone: int = 30
    seconds: float = 30.0
    cases: int = 20000
    steps: int = 6


Stage = AttackStage | BoundStage | GridStage | CrossStage | BranchStage | SmtStage
STAGES: dict[str, type[Stage]] = {
    "attack": AttackStage,
    "bound": BoundStage,
    "grid": GridStage,
    "cross": CrossStage,
    "branch": BranchStage,
    "smt": SmtStage,
}
METHODS = ("interval", "crown", "alpha")
BACK_ENDS = ("native", "auto-lirpa")
SECOND = ("attack", "bound")
"""Stages that the second bounds engine has."""
_EXPECTED = {
    "str": "a text",
    "bool": "true or false",
    "int": "a whole number from 0, below a billion",
    "float": "a number above 0, below a billion",
}
_HEAD = {"schema", "name", "description", "bounds", "seed", "stage"}


@dataclass(frozen=True)
class Strategy:
    """How to prove.

    Attributes:
        name: by which it was found.
        sha256: of the file, `sha256:...`.
        stages: in order.
        seed: of every random choice.
        bounds: the bounds engine.
        description: one sentence.
    """

    name: str
    sha256: str
    stages: tuple[Stage, ...]
    seed: int = 0
    bounds: str = "native"
    description: str = ""

    def without(self, kind: str) -> Strategy:
        """The same strategy without the stages of one kind."""
        return replace(self, stages=tuple(stage for stage in self.stages if stage.kind != kind))


@dataclass(frozen=True)
class Budget:
    """What one run may spend: seconds in all, boxes per question; None: no limit beyond the strategy's."""

    seconds: float | None = None
    boxes: int | None = None


def load_strategy(name: str) -> Strategy:
    """Finds a strategy on the shelf by name, or reads a `.toml` file by its path.

    Raises:
        UsageError: VF4001 for an unknown name, VF4101 for a file that is not a strategy.
    """
    shelved = library.read_path(name) if name.endswith(".toml") else library.find(Shelf.SOLVERS, name)
    return parse_strategy(shelved)


@lru_cache(maxsize=16)
def parse_strategy(shelved: Shelved) -> Strategy:
    """Reads the text of a strategy file, the same text once: who asks many questions names it each time."""
    try:
        document = tomllib.loads(shelved.text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(shelved, f"it is not valid TOML: {error}") from None
    except RecursionError:
        raise _wrong(shelved, "its brackets are nested too deeply") from None
    _known(shelved, document, _HEAD, "the file")
    if document.get("schema") != 1 or document["schema"] is True:
        raise _wrong(shelved, "it has no `schema = 1`")
    bounds = document.get("bounds", "native")
    if bounds not in BACK_ENDS:
        raise _wrong(shelved, f"there is no bounds engine {bounds!r}", "one of " + ", ".join(BACK_ENDS))
    stages = document.get("stage", [])
    if not isinstance(stages, list) or not stages:
        raise _wrong(shelved, "it has no [[stage]]")
    seed = document.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise _wrong(shelved, "`seed` is not a whole number from 0 to 2^31 - 1")
    read = tuple(_stage(shelved, stage) for stage in stages)
    for stage in read:
        if bounds != "native" and stage.kind not in SECOND:
            raise _wrong(shelved, f'stage {stage.kind!r} needs `bounds = "native"`', "one of " + ", ".join(SECOND))
    return Strategy(shelved.name, shelved.sha256, read, seed, bounds, str(document.get("description", "")))


def _stage(shelved: Shelved, table: Any) -> Stage:
    if not isinstance(table, Mapping):
        raise _wrong(shelved, "a stage is not a table")
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in STAGES:
        raise _wrong(shelved, f"there is no stage of kind {kind!r}", "one of " + ", ".join(STAGES))
    row = STAGES[kind]
    allowed = {f.name: f.type for f in fields(row)}
    _known(shelved, table, {"kind", *allowed}, f"stage {kind!r}")
    values = {key: _value(shelved, key, table[key], str(allowed[key])) for key in table if key != "kind"}
    stage = row(**values)
    if isinstance(stage, BoundStage) and stage.method not in METHODS:
        raise _wrong(shelved, f"there is no bound method {stage.method!r}", "one of " + ", ".join(METHODS))
    if isinstance(stage, AttackStage) and not (stage.starts and stage.refine_starts):
        raise _wrong(shelved, "an attack has no starting point", "`starts` and `refine_starts` from 1")
    return stage


def _value(shelved: Shelved, key: str, value: Any, kind: str) -> Any:
    if (kind == "str" and isinstance(value, str)) or (kind == "bool" and isinstance(value, bool)):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and kind == "float" and 0 < value < 1e9:
        return float(value)
    if number and kind == "int" and isinstance(value, int) and 0 <= value < 10**9:
        return value
    raise _wrong(shelved, f"`{key}` is {value!r}", _EXPECTED[kind])


def _known(shelved: Shelved, table: Mapping[str, Any], allowed: set[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            close = get_close_matches(key, sorted(allowed), 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise _wrong(shelved, f"{where} has the unknown key {key!r}{hint}", "one of " + ", ".join(sorted(allowed)))


def _wrong(shelved: Shelved, problem: str, expected: str | None = None) -> UsageError:
    return UsageError(
        "VF4101",
        f"{shelved.name} is not a strategy: {problem}",
        place=str(shelved.path),
        expected=expected,
        remedy="solvers/README.md describes the format",
    )
