"""The selection rule of a property in words, as certificates state it."""

from __future__ import annotations

from verifluxa.spec.spec import DataDecl, Selection


def selection_words(selection: Selection, data: DataDecl) -> str:
    """The selection rule in the spec's words: `take 100 where correct(digits, x) and label(x) != target`."""
    conditions = []
    if selection.correct is not None:
        conditions.append(f"correct({selection.correct}, x)")
    if selection.labels is not None:
        conditions.append("label(x) in {" + ", ".join(str(label) for label in selection.labels) + "}")
    if selection.label_is_not_target:
        conditions.append("label(x) != target")
    if selection.radius:
        conditions.append(f"within {selection.radius} level of x")
    parts = ["all" if data.take is None else f"take {data.take}"]
    if data.sample is not None:
        balanced = " balance classes" if data.balanced else ""
        parts.append(f"sample {data.sample} seed {data.seed}{balanced}")
    if conditions:
        parts.append("where " + " and ".join(conditions))
    return " ".join(parts)
