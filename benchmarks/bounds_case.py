"""One case of the bounds benchmark: the same items and rows for the native engine and, as a file, for a peer."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verifluxa.bounds.domain import Domains, Geometry, geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers, pairs_at_once
from verifluxa.bounds.memory import in_chunks
from verifluxa.bounds.optimise import BoundTask, claims_at_once, optimise_bounds
from verifluxa.bounds.refined import refined_layers
from verifluxa.graph.ops import Activation, Affine, Conv, Divide, MaxPool, Op, Reshape, Transpose
from verifluxa.question import Problem
from verifluxa.search.disjuncts import BoundContext, constraint_bounds, take_layers
from verifluxa.search.workspace import Workspace

Floats = NDArray[np.float64]

LEAST_SECONDS = 0.2
"""Shorter measurements are repeated until they take this long, here and in the peer."""


@dataclass(frozen=True, eq=False)
class BoundsCase:
    """Items, sorted by place, and within a place by box: every image at every box of every place.

    Attributes:
        problem: whose network and rows are bounded.
        images: indices of inputs.
        boxes: how many equal parts (along the first pixel) the trigger's box is cut into.
        targets: for each item the rows of all these targets are bounded.
        fresh: whether the native side starts from nothing in every repeat: constants and local networks included.
    """

    problem: Problem
    images: NDArray[np.int64]
    boxes: int
    targets: tuple[int, ...]
    fresh: bool = False

    @property
    def items(self) -> int:
        """Number of (place, box, image) items."""
        return len(self.problem.placements) * self.boxes * len(self.images)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Indices of the rows of the targets, shape (r,)."""
        violations = self.problem.violations
        return np.array([row for target in self.targets for row in violations[target].by_label[0][0]])

    @cached_property
    def ends(self) -> tuple[Floats, Floats]:
        """Lower and upper ends of the boxes, in the user's units, shape (boxes, d)."""
        domain = self.problem.domain
        lower, upper = (np.repeat(end[None], self.boxes, 0) for end in (domain.lower, domain.upper))
        cuts = np.floor(np.linspace(domain.lower[0], domain.upper[0] + 1, self.boxes + 1))
        lower[:, 0], upper[:, 0] = cuts[:-1], cuts[1:] - 1
        return lower, upper

    @cached_property
    def work(self) -> Workspace:
        """The workspace where it is kept between repeats."""
        return Workspace(self.problem)

    @cached_property
    def geometry(self) -> Geometry:
        """The boxes as the engine takes them."""
        lower, upper = (torch.as_tensor(end) for end in self.ends)
        none = lower.new_zeros(self.boxes, 0)
        return geometry_of(Domains(lower, upper, lower.new_zeros(0, lower.shape[1]), none, none))

    def native_seconds(self) -> float:
        """CPU seconds of bounding all rows of all items once: passes until they are long enough to be timed."""
        started, passes = time.process_time(), 0
        while not passes or time.process_time() - started < LEAST_SECONDS:
            self.native_upper()
            passes += 1
        return (time.process_time() - started) / passes

    def native_upper(self) -> Floats:
        """Upper bounds of the rows, shape (items, r)."""
        work = Workspace(self.problem) if self.fresh else self.work
        places = range(len(self.problem.placements))
        return torch.cat([self._at(work, place) for place in places]).numpy()

    def _at(self, work: Workspace, place: int) -> Tensor:
        scene = BoundContext(work, work.net(place), self.geometry)
        images = torch.as_tensor(self.images)
        domain = torch.arange(self.boxes).repeat_interleave(len(images))
        pairs, rows = Subproblems(domain, images.repeat(self.boxes)), torch.as_tensor(self.rows)

        def some(start: int, end: int) -> Tensor:
            own = pairs.take(torch.arange(start, end))
            layers = bound_all_layers(scene.net, scene.geometry, own)
            everything = torch.arange(end - start)
            return constraint_bounds(scene, layers, everything, own, rows.expand(end - start, -1)).upper

        # As `search.initial_bounds.look` cuts its batches, and in the same mode.
        work.prepare_rows()
        with torch.inference_mode():
            found = in_chunks(len(domain), pairs_at_once(scene.net, "cpu"), some)
        return torch.cat(found)

    def alpha_upper(self, steps: int, refine: int = 0) -> Floats:
        """Upper bounds of the rows by slopes that are optimised for each row, shape (items, r); one place.

        Args:
            steps: on the slopes of a row.
            refine: steps on the slopes of each neuron's ends before.
        """
        scene = BoundContext(self.work, self.work.net(0), self.geometry)
        images, rows = torch.as_tensor(self.images), torch.as_tensor(self.rows)
        pairs = Subproblems(torch.arange(self.boxes).repeat_interleave(len(images)), images.repeat(self.boxes))
        layers = refined_layers(scene.net, scene.geometry, pairs, refine)

        def some(start: int, end: int) -> Tensor:
            claim = torch.arange(start, end)
            item, row = claim // len(rows), rows[claim % len(rows)]
            constants = torch.full((end - start,), -torch.inf, dtype=torch.float64)
            parts = (self.work.coefficients[row], self.work.row_constants[row], constants)
            task = BoundTask.alone(scene.net, take_layers(layers, item), scene.geometry, pairs.take(item), *parts)
            return optimise_bounds(task, steps, steps).largest

        size = claims_at_once(scene.net, "cpu")
        return torch.cat(in_chunks(self.items * len(rows), size, some)).view(self.items, -1).numpy()

    def save(self, path: Path) -> None:
        """Writes the case for a peer: encoded images, patches in encoded units, layers without the encoding."""
        problem = self.problem
        front, ops = _parts([node.op for node in problem.graph.nodes[1:]])
        divisor, move = _encoding(front, problem.graph.input_shape)
        node = problem.graph.nodes[len(front)]
        images = (problem.inputs.reshape(len(problem.inputs), -1)[:, np.argsort(move)] / divisor)[self.images]
        arrays: dict[str, Any] = {
            "images": images.reshape(-1, *node.shape),
            "positions": np.stack([move[place.stamp.positions] for place in problem.placements]),
            "coefficients": np.repeat(problem.constraints.coefficients[self.rows][None], self.items, 0),
            **self._items(divisor),
        }
        arrays["layers"] = json.dumps([_layer(op, f"{number}", arrays) for number, op in enumerate(ops)])
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)

    def _items(self, divisor: float) -> dict[str, Any]:
        places, images = len(self.problem.placements), len(self.images)
        box = np.tile(np.repeat(np.arange(self.boxes), images), places)
        return {
            "place": np.repeat(np.arange(places), self.boxes * images),
            "image": np.tile(np.arange(images), places * self.boxes),
            "lower": self.ends[0][box] / divisor,
            "upper": self.ends[1][box] / divisor,
        }


def _parts(ops: list[Op]) -> tuple[list[Op], list[Op]]:
    """The encoding in front, and the network from its first layer on."""
    first = next(i for i, op in enumerate(ops) if isinstance(op, Affine | Conv))
    return ops[:first], ops[first:]


def _encoding(front: list[Op], shape: tuple[int, ...]) -> tuple[float, NDArray[np.int64]]:
    """The divisor, and where each input element goes.

    Raises:
        ValueError: for an encoding that the peer is not prepared for.
    """
    divisor, order = 1.0, np.arange(int(np.prod(shape))).reshape(shape)
    for op in front:
        if isinstance(op, Divide) and op.divisor.size == 1:
            divisor *= float(op.divisor)
        elif isinstance(op, Transpose):
            order = order.transpose(op.order)
        elif isinstance(op, Reshape):
            order = order.reshape(op.shape)
        else:
            raise ValueError(f"no peer for an encoding with {op.kind}")
    return divisor, np.argsort(order.ravel())


def _layer(op: Op, name: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """A layer as the peer reads it; its arrays go beside it.

    Raises:
        ValueError: for a layer that the peer is not prepared for.
    """
    if isinstance(op, Activation) and op.function in {"relu", "tanh", "sigmoid"}:
        return {"kind": op.function}
    if isinstance(op, Reshape):
        return {"kind": "flatten"}
    if isinstance(op, MaxPool) and op.window == op.stride and not any((*op.pad_low, *op.pad_high)):
        return {"kind": "maxpool", "window": list(op.window)}
    if not isinstance(op, Affine | Conv):
        raise ValueError(f"no peer for a network with {op.kind}")
    weight, bias = f"weight{name}", f"bias{name}"
    arrays[weight] = op.weight
    arrays[bias] = np.zeros(len(op.weight)) if op.bias is None else op.bias
    if isinstance(op, Affine):
        return {"kind": "affine", "weight": weight, "bias": bias}
    if op.pad_low != op.pad_high or op.groups != 1 or set(op.dilation) != {1}:
        raise ValueError("no peer for a convolution with one-sided padding, groups or dilation")
    return {"kind": "conv", "weight": weight, "bias": bias, "stride": list(op.stride), "pad": list(op.pad_low)}
