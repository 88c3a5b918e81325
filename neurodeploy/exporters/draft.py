"""The network as it is being traced: nodes with their operation, and what each was given, relative to its step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from neurodeploy.exporters.layers import Neurons, Operation
from neurodeploy.exporters.signals import Signal, equal
from neurodeploy.ir.synapses import Shape

INPUT = "<input>"


class Source(NamedTuple):
    """What a node takes: another node's output (or state), so many steps before its own."""

    node: str
    port: str = ""
    delay: int = 0


@dataclass(eq=False, slots=True)
class Slot:
    """What a node is given: ``sum(factor * source) + offset``."""

    terms: dict[Source, Any]
    offset: Any = 0.0

    @property
    def is_bare(self) -> bool:
        """Whether all factors are 1 and nothing is added."""
        return equal(self.offset, 0.0) and all(equal(factor, 1.0) for factor in self.terms.values())


@dataclass(eq=False, slots=True)
class DraftNode:
    """A node of the draft.

    name: unique. op: what it computes. slots: what it is given. entering, leaving: shapes of features.
    steps: at which it was seen; None stands for all, or for one that does not change.
    """

    name: str
    op: Operation
    slots: list[Slot]
    entering: Shape
    leaving: Shape
    steps: set[int | None] = field(default_factory=set)

    @property
    def is_neuron(self) -> bool:
        """Whether it holds neurons."""
        return isinstance(self.op, Neurons)

    @property
    def last(self) -> int | None:
        """The last step at which it was seen."""
        return max((step for step in self.steps if step is not None), default=None)

    def takes(self, name: str) -> bool:
        """Tell whether it is given what ``name`` sends, at whatever delay."""
        return any(source.node == name for slot in self.slots for source in slot.terms)

    def accepts(self, slots: Sequence[Slot], step: int | None) -> bool:
        """Tell whether it can be this node that is given ``slots`` at ``step``.

        What lies before the first step is not there yet: a source with a delay is missing in the first steps.
        """
        return len(slots) == len(self.slots) and all(
            _agree(own, given, self.last, step) for own, given in zip(self.slots, slots, strict=True)
        )

    def take(self, slots: Sequence[Slot], step: int | None) -> None:
        """Note that it was seen at a step."""
        self.steps.add(step)
        for own, given in zip(self.slots, slots, strict=True):
            own.terms.update(given.terms)


def _agree(own: Slot, given: Slot, last: int | None, step: int | None) -> bool:
    if not equal(own.offset, given.offset):
        return False
    for source in own.terms.keys() | given.terms.keys():
        if source in own.terms and source in given.terms:
            if not equal(own.terms[source], given.terms[source]):
                return False
        else:
            seen = step if source in own.terms else last
            if seen is None or seen >= source.delay:
                return False
    return True


@dataclass(eq=False, slots=True)
class Draft:
    """All nodes, by name, in the order in which they were seen. uses: names of nodes by where they are computed."""

    nodes: dict[str, DraftNode] = field(default_factory=dict)
    uses: dict[str, list[str]] = field(default_factory=dict)

    def use(self, place: str, op: Operation, signals: Sequence[Signal], leaving: Shape) -> tuple[str, int | None]:
        """Return the node that an operation is, and its step; a new one where none has this place, input and weights.

        Args:
            place: module path or the like, the node's name if it is free.
            op: what is computed. signals: its inputs. leaving: shape of the features that it gives.
        """
        known = [signal.latest for signal in signals if signal.latest is not None]
        step = max(known) if known else None if any(signal.terms for signal in signals) else -1
        slots = [slot_of(signal, step) for signal in signals]
        for name in self.uses.get(place, []):
            node = self.nodes[name]
            if same_operation(node.op, op) and node.accepts(slots, step):
                node.take(slots, step)
                return name, step
        return self.add(place, op, slots, signals[0].shape, leaving, step), step

    def add(
        self, place: str, op: Operation, slots: list[Slot], entering: Shape, leaving: Shape, step: int | None
    ) -> str:
        """Add a node; returns its name.

        Args:
            place: module path or the like, the node's name if it is free. op: what is computed. slots: what it is
            given. entering, leaving: shapes of features. step: at which it was seen, or None for all.
        """
        name = self.free(place)
        self.nodes[name] = DraftNode(name, op, slots, entering, leaving, {step})
        self.uses.setdefault(place, []).append(name)
        return name

    def users(self, name: str) -> list[DraftNode]:
        """Return the nodes that are given what ``name`` sends."""
        return [node for node in self.nodes.values() if node.takes(name)]

    def free(self, name: str) -> str:
        """Return a name that no node has."""
        count, found = 0, name
        while found in self.nodes:
            count += 1
            found = f"{name}_{count}"
        return found


def slot_of(signal: Signal, step: int | None) -> Slot:
    """Return a signal as a node sees it at ``step``."""
    terms: dict[Source, Any] = {}
    for tap, factor in signal.terms.items():
        delay = 0 if tap.step is None or step is None else step - tap.step
        terms[Source(tap.node, tap.port, delay)] = factor
    return Slot(terms, signal.offset)


def same_operation(one: Operation, two: Operation) -> bool:
    """Tell whether two operations compute the same."""
    if type(one) is not type(two):
        return False
    if isinstance(one, Neurons):
        return one.module is getattr(two, "module", None)
    return all(_same(getattr(one, key.name), getattr(two, key.name)) for key in fields(one))


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return one.shape == two.shape and bool(np.array_equal(one, two))
    if hasattr(one, "nnz"):
        return one.shape == two.shape and not (one != two).nnz
    return type(one) is type(two) and bool(one == two)
