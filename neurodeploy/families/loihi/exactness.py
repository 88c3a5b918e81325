"""Match a float neuron to an integer neuron that computes the same exactly, or refuse it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neurodeploy.errors import DeployError, LackingError
from neurodeploy.families.loihi.codes import NeuronModel
from neurodeploy.families.loihi.target import LoihiTarget, loihi_targets
from neurodeploy.ir.needs import NEEDS, RESETS, refuse_unread
from neurodeploy.ir.network import Network, Population

_RESET_WORDS = {"zero": "reset to zero"} | {reset: NEEDS[need] for reset, need in RESETS.items()}

READS_OF_RULE = (
    "spike", "reset", "reset_delay", "reset_drops_input", "reset_before_decay", "reset_pending", "max_spikes", "rounds",
    "signed", "order", "adapts", "adapt_order", "reset_currents", "sums_input", "output_delay", "fires",
)  # fmt: skip
READS_OF_POPULATION = (
    "name", "shape", "rule", "decay_mem", "threshold", "decay_syn", "gain_mem", "gain_syn", "bias", "v_reset", "v_init",
    "v_min", "adapt_decay", "adapt_gain", "adapt_rate", "decay_second", "gain_second", "i_init", "refractory",
)  # fmt: skip
"""What is brought into integers of a rule and of a population; what a sum is rounded to first is no matter there."""


def integer_model(population: Population, target: LoihiTarget, sends: bool) -> NeuronModel:
    """Return the integer neuron that a float population is.

    Args:
        population: the float neurons.
        target: the chip.
        sends: whether projections leave the population.

    Raises:
        DeployError: no integer neuron computes the rule exactly, or the chip has none such.
    """
    place, name = f"node {population.name!r}", population.name
    refuse_unread(name, population.rule, READS_OF_RULE, "the compiler")
    refuse_unread(name, population, READS_OF_POPULATION, "the compiler")
    if found := _float_only(population):
        raise DeployError(
            f"{name!r} {' and '.join(found)}, which no target computes",
            where=place,
            fix="Run it with --backend reference, or train without it.",
        )
    _refuse_inexact(population, sends)
    model = _model(population)
    if missing := _missing(population, model, target):
        able = [t.name for t in loihi_targets() if not _missing(population, model, t)]
        elsewhere = f"Compile for --target {' or '.join(able)}; or train" if able else "Train"
        raise LackingError(
            f"{name!r} needs {' and '.join(_with_article(what) for what in missing)}, which {target.title} does"
            " not have",
            where=place,
            fix=f"{elsewhere} without it (snnTorch: reset_mechanism='zero', reset_delay=False); or say --approximate"
            " with --calibrate DATA, which takes the nearest neuron and measures what that costs; or fine-tune the"
            " model as one of that neuron (finetune, then compile, with --dialect ...,reset=zero,reset_delay=false).",
        )
    return model


def check_sent_potentials(network: Network) -> None:
    """Refuse populations that send what no spike says.

    Raises:
        DeployError: one that does not fire feeds another.
    """
    for population in network.populations:
        sends = any(p.source == population.name and p.target != population.name for p in network.projections)
        if sends and not population.rule.fires:
            _refuse_inexact(population, sends)


def _refuse_inexact(population: Population, sends: bool) -> None:
    """Refuse a population for all that no integer neuron computes exactly of it, at once."""
    found = [refusal for refusal in _REFUSALS if refusal.holds(population, sends)]
    if found:
        raise DeployError(
            f"{population.name!r} {' and '.join(refusal.what for refusal in found)}, which no target computes exactly",
            where=f"node {population.name!r}",
            fix=" ".join(dict.fromkeys(refusal.fix for refusal in found)),
        )


def _float_only(population: Population) -> list[str]:
    """Return what of a rule only the float reference knows."""
    rule = population.rule
    found = {
        "has two synaptic currents that are not of opposite sign": population.decay_second is not None
        and not np.array_equal(np.asarray(population.gain_second), -np.asarray(population.gain_syn)),
        "has two synaptic currents that do not take their input before v sees them": population.decay_second is not None
        and rule.order != "decay-add",
        "rounds its spikes to the nearest count": rule.fires and rule.rounds,
        "sends negative spikes": rule.fires and rule.signed,
    }
    return [what for what, is_so in found.items() if is_so]


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def features(model: NeuronModel, has_floor: bool, adapts: bool, has_second: bool = False) -> list[str]:
    """Return in words what a neuron has beyond the plain one.

    Args:
        model: the integer neuron.
        has_floor: whether v is not let fall below a value.
        adapts: whether spikes raise the threshold, or lower v.
        has_second: whether there is a second current.
    """
    counted = "any number of spikes" if model.max_spikes is None else f"up to {model.max_spikes} spikes"
    found = {
        NEEDS["meets"]: model.fires and model.spike == ">=",
        _RESET_WORDS[model.reset]: model.reset != "zero",
        f"count of {counted} a step": model.max_spikes != 1,
        f"refractory period of {model.refractory} steps": model.refractory > 0,
        NEEDS["integrator"]: not model.fires,
        NEEDS["floor"]: has_floor,
        "adaptive threshold": adapts and model.adapts == "threshold",
        NEEDS["lowers-v"]: adapts and model.adapts == "v",
        NEEDS["second"]: has_second,
        NEEDS["clears-now"]: model.clears_u != "",
    }
    return [what for what, is_so in found.items() if is_so]


def _model(population: Population) -> NeuronModel:
    """Return the neuron of a rule that has one.

    A late reset to a value that keeps the next step's input, and a late subtraction before the decay, act on the same
    stored v as those of the spike's own step; only the v that is recorded in that step differs. Where a step keeps
    nothing of v and i, the registers are cleared before it, and no reset in the spike's own step matters.
    """
    rule = population.rule
    interval = int(is_stateless(population))
    if not rule.fires:
        return NeuronModel(fires=False, reset_interval=interval)
    if rule.reset == "subtract":
        reset = "subtract-late" if rule.reset_delay and not rule.reset_before_decay else "subtract"
        if _is_pending(population):
            reset = "subtract-pending"
    elif rule.reset == "none":
        reset = "none"
    else:
        reset = "zero-late" if rule.reset_delay and rule.reset_drops_input else "zero"
    if interval and reset in ("subtract", "none"):
        reset = "zero"
    clears = "" if not clears_currents(population) else "late" if rule.reset_delay else "now"
    return NeuronModel(
        reset,
        rule.max_spikes,
        population.refractory,
        interval,
        spike=rule.spike,
        adapts=rule.adapts if population.adapt_decay is not None else "threshold",
        clears_u=clears,
    )


def clears_currents(population: Population) -> bool:
    """Tell whether a reset sets synaptic currents to 0 that would otherwise not vanish."""
    rule = population.rule
    resets = rule.fires and rule.reset != "none" and rule.reset_currents
    return resets and population.decay_syn is not None and not is_stateless(population)


def is_stateless(population: Population) -> bool:
    """Tell whether a step keeps nothing of the membrane potential and of the current, nor starts with any."""
    kept = (population.decay_mem, population.decay_syn, population.decay_second, population.i_init)
    return population.size > 0 and not any(np.any(np.asarray(values)) for values in kept if values is not None)


def _is_current(population: Population) -> bool:
    """Tell whether a population only passes on a synaptic current, as neurons with several of them are read."""
    return not population.rule.fires and population.decay_syn is not None and not np.any(population.decay_mem)


def _is_pending(population: Population) -> bool:
    """Tell whether what v holds after a subtraction is subtracted again in the next step.

    Where each step sends as many spikes as v holds thresholds, nothing is left to subtract.
    """
    rule = population.rule
    again = rule.reset_pending and not rule.reset_delay and rule.fires and rule.reset == "subtract"
    return again and (rule.max_spikes is not None or population.adapt_decay is not None)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What no integer neuron computes exactly.

    what: as a message says it after the population's name. fix: what to do. holds: whether it is so of a population,
    given whether projections leave it.
    """

    what: str
    fix: str
    holds: Callable[[Population, bool], bool]


def _decays_out_of_range(population: Population, sends: bool) -> bool:
    """A register keeps a part of itself in a step, from none to all; it neither grows nor turns its sign."""
    kept = None if population.adaptation is None else population.adaptation[0]
    decays = (population.decay_mem, population.decay_syn, kept, population.decay_second)
    return any(np.any((np.asarray(d) < 0) | (np.asarray(d) > 1)) for d in decays if d is not None)


def _clears_currents_seen_late(population: Population, sends: bool) -> bool:
    """Such neurons take their input a step later instead, so that a spike does not clear the input of its own step."""
    return clears_currents(population) and population.rule.order == "use-decay-add"


def _sends_late(population: Population, sends: bool) -> bool:
    """Spikes leave in the step in which they occur; only synapses have delays."""
    return population.rule.output_delay != 0


def _sends_potential(population: Population, sends: bool) -> bool:
    """A message holds spikes or counts of them."""
    return not population.rule.fires and sends and not _is_current(population)


def _is_one_of_several_currents(population: Population, sends: bool) -> bool:
    """An integer neuron has one current, or two of opposite sign; a third has no register."""
    return not population.rule.fires and sends and _is_current(population)


def _is_potential_with_floor(population: Population, sends: bool) -> bool:
    """A lower bound is brought into integers for neurons that fire, and for no others."""
    return not population.rule.fires and population.v_min is not None


def _adapts_and_is_pending(population: Population, sends: bool) -> bool:
    """A pending subtraction takes the bare threshold once more, where v is held against the raised one."""
    return _adapts(population) and _is_pending(population)


def _starts_above_threshold(population: Population, sends: bool) -> bool:
    """Where no v stays above the threshold, which is how a reset to a value leaves it, a pending reset does nothing.

    A v that starts above it is the exception.
    """
    rule = population.rule
    return rule.reset_pending and not rule.reset_delay and bool(np.any(population.v_init > population.threshold))


def _is_reset_twice(population: Population, sends: bool) -> bool:
    """An integer neuron has one kind of reset."""
    rule = population.rule
    return rule.fires and rule.reset == "value" and rule.reset_before_decay


def _counts_from_shifted_reset(population: Population, sends: bool) -> bool:
    """The integer v counts thresholds from its reset, the float v from 0."""
    rule = population.rule
    return rule.fires and rule.reset != "subtract" and _is_shifted(population) and rule.max_spikes != 1


def _is_held_at_shifted_reset(population: Population, sends: bool) -> bool:
    """The refractory period holds the integer v at 0; only a reset to a value moves v so that this is the reset."""
    return _subtracts(population) and _is_shifted(population) and population.refractory > 0


def _loses_bare_threshold_early(population: Population, sends: bool) -> bool:
    """In the spike's own step the raised threshold is subtracted; the bare one only later, which is after the decay."""
    rule = population.rule
    late = rule.reset_delay and rule.reset_before_decay
    return _subtracts(population) and _adapts(population) and rule.adapts == "threshold" and late


def _lowers_its_threshold(population: Population, sends: bool) -> bool:
    """The code of what a spike adds to the threshold has no sign."""
    return _adapts(population) and population.adaptation is not None and bool(np.any(population.adaptation[1] < 0))


def _has_floor_above_reset(population: Population, sends: bool) -> bool:
    """The code of the floor is 0 or below, and 0 is the value after a reset."""
    resets_to_value = population.rule.fires and not _subtracts(population)
    level = population.v_reset if resets_to_value else np.zeros(1)
    return population.v_min is not None and bool(np.any(np.asarray(population.v_min) > level))


def _adapts(population: Population) -> bool:
    return population.adapt_decay is not None and population.rule.fires


def _subtracts(population: Population) -> bool:
    return population.rule.fires and population.rule.reset == "subtract"


def _is_shifted(population: Population) -> bool:
    return bool(np.any(population.v_reset))


_RETRAIN = "Train without it."

_REFUSALS = (
    _Refusal("has decays outside 0 to 1", _RETRAIN, _decays_out_of_range),
    _Refusal(
        "clears synaptic currents that its v sees a step late",
        "Train with currents that act in the same step.",
        _clears_currents_seen_late,
    ),
    _Refusal("sends its spikes a step late", _RETRAIN, _sends_late),
    _Refusal(
        "sends its potential to other neurons",
        "Only a node that is read can keep its potential; put a spiking node between.",
        _sends_potential,
    ),
    _Refusal(
        "is one of several synaptic currents of other neurons",
        "Give all synapses of a neuron one time constant (rockpool: tau_syn=torch.tensor(0.01)) and train again; as"
        " it is, `neurodeploy run MODEL.nir --backend reference --input DATA -o run.npz` computes it.",
        _is_one_of_several_currents,
    ),
    _Refusal("sends a potential that has a lower bound", "Say --dialect ...,min_v_mem=.", _is_potential_with_floor),
    _Refusal(
        "adapts and is reset again in the next step where v is still above the threshold",
        "Train with the reset in the next step (snnTorch: reset_delay=True).",
        _adapts_and_is_pending,
    ),
    _Refusal("starts above its threshold", "Train with v_init at the threshold or below.", _starts_above_threshold),
    _Refusal("is reset to a value and loses its threshold as well", "Train with one kind of reset.", _is_reset_twice),
    _Refusal(
        "counts spikes from a reset other than 0",
        "Train with a reset to 0, or max_spikes=1.",
        _counts_from_shifted_reset,
    ),
    _Refusal(
        "subtracts its threshold and is held at another value than 0",
        "Train with v_reset = 0.",
        _is_held_at_shifted_reset,
    ),
    _Refusal(
        "loses its threshold without what it adapted by, before the decay",
        "Train with a reset in the same step.",
        _loses_bare_threshold_early,
    ),
    _Refusal("has a threshold that spikes lower", _RETRAIN, _lowers_its_threshold),
    _Refusal(
        "has a lower bound of its potential above its reset",
        "Train with a bound at the reset or below.",
        _has_floor_above_reset,
    ),
)
"""All that no integer neuron computes exactly, in the order in which a message names them."""


def _missing(population: Population, model: NeuronModel, target: LoihiTarget) -> list[str]:
    """Return in words what a target's neurons do not have."""
    facts, fires = target.neuron, model.fires
    most, floor = facts.spikes_per_step_max.value, fires and population.v_min is not None
    adapts = fires and population.adapt_decay is not None
    plain = NeuronModel(
        reset="zero" if model.reset in facts.resets.value else model.reset,
        max_spikes=model.max_spikes
        if (model.max_spikes is None and most == 1) or (model.max_spikes or 1) > most
        else 1,
        refractory=model.refractory if model.refractory > facts.refractory_max.value else 0,
        fires=fires or facts.potential_output.value,
        adapts=model.adapts,
        clears_u="" if facts.reset_currents.value else model.clears_u,
    )
    return features(
        plain,
        floor and not facts.potential_floor.value,
        adapts and not facts.adaptive_threshold.value,
        population.decay_second is not None and not facts.second_current.value,
    )
