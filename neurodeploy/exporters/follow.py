"""Follow each torch operation: from the origins of the tensors that it takes to the origin of its result."""

from __future__ import annotations

from dataclasses import replace

import torch

from neurodeploy.exporters.axes import reduced, regrouped, reordered, repeated
from neurodeploy.exporters.joins import Buffers, joined, part_of, unbound
from neurodeploy.exporters.layers import ARGUMENTS, LINEAR, UnsupportedError
from neurodeploy.exporters.linear_calls import as_matrix, layer
from neurodeploy.exporters.origins import Origins, TorchCall
from neurodeploy.exporters.reduced_time import (
    Found,
    axes_beside_time,
    follow_by_step,
    follow_in_turn,
    signals_behind_time,
)
from neurodeploy.exporters.signals import Signal
from neurodeploy.exporters.sums import product_of, running_maximum, sum_of
from neurodeploy.exporters.views import first_channel, index_of_largest, normalised, picked

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
_SPLITS = ("chunk", "split", "tensor_split", "split_with_sizes")
_CUTS = ("getitem", "narrow", "select", *_SPLITS)
_DIFFERENCE = (
    "relu() of a difference of spikes, which can be below 0; a neuron without memory that fires above one half gives "
    "the same of spikes (snnTorch: snn.Leaky(beta=0.0, threshold=0.5, reset_mechanism='none'))"
)


class Follower:
    """Gives the signals of what an operation returns.

    Args:
        origins: of the tensors that it takes.
    """

    def __init__(self, origins: Origins) -> None:
        self._origins, self._buffers = origins, Buffers()

    def follow(self, call: TorchCall) -> Found:
        """Give each tensor that an operation returned, with its signal; nothing where none was taken."""
        name = call.name
        if (not call.taken and name not in ARGUMENTS) or name.endswith("_like") or name.startswith("new_"):
            return
        if name == "get":
            name = str(getattr(getattr(call.func, "__self__", None), "__name__", "get"))
            call = replace(call, name=name)
        if name == "setitem":
            yield call.args[0], self._buffers.collected(self._origins, call)
        elif (taken := self._behind_time(call)) is not None:
            yield from follow_by_step(self._origins, replace(call, taken=taken), self.follow)
        elif (inner := axes_beside_time(self._origins, call)) is not None:
            yield from follow_in_turn(self._origins, call, inner, self.follow)
        elif name == "unbind":
            yield from unbound(self._origins, call)
        elif isinstance(call.out, torch.Tensor):
            found = self._single(call)
            found = as_matrix(self._origins, call) or found if found.broken else found
            if call.taken or not found.broken:
                yield call.out, found
        elif isinstance(call.out, (tuple, list)):
            yield from self._several(call)

    def _behind_time(self, call: TorchCall) -> list[Signal] | None:
        """Return what a layer is given if the steps of all that were reduced by one rule, None for anything else."""
        name = call.name
        if not call.taken or name in _TURNS or name not in (*_CUTS, *ARGUMENTS, *LINEAR, *_JOINS):
            return None
        return signals_behind_time(self._origins, call, can_be_alone=name not in _JOINS)

    def _several(self, call: TorchCall) -> Found:
        """Give the parts of a result: the largest values and where they are, or parts that nothing stands for."""
        if call.name == "max":
            yield call.out[0], self._single(replace(call, name="amax", out=call.out[0]))
            yield call.out[1], self._single(replace(call, name="argmax", out=call.out[1]))
            return
        whole, first = call.args[0], 0
        signal = self._origins.signal_of(whole) if call.name in _SPLITS else None
        for part in call.out:
            if isinstance(part, torch.Tensor):
                shapes = tuple(getattr(whole, "shape", ())), tuple(part.shape)
                found = None if signal is None else part_of(self._origins, signal, *shapes, first)
                yield part, found or self._origins.broken(call, part)
                first += next((b for a, b in zip(*shapes, strict=False) if a != b), 0)

    def _single(self, call: TorchCall) -> Signal:
        """Return the signal of an operation's one result."""
        try:
            found = None if any(s.broken for s in call.taken) else self._known(call)
        except UnsupportedError as problem:
            what, _, advice = str(problem).partition(";")
            place = self._origins.place(call.name)
            return self._origins.broken(call, call.out, f"{what.strip()} in {place};{advice}")
        return self._origins.broken(call, call.out) if found is None else found

    def _known(self, call: TorchCall) -> Signal | None:
        """Return the signal of an operation that a node, or an edge, stands for; None for any other."""
        name, args = call.name, call.args
        if name in ARGUMENTS:
            return layer(self._origins, call)
        if name in _JOINS:
            return joined(self._origins, call)
        if name in _SUMS:
            return sum_of(self._origins, call)
        if name in ("maximum", "max") and len(args) > 1 and isinstance(args[1], torch.Tensor):
            return running_maximum(self._origins, call)
        if name in _PRODUCTS:
            return product_of(self._origins, call)
        signal = self._origins.signal_of(args[0]) if args else None
        return None if signal is None else self._changed(signal, call)

    def _changed(self, signal: Signal, call: TorchCall) -> Signal | None:
        """Return what an operation on one signal, that makes no node of its own kind, makes of it."""
        name, args, kwargs, origins = call.name, call.args, call.kwargs, self._origins
        before, after = tuple(args[0].shape), tuple(call.out.shape)
        if name in SAME:
            trains = "dropout" in name and call.argument("training", 2, True)
            return signal if call.out.is_floating_point() and not trains else None
        if name in ("softmax", "log_softmax", "relu"):
            return self._rectified(signal) if name == "relu" else self._softmax(signal, call)
        if name == "argmax":
            return index_of_largest(signal, args, kwargs)
        if name in _RESHAPES:
            return regrouped(origins, signal, before, after)
        if name in _REPEATS:
            return repeated(signal, before, after, origins.extent["T"])
        if name in _REDUCTIONS:
            return reduced(origins, signal, call)
        if name in _TURNS:
            return reordered(signal, call)
        if name == "batch_norm":
            return normalised(signal, args, kwargs)
        if (first := first_channel(name, args, kwargs)) is not None and before != after:
            return part_of(origins, signal, before, after, first)
        return picked(name, signal, args, kwargs, before)

    def _softmax(self, signal: Signal, call: TorchCall) -> Signal:
        """Return classes whose order a softmax keeps, once their steps are reduced.

        Of each step it weights the steps differently: what is largest in their sum may change.

        Raises:
            UnsupportedError: it is over another axis, or of each step.
        """
        name, dim = call.name, call.argument("dim", 1)
        is_of_classes = isinstance(dim, int) and signal.axes[dim] == 0 and len(signal.shape) == 1
        is_last = signal.steps == {self._origins.extent["T"] - 1}
        if not is_of_classes or not (signal.rule or is_last):
            raise UnsupportedError(f"{name}() of each step" if is_of_classes else f"{name}() over axis {dim}")
        return signal

    def _rectified(self, signal: Signal) -> Signal | None:
        """Return what a rectifier leaves of spikes, which are not below 0; None for values that a layer gives."""
        is_positive = self._origins.sent.is_positive
        if is_positive(signal):
            return signal
        if signal.is_plain and all(is_positive(replace(signal, terms={t: 1.0}, offset=0.0)) for t in signal.terms):
            raise UnsupportedError(_DIFFERENCE)
        return None
