"""The target's neuron for a float population: what it can do, and the float parameters it is given.

The chip computes ``u' = keep_u * u + input``, ``v' = keep_v * v + u' + bias``, fires at ``v' > threshold`` and sets v
to 0. Here a population is brought into that form in float, exactly where it can be, before anything is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.network import Population
from neurodeploy.target import Target

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class ChipNeuron:
    """A population in the chip's form; every array is float64 (n,).

    keep_mem, keep_syn: factors on v and u in one step; keep_syn is 0 where there is no synaptic current.
    gain: factor on the synapses' weights and biases.
    threshold: V above the reset, which the chip has at 0.
    bias: V per step, added to v.
    v_init, u_init: V, the state before the model's row 0.
    """

    keep_mem: Floats
    keep_syn: Floats
    gain: Floats
    threshold: Floats
    bias: Floats
    v_init: Floats
    u_init: Floats


def chip_neuron(population: Population, synapse_bias: Floats, target: Target) -> ChipNeuron:
    """Return a population in the chip's form.

    A reset to a value other than 0 is a shift of v. A constant input c into a synaptic current with factor a is a
    constant c / (1 - a) on v, and a current that starts at -c / (1 - a) instead of 0.

    Args:
        population: the float neurons.
        synapse_bias: float64 of the population's shape, sum of the biases of its synapses, before its gains.
        target: the chip.

    Raises:
        DeployError: the chip cannot do the reset, or has no such state.
    """
    _check_rule(population, target)
    keep_mem = population.decay_mem.astype(np.float64).ravel()
    gain_mem = np.asarray(population.gain_mem, np.float64).ravel()
    gain = gain_mem * np.asarray(population.gain_syn, np.float64).ravel()
    v_reset = np.asarray(population.v_reset, np.float64).ravel()
    bias = np.asarray(population.bias, np.float64).ravel() - (1.0 - keep_mem) * v_reset
    constant = synapse_bias.ravel() * gain
    keep_syn, u_init = np.zeros_like(keep_mem), np.zeros_like(keep_mem)
    if population.decay_syn is None:
        bias = bias + constant
    else:
        keep_syn = population.decay_syn.astype(np.float64).ravel()
        if population.rule.order == "add-decay":
            gain, constant = gain * keep_syn, constant * keep_syn
        settled = _settled(constant, keep_syn, population.name)
        bias, u_init = bias + settled, -settled
    threshold = population.threshold.astype(np.float64).ravel() - v_reset
    if (threshold <= 0).any():
        raise DeployError(
            f"{int((threshold <= 0).sum())} neurons of {population.name!r} have a threshold that is not above"
            " their reset",
            where=f"node {population.name!r}",
            fix="Such neurons fire in every step or never; train or export them again.",
        )
    v_init = np.asarray(population.v_init, np.float64).ravel() - v_reset
    return ChipNeuron(keep_mem, keep_syn, gain, threshold, bias, v_init, u_init)


def _settled(constant: Floats, keep_syn: Floats, name: str) -> Floats:
    """Return the current that a constant input settles at."""
    endless = (keep_syn >= 1.0) & (constant != 0)
    if endless.any():
        raise DeployError(
            f"{int(endless.sum())} neurons of {name!r} add a bias to a synaptic current that never decays",
            where=f"node {name!r}",
            fix="Train with a decay below 1, or without a bias before this node.",
        )
    return np.divide(constant, 1.0 - keep_syn, out=np.zeros_like(constant), where=keep_syn < 1.0)


def _check_rule(population: Population, target: Target) -> None:
    rule, place = population.rule, f"node {population.name!r}"
    beyond = {
        "does not fire but sends its potential": not rule.fires,
        "fires several times in a step": rule.max_spikes != 1,
        "sends its spikes a step late": rule.output_delay != 0,
        "has a lower bound of its potential": population.v_min is not None,
        "has an adaptive threshold": population.adapt_decay is not None,
        "has a refractory period": population.refractory != 0,
    }
    if missing := [what for what, is_so in beyond.items() if is_so]:
        raise DeployError(
            f"{population.name!r} {' and '.join(missing)}, which {target.title} is not programmed for",
            where=place,
            fix="Train without it, or override it with --dialect (for instance max_spikes=1) and see what that costs.",
        )
    if rule.reset not in target.neuron.resets.value:
        raise DeployError(
            f"{target.title} resets to a value, and {population.name!r} was trained with reset {rule.reset!r}",
            where=place,
            fix="Train with a reset to zero (snnTorch: reset_mechanism='zero').",
        )
    if rule.reset_drops_input:
        raise DeployError(
            f"{population.name!r} loses the input of the step after each spike (snnTorch's late reset to zero"
            " in a node with"
            f" synaptic current or recurrence), and {target.title} keeps it",
            where=place,
            fix="Train with a reset in the same step (snnTorch: reset_delay=False; not RSynaptic, whose 1.0.0"
            " ignores it).",
        )
    if rule.spike != target.neuron.spike.value:
        raise DeployError(
            f"{population.name!r} fires at v {rule.spike} threshold, {target.title} at v"
            f" {target.neuron.spike.value} threshold",
            where=place,
            fix="If no potential ever meets its threshold exactly, say --dialect"
            f" ...,spike={target.neuron.spike.value}.",
        )
