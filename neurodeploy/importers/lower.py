"""Lower a NIR graph in its dialect to a float network in discrete time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.budget import MAX_NEURONS, MAX_PROJECTIONS
from neurodeploy.errors import DeployError
from neurodeploy.importers.dialects import BY_NEURON, FIRING, NEURONS, Settings, label
from neurodeploy.importers.findings import refuse_errors, warning_lines
from neurodeploy.importers.nir_graph import Edge, NirGraph, NirNode, graph_from_nir, read_graph
from neurodeploy.importers.operations import operation
from neurodeploy.importers.parameters import parameter_findings
from neurodeploy.importers.settle import Dialect, resolve_dialect
from neurodeploy.importers.structure import structure_findings
from neurodeploy.ir.decision import check_decision, find_readout, parse_decision
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import MaxPool2d, Scale, Shape, SynapseOp, without_bias

MAX_IN_A_ROW = 200
"""Linear nodes between two neurons; a path through them is followed node by node."""

NEVER = 1e30
"""A threshold, V, that stands for an infinite one: float32 holds it, and what is computed with it."""


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
    a loop without a Delay node, the edges that close it take one step, see :func:`ordered`.

    Raises:
        DeployError: a node does not fit what feeds it, nothing is read, or neurons differ in their time step.
    """
    inputs = {name: _shape(node) for name, node in graph.nodes.items() if node.kind == "Input"}
    if not inputs:
        raise DeployError(
            "the graph has no Input node",
            where=graph.where,
            fix="Add an Input node with the shape of one step's input.",
        )
    dts = sorted({float(settings.dt or 0) for settings in dialect.settings.values()})
    if len(dts) > 1:
        raise DeployError(
            f"neurons have time steps of {' and '.join(f'{dt:g}' for dt in dts)} s, but a network has only one",
            where=graph.where,
            fix="Give all modules the same dt, with time constants of as many steps as before, and export the model"
            " again.",
        )
    dt = dts[0] if dts else 1.0
    outputs = _outputs(graph)
    population_nodes = [name for name, node in graph.nodes.items() if node.kind in NEURONS]
    population_nodes += [name for name in outputs if name not in population_nodes]
    order, edges_that_take_a_step = ordered(graph, population_nodes, dialect.delayed)
    shapes = dict(inputs)
    populations: dict[str, Population] = {}
    projections: list[Projection] = []
    for name in order:
        node, place = graph.nodes[name], f"{graph.where}, node {name!r}"
        paths = _paths_into(graph, name, dt, population_nodes)
        if not paths:
            raise DeployError(
                f"no edge leads to neuron {name!r}",
                where=graph.where,
                fix="Connect the node to an input, or remove it.",
            )
        shape = _population_shape(node, name, paths, shapes, place)
        is_neuron = node.kind in NEURONS
        MAX_NEURONS.check(prod(shape) + sum(map(prod, shapes.values())), "the network", graph.where)
        population = (
            _population(name, node, shape, dialect.settings[name], place) if is_neuron else readout(name, shape)
        )
        populations[name], shapes[name] = population, shape
        MAX_PROJECTIONS.check(len(projections) + len(paths), "the network", graph.where)
        for path in _graded(paths, dialect, shapes):
            takes_step = (path.source, name) in edges_that_take_a_step and not path.delay
            delayed = path.source in populations and populations[path.source].rule.output_delay
            projections.append(Projection(path.source, name, path.ops, path.delay + int(takes_step and not delayed)))
    try:
        network = Network(
            inputs,
            tuple(populations.values()),
            tuple(projections),
            outputs,
            dt,
            dialect.name,
            graph.sha256,
            dialect.evidence,
            labels={name: label(name, graph.nodes[name].kind, dialect.name) for name in order},
        )
    except ValueError as error:  # an edge that closes a loop, whose source had no shape before
        fix = "Mend the weights, or the node that changes the shape, and export the model again."
        raise DeployError(f"the shapes of the graph do not fit: {error}", where=graph.where, fix=fix) from error
    return _with_decision(network, graph)


def _graded(paths: list[SynapsePath], dialect: Dialect, shapes: dict[str, Shape]) -> list[SynapsePath]:
    """Return paths on which spikes are worth what their neurons' factor says."""
    factors = {name: settings.graded for name, settings in dialect.settings.items() if settings.graded != 1.0}
    return [
        replace(path, ops=(_worth(path.source, factors[path.source], shapes[path.source]), *path.ops))
        if path.source in factors
        else path
        for path in paths
    ]


def _worth(name: str, factor: Any, shape: Shape) -> Scale:
    return Scale(np.asarray(_said(name, "graded", factor, shape, "--dialect"), np.float32))


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


def readout(name: str, shape: Shape) -> Population:
    """Return a population that passes on what it receives."""
    rule = NeuronRule(reset="none", fires=False)
    return Population(name, shape, rule, decay_mem=np.zeros(shape), threshold=np.ones(shape))


def ordered(
    graph: NirGraph, population_nodes: list[str], delayed: tuple[Edge, ...] = ()
) -> tuple[tuple[str, ...], set[tuple[str, str]]]:
    """Return the population nodes, each after those that feed it within a step, and the edges that take a step.

    These are a node's own loops, edges that are said, and those that close a loop on whatever path one walks it: their
    target is on every path from the inputs to their source, as in nirtorch and snnTorch.

    Raises:
        DeployError: a loop can be entered at several of the nodes, so that it is open which edge takes the step.
    """
    before = {name: _before(graph, name, population_nodes) for name in population_nodes}
    fed = {name: [target for target in sorted(population_nodes) if name in before[target]] for name in population_nodes}
    first = [
        name for name in sorted(population_nodes) if any(graph.nodes[node].kind == "Input" for node in before[name])
    ]
    edges_that_take_a_step = {(name, name) for name in population_nodes if name in before[name]}
    _check_said(fed, delayed)
    edges_that_take_a_step |= set(delayed)
    edges_that_take_a_step |= _closing(
        {a: [b for b in fed[a] if (a, b) not in edges_that_take_a_step] for a in fed}, first, graph.where
    )
    seen: set[str] = set()
    finished: list[str] = []
    for root in [*first, *sorted(population_nodes)]:
        stack = [] if root in seen else [(root, iter(fed[root]))]
        seen.add(root)
        while stack:
            name, targets = stack[-1]
            for target in targets:
                if target not in seen and (name, target) not in edges_that_take_a_step:
                    seen.add(target)
                    stack.append((target, iter(fed[target])))
                    break
            else:
                stack.pop()
                finished.append(name)
    within = {
        name: {n for n in before[name] if n in fed and (n, name) not in edges_that_take_a_step}
        for name in population_nodes
    }
    through_delays = {
        name: _before(graph, name, population_nodes, across=True) & set(population_nodes) for name in population_nodes
    }
    return _after_sources(finished[::-1], within, through_delays), edges_that_take_a_step


def _check_said(fed: dict[str, list[str]], delayed: tuple[Edge, ...]) -> None:
    """Refuse edges that are said to take a step and are not there."""
    for source, target in delayed:
        if target not in fed.get(source, ()):
            raise DeployError(
                f"no path leads from {source!r} to {target!r} within a step",
                where="--dialect",
                fix="Name two populations A and B of a loop: edge:A->B=delayed.",
            )


def _closing(fed: dict[str, list[str]], first: list[str], where: str) -> set[tuple[str, str]]:
    """Return the pairs whose target dominates the source; they are those that close loops in any walk."""
    loop = _loop(fed, set())
    if not loop:
        return set()
    names = sorted(fed)
    bit = {name: 1 << i for i, name in enumerate(names)}
    sources: dict[str, list[str]] = {name: [] for name in names}
    for source, targets in fed.items():
        for target in targets:
            sources[target].append(source)
    over = {name: bit[name] if name in first else (1 << len(names)) - 1 for name in names}
    changed = True
    while changed:
        changed = False
        for name in names:
            shared = 0 if name in first else (1 << len(names)) - 1
            for source in sources[name]:
                shared &= over[source]
            if shared | bit[name] != over[name]:
                over[name], changed = shared | bit[name], True
    closing = {(a, b) for a, targets in fed.items() for b in targets if over[a] & bit[b]}
    if loop := _loop(fed, closing):
        edges = [f"edge:{a}->{b}=delayed" for a, b in pairwise(loop)]
        raise DeployError(
            f"populations form a loop ({' -> '.join(loop)}), and the file does not say which edge takes a step",
            where=where,
            fix=f"Say it, in quotes: --dialect 'NAME,{edges[-1]}' (or {', '.join(edges[:-1])}), or add a Delay node"
            " to the file.",
        )
    return closing


def _loop(fed: dict[str, list[str]], edges_that_take_a_step: set[tuple[str, str]]) -> list[str]:
    """Return the nodes of a loop, the first again at its end; none if every loop has an edge that takes a step."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for source, targets in fed.items():
        for target in targets:
            if (source, target) not in edges_that_take_a_step:
                sorter.add(target, source)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _after_sources(names: list[str], needed: dict[str, set[str]], wished: dict[str, set[str]]) -> tuple[str, ...]:
    """Return names so that each comes after those it needs, and where that is possible after those wished for."""
    placed: list[str] = []
    done: set[str] = set()
    waiting = list(names)
    while waiting:
        ready = [name for name in waiting if needed[name] <= done]
        chosen = next((name for name in ready if wished[name] <= {*done, name}), ready[0])
        waiting.remove(chosen)
        placed.append(chosen)
        done.add(chosen)
    return tuple(placed)


def _before(graph: NirGraph, name: str, population_nodes: list[str], across: bool = False) -> set[str]:
    """Return all nodes from which ``name`` is reached without a head in between, or a delay unless ``across``."""
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


@dataclass(frozen=True, eq=False, slots=True)
class SynapsePath:
    """A path into a node: the input or neuron it starts at, its operations, and the steps that Delay nodes add."""

    source: str
    ops: tuple[SynapseOp, ...] = ()
    delay: int = 0


def _paths_into(
    graph: NirGraph, name: str, dt: float, population_nodes: list[str], on_path: tuple[str, ...] = ()
) -> list[SynapsePath]:
    """Return every path into a node, those that start at ``name`` itself last."""
    paths: list[SynapsePath] = []
    if not on_path and graph.nodes[name].kind not in NEURONS:
        paths = _through(graph, name, dt, population_nodes, (name,))
    else:
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
    return paths if on_path else sorted(paths, key=lambda path: (path.source == name, path.source))


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
    before = _paths_into(graph, name, dt, population_nodes, on_path)
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


def _population_shape(
    node: NirNode, name: str, paths: list[SynapsePath], shapes: dict[str, Shape], place: str
) -> Shape:
    """Return the shape that a head's inputs give, to which its parameters must broadcast."""
    given: set[Shape] = set()
    own = np.shape(np.asarray(node.params.get("v_threshold", node.params.get("r", node.params.get("threshold", 0.0)))))
    for path in paths:
        if path.source not in shapes and path.source != name:
            continue
        shape = shapes.get(path.source, next(iter(given), own))
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
        given.add(shape)
    if len(given) != 1:
        raise DeployError(
            f"the inputs of {name!r} have different shapes: {sorted(given)}",
            where=place,
            fix="Give all of them the same shape.",
        )
    return given.pop()


def _population(name: str, node: NirNode, shape: Shape, settings: Settings, place: str) -> Population:
    """Return the neurons of one node, discretised as its settings say."""
    assert settings.dt is not None
    node = _with_current(name, node, settings, shape, place)
    for key in ("tau", "tau_mem", "tau_syn"):
        tau = np.asarray(node.params.get(key, 1.0), dtype=np.float64)
        clamps = settings.gain == "unit"
        if (tau == 0).any() or ((tau < 0).any() and not clamps):
            raise DeployError(
                f"{node.kind} {name!r} has {key} down to {tau.min():g} s; a time constant must be above 0",
                where=place,
                fix="Correct the parameter in the model, and export it again.",
            )
        if settings.decay == "euler" and not clamps and (settings.dt > tau * settings.tau_scale * (1 + 1e-6)).any():
            raise DeployError(
                f"{node.kind} {name!r} has {key} down to {tau.min() * settings.tau_scale:g} s, which is below its time"
                f" step of {settings.dt:g} s: its state would change its sign in each step",
                where=place,
                fix="Check dt (and tau_scale) of --dialect, or train with time constants of at least one step.",
            )
    values = {
        key: _parameter(node, key, shape, place) for key in node.params if key not in ("input_type", "output_type")
    }
    zeros = np.zeros(shape)
    leak = values.get("v_leak", zeros)
    said = {key: _said(name, key, getattr(settings, key), shape, place) for key in BY_NEURON}
    v_reset = values.get("v_reset", zeros) if settings.v_reset is None else said["v_reset"]
    v_init = v_reset if settings.starts_at_reset else leak if settings.starts_at_leak else zeros
    decay_mem, gain_mem = _membrane(node.kind, values, settings, zeros)
    decay_syn, gain_syn = None, zeros + 1.0
    if "tau_syn" in values:
        decay_syn = _decay(values["tau_syn"], settings)
        w_in = values.get("w_in", zeros + 1.0)
        rate = settings.dt / (values["tau_syn"] * settings.tau_scale)
        gain_syn = _gain(w_in, rate, settings.gain_syn)
    bias = leak * (1.0 - decay_mem)
    try:
        return Population(
            name,
            shape,
            _rule(node.kind, settings),
            decay_mem=decay_mem,
            decay_syn=decay_syn,
            gain_mem=gain_mem,
            gain_syn=gain_syn,
            threshold=np.minimum(values.get("v_threshold", values.get("threshold", zeros + 1.0)), NEVER),
            bias=bias if settings.bias is None else said["bias"],
            v_reset=v_reset,
            v_init=v_init if settings.v_init is None else said["v_init"],
            v_min=said["min_v_mem"],
            **{key: said[key] for key in BY_NEURON if key.startswith(("adapt_", "decay_", "gain_", "i_"))},
            refractory=settings.refractory,
        )
    except ValueError as error:
        raise DeployError(
            f"{node.kind} {name!r} cannot be read: {error}",
            where=place,
            fix="Check the node's tau and r, and dt and the other keys of --dialect.",
        ) from error


def _with_current(name: str, node: NirNode, settings: Settings, shape: Shape, place: str) -> NirNode:
    """Return the node with the synaptic current that its dialect gives it; an IF then has a membrane without leak."""
    tau_syn = _said(name, "tau_syn", settings.tau_syn, shape, place)
    if tau_syn is None or node.kind not in ("IF", "LIF"):
        return node
    of_membrane = {key: value for key, value in node.params.items() if key != "tau"}
    taus = {"tau_mem": node.params.get("tau", np.inf), "tau_syn": tau_syn}
    return replace(node, kind="CubaLIF", params={**of_membrane, **taus})


def _rule(kind: str, settings: Settings) -> NeuronRule:
    """Return what neurons of a node do in a step; a Threshold has no memory that a framework could read otherwise."""
    assert settings.reset is not None
    fires, is_threshold = kind in FIRING, kind == "Threshold"
    return NeuronRule(
        spike=">" if is_threshold else settings.spike,
        reset="none" if not fires or is_threshold else settings.reset,
        reset_delay=settings.reset_delay,
        reset_drops_input=bool(settings.reset_drops_input),
        reset_before_decay=settings.reset_before_decay,
        reset_pending=settings.reset_pending and not settings.reset_delay,
        max_spikes=1 if is_threshold else settings.max_spikes or None,
        rounds=settings.rounds,
        signed=settings.signed,
        order=settings.order,
        adapts=settings.adapts,
        adapt_order=settings.adapt_order,
        reset_currents=settings.reset_currents,
        sums_input=settings.sums_input,
        output_delay=settings.output_delay if fires and not is_threshold else 0,
        fires=fires,
    )


def _membrane(
    kind: str, values: dict[str, NDArray[np.float64]], settings: Settings, zeros: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the membrane's decay and the gain on what enters it."""
    assert settings.dt is not None
    if kind == "Threshold":
        return zeros, zeros + 1.0
    if kind in ("IF", "I"):
        rate = zeros + settings.dt
        return zeros + 1.0, zeros + 1.0 if settings.gain == "unit" else _gain(values["r"], rate, "euler")
    tau = values.get("tau_mem", values.get("tau", zeros))
    decay = _decay(tau, settings)
    if settings.gain == "norm":
        return decay, 1.0 - decay
    if settings.gain == "unit":
        return decay, zeros + 1.0
    return decay, _gain(values["r"], settings.dt / (tau * settings.tau_scale), "euler")


def _decay(tau: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    """Return the factor that a state keeps in a step.

    A negative tau stands for a factor above 1, which frameworks clamp.
    """
    assert settings.dt is not None
    with np.errstate(over="ignore"):
        steps = settings.dt / (tau * settings.tau_scale)
    if settings.decay == "exp":
        return np.clip(np.exp(-steps), 0.0, 1.0)
    return np.where(tau < 0, 1.0, np.clip(1.0 - steps, 0.0, 1.0))


def _gain(factor: NDArray[np.float64], rate: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Return the factor on what enters a state; 1 where the product is 1 but for rounding, or infinity times zero."""
    if kind == "unit":
        return np.ones_like(factor)
    with np.errstate(invalid="ignore"):
        gain = factor * rate
    return np.where(np.isnan(gain) | (np.abs(gain - 1.0) < 1e-9), 1.0, gain)


def _parameter(node: NirNode, key: str, shape: Shape, place: str) -> NDArray[np.float64]:
    """Return a neuron parameter as float64 of the neuron's shape."""
    value = np.asarray(node.params[key], dtype=np.float64)
    try:
        return np.broadcast_to(value, shape)
    except ValueError as error:
        raise DeployError(
            f"{node.kind} has {key} of shape {value.shape}, but its inputs have shape {shape}",
            where=place,
            fix="Give the parameter the shape of the inputs, or one value.",
        ) from error


def _said(name: str, key: str, value: Any, shape: Shape, place: str) -> Any:
    """Return a setting as float64 of the neuron's shape, None if it is None."""
    if value is None:
        return None
    try:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), shape)
    except ValueError as error:
        raise DeployError(
            f"the metadata of {name!r} has {key} of shape {np.shape(value)}, but the neurons have shape {shape}",
            where=place,
            fix="Give one number, or one for each neuron.",
        ) from error


def _shape(node: NirNode) -> Shape:
    return tuple(int(n) for n in np.atleast_1d(node.params["shape"]))


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
