"""The nodes, parameters and edges of a NIR file, read without interpreting them.

The file is HDF5: ``/version`` and ``/node`` with ``type``, ``nodes/<name>/...`` and ``edges`` (bytes, N x 2). It is
read here rather than with ``nir.read``, whose shape inference refuses correct convolutions and whose errors name no
node.

Source: NIR 1.0.8, ``nir/serialization.py``; Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neurodeploy.budget import MAX_NODES
from neurodeploy.errors import DeployError
from neurodeploy.file_kinds import MODEL, check_kind
from neurodeploy.files import existing_file
from neurodeploy.importers.hdf5 import read_hdf5
from neurodeploy.importers.inner_graphs import open_graphs, without_ports
from neurodeploy.importers.metadata import read_metadata
from neurodeploy.importers.node import Edge, NirNode
from neurodeploy.importers.spyx import edges_as_spyx_means, nodes_as_spyx_means
from neurodeploy.importers.texts import as_text, is_text


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
        nodes = nodes_as_spyx_means(self.nodes, edges, self.where)
        return replace(self, nodes=nodes, edges=edges, spyx_edges=None, is_as_meant=True)


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
    return _graph(content["node"], str(path), digest, as_text(version) if is_text(version) else "unknown")


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
    nodes, written, ports = open_graphs(content, where)
    MAX_NODES.check(len(nodes), "the graph", where)
    edges = without_ports(written, ports, where)
    meant = without_ports(edges_as_spyx_means(nodes, written, ports), ports, where)
    kept = tuple(sorted(set(edges)))
    repeated = tuple(sorted(edge for edge, times in Counter(edges).items() if times > 1))
    metadata, foreign = read_metadata(content, where)
    others = None if set(meant) == set(kept) else tuple(sorted(set(meant)))
    return NirGraph(nodes, kept, metadata, where, digest, version, repeated, foreign, others)
