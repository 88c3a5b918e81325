"""The readout of a model: the nodes that it returns, and the rule by which its return decides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.exporters.by_step import accumulated
from neurodeploy.exporters.draft import INPUT, Draft, slot_of
from neurodeploy.exporters.hints import hint_for, said
from neurodeploy.exporters.sent import Sent
from neurodeploy.exporters.signals import SPIKES, Signal, Tap, V, equal
from neurodeploy.exporters.trace import Trace
from neurodeploy.ir.synapses import Flatten, Scale


@dataclass(frozen=True, eq=False, slots=True)
class Reading:
    """One thing that the model returns.

    node: in the draft. port: what is read of it, its output or ``v``. rule: how its steps became one, or None.
    groups: into how many groups of neighbouring units, or None. signal: of one step, as the trace knows it.
    """

    node: str
    port: str
    rule: str | None
    groups: int | None
    signal: Signal

    @property
    def name(self) -> str:
        """How metadata calls it: ``NODE`` or ``NODE.v``."""
        return f"{self.node}.{self.port}" if self.port else self.node


@dataclass(frozen=True, eq=False, slots=True)
class Readout:
    """The nodes that are read of a model.

    readings: in the order in which they are returned. findings: lines to print. undecided: what the model does to its
    outputs that no rule of ours is, or empty.
    """

    readings: tuple[Reading, ...]
    findings: tuple[str, ...]
    undecided: str = ""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that are read, each once."""
        return tuple(dict.fromkeys(reading.node for reading in self.readings))

    @property
    def decision(self) -> str | None:
        """The rule that the model's own return follows, as ``--decide`` takes it; None if it says none."""
        if len(self.readings) != 1:
            return None
        (reading,) = self.readings
        if reading.rule is None:
            return None
        groups = "" if reading.groups is None else f",groups={reading.groups}"
        return f"{reading.rule}{groups},output={reading.name}"


def find_readout(trace: Trace, sent: Sent) -> Readout:
    """Return what a traced model returns; nodes are added to the draft where it returns more than one node's output.

    Raises:
        DeployError: it has no neurons, and returns what is no layer's output.
    """
    returned = [_whole(signal, trace) for signal in (trace.returned[0] if trace.returned else [])]
    broken = [signal.broken for signal in returned if signal.broken]
    findings = [
        f"readout: {said(cause)} is applied to the output but does not belong to the network"
        "; say --decide where it changes which output is the largest"
        for cause in broken
    ]
    undecided = f"the model applies {said(broken[-1])} to its output" if broken else ""
    readings = _readings(returned, trace, sent)
    if not readings:
        readings = _last_neurons(trace.draft)
        findings.append("readout: the model returns nothing that is followed; the last neurons are read")
        undecided = "nothing that the model returns is followed"
    findings += [f"readout: {_words(reading)}" for reading in readings if reading.rule]
    is_clear = len(broken) < len(returned)
    return Readout(tuple(readings), tuple(dict.fromkeys(findings)), "" if is_clear else undecided)


def _whole(signal: Signal, trace: Trace) -> Signal:
    """Return a returned signal as one step and the rule by which its steps became one, or marked as broken."""
    if signal.rule == "max" and signal.latest not in (None, trace.n_steps - 1):
        signal = replace(signal, broken="maximum()")
    if "members" in signal.axes:
        signal = replace(signal, broken="reshape()")
    signal = accumulated(signal, trace.n_steps)
    if not signal.broken and not signal.rule and len(signal.steps) > 1:
        signal = replace(signal, broken="a sum of steps that weights them differently, or adds to them,")
    if signal.broken and not trace.modules:
        raise DeployError(
            f"{said(signal.broken)} is not supported in a module without neurons",
            where="what the model returns",
            fix=hint_for(signal.broken),
        )
    return signal


def _readings(returned: list[Signal], trace: Trace, sent: Sent) -> list[Reading]:
    """Return what is read of returned signals, of broken ones the nodes that they come from: the last nodes, if any."""
    draft = trace.draft
    found: dict[tuple[str, str], Reading] = {}
    for signal in returned:
        taps = sorted({(tap.node, tap.port) for tap in signal.terms if tap.node != INPUT})
        for one in [_bare(Tap(*tap, None), draft) for tap in taps] if signal.broken else [signal]:
            reading = _reading(one, trace, sent)
            if reading is not None:
                found.setdefault((reading.node, reading.port), reading)
    readings = list(found.values())
    return [reading for reading in readings if not feeds_other(draft, reading.node)] or readings


def _last_neurons(draft: Draft) -> list[Reading]:
    """Return what reads the neurons that feed no others."""
    ends = [name for name, node in draft.nodes.items() if node.is_neuron and not feeds_other(draft, name)]
    return [Reading(name, SPIKES, None, None, _bare(Tap(name, SPIKES, None), draft)) for name in sorted(ends)]


def feeds_other(draft: Draft, name: str) -> bool:
    """Tell whether what a node sends reaches neurons other than itself."""
    seen, frontier = {name}, [name]
    while frontier:
        for node in draft.users(frontier.pop()):
            if node.name not in seen:
                if node.is_neuron:
                    return True
                seen.add(node.name)
                frontier.append(node.name)
    return False


def _bare(tap: Tap, draft: Draft) -> Signal:
    shape = draft.nodes[tap.node].leaving
    return Signal(("B", *range(len(shape))), shape, {tap: 1.0})


def _reading(signal: Signal, trace: Trace, sent: Sent) -> Reading | None:
    """Return what a returned signal reads; None for states other than v, and for the input."""
    ports = {tap.port for tap in signal.terms}
    if not signal.terms or INPUT in signal.nodes or ports - {SPIKES, V} or len(ports) > 1:
        return None
    (port,) = ports
    rule = signal.rule
    one_step = replace(signal, rule=None, groups=None)
    is_scalar = np.ndim(signal.offset) == 0 and all(np.ndim(f) == 0 and f > 0 for f in signal.terms.values())
    if len(signal.terms) == 1 and (port == V or (is_scalar and (rule or _is_unit(signal)))):
        (tap,) = signal.terms
        node = tap.node
        if isinstance(trace.draft.nodes[node].op, Flatten):
            return _flattened(signal, trace, sent)
        if not (is_scalar and port == V) and not (rule or _is_unit(signal)):
            return None
        plain = replace(one_step, terms={tap: 1.0}, offset=0.0)
        fires = port == SPIKES and sent.fires(node)
        return Reading(node, port, "count" if rule in ("sum", "mean") and fires else rule, signal.groups, plain)
    if port == V:
        return None
    return _as_values(signal, trace)


def _flattened(signal: Signal, trace: Trace, sent: Sent) -> Reading | None:
    """Return what reads a node that gives another shape to neurons' spikes, which are read, or to other values."""
    (tap,) = signal.terms
    (slot,) = trace.draft.nodes[tap.node].slots
    sources = list(slot.terms)
    if len(sources) == 1 and slot.is_bare and sources[0].node != INPUT and not sources[0].delay:
        source = trace.draft.nodes[sources[0].node]
        if source.is_neuron:
            axes = ("B", *range(len(source.leaving)))
            factor = signal.terms[tap]
            terms = {Tap(source.name, sources[0].port, tap.step): factor}
            return _reading(replace(signal, axes=axes, shape=source.leaving, terms=terms), trace, sent)
    return _as_values(signal, trace)


def _as_values(signal: Signal, trace: Trace) -> Reading:
    """Return what reads a signal through a node of its own."""
    one_step = replace(signal, rule=None, groups=None)
    slot, shape = slot_of(one_step, signal.latest), signal.shape or (1,)
    node = trace.draft.add("output_values", Scale(np.ones(1, np.float32)), [slot], shape, shape, None)
    return Reading(node, SPIKES, signal.rule, signal.groups, one_step)


def _is_unit(signal: Signal) -> bool:
    return equal(signal.offset, 0.0) and all(equal(factor, 1.0) for factor in signal.terms.values())


def _words(reading: Reading) -> str:
    what = {
        "count": "spikes are counted",
        "sum": "its values are added up over time",
        "mean": "its values are averaged over time",
        "max": "its largest value over time decides",
        "last": "its last step decides",
    }.get(reading.rule or "", f"{reading.rule} over time")
    groups = f", in {reading.groups} groups of units" if reading.groups else ""
    return f"the model's own return says how {reading.name} decides: {what}{groups}"
