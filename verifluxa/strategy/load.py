"""Reads a strategy: an ordered list of stages from a closed table, each with its limits. No code in TOML."""

from __future__ import annotations

from dataclasses import Field, dataclass, fields, replace
from functools import lru_cache
from typing import Any, ClassVar

from verifluxa import documents, library
from verifluxa.errors import UsageError
from verifluxa.library import Library, Resource
from verifluxa.stages import BranchStage, CrossStage, GridStage, SmtStage


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
MOST = 10**9
OLD_NAMES = {"slabs": "strips"}
"""Settings by the names that older strategy files give them."""


class StrategyFile(documents.Table):
    """A table of a strategy file."""

    form = documents.TEXT

    def name_of(self, key: str) -> str:
        """The key by which the file gives a setting: the old one where only that is there."""
        old = OLD_NAMES.get(key, key)
        return old if old in self._value and key not in self._value else key

    @classmethod
    def error(cls, place: str, problem: str, expected: str | None) -> UsageError:
        """VF4101."""
        return UsageError(
            "VF4101",
            f"this is not a strategy: {problem}",
            place=place,
            expected=expected,
            remedy="solvers/README.md describes the format",
        )


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
    """Finds a strategy in the library by name, or reads a `.toml` file by its path.

    Raises:
        UsageError: VF4001 for an unknown name, VF4101 for a file that is not a strategy.
    """
    resource = library.read_path(name) if name.endswith(".toml") else library.find(Library.SOLVERS, name)
    return parse_strategy(resource)


@lru_cache(maxsize=16)
def parse_strategy(resource: Resource) -> Strategy:
    """Reads the text of a strategy file, the same text once: who asks many questions names it each time."""
    table = StrategyFile.parse(resource.text, str(resource.path))
    table.integer("schema", 1, 1)
    bounds = table.choice("bounds", *BACK_ENDS, default="native")
    strategy = Strategy(
        name=resource.name,
        sha256=resource.sha256,
        stages=tuple(_stage(item) for item in table.tables("stage")),
        seed=table.integer("seed", 0, 2**31 - 1, 0),
        bounds=bounds,
        description=table.text("description", default=""),
    )
    table.has("name")
    table.close()
    for stage in strategy.stages:
        if bounds != "native" and stage.kind not in SECOND:
            problem = f'stage `{stage.kind}` needs `bounds = "native"`'
            raise table.error(table.place, problem, "one of " + ", ".join(SECOND))
    return strategy


def _stage(table: StrategyFile) -> Stage:
    row = STAGES[table.choice("kind", *STAGES)]
    stage = row(**{item.name: _value(table, item) for item in fields(row)})
    table.close()
    if isinstance(stage, AttackStage) and not (stage.starts and stage.refine_starts):
        raise table.error(table.place, "an attack has no starting point", "`starts` and `refine_starts` from 1")
    return stage


def _value(table: StrategyFile, item: Field[Any]) -> Any:
    """The value of a setting, or its default."""
    default: Any = item.default
    name = table.name_of(item.name)
    if item.type == "bool":
        return table.flag(name, default)
    if item.type == "int":
        return table.integer(name, 0, MOST - 1, default)
    if item.type == "float":
        return table.number(name, 0, MOST, default, above=True)
    return table.choice(name, *METHODS, default=default)
