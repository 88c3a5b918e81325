"""The input of a population, in float: how inputs are sent, and the synapses in the chip's form."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.coding.calibration import Calibration
from neurodeploy.errors import DeployError, LackingError
from neurodeploy.families.loihi.affine_form import AffineNeuron, affine_neuron
from neurodeploy.families.loihi.messages import (
    Messages,
    Reached,
    bits_kept,
    choose_messages,
    expected_range,
    is_graded,
    loss_of_codes,
    measured_swing,
    messages_of_range,
)
from neurodeploy.families.loihi.overflow import payload_range
from neurodeploy.families.loihi.quantise.population import Coded
from neurodeploy.families.loihi.scale import ASSUMED_MAX_SPIKES, Synapses
from neurodeploy.families.loihi.target import LoihiTarget
from neurodeploy.families.options import CompileOptions
from neurodeploy.families.target_file import load_target, target_names
from neurodeploy.ir.network import Network, Population, Projection
from neurodeploy.ir.plan import InputPlan, Plan
from neurodeploy.passes.fold import fold


def messages_of_inputs(
    network: Network, target: LoihiTarget, options: CompileOptions, plan: Plan, calibration: Calibration | None
) -> dict[str, Messages]:
    """Return how each graded input is sent: as the plan or the options say, or as calibration data has it.

    Args:
        network: the model.
        target: the chip.
        options: how to compile: bits and scale of messages, known ranges of inputs, bits and rounding of weights.
        plan: what it says of inputs comes first.
        calibration: what the model does on calibration data, or None.
    """
    formats = target.number_formats.values()
    found = {}
    for name in network.inputs:
        planned = plan.inputs.get(name, InputPlan())
        bits, scale = planned.message_bits or options.message_bits, planned.scale or options.input_scale
        values = None if calibration is None else calibration.inputs[name]
        graded = values is not None and is_graded(values)
        known_range = (options.input_range or {}).get(name) if values is None and not bits else None
        if not bits and not graded and known_range is None:
            continue
        if formats["message_bits_max"] == 0:
            raise _spikes_only(name, target)
        if known_range is not None:
            reached = _reached(name, Messages(1, 1.0, known_range), network, target, None, learned=False)
            found[name] = messages_of_range(*known_range, reached, options.bits_on(target), formats)
        elif values is None or not graded or (bits and scale is not None):
            found[name] = Messages(bits, scale or 1.0, payload_range(bits))
        else:
            learned = options.rounding == "learned"
            unscaled = Messages(bits or formats["message_bits_max"], 1.0, expected_range(values))
            reached = _reached(name, unscaled, network, target, calibration, learned)
            found[name] = choose_messages(values, reached, options.bits_on(target), formats, (bits, scale))
    return found


def _reached(
    name: str, unscaled: Messages, network: Network, target: LoihiTarget, calibration: Calibration | None, learned: bool
) -> list[Reached]:
    """Return the populations that an input reaches, as if one message carried the value itself."""
    delays = dict.fromkeys(network.projections, 1)
    values = None if calibration is None else calibration.inputs[name]
    found = []
    for p in (p for p in network.projections if p.source == name):
        population = network.population(p.target)
        neuron, into = float_parts(population, network, target, {name: unscaled}, calibration, delays)
        found += [Reached.of(neuron, s, into, values, learned) for s in into if s.projection is p]
    return found


def measure_inputs(
    graded: dict[str, dict[str, Any]],
    messages: dict[str, Messages],
    synapses: tuple[Synapses, ...],
    coded: Coded,
    calibration: Calibration,
) -> None:
    """Add to ``graded`` what sending inputs as messages costs a population on calibration data, JSON-ready.

    Args:
        graded: an entry for each graded input, by name; changed in place.
        messages: how each graded input is sent, by name.
        synapses: the population's projections, in float.
        coded: the population's codes.
        calibration: what the model does on calibration data.
    """
    gains = coded.plan.channel_gain
    for s, projection in zip(synapses, coded.projections, strict=True):
        name = s.projection.source
        if name not in messages or coded.plan.codes_per_volt is None:
            continue
        sent, values = messages[name], calibration.inputs[name]
        entry = graded.setdefault(
            name,
            {
                "rung": "input",
                "message_bits": sent.bits,
                "scale": sent.scale,
                "full": sent.full if np.isfinite(sent.full) else None,
                "expected": list(sent.payload),
                "is_exact": sent.is_exact,
                "populations": {},
            },
        )
        entry["populations"][coded.population.name] = {
            "loss": loss_of_codes(values, sent.scale, s, projection, coded.plan.codes_per_volt, gains),
            "bits": projection.weight_bits,
            "bits_kept": bits_kept(projection),
        }


def _spikes_only(name: str, target: LoihiTarget) -> DeployError:
    able = [name for name in target_names() if load_target(name).formats()["message_bits_max"]]
    return LackingError(
        f"input {name!r} holds values other than 0 and 1, but {target.title} takes spikes only",
        where="--calibrate",
        fix="Let the host run the layers up to the first spikes (--host auto), encode the input as spikes (--encode"
        f" rate or latency), or use --target {' or '.join(able)}, which takes graded input.",
    )


def float_parts(
    population: Population,
    network: Network,
    target: LoihiTarget,
    messages: dict[str, Messages],
    calibration: Calibration | None,
    delays: dict[Projection, int],
) -> tuple[AffineNeuron, tuple[Synapses, ...]]:
    """Return a population in the chip's form, and all that flows into it, in float.

    Args:
        population: the float neurons.
        network: the model that they are of.
        target: the chip.
        messages: how each graded input is sent, by name.
        calibration: what the model does on calibration data, or None.
        delays: hardware steps of each projection.
    """
    formats = target.number_formats.values()
    sends = any(p.source == population.name for p in network.projections)
    into = network.into(population.name)
    folded = [fold(p, network.shapes[p.source]) for p in into]
    bias = sum((f.bias for f in folded), start=np.zeros(population.shape))
    neuron = affine_neuron(population, bias, target, sends)
    with np.errstate(over="ignore"):
        gain = neuron.gain.reshape(population.shape).astype(np.float32)
    if not np.isfinite(gain).all():
        raise DeployError(
            f"{population.name!r} multiplies its input by {neuron.gain.max():.3g}, which float32 cannot hold",
            where=f"node {population.name!r}",
            fix="Make r and w_in smaller, and the weights before the node larger by the same factor.",
        )
    synapses = []
    for p in into:
        payload, message_bits, scale = _payload(p, network, messages, formats)
        shape = network.shapes[p.source]
        in_volts = folded.pop(0).scaled(gain, shape)
        measured = None
        if p.source in messages and calibration is not None:
            measured = measured_swing(calibration.inputs[p.source], in_volts, shape)
        scaled = in_volts.scaled(np.ones_like(gain), shape, 1.0 / scale)
        synapses.append(Synapses(p, scaled, delays[p], shape, payload, message_bits, measured))
    return neuron, tuple(synapses)


def _payload(
    projection: Projection, network: Network, messages: dict[str, Messages], formats: dict[str, int]
) -> tuple[tuple[float, float], int, float]:
    """Return what one spike of a projection's source carries at least and at most, in how many bits, in which scale."""
    if projection.source in network.inputs:
        if (sent := messages.get(projection.source)) is not None:
            return sent.payload, sent.bits, sent.scale
        return (0, 1), 0, 1.0
    rule = network.population(projection.source).rule
    if rule.max_spikes == 1:
        return (0, 1), 0, 1.0
    return (0, rule.max_spikes or ASSUMED_MAX_SPIKES), formats["message_bits_max"], 1.0
