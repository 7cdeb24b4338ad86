"""Points that no bound decides: a search that knows one can no longer certify.

Where the deployed arithmetic rounds, what `need` inputs have in common at a grid point may be nearer to a tie than any
two evaluations of the network. Bounds of that very point leave those inputs then, and so do those of every domain that
holds it, however small: near the best point there are often hundreds of such points, each of which is walked down to.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from verifluxa.bounds.domain import Domains, geometry
from verifluxa.bounds.linear import Subproblems
from verifluxa.bounds.net import Net
from verifluxa.search.bounding import decided
from verifluxa.search.claims import BoundContext
from verifluxa.search.workspace import Claims, Workspace


def is_undecided(work: Workspace, net: Net, claims: Claims, need: int, point: Tensor) -> bool:
    """Whether bounds at a single trigger leave as many inputs as are needed, where the arithmetic rounds.

    In real arithmetic a solver may still tell.

    Args:
        claims: those that may be met somewhere.
        need: inputs that must violate.
        point: a trigger, shape (d,); one outside of the problem's strips and lists says nothing.
    """
    problem = work.problem
    if problem.arithmetic == "real" or not problem.domain.contains(point.cpu().numpy()):
        return False
    none = point.new_zeros(1, 0)
    scene = BoundContext(
        work, net, geometry(Domains(point[None], point[None], point.new_zeros(0, len(point)), none, none))
    )
    pairs = Subproblems(torch.zeros_like(claims.input), claims.input)
    verdicts = decided(scene, (claims, pairs), None, 0, math.inf)
    return len(torch.unique(claims.input[verdicts.alive])) >= need
