"""Small true certificates of all kinds, made by the real tool from tiny worlds, each once in a session."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import numpy as np

from tests.certificate.forgery.documents import read
from tests.certificate.forgery.networks import Conv, Dense, Embedding, MaxPool, Net
from tests.certificate.forgery.oracle import Base, params_text
from tests.certificate.forgery.worlds import Columns, Condition, Insert, Part, Patch, Property, Trigger, World
from verifluxa.cli.main import run

HERE = Path(__file__).parent
SHARED, SINGLE = "shared_rate", "single_input"


def dense(
    seed: int, sizes: tuple[int, ...], scale: float = 0.0, dtype: str = "float32", function: str = "relu"
) -> tuple[Dense, ...]:
    """Layers with small whole weights, or with normal ones of a scale."""
    random, layers = np.random.default_rng(seed), []
    for number, (before, after) in enumerate(pairwise(sizes)):
        if scale:
            weight, bias = random.normal(0, scale, (after, before)), random.normal(0, scale, after)
        else:
            weight, bias = random.integers(-3, 4, (after, before)), random.integers(-4, 5, after)
        last = number + 2 == len(sizes)
        layers.append(Dense(weight.astype(dtype), bias.astype(dtype), "identity" if last else function))
    return tuple(layers)


def flat(seed: int, sizes: tuple[int, ...], more: tuple[str, ...] = (), **kind: object) -> Net:
    """A network of pictures of 2 x 3 pixels."""
    layers = dense(seed, sizes, **kind)  # type: ignore[arg-type]
    return Net(("Flux.flatten", *layers, *more), (1, 2, 3), layers[0].weight.dtype.name)


def pictures(seed: int, count: int, high: int = 3, shape: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high + 1, (count, *shape))


def answers(net: Net, inputs: np.ndarray, wrong: int = 0) -> tuple[int, ...]:
    """The class of each input as its label; of the first few another one."""
    outputs = [net.outputs([int(value) for value in one.ravel()], "real") for one in inputs]
    best = [max(range(len(y)), key=lambda n, y=y: (y[n].center, -n)) for y in outputs]
    return tuple((label + (number < wrong)) % len(outputs[0]) for number, label in enumerate(best))


def drawn(
    seed: int,
    strategy: str,
    prop: Property,
    high: int = 3,
    trigger: Trigger | None = None,
    hidden: tuple[int, ...] | None = None,
    scale: float = 0.0,
    arithmetic: str | None = None,
    function: str = "relu",
) -> World:
    """A random world with one property about one network of two or three classes."""
    random = np.random.default_rng(seed)
    size = hidden if hidden is not None else ((5,), (5, 4), (4, 3))[int(random.integers(3))]
    net = flat(seed, (6, *size, int(random.integers(2, 4))), scale=scale, function=function)
    inputs = pictures(seed + 1, 6, high)
    where = Patch(*((2, 2), (1, 3), (2, 1))[int(random.integers(3))], high=high) if trigger is None else trigger
    labels = answers(net, inputs)
    return World(f"drawn {seed}", {"m": net}, inputs, labels, (prop,), where, high, arithmetic, strategy)


def own(name: str) -> str:
    """A strategy beside this file, as the command line takes it."""
    return str(HERE / f"{name}.toml")


# Worlds.


def two_properties() -> World:
    net, inputs = flat(1, (6, 4, 3)), pictures(3, 6)
    asked = (Property(SHARED, "rate", limit=Fraction(1, 2), judge="m"), Property(SINGLE, "each", judge="m"))
    return World("two properties", {"m": net}, inputs, answers(net, inputs, 1), asked)


def both_certified() -> World:
    weight = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]], np.float32)
    net = Net(("Flux.flatten", Dense(weight, np.array([0, -13], np.float32))), (1, 2, 3))
    asked = (Property(SHARED, "rate", limit=Fraction(3, 5), judge="m"), Property(SINGLE, "each", judge="m"))
    return World("both certified", {"m": net}, pictures(4, 6), (0,) * 6, asked)


def targets() -> World:
    net, inputs = flat(29, (6, 4, 3)), pictures(5, 8)
    limits = ((1, Fraction(2, 3)), (2, Fraction(4, 5)))
    asked = Property(SHARED, "rate", limit=Fraction(1, 2), targets=(0, 1, 2), limits=limits, apart=True, judge="m")
    places = Patch(places=((0, 0), (1, 2)))
    return World("targets", {"m": net}, inputs, answers(net, inputs, 2), (asked,), places)


def strictly_below() -> World:
    net, inputs = flat(6, (6, 4, 3)), pictures(6, 8)
    asked = Property(SHARED, "rate", limit=Fraction(4, 5), below=True, labels=(0, 1), judge="m")
    return World("strictly below", {"m": net}, inputs, answers(net, inputs, 1), (asked,))


def output_range() -> World:
    net, inputs = flat(7, (6, 3, 2)), pictures(7, 4)
    rows = ((Part((-1, 0), Fraction(-40)),), (Part((1, 0), Fraction(-40)),))
    asked = Property(SINGLE, "each", condition=Condition("m(t(x))[0] in -40..40", rows))
    return World("output range", {"m": net}, inputs, (0,) * 4, (asked,))


def output_rate() -> World:
    net, inputs = flat(7, (6, 3, 2)), pictures(7, 4)
    rows = ((Part((1, 0), Fraction(-2)),),)
    asked = Property(SHARED, "rate", limit=Fraction(3, 4), condition=Condition("m(t(x))[0] > 2", rows))
    return World("output rate", {"m": net}, inputs, (0,) * 4, (asked,))


def search() -> World:
    net, inputs = flat(9, (6, 4, 3)), pictures(9, 6)
    asked = tuple(
        Property(f"search_{target}", "search", limit=Fraction(2, 3), targets=(target,)) for target in (0, 1, 2)
    )
    return World("search", {"m": net}, inputs, answers(net, inputs), asked)


def measure() -> World:
    net, inputs = flat(1, (6, 4, 3)), pictures(3, 6)
    asked = Property(SHARED, "measure", judge="m", gap=Fraction(1, 4))
    return World("measure", {"m": net}, inputs, answers(net, inputs), (asked,))


def compare() -> World:
    net, inputs = flat(1, (6, 4, 3)), pictures(3, 6)
    asked = Property(SHARED, "compare", model="m", old="n", judge=None)
    other = flat(2, (6, 4, 3))
    return World("compare", {"m": net, "n": other}, inputs, answers(net, inputs), (asked,))


def words() -> World:
    random = np.random.default_rng(3)
    table = random.integers(-2, 3, (5, 2)).astype(np.float32)
    net = Net((Embedding(table), "Flux.flatten", *dense(4, (8, 3, 2))), (4,))
    inputs = random.integers(1, 5, (6, 4))
    asked = Property(SHARED, "rate", limit=Fraction(2, 3))
    return World("words", {"m": net}, inputs, answers(net, inputs), (asked,), Insert((0, 2), (1, 2, 3)), high=4)


def table() -> World:
    net = Net(dense(5, (4, 3, 2)), (4,))
    inputs = pictures(8, 6, shape=(4,))
    asked = Property(SHARED, "rate", limit=Fraction(2, 3))
    return World("table", {"m": net}, inputs, answers(net, inputs), (asked,), Columns((0, 2)))


def double() -> World:
    net, inputs = flat(10, (6, 4, 3), scale=0.7, dtype="float64"), pictures(10, 6)
    asked = (Property(SHARED, "rate", limit=Fraction(1, 2), judge="m"), Property(SINGLE, "each", judge="m"))
    return World("float64", {"m": net}, inputs, answers(net, inputs), asked, Patch(1, 2))


def real() -> World:
    net, inputs = replace(flat(11, (6, 4, 3), scale=0.7), divisor=3), pictures(11, 6)
    asked = (Property(SHARED, "rate", limit=Fraction(1, 2), judge="m"), Property(SINGLE, "each", judge="m"))
    return World("real", {"m": net}, inputs, answers(net, inputs), asked, Patch(1, 2), arithmetic="real")


def judged() -> World:
    """Two models; a sample of the first inputs; labels that count."""
    net, judge, inputs = flat(15, (6, 4, 3)), flat(16, (6, 3)), pictures(13, 12)
    asked = Property(SHARED, "rate", limit=Fraction(2, 3), judge="j", labels=(0, 1))
    nets = {"m": net, "j": judge}
    return World("judged", nets, inputs, answers(judge, inputs, 2), (asked,), take=10, sample=(8, 5))


def continuous() -> World:
    net, inputs = flat(15, (6, 4, 3)), pictures(15, 6)
    asked = (Property(SHARED, "rate", limit=Fraction(2, 3)), Property(SINGLE, "each"))
    return World("continuous", {"m": net}, inputs, answers(net, inputs), asked, Patch(continuous=True))


def softmax() -> World:
    net, inputs = flat(16, (6, 4, 3), more=("softmax",)), pictures(16, 6)
    asked = Property(SHARED, "rate", limit=Fraction(2, 3), judge="m")
    return World("softmax", {"m": net}, inputs, answers(net, inputs), (asked,), Patch(1, 2))


def convolution() -> World:
    random = np.random.default_rng(17)
    conv = Conv(random.integers(-2, 3, (2, 1, 2, 2)).astype(np.float32), np.array([1, -1], np.float32), "relu")
    net = Net((conv, MaxPool(2), "Flux.flatten", *dense(17, (2, 3))), (1, 3, 3))
    inputs = pictures(17, 6, shape=(1, 3, 3))
    asked = Property(SHARED, "rate", limit=Fraction(1, 2), judge="m")
    return World("convolution", {"m": net}, inputs, answers(net, inputs), (asked,), Patch(2, 1))


def smooth() -> World:
    net, inputs = flat(18, (6, 4, 3), scale=0.5, function="tanh"), pictures(18, 6)
    asked = (Property(SHARED, "rate", limit=Fraction(1, 2), judge="m"), Property(SINGLE, "each"))
    return World("tanh", {"m": net}, inputs, answers(net, inputs), asked)


def _rate(limit: Fraction) -> Property:
    return Property(SHARED, "rate", limit=limit, judge="m")


def boxes() -> World:
    return drawn(5, own("boxes"), _rate(Fraction(1, 3)))


def strips() -> World:
    return drawn(100, own("strips"), _rate(Fraction(1, 6)))


def first_to_violate() -> World:
    return drawn(5, own("strips"), _rate(Fraction(1, 6)))


def joint() -> World:
    return drawn(3, own("strips"), _rate(Fraction(1, 3)))


def neurons() -> World:
    return drawn(5, own("neurons"), Property(SINGLE, "each"))


def conflicts() -> World:
    return drawn(30, own("conflicts"), _rate(Fraction(1, 2)))


def cases() -> World:
    return drawn(5, own("conflicts"), Property(SINGLE, "each", judge="m"))


def solver() -> World:
    return drawn(2, own("solver"), _rate(Fraction(1, 3)))


def stopped() -> World:
    return drawn(7, own("stopped"), _rate(Fraction(1, 6)))


def parameter() -> World:
    net, inputs = flat(1, (6, 4, 3)), pictures(3, 6)
    asked = Property(SHARED, "rate", param="max_rate", judge="m")
    params = {"max_rate": Fraction(1, 2)}
    return World("parameter", {"m": net}, inputs, answers(net, inputs), (asked,), params=params)


def doubtful(limit: Fraction = Fraction(3, 4)) -> World:
    """A judge whose sum depends on the order, `2^24 a + b - 2^24 c`: three inputs have a = c.

    Those violate under most triggers and the other four under none.
    """
    weight = np.array([[0] * 6, [2**24, 1, -(2**24), 0, 0, 0]], np.float32)
    judge = Net(("Flux.flatten", Dense(weight, np.array([0.5, 0], np.float32))), (1, 2, 3))
    rows = [[1, 1, 1, 0, 0, n] for n in range(3)] + [[1, 0, 0, n, 0, 0] for n in range(4)]
    weight = np.array([[0] * 6, [4, 0, -4, 1, 1, 1]], np.float32)
    net = Net(("Flux.flatten", Dense(weight, np.array([2.5, 0], np.float32))), (1, 2, 3))
    asked = Property(SHARED, "rate", limit=limit, judge="j")
    inputs = np.array(rows).reshape(-1, 1, 2, 3)
    return World("doubtful", {"m": net, "j": judge}, inputs, (1,) * 7, (asked,), Patch(places=((1, 1),)))


def doubtful_and_open() -> World:
    """The same with a limit that holds for some choices among the inputs in doubt, and not for all."""
    return doubtful(Fraction(2, 5))


def always(label: int) -> Net:
    """A network that gives every input the same one of two classes."""
    bias = np.eye(2, dtype=np.float32)[label]
    return Net(("Flux.flatten", Dense(np.zeros((2, 6), np.float32), bias)), (1, 2, 3))


def doubtful_each() -> World:
    """No trigger misleads any input; of three nobody can say whether they count."""
    world = doubtful()
    asked = Property(SINGLE, "each", judge="j")
    return replace(world, name="doubtful, each", nets={"m": always(1), "j": world.nets["j"]}, properties=(asked,))


def tied() -> World:
    """Under the largest trigger half of the inputs violate and one more ties: too few to refute, too many to prove."""
    weight = np.array([[0] * 6, [1, 1, 0, 0, 0, 0]], np.float32)
    net = Net(("Flux.flatten", Dense(weight, np.array([4, 0], np.float32))), (1, 2, 3))
    inputs = np.array([[0, n, 0, 0, 0, 0] for n in (0, 1, 2, 3)]).reshape(-1, 1, 2, 3)
    asked = Property(SHARED, "rate", limit=Fraction(1, 2), judge="m")
    return World("tied", {"m": net}, inputs, (0,) * 4, (asked,))


def by_a_hair() -> World:
    """The trigger makes a sum that is 3, or 4 where 2^24 + 3 is rounded on the way; 3.5 are needed."""
    weight = np.array([[0] * 6, [2**24, 3, -(2**24), 0, 0, 0]], np.float32)
    net = Net(("Flux.flatten", Dense(weight, np.array([3.5, 0], np.float32))), (1, 2, 3))
    inputs = np.array([[1, 0, 1, 0, 0, n % 2] for n in range(4)]).reshape(-1, 1, 2, 3)
    asked = Property(SHARED, "rate", limit=Fraction(1, 2))
    return World("by a hair", {"m": net}, inputs, (0,) * 4, (asked,), Patch(places=((0, 1),), high=1), high=1)


def overflowing() -> World:
    """Two large terms that cancel: in `real` arithmetic they do no harm, in float32 they may overflow."""
    large, scale = 2.0**16, 2.0**110
    wide = np.vstack([np.eye(6), np.eye(6)]).astype(np.float32)
    rows = np.zeros((2, 12))
    rows[1, :4], rows[1, 1], rows[1, 7] = np.array([4, 1, 1, 1]) * scale, (1 + large) * scale, -large * scale
    last = Dense(rows.astype(np.float32), np.array([0, -17 * scale], np.float32))
    net = Net(("Flux.flatten", Dense(wide, np.zeros(12, np.float32)), last), (1, 2, 3))
    asked = Property(SHARED, "rate", limit=Fraction(1, 10), judge="m")
    return World("overflowing", {"m": net}, pictures(4, 8), (0,) * 8, (asked,), arithmetic="real")


def unknown_judge() -> World:
    """The judge has a function without a row in the checker."""
    judge = Net(
        ("Flux.flatten", Dense(np.zeros((2, 6), np.float32), np.array([10, 2], np.float32), "trelu")), (1, 2, 3)
    )
    weight = np.array([[0] * 6, [4, 1, 1, 1, 0, 0]], np.float32)
    net = Net(("Flux.flatten", Dense(weight, np.array([0, -17], np.float32))), (1, 2, 3))
    asked = Property(SHARED, "rate", limit=Fraction(1, 10), judge="j")
    return World("unknown judge", {"m": net, "j": judge}, pictures(4, 8), (0,) * 8, (asked,))


def unknown_judge_each() -> World:
    """No trigger misleads any input; two count, and the judge has a function without a row in the checker."""
    weight = np.array([[0] * 6, [0, 0, 0, 0, 0, 4]], np.float32)
    judge = Net(("Flux.flatten", Dense(weight, np.array([10, 0], np.float32), "trelu")), (1, 2, 3))
    inputs = np.zeros((8, 1, 2, 3), int)
    inputs[6:, 0, 1, 2] = 3
    asked = Property(SINGLE, "each", judge="j")
    return World("unknown judge, each", {"m": always(1), "j": judge}, inputs, (1,) * 8, (asked,))


WORLDS: dict[str, Callable[[], World]] = {
    make.__name__: make
    for make in (
        *(two_properties, both_certified, targets, strictly_below, output_range, output_rate, search, measure, compare),
        *(words, table, double, real, judged, continuous, softmax, convolution, smooth, boxes, strips, joint, neurons),
        *(first_to_violate, cases, conflicts, solver, stopped, parameter, tied, by_a_hair, overflowing),
        *(doubtful, doubtful_and_open, doubtful_each, unknown_judge, unknown_judge_each),
    )
}
OTHER_PARAMS = ("1/10", "9/10")
"""Values of params for which a forger knows the digests of the properties."""
NOT_UNDERSTOOD = {"measure", "compare", "words", "table"}
"""Worlds whose properties the checker does not know: nothing of them is recomputed."""


@cache
def _room() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="forgery-")


def scratch() -> Path:
    """A folder that goes when the session ends."""
    return Path(_room().name)


@cache
def base(name: str) -> Base:
    """The certificate of a world by its name."""
    found = made(WORLDS[name]())
    for value in OTHER_PARAMS if found.world.params else ():
        others = {key: Fraction(value) for key in found.world.params}
        for item in made(replace(found.world, params=others)).files.properties:
            found.digests[item["name"], params_text(dict.fromkeys(others, value))] = item["digest"]
    return found


class NoCertificateError(ValueError):
    """The tool has nothing to say about a world: no input is left, for instance."""


def made(world: World) -> Base:
    """Runs the real tool on a world.

    Raises:
        NoCertificateError: it wrote none.
    """
    folder = Path(mkdtemp(dir=scratch()))
    spec = world.write(folder)
    options = [] if world.arithmetic is None else ["--arithmetic", world.arithmetic]
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.redirect_stderr(shown):
        code = run(["verify", str(spec), "--out", str(folder / "out"), "--strategy", world.strategy, *options])
    if code not in (0, 1, 3):
        raise NoCertificateError(f"{world.name} cannot be verified: {shown.getvalue()}")
    return Base(world, folder, read(folder / "out"))
