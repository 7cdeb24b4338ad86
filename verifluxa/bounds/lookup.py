"""The rows of an embedding as a function of the word's number: exact at one word, a hull over a range of words.

Between words there is nothing: a deployed word is a whole number, so on [l, u] only the rows ceil(l)..floor(u)
count. Least and largest of a range come from a sparse table (Bender, Farach-Colton 2000): two overlapping runs
of a power of two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds.chain import Reached, rows_of
from verifluxa.bounds.functions import Relaxation
from verifluxa.bounds.walk import LocalNetworkBuilder, picked
from verifluxa.graph.ops import Embedding
from verifluxa.lower.reading import flushed


@dataclass(frozen=True, eq=False)
class Lookup:
    """`h_i = table[z_i, feature[i]]`. A `special.Special`.

    Attributes:
        least, most: per power of two, the least and the largest of each run of rows, shape (levels, words, features).
            Of a subnormal number, which may be flushed when it is read, one of them is 0.
        feature: shape (n,), long.
    """

    least: Tensor
    most: Tensor
    feature: Tensor

    def to(self, device: str) -> Lookup:
        """The same on another device."""
        return Lookup(self.least.to(device), self.most.to(device), self.feature.to(device))

    def padded(self, size: int) -> Lookup:
        """The same for more neurons; what it says of them is not used."""
        more = torch.zeros(size - len(self.feature), dtype=torch.long)
        return Lookup(self.least, self.most, torch.cat([self.feature, more]))

    def value(self, z: Tensor) -> Tensor:
        """The nearest word's row; the gradient is zero."""
        words = self.least.shape[1]
        row = z.detach().nan_to_num().round().clamp(0, words - 1).long()
        return self.least[0, row, self.feature].double() + z * 0.0

    def span(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Least and largest over the words in [lower, upper]; no numbers where there is none, or one without a row."""
        words = self.least.shape[1]
        first, last = lower.ceil(), upper.floor()
        known = (first >= 0) & (last <= words - 1) & (first <= last)
        first, last = (torch.where(known, end, torch.zeros_like(end)).long() for end in (first, last))
        level = (last - first + 1).double().log2().floor().long()
        other = last + 1 - (1 << level)
        least = torch.minimum(*(self.least[level, row, self.feature] for row in (first, other)))
        most = torch.maximum(*(self.most[level, row, self.feature] for row in (first, other)))
        return torch.where(known, least.double(), torch.nan), torch.where(known, most.double(), torch.nan)

    def relax(self, lower: Tensor, upper: Tensor) -> Relaxation:
        """Constants: neighbouring words have nothing in common."""
        least, most = self.span(lower, upper)
        flat = torch.zeros_like(least)
        return Relaxation(flat, least, flat, most)

    def open(self, lower: Tensor, upper: Tensor) -> Tensor:
        """None: nothing but a smaller range helps, and the range is that of the trigger itself."""
        return torch.zeros_like(lower, dtype=torch.bool)


@lru_cache(maxsize=4)
def levels_of(op: Embedding) -> tuple[Tensor, Tensor]:
    """The sparse tables of an embedding, shared by all placements of a problem."""
    rows = np.array(op.weight, dtype=op.weight.dtype.newbyteorder("="))
    read = flushed(rows, rows.dtype.name)
    least, most = [torch.from_numpy(np.minimum(rows, read))], [torch.from_numpy(np.maximum(rows, read))]
    while (run := 1 << len(least)) <= len(rows):
        half = run // 2
        for levels, better in ((least, torch.minimum), (most, torch.maximum)):
            below = levels[-1]
            longer = below.clone()
            longer[: len(rows) - half] = better(below[: len(rows) - half], below[half:])
            levels.append(longer)
    return torch.stack(least), torch.stack(most)


def embedding(walk: LocalNetworkBuilder) -> Reached:
    """The features of every reached word; a row is copied, and no number of it is rounded."""
    op = walk.node.op
    assert isinstance(op, Embedding)
    source, features = walk.live[walk.node.inputs[0]], op.weight.shape[1]
    count = len(source.index)
    words = rows_of(source.form, np.repeat(np.arange(count), features))
    function = Lookup(*levels_of(op), torch.arange(features).repeat(count))
    size = walk.emit(words, "lookup", special=function)
    index = (source.index[:, None] * features + np.arange(features)).ravel()
    return Reached(index, picked(0, count * features, size))
