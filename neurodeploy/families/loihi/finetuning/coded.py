"""Code a network for training: the program to start from, the codes that its weights may have, and the plan of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.finetuning.start import Start
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS
from neurodeploy.families.loihi.bias_source import source_of_bias
from neurodeploy.families.loihi.codes import WEIGHT_RANGES, LoihiPopulation
from neurodeploy.families.loihi.finetuning.latents import Levels
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.families.loihi.registers import bias_codes, settled_bias
from neurodeploy.families.loihi.target import LoihiTarget
from neurodeploy.families.loihi.weights import FULL_BITS
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.plan import BiasPlan, Bits, Plan, compact, projection_names, spread

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class LoihiStart(Start):
    """Where training for a Loihi starts."""

    chip: LoihiTarget
    program: LoihiProgram

    @property
    def names(self) -> tuple[str, ...]:
        """How the plan calls each projection, in the program's order."""
        names = dict(zip(self.network.projections, projection_names(self.network), strict=True))
        return tuple(names[p] for p in coded_order(self.network))

    @property
    def per_volt(self) -> dict[str, Floats]:
        """Weight codes, times ``2**exponent``, that stand for 1 V, float64 (n,), by population."""
        found = {}
        for p in self.program.populations[: len(self.network.populations)]:
            gain = spread(self.plan.populations[p.name].channel_gain or 1.0, p.shape)
            found[p.name] = gain * (p.unit / 2**ALIGN_BITS)
        return found

    @property
    def register_units(self) -> dict[str, Floats]:
        """Register units that stand for 1 V, float64 (n,), by population."""
        return {name: codes * 2**ALIGN_BITS for name, codes in self.per_volt.items()}

    @property
    def levels(self) -> tuple[Levels, ...]:
        """The codes that each projection's weights may have, in the program's order."""
        bits = [self.plan.projections[name].bits for name in self.names]
        return tuple(_levels(p, own) for p, own in zip(self.program.projections, bits, strict=False))

    def compiled(self, tuned: Network, codes: LoihiProgram, trained: tuple[str, ...]) -> tuple[LoihiProgram, Plan]:
        """Return a tuned network's program and its plan.

        Args:
            tuned: the network.
            codes: this program with the codes that were trained.
            trained: names of the nodes that were.
        """
        populations = {}
        for p in codes.populations[: len(self.network.populations)]:
            own = self.plan.populations[p.name]
            bias = None if own.bias is None else _bias(p, codes, self.chip)
            populations[p.name] = own.model_copy(update={"bias": bias})
        projections = dict(self.plan.projections)
        for name, projection in zip(self.names, coded_order(self.network), strict=True):
            if any(getattr(op, "name", "") in trained for op in projection.ops):
                projections[name] = projections[name].model_copy(update={"rounding": "nearest", "learned": None})
        plan = Plan(target=self.plan.target, populations=populations, projections=projections)
        return self.again(tuned, plan)


def coded_order(network: Network) -> tuple[Projection, ...]:
    """Return the projections in the order that a compiled program has them in."""
    return tuple(p for population in network.populations for p in network.into(population.name))


def _bias(population: LoihiPopulation, program: LoihiProgram, chip: LoihiTarget) -> BiasPlan:
    """Return a population's bias, with what a source that is always on adds to v."""
    total = population.bias_mantissa.astype(np.int64) << population.bias_exponent
    for p in program.projections if not population.takes_bias_as_spikes else ():
        if p.target == population.name and p.source == source_of_bias(program):
            delivered = (p.weight[:, 0].astype(np.int64) << p.exponent) << ALIGN_BITS
            total = total + settled_bias(delivered, population.du.astype(np.int64))
    mantissa, exponent = bias_codes(total, chip.number_formats.values())
    return BiasPlan(mantissa=compact(mantissa, population.shape), exponent=exponent)


def _levels(projection: CodedProjection, bits: Bits | None) -> Levels:
    """Return the codes that a projection's weights may have."""
    low, high = WEIGHT_RANGES[projection.sign_mode]
    step = 1 << (FULL_BITS - projection.weight_bits + (projection.sign_mode == "mixed"))
    low, high = -(-low // step * step), high // step * step
    if isinstance(bits, str):
        low, high = max(low, -step), min(high, step)
    return Levels(step, low, high, only_ends=bits == "binary")
