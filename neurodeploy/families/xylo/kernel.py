"""Xylo's step, compiled with numba: equal to :mod:`neurodeploy.families.xylo.definition` to the bit.

Sums are of int32, which no sum of 16-bit registers leaves; they are clipped after each source, as the chip's are.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
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
from neurodeploy.preparing import prepare

_LOOPS: Any = {"cache": True, "nogil": True, "_nrt": False}
compiled, inlined = njit(**_LOOPS), njit(inline="always", **_LOOPS)

_TOP, _BOTTOM = np.int32(STATE_MAX), np.int32(STATE_MIN)


def run(codes: XyloCodes, inputs: NDArray[Any], threads: int | None = None) -> XyloRun:
    """Run samples from rest, as :func:`neurodeploy.families.xylo.definition.run` does, in compiled loops.

    Args:
        codes: the configuration.
        inputs: whole numbers from 0 to 255 [T, B, n_in], spikes of each channel in each step; above 15 count 15.
        threads: how many samples run at a time; by default one for each core.

    Returns:
        Spikes, currents and v of all neurons, after each step.

    Raises:
        ValueError: the inputs have another shape, or counts outside 0 to 255.
    """
    counts = np.minimum(codes.counts(inputs), INPUT_MAX).astype(np.uint8)
    n_steps, n_samples = counts.shape[:2]
    found = empty_run(codes, n_steps, n_samples)
    weights = tuple(
        (weight << shift).astype(np.int16)
        for weight, shift in (
            (codes.weight_in, codes.shift_in),
            (codes.weight_rec, codes.shift_rec),
            (codes.weight_out, codes.shift_out),
        )
    )
    no_alias = np.full(codes.outputs.size, NO_ALIAS, np.int32)
    registers = (*_registers(codes.hidden), codes.alias.astype(np.int32)), (*_registers(codes.outputs), no_alias)
    recorded = (found.spikes, found.i, found.v), (found.spikes_out, found.i_out, found.v_out)

    def arguments(sample: int) -> tuple[Any, ...]:
        return counts, sample, codes.version == 1, weights, *registers, *recorded, *_scratch(codes)

    if not n_samples:
        return found
    prepare(run_sample, arguments(0))
    n_threads = min(n_samples, threads or os.cpu_count() or 1)
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(lambda sample: run_sample(*arguments(sample)), range(n_samples)))
    return found


def run_alone(
    drive: NDArray[Any],
    weight: NDArray[np.int16],
    neurons: XyloNeurons,
    most: int,
    weight_own: NDArray[np.int16] | None = None,
) -> NDArray[np.uint8]:
    """Run neurons by themselves, given what their sources send, as the chip would.

    Args:
        drive: uint8 [T, B, n_sources], spikes of each source in the step in which they act.
        weight: int16 (n_sources, n_synapses, n), shifted.
        neurons: their registers.
        most: spikes in a step.
        weight_own: int16 (n, n_synapses, n), shifted, from their own spikes of the step before; None where there are
            no such synapses.

    Returns:
        uint8 [T, B, n], their spikes.
    """
    n_steps, n_samples = drive.shape[:2]
    spikes = np.zeros((n_steps, n_samples, neurons.size), np.uint8)
    own = np.zeros((0, *weight.shape[1:]), np.int16) if weight_own is None else weight_own
    registers = (*_registers(neurons), np.full(neurons.size, NO_ALIAS, np.int32))

    def arguments(sample: int) -> tuple[Any, ...]:
        return drive, sample, (np.ascontiguousarray(weight), own), registers, np.int32(most), spikes, _rest(neurons)

    if not n_samples:
        return spikes
    prepare(run_sample_alone, arguments(0))
    with ThreadPoolExecutor(min(n_samples, os.cpu_count() or 1)) as pool:
        list(pool.map(lambda sample: run_sample_alone(*arguments(sample)), range(n_samples)))
    return spikes


def _registers(neurons: XyloNeurons) -> tuple[NDArray[np.int32], ...]:
    return tuple(
        values.astype(np.int32)
        for values in (neurons.dash_syn, neurons.dash_mem, neurons.threshold_code, neurons.bias_code)
    )


def _scratch(codes: XyloCodes) -> tuple[tuple[NDArray[np.int32], ...], ...]:
    """Return i, v and spikes at rest, of the hidden neurons and of the outputs."""
    return _rest(codes.hidden), _rest(codes.outputs)


def _rest(neurons: XyloNeurons) -> tuple[NDArray[np.int32], ...]:
    return (
        np.zeros((neurons.n_synapses, neurons.size), np.int32),
        np.zeros(neurons.size, np.int32),
        np.zeros(neurons.size, np.int32),
    )


@inlined
def _saturate(x):  # type: ignore[no-untyped-def]
    return min(max(x, _BOTTOM), _TOP)


@inlined
def _cut(x):  # type: ignore[no-untyped-def]
    """Keep the lowest 16 bits, with the sign."""
    return np.int32(np.int16(x))


@inlined
def _lost(x, dash):  # type: ignore[no-untyped-def]
    """Return what a register loses in a step."""
    return (x >> dash) + np.int32((x > 0) & (x >> dash == 0))


@inlined
def _add_sources(i, spikes, weight):  # type: ignore[no-untyped-def]
    """Add what sources send to currents, in ascending order, which saturate after each source."""
    for source in range(len(weight)):
        if spikes[source] != 0:
            n = np.int32(spikes[source])
            for synapse in range(len(i)):
                into, row = i[synapse], weight[source, synapse]
                for k in range(len(row)):
                    into[k] = _saturate(into[k] + n * np.int32(row[k]))


@inlined
def _integrate(i, v, dash_syn, dash_mem, bias, at_once):  # type: ignore[no-untyped-def]
    """Let the currents decay, then change v by its own decay, by the currents that are left, and by the bias."""
    n_synapses = len(i)
    for synapse in range(n_synapses):
        into, dash = i[synapse], dash_syn[synapse]
        for k in range(len(into)):
            into[k] -= _lost(into[k], dash[k])
    first, last = i[0], i[n_synapses - 1]
    both = np.int32(n_synapses - 1)
    for k in range(len(v)):
        total = first[k] + both * last[k]
        decay = -_lost(v[k], dash_mem[k])
        change = _saturate(_saturate(_cut(decay) + total) + bias[k])
        v[k] = _saturate(v[k] + (decay + total if at_once else change))


@inlined
def _fire(v, spikes, threshold, alias, most):  # type: ignore[no-untyped-def]
    """Let neurons fire in ascending order, each as often as v holds its threshold, and pass spikes on to aliases."""
    for k in range(len(v)):
        spikes[k] = 0
    for k in range(len(v)):
        while v[k] >= threshold[k] and spikes[k] < most:
            spikes[k] += 1
            v[k] = _cut(v[k] - threshold[k])
        if alias[k] >= 0:
            spikes[alias[k]] = min(spikes[alias[k]] + spikes[k], most)


@inlined
def _record(i, v, spikes, out, t, sample):  # type: ignore[no-untyped-def]
    spikes_out, i_out, v_out = out
    for k in range(len(v)):
        spikes_out[t, sample, k] = spikes[k]
        v_out[t, sample, k] = v[k]
    for synapse in range(len(i)):
        for k in range(len(v)):
            i_out[t, sample, synapse, k] = i[synapse, k]


@compiled
def run_sample(  # type: ignore[no-untyped-def]
    counts, sample, at_once, weights, hidden, outputs, hidden_run, outputs_run, hidden_state, outputs_state
):
    """Run one sample.

    Args:
        counts: uint8 (T, B, n_in), at most 15.
        sample: its place in ``counts`` and in the arrays that are written to.
        at_once: whether v's change is summed at once, as version 1 does.
        weights: of inputs, hidden neurons and outputs, int16, shifted.
        hidden, outputs: int32, dash_syn, dash_mem, threshold, bias and alias.
        hidden_run, outputs_run: the arrays of a :class:`XyloRun`, which are written to.
        hidden_state, outputs_state: int32, i, v and spikes before the first step; they are changed.
    """
    weight_in, weight_rec, weight_out = weights
    dash_syn, dash_mem, threshold, bias, alias = hidden
    dash_syn_o, dash_mem_o, threshold_o, bias_o, alias_o = outputs
    i, v, spikes = hidden_state
    i_o, v_o, spikes_o = outputs_state
    for t in range(len(counts)):
        _add_sources(i, counts[t, sample], weight_in)
        _add_sources(i, spikes, weight_rec)
        _add_sources(i_o, spikes, weight_out)
        _integrate(i, v, dash_syn, dash_mem, bias, at_once)
        _integrate(i_o, v_o, dash_syn_o, dash_mem_o, bias_o, at_once)
        _fire(v, spikes, threshold, alias, HIDDEN_MAX)
        _fire(v_o, spikes_o, threshold_o, alias_o, OUTPUT_MAX)
        _record(i, v, spikes, hidden_run, t, sample)
        _record(i_o, v_o, spikes_o, outputs_run, t, sample)


@compiled
def run_sample_alone(drive, sample, weights, neurons, most, out, state):  # type: ignore[no-untyped-def]
    """Run one sample of neurons by themselves.

    Args:
        drive: uint8 (T, B, n_sources), spikes of each source in the step in which they act.
        sample: its place in ``drive`` and ``out``.
        weights: of the sources and of the neurons' own spikes, int16, shifted.
        neurons: int32, dash_syn, dash_mem, threshold, bias and alias.
        most: spikes of a neuron in a step at most.
        out: uint8 (T, B, n), which is written to.
        state: int32, i, v and spikes before the first step; they are changed.
    """
    weight, weight_own = weights
    dash_syn, dash_mem, threshold, bias, alias = neurons
    i, v, spikes = state
    for t in range(len(drive)):
        _add_sources(i, drive[t, sample], weight)
        _add_sources(i, spikes, weight_own)
        _integrate(i, v, dash_syn, dash_mem, bias, False)
        _fire(v, spikes, threshold, alias, most)
        for k in range(len(v)):
            out[t, sample, k] = spikes[k]
