"""Compute again, in every step, what a model computes once from a sum, a mean or the last of its steps.

A linear layer behind a mean over time gives what the mean of the layer in each step gives. So the layer is called again
on the values of every step, becomes a node that is there in each, and what it gives is reduced as its input was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from neurodeploy.exporters.layers import UnsupportedError
from neurodeploy.exporters.signals import SPIKES, Signal, Tap, equal

RULES = ("sum", "mean", "last")
"""Reductions over time that a linear layer may follow as well as precede."""

Seen = tuple[tuple[Any, ...], int | None, Any]
"""A tensor that was seen: its axes, its step (None if it holds all, or does not change), and its values."""


def accumulated(signal: Signal, n_steps: int) -> Signal:
    """Return a signal that was added up step by step, or is the last step, as one step and the rule it follows."""
    by_tap: dict[tuple[str, str], dict[int | None, Any]] = defaultdict(dict)
    for tap, factor in signal.terms.items():
        by_tap[tap.node, tap.port][tap.step] = factor
    if signal.rule == "sum" and all(np.all(factor * n_steps == 1) for factor in signal.terms.values()):
        return replace(signal.scaled(n_steps), rule="mean")
    if signal.rule or n_steps < 2:
        return signal
    if signal.steps == {n_steps - 1} and "T" not in signal.axes:
        return replace(signal, rule="last")
    if any(set(steps) != set(range(n_steps)) for steps in by_tap.values()) or np.any(signal.offset):
        return signal
    terms = {}
    for (node, port), steps in by_tap.items():
        first = steps[0]
        if any(not equal(factor, first) for factor in steps.values()):
            return signal
        terms[Tap(node, port, None)] = first
    if not terms:
        return signal
    (factor, *_) = terms.values()
    is_mean = np.ndim(factor) == 0 and abs(float(factor) * n_steps - 1) < 1e-6
    terms = {tap: own * n_steps for tap, own in terms.items()} if is_mean else terms
    return replace(signal, terms=terms, rule="mean" if is_mean else "sum")


def of_each_step(signal: Signal) -> Signal:
    """Return a signal as it was before its steps were reduced, steps and samples on one axis."""
    terms = {tap._replace(step=None): factor for tap, factor in signal.terms.items()}
    return replace(signal, terms=terms, axes=("TB", *range(len(signal.shape))), rule=None)


def values_of_each_step(signal: Signal, marked: Iterable[tuple[Any, Signal]], n_steps: int) -> Any:
    """Return the values of a signal before its steps were reduced, a tensor ``[T * B, *shape]``; None if unseen.

    Args:
        signal: after the reduction. marked: all tensors that are followed, with their signals. n_steps: T.
    """
    seen: dict[tuple[str, str], list[Seen]] = {(tap.node, tap.port): [] for tap in signal.terms}
    for tensor, one in marked:
        tap = next(iter(one.terms), None)
        is_bare = one.is_plain and len(one.terms) == 1 and equal(one.offset, 0.0) and "1" not in one.axes
        if tap is not None and is_bare and one.lead and tap[:2] in seen and equal(one.terms[tap], 1.0):
            seen[tap[:2]].append((one.axes, tap.step, tensor))
    total: Any = torch.as_tensor(signal.offset, dtype=torch.float32)
    for tap, factor in signal.terms.items():
        rows = assembled(seen[tap[:2]], n_steps)
        if rows is None:
            return None
        total = total + torch.as_tensor(factor, dtype=torch.float32) * rows.reshape(-1, *signal.shape)
    return total


def assembled(seen: list[Seen], n_steps: int) -> Any:
    """Return tensors of single steps, or of all, as one tensor [T, B, *shape]; None if a step is missing."""
    whole = next(((axes, value) for axes, step, value in seen if step is None), None)
    if whole is None:
        by_step = {step: value for _, step, value in seen}
        return torch.stack([by_step[step] for step in range(n_steps)]) if len(by_step) >= n_steps else None
    axes, rows = whole
    if axes[0] == "B" and axes[1:2] != ("T",):
        return rows.unsqueeze(0).expand(n_steps, *rows.shape)
    if axes[0] == "BT":
        return rows.unflatten(0, (-1, n_steps)).transpose(0, 1)
    if axes[0] == "TB":
        return rows.unflatten(0, (n_steps, -1))
    return rows.transpose(0, 1) if axes[:2] == ("B", "T") else rows


def reduced_again(found: Signal, rule: str, again: Any, out: Any, n_steps: int, place: str) -> tuple[Signal, Any]:
    """Return what left a layer in each step, reduced by a rule as its input was.

    Args:
        found: what left it. rule: how steps are reduced. again: values that left it, ``[T * B, *shape]``. out: values
            that left it when it was called on the reduced ones. n_steps: T. place: of the layer.

    Returns:
        The signal, and by how much a sum of steps is off because the layer adds its bias in each of them, float64 of
        the features' shape; None where it is not.

    Raises:
        UnsupportedError: the two differ other than by a bias, so that it is not linear.
    """
    if found.axes[:1] != ("TB",):
        raise UnsupportedError(f"{place} of the {rule} over time; it moves the samples, so call it in each step")
    rows = again.unflatten(0, (n_steps, -1)).double()
    reduced = rows[-1] if rule == "last" else rows.sum(0) if rule == "sum" else rows.mean(0)
    missing = out.double() - reduced
    limit = 1e-4 * float(rows.abs().amax(0).max() + 1e-6) * (n_steps if rule == "sum" else 1)
    result = replace(found, axes=tuple("B" if axis == "TB" else axis for axis in found.axes), rule=rule)
    if bool((missing.abs() <= limit).all()):
        return result, None
    if rule != "sum" or not bool(((missing - missing[:1]).abs() <= limit).all()):
        raise UnsupportedError(f"{place} of the {rule} over time; it is not linear, so call it in each step")
    return result, missing[0].numpy().reshape(found.shape)


def is_reduced(signal: Signal) -> bool:
    """Tell whether a signal's steps were reduced to one by a rule that a linear layer may follow."""
    return signal.rule in RULES and signal.broken is None and signal.groups is None and signal.lead == "B"


def reads_values(signal: Signal) -> bool:
    """Tell whether a signal comes from what nodes send, and from no states."""
    return bool(signal.terms) and all(tap.port == SPIKES for tap in signal.terms)


def swapped(value: Any, old: Any, new: Any) -> Any:
    """Return arguments of a function with one tensor in place of another.

    Args:
        value: the arguments, in tuples, lists and dictionaries. old: the tensor. new: in its place.
    """
    if value is old:
        return new
    if isinstance(value, dict):
        return {key: swapped(part, old, new) for key, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(swapped(part, old, new) for part in value)
    return value
