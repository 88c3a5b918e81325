"""Order the populations of a graph within a step, and find the edges that take a step in its loops."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.importers.dialects import NEURONS
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import Edge, NirNode

Fed = dict[str, list[str]]
"""The populations that each population feeds within a step, through linear nodes alone."""


def order_populations(
    graph: NirGraph, population_nodes: list[str], delayed: tuple[Edge, ...] = ()
) -> tuple[tuple[str, ...], set[Edge]]:
    """Return the population nodes, each after those that feed it within a step, and the edges that take a step.

    These are a node's own loops, edges that are said, and those that :func:`find_back_edges` finds. Where the edges
    leave a choice, a node also comes after those that feed it through delays; else the order is that of a walk from the
    inputs, depth first.

    Args:
        graph: the graph.
        population_nodes: nodes that become populations.
        delayed: edges that are said to take a step.

    Raises:
        DeployError: a loop can be entered at several of the nodes, so that it is open which edge takes the step.
    """
    names = sorted(population_nodes)
    before = {name: _before(graph, name, population_nodes) for name in population_nodes}
    fed = {name: [target for target in names if name in before[target]] for name in population_nodes}
    first = [name for name in names if any(graph.nodes[node].kind == "Input" for node in before[name])]
    _check_said(fed, delayed)
    take_a_step = {(name, name) for name in population_nodes if name in before[name]} | set(delayed)
    take_a_step |= find_back_edges(_without(fed, take_a_step), first, graph.where)
    within = _without(fed, take_a_step)
    through_delays = {name: _before(graph, name, population_nodes, across=True) & set(names) for name in names}
    return _after_sources(within, _walked(within, [*first, *names]), through_delays), take_a_step


def is_recurrent(graph: NirGraph, name: str) -> bool:
    """Tell whether a neuron's spikes come back to itself through synapses alone."""
    neurons = [other for other, node in graph.nodes.items() if node.kind in NEURONS]
    return name in _before(graph, name, neurons, across=True)


def find_back_edges(fed: Fed, first: list[str], where: str) -> set[Edge]:
    """Return the edges that close a loop on whatever path one walks it, none where there is no loop.

    Their target is on every path from the inputs to their source (it dominates the source), as in nirtorch and
    snnTorch.

    Args:
        fed: by population. first: populations that an input feeds. where: the file, for messages.

    Raises:
        DeployError: a loop has no such edge.
    """
    if not _loop(fed):
        return set()
    dominators = _dominators(fed, first)
    back = {(source, target) for source, targets in fed.items() for target in targets if target in dominators[source]}
    if loop := _loop(_without(fed, back)):
        edges = [f"edge:{a}->{b}=delayed" for a, b in pairwise(loop)]
        raise DeployError(
            f"populations form a loop ({' -> '.join(loop)}), and the file does not say which edge takes a step",
            where=where,
            fix=f"Say it, in quotes: --dialect 'NAME,{edges[-1]}' (or {', '.join(edges[:-1])}), or add a Delay node"
            " to the file.",
        )
    return back


def _dominators(fed: Fed, first: list[str]) -> dict[str, set[str]]:
    """Return for each population those on every path to it from an input; all of them where no path leads to it."""
    sources: Fed = {name: [source for source in fed if name in fed[source]] for name in fed}
    found = {name: {name} if name in first else set(fed) for name in fed}
    order = _walked(fed, [*first, *fed])  # sources first, so that few rounds are enough
    changed = True
    while changed:
        changed = False
        for name in order:
            if name in first or not sources[name]:
                continue
            shared = set.intersection(*(found[source] for source in sources[name])) | {name}
            changed |= shared != found[name]
            found[name] = shared
    return found


def _loop(fed: Fed) -> list[str]:
    """Return the nodes of a loop, the first again at its end; nothing where there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for source, targets in fed.items():
        for target in targets:
            sorter.add(target, source)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _walked(fed: Fed, roots: Iterable[str]) -> list[str]:
    """Return the nodes in the order in which a walk, depth first, leaves them, the last first."""
    seen: set[str] = set()
    left: list[str] = []
    ahead = [(root, False) for root in roots][::-1]
    while ahead:
        name, is_done = ahead.pop()
        if is_done:
            left.append(name)
        elif name not in seen:
            seen.add(name)
            ahead += [(name, True), *((target, False) for target in reversed(fed[name]))]
    return left[::-1]


def _after_sources(fed: Fed, walked: list[str], wished: dict[str, set[str]]) -> tuple[str, ...]:
    """Return nodes in the order walked, each after those that feed it, and where possible after those wished for."""
    sorter = TopologicalSorter({name: [source for source in fed if name in fed[source]] for name in fed})
    sorter.prepare()
    rank = {name: i for i, name in enumerate(walked)}
    ready: list[str] = []
    placed: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=rank.__getitem__)
        chosen = next((name for name in ready if wished[name] <= {*placed, name}), ready[0])
        ready.remove(chosen)
        placed.append(chosen)
        sorter.done(chosen)
    return tuple(placed)


def _without(fed: Fed, edges: set[Edge]) -> Fed:
    return {source: [target for target in targets if (source, target) not in edges] for source, targets in fed.items()}


def _check_said(fed: Fed, delayed: tuple[Edge, ...]) -> None:
    """Refuse edges that are said to take a step and are not there."""
    for source, target in delayed:
        if target not in fed.get(source, ()):
            raise DeployError(
                f"no path leads from {source!r} to {target!r} within a step",
                where="--dialect",
                fix="Name two populations A and B of a loop: edge:A->B=delayed.",
            )


def _before(graph: NirGraph, name: str, population_nodes: list[str], across: bool = False) -> set[str]:
    """Return all nodes that lead to ``name`` with no population in between, nor a delay unless ``across``."""
    seen: set[str] = set()
    frontier = [name]
    while frontier:
        for source in graph.sources(frontier.pop()):
            if source not in seen:
                seen.add(source)
                if source not in population_nodes and (across or not _waits(graph.nodes[source])):
                    frontier.append(source)
    return seen


def _waits(node: NirNode) -> bool:
    """Tell whether nothing passes a node within a step."""
    return node.kind == "Delay" and bool((np.asarray(node.params["delay"]) > 0).all())
