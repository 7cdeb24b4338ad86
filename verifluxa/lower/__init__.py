"""Spec + lifted network + data to a Problem: the deployed graph, placements, rows, violations, selections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verifluxa.data.dataset import Dataset
from verifluxa.data.select import select
from verifluxa.errors import DataError, ModelError, UsageError
from verifluxa.graph.graph import Graph
from verifluxa.lower.ask import ask
from verifluxa.lower.deploy import deploy, predictions
from verifluxa.lower.images import domain, placement
from verifluxa.lower.outputs import class_rows, readout
from verifluxa.question import Integers, Problem
from verifluxa.spec.spec import PerInput, Property, Selection, Spec, Statement

__all__ = ["Given", "deploy", "lower", "predictions"]


@dataclass(frozen=True, eq=False)
class Given:
    """What a property is asked of.

    Attributes:
        graph: the lifted network, which reads encoded inputs.
        data: the data set that the property speaks of.
        digest: the property digest.
        arithmetic: `float32`, `float64` or `real`.
        judge: the lifted network of the model that `correct` names, where that is another one.
    """

    graph: Graph
    data: Dataset
    digest: str
    arithmetic: str
    judge: Graph | None = None


def lower(spec: Spec, prop: Property, given: Given) -> Problem:
    """Puts one property's question together.

    Args:
        spec: the checked spec.
        prop: one of its properties.
        given: the network, the data, the digest and the arithmetic.

    Raises:
        ModelError: VF2201 when the network's outputs are not the declared classes.
        DataError: VF3201 when no input is left to prove anything about.
        UsageError: VF4011 when the arithmetic is not the model's.
    """
    statement = prop.statement
    model = next(m for m in spec.models if m.name == statement.model)
    space = next(s for s in spec.spaces if s.name == model.space)
    data, arithmetic = given.data, given.arithmetic
    _fits(arithmetic, given.graph.dtype)
    deployed = deploy(given.graph, model, space)
    classes = model.output.count
    if deployed.output_shape != (classes,):
        raise ModelError(
            "VF2201",
            f"model {model.name!r} gives outputs of shape {deployed.output_shape}, the spec says class({classes})",
            place=model.span,
            remedy="write the number of classes that the network's last layer has",
        )
    judge = deployed if given.judge is None else _judge(spec, statement.selection, given.judge)
    positions, excluded = _counted(statement, judge, data)
    read, gap = readout(deployed, arithmetic)
    labels = data.labels[positions]
    _are_classes(labels, positions, classes, data)
    asked = ask(statement, labels, classes, prop.name)
    trigger = statement.trigger
    return Problem(
        name=prop.name,
        digest=given.digest,
        graph=deployed,
        inputs=np.ascontiguousarray(data.inputs[positions]),
        labels=labels,
        indices=tuple(int(p) for p in positions),
        excluded=excluded,
        placements=tuple(placement(trigger, place, space) for place in trigger.places),
        domain=domain(trigger, space),
        rows=class_rows(classes, gap),
        violations=asked.violations,
        selections=asked.selections,
        needs=asked.needs,
        pairs=asked.pairs,
        per_input=isinstance(statement, PerInput),
        arithmetic=arithmetic,
        readout=read,
    )


def _judge(spec: Spec, selection: Selection, graph: Graph) -> Graph:
    """The deployed form of the model that says which inputs are correct."""
    model = next(m for m in spec.models if m.name == selection.correct)
    return deploy(graph, model, next(s for s in spec.spaces if s.name == model.space))


def _fits(arithmetic: str, dtype: str) -> None:
    if arithmetic in ("real", dtype):
        return
    raise UsageError(
        "VF4011",
        f"the model computes in {dtype}, so a proof in {arithmetic} says nothing about it",
        expected=f"--arithmetic {dtype} (or real)",
    )


def _counted(statement: Statement, judge: Graph, data: Dataset) -> tuple[Integers, tuple[tuple[int, str], ...]]:
    predicted = predictions(judge, data.inputs) if statement.selection.correct is not None else None
    positions, excluded = select(data, statement.selection, predicted, None)
    return np.asarray(positions, dtype=np.int64), tuple(excluded)


def _are_classes(labels: Integers, positions: Integers, classes: int, data: Dataset) -> None:
    """Data may be checked against another model of its space, which has more classes."""
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        raise DataError(
            "VF3017",
            f"label {positions[wrong[0]]} is {labels[wrong[0]]}, which is no class of the model",
            place=data.path,
            expected=f"classes 0..{classes - 1}, counted from 0",
            remedy="`where label(x) in ...` or `where correct(model, x)` leaves such inputs out",
        )
