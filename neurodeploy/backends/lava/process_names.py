"""Which of Lava's fixed-point processes runs a population."""

from __future__ import annotations

from neurodeploy.families.loihi.codes import LoihiPopulation

PROCESSES = {
    frozenset[str](): "LIF",
    frozenset({"interval"}): "LIFReset",
    frozenset({"ternary"}): "TernaryLIF",
}
"""By what they compute beyond the plain neuron, :data:`neurodeploy.families.loihi.codes.BUILT_IN`."""


def process_of(population: LoihiPopulation) -> str:
    """Return the name of a population's process: LIF, LIFReset or TernaryLIF; ``custom`` for none."""
    return PROCESSES.get(population.needs() - {"integrator"}, "custom")
