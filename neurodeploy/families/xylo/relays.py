"""Hidden neurons that send on what they receive a step later: Xylo's connections cannot wait.

A relay has dash_syn 1, dash_mem 0, a weight of 2 units from its source, a threshold of 1 unit, and a weight of -1 unit
from itself. After n spikes the current is ``2n - n = n`` units, v is n, and it fires n times; in the next step its own
spikes take the n units that are left of the current away, before anything else counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.families.xylo.codes import HIDDEN_MAX, STATE_MAX, WEIGHT_RANGE
from neurodeploy.families.xylo.population import XyloPopulation
from neurodeploy.families.xylo.synapses import DenseSynapses, coded_synapses
from neurodeploy.ir.codes import CodedProjection

WAITS = "sends on a step later: the chip's connections cannot wait"


@dataclass(slots=True)
class Relays:
    """Relays that are made on demand; those of one source are shared by all that waits for it.

    shifts: of the three matrices. inputs: names. latency: hardware step of row 0 of each source, by name.
    """

    shifts: dict[str, int]
    inputs: frozenset[str]
    latency: dict[str, int]
    populations: dict[str, XyloPopulation] = field(default_factory=dict)
    projections: list[CodedProjection] = field(default_factory=list)

    def source(self, part: DenseSynapses) -> str:
        """Return the name of what sends to a target in time: the source, or the last of its relays."""
        name, size = part.source, part.weight.shape[1]
        for k in range(part.waits):
            relay = f"{part.source} relay {k + 1}"
            if relay not in self.populations:
                is_input = name in self.inputs
                latency = self.latency[part.source] + (k if part.source in self.inputs else k + 1)
                self.populations[relay] = relay_population(relay, size, latency, relay_unit(self.shifts, is_input))
                self.projections += relay_projections(name, relay, size, self.shifts, is_input)
            name = relay
        return name


def relay_unit(shifts: dict[str, int], is_input: bool) -> int:
    """Return the power of 2 that a relay's threshold is: the least that weights from its source and itself can have."""
    return max(shifts["in"], shifts["rec"]) if is_input else shifts["rec"]


def relay_population(name: str, size: int, latency: int, unit: int) -> XyloPopulation:
    """Return relays whose threshold is ``1 << unit``.

    Args:
        name: of the population.
        size: how many relays.
        latency: hardware step of their row 0.
        unit: of :func:`relay_unit`.
    """
    ones, units = np.ones(size, np.int64), np.full(size, float(1 << unit))
    return XyloPopulation(
        name, (size,), latency, float(1 << unit), "hidden", ones, 0 * ones, ones << unit, 0 * ones, units, helps=WAITS
    )


def relay_projections(
    source: str, relay: str, size: int, shifts: dict[str, int], is_input: bool
) -> tuple[CodedProjection, CodedProjection]:
    """Return the synapses into relays, from their source and from themselves.

    Args:
        source, relay: names.
        size: how many relays.
        shifts: of the three matrices.
        is_input: whether the source is an input.

    Raises:
        DeployError: the shifts of the matrices lie so far apart that no weight of both has the same size.
    """
    matrix, unit = "in" if is_input else "rec", relay_unit(shifts, is_input)
    into, own = 2 << (unit - shifts[matrix]), -1 << (unit - shifts["rec"])
    if into > WEIGHT_RANGE[1] or own < WEIGHT_RANGE[0] or (2 * HIDDEN_MAX << unit) > STATE_MAX:
        raise DeployError(
            f"a relay of {source!r} needs weights of one size from inputs and hidden neurons, but their shifts are"
            f" {shifts['in']} and {shifts['rec']}",
            where=f"{source} -> {relay}",
            fix="Say shifts that are nearer to each other in the plan.",
        )
    eye = np.eye(size, dtype=np.int16)
    return (
        coded_synapses(source, relay, into * eye, shifts[matrix], is_input),
        coded_synapses(relay, relay, own * eye, shifts["rec"], is_input=False),
    )
