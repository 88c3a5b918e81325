"""Lower a NIR graph in its dialect to a float network in discrete time."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.budget import MAX_NEURONS, MAX_PROJECTIONS
from neurodeploy.errors import DeployError
from neurodeploy.importers.dialects import NEURONS, label
from neurodeploy.importers.discretise import discretise
from neurodeploy.importers.findings import refuse_errors, warning_lines
from neurodeploy.importers.loops import order_populations
from neurodeploy.importers.nir_graph import NirGraph, graph_from_nir, read_graph
from neurodeploy.importers.parameters import parameter_findings
from neurodeploy.importers.paths import SynapsePath, graded_paths, paths_into, population_shape
from neurodeploy.importers.settle import Dialect, resolve_dialect
from neurodeploy.importers.shapes import port_shape
from neurodeploy.importers.structure import structure_findings
from neurodeploy.ir.decision import check_decision, find_readout, parse_decision
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Shape


def read_network(model: Path | str | Any, dialect: str | None = None) -> tuple[Network, Dialect, NirGraph]:
    """Read a model and lower it.

    Args:
        model: path of a ``.nir`` file, or an in-memory ``nir.NIRGraph``.
        dialect: as given to ``--dialect``, or None.

    Returns:
        The network, how each neuron was read and why, and the graph. Warnings are among the reasons.

    Raises:
        DeployError: see :func:`read_graph`, :func:`resolve_dialect` and :func:`lower`; or a finding is an error.
    """
    graph = read_graph(model) if isinstance(model, (str, Path)) else graph_from_nir(model)
    settled = resolve_dialect(graph, dialect)
    graph = graph.as_meant_by(settled.name)
    network = lower(graph, settled)
    findings = [*structure_findings(graph), *parameter_findings(graph, settled)]
    refuse_errors(findings, graph.where)
    settled = replace(settled, evidence=(*settled.evidence, *warning_lines(findings)))
    return replace(network, evidence=settled.evidence), settled, graph


def lower(graph: NirGraph, dialect: Dialect) -> Network:
    """Return the network that the dialect computes.

    Every chain of linear nodes between two neurons becomes one projection; where several edges meet in front of a
    linear node, each becomes a projection of its own, and the bias stays with the first. Linear nodes in front of an
    Output are read as they are, by a population that does not fire; so is the sum of several edges into one Output. In
    a loop without a Delay node, the edges that close it take one step, see :func:`order_populations`.

    Raises:
        DeployError: a node does not fit what feeds it, nothing is read, or neurons differ in their time step.
    """
    inputs, dt, outputs = _inputs(graph), _time_step(graph, dialect), _outputs(graph)
    populations, projections = _parts(graph, dialect, inputs, outputs, dt)
    labels = {p.name: label(p.name, graph.nodes[p.name].kind, dialect.name) for p in populations}
    read = dialect.name, graph.sha256, dialect.evidence
    try:
        network = Network(inputs, populations, projections, outputs, dt, *read, labels=labels)
    except ValueError as error:  # an edge that closes a loop, whose source had no shape before
        fix = "Mend the weights, or the node that changes the shape, and export the model again."
        raise DeployError(f"the shapes of the graph do not fit: {error}", where=graph.where, fix=fix) from error
    return _with_decision(network, graph)


def _parts(
    graph: NirGraph, dialect: Dialect, inputs: dict[str, Shape], outputs: tuple[str, ...], dt: float
) -> tuple[tuple[Population, ...], tuple[Projection, ...]]:
    """Return populations, each after those that feed it within a step, and projections."""
    population_nodes = [name for name, node in graph.nodes.items() if node.kind in NEURONS]
    population_nodes += [name for name in outputs if name not in population_nodes]
    order, edges_that_take_a_step = order_populations(graph, population_nodes, dialect.delayed)
    shapes = dict(inputs)
    populations: dict[str, Population] = {}
    projections: list[Projection] = []
    for name in order:
        paths = paths_into(graph, name, dt, population_nodes)
        populations[name] = _population(graph, name, paths, shapes, dialect)
        shapes[name] = populations[name].shape
        MAX_PROJECTIONS.check(len(projections) + len(paths), "the network", graph.where)
        for path in graded_paths(paths, dialect.settings, shapes):
            takes_step = (path.source, name) in edges_that_take_a_step and not path.delay
            delayed = path.source in populations and populations[path.source].rule.output_delay
            projections.append(Projection(path.source, name, path.ops, path.delay + int(takes_step and not delayed)))
    return tuple(populations.values()), tuple(projections)


def _inputs(graph: NirGraph) -> dict[str, Shape]:
    """Return the shapes of the graph's inputs."""
    inputs = {name: port_shape(node) for name, node in graph.nodes.items() if node.kind == "Input"}
    if not inputs:
        raise DeployError(
            "the graph has no Input node",
            where=graph.where,
            fix="Add an Input node with the shape of one step's input.",
        )
    return inputs


def _time_step(graph: NirGraph, dialect: Dialect) -> float:
    """Return the dt, s, that all neurons share; 1 where there is none."""
    dts = sorted({float(settings.dt or 0) for settings in dialect.settings.values()})
    if len(dts) > 1:
        raise DeployError(
            f"neurons have time steps of {' and '.join(f'{dt:g}' for dt in dts)} s, but a network has only one",
            where=graph.where,
            fix="Give all modules the same dt, with time constants of as many steps as before, and export the model"
            " again.",
        )
    return dts[0] if dts else 1.0


def _population(
    graph: NirGraph, name: str, paths: list[SynapsePath], shapes: dict[str, Shape], dialect: Dialect
) -> Population:
    """Return the population of a node, of the shape that what enters it gives."""
    node, place = graph.nodes[name], f"{graph.where}, node {name!r}"
    shape = population_shape(node, name, paths, shapes, place)
    MAX_NEURONS.check(prod(shape) + sum(map(prod, shapes.values())), "the network", graph.where)
    if node.kind in NEURONS:
        return discretise(name, node, shape, dialect.settings[name], place)
    return _readout(name, shape)


def _with_decision(network: Network, graph: NirGraph) -> Network:
    """Return the network with what the file says of its answer: what it returns, and how that decides."""
    said, text = graph.metadata.get("outputs"), graph.metadata.get("decision")
    if said is not None and not (isinstance(said, list) and said and all(isinstance(name, str) for name in said)):
        raise DeployError(
            f"the metadata's outputs are {said!r}, which are not names of nodes",
            where=graph.where,
            fix="Write each output as the name of a node, NAME or NAME.v.",
        )
    for name in said or ():
        find_readout(network, name, graph.where)
    network = replace(network, readouts=tuple(said or ()), undecided=str(graph.metadata.get("undecided", "")))
    if text is None:
        return network
    decision = parse_decision(text, graph.where)
    check_decision(decision, network, graph.where)
    return replace(network, decision=decision)


def _readout(name: str, shape: Shape) -> Population:
    """Return a population that passes on what it receives."""
    rule = NeuronRule(reset="none", fires=False)
    return Population(name, shape, rule, decay_mem=np.zeros(shape), threshold=np.ones(shape))


def _outputs(graph: NirGraph) -> tuple[str, ...]:
    """Return what the graph's Output nodes read: neurons, the linear node before the Output, or an Output that sums."""
    found: list[str] = []
    for name, node in graph.nodes.items():
        if node.kind != "Output":
            continue
        sources = graph.sources(name)
        for source in sources if len(sources) == 1 else [name] if sources else []:
            while graph.nodes[source].kind == "Flatten" and len(graph.sources(source)) == 1:
                source = graph.sources(source)[0]
            if graph.nodes[source].kind == "Input":
                raise DeployError(
                    f"output {name!r} reads an input directly", where=graph.where, fix="Connect the output to neurons."
                )
            if source not in found:
                found.append(source)
    if not found:
        raise DeployError(
            "no edge leads to an Output node", where=graph.where, fix="Connect the last node to an Output node."
        )
    return tuple(found)
