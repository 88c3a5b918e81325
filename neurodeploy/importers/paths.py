"""Paths of linear nodes between the populations of a graph, each with its operations and its delay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from neurodeploy.budget import MAX_NEURONS, MAX_PROJECTIONS
from neurodeploy.errors import DeployError
from neurodeploy.importers.dialects import NEURONS, Settings
from neurodeploy.importers.discretise import spread_setting
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import NirNode
from neurodeploy.importers.operations import operation
from neurodeploy.ir.synapses import MaxPool2d, Scale, Shape, SynapseOp, without_bias

MAX_IN_A_ROW = 200
"""Linear nodes between two neurons; a path through them is followed node by node."""


@dataclass(frozen=True, eq=False, slots=True)
class SynapsePath:
    """A path into a node: the input or neuron it starts at, its operations, and the steps that Delay nodes add."""

    source: str
    ops: tuple[SynapseOp, ...] = ()
    delay: int = 0


def paths_into(graph: NirGraph, name: str, dt: float, population_nodes: list[str]) -> list[SynapsePath]:
    """Return every path into a population's node, those that start at ``name`` itself last.

    Args:
        graph: the graph. name: of the node. dt: seconds per step. population_nodes: nodes that become populations.

    Raises:
        DeployError: nothing leads to it, linear nodes form a loop, or an operation or a delay cannot be read.
    """
    is_neuron = graph.nodes[name].kind in NEURONS
    paths = (_into if is_neuron else _through)(graph, name, dt, population_nodes, () if is_neuron else (name,))
    if not paths:
        raise DeployError(
            f"no edge leads to neuron {name!r}",
            where=graph.where,
            fix="Connect the node to an input, or remove it.",
        )
    return sorted(paths, key=lambda path: (path.source == name, path.source))


def graded_paths(
    paths: list[SynapsePath], settings: dict[str, Settings], shapes: dict[str, Shape]
) -> list[SynapsePath]:
    """Return paths on which spikes are worth what their neurons' factor says.

    Args:
        paths: into a node. settings: by neuron node. shapes: of inputs and populations.
    """
    factors = {name: of_node.graded for name, of_node in settings.items() if of_node.graded != 1.0}
    return [
        replace(path, ops=(_worth(path.source, factors[path.source], shapes[path.source]), *path.ops))
        if path.source in factors
        else path
        for path in paths
    ]


def population_shape(node: NirNode, name: str, paths: list[SynapsePath], shapes: dict[str, Shape], place: str) -> Shape:
    """Return the shape that a population's inputs give, to which its parameters must broadcast.

    Args:
        node: of the population. name: of the node. paths: into it. shapes: of inputs and populations before it.
        place: the node, for messages.

    Raises:
        DeployError: an operation does not fit what enters it, or paths give different shapes.
    """
    own = np.shape(np.asarray(node.params.get("v_threshold", node.params.get("r", node.params.get("threshold", 0.0)))))
    given: set[Shape] = set()
    for path in paths:
        if path.source in shapes or path.source == name:
            given.add(_leaving(path, shapes.get(path.source, next(iter(given), own)), name, place))
    if len(given) != 1:
        raise DeployError(
            f"the inputs of {name!r} have different shapes: {sorted(given)}",
            where=place,
            fix="Give all of them the same shape.",
        )
    return given.pop()


def _leaving(path: SynapsePath, shape: Shape, name: str, place: str) -> Shape:
    """Return the shape of what leaves a path to ``name`` that a shape enters."""
    for op in path.ops:
        try:
            shape = op.output_shape(shape)
            named = f"{type(op).__name__} {getattr(op, 'name', '')}".strip()
            what = f"shape {list(shape)} after {named} between {path.source!r} and {name!r}"
            MAX_NEURONS.check(prod(shape), what, place)
        except ValueError as error:
            raise DeployError(
                f"between {path.source!r} and {name!r}, {type(op).__name__} {error}",
                where=place,
                fix="Correct the shapes of the nodes between the two.",
            ) from error
    return shape


def _into(
    graph: NirGraph, name: str, dt: float, population_nodes: list[str], on_path: tuple[str, ...]
) -> list[SynapsePath]:
    """Return the paths that the edges into a node end."""
    paths: list[SynapsePath] = []
    for source in graph.sources(name):
        if graph.nodes[source].kind == "Input" or source in population_nodes:
            paths.append(SynapsePath(source))
        elif source in on_path:
            loop = " -> ".join((*on_path, source))
            raise DeployError(
                f"linear nodes form a loop without neurons ({loop})",
                where=graph.where,
                fix="Remove an edge of the loop.",
            )
        else:
            paths += _through(graph, source, dt, population_nodes, (*on_path, source))
    return paths


def _through(
    graph: NirGraph, name: str, dt: float, population_nodes: list[str], on_path: tuple[str, ...]
) -> list[SynapsePath]:
    """Return the paths into a linear node, and through it."""
    node, place = graph.nodes[name], f"{graph.where}, node {name!r}"
    if len(on_path) > MAX_IN_A_ROW:
        raise DeployError(
            f"more than {MAX_IN_A_ROW} linear nodes follow each other",
            where=place,
            fix="Join some of them into one node.",
        )
    before = _into(graph, name, dt, population_nodes, on_path)
    MAX_PROJECTIONS.check(len(before), "all paths into the node", place)
    if node.kind == "Delay":
        return _delayed(before, node, dt, place)
    if node.kind == "Output":
        return before
    op = operation(node, place, name)
    if isinstance(op, MaxPool2d) and len(before) > 1:
        raise DeployError(
            "a pool takes the largest of a sum, which is not supported",
            where=place,
            fix="Pool each summand before they are added, or use an average pool.",
        )
    return [replace(w, ops=(*w.ops, op if i == 0 else without_bias(op))) for i, w in enumerate(before)]


def _delayed(paths: list[SynapsePath], node: NirNode, dt: float, place: str) -> list[SynapsePath]:
    """Return paths with a delay; where delays differ between elements, a path for each."""
    steps = np.asarray(node.params["delay"], dtype=np.float64) / dt
    whole = np.rint(steps)
    if (np.abs(steps - whole) > 1e-3).any() or (whole < 0).any():
        raise DeployError(
            f"delays are {steps.min():g} to {steps.max():g} steps; each must be a whole number of at least 0",
            where=place,
            fix="Use delays that are multiples of dt.",
        )
    if any(getattr(op, "bias", None) is not None for path in paths for op in path.ops) and whole.any():
        raise DeployError(
            "a bias before a Delay would be delayed as well", where=place, fix="Put the bias after the Delay."
        )
    result = []
    for path in paths:
        for step in np.unique(whole):
            mask = (whole == step).astype(np.float32)
            ops = path.ops if mask.all() else (*path.ops, Scale(mask))
            result.append(SynapsePath(path.source, ops, path.delay + int(step)))
    return result


def _worth(name: str, factor: Any, shape: Shape) -> Scale:
    return Scale(np.asarray(spread_setting(name, "graded", factor, shape, "--dialect"), np.float32))
