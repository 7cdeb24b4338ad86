"""Search for triggers and for proofs: attack, branch and bound, conflicts between inputs, enumeration, SMT.

The road: `workspace_of` prepares a problem, `run_attack` looks for a trigger, `bound_root` bounds the whole domain,
`branch_on_boxes`, `find_conflicts`, `enumerate_grid` and `refine_with_smt` decide what is left; `replay_trigger`
replays every trigger on the whole network. Other rooms import from here only.
"""

from __future__ import annotations

from verifluxa.search.attack import AttackSettings, Candidate, local_search, missing_margin, run_attack
from verifluxa.search.bab import Incumbent
from verifluxa.search.branch import BranchResult, branch_further, branch_on_boxes
from verifluxa.search.grid import enumerate_grid
from verifluxa.search.initial_bounds import InitialBounds, bound_root, optimise_root
from verifluxa.search.leaves import SplitTree
from verifluxa.search.lirpa_bounds import bound_with_lirpa, check_engine
from verifluxa.search.refine import refine_with_smt
from verifluxa.search.relational import ConflictSearch, begin_conflicts, find_conflicts
from verifluxa.search.replay import (
    Replay,
    certainly_violated,
    judge_replay,
    replay_trigger,
    stamped_inputs,
    violation_margins,
    witness_of,
)
from verifluxa.search.tail import split_network
from verifluxa.search.word_pairs import decide_listed
from verifluxa.search.words import enumerable, placed_table
from verifluxa.search.workspace import Workspace, workspace_of

__all__ = [
    "AttackSettings",
    "BranchResult",
    "Candidate",
    "ConflictSearch",
    "Incumbent",
    "InitialBounds",
    "Replay",
    "SplitTree",
    "Workspace",
    "begin_conflicts",
    "bound_root",
    "bound_with_lirpa",
    "branch_further",
    "branch_on_boxes",
    "certainly_violated",
    "check_engine",
    "decide_listed",
    "enumerable",
    "enumerate_grid",
    "find_conflicts",
    "judge_replay",
    "local_search",
    "missing_margin",
    "optimise_root",
    "placed_table",
    "refine_with_smt",
    "replay_trigger",
    "run_attack",
    "split_network",
    "stamped_inputs",
    "violation_margins",
    "witness_of",
    "workspace_of",
]
