"""A program for Loihi: what its populations and projections take of the target's number formats."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, STATE_BITS
from neurodeploy.families.loihi.codes import LoihiPopulation, synapse_faults
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program

LoihiProgram = Program[LoihiPopulation]

FORMATTED = {
    "threshold_bits": "the width of threshold codes",
    "bias_mantissa_max": "the largest bias mantissa",
    "bias_exponent_max": "the bias exponent",
    "weight_bits_max": "the width of weights",
    "weight_exponent_max": "the weight exponent",
    "delay_max": "the delay beyond a connection's own step",
    "message_bits_max": "the width of messages",
}
"""What each number format of a target bounds in a program; the widths of state and decay are the arithmetic's own."""


def _extents(part: LoihiPopulation | CodedProjection) -> dict[str, int]:
    """Return what a population or a projection takes of the number formats that it has to do with."""
    if isinstance(part, CodedProjection):
        return {
            "weight_bits_max": part.weight_bits,
            "weight_exponent_max": part.exponent,
            "delay_max": part.delay - 1,
            "message_bits_max": part.message_bits,
        }
    thresholds = [codes for codes in (part.threshold_code, part.threshold_low_code) if codes is not None]
    return {
        "threshold_bits": max(int(np.abs(codes.astype(np.int64)).max(initial=0)) for codes in thresholds).bit_length(),
        "bias_mantissa_max": int(np.abs(part.bias_mantissa.astype(np.int64)).max(initial=0)),
        "bias_exponent_max": part.bias_exponent,
    }


def loihi_program(program: Program[Any], who: str) -> LoihiProgram:
    """Return a program as one for Loihi.

    Args:
        program: of any family.
        who: what runs programs for Loihi alone, as the message begins: ``Lava``.

    Raises:
        DeployError: it is for another family.
    """
    if program.family != "loihi":
        raise DeployError(
            f"{who} runs programs for Loihi, but this one is for {program.target}, of the family {program.family!r}",
            where="--backend",
            fix="Run it on --backend emulator, or on the simulator of that chip's maker; see `neurodeploy backends`.",
        )
    return program


def input_limit(program: LoihiProgram) -> int | None:
    """Return register units from which one step's input leaves the register that sums it; None if u's is no wider."""
    bits = program.number_formats.get("input_sum_bits", STATE_BITS)
    return 1 << (bits - 1) if isinstance(bits, int) and ALIGN_BITS < bits < STATE_BITS else None


def program_faults(program: LoihiProgram) -> list[str]:
    """Return all codes that the hardware, or the program's number formats, cannot hold, a sentence each."""
    of_populations = [fault for population in program.populations for fault in population.faults()]
    of_projections = [fault for projection in program.projections for fault in synapse_faults(projection)]
    # What is no whole number is compared with nothing else.
    return of_populations + of_projections or _format_faults(program)


def _format_faults(program: LoihiProgram) -> list[str]:
    """Return which codes are wider than the target of the program has them."""
    formats = program.number_formats
    parts: tuple[LoihiPopulation | CodedProjection, ...] = (*program.populations, *program.projections)
    found = []
    for part in parts:
        used = _extents(part)
        found += [
            f"{part.name}: {what} is {used[key]}, {key} of the target is {formats[key]}"
            for key, what in FORMATTED.items()
            if key in used and used[key] > formats.get(key, used[key])
        ]
    return found
