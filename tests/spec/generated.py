"""Random specs: lists of tokens that follow the grammar, laid out with random white space and comments."""

from __future__ import annotations

from hypothesis import strategies as st

Tokens = list[str]

NAMES = st.sampled_from(
    ["digit", "digits", "eval", "patch", "x", "t", "target", "at", "any", "level", "x1", "data", "_a"]
)
NUMBERS = st.sampled_from(["0", "1", "3", "28", "255", "0.5", "500_000", "1e-3", "99", "5"])
UNITS = st.sampled_from(["px", "ch", "level", "%", "token"])
COLUMN_UNITS = st.sampled_from(["year", "eur/year", "%"])
TEXTS = st.sampled_from(['"a.npz"', '""', '"negative"', '"# no comment {"', '"a \\" b \\\\"', '"h\u00fctte"'])
KEYS = st.sampled_from(["file", "take", "encode", "layout", "vocab", "pad", "digest", "a_long_setting"])
GAPS = st.sampled_from(
    [" ", " ", " ", " ", "\n", "\n\n\n", "\t ", "  # note\n", "\n# own line\n", "\n\n#tight\n  # two\n"]
)


def seq(*parts: st.SearchStrategy[Tokens] | str) -> st.SearchStrategy[Tokens]:
    """The parts one after the other; a plain string stands for its words."""
    lists = [st.just(part.split()) if isinstance(part, str) else part for part in parts]
    return st.tuples(*lists).map(lambda found: [token for tokens in found for token in tokens])


def one(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[Tokens]:
    """One token."""
    return strategy.map(lambda token: [token])


def maybe(strategy: st.SearchStrategy[Tokens]) -> st.SearchStrategy[Tokens]:
    """The tokens or nothing."""
    return st.one_of(st.just([]), strategy)


def several(strategy: st.SearchStrategy[Tokens], least: int = 1, most: int = 3) -> st.SearchStrategy[Tokens]:
    """The tokens several times, with commas."""
    return st.lists(strategy, min_size=least, max_size=most).map(_with_commas)


def _with_commas(found: list[Tokens]) -> Tokens:
    return [token for index, tokens in enumerate(found) for token in ([","] * (index > 0) + tokens)]


NAME, NUMBER, TEXT, KEY = one(NAMES), one(NUMBERS), one(TEXTS), one(KEYS)
QUANTITY = seq(maybe(st.just(["-"])), NUMBER, maybe(one(UNITS)))
SIGNED = seq(maybe(st.just(["-"])), NUMBER)
RANGE = seq(QUANTITY, "..", QUANTITY)
GRID = seq(SIGNED, maybe(seq("..", SIGNED, maybe(seq("step", NUMBER)))))
POINT = seq("(", SIGNED, ",", SIGNED, ")")
TOGETHER = seq(POINT, "and", POINT)
PLACES = st.one_of(
    st.just(["any"]),
    st.just(["corners"]),
    several(st.one_of(POINT, TOGETHER)),
    seq("rows", GRID, ", columns", GRID),
)


def _bigger(smaller: st.SearchStrategy[Tokens]) -> st.SearchStrategy[Tokens]:
    infix = st.sampled_from(["+", "-", "*", "/"])
    return st.one_of(
        seq("(", smaller, one(infix), smaller, ")"),
        seq("-", smaller),
        seq(NAME, "(", several(smaller), ")"),
        seq(NAME, "(", several(smaller), ") [", smaller, "]"),
        seq("[", several(smaller), "]"),
        seq("rate (", NAME, "in", NAME, ":", smaller, one(st.sampled_from(["<=", "==", "!="])), smaller, ")"),
        seq("max rate (", NAME, "in", NAME, "where", smaller, "in {", several(smaller), "}", ":", smaller, ")"),
        seq("max rate of", NAME),
    )


SUM = st.recursive(st.one_of(NAME, seq(NUMBER, maybe(one(UNITS))), TEXT), _bigger, max_leaves=5)
COMPARISON = st.one_of(
    seq(SUM, one(st.sampled_from(["<=", ">=", "==", "!=", "<", ">"])), SUM),
    seq(SUM, "in", SUM, "..", SUM),
    seq(SUM, "in {", several(SUM), "}"),
    SUM,
)
CONDITION = st.one_of(
    COMPARISON,
    seq("not", COMPARISON),
    seq(COMPARISON, "and", COMPARISON, "or not", COMPARISON),
)
SELECTION = st.one_of(
    NAME,
    seq(NAME, "where", CONDITION),
    seq("(", NAME, "where", CONDITION, ")"),
    seq("around", NAME, "within", QUANTITY),
)
BINDER = seq(
    NAME,
    "in",
    st.one_of(SELECTION, seq(NAME, "at", PLACES), seq("{", several(SUM, 0), "}"), seq("classes (", NAME, ")")),
)
DOC = one(st.sampled_from(['"""doc"""', '"""two\n   lines # no comment"""', '""""""']))
STATEMENT = st.one_of(
    DOC,
    seq("forall", several(BINDER)),
    seq("let", NAME, "=", SELECTION),
    seq(
        "assert",
        CONDITION,
        maybe(seq(",", SUM, "for {", several(SUM), "}")),
        maybe(seq("over", several(BINDER, 1, 2))),
    ),
    seq("measure", SUM, "over", BINDER, maybe(seq("within", QUANTITY, maybe(st.just(["everywhere"]))))),
    seq("search exists", several(BINDER, 1, 2), ":", CONDITION),
)
ENTRY = st.one_of(
    seq(KEY, "=", SUM),
    seq(KEY, "=", st.just(["sha256:12ab"])),
    seq("labels start at", NUMBER),
    seq(
        KEY,
        ":",
        SIGNED,
        "..",
        SIGNED,
        maybe(one(st.sampled_from(["year", "eur/year", "%"]))),
        maybe(st.just(["continuous"])),
    ),
    seq(KEY, ": one of", several(TEXT)),
    seq(KEY, ": bool"),
)
BLOCK = st.lists(ENTRY, max_size=3).flatmap(lambda found: st.just(["{", *[t for tokens in found for t in tokens], "}"]))
PATTERN = st.one_of(
    TEXT,
    seq("sine (", one(st.sampled_from(["rows", "columns"])), QUANTITY, maybe(seq("shift", QUANTITY)), ")"),
)
CLAUSE = st.one_of(
    seq("replace", QUANTITY, maybe(seq("x", QUANTITY))),
    seq(one(st.sampled_from(["insert", "append"])), QUANTITY),
    seq("at", PLACES),
    seq("with", RANGE, maybe(st.just(["continuous"]))),
    seq("with", TEXT),
    seq("blend", several(QUANTITY)),
    seq("mask", TEXT),
    st.just(["unclipped"]),
    seq("one of", several(NAME)),
    seq(one(st.sampled_from(["replace", "add"])), st.one_of(st.just(["image"]), seq("pixels", several(POINT)))),
    seq("add", QUANTITY, "x", QUANTITY),
    seq("with", several(PATTERN), "times", RANGE, maybe(st.just(["continuous"]))),
    seq("from", NAME, maybe(seq("except", several(TEXT)))),
    seq("set any", NUMBER, "of", several(NAME)),
)
ARGUMENT = st.one_of(SUM, seq(KEY, "=", SUM))


def many(strategy: st.SearchStrategy[Tokens], most: int) -> st.SearchStrategy[Tokens]:
    """The tokens up to `most` times."""
    return st.lists(strategy, max_size=most).map(lambda found: [token for tokens in found for token in tokens])


DECLARATION = st.one_of(
    seq("input", NAME, ":", NAME, maybe(seq("(", several(ARGUMENT), ")")), maybe(seq("of", RANGE)), maybe(BLOCK)),
    seq("model", NAME, ":", NAME, "->", NAME, maybe(seq("(", several(SUM), ")")), maybe(BLOCK)),
    seq("data", NAME, ":", NAME, maybe(BLOCK)),
    seq("param", NAME, ":", NAME, "=", SUM),
    seq("trigger", NAME, ":", NAME, "{", many(CLAUSE, 4), "}"),
    seq("property", NAME, "{", many(STATEMENT, 4), "}"),
)
SPECS = seq(maybe(st.just(["spec", "1"])), many(DECLARATION, 4))


@st.composite
def laid_out(draw: st.DrawFn) -> str:
    """The text of a spec, tokens apart by random gaps."""
    found = draw(SPECS)
    gaps = draw(st.lists(GAPS, min_size=8, max_size=8))
    return "".join(token + gaps[(index * 7 + len(token)) % len(gaps)] for index, token in enumerate(found))
