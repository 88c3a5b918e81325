"""Inner graphs of a NIR graph, opened: their nodes become the outer graph's, their Inputs and Outputs go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from neurodeploy.budget import MAX_PROJECTIONS
from neurodeploy.errors import DeployError, known
from neurodeploy.importers.node import Edge, NirNode, read_node
from neurodeploy.importers.texts import as_text, is_text

MAX_PORTS = 200
"""Inputs and Outputs of inner graphs that an edge leads through."""

Ports = dict[str, tuple[str, str]]
"""Inputs and Outputs of inner graphs: the kind of each, and the graph that it belongs to."""


def open_graphs(content: Any, where: str) -> tuple[dict[str, NirNode], list[Edge], Ports]:
    """Return nodes and edges of a graph, those of graphs inside it called ``outer.inner``, and the ports of these.

    Args:
        content: the graph's group, with ``nodes`` and ``edges``.
        where: the file, for messages.

    Raises:
        DeployError: it is no graph, a node cannot be read, or an edge ends at a node that is not there.
    """
    ports: Ports = {}
    nodes, edges = _opened(content, "", where, ports)
    return nodes, edges, ports


def without_ports(edges: list[Edge], ports: Ports, where: str) -> list[Edge]:
    """Return edges with the ports of inner graphs left out: what leads to one leads to what it leads to.

    Args:
        edges: among nodes and ports. ports: of inner graphs. where: the file, for messages.

    Raises:
        DeployError: ports form a loop, or an Input leads to no node.
    """
    out: dict[str, list[str]] = {}
    for source, target in edges:
        if source in ports:
            out.setdefault(source, []).append(target)
    kept: list[Edge] = []
    for source, target in edges:
        if source not in ports:
            kept += [(source, end) for end in _ends(target, out, ports, where)]
            MAX_PROJECTIONS.check(len(kept), "the edges of the graph", where)
    return kept


def _ends(node: str, out: dict[str, list[str]], ports: Ports, where: str, on_way: tuple[str, ...] = ()) -> list[str]:
    """Return the nodes that an edge to a port leads to, or the node itself."""
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
        found += _ends(following, out, ports, where, (*on_way, node))
        MAX_PROJECTIONS.check(len(found), "the edges of the graph", where)
    return found


def _opened(content: Any, prefix: str, where: str, ports: Ports) -> tuple[dict[str, NirNode], list[Edge]]:
    """Return nodes and edges of a graph; the Inputs and Outputs of a graph inside are put into ``ports``."""
    if not isinstance(content, dict) or not isinstance(content.get("nodes"), dict) or "edges" not in content:
        place = f"graph {prefix[:-1]!r}" if prefix else "the file"
        raise DeployError(f"{place} holds no graph with nodes and edges", where=where, fix="Export the model again.")
    nodes: dict[str, NirNode] = {}
    edges: list[Edge] = []
    inner_graphs: set[str] = set()
    for raw, node in content["nodes"].items():
        name = prefix + as_text(raw)
        if isinstance(node, dict) and as_text(node.get("type", "")) == "NIRGraph":
            inner_graphs.add(name)
            found, inner_edges = _opened(node, f"{name}.", where, ports)
            edges += inner_edges
        else:
            found = {name: read_node(name, node, where)}
            if prefix and found[name].kind in ("Input", "Output"):
                ports[name] = found.pop(name).kind, prefix.removesuffix(".")
        if clash := set(found) & set(nodes):
            raise DeployError(
                f"two nodes are called {known(clash)} once inner graphs are opened",
                where=where,
                fix="Rename one of them.",
            )
        nodes.update(found)
    ends = {*nodes, *ports, *inner_graphs}
    for source, target in _pairs(content["edges"], prefix, where):
        _check_ends(source, target, ends, nodes, where)
        start = _port(source, "Output", target, ports, where) if source in inner_graphs else source
        edges.append((start, _port(target, "Input", source, ports, where) if target in inner_graphs else target))
    return nodes, edges


def _check_ends(source: str, target: str, ends: set[str], nodes: Iterable[str], where: str) -> None:
    """Refuse an edge that ends at a node which is not there."""
    for end in (source, target):
        if end not in ends:
            raise DeployError(
                f"edge {source} -> {target} names node {end!r}, which does not exist",
                where=where,
                fix=f"Use the names of the graph's nodes: {_some(nodes)}.",
            )


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
        if not all(is_text(end) for pair in pairs for end in pair):
            raise TypeError("an end of an edge is not a name")
        return [(prefix + as_text(source), prefix + as_text(target)) for source, target in pairs]
    except (TypeError, ValueError) as error:
        raise DeployError(
            f"the edges are not a list of pairs ({error})", where=where, fix="Export the model again."
        ) from error
