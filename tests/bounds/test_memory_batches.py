"""Batches that halve when memory runs out: nothing is lost, nothing is done twice, other faults pass through."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from verifluxa.bounds import memory
from verifluxa.bounds.memory import CACHE_NUMBERS, evenly, in_chunks, is_out_of_memory, rows_that_fit


def limited(limit: int, error: BaseException, calls: list[tuple[int, int]]) -> Callable[[int, int], list[int]]:
    """Work that fails with an error where more than `limit` items are asked at once."""

    def work(start: int, end: int) -> list[int]:
        calls.append((start, end))
        if end - start > limit:
            raise error
        return list(range(start, end))

    return work


ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
@pytest.mark.parametrize("size", [1, 10, 1000])
def test_every_item_is_done_once_and_in_order(error: BaseException, limit: int, size: int) -> None:
    calls: list[tuple[int, int]] = []
    parts = in_chunks(23, size, limited(limit, error, calls))
    assert [item for part in parts for item in part] == list(range(23))
    assert all(end - start <= max(size, 1) for start, end in calls)


def test_a_size_that_failed_is_not_tried_again() -> None:
    calls: list[tuple[int, int]] = []
    in_chunks(40, 16, limited(4, MemoryError(), calls))
    assert calls[:3] == [(0, 16), (0, 8), (0, 4)]
    assert all(end - start == 4 for start, end in calls[2:])


def test_nothing_to_do_calls_nothing() -> None:
    calls: list[tuple[int, int]] = []
    assert in_chunks(0, 5, limited(1, MemoryError(), calls)) == []
    assert calls == []


def test_one_item_that_does_not_fit_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="one item alone does not fit") as caught:
        in_chunks(3, 2, limited(0, ERRORS[2], []))
    assert caught.value.__cause__ is ERRORS[2]


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("no"), KeyError("x")]
)
def test_other_faults_are_not_swallowed(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        in_chunks(5, 2, limited(0, error, []))
    assert caught.value is error
    assert not is_out_of_memory(error)


def test_batches_are_sized_from_free_memory() -> None:
    few = rows_that_fit(10, free=8_000_000)
    assert 1 <= few * 10 * 8 <= 8_000_000
    assert rows_that_fit(10, free=2**45) * 10 <= CACHE_NUMBERS
    assert rows_that_fit(10, "cuda", 2**45) > rows_that_fit(10, free=2**45)
    assert rows_that_fit(10**12) == 1
    assert rows_that_fit(0) >= 1


def test_there_is_free_memory() -> None:
    assert memory.free_bytes() > 0


def test_keeping_freed_memory_is_a_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than with glibc there may be no such call."""

    def nothing(_: object) -> object:
        return object()

    memory.keep_freed_memory.__wrapped__()
    monkeypatch.setattr(memory.ctypes, "CDLL", nothing)
    memory.keep_freed_memory.__wrapped__()


@pytest.mark.parametrize(
    ("count", "size", "wanted"), [(256, 227, 128), (256, 300, 256), (7, 3, 3), (5, 1, 1), (0, 4, 1)]
)
def test_blocks_are_cut_evenly(count: int, size: int, wanted: int) -> None:
    assert evenly(count, size) == wanted
