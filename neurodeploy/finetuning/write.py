"""A model file with other weights: a copy in which the data sets of tuned nodes are replaced, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.files import existing_file, write_bytes
from neurodeploy.ir.network import Network
from neurodeploy.ir.synapses import Conv1d, Conv2d, Linear

_PARAMETERS = ("weight", "bias")


def write_tuned(model: Path, tuned: Network, nodes: frozenset[str], output: Path) -> None:
    """Write a model file with the weights and biases of a tuned network.

    Args:
        model: the file that the network was read from.
        tuned: the network with its new weights.
        nodes: names of the nodes that were tuned.
        output: the file to write.

    Raises:
        DeployError: the file cannot be written.
    """
    import h5py

    stream = io.BytesIO(existing_file(model, "a NIR model").read_bytes())
    with h5py.File(stream, "r+") as file:
        groups = dict(_groups(file["node"], ""))
        for name, values in _values(tuned, nodes).items():
            if name not in groups:
                raise DeployError(f"node {name!r} is not in the file", where=str(model), fix="Export it again.")
            for key, value in values.items():
                _replace(groups[name], key, value)
    write_bytes(output, stream.getvalue())


def _values(tuned: Network, nodes: frozenset[str]) -> dict[str, dict[str, Any]]:
    """Return weights and biases by node; the bias of a node with several ways into it is with the first."""
    found: dict[str, dict[str, Any]] = {}
    for op in (op for projection in tuned.projections for op in projection.ops):
        if isinstance(op, (Linear, Conv1d, Conv2d)) and op.name in nodes:
            values = found.setdefault(op.name, {})
            values.update({key: value for key in _PARAMETERS if (value := getattr(op, key)) is not None})
    return found


def _replace(group: Any, key: str, value: Any) -> None:
    """Put other numbers into a data set, whose type and form it keeps."""
    old = group[key]
    value = np.asarray(value).astype(old.dtype if old.dtype.kind == "f" else np.float32).reshape(old.shape)
    if old.dtype.kind == "f":
        old[...] = value
        return
    del group[key]
    group.create_dataset(key, data=value)


def _groups(graph: Any, prefix: str) -> list[tuple[str, Any]]:
    """Return the groups of all nodes, those of graphs inside called ``outer.inner``."""
    found = []
    for raw, group in graph["nodes"].items():
        name = prefix + raw
        found.append((name, group))
        if "nodes" in group:
            found += _groups(group, f"{name}.")
    return found
