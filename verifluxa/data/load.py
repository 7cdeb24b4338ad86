"""A data file to a `Dataset`: the right digest, the right shape, whole levels in range, labels that are classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verifluxa.data.dataset import IN_MEMORY, Arrays, Dataset
from verifluxa.data.gathered import Gathered, gather, gather_arrays
from verifluxa.data.npz import Npz
from verifluxa.data.pictures import read_pictures
from verifluxa.data.tables import read_table
from verifluxa.data.texts import Rows, array_labels, one_of, read_texts, read_tokens, too_few
from verifluxa.errors import DataError

if TYPE_CHECKING:
    from verifluxa.spec.spec import DataDecl, ImageSpace, InputSpace, SeriesSpace


# Series in time from NPZ files: (N, channels, steps), or (N, steps) where there is one channel.


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


# A random sample of a data set, drawn by a seed: the same on every machine, the rest is counted and listed.


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


# From a declaration to its data set

Array = NDArray[np.generic]

IMAGE_KEYS = ("x", "images", "test_x")
LABEL_KEYS = ("y", "labels", "test_y")
MAX_LOADED = 2**32
"""Bytes of the inputs once they are float64."""


def load_dataset(decl: DataDecl, space: InputSpace, path: str | Path | Arrays, labels: str | None = None) -> Dataset:
    """Loads a data set and checks all that its declaration says.

    Args:
        decl: the declaration in the spec.
        space: the input space that it names.
        path: the file or folder, already resolved or as given on the command line; or arrays in memory.
        labels: the file that `decl.labels` names, where there is one.

    Returns:
        The inputs, cut by `take`: images as (N, channels, height, width) in levels, texts as (N, tokens), rows of a
        table as (N, numbers), series as (N, channels, steps); labels counted from 0, all 0 where no model has classes.

    Raises:
        DataError: VF3001 to VF3003, VF3034 and VF3035 for the file and its digest, VF3004 to VF3008 for its arrays,
            VF3010 to VF3014 and VF3018 for the images, VF3015 to VF3017 for the labels; what `texts`, `tables` and
            `series` raise.
    """
    if isinstance(path, tuple):
        found, path = gather_arrays(path), IN_MEMORY
        if space.kind not in ("image", "tokens"):
            raise DataError(
                "VF3036",
                f"`{decl.name}` is a data set of the kind {space.kind}, which is not read from arrays in memory",
                place=path,
                expected="the path of a CSV file",
            )
    else:
        found = gather(str(path), labels)
    if decl.digest not in (None, found.sha256):
        raise DataError(
            "VF3003",
            f"this is not the file that `{decl.name}` was pinned to",
            place=str(path),
            expected=f"{decl.digest}, this one has {found.sha256}",
            remedy="use the right file; if the new one is meant, `verifluxa pin` writes its digest",
        )
    inputs, classes = _rows(found, decl, space, str(path))
    return Dataset(decl.name, str(path), found.sha256, inputs, classes, drawn(classes, decl, str(path)))


def _rows(found: Gathered, decl: DataDecl, space: InputSpace, path: str) -> Rows:
    if space.kind == "tokens":
        return (read_tokens if found.arrays else read_texts)(found.content, decl, space, path)
    if space.kind == "table":
        return read_table(found.content, decl, space, path)
    if space.kind == "series":
        return read_series(found.content, decl, space, path)
    return _images(found, decl, space, path)


def _images(found: Gathered, decl: DataDecl, space: ImageSpace, path: str) -> Rows:
    if found.pictures:
        return read_pictures(found.content, decl, space, path)
    arrays = Npz(found.content, path)
    images = arrays.array(_key(arrays, IMAGE_KEYS, "images", path))
    inputs = _inputs(images, decl, space, path)
    if not decl.labelled:
        return inputs, np.zeros(len(inputs), dtype=np.int64)
    labels = arrays.array(_key(arrays, LABEL_KEYS, "labels", path))
    return inputs, _labels(labels, len(images), decl, path)


def _key(arrays: Npz, keys: tuple[str, ...], what: str, path: str | Path) -> str:
    found = [name for name in keys if name in arrays.names]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"`{name}`" for name in arrays.names[:10])
    raise DataError(
        "VF3008" if found else "VF3007",
        f"the file has several arrays of {what}: {', '.join(found)}" if found else f"the file has no array of {what}",
        place=str(path),
        expected=f"one array called {' or '.join(f'`{key}`' for key in keys)}; the file has {shown or 'none'}",
        remedy="rename the array" if not found else "leave only the one that is meant",
    )


def _inputs(images: Array, decl: DataDecl, space: ImageSpace, path: str) -> NDArray[np.float64]:
    """The images that count, axes in order, levels checked; float64."""
    ordered = _axes(images, space, path)
    if len(ordered) == 0:
        raise DataError("VF3014", "the file has no images, and a property of no inputs says nothing", place=path)
    if decl.take is not None and decl.take > len(ordered):
        raise DataError(
            "VF3018",
            f"`{decl.name}` takes {decl.take:,} inputs, the file has {len(ordered):,}",
            place=path,
            expected=f"`take` of at most {len(ordered):,}",
        )
    taken = ordered[: decl.take]
    if taken.size * 8 > MAX_LOADED:
        raise DataError(
            "VF3006",
            f"{len(taken):,} inputs of this size do not fit into memory",
            place=path,
            expected=f"at most {MAX_LOADED // (8 * taken[0].size):,} of them",
            remedy="say `take = ...` in the spec",
        )
    levels = np.ascontiguousarray(taken, dtype=np.float64)
    _check_levels(levels, space, path)
    return levels


def _axes(images: Array, space: ImageSpace, path: str) -> Array:
    """Images as (N, C, H, W); channels last is understood where it cannot be anything else."""
    wanted = (space.channels, space.height, space.width)
    last = (space.height, space.width, space.channels)
    shape = images.shape[1:]
    if images.ndim == 3 and space.channels == 1 and shape == wanted[1:]:
        return images[:, None]
    if images.ndim == 4 and shape == wanted and wanted == last and space.channels > 1:
        raise DataError(
            "VF3011",
            f"images of shape {shape} can be read with channels first and with channels last",
            place=path,
            expected="an image whose height and width are not its number of channels",
        )
    if images.ndim == 4 and shape == wanted:
        return images
    if images.ndim == 4 and shape == last and space.channels in (1, 3):
        return np.moveaxis(images, 3, 1)
    grey = f", or (N, {space.height}, {space.width})" if space.channels == 1 else ""
    raise DataError(
        "VF3010",
        f"the images have shape {images.shape}, which is not that of `{space.name}`",
        place=path,
        expected=f"(N, {', '.join(map(str, wanted))}){grey}: {space.height} px high, {space.width} px wide",
        remedy="change the shape in `input`, or the file",
    )


def _check_levels(levels: NDArray[np.float64], space: ImageSpace, path: str) -> None:
    index = _first(~np.isfinite(levels) | (levels != np.floor(levels)))
    if index is not None:
        finite = levels[np.isfinite(levels)]
        scaled = bool(((finite >= 0) & (finite <= 1)).all())
        raise DataError(
            "VF3012",
            f"image {index[0]} has the level {levels[index]:g} at (channel, row, column) {index[1:]}",
            place=path,
            expected=f"whole levels {space.low}..{space.high}",
            remedy=f"the file looks scaled to 0..1: store `numpy.round({space.high} * x)` in place of x, and let the "
            f"model scale: `encode = level / {space.high}`"
            if scaled and space.low == 0
            else "store the levels as they were before any scaling",
        )
    index = _first((levels < space.low) | (levels > space.high))
    if index is not None:
        raise DataError(
            "VF3013",
            f"image {index[0]} has the level {levels[index]:g} at (channel, row, column) {index[1:]}",
            place=path,
            expected=f"levels {space.low}..{space.high}, as `{space.name}` says",
        )


def _labels(labels: Array, count: int, decl: DataDecl, path: str) -> NDArray[np.int64]:
    if labels.shape != (count,):
        raise DataError(
            "VF3015",
            f"{count:,} images and labels of shape {labels.shape}",
            place=path,
            expected=f"one label per image: shape ({count},)",
        )
    taken = labels[: decl.take].astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(taken) | (taken != np.floor(taken)))
    if len(wrong):
        raise DataError(
            "VF3016",
            f"label {wrong[0]} is {taken[wrong[0]]:g}",
            place=path,
            expected="whole numbers: the class of each image",
        )
    top = np.inf if decl.classes is None else decl.classes - 1 + decl.labels_start_at
    wrong = np.flatnonzero((taken < decl.labels_start_at) | (taken > top))
    if len(wrong):
        last = "" if decl.classes is None else str(decl.classes - 1 + decl.labels_start_at)
        raise DataError(
            "VF3017",
            f"label {wrong[0]} is {taken[wrong[0]]:g}, which is no class",
            place=path,
            expected=f"labels {decl.labels_start_at}..{last}",
            remedy=None if decl.labels_start_at else "a file that counts as Julia does needs `labels start at 1`",
        )
    return taken.astype(np.int64) - decl.labels_start_at


def _first(wrong: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """The first index at which something is wrong."""
    if not wrong.any():
        return None
    return tuple(int(axis) for axis in np.unravel_index(int(wrong.argmax()), wrong.shape))
