"""The result of a run: spikes, states and event counters by node, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neurodeploy.arrays import finite, frozen_array
from neurodeploy.errors import DeployError, counted, known
from neurodeploy.file_kinds import RECORDING, check_kind
from neurodeploy.files import existing_file, from_json, text_array, text_of, to_json, write_npz
from neurodeploy.members import NpzWriter, open_npz, part_of
from neurodeploy.notebook import Summarised, Summary

OBSERVABLES = ("spikes", "value", "v", "u")
"""What can be recorded of a node; ``value`` stands for ``spikes`` where the node does not fire."""

RESERVED_NAMES = ("counters", "meta")


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Recording(Summarised):
    """Rows of the model's own time: row t is what the trained model's node gives at row t.

    nodes: for each node, ``spikes`` (uint8; int32 where graded), ``value``, ``v`` and ``u`` (float32 or int32), each
        ``[T, B, *shape]``; v and u are the states carried to the next step.
    counters: int64 ``[T, B, nodes]``, by name; the nodes are those of ``meta["counter_nodes"]``, in order.
    meta: backend, versions, target, latency, outputs and the like; JSON-ready. ``meta["units"]`` says what integer
        values and states stand for: by node, ``unit`` (``V``) and ``scale``, register units in one of it.
    """

    nodes: dict[str, dict[str, NDArray[Any]]]
    meta: dict[str, Any]
    counters: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frozen = {
            node: {key: _frozen(values, np.asarray(values).dtype) for key, values in observed.items()}
            for node, observed in self.nodes.items()
        }
        for node, observed in frozen.items():
            if "/" in node or node in RESERVED_NAMES:
                raise ValueError(f"{node!r} cannot name a recorded node")
            if unknown := set(observed) - set(OBSERVABLES):
                raise ValueError(f"node {node!r} records {sorted(unknown)}, known are {OBSERVABLES}")
        if len({values.shape[:2] for observed in frozen.values() for values in observed.values()}) > 1:
            raise ValueError("all nodes must have the same steps and samples [T, B]")
        object.__setattr__(self, "nodes", frozen)
        object.__setattr__(self, "counters", {k: _frozen(v, np.int64) for k, v in self.counters.items()})

    def summary(self) -> Summary:
        """Return what a terminal or a notebook shows of it."""
        rows = tuple(
            (node, key, values.shape[2:], values.dtype, int(np.count_nonzero(values)) if key == "spikes" else "")
            for node, observed in self.nodes.items()
            for key, values in observed.items()
        )
        size = f"{counted(self.n_samples, 'sample')} of {counted(self.n_steps, 'step')}"
        line = f"{counted(len(self.nodes), 'node')} on {self.meta.get('backend', 'an unnamed backend')}, {size}"
        return Summary(line, ("node", "what", "shape", "dtype", "spikes that are not 0"), rows)

    @property
    def n_steps(self) -> int:
        """Rows T."""
        return self._extent(0)

    @property
    def n_samples(self) -> int:
        """Samples B."""
        return self._extent(1)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the nodes that are read."""
        return tuple(self.meta.get("outputs", ()))

    def spikes(self, node: str) -> NDArray[Any]:
        """Return the spikes of ``node``, ``[T, B, *shape]``; KeyError if they were not recorded."""
        return self.nodes[node]["spikes"]

    def values(self, node: str, key: str = "value") -> NDArray[Any]:
        """Return ``value``, ``v`` or ``u`` of ``node`` in the model's units, ``[T, B, *shape]``.

        Register units are divided by their scale (float64); what is float, or of an unknown scale, is as recorded.
        KeyError if it was not recorded.
        """
        recorded = self.nodes[node][key]
        scale = self.meta.get("units", {}).get(node, {}).get("scale")
        return recorded if scale is None or recorded.dtype.kind == "f" else recorded / scale

    def first(self, n_samples: int) -> Recording:
        """Return the same recording of the first ``n_samples`` samples."""
        return self if n_samples >= self.n_samples else self.part(0, n_samples)

    def part(self, first: int, last: int) -> Recording:
        """Return the same recording of samples ``first`` to ``last - 1``, as far as it has them."""
        nodes = {n: {key: values[:, first:last] for key, values in o.items()} for n, o in self.nodes.items()}
        counters = {key: values[:, first:last] for key, values in self.counters.items()}
        return Recording(nodes, self.meta, counters)

    def of_nodes(self, names: tuple[str, ...] | None) -> Recording:
        """Return the same recording of some nodes; of all for None.

        Raises:
            DeployError: a node was not recorded.
        """
        if names is None:
            return self
        for name in names:
            if name not in self.nodes:
                raise DeployError(
                    f"there is no node {name!r}",
                    where="--record-nodes",
                    fix=f"Choose from the nodes {known(self.nodes)}.",
                )
        return Recording({name: self.nodes[name] for name in names}, self.meta, self.counters)

    def copied(self) -> Recording:
        """Return the same recording in memory of its own, so that what it is a part of can go."""
        nodes = {n: {key: values.copy() for key, values in o.items()} for n, o in self.nodes.items()}
        return Recording(nodes, self.meta, {key: values.copy() for key, values in self.counters.items()})

    def _extent(self, axis: int) -> int:
        return next((int(v.shape[axis]) for o in self.nodes.values() for v in o.values()), 0)


class Recorded(Protocol):
    """A recording, in memory or in a file, that gives its samples in parts."""

    @property
    def meta(self) -> dict[str, Any]:
        """Backend, versions and the like."""

    @property
    def n_samples(self) -> int:
        """Samples B."""

    def part(self, first: int, last: int) -> Recording:
        """Return samples ``first`` to ``last - 1``."""


def _frozen(values: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return values that nobody can write to; views of such values are not copied, in whatever order they lie."""
    if isinstance(values, np.ndarray) and values.dtype == dtype and not values.flags.writeable:
        return values
    return frozen_array(values, dtype)


def save_recording(recording: Recording, path: Path) -> None:
    """Write a recording file; see DESIGN section 4.

    Raises:
        DeployError: the file cannot be written.
    """
    write_npz(path, {**_arrays(recording), "meta": text_array(to_json(recording.meta))})


class Writer:
    """Writes a recording that comes in blocks of samples, which are never held together.

    Use it as a context: ``with Writer(path) as writer: writer.add(block)``. The file appears when the context ends
    without an error, byte for byte as :func:`save_recording` writes the whole recording.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._meta: dict[str, Any] = {}
        self._blocks = NpzWriter()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._blocks.close(self.path, {"meta": text_array(to_json(self._meta))})
        else:
            self._blocks.discard()

    def add(self, block: Recording) -> None:
        """Add the next samples; the last block's ``meta`` is kept.

        Raises:
            ValueError: it has other nodes or types than the blocks before.
        """
        self._meta = block.meta
        self._blocks.add(_arrays(block))


def recorded_on(one: Recorded, sha256: str | None, what: str, where: str) -> str | None:
    """Refuse a recording of other data; return a sentence if it does not say of which it is.

    Args:
        one: the recording. sha256: hash of the data that it should be of, or None where that is unknown.
        what, where: what the recording is, and how it was given, for messages.

    Raises:
        DeployError: it was recorded on other data.
    """
    own = one.meta.get("data_sha256")
    if own and sha256 and own != sha256:
        raise DeployError(
            f"{what} was recorded on other data: its input has sha256 {str(own)[:12]}..., not {sha256[:12]}...",
            where=where,
            fix="Record it again on the same input, with the same --encode and --seed.",
        )
    return None if own else f"{what} does not say on which data it was recorded, so that was not checked"


def _arrays(recording: Recording) -> dict[str, NDArray[Any]]:
    arrays = {f"{node}/{key}": values for node, o in recording.nodes.items() for key, values in o.items()}
    return arrays | {f"counters/{key}": values for key, values in recording.counters.items()}


_META_KINDS: dict[str, type] = {
    "outputs": list, "counter_nodes": list, "custom_neurons": list,
    "units": dict, "versions": dict, "latency": dict,
    "backend": str, "target": str, "arithmetic": str, "dialect": str, "decision": str, "model_sha256": str,
}  # fmt: skip
"""What is read of a recording's meta is of these types, if it is there."""


def checked_meta(meta: Any) -> dict[str, Any]:
    """Return a recording's meta, without keys that say nothing, if it is of the form that is read.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(meta, dict):
        raise ValueError("its meta is not a JSON object")
    for key, kind in _META_KINDS.items():
        value = meta.get(key)
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"its meta has {key} of type {type(value).__name__}, not {kind.__name__}")
        if isinstance(value, list) and not all(isinstance(name, str) for name in value):
            raise ValueError(f"its meta has {key} that are not names")
    for node, unit in (meta.get("units") or {}).items():
        scale = unit.get("scale", 1) if isinstance(unit, dict) else None
        if not finite(scale) or not scale:
            raise ValueError(f"its meta has a unit of {node} whose scale is not a number")
    return {key: value for key, value in meta.items() if value is not None or key not in _META_KINDS}


class RecordingFile:
    """A recording in a file, from which samples are read in parts.

    meta: as the recording's.
    """

    def __init__(self, path: Path) -> None:
        check_kind(existing_file(path, RECORDING), RECORDING)
        arrays = open_npz(path, RECORDING)
        try:
            self.meta = checked_meta(from_json(text_of(arrays.pop("meta"))))
            self._arrays, self._path = arrays, path
            for name, array in arrays.items():
                if array.ndim < 2 or array.dtype.kind not in "biuf":
                    raise ValueError(f"{name} is not an array of numbers with rows and samples")
            self.part(0, min(1, self.n_samples))
        except _BROKEN as error:
            raise _not_whole(path, error) from error

    @property
    def n_samples(self) -> int:
        """Samples B."""
        return next((int(array.shape[1]) for array in self._arrays.values()), 0)

    def part(self, first: int, last: int) -> Recording:
        """Return samples ``first`` to ``last - 1``, as far as there are any.

        Raises:
            DeployError: the file is not whole.
        """
        last = min(last, self.n_samples)
        nodes: dict[str, dict[str, NDArray[Any]]] = {}
        counters = {}
        try:
            for name, array in self._arrays.items():
                values = part_of(array, min(first, last), last, 1)
                node, _, key = name.rpartition("/")
                if node == "counters":
                    counters[key] = values
                else:
                    nodes.setdefault(node, {})[key] = values
            return Recording(nodes, self.meta, counters)
        except _BROKEN as error:
            raise _not_whole(self._path, error) from error


_BROKEN = (KeyError, ValueError, TypeError, AttributeError, OSError)


def _not_whole(path: Path, error: Exception) -> DeployError:
    return DeployError(
        f"this is not a recording ({error})",
        where=str(path),
        fix="Make a recording with `neurodeploy run -o` or `neurodeploy export --record-output`.",
    )


def load_recording(path: Path) -> Recording:
    """Read a recording file.

    Raises:
        DeployError: it is no recording, or not whole.
    """
    recorded = RecordingFile(path)
    return recorded.part(0, recorded.n_samples)
