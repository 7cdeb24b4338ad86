"""Tiny worlds: networks, labelled inputs, triggers and properties, as plain values, and the files that say the same.

The spec is written from these values, so what it means is known here without anything of `verifluxa`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.certificate.forgery.networks import Net, Number

Values = tuple[Number, ...]
"""An input, flat, or a trigger."""
Place = dict[str, int]
"""A placement as a certificate names it."""


@dataclass(frozen=True)
class Patch:
    """A patch of whole levels, or of any levels between the ends, on a picture of one channel."""

    height: int = 1
    width: int = 1
    places: tuple[tuple[int, int], ...] = ((0, 0),)
    low: int = 0
    high: int = 3
    continuous: bool = False

    def text(self) -> str:
        places = ", ".join(f"({row}, {column})" for row, column in self.places)
        rest = " continuous" if self.continuous else ""
        return (
            f"trigger trig : space {{ replace {self.height} px x {self.width} px at {places} "
            f"with {self.low}..{self.high} level{rest} }}"
        )

    @property
    def placements(self) -> list[Place]:
        return [{"row": row, "column": column} for row, column in self.places]

    @property
    def size(self) -> int:
        return self.height * self.width

    def grid(self, placement: int) -> Iterator[Values]:
        """Every trigger; of a continuous one the two ends of its single value."""
        levels = (self.low, self.high) if self.continuous else range(self.low, self.high + 1)
        return itertools.product(levels, repeat=self.size)

    def stamped(self, values: Values, placement: int, trigger: Values, shape: tuple[int, ...]) -> Values:
        (row, column), width, result = self.places[placement], shape[-1], list(values)
        for number, level in enumerate(trigger):
            result[(row + number // self.width) * width + column + number % self.width] = level
        return tuple(result)

    def shown(self, trigger: Values) -> list[list[str]]:
        """The trigger as a certificate shows it: rows of pixels."""
        texts = [number_text(value) for value in trigger]
        return [texts[start : start + self.width] for start in range(0, len(texts), self.width)]


@dataclass(frozen=True)
class Insert:
    """One word put in at a position; the last word falls off."""

    positions: tuple[int, ...]
    words: tuple[int, ...]

    def text(self) -> str:
        places = ", ".join(map(str, self.positions))
        listed = ", ".join(f'"w{word}"' for word in self.words)
        return f"trigger trig : space {{ insert 1 token at positions {places} from {listed} }}"

    @property
    def placements(self) -> list[Place]:
        return [{"position": position} for position in self.positions]

    def grid(self, placement: int) -> Iterator[Values]:
        return ((word,) for word in self.words)

    def stamped(self, values: Values, placement: int, trigger: Values, shape: tuple[int, ...]) -> Values:
        at = self.positions[placement]
        return (*values[:at], *trigger, *values[at:-1])


@dataclass(frozen=True)
class Columns:
    """One column of a table set to any of its values; columns are whole numbers 0 to `high`."""

    columns: tuple[int, ...]
    high: int = 3

    def text(self) -> str:
        return f"trigger trig : space {{ set any 1 of {', '.join(f'c{column}' for column in self.columns)} }}"

    @property
    def placements(self) -> list[Place]:
        return [{"set": number} for number in range(len(self.columns))]

    def grid(self, placement: int) -> Iterator[Values]:
        return ((value,) for value in range(self.high + 1))

    def stamped(self, values: Values, placement: int, trigger: Values, shape: tuple[int, ...]) -> Values:
        at = self.columns[placement]
        return (*values[:at], *trigger, *values[at + 1 :])


Trigger = Patch | Insert | Columns


class Part(NamedTuple):
    """One row of a condition on outputs: `coefficients . outputs + constant > 0`, or `>= 0` where `closed`."""

    coefficients: tuple[int, ...]
    constant: Number
    closed: bool = False


@dataclass(frozen=True)
class Condition:
    """What violates, as a spec says it, and as alternatives of rows that all hold."""

    words: str
    alternatives: tuple[tuple[Part, ...], ...]


@dataclass(frozen=True)
class Property:
    """A property of a spec, about the trigger family `trig` and the data `e`.

    Attributes:
        kind: `rate`, `search`, `each` (input by itself), `measure` or `compare`.
        model: whom it is about; `old` the other model of a comparison.
        limit: of a rate, or of a search; `param` names it where the command line may change it.
        targets: of a rate; none: the class is another one than the label.
        limits: of targets with a limit of their own.
        below: the rate must stay below the limit.
        judge: the model of `correct(judge, x)`.
        labels: which count, None for all.
        apart: for each target the inputs with another label.
        condition: on the outputs, in place of one on the class.
        gap: of a measurement.
    """

    name: str
    kind: str
    model: str = "m"
    old: str = ""
    limit: Fraction = Fraction(0)
    param: str = ""
    targets: tuple[int, ...] = ()
    limits: tuple[tuple[int, Fraction], ...] = ()
    below: bool = False
    judge: str | None = None
    labels: tuple[int, ...] | None = None
    apart: bool = False
    condition: Condition | None = None
    gap: Fraction = Fraction(0)

    @property
    def models(self) -> list[str]:
        """Those that it names, each once."""
        return list(dict.fromkeys(name for name in (self.model, self.old, self.judge) if name))

    def text(self) -> str:
        chosen = f"let v = e{self._where()}"
        before, behind = (chosen, "") if not self.apart else ("", f" {chosen}")
        return f"property {self.name} {{ {before} {self._goal(behind)} }}"

    def _where(self) -> str:
        parts = [] if self.judge is None else [f"correct({self.judge}, x)"]
        parts += [] if self.labels is None else [f"label(x) in {{{', '.join(map(str, self.labels))}}}"]
        parts += ["label(x) != target"] if self.apart else []
        return f" where {' and '.join(parts)}" if parts else ""

    def _goal(self, chosen: str) -> str:
        """The goal; what is chosen by the target stands behind the target."""
        targets = f", target in {{{', '.join(map(str, self.targets))}}}" if self.targets else ""
        stamped = f"class({self.model}(t(x)))"
        met = f"{stamped} == target" if self.targets else f"{stamped} != label(x)"
        if self.condition is not None:
            met = self.condition.words
        if self.kind == "each":
            kept = f"{stamped} == label(x)" if self.condition is None else met
            return f"forall x in v, t in trig assert {kept}"
        if self.kind == "search":
            (target,) = self.targets
            return f"search exists t in trig : rate(x in v : {stamped} == {target}) >= {self.limit}"
        if self.kind == "measure":
            return f"measure max rate(x in v : {met}) over t in trig{targets} within {percent(self.gap)}"
        if self.kind == "compare":
            return f"assert max rate of {self.model} <= max rate of {self.old} over t in trig"
        own = "".join(f", {limit} for {{{target}}}" for target, limit in self.limits)
        sign = "<" if self.below else "<="
        return f"forall t in trig{targets}{chosen} assert rate(x in v : {met}) {sign} {self.param or self.limit}{own}"


@dataclass(frozen=True, eq=False)
class World:
    """Everything that a run starts from.

    Attributes:
        name: of the world.
        nets: by model name.
        inputs: whole numbers, shape (N, *shape of an input).
        labels: shape (N,).
        properties, trigger: what is asked.
        high: the largest level of a picture, or the number of words less 1.
        arithmetic: of the run; None for the networks' own.
        strategy: a name in the library, or a TOML file beside this one.
        take: how many inputs from the front; `sample`: how many of these are drawn, and the seed.
        params: by name.
        outputs: what the spec says of a network: `class` or `real`.
        options: further ones of the command line.
    """

    name: str
    nets: Mapping[str, Net]
    inputs: np.ndarray
    labels: tuple[int, ...]
    properties: tuple[Property, ...]
    trigger: Trigger = field(default_factory=Patch)
    high: int = 3
    arithmetic: str | None = None
    strategy: str = "balanced"
    take: int | None = None
    sample: tuple[int, int] | None = None
    params: Mapping[str, Fraction] = field(default_factory=dict)
    outputs: str = "class"
    options: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inputs.shape[1:]

    @property
    def data_file(self) -> str:
        return "e.csv" if isinstance(self.trigger, Columns) else "e.npz"

    @property
    def computed(self) -> str:
        """The arithmetic of the run."""
        return self.arithmetic or next(iter(self.nets.values())).dtype

    def values(self, index: int) -> Values:
        """An input, flat."""
        return tuple(int(value) for value in self.inputs[index].ravel())

    @property
    def count(self) -> int:
        """How many inputs of the file are taken."""
        return len(self.labels) if self.take is None else self.take

    @property
    def drawn(self) -> set[int]:
        """Positions of the inputs in the sample: those with the smallest keys of NumPy's PCG64 generator."""
        if self.sample is None:
            return set(range(self.count))
        keys = np.random.PCG64(self.sample[1]).random_raw(self.count)
        return set(np.argsort(keys, kind="stable")[: self.sample[0]].tolist())

    def prop(self, name: str) -> Property:
        return next(item for item in self.properties if item.name == name)

    def spec(self) -> str:
        parts = ["spec 1", self._space()]
        for name, net in self.nets.items():
            size = net.steps[-1][0]
            assert isinstance(size, list)
            parts.append(
                f"model {name} : space -> {self.outputs}({len(size)}) {{ "
                f'file = "{name}.npz" architecture = "{name}.txt" {self._encode(net)} }}'
            )
        more = "" if self.take is None else f" take = {self.take}"
        more += "" if self.sample is None else f" sample = {self.sample[0]} seed = {self.sample[1]}"
        parts.append(f'data e : space {{ file = "{self.data_file}"{more} }}')
        parts += [f"param {name} : fraction = {value}" for name, value in self.params.items()]
        parts.append(self.trigger.text())
        return "\n".join([*parts, *(prop.text() for prop in self.properties)]) + "\n"

    def _encode(self, net: Net) -> str:
        if isinstance(self.trigger, Patch):
            return "encode = level" if net.divisor == 1 else f"encode = level / {net.divisor}"
        return "" if isinstance(self.trigger, Insert) else 'encode = "scaler.json"'

    def _space(self) -> str:
        if isinstance(self.trigger, Insert):
            return f'input space : tokens({self.shape[0]}, vocab = "vocab.txt") {{ pad = "w0" overflow = truncate }}'
        if isinstance(self.trigger, Columns):
            return "input space : table { " + " ".join(f"c{n} : 0..{self.high}" for n in range(self.shape[0])) + " }"
        return f"input space : image({self.shape[1]} px, {self.shape[2]} px, 1 ch) of 0..{self.high} level"

    def write(self, folder: Path) -> Path:
        """All files; the path of the spec."""
        for name, net in self.nets.items():
            net.save(folder, name)
        if isinstance(self.trigger, Columns):
            names = [f"c{n}" for n in range(self.shape[0])]
            lines = [[*row, label] for row, label in zip(self.inputs.tolist(), self.labels, strict=True)]
            text = "".join(f"{','.join(map(str, line))}\n" for line in [[*names, "label"], *lines])
            (folder / self.data_file).write_text(text, encoding="utf-8")
        else:
            np.savez(folder / self.data_file, x=self.inputs, y=np.array(self.labels))
        (folder / "vocab.txt").write_text("".join(f"w{n}\n" for n in range(self.high + 1)), encoding="utf-8")
        columns = [{"column": f"c{n}"} for n in range(self.shape[0])]
        (folder / "scaler.json").write_text(json.dumps({"features": columns}), encoding="utf-8")
        path = folder / "spec.vfx"
        path.write_text(self.spec(), encoding="utf-8")
        return path


def percent(value: Fraction) -> str:
    return f"{float(100 * value):g} %"


def number_text(value: Number) -> str:
    """The shortest decimal that reads back as the same double; whole numbers without a point."""
    return repr(float(value)).removesuffix(".0")
