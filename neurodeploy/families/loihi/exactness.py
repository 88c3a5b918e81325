"""Match a float neuron to an integer neuron that computes the same exactly, or refuse it."""

from __future__ import annotations

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
    for what in _float_only(population):
        raise DeployError(
            f"{name!r} {what}, which no target computes",
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
    for what, fix in _inexact(population, sends).items():
        raise DeployError(
            f"{population.name!r} {what}, which no target computes exactly",
            where=f"node {population.name!r}",
            fix=fix,
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
    """Return in words what a neuron has beyond the plain one."""
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


def _inexact(population: Population, sends: bool) -> dict[str, str]:
    """Return what no integer neuron computes exactly, each with what to do.

    A reset that is pending (snnTorch's ``reset_delay=False``) does nothing where no v stays above the threshold, so not
    after a reset to a value either.
    """
    rule = population.rule
    fires, adapts = rule.fires, population.adapt_decay is not None and rule.fires
    subtracts = fires and rule.reset == "subtract"
    shifted = bool(np.any(population.v_reset))
    floor = population.v_min
    level = np.zeros(1) if subtracts or not fires else population.v_reset
    kept, rise = population.adaptation or (None, np.zeros(1))
    decays = (population.decay_mem, population.decay_syn, kept, population.decay_second)
    unbounded_decay = [d for d in decays if d is not None]
    retrain = "Train without it."
    found = {
        "has decays outside 0 to 1": (
            any(np.any((np.asarray(d) < 0) | (np.asarray(d) > 1)) for d in unbounded_decay),
            retrain,
        ),
        "clears synaptic currents that its v sees a step late": (
            clears_currents(population) and rule.order == "use-decay-add",
            "Train with currents that act in the same step.",
        ),
        "sends its spikes a step late": (rule.output_delay != 0, retrain),
        "sends its potential to other neurons": (
            not fires and sends and not _is_current(population),
            "Only a node that is read can keep its potential; put a spiking node between.",
        ),
        "is one of several synaptic currents of other neurons": (
            not fires and sends and _is_current(population),
            "Give all synapses of a neuron one time constant (rockpool: tau_syn=torch.tensor(0.01)) and train again; as"
            " it is, `neurodeploy run MODEL.nir --backend reference --input DATA -o run.npz` computes it.",
        ),
        "sends a potential that has a lower bound": (not fires and floor is not None, "Say --dialect ...,min_v_mem=."),
        "adapts and is reset again in the next step where v is still above the threshold": (
            adapts and _is_pending(population),
            "Train with the reset in the next step (snnTorch: reset_delay=True).",
        ),
        "starts above its threshold": (
            rule.reset_pending and not rule.reset_delay and bool(np.any(population.v_init > population.threshold)),
            "Train with v_init at the threshold or below.",
        ),
        "is reset to a value and loses its threshold as well": (
            fires and rule.reset == "value" and rule.reset_before_decay,
            "Train with one kind of reset.",
        ),
        "counts spikes from a reset other than 0": (
            fires and not subtracts and shifted and rule.max_spikes != 1,
            "Train with a reset to 0, or max_spikes=1.",
        ),
        "subtracts its threshold and is held at another value than 0": (
            subtracts and shifted and population.refractory > 0,
            "Train with v_reset = 0.",
        ),
        "loses its threshold without what it adapted by, before the decay": (
            subtracts and adapts and rule.adapts == "threshold" and rule.reset_delay and rule.reset_before_decay,
            "Train with a reset in the same step.",
        ),
        "has a threshold that spikes lower": (adapts and bool(np.any(rise < 0)), retrain),
        "has a lower bound of its potential above its reset": (
            floor is not None and bool(np.any(np.asarray(floor) > level)),
            "Train with a bound at the reset or below.",
        ),
    }
    return {what: fix for what, (is_so, fix) in found.items() if is_so}


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
