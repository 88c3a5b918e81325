"""Whether what two correct float32 runs disagree on is rounding: a spike at a tie, or a value within its bound.

A float32 sum depends on the order that a matrix kernel takes. Each population is replayed in float64 on the spikes
that were recorded;
beside it runs a bound on what float32 may be off by: a sum of n terms is off by at most n * eps times the sum of
their sizes (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 4.2), and the state carries what was
off before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.base import Inputs
from neurodeploy.network import Network, Projection
from neurodeploy.recording import Recording
from neurodeploy.synapses import Conv1d, Conv2d, Linear, Scale, Sparse, SynapseOp

if TYPE_CHECKING:
    from torch import Tensor

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
    population = network.population(node)
    upto = t + 1 - population.rule.output_delay
    threshold = np.asarray(population.threshold, np.float64)
    v, error = threshold * np.nan, threshold * 0.0
    for step, _, bound in potentials(network, inputs, recording, node, slice(sample, sample + 1), upto):
        v, error = step[0].numpy(), bound[0].numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.clip(np.rint(v / threshold), 1, population.rule.max_spikes)
    near: NDArray[np.bool_] = np.abs(v - times * threshold) <= error
    return near


def potentials(
    network: Network, inputs: Inputs, recording: Recording, node: str, samples: slice, n_rows: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Replay a population in float64 on what was recorded, row by row.

    Args:
        network, inputs, recording, node: as for :func:`is_tie`.
        samples: which samples.
        n_rows: how many rows.

    Yields:
        v as it meets the threshold, v as it is carried on, and by how much float32 may be off, each ``[B, *shape]``.
    """
    import torch

    from neurodeploy.backends.reference.neuron import Neuron
    from neurodeploy.backends.reference.operations import chain

    population, projections = network.population(node), network.into(node)
    exact = Neuron(population, torch.device("cpu"), torch.float64)
    chains = {p: chain(p.ops, torch.device("cpu"), torch.float64) for p in projections}
    sources = {p.source: _stream(network, inputs, recording, p.source, samples) for p in projections}
    sums = _sizes_of_sums(projections)
    fired = _stream(network, inputs, recording, node, samples) if population.rule.fires else None
    state = exact.init(len(range(*samples.indices(recording.n_samples))))
    error, current_error = torch.zeros_like(state.v), torch.zeros_like(state.v)
    gain_syn, gain_mem = (1.0 if gain is None else gain.abs() for gain in (exact.gain_syn, exact.gain_mem))
    for row in range(n_rows):
        spikes = {p: sources[p.source](row - p.delay) for p in projections}
        owed = exact.owed(state)
        v, i = exact.integrate(state, [chains[p](spikes[p]) for p in projections], owed)
        size, summed = sums(spikes)
        entering, entering_error = gain_syn * size, ROUNDOFF * gain_syn * summed
        if i is not None and state.i is not None and exact.decay_syn is not None:
            own = ROUNDOFF * OWN_ROUNDINGS * (state.i.abs() + entering)
            current_error = exact.decay_syn * current_error + entering_error + own
            entering, entering_error = state.i.abs() + entering, current_error
        own = state.v.abs() + gain_mem * entering + (exact.threshold.abs() if population.rule.fires else 0.0)
        error = exact.decay_mem * error + gain_mem * entering_error + ROUNDOFF * OWN_ROUNDINGS * own
        now = state.fired if fired is None else fired(row + population.rule.output_delay)
        carried = exact.settle(v, now, owed)
        yield v, carried, error
        state = replace(state, v=carried, i=i, fired=now)


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
        each = [(ops(spikes[p]), (spikes[p] != 0).flatten(1).sum(1) + len(p.ops)) for p, ops in absolute.items()]
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

    values = inputs[name] if name in inputs else recording.spikes(name)
    n = len(range(*samples.indices(values.shape[1])))

    def row(t: int) -> Tensor:
        if not 0 <= t < len(values):
            return torch.zeros((n, *network.shapes[name]), dtype=torch.float64)
        return torch.from_numpy(np.ascontiguousarray(values[t, samples]).astype(np.float64))

    return row
