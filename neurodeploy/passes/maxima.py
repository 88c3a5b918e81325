"""Take the largest of currents with neurons: where a network pools maxima of values, chips can only add.

The largest of two values is ``max(a, b) = b + rectified(a - b)``. A rectifier population has no memory: it is given
the difference and sends, within the step, how many steps of a staircase the difference holds, rounded to the nearest.
A window of n values takes n - 1 rectifiers, in log2(n) layers. All but the rounding is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Conv2d, MaxPool2d, Scale, Shape, SynapseOp, chain_shape, without_bias

STAIRS = 255
"""Steps of a rectifier's staircase, from 0 to the largest difference: what a message of 8 bits can say."""

ROOM = 1.05
"""Staircases reach so much further than the largest difference that was seen."""


@dataclass(frozen=True, eq=False, slots=True)
class Rectified:
    """A network without maxima.

    network: computes the same but for rounding. steps: V of one step of each rectifier population, by name.
    """

    network: Network
    steps: dict[str, float]


def pooling(network: Network) -> tuple[Projection, ...]:
    """Return the projections that pool maxima of values."""
    return tuple(p for p in network.projections if any(isinstance(op, MaxPool2d) for op in p.ops))


def rectify(network: Network, swing: dict[Projection, float]) -> Rectified:
    """Return a network in which populations of rectifiers take the maxima.

    Args:
        network: any.
        swing: V, the largest difference within a window, for each projection that pools maxima.

    Raises:
        DeployError: a window is padded, or a projection pools maxima twice.
    """
    populations: list[Population] = []
    projections: list[Projection] = []
    steps: dict[str, float] = {}
    for population in network.populations:
        for p in network.into(population.name):
            if p not in swing:
                projections.append(p)
                continue
            made = _Windows.of(p, network.shapes[p.source], swing[p], f"{population.name}.maximum{len(steps) or ''}")
            populations += made.populations
            projections += made.projections
            steps |= dict.fromkeys((r.name for r in made.populations), made.step)
        populations.append(population)
    return Rectified(replace(network, populations=tuple(populations), projections=tuple(projections)), steps)


@dataclass(frozen=True, eq=False, slots=True)
class _Sum:
    """An intermediate value of the largest: a weighted sum of a window's values, and of rectifiers.

    window: float32 (kernel_h, kernel_w), weight of each value. rectifiers: names.
    """

    window: NDArray[Any]
    rectifiers: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class _Windows:
    """What takes the maxima of one projection: rectifiers, and the projections into and out of them.

    projection: that pools. before, pool, after: its operations. shape: what leaves the pool. step: V of a rectifier.
    """

    projection: Projection
    before: tuple[SynapseOp, ...]
    pool: MaxPool2d
    after: tuple[SynapseOp, ...]
    shape: Shape
    step: float
    name: str
    populations: list[Population] = field(default_factory=list)
    projections: list[Projection] = field(default_factory=list)

    @classmethod
    def of(cls, p: Projection, shape: Shape, swing: float, name: str) -> _Windows:
        """Return them for a projection from a population of ``shape``; their names begin with ``name``."""
        at, pool = _pool_of(p.ops)
        before, after = p.ops[:at], p.ops[at + 1 :]
        if any(isinstance(op, MaxPool2d) for op in after) or any(pool.padding):
            raise DeployError(
                f"{p.name} pools maxima of values {'with padding' if any(pool.padding) else 'twice'}, which is not"
                " supported",
                where=p.name,
                fix="Pool after the neurons, or use an average pool.",
            )
        step = max(swing, float(np.finfo(np.float32).tiny)) * ROOM / STAIRS
        self = cls(p, before, pool, after, pool.output_shape(chain_shape(before, shape)), step, name)
        units = np.eye(pool.kernel[0] * pool.kernel[1], dtype=np.float32).reshape(-1, *pool.kernel)
        sums = [_Sum(unit) for unit in units]
        while len(sums) > 1:
            ones, others = sums[::2], sums[1::2]
            sums = [self._larger(a, b) for a, b in zip(ones, others, strict=False)] + ones[len(others) :]
        self._bring(sums[0], p.target, after)
        return self

    def _larger(self, a: _Sum, b: _Sum) -> _Sum:
        """Return the larger of two sums, which takes one more population."""
        rectifier = _rectifiers(f"{self.name}.{len(self.populations)}", self.shape, self.step)
        self.populations.append(rectifier)
        self._bring(_Sum(a.window - b.window, a.rectifiers), rectifier.name, ())
        self._bring_rectifiers(b.rectifiers, rectifier.name, -self.step, ())
        return _Sum(b.window, (*b.rectifiers, rectifier.name))

    def _bring(self, value: _Sum, target: str, after: tuple[SynapseOp, ...]) -> None:
        """Add the projections that bring a sum to a population."""
        weight = np.repeat(value.window[None, None], self.shape[0], axis=0)
        picked = Conv2d(weight, None, self.pool.stride, groups=self.shape[0])
        p = self.projection
        self.projections.append(Projection(p.source, target, (*self.before, picked, *after), p.delay))
        self._bring_rectifiers(value.rectifiers, target, self.step, after)

    def _bring_rectifiers(
        self, names: tuple[str, ...], target: str, factor: float, after: tuple[SynapseOp, ...]
    ) -> None:
        ops = tuple(without_bias(op) for op in after)
        scale = Scale(np.full(1, factor, np.float32))
        self.projections += [Projection(name, target, (scale, *ops)) for name in names]


def _pool_of(ops: tuple[SynapseOp, ...]) -> tuple[int, MaxPool2d]:
    """Return where the first pool of maxima stands among operations, and the pool."""
    return next((i, op) for i, op in enumerate(ops) if isinstance(op, MaxPool2d))


def _rectifiers(name: str, shape: Shape, step: float) -> Population:
    """Return neurons without memory that send how many steps their input holds, rounded to the nearest."""
    rule = NeuronRule(spike=">=", reset="subtract", max_spikes=STAIRS)
    full = np.full(shape, step)
    return Population(name, shape, rule, decay_mem=np.zeros(shape), threshold=full, bias=full / 2)


def widest(network: Network, rows: dict[str, NDArray[Any]] | None) -> dict[Projection, float]:
    """Return the largest difference within a window, V, of each projection that pools maxima.

    Args:
        network: any. rows: what each source sends on calibration data, ``[T, B, *shape]``; None for a bound from the
            weights, given spikes.
    """
    found = {}
    for p in pooling(network):
        at, pool = _pool_of(p.ops)
        found[p] = _widest(p.ops[:at], pool, network.shapes[p.source], None if rows is None else rows[p.source])
    return found


def _widest(before: tuple[SynapseOp, ...], pool: MaxPool2d, shape: Shape, rows: NDArray[Any] | None) -> float:
    import torch
    from torch.nn import functional

    from neurodeploy.passes.torch_operations import chain

    operation = chain(before, torch.device("cpu"), torch.float32)
    if rows is None:
        each = [np.abs(op.weight).reshape(len(op.weight), -1).sum(1).max() for op in before if isinstance(op, Conv2d)]
        return 2.0 * float(np.prod(each))
    largest = 0.0
    for block in np.array_split(rows.reshape(-1, *shape), max(1, len(rows))):
        currents = operation(torch.from_numpy(np.ascontiguousarray(block, dtype=np.float32)))
        high = functional.max_pool2d(currents, pool.kernel, pool.stride)
        low = -functional.max_pool2d(-currents, pool.kernel, pool.stride)
        largest = max(largest, float((high - low).max()))
    return largest


def with_realised_steps(
    projections: tuple[Projection, ...], name: str, nominal: float, realised: float
) -> dict[Projection, Projection]:
    """Return the projections that leave a rectifier population, each with one whose factor is the step it has on chip.

    Args:
        projections: of a network. name: of the rectifiers. nominal, realised: V, what a step was to be and is.
    """
    found = {}
    for p in projections:
        if p.source == name:
            scale, *rest = p.ops
            assert isinstance(scale, Scale)
            found[p] = replace(p, ops=(Scale(scale.scale * np.float32(realised / nominal)), *rest))
    return found
