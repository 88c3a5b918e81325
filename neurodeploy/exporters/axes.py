"""Follow changes of axes: features that are joined, steps that are repeated, and what is reduced to one value."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import torch

from neurodeploy.exporters.layers import across_groups, maximum_over, mean_over
from neurodeploy.exporters.origins import Origins, TorchCall
from neurodeploy.exporters.signals import Axis, Signal, regroup
from neurodeploy.exporters.views import in_groups, turned


def regrouped(origins: Origins, signal: Signal, before: tuple[int, ...], after: tuple[int, ...]) -> Signal | None:
    """Return the signal with other axes; joined features become a node.

    Args:
        origins: of tensors. signal: of the tensor. before, after: its shape.
    """
    found = regroup(signal.axes, before, after, origins.extent)
    if found is None:
        return in_groups(signal, before, after)
    result = replace(signal, axes=found.axes)
    for first, last in reversed(found.joined):
        result = origins.flattened(result, first, last)
    return result


def reordered(signal: Signal, call: TorchCall) -> Signal | None:
    """Return a signal with its axes in another order; None where features change theirs, which needs a node."""
    found = turned(signal, call.name, call.args, call.kwargs)
    return None if found is not None and _moves_features(signal, found) else found


def repeated(signal: Signal, before: tuple[int, ...], after: tuple[int, ...], n_steps: int) -> Signal | None:
    """Return a signal that is the same at every step, repeated along an axis of steps.

    Args:
        signal: of the tensor. before, after: its shape. n_steps: in all.
    """
    if before == after:
        return signal
    axes: tuple[Axis, ...] = ("1",) * (len(after) - len(before)) + signal.axes
    padded = (1,) * (len(after) - len(before)) + before
    changed = [index for index, (one, two) in enumerate(zip(padded, after, strict=True)) if one != two]
    if any(step is not None for step in signal.steps) or len(changed) != 1:
        return None
    (index,) = changed
    if axes[index] != "1" or after[index] != n_steps:
        return None
    return replace(signal, axes=(*axes[:index], "T", *axes[index + 1 :]))


def reduced(origins: Origins, signal: Signal, call: TorchCall) -> Signal | None:
    """Return a signal whose steps, or whose space, became one value.

    Args:
        origins: of tensors. signal: of the tensor. call: of the reduction.
    """
    given = call.argument("dim", 1)
    if given is None or isinstance(given, torch.Tensor):
        return None
    rank = len(signal.axes)
    dims = sorted(int(d) % rank for d in (given if isinstance(given, (tuple, list)) else (given,)))
    axes = [signal.axes[dim] for dim in dims]
    keeps = call.out.dim() == rank
    is_total = call.name in ("sum", "mean")
    if axes == ["groups"] and is_total and not keeps and signal.rule is None:
        return _over_groups(origins, signal, call)
    if axes == ["T"] and signal.rule is None:
        left = tuple("1" if i in dims else axis for i, axis in enumerate(signal.axes) if keeps or i not in dims)
        return replace(signal, axes=left, rule=call.name.removeprefix("a"))
    if axes == ["members"] and is_total and not keeps:
        left = tuple(0 if axis == "groups" else axis for axis in signal.axes if axis != "members")
        return replace(signal, axes=left, groups=call.out.shape[left.index(0)])
    return _over_features(origins, signal, call.name, axes, keeps)


def _over_groups(origins: Origins, signal: Signal, call: TorchCall) -> Signal:
    """Return the sum or mean over groups of units, of each of their members: a layer."""
    n_groups, n_members = (call.args[0].shape[signal.axes.index(axis)] for axis in ("groups", "members"))
    plain = replace(signal, axes=tuple(0 if a == "groups" else a for a in signal.axes if a != "members"))
    found = origins.through(call.name, (across_groups(n_groups, n_members),), plain)
    return found.scaled(1.0 if call.name == "sum" else 1 / n_groups)


def _over_features(origins: Origins, signal: Signal, name: str, axes: list[Axis], keeps: bool) -> Signal | None:
    """Return the largest, the sum or the mean over axes of features: a layer."""
    features = tuple(axis for axis in axes if isinstance(axis, int))
    if len(features) != len(axes) or signal.lead is None:
        return None
    largest = name in ("amax", "max")
    ops: Any = (maximum_over if largest else mean_over)(signal.shape, features, keeps)
    if ops is None:
        return None
    if largest:
        return origins.through("max", ops, signal)
    return origins.through("mean", ops, signal).scaled(1.0 if name == "mean" else prod(signal.shape[1:]))


def _moves_features(before: Signal, after: Signal) -> bool:
    """Tell whether features changed their order behind time and samples, which stayed: a node stands for that."""
    n_lead = len(before.axes) - len(before.shape)
    stays = before.lead is not None and before.axes[:n_lead] == after.axes[:n_lead]
    return stays and before.is_plain and before.axes != after.axes
