"""Series in time from NPZ files: (N, channels, steps), or (N, steps) where there is one channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from verifluxa.data.npz import Npz
from verifluxa.data.texts import Rows, array_labels, one_of, too_few
from verifluxa.errors import DataError

if TYPE_CHECKING:
    from verifluxa.spec.space_types import SeriesSpace
    from verifluxa.spec.spec import DataDecl


def read_series(content: bytes, decl: DataDecl, space: SeriesSpace, path: str) -> Rows:
    """Series as (N, channels, steps), and labels, cut by `take`.

    Raises:
        DataError: VF3010 for their shape, VF3013 for values outside the range, and what NPZ files and labels raise.
    """
    arrays = Npz(content, path)
    found = arrays.array(one_of(arrays, ("x", "series", "test_x"), path))
    one = found.ndim == 2 and space.channels == 1
    shaped = found[:, None] if one else found
    if shaped.ndim != 3 or shaped.shape[1:] != (space.channels, space.steps):
        raise DataError(
            "VF3010",
            f"the series have shape {found.shape}, which is not that of `{space.name}`",
            place=path,
            expected=f"(N, {space.channels}, {space.steps}): channels, then steps",
            remedy="Flux keeps (steps, channels, N): the same memory, axes in the other order",
        )
    if len(shaped) == 0 or (decl.take or 0) > len(shaped):
        raise too_few(len(shaped), decl, path)
    taken = np.ascontiguousarray(shaped[: decl.take], dtype=np.float64)
    wrong = ~((taken >= float(space.low)) & (taken <= float(space.high)))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise DataError(
            "VF3013",
            f"series {at[0]} has the value {taken[at]:g} at (channel, step) {at[1:]}",
            place=path,
            expected=f"values {float(space.low):g}..{float(space.high):g}, as `{space.name}` says",
        )
    return taken, array_labels(arrays, len(shaped), decl, path)
