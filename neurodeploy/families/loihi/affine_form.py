"""The target's neuron for a float population, in affine form: what it can do, and its float parameters.

The chip computes ``u' = keep_u * u + input``, ``v' = keep_v * v + u' + bias``, fires at ``v' > threshold`` and sets v
to 0, or does what its programmed neurons can beyond that. Here a population is brought into that form in float, exactly
where it can be, before anything is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.arithmetic import DECAY_BITS
from neurodeploy.families.loihi.codes import NeuronModel
from neurodeploy.families.loihi.exactness import clears_currents, integer_model, is_stateless
from neurodeploy.families.loihi.target import LoihiTarget
from neurodeploy.ir.network import Population

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class AffineNeuron:
    """A population in affine form, ``v' = a v + u + b`` with reset at 0; every array is float64 (n,).

    keep_mem, keep_syn: factors on v and u in one step; keep_syn is 0 where there is no synaptic current.
    gain: factor on the synapses' weights and biases.
    threshold: V above the reset, which the chip has at 0; 0 where ``model.fires`` is False.
    bias: V per step, added to v.
    v_init, u_init: V, the state before the model's row 0.
    model: which integer neuron it is.
    v_min: V, below which v is not let fall, or None.
    keep_second: factor on the second current in a step, or None. bias_syn: V per step that the currents receive, or
        None. Where there is one current that spikes leave alone, ``bias`` and ``u_init`` have what it amounts to, and
        u_rest is u_init without it; elsewhere it enters as spikes do.
    sees_late: v sees the current of the step before.
    conditions: at which conditions the chip's neurons fire: ``>``, or ``>=`` as well.
    adapt_keep, adapt_rise: factor on what the threshold is raised by, and V by which a spike raises it, or None.
    """

    keep_mem: Floats
    keep_syn: Floats
    gain: Floats
    threshold: Floats
    bias: Floats
    v_init: Floats
    u_init: Floats
    model: NeuronModel
    v_min: Floats | None = None
    adapt_keep: Floats | None = None
    adapt_rise: Floats | None = None
    conditions: tuple[str, ...] = (">",)
    keep_second: Floats | None = None
    bias_syn: Floats | None = None
    u_rest: Floats | None = None
    sees_late: bool = False

    @property
    def takes_bias_as_spikes(self) -> bool:
        """Whether the constant input of its currents enters as spikes do: of two, or of those that spikes clear."""
        return self.keep_second is not None or self.model.clears_u != ""

    def times(self, gain: Floats) -> AffineNeuron:
        """Return the same neurons in other volts, ``gain`` of which are one of these; float64 (n,)."""
        keys = ("gain", "threshold", "bias", "v_init", "u_init", "v_min", "adapt_rise", "bias_syn", "u_rest")
        values = {key: getattr(self, key) for key in keys}
        return replace(self, **{key: value * gain for key, value in values.items() if value is not None})

    def integrating(self) -> AffineNeuron:
        """Return the same neurons without a threshold, and so without anything that only a spike does."""
        model = NeuronModel(fires=False, reset_interval=self.model.reset_interval)
        return replace(self, threshold=np.zeros_like(self.threshold), model=model, adapt_keep=None, adapt_rise=None)

    @property
    def adapt_most(self) -> float:
        """The most that the threshold is raised by, V, while no step sends more than one spike."""
        if self.adapt_keep is None or self.adapt_rise is None:
            return 0.0
        return float((self.adapt_rise / np.maximum(1.0 - self.adapt_keep, 2.0**-DECAY_BITS)).max(initial=0.0))


def affine_neuron(
    population: Population, synapse_bias: Floats, target: LoihiTarget, sends: bool = True
) -> AffineNeuron:
    """Return a population in the chip's form.

    A reset to a value other than 0 is a shift of v. A constant input c into a synaptic current with factor a is a
    constant c / (1 - a) on v, and a current that starts lower by c / (1 - a); it comes from a source that is always on
    where a spike sets the current to 0, or where v sees the sum of two. Where v sees the current of the
    step before, input comes a step later (see :func:`neurodeploy.passes.schedule.schedule`).

    Args:
        population: the float neurons.
        synapse_bias: float64 of the population's shape, sum of the biases of its synapses, before its gains.
        target: the chip.
        sends: whether projections leave the population.

    Raises:
        DeployError: the chip cannot do the rule, or has no such state.
    """
    model = integer_model(population, target, sends)
    keep_mem = population.decay_mem.astype(np.float64).ravel()
    gain_mem = np.asarray(population.gain_mem, np.float64).ravel()
    gain = gain_mem * np.asarray(population.gain_syn, np.float64).ravel()
    level = _level(population)
    bias = np.asarray(population.bias, np.float64).ravel() - (1.0 - keep_mem) * level
    constant = synapse_bias.ravel() * gain
    keep_syn, u_init, bias_syn, u_rest = np.zeros_like(keep_mem), np.zeros_like(keep_mem), None, None
    if population.decay_syn is None:
        bias = bias + constant
    else:
        keep_syn = population.decay_syn.astype(np.float64).ravel()
        if population.rule.order == "add-decay":
            gain, constant = gain * keep_syn, constant * keep_syn
        bias_syn = constant
        if population.decay_second is not None or clears_currents(population):
            constant = np.zeros_like(constant)
        settled = _settled(constant, keep_syn, population.name)
        bias, u_init = bias + settled, _first_current(population, keep_syn, settled)
        u_rest = _first_current(population, keep_syn, np.zeros_like(settled))
    return AffineNeuron(
        keep_mem,
        keep_syn,
        gain,
        _threshold(population, level),
        bias,
        np.asarray(population.v_init, np.float64).ravel() - level,
        u_init,
        model,
        *_extras(population, level),
        tuple(target.neuron.spike.value),
        None if population.decay_second is None else np.asarray(population.decay_second, np.float64).ravel(),
        bias_syn,
        u_rest,
        population.decay_syn is not None and population.rule.order == "use-decay-add",
    )


def _level(population: Population) -> Floats:
    """Return which v of the model is the chip's 0: what a reset to a value leads to, else 0."""
    rule = population.rule
    return np.asarray(population.v_reset, np.float64).ravel() * (rule.fires and rule.reset == "value")


def _threshold(population: Population, level: Floats) -> Floats:
    """Return the threshold above the reset."""
    if not population.rule.fires:
        return np.zeros(population.size)
    threshold: Floats = population.threshold.astype(np.float64).ravel() - level
    # A neuron without memory meets its threshold with nothing but its input, so that 0 tells signs apart.
    beneath = threshold < 0 if is_stateless(population) and population.rule.max_spikes == 1 else threshold <= 0
    if beneath.any():
        raise DeployError(
            f"{int(beneath.sum())} neurons of {population.name!r} have a threshold that is not above their reset",
            where=f"node {population.name!r}",
            fix="Train the model again with thresholds above the reset; neurons with others fire in every step or"
            " never.",
        )
    return threshold


def _extras(population: Population, level: Floats) -> tuple[Floats | None, Floats | None, Floats | None]:
    """Return v_min, adapt_keep and adapt_rise; see :class:`AffineNeuron`."""
    if not population.rule.fires:
        return None, None, None
    v_min = None if population.v_min is None else np.asarray(population.v_min, np.float64).ravel() - level
    if population.adaptation is None:
        return v_min, None, None
    keep, rise = population.adaptation
    if population.rule.adapts == "v":
        rise = rise * np.asarray(population.gain_mem, np.float64)
    return v_min, keep.ravel(), rise.ravel()


def _first_current(population: Population, keep_syn: Floats, settled: Floats) -> Floats:
    """Return the current before the first step, less what it settles at.

    A current that v sees before it decays, or before it takes its input, has decayed once less than the chip's.

    Raises:
        DeployError: no step's decay leaves that of any current.
    """
    start = np.asarray(population.i_init, np.float64).ravel() * np.asarray(population.gain_mem, np.float64).ravel()
    order = population.rule.order
    once = np.divide(1.0, keep_syn, out=np.zeros_like(keep_syn), where=keep_syn > 0)
    undecayed = {"add-use-decay": start, "use-decay-add": start - settled}.get(order, np.zeros_like(start))
    if (lost := (keep_syn == 0) & (undecayed != 0)).any():
        raise DeployError(
            f"{int(lost.sum())} neurons of {population.name!r} have a synaptic current that keeps nothing from step"
            " to step, but they start with a current or have a bias",
            where=f"node {population.name!r}",
            fix="Train with a decay above 0, or without a bias before this node.",
        )
    first: Floats = start * (once if order in ("add-use-decay", "use-decay-add") else 1.0)
    return first - settled * (once if order == "use-decay-add" else 1.0)


def _settled(constant: Floats, keep_syn: Floats, name: str) -> Floats:
    """Return the current that a constant input settles at.

    Raises:
        DeployError: it never settles.
    """
    endless = (keep_syn >= 1.0) & (constant != 0)
    if endless.any():
        raise DeployError(
            f"{int(endless.sum())} neurons of {name!r} add a bias to a synaptic current that never decays",
            where=f"node {name!r}",
            fix="Train with a decay below 1, or without a bias before this node.",
        )
    return np.divide(constant, 1.0 - keep_syn, out=np.zeros_like(constant), where=keep_syn < 1.0)
