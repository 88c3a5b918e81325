"""What a NIR file says: nodes, their parameters and edges, read without interpreting them.

The file is HDF5: ``/version`` and ``/node`` with ``type``, ``nodes/<name>/...`` and ``edges`` (bytes, N x 2). It is
    read here rather than with ``nir.read``, whose shape inference refuses correct convolutions and whose errors name
    no node.

Source: NIR 1.0.8, ``nir/serialization.py``; Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.files import existing_file
from neurodeploy.recording import RESERVED_NAMES

METADATA_KEY = "neurodeploy"

Edge = tuple[str, str]

PARAMETERS = {
    "Input": ("shape",),
    "Output": ("shape",),
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "Conv1d": ("weight", "stride", "padding", "dilation", "groups", "bias"),
    "Conv2d": ("weight", "stride", "padding", "dilation", "groups", "bias"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Flatten": ("start_dim", "end_dim"),
    "Delay": ("delay",),
    "Threshold": ("threshold",),
    "I": ("r",),
    "LI": ("tau", "r", "v_leak"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak"),
    "IF": ("r", "v_threshold"),
    "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"),
}
"""The node types that are read, and the parameters without which they mean nothing."""

_MAY_BE_INFINITE = ("tau", "tau_mem", "tau_syn", "r")


@dataclass(frozen=True, eq=False, slots=True)
class NirNode:
    """One node of a NIR graph.

    kind: NIR's type, for instance ``LIF``. params: by NIR's names, as stored. metadata: ours, decoded from JSON.
    """

    kind: str
    params: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class NirGraph:
    """A NIR graph as its file has it.

    nodes: by name. edges: (source, target), sorted and without repeats. metadata: ours, decoded from JSON.
    where: the file, for messages. sha256: of the file's bytes. version: of the nir package that wrote it.
    """

    nodes: dict[str, NirNode]
    edges: tuple[Edge, ...]
    metadata: dict[str, Any]
    where: str
    sha256: str = ""
    version: str = "unknown"

    def sources(self, name: str) -> tuple[str, ...]:
        """Return the nodes with an edge to ``name``."""
        return tuple(source for source, target in self.edges if target == name)


def read_graph(path: Path | str) -> NirGraph:
    """Read a NIR file.

    Raises:
        DeployError: it is no NIR file, a node is of a type that is not supported (named with its path), a parameter is
            missing or not finite, or an edge ends at a node that is not there.
    """
    import h5py

    path = existing_file(path, "a NIR model")
    try:
        with h5py.File(path, "r") as file:
            content = _plain(file["node"])
            version = _text(file["version"][()]) if "version" in file else "unknown"
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise DeployError(
            f"this is not a NIR model: {error}",
            where=str(path),
            fix="Export it again; it may be truncated or of another kind.",
        ) from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return _graph(content, str(path), digest, version)


def graph_from_nir(graph: Any) -> NirGraph:
    """Return an in-memory ``nir.NIRGraph`` as :class:`NirGraph`; the same checks as for a file."""
    return _graph(graph.to_dict(), "the NIRGraph", "", "in memory")


def _graph(content: dict[str, Any], where: str, digest: str, version: str) -> NirGraph:
    nodes, edges = _flat(content, "", where)
    return NirGraph(nodes, tuple(sorted(set(edges))), _metadata(content, where), where, digest, version)


def _flat(content: Any, prefix: str, where: str) -> tuple[dict[str, NirNode], list[Edge]]:
    """Return nodes and edges of a graph, those of graphs inside it called ``outer.inner``.

    The Input and Output nodes of a graph inside are where edges of the outer one go on; they are no nodes of their own.
    """
    if not isinstance(content, dict) or "nodes" not in content or "edges" not in content:
        place = f"graph {prefix[:-1]!r}" if prefix else "the file"
        raise DeployError(f"{place} holds no graph with nodes and edges", where=where, fix="Export the model again.")
    nodes: dict[str, NirNode] = {}
    edges: list[Edge] = []
    ports: dict[str, tuple[list[str], list[str]]] = {}
    for raw, node in content["nodes"].items():
        name = prefix + _text(raw)
        if isinstance(node, dict) and _text(node.get("type", "")) == "NIRGraph":
            inner_nodes, inner_edges = _flat(node, f"{name}.", where)
            inner_nodes, inner_edges, ports[name] = _opened(inner_nodes, inner_edges, name)
            edges += inner_edges
        else:
            inner_nodes = {name: _node(name, node, where)}
        if clash := set(inner_nodes) & set(nodes):
            raise DeployError(
                f"two nodes are called {known(clash)} once inner graphs are opened", where=where, fix="Rename one of them."
            )
        nodes.update(inner_nodes)
    for source, target in _pairs(content["edges"], prefix, where):
        for end in (source, target):
            if end not in nodes and end not in ports:
                raise DeployError(
                    f"edge {source} -> {target} names node {end!r}, which is not there",
                    where=where,
                    fix=f"Nodes are {known(nodes)}.",
                )
        sources = ports[source][1] if source in ports else [source]
        targets = ports[target][0] if target in ports else [target]
        edges += [(a, b) for a in sources for b in targets]
    return nodes, edges


def _opened(nodes: dict[str, NirNode], edges: list[Edge], name: str) -> tuple[dict[str, NirNode], list[Edge], Any]:
    """Return an inner graph without its Input and Output, and the nodes that these lead to and come from.

    spyx wires the input of a recurrent layer to its recurrent weights, but adds it to the neurons: an input that feeds
    only synapses which a neuron feeds as well is led to what they feed.
    """
    inner = {n: node for n, node in nodes.items() if node.kind not in ("Input", "Output")}
    entries = [b for a, b in edges if a in nodes and nodes[a].kind == "Input"]
    exits = [a for a, b in edges if b in nodes and nodes[b].kind == "Output"]
    kept = [(a, b) for a, b in edges if a in inner and b in inner]
    looped = [e for e in entries if inner.get(e) and inner[e].kind in ("Linear", "Affine") and any(b == e for _, b in kept)]
    if looped and len(looped) == len(entries):
        entries = [b for a, b in kept if a in looped]
    return inner, kept, (entries, exits)


def _pairs(edges: Any, prefix: str, where: str) -> list[Edge]:
    try:
        return [(prefix + _text(source), prefix + _text(target)) for source, target in edges]
    except (TypeError, ValueError) as error:
        raise DeployError(f"edges are no list of pairs ({error})", where=where, fix="Export the model again.") from error


def _node(name: str, content: Any, where: str) -> NirNode:
    place = f"{where}, node {name!r}"
    if "/" in name or name in RESERVED_NAMES:
        raise DeployError(
            f"a node cannot be called {name!r}", where=where, fix=f"Rename it; no '/', and not {known(RESERVED_NAMES)}."
        )
    if not isinstance(content, dict) or "type" not in content:
        raise DeployError("the node has no type", where=place, fix="Export the model again.")
    kind = _text(content["type"])
    if kind not in PARAMETERS:
        raise DeployError(
            f"node {name!r} is a {kind}, which is not supported", where=place, fix=f"Supported are {known(PARAMETERS)}."
        )
    if kind == "Input" or kind == "Output":
        content = {**content, "shape": _port_shape(content, kind)}
    params = {key: value for key, value in content.items() if key not in ("type", "metadata")}
    for key in PARAMETERS[kind]:
        if params.get(key) is None:
            raise DeployError(f"{kind} {name!r} has no {key}", where=place, fix="Export the model again.")
    for key, value in params.items():
        _check_numbers(kind, name, key, value, place)
    return NirNode(kind, params, _metadata(content, place))


def _port_shape(content: dict[str, Any], kind: str) -> Any:
    if "shape" in content:
        return content["shape"]
    port = kind.lower()
    return (content.get(f"{port}_type") or {}).get(port)


def _check_numbers(kind: str, name: str, key: str, value: Any, place: str) -> None:
    if isinstance(value, (str, bytes, dict)) or value is None:
        return
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise DeployError(
            f"{kind} {name!r} has {key} of type {array.dtype}", where=place, fix="Parameters are numbers."
        )
    bad = np.isnan(array) if key in _MAY_BE_INFINITE else ~np.isfinite(array)
    if bad.any():
        raise DeployError(
            f"{kind} {name!r} has {int(bad.sum())} of {array.size} values of {key} that are NaN or infinite",
            where=place,
            fix="Train or export the model again; such a network computes nothing.",
        )


def _metadata(content: dict[str, Any], where: str) -> dict[str, Any]:
    """Return our own entry of NIR's metadata, an empty one where there is none."""
    metadata = content.get("metadata")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if text is None:
        return {}
    try:
        decoded = json.loads(_text(text[()] if isinstance(text, np.ndarray) else text))
        if not isinstance(decoded, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        raise DeployError(
            f"metadata key {METADATA_KEY!r} is no JSON text ({error})", where=where, fix="Export the model again."
        ) from error
    return decoded


def _plain(group: Any) -> dict[str, Any]:
    """Return an HDF5 group as nested dictionaries."""
    return {
        name: _plain(item) if hasattr(item, "keys") else _text(item[()]) if isinstance(item[()], bytes) else item[()]
        for name, item in group.items()
    }


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
