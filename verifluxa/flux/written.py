"""The arguments of a layer in an architecture text, as facts. What a layer does not take is refused with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from verifluxa.errors import ModelError, Span
from verifluxa.flux.architecture import Call, Expression, Keyword, Literal, Name, Pair, Sequence, refuse
from verifluxa.flux.layer import Fact, Facts
from verifluxa.flux.names import ACTIVATIONS, FUNCTIONS, RANDOM, written_function

_SHOWN = 60


@dataclass(frozen=True)
class Child:
    """A layer inside a layer: its name, where the text gives one, and its text."""

    name: str | None
    text: Call | Name


@dataclass(frozen=True)
class Written:
    """What the text of one layer says.

    Attributes:
        facts: what is said, nothing else.
        children: the layers inside, in order.
        span: where.
        vector: whether the children stand in a vector `[...]`.
    """

    facts: Facts
    children: tuple[Child, ...] = ()
    span: Span = field(default_factory=lambda: Span("", 0, 0, 0, 0))
    vector: bool = False


def last_name(name: str) -> str:
    """The name without the module: `Flux.Dense` is `Dense`."""
    return name.removeprefix("Flux.").removeprefix("Base.")


class Arguments:
    """The arguments of one call, taken one after the other."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.layer = last_name(call.name)
        self._positional = [item for item in call.arguments if not isinstance(item, Keyword)]
        self._keywords = {item.name: item.value for item in call.arguments if isinstance(item, Keyword)}
        self._next = 0

    def peek(self) -> Expression | None:
        """The next positional argument, left in place."""
        return self._positional[self._next] if self._next < len(self._positional) else None

    def take(self, expected: str) -> Expression:
        """The next positional argument.

        Raises:
            ModelError: VF2007 when there is none.
        """
        found = self.peek()
        if found is None:
            raise refuse(self.call.span, f"{self.layer} needs more arguments", expected)
        self._next += 1
        return found

    def rest(self) -> list[Expression]:
        """All positional arguments that are left."""
        left = self._positional[self._next :]
        self._next = len(self._positional)
        return left

    def keyword(self, *names: str) -> Expression | None:
        """A keyword argument under any of its names."""
        for name in names:
            if name in self._keywords:
                return self._keywords.pop(name)
        return None

    def named(self) -> list[tuple[str, Expression]]:
        """All keyword arguments, in order."""
        found = list(self._keywords.items())
        self._keywords.clear()
        return found

    def ignore(self, *names: str) -> None:
        """Drops keywords that say nothing about the trained layer."""
        for name in names:
            self._keywords.pop(name, None)

    def finish(self) -> None:
        """Ends the reading.

        Raises:
            ModelError: VF2007 when arguments are left over.
        """
        left: list[tuple[str, Expression]] = [("argument", item) for item in self.rest()]
        left += [(f"keyword `{name}`", item) for name, item in self._keywords.items()]
        if left:
            raise refuse(left[0][1].span, f"{self.layer} does not take this {left[0][0]}")

    def sizes_pair(self, facts: Facts) -> None:
        """`in => out`, or `in, out` as Flux 0.12 printed it: the facts `in` and `out`."""
        first = self.take("`in => out`")
        if isinstance(first, Pair):
            facts["in"], facts["out"] = integer(first.left), integer(first.right)
        else:
            facts["in"], facts["out"] = integer(first), integer(self.take("`in => out`"))

    def activation(self, facts: Facts) -> None:
        """An activation as the next positional argument, if there is one."""
        if self.peek() is not None:
            facts.update(activation(self.take("a function such as relu")))

    def bias(self, facts: Facts) -> None:
        """The keyword `bias`."""
        self.boolean("bias", facts)

    def boolean(self, name: str, facts: Facts) -> None:
        """A keyword that is true or false."""
        value = self.keyword(name)
        if value is not None:
            if not isinstance(value, Literal) or not isinstance(value.value, bool):
                raise refuse(value.span, f"`{name}` is true or false here")
            facts[name] = value.value

    def number(self, fact: str, names: tuple[str, ...], facts: Facts) -> None:
        """A keyword that is a number."""
        value = self.keyword(*names)
        if value is not None:
            facts[fact] = number(value)

    def spread(self, name: str, count: int, facts: Facts) -> None:
        """A keyword that is one number for all axes or a tuple of `count`."""
        value = self.keyword(name)
        if value is not None:
            facts[name] = spread(integers(value), count, value.span)


def integer(value: Expression) -> int:
    """A whole number.

    Raises:
        ModelError: VF2007.
    """
    if isinstance(value, Literal) and isinstance(value.value, int) and not isinstance(value.value, bool):
        return value.value
    raise refuse(value.span, "a whole number belongs here")


def number(value: Expression) -> float:
    """A number.

    Raises:
        ModelError: VF2007.
    """
    if isinstance(value, Literal) and isinstance(value.value, int | float) and not isinstance(value.value, bool):
        return float(value.value)
    raise refuse(value.span, "a number belongs here")


def integers(value: Expression) -> tuple[int, ...]:
    """A whole number or a tuple of them.

    Raises:
        ModelError: VF2007.
    """
    if isinstance(value, Sequence) and not value.vector:
        return tuple(integer(item) for item in value.items)
    return (integer(value),)


def spread(numbers: tuple[int, ...], count: int, span: Span) -> tuple[int, ...]:
    """One number for each axis.

    Raises:
        ModelError: VF2007 when there are neither 1 nor `count`.
    """
    if len(numbers) == 1:
        return numbers * count
    if len(numbers) != count:
        raise refuse(span, f"{len(numbers)} numbers stand here", f"1 or {count}")
    return numbers


def activation(value: Expression) -> Facts:
    """An activation function by its name, or `Fix2(f, parameter)`.

    Raises:
        ModelError: VF2005 for a name that is not known, VF2007 for anything but a name.
    """
    parameter: Fact = None
    if isinstance(value, Call) and last_name(value.name) == "Fix2" and len(value.arguments) == 2:
        function, slope = value.arguments
        if not isinstance(function, Keyword) and not isinstance(slope, Keyword):
            parameter, value = number(slope), function
    if not isinstance(value, Name):
        raise refuse(value.span, "an activation belongs here", "a name such as relu")
    known = written_function(value.name)
    if known is None:
        raise unknown_name(value.name, value.span, ACTIVATIONS)
    if known.name not in ACTIVATIONS:
        remedy = f"write `{known.name}` as a layer of its own in the Chain"
        raise refuse(value.span, f"`{known.name}` is no activation, it takes all numbers at once", remedy=remedy)
    return {"activation": ACTIVATIONS[known.name], "parameter": parameter}


def unknown_name(name: str, span: Span, known: Iterable[str] = FUNCTIONS) -> ModelError:
    """The error for a function or layer that is not known.

    Args:
        name: what the text says.
        span: where.
        known: names that it could have been.
    """
    if name.rpartition(".")[2] in RANDOM:
        last = name.rpartition(".")[2]
        message = f"`{last}` is refused, {RANDOM[last]}"
        return ModelError("VF2005", message, place=span, remedy="use leakyrelu, and train the model with it")
    near = get_close_matches(name[:_SHOWN].rpartition(".")[2], list(known), 1)
    remedy = f"did you mean `{near[0]}`? " if near else ""
    return ModelError(
        "VF2005",
        f"`{name[:_SHOWN]}` is not a layer or function that can be read",
        place=span,
        expected="layers and activations of Flux itself",
        remedy=f"{remedy}`verifluxa supports` lists them; write that part with Flux layers",
    )


def child(value: Expression, name: str | None) -> Child:
    """A layer inside a layer.

    Raises:
        ModelError: VF2007 for anything but a layer or function.
    """
    if not isinstance(value, Call | Name):
        raise refuse(value.span, "a layer belongs here", "`Dense(...)`, `relu`, ...")
    return Child(name, value)
