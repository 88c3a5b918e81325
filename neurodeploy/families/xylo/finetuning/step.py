"""Xylo's step in torch: equal registers and spikes, with gradients behind them.

:mod:`neurodeploy.families.xylo.definition` defines what is computed. Tensors are float64 and hold whole numbers, for
which sums are exact. Sources are summed at once; where one of the sums on the way might leave a register, they are
added once more in their order, each saturating. Backward, decays are those without rounding, a spike has a surrogate,
and the subtraction of a spike has no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurodeploy.families.finetuning.surrogates import spikes
from neurodeploy.families.xylo.codes import (
    HIDDEN_MAX,
    INPUT_MAX,
    NO_ALIAS,
    OUTPUT_MAX,
    STATE_MAX,
    STATE_MIN,
    XyloCodes,
    XyloNeurons,
)

_TURN = 2.0**16


@dataclass(frozen=True, eq=False, slots=True)
class Rows:
    """All registers after each step: ``fired`` and ``v`` [T, B, n], ``i`` [T, B, n_synapses, n]."""

    fired: Tensor
    i: Tensor
    v: Tensor


@dataclass(frozen=True, eq=False, slots=True)
class Weights:
    """Codes of the three matrices, float64 (n_sources, n_synapses, n_targets), before their shifts."""

    into: Tensor
    recurrent: Tensor
    out: Tensor


class Synapses:
    """A matrix of weights, shifted.

    Args:
        weight: codes, float64 (n_sources, n_synapses, n).
        shift: of all of them.
    """

    def __init__(self, weight: Tensor, shift: int) -> None:
        shifted = weight * 2.0**shift
        with torch.no_grad():
            turns = torch.floor((shifted + _TURN / 2) / _TURN) * _TURN
        self.weight = shifted - turns
        self.sizes = self.weight.detach().abs()

    def sums(self, sent: Tensor) -> tuple[Tensor, Tensor]:
        """Return what sources ``[..., n_sources]`` bring, [..., n_synapses, n], and the sum of the sizes of it."""
        return _product(sent, self.weight), _product(sent.detach(), self.sizes)

    def add(self, i: Tensor, sent: Tensor, total: Tensor, sizes: Tensor) -> Tensor:
        """Return currents with what sources bring in one step, which saturate after each source.

        Args:
            i: float64 [B, n_synapses, n].
            sent: float64 [B, n_sources].
            total, sizes: as :meth:`sums` returns them of ``sent``.
        """
        summed = i + total
        with torch.no_grad():
            at_risk = i.abs() + sizes > STATE_MAX
            if not bool(at_risk.any()):
                return summed
            sample, synapse, neuron = at_risk.nonzero(as_tuple=True)
            state, weight = i[sample, synapse, neuron], self.weight[:, synapse, neuron]
            for source in range(len(weight)):
                state = _saturated(state + sent[sample, source] * weight[source])
            exact = summed.index_put((sample, synapse, neuron), state)
            correction = exact - summed
        return summed + correction


class Neurons:
    """The hidden neurons, or the outputs.

    Args:
        neurons: their registers.
        most: spikes in a step.
        version: of the chip.
        device: where tensors live.
    """

    def __init__(self, neurons: XyloNeurons, most: int, version: int, device: torch.device) -> None:
        def tensor(values: Any) -> Tensor:
            return torch.as_tensor(np.asarray(values, np.float64), device=device)

        self.n_synapses, self.size, self.most, self.at_once = neurons.n_synapses, neurons.size, most, version == 1
        self.lost_syn, self.lost_mem = tensor(0.5**neurons.dash_syn), tensor(0.5**neurons.dash_mem)
        self.threshold, self.bias = tensor(neurons.threshold_code), tensor(neurons.bias_code)

    def step(self, i: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return i and v after a step, and the spikes, from i with the step's input."""
        i = i - _lost(i, self.lost_syn)
        decay, arriving = -_lost(v, self.lost_mem), i.sum(1)
        if self.at_once:
            v = _saturated(v + decay + arriving)
        else:
            # v at its bottom, all of which is lost, has no positive counterpart in 16 bits.
            decay = decay - _TURN * (decay.detach() > STATE_MAX)
            v = _saturated(v + _saturated(_saturated(decay + arriving) + self.bias))
        sent = spikes(v, self.threshold, None, self.most, meets=True).double()
        return i, v - sent.detach() * self.threshold, sent

    def run(self, arriving: list[tuple[Synapses, Tensor]], own: Synapses | None = None) -> Rows:
        """Return all rows.

        Args:
            arriving: matrices in their order, with what their sources send in the steps in which it acts,
                float64 [T, B, n_sources].
            own: the matrix from the neurons themselves, whose spikes act in the next step; None where there is none.
        """
        blocks = [(synapses, sent, *synapses.sums(sent)) for synapses, sent in arriving]
        n_steps, n_samples = arriving[0][1].shape[:2]
        v = self.threshold.new_zeros((n_samples, self.size))
        i, sent = self.threshold.new_zeros((n_samples, self.n_synapses, self.size)), torch.zeros_like(v)
        found = []
        for t in range(n_steps):
            for synapses, rows, totals, sizes in blocks:
                i = synapses.add(i, rows[t], totals[t], sizes[t])
            if own is not None:
                i = own.add(i, sent, *own.sums(sent))
            i, v, sent = self.step(i, v)
            found.append((sent, i, v))
        return Rows(*(torch.stack(rows) for rows in zip(*found, strict=True)))


def run(codes: XyloCodes, counts: Tensor, weights: Weights | None = None) -> tuple[Rows, Rows]:
    """Run samples from rest and return the rows of the hidden neurons and of the outputs.

    Args:
        codes: the configuration, without aliases and with thresholds above 0.
        counts: whole numbers from 0, float64 [T, B, n_in], spikes of each channel in each step; above 15 count 15.
        weights: codes to take instead of the configuration's.

    Raises:
        ValueError: the configuration has aliases, or a threshold of 0 or below.
    """
    thresholds = (codes.hidden.threshold_code, codes.outputs.threshold_code)
    if (codes.alias != NO_ALIAS).any() or any((one <= 0).any() for one in thresholds):
        raise ValueError("aliases, and thresholds of 0 or below, cannot be trained with")
    device = counts.device
    given = weights or own_weights(codes, device)
    hidden = Neurons(codes.hidden, HIDDEN_MAX, codes.version, device)
    outputs = Neurons(codes.outputs, OUTPUT_MAX, codes.version, device)
    into, recurrent = Synapses(given.into, codes.shift_in), Synapses(given.recurrent, codes.shift_rec)
    feeds_itself = bool(recurrent.sizes.any())
    rows = hidden.run([(into, counts.clamp(max=INPUT_MAX))], recurrent if feeds_itself else None)
    late = torch.cat([torch.zeros_like(rows.fired[:1]), rows.fired[:-1]])
    return rows, outputs.run([(Synapses(given.out, codes.shift_out), late)])


def own_weights(codes: XyloCodes, device: torch.device) -> Weights:
    """Return a configuration's own weights."""
    matrices = (codes.weight_in, codes.weight_rec, codes.weight_out)
    return Weights(*(torch.as_tensor(one.astype(np.float64), device=device) for one in matrices))


def _product(sent: Tensor, weight: Tensor) -> Tensor:
    return (sent @ weight.flatten(1)).reshape(*sent.shape[:-1], *weight.shape[1:])


def _lost(x: Tensor, share: Tensor) -> Tensor:
    """Return what a register loses: its share, rounded down, but at least 1 of a positive one."""
    smooth = x * share
    with torch.no_grad():
        down = smooth.floor()
        rounding = torch.where((down == 0) & (x > 0), 1.0, down) - smooth
    return smooth + rounding


def _saturated(x: Tensor) -> Tensor:
    return x.clamp(STATE_MIN, STATE_MAX)
