"""Find which layers feed which: run the model once and follow the tensors from operation to operation.

A tensor's origin is known by its identity. Neurons are seen through hooks, all else through torch's function overrides,
whether a module or a function calls it. An operation that no node stands for marks its result; the mark is refused
where it reaches a layer or a neuron and is only noted where it does not, since what a model computes from its output
is no part of the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from neurodeploy.exporters.adapter import Adapter
from neurodeploy.exporters.adapters import clear_states
from neurodeploy.exporters.convention import Convention, outputs_of
from neurodeploy.exporters.draft import INPUT, Draft
from neurodeploy.exporters.follow import Follower
from neurodeploy.exporters.neuron_calls import NeuronCalls
from neurodeploy.exporters.origins import Origins, TorchCall
from neurodeploy.exporters.sent import Sent
from neurodeploy.exporters.signals import SPIKES, Signal, Tap, V, equal, tensors

_POTENTIALS = ("v", "mem", "v_mem", "vmem")
_LOOKS = ("bool", "item", "int", "index", "float", "tolist", "equal", "allclose", "nonzero", "is_nonzero")


@dataclass(slots=True)
class Trace:
    """The result of tracing a model.

    draft: the nodes. modules: neuron modules by node. order: nodes of each neuron module, call by call.
    returned: signals of what the model returned, call by call.
    looks: where the model looked at a value. n_steps: that were traced.
    """

    draft: Draft = field(default_factory=Draft)
    modules: dict[str, Any] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)
    returned: list[list[Signal]] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    n_steps: int = 0


@dataclass(eq=False, slots=True)
class Wanted:
    """Signals whose tensors are to be kept.

    signals: to look for, at whatever step. seen: for each the tensors found, with their axes and step.
    """

    signals: list[Signal]
    seen: list[list[tuple[tuple[Any, ...], int | None, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seen = [[] for _ in self.signals]

    def look(self, tensor: Any, signal: Signal) -> None:
        """Keep a tensor if it is one of those that are wanted."""
        if not signal.is_plain or signal.lead is None or len(signal.steps) > 1:
            return
        for index, wanted in enumerate(self.signals):
            given = {(tap.node, tap.port): factor for tap, factor in signal.terms.items()}
            asked = {(tap.node, tap.port): factor for tap, factor in wanted.terms.items()}
            same = given.keys() == asked.keys() and all(equal(given[key], asked[key]) for key in given)
            if same and equal(signal.offset, wanted.offset) and signal.shape == wanted.shape and "1" not in signal.axes:
                self.seen[index].append((signal.axes, signal.latest, tensor.clone()))


def trace_model(
    model: Any,
    adapter: Adapter,
    neurons: dict[str, Any],
    convention: Convention,
    x: Any,
    wanted: Wanted | None = None,
) -> Trace:
    """Run a model and return the network that its tensors draw.

    Args:
        model: the module.
        adapter: of its framework.
        neurons: its neurons by path.
        convention: how it is called.
        x: input [T, B, *shape].
        wanted: told of every tensor that is followed, or None.

    Raises:
        DeployError: something that is not supported feeds a layer or a neuron, or a neuron's state is changed from
            outside.
    """
    clear_states(adapter, neurons, x.shape[1])
    tracer = _Tracer(adapter, neurons, x, wanted)
    with tracer.hooks(model), torch.no_grad(), tracer:
        for output in outputs_of(model, convention, x, tracer.mark_input):
            tracer.note_returned(output[0] if convention.passes_state else output)
    return tracer.trace


class _Tracer(TorchFunctionMode):
    """Follows tensors while it is active."""

    def __init__(self, adapter: Adapter, neurons: dict[str, Any], x: Any, wanted: Wanted | None) -> None:
        super().__init__()
        self.trace = Trace(n_steps=len(x))
        self._adapter, self._neurons, self._wanted = adapter, neurons, wanted
        self._extent = {"T": len(x), "B": x.shape[1]}
        self._signals: dict[int, tuple[Any, Signal]] = {}  # the tensor is kept, so that its id stays its own
        self._calling: list[tuple[str, Signal]] = []
        self._inside = 0
        self._path: list[tuple[str, bool]] = []
        sent = Sent(self.trace.draft, adapter)
        self._origins = Origins(self.trace.draft, self._extent, self.signal_of, self._place, sent, self._marked)
        self._follower = Follower(self._origins)
        self._neuron_calls = NeuronCalls(self.trace.draft, adapter, self._origins)
        self.trace.modules = self._neuron_calls.modules

    def signal_of(self, tensor: Any) -> Signal | None:
        """Return the origin of a tensor."""
        return self._signals.get(id(tensor), (None, None))[1]

    def _marked(self) -> list[tuple[Any, Signal]]:
        """Return all tensors that are followed, with their origins."""
        return list(self._signals.values())

    def mark(self, tensor: Any, signal: Signal) -> None:
        """Remember the origin of a tensor."""
        self._signals[id(tensor)] = (tensor, signal)
        if self._wanted is not None:
            self._wanted.look(tensor, signal)

    def mark_input(self, tensor: Any, axes: tuple[str, ...], step: int | None) -> None:
        """Remember that a tensor is the model's input; ``axes`` names those that are no features."""
        shape = tuple(n for n, axis in zip(tensor.shape, _padded(axes, tensor.dim()), strict=True) if axis is None)
        numbers = iter(range(len(shape)))
        labels = tuple(next(numbers) if axis is None else axis for axis in _padded(axes, tensor.dim()))
        self.mark(tensor, Signal(labels, shape, {Tap(INPUT, SPIKES, step): 1.0}))

    def note_returned(self, output: Any) -> None:
        """Note the origins of what a call of the model returned."""
        found = [self.signal_of(part) for part in tensors(output)]
        self.trace.returned.append([signal for signal in found if signal is not None])

    @contextmanager
    def hooks(self, model: Any) -> Iterator[None]:
        """Hook every module of a model, while the context lasts."""
        names = {id(module): name for name, module in self._neurons.items()}
        with ExitStack() as handles:
            for path, module in model.named_modules():
                if (name := names.get(id(module))) is not None:
                    before, after = self._enter_neuron(name), self._leave_neuron(name)
                else:
                    is_leaf = next(iter(module.children()), None) is None
                    before, after = self._enter(path, is_leaf), self._leave
                handles.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
                handles.callback(module.register_forward_hook(after, with_kwargs=True).remove)
            yield

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and follow what comes out of it."""
        if not self._inside:
            self._origins.watch_rest(getattr(func, "__name__", ""), args)
        out = func(*args, **(kwargs or {}))
        if not self._inside:
            self._inside += 1
            try:
                self._note(func, args, kwargs or {}, out)
            finally:
                self._inside -= 1
        return out

    def _note(self, func: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        taken = [s for s in map(self.signal_of, tensors((args, tuple(kwargs.values())))) if s is not None]
        name = getattr(func, "__name__", str(func)).strip("_")
        if taken and name in _LOOKS and (name == "nonzero" or not isinstance(out, torch.Tensor)):
            self.trace.looks.append(self._path[-1][0] if self._path and self._path[-1][0] else "forward")
        for tensor, signal in self._follower.follow(TorchCall(name, func, args, kwargs, out, taken)):
            self.mark(tensor, signal)

    def _place(self, operation: str) -> str:
        """Return how a node that is computed now is called: by its module, or by the function in a larger module."""
        path, is_leaf = self._path[-1] if self._path else ("", False)
        if is_leaf and path:
            return path
        return f"{path}.{operation}" if path else operation

    def _enter(self, path: str, is_leaf: bool) -> Any:
        def hook(module: Any, args: Any, kwargs: Any) -> None:
            self._path.append((path, is_leaf))

        return hook

    def _leave(self, module: Any, args: Any, kwargs: Any, out: Any) -> None:
        self._path.pop()

    def _enter_neuron(self, name: str) -> Any:
        def hook(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            self._inside += 1
            if self._inside == 1:
                node, signal = self._neuron_calls.enter(name, module, args, kwargs)
                self.trace.order.setdefault(name, []).append(node)
                self._calling.append((node, signal))

        return hook

    def _leave_neuron(self, name: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any, out: Any) -> None:
            self._inside -= 1
            if self._inside:
                return
            node, entering = self._calling.pop()
            result = out[0] if isinstance(out, tuple) else out
            made = self.trace.draft.nodes[node]
            step = None if entering.lead != "B" else made.last
            n_lead = len(entering.axes) - len(entering.shape)
            made.leaving = tuple(result.shape[n_lead:])
            axes = (*entering.axes[:n_lead], *range(len(made.leaving)))
            kept = self._adapter.left(module, out)
            self._neuron_calls.leave(node, kept)
            for state, value in {**kept, **self._adapter.views(module, out)}.items():
                if state != "spk" and value.dim() == len(axes):
                    port = V if state in _POTENTIALS else state
                    self.mark(value, Signal(axes, made.leaving, {Tap(node, port, step): 1.0}))
            self.mark(result, Signal(axes, made.leaving, {Tap(node, SPIKES, step): 1.0}))

        return hook


def _padded(axes: tuple[str, ...], rank: int) -> tuple[str | None, ...]:
    """Return axes as one label for each, None for features; ``*`` stands for all features between others."""
    n_features = rank - len([axis for axis in axes if axis != "*"])
    if "*" not in axes:
        axes = (*axes, "*")
    at = axes.index("*")
    return (*axes[:at], *((None,) * n_features), *axes[at + 1 :])
