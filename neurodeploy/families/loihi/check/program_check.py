"""Check a program before it runs: register bounds, overflow, silent populations.

Two sorts of knowledge: *bounds* that no input can leave, from the codes alone, and *observations* on calibration data,
which are tighter and name the input. A population that is proved silent, or seen to be, is refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError, known
from neurodeploy.families.loihi.arithmetic import ALIGN_BITS, STATE_LIMIT, find_arithmetic
from neurodeploy.families.loihi.bounds import Payload, Reach, driver, reach
from neurodeploy.families.loihi.check.observe import Observation, observe_on_data, with_payloads
from neurodeploy.families.loihi.check.remedies import (
    lowered_threshold,
    quieting_threshold,
    raised_threshold,
    reachable_threshold,
    waking_threshold,
)
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.overflow import payload_range
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs

SETTLING = 8
"""Rounds beyond the number of populations after which counts that still grow are taken to be as large as they can."""

OVERFLOW_FIX = "fewer codes_per_volt in the plan leave more room"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lowest and highest register values of a population over all possible inputs.

    sums: input of one step. u, v: the registers, v before and after the spike test.
    lowest_by, highest_by: what drives the neuron that gets furthest.
    wraps, sinks, climbs: how many neurons' u can wrap, and v be clipped at the lowest and the highest value.
    can_fire: how many neurons can fire at all.
    threshold_share: highest v of all inputs before a first spike, by the neuron's threshold; 1 or less is silent.
    """

    sums: tuple[int, int]
    u: tuple[int, int]
    v: tuple[int, int]
    lowest_by: str
    highest_by: str
    wraps: int
    sinks: int
    climbs: int
    can_fire: int
    threshold_share: float


@dataclass(frozen=True, slots=True)
class Silence:
    """A silent population: the sentence that says so, its remedy, and whether it is a reason to refuse."""

    sentence: str
    fix: str
    is_refused: bool


@dataclass(frozen=True, eq=False, slots=True)
class Contract:
    """All that is known; see :func:`check`."""

    bounds: dict[str, Bounds]
    observations: dict[str, Observation]
    silent: dict[str, Silence]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the numbers, and the names of what is silent."""
        return {
            "worst_case": {name: asdict(one) for name, one in self.bounds.items()},
            "observed": {name: one.as_json() for name, one in self.observations.items()},
            "silent": sorted(self.silent),
        }


def check_program(
    program: LoihiProgram,
    inputs: Inputs | None = None,
    reference: Recording | None = None,
    allow_silent: bool = False,
) -> Contract:
    """Return what is known of a program before it runs: register bounds, overflow, silent populations.

    Args:
        program: the program.
        inputs: calibration data ``[T, B, *shape]`` by input, or None.
        reference: what the float model does on it, or None.
        allow_silent: name silent populations in the warnings instead of refusing them.

    Raises:
        DeployError: a population is proved silent or, on calibration data, seen to be, and the float model's is not.
    """
    reaches = _reaches(program)
    bounds = {p.name: _bounds(program, p, reaches) for p in program.populations if p.size}
    if inputs is not None:
        program, inputs = with_payloads(program, inputs)
    seen = {} if inputs is None else observe_on_data(program, inputs, reference)
    silent = _silences(program, reaches, bounds, seen, inputs)
    refused = {name: one for name, one in silent.items() if one.is_refused}
    if refused and not allow_silent:
        fixes = list(dict.fromkeys(one.fix for one in refused.values() if one.fix))
        raise DeployError(
            "; ".join(one.sentence for one in refused.values()),
            where=f"node {known(map(repr, refused))}",
            fix=". ".join([*(fix[0].upper() + fix[1:] for fix in fixes), "To compile it as it is: --allow-silent."]),
        )
    # Of those that no input makes fire in the model either, the program's own warnings tell.
    told = [one for name, one in silent.items() if name not in program.provenance.get("never_fire", ())]
    warnings = [f"{one.sentence}: {one.fix}" if one.fix else one.sentence for one in told]
    return Contract(bounds, seen, silent, (*warnings, *_findings(program, seen, silent, inputs)))


def worst_case(program: LoihiProgram) -> dict[str, Bounds]:
    """Return how far each population's registers get over all possible inputs, in the program's arithmetic."""
    reaches = _reaches(program)
    return {p.name: _bounds(program, p, reaches) for p in program.populations if p.size}


_Reached = tuple[Reach, tuple[CodedProjection, ...], tuple[Payload, ...]]


def _reaches(program: LoihiProgram) -> dict[str, _Reached]:
    """Return every population's reach, with what flows into it.

    At first nothing but the inputs is taken to send anything; what can then fire does so from there on, until nothing
    changes. As every connection takes a step, what is silent at the end can never start, not even round a loop.
    """
    arithmetic = find_arithmetic(program.arithmetic)
    payloads = {name: _input_payload(program, name) for name in program.inputs}
    payloads.update({population.name: (0, 0) for population in program.populations})
    into = {p.name: tuple(q for q in program.projections if q.target == p.name) for p in program.populations}
    found: dict[str, _Reached] = {}
    for turn in range(2 * len(program.populations) + SETTLING + 2):
        before = dict(payloads)
        for population in program.populations:
            name = population.name
            arriving = tuple(payloads[p.source] for p in into[name])
            if name in found and found[name][2] == arriving:
                continue
            found[name] = reach(population, into[name], arriving, arithmetic), into[name], arriving
            is_settling = turn < len(program.populations) + SETTLING
            payloads[name] = _payload(population, found[name][0], payloads[name], is_settling)
        if payloads == before:
            break
    return found


def _input_payload(program: LoihiProgram, name: str) -> Payload:
    return payload_range(program.message_bits[name]) if name in program.message_bits else (0, 1)


def _payload(population: LoihiPopulation, reached: Reach, before: Payload, is_settling: bool) -> Payload:
    """Return the least and the most that a population sends in a step, no less than was found before."""
    model = population.model
    if not model.fires or not reached.fires.any():
        return before
    least = -1 if population.threshold_low_code is not None else 0
    most = 1
    if model.max_spikes != 1:
        threshold = np.maximum(population.threshold_code.astype(np.int64) << ALIGN_BITS, 1)
        highest = reached.v[1] if is_settling else np.full_like(reached.v[1], STATE_LIMIT - 1)
        most = max(1, int((highest // threshold)[reached.fires].max()))
        most = most if model.max_spikes is None else min(most, model.max_spikes)
    return min(least, before[0]), max(most, before[1])


def _bounds(program: LoihiProgram, population: LoihiPopulation, reaches: dict[str, _Reached]) -> Bounds:
    reached, into, payloads = reaches[population.name]
    low, high = int(reached.v[0].argmin()), int(reached.v[1].argmax())
    threshold = np.maximum(population.threshold_code.astype(np.int64) << ALIGN_BITS, 1)
    sums, u, v = ((int(pair[0].min()), int(pair[1].max())) for pair in (reached.sums, reached.u, reached.v))
    return Bounds(
        sums,
        u,
        v,
        lowest_by=driver(population, into, payloads, low, -1),
        highest_by=driver(population, into, payloads, high, 1),
        wraps=int(reached.wraps.sum()),
        sinks=int(reached.sinks.sum()),
        climbs=int(reached.climbs.sum()),
        can_fire=int(reached.fires.sum()),
        threshold_share=float((reached.quiet[1] / threshold).max()),
    )


def _silences(
    program: LoihiProgram,
    reaches: dict[str, _Reached],
    bounds: dict[str, Bounds],
    seen: dict[str, Observation],
    inputs: Inputs | None,
) -> dict[str, Silence]:
    """Return the populations that are proved silent or seen to be; those behind them only name what they wait for."""
    own = [population for population in program.populations if population.model.fires and not population.helps]
    proved = {p.name for p in own if p.size and not bounds[p.name].can_fire}
    quiet = {p.name for p in own if p.name in seen and not seen[p.name].spikes}
    found = {}
    for population in program.populations:
        name = population.name
        if name not in proved | quiet:
            continue
        sources = {p.source for p in program.projections if p.target == name} - {name}
        waits = bool(sources) and sources <= proved | quiet
        is_refused = name not in seen or not seen[name].is_silent_in_float
        is_refused = is_refused and name not in program.provenance.get("never_fire", ())
        if name in proved:
            sentence = f"{name}: no input can make it fire, v reaches {_percent(bounds[name].threshold_share)}"
            fix = reachable_threshold(population, reaches[name][0].quiet[1])
        else:
            one = seen[name]
            float_model = "" if one.reference_spikes is None else f", {one.reference_spikes} in the float model"
            share = (one.v_peak / np.maximum(population.threshold_code.astype(np.int64) << ALIGN_BITS, 1)).max()
            sentence = f"{name}: no spike on calibration data{float_model}, v reaches {_percent(float(share))}"
            fix = waking_threshold(program, population, one, inputs) if inputs is not None and is_refused else ""
        if waits:
            sentence, fix = f"{sentence}, because every population that sends to it is silent ({known(sources)})", ""
        found[name] = Silence(sentence, fix, is_refused)
    return found


def _findings(
    program: LoihiProgram, seen: dict[str, Observation], silent: dict[str, Silence], inputs: Inputs | None
) -> list[str]:
    """Return what overflows, is dead or is saturated on calibration data, a sentence each."""
    found = []
    for population in program.populations:
        name = population.name
        if inputs is None or name not in seen:
            continue
        one = seen[name]
        for what, count, first in (
            ("u wrapped", one.wraps, one.first_wrap),
            ("v was clipped", one.clips, one.first_clip),
        ):
            if first is not None:
                found.append(
                    f"{name}: {what} {count} times on calibration data, first in neuron {first.neuron} at row"
                    f" {first.row} of sample {first.sample} ({first.value}, driven by {first.source}): {OVERFLOW_FIX}"
                )
        if not population.model.fires or name in silent:
            continue
        if one.is_woken:
            found.append(
                f"{name}: fires {one.spikes} times on calibration data, but never in the float model;"
                f" {quieting_threshold(program, population, inputs)}"
            )
        if one.lost.any():
            found.append(
                f"{name}: {some_neurons(one.lost)} never fire {_data(one)};"
                f" {lowered_threshold(program, population, one)}"
            )
        if one.saturated.any():
            found.append(
                f"{name}: {some_neurons(one.saturated)} fire in nearly every step {_data(one, 'not')};"
                f" {raised_threshold(program, population, one, inputs)}"
            )
    return found


def some_neurons(flags: NDArray[np.bool_]) -> str:
    """Return how many neurons of a population have a flag, in words."""
    return f"{int(flags.sum())} of {flags.size} neurons"


def _data(one: Observation, negation: str = "") -> str:
    """Return the phrase that names the data for a warning."""
    if one.reference_fired is None:
        return "on calibration data"
    return f"on calibration data, although they do {'not ' if negation else ''}so in the float model"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} % of the threshold" if share > 0 else "no more than 0"
