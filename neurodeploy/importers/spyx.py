"""Spyx's own meaning of the graphs that it writes: how its recurrent layers are wired, and how it flattens images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import prod

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.importers.inner_graphs import Ports
from neurodeploy.importers.node import Edge, NirNode
from neurodeploy.importers.texts import is_text


def edges_as_spyx_means(nodes: dict[str, NirNode], edges: list[Edge], ports: Ports) -> list[Edge]:
    """Return edges with an inner Input that feeds only synapses which a neuron feeds as well led to what they feed.

    Args:
        nodes: of the graph, by name. edges: among nodes and ports. ports: of inner graphs.
    """
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


def nodes_as_spyx_means(nodes: dict[str, NirNode], edges: Iterable[Edge], where: str) -> dict[str, NirNode]:
    """Return nodes with the weights behind a flattened image in NIR's order: channel, row, column.

    Args:
        nodes: of the graph, by name. edges: among them. where: the file, for messages.

    Raises:
        DeployError: what is flattened leads to something else than weights, or a pool has SAME padding.
    """
    meant = dict(nodes)
    for name, node in meant.items():
        if node.kind == "SumPool2d" and np.any(node.params["padding"]):
            raise DeployError(
                "spyx pads this pool unevenly (padding SAME), and the file does not say on which side",
                where=f"{where}, node {name!r}",
                fix="Train with padding VALID in the pool.",
            )
    for source, target in edges:
        if (shape := _flattened_image(meant[source])) is not None:
            meant[target] = _in_order_of_channels(meant[target], shape, f"{where}, node {target!r}")
    return meant


def _flattened_image(node: NirNode) -> tuple[int, ...] | None:
    """Return the shape (channels, rows, columns) that a Flatten says it takes, or None."""
    said = node.params.get("input_type") if node.kind == "Flatten" else None
    said = said.get("input") if isinstance(said, dict) else said
    shape = () if said is None or is_text(said) else tuple(np.atleast_1d(said).tolist())
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
