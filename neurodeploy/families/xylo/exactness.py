"""Match float populations to Xylo's one neuron, or refuse them with all reasons at once and the nearest that fits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neurodeploy.errors import LackingError
from neurodeploy.families.xylo.codes import HIDDEN_MAX, OUTPUT_MAX
from neurodeploy.ir.needs import refuse_unread
from neurodeploy.ir.network import Network, Population
from neurodeploy.ir.synapses import MaxPool2d

READS_OF_RULE = (
    "spike", "reset", "reset_delay", "reset_drops_input", "reset_before_decay", "reset_pending", "max_spikes", "rounds",
    "signed", "order", "adapts", "adapt_order", "reset_currents", "sums_input", "output_delay", "fires",
)  # fmt: skip
READS_OF_POPULATION = (
    "name", "shape", "rule", "decay_mem", "threshold", "decay_syn", "gain_mem", "gain_syn", "bias", "v_reset", "v_init",
    "v_min", "adapt_decay", "adapt_gain", "adapt_rate", "decay_second", "gain_second", "i_init", "refractory",
)  # fmt: skip
"""What is brought into integers of a rule and of a population; what a sum is rounded to first is no matter there."""

MANY = 1000
"""Spikes in a step from which a limit is none: rockpool's default is 65536."""

NOTHING = "nothing: train without it"


@dataclass(frozen=True, slots=True)
class Reason:
    """A property of a population that Xylo's neurons do not have: which, and the nearest that they have."""

    node: str
    what: str
    nearest: str

    def __str__(self) -> str:
        return f"{self.node!r} {self.what} (nearest: {self.nearest})"


def check_exact(network: Network) -> None:
    """Refuse a network that Xylo does not compute but for rounding.

    Raises:
        LackingError: it names every reason in every population, each with the nearest that fits.
    """
    for population in network.populations:
        refuse_unread(population.name, population.rule, READS_OF_RULE, "the compiler")
        refuse_unread(population.name, population, READS_OF_POPULATION, "the compiler")
    refuse(tuple(reasons(network)))


def refuse(found: tuple[Reason, ...]) -> None:
    """Refuse a network for all reasons, if there are any.

    Raises:
        LackingError: there is one.
    """
    if not found:
        return
    mendable = all(reason.nearest != NOTHING for reason in found)
    nearest = "Say --approximate with --calibrate DATA, which takes the nearest and measures what that costs; or train"
    raise LackingError(
        f"Xylo's neurons do not compute this network: {'; '.join(str(reason) for reason in found)}",
        where=", ".join(f"node {name!r}" for name in dict.fromkeys(reason.node for reason in found)),
        fix=f"{nearest if mendable else 'Train'} with a synaptic current, a leak, and a reset by subtraction in the"
        " spike's own step (rockpool: LIFTorch; snnTorch: Synaptic with reset_mechanism='subtract' and"
        " reset_delay=False).",
    )


def reasons(network: Network) -> Iterator[Reason]:
    """Yield every reason why Xylo does not compute a network, population by population."""
    for population in network.populations:
        sends = any(p.source == population.name for p in network.projections)
        yield from population_reasons(population, sends)
        if any(isinstance(op, MaxPool2d) for p in network.into(population.name) for op in p.ops):
            yield Reason(population.name, "receives the largest of its inputs", NOTHING)


def population_reasons(population: Population, sends: bool) -> Iterator[Reason]:
    """Yield every reason why Xylo's neuron is none of a population's.

    Args:
        population: the float neurons.
        sends: whether projections leave the population.
    """
    for what, (is_so, nearest) in (_of_reset(population) | _of_states(population, sends)).items():
        if is_so:
            yield Reason(population.name, what, nearest)


def _of_reset(population: Population) -> dict[str, tuple[bool, str]]:
    """Return what of a rule's spikes and reset Xylo lacks, each with whether it is so, and the nearest.

    A subtraction at the start of the next step, before the decay, acts on the same stored v as one in the spike's own.
    """
    rule = population.rule
    fires, subtracts = rule.fires, rule.reset == "subtract"
    late = fires and subtracts and rule.reset_delay and not rule.reset_before_decay
    subtraction = "a reset by subtraction in the spike's own step"
    return {
        "is reset to a value": (fires and rule.reset == "value", subtraction),
        "is not reset": (fires and rule.reset == "none", subtraction),
        "is reset in the next step, after the decay": (late, subtraction),
        "loses its currents when it is reset": (fires and rule.reset_currents, "currents that spikes leave alone"),
        "rests after a spike": (fires and population.refractory > 0, "no refractory time"),
        "adapts": (fires and population.adapt_decay is not None, "no adaptation"),
        "sends its spikes a step late": (rule.output_delay != 0, "spikes in their own step"),
        "rounds its spikes to the nearest count": (fires and rule.rounds, "counts that are rounded down"),
        "sends negative spikes": (fires and rule.signed, NOTHING),
    }


def _of_states(population: Population, sends: bool) -> dict[str, tuple[bool, str]]:
    """Return what of a population's states Xylo lacks, each with whether it is so, and the nearest."""
    fires, level = population.rule.fires, threshold_level(population)
    syn, mem = population.decay_syn, population.decay_mem
    decays = [d for d in (syn, mem) if d is not None]
    return {
        "has no synaptic current": (lacks_current(population), "a current that halves in each step (dash_syn 1)"),
        "has a synaptic current that keeps all": (syn is not None and bool((syn == 1).any()), "one with dash_syn 15"),
        "has no leak": (bool((mem == 1).any()), "a leak with dash_mem 15, and of at least 1 register unit a step"),
        "has decays outside 0 to 1": (any(bool(((d < 0) | (d > 1)).any()) for d in decays), NOTHING),
        "has two synaptic currents": (population.decay_second is not None, "the first of them"),
        "has a lower bound of v": (population.v_min is not None, "no lower bound"),
        "starts with a potential or a current": (
            bool(np.any(population.v_init) or np.any(population.i_init)),
            "a start at 0",
        ),
        "has a threshold that is not above its reset": (fires and bool((level <= 0).any()), NOTHING),
        "sends its potential to other neurons": (not fires and sends, NOTHING),
    }


def threshold_level(population: Population) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the threshold above the reset, float64 of the population's shape."""
    is_reset_to = population.rule.fires and population.rule.reset == "value"
    return population.threshold.astype(np.float64) - np.asarray(population.v_reset, np.float64) * is_reset_to


def lacks_current(population: Population) -> bool:
    """Tell whether input of a population reaches v at once, and is gone in the next step."""
    return population.decay_syn is None or bool((population.decay_syn == 0).any())


def spikes_in_a_step(role: str) -> int:
    """Return how many spikes a neuron of the chip sends in a step at most."""
    return HIDDEN_MAX if role == "hidden" else OUTPUT_MAX


def spikes_beyond(population: Population, role: str) -> str:
    """Return how a population's counts of spikes in one step differ from the chip's; empty if they cannot.

    Args:
        population: the float neurons.
        role: ``hidden`` or ``output``.
    """
    most, chips = population.rule.max_spikes, spikes_in_a_step(role)
    if not population.rule.fires or most == chips:
        return ""
    ours = "any number of spikes" if most is None or most > MANY else f"at most {most}"
    return f"sends {ours} in a step, and the chip's {role} neuron {chips}"
