"""The calls of neurons while a model runs: which node each is, and the states that carry it on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, first_argument
from neurodeploy.exporters.draft import INPUT, Draft, Source, slot_of
from neurodeploy.exporters.layers import Neurons
from neurodeploy.exporters.origins import Origins
from neurodeploy.exporters.signals import Signal

AXES = {
    "B": "one time step",
    "TB": "all time steps at once (steps, samples)",
    "BT": "all time steps at once (samples, steps)",
    "t": "all time steps at once, steps and samples on one axis",
    "b": "all time steps at once, samples and steps on one axis",
}
"""The leading axes of tensors, in words."""


@dataclass(eq=False, slots=True)
class _Left:
    """The states that a neuron left: the tensors themselves, and what was in them."""

    tensors: dict[str, Any]
    values: dict[str, Any]


class NeuronCalls:
    """Finds the node of each call of a neuron module.

    Args:
        draft: where nodes are added. adapter: of the model's framework. origins: of tensors.

    modules: neuron modules by node.
    """

    def __init__(self, draft: Draft, adapter: Adapter, origins: Origins) -> None:
        self.modules: dict[str, Any] = {}
        self._draft, self._adapter, self._origins = draft, adapter, origins
        self._left: dict[str, _Left] = {}
        self._latest: dict[str, int | None] = {}

    def enter(self, name: str, module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[str, Signal]:
        """Return the node of a call, and the signal that enters it.

        Args:
            name: of the neurons. module: that is called. args, kwargs: what it is called with.

        Raises:
            DeployError: the signal cannot enter neurons, or the state is none that a call left.
        """
        signal = self._usable(name, first_argument(args, kwargs))
        self._check_lead(name, module, signal)
        return self._node(name, module, signal, args, kwargs), signal

    def leave(self, node: str, kept: dict[str, Any]) -> None:
        """Note the states that a call left."""
        self._left[node] = _Left(dict(kept), {state: value.clone() for state, value in kept.items()})

    def _node(self, name: str, module: Any, signal: Signal, args: Any, kwargs: dict[str, Any]) -> str:
        """Return the node of a call: that whose state is carried on, or a new one."""
        node = self._carried_on(name, module, signal, args, kwargs)
        is_whole = signal.lead != "B"
        if node is None:
            return self._new(name, module, signal, None if is_whole else 0)
        if is_whole:
            raise DeployError(
                f"{name} is called twice, each time with all time steps",
                where=name,
                fix="Use a module of neurons of its own at each place in the network.",
            )
        self._step(node, name, signal)
        return node

    def _new(self, name: str, module: Any, signal: Signal, step: int | None) -> str:
        """Return a new node for neurons that start at a step."""
        node = self._draft.add(name, Neurons(module), [slot_of(signal, step)], signal.shape, (), step)
        self.modules[node] = module
        self._latest[node] = signal.latest
        _check_future(node, signal, step)
        return node

    def _step(self, node: str, name: str, signal: Signal) -> None:
        """Note that the neurons of a node are called with their next step."""
        made = self._draft.nodes[node]
        step = (made.last or 0) + 1
        slots = [slot_of(signal, step)]
        if made.entering != signal.shape:
            raise DeployError(
                f"{name} is called with inputs of different shapes: {list(made.entering)} and {list(signal.shape)}",
                where=name,
                fix="Use a module of its own for each place in the network.",
            )
        _check_future(node, signal, step)
        if not made.accepts(slots, step):
            is_again = signal.latest is not None and signal.latest == self._latest.get(node)
            raise _unsteady(name, made, slots[0], is_again)
        made.take(slots, step)
        self._latest[node] = signal.latest

    def _carried_on(self, name: str, module: Any, signal: Signal, args: Any, kwargs: Any) -> str | None:
        """Return the node whose state a call starts from, None for one that starts afresh.

        Raises:
            DeployError: the state is none that a node left, or not fresh where it has to be.
        """
        shape = first_argument(args, kwargs).shape
        given = {state: value for state, value in self._adapter.given(module, args, kwargs).items()}
        nodes = self._draft.uses.get(name, [])
        for is_same in (_is_same_object, _is_equal):
            for node in nodes:
                left = self._left[node]
                if left.tensors and all(is_same(given.get(state), left, state) for state in left.tensors):
                    return node
        if nodes and not any(self._left[node].tensors for node in nodes):
            return nodes[-1]
        changed = next((s for s, v in given.items() if v is not None and v.shape == shape and bool(v.any())), None)
        if not nodes and changed is not None:
            raise _foreign_state(f"{changed} of {name} does not start from zero", name)
        if nodes and (changed is not None or signal.latest not in (None, 0)):
            state = changed or next(iter(self._left[nodes[-1]].tensors))
            calls = (self._draft.nodes[nodes[-1]].last or 0) + 2
            what = "is changed by the model" if changed else "is set to zero by the model"
            raise _foreign_state(f"{state} of {name} {what} before call {calls}", name)
        return None

    def _usable(self, name: str, tensor: Any) -> Signal:
        """Return the signal that enters neurons, or refuse it."""
        signal = self._origins.signal_or_rest(tensor)
        if signal is None:
            raise DeployError(
                f"{name} is given a tensor that does not come from the input",
                where=name,
                fix="Fold the constant into a bias; constants cannot be exported.",
            )
        self._origins.check(signal, name)
        return signal

    def _check_lead(self, name: str, module: Any, signal: Signal) -> None:
        """Refuse a signal whose axes of time and batch are not those that the neuron takes."""
        wanted = self._adapter.lead(module)
        if signal.lead != wanted:
            given = AXES.get(signal.lead or "", "axes in an order of its own")
            raise DeployError(
                f"{name} is given {given}, but takes {AXES[wanted]}",
                where=name,
                fix=f"Call the neurons as {self._adapter.label} defines.",
            )


def _check_future(node: str, signal: Signal, step: int | None) -> None:
    """Refuse neurons that are given a step that is yet to come."""
    if step is not None and signal.latest is not None and signal.latest > step:
        raise DeployError(
            f"{_named(signal)} reaches {node} after {step - signal.latest} steps",
            where=node,
            fix="Feed step t of the input to step t of the neurons.",
        )


def _unsteady(name: str, made: Any, slot: Any, is_again: bool) -> DeployError:
    """Return the refusal of neurons that are given something else at a step than before."""
    if is_again:
        return DeployError(
            f"{name} is used twice in a step",
            where=name,
            fix="Use a module of neurons of its own at each place in the network; this one has one state for all.",
        )

    same = "A network on a chip has the same connections, factors and delays at every step"
    if slot.terms and slot.terms.keys() == made.slots[0].terms.keys():
        return DeployError(
            f"{name} is given {_called(next(iter(slot.terms)).node)} with other factors or offsets at each step",
            where=name,
            fix=f"{same}: let all steps share one normalisation (BatchNorm, not one for each step), and finetune.",
        )

    return DeployError(
        f"{name} is given {_words(slot.terms)} at one step and {_words(made.slots[0].terms)} at another",
        where=name,
        fix=f"{same}.",
    )


def _words(terms: dict[Source, Any]) -> str:
    parts = [f"{_called(s.node)}{f' {s.delay} steps before' if s.delay else ''}" for s in sorted(terms)]
    return " + ".join(parts) or "nothing"


def _foreign_state(what: str, name: str) -> DeployError:
    return DeployError(
        what,
        where=name,
        fix="Start from zero states, pass on the states that the neuron returned, and reset once per sample. If forward"
        " itself starts from zero, let it loop over all steps.",
    )


def _is_same_object(given: Any, left: _Left, state: str) -> bool:
    return given is left.tensors[state] and _is_equal(given, left, state)


def _is_equal(given: Any, left: _Left, state: str) -> bool:
    return given is not None and given.shape == left.values[state].shape and torch.equal(given, left.values[state])


def _called(node: str) -> str:
    return "the input" if node == INPUT else node


def _named(signal: Signal) -> str:
    return " and ".join(_called(node) for node in sorted(signal.nodes))
