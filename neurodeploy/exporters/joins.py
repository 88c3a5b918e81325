"""Follow signals that are stacked, joined side by side, written into a buffer step by step, or taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neurodeploy.exporters.layers import Joined, UnsupportedError, chosen, placed
from neurodeploy.exporters.origins import Origins, TorchCall
from neurodeploy.exporters.signals import SPIKES, Axis, Signal, Tap, equal
from neurodeploy.exporters.views import step_of

_SLICE = slice(None)


def joined(origins: Origins, call: TorchCall) -> Signal | None:
    """Return signals stacked along time, or behind each other along the first axis of features."""
    parts = list(call.args[0] if call.args else call.kwargs["tensors"])
    is_stack = call.name == "stack"
    dim = call.argument("dim", 1, 0) % (parts[0].dim() + is_stack)
    signals = [origins.signal_or_rest(part) for part in parts]
    if any(s is None or s.broken or s.rule for s in signals):
        return None
    whole = [s for s in signals if s is not None]
    first = next((s for s in whole if s.terms), whole[0])
    if any(s.groups != first.groups or (s.groups and not is_stack) for s in whole):
        return None
    if is_stack and len({s.latest for s in whole}) == 1 and not first.groups:
        return _stacked_features(origins, whole, dim)
    n_steps = origins.extent["T"]
    if is_stack:
        return _stacked(whole, first, (*first.axes[:dim], "T", *first.axes[dim:]), n_steps)
    axis = first.axes[dim]
    if axis in ("1", "T") and len(whole) == n_steps:
        return _stacked(whole, first, (*first.axes[:dim], "T", *first.axes[dim + 1 :]), n_steps)
    if axis != 0 or first.lead is None:
        return None
    return _side_by_side(origins, whole, first, [tuple(part.shape) for part in parts])


def part_of(
    origins: Origins, signal: Signal, before: tuple[int, ...], after: tuple[int, ...], first: int
) -> Signal | None:
    """Return some channels of a signal, which is a layer; None for a part along another axis.

    Args:
        origins: of tensors. signal: the whole. before: shape of its tensor. after: shape of the part.
        first: channel of the part.
    """
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
    if signal.broken or len(before) != len(after) or len(changed) != 1 or signal.axes[changed[0]] != 0:
        return signal if before == after and not signal.broken else None
    if signal.lead is None:
        return None
    return origins.through("part", (chosen(signal.shape, first, after[changed[0]]),), signal)


def unbound(origins: Origins, call: TorchCall) -> Iterator[tuple[Any, Signal]]:
    """Give each step of a sequence that is taken apart."""
    signal, dim = origins.signal_of(call.args[0]), call.argument("dim", 1, 0)
    for step, part in enumerate(call.out):
        if signal is None:
            return
        made = None if signal.broken else step_of(signal, (_SLICE,) * dim + (step,), tuple(call.args[0].shape))
        yield part, made or origins.broken(call, part)


class Buffers:
    """Tensors of all steps, into which a model writes step after step."""

    def __init__(self) -> None:
        self._filled: dict[int, int] = {}  # steps that were written into a buffer, from the first on

    def collected(self, origins: Origins, call: TorchCall) -> Signal:
        """Follow ``buffer[t] = signal``, step after step from the first, into a buffer of all steps."""
        buffer, value = call.args[0], origins.signal_of(call.args[2])
        before, step = origins.signal_of(buffer), self._filled.get(id(buffer), 0)
        index = _without_full_slices(call.args[1], buffer.dim())
        if value is not None and not value.broken and _is_step(index, step):
            n_before = len(index) - 1
            whole = value.at(None, (*value.axes[:n_before], "T", *value.axes[n_before:]))
            follows = before is None if not step else before is not None and before.terms.keys() == whole.terms.keys()
            if follows and value.steps == {step}:
                self._filled[id(buffer)] = step + 1
                return whole
        return origins.broken(call, buffer, "an assignment to part of a tensor")


def _is_step(index: tuple[Any, ...], step: int) -> bool:
    """Tell whether an index names a step, behind full slices."""
    return bool(index and index[-1] == step and all(i == _SLICE for i in index[:-1]))


def _without_full_slices(index: Any, rank: int) -> tuple[Any, ...]:
    """Return an index as a tuple without the full slices at its end."""
    cut: tuple[Any, ...] = index if isinstance(index, tuple) else (index,)
    while cut and (cut[-1] is Ellipsis or cut[-1] == _SLICE):
        cut = cut[:-1]
    if cut and cut[0] is Ellipsis:
        cut = (*((_SLICE,) * (rank - len(cut) + 1)), *cut[1:])
    return cut


def _stacked_features(origins: Origins, signals: list[Signal], dim: int) -> Signal | None:
    """Return signals of one step along a new axis of features: the sum of each at its place among zeros."""
    first = signals[0]
    axis = dim - len(first.axes) + len(first.shape)
    if axis < 0 or any(s.lead is None or s.axes != first.axes or s.shape != first.shape for s in signals):
        return None
    total: Signal | None = None
    for index, signal in enumerate(signals):
        made = origins.through("stack", (placed(signal.shape, index, len(signals), axis),), signal)
        total = made if total is None else total.plus(made)
    return total


def _side_by_side(
    origins: Origins, signals: list[Signal], first: Signal, shapes: list[tuple[int, ...]]
) -> Signal | None:
    """Return signals behind each other along their first axis of features, which is a node."""
    n_lead = len(first.axes) - len(first.shape)
    features = [shape[n_lead:] for shape in shapes]
    if any(s.axes != first.axes for s in signals):
        return None
    for signal in signals:
        origins.check(signal, origins.place("cat"))
    leaving = (sum(shape[0] for shape in features), *features[0][1:])
    op = Joined(tuple(shape[0] for shape in features))
    node, step = origins.draft.use(origins.place("cat"), op, signals, leaving)
    return Signal(first.axes, leaving, {Tap(node, SPIKES, step): 1.0})


def _stacked(parts: list[Signal], first: Signal, axes: tuple[Axis, ...], n_steps: int) -> Signal | None:
    """Return one signal of all steps, if the parts are one signal at steps 0, 1, 2 and so on."""
    if len(parts) != n_steps:
        raise UnsupportedError(f"a stack of {len(parts)} of {n_steps} steps; return every step")
    constant = all(step is None for step in first.steps)
    for step, part in enumerate(parts):
        wanted = first.at(None if constant else step, first.axes)
        same = part.terms.keys() == wanted.terms.keys() and equal(part.offset, wanted.offset)
        if not same or not all(equal(part.terms[tap], wanted.terms[tap]) for tap in part.terms):
            return None
    return first.at(None, axes)
