"""Follow layers behind a reduction over time, as ones that are there in each step before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from neurodeploy.exporters.by_step import (
    accumulated,
    is_reduced,
    of_each_step,
    reads_values,
    reduced_again,
    swapped,
    values_of_each_step,
)
from neurodeploy.exporters.draft import INPUT
from neurodeploy.exporters.layers import Total, UnsupportedError
from neurodeploy.exporters.origins import Origins, TorchCall
from neurodeploy.exporters.signals import SPIKES, Signal, Tap
from neurodeploy.ir.synapses import Flatten

_PLACES = ("part", "mean")
"""How nodes of parts, and of sums and means over features, are called."""

Found = Iterator[tuple[Any, Signal]]
Follow = Callable[[TorchCall], Found]


def signals_behind_time(origins: Origins, call: TorchCall, can_be_alone: bool) -> list[Signal] | None:
    """Return what a layer is given if the steps of all that were reduced by one rule, None for anything else.

    Args:
        origins: of tensors. call: of the layer. can_be_alone: whether it may be one that takes the last step alone.
    """
    name = call.name
    is_first = can_be_alone and not any(origins.draft.uses.get(origins.place(one)) for one in (name, *_PLACES))
    if any(s.rule is None and (s.lead != "B" or INPUT in s.nodes or not is_first) for s in call.taken):
        return None
    found = [accumulated(signal, origins.extent["T"]) for signal in call.taken]
    is_alike = len({signal.rule for signal in found}) == 1
    return found if is_alike and all(is_reduced(one) and reads_values(one) for one in found) else None


def follow_by_step(origins: Origins, call: TorchCall, follow: Follow) -> Found:
    """Follow a layer behind a reduction over time as one that is there in each step, before it.

    Args:
        origins: of tensors. call: of the layer; ``taken``: as :func:`signals_behind_time` gives them.
        follow: follows a call.
    """
    n_steps, place, rule = origins.extent["T"], origins.place(call.name), str(call.taken[0].rule)
    args, kwargs, out = call.args, call.kwargs, call.out
    parts = [out] if isinstance(out, torch.Tensor) else list(out)
    wholes = []
    for given, signal in zip(origins.followed(call), call.taken, strict=True):
        rows = values_of_each_step(signal, origins.marked(), n_steps)
        if rows is None:
            yield from ((part, origins.broken(call, part)) for part in parts)
            return
        wholes.append(of_each_step(_flat(origins, signal)))
        yield rows, wholes[-1]
        args, kwargs = swapped(args, given, rows), swapped(kwargs, given, rows)
    made = list(follow(TorchCall(call.name, call.func, args, kwargs, call.func(*args, **kwargs), wholes)))
    for part, (again, found) in zip(parts, made, strict=True):
        yield again, found
        try:
            if found.broken:
                raise UnsupportedError(found.broken)
            result, missing = reduced_again(found, rule, again, part, n_steps, place)
            if missing is None:
                yield part, result
            else:
                yield from _total(origins, place, found, again, missing / (1 - n_steps), part)
        except UnsupportedError as problem:
            yield part, origins.broken(call, part, str(problem))


def axes_beside_time(origins: Origins, call: TorchCall) -> tuple[int, ...] | None:
    """Return the other axes that are reduced together with time, None if it is time alone, or not at all."""
    if call.name not in ("sum", "mean"):
        return None
    signal, given = origins.signal_of(call.args[0]), call.argument("dim", 1)
    if signal is None or not isinstance(given, (tuple, list)) or call.out.dim() != len(signal.axes) - len(given):
        return None
    inner = tuple(dim % len(signal.axes) for dim in given if signal.axes[dim] != "T")
    return inner if 0 < len(inner) < len(given) else None


def follow_in_turn(origins: Origins, call: TorchCall, inner: tuple[int, ...], follow: Follow) -> Found:
    """Follow a reduction of several axes as one of all but time, and then of time.

    Args:
        origins: of tensors. call: of the reduction. inner: as :func:`axes_beside_time` gives them.
        follow: follows a call.
    """
    given, func = call.args[0], getattr(torch, call.name)
    between = func(given, dim=inner)
    yield from follow(TorchCall(call.name, func, (given,), {"dim": inner}, between, call.taken))
    signal = origins.signal_of(between)
    if signal is None or "T" not in signal.axes:
        yield call.out, origins.broken(call, call.out)
        return
    yield from follow(TorchCall(call.name, func, (between,), {"dim": signal.axes.index("T")}, call.out, [signal]))


def _total(origins: Origins, place: str, found: Signal, again: Any, bias: Any, out: Any) -> Found:
    """Follow a layer whose bias enters a sum over time once: it has none, and an integrator starts from it."""
    plain = replace(found.shifted(-bias), axes=("B", *range(len(found.shape))))
    node, _ = origins.draft.use(f"{place}.sum", Total(bias), [plain], found.shape)
    start = torch.as_tensor(bias)
    rows = (again.unflatten(0, (origins.extent["T"], -1)).double() - start).cumsum(0) + start
    terms = {Tap(node, SPIKES, None): 1.0}
    yield rows.float().flatten(0, 1), replace(found, terms=terms, offset=0.0)
    yield out, replace(plain, terms=terms, offset=0.0, rule="last")


def _flat(origins: Origins, signal: Signal) -> Signal:
    """Return a reduced signal whose features were joined after their node, with that as a node of its own."""
    terms = {}
    for tap, factor in signal.terms.items():
        leaving = origins.draft.nodes[tap.node].leaving if tap.node != INPUT else signal.shape
        if leaving != (signal.shape or (1,)):
            rank = range(len(leaving))
            ways = [Flatten(first, last) for first in rank for last in rank[first + 1 :]]
            op = next((way for way in ways if way.output_shape(leaving) == signal.shape), None)
            if op is None:
                raise UnsupportedError(f"features {list(leaving)} as {list(signal.shape)}")
            own = Signal(("B", *rank), leaving, {tap._replace(step=None): 1.0})
            node, _ = origins.draft.use("flatten", op, [own], signal.shape)
            tap = Tap(node, SPIKES, None)
        terms[tap] = factor
    return replace(signal, terms=terms)
