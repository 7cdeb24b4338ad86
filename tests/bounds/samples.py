"""Random domains (a box, perhaps cut by strips) in a problem's own domain, and points that lie in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.soundness.networks import problems
from verifluxa.bounds.domain import Domains, Geometry, geometry_of
from verifluxa.bounds.linear import Subproblems
from verifluxa.bounds.net import Net
from verifluxa.question import Problem, Question
from verifluxa.search.disjuncts import BoundContext
from verifluxa.search.workspace import Workspace, workspace_of

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """A problem, one domain of its trigger, and points in the domain.

    Attributes:
        domains: a batch of one.
        points: shape (T, d), T >= 1.
        pairs: the one domain with each input of the problem, shape (N,).
    """

    problem: Problem
    domains: Domains
    points: Floats

    @property
    def work(self) -> Workspace:
        """The engine's tables."""
        return workspace_of(self.problem)

    @property
    def net(self) -> Net:
        """The engine's local network at the only placement."""
        return self.work.net(0)

    @property
    def geometry(self) -> Geometry:
        """What bounding needs."""
        return geometry_of(self.domains)

    @property
    def scene(self) -> BoundContext:
        """Everything together."""
        return BoundContext(self.work, self.net, self.geometry)

    @property
    def pairs(self) -> Subproblems:
        """The domain with every input."""
        count = len(self.problem.inputs)
        return Subproblems(torch.zeros(count, dtype=torch.long), torch.arange(count))

    @property
    def question(self) -> Question:
        """The only question."""
        (question,) = self.problem.all_questions()
        return question

    @property
    def offsets(self) -> Floats:
        """The points, measured from the domain's center, shape (T, d)."""
        offsets: Floats = self.points - self.geometry.center.numpy()
        return offsets


def sample_of(problem: Problem, random: np.random.Generator, strips: int) -> Sample:
    """A random box in the problem's domain, with strips around one of its points."""
    lower, upper = problem.domain.lower, problem.domain.upper
    ends = np.sort(random.random((2, len(lower))), axis=0)
    ends = np.where(random.random(len(lower)) < 0.3, np.array([[0.0], [1.0]]), ends)
    low, high = lower + ends * (upper - lower)
    points = low + random.random((200, len(lower))) * (high - low)
    points[:100] = np.where(random.random((100, len(lower))) < 0.5, low, high)
    directions = random.standard_normal((strips, len(lower)))
    inner = directions @ points[-1]
    width = np.abs(directions) @ (high - low)
    cuts = np.sort(random.random((2, strips)), axis=0) * [[-1.0], [1.0]] * width * 0.4 + inner
    across = points @ directions.T
    points = points[((across >= cuts[0]) & (across <= cuts[1])).all(axis=1)]
    batch = [torch.as_tensor(part)[None] for part in (low, high, *cuts)]
    return Sample(problem, Domains(batch[0], batch[1], torch.as_tensor(directions), batch[2], batch[3]), points)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """A random problem with a random domain."""
    problem = draw(problems())
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return sample_of(problem, random, draw(st.integers(0, 2)))
