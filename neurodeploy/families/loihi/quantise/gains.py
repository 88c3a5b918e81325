"""Gains of output channels: each in volts of its own, so that small weights fill their codes too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.affine_form import AffineNeuron
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, STATE_LIMIT
from neurodeploy.families.loihi.scale import FINE_THRESHOLD, Synapses, most_codes_per_volt, rising_of_neurons
from neurodeploy.ir.synapses import Shape

Floats = NDArray[np.float64]

FULL_CODE = 256
"""Code of the largest weight."""

FILLED = 0.9
"""Share of a register that a stretched channel may fill."""


def filling_gains(
    neuron: AffineNeuron,
    synapses: tuple[Synapses, ...],
    shape: Shape,
    formats: dict[str, int],
    name: str,
    largest: list[Floats] | None = None,
) -> Floats | None:
    """Return by how much to stretch each channel of a population, float64 (channels,); None for not at all.

    A channel is stretched until its weights fill their codes, as far as registers hold its thresholds, biases and
    initial values. Where inputs are graded, registers are what leaves least room: a channel whose currents are smaller
    is stretched until they are as large as the largest channel's.

    Args:
        neuron: the population in the chip's form.
        synapses: all that flows into it.
        shape: of the population.
        formats: the target's number formats.
        name: for the message.
        largest: for each projection the size that fills the codes, of each row of weights, V; None for its largest.
    """
    top_code = 2 ** formats["threshold_bits"] - 1
    n_channels, n = shape[0] if shape else 1, len(neuron.threshold)
    sizes = np.zeros(n_channels)
    for of_rows in largest or [s.folded.largest() for s in synapses]:
        of_all = np.repeat(of_rows, n // max(len(of_rows), 1))
        sizes = np.maximum(sizes, of_all.reshape(n_channels, -1).max(axis=1, initial=0.0))
    top = float(sizes.max(initial=0.0))
    gain = np.divide(top, sizes, out=np.ones_like(sizes), where=sizes > 0)
    rooms = []
    if any(s.measured is not None for s in synapses):
        rising = rising_of_neurons(neuron, synapses)
        if rising is None:
            return None
        rooms.append(rising.max() / rising)
        per_volt = most_codes_per_volt(neuron, synapses, formats, name)
    elif top > 0:
        per_volt = FULL_CODE / top
        coarse = FINE_THRESHOLD / max(float(neuron.threshold.max()) * per_volt, 1e-30)
        per_volt *= 2.0 ** min(max(np.ceil(np.log2(coarse)), 0), formats["weight_exponent_max"])
    else:
        return None
    for values, most in (
        (neuron.threshold, top_code),
        (neuron.bias, (formats["bias_mantissa_max"] << formats["bias_exponent_max"]) / 2**ALIGN_BITS),
        (neuron.v_init, STATE_LIMIT / 2**ALIGN_BITS),
        (neuron.u_init, STATE_LIMIT / 2**ALIGN_BITS),
        (np.zeros(n) if neuron.adapt_rise is None else neuron.adapt_rise, STATE_LIMIT / 2**ALIGN_BITS),
    ):
        rooms.append(FILLED * most / (np.maximum(np.abs(values), 1e-30) * per_volt))
    for room in rooms:
        gain = np.minimum(gain, room.reshape(n_channels, -1).min(axis=1))
    return np.asarray(np.maximum(gain, 1.0).round(6), np.float64)


def gains_of_rows(gains: Any, n_rows: int) -> Floats:
    """Return the gain of each row of weights, float64 (n_rows,), from those of channels."""
    found = np.asarray(gains, np.float64)
    return np.repeat(found, n_rows // len(found))
