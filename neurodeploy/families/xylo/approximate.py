"""Neurons that Xylo does not have, by the nearest that it has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neurodeploy.families.xylo.decays import DASH_MAX, kept
from neurodeploy.families.xylo.exactness import NOTHING, lacks_current, population_reasons, reasons, refuse
from neurodeploy.ir.network import Network, Population

LEAST_LEAK = kept(DASH_MAX)
"""Factor on a register that loses least."""

HALVES = kept(1)
"""Factor on the shortest synaptic current: half of what enters acts at once, a quarter in the next step."""


def approximate(network: Network) -> tuple[Network, dict[str, tuple[str, ...]]]:
    """Return a network whose neurons Xylo has, and for each population that was touched what was changed, in words.

    Weights, thresholds above the reset, and decays that shifts come near stay.

    Raises:
        LackingError: a population has what has no nearest.
    """
    refuse(tuple(reason for reason in reasons(network) if reason.nearest == NOTHING))
    populations, changes = [], {}
    for population in network.populations:
        sends = any(p.source == population.name for p in network.projections)
        found = tuple(population_reasons(population, sends))
        if found:
            changes[population.name] = tuple(f"{reason.what}: becomes {reason.nearest}" for reason in found)
            population = _nearest(population)
        populations.append(population)
    return replace(network, populations=tuple(populations)), changes


def _nearest(population: Population) -> Population:
    """Return a population with all the nearest; a reset to a value makes that value the 0 of v."""
    level = population.v_reset if population.rule.fires and population.rule.reset == "value" else np.float32(0)
    leak = np.minimum(population.decay_mem, np.float32(LEAST_LEAK))
    rule = replace(
        population.rule,
        reset="subtract",
        reset_delay=False,
        reset_drops_input=False,
        reset_before_decay=False,
        reset_pending=False,
        rounds=False,
        adapts="threshold",
        adapt_order="test-decay-add",
        reset_currents=False,
        output_delay=0,
    )
    changed: dict[str, Any] = {
        "rule": rule,
        "threshold": population.threshold - level,
        "bias": population.bias - (1 - leak) * level,
        "decay_mem": leak,
    }
    none: dict[str, Any] = {"v_min": None, "adapt_decay": None, "adapt_rate": None, "decay_second": None}
    rest: dict[str, Any] = {"v_reset": 0.0, "v_init": 0.0, "i_init": 0.0, "refractory": 0}
    return _with_current(replace(population, **changed, **none, **rest))


def _with_current(population: Population) -> Population:
    """Return a population with a current where it has none; what it brings to v in all is what entered."""
    if not lacks_current(population):
        assert population.decay_syn is not None
        return replace(population, decay_syn=np.minimum(population.decay_syn, np.float32(LEAST_LEAK)))
    if population.decay_syn is None:
        halving = np.full(population.shape, HALVES, np.float32)
        return replace(population, decay_syn=halving, rule=replace(population.rule, order="add-decay"))
    none = population.decay_syn == 0
    if population.rule.order == "add-decay":
        return replace(population, decay_syn=np.where(none, np.float32(HALVES), population.decay_syn))
    gain = np.where(none, population.gain_syn * np.float32(1 - HALVES), population.gain_syn)
    return replace(population, decay_syn=np.where(none, np.float32(HALVES), population.decay_syn), gain_syn=gain)
