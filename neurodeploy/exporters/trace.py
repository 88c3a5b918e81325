"""Which modules feed which: run the model once and follow the tensors from layer to layer.

A tensor's origin is known by its identity. Layers and neurons are seen through hooks; what happens between them through
torch's function overrides. An operation that no NIR node stands for marks its result; the mark is refused where it
reaches a layer or a neuron and is only noted where it does not, since what a model computes from its output spikes is
no part of the network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, first_argument
from neurodeploy.exporters.adapters import clear_states
from neurodeploy.exporters.convention import Convention, outputs_of
from neurodeploy.exporters.signals import Flattening, Signal, Source, follow
from neurodeploy.synapses import Shape

LAYERS = (nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.Flatten)
TRANSPARENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
SUPPORTED = (
    "nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.Flatten, nn.Dropout, nn.Identity; flatten and reshape of all but time and "
    "batch, a + b, picking a time step, stacking time steps"
)
INPUT = "<input>"
AXES = {
    "B": "one time step",
    "TB": "all time steps at once (steps, samples)",
    "BT": "all time steps at once (samples, steps)",
    "t": "all time steps at once, steps and samples on one axis",
    "b": "all time steps at once, samples and steps on one axis",
}
"""The leading axes of tensors, in words."""

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True, eq=False, slots=True)
class TracedNode:
    """A module, or a flattening in code, that became part of the network.

    module: None for a flattening in code. entering, leaving: shapes without time and batch. n_lead: how many axes
    those are. start: first axis that a flattening in code joins.
    """

    module: Any
    entering: Shape
    leaving: Shape = ()
    n_lead: int = 1
    start: int = 0


@dataclass(slots=True)
class Trace:
    """What was seen.

    nodes: by module path. edges: (source, target) to the steps between them; INPUT is a source. calls: of each node.
    whole: nodes that took all steps at once, or the same input at each. returned: signals of what the model returned.
    """

    nodes: dict[str, TracedNode] = field(default_factory=dict)
    edges: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    whole: set[str] = field(default_factory=set)
    returned: list[Signal] = field(default_factory=list)


def trace_model(model: Any, adapter: Adapter, neurons: dict[str, Any], convention: Convention, x: Any) -> Trace:
    """Run a model and return the network that its tensors draw.

    Args:
        model: the module.
        adapter: of its framework.
        neurons: its neurons by path.
        convention: how it is called.
        x: input [T, B, *shape].

    Raises:
        DeployError: something that is not supported feeds a layer or a neuron, or a neuron's state is changed from
            outside.
    """
    clear_states(adapter, neurons, x.shape[1])
    tracer = _Tracer(adapter, neurons)
    handles = list(tracer.attach(model))
    try:
        with torch.no_grad(), tracer:
            for output in outputs_of(model, convention, x, tracer.mark_input):
                for part in _tensors(output):
                    if (signal := tracer.signal_of(part)) is not None:
                        tracer.trace.returned.append(signal)
    finally:
        for handle in handles:
            handle.remove()
    return tracer.trace


class _Tracer(TorchFunctionMode):
    """Follows tensors while it is active."""

    def __init__(self, adapter: Adapter, neurons: dict[str, Any]) -> None:
        super().__init__()
        self.trace = Trace()
        self._adapter = adapter
        self._neurons = neurons
        self._signals: dict[int, tuple[Any, Signal]] = {}  # the tensor is kept, so that its id stays its own
        self._left: dict[str, dict[str, Any]] = {}
        self._flattenings: dict[tuple[frozenset[str], int], str] = {}
        self._filled: dict[int, int] = {}  # steps that were written into a buffer, from the first on
        self._leaving = Signal(frozenset(), "B", ())
        self._inside = 0
        self._path: list[str] = []

    def signal_of(self, tensor: Any) -> Signal | None:
        """Return the origin of a tensor."""
        return self._signals.get(id(tensor), (None, None))[1]

    def mark(self, tensor: Any, signal: Signal) -> None:
        """Remember the origin of a tensor."""
        self._signals[id(tensor)] = (tensor, signal)

    def mark_input(self, tensor: Any, lead: str, step: int | None) -> None:
        """Remember that a tensor is the model's input."""
        self.mark(tensor, Signal(frozenset({(INPUT, step)}), lead, tuple(tensor.shape[len(lead) :])))

    def attach(self, model: Any) -> Iterator[Any]:
        """Hook every module of a model; gives the handles."""
        names = {id(module): name for name, module in self._neurons.items()}
        for path, module in model.named_modules():
            name = names.get(id(module), path or type(module).__name__.lower())
            if id(module) in names or _keeps_forward(module, (*LAYERS, *self._adapter.layers)):
                before, after = self._enter_node(name), self._leave_node(name)
            elif _keeps_forward(module, TRANSPARENT):
                before, after = self._enter_opaque, self._leave_transparent
            elif _is_foreign(module):
                before, after = self._enter_opaque, self._leave_foreign(f"{path}: {type(module).__name__}")
            else:
                before, after = self._enter_container(path), self._leave_container
            yield module.register_forward_pre_hook(before, with_kwargs=True)
            yield module.register_forward_hook(after, with_kwargs=True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and follow what comes out of it."""
        out = func(*args, **(kwargs or {}))
        if not self._inside:
            self._inside += 1
            self._follow(func, args, kwargs or {}, out)
            self._inside -= 1
        return out

    def _follow(self, func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        taken = [s for s in map(self.signal_of, _tensors((args, tuple(kwargs.values())))) if s is not None]
        name = getattr(func, "__name__", str(func)).strip("_")
        if not taken or name.endswith("_like") or name.startswith("new_"):
            return
        if name == "setitem":
            self._collect(args, taken)
        elif name == "unbind":
            self._unbind(args, kwargs, out)
        elif isinstance(out, torch.Tensor):
            outcome = follow(name, args, kwargs, self.signal_of, out)
            if isinstance(outcome, Flattening):
                outcome = self._flatten(taken[0], outcome)
            self.mark(out, outcome or self._broken(taken, f"{name}()", out))
        else:
            for part in _tensors(out):
                self.mark(part, self._broken(taken, f"{name}()", part))

    def _broken(self, taken: list[Signal], what: str, out: Any) -> Signal:
        """Return the mark for something that no node stands for; the first cause is kept."""
        cause = next((signal.broken for signal in taken if signal.broken), None)
        where = f" in {self._path[-1]}" if self._path and self._path[-1] else ""
        sources: frozenset[Source] = frozenset().union(*(signal.sources for signal in taken))
        is_state = all(signal.is_state for signal in taken)
        return Signal(sources, "B", tuple(out.shape[1:]), is_state, cause or f"{what}{where}")

    def _collect(self, args: Any, taken: list[Signal]) -> None:
        """Follow ``buffer[t] = signal``, step after step from the first, into a buffer of all steps."""
        buffer, index, value = args[0], args[1], self.signal_of(args[2])
        before = self.signal_of(buffer)
        step = self._filled.get(id(buffer), 0)
        if value is not None and not value.broken and value.lead == "B" and isinstance(index, int) and index == step:
            whole = value.at(None, "TB")
            if value == value.at(step, "B") and before == (whole if step else None):
                self._filled[id(buffer)] = step + 1
                self.mark(buffer, whole)
                return
        self.mark(buffer, self._broken(taken, "an assignment to part of a tensor", buffer))

    def _unbind(self, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        signal = self.signal_of(args[0])
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        for step, part in enumerate(out):
            if signal is not None and not signal.broken and signal.lead[dim : dim + 1] == "T":
                self.mark(part, signal.at(step, "B"))
            elif signal is not None:
                self.mark(part, self._broken([signal], "unbind()", part))

    def _flatten(self, signal: Signal, made: Flattening) -> Signal:
        """Return the output of a flattening in code, which becomes a node; the same one at every step."""
        if signal.is_state:
            return replace(signal, shape=made.shape)
        key = (signal.names, made.start)
        if key not in self._flattenings:
            count = len(self._flattenings)
            name = "flatten" if not count else f"flatten_{count}"
            while name in self.trace.nodes or name in self._neurons:
                name += "_"
            self._flattenings[key] = name
            self.trace.nodes[name] = TracedNode(None, signal.shape, made.shape, start=made.start)
        name = self._flattenings[key]
        return replace(self._connect(name, signal), shape=made.shape)

    def _connect(self, name: str, signal: Signal) -> Signal:
        """Note the edges into a node, and return the node's output; its shape is the input's still."""
        call = self.trace.calls[name]
        self.trace.calls[name] += 1
        is_whole = signal.lead != "B"
        if name not in self._neurons and signal.sources:
            is_whole = is_whole or all(step is None for _, step in signal.sources)
        for source, step in signal.sources:
            delay = 0 if step is None else call - step
            self.trace.edges.setdefault((source, name), set()).add(delay)
        if is_whole:
            self.trace.whole.add(name)
            return Signal(frozenset({(name, None)}), signal.lead, signal.shape)
        return Signal(frozenset({(name, call)}), signal.lead, signal.shape)

    def _enter_node(self, name: str) -> Any:
        def hook(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            self._inside += 1
            if self._inside > 1:
                return
            signal = self._usable(name, first_argument(args, kwargs))
            if name in self._neurons:
                self._check_lead(name, module, signal.lead)
                self._check_state(name, module, args, kwargs)
            n_lead = self._adapter.frame_axes(module, signal.lead)
            self.trace.nodes.setdefault(name, TracedNode(module, signal.shape, n_lead=n_lead))
            if self.trace.nodes[name].entering != signal.shape:
                raise DeployError(
                    f"{name} is given shapes {list(self.trace.nodes[name].entering)} and {list(signal.shape)}",
                    where=name,
                    fix="Use a module of its own for each place in the network.",
                )
            self._leaving = self._connect(name, signal)

        return hook

    def _leave_node(self, name: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any, out: Any) -> None:
            self._inside -= 1
            if self._inside:
                return
            result = out[0] if isinstance(out, tuple) else out
            signal = replace(self._leaving, shape=tuple(result.shape[len(self._leaving.lead) :]))
            self.trace.nodes[name] = replace(self.trace.nodes[name], leaving=signal.shape)
            if name in self._neurons:
                kept = self._adapter.left(module, out)
                self._left[name] = {state: value.clone() for state, value in kept.items()}
                for value in kept.values():
                    self.mark(value, replace(signal, is_state=True))
            self.mark(result, signal)

        return hook

    def _usable(self, name: str, tensor: Any) -> Signal:
        """Return the signal that enters a node, or refuse it."""
        signal = self.signal_of(tensor)
        call = self.trace.calls[name]
        if signal is None:
            if call == 0 and not tensor.any():
                return Signal(frozenset(), "B", tuple(tensor.shape[1:]))  # a recurrence before its first spike
            raise DeployError(
                f"{name} is given a tensor that does not come from the input (call {call + 1})",
                where=name,
                fix="Constants cannot be exported; fold them into a bias.",
            )
        if signal.broken:
            hint = (
                "Fold it into the layer before it, then export. "
                if "BatchNorm" in signal.broken or "batch_norm" in signal.broken
                else ""
            )
            raise DeployError(
                f"{signal.broken} is not supported, and its result feeds {name}",
                where=name,
                fix=f"{hint}Supported are {SUPPORTED}.",
            )
        if signal.is_state:
            raise DeployError(
                f"a state of {', '.join(sorted(signal.names))} (membrane potential or current) feeds {name}",
                where=name,
                fix="Feed spikes forward; neurons on a chip pass on nothing else.",
            )
        return signal

    def _check_lead(self, name: str, module: Any, lead: str) -> None:
        """Refuse a signal whose axes of time and batch are not those that the neuron takes."""
        wanted = self._adapter.lead(module)
        if lead != wanted:
            raise DeployError(
                f"{name} is given {AXES[lead]}, and takes {AXES[wanted]}",
                where=name,
                fix=f"Call neurons as {self._adapter.label} defines them.",
            )

    def _check_state(self, name: str, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Refuse a state that is not the one the neuron left, or not fresh before the first step."""
        shape = first_argument(args, kwargs).shape
        given, left = self._adapter.given(module, args, kwargs), self._left.get(name, {})
        for state in {**given, **left}:
            value, before = given.get(state), left.get(state)
            if before is None and (value is None or value.shape != shape or not value.any()):
                continue
            if before is not None and value is not None and torch.equal(before, value):
                continue
            said = (
                "does not start from zero"
                if before is None
                else f"is changed by the model before call {self.trace.calls[name] + 1}"
            )
            raise DeployError(
                f"{state} of {name} {said}",
                where=name,
                fix="Leave states to the neuron: start from zero, pass on what it returned, reset once a sample.",
            )

    def _enter_opaque(self, module: Any, args: Any, kwargs: Any) -> None:
        self._inside += 1

    def _leave_transparent(self, module: Any, args: Any, kwargs: Any, out: Any) -> None:
        self._inside -= 1
        signal = self.signal_of(args[0])
        if signal is not None and not self._inside:
            self.mark(out, signal)

    def _leave_foreign(self, what: str) -> Any:
        def hook(module: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
            self._inside -= 1
            taken = [s for s in map(self.signal_of, _tensors((args, tuple(kwargs.values())))) if s is not None]
            if taken and not self._inside:
                for part in _tensors(out):
                    cause = self._broken(taken, what, part)
                    self.mark(part, replace(cause, broken=next((s.broken for s in taken if s.broken), what)))

        return hook

    def _enter_container(self, path: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any) -> None:
            self._path.append(path)

        return hook

    def _leave_container(self, module: Any, args: Any, kwargs: Any, out: Any) -> None:
        self._path.pop()


def _keeps_forward(module: Any, kinds: tuple[Any, ...]) -> bool:
    return any(isinstance(module, kind) and type(module).forward is kind.forward for kind in kinds)


def _is_foreign(module: Any) -> bool:
    """Tell whether a module is a building block of torch or snnTorch rather than the user's own arrangement of some."""
    origin = type(module).__module__
    return origin.startswith(("torch.", "snntorch.")) and not isinstance(module, _CONTAINERS)


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
