"""Neurons that a chip does not have, by the nearest that it has: the rung ``neuron`` of the ladder."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neurodeploy.errors import DeployError
from neurodeploy.network import Network, Population
from neurodeploy.quantise.rules import integer_model
from neurodeploy.rule import NeuronRule
from neurodeploy.target import Target


@dataclass(frozen=True, slots=True)
class Approximation:
    """What was changed in a population, in words."""

    node: str
    changes: tuple[str, ...]


def approximate(network: Network, target: Target) -> tuple[Network, tuple[Approximation, ...]]:
    """Return a network whose neurons the target has, and what was changed.

    Only populations that the target cannot compute are touched, and only in their rule: reset by subtraction becomes
    reset to zero, a reset in the next step one in the same step, and counts become single spikes. Weights, thresholds
    and decays stay.

    Raises:
        DeployError: a population needs more than that.
    """
    populations, found = [], []
    for population in network.populations:
        sends = any(p.source == population.name for p in network.projections)
        if _has(population, target, sends):
            populations.append(population)
            continue
        nearest = _nearest(population, target, sends)
        found.append(Approximation(population.name, tuple(_changes(population.rule, nearest.rule))))
        populations.append(nearest)
    return replace(network, populations=tuple(populations)), tuple(found)


def _has(population: Population, target: Target, sends: bool) -> bool:
    try:
        integer_model(population, target, sends)
    except DeployError:
        return False
    return True


def _nearest(population: Population, target: Target, sends: bool) -> Population:
    """Return the population with as few of the changes as make the target take it."""
    rule = population.rule
    same_step = replace(rule, reset_delay=False, reset_pending=False, reset_drops_input=False)
    to_zero = replace(same_step, reset="value", reset_before_decay=False)
    for nearer in (same_step, to_zero, replace(to_zero, max_spikes=1)):
        changed = replace(population, rule=nearer)
        if _has(changed, target, sends):
            return changed
    integer_model(replace(population, rule=replace(to_zero, max_spikes=1)), target, sends)
    raise AssertionError("the target was just asked for this neuron, and refused it")


def _changes(before: NeuronRule, after: NeuronRule) -> list[str]:
    """Return what differs between two rules, in words."""
    counts = f"counts of {'any number of' if before.max_spikes is None else before.max_spikes} spikes"
    differs = {
        "reset by subtraction becomes reset to zero": before.reset == "subtract" != after.reset,
        "no reset becomes reset to zero": before.reset == "none" != after.reset,
        "reset in the next step becomes reset in the same step": before.reset_delay and not after.reset_delay,
        f"{counts} become single spikes": before.max_spikes != after.max_spikes,
    }
    return [what for what, is_so in differs.items() if is_so]
