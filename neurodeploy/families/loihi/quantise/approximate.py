"""Neurons that a chip does not have, by the nearest that it has: the rung ``neuron`` of the ladder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from neurodeploy.coding.approximation import Approximation
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.exactness import integer_model
from neurodeploy.families.loihi.target import LoihiTarget
from neurodeploy.ir.network import Network, Population


def approximate(network: Network, target: LoihiTarget) -> tuple[Network, tuple[Approximation, ...]]:
    """Return a network whose neurons the target has, and what was changed.

    Only populations that the target cannot compute are touched, and only in their rule: reset by subtraction becomes
    reset to zero, a reset in the next step one in the same step, and counts become single spikes; a lower bound of v
    and an adaptation are left out. Weights, thresholds and decays stay.

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
        found.append(Approximation(population.name, tuple(_changes(population, nearest))))
        populations.append(nearest)
    return replace(network, populations=tuple(populations)), tuple(found)


def _has(population: Population, target: LoihiTarget, sends: bool) -> bool:
    try:
        integer_model(population, target, sends)
    except DeployError:
        return False
    return True


def _nearest(population: Population, target: LoihiTarget, sends: bool) -> Population:
    """Return the population with as few of the changes as make the target take it.

    Raises:
        DeployError: it needs more than all of them.
    """
    nearer = population
    for nearer in _nearer(population):
        if _has(nearer, target, sends):
            return nearer
    integer_model(nearer, target, sends)
    raise AssertionError("the target was just asked for this neuron, and refused it")


def _nearer(population: Population) -> Iterator[Population]:
    """Yield the population with one change more each time; the least first.

    A floor and an adaptation go before the reset, where a chip lacks them alone.
    """
    rule = population.rule
    unbounded = replace(population, v_min=None)
    fixed = replace(unbounded, adapt_decay=None, adapt_rate=None, rule=replace(rule, adapts="threshold"))
    yield from (unbounded, fixed)
    same_step = replace(rule, reset_delay=False, reset_pending=False, reset_drops_input=False)
    to_zero = replace(same_step, reset="value", reset_before_decay=False)
    keeping = replace(to_zero, reset_currents=False)
    rules = (same_step, to_zero, replace(to_zero, max_spikes=1), replace(keeping, max_spikes=1))
    for nearest in rules:
        yield replace(population, rule=nearest)
        yield replace(unbounded, rule=nearest)
        yield replace(fixed, rule=replace(nearest, adapts="threshold"))


def _changes(before: Population, after: Population) -> list[str]:
    """Return what differs between two populations, in words."""
    old, new = before.rule, after.rule
    counts = f"counts of {'any number of' if old.max_spikes is None else old.max_spikes} spikes"
    differs = {
        "reset by subtraction becomes reset to zero": old.reset == "subtract" != new.reset,
        "no reset becomes reset to zero": old.reset == "none" != new.reset,
        "reset in the next step becomes reset in the same step": old.reset_delay and not new.reset_delay,
        "what v holds above the threshold is not subtracted again": old.reset_pending and not new.reset_pending,
        f"{counts} become single spikes": old.max_spikes != new.max_spikes,
        "no lower bound of its potential": before.v_min is not None and after.v_min is None,
        "no adaptation": before.adapt_decay is not None and after.adapt_decay is None,
        "currents stay when it is reset": old.reset_currents and not new.reset_currents,
    }
    return [what for what, is_so in differs.items() if is_so]
