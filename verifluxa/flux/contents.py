"""What a model file holds, before any of it is understood: named variables, read one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from verifluxa.flux.values import Value


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable of a model file.

    Attributes:
        name: its name, with the groups that it lies in: `net/model_state`.
        kind: the name of its type as far as the file tells, for messages and for choosing.
        read: reads it whole; raises ModelError for anything that is not understood.
    """

    name: str
    kind: str
    read: Callable[[], Value]


@dataclass(frozen=True, eq=False)
class Contents:
    """A model file.

    Attributes:
        format: `JLD2 0.2.0`, `BSON`, `safetensors` or `NPZ`.
        variables: in the order of the file.
        julia_version: of the Julia that wrote the file, where the file says so.
    """

    format: str
    variables: tuple[Variable, ...]
    julia_version: str | None = None
