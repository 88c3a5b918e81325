"""Reading and writing files so that a broken one is named and a killed run leaves no half of one."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

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
            f"cannot write there: {error.strerror}",
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
                "this file is read, or written, by the same command", where=str(path), fix="Name another file."
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
    """Write arrays as a compressed ``.npz`` whose bytes depend on the arrays alone (no time stamps)."""

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


def check_members(names: Iterable[str], what: str, path: Path) -> None:
    """Refuse a zip archive that holds other things than NumPy's arrays.

    Raises:
        DeployError: it does, as what ``torch.save`` writes.
    """
    names = list(names)
    if all(name.endswith(".npy") for name in names):
        return
    is_torch = any(name.endswith("/data.pkl") for name in names)
    kind = "a file of torch.save" if is_torch else "a zip archive of other files"
    raise DeployError(
        f"this is not {what}: it is {kind}, not an .npz",
        where=str(path),
        fix="Store NumPy arrays, for instance numpy.savez_compressed('data.npz', x=x.numpy(), y=y.numpy()).",
    )


def read_npz(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file.

    Args:
        path: the file.
        what: what it is meant to be, for the message: ``a program``, ``input data``.

    Raises:
        DeployError: there is no such file, or it is not a whole ``.npz`` of plain arrays.
    """
    path = existing_file(path, what)
    try:
        with open(path, "rb") as stream:
            if zipfile.is_zipfile(stream):
                check_members(zipfile.ZipFile(stream).namelist(), what, path)
            stream.seek(0)
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array, not a set of named ones")
            return {name: archive[name] for name in archive.files}
    except DeployError:
        raise
    except Exception as error:  # whatever a broken archive raises, it is no readable file
        raise unreadable_npz(path, what, error) from error


def unreadable_npz(path: Path, what: str, error: Exception) -> DeployError:
    """Return the refusal of a file that is no whole ``.npz``."""
    return DeployError(
        f"this is not {what}: it is no readable .npz file ({error})",
        where=str(path),
        fix="It may be truncated or of another kind; make it again.",
    )


def existing_file(path: Path | str, what: str) -> Path:
    """Return ``path`` if it is a file, else refuse.

    Raises:
        DeployError: there is nothing there, or it is a folder.
    """
    path = Path(path)
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise DeployError(f"{what} is needed, and this {problem}", where=str(path), fix="Check the path.")
    return path


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return JSON text with sorted keys; NumPy numbers become plain ones."""
    return json.dumps(value, sort_keys=True, indent=indent, default=_plain, allow_nan=False)


def text_array(text: str) -> NDArray[np.str_]:
    """Return text as the 0-d string array that ``.npz`` files keep it in."""
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
