"""Tell whether two correct float32 runs differ only by rounding: a spike at a tie, or a value within its bound.

A float32 sum depends on the order that a matrix kernel takes. Each population is replayed in float64 on the spikes
that were recorded;
beside it runs a bound on what float32 may be off by: a sum of n terms is off by at most n * eps times the sum of
their sizes (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 4.2), and the state carries what was
off before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs
from neurodeploy.ir.synapses import Conv1d, Conv2d, Linear, Scale, Sparse, SynapseOp

if TYPE_CHECKING:
    from torch import Tensor

    from neurodeploy.backends.reference.neuron import Charged, Neuron, State

ROUNDOFF = float(np.finfo(np.float32).eps) / 2
"""Largest relative error of one float32 operation."""

OWN_ROUNDINGS = 6
"""Roundings of a step beside the sum over synapses: decay, gain, bias, reset and their additions."""


def is_tie(network: Network, inputs: Inputs, recording: Recording, node: str, sample: int, t: int) -> NDArray[np.bool_]:
    """Tell for each neuron of a node whether rounding decides if it fires in row ``t``.

    Args:
        network: what both runs computed.
        inputs: ``[T, B, *shape]``.
        recording: spikes of all populations; right up to row ``t``.
        node: the population. sample, t: from 0.

    Returns:
        bool of the population's shape.
    """
    rule = network.population(node).rule
    one = slice(sample, sample + 1)
    for step in potentials(network, inputs, recording, node, one, t + 1 - rule.output_delay):
        last = step
    v = last.charged.v.abs() if rule.signed else last.charged.v
    middle = 0.5 * rule.rounds  # a count that is rounded changes between whole numbers
    times = (v / last.charged.threshold + middle).round().clamp(min=1, max=rule.max_spikes) - middle
    off = last.off_v + times * last.off_threshold
    near: NDArray[np.bool_] = ((v - times * last.charged.threshold).abs() <= off)[0].numpy()
    return near


@dataclass(frozen=True, eq=False, slots=True)
class Step:
    """One row of a population that is replayed.

    charged: v and threshold as they meet. carried: v that is carried on. off_v, off_threshold: by how much float32 may
    be off. Each is ``[B, *shape]``.
    """

    charged: Charged
    carried: Tensor
    off_v: Tensor
    off_threshold: Tensor


def potentials(
    network: Network, inputs: Inputs, recording: Recording, node: str, samples: slice, n_rows: int
) -> Iterator[Step]:
    """Replay a population in float64 on what was recorded, row by row.

    Args:
        network, inputs, recording, node: as for :func:`is_tie`.
        samples: which samples.
        n_rows: how many rows.
    """
    import torch

    from neurodeploy.backends.reference.neuron import Neuron
    from neurodeploy.backends.reference.operations import chain

    population, projections = network.population(node), network.into(node)
    exact = Neuron(population, torch.device("cpu"), torch.float64)
    chains = {p: chain(p.ops, torch.device("cpu"), torch.float64) for p in projections}
    sources = {p.source: _stream(network, inputs, recording, p.source, samples) for p in projections}
    sums = _sizes_of_sums(projections)
    shift = population.rule.output_delay
    fired = _stream(network, inputs, recording, node, samples) if population.rule.fires else None
    state = exact.init(len(range(*samples.indices(recording.n_samples))))
    bound = _Bound(exact)
    for row in range(n_rows):
        spikes = {p: sources[p.source](row - p.delay) for p in projections}
        charged = exact.charge(state, [chains[p](spikes[p]) for p in projections])
        bound.charge(state, charged, *sums(spikes))
        state = exact.carry(state, charged, state.fired if fired is None else fired(row + shift))
        yield Step(charged, state.v, bound.v, bound.threshold)


class _Bound:
    """What float32 may be off by in a population's states, beside the states themselves.

    v, threshold: of both as they meet.
    """

    def __init__(self, exact: Neuron) -> None:
        self.exact = exact
        self.v = self.threshold = self._off_b = exact.init(1).v * 0
        self._off = [self.v, self.v]

    def charge(self, before: State, after: Charged, size: Tensor, summed: Tensor) -> None:
        """Take a step whose input sums to ``size`` at most, ``summed`` with each term counted."""
        exact = self.exact
        entering, error = size, ROUNDOFF * summed
        if currents := self._currents(before):
            entering, error = size * 0, size * 0
            for k, (decay, gain, i) in enumerate(currents):
                reached = i.abs() + gain * size
                self._off[k] = decay * self._off[k] + ROUNDOFF * (OWN_ROUNDINGS * reached + gain * summed)
                entering, error = entering + reached, error + self._off[k]
        if before.b is not None and exact.rule.adapts == "v":
            entering, error = entering + before.b.abs(), error + self._off_b
        gain_mem = 1.0 if exact.gain_mem is None else exact.gain_mem.abs()
        own = before.v.abs() + gain_mem * entering + (0.0 if exact.bias is None else exact.bias.abs())
        # A reset subtracts no more than v had reached, so that a threshold out of reach adds nothing.
        own = own + exact.threshold.abs().minimum(own)
        self.v = exact.decay_mem * self.v + gain_mem * error + ROUNDOFF * OWN_ROUNDINGS * own
        if after.b is not None and exact.adapt_decay is not None:
            own = after.b.abs() + exact.threshold.abs() + exact.adapt_gain.abs()
            self._off_b = exact.adapt_decay * self._off_b + ROUNDOFF * OWN_ROUNDINGS * own
            if exact.rule.adapts == "threshold":
                self.threshold = exact.adapt_gain.abs().clamp(min=1) * self._off_b

    def _currents(self, before: State) -> list[tuple[Any, Any, Tensor]]:
        """Return decay, size of the gain, and value of each synaptic current."""
        exact = self.exact
        both = ((exact.decay_syn, exact.gain_syn, before.i), (exact.decay_second, exact.gain_second, before.e))
        return [(decay, 1.0 if gain is None else gain.abs(), i) for decay, gain, i in both if i is not None]


def _sizes_of_sums(
    projections: tuple[Projection, ...],
) -> Callable[[dict[Projection, Tensor]], tuple[Tensor, Tensor]]:
    """Return a function of spikes that bounds the sums over synapses.

    It gives the sum of the sizes of all terms, and the same times the number of terms.
    """
    import torch

    from neurodeploy.backends.reference.operations import chain

    absolute = {p: chain(_absolute(p.ops), torch.device("cpu"), torch.float64) for p in projections}

    def sizes(spikes: dict[Projection, Tensor]) -> tuple[Tensor, Tensor]:
        each = [(ops(spikes[p].abs()), (spikes[p] != 0).flatten(1).sum(1) + len(p.ops)) for p, ops in absolute.items()]
        size = sum((size for size, _ in each[1:]), start=each[0][0])
        terms = len(each) + torch.stack([count for _, count in each]).amax(0)
        return size, terms.reshape(-1, *(1,) * (size.ndim - 1)) * size

    return sizes


def _absolute(ops: tuple[SynapseOp, ...]) -> tuple[SynapseOp, ...]:
    def one(op: SynapseOp) -> SynapseOp:
        match op:
            case Linear() | Conv1d() | Conv2d():
                return replace(op, weight=np.abs(op.weight), bias=None if op.bias is None else np.abs(op.bias))
            case Sparse():
                return replace(op, weight=abs(op.weight), bias=None if op.bias is None else np.abs(op.bias))
            case Scale():
                return Scale(np.abs(op.scale))
        return op

    return tuple(one(op) for op in ops)


def _stream(
    network: Network, inputs: Inputs, recording: Recording, name: str, samples: slice
) -> Callable[[int], Tensor]:
    """Return the rows of an input or population as float64 ``[B, *shape]``; zeros before the first."""
    import torch

    if name in inputs:
        values = inputs[name]
    else:  # what it sent: its spikes, or its potential if it does not fire
        values = recording.nodes[name]["spikes" if network.population(name).rule.fires else "value"]
    n = len(range(*samples.indices(values.shape[1])))

    def row(t: int) -> Tensor:
        if not 0 <= t < len(values):
            return torch.zeros((n, *network.shapes[name]), dtype=torch.float64)
        return torch.from_numpy(np.ascontiguousarray(values[t, samples]).astype(np.float64))

    return row
