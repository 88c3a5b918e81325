"""Tell a file's kind by its first bytes and the names of what it holds, so that a wrong one is named as what it is."""

from __future__ import annotations

import zipfile
from pathlib import Path

from neurodeploy.errors import DeployError

MODEL, PROGRAM, RECORDING, DATA = "a NIR model", "a program", "a recording", "input data"

_STARTS = (
    (b"\x89HDF\r\n\x1a\n", MODEL),
    (b"\x93NUMPY", "a single array (.npy)"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF"),
    (b"{", "JSON text"),
    (b"<", "HTML or XML text"),
)
_FIXES = {
    MODEL: "Name a .nir file, as neurodeploy export writes it.",
    PROGRAM: "Name a program, as neurodeploy compile writes it.",
    RECORDING: "Name a recording, as neurodeploy run -o writes it.",
    DATA: "Name a file of arrays, for instance of numpy.savez_compressed('data.npz', x=x, y=y).",
}


def kind_of(path: Path) -> str | None:
    """Return what a file is, in words, or None where that cannot be told."""
    with open(path, "rb") as stream:
        start = stream.read(16)
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_archive(path)
    return next((kind for magic, kind in _STARTS if start.startswith(magic)), None)


def check_kind(path: Path, wanted: str) -> None:
    """Refuse a file that is known to be of another kind than is wanted.

    Raises:
        DeployError: it is; the message names what it is.
    """
    found = kind_of(path)
    if found not in (None, wanted):
        raise DeployError(f"this is {found}, not {wanted}", where=str(path), fix=_FIXES[wanted])


def _kind_of_archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if "manifest.npy" in names:
        return PROGRAM
    if "meta.npy" in names and "x.npy" not in names:
        return RECORDING
    if any(name.endswith("/data.pkl") for name in names):
        return "a file of torch.save"
    return DATA if any(name in ("x.npy", "unit.npy") or name.startswith("x/") for name in names) else None
