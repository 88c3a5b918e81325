"""Count what a program takes of each of a chip's limits, and how much of it there is."""

from __future__ import annotations

import numpy as np

from neurodeploy.families.base import Use
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.families.loihi.target import LoihiTarget


def use_of(program: LoihiProgram, target: LoihiTarget) -> tuple[Use, ...]:
    """Return how much of each limit of a chip a program takes."""
    return uses(target, sum(population.size for population in program.populations), synapse_bytes(program))


def synapse_bytes(program: LoihiProgram) -> int:
    """Return how many bytes the weights of a program take. A weight of 0 is no synapse."""
    return int(sum(np.count_nonzero(p.weight) * p.weight_bits / 8 for p in program.projections))


def uses(target: LoihiTarget, neurons: int, weight_bytes: int = 0) -> tuple[Use, ...]:
    """Return how much of each limit of a chip so many neurons and bytes of synapses take.

    How populations share cores is not looked at, so that cores are those that could not be done without.

    Args:
        target: the chip.
        neurons: how many.
        weight_bytes: bytes that the weights take.
    """
    limits = target.limits
    cores, per_core = limits.cores.value, limits.neurons_per_core.value
    bytes_per_core = limits.synapse_bytes_per_core.value
    least = max(-(-neurons // per_core), -(-weight_bytes // bytes_per_core))
    return (
        Use("neurons", neurons, cores * per_core),
        Use("bytes of synapses", weight_bytes, cores * bytes_per_core),
        Use("cores", least, cores, is_least=True),
    )
