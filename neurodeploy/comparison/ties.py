"""Whether a spike that two correct float32 runs disagree on is a rounding tie.

A float32 sum depends on the order that a matrix kernel takes. Each population is replayed in float64 on the spikes that were recorded;
beside it runs a bound on what float32 may be off by: a sum of n terms is off by at most n * eps times the sum of their sizes (Higham 2002,
Accuracy and Stability of Numerical Algorithms, section 4.2), and the state carries what was off before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.base import Inputs
from neurodeploy.network import Network, Population, Projection
from neurodeploy.recording import Recording
from neurodeploy.synapses import Conv2d, Linear, Scale, SynapseOp

if TYPE_CHECKING:
    from torch import Tensor

    from neurodeploy.backends.reference import State, Stepper

EPSILON = float(np.finfo(np.float32).eps)

OWN_TERMS = 6
"""Roundings of a step beside the sum: decay, gain, bias, reset and their additions."""


def is_tie(network: Network, inputs: Inputs, recording: Recording, node: str, sample: int, t: int) -> NDArray[np.bool_]:
    """Tell for each neuron of a node whether its potential in row ``t`` lies so near the threshold that rounding decides.

    Args:
        network: what both runs computed.
        inputs: ``[T, B, *shape]``.
        recording: spikes of all populations; right up to row ``t``.
        node: the population. sample, t: from 0.

    Returns:
        bool of the population's shape.
    """
    import torch

    population, projections = network.population(node), network.into(node)
    sizes = _sizes(population)
    exact, bound = _stepper(population, projections), _stepper(sizes, tuple(replace(p, ops=_absolute(p.ops)) for p in projections))
    error = torch.zeros((1, *population.shape), dtype=torch.float64)
    current_error = torch.zeros_like(error)
    state, size = exact.init(1), bound.init(1)
    sources = {p.source: _stream(network, inputs, recording, p.source, sample) for p in projections}
    terms = _terms(projections, sources)
    fired = _stream(network, inputs, recording, node, sample)
    v = state.v
    for row in range(t + 1):
        spikes = {name: stream(row - int(name == node)) for name, stream in sources.items()}
        owed = _owed(exact, state)
        v, i = exact.integrate(state, spikes, owed)
        size_v, size_i = bound.integrate(size, spikes, None)
        rounding = EPSILON * (terms(row) + OWN_TERMS)
        if size_i is not None:
            assert exact.decay_syn is not None
            current_error = exact.decay_syn * current_error + rounding * size_i
        error = exact.decay_mem * error + current_error + rounding * size_v
        now = fired(row)
        state = replace(state, v=v if population.rule.reset_delay else exact.reset(v, now, owed), i=i, spikes=now)
        size = replace(size, v=size_v, i=size_i, spikes=now)
    near = (v - exact.threshold).abs() <= error
    return near[0].numpy()


def _stepper(population: Population, projections: tuple[Projection, ...]) -> Stepper:
    import torch

    from neurodeploy.backends.reference import Stepper

    return Stepper(population, projections, torch.device("cpu"), torch.float64)


def _owed(stepper: Stepper, state: State) -> Tensor | None:
    """Return where a reset is still due from the step before, as the recorded spikes have it."""
    rule = stepper.population.rule
    if rule.reset == "none":
        return None
    if rule.reset_delay:
        return state.spikes
    return stepper.fires(state.v) if rule.reset_pending else None


def _sizes(population: Population) -> Population:
    """Return a population whose v sums up the sizes of all terms, the threshold that a reset takes away among them."""
    rule = replace(population.rule, reset="none", reset_delay=False, reset_pending=False)
    return replace(
        population,
        rule=rule,
        gain_mem=np.abs(population.gain_mem),
        gain_syn=np.abs(population.gain_syn),
        bias=np.abs(population.bias) + np.abs(population.threshold) + np.abs(population.v_reset),
        v_init=np.abs(population.v_init),
    )


def _absolute(ops: tuple[SynapseOp, ...]) -> tuple[SynapseOp, ...]:
    def one(op: SynapseOp) -> SynapseOp:
        match op:
            case Linear() | Conv2d():
                return replace(op, weight=np.abs(op.weight), bias=None if op.bias is None else np.abs(op.bias))
            case Scale():
                return Scale(np.abs(op.scale))
        return op

    return tuple(one(op) for op in ops)


def _stream(network: Network, inputs: Inputs, recording: Recording, name: str, sample: int) -> Callable[[int], Tensor]:
    """Return the rows of an input or population as float64 ``[1, *shape]``; zeros before the first."""
    import torch

    values = inputs[name] if name in inputs else recording.spikes(name)
    rows = torch.from_numpy(np.ascontiguousarray(values[:, sample]).astype(np.float64))

    def row(t: int) -> Tensor:
        return rows[t : t + 1] if t >= 0 else torch.zeros((1, *network.shapes[name]), dtype=torch.float64)

    return row


def _terms(projections: tuple[Projection, ...], sources: dict[str, Callable[[int], Tensor]]) -> Callable[[int], int]:
    """Return how many terms a neuron's input has at most in a row: the spikes of its sources, and biases."""

    def count(t: int) -> int:
        return sum(int((sources[p.source](t) != 0).sum()) + len(p.ops) for p in projections)

    return count
