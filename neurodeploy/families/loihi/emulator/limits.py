"""Refuse numbers that the emulator's tables and kernels cannot hold, because they would differ from the definition.

They are wider than those of a chip's registers and synapses, see ``program_faults``: a program that no chip takes can
still be computed, for instance one with negative exponents, which Lava's simulator has.
"""

from __future__ import annotations

import numpy as np

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS
from neurodeploy.families.loihi.codes import CODE_RANGES, LoihiPopulation
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.codes import MAX_LATENCY, MESSAGE_BITS, outside

INT32 = np.iinfo(np.int32)

LIMITS = CODE_RANGES | {
    "threshold_code": (0, INT32.max >> ALIGN_BITS),
    "threshold_low_code": (INT32.min >> ALIGN_BITS, INT32.max >> ALIGN_BITS),
}
"""Of all arrays but biases, which are held shifted."""

EXPONENTS = (-31, 31)
"""Of weights, whose sums are int32."""


def faults(program: LoihiProgram) -> list[str]:
    """Return what the emulator cannot hold, a sentence each; weights, which always fit, are not looked at."""
    found = [fault for population in program.populations for fault in _of_population(population)]
    for p in program.projections:
        single = {
            "exponent": (p.exponent, EXPONENTS),
            "delay": (p.delay, (1, MAX_LATENCY)),
            "message_bits": (p.message_bits, MESSAGE_BITS),
        }
        found += [f"{p.name}: {fault}" for fault in outside(single)]
    return found


def _of_population(population: LoihiPopulation) -> list[str]:
    arrays = {key: (codes, LIMITS[key]) for key, codes in population.arrays().items() if key != "bias_mantissa"}
    single = {
        "bias_exponent": (population.bias_exponent, (0, 31)),
        "latency": (population.latency, (0, MAX_LATENCY)),
    }
    found = outside(single)
    if not outside({"bias_exponent": single["bias_exponent"]}):
        bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
        arrays["bias"] = (bias, (INT32.min, INT32.max))
    for key, (codes, (low, high)) in arrays.items():
        if codes.size and (codes.min() < low or codes.max() > high):
            found.append(f"{key} is {codes.min()} to {codes.max()}, but the emulator holds {low} to {high}")
    return [f"{population.name}: {fault}" for fault in found]
