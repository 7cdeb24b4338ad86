"""Ground truth with one trigger parameter: hats, ends, ties, plateaus, zero width, the continuum, OR and AND."""

from __future__ import annotations

from itertools import product

import numpy as np

from tests.soundness.build import Ask, Family, dense, levels, mlp, range_problem, relu, replacing
from tests.soundness.cases import CERTIFIED, FALSIFIED, TIE, Case, case, hat, line, one_pixel
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Op, Reshape
from verifluxa.question import Domain, OutputConstraints, Problem

NINE = levels(1, 0, 8)
AROUND = ((2.5, FALSIFIED), (3.0, TIE), (3.5, CERTIFIED))
"""Thresholds for a hat of height 3."""


def cases() -> list[Case]:
    """All cases with one trigger parameter."""
    return [*_hats(), *_ends(), *_between(), *_saws(), *_plateaus(), *_unmoved(), *_either(), *_both()]


def _hats() -> list[Case]:
    found = [
        case(f"hat of 3 over {threshold}, {'untargeted' if target is None else 'targeted'}", problem, verdict)
        for target in (None, 1)
        for threshold, verdict in AROUND
        for problem in [one_pixel(hat(4, 3, threshold), NINE, target=target)]
    ]
    found += [
        case(
            f"zero width, step {step}, over {threshold}",
            one_pixel(hat(4, 3, threshold), levels(1, 4, 4, step)),
            verdict,
        )
        for step in (0.0, 1.0)
        for threshold, verdict in AROUND
    ]
    found += [case(f"spike at {k} of 0..7", one_pixel(hat(k, 1, 0.5), levels(1, 0, 7)), FALSIFIED) for k in range(8)]
    found += [case("steps of 2 jump over the spike", one_pixel(hat(3, 1, 0.5), levels(1, 0, 8, 2)), CERTIFIED)]
    found += [case("steps of 2 from 1 meet the spike", one_pixel(hat(3, 1, 0.5), levels(1, 1, 9, 2)), FALSIFIED)]
    found += [case("steps of a quarter", one_pixel(hat(0.75, 0.25, 0.125), levels(1, -1, 1, 0.25)), FALSIFIED)]
    return found


def _ends() -> list[Case]:
    ends = [(1.0, -7.5, FALSIFIED), (1.0, -8.0, TIE), (1.0, -8.5, CERTIFIED)]
    ends += [(-1.0, 0.5, FALSIFIED), (-1.0, 0.0, TIE), (-1.0, -0.5, CERTIFIED)]
    return [
        case(f"line {factor:+} t {bias:+}, step {step}", one_pixel(line(factor, bias), levels(1, 0, 8, step)), verdict)
        for (factor, bias, verdict), step in product(ends, (0.0, 1.0))
    ]


def _between() -> list[Case]:
    """A peak of 1/2 strictly between two grid points, where the hat is 0."""
    rows = [
        (0.25, CERTIFIED, FALSIFIED),
        (0.5, CERTIFIED, TIE),
        (0.75, CERTIFIED, CERTIFIED),
        (-0.25, FALSIFIED, FALSIFIED),
    ]
    return [
        case(f"between grid points over {threshold}, step {step}", problem, verdict)
        for threshold, *verdicts in rows
        for step, verdict in zip((1.0, 0.0), verdicts, strict=True)
        for problem in [one_pixel(hat(3.5, 0.5, threshold), levels(1, 0, 8, step))]
    ]


def saw(depth: int, top: float, threshold: float) -> Graph:
    """The tent map of 0..top iterated: `top` at the odd multiples of top / 2^depth, 0 at the even ones."""
    ops: list[Op] = [Reshape((-1,)), dense([[1.0], [1.0]], [0.0, -top / 2]), relu()]
    for _ in range(depth - 1):
        ops += [dense([[2.0, -4.0], [2.0, -4.0]], [0.0, -top / 2]), relu()]
    return chain((1, 1, 1), [*ops, dense([[0.0, 0.0], [2.0, -4.0]], [0.0, -threshold])])


def _saws() -> list[Case]:
    over = ((15.5, FALSIFIED), (16.0, TIE), (16.5, CERTIFIED))
    found = [
        case(
            f"saw of depth {depth} over {threshold}, step {step}", one_pixel(saw(depth, 16, threshold), domain), verdict
        )
        for depth, step in product((2, 3, 4), (0.0, 1.0))
        for threshold, verdict in over
        for domain in [levels(1, 0, 16, step)]
    ]
    found += [case("saw whose teeth the grid jumps over", one_pixel(saw(4, 16, 0.5), levels(1, 0, 16, 2)), CERTIFIED)]
    return found


def _plateaus() -> list[Case]:
    """Class 1 leads by `bias - relu(relu(t - 3))`: flat for t <= 3."""
    biases = ((0.0, TIE), (-(2.0**-20), CERTIFIED), (2.0**-20, FALSIFIED))
    return [
        case(f"plateau at {bias}, step {step}", one_pixel(graph, levels(1, 0, 8, step)), verdict)
        for bias, verdict in biases
        for graph in [mlp((1, 1, 1), ([[1.0]], [-3.0]), ([[1.0]], [0.0]), ([[0.0], [-1.0]], [0.0, bias]))]
        for step in (0.0, 1.0)
    ]


def _unmoved() -> list[Case]:
    """Networks that the trigger does not reach: no weight on it, dead neurons, or no hidden layer alive."""
    silent = [([[0.0, 1.0]], [0.0]), ([[0.0], [1.0]], [0.0, -2.0])]
    found = [
        case(
            f"no weight on the trigger, lead {lead:+}",
            one_pixel(mlp((1, 1, 2), *silent), NINE, values=(0.0, 2.0 + lead)),
            verdict,
        )
        for lead, verdict in ((1.0, FALSIFIED), (0.0, TIE), (-1.0, CERTIFIED))
    ]
    for bias, verdict in ((0.5, FALSIFIED), (0.0, TIE), (-0.5, CERTIFIED)):
        dead = mlp((1, 1, 1), ([[1.0], [-1.0]], [-100.0, -100.0]), ([[0.0, 0.0], [1e6, 1e6]], [0.0, bias]))
        found.append(case(f"dead neurons with huge weights, lead {bias:+}", one_pixel(dead, NINE), verdict))
        hidden = mlp((1, 1, 1), ([[1.0]], [0.0]), ([[-1.0]], [-1.0]), ([[0.0], [3.0]], [0.0, bias]))
        found.append(case(f"dead second layer, lead {bias:+}", one_pixel(hidden, NINE), verdict))
    return found


def spread_rows(limit: float, closed: bool) -> OutputConstraints:
    """`|y| > limit` (or `>=`) as an OR of two rows, for one output."""
    return OutputConstraints(np.array([[1.0], [-1.0]]), np.array([-limit, -limit]), np.array([closed, closed]))


def _spread(limit: float, closed: bool, domain: Domain, offsets: tuple[float, ...] = (0.0,), need: int = 1) -> Problem:
    """`|t + offset| > limit` for each input."""
    graph = mlp((1, 1, 2), ([[1.0, 1.0]], None))
    family = Family((replacing([0]),), domain)
    return range_problem(
        graph, [[0.0, offset] for offset in offsets], family, spread_rows(limit, closed), Ask(need=need)
    )


def _either() -> list[Case]:
    """OR-shaped violations: `t - limit` or `-t - limit`, which never hold together."""
    middle = levels(1, -1, 1)
    found = [
        case("OR of opposite rows over 0.5", _spread(0.5, False, middle), FALSIFIED),
        case("OR of opposite rows over 0.5, continuous", _spread(0.5, False, levels(1, -1, 1, 0)), FALSIFIED),
        case("OR of opposite rows, only the lower end", _spread(0.5, False, levels(1, -1, 0)), FALSIFIED),
        case("OR of opposite rows, only the upper end", _spread(0.5, False, levels(1, 0, 1)), FALSIFIED),
        case("OR of opposite rows over 1.5", _spread(1.5, False, middle), CERTIFIED),
        # Certifying these takes exact arithmetic: any radius at all puts the touching row above 0.
        case("open rows that touch are not met", _spread(1.0, False, middle), CERTIFIED, decidable=False),
        case("open rows that touch, continuous", _spread(1.0, False, levels(1, -1, 1, 0)), CERTIFIED, decidable=False),
        case("closed rows that touch are ties", _spread(1.0, True, middle), TIE),
        case("zero width inside the range", _spread(0.5, False, levels(1, 0, 0)), CERTIFIED),
        case("two inputs by opposite rows at once", _spread(1.5, False, levels(1, -2, 2), (1.0, -3.0), 2), FALSIFIED),
        case(
            "two inputs by opposite rows, never at once",
            _spread(2.5, False, levels(1, -2, 2), (1.0, -1.0), 2),
            CERTIFIED,
        ),
        case(
            "two inputs by opposite rows, one of them", _spread(2.5, False, levels(1, -2, 2), (1.0, -1.0), 1), FALSIFIED
        ),
    ]
    rows = [[0.0], [1.0], [-1.0]]
    for limit, verdict in ((0.5, FALSIFIED), (1.0, TIE), (1.5, CERTIFIED)):
        graph = mlp((1, 1, 1), (rows, [0.0, -limit, -limit]))
        found.append(case(f"untargeted, opposite classes over {limit}", one_pixel(graph, middle, target=None), verdict))
    return found


def _both() -> list[Case]:
    """AND-shaped: class 2 beats class 0 for `t > low` and class 1 for `t < high`."""
    bounds = ((2.5, 1.5, CERTIFIED), (2.0, 2.0, TIE), (1.5, 2.5, FALSIFIED), (2.25, 2.75, CERTIFIED))
    graphs = [(mlp((1, 1, 1), ([[-1.0], [1.0], [0.0]], [low, -high, 0.0])), verdict) for low, high, verdict in bounds]
    found = [
        case(f"AND of rows, {verdict}, {n}", one_pixel(graph, NINE, target=2), verdict)
        for n, (graph, verdict) in enumerate(graphs)
    ]
    continuous = one_pixel(graphs[3][0], levels(1, 0, 8, 0), target=2)
    return [*found, case("AND of rows that meet between grid points", continuous, FALSIFIED)]
