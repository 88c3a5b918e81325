"""Arrays of an ``.npz`` file that are read in parts, and one that is written in parts, so that none is held whole."""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.budget import MAX_ARRAY_BYTES, MAX_UNPACKED_BYTES
from neurodeploy.errors import DeployError
from neurodeploy.files import (
    array_header,
    existing_file,
    npz_archive,
    npz_entry,
    read_member,
    unreadable_npz,
    write_atomically,
)

HELD_BYTES = 2**26
"""An array of at most so many bytes, or of one axis, is read at once and held."""

_COPIED = 2**20
_LOCAL_HEADER = 30
"""Bytes of a zip entry's own header before its name. Source: PKWARE APPNOTE 6.3.10, section 4.3.7."""


class _Kept:
    """A file that stays open for reading as long as somebody holds this, wherever it was opened."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.descriptor = os.dup(stream.fileno())
        weakref.finalize(self, os.close, self.descriptor)


class Stored:
    """An array in a file, from which parts are read.

    shape, dtype: of the array, which is stored in C order.
    """

    def __init__(self, stream: IO[bytes], offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._file, self._offset = _Kept(stream), offset
        if os.fstat(self._file.descriptor).st_size < offset + prod(shape) * dtype.itemsize:
            raise ValueError("it is truncated")
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)

    def part(self, first: int, last: int, axis: int) -> NDArray[Any]:
        """Return entries ``first`` to ``last - 1`` along axis 0 or 1, of the array's own dtype.

        Args:
            first, last: entries. axis: 0 or 1.
        """
        n, (outer, rest) = last - first, (self.shape[:axis], self.shape[axis + 1 :])
        found = np.empty((*outer, n, *rest), self.dtype)
        each = prod(rest) * self.dtype.itemsize
        for i, rows in enumerate(found.reshape(prod(outer), -1)):
            place = self._offset + (i * self.shape[axis] + first) * each
            _read_into(self._file.descriptor, rows.data.cast("B") if rows.size else memoryview(b""), place)
        return found


class Packed:
    """A compressed array in a file, which is unpacked to a temporary file when a part of it is first read.

    shape, dtype: of the array, which is stored in C order.
    """

    def __init__(
        self,
        path: Path,
        what: str,
        stream: IO[bytes],
        info: zipfile.ZipInfo,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self._path, self._what, self._file, self._info = path, what, _Kept(stream), info
        self._unpacked: Stored | None = None
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)

    def part(self, first: int, last: int, axis: int) -> NDArray[Any]:
        """Return entries ``first`` to ``last - 1`` along axis 0 or 1, of the array's own dtype.

        Args:
            first, last: entries. axis: 0 or 1.

        Raises:
            DeployError: there is no room for the temporary file, or the array is damaged.
        """
        if self._unpacked is None:
            try:
                self._unpacked = self._unpack()
            except DeployError:
                raise
            except Exception as error:  # whatever a broken archive raises, it is no readable file
                raise unreadable_npz(self._path, self._what, error) from error
        return self._unpacked.part(first, last, axis)

    def _unpack(self) -> Stored:
        with (
            os.fdopen(os.dup(self._file.descriptor), "rb") as stream,
            zipfile.ZipFile(stream) as archive,
            archive.open(self._info) as member,
            tempfile.TemporaryFile() as unpacked,
        ):
            array_header(member, self._info)
            with _room_for(self._info.file_size, "store the data with numpy.savez, which is read where it lies"):
                while chunk := member.read(_COPIED):
                    unpacked.write(chunk)
                unpacked.flush()
            return Stored(unpacked, 0, self.shape, self.dtype)


Array = Stored | Packed | NDArray[Any]
"""An array that is held, or one from which parts are read."""


def part_of(array: Array, first: int, last: int, axis: int) -> NDArray[Any]:
    """Return entries ``first`` to ``last - 1`` along axis 0 or 1.

    Args:
        array: in memory or in a file, of any dtype and shape. first, last: entries. axis: 0 or 1.
    """
    if isinstance(array, np.ndarray):
        return array[first:last] if axis == 0 else array[:, first:last]
    return array.part(first, last, axis)


def open_npz(path: Path, what: str) -> dict[str, Array]:
    """Return the arrays of an ``.npz`` file; large ones are left where they are until a part of them is read.

    Args:
        path: the file.
        what: what it is meant to be, for the message.

    Raises:
        DeployError: there is no such file, it is not a whole ``.npz`` of plain arrays, or they take more than
            :mod:`neurodeploy.budget` allows.
    """
    path = existing_file(path, what)
    with npz_archive(path, what) as (archive, stream):
        headers = {info: _header(archive, info) for info in archive.infolist()}
        held = {info for info, (shape, *_) in headers.items() if info.file_size <= HELD_BYTES or len(shape) < 2}
        packed = {info for info in headers if info not in held and info.compress_type != zipfile.ZIP_STORED}
        MAX_ARRAY_BYTES.check(sum(info.file_size for info in held), f"{what} in this file", str(path))
        MAX_UNPACKED_BYTES.check(sum(info.file_size for info in packed), f"{what} in this file", str(path))
        found: dict[str, Array] = {}
        for info, (shape, in_fortran_order, dtype, start) in headers.items():
            name = info.filename.removesuffix(".npy")
            if info in held:
                found[name] = read_member(archive, info)
            elif in_fortran_order:
                raise ValueError("an array of this size can be read only if it is stored in C order")
            elif info in packed:
                found[name] = Packed(path, what, stream, info, shape, dtype)
            else:
                found[name] = Stored(stream, _data_offset(stream, info) + start, shape, dtype)
        return found


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return what :func:`array_header` does, and where in the entry the data begins."""
    with archive.open(info) as member:
        return (*array_header(member, info), member.tell())


@contextmanager
def _room_for(n_bytes: int, other: str) -> Iterator[None]:
    """Say what a full disk means: that temporary files of ``n_bytes`` and more do not fit."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DeployError(
            f"there is no room for a temporary file of {n_bytes / 1e9:.2g} GB",
            where=tempfile.gettempdir(),
            fix=f"Let TMPDIR name a folder with more room, or {other}.",
        ) from error


def _data_offset(stream: IO[bytes], info: zipfile.ZipInfo) -> int:
    header = os.pread(stream.fileno(), _LOCAL_HEADER, info.header_offset)
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER + lengths


def _read_into(descriptor: int, target: memoryview, offset: int) -> None:
    while len(target):
        n = os.preadv(descriptor, [target], offset)
        if n <= 0:
            raise OSError("the file ends before the end of the array")
        target, offset = target[n:], offset + n


class NpzWriter:
    """Writes an ``.npz`` of arrays ``[T, B, ...]`` that come in blocks of samples.

    It is, byte for byte, what :func:`neurodeploy.files.write_npz` writes of the whole arrays. Blocks wait in temporary
    files until :meth:`close` joins them.
    """

    def __init__(self) -> None:
        self._spools: dict[str, Any] = {}
        self._sizes: list[int] = []
        self._kinds: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}

    def add(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Add a block of samples, arrays of any dtype by name.

        Raises:
            ValueError: it has other arrays than those before, or of other types or shapes.
        """
        kinds = {name: ((len(values), *values.shape[2:]), values.dtype) for name, values in arrays.items()}
        if self._sizes and kinds != self._kinds:
            raise ValueError(f"blocks differ: {self._kinds} and {kinds}")
        self._kinds = kinds
        self._sizes.append(next((values.shape[1] for values in arrays.values()), 0))
        for name, values in arrays.items():
            if name not in self._spools:
                self._spools[name] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
            if values.size:
                with _room_for(values.nbytes, "record fewer nodes (--record-nodes)"):
                    self._spools[name].write(np.ascontiguousarray(values).data.cast("B"))

    def close(self, path: Path, whole: dict[str, NDArray[Any]]) -> None:
        """Write the file, with arrays of any dtype and shape that are given whole beside those in blocks.

        Raises:
            DeployError: the file cannot be written.
        """

        def write(stream: IO[bytes]) -> None:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in sorted([*whole, *self._kinds]):
                    with archive.open(npz_entry(name), "w", force_zip64=True) as member:
                        if name in whole:
                            np.lib.format.write_array(member, np.asanyarray(whole[name]), allow_pickle=False)
                        else:
                            self._join(name, member)

        try:
            write_atomically(path, write)
        finally:
            self.discard()

    def discard(self) -> None:
        """Drop what was written so far."""
        for spool in self._spools.values():
            spool.close()
        self._spools.clear()

    def _join(self, name: str, member: IO[bytes]) -> None:
        (n_rows, *rest), dtype = self._kinds[name]
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
        shape = (n_rows, sum(self._sizes), *rest)
        np.lib.format.write_array_header_1_0(member, {**header, "shape": shape})
        spool = self._spools[name]
        with _room_for(prod(shape) * dtype.itemsize, "record fewer nodes (--record-nodes)"):
            spool.flush()
        for chunk in _rows(spool.fileno(), self._sizes, n_rows, prod(rest) * dtype.itemsize):
            member.write(chunk)


def _rows(descriptor: int, sizes: list[int], n_rows: int, each: int) -> Iterator[bytes]:
    """Yield the rows of all blocks, row by row, of samples of ``each`` bytes."""
    starts = np.cumsum([0, *(size * n_rows * each for size in sizes)]).tolist()
    for row in range(n_rows):
        for start, size in zip(starts, sizes, strict=False):
            yield os.pread(descriptor, size * each, start + row * size * each)
