"""Operations on one signal that need no node: other axes, a step, factors and offsets, votes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from neurodeploy.exporters.signals import Axis, Signal

_SLICE = slice(None)


def first_channel(name: str, args: Any, kwargs: dict[str, Any]) -> int | None:
    """Return where a slice without gaps begins, None for any other index.

    Args:
        name: of the operation. args, kwargs: of the call.
    """
    if name == "narrow":
        return int(kwargs.get("start", args[2] if len(args) > 2 else 0))
    index = args[1] if name == "getitem" else ()
    cuts = [item for item in (index if isinstance(index, tuple) else (index,)) if item is not Ellipsis]
    if not all(isinstance(cut, slice) and cut.step in (None, 1) for cut in cuts):
        return None
    starts = [cut.start or 0 for cut in cuts if cut != _SLICE]
    return int(starts[0]) if len(starts) == 1 and starts[0] >= 0 else None


def in_groups(signal: Signal, before: tuple[int, ...], after: tuple[int, ...]) -> Signal | None:
    """Return units as groups of neighbours, one axis of groups and one of their members, or None.

    Args:
        signal: of the tensor. before, after: its shape.
    """
    is_split = before[:-1] == after[:-2] and len(after) == len(before) + 1
    if not is_split or len(signal.shape) != 1 or signal.axes[-1] != 0 or signal.groups:
        return None
    return replace(signal, axes=(*signal.axes[:-1], "groups", "members"))


def index_of_largest(signal: Signal, args: Any, kwargs: dict[str, Any]) -> Signal | None:
    """Return a signal of which the largest feature is taken: the class, which its own values say as well.

    Args:
        signal: of the tensor. args, kwargs: of the call.
    """
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if not isinstance(dim, int) or signal.axes[dim] != 0 or len(signal.shape) != 1:
        return None
    left = tuple("1" if axis == 0 else axis for axis in signal.axes)
    return replace(signal, axes=left if kwargs.get("keepdim") else tuple(axis for axis in signal.axes if axis != 0))


def picked(name: str, signal: Signal, args: Any, kwargs: dict[str, Any], shape: tuple[int, ...]) -> Signal | None:
    """Return one step of a sequence, by an index or by ``select``.

    Args:
        name: of the operation. signal: of the tensor. args, kwargs: of the call. shape: of the tensor.
    """
    if name == "getitem":
        return step_of(signal, args[1], shape)
    if name != "select":
        return None
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0) % len(signal.axes)
    return step_of(signal, (_SLICE,) * dim + (kwargs.get("index", args[2] if len(args) > 2 else None),), shape)


def step_of(signal: Signal, index: Any, shape: tuple[int, ...]) -> Signal | None:
    """Return one step of a sequence, such as ``x[t]`` or ``x[:, t]``, also with full slices after it.

    Args:
        signal: of the tensor. index: into it. shape: of the tensor.
    """
    index = index if isinstance(index, tuple) else (index,)
    if Ellipsis in [item for item in index if not isinstance(item, torch.Tensor)]:
        at = next(i for i, item in enumerate(index) if item is Ellipsis)
        missing = len(shape) - sum(item is not None for item in index) + 1
        index = (*index[:at], *((_SLICE,) * missing), *index[at + 1 :])
    axes: list[Axis] = []
    rest, rule, chosen = list(signal.axes), signal.rule, False
    step: int | None = None
    for item in index:
        if item is None:
            axes.append("1")
            continue
        axis = rest.pop(0)
        extent = shape[len(signal.axes) - len(rest) - 1]
        if isinstance(item, slice) and item.indices(extent) == (0, extent, 1):
            axes.append(axis)
        elif axis == "1" and isinstance(item, int):
            continue
        elif axis == "T" and isinstance(item, int) and not isinstance(item, bool) and not chosen:
            if item < 0 and item != -1:
                return None
            rule, step, chosen = ("last", None, True) if item == -1 else (rule, item, True)
        else:
            return None
    found = replace(signal, axes=(*axes, *rest), rule=rule)
    return found if step is None or not chosen else found.at(step, found.axes)


def turned(signal: Signal, name: str, args: Any, kwargs: dict[str, Any]) -> Signal | None:
    """Return a signal with its axes in another order.

    Args:
        signal: of the tensor. name: of the operation. args, kwargs: of the call.
    """
    rank = len(signal.axes)
    given = kwargs.get("dims", args[1:])
    dims = list(given[0]) if given and isinstance(given[0], (tuple, list)) else list(given)
    order = list(range(rank))
    if name in ("T", "mT"):
        order = order[::-1] if name == "T" else [*order[:-2], order[-1], order[-2]]
    elif name == "permute":
        order = [int(dim) % rank for dim in dims]
    else:
        dims = dims or [kwargs.get("dim0", kwargs.get("source")), kwargs.get("dim1", kwargs.get("destination"))]
        if len(dims) != 2 or not all(isinstance(dim, int) for dim in dims):
            return None
        one, two = (dim % rank for dim in dims)
        if name == "movedim":
            order.insert(two, order.pop(one))
        else:
            order[one], order[two] = order[two], order[one]
    return replace(signal, axes=tuple(signal.axes[i] for i in order))


def normalised(signal: Signal, args: Any, kwargs: dict[str, Any]) -> Signal | None:
    """Return a signal after batch normalisation by running statistics, over the axis behind the samples.

    Args:
        signal: of the tensor. args, kwargs: of the call.
    """
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    is_frame = signal.lead in ("B", "t", "b") or (signal.lead is not None and len(signal.lead) == 1)
    if given.get("training") or given["running_mean"] is None or not is_frame or not signal.shape:
        return None
    mean, variance = (given[key].detach().double().numpy() for key in ("running_mean", "running_var"))
    factor = 1.0 / np.sqrt(variance + given.get("eps", 1e-5))
    if given.get("weight") is not None:
        factor = factor * given["weight"].detach().double().numpy()
    offset = -mean * factor
    if given.get("bias") is not None:
        offset = offset + given["bias"].detach().double().numpy()
    shape = (-1, *(1,) * (len(signal.shape) - 1))
    return signal.scaled(factor.reshape(shape)).shifted(offset.reshape(shape))


def voted(signal: Signal, given: dict[str, Any]) -> Signal | None:
    """Return units averaged in groups of neighbours, as SpikingJelly's VotingLayer does it, or None."""
    if signal.axes[-2:] != ("1", 0) or len(signal.shape) != 1:
        return None
    kernel = given["kernel_size"]
    size = int(kernel[0]) if isinstance(kernel, (tuple, list)) else int(kernel)
    stride = given.get("stride") or size
    stride = int(stride[0]) if isinstance(stride, (tuple, list)) else int(stride)
    if stride != size or signal.shape[0] % size or given.get("padding") not in (None, 0, (0,)):
        return None
    return replace(signal, groups=signal.shape[0] // size)
