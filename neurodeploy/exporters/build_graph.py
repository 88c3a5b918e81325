"""From a trace to a NIR graph: every module becomes a node, every tensor that passes between two an edge."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from torch import nn

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter
from neurodeploy.exporters.trace import INPUT, Trace, TracedNode
from neurodeploy.recording import RESERVED_NAMES
from neurodeploy.synapses import Shape

Edge = tuple[str, str]


@dataclass(frozen=True, eq=False, slots=True)
class BuiltGraph:
    """Nodes and edges of a NIR graph, which neurons are read, and what is to be said about it."""

    nodes: dict[str, Any]
    edges: tuple[Edge, ...]
    outputs: tuple[str, ...]
    findings: tuple[str, ...]


def build_graph(
    trace: Trace, adapter: Adapter, neurons: dict[str, Any], sample_shape: Shape, n_steps: int, dt: float
) -> BuiltGraph:
    """Return the NIR nodes and edges of a traced model.

    Args:
        trace: of :func:`neurodeploy.exporters.trace.trace_model`.
        adapter: of the model's framework.
        neurons: the model's neurons by path.
        sample_shape: of the input, without time and batch.
        n_steps: steps that were traced.
        dt: seconds per step.

    Raises:
        DeployError: the trace is no network of layers and neurons, or a module has an option that NIR lacks.
    """
    _check_names(trace)
    _check_calls(trace, n_steps)
    _check_delays(trace, neurons)
    _check_ends(trace, neurons)
    nodes, edges, findings = {}, list(trace.edges), []
    for name, node in trace.nodes.items():
        if name not in neurons:
            own = None if node.module is None else adapter.layer_node(name, node.module)
            nodes[name] = layer_node(name, node) if own is None else own
            continue
        made = adapter.nodes(name, node.module, node.leaving, dt)
        nodes[name] = made.node
        findings += made.findings
        if entering := _in_a_row(f"{name}.w_in", made.entering, nodes):
            edges = [(source, entering[0] if target == name else target) for source, target in edges]
            edges += pairwise((*entering, name))
        if recurrent := _in_a_row(f"{name}.w_rec", made.recurrent, nodes):
            edges += pairwise((name, *recurrent, name))
        if made.leaving is not None:
            nodes[f"{name}.w_out"] = made.leaving
            edges = [(f"{name}.w_out" if source == name else source, target) for source, target in edges]
            edges.append((name, f"{name}.w_out"))
    findings += [f"{name}: never called, left out" for name in neurons if name not in trace.nodes]
    outputs = tuple(sorted(name for name in neurons if name in trace.nodes and not _feeds_other(trace, neurons, name)))
    entry = _free_name("input", nodes)
    nodes[entry] = nir.Input({"input": np.array(sample_shape)})
    edges = [(entry if source == INPUT else source, target) for source, target in edges]
    for index, name in enumerate(outputs):
        exit_name = _free_name("output" if len(outputs) == 1 else f"output_{index}", nodes)
        nodes[exit_name] = nir.Output({"output": np.array(trace.nodes[name].leaving)})
        edges.append((name, exit_name))
    return BuiltGraph(
        dict(sorted(nodes.items())), tuple(sorted(edges)), outputs, (*findings, *_readout(trace, outputs))
    )


def _in_a_row(name: str, made: Any, nodes: dict[str, Any]) -> list[str]:
    """Add synapses of a neuron's own to the nodes, if it has any; returns what they are called."""
    row = [] if made is None else made if isinstance(made, list) else [made]
    names = [name if not index else f"{name}_{index}" for index in range(len(row))]
    nodes.update(zip(names, row, strict=True))
    return names


def _check_names(trace: Trace) -> None:
    for name in trace.nodes:
        if "/" in name or name in RESERVED_NAMES:
            raise DeployError(
                f"a module cannot be called {name!r}",
                where=name,
                fix="Rename the attribute; files keep that name for themselves.",
            )


def _check_calls(trace: Trace, n_steps: int) -> None:
    """Refuse modules that are not called once for each step; layers may also take all steps at once."""
    for name, count in trace.calls.items():
        if count != n_steps and not (name in trace.whole and count == 1):
            raise DeployError(
                f"{name} is called {count} times in {n_steps} steps",
                where=name,
                fix="Call every module once for each step; for shared weights, give each place a module of its own.",
            )


def _check_delays(trace: Trace, neurons: dict[str, Any]) -> None:
    """Refuse paths that skip time; only a neuron's own recurrence takes a step."""
    for (source, target), delays in sorted(trace.edges.items()):
        returns = source in neurons and target not in neurons and source in _reached(trace, neurons, target)
        if delays != {1 if returns else 0}:
            steps = " or ".join(str(delay) for delay in sorted(delays))
            raise DeployError(
                f"{_named(source)} reaches {target} after {steps} steps",
                where=f"{_named(source)} -> {target}",
                fix=(
                    "Layers act within the step; only a population's recurrence onto itself, through nn.Linear or in a "
                    "recurrent neuron of the framework, takes one."
                ),
            )


def _check_ends(trace: Trace, neurons: dict[str, Any]) -> None:
    """Refuse layers that lead to no neuron, and nodes that the input does not reach."""
    fed = {target for _, target in trace.edges}
    for name in trace.nodes:
        if name not in fed:
            raise DeployError(
                f"{name} is not fed from the input", where=name, fix="Remove it; constants cannot be exported."
            )
        if name not in neurons and not _reached(trace, neurons, name):
            raise DeployError(
                f"the output of {name} reaches no neuron",
                where=name,
                fix="End the network with a neuron; readouts without one are not supported.",
            )


def _feeds_other(trace: Trace, neurons: dict[str, Any], name: str) -> bool:
    """Tell whether a neuron's spikes reach another neuron."""
    return bool(
        {reached for source, target in trace.edges if source == name for reached in _reached(trace, neurons, target)}
        - {name}
    )


def _reached(trace: Trace, neurons: dict[str, Any], start: str) -> set[str]:
    """Return the neurons that ``start`` reaches through layers alone, ``start`` itself if it is one."""
    found, seen, frontier = set(), {start}, [start]
    while frontier:
        name = frontier.pop()
        if name in neurons:
            found.add(name)
            continue
        following = {target for source, target in trace.edges if source == name} - seen
        seen |= following
        frontier += following
    return found


def _readout(trace: Trace, outputs: tuple[str, ...]) -> list[str]:
    """Return what the model returns beyond, or instead of, the spikes of its outputs."""
    spikes = {name for signal in trace.returned if not signal.is_state and not signal.broken for name in signal.names}
    states = {name for signal in trace.returned if signal.is_state for name in signal.names}
    findings = [
        f"{name}: the model returns its state and not its spikes; the exported network is read by its spikes"
        for name in outputs
        if name in states - spikes
    ]
    made = sorted({signal.broken for signal in trace.returned if signal.broken and not signal.is_state})
    return findings + [
        f"readout: {what} is applied to the output spikes and is no part of the network" for what in made
    ]


def layer_node(name: str, node: TracedNode) -> Any:
    """Return the NIR node of a layer, or of a flattening in code."""
    module = node.module
    if module is None:
        return nir.Flatten({"input": np.array(node.entering)}, start_dim=node.start, end_dim=-1)
    if isinstance(module, nn.Linear):
        weight = module.weight.detach().numpy().copy()
        return nir.Linear(weight) if module.bias is None else nir.Affine(weight, module.bias.detach().numpy().copy())
    if isinstance(module, nn.Conv2d):
        return _conv_node(name, module, node.entering)
    if isinstance(module, nn.AvgPool2d):
        return _pool_node(name, module)
    return _flatten_node(name, node)


def _conv_node(name: str, module: Any, entering: Shape) -> Any:
    if module.padding_mode != "zeros":
        raise DeployError(f"padding_mode={module.padding_mode!r}", where=name, fix="NIR pads with zeros only.")
    weight = module.weight.detach().numpy().copy()
    bias = np.zeros(weight.shape[0], np.float32) if module.bias is None else module.bias.detach().numpy().copy()
    return nir.Conv2d(
        input_shape=(entering[1], entering[2]),
        weight=weight,
        stride=_pair(module.stride),
        padding=_padding(name, module),
        dilation=_pair(module.dilation),
        groups=int(module.groups),
        bias=bias,
    )


def _padding(name: str, module: Any) -> tuple[int, int]:
    if module.padding == "valid":
        return (0, 0)
    if module.padding == "same":
        total = [d * (k - 1) for d, k in zip(_pair(module.dilation), _pair(module.kernel_size), strict=True)]
        if any(extent % 2 for extent in total):
            raise DeployError(
                "padding='same' with an even kernel pads one side more",
                where=name,
                fix="Use an odd kernel, or padding in numbers.",
            )
        return (total[0] // 2, total[1] // 2)
    return _pair(module.padding)


def _pool_node(name: str, module: Any) -> Any:
    padding = _pair(module.padding)
    if module.ceil_mode:
        raise DeployError(
            "ceil_mode=True", where=name, fix="NIR's pooling drops what does not fill a window: use ceil_mode=False."
        )
    if module.divisor_override is not None:
        raise DeployError(
            f"divisor_override={module.divisor_override}", where=name, fix="NIR's pooling divides by the window's area."
        )
    if any(padding) and not module.count_include_pad:
        raise DeployError("count_include_pad=False with padding", where=name, fix="NIR's pooling counts the padding.")
    stride = module.kernel_size if module.stride is None else module.stride
    return nir.AvgPool2d(np.array(_pair(module.kernel_size)), np.array(_pair(stride)), np.array(padding))


def _flatten_node(name: str, node: TracedNode) -> Any:
    """Return NIR's node, whose axes do not count the batch (nor time, where the module took a sequence)."""
    module, entering, rank = node.module, node.entering, len(node.entering)
    start, end = (axis - node.n_lead if axis >= 0 else axis + rank for axis in (module.start_dim, module.end_dim))
    if not 0 <= start <= end < rank:
        raise DeployError(
            f"nn.Flatten({module.start_dim}, {module.end_dim}) joins the batch with features",
            where=name,
            fix="Start at axis 1, or at 2 for sequences.",
        )
    return nir.Flatten({"input": np.array(entering)}, start_dim=start, end_dim=end)


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _named(source: str) -> str:
    return "the input" if source == INPUT else source


def _free_name(name: str, taken: dict[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name
