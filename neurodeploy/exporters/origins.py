"""The origins of tensors while a model runs, and the nodes that stand for what is computed of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from neurodeploy.errors import DeployError
from neurodeploy.exporters.draft import Draft
from neurodeploy.exporters.hints import hint_for, said
from neurodeploy.exporters.layers import Operation
from neurodeploy.exporters.sent import Sent
from neurodeploy.exporters.signals import SPIKES, Signal, Tap, reshaped, tensors
from neurodeploy.ir.synapses import Flatten

_FORWARD = "Feed each step's spikes forward, and reduce what leaves the last layer."


@dataclass(frozen=True, eq=False, slots=True)
class TorchCall:
    """A torch operation that ran.

    name: without underscores at its ends, ``add`` for ``__add__`` and ``add_``. func: the function. args, kwargs: what
    it was called with. out: what it gave. taken: signals of the tensors among its arguments.
    """

    name: str
    func: Any
    args: Any
    kwargs: dict[str, Any]
    out: Any
    taken: list[Signal]

    def argument(self, key: str, index: int, default: Any = None) -> Any:
        """Return an argument, by its key or its place.

        Args:
            key: of the argument. index: its place. default: where it is not given.
        """
        return self.kwargs.get(key, self.args[index] if len(self.args) > index else default)


class Origins:
    """Knows where tensors come from, and adds nodes for what leaves an operation.

    Args:
        draft: where nodes are added.
        extent: of ``T`` and ``B``.
        signal_of: origin of a tensor, None if it does not come from the input.
        place: name for a node of an operation that is computed now.
        sent: what nodes send.
        marked: gives all tensors that are followed, with their signals.
    """

    def __init__(
        self,
        draft: Draft,
        extent: dict[str, int],
        signal_of: Callable[[Any], Signal | None],
        place: Callable[[str], str],
        sent: Sent,
        marked: Callable[[], list[tuple[Any, Signal]]],
    ) -> None:
        self.draft, self.extent, self.signal_of, self.place = draft, extent, signal_of, place
        self.sent, self.marked = sent, marked
        self._rest: set[int] = set()  # tensors that were zero before the operation that changes them

    def watch_rest(self, name: str, args: tuple[Any, ...]) -> None:
        """Note whether a tensor that is about to be changed in place is one of zeros that come from nowhere."""
        changes = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
        self._rest = {id(args[0])} if changes and args and self.is_zero(args[0]) else set()

    def is_zero(self, tensor: Any) -> bool:
        """Tell whether a tensor is, or was before it was changed in place, one of zeros that come from nowhere."""
        if not isinstance(tensor, torch.Tensor) or self.signal_of(tensor) is not None:
            return False
        return id(tensor) in self._rest or not bool(tensor.any())

    def signal_or_rest(self, tensor: Any) -> Signal | None:
        """Return the origin of a tensor; zeros that come from nowhere are what there was before the first step."""
        signal = self.signal_of(tensor)
        if signal is not None or not isinstance(tensor, torch.Tensor) or tensor.dim() < 2:
            return signal
        if tensor.shape[0] != self.extent["B"] or not tensor.is_floating_point() or bool(tensor.any()):
            return None
        return Signal(("B", *range(tensor.dim() - 1)), tuple(tensor.shape[1:]), {})

    def followed(self, call: TorchCall) -> list[Any]:
        """Return the tensors among a call's arguments that come from the input."""
        given = tensors((call.args, tuple(call.kwargs.values())))
        return [one for one in given if self.signal_of(one) is not None]

    def check(self, signal: Signal, name: str) -> None:
        """Refuse a signal that cannot enter a node.

        Raises:
            DeployError: no node stands for it, it is a state, or it is reduced over time or by a vote.
        """
        if signal.broken:
            raise DeployError(
                f"{said(signal.broken)} is not supported, and its result feeds {name}",
                where=name,
                fix=hint_for(signal.broken),
            )
        if states := sorted({f"{tap.port} of {tap.node}" for tap in signal.terms if tap.port != SPIKES}):
            raise DeployError(
                f"a state of {states[0].partition(' of ')[2]} (membrane potential or current) feeds {name}",
                where=name,
                fix="Feed spikes forward; neurons on a chip send nothing else.",
            )
        if signal.rule or signal.groups:
            what = f"the {signal.rule} over time" if signal.rule else "a vote among units"
            raise DeployError(f"{what} feeds {name}", where=name, fix=_FORWARD)

    def broken(self, call: TorchCall, out: Any, why: str = "") -> Signal:
        """Return the mark for something that no node stands for; the first cause is kept, but for chance.

        Args:
            call: that gave it. out: the tensor. why: the cause, where it is not that the operation is unknown.
        """
        cause = next((signal.broken for signal in call.taken if signal.broken), None)
        place = self.place(call.name)
        where = f" in {place.removesuffix(call.name).rstrip('.')}" if place != call.name else ""
        if cause is None or call.name in ("bernoulli", "poisson", "rand"):
            cause = why or f"{call.name}(){where}"
        terms = {tap: 1.0 for signal in call.taken for tap in signal.terms}
        return Signal(("B", *range(out.dim() - 1)), tuple(out.shape[1:]), terms, broken=cause)

    def through(self, name: str, ops: tuple[Operation, ...], signal: Signal) -> Signal:
        """Return what leaves operations one after the other, each of which becomes a node.

        Args:
            name: of the nodes. ops: the operations. signal: what enters the first.
        """
        n_lead = len(signal.axes) - len(signal.shape)
        for op in ops:
            place = self.place("flatten" if isinstance(op, Flatten) else name)
            self.check(signal, place)
            leaving = op.output_shape(signal.shape)  # type: ignore[union-attr]
            node, step = self.draft.use(place, op, [signal], leaving)
            axes = (*signal.axes[:n_lead], *range(len(leaving)))
            signal = Signal(axes, leaving, {Tap(node, SPIKES, step): 1.0})
        return signal

    def flattened(self, signal: Signal, first: int, last: int) -> Signal:
        """Return a signal whose features ``first`` to ``last`` are one; its axes have that already.

        Args:
            signal: with the axes of the result and the shape of what enters. first, last: features.
        """
        op = Flatten(first, last)
        shape = op.output_shape(signal.shape)
        gone = last - first
        axes = tuple(axis - gone if isinstance(axis, int) and axis > last else axis for axis in signal.axes)
        if not signal.is_plain or any(tap.port != SPIKES for tap in signal.terms):
            terms = {tap: reshaped(factor, signal.shape, shape) for tap, factor in signal.terms.items()}
            return replace(
                signal, axes=axes, shape=shape, terms=terms, offset=reshaped(signal.offset, signal.shape, shape)
            )
        node, step = self.draft.use(self.place("flatten"), op, [signal], shape)
        return Signal(axes, shape, {Tap(node, SPIKES, step): 1.0})
