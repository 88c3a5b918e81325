"""What a program takes of each of a chip's limits, and how much of it there is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neurodeploy.ir.program import Program
from neurodeploy.targets.target import Target


@dataclass(frozen=True, slots=True)
class Use:
    """One limit of a chip: how much a program takes of it, and how much there is.

    limit: what is limited, as a phrase. is_least: at least so much is taken; how much is known once it is placed.
    """

    limit: str
    used: int
    available: int
    is_least: bool = False

    @property
    def fits(self) -> bool:
        """Whether there is as much as is taken."""
        return self.used <= self.available

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {**asdict(self), "fits": self.fits}


def use_of(program: Program, target: Target) -> tuple[Use, ...]:
    """Return how much of each limit of a chip a program takes."""
    return uses(target, sum(population.size for population in program.populations), synapse_bytes(program))


def synapse_bytes(program: Program) -> int:
    """Return how many bytes the weights of a program take. A weight of 0 is no synapse."""
    return int(sum(np.count_nonzero(p.weight) * p.weight_bits / 8 for p in program.projections))


def uses(target: Target, neurons: int, weight_bytes: int = 0) -> tuple[Use, ...]:
    """Return how much of each limit of a chip so many neurons and bytes of synapses take.

    How populations share cores is not looked at, so that cores are those that could not be done without.
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
