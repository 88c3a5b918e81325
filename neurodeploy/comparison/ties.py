"""Tell whether two correct float32 runs differ only by rounding: a spike at a tie, or a value within its bound.

A float32 sum depends on the order that a matrix kernel takes. Each population is replayed in float64 on the spikes
that were recorded; beside it runs a bound on what float32 may be off by, :class:`Bound`, which :func:`advance` takes
from step to step as the neuron takes its states. ``docs/derivations.md`` says why it holds.
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

    Beside what the neuron computes stands what float32 may be off by, with ``e = ROUNDOFF``, ``r = OWN_ROUNDINGS``, X
    the sum of the sizes of n terms, and gains and thresholds by their size::

        x  = sum of w s                                dx  = e n X
        i' = decay_syn i + gain_syn x                  di' = decay_syn di + gain_syn dx + e r (|i| + gain_syn X)
        v' = decay_mem v + gain_mem i' + bias - th s   dv' = decay_mem dv + gain_mem di' + e r (sizes of all four)
        b' = adapt_decay b + adapt_rate s              db' = adapt_decay db + e r (|b'| + th + adapt_gain)
        th' = th + adapt_gain b                        dth' = max(adapt_gain, 1) db'
        fires m times where v' > m th'                 a tie where |v' - m th'| <= dv' + m dth'

    Args:
        network: what both runs computed.
        inputs: ``[T, B, *shape]``.
        recording: spikes of all populations; right up to row ``t``.
        node: the population.
        sample: from 0.
        t: from 0.

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
        network: as for :func:`is_tie`, and so are inputs, recording and node.
        inputs: ``[T, B, *shape]``.
        recording: what was recorded.
        node: the population.
        samples: which samples.
        n_rows: how many rows.
    """
    import torch

    from neurodeploy.backends.reference.neuron import Neuron
    from neurodeploy.passes.torch_operations import chain

    population, projections = network.population(node), network.into(node)
    exact = Neuron(population, torch.device("cpu"), torch.float64)
    chains = {p: chain(p.ops, torch.device("cpu"), torch.float64) for p in projections}
    sources = {p.source: _stream(network, inputs, recording, p.source, samples) for p in projections}
    sums = _sizes_of_sums(projections)
    shift = population.rule.output_delay
    fired = _stream(network, inputs, recording, node, samples) if population.rule.fires else None
    state = exact.init(len(range(*samples.indices(recording.n_samples))))
    bound = Bound.before(exact)
    for row in range(n_rows):
        spikes = {p: sources[p.source](row - p.delay) for p in projections}
        charged = exact.charge(state, [chains[p](spikes[p]) for p in projections])
        bound = advance(exact, bound, state, charged, sums(spikes))
        state = exact.carry(state, charged, state.fired if fired is None else fired(row + shift))
        yield Step(charged, state.v, bound.v, bound.threshold)


@dataclass(frozen=True, eq=False, slots=True)
class Sums:
    """What a step's input comes to at most, ``[B, *shape]``.

    size: the sum of the sizes of its terms. off: what float32 may be off by in their sum, in any order.
    """

    size: Tensor
    off: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class Bound:
    """By how much float32 may be off in each state of a population, ``[B, *shape]`` each.

    v, threshold: as they meet. currents: the synaptic currents, those that there are. b: the adaptation.
    """

    v: Tensor
    threshold: Tensor
    currents: tuple[Tensor, ...]
    b: Tensor

    @classmethod
    def before(cls, exact: Neuron) -> Bound:
        """Return the bound before the first step, in which every state is exact."""
        nothing = exact.init(1).v * 0
        return cls(nothing, nothing, (nothing, nothing), nothing)


def advance(exact: Neuron, bound: Bound, before: State, after: Charged, sums: Sums) -> Bound:
    """Return the bound one step later; nothing is changed.

    Args:
        exact: the neuron, in float64.
        bound: of the states before.
        before: the states.
        after: the neuron with the step's input.
        sums: of this input.
    """
    currents = _current_bounds(exact, bound, before, sums)
    size, off = _entering(exact, bound, before, sums, currents)
    v = exact.decay_mem * bound.v + _size_of_gain(exact.gain_mem) * off
    v = v + ROUNDOFF * OWN_ROUNDINGS * _size_of_terms(exact, before, size)
    if after.b is None or exact.adapt_decay is None:
        return Bound(v, bound.threshold, currents, bound.b)
    own = after.b.abs() + exact.threshold.abs() + exact.adapt_gain.abs()
    b = exact.adapt_decay * bound.b + ROUNDOFF * OWN_ROUNDINGS * own
    if exact.rule.adapts == "v":
        return Bound(v, bound.threshold, currents, b)
    return Bound(v, exact.adapt_gain.abs().clamp(min=1) * b, currents, b)


def _current_bounds(exact: Neuron, bound: Bound, before: State, sums: Sums) -> tuple[Tensor, ...]:
    """Return the bound of each synaptic current: what was off decays, and the input's and the step's own is added."""
    found = []
    for (decay, gain, i), off in zip(_currents(exact, before), bound.currents, strict=False):
        own = ROUNDOFF * OWN_ROUNDINGS * (i.abs() + gain * sums.size)
        found.append(decay * off + (own + gain * sums.off))
    return tuple(found)


def _entering(
    exact: Neuron, bound: Bound, before: State, sums: Sums, currents: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    """Return the size of what enters v, and its bound: the currents, or the input where there are none, and b."""
    size, off = sums.size, sums.off
    if currents:
        sizes = [i.abs() + gain * sums.size for _, gain, i in _currents(exact, before)]
        size, off = sum(sizes[1:], start=sizes[0]), sum(currents[1:], start=currents[0])
    if before.b is not None and exact.rule.adapts == "v":
        size, off = size + before.b.abs(), off + bound.b
    return size, off


def _size_of_terms(exact: Neuron, before: State, entering: Tensor) -> Tensor:
    """Return the sum of the sizes of all that a step adds to v.

    A reset subtracts no more than v had reached, so that a threshold out of reach adds nothing.
    """
    bias = 0.0 if exact.bias is None else exact.bias.abs()
    terms = before.v.abs() + _size_of_gain(exact.gain_mem) * entering + bias
    return terms + exact.threshold.abs().minimum(terms)


def _size_of_gain(gain: Tensor | None) -> Tensor | float:
    return 1.0 if gain is None else gain.abs()


def _currents(exact: Neuron, before: State) -> list[tuple[Any, Tensor | float, Tensor]]:
    """Return decay, size of the gain, and value of each synaptic current."""
    both = ((exact.decay_syn, exact.gain_syn, before.i), (exact.decay_second, exact.gain_second, before.e))
    return [(decay, _size_of_gain(gain), i) for decay, gain, i in both if i is not None]


def _sizes_of_sums(projections: tuple[Projection, ...]) -> Callable[[dict[Projection, Tensor]], Sums]:
    """Return a function of spikes that bounds the sums over synapses.

    A sum of n terms is off by at most ``n * e`` times the sum of their sizes, in whatever order it is taken.

    Source: Higham 2002, Accuracy and Stability of Numerical Algorithms, section 4.2.
    """
    import torch

    from neurodeploy.passes.torch_operations import chain

    absolute = {p: chain(_absolute(p.ops), torch.device("cpu"), torch.float64) for p in projections}

    def sums(spikes: dict[Projection, Tensor]) -> Sums:
        sizes = [ops(spikes[p].abs()) for p, ops in absolute.items()]
        size = sum(sizes[1:], start=sizes[0])
        # As many roundings as spikes in the projection of most, one for each of its operations, which may add a bias,
        # and one for each projection that is added to the others.
        terms = [(spikes[p] != 0).flatten(1).sum(1) + len(p.ops) for p in absolute]
        n = len(terms) + torch.stack(terms).amax(0)
        return Sums(size, ROUNDOFF * (n.reshape(-1, *(1,) * (size.ndim - 1)) * size))

    return sums


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
