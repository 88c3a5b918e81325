"""Follow each torch operation: from the origins of the tensors that it takes to the origin of its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch

from neurodeploy.errors import DeployError
from neurodeploy.exporters.by_step import (
    accumulated,
    is_reduced,
    of_each_step,
    reads_values,
    reduced_again,
    swapped,
    values_of_each_step,
)
from neurodeploy.exporters.draft import INPUT, Draft
from neurodeploy.exporters.hints import hint_for, said
from neurodeploy.exporters.layers import (
    ARGUMENTS,
    LINEAR,
    Joined,
    Operation,
    Total,
    UnsupportedError,
    across_groups,
    chosen,
    layer_step,
    matrix_of,
    maximum_over,
    mean_over,
    named_arguments,
    placed,
)
from neurodeploy.exporters.sent import Sent
from neurodeploy.exporters.signals import SPIKES, Axis, Signal, Tap, equal, features_of, regroup, reshaped, tensors
from neurodeploy.exporters.views import (
    first_channel,
    in_groups,
    index_of_largest,
    normalised,
    picked,
    step_of,
    turned,
    voted,
)
from neurodeploy.ir.synapses import Flatten

SAME = (
    "contiguous", "clone", "detach", "float", "double", "to", "cpu", "type", "type_as", "requires_grad", "dropout1d",
    "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout", "dropout", "data",
)  # fmt: skip
"""Operations that change no value in eval mode."""

_RESHAPES = ("flatten", "unflatten", "view", "reshape", "squeeze", "unsqueeze", "view_as", "reshape_as")
_JOINS = ("cat", "concat", "concatenate", "stack")
_SUMS = ("add", "radd", "iadd", "sub", "rsub", "isub", "subtract")
_PRODUCTS = ("mul", "rmul", "imul", "multiply", "div", "truediv", "itruediv", "divide", "neg", "idiv")
_REPEATS = ("repeat", "expand", "expand_as", "tile")
_TURNS = ("transpose", "swapaxes", "permute", "swapdims", "movedim", "T", "mT")
_REDUCTIONS = ("sum", "mean", "amax", "max")
_SLICE = slice(None)
_CUTS = ("getitem", "narrow", "select", "chunk", "split", "tensor_split", "split_with_sizes")
_DIFFERENCE = (
    "relu() of a difference of spikes, which can be below 0; a neuron without memory that fires above one half gives "
    "the same of spikes (snnTorch: snn.Leaky(beta=0.0, threshold=0.5, reset_mechanism='none'))"
)
_PLACES = ("part", "mean")
"""How nodes of parts, and of sums and means over features, are called."""

_FORWARD = "Feed each step's spikes forward, and reduce what leaves the last layer."

Found = Iterator[tuple[Any, Signal]]


class Follower:
    """Gives the signals of what an operation returns.

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
        self._sent, self._marked = sent, marked
        self._draft, self._extent, self.signal_of, self._place = draft, extent, signal_of, place
        self._rest: set[int] = set()  # tensors that were zero before the operation that changes them
        self._filled: dict[int, int] = {}  # steps that were written into a buffer, from the first on

    def follow(
        self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, taken: list[Signal]
    ) -> Found:
        """Give each tensor that an operation returned, with its signal; nothing where none was taken.

        Args:
            name: of the operation, without underscores at its ends: ``add`` for ``__add__`` and ``add_``.
            func: the function. args, kwargs: what it was called with. out: what it gave.
            taken: signals of the tensors among its arguments.
        """
        if (not taken and name not in ARGUMENTS) or name.endswith("_like") or name.startswith("new_"):
            return
        name = str(getattr(getattr(func, "__self__", None), "__name__", "get")) if name == "get" else name
        if name == "setitem":
            yield args[0], self._collected(args, taken)
        elif (reduced := self._behind_time(name, taken)) is not None:
            yield from self._by_step(name, func, args, kwargs, out, reduced)
        elif (inner := self._before_time(name, args, kwargs, out)) is not None:
            yield from self._in_turn(name, inner, args[0], out, taken)
        elif name == "unbind":
            yield from self._unbound(args, kwargs, out)
        elif isinstance(out, torch.Tensor):
            found = self._single(name, args, kwargs, out, taken)
            found = self._as_matrix(name, func, args, kwargs, out, taken) or found if found.broken else found
            if taken or not found.broken:
                yield out, found
        elif isinstance(out, (tuple, list)):
            yield from self._several(name, args, kwargs, out, taken)

    def _several(self, name: str, args: Any, kwargs: dict[str, Any], out: Any, taken: list[Signal]) -> Found:
        """Give the parts of a result: the largest values and where they are, or parts that nothing stands for."""
        if name == "max":
            yield out[0], self._single("amax", args, kwargs, out[0], taken)
            yield out[1], self._single("argmax", args, kwargs, out[1], taken)
            return
        signal, first = self.signal_of(args[0]), 0
        is_cut = name in ("chunk", "split", "tensor_split", "split_with_sizes") and signal is not None
        for part in out:
            if isinstance(part, torch.Tensor):
                found = (
                    self._part(signal, tuple(args[0].shape), tuple(part.shape), first) if is_cut and signal else None
                )
                yield part, found or self.broken(taken, name, part)
                first += next((b for a, b in zip(args[0].shape, part.shape, strict=False) if a != b), 0)

    def _part(self, signal: Signal, before: tuple[int, ...], after: tuple[int, ...], first: int) -> Signal | None:
        """Return some channels of a signal, which is a layer; None for a part along another axis."""
        changed = [i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
        if signal.broken or len(before) != len(after) or len(changed) != 1 or signal.axes[changed[0]] != 0:
            return signal if before == after and not signal.broken else None
        if signal.lead is None:
            return None
        return self._through("part", (chosen(signal.shape, first, after[changed[0]]),), signal)

    def _behind_time(self, name: str, taken: list[Signal]) -> list[Signal] | None:
        """Return what a layer is given if the steps of all that were reduced by one rule, None for anything else."""
        if not taken or name in _TURNS or name not in (*_CUTS, *ARGUMENTS, *LINEAR, *_JOINS):
            return None
        is_first = name not in _JOINS and not any(self._draft.uses.get(self._place(one)) for one in (name, *_PLACES))
        if any(s.rule is None and (s.lead != "B" or INPUT in s.nodes or not is_first) for s in taken):
            return None
        found = [accumulated(signal, self._extent["T"]) for signal in taken]
        is_alike = len({signal.rule for signal in found}) == 1
        return found if is_alike and all(is_reduced(one) and reads_values(one) for one in found) else None

    def _by_step(self, name: str, func: Any, args: Any, kwargs: dict[str, Any], out: Any, taken: list[Signal]) -> Found:
        """Follow a layer behind a reduction over time as one that is there in each step, before it."""
        n_steps, place, rule = self._extent["T"], self._place(name), str(taken[0].rule)
        wholes = []
        for given, signal in zip(self._followed(args, kwargs), taken, strict=True):
            rows = values_of_each_step(signal, self._marked(), n_steps)
            if rows is None:
                parts = [out] if isinstance(out, torch.Tensor) else out
                yield from ((part, self.broken(taken, name, part)) for part in parts)
                return
            wholes.append(of_each_step(self._flat(signal)))
            yield rows, wholes[-1]
            args, kwargs = swapped(args, given, rows), swapped(kwargs, given, rows)
        made = list(self.follow(name, func, args, kwargs, func(*args, **kwargs), wholes))
        parts = [out] if isinstance(out, torch.Tensor) else list(out)
        for part, (again, found) in zip(parts, made, strict=True):
            yield again, found
            try:
                if found.broken:
                    raise UnsupportedError(found.broken)
                result, missing = reduced_again(found, rule, again, part, n_steps, place)
                if missing is None:
                    yield part, result
                else:
                    yield from self._total(place, found, again, missing / (1 - n_steps), part)
            except UnsupportedError as problem:
                yield part, self.broken(taken, name, part, str(problem))

    def _before_time(self, name: str, args: Any, kwargs: dict[str, Any], out: Any) -> tuple[int, ...] | None:
        """Return the other axes that are reduced together with time, None if it is time alone, or not at all."""
        if name not in ("sum", "mean"):
            return None
        signal, given = self.signal_of(args[0]), kwargs.get("dim", args[1] if len(args) > 1 else None)
        if signal is None or not isinstance(given, (tuple, list)) or out.dim() != len(signal.axes) - len(given):
            return None
        inner = tuple(dim % len(signal.axes) for dim in given if signal.axes[dim] != "T")
        return inner if 0 < len(inner) < len(given) else None

    def _in_turn(self, name: str, inner: tuple[int, ...], given: Any, out: Any, taken: list[Signal]) -> Found:
        """Follow a reduction of several axes as one of all but time, and then of time."""
        func = getattr(torch, name)
        between = func(given, dim=inner)
        yield from self.follow(name, func, (given,), {"dim": inner}, between, taken)
        signal = self.signal_of(between)
        if signal is None or "T" not in signal.axes:
            yield out, self.broken(taken, name, out)
            return
        yield from self.follow(name, func, (between,), {"dim": signal.axes.index("T")}, out, [signal])

    def _followed(self, args: Any, kwargs: dict[str, Any]) -> list[Any]:
        """Return the tensors among arguments that come from the input."""
        return [one for one in tensors((args, tuple(kwargs.values()))) if self.signal_of(one) is not None]

    def _total(self, place: str, found: Signal, again: Any, bias: Any, out: Any) -> Found:
        """Follow a layer whose bias enters a sum over time once: it has none, and an integrator starts from it."""
        plain = replace(found.shifted(-bias), axes=("B", *range(len(found.shape))))
        node, _ = self._draft.use(f"{place}.sum", Total(bias), [plain], found.shape)
        start = torch.as_tensor(bias)
        rows = (again.unflatten(0, (self._extent["T"], -1)).double() - start).cumsum(0) + start
        terms = {Tap(node, SPIKES, None): 1.0}
        yield rows.float().flatten(0, 1), replace(found, terms=terms, offset=0.0)
        yield out, replace(plain, terms=terms, offset=0.0, rule="last")

    def _flat(self, signal: Signal) -> Signal:
        """Return a reduced signal whose features were joined after their node, with that as a node of its own."""
        terms = {}
        for tap, factor in signal.terms.items():
            leaving = self._draft.nodes[tap.node].leaving if tap.node != INPUT else signal.shape
            if leaving != (signal.shape or (1,)):
                rank = range(len(leaving))
                ways = [Flatten(first, last) for first in rank for last in rank[first + 1 :]]
                op = next((way for way in ways if way.output_shape(leaving) == signal.shape), None)
                if op is None:
                    raise UnsupportedError(f"features {list(leaving)} as {list(signal.shape)}")
                own = Signal(("B", *rank), leaving, {tap._replace(step=None): 1.0})
                node, _ = self._draft.use("flatten", op, [own], signal.shape)
                tap = Tap(node, SPIKES, None)
            terms[tap] = factor
        return replace(signal, terms=terms)

    def watch_rest(self, name: str, args: tuple[Any, ...]) -> None:
        """Note whether a tensor that is about to be changed in place is one of zeros that come from nowhere."""
        changes = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i")
        self._rest = {id(args[0])} if changes and args and self._is_zero(args[0]) else set()

    def _is_zero(self, tensor: Any) -> bool:
        if not isinstance(tensor, torch.Tensor) or self.signal_of(tensor) is not None:
            return False
        return id(tensor) in self._rest or not bool(tensor.any())

    def signal_or_rest(self, tensor: Any) -> Signal | None:
        """Return the origin of a tensor; zeros that come from nowhere are what there was before the first step."""
        signal = self.signal_of(tensor)
        if signal is not None or not isinstance(tensor, torch.Tensor) or tensor.dim() < 2:
            return signal
        if tensor.shape[0] != self._extent["B"] or not tensor.is_floating_point() or bool(tensor.any()):
            return None
        return Signal(("B", *range(tensor.dim() - 1)), tuple(tensor.shape[1:]), {})

    def check(self, signal: Signal, name: str) -> None:
        """Refuse a signal that cannot enter a node."""
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

    def broken(self, taken: list[Signal], name: str, out: Any, why: str = "") -> Signal:
        """Return the mark for something that no node stands for; the first cause is kept, but for chance."""
        cause = next((signal.broken for signal in taken if signal.broken), None)
        place = self._place(name)
        where = f" in {place.removesuffix(name).rstrip('.')}" if place != name else ""
        if cause is None or name in ("bernoulli", "poisson", "rand"):
            cause = why or f"{name}(){where}"
        terms = {tap: 1.0 for signal in taken for tap in signal.terms}
        return Signal(("B", *range(out.dim() - 1)), tuple(out.shape[1:]), terms, broken=cause)

    def _single(self, name: str, args: Any, kwargs: dict[str, Any], out: Any, taken: list[Signal]) -> Signal:
        """Return the signal of an operation's one result."""
        try:
            found = None if any(s.broken for s in taken) else self._known(name, args, kwargs, out)
        except UnsupportedError as problem:
            what, _, advice = str(problem).partition(";")
            return self.broken(taken, name, out, f"{what.strip()} in {self._place(name)};{advice}")
        return self.broken(taken, name, out) if found is None else found

    def _known(self, name: str, args: Any, kwargs: dict[str, Any], out: Any) -> Signal | None:
        """Return the signal of an operation that a node, or an edge, stands for; None for any other."""
        if name in ARGUMENTS:
            return self._layer(name, args, kwargs, out)
        if name in _JOINS:
            return self._joined(name, args, kwargs)
        if name in _SUMS:
            return self._sum(name, args, kwargs, out)
        if name in ("maximum", "max") and len(args) > 1 and isinstance(args[1], torch.Tensor):
            return self._running_maximum(*args[:2])
        if name in _PRODUCTS:
            return self._product(name, args, kwargs, out)
        signal = self.signal_of(args[0]) if args else None
        return None if signal is None else self._changed(name, signal, args, kwargs, out)

    def _changed(self, name: str, signal: Signal, args: Any, kwargs: dict[str, Any], out: Any) -> Signal | None:
        """Return what an operation on one signal, that makes no node of its own kind, makes of it."""
        before, after = tuple(args[0].shape), tuple(out.shape)
        if name in SAME:
            trains = "dropout" in name and kwargs.get("training", args[2] if len(args) > 2 else True)
            return signal if out.is_floating_point() and not trains else None
        if name in ("softmax", "log_softmax", "relu"):
            return self._rectified(signal) if name == "relu" else self._softmax(name, signal, args, kwargs)
        if name == "argmax":
            return index_of_largest(signal, args, kwargs)
        if name in _RESHAPES:
            return self._reshaped(signal, before, after)
        if name in _REPEATS:
            return self._repeated(signal, before, after)
        if name in _REDUCTIONS:
            return self._reduced(name, signal, args, kwargs, out)
        if name in _TURNS:
            found = turned(signal, name, args, kwargs)
            return None if found is not None and _moves_features(signal, found) else found
        if name == "batch_norm":
            return normalised(signal, args, kwargs)
        if (first := first_channel(name, args, kwargs)) is not None and before != after:
            return self._part(signal, before, after, first)
        return picked(name, signal, args, kwargs, before)

    def _softmax(self, name: str, signal: Signal, args: Any, kwargs: dict[str, Any]) -> Signal:
        """Return classes whose order a softmax keeps, once their steps are reduced.

        Of each step it weights the steps differently: what is largest in their sum may change.

        Raises:
            UnsupportedError: it is over another axis, or of each step.
        """
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        is_of_classes = isinstance(dim, int) and signal.axes[dim] == 0 and len(signal.shape) == 1
        is_last = signal.steps == {self._extent["T"] - 1}
        if not is_of_classes or not (signal.rule or is_last):
            raise UnsupportedError(f"{name}() of each step" if is_of_classes else f"{name}() over axis {dim}")
        return signal

    def _rectified(self, signal: Signal) -> Signal | None:
        """Return what a rectifier leaves of spikes, which are not below 0; None for values that a layer gives."""
        if self._sent.is_positive(signal):
            return signal
        if signal.is_plain and all(
            self._sent.is_positive(replace(signal, terms={t: 1.0}, offset=0.0)) for t in signal.terms
        ):
            raise UnsupportedError(_DIFFERENCE)
        return None

    def _layer(self, name: str, args: Any, kwargs: dict[str, Any], out: Any) -> Signal | None:
        """Return what leaves a linear layer, which becomes a node."""
        given = named_arguments(name, args, kwargs)
        signal = self.signal_or_rest(given["input"])
        if signal is None or any(self.signal_of(given.get(key)) for key in ("weight", "bias", "other")):
            return None
        if name == "avg_pool1d" and (vote := voted(signal, given)) is not None:
            return vote
        if signal.lead is None or (name not in ("linear", "matmul") and len(signal.axes) != len(signal.shape) + 1):
            raise UnsupportedError(f"{name}() over an axis that is not one of the features")
        step = layer_step(name, given, signal.shape)
        return self._through(name, step.ops, signal).scaled(step.factor)

    def _as_matrix(
        self, name: str, func: Any, args: Any, kwargs: dict[str, Any], out: Any, taken: list[Signal]
    ) -> Signal | None:
        """Return what leaves a linear function that NIR has no node for, as a matrix; None if it is none."""
        if name not in LINEAR or not taken or any(signal.broken for signal in taken):
            return None
        given, signal = self._followed(args, kwargs), taken[0]
        n_lead = len(signal.axes) - len(signal.shape)
        if len(given) != 1 or not signal.is_plain or signal.lead is None or "T" in signal.axes[n_lead - 1 : n_lead]:
            return None
        if out.shape[:n_lead] != given[0].shape[:n_lead]:
            return None
        try:
            op = matrix_of(
                lambda x: func(*swapped(args, given[0], x), **swapped(kwargs, given[0], x)), n_lead, signal.shape
            )
        except UnsupportedError as problem:
            return self.broken(taken, name, out, f"{name}() as {problem}")
        except (RuntimeError, ValueError, IndexError):
            return None
        if op is None:
            return None
        flat = (Flatten(0, -1),) if len(signal.shape) > 1 else ()
        found = self._through(name, (*flat, op), signal)
        leaving = tuple(out.shape[n_lead:])
        return found if leaving else replace(found, axes=found.axes[:n_lead], shape=())

    def _through(self, name: str, ops: tuple[Operation, ...], signal: Signal) -> Signal:
        """Return what leaves operations one after the other, each of which becomes a node."""
        n_lead = len(signal.axes) - len(signal.shape)
        for op in ops:
            place = self._place("flatten" if isinstance(op, Flatten) else name)
            self.check(signal, place)
            leaving = op.output_shape(signal.shape)  # type: ignore[union-attr]
            node, step = self._draft.use(place, op, [signal], leaving)
            axes = (*signal.axes[:n_lead], *range(len(leaving)))
            signal = Signal(axes, leaving, {Tap(node, SPIKES, step): 1.0})
        return signal

    def _sum(self, name: str, args: Any, kwargs: dict[str, Any], out: Any) -> Signal | None:
        """Return the sum, or difference, of two signals or of a signal and a constant."""
        terms = [*args, *((kwargs["other"],) if "other" in kwargs else ())]
        alpha = kwargs.get("alpha", 1)
        if len(terms) != 2 or not isinstance(alpha, (int, float)):
            return None
        signs = {"sub": (1, -1), "isub": (1, -1), "subtract": (1, -1), "rsub": (-1, 1)}.get(name, (1, 1))
        factors = (signs[0], signs[1] * alpha)
        signals = [self.signal_of(term) for term in terms]
        parts = [s.scaled(f) for s, f in zip(signals, factors, strict=True) if s is not None]
        if len(parts) == 1:
            index = signals.index(None)
            constant = 0.0 if self._is_zero(terms[index]) else features_of(terms[index], parts[0])
            if np.any(constant) and parts[0].rule == "sum":
                return None  # once, not in each step
            if constant is None or tuple(out.shape) != tuple(terms[1 - index].shape):
                return None
            return parts[0].shifted(np.multiply(constant, factors[index])) if np.any(constant) else parts[0]
        one, two = parts
        if (one.axes, one.shape) != (two.axes, two.shape) or (one.rule, one.groups) != (two.rule, two.groups):
            return None
        return one.plus(two)

    def _running_maximum(self, one: Any, two: Any) -> Signal | None:
        """Return the largest value of steps 0 to t from that of the steps before t, which carries the step it has."""
        before, now = self.signal_of(one), self.signal_of(two)
        if before is None or now is None:
            return None
        if now.rule == "max":
            before, now = now, before
        (first, *more), (second, *others) = before.terms or [None], now.terms or [None]
        if first is None or second is None or more or others or first.step is None or second.step != first.step + 1:
            return None
        if before.rule not in (None, "max") or not now.is_plain or (before.rule is None and first.step != 0):
            return None
        is_same = before.axes == now.axes and before.shape == now.shape and equal(before.offset, now.offset)
        if not is_same or first[:2] != second[:2] or not equal(before.terms[first], now.terms[second]):
            return None
        return replace(now, rule="max")

    def _product(self, name: str, args: Any, kwargs: dict[str, Any], out: Any) -> Signal | None:
        """Return a signal times, or divided by, a constant."""
        if name == "neg":
            signal = self.signal_of(args[0])
            return None if signal is None else signal.scaled(-1.0)
        terms = [*args, *((kwargs["other"],) if "other" in kwargs else ())]
        if len(terms) != 2 or kwargs.get("rounding_mode") is not None:
            return None
        divides = "div" in name
        signal, other = self.signal_of(terms[0]), terms[1]
        if signal is None:
            if divides:
                return None
            signal, other = self.signal_of(terms[1]), terms[0]
        if signal is None or self.signal_of(other) is not None or tuple(out.shape) != _shape_of(terms, other):
            return None
        constant = features_of(other, signal)
        if constant is None or not np.isfinite(constant).all() or (divides and not np.all(constant)):
            return None
        return signal.scaled(np.divide(1.0, constant) if divides else constant)

    def _joined(self, name: str, args: Any, kwargs: dict[str, Any]) -> Signal | None:
        """Return signals stacked along time, or behind each other along the first axis of features."""
        parts = list(args[0] if args else kwargs["tensors"])
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        rank = parts[0].dim() + (name == "stack")
        dim %= rank
        signals = [self.signal_or_rest(part) for part in parts]
        if any(s is None or s.broken or s.rule for s in signals):
            return None
        whole = [s for s in signals if s is not None]
        first = next((s for s in whole if s.terms), whole[0])
        if any(s.groups != first.groups or (s.groups and name != "stack") for s in whole):
            return None
        if name == "stack" and len({s.latest for s in whole}) == 1 and not first.groups:
            return self._stacked_features(whole, dim)
        if name == "stack":
            return self._stacked(whole, first, (*first.axes[:dim], "T", *first.axes[dim:]))
        axis = first.axes[dim]
        if axis in ("1", "T") and len(whole) == self._extent["T"]:
            return self._stacked(whole, first, (*first.axes[:dim], "T", *first.axes[dim + 1 :]))
        if axis != 0 or first.lead is None:
            return None
        return self._side_by_side(whole, first, [tuple(part.shape) for part in parts])

    def _stacked_features(self, signals: list[Signal], dim: int) -> Signal | None:
        """Return signals of one step along a new axis of features: the sum of each at its place among zeros."""
        first = signals[0]
        axis = dim - len(first.axes) + len(first.shape)
        if axis < 0 or any(s.lead is None or s.axes != first.axes or s.shape != first.shape for s in signals):
            return None
        total: Signal | None = None
        for index, signal in enumerate(signals):
            made = self._through("stack", (placed(signal.shape, index, len(signals), axis),), signal)
            total = made if total is None else total.plus(made)
        return total

    def _side_by_side(self, signals: list[Signal], first: Signal, shapes: list[tuple[int, ...]]) -> Signal | None:
        """Return signals behind each other along their first axis of features, which is a node."""
        n_lead = len(first.axes) - len(first.shape)
        features = [shape[n_lead:] for shape in shapes]
        if any(s.axes != first.axes for s in signals):
            return None
        for signal in signals:
            self.check(signal, self._place("cat"))
        leaving = (sum(shape[0] for shape in features), *features[0][1:])
        op = Joined(tuple(shape[0] for shape in features))
        node, step = self._draft.use(self._place("cat"), op, signals, leaving)
        return Signal(first.axes, leaving, {Tap(node, SPIKES, step): 1.0})

    def _stacked(self, parts: list[Signal], first: Signal, axes: tuple[Axis, ...]) -> Signal | None:
        """Return one signal of all steps, if the parts are one signal at steps 0, 1, 2 and so on."""
        if len(parts) != self._extent["T"]:
            raise UnsupportedError(f"a stack of {len(parts)} of {self._extent['T']} steps; return every step")
        constant = all(step is None for step in first.steps)
        for step, part in enumerate(parts):
            wanted = first.at(None if constant else step, first.axes)
            same = part.terms.keys() == wanted.terms.keys() and equal(part.offset, wanted.offset)
            if not same or not all(equal(part.terms[tap], wanted.terms[tap]) for tap in part.terms):
                return None
        return first.at(None, axes)

    def _reshaped(self, signal: Signal, before: tuple[int, ...], after: tuple[int, ...]) -> Signal | None:
        """Return the signal with other axes; joined features become a node."""
        found = regroup(signal.axes, before, after, self._extent)
        if found is None:
            return in_groups(signal, before, after)
        result = replace(signal, axes=found.axes)
        for first, last in reversed(found.joined):
            result = self._flattened(result, first, last)
        return result

    def _flattened(self, signal: Signal, first: int, last: int) -> Signal:
        """Return a signal whose features ``first`` to ``last`` are one; its axes have that already."""
        op = Flatten(first, last)
        shape = op.output_shape(signal.shape)
        gone = last - first
        axes = tuple(axis - gone if isinstance(axis, int) and axis > last else axis for axis in signal.axes)
        if not signal.is_plain or any(tap.port != SPIKES for tap in signal.terms):
            terms = {tap: reshaped(factor, signal.shape, shape) for tap, factor in signal.terms.items()}
            return replace(
                signal, axes=axes, shape=shape, terms=terms, offset=reshaped(signal.offset, signal.shape, shape)
            )
        node, step = self._draft.use(self._place("flatten"), op, [signal], shape)
        return Signal(axes, shape, {Tap(node, SPIKES, step): 1.0})

    def _repeated(self, signal: Signal, before: tuple[int, ...], after: tuple[int, ...]) -> Signal | None:
        """Return a signal that is the same at every step, repeated along an axis of steps."""
        if before == after:
            return signal
        axes: tuple[Axis, ...] = ("1",) * (len(after) - len(before)) + signal.axes
        padded = (1,) * (len(after) - len(before)) + before
        changed = [index for index, (one, two) in enumerate(zip(padded, after, strict=True)) if one != two]
        if any(step is not None for step in signal.steps) or len(changed) != 1:
            return None
        (index,) = changed
        if axes[index] != "1" or after[index] != self._extent["T"]:
            return None
        return replace(signal, axes=(*axes[:index], "T", *axes[index + 1 :]))

    def _reduced(self, name: str, signal: Signal, args: Any, kwargs: dict[str, Any], out: Any) -> Signal | None:
        """Return a signal whose steps, or whose space, became one value."""
        given = kwargs.get("dim", args[1] if len(args) > 1 else None)
        if given is None or isinstance(given, torch.Tensor):
            return None
        rank = len(signal.axes)
        dims = sorted(int(d) % rank for d in (given if isinstance(given, (tuple, list)) else (given,)))
        axes = [signal.axes[dim] for dim in dims]
        keeps = out.dim() == rank
        if axes == ["groups"] and name in ("sum", "mean") and not keeps and signal.rule is None:
            n_groups, n_members = (args[0].shape[signal.axes.index(axis)] for axis in ("groups", "members"))
            plain = replace(signal, axes=tuple(0 if a == "groups" else a for a in signal.axes if a != "members"))
            found = self._through(name, (across_groups(n_groups, n_members),), plain)
            return found.scaled(1.0 if name == "sum" else 1 / n_groups)
        if axes == ["T"] and signal.rule is None:
            left = tuple("1" if i in dims else axis for i, axis in enumerate(signal.axes) if keeps or i not in dims)
            return replace(signal, axes=left, rule=name.removeprefix("a"))
        if axes == ["members"] and name in ("sum", "mean") and not keeps:
            left = tuple(0 if axis == "groups" else axis for axis in signal.axes if axis != "members")
            return replace(signal, axes=left, groups=out.shape[left.index(0)])
        features = tuple(axis for axis in axes if isinstance(axis, int))
        if len(features) != len(axes) or signal.lead is None:
            return None
        largest = name in ("amax", "max")
        ops = (maximum_over if largest else mean_over)(signal.shape, features, keeps)
        if ops is None:
            return None
        if largest:
            return self._through("max", ops, signal)
        return self._through("mean", ops, signal).scaled(1.0 if name == "mean" else prod(signal.shape[1:]))

    def _collected(self, args: Any, taken: list[Signal]) -> Signal:
        """Follow ``buffer[t] = signal``, step after step from the first, into a buffer of all steps."""
        buffer, index, value = args[0], args[1], self.signal_of(args[2])
        before, step = self.signal_of(buffer), self._filled.get(id(buffer), 0)
        index = index if isinstance(index, tuple) else (index,)
        while index and (index[-1] is Ellipsis or index[-1] == _SLICE):
            index = index[:-1]
        if index and index[0] is Ellipsis:
            index = (*((_SLICE,) * (buffer.dim() - len(index) + 1)), *index[1:])
        n_before = len(index) - 1
        if (
            value is not None
            and not value.broken
            and index
            and index[-1] == step
            and all(i == _SLICE for i in index[:-1])
        ):
            whole = value.at(None, (*value.axes[:n_before], "T", *value.axes[n_before:]))
            follows = before is None if not step else before is not None and before.terms.keys() == whole.terms.keys()
            if follows and value.steps == {step}:
                self._filled[id(buffer)] = step + 1
                return whole
        return self.broken(taken, "setitem", buffer, "an assignment to part of a tensor")

    def _unbound(self, args: Any, kwargs: dict[str, Any], out: Any) -> Found:
        signal = self.signal_of(args[0])
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        for step, part in enumerate(out):
            if signal is None:
                return
            made = None if signal.broken else step_of(signal, (_SLICE,) * dim + (step,), tuple(args[0].shape))
            yield part, made or self.broken([signal], "unbind", part)


def _moves_features(before: Signal, after: Signal) -> bool:
    """Tell whether features changed their order behind time and samples, which stayed: a node stands for that."""
    n_lead = len(before.axes) - len(before.shape)
    stays = before.lead is not None and before.axes[:n_lead] == after.axes[:n_lead]
    return stays and before.is_plain and before.axes != after.axes


def _shape_of(terms: list[Any], other: Any) -> tuple[int, ...]:
    """Return the shape of the term that is not ``other``."""
    return tuple(next(term for term in terms if term is not other).shape)
