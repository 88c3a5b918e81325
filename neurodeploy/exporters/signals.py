"""Where a tensor comes from: what each torch operation does to the origin of the tensors that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch

from neurodeploy.synapses import Shape

Source = tuple[str, int | None]

MERGED = {"TB": "t", "BT": "b"}
"""Leading axes of steps and samples, and what they are called once they are one axis."""


@dataclass(frozen=True, slots=True)
class Signal:
    """The origin of one tensor.

    sources: nodes whose outputs sum to it, each with its step; None if it is the same at all steps, or holds them all.
    lead: its leading axes: ``B`` (one step), ``TB`` or ``BT`` (all steps), ``t`` or ``b`` (the same two as one axis).
    shape: what follows them.
    is_state: a membrane potential or current, not spikes.
    broken: the operation that made it into something that no NIR node is, or None.
    """

    sources: frozenset[Source]
    lead: str
    shape: Shape
    is_state: bool = False
    broken: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """Names of the nodes that it comes from."""
        return frozenset(name for name, _ in self.sources)

    def at(self, step: int | None, lead: str) -> Signal:
        """Return the same signal at one step, or at all of them."""
        return replace(self, sources=frozenset((name, step) for name in self.names), lead=lead)


@dataclass(frozen=True, slots=True)
class Flattening:
    """A signal whose axes ``start`` to the last were joined; ``shape`` is what it became."""

    start: int
    shape: Shape


Outcome = Signal | Flattening | None
"""What an operation makes of a signal; None is anything that NIR has no node for."""


def follow(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], signal_of: Callable[[Any], Signal | None], out: Any
) -> Outcome:
    """Return what an operation with a single result makes of the signals that it takes.

    Args:
        name: of the operation, without underscores at its ends: ``add`` for ``__add__`` and ``add_``.
        args: what it was called with.
        kwargs: what it was called with.
        signal_of: origin of a tensor, None if it does not come from the input.
        out: the tensor that it gave.
    """
    if name in ("add", "radd", "iadd"):
        return _added(args, kwargs, signal_of)
    if name == "stack":
        return _stacked(args, kwargs, signal_of)
    signal = signal_of(args[0]) if args else None
    if signal is None or signal.broken:
        return None
    if name in ("contiguous", "clone", "detach", "float", "to", "cpu", "type", "requires_grad"):
        return signal if out.dtype == torch.float32 else None
    if name == "dropout":
        training = kwargs.get("training", args[2] if len(args) > 2 else True)
        return None if training else signal
    if name in ("flatten", "unflatten", "view", "reshape", "squeeze"):
        return _reshaped(signal, tuple(out.shape), tuple(args[0].shape))
    if name in ("getitem", "select"):
        return _indexed(signal, args, kwargs) if name == "getitem" else _selected(signal, args, kwargs)
    if name in ("unsqueeze", "repeat", "expand"):
        return _repeated(signal, name, args, kwargs, tuple(out.shape))
    if name in ("transpose", "swapaxes", "permute", "swapdims"):
        return _turned(signal, name, args, kwargs)
    return None


def _added(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], signal_of: Callable[[Any], Signal | None]
) -> Signal | None:
    """Return the sum of two signals of one shape and different origin; a Python 0 adds nothing, as in sum([...])."""
    terms = [*args, *((kwargs["other"],) if "other" in kwargs else ())]
    if len(terms) != 2 or kwargs.get("alpha", 1) != 1:
        return None
    numbers = [term for term in terms if not isinstance(term, torch.Tensor)]
    signals = [signal_of(term) for term in terms if isinstance(term, torch.Tensor)]
    if numbers == [0] and signals[0] is not None and not signals[0].broken:
        return signals[0]
    first, second = (*signals, None, None)[:2]
    if first is None or second is None or first.broken or second.broken or first.is_state or second.is_state:
        return None
    if (first.lead, first.shape) != (second.lead, second.shape) or first.names & second.names:
        return None
    return replace(first, sources=first.sources | second.sources)


def _stacked(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], signal_of: Callable[[Any], Signal | None]
) -> Signal | None:
    """Return one signal of all steps, if the parts are one signal at steps 0, 1, 2 and so on."""
    parts = [signal_of(part) for part in (args[0] if args else kwargs["tensors"])]
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
    first = parts[0]
    if dim not in (0, 1) or first is None or first.broken or first.lead != "B":
        return None
    constant = all(part == first for part in parts) and all(step is None for _, step in first.sources)
    if not constant and any(part != first.at(step, "B") for step, part in enumerate(parts)):
        return None
    return first.at(None, "TB" if dim == 0 else "BT")


def _reshaped(signal: Signal, out: Shape, before: Shape) -> Outcome:
    """Return the signal as it is, or flattened, if the axes of time and batch stay."""
    n_lead = len(signal.lead)
    if out == before:
        return signal
    if n_lead == 2 and out == (before[0] * before[1], *before[2:]):
        return replace(signal, lead=MERGED[signal.lead])
    split = {merged: lead for lead, merged in MERGED.items()}.get(signal.lead)
    if split and len(out) == len(before) + 1 and out[0] * out[1] == before[0] and out[2:] == before[1:]:
        return replace(signal, lead=split)
    if out[:n_lead] != before[:n_lead]:
        return None
    features = out[n_lead:]
    for start in range(len(signal.shape)):
        if features == (*signal.shape[:start], prod(signal.shape[start:])):
            return Flattening(start, features)
    return None


def _indexed(signal: Signal, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Signal | None:
    """Return one step of a sequence: ``x[t]`` or ``x[:, t]``, also with full slices after it."""
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    while index and (index[-1] is Ellipsis or _is_full(index[-1])):
        index = index[:-1]
    if len(index) == 1 and _is_step(index[0]) and signal.lead == "TB":
        return signal.at(int(index[0]), "B") if int(index[0]) >= 0 else None
    if len(index) == 2 and _is_full(index[0]) and _is_step(index[1]) and signal.lead == "BT":
        return signal.at(int(index[1]), "B") if int(index[1]) >= 0 else None
    return signal if not index else None


def _selected(signal: Signal, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Signal | None:
    values = [*args[1:], *(kwargs[key] for key in ("dim", "index") if key in kwargs)]
    if len(values) != 2 or signal.lead[int(values[0]) :][:1] != "T" or int(values[1]) < 0:
        return None
    return signal.at(int(values[1]), "B")


def _repeated(signal: Signal, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Shape) -> Signal | None:
    """Return a signal that is the same at every step, and was given an axis of steps or repeated along it."""
    before = tuple(args[0].shape)
    if any(step is not None for _, step in signal.sources):
        return None
    if name == "unsqueeze":
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        return replace(signal, lead={0: "TB", 1: "BT"}[dim]) if signal.lead == "B" and dim in (0, 1) else None
    if signal.lead == "B" and out[1:] == before:
        return replace(signal, lead="TB")
    axis = signal.lead.find("T")
    if axis < 0 or before[axis] != 1 or (*out[:axis], 1, *out[axis + 1 :]) != before:
        return None
    return signal


def _turned(signal: Signal, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Signal | None:
    """Return a sequence with time and batch exchanged."""
    given = kwargs.get("dims", args[1:])
    dims = tuple(given[0]) if given and isinstance(given[0], (tuple, list)) else tuple(given)
    rank = len(signal.lead) + len(signal.shape)
    swapped = (1, 0) if name != "permute" else (1, 0, *range(2, rank))
    if name != "permute" and set(dims) == {0, 1}:
        dims = (1, 0)
    if len(signal.lead) != 2 or dims != swapped:
        return None
    return replace(signal, lead=signal.lead[::-1])


def _is_full(index: Any) -> bool:
    return isinstance(index, slice) and index == slice(None)


def _is_step(index: Any) -> bool:
    return isinstance(index, int) and not isinstance(index, bool)
