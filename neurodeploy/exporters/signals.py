"""The origin of a tensor: a weighted sum of what nodes send, with the meaning of each of its axes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.synapses import Shape

Axis = str | int
"""``T`` time steps, ``B`` samples, ``TB`` and ``BT`` the two as one axis, ``1`` an axis of one, a number a feature.

``groups`` and ``members``: the one axis of features as groups of neighbours."""

SPIKES, V = "", "v"
"""What is taken from a node: what it sends, or its membrane potential."""


class Tap(NamedTuple):
    """One reading of a node: its name, :data:`SPIKES` or a state, and the step; None for a constant or all steps."""

    node: str
    port: str
    step: int | None


@dataclass(frozen=True, eq=False, slots=True)
class Signal:
    """The origin of one tensor: ``sum(factor * tap) + offset``.

    axes: the meaning of each axis. shape: of the features. terms: factors by tap, numbers or arrays that broadcast to
    ``shape``. offset: alike. rule: how the steps were reduced to one (``sum``, ``mean``, ``max``, ``last``), or None.
    groups: into how many groups the units were averaged, or None. broken: the operation that made it into something
    that no node is, or None.
    """

    axes: tuple[Axis, ...]
    shape: Shape
    terms: dict[Tap, Any]
    offset: Any = 0.0
    rule: str | None = None
    groups: int | None = None
    broken: str | None = None

    @property
    def lead(self) -> str | None:
        """Leading axes if features follow them in order, as one text such as ``TB``, ``t`` (both as one) or ``B``."""
        n_lead = len(self.axes) - len(self.shape)
        if self.axes[n_lead:] != tuple(range(len(self.shape))):
            return None
        lead = self.axes[:n_lead]
        return "t" if lead == ("TB",) else "b" if lead == ("BT",) else "".join(map(str, lead))

    @property
    def steps(self) -> set[int | None]:
        """The steps at which nodes are read."""
        return {tap.step for tap in self.terms}

    @property
    def latest(self) -> int | None:
        """The last of its steps; None for a constant, or where it holds all."""
        return max((step for step in self.steps if step is not None), default=None)

    @property
    def nodes(self) -> set[str]:
        """Names of the nodes that it comes from."""
        return {tap.node for tap in self.terms}

    @property
    def is_plain(self) -> bool:
        """Whether it is followed, and still has its steps."""
        return self.broken is None and self.rule is None and self.groups is None

    def at(self, step: int | None, axes: tuple[Axis, ...]) -> Signal:
        """Return the same signal at one step, or at all of them."""
        terms = {tap._replace(step=step): factor for tap, factor in self.terms.items()}
        return replace(self, terms=terms, axes=axes)

    def scaled(self, factor: Any) -> Signal:
        """Return the signal times a number or an array of its features."""
        return replace(self, terms={tap: own * factor for tap, own in self.terms.items()}, offset=self.offset * factor)

    def shifted(self, offset: Any) -> Signal:
        """Return the signal plus a number or an array of its features."""
        return replace(self, offset=self.offset + offset)

    def plus(self, other: Signal) -> Signal:
        """Return the sum with a signal of the same axes and shape."""
        terms = dict(self.terms)
        for tap, factor in other.terms.items():
            terms[tap] = terms[tap] + factor if tap in terms else factor
        return replace(self, terms=terms, offset=self.offset + other.offset)


def equal(one: Any, two: Any) -> bool:
    """Tell whether two factors or offsets are the same."""
    return np.shape(one) == np.shape(two) and bool(np.all(one == two))


def reshaped(value: Any, before: Shape, after: Shape) -> Any:
    """Return a factor or offset of features whose shape ``before`` becomes ``after``; a number is for all.

    Args:
        value: a number, or an array of shape ``before``. before, after: shapes of the features.
    """
    return value if np.ndim(value) == 0 else np.broadcast_to(value, before).reshape(after)


def features_of(constant: Any, signal: Signal) -> NDArray[np.float64] | float | None:
    """Return a constant beside a signal as features, float64 of their rank; None if it varies over other axes."""
    if not hasattr(constant, "detach"):
        return float(constant) if isinstance(constant, (int, float)) else None
    values = constant.detach().double().numpy()
    if values.size == 1:
        return float(values.reshape(()))
    rank = len(signal.axes)
    if values.ndim > rank or signal.lead is None:
        return None
    n_lead = rank - len(signal.shape)
    values = values.reshape((1,) * (rank - values.ndim) + values.shape)
    if prod(values.shape[:n_lead]) != 1:
        return None
    return np.array(values.reshape(values.shape[n_lead:]))


class Regrouped(NamedTuple):
    """What a reshape did: the new axes (features numbered as before), and the runs of features that were joined."""

    axes: tuple[Axis, ...]
    joined: tuple[tuple[int, int], ...]


def regroup(axes: tuple[Axis, ...], before: Shape, after: Shape, extent: dict[str, int]) -> Regrouped | None:
    """Return what becomes of a tensor's axes when it is reshaped, None if time, samples or features are mixed.

    Args:
        axes: of the tensor. before: its extents. after: those it gets. extent: of ``T`` and ``B``.
    """
    made: list[Axis] = []
    joined: list[tuple[int, int]] = []
    for old, new in _groups(axes, before, after):
        found = _regroup_one([axes[i] for i in old if axes[i] != "1"], [after[j] for j in new], extent)
        if found is None:
            return None
        made += found.axes
        joined += found.joined
    return Regrouped(tuple(made), tuple(joined))


def _groups(axes: tuple[Axis, ...], before: Shape, after: Shape) -> Iterable[tuple[list[int], list[int]]]:
    """Give the smallest runs of axes before and after that hold the same elements; ones go with the run they follow."""
    i = j = 0
    while i < len(before) or j < len(after):
        old: list[int] = []
        new: list[int] = []
        sizes = [1, 1]
        while True:
            if i < len(before) and (sizes[0] < sizes[1] or not old):
                sizes[0] *= before[i]
                old.append(i)
                i += 1
            elif j < len(after) and (sizes[1] < sizes[0] or not new):
                sizes[1] *= after[j]
                new.append(j)
                j += 1
            else:
                break
        while i < len(before) and before[i] == 1 and (j == len(after) or after[j] != 1) and old:
            if axes[i] != "1" and not (isinstance(axes[i], int) and isinstance(axes[old[-1]], int)):
                break
            old.append(i)
            i += 1
        yield old, new


def _regroup_one(old: list[Axis], new: list[int], extent: dict[str, int]) -> Regrouped | None:
    """Return what one run of axes becomes."""
    if len(old) == len(new) == 1:
        return Regrouped((old[0],), ())
    sizes = [n for n in new if n != 1]
    features = [axis for axis in old if isinstance(axis, int)]
    are_joined = len(features) == len(old) > 1 and len(sizes) <= 1 <= len(new)
    if are_joined and features == list(range(features[0], features[-1] + 1)):
        at = new.index(max(new))
        axes = tuple(features[0] if index == at else "1" for index in range(len(new)))
        return Regrouped(axes, ((features[0], features[-1]),))
    kept: tuple[Axis, ...] | None = None
    if not old:
        kept = ()
    elif len(old) == len(sizes) == 1:
        kept = (old[0],)
    elif tuple(old) in (("T", "B"), ("B", "T")) and len(sizes) == 1:
        kept = ("TB",) if old[0] == "T" else ("BT",)
    elif tuple(old) in (("TB",), ("BT",)) and len(sizes) == 2:
        wanted = tuple(str(old[0]))
        kept = wanted if tuple(sizes) == tuple(extent[axis] for axis in wanted) else None
    if kept is None or len(kept) != len(sizes):
        return None
    labels = iter(kept)
    return Regrouped(tuple("1" if n == 1 else next(labels) for n in new), ())


def tensors(value: Any) -> Iterator[Any]:
    """Give the tensors in nested tuples, lists and dicts."""
    if hasattr(value, "detach"):
        yield value
    elif isinstance(value, dict):
        yield from tensors(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors(part)
