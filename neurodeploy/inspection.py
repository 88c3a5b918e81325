"""What a model file holds, and how it will be read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import lower
from neurodeploy.importers.nir_graph import NirGraph, NirNode, graph_from_nir, read_graph
from neurodeploy.importers.settle import settle_dialect


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a model file holds.

    nodes: for each ``name``, ``kind``, ``shape`` (of what leaves it; neurons and inputs), ``parameters`` and
        ``settings``; JSON-ready.
    edges: (source, target). dialect: name, or None where nobody says. evidence: why. question: what is to be said, or
        None.
    """

    where: str
    version: str
    nodes: list[dict[str, Any]]
    edges: tuple[tuple[str, str], ...]
    dialect: str | None
    evidence: tuple[str, ...]
    question: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self)


def inspect(model: Path | str | Any, dialect: str | None = None) -> Inspection:
    """Read a model and tell what it holds; a dialect that nobody says is a question, not an error.

    Raises:
        DeployError: the file is no NIR model, or the network in it does not fit together.
    """
    graph = read_graph(model) if isinstance(model, (str, Path)) else graph_from_nir(model)
    try:
        settled = settle_dialect(graph, dialect)
    except DeployError as error:
        if dialect is not None:
            raise
        nodes = [_node(name, node, None, None) for name, node in graph.nodes.items()]
        return Inspection(graph.where, graph.version, nodes, graph.edges, None, (), f"{error.what} {error.fix}")
    network = lower(graph, settled)
    nodes = []
    for name in _in_order(graph, tuple(network.shapes)):
        settings = settled.settings.get(name)
        nodes.append(
            _node(name, graph.nodes[name], network.shapes.get(name), None if settings is None else asdict(settings))
        )
    return Inspection(graph.where, graph.version, nodes, graph.edges, settled.name, settled.evidence, None)


def _node(name: str, node: NirNode, shape: tuple[int, ...] | None, settings: dict[str, Any] | None) -> dict[str, Any]:
    numbers = {
        key: np.asarray(value)
        for key, value in node.params.items()
        if isinstance(value, (np.ndarray, np.generic, int, float))
    }
    parameters = {
        key: {"shape": list(value.shape), "low": float(value.min()), "high": float(value.max())}
        for key, value in numbers.items()
        if value.size and value.dtype.kind in "fiub" and key != "shape"
    }
    own = node.params.get("shape")
    shape = shape or (tuple(int(n) for n in np.atleast_1d(own)) if own is not None else None)
    return {
        "name": name,
        "kind": node.kind,
        "shape": None if shape is None else list(shape),
        "parameters": {key: _finite(value) for key, value in parameters.items()},
        "settings": None if settings is None else {key: value for key, value in settings.items() if value is not None},
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Return infinite numbers as text, which JSON has no number for."""
    return {key: v if not isinstance(v, float) or np.isfinite(v) else str(v) for key, v in values.items()}


def _in_order(graph: NirGraph, ranked: tuple[str, ...]) -> list[str]:
    """Return all nodes, each linear node after what feeds it."""
    order = [name for name in ranked if graph.nodes[name].kind == "Input"]
    rest = [name for name in graph.nodes if name not in order]
    while rest:
        ready = [n for n in rest if all(s in order or s == n for s in graph.sources(n))] or rest[:1]
        order += ready
        rest = [name for name in rest if name not in ready]
    return order
