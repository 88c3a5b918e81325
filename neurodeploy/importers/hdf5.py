"""Read an HDF5 file into nested dictionaries; links, sizes and types are checked before data is read."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from neurodeploy.budget import MAX_ARRAY_BYTES, MAX_NEURONS, MAX_NODES, MAX_PROJECTIONS
from neurodeploy.errors import DeployError
from neurodeploy.importers.hdf5_texts import Texts

MAX_DEPTH = 64
"""Groups inside groups."""

ENTRIES_A_NODE = 20
"""Groups and data sets that nodes of a graph have at most, on average."""

MOST_PACKED = 1100
"""By how much a filter can shrink data. Source: zlib's technical details, 1032 times at most."""


def read_hdf5(path: Path, entries: tuple[str, ...]) -> dict[str, Any]:
    """Return entries of a file's root: groups as dictionaries, texts as ``str``, numbers as arrays.

    Entries that are not there are left out.

    Raises:
        DeployError: it is no whole HDF5 file, holds links (by which a group can contain itself), is nested too deep,
            claims more data than :mod:`neurodeploy.budget` allows or than the file can hold, or has what is neither
            number nor text.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            walk = _Walk(str(path), Texts(path, MAX_ARRAY_BYTES.most))
            return {name: walk.value(file, name, name) for name in entries if name in file}
    except DeployError:
        raise
    except Exception as error:  # the HDF5 library meets a broken file with whatever error it is in
        raise _broken(str(path), error) from error


def _broken(where: str, error: Exception) -> DeployError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DeployError(
        f"this is not a NIR model: {reason}",
        where=where,
        fix="Export the model again; this file may be truncated or of another kind.",
    )


@dataclass(slots=True)
class _Walk:
    """One way through a file.

    where: the file. texts: of the file. claimed: bytes that the data sets met so far need. entries: groups and data
    sets met so far. seen: addresses of groups.
    """

    where: str
    texts: Texts
    claimed: int = 0
    entries: int = 0
    seen: set[int] = field(default_factory=set)

    def value(self, group: Any, name: str | bytes, path: str) -> Any:
        """Return what the link ``name`` of a group leads to."""
        import h5py

        if isinstance(name, bytes) or not name.isprintable():
            raise self._refusal(f"{path!a} is not a readable UTF-8 name", "Rename it in the file.")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise self._refusal(
                f"{path} is a link to another place, by which a group could contain itself",
                "Store each group once, in its own place.",
            )
        self.entries += 1
        MAX_NODES.check(self.entries // ENTRIES_A_NODE, "the graph", self.where)
        item = group[name]
        if isinstance(item, h5py.Group):
            return self._group(item, path)
        if not isinstance(item, h5py.Dataset):
            raise self._refusal(
                f"{path} is a {type(item).__name__}, neither a group nor a data set", "Export it again."
            )
        return self._data(item, path)

    def _group(self, group: Any, path: str) -> dict[str, Any]:
        import h5py

        address = int(h5py.h5o.get_info(group.id).addr)
        if address in self.seen:
            raise self._refusal(
                f"group {path} is reached twice: it contains itself, or is in two places",
                "Store each group once, in its own place.",
            )
        self.seen.add(address)
        if path.count("/") >= MAX_DEPTH:
            raise self._refusal(
                f"groups are nested more than {MAX_DEPTH} deep, at {path}",
                "Export the model without inner graphs, or with fewer levels of them.",
            )
        return {name: self.value(group, name, f"{path}/{name}") for name in group}

    def _data(self, data: Any, path: str) -> Any:
        """Return a data set's content, once its size and type are known to be harmless."""
        self._check(data, path)
        try:
            value = self.texts.read(data) if data.dtype.kind == "O" else data[()]
            return value.decode() if isinstance(value, bytes) else value
        except (OSError, ValueError, TypeError, RuntimeError, zlib.error) as error:
            raise self._refusal(f"{path} cannot be read: {error}", "Export it again; it may be truncated.") from error

    def _check(self, data: Any, path: str) -> None:
        import h5py

        if data.shape is None:
            raise self._refusal(f"{path} holds no value", "Export it again.")
        if data.is_virtual or data.external:
            raise self._refusal(f"{path} keeps its data in other files", "Store the data in this file.")
        is_text = h5py.check_string_dtype(data.dtype) is not None
        if not is_text and data.dtype.kind not in "fiubc":
            raise self._refusal(
                f"{path} is of type {data.dtype}, which is neither numbers nor text",
                "Export the model again; parameters have to be numbers.",
            )
        self._check_size(data, path, is_text)

    def _check_size(self, data: Any, path: str, is_text: bool) -> None:
        """Refuse data that is larger than is read, or than what the file stores can unpack to."""
        count = prod(int(extent) for extent in data.shape)
        if is_text:
            MAX_PROJECTIONS.check(count // 2, f"{path} of shape {data.shape}", self.where)
        elif not path.endswith("/weight"):
            MAX_NEURONS.check(count, f"{path} of shape {data.shape}", self.where)
        claim = count * max(int(data.dtype.itemsize), 1)
        self.claimed += claim
        MAX_ARRAY_BYTES.check(
            self.claimed, f"what the file claims to hold, up to {path} of shape {data.shape},", self.where
        )
        stored = int(data.id.get_storage_size())
        if claim > MOST_PACKED * stored:
            raise self._refusal(
                f"{path} claims {claim} bytes (shape {data.shape}), and the file stores {stored}",
                "Export it again; it may not have been written to its end.",
            )

    def _refusal(self, what: str, fix: str) -> DeployError:
        return DeployError(what, where=self.where, fix=fix)
