"""Gains of output channels: each in volts of its own, so that small weights fill their codes too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.quantise.neurons import ChipNeuron
from neurodeploy.quantise.scale import Synapses, most_codes_per_volt, rising_of_neurons
from neurodeploy.synapses import Shape

Floats = NDArray[np.float64]

GAIN_MAX = 8.0
"""Most by which per-channel scales stretch a channel with small weights."""

FULL_CODE = 256
"""Code of the largest weight."""


def filling_gains(
    neuron: ChipNeuron, synapses: tuple[Synapses, ...], shape: Shape, formats: dict[str, int], name: str
) -> Floats | None:
    """Return by how much to stretch each channel of a population, float64 (channels,); None for not at all.

    A channel is stretched until its weights fill their codes, as far as its thresholds are held. Where inputs are
    graded, registers are what leaves least room: a channel whose currents are smaller is stretched until they are as
    large as the largest channel's.
    """
    top_code = 2 ** formats["threshold_bits"] - 1
    n_channels, n = shape[0] if shape else 1, len(neuron.threshold)
    largest = np.zeros(n_channels)
    for s in synapses:
        of_rows = s.folded.largest()
        of_all = np.repeat(of_rows, n // max(len(of_rows), 1))
        largest = np.maximum(largest, of_all.reshape(n_channels, -1).max(axis=1, initial=0.0))
    top = largest.max(initial=0.0)
    gain = np.clip(np.divide(top, largest, out=np.ones_like(largest), where=largest > 0), 1.0, GAIN_MAX)
    threshold = np.maximum(neuron.threshold, 1e-30)
    if not any(s.message_bits for s in synapses):
        # The largest weight fills its code, at that many codes per volt thresholds still have to be held.
        room = 0.9 * top_code / float(threshold.max()) * float(top) / FULL_CODE
        return np.asarray(np.minimum(gain, max(1.0, room)).round(6), np.float64)
    rising = rising_of_neurons(neuron, synapses)
    if rising is None:
        return None
    most = most_codes_per_volt(neuron, synapses, formats, name)
    bias = np.maximum(np.abs(neuron.bias), 1e-30)
    for room_of_neurons in (
        rising.max() / rising,
        0.9 * top_code / (threshold * most),
        0.9 * (formats["bias_mantissa_max"] << formats["bias_exponent_max"]) / (bias * most * 64),
    ):
        gain = np.minimum(gain, room_of_neurons.reshape(n_channels, -1).min(axis=1))
    return np.asarray(np.maximum(gain, 1.0).round(6), np.float64)


def gains_of_rows(gains: Any, n_rows: int) -> Floats:
    """Return the gain of each row of weights, float64 (n_rows,), from those of channels."""
    found = np.asarray(gains, np.float64)
    return np.repeat(found, n_rows // len(found))
