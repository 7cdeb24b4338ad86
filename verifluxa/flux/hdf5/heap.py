"""The global heap (HDF5 file format specification 3.0, section III.E): strings and sequences of any length."""

from __future__ import annotations

from verifluxa.flux.cursor import Cursor, damaged
from verifluxa.flux.hdf5.header import File

_HEAD = 16


class Heap:
    """Heap collections of a file, each read once."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._collections: dict[int, dict[int, memoryview]] = {}

    def sequence(self, data: memoryview, item: int, place: str) -> memoryview:
        """The bytes that a sequence of variable length refers to.

        Args:
            data: the 16 bytes in the value: count, address of a collection, index in it.
            item: bytes of one element.
            place: for messages.

        Raises:
            ModelError: VF2002 when there is no such object, or it has another length.
        """
        cursor = Cursor(data, 0, len(data), "a sequence")
        count, address, index = cursor.uint(4), cursor.uint(8), cursor.uint(4)
        if count == 0:
            return data[:0]
        collection = self._collection(address)
        if index not in collection:
            raise damaged(f"the heap has no object {index}", place)
        if len(collection[index]) != count * item:
            raise damaged(f"a sequence of {count} elements has {len(collection[index])} bytes", place)
        return collection[index]

    def _collection(self, address: int) -> dict[int, memoryview]:
        if address not in self._collections:
            self._collections[address] = _read(self._file, address)
        return self._collections[address]


def _read(file: File, address: int) -> dict[int, memoryview]:
    cursor = file.cursor(address, _HEAD, "a heap collection")
    cursor.expect(b"GCOL\x01\0\0\0", "a heap collection")
    size = cursor.uint(8)
    cursor = file.cursor(address, size, "a heap collection")
    cursor.take(min(_HEAD, size))
    objects: dict[int, memoryview] = {}
    while cursor.left >= _HEAD:
        index, references = cursor.uint(2), cursor.uint(2)
        reserved, length = cursor.uint(4), cursor.uint(8)
        if index == 0:
            break
        if index in objects or references > 1 or reserved:
            raise damaged("an object of a heap collection is damaged", cursor.place)
        objects[index] = cursor.take(length)
        cursor.take(min(-length % 8, cursor.left))
    return objects
