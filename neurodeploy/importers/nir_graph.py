"""What a NIR file says: nodes, their parameters and edges, read without interpreting them.

The file is HDF5: ``/version`` and ``/node`` with ``type``, ``nodes/<name>/...`` and ``edges`` (bytes, N x 2). It is
read here rather than with ``nir.read``, whose shape inference refuses correct convolutions and whose errors name no
node.

Source: NIR 1.0.8, ``nir/serialization.py``; Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.budget import MAX_NEURONS, MAX_NODES, MAX_PROJECTIONS
from neurodeploy.errors import DeployError, known
from neurodeploy.files import existing_file, from_json
from neurodeploy.importers.hdf5 import read_hdf5
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

_TIME_CONSTANTS = ("tau", "tau_mem", "tau_syn")
_MAY_BE_INFINITE = (*_TIME_CONSTANTS, "r", "w_in")
_THRESHOLDS = ("v_threshold", "threshold")
"""An infinite one stands for neurons that do not fire, and whose v is read."""

MAX_AXES = 32
"""Of an array in a file; NumPy has some more."""

_PORT_TYPES = ("input_type", "output_type")
"""What nir itself notes of a node's shapes, which nobody reads."""

_OPERATIONS = ("Input", "Output", "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten")
"""Nodes whose parameters differ in shape; those of all others are of neurons, or broadcast to them."""

_WHOLE = {
    "stride": 1, "dilation": 1, "groups": 1, "kernel_size": 1, "padding": 0, "start_dim": -MAX_AXES,
    "end_dim": -MAX_AXES,
}  # fmt: skip
"""Parameters that are one or two whole numbers, and the least that they can be."""


@dataclass(frozen=True, eq=False, slots=True)
class NirNode:
    """One node of a NIR graph.

    kind: NIR's type, for instance ``LIF``. params: by NIR's names, as stored. metadata: ours, decoded from JSON.
    foreign: metadata of others, as stored.
    """

    kind: str
    params: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    foreign: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class NirGraph:
    """A NIR graph as its file has it.

    nodes: by name. edges: (source, target), sorted and without repeats. metadata: ours, decoded from JSON.
    where: the file, for messages. sha256: of the file's bytes. version: of the nir package that wrote it.
    repeated: edges that the file has more than once. foreign: metadata of others, as stored.
    """

    nodes: dict[str, NirNode]
    edges: tuple[Edge, ...]
    metadata: dict[str, Any]
    where: str
    sha256: str = ""
    version: str = "unknown"
    repeated: tuple[Edge, ...] = ()
    foreign: dict[str, Any] = field(default_factory=dict)
    _into: dict[str, list[str]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for source, target in self.edges:
            self._into.setdefault(target, []).append(source)

    def sources(self, name: str) -> tuple[str, ...]:
        """Return the nodes with an edge to ``name``."""
        return tuple(self._into.get(name, ()))


def read_graph(path: Path | str) -> NirGraph:
    """Read a NIR file.

    Raises:
        DeployError: it is no NIR file, or claims more than :mod:`neurodeploy.budget` allows; a node is
            of a type that is not supported (named with its path), a parameter is missing or not finite, or an edge ends
            at a node that is not there.
    """
    path = existing_file(path, "a NIR model")
    content = read_hdf5(path, ("node", "version"))
    if "node" not in content:
        raise DeployError("this is not a NIR model: it has no group 'node'", where=str(path), fix="Export it again.")
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    version = content.get("version")
    return _graph(content["node"], str(path), digest, _text(version) if _is_text(version) else "unknown")


def graph_from_nir(graph: Any) -> NirGraph:
    """Return an in-memory ``nir.NIRGraph`` as :class:`NirGraph`; the same checks as for a file."""
    where = "the NIRGraph"
    try:
        return _graph(graph.to_dict(), where, "", "in memory")
    except RecursionError as error:
        raise DeployError(
            "the graph contains itself", where=where, fix="Make each inner graph its own object."
        ) from error


def _graph(content: Any, where: str, digest: str, version: str) -> NirGraph:
    nodes, edges = _flat(content, "", where)
    MAX_NODES.check(len(nodes), "the graph", where)
    if lost := {end for edge in edges for end in edge} - set(nodes):
        raise DeployError(
            f"an edge goes through {_some(lost)}, a port of an inner graph that leads to no node in it",
            where=where,
            fix="Remove the inner graph, or put a node between its Input and its Output.",
        )
    kept = tuple(sorted(set(edges)))
    repeated = tuple(sorted(edge for edge, times in Counter(edges).items() if times > 1))
    metadata, foreign = _metadata(content, where)
    return NirGraph(nodes, kept, metadata, where, digest, version, repeated, foreign)


def _flat(content: Any, prefix: str, where: str) -> tuple[dict[str, NirNode], list[Edge]]:
    """Return nodes and edges of a graph, those of graphs inside it called ``outer.inner``.

    The Input and Output nodes of a graph inside are where edges of the outer one go on; they are no nodes of their own.
    """
    if not isinstance(content, dict) or not isinstance(content.get("nodes"), dict) or "edges" not in content:
        place = f"graph {prefix[:-1]!r}" if prefix else "the file"
        raise DeployError(f"{place} holds no graph with nodes and edges", where=where, fix="Export the model again.")
    nodes: dict[str, NirNode] = {}
    edges: list[Edge] = []
    ports: dict[str, tuple[list[str], list[str]]] = {}
    for raw, node in content["nodes"].items():
        name = prefix + _text(raw)
        if isinstance(node, dict) and _text(node.get("type", "")) == "NIRGraph":
            inner_nodes, inner_edges = _flat(node, f"{name}.", where)
            inner_nodes, inner_edges, ports[name] = _opened(inner_nodes, inner_edges)
            edges += inner_edges
        else:
            inner_nodes = {name: _node(name, node, where)}
        if clash := set(inner_nodes) & set(nodes):
            raise DeployError(
                f"two nodes are called {known(clash)} once inner graphs are opened",
                where=where,
                fix="Rename one of them.",
            )
        nodes.update(inner_nodes)
    _connect(edges, _pairs(content["edges"], prefix, where), nodes, ports, where)
    return nodes, edges


def _connect(
    edges: list[Edge],
    pairs: list[Edge],
    nodes: dict[str, NirNode],
    ports: dict[str, tuple[list[str], list[str]]],
    where: str,
) -> None:
    """Add a graph's edges to ``edges``, those to and from inner graphs led to the nodes inside."""
    for source, target in pairs:
        for end in (source, target):
            if end not in nodes and end not in ports:
                raise DeployError(
                    f"edge {source} -> {target} names node {end!r}, which is not there",
                    where=where,
                    fix=f"Nodes are {_some(nodes)}.",
                )
        sources = ports[source][1] if source in ports else [source]
        targets = ports[target][0] if target in ports else [target]
        MAX_PROJECTIONS.check(len(edges) + len(sources) * len(targets), "the edges of the graph", where)
        edges += [(a, b) for a in sources for b in targets]


def _some(names: Iterable[str]) -> str:
    """Return names as a readable list, cut where it is long."""
    text = known(names)
    return text if len(text) <= 400 else text[:400] + ", ..."


def _opened(nodes: dict[str, NirNode], edges: list[Edge]) -> tuple[dict[str, NirNode], list[Edge], Any]:
    """Return an inner graph without its Input and Output, and the nodes that these lead to and come from.

    spyx wires the input of a recurrent layer to its recurrent weights, but adds it to the neurons: an input that feeds
    only synapses which a neuron feeds as well is led to what they feed.
    """
    inner = {n: node for n, node in nodes.items() if node.kind not in ("Input", "Output")}
    entries = [b for a, b in edges if a in nodes and nodes[a].kind == "Input"]
    exits = [a for a, b in edges if b in nodes and nodes[b].kind == "Output"]
    kept = [(a, b) for a, b in edges if a in inner and b in inner]
    fed = {b for _, b in kept}
    looped = {e for e in entries if e in fed and inner[e].kind in ("Linear", "Affine")}
    if looped and all(e in looped for e in entries):
        entries = [b for a, b in kept if a in looped]
    return inner, kept, (entries, exits)


def _pairs(edges: Any, prefix: str, where: str) -> list[Edge]:
    try:
        if isinstance(edges, (dict, str, bytes)):
            raise TypeError(f"they are a {'group' if isinstance(edges, dict) else 'text'}")
        if isinstance(edges, np.ndarray) and edges.size and (edges.ndim != 2 or edges.shape[1] != 2):
            raise ValueError(f"they have shape {edges.shape}, not (N, 2)")
        pairs = [(source, target) for source, target in edges]
        if not all(_is_text(end) for pair in pairs for end in pair):
            raise TypeError("an end of one is no name")
        return [(prefix + _text(source), prefix + _text(target)) for source, target in pairs]
    except (TypeError, ValueError) as error:
        raise DeployError(
            f"edges are no list of pairs ({error})", where=where, fix="Export the model again."
        ) from error


def _node(name: str, content: Any, where: str) -> NirNode:
    place = f"{where}, node {name!r}"
    if "/" in name or not name.isprintable() or name in RESERVED_NAMES:
        raise DeployError(
            f"a node cannot be called {name!r}", where=where, fix=f"Rename it; no '/', and not {known(RESERVED_NAMES)}."
        )
    if not isinstance(content, dict) or not _is_text(content.get("type")):
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
        _check_parameter(kind, name, key, value, place)
    if kind not in _OPERATIONS:
        _check_shapes(f"{kind} {name!r}", params, place)
    return NirNode(kind, params, *_metadata(content, place))


def _port_shape(content: dict[str, Any], kind: str) -> Any:
    if "shape" in content:
        return content["shape"]
    port = kind.lower()
    of_kind = content.get(f"{port}_type")
    return of_kind.get(port) if isinstance(of_kind, dict) else None


def _check_shapes(node: str, params: dict[str, Any], place: str) -> None:
    """Refuse neurons whose parameters have shapes that are not those of one population."""
    shapes = {key: np.shape(value) for key, value in params.items() if value is not None and key not in _PORT_TYPES}
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError as error:
        said = ", ".join(f"{key} {list(shape)}" for key, shape in shapes.items())
        raise DeployError(
            f"{node} has parameters whose shapes do not fit each other: {said}",
            where=place,
            fix="Give each the neurons' shape, or one value.",
        ) from error


def _check_parameter(kind: str, name: str, key: str, value: Any, place: str) -> None:
    """Refuse a parameter that cannot be computed with."""
    node = f"{kind} {name!r}"
    if value is None or key in _PORT_TYPES:
        return
    if key == "padding" and kind.startswith("Conv") and _is_text(value) and _text(value) in ("same", "valid"):
        return
    array = None if isinstance(value, dict) or _is_text(value) else np.asarray(value)
    if array is None or array.dtype.kind not in "fiub":
        found = "group" if isinstance(value, dict) else "text" if array is None else str(array.dtype)
        raise DeployError(f"{node} has {key} of type {found}", where=place, fix="Parameters are numbers.")
    if array.ndim > MAX_AXES:
        raise DeployError(f"{node} has {key} of {array.ndim} axes", where=place, fix=f"At most {MAX_AXES} are read.")
    if not array.size:
        raise DeployError(f"{node} has {key} without a value", where=place, fix="Export the model again.")
    if key in _WHOLE and kind in _OPERATIONS:
        _check_whole(node, key, array, place)
    elif key == "shape":
        _check_shape(node, key, array, place)
    else:
        _check_numbers(node, key, array, place)


def _check_numbers(node: str, key: str, array: Any, place: str) -> None:
    bad = np.isnan(array) if key in _MAY_BE_INFINITE else ~np.isfinite(array)
    if key in _THRESHOLDS:
        bad &= ~np.isposinf(array)
    if bad.any():
        raise DeployError(
            f"{node} has {int(bad.sum())} of {array.size} values of {key} that are NaN or infinite",
            where=place,
            fix="Train or export the model again; such a network computes nothing.",
        )
    if key in _TIME_CONSTANTS and not array.all():
        raise DeployError(
            f"{node} has {int((array == 0).sum())} of {array.size} values of {key} that are 0",
            where=place,
            fix="A time constant is above 0; a state that keeps nothing has one of a time step.",
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        _check_magnitude(node, key, array, place)


def _check_magnitude(node: str, key: str, array: Any, place: str) -> None:
    """Refuse what would be infinite in float32, in which networks run."""
    finite = array[np.isfinite(array)]
    largest = float(np.abs(finite).max(initial=0.0))
    if largest > float(np.finfo(np.float32).max):
        raise DeployError(
            f"{node} has {key} of {largest:g}, beyond float32", where=place, fix="Networks run in float32; scale it."
        )


def _check_whole(node: str, key: str, array: Any, place: str) -> None:
    if array.size > 2 or (array != np.rint(array)).any() or (array < _WHOLE[key]).any() or (array > 2**31 - 1).any():
        raise DeployError(
            f"{node} has {key} of {_brief(array)}",
            where=place,
            fix=f"It is one or two whole numbers, {_WHOLE[key]} or more.",
        )


def _check_shape(node: str, key: str, array: Any, place: str) -> None:
    is_whole = array.ndim <= 1 and array.size <= MAX_AXES and np.isfinite(array).all()
    if not is_whole or (array != np.rint(array)).any() or (array < 1).any():
        raise DeployError(
            f"{node} has {key} {_brief(array)}", where=place, fix="A shape is whole numbers of 1 and more."
        )
    MAX_NEURONS.check(prod(int(n) for n in np.atleast_1d(array)), f"{node} of shape {_brief(array)}", place)


def _brief(array: Any) -> str:
    return np.array2string(array, threshold=8)


def _metadata(content: dict[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return our own entry of NIR's metadata, decoded, and the entries of others."""
    metadata = content.get("metadata")
    if not isinstance(metadata, dict):
        return {}, {}
    foreign = {key: value for key, value in metadata.items() if key != METADATA_KEY}
    text = metadata.get(METADATA_KEY)
    if text is None:
        return {}, foreign
    try:
        decoded = from_json(_text(text[()] if isinstance(text, np.ndarray) else text))
        _check_metadata(decoded)
    except ValueError as error:
        raise DeployError(
            f"metadata key {METADATA_KEY!r} is no JSON text ({error})", where=where, fix="Export the model again."
        ) from error
    return decoded, foreign


def _check_metadata(decoded: Any) -> None:
    """Raise ValueError where our metadata is not of the form that is read."""
    if not isinstance(decoded, dict):
        raise ValueError("it is no object")
    if not isinstance(decoded.get("rules", {}), dict):
        raise ValueError("rules are no object")
    dt = decoded.get("dt", 1.0)
    if isinstance(dt, bool) or not isinstance(dt, (int, float)) or not 0 < dt < float("inf"):
        raise ValueError(f"dt is {dt!r}, no number above 0")


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, bytes))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
