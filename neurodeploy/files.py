"""Reading and writing files so that a broken one is named and a killed run leaves no half of one."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite, prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.budget import MAX_ARRAY_BYTES, MAX_PICKLE_BYTES, MAX_TEXT_BYTES, Limit
from neurodeploy.errors import DeployError

_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file in full or not at all: into a temporary file beside it, which then takes its name.

    A link is followed, and what is no file (a pipe, ``/dev/null``) is written to and stays what it is.

    Raises:
        DeployError: the folder is missing or cannot be written to, or the write fails.
    """
    write_together({path: write})


def write_together(files: Mapping[Path, Callable[[IO[bytes]], None]]) -> None:
    """Write several files, all of them or none; each as :func:`write_atomically` does.

    Raises:
        DeployError: a folder is missing or cannot be written to, or a write fails; it names the file.
    """
    staged: list[tuple[str, Path]] = []
    path = Path()
    try:
        for path, write in files.items():
            place = Path(os.path.realpath(path))
            if place.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            if not _is_special(place):
                staged.append((_temporary(place, write), place))
        for path, write in files.items():
            if _is_special(Path(os.path.realpath(path))):
                with open(path, "wb") as stream:
                    write(stream)
        while staged:
            temporary, path = staged[0]
            os.replace(temporary, path)
            staged.pop(0)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DeployError(
            f"the file cannot be written: {error.strerror}",
            where=str(path),
            fix="Name a file in a folder that exists, is writable and has room.",
        ) from error
    finally:
        for temporary, _ in staged:
            Path(temporary).unlink(missing_ok=True)


def _is_special(place: Path) -> bool:
    """Tell whether there is something that is no file: a pipe, ``/dev/null``."""
    return place.exists() and not place.is_file()


def _temporary(place: Path, write: Callable[[IO[bytes]], None]) -> str:
    """Return a whole file beside the one that it will become."""
    descriptor, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
        os.chmod(temporary, 0o666 & ~_umask())
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return temporary


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse outputs before any work is done: where nothing can be written, or where one would overwrite another file.

    Raises:
        DeployError: a folder is missing or not writable, or a path is given twice or is also read.
    """
    seen = {os.path.realpath(path): path for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        place = Path(os.path.realpath(path))
        if str(place) in seen:
            raise DeployError(
                "the same command already reads or writes this file", where=str(path), fix="Name another file."
            )
        seen[str(place)] = path
        if place.is_dir() or not str(path):
            raise DeployError("this is a folder", where=str(path), fix="Name a file.")
        if not place.exists() and not os.access(place.parent, os.W_OK):
            problem = "is not writable" if place.parent.is_dir() else "does not exist"
            raise DeployError(
                f"the folder {problem}", where=str(place.parent), fix="Name a folder that exists and is writable."
            )


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes in full or not at all."""

    def write(stream: IO[bytes]) -> None:
        stream.write(content)

    write_atomically(path, write)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text in full or not at all."""
    write_bytes(path, text.encode())


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of any dtype and shape as a ``.npz`` whose bytes depend on the arrays alone (no time stamps)."""

    def write(stream: IO[bytes]) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(arrays):
                with archive.open(npz_entry(name), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(arrays[name]), allow_pickle=False)

    write_atomically(path, write)


def npz_entry(name: str) -> zipfile.ZipInfo:
    """Return an array's entry in an ``.npz``, compressed and without a time stamp."""
    entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


@contextmanager
def npz_archive(path: Path, what: str) -> Iterator[tuple[zipfile.ZipFile, IO[bytes]]]:
    """Open an ``.npz`` file: yield the archive, whose entries are known to be arrays, and the stream it is read from.

    Whatever a broken archive raises inside the context is refused in our words.

    Raises:
        DeployError: there is no such file, or it is not a whole ``.npz`` of plain arrays.
    """
    path = existing_file(path, what)
    try:
        with open(path, "rb") as stream:
            if stream.read(6) == b"\x93NUMPY":
                raise ValueError("it holds one array, not a set of named arrays")
            stream.seek(0)
            with zipfile.ZipFile(stream) as archive:
                check_members(archive.infolist(), what, path)
                yield archive, stream
    except DeployError:
        raise
    except Exception as error:  # whatever a broken archive raises, it is no readable file
        raise unreadable_npz(path, what, error) from error


def check_members(members: Iterable[zipfile.ZipInfo], what: str, path: Path) -> None:
    """Refuse a zip archive that holds other things than NumPy's arrays, as NumPy stores them.

    Args:
        members: of the archive. what: kind of file, for messages. path: of the file.

    Raises:
        DeployError: it does, as what ``torch.save`` writes.
        ValueError: two have the same name, or one is packed in a way that unpacks to no bounded size.
    """
    members = list(members)
    names = [info.filename for info in members]
    if not all(name.endswith(".npy") for name in names):
        is_torch = any(name.endswith("/data.pkl") for name in names)
        kind = "a file of torch.save" if is_torch else "a zip archive of other files"
        raise DeployError(
            f"this is not {what}: it is {kind}, not an .npz",
            where=str(path),
            fix="Store NumPy arrays, for instance numpy.savez_compressed('data.npz', x=x.numpy(), y=y.numpy()).",
        )
    if len(set(names)) < len(names):
        raise ValueError("two of its arrays have the same name")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in members):
        raise ValueError("an array in it is compressed in a way that NumPy does not use")


def array_header(member: IO[bytes], info: zipfile.ZipInfo) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return an array's shape, whether it lies in Fortran's order, and its dtype; the stream then stands at its data.

    Raises:
        ValueError: it is no array of plain values, or claims another size than its entry has.
    """
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, in_fortran_order, dtype = read(member)
    if dtype.kind not in "biufcSU":
        raise ValueError(f"an array in it is of type {dtype}, which is neither numbers nor text")
    if info.file_size != member.tell() + prod(shape) * dtype.itemsize:
        raise ValueError(f"an array in it claims shape {shape}, which is not what is stored")
    return shape, in_fortran_order, dtype


def read_npz(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file, each of the dtype and shape it has there.

    Args:
        path: the file.
        what: what it is meant to be, for the message: ``a program``, ``input data``.

    Raises:
        DeployError: there is no such file, it is not a whole ``.npz`` of plain arrays, or they take more memory than
            :data:`neurodeploy.budget.MAX_ARRAY_BYTES` allows.
    """
    with npz_archive(path, what) as (archive, _):
        MAX_ARRAY_BYTES.check(sum(info.file_size for info in archive.infolist()), f"{what} in this file", str(path))
        return {info.filename.removesuffix(".npy"): read_member(archive, info) for info in archive.infolist()}


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Return an array of an ``.npz``, of the dtype and shape it has there.

    Raises:
        ValueError: it is no whole array of plain values.
    """
    with archive.open(info) as member:
        array_header(member, info)
    with archive.open(info) as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        return array


def unreadable_npz(path: Path, what: str, error: Exception) -> DeployError:
    """Return the refusal of a file that is no whole ``.npz``.

    Args:
        path: of the file. what: kind of file. error: why it cannot be read.
    """
    return DeployError(
        f"this is not {what}: it is not a readable .npz file ({error})",
        where=str(path),
        fix="Make the file again; it may be truncated or of another kind.",
    )


def existing_file(path: Path | str, what: str) -> Path:
    """Return ``path`` if it is a file, else refuse.

    Raises:
        DeployError: there is nothing there, or it is a folder.
    """
    path = Path(path)
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise DeployError(
            f"{what} is needed, but this path {problem}", where=str(path), fix="Give the path of a file that exists."
        )
    return path


def read_tensors(path: Path, device: Any = "cpu") -> Any:
    """Return what ``torch.save`` wrote, as far as it can be opened without running code.

    Raises:
        DeployError: the tensors take more memory than :data:`neurodeploy.budget.MAX_ARRAY_BYTES` allows.
        Exception: whatever a file that is broken, or of another kind, makes torch raise.
    """
    import torch

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        MAX_ARRAY_BYTES.check(sum(info.file_size for info in members), "this file of torch.save", str(path))
        pickled = sum(info.file_size for info in members if info.filename.endswith(".pkl"))
        MAX_PICKLE_BYTES.check(pickled, "what is not a tensor in this file of torch.save", str(path))
    return torch.load(path, map_location=device, weights_only=True)


def read_text(path: Path | str, what: str, limit: Limit = MAX_TEXT_BYTES) -> str:
    """Return the text of a file of no more bytes than ``limit``; ``what`` it is stands in messages.

    Args:
        path: of the file. what: kind of file, for messages. limit: of bytes.

    Raises:
        DeployError: there is no such file, it is too long, or it is no UTF-8.
    """
    path = existing_file(path, what)
    limit.check(path.stat().st_size, what, str(path))
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise DeployError(
            f"this is not {what}: byte {error.start} is not UTF-8 text",
            where=str(path),
            fix="Save it as UTF-8, or name another file.",
        ) from error


def text_of(array: Any) -> str:
    """Return the text that a 0-d string array of an ``.npz`` holds.

    Raises:
        ValueError: it is another array.
    """
    if not isinstance(array, np.ndarray) or array.ndim or array.dtype.kind != "U":
        raise ValueError("what should be one text is not text")
    MAX_TEXT_BYTES.check(array.itemsize // 4, "a text in the file", "an array of text")  # 4 bytes a character
    return str(array[()])


def from_json(text: str) -> Any:
    """Return what JSON text says.

    Raises:
        ValueError: it is no JSON, is nested too deep, has a key twice in an object, or a number that is not finite or
            beyond 64 bits.
    """
    try:
        value = json.loads(text, object_pairs_hook=_checked_object)
        _check_numbers("the text", value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _checked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice")
    for key, value in pairs:
        _check_numbers(key, value)
    return found


def _check_numbers(key: str, value: Any) -> None:
    """Refuse numbers, also in lists, that no 64 bits hold."""
    if isinstance(value, list):
        kinds = set(map(type, value))
        if kinds == {str}:
            return
        if kinds == {int}:
            value = [min(value), max(value)]  # enough, and soon done for millions
        for item in value:
            _check_numbers(key, item)
    elif isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{key} is {value}, which is not finite")
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError(f"{key} is a number beyond 64 bits")


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return JSON text with sorted keys; NumPy numbers become plain ones."""
    return json.dumps(value, sort_keys=True, indent=indent, default=_plain, allow_nan=False)


def text_array(text: str) -> NDArray[np.str_]:
    """Return text as the string array of no axis (dtype U) that ``.npz`` files keep it in."""
    return np.array(text)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
