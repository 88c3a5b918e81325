"""Find what is wrong with a graph's nodes and edges, whatever dialect it is read in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod

import numpy as np

from neurodeploy.importers.dialects import FIRING, NEURONS
from neurodeploy.importers.findings import Finding, finding
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import Edge
from neurodeploy.importers.shapes import Shapes, batch_axes, infer_shapes, parameter_shapes, port_shape

V_RESET_SINCE = (1, 0, 6)
"""The version of the nir package that added v_reset."""


def structure_findings(graph: NirGraph) -> list[Finding]:
    """Return everything that is wrong with nodes, edges and shapes."""
    axes = batch_axes(graph)
    shapes = infer_shapes(graph, axes)
    return [
        *_version(graph),
        *_batch(graph, axes),
        *_outputs(graph, shapes),
        *shapes.findings,
        *_scalars(graph, shapes),
        *_missing_resets(graph),
        *_duplicates(graph),
        *_reach(graph),
    ]


def _version(graph: NirGraph) -> list[Finding]:
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", graph.version)
    if not numbers or tuple(int(n) for n in numbers.groups()) >= V_RESET_SINCE:
        return []
    what = "the file is of an old version of NIR, which has no v_reset"
    return [
        finding(
            "old-version",
            None,
            what,
            graph.version,
            "Nothing is lost by reading it; --fix writes a file of the new version.",
        )
    ]


def _batch(graph: NirGraph, axes: int) -> list[Finding]:
    if not axes:
        return []
    inputs = {name: port_shape(node) for name, node in graph.nodes.items() if node.kind == "Input"}
    return [
        finding(
            "batch-dimension",
            name,
            "the Input's shape starts with the batch axis, which does not belong to a sample",
            list(shape),
            f"--fix makes it {list(shape[axes:])}; or export with a sample that has no batch axis.",
        )
        for name, shape in inputs.items()
    ]


def _outputs(graph: NirGraph, shapes: Shapes) -> list[Finding]:
    """Find Outputs of another shape than what enters them."""
    found = []
    for name, node in graph.nodes.items():
        if node.kind != "Output" or name not in shapes.leaving:
            continue
        said, entering = port_shape(node), shapes.leaving[name]
        fix = f"--fix makes it {list(entering)}."
        if said != entering and len(said) > len(entering) and said[len(said) - len(entering) :] == entering:
            what = "the Output's shape starts with the batch axis, which does not belong to a sample"
            found.append(finding("batch-dimension", name, what, list(said), fix))
        elif said != entering and not (prod(said) == prod(entering) and len(said) == 1):
            what = f"the Output has another shape than its input, which has shape {list(entering)}"
            found.append(finding("shape", name, what, list(said), fix, "warning"))
    return found


def _scalars(graph: NirGraph, shapes: Shapes) -> list[Finding]:
    found = []
    for name, node in graph.nodes.items():
        target = shapes.leaving.get(name)
        if node.kind not in NEURONS or target is None:
            continue
        keys = [key for key, shape in parameter_shapes(node).items() if shape != target and prod(shape) == 1]
        keys += [key for key, shape in parameter_shapes(node).items() if shape != target and prod(shape) > 1]
        if keys and all(np.ndim(node.params[key]) <= len(target) for key in keys):
            what = f"{node.kind} has parameters of other shapes than its neurons, which nir and its readers refuse"
            value = ", ".join(f"{key} {list(np.shape(node.params[key]))}" for key in keys)
            found.append(finding("scalar", name, what, value, f"--fix spreads them to {list(target)}."))
    return found


def _missing_resets(graph: NirGraph) -> list[Finding]:
    return [
        finding("no-v-reset", name, f"{node.kind} has no v_reset", "none", "It is read as 0; --fix writes it.")
        for name, node in graph.nodes.items()
        if node.kind in FIRING and node.kind != "Threshold" and node.params.get("v_reset") is None
    ]


def _duplicates(graph: NirGraph) -> list[Finding]:
    what = "the edge is in the file more than once, and is read once"
    return [
        finding("duplicate-edge", source, what, f"{source} -> {target}", "--fix removes the repeats.")
        for source, target in graph.repeated
    ]


def _reach(graph: NirGraph) -> list[Finding]:
    """Find nodes that no Input leads to, and those that lead to no Output."""
    reached = _spread([n for n, node in graph.nodes.items() if node.kind == "Input"], graph.edges)
    backwards = [(target, source) for source, target in graph.edges]
    read = _spread([n for n, node in graph.nodes.items() if node.kind == "Output"], backwards)
    found = [
        finding(
            "unreachable",
            n,
            f"no Input leads to this {graph.nodes[n].kind}",
            n,
            "Connect the node to an input, or remove it.",
        )
        for n in graph.nodes
        if n not in reached
    ]
    return found + [
        finding(
            "unread",
            n,
            f"this {graph.nodes[n].kind} leads to no Output",
            n,
            "Connect the node to an Output, or leave it as it is if it is not to be read.",
        )
        for n in graph.nodes
        if n in reached and n not in read
    ]


def _spread(start: Iterable[str], edges: Iterable[Edge]) -> set[str]:
    """Return all nodes that edges lead to from ``start``, itself included."""
    following: dict[str, list[str]] = {}
    for source, target in edges:
        following.setdefault(source, []).append(target)
    seen = set(start)
    frontier = list(seen)
    while frontier:
        for target in following.get(frontier.pop(), ()):
            if target not in seen:
                seen.add(target)
                frontier.append(target)
    return seen
