"""Texts of variable length in an HDF5 file, read with every pointer checked.

The HDF5 library (2.0.0) loops for ever, or asks for gigabytes, where a byte of the heap that holds such texts is wrong.
NIR files keep their node types and edges in it.

Source: HDF5 file format specification 3.0, section III.E (global heap) and IV.A.2.d (variable-length types).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_POINTER = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
_HEAP_HEADER = np.dtype([("signature", "S4"), ("version", "u1"), ("reserved", "V3"), ("size", "<u8")])
_OBJECT_HEADER = np.dtype([("index", "<u2"), ("references", "<u2"), ("reserved", "<u4"), ("size", "<u8")])


class Texts:
    """The texts of one file.

    Args:
        path: the file.
        limit: bytes of text that are read at most, all together.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self.left = path, limit
        self.file_size = path.stat().st_size
        self.heaps: dict[int, dict[int, bytes]] = {}

    def read(self, data: Any) -> bytes | NDArray[np.object_]:
        """Return the texts of an ``h5py`` data set, an array of its shape and dtype object, of ``bytes``, if it is one.

        Raises:
            ValueError: a pointer leads nowhere, or the data set is kept in a way that is not read.
        """
        if _is_compact(data):
            texts: bytes | NDArray[np.object_] = data[()]
            return texts
        pointers = np.zeros(data.shape, _POINTER)
        for where, values in self._stored(data):
            pointers[where] = values
        found = np.empty(pointers.size, dtype=object)
        for i, pointer in enumerate(pointers.reshape(-1)):
            found[i] = self._text(int(pointer["length"]), int(pointer["address"]), int(pointer["index"]))
        return found.reshape(pointers.shape) if data.shape else bytes(found[0])

    def _stored(self, data: Any) -> Iterator[tuple[tuple[slice, ...], NDArray[Any]]]:
        """Yield parts of a data set's pointers, each with its place."""
        if data.chunks is None:
            offset = data.id.get_offset()
            if offset is None:
                raise ValueError("its texts are not stored in one piece")
            raw = self._bytes(int(offset), data.size * _POINTER.itemsize)
            yield tuple(slice(None) for _ in data.shape), np.frombuffer(raw, _POINTER).reshape(data.shape)
            return
        for i in range(data.id.get_num_chunks()):
            info = data.id.get_chunk_info(i)
            raw = _unfiltered(self._bytes(int(info.byte_offset), int(info.size)), data, int(info.filter_mask))
            chunk = np.frombuffer(raw, _POINTER).reshape(data.chunks)
            ends = [min(o + c, n) for o, c, n in zip(info.chunk_offset, data.chunks, data.shape, strict=True)]
            where = tuple(slice(o, end) for o, end in zip(info.chunk_offset, ends, strict=True))
            yield where, chunk[tuple(slice(0, max(end - o, 0)) for o, end in zip(info.chunk_offset, ends, strict=True))]

    def _text(self, length: int, address: int, index: int) -> bytes:
        if not length or not address:
            return b""
        if address not in self.heaps:
            self.heaps[address] = self._heap(address)
        text = self.heaps[address].get(index)
        if text is None or len(text) < length:
            raise ValueError(f"a text of {length} bytes is not at the place that the file gives")
        self.left -= length
        if self.left < 0:
            raise ValueError("its texts together are too long")
        return text[:length]

    def _heap(self, address: int) -> dict[int, bytes]:
        """Return the objects of a global heap collection, by index."""
        header = np.frombuffer(self._bytes(address, _HEAP_HEADER.itemsize), _HEAP_HEADER)[0]
        if header["signature"] != b"GCOL" or header["version"] != 1:
            raise ValueError("a heap of texts is damaged")
        raw = self._bytes(address, int(header["size"]))
        objects: dict[int, bytes] = {}
        place = _HEAP_HEADER.itemsize
        while place + _OBJECT_HEADER.itemsize <= len(raw):
            entry = np.frombuffer(raw, _OBJECT_HEADER, 1, place)[0]
            start, size, index = place + _OBJECT_HEADER.itemsize, int(entry["size"]), int(entry["index"])
            if not index:
                break
            if start + size > len(raw) or index in objects:
                raise ValueError("a heap of texts is damaged")
            objects[index] = raw[start : start + size]
            place = start + -(-size // 8) * 8
        return objects

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > self.file_size:
            raise ValueError(f"{size} bytes at {offset} are beyond the end of the file")
        with open(self.path, "rb") as stream:
            stream.seek(offset)
            return stream.read(size)


def _is_compact(data: Any) -> bool:
    """Tell whether a data set lies in its own header, where only the library finds it."""
    import h5py

    return bool(data.id.get_create_plist().get_layout() == h5py.h5d.COMPACT)


def _unfiltered(raw: bytes, data: Any, mask: int) -> bytes:
    """Return a chunk's bytes with its filters undone."""
    import h5py

    size = prod(data.chunks) * _POINTER.itemsize
    plist = data.id.get_create_plist()
    for i in reversed(range(plist.get_nfilters())):
        code = plist.get_filter(i)[0]
        if mask & (1 << i):
            continue
        if code == h5py.h5z.FILTER_DEFLATE:
            raw = zlib.decompressobj().decompress(raw, size + 4)
        elif code == h5py.h5z.FILTER_SHUFFLE:
            raw = np.frombuffer(raw, np.uint8).reshape(_POINTER.itemsize, -1).T.tobytes()
        elif code == h5py.h5z.FILTER_FLETCHER32:
            raw = raw[:-4]
        else:
            raise ValueError(f"its texts are packed with a filter that is not read (HDF5's number {code})")
    if len(raw) != size:
        raise ValueError("its texts are damaged")
    return raw
