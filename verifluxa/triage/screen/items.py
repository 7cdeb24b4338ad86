"""Looks at texts and tables: words, values and pairs of values that are tied to one label.

A naive Bayes classifier says what each example looks like without the thing in question and without the example
itself; the groups are those of `groups`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from verifluxa.triage.screen.examples import Examples, Floats, Integers
from verifluxa.triage.screen.suspicion import Group, Suspicion, groups_of, score_of

MOST_COLUMNS = 60
"""Of a table whose pairs are looked at: the first ones."""
BINS = 10
SMOOTH = 1.0
FAR = 0.7
"""Nats by which another class must lead for an example to look like it."""


@dataclass(frozen=True, eq=False)
class Items:
    """Occurrences of things in examples, each once: which example, which thing, what it says for each class.

    Attributes:
        owners, things: shape (n,).
        says: log of the share of each class's examples that carry the thing, without this example, shape (n, K).
        total: the sum over an example's things and the prior, shape (N, K).
    """

    owners: Integers
    things: Integers
    says: Floats
    total: Floats


def items_of(owners: Integers, things: Integers, labels: Integers) -> Items:
    """Naive Bayes with each example left out of its own counts (add-one smoothing)."""
    classes = int(labels.max()) + 1
    table = np.zeros((int(things.max()) + 1, classes), dtype=np.float32)
    np.add.at(table, (things, labels[owners]), 1.0)
    sizes = np.bincount(labels, minlength=classes).astype(np.float64)
    own = labels[owners][:, None] == np.arange(classes)
    says = np.log((table[things] - own + SMOOTH) / (sizes - own + 2 * SMOOTH))
    total = np.log(np.maximum(sizes, 1.0))[None].repeat(len(labels), 0)
    np.add.at(total, owners, says)
    return Items(owners, things, says, total)


def looks_of(left: Floats, labels: Integers) -> Integers:
    """The class with the largest of log scores (n, K), where it leads the label's clearly; else the label."""
    rows = np.arange(len(labels))
    best = left.argmax(1)
    return np.where(left[rows, best] > left[rows, labels] + FAR, best, labels).astype(np.int64)


def look_at_texts(examples: Examples) -> list[Suspicion]:
    """Words that stand in texts of one label which, without them, look like another."""
    words = sorted({word for text in examples.cells for word in text})
    number = {word: k for k, word in enumerate(words)}
    pairs = [(row, number[word]) for row, text in enumerate(examples.cells) for word in dict.fromkeys(text)]
    owners, things = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))
    items = items_of(owners, things, examples.labels)
    labels = examples.labels[owners]
    odd = looks_of(items.total[owners] - items.says, labels)
    groups, tested = groups_of(things, labels, odd, (), owners)
    found = [_suspicion("token", f'the word "{words[group.key[0]]}"', group, tested, examples) for group in groups]
    return [*found, *_same_rows(examples)]


def look_at_table(examples: Examples) -> list[Suspicion]:
    """Values, and pairs of values, of rows of one label which, without them, look like another."""
    codes, names = _coded(examples)
    count, width = codes.shape
    items = [items_of(np.arange(count), _binned(examples, k, codes[:, k]), examples.labels) for k in range(width)]
    prior = np.log(np.maximum(np.bincount(examples.labels), 1.0))
    total = prior + sum((item.says for item in items), np.zeros_like(items[0].says))
    found: list[tuple[Group, tuple[int, ...]]] = []
    tested = 0
    for chosen in [*((k,) for k in range(width)), *combinations(range(min(width, MOST_COLUMNS)), 2)]:
        things = codes[:, chosen[0]]
        for k in chosen[1:]:
            things = things * len(names[k]) + codes[:, k]
        left = total - sum((items[k].says for k in chosen), np.zeros_like(total))
        groups, more = groups_of(things, examples.labels, looks_of(left, examples.labels), ())
        found += [(group, chosen) for group in groups]
        tested += more
    found.sort(key=lambda pair: -pair[0].nats)
    said = []
    for group, chosen in found[:200]:
        row = int(group.members[0])
        what = " and ".join(f"{examples.columns[k]} = {names[k][codes[row, k]]}" for k in chosen)
        said.append(_suspicion("combination", what, group, tested, examples))
    return [*said, *_same_rows(examples)]


def _suspicion(look: str, what: str, group: Group, tested: int, examples: Examples) -> Suspicion:
    return Suspicion(
        look,
        f"{what} in {len(group.members)} examples of {examples.names[group.label]}, of which {group.foreign} look like "
        "other classes without it",
        group.members,
        np.full(len(group.members), score_of(group.nats, tested)),
    )


def _coded(examples: Examples) -> tuple[Integers, list[list[str]]]:
    """A number for each cell, shape (N, columns), and the cells by number."""
    names, codes = [], []
    for k in range(len(examples.columns)):
        values, which = np.unique([row[k] for row in examples.cells], return_inverse=True)
        names.append([str(value) for value in values])
        codes.append(which.astype(np.int64))
    return np.stack(codes, axis=1), names


def _binned(examples: Examples, column: int, codes: Integers) -> Integers:
    """Tenths of a column of many numbers; else its values."""
    if len(np.unique(codes)) <= 2 * BINS:
        return codes
    try:
        numbers = np.array([float(row[column]) for row in examples.cells])
    except ValueError:
        return codes
    edges = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
    return np.searchsorted(edges, numbers).astype(np.int64)


def _same_rows(examples: Examples) -> Iterator[Suspicion]:
    """Examples that are the same with different labels."""
    seen: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(examples.cells):
        seen.setdefault(tuple(row), []).append(index)
    for alike in seen.values():
        labels = examples.labels[alike]
        if len(alike) > 1 and len(set(labels.tolist())) > 1:
            names = ", ".join(sorted({examples.names[label] for label in labels}))
            yield Suspicion(
                "duplicate",
                f"{len(alike)} examples are the same, with the labels {names}",
                np.array(alike, dtype=np.int64),
                np.full(len(alike), 0.3),
            )
