"""Infer the output shape of each node of a graph, as far as possible; what does not fit is reported, not refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np

from neurodeploy.budget import MAX_NEURONS
from neurodeploy.errors import DeployError
from neurodeploy.importers.dialects import NEURONS
from neurodeploy.importers.findings import Finding, finding
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import NirNode
from neurodeploy.importers.operations import operation
from neurodeploy.ir.synapses import Shape

MAX_BATCH_AXES = 2
"""Exporters leave one axis for the batch, or one for batch and one for time."""

_NOT_NEURAL = ("input_type", "output_type")


@dataclass(slots=True)
class Shapes:
    """Shapes of a graph.

    leaving: by node, of what leaves it; nodes of which nothing is known are left out. findings: what does not fit.
    loose: neurons whose parameters have another shape than what enters, but broadcast to it.
    """

    leaving: dict[str, Shape] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)


def port_shape(node: NirNode) -> Shape:
    """Return the shape that an Input or Output says it has."""
    return tuple(int(n) for n in np.atleast_1d(node.params["shape"]))


def parameter_shapes(node: NirNode) -> dict[str, Shape]:
    """Return the shapes of a neuron's parameters."""
    return {key: np.shape(value) for key, value in node.params.items() if key not in _NOT_NEURAL}


def own_shape(node: NirNode) -> Shape | None:
    """Return the shape that most of a neuron's parameters have, or None if all are single values."""
    shapes = [shape for shape in parameter_shapes(node).values() if prod(shape) > 1 or len(shape) > 1]
    return max(sorted(set(shapes)), key=shapes.count) if shapes else None


def batch_axes(graph: NirGraph) -> int:
    """Return how many leading axes of the graph's inputs are no part of a sample."""
    inputs = {name: port_shape(node) for name, node in graph.nodes.items() if node.kind == "Input"}
    ranks = [len(shape) for shape in inputs.values()]
    if not ranks:
        return 0
    misfits = []
    for axes in range(min(MAX_BATCH_AXES, min(ranks) - 1) + 1):
        shapes = infer_shapes(graph, axes)
        misfits.append(len(shapes.findings) + len(shapes.loose))
    best = misfits.index(min(misfits))
    return best or max((_surplus(graph, name, shape, misfits) for name, shape in inputs.items()), default=0)


def _surplus(graph: NirGraph, name: str, shape: Shape, misfits: list[int]) -> int:
    """Return 1 where an input has a leading axis of 1 that no operation has a use for, though none refuses it."""
    if shape[0] != 1 or len(misfits) < 2 or misfits[1] > misfits[0]:
        return 0
    targets = [graph.nodes[b].kind for a, b in graph.edges if a == name]
    return int(
        len(shape) > 3 or (len(shape) == 2 and bool(targets) and all(k in ("Affine", "Linear") for k in targets))
    )


def infer_shapes(graph: NirGraph, axes: int = 0) -> Shapes:
    """Return shapes of all nodes, with ``axes`` leading axes of the inputs left out.

    Where what enters a neuron is not known, its own parameters stand for it, so that the search goes on behind it.
    """
    shapes = Shapes()
    for name, node in graph.nodes.items():
        if node.kind == "Input":
            shapes.leaving[name] = port_shape(node)[axes:]
    waiting = order_of(graph)
    while waiting:
        left = [name for name in waiting if not _advance(graph, name, shapes)]
        if len(left) == len(waiting):
            stuck = [n for n in left if graph.nodes[n].kind in NEURONS and own_shape(graph.nodes[n]) is not None]
            if not stuck:
                break
            shapes.leaving[stuck[0]] = own_shape(graph.nodes[stuck[0]]) or ()
            left.remove(stuck[0])
        waiting = left
    for name in graph.nodes:
        _check_meeting(graph, name, shapes)
    return shapes


def _advance(graph: NirGraph, name: str, shapes: Shapes) -> bool:
    """Settle a node's shape from one of its sources; False where none is known yet."""
    node = graph.nodes[name]
    if node.kind == "Input":
        return True
    entering = next((shapes.leaving[s] for s in graph.sources(name) if s in shapes.leaving), None)
    if entering is None:
        return False
    if node.kind in ("Output", "Delay"):
        shapes.leaving[name] = entering
    elif node.kind in NEURONS:
        _enter_neuron(name, node, entering, shapes)
    else:
        _enter_operation(name, node, entering, shapes)
    return True


def _enter_neuron(name: str, node: NirNode, entering: Shape, shapes: Shapes) -> None:
    shapes.leaving[name] = entering
    wrong = {key: shape for key, shape in parameter_shapes(node).items() if not _broadcasts(shape, entering)}
    if wrong:
        what = f"{node.kind} has parameters of other shapes than its input, which has shape {list(entering)}"
        value = ", ".join(f"{key} {list(shape)}" for key, shape in wrong.items())
        shapes.findings.append(finding("shape", name, what, value, "Give the parameters the shape of the input."))
        shapes.leaving[name] = own_shape(node) or entering
    elif (own_shape(node) or entering) != entering:
        shapes.loose.append(name)


def _broadcasts(shape: Shape, target: Shape) -> bool:
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def _enter_operation(name: str, node: NirNode, entering: Shape, shapes: Shapes) -> None:
    try:
        leaving = operation(node, name).output_shape(entering)
        MAX_NEURONS.check(prod(leaving), f"shape {list(leaving)} after the node", f"node {name!r}")
        shapes.leaving[name] = leaving
    except DeployError as error:
        shapes.findings.append(finding("shape", name, error.what, node.kind, error.fix))
    except ValueError as error:
        what = f"{node.kind} does not fit its input: it {error}"
        shapes.findings.append(
            finding("shape", name, what, list(entering), "Correct the shapes of the nodes before it.")
        )


def _check_meeting(graph: NirGraph, name: str, shapes: Shapes) -> None:
    """Find sources of one node that differ in shape, one with which it has been settled left out."""
    meeting = {source: shapes.leaving[source] for source in graph.sources(name) if source in shapes.leaving}
    if len(set(meeting.values())) > 1:
        value = ", ".join(f"{source} {list(shape)}" for source, shape in meeting.items())
        what = "the inputs of the node have different shapes"
        shapes.findings.append(finding("shape", name, what, value, "Give all of them the same shape."))


def order_of(graph: NirGraph) -> list[str]:
    """Return all nodes so that each comes after one that feeds it, from the inputs on; unreached ones last."""
    targets: dict[str, list[str]] = {}
    for source, target in graph.edges:
        targets.setdefault(source, []).append(target)
    order = [name for name, node in graph.nodes.items() if node.kind == "Input"]
    seen = set(order)
    waits = {name: len(graph.sources(name)) for name in graph.nodes}
    ready, later = list(order), [name for name in graph.nodes if name not in seen]
    while ready or later:
        if not ready:
            met = [n for n in later if any(s in seen for s in graph.sources(n))] or later
            ready = [met[0]]
            order.append(met[0])
            seen.add(met[0])
        for target in targets.get(ready.pop(0), ()):
            waits[target] -= 1
            if waits[target] <= 0 and target not in seen:
                seen.add(target)
                order.append(target)
                ready.append(target)
        later = [name for name in later if name not in seen] if not ready else later
    return order
