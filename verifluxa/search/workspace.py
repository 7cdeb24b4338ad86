"""What a worker prepares once per problem: constants of the inputs, alternatives as tensors, chains on demand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verifluxa.bounds import Constants, Net, build_chain, load_net, propagate
from verifluxa.question import Problem

CHAINS_KEPT = 1024
"""Chains that stay in memory; the attack and the proof visit placements in the same order."""
WEIGHTS_KEPT = 2**26
"""Weights of all of them together."""


def _weights(nets: Iterable[Net]) -> int:
    return sum(layer.weight.numel() for net in nets for layer in net.layers)


@dataclass(frozen=True, eq=False)
class Claims:
    """(input, alternative) pairs that a question speaks of.

    Attributes:
        input: indices into the problem's inputs, shape (C,).
        alternative: indices into `Workspace.alternatives`, shape (C,).
        position: which alternative of the input's violation it is, shape (C,).
    """

    input: Tensor
    alternative: Tensor
    position: Tensor

    def __len__(self) -> int:
        return len(self.input)

    @classmethod
    def joined(cls, parts: Sequence[Claims]) -> Claims:
        """Claims one after the other."""
        names = ("input", "alternative", "position")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def take(self, index: Tensor) -> Claims:
        """Some of the claims."""
        return Claims(self.input[index], self.alternative[index], self.position[index])


@dataclass
class Workspace:
    """Prepared values of one problem on one device. Holds caches only; everything can be recomputed.

    `kept`: what a stage prepares for all placements, by its name.
    """

    problem: Problem
    device: str = "cpu"
    _nets: OrderedDict[int, Net] = field(default_factory=OrderedDict)
    _places: dict[int, Workspace] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def readout(self) -> int:
        """Index of the node that the rows speak of."""
        return self.problem.readout % len(self.problem.graph.nodes)

    @cached_property
    def constants(self) -> Constants:
        """The network on the untouched inputs."""
        problem = self.problem
        return propagate(problem.graph, problem.inputs, problem.arithmetic, self.readout, problem.spread)

    def at(self, placement: int) -> Workspace:
        """The workspace for the questions of one placement: where that has a domain of its own, with that one."""
        own = self.problem.placements[placement].domain
        if own is None or own is self.problem.domain:
            return self
        if placement not in self._places:
            there = Workspace(replace(self.problem, domain=own), self.device, self._nets, kept=self.kept)
            # What does not depend on the domain is shared.
            there.__dict__["constants"] = self.constants
            self._places[placement] = there
        return self._places[placement]

    def net(self, placement: int) -> Net:
        """The local network of a placement."""
        if placement in self._nets:
            self._nets.move_to_end(placement)
            return self._nets[placement]
        chain = build_chain(self.problem.graph, self.constants, self.problem.placements[placement].stamp)
        net = load_net(chain, self.device)
        self._nets[placement] = net
        while len(self._nets) > 1 and (len(self._nets) > CHAINS_KEPT or _weights(self._nets.values()) > WEIGHTS_KEPT):
            self._nets.popitem(last=False)
        return net

    @cached_property
    def _alternative_index(self) -> dict[tuple[int, ...], int]:
        distinct: dict[tuple[int, ...], int] = {}
        for violation in self.problem.violations:
            for alternatives in violation.by_label:
                for rows in alternatives:
                    distinct.setdefault(rows, len(distinct))
        return distinct

    @cached_property
    def alternatives(self) -> Tensor:
        """Rows of each distinct alternative, shape (A, r), short ones padded by repeating their first row."""
        distinct = list(self._alternative_index)
        width = max(len(rows) for rows in distinct)
        padded = [list(rows) + [rows[0]] * (width - len(rows)) for rows in distinct]
        return torch.tensor(padded, dtype=torch.long, device=self.device)

    @cached_property
    def coefficients(self) -> Tensor:
        """Row coefficients, shape (R, outputs)."""
        return torch.as_tensor(self.problem.constraints.coefficients, device=self.device)

    @cached_property
    def row_constants(self) -> Tensor:
        """Row constants, shape (R,)."""
        return torch.as_tensor(self.problem.constraints.constants, device=self.device)

    @cached_property
    def certain_constants(self) -> Tensor:
        """Row constants with which a row above 0 is violated in every evaluation, shape (R,)."""
        return torch.as_tensor(self.problem.certain, device=self.device)

    @cached_property
    def closed(self) -> Tensor:
        """Whether a row is met at 0, shape (R,)."""
        return torch.as_tensor(self.problem.constraints.closed, device=self.device)

    @cached_property
    def _claims(self) -> dict[tuple[int, int], Claims]:
        return {}

    def claims(self, violation: int, selection: int) -> Claims:
        """The claims of a question."""
        key = (violation, selection)
        if key not in self._claims:
            self._claims[key] = self._make_claims(violation, self.problem.selections[selection])
        return self._claims[key]

    def _make_claims(self, violation: int, inputs: NDArray[np.int64]) -> Claims:
        by_label = self.problem.violations[violation].by_label
        found = [
            (int(i), self._alternative_index[rows], position)
            for i in inputs
            for position, rows in enumerate(by_label[int(self.problem.labels[i])])
        ]
        columns = torch.tensor(found, dtype=torch.long, device=self.device).reshape(-1, 3)
        return Claims(columns[:, 0].contiguous(), columns[:, 1].contiguous(), columns[:, 2].contiguous())

    def prepare_rows(self) -> None:
        """Makes what is kept about rows, before inference mode does: attacks ask for gradients through it."""
        _ = self.alternatives, self.coefficients, self.row_constants, self.closed

    def row_values(self, outputs: Tensor, alternative: Tensor) -> Tensor:
        """Values of the rows of an alternative (C,) at outputs (C, outputs): shape (C, r)."""
        rows = self.alternatives[alternative]
        if len(self.coefficients) <= 4 * rows.shape[1] * outputs.shape[1]:
            return (outputs @ self.coefficients.T + self.row_constants).gather(1, rows)
        return (self.coefficients[rows] @ outputs[:, :, None])[..., 0] + self.row_constants[rows]

    @cached_property
    def lower(self) -> Tensor:
        """Lower ends of the domain, shape (d,)."""
        return torch.as_tensor(self.problem.domain.lower, device=self.device)

    @cached_property
    def upper(self) -> Tensor:
        """Upper ends of the domain, shape (d,)."""
        return torch.as_tensor(self.problem.domain.upper, device=self.device)

    @cached_property
    def step(self) -> Tensor:
        """Grid steps, shape (d,), 0 where continuous."""
        return torch.as_tensor(self.problem.domain.step, device=self.device)

    def contains(self, trigger: NDArray[np.float64]) -> bool:
        """Whether a point lies in the problem's domain; slabs are tested in exact rationals."""
        return self.problem.domain.contains(trigger)

    def on_grid(self, trigger: Tensor) -> Tensor:
        """The nearest grid points inside the domain, shape (..., d).

        Where a coordinate is continuous, a float32 network reads float32 numbers: only they are triggers.
        """
        step = torch.where(self.step > 0, self.step, torch.ones_like(self.step))
        snapped = self.lower + torch.round((trigger - self.lower) / step) * step
        if self.problem.arithmetic == "float32":
            low, high = self._singles
            trigger = torch.where(low <= high, trigger.float().double().clamp(low, high), trigger)
        point = torch.where(self.step > 0, snapped, trigger).clamp(self.lower, self.upper)
        for coordinates, points in self._lists:
            near = torch.cdist(trigger[..., coordinates].reshape(-1, len(coordinates)), points).argmin(1)
            point[..., coordinates] = points[near].reshape(point[..., coordinates].shape)
        return point

    @cached_property
    def _lists(self) -> list[tuple[Tensor, Tensor]]:
        """Coordinates and points of the domain's lists."""
        return [
            (torch.as_tensor(one.coordinates, device=self.device), torch.as_tensor(one.points, device=self.device))
            for one in self.problem.domain.lists
        ]

    @cached_property
    def _singles(self) -> tuple[Tensor, Tensor]:
        """The least and the largest float32 number in each coordinate's range, as float64, shape (d,) each."""
        low, high = self.lower.float(), self.upper.float()
        infinity = torch.full_like(low, torch.inf)
        low = torch.where(low.double() < self.lower, torch.nextafter(low, infinity), low)
        high = torch.where(high.double() > self.upper, torch.nextafter(high, -infinity), high)
        return low.double(), high.double()


@dataclass(frozen=True, eq=False)
class _Same:
    """A problem up to the pairs that are asked: equal when all that a workspace is made of is the same."""

    problem: Problem

    def _parts(self) -> tuple[object, ...]:
        problem = self.problem
        shared = (
            problem.graph,
            problem.inputs,
            problem.labels,
            problem.placements,
            problem.domain,
            problem.constraints,
        )
        objects = (*shared, problem.violations, problem.selections)
        return (*map(id, objects), problem.arithmetic, problem.readout, problem.spread)

    def __hash__(self) -> int:
        return hash(self._parts())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._parts() == other._parts()


@lru_cache(maxsize=4)
def _workspace(same: _Same, device: str) -> Workspace:
    return Workspace(same.problem, device)


def workspace_of(problem: Problem, device: str = "cpu") -> Workspace:
    """The workspace of a problem: slices of one problem share its constants and chains, whichever pairs they ask."""
    return _workspace(_Same(problem), device)
