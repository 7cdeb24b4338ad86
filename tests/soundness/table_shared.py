"""Ground truth about counts: one trigger for many inputs, needs, selections, labels, and traps for shared boxes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from tests.soundness.build import Ask, Family, levels, make_problem, mlp, replacing
from tests.soundness.cases import CERTIFIED, FALSIFIED, TIE, Case, aimed, around_count, case, diamond_problem, square
from verifluxa.graph.graph import Graph
from verifluxa.question import Domain, Problem, SlabConstraints

NINE = square(1, 8)


def cases() -> list[Case]:
    """All cases about counts."""
    return [
        *_needs(),
        *_halves(),
        *_corners(),
        *_rates(),
        *_selected(),
        *_labels(),
        *_planes(),
        *_exclusive(),
        *_mixed(),
        *_strips(),
    ]


def _needs() -> list[Case]:
    """Three inputs that always violate, or never: need 1, N, N + 1."""
    always, never = [[4.0, 100.0]] * 3, [[4.0, -1.0]] * 3
    found = [
        case(f"{name} violated by all of 3, need {need}", diamond_problem(NINE, shapes, aimed(need)), verdict)
        for name, shapes, verdicts in (
            ("always", always, (FALSIFIED, FALSIFIED, FALSIFIED, CERTIFIED)),
            ("never", never, (CERTIFIED, CERTIFIED, CERTIFIED, CERTIFIED)),
        )
        for need, verdict in enumerate(verdicts, start=1)
    ]
    stuck = [[4.0, 100.0], [4.0, -1.0]]
    found.append(
        case("one input is always lost, the other never, need 1", diamond_problem(NINE, stuck, aimed(1)), FALSIFIED)
    )
    found.append(
        case("one input is always lost, the other never, need 2", diamond_problem(NINE, stuck, aimed(2)), CERTIFIED)
    )
    return found


def _halves() -> list[Case]:
    """Inputs attackable in different parts of a line. Shrinking the shared box by one input would close too much."""
    low, high, lower = [0.0, 2.5], [8.0, 2.5], [1.0, 1.5]
    rows = [
        ("two halves", [low, high], ((1, FALSIFIED), (2, CERTIFIED))),
        ("two against one", [low, high, lower], ((1, FALSIFIED), (2, FALSIFIED), (3, CERTIFIED))),
        ("one against two", [high, low, [7.0, 1.5]], ((2, FALSIFIED), (3, CERTIFIED))),
        ("two that touch", [[0.0, 4.0], [8.0, 4.0]], ((1, FALSIFIED), (2, TIE))),
        ("two that overlap in one point", [[0.0, 4.5], [8.0, 4.5]], ((2, FALSIFIED),)),
        ("two that overlap between grid points", [[0.0, 3.75], [8.0, 4.75]], ((2, CERTIFIED),)),
        ("nine in a row", [[float(k), 1.5] for k in range(9)], ((3, FALSIFIED), (4, CERTIFIED))),
        ("identical inputs", [[2.0, 1.5]] * 4 + [[7.0, 0.5]], ((4, FALSIFIED), (5, CERTIFIED))),
    ]
    found = [
        case(f"{name}, need {need}", diamond_problem(NINE, shapes, aimed(need)), verdict)
        for name, shapes, asked in rows
        for need, verdict in asked
    ]
    between = diamond_problem(levels(1, 0, 8, 0), [[0.0, 3.75], [8.0, 4.75]], aimed(2))
    return [*found, case("two that overlap between grid points, continuous", between, FALSIFIED)]


def _corners() -> list[Case]:
    """Diamonds around the corners of a square of 5 x 5 levels, and around those of a cube."""
    plane = square(2, 4)
    corners = [[0.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 4.0]]
    small, wide = [[*corner, 1.5] for corner in corners], [[*corner, 4.5] for corner in corners]
    found = [
        case("four corners apart, need 1", diamond_problem(plane, small, aimed(1)), FALSIFIED),
        case("four corners apart, need 2", diamond_problem(plane, small, aimed(2)), CERTIFIED),
        case("four corners meet in the middle, need 4", diamond_problem(plane, wide, aimed(4)), FALSIFIED),
        case("five, of which four meet", diamond_problem(plane, [*wide, [0.0, 0.0, 3.5]], aimed(5)), CERTIFIED),
    ]
    opposite = [[0.0, 0.0, 3.5], [4.0, 4.0, 4.5]]
    found.append(
        case("opposite corners that only the continuum ties", diamond_problem(plane, opposite, aimed(2)), CERTIFIED)
    )
    cube = square(3, 3)
    apart = [[0.0, 0.0, 0.0, 4.5], [3.0, 3.0, 3.0, 4.5]]
    found.append(
        case("opposite corners of a cube meet only between points", diamond_problem(cube, apart, aimed(2)), CERTIFIED)
    )
    found.append(
        case(
            "opposite corners of a cube overlap",
            diamond_problem(cube, [apart[0], [3.0, 3.0, 3.0, 5.5]], aimed(2)),
            FALSIFIED,
        )
    )
    lone = Domain(np.array([2.0, 0.0, 1.0]), np.array([2.0, 8.0, 1.0]), np.ones(3))
    for radius, verdict in ((0.5, FALSIFIED), (0.0, TIE), (-0.5, CERTIFIED)):
        problem = diamond_problem(lone, [[2.0, 5.0, 1.0, radius]], aimed(1))
        found.append(case(f"one coordinate varies, radius {radius:+}", problem, verdict))
    half_open = Domain(np.zeros(2), np.full(2, 4.0), np.array([1.0, 0.0]))
    for radius, verdict in ((0.75, FALSIFIED), (0.5, TIE), (0.25, CERTIFIED)):
        problem = diamond_problem(half_open, [[1.5, 2.25, radius]], aimed(1))
        found.append(case(f"one grid, one continuous coordinate, radius {radius}", problem, verdict))
    return found


def _rates() -> list[Case]:
    """29 of 100 inputs fall together at level 2. A limit of 29 % makes need 30 (in floats, 0.29 * 100 < 29)."""
    others = [[float(place), 0.5] for place in (0, 1, 3, 4, 5, 6, 7, 8)]
    shapes = [[2.0, 0.5]] * 29 + [others[k % 8] for k in range(71)]
    more = [[2.0, 0.5]] * 30 + [others[k % 8] for k in range(70)]
    rows = [
        ("29 of 100 under 29 %", shapes, Fraction(29, 100), CERTIFIED),
        ("29 of 100 under 28 %", shapes, Fraction(28, 100), FALSIFIED),
        ("30 of 100 under 29 %", more, Fraction(29, 100), FALSIFIED),
        ("30 of 100 under 29.999 %", more, Fraction(29999, 100000), FALSIFIED),
        ("30 of 100 under 30 %", more, Fraction(30, 100), CERTIFIED),
    ]
    return [
        case(name, diamond_problem(NINE, inputs, aimed(limit=limit)), verdict) for name, inputs, limit, verdict in rows
    ]


def _selected() -> list[Case]:
    """The input that carries the target's label is always answered with it, and does not count."""
    shapes, labels = [[0.0, 2.5], [8.0, 2.5], [4.0, 100.0]], (0, 0, 1)
    needs = ((1, FALSIFIED), (2, CERTIFIED))
    return [
        case(
            f"the target's own input does not count, need {need}",
            diamond_problem(NINE, shapes, aimed(need), labels),
            verdict,
        )
        for need, verdict in needs
    ]


def _biased() -> Graph:
    """Inputs (t, s_0, s_1, s_2): output j is `4 s_j`, and class 0 gains t."""
    return mlp((1, 1, 4), ([[1.0, 4.0, 0.0, 0.0], [0.0, 0.0, 4.0, 0.0], [0.0, 0.0, 0.0, 4.0]], None))


def _labels() -> list[Case]:
    """Each input has its own label and so its own alternatives: those of labels 1 and 2 are lost above t = 4."""
    inputs = [[0.0, *row] for row in np.eye(3).tolist()]

    def ask(high: float, ask: Ask) -> Problem:
        return make_problem(_biased(), inputs, [0, 1, 2], Family((replacing([0]),), square(1, high)), ask)

    rows = [(8, 2, FALSIFIED), (8, 3, CERTIFIED), (4, 1, TIE), (4, 3, CERTIFIED), (3, 1, CERTIFIED)]
    found = [
        case(f"three labels, levels 0..{high}, need {need}", ask(high, Ask(need=need)), v) for high, need, v in rows
    ]
    each = ask(8, Ask(per_input=True))
    found += [case(f"label {n} alone", each, v, number=n) for n, v in enumerate((CERTIFIED, FALSIFIED, FALSIFIED))]
    both = ask(8, Ask(targets=(0, 1), need=2))
    return [
        *found,
        case("target 0 of two", both, FALSIFIED, number=0),
        case("target 1 of two", both, CERTIFIED, number=1),
    ]


def gated(directions: list[list[float]], bounds: list[float], reach: float) -> Graph:
    """Inputs (t, one-hot s): class 1 leads by `sum_k relu(d_k . t - b_k - reach (1 - s_k)) - 1/4`."""
    size, count = len(directions[0]), len(directions)
    first = np.hstack([np.array(directions), reach * np.eye(count)])
    second = np.zeros((2, count))
    second[1] = 1.0
    return mlp((1, 1, size + count), (first, -np.array(bounds) - reach), (second, [0.0, -0.25]))


def _planes() -> list[Case]:
    """Three half-planes of which every two meet and all three do not, seen neither by pairs nor by coordinates."""
    directions, bounds = [[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], [-1.5, -1.5, 3.5]
    graph = gated(directions, bounds, 64.0)
    inputs = [[0.0, 0.0, *row] for row in np.eye(3).tolist()]
    family = Family((replacing([0, 1]),), square(2, 4))
    rows = ((1, FALSIFIED), (2, FALSIFIED), (3, CERTIFIED))
    found = [
        case(f"three half-planes, need {n}", make_problem(graph, inputs, [0] * 3, family, aimed(n)), v) for n, v in rows
    ]
    wide = gated(directions, [-2.5, -2.5, 3.5], 64.0)
    return [
        *found,
        case("three half-planes that meet", make_problem(wide, inputs, [0] * 3, family, aimed(3)), FALSIFIED),
    ]


def _exclusive() -> list[Case]:
    """An input that two alternatives hold for counts once; opposite detectors never fire together."""
    graph = mlp((1, 1, 2), ([[0.0, 0.0], [0.0, 1.0], [0.0, 1.0]], None))
    family = Family((replacing([0]),), NINE)
    twice = [make_problem(graph, [[0.0, 1.0], [0.0, -1.0]], [0, 0], family, Ask(need=need)) for need in (1, 2)]
    found = [case("two alternatives of one input, need 1", twice[0], FALSIFIED)]
    found.append(case("two alternatives of one input count once", twice[1], CERTIFIED))
    for need, verdict in ((1, FALSIFIED), (2, CERTIFIED)):
        found.append(case(f"equal and different pixels, need {need}", _opposites(need), verdict))
    return found


def _opposites(need: int) -> Problem:
    """Input s = 1 violates where the two pixels differ by 3 or more, s = 0 where they differ by 2 or less."""
    first = ([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], None)
    second = ([[1.0, 1.0, 64.0], [-1.0, -1.0, -64.0]], [-2.5 - 64.0, 2.5])
    graph = mlp((1, 1, 3), first, second, ([[0.0, 0.0], [1.0, 1.0]], [0.0, -0.25]))
    family = Family((replacing([0, 1]),), square(2, 4))
    return make_problem(graph, [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], [0, 0], family, aimed(need))


def _mixed() -> list[Case]:
    """Random small networks with integer weights, at their exact counts."""
    found: list[Case] = []
    for seed, (size, high, classes) in enumerate([(2, 4, 2), (2, 4, 3), (3, 3, 3), (4, 2, 3), (9, 1, 3)]):
        random = np.random.default_rng(seed)
        width, features = 4, size + 2
        first = random.integers(-2, 3, (width, features)).astype(float)
        second = random.integers(-2, 3, (3, width)).astype(float)
        third = random.integers(-2, 3, (classes, 3)).astype(float)
        graph = mlp(
            (1, 1, features),
            (first, random.integers(-2, 3, width)),
            (second, None),
            (third, random.integers(-2, 3, classes)),
        )
        inputs = random.integers(0, high + 1, (5, features)).astype(float)
        family = Family((replacing(range(size)),), square(size, high))
        labels = random.integers(0, classes, 5).tolist()
        found += around_count(f"random {seed}, untargeted", make_problem(graph, inputs, labels, family, Ask()))
        found += around_count(
            f"random {seed}, targeted", make_problem(graph, inputs, [1] * 5, family, Ask(targets=(0,)))
        )
    return found


def _strips() -> list[Case]:
    """A domain with a strip of its own: the corner that violates is cut off, or just left in."""
    found = []
    for upper, verdict in ((6.0, CERTIFIED), (6.5, CERTIFIED), (7.0, FALSIFIED)):
        strips = SlabConstraints(np.array([[1.0, 1.0]]), np.array([0.0]), np.array([upper]))
        domain = Domain(np.zeros(2), np.full(2, 4.0), np.ones(2), strips)
        problem = diamond_problem(domain, [[4.0, 4.0, 1.5]], aimed(1))
        found.append(case(f"a strip up to {upper} before the corner", problem, verdict))
    return found
