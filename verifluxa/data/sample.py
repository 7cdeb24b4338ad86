"""A random sample of a data set, drawn by a seed: the same on every machine, the rest is counted and listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import DataError

if TYPE_CHECKING:
    from verifluxa.spec.spec import DataDecl


def drawn(labels: NDArray[np.int64], decl: DataDecl, path: str) -> NDArray[np.bool_] | None:
    """Which inputs are in the sample, shape (N,); None where the declaration asks for none.

    NumPy's PCG64 generator orders the inputs by random 64-bit keys, whose stream its documentation fixes. A balanced
    sample takes equally many of each class that the file has.

    Raises:
        DataError: VF3030 when there are fewer inputs, or fewer of a class, than the sample takes.
    """
    if decl.sample is None:
        return None
    keys = np.random.PCG64(decl.seed).random_raw(len(labels))
    order = np.lexsort((np.arange(len(labels)), keys))
    groups = [order[labels[order] == label] for label in np.unique(labels)] if decl.balanced else [order]
    share, rest = divmod(decl.sample, len(groups))
    if rest or any(len(group) < share for group in groups):
        least = min(len(group) for group in groups)
        what = f"{len(groups)} classes of at least {least:,}" if decl.balanced else f"{least:,}"
        raise DataError(
            "VF3030",
            f"`{decl.name}` samples {decl.sample:,} inputs, the file has {what}",
            place=path,
            expected=f"at most {len(groups) * least:,}" + (f", a multiple of {len(groups)}" if decl.balanced else ""),
        )
    chosen = np.zeros(len(labels), dtype=bool)
    for group in groups:
        chosen[group[:share]] = True
    return chosen
