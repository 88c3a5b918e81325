"""Warnings of a program, and the check that it fits the chip."""

from __future__ import annotations

from math import prod

from neurodeploy.coding.approximation import approximation_sentence
from neurodeploy.errors import DeployError
from neurodeploy.families.base import Use
from neurodeploy.families.loihi.fit import use_of, uses
from neurodeploy.families.loihi.messages import bits_kept
from neurodeploy.families.loihi.messages import sentence as messages_sentence
from neurodeploy.families.loihi.overflow import (
    arithmetic_differences,
    custom_neurons,
    input_sum_warnings,
    payload_range,
)
from neurodeploy.families.loihi.program import LoihiProgram, program_faults
from neurodeploy.families.loihi.quantise.population import Coded
from neurodeploy.families.loihi.relays import relay_warnings
from neurodeploy.families.loihi.scale import ASSUMED_MAX_SPIKES
from neurodeploy.families.loihi.target import LoihiTarget
from neurodeploy.families.options import CompileOptions
from neurodeploy.ir.needs import refuse_missing
from neurodeploy.ir.network import Network
from neurodeploy.ir.synapses import Conv1d, Conv2d, Pool2d


def cautions(program: LoihiProgram, coded: list[Coded], beyond: list[str]) -> tuple[str, ...]:
    """Return what can go wrong, or could not be matched.

    Args:
        program: the program.
        coded: the populations, with the warnings of their codes.
        beyond: sentences of :func:`beyond`, which come first.
    """
    found = list(beyond)
    for name, bits in program.message_bits.items():
        if name in program.provenance.get("graded_inputs", {}):
            found.append(messages_sentence(name, program.provenance["graded_inputs"][name]))
            continue
        low, high = payload_range(bits)
        scale = program.input_scale[name]
        found.append(
            f"input {name!r} is graded: its values are rounded to multiples of 1/{scale:g} and range from"
            f" {low / scale:g} to {high / scale:g}"
        )
        found += [
            f"{p.name}: with messages of this scale, weights keep {bits_kept(p)} of {p.weight_bits} bits; --calibrate"
            " DATA chooses scale and bits"
            for p in program.projections
            if p.source == name and bits_kept(p) < p.weight_bits
        ]
    if rung := program.provenance.get("approximations"):
        found.append(approximation_sentence(rung))
    for name, needs in custom_neurons(program).items():
        found.append(
            f"{name}: custom neuron ({needs}): simulator only; the emulator and Lava run neurodeploy's own model of it,"
            " and for the chip it would have to be programmed"
        )
    for population in program.populations:
        if population.model.max_spikes is None:
            found.append(
                f"{population.name}: can send any number of spikes a step; the limits below assume up to"
                f" {ASSUMED_MAX_SPIKES}, and the emulator counts what leaves its register as u_wraps and v_clips"
            )
    found += [warning for c in coded for warning in c.warnings] + relay_warnings(program)
    return (*found, *input_sum_warnings(program), *arithmetic_differences(program))


def refuse_too_many_neurons(network: Network, target: LoihiTarget, options: CompileOptions) -> None:
    """Refuse a network of more neurons than the chip has before any work is done on it.

    Args:
        network: the model.
        target: the chip.
        options: of which ``allow_oversize`` is read.

    Raises:
        DeployError: it has, and that was not allowed.
    """
    what = _misfit(target, uses(target, sum(prod(population.shape) for population in network.populations)))
    if what and not options.allow_oversize:
        raise DeployError(what, where="--target", fix=_SMALLER)


def beyond(network: Network, program: LoihiProgram, target: LoihiTarget, options: CompileOptions) -> list[str]:
    """Return in what the program exceeds the whole chip; how populations share cores is not looked at.

    Args:
        network: the model, of which a refusal names layers.
        program: the program.
        target: the chip.
        options: of which ``allow_oversize`` is read.

    Raises:
        DeployError: it does, and that was not allowed.
    """
    what = _misfit(target, use_of(program, target))
    if not what:
        return []
    if options.allow_oversize:
        return [f"{what}: emulator only"]
    raise DeployError(what, where="--target", fix=" ".join([_SMALLER, *_written_out(network, program)]))


_SMALLER = "Use a smaller network or fewer --weight-bits, or say --allow-oversize to run it on the emulator."


def _misfit(target: LoihiTarget, found: tuple[Use, ...]) -> str:
    """Return what of a network no whole chip holds, as a sentence, or nothing."""
    # Too few cores are too few neurons or bytes, which say more.
    over = [
        f"{use.limit}: {use.used:,} needed, {use.available:,} available"
        for use in found
        if not (use.fits or use.is_least)
    ]
    return f"the network does not fit one {target.title} chip ({'; '.join(over)})" if over else ""


def refuse_misfits(program: LoihiProgram, target: LoihiTarget) -> None:
    """Refuse a program that needs what the target's neurons do not do, or that its number formats do not hold.

    Raises:
        DeployError: it does; it names all of that.
    """
    refuse_missing(program.parts, target.can(), target.title, f"Choose a target that does, not {target.name}.")
    if faults := program_faults(program):
        raise DeployError(
            f"{target.title} cannot hold this program: {'; '.join(faults)}",
            where="--target",
            fix="Choose a target whose number formats are wider, or change the layers that are named.",
        )


def _written_out(network: Network, program: LoihiProgram) -> list[str]:
    """Return which chains of convolutions and pools could only be written out, so that they share no weights."""
    found = []
    for p, coded in zip(
        (p for c in network.populations for p in network.into(c.name)), program.projections, strict=False
    ):
        if not coded.is_conv and any(isinstance(op, (Conv1d, Conv2d, Pool2d)) for op in p.ops):
            chain = ", ".join(type(op).__name__ for op in p.ops)
            found.append(
                f"{p.name}: {chain} was written out as {coded.weight.size:,} synapses; convolutions and pools"
                " in a row stay one convolution if there is no padding between them, or if their sizes divide."
            )
    return found
