"""From a NIR graph and its dialect to a float network in discrete time."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.importers.dialects import NEURONS, Dialect, Settings, settle_dialect
from neurodeploy.importers.nir_graph import NirGraph, NirNode, graph_from_nir, read_graph
from neurodeploy.network import Network, Population, Projection
from neurodeploy.rule import NeuronRule
from neurodeploy.synapses import Conv2d, Flatten, Linear, Pool2d, Scale, Shape, SynapseOp

Way = tuple[str, tuple[SynapseOp, ...]]
"""A way into a node: the input or neuron it starts at, and the operations on it."""


def read_network(model: Path | str | Any, dialect: str | None = None) -> tuple[Network, Dialect, NirGraph]:
    """Read a model and lower it.

    Args:
        model: path of a ``.nir`` file, or an in-memory ``nir.NIRGraph``.
        dialect: as given to ``--dialect``, or None.

    Returns:
        The network, how each neuron was read and why, and the graph.

    Raises:
        DeployError: see :func:`read_graph`, :func:`settle_dialect` and :func:`lower`.
    """
    graph = read_graph(model) if isinstance(model, (str, Path)) else graph_from_nir(model)
    settled = settle_dialect(graph, dialect)
    return lower(graph, settled), settled, graph


def lower(graph: NirGraph, dialect: Dialect) -> Network:
    """Return the network that the dialect computes.

    Every chain of linear nodes between two neurons becomes one projection; where several edges meet in front of a
    linear node, each becomes a projection of its own, and the bias stays with the first. A neuron's synapses onto
    itself take one step.

    Raises:
        DeployError: a node does not fit what feeds it, a loop runs through several neurons, an output is not a
            neuron, or neurons differ in their time step.
    """
    inputs = {name: _shape(node) for name, node in graph.nodes.items() if node.kind == "Input"}
    if not inputs:
        raise DeployError(
            "the graph has no Input node", where=graph.where, fix="Add one with the shape of one step's input."
        )
    shapes = dict(inputs)
    populations, projections = {}, []
    for name in _neurons_in_order(graph):
        ways = _ways_into(graph, name)
        if not ways:
            raise DeployError(f"nothing reaches neuron {name!r}", where=graph.where, fix="Connect it or remove it.")
        place = f"{graph.where}, node {name!r}"
        shape = _population_shape(graph.nodes[name], name, ways, shapes, place)
        populations[name] = _population(name, graph.nodes[name], shape, dialect.settings[name], place)
        shapes[name] = shape
        projections += [Projection(source, name, ops, delay=int(source == name)) for source, ops in ways]
    outputs = _outputs(graph)
    dts = sorted({float(settings.dt or 0) for settings in dialect.settings.values()})
    if len(dts) != 1:
        raise DeployError(f"neurons have time steps of {dts} s", where=graph.where, fix="Give all the same dt.")
    return Network(inputs, tuple(populations.values()), tuple(projections), outputs, dts[0], dialect.name, graph.sha256)


def _neurons_in_order(graph: NirGraph) -> tuple[str, ...]:
    """Return the neurons so that each comes after those that feed it within a step."""
    feeds = {name: set() for name, node in graph.nodes.items() if node.kind in NEURONS}  # type: dict[str, set[str]]
    for name in feeds:
        feeds[name] = {source for source in _neurons_before(graph, name) if source != name}
    try:
        return tuple(TopologicalSorter({name: sorted(feeds[name]) for name in sorted(feeds)}).static_order())
    except CycleError as error:
        loop = " -> ".join(reversed(error.args[1]))
        raise DeployError(
            f"neurons form a loop ({loop}), and NIR does not say which of its edges takes a step",
            where=graph.where,
            fix="Only loops of one neuron population onto itself are supported.",
        ) from error


def _neurons_before(graph: NirGraph, name: str) -> set[str]:
    """Return the neurons whose spikes reach ``name`` through linear nodes."""
    found: set[str] = set()
    seen: set[str] = set()
    frontier = [name]
    while frontier:
        for source in graph.sources(frontier.pop()):
            if graph.nodes[source].kind in NEURONS:
                found.add(source)
            elif source not in seen:
                seen.add(source)
                frontier.append(source)
    return found


def _ways_into(graph: NirGraph, name: str, on_path: tuple[str, ...] = ()) -> list[Way]:
    """Return every way into a node, those that start at ``name`` itself last."""
    ways: list[Way] = []
    for source in graph.sources(name):
        node = graph.nodes[source]
        if source in on_path:
            raise DeployError(
                f"linear nodes form a loop ({' -> '.join((*on_path, source))})",
                where=graph.where,
                fix="Remove an edge of it.",
            )
        if node.kind == "Input" or node.kind in NEURONS:
            ways.append((source, ()))
        else:
            before = _ways_into(graph, source, (*on_path, source))
            op = _operation(node, f"{graph.where}, node {source!r}")
            ways += [(start, (*ops, op if i == 0 else _without_bias(op))) for i, (start, ops) in enumerate(before)]
    target = on_path[0] if on_path else name
    return sorted(ways, key=lambda way: (way[0] == target, way[0])) if not on_path else ways


def _population_shape(node: NirNode, name: str, ways: list[Way], shapes: dict[str, Shape], place: str) -> Shape:
    """Return the neuron's shape: what its feed-forward inputs give, to which its parameters must broadcast."""
    threshold = np.shape(node.params["v_threshold"])
    given: set[Shape] = set()
    for source, ops in ways:
        shape = threshold if source == name else shapes[source]
        for op in ops:
            try:
                shape = op.output_shape(shape)
            except ValueError as error:
                raise DeployError(
                    f"on the way from {source!r} to {name!r}, {type(op).__name__} {error}",
                    where=place,
                    fix="Check the shapes of the nodes in between.",
                ) from error
        given.add(shape)
    if len(given) != 1:
        raise DeployError(
            f"what meets in {name!r} has shapes {sorted(given)}", where=place, fix="All must be the same."
        )
    return given.pop()


def _population(name: str, node: NirNode, shape: Shape, settings: Settings, place: str) -> Population:
    """Return the neurons of one node, discretised as its settings say."""
    assert settings.dt is not None
    assert settings.reset is not None
    values = {
        key: _parameter(node, key, shape, place) for key in node.params if key not in ("input_type", "output_type")
    }
    zeros = np.zeros(shape)
    tau_mem = values.get("tau_mem", values.get("tau", np.full(shape, np.inf)))
    decay_mem = _decay(tau_mem, settings)
    rate_mem = np.full(shape, settings.dt) if node.kind == "IF" else settings.dt / tau_mem
    decay_syn, gain_syn = None, zeros + 1.0
    if node.kind == "CubaLIF":
        decay_syn = _decay(values["tau_syn"], settings)
        w_in = values.get("w_in", zeros + 1.0)
        gain_syn = _gain(w_in, settings.dt / values["tau_syn"], settings)
    leak = values.get("v_leak", zeros) * (1.0 - decay_mem)
    rule = NeuronRule(
        spike=settings.spike,
        reset=settings.reset,
        reset_delay=settings.reset_delay,
        reset_drops_input=bool(settings.reset_drops_input),
        reset_pending=not settings.reset_delay and settings.gain == "unit",
    )
    return Population(
        name,
        shape,
        rule,
        decay_mem=decay_mem,
        decay_syn=decay_syn,
        gain_mem=_gain(values["r"], rate_mem, settings),
        gain_syn=gain_syn,
        threshold=values["v_threshold"],
        bias=leak if settings.bias is None else settings.bias,
        v_reset=values.get("v_reset", zeros) if settings.v_reset is None else settings.v_reset,
        v_init=0.0 if settings.v_init is None else settings.v_init,
    )


def _decay(tau: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    """Return the factor that a state keeps in a step.

    A negative tau stands for a factor above 1, which frameworks clamp.
    """
    assert settings.dt is not None
    if settings.decay == "exp":
        return np.clip(np.exp(-settings.dt / tau), 0.0, 1.0)
    return np.where(tau < 0, 1.0, np.clip(1.0 - settings.dt / tau, 0.0, 1.0))


def _gain(r: NDArray[np.float64], rate: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    """Return the factor on what enters a state; 1 where the product is 1 but for rounding, or infinity times zero."""
    with np.errstate(invalid="ignore"):
        gain = r * rate
    if settings.gain == "unit":
        return np.where(np.isnan(gain) | (np.abs(gain - 1.0) < 1e-3), 1.0, gain)
    return gain


def _parameter(node: NirNode, key: str, shape: Shape, place: str) -> NDArray[np.float64]:
    """Return a neuron parameter as float64 of the neuron's shape."""
    value = np.asarray(node.params[key], dtype=np.float64)
    try:
        return np.broadcast_to(value, shape)
    except ValueError as error:
        raise DeployError(
            f"{node.kind} has {key} of shape {value.shape}, its inputs give {shape}",
            where=place,
            fix="Make them the same.",
        ) from error


def _operation(node: NirNode, place: str) -> SynapseOp:
    """Return a linear node as an operation."""
    params = node.params
    try:
        match node.kind:
            case "Affine" | "Linear":
                return Linear(params["weight"], params.get("bias"))
            case "Conv2d":
                kernel = np.shape(params["weight"])[2:]
                stride, dilation = _pair(params["stride"]), _pair(params["dilation"])
                padding = _padding(params["padding"], kernel, stride, dilation)
                return Conv2d(params["weight"], params["bias"], stride, padding, dilation, int(params["groups"]))
            case "SumPool2d" | "AvgPool2d":
                kernel, stride, padding = (_pair(params[key]) for key in ("kernel_size", "stride", "padding"))
                return Pool2d(kernel, stride, padding, mean=node.kind == "AvgPool2d")
            case "Flatten":
                return Flatten(int(params["start_dim"]), int(params["end_dim"]))
            case "Scale":
                return Scale(params["scale"])
    except (ValueError, TypeError) as error:
        raise DeployError(f"{node.kind} cannot be read: {error}", where=place, fix="Export the model again.") from error
    raise DeployError(f"a {node.kind} cannot stand before a neuron", where=place, fix="Connect it otherwise.")


def _without_bias(op: SynapseOp) -> SynapseOp:
    if isinstance(op, Linear):
        return Linear(op.weight)
    if isinstance(op, Conv2d):
        return Conv2d(op.weight, None, op.stride, op.padding, op.dilation, op.groups)
    return op


def _pair(value: Any) -> tuple[int, int]:
    numbers = np.broadcast_to(np.asarray(value, dtype=np.int64), (2,))
    return int(numbers[0]), int(numbers[1])


def _padding(value: Any, kernel: Shape, stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Return padding as a pair; ``same`` is taken where it is symmetric."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str) and value == "valid":
        return 0, 0
    if isinstance(value, str):
        extents = [dilation[axis] * (kernel[axis] - 1) for axis in (0, 1)]
        if value != "same" or stride != (1, 1) or any(extent % 2 for extent in extents):
            raise ValueError(f"padding {value!r} with kernel {kernel} and stride {stride}")
        return extents[0] // 2, extents[1] // 2
    return _pair(value)


def _shape(node: NirNode) -> Shape:
    return tuple(int(n) for n in np.atleast_1d(node.params["shape"]))


def _outputs(graph: NirGraph) -> tuple[str, ...]:
    """Return the neurons that the graph's Output nodes read."""
    found: list[str] = []
    for name, node in graph.nodes.items():
        if node.kind != "Output":
            continue
        for source in graph.sources(name):
            while graph.nodes[source].kind == "Flatten" and len(graph.sources(source)) == 1:
                source = graph.sources(source)[0]
            if graph.nodes[source].kind not in NEURONS:
                raise DeployError(
                    f"output {name!r} reads {source!r}, a {graph.nodes[source].kind}",
                    where=graph.where,
                    fix="Only spiking outputs are supported; end the model in neurons.",
                )
            if source not in found:
                found.append(source)
    if not found:
        raise DeployError(
            "no neuron reaches an Output node", where=graph.where, fix="Connect the last neurons to an Output."
        )
    return tuple(found)
