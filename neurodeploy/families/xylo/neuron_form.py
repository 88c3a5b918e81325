"""Bring a float population into the form of Xylo's neuron, exactly, before anything is rounded.

The chip computes ``i' = keep_syn * (i + x)``, ``v' = keep_mem * v + i' + bias``, and fires ``v' // threshold`` times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.ir.network import Population

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class NeuronForm:
    """A population in the chip's form; every array is float64 (n,).

    keep_syn, keep_mem: factors on the current and on v in one step.
    gain: factor on the weights into it.
    threshold: V; infinite for an integrator.
    bias: V per step, added to v.
    late_bias: V per step, the part of ``bias`` that the model's current takes some steps to reach.
    """

    keep_syn: Floats
    keep_mem: Floats
    gain: Floats
    threshold: Floats
    bias: Floats
    late_bias: Floats


def neuron_form(population: Population, synapse_bias: Floats) -> NeuronForm:
    """Return a population in the chip's form.

    A current that takes its input after its decay, or that v sees before it, is one whose input counts 1 / keep_syn. A
    constant input c into a current is c * keep_syn / (1 - keep_syn) on v once it has settled.

    Args:
        population: float neurons with a synaptic current; :mod:`neurodeploy.families.xylo.exactness` refuses others.
        synapse_bias: float64 of the population's shape, sum of the biases of its synapses, before its gains.
    """
    assert population.decay_syn is not None
    keep_syn, keep_mem, gain, threshold, bias = (
        np.asarray(values, np.float64).ravel()
        for values in (
            population.decay_syn,
            population.decay_mem,
            np.asarray(population.gain_mem, np.float64) * population.gain_syn,
            population.threshold,
            population.bias,
        )
    )
    if population.rule.order != "add-decay":
        gain = gain / keep_syn
    late = synapse_bias.ravel() * gain * keep_syn / (1.0 - keep_syn)
    if not population.rule.fires:
        threshold = np.full_like(threshold, np.inf)
    return NeuronForm(keep_syn, keep_mem, gain, threshold, bias + late, late)
