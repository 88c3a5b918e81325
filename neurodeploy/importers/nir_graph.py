"""The nodes, parameters and edges of a NIR file, read without interpreting them.

The file is HDF5: ``/version`` and ``/node`` with ``type``, ``nodes/<name>/...`` and ``edges`` (bytes, N x 2). It is
read here rather than with ``nir.read``, whose shape inference refuses correct convolutions and whose errors name no
node.

Source: NIR 1.0.8, ``nir/serialization.py``; Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.budget import MAX_NEURONS, MAX_NODES, MAX_PROJECTIONS
from neurodeploy.errors import DeployError, known
from neurodeploy.file_kinds import MODEL, check_kind
from neurodeploy.files import existing_file, from_json
from neurodeploy.importers.hdf5 import read_hdf5
from neurodeploy.ir.recording import RESERVED_NAMES

METADATA_KEY = "neurodeploy"

MAX_PORTS = 200
"""Inputs and Outputs of inner graphs that an edge leads through."""

Edge = tuple[str, str]

Ports = dict[str, tuple[str, str]]
"""Inputs and Outputs of inner graphs: the kind of each, and the graph that it belongs to."""

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

    @property
    def membrane_tau(self) -> NDArray[np.float64]:
        """Membrane time constants as the file has them, one axis at least; infinity where it has none."""
        return self.numbers("tau_mem" if "tau_mem" in self.params else "tau", np.inf)

    def numbers(self, key: str, default: float = 0.0) -> NDArray[np.float64]:
        """Return a parameter, one axis at least; ``default`` where the file does not have it."""
        value = self.params.get(key)
        return np.atleast_1d(np.asarray(default if value is None else value, dtype=np.float64))


@dataclass(frozen=True, eq=False, slots=True)
class NirGraph:
    """A NIR graph as its file has it.

    nodes: by name. edges: (source, target), sorted and without repeats. metadata: ours, decoded from JSON.
    where: the file, for messages. sha256: of the file's bytes. version: of the nir package that wrote it.
    repeated: edges that the file has more than once. foreign: metadata of others, as stored.
    spyx_edges: the edges as spyx means them, where that is not how it writes them. is_as_meant: see
        :meth:`as_meant_by`.
    """

    nodes: dict[str, NirNode]
    edges: tuple[Edge, ...]
    metadata: dict[str, Any]
    where: str
    sha256: str = ""
    version: str = "unknown"
    repeated: tuple[Edge, ...] = ()
    foreign: dict[str, Any] = field(default_factory=dict)
    spyx_edges: tuple[Edge, ...] | None = None
    is_as_meant: bool = False
    _into: dict[str, list[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_into", {})
        for source, target in self.edges:
            self._into.setdefault(target, []).append(source)

    def sources(self, name: str) -> tuple[str, ...]:
        """Return the nodes with an edge to ``name``."""
        return tuple(self._into.get(name, ()))

    def as_meant_by(self, dialect: str) -> NirGraph:
        """Return the graph as a dialect's framework means it; only spyx means another than it writes.

        It wires the input of a recurrent layer to its recurrent weights, but adds it to the neurons. It flattens images
        in the order row, column, channel, and writes the weights behind in that order.

        Raises:
            DeployError: what it flattens leads to something else than weights, or a pool has SAME padding, of which it
                writes the sum of both sides.
        """
        if dialect != "spyx" or self.is_as_meant or "dialect" in self.metadata:
            return self
        edges = self.edges if self.spyx_edges is None else self.spyx_edges
        nodes = dict(self.nodes)
        for name, node in nodes.items():
            if node.kind == "SumPool2d" and np.any(node.params["padding"]):
                raise DeployError(
                    "spyx pads this pool unevenly (padding SAME), and the file does not say on which side",
                    where=f"{self.where}, node {name!r}",
                    fix="Train with padding VALID in the pool.",
                )
        for source, target in edges:
            if (shape := _flattened_image(nodes[source])) is not None:
                nodes[target] = _in_order_of_channels(nodes[target], shape, f"{self.where}, node {target!r}")
        return replace(self, nodes=nodes, edges=edges, spyx_edges=None, is_as_meant=True)


def _flattened_image(node: NirNode) -> tuple[int, ...] | None:
    """Return the shape (channels, rows, columns) that a Flatten says it takes, or None."""
    said = node.params.get("input_type") if node.kind == "Flatten" else None
    said = said.get("input") if isinstance(said, dict) else said
    shape = () if said is None or _is_text(said) else tuple(np.atleast_1d(said).tolist())
    return tuple(int(n) for n in shape) if len(shape) == 3 else None


def _in_order_of_channels(node: NirNode, shape: tuple[int, ...], place: str) -> NirNode:
    """Return dense weights on (row, column, channel) as those on (channel, row, column)."""
    channels, rows, columns = shape
    weight = np.asarray(node.params.get("weight", 0.0))
    if node.kind not in ("Linear", "Affine") or weight.ndim != 2 or weight.shape[1] != prod(shape):
        raise DeployError(
            f"spyx flattens in the order row, column, channel, and this {node.kind} cannot be brought to NIR's",
            where=place,
            fix="Train with a dense layer after the Flatten.",
        )
    ordered = weight.reshape(-1, rows, columns, channels).transpose(0, 3, 1, 2).reshape(weight.shape)
    return replace(node, params={**node.params, "weight": ordered})


def read_graph(path: Path | str) -> NirGraph:
    """Read a NIR file.

    Raises:
        DeployError: it is no NIR file, or claims more than :mod:`neurodeploy.budget` allows; a node is
            of a type that is not supported (named with its path), a parameter is missing or not finite, or an edge ends
            at a node that is not there.
    """
    path = existing_file(path, MODEL)
    check_kind(path, MODEL)
    content = read_hdf5(path, ("node", "version"))
    if "node" not in content:
        raise DeployError(
            "this is not a NIR model: it has no group 'node'", where=str(path), fix="Export the model again."
        )
    with open(path, "rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    version = content.get("version")
    return _graph(content["node"], str(path), digest, _text(version) if _is_text(version) else "unknown")


def graph_from_nir(graph: Any) -> NirGraph:
    """Return an in-memory ``nir.NIRGraph`` as :class:`NirGraph`; the same checks as for a file."""
    where = "the NIRGraph"
    if not callable(getattr(graph, "to_dict", None)):
        raise DeployError(
            f"a model is needed, but this is a {type(graph).__name__}",
            where="model",
            fix="Give the path of a .nir file, or a nir.NIRGraph.",
        )
    try:
        return _graph(graph.to_dict(), where, "", "in memory")
    except RecursionError as error:
        raise DeployError(
            "the graph contains itself", where=where, fix="Use a separate object for each inner graph."
        ) from error


def _graph(content: Any, where: str, digest: str, version: str) -> NirGraph:
    ports: Ports = {}
    nodes, written = _flat(content, "", where, ports)
    MAX_NODES.check(len(nodes), "the graph", where)
    edges = _without_ports(written, ports, where)
    meant = _without_ports(_as_spyx_means(nodes, written, ports), ports, where)
    kept = tuple(sorted(set(edges)))
    repeated = tuple(sorted(edge for edge, times in Counter(edges).items() if times > 1))
    metadata, foreign = _metadata(content, where)
    others = None if set(meant) == set(kept) else tuple(sorted(set(meant)))
    return NirGraph(nodes, kept, metadata, where, digest, version, repeated, foreign, others)


def _flat(content: Any, prefix: str, where: str, ports: Ports) -> tuple[dict[str, NirNode], list[Edge]]:
    """Return nodes and edges of a graph, those of graphs inside it called ``outer.inner``.

    The Input and Output nodes of a graph inside are named by edges, but are no nodes; they are put into ``ports``.
    """
    if not isinstance(content, dict) or not isinstance(content.get("nodes"), dict) or "edges" not in content:
        place = f"graph {prefix[:-1]!r}" if prefix else "the file"
        raise DeployError(f"{place} holds no graph with nodes and edges", where=where, fix="Export the model again.")
    nodes: dict[str, NirNode] = {}
    edges: list[Edge] = []
    inner_graphs: set[str] = set()
    for raw, node in content["nodes"].items():
        name = prefix + _text(raw)
        if isinstance(node, dict) and _text(node.get("type", "")) == "NIRGraph":
            inner_graphs.add(name)
            inner_nodes, inner_edges = _flat(node, f"{name}.", where, ports)
            edges += inner_edges
        else:
            inner_nodes = {name: _node(name, node, where)}
            if prefix and inner_nodes[name].kind in ("Input", "Output"):
                ports[name] = inner_nodes.pop(name).kind, prefix.removesuffix(".")
        if clash := set(inner_nodes) & set(nodes):
            raise DeployError(
                f"two nodes are called {known(clash)} once inner graphs are opened",
                where=where,
                fix="Rename one of them.",
            )
        nodes.update(inner_nodes)
    for source, target in _pairs(content["edges"], prefix, where):
        for end in (source, target):
            if end not in nodes and end not in ports and end not in inner_graphs:
                raise DeployError(
                    f"edge {source} -> {target} names node {end!r}, which does not exist",
                    where=where,
                    fix=f"Use the names of the graph's nodes: {_some(nodes)}.",
                )
        start = _port(source, "Output", target, ports, where) if source in inner_graphs else source
        edges.append((start, _port(target, "Input", source, ports, where) if target in inner_graphs else target))
    return nodes, edges


def _port(graph: str, kind: str, other: str, ports: Ports, where: str) -> str:
    """Return the Input or Output of an inner graph at which an edge from or to ``other`` ends.

    It is the only one, or the one that is called as ``other`` is; an edge may also name it, as ``graph.port``.
    """
    own = [name for name, port in ports.items() if port == (kind, graph)]
    named = [name for name in own if name.rpartition(".")[2] == other.rpartition(".")[2]]
    if len(own) != 1 and len(named) != 1:
        raise DeployError(
            f"the graph {graph!r} has {len(own)} {kind} nodes ({known(own)}), but the edge with {other!r} names none",
            where=where,
            fix=f"Name the {kind} in the edge ({graph}.NAME), or give it the name of the node outside.",
        )
    return (named or own)[0]


def _without_ports(edges: list[Edge], ports: Ports, where: str) -> list[Edge]:
    """Return edges with the ports of inner graphs left out: what leads to one leads to what it leads to."""
    out: dict[str, list[str]] = {}
    for source, target in edges:
        if source in ports:
            out.setdefault(source, []).append(target)

    def ends(node: str, on_way: tuple[str, ...] = ()) -> list[str]:
        if node not in ports:
            return [node]
        if node in on_way or len(on_way) > MAX_PORTS:
            what = "form a loop" if node in on_way else f"follow each other more than {MAX_PORTS} times"
            raise DeployError(
                f"the Inputs and Outputs of inner graphs {what}",
                where=where,
                fix="Replace the inner graphs by their nodes.",
            )
        if node not in out and ports[node][0] == "Input":
            raise DeployError(
                f"Input {node!r} of an inner graph leads to no node",
                where=where,
                fix="Connect it, or remove its edges.",
            )
        found: list[str] = []
        for following in out.get(node, ()):
            found += ends(following, (*on_way, node))
            MAX_PROJECTIONS.check(len(found), "the edges of the graph", where)
        return found

    kept: list[Edge] = []
    for source, target in edges:
        if source not in ports:
            kept += [(source, end) for end in ends(target)]
            MAX_PROJECTIONS.check(len(kept), "the edges of the graph", where)
    return kept


def _as_spyx_means(nodes: dict[str, NirNode], edges: list[Edge], ports: Ports) -> list[Edge]:
    """Return edges with an inner Input that feeds only synapses which a neuron feeds as well led to what they feed."""
    entries: dict[str, list[str]] = {}
    for source, target in edges:
        if ports.get(source, ("", ""))[0] == "Input":
            entries.setdefault(source, []).append(target)
    fed = {target for source, target in edges if source in nodes}
    led: dict[Edge, list[Edge]] = {}
    for port, targets in entries.items():
        if all(t in fed and t in nodes and nodes[t].kind in ("Linear", "Affine") for t in targets):
            for target in targets:
                led[port, target] = [(port, end) for start, end in edges if start == target]
    return [new for edge in edges for new in led.get(edge, [edge])]


def _some(names: Iterable[str]) -> str:
    """Return names as a readable list, cut where it is long."""
    text = known(names)
    return text if len(text) <= 400 else text[:400] + ", ..."


def _pairs(edges: Any, prefix: str, where: str) -> list[Edge]:
    try:
        if isinstance(edges, (dict, str, bytes)):
            raise TypeError(f"they are a {'group' if isinstance(edges, dict) else 'text'}")
        if isinstance(edges, np.ndarray) and edges.size and (edges.ndim != 2 or edges.shape[1] != 2):
            raise ValueError(f"they have shape {edges.shape}, not (N, 2)")
        pairs = [(source, target) for source, target in edges]
        if not all(_is_text(end) for pair in pairs for end in pair):
            raise TypeError("an end of an edge is not a name")
        return [(prefix + _text(source), prefix + _text(target)) for source, target in pairs]
    except (TypeError, ValueError) as error:
        raise DeployError(
            f"the edges are not a list of pairs ({error})", where=where, fix="Export the model again."
        ) from error


def _node(name: str, content: Any, where: str) -> NirNode:
    place = f"{where}, node {name!r}"
    if "/" in name or not name.isprintable() or name in RESERVED_NAMES:
        raise DeployError(
            f"a node cannot be called {name!r}",
            where=where,
            fix=f"Rename it, without '/' and not {known(RESERVED_NAMES)}.",
        )
    if not isinstance(content, dict) or not _is_text(content.get("type")):
        raise DeployError("the node has no type", where=place, fix="Export the model again.")
    kind = _text(content["type"])
    if kind not in PARAMETERS:
        raise DeployError(
            f"node {name!r} is a {kind}, which is not supported",
            where=place,
            fix=f"Use the supported nodes: {known(PARAMETERS)}.",
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
        raise DeployError(
            f"{node} has {key} of type {found}; a parameter must be numbers", where=place, fix="Export the model again."
        )
    if array.ndim > MAX_AXES:
        raise DeployError(
            f"{node} has {key} of {array.ndim} axes; at most {MAX_AXES} are read",
            where=place,
            fix="Export the model again, with fewer axes.",
        )
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
            fix="Train or export the model again; with such values a network computes nothing of use.",
        )
    if key in _TIME_CONSTANTS and not array.all():
        raise DeployError(
            f"{node} has {int((array == 0).sum())} of {array.size} values of {key} that are 0",
            where=place,
            fix="Use time constants above 0; for a state that keeps nothing from step to step, use one time step.",
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        _check_magnitude(node, key, array, place)


def _check_magnitude(node: str, key: str, array: Any, place: str) -> None:
    """Refuse what would be infinite in float32, in which networks run."""
    finite = array[np.isfinite(array)]
    largest = float(np.abs(finite).max(initial=0.0))
    if largest > float(np.finfo(np.float32).max):
        raise DeployError(
            f"{node} has {key} of {largest:g}, which float32 cannot hold",
            where=place,
            fix="Scale the parameter down; networks run in float32.",
        )


def _check_whole(node: str, key: str, array: Any, place: str) -> None:
    if array.size > 2 or (array != np.rint(array)).any() or (array < _WHOLE[key]).any() or (array > 2**31 - 1).any():
        raise DeployError(
            f"{node} has {key} of {_brief(array)}; it must be one or two whole numbers, {_WHOLE[key]} or more",
            where=place,
            fix="Correct the parameter, and export the model again.",
        )


def _check_shape(node: str, key: str, array: Any, place: str) -> None:
    is_whole = array.ndim <= 1 and array.size <= MAX_AXES and np.isfinite(array).all()
    if not is_whole or (array != np.rint(array)).any() or (array < 1).any():
        raise DeployError(
            f"{node} has {key} {_brief(array)}; a shape must be whole numbers of at least 1",
            where=place,
            fix="Correct the shape, and export the model again.",
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
            f"metadata key {METADATA_KEY!r} is not of the form that is read: {error}",
            where=where,
            fix="Export the model again.",
        ) from error
    return decoded, foreign


def _check_metadata(decoded: Any) -> None:
    """Raise ValueError where our metadata is not of the form that is read."""
    if not isinstance(decoded, dict):
        raise ValueError("it is not a JSON object")
    if not isinstance(decoded.get("rules", {}), dict):
        raise ValueError("rules are not a JSON object")
    for key in ("dialect", "exporter", "decision", "undecided"):
        if not isinstance(decoded.get(key, ""), str):
            raise ValueError(f"{key} is {decoded[key]!r}, which is not a text")
    edges = decoded.get("delayed_edges", [])
    if not isinstance(edges, list) or not all(
        isinstance(e, list) and all(isinstance(n, str) for n in e) for e in edges
    ):
        raise ValueError(f"delayed_edges are {edges!r}, which are not pairs of names")
    dt = decoded.get("dt", 1.0)
    if isinstance(dt, bool) or not isinstance(dt, (int, float)) or not 0 < dt < float("inf"):
        raise ValueError(f"dt is {dt!r}, which is not a number above 0")


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, bytes))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
