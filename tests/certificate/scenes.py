"""Small networks with a property, proved by the real engine and checked by the checker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from tests.search.small import with_thresholds
from verifluxa.asking import untouched
from verifluxa.certificate.check.claim import Claim, Sources, Stated, claim_of, deployed
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.network import Constants, constants_of
from verifluxa.certificate.check.report import Tally
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_lines import Header, Record, header_of, record_of
from verifluxa.data.dataset import Dataset
from verifluxa.errors import Span
from verifluxa.graph import ops
from verifluxa.graph.graph import Graph, build, chain
from verifluxa.lower import Given, lower
from verifluxa.question import Problem
from verifluxa.spec.spec import (
    ClassOutput,
    DataDecl,
    EncodeStep,
    ImageSpace,
    ModelDecl,
    PerInput,
    Property,
    RateBound,
    Selection,
    Spec,
)
from verifluxa.spec.triggers.patch import PatchTrigger
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BranchStage, load_strategy

SPAN = Span("scene.vfx", 1, 1, 1, 2)
SIDE = 8
ENCODE = (
    EncodeStep("divide", (Fraction(255),)),
    EncodeStep("subtract", (Fraction("0.1307"),)),
    EncodeStep("divide", (Fraction("0.3081"),)),
)


@dataclass(frozen=True)
class Shape:
    """Which network and property: see `scene`."""

    kind: str = "mlp"
    activation: str = "relu"
    channels: int = 1
    targeted: bool = True
    per_input: bool = False
    continuous: bool = False
    softmax: bool = False
    limit: Fraction = Fraction(1, 2)
    scale: float = 0.6
    places: tuple[tuple[int, int], ...] = ((0, 0), (3, 3))
    patch: int = 2
    inputs: int = 30
    classes: int = 3
    layout: str = "whcn"
    dtype: str = "float32"


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that a check of one property starts from."""

    spec: Spec
    graph: Graph
    data: Dataset
    sources: Sources
    problem: Problem

    @property
    def prop(self) -> Property:
        return self.spec.properties[0]

    @property
    def header(self) -> Header:
        return header_of(self.problem, self.data.sha256)

    def claim(self) -> Claim:
        return claim_of(self.prop.statement, self.sources, stated_of(self.problem))

    def prove(
        self, joint: bool = False, clip_rounds: int = 2, inherit: bool = False, **thresholds: float
    ) -> list[Record]:
        """The real engine's answers, with a small budget; with the joint step, or inherited ends, where asked for."""
        name = "joint.toml" if joint else "short.toml"
        settings, problem = load_strategy(str(Path(__file__).with_name(name))), self.problem
        changes = {"clip_rounds": clip_rounds, "inherit": inherit}
        stages = (
            with_thresholds(replace(s, **changes), **thresholds) if isinstance(s, BranchStage) else s
            for s in settings.stages
        )
        settings = replace(settings, stages=tuple(stages))
        places = range(len(problem.placements))
        return [record_of(item) for p in places for item in decide(problem, problem.questions(p), settings)]

    def check(self, records: list[Record], header: Header | None = None) -> Tally:
        """The checker's view of records; raises what it refuses."""
        section = Section(self.claim(), self.sources.models["net"], header or self.header)
        section.records(records)
        return section.finish()


def stated_of(problem: Problem) -> Stated:
    """Which inputs count, as certificate and evidence of a problem state it."""
    return Stated(problem.indices, tuple(problem.indices[index] for index in problem.doubt.inputs))


def scene(
    seed: int,
    shape: Shape | None = None,
    arithmetic: str = "float32",
    layers_of: Callable[..., list[ops.Op]] | None = None,
    encode: tuple[EncodeStep, ...] | None = None,
) -> Scene:
    """A random network whose classes are balanced, random pictures, and one property."""
    encode = ENCODE if encode is None else encode
    shape = shape or Shape()
    random = np.random.default_rng(seed)
    size = (shape.channels, SIDE, SIDE)
    space = ImageSpace("picture", SIDE, SIDE, shape.channels, 0, 255)
    decl = ModelDecl("net", "picture", ClassOutput(shape.classes), None, None, shape.layout, encode, SPAN)
    pictures = random.integers(0, 256, size=(shape.inputs, *size)).astype(np.float64)
    layers = (layers_of or random_layers)(random, shape, size)
    plain = deployed(decl, space, network(size, layers, shape))
    last = layers[-1]
    assert isinstance(last, ops.Affine)
    assert last.bias is not None
    middle = np.median(plain.run(pictures), axis=0).astype(shape.dtype)
    layers[-1] = ops.Affine(last.weight, last.bias - middle)
    graph = network(size, [*layers, *([ops.Softmax(0)] if shape.softmax else [])], shape)
    answers = deployed(decl, space, graph).run(pictures).argmax(axis=1)
    labels = np.where(random.random(shape.inputs) < 0.2, (answers + 1) % shape.classes, answers).astype(np.int64)
    data = Dataset("eval", "eval.npz", "sha256:" + "4" * 64, pictures, labels)
    spec = _spec(shape, space, decl)
    sources = Sources(space, data, {"net": deployed(decl, space, graph)}, arithmetic)
    given = Given(graph, data, "sha256:" + "d" * 64, arithmetic, untouched=untouched)
    return Scene(spec, graph, data, sources, lower(spec, spec.properties[0], given))


def network(size: tuple[int, ...], layers: list[ops.Op], shape: Shape) -> Graph:
    """The layers one after the other; in the kind `branches` some read several others, some of them far back."""
    if shape.kind != "branches":
        return chain(size, layers, shape.dtype)
    first, bend, second, *rest = layers
    steps: list[tuple[ops.Op, tuple[int, ...]]] = [
        (ops.Input(size), ()),
        (first, (0,)),
        (bend, (1,)),
        (second, (2,)),
        (ops.Add(), (3, 1, 2)),
        (bend, (4,)),
        (ops.MaxPool((2, 2), (2, 2), (0, 0), (0, 0)), (5,)),
        (ops.MeanPool((2, 2), (2, 2), (0, 0), (0, 0)), (1,)),
        (ops.Concat(0), (6, 7)),
    ]
    steps += [(op, (8 + number,)) for number, op in enumerate(rest)]
    return build(steps, shape.dtype)


def write_scene_evidence(path: Path, found: Scene, records: list[Record]) -> None:
    """Puts records into a file."""
    from verifluxa.certificate.evidence_file import EvidenceWriter

    with EvidenceWriter(path) as writer:
        writer.begin(found.header)
        for record in records:
            writer.write_record(record)
        writer.end()
        writer.close()


def walked(graph: Graph, inputs: Floats, arithmetic: str = "float32") -> Constants:
    """The constants of a network that can be recomputed."""
    constants = constants_of(graph, inputs, arithmetic)
    assert constants is not None
    return constants


def narrowed(found: Scene, limit: Fraction) -> Scene:
    """The same with another limit, so that another number of inputs is needed."""
    statement = found.prop.statement
    assert isinstance(statement, RateBound)
    changed = replace(found.prop, statement=replace(statement, limit=limit))
    return replace(found, spec=replace(found.spec, properties=(changed,)))


def _spec(shape: Shape, space: ImageSpace, decl: ModelDecl) -> Spec:
    trigger = PatchTrigger(
        "patch",
        "picture",
        shape.patch,
        shape.patch,
        shape.places,
        Fraction(0),
        Fraction(255),
        None if shape.continuous else 1,
    )
    universal = not shape.per_input
    selection = Selection("eval", "net", None, label_is_not_target=shape.targeted and universal)
    statement: RateBound | PerInput = PerInput("net", trigger, selection)
    if universal:
        targets = tuple(range(shape.classes)) if shape.targeted else ()
        statement = RateBound("net", trigger, selection, targets, shape.limit)
    data = DataDecl("eval", "picture", None, None, None, 0, SPAN)
    prop = Property("scene", None, statement, SPAN)
    return Spec("scene.vfx", "sha256:" + "5" * 64, (space,), (decl,), (data,), (trigger,), (), (prop,))


def random_layers(random: np.random.Generator, shape: Shape, size: tuple[int, ...]) -> list[ops.Op]:
    def weights(*sizes: int) -> ops.Array:
        spread = shape.scale * 1.5 / np.sqrt(max(1, np.prod(sizes[1:])))
        return (random.normal(size=sizes) * spread).astype(shape.dtype)

    def activation() -> ops.Op:
        return ops.Clip(-1.0, 1.0) if shape.activation == "clip" else ops.Activation(shape.activation)

    layers: list[ops.Op] = []
    if shape.kind == "cnn":
        first = ops.Conv(weights(4, size[0], 3, 3), weights(4), (1, 1), (1, 1), (1, 1), (1, 1))
        second = ops.Conv(weights(5, 4, 3, 3), weights(5), (2, 2), (0, 0), (0, 0), (1, 1))
        layers = [first, activation(), second, activation()]
    elif shape.kind == "branches":
        first = ops.Conv(weights(3, size[0], 3, 3), weights(3), (1, 1), (1, 1), (1, 1), (1, 1))
        layers = [first, activation(), ops.Conv(weights(3, 3, 3, 3), weights(3), (1, 1), (1, 1), (1, 1), (1, 1))]
    elif shape.kind == "pool":
        first = ops.Conv(weights(3, size[0], 3, 3), weights(3), (1, 1), (1, 1), (1, 1), (1, 1))
        pool = ops.MaxPool((2, 2), (2, 2), (0, 0), (0, 0))
        layers = [first, pool, activation(), ops.MeanPool((2, 2), (1, 1), (0, 0), (0, 0))]
    layers.append(ops.Reshape((-1,)))
    width = network(size, layers, shape).output_shape[0]
    return [
        *layers,
        *(ops.Affine(weights(12, width), weights(12)), activation()),
        *(ops.Affine(weights(8, 12), weights(8)), activation()),
        ops.Affine(weights(shape.classes, 8), weights(shape.classes)),
    ]
