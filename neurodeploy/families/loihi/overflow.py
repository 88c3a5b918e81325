"""Find which registers can overflow, under which worst-case input, and where the two arithmetics then differ.

How far each register gets is in :mod:`neurodeploy.families.loihi.bounds`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, DECAY_BITS, STATE_LIMIT
from neurodeploy.families.loihi.bounds import Payload, driver, swings
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.exactness import features
from neurodeploy.families.loihi.program import LoihiProgram, input_limit
from neurodeploy.families.loihi.scale import ASSUMED_MAX_SPIKES
from neurodeploy.ir.codes import MESSAGE_BITS, CodedProjection
from neurodeploy.ir.needs import can, refuse_missing

CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""The needs of neurons and synapses for which warnings are right, see :mod:`neurodeploy.ir.needs`."""


def overflow_warnings(
    population: LoihiPopulation, projections: tuple[CodedProjection, ...], payloads: tuple[Payload, ...]
) -> list[str]:
    """Return what worst-case input (every spike of one sign of weight at once, for ever) does to the registers.

    Args:
        population: the codes.
        projections: all that flows into it.
        payloads: for each projection the least and the most that a spike carries.
    """
    refuse_missing((population, *projections), CAN, "the warning of overflow")
    low, high = swings(population, projections, payloads)
    full = 2.0**DECAY_BITS
    lost_syn, lost_mem = (population.du + 1) / full, np.maximum(population.dv / full, 1 / full)
    bias = population.bias_mantissa.astype(np.int64) << population.bias_exponent
    name, of_all = population.name, f"of {population.size} neurons"
    found = []

    def by(values: NDArray[np.float64], sign: int) -> str:
        return driver(population, projections, payloads, int(np.argmax(values)), sign)

    second_low, second_high, lost_least = np.zeros_like(low), np.zeros_like(high), lost_syn
    if population.du_second is not None:
        lost_second = (population.du_second + 1) / full
        second_low, second_high = -high / lost_second, -low / lost_second
        lost_least = np.minimum(lost_syn, lost_second)
    swing = np.maximum(-low, high) / lost_least
    if (wraps := int((swing >= STATE_LIMIT).sum())) > 0:
        worst = int(np.argmax(swing))
        found.append(
            f"{name}: in {wraps} {of_all} u can wrap if enough inputs fire at once (mostly"
            f" {by(swing, 1 if high[worst] >= -low[worst] else -1)}); the emulator counts it as u_wraps"
        )
    fall = (low / lost_syn + second_low + np.minimum(bias, 0)) / lost_mem
    if population.v_min is not None:
        fall = np.maximum(fall, population.v_min.astype(np.float64))
    if (clips := int((fall <= -STATE_LIMIT).sum())) > 0:
        found.append(
            f"{name}: in {clips} {of_all} v can reach its lower limit under sustained inhibition (mostly"
            f" {by(-fall, -1)}); the emulator counts it as v_clips"
        )
    rise = (high / lost_syn + second_high + np.maximum(bias, 0)) / lost_mem
    outruns = population.model.reset != "zero" and population.model.max_spikes is not None
    if population.model.fires and outruns and (tops := int((rise >= STATE_LIMIT).sum())) > 0:
        found.append(
            f"{name}: in {tops} {of_all} v can reach its upper limit under sustained excitation (mostly {by(rise, 1)}),"
            " because resets lower it less than a step can raise it; the emulator counts it as v_clips"
        )
    if not population.model.fires and (ends := int((rise > population.threshold_code << ALIGN_BITS).sum())) > 0:
        found.append(
            f"{name}: in {ends} {of_all} v can reach the end of its register under sustained excitation (mostly"
            f" {by(rise, 1)}) and then starts again from 0"
        )
    return found


def arithmetic_differences(program: LoihiProgram) -> tuple[str, ...]:
    """Return where Lava's simulator and the chip can compute different things, a sentence for each node.

    They differ where u leaves its 24 bits by more than one turn, which Lava does not undo; where a convolution's sum
    leaves the 24 bits that Lava keeps of it; and where a negative weight exponent shifts weights that it does not
    divide. ``loihi`` is what the chip does, ``lava`` what Intel's simulator does.
    """
    refuse_missing(program.parts, CAN, "the comparison of the two arithmetics")
    found = []
    for population in program.populations:
        into = tuple(p for p in program.projections if p.target == population.name)
        low, high = swings(population, into, tuple(source_payload(program, p) for p in into))
        kept = STATE_LIMIT * (1.0 - (population.du + 1) / 2.0**DECAY_BITS)
        if (turns := int((kept + np.maximum(-low, high) > 3 * STATE_LIMIT).sum())) > 0:
            found.append(
                f"{population.name}: in {turns} of {population.size} neurons u can leave its 24 bits by more than one"
                " turn, which lava arithmetic does not bring back"
            )
    for p in program.projections:
        least, most = source_payload(program, p)
        negative, positive = p.row_sums()
        reach = max(
            int((most * positive + least * negative).max(initial=0)),
            int(-(most * negative + least * positive).min(initial=0)),
        )
        if p.is_conv and reach << max(p.exponent, 0) >= STATE_LIMIT:
            found.append(f"{p.name}: sums of this convolution can leave the 24 bits that Lava keeps of them")
        if p.exponent < 0 and (p.weight & ((1 << -p.exponent) - 1)).any():
            found.append(
                f"{p.name}: exponent {p.exponent} does not divide the weights; lava arithmetic shifts their sum, loihi"
                " each of them"
            )
    return tuple(found)


def input_sum_warnings(program: LoihiProgram) -> list[str]:
    """Return where one step's input can leave the register in which the chip sums it, in a sentence, or nothing."""
    if (limit := input_limit(program)) is None:
        return []
    found = []
    for population in program.populations:
        into = tuple(p for p in program.projections if p.target == population.name)
        payloads = tuple(source_payload(program, p) for p in into)
        low, high = swings(population, into, payloads)
        if (count := int(((low < -limit) | (high >= limit)).sum())) > 0:
            worst, sign = (int(low.argmin()), -1) if -low.min() > high.max() else (int(high.argmax()), 1)
            by = driver(population, into, payloads, worst, sign)
            found.append(f"{population.name} (in {count} of {population.size} neurons, mostly {by})")
    if not found:
        return []
    return [
        f"what arrives in one step can leave the {program.number_formats['input_sum_bits']} bits in which the chip sums"
        f" it: {', '.join(found)}; nengo-loihi wraps there, our emulator and Lava do not, so that the chip can compute"
        " something else; counted in each run as input_wraps"
    ]


def custom_neurons(program: LoihiProgram) -> dict[str, str]:
    """Return the populations that no fixed-point process of Lava computes, each with what it needs."""
    return {
        p.name: ", ".join(features(p.model, p.v_min is not None, p.adapt_step is not None, p.du_second is not None))
        for p in program.populations
        if p.is_custom
    }


def source_payload(program: LoihiProgram, projection: CodedProjection) -> Payload:
    """Return the least and the most that one spike of a projection's source is assumed to carry."""
    if projection.message_bits == 0:
        return 0, 1
    if projection.source in program.inputs:
        return payload_range(projection.message_bits)
    source = program.population(projection.source)
    return -1 if source.threshold_low_code is not None else 0, source.model.max_spikes or ASSUMED_MAX_SPIKES


def payload_range(message_bits: int) -> Payload:
    """Return the least and the most that a message of so many bits, with the sign, can carry."""
    assert 0 < message_bits <= MESSAGE_BITS[1]
    return -(1 << message_bits - 1), (1 << message_bits - 1) - 1
