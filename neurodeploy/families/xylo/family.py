"""Xylo as a chip family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from neurodeploy.coding.calibration import Calibration
from neurodeploy.errors import DeployError
from neurodeploy.families.base import Draft, Emulated, Family, Use
from neurodeploy.families.options import CompileOptions, check_options
from neurodeploy.families.xylo import stages
from neurodeploy.families.xylo.activity import check_counts
from neurodeploy.families.xylo.codes import WEIGHT_RANGE
from neurodeploy.families.xylo.emulate import emulate
from neurodeploy.families.xylo.layout import lay_out
from neurodeploy.families.xylo.limits import SHIFT_MAX, usage
from neurodeploy.families.xylo.population import XyloPopulation, XyloProgram
from neurodeploy.families.xylo.synapses import INPUT_STEPS, NEURON_STEPS, refuse_large
from neurodeploy.families.xylo.target import XyloTarget
from neurodeploy.ir.codes import outside
from neurodeploy.ir.network import Network
from neurodeploy.ir.run_options import Inputs, RunOptions


class Xylo(Family):
    """Xylo Audio 2, Audio 3 and IMU."""

    name = "xylo"
    title = "Xylo"
    population = XyloPopulation
    target = XyloTarget
    draft = stages.XyloDraft
    arithmetics = ("xylo",)
    has_weight_widths = False

    def program_faults(self, program: XyloProgram) -> list[str]:
        """Return which codes no register of the chip holds, or where it has no synapses, a sentence each."""
        found = [fault for population in program.populations for fault in population.faults()]
        for p in program.projections:
            delay = INPUT_STEPS if p.source in program.inputs else NEURON_STEPS
            single = {"exponent": (p.exponent, (0, SHIFT_MAX)), "delay": (p.delay, (delay, delay))}
            found += [f"{p.name}: {fault}" for fault in outside(single)]
            if p.weight.size and not (WEIGHT_RANGE[0] <= p.weight.min() and p.weight.max() <= WEIGHT_RANGE[1]):
                found.append(f"{p.name}: weights are {p.weight.min()} to {p.weight.max()}, not within {WEIGHT_RANGE}")
            if p.kind != "dense":
                found.append(f"{p.name}: its synapses are a {p.kind} layout, but Xylo's are dense matrices")
        if scaled := [name for name, factor in program.input_scale.items() if factor != 1]:
            found.append(f"inputs {', '.join(scaled)} are scaled, but Xylo's count spikes")
        if found:
            return found
        try:
            lay_out(program.inputs, program.populations, program.projections)
        except ValueError as error:
            return [str(error)]
        return []

    def stages(self) -> Mapping[str, Callable[[Any], Draft]]:
        """Return the family's own stages of compiling by name."""
        return stages.STAGES

    def check_options(self, options: CompileOptions, target: XyloTarget, has_data: bool) -> None:
        """Refuse options that would change nothing: a Xylo's weights have 8 bits, and its inputs count spikes."""
        check_options(options, target, has_data)
        for flag, (is_said, why) in _without_meaning(options, target).items():
            if is_said:
                raise DeployError(
                    f"{flag} has no meaning for {target.title}: {why}", where=flag, fix=f"Leave {flag} out."
                )

    def refuse_size(self, network: Network, target: XyloTarget, options: CompileOptions) -> None:
        """Refuse a network that is so large that its matrices need not be written out to see it."""
        refuse_large(network, target.chip)

    def uses(self, program: XyloProgram, target: XyloTarget) -> tuple[Use, ...]:
        """Return channels, neurons, fan-out and weights."""
        codes = lay_out(program.inputs, program.populations, program.projections).codes
        return tuple(Use(one.what, one.used, one.available) for one in usage(codes, target.chip))

    def nearest_form(self, network: Network, target: XyloTarget, calibration: Calibration) -> str:
        """Return what the nearest neurons that Xylo has cost."""
        return stages.nearest_form(network, calibration)

    def check_inputs(self, inputs: Inputs) -> None:
        """Refuse inputs that are no counts of spikes from 0 to 15."""
        check_counts(inputs)

    def emulate(self, program: XyloProgram, inputs: Inputs, options: RunOptions) -> Emulated:
        """Run a program on the compiled step."""
        return emulate(program, inputs, options)

    def trainer(self) -> Any:
        """Return the module that trains in the chip's integers."""
        from neurodeploy.families.xylo.finetuning import trainer

        return trainer


def _without_meaning(options: CompileOptions, target: XyloTarget) -> dict[str, tuple[bool, str]]:
    """Return by flag which options would change nothing on a Xylo: whether it is said, and why it would not."""
    counts = "its inputs count spikes, and are not scaled"
    fitted = "thresholds and biases are always fitted, to calibration data where there is some"
    widths = (None, target.formats()["weight_bits_max"])
    return {
        "--weight-bits": (options.weight_bits not in widths, "all of its weights have 8 bits"),
        "--scale": (options.scale is not None, "its scales are those with which rounding changes least"),
        "--rounding": (options.rounding not in (None, "nearest"), "its weights are rounded to the nearest code"),
        "--correct": (options.correct is not None, fitted),
        "--per-channel": (options.per_channel is True, "each of its neurons has a scale of its own"),
        "--per-population": (options.per_channel is False, "each of its neurons has a scale of its own"),
        "--message-bits": (bool(options.message_bits), counts),
        "--input-scale": (options.input_scale not in (None, 1), counts),
        "--allow-oversize": (options.allow_oversize, "its emulator, too, holds what fits the chip alone"),
    }


FAMILY = Xylo()
