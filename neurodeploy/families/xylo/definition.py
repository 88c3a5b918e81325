"""The integer step of Xylo in NumPy; what every other implementation must equal.

All registers have 16 bits and saturate, one source after another, so that the order of what is added counts.

Source: measured on XyloSim 0.1.3, of which SynSense says that it is bit-precise; no register differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.xylo.codes import (
    HIDDEN_MAX,
    INPUT_MAX,
    NO_ALIAS,
    OUTPUT_MAX,
    STATE_MAX,
    STATE_MIN,
    XyloCodes,
    XyloNeurons,
    XyloRun,
    empty_run,
)

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class NeuronState:
    """Registers of the hidden neurons, or of the outputs, between two steps.

    i: int64 (B, n_synapses, n). v: int64 (B, n). spikes: int64 (B, n), sent in the last step.
    """

    i: Codes
    v: Codes
    spikes: Codes


@dataclass(frozen=True, eq=False, slots=True)
class XyloState:
    """All registers between two steps."""

    hidden: NeuronState
    outputs: NeuronState


def init(codes: XyloCodes, n_samples: int) -> XyloState:
    """Return the state before the first step: all zeros."""
    return XyloState(*(_rest(neurons, n_samples) for neurons in (codes.hidden, codes.outputs)))


def step(codes: XyloCodes, state: XyloState, counts: Codes) -> XyloState:
    """Take all samples one step further.

    Args:
        codes: the configuration.
        state: after the step before.
        counts: int64 (B, n_in), spikes of each input channel in this step.

    Returns:
        The state after this step.
    """
    sent = state.hidden.spikes
    i = add_sources(state.hidden.i, np.minimum(counts, INPUT_MAX), codes.weight_in, codes.shift_in)
    i = add_sources(i, sent, codes.weight_rec, codes.shift_rec)
    i_out = add_sources(state.outputs.i, sent, codes.weight_out, codes.shift_out)
    i, v = integrate(codes.hidden, i, state.hidden.v, codes.version)
    i_out, v_out = integrate(codes.outputs, i_out, state.outputs.v, codes.version)
    no_alias = np.full(codes.outputs.size, NO_ALIAS)
    return XyloState(
        NeuronState(i, *fire(codes.hidden, v, codes.alias, HIDDEN_MAX)),
        NeuronState(i_out, *fire(codes.outputs, v_out, no_alias, OUTPUT_MAX)),
    )


def add_sources(i: Codes, spikes: Codes, weight: Codes, shift: int) -> Codes:
    """Add what sources send to currents, in ascending order, which saturate after each source.

    Args:
        i: int64 (B, n_synapses, n_targets).
        spikes: int64 (B, n_sources).
        weight: int64 (n_sources, n_synapses, n_targets).
        shift: of all weights.
    """
    shifted = cut(weight << shift)
    for source in range(len(weight)):
        i = saturate(i + spikes[:, source, None, None] * shifted[source])
    return i


def integrate(neurons: XyloNeurons, i: Codes, v: Codes, version: int) -> tuple[Codes, Codes]:
    """Let the currents decay, then change v by its own decay, by the currents that are left, and by the bias.

    Args:
        neurons: their registers.
        i: int64 (B, n_synapses, n), with the input of this step.
        v: int64 (B, n).
        version: of the chip; version 1 sums all at once.

    Returns:
        The new i and v.
    """
    i = i - lost(i, neurons.dash_syn)
    if version == 1:
        return i, saturate(v - lost(v, neurons.dash_mem) + i.sum(axis=1))
    change = cut(-lost(v, neurons.dash_mem))
    change = saturate(change + i.sum(axis=1))
    change = saturate(change + neurons.bias_code)
    return i, saturate(v + change)


def fire(neurons: XyloNeurons, v: Codes, alias: Codes, most: int) -> tuple[Codes, Codes]:
    """Let neurons fire in ascending order, each as often as v holds its threshold, and pass spikes on to aliases.

    Args:
        neurons: their registers.
        v: int64 (B, n).
        alias: int64 (n,), to whom the spikes of each are added, or -1.
        most: spikes in a step, with those that were aliased to the neuron.

    Returns:
        The new v and the spikes, int64 (B, n).
    """
    v, spikes = v.copy(), np.zeros_like(v)
    for k, threshold in enumerate(neurons.threshold_code):
        while (fires := (v[:, k] >= threshold) & (spikes[:, k] < most)).any():
            spikes[:, k] += fires
            v[:, k] = cut(v[:, k] - fires * threshold)
        if alias[k] != NO_ALIAS:
            spikes[:, alias[k]] = np.minimum(spikes[:, alias[k]] + spikes[:, k], most)
    return v, spikes


def lost(x: Codes, dash: Codes) -> Codes:
    """Return what a register loses in a step: ``x >> dash``, rounded down, but at least 1 of a positive one."""
    shifted = x >> dash
    return np.where((shifted == 0) & (x > 0), 1, shifted)


def saturate(x: Codes) -> Codes:
    """Clip to the 16 bits of a register."""
    return np.clip(x, STATE_MIN, STATE_MAX)


def cut(x: Codes) -> Codes:
    """Keep the lowest 16 bits, with the sign."""
    return x.astype(np.int16).astype(np.int64)


def run(codes: XyloCodes, inputs: NDArray[Any]) -> XyloRun:
    """Run samples from rest.

    Args:
        codes: the configuration.
        inputs: whole numbers from 0 to 255 [T, B, n_in], spikes of each channel in each step; above 15 count 15.

    Returns:
        Spikes, currents and v of all neurons, after each step.

    Raises:
        ValueError: the inputs have another shape, or counts outside 0 to 255.
    """
    counts = codes.counts(inputs)
    n_steps, n_samples = counts.shape[:2]
    found, state = empty_run(codes, n_steps, n_samples), init(codes, n_samples)
    for t in range(n_steps):
        state = step(codes, state, counts[t])
        found.spikes[t], found.i[t], found.v[t] = state.hidden.spikes, state.hidden.i, state.hidden.v
        found.spikes_out[t], found.i_out[t], found.v_out[t] = state.outputs.spikes, state.outputs.i, state.outputs.v
    return found


def _rest(neurons: XyloNeurons, n_samples: int) -> NeuronState:
    i = np.zeros((n_samples, neurons.n_synapses, neurons.size), np.int64)
    return NeuronState(i, i[:, 0].copy(), i[:, 0].copy())
