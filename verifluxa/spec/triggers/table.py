"""The table of trigger families: a declaration belongs to the first row that has its space and claims it.

A new family is a file beside this one, a row here, its clauses in `grammar.lark`, and a file and a row in `lower`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import ImageSpace, InputSpace, SeriesSpace, TableSpace, TokenSpace, Trigger
from verifluxa.spec.syntax import TriggerSyntax
from verifluxa.spec.triggers import columns, patch, probe, stamp, stretch, synonyms, union, words


class Family(NamedTuple):
    """A row.

    Attributes:
        module: its file, where the clauses are defined that it alone has.
        space: whose triggers they are.
        check: from a declaration, its space and the problems so far to the `Trigger`; raises `SpecError`.
        claims: whether a declaration is of this family; None: all that no row above claims.
    """

    module: ModuleType
    space: type[InputSpace]
    check: Callable[[TriggerSyntax, Any, Problems], Trigger]
    claims: Callable[[TriggerSyntax], bool] | None = None


FAMILIES = (
    Family(probe, ImageSpace, probe.check_probes, probe.is_probe),
    Family(stamp, ImageSpace, stamp.check_stamp, stamp.is_stamp),
    Family(patch, ImageSpace, patch.check_patch),
    Family(synonyms, TokenSpace, synonyms.check_synonyms, synonyms.is_rewording),
    Family(words, TokenSpace, words.check_word_trigger),
    Family(columns, TableSpace, columns.check_table_trigger),
    Family(stretch, SeriesSpace, stretch.check_series_trigger),
)

SYNTAX = (union, *(row.module for row in FAMILIES))
"""Where the clauses are defined that single families have."""


def check_trigger(syntax: TriggerSyntax, space: InputSpace, problems: Problems) -> Trigger:
    """The trigger family of a declaration; unions are checked when all others are, see `union`.

    Raises:
        SpecError: what is wrong with it.
    """
    rows = (row for row in FAMILIES if isinstance(space, row.space))
    family = next(row for row in rows if row.claims is None or row.claims(syntax))
    return family.check(syntax, space, problems)
