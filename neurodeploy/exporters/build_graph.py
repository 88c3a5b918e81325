"""Build a NIR graph from a trace: every operation becomes a node, everything that passes between two an edge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import nir
import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter
from neurodeploy.exporters.draft import INPUT, Draft, DraftNode, Source
from neurodeploy.exporters.layers import Maximum, Neurons, Total
from neurodeploy.exporters.nir_nodes import integrator, layer_node, maximum_of_spikes, maximum_of_values
from neurodeploy.exporters.readout import Readout, find_readout
from neurodeploy.exporters.sent import Sent
from neurodeploy.exporters.simplify import simplify
from neurodeploy.exporters.trace import Trace
from neurodeploy.ir.recording import RESERVED_NAMES
from neurodeploy.ir.synapses import Flatten, Scale, Shape

Edge = tuple[str, str]


@dataclass(frozen=True, eq=False, slots=True)
class BuiltGraph:
    """Nodes and edges of a NIR graph, what is read, and what is to be said about it.

    neurons: modules by node. order: nodes of each neuron module, call by call.
    readout: what the model returns; its readings carry the final nodes' names.
    """

    nodes: dict[str, Any]
    edges: tuple[Edge, ...]
    neurons: dict[str, Any]
    order: dict[str, list[str]]
    readout: Readout
    findings: tuple[str, ...]

    @property
    def outputs(self) -> tuple[str, ...]:
        """What is read, ``NODE`` or ``NODE.v``."""
        return tuple(dict.fromkeys(reading.name for reading in self.readout.readings))


def build_graph(trace: Trace, adapter: Adapter, sample_shape: Shape, dt: float, binary_input: bool) -> BuiltGraph:
    """Return the NIR nodes and edges of a traced model.

    Args:
        trace: of :func:`neurodeploy.exporters.trace.trace_model`; its draft is rewritten.
        adapter: of the model's framework.
        sample_shape: of the input, without time and batch.
        dt: seconds per step.
        binary_input: whether the input is known to be spikes.

    Raises:
        DeployError: the trace is no network of layers and neurons, or a module has an option that NIR lacks.
    """
    draft = trace.draft
    _check_names(draft)
    _check_steps(draft, trace.n_steps)
    sent = Sent(draft, adapter, dt)
    readout = find_readout(trace, sent)
    simplify(draft, set(readout.nodes))
    readout = _bypassed(draft, readout)
    builder = _Builder(draft, adapter, dt, binary_input, sent)
    entries = {node.name: builder.add(node) for node in draft.nodes.values()}
    for node in draft.nodes.values():
        builder.connect(node, entries[node.name])
    _check_fed(draft)
    entry = _free_name("input", builder.nodes)
    builder.nodes[entry] = nir.Input({"input": np.array(sample_shape)})
    edges = [(entry if source == INPUT else source, target) for source, target in builder.edges]
    for index, name in enumerate(readout.nodes):
        exit_name = _free_name("output" if len(readout.nodes) == 1 else f"output_{index}", builder.nodes)
        builder.nodes[exit_name] = nir.Output({"output": np.array(draft.nodes[name].leaving)})
        edges.append((name, exit_name))
    neurons = {name: module for name, module in trace.modules.items() if name in draft.nodes}
    lines = (*builder.findings, *readout.findings, *_looks(trace))
    return BuiltGraph(
        dict(sorted(builder.nodes.items())), tuple(sorted(set(edges))), neurons, trace.order, readout, lines
    )


class _Builder:
    """Collects NIR nodes and edges."""

    def __init__(self, draft: Draft, adapter: Adapter, dt: float, binary_input: bool, sent: Sent) -> None:
        self.nodes: dict[str, Any] = {}
        self.edges: list[Edge] = []
        self.findings: list[str] = []
        self._exits: dict[str, str] = {}
        self._draft, self._adapter, self._dt, self._binary, self._sent = draft, adapter, dt, binary_input, sent

    def add(self, node: DraftNode) -> str:
        """Add a node; returns the name of the node that takes its input."""
        if isinstance(node.op, Neurons):
            return self._add_neurons(node, node.op.module)
        if isinstance(node.op, Maximum):
            return self._add_maximum(node, node.op)
        if isinstance(node.op, Total):
            self.nodes[node.name] = integrator(node.op, self._dt)
            return node.name
        self.nodes[node.name] = layer_node(node.name, node.op, node.entering)
        return node.name

    def connect(self, node: DraftNode, entry: str) -> None:
        """Add the edges that lead into a node."""
        for source in node.slots[0].terms:
            self._connect(source, node, entry)

    def _add_neurons(self, node: DraftNode, module: Any) -> str:
        made = self._adapter.nodes(node.name, module, node.leaving, self._dt)
        self.nodes[node.name] = made.node
        self.findings += made.findings
        entering = self._in_a_row(f"{node.name}.w_in", made.entering)
        recurrent = self._in_a_row(f"{node.name}.w_rec", made.recurrent)
        if recurrent:
            self.edges += pairwise((node.name, *recurrent, node.name))
        if made.leaving is not None:
            exit_name = self._exits[node.name] = f"{node.name}.w_out"
            self.nodes[exit_name] = made.leaving
            self.edges.append((node.name, exit_name))
        for index, (taken, current, fed_back) in enumerate(made.currents):
            name = f"{node.name}.i_{index}"
            self.nodes |= {name: current, f"{name}.w_in": taken}
            self.edges += pairwise((entering[-1], f"{name}.w_in", name, node.name))
            if back := self._in_a_row(f"{name}.w_rec", fed_back):
                self.edges += pairwise((node.name, *back, name))
        self.edges += pairwise(entering if made.currents else (*entering, node.name))
        return entering[0] if entering else node.name

    def _in_a_row(self, name: str, made: Any) -> list[str]:
        """Add synapses of a neuron's own to the nodes, if it has any; returns what they are called."""
        row = [] if made is None else made if isinstance(made, list) else [made]
        names = [name if not index else f"{name}_{index}" for index in range(len(row))]
        self.nodes.update(zip(names, row, strict=True))
        return names

    def _add_maximum(self, node: DraftNode, op: Maximum) -> str:
        terms = list(node.slots[0].terms)
        if len(terms) > 1:
            return self._add_maximum_of_counts(node, op)
        if not self._sent.is_binary(terms[0].node, self._binary):
            self.nodes[node.name] = maximum_of_values(node.name, op)
            return node.name
        total, self.nodes[node.name] = maximum_of_spikes(node.name, op, node.entering)
        self.nodes[f"{node.name}.sum"] = total
        self.edges.append((f"{node.name}.sum", node.name))
        return f"{node.name}.sum"

    def _add_maximum_of_counts(self, node: DraftNode, op: Maximum) -> str:
        """Add the largest of sums of spikes: of each count that a sum can reach, whether any of a window reaches it."""
        terms = list(node.slots[0].terms)
        if not all(self._sent.is_binary(source.node, self._binary) for source in terms):
            raise DeployError(
                f"{node.name} takes the largest of sums of values that are not spikes",
                where=node.name,
                fix="Pool each summand before they are added, or use an average pool.",
            )
        entry = f"{node.name}.count"
        self.nodes[entry] = nir.Scale(np.ones(node.entering))
        self.nodes[node.name] = nir.Scale(np.ones(node.leaving))
        for count in range(1, len(terms) + 1):
            reaches, window, found = (f"{node.name}.{what}_{count}" for what in ("from", "sum", "any"))
            self.nodes[reaches] = nir.Threshold(np.full(node.entering, count - 0.5))
            self.nodes[window], self.nodes[found] = maximum_of_spikes(node.name, op, node.entering)
            self.edges += pairwise((entry, reaches, window, found, node.name))
        return entry

    def _connect(self, source: Source, node: DraftNode, entry: str) -> None:
        """Add the edge from a source, with a Delay node where it takes steps that no recurrence implies."""
        steps = 0 if source.delay == 1 and _returns(self._draft, source.node, node) else source.delay
        start = self._exits.get(source.node, source.node)
        if not steps:
            self.edges.append((start, entry))
            return
        shape = self._draft.nodes[source.node].leaving if source.node != INPUT else node.entering
        name = _free_name(f"{node.name}.delay", self.nodes)
        self.nodes[name] = nir.Delay(np.full(shape, steps * self._dt))
        self.edges += [(start, name), (name, entry)]


def _returns(draft: Draft, source: str, node: DraftNode) -> bool:
    """Tell whether what a population sends into ``node`` comes back to it through layers alone."""
    seen, frontier = {node.name}, [node.name]
    while frontier:
        current = frontier.pop()
        if current == source:
            return draft.nodes[source].is_neuron if source in draft.nodes else False
        if draft.nodes[current].is_neuron:
            continue
        for other in draft.nodes.values():
            given = [s for slot in other.slots for s in slot.terms if s.node == current and not s.delay]
            if given and other.name not in seen:
                seen.add(other.name)
                frontier.append(other.name)
    return False


def _bypassed(draft: Draft, readout: Readout) -> Readout:
    """Return the readout with nodes that only pass on another's output left out of the draft."""
    readings = []
    for reading in readout.readings:
        node = draft.nodes[reading.node]
        terms = list(node.slots[0].terms)
        passes = isinstance(node.op, Scale) and (node.op.scale == 1).all() and node.slots[0].is_bare
        if passes and len(terms) == 1 and not terms[0].delay and not _is_flatten(draft, terms[0].node):
            del draft.nodes[node.name]
            reading = replace(reading, node=terms[0].node)
        readings.append(reading)
    return replace(readout, readings=tuple(readings))


def _is_flatten(draft: Draft, name: str) -> bool:
    """Tell whether a node only gives another shape, which readers of the graph look through; so does the input."""
    return name == INPUT or isinstance(draft.nodes[name].op, Flatten)


def _check_names(draft: Draft) -> None:
    for name in draft.nodes:
        if "/" in name or name in RESERVED_NAMES:
            raise DeployError(
                f"a module cannot be called {name!r}",
                where=name,
                fix="Rename the attribute; the files that neurodeploy writes reserve this name.",
            )


def _check_steps(draft: Draft, n_steps: int) -> None:
    """Refuse nodes that are not computed once in each step."""
    for name, node in draft.nodes.items():
        if node.steps == {n_steps - 1} and n_steps > 1:
            raise DeployError(
                f"{name} is computed only once, after the last step",
                where=name,
                fix="Call it in each step, and sum or average its results; for a mean over time the result is the"
                " same.",
            )
        if None not in node.steps and len(node.steps) != n_steps:
            raise DeployError(
                f"{name} is computed in only {len(node.steps)} of {n_steps} steps",
                where=name,
                fix="Use each module once in every step; a network on a chip does the same in all of them.",
            )


def _check_fed(draft: Draft) -> None:
    """Refuse nodes that the input does not reach."""
    for name, node in draft.nodes.items():
        if not any(slot.terms for slot in node.slots):
            raise DeployError(
                f"{name} does not depend on the input", where=name, fix="Remove it; constants cannot be exported."
            )
    if not any(source.node == INPUT for node in draft.nodes.values() for slot in node.slots for source in slot.terms):
        raise DeployError(
            "nothing that the model returns comes from its input",
            where="the model",
            fix="Let forward return spikes or membrane potentials of the last neurons.",
        )


def _looks(trace: Trace) -> list[str]:
    return [
        f"forward looks at a value in {place}: only the branch that the check's data takes is exported"
        for place in dict.fromkeys(trace.looks)
    ]


def _free_name(name: str, taken: dict[str, Any]) -> str:
    while name in taken:
        name += "_"
    return name
