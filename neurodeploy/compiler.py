"""Compile a model for a chip: quantised, scheduled, checked against what the chip holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.network import Network
from neurodeploy.passes.fold import fold
from neurodeploy.passes.schedule import schedule
from neurodeploy.program import Program
from neurodeploy.quantise.neurons import chip_neuron
from neurodeploy.quantise.population import Coded, Synapses, quantise_population
from neurodeploy.synapses import Conv1d, Conv2d, Pool2d
from neurodeploy.target import Target, load_target
from neurodeploy.version import __version__

DEFAULT_WEIGHT_BITS = 8


def compile(
    model: Path | str | Any, target: str, *, dialect: str | None = None, weight_bits: int = DEFAULT_WEIGHT_BITS
) -> Program:
    """Quantise and schedule a model for a target, with scales from the weights alone.

    Args:
        model: path of a ``.nir`` file, an in-memory ``nir.NIRGraph``, or a :class:`Network`.
        target: name of the chip.
        dialect: as given to ``--dialect``, or None.
        weight_bits: bits of each weight, with the sign where a projection has both signs.

    Returns:
        The program; its ``warnings`` say what can go wrong or could not be matched.

    Raises:
        DeployError: the model cannot be read, or the chip cannot run it.
    """
    chip = load_target(target)
    provenance: dict[str, Any] = {
        "neurodeploy": __version__,
        "weight_bits": weight_bits,
        "scales": "weights alone",
    }
    if isinstance(model, Network):
        network = model
    else:
        network, settled, graph = read_network(model, dialect)
        provenance.update(model_sha256=graph.sha256, nir=graph.version, dialect_evidence=list(settled.evidence))
    return compile_network(network, chip, weight_bits, provenance)


def compile_network(network: Network, target: Target, weight_bits: int, provenance: dict[str, Any]) -> Program:
    """Quantise and schedule a network; see :func:`compile`."""
    formats = target.number_formats.values()
    if not 1 <= weight_bits <= formats["weight_bits_max"]:
        raise DeployError(
            f"{weight_bits} bits per weight",
            where="--weight-bits",
            fix=f"{target.title} takes 1 to {formats['weight_bits_max']}.",
        )
    provenance = {**provenance, "network_sha256": network.digest()}
    latency, delays = schedule(network, formats["delay_max"])
    coded = []
    for population in network.populations:
        into = network.into(population.name)
        folded = [fold(p, network.shapes[p.source]) for p in into]
        bias = sum((f.bias for f in folded), start=np.zeros(population.shape))
        neuron = chip_neuron(population, bias, target)
        gain = neuron.gain.reshape(population.shape).astype(np.float32)
        synapses = tuple(
            Synapses(p, f.scaled(gain, network.shapes[p.source]), delays[p]) for p, f in zip(into, folded, strict=True)
        )
        coded.append(quantise_population(population, neuron, synapses, latency[population.name], formats, weight_bits))
    program = Program(
        target=target.name,
        arithmetic=target.arithmetic,
        inputs=network.inputs,
        populations=tuple(c.population for c in coded),
        projections=tuple(p for c in coded for p in c.projections),
        outputs=network.outputs,
        dt=network.dt,
        dialect=network.dialect,
        number_formats=formats,
        warnings=tuple([*_matrix_warnings(network, coded), *(warning for c in coded for warning in c.warnings)]),
        provenance=provenance,
    )
    _check_fits(program, target)
    return program


def _matrix_warnings(network: Network, coded: list[Coded]) -> list[str]:
    """Return which chains of convolutions and pools could only be written out as one matrix."""
    warnings = []
    for c in coded:
        for p, synapses in zip(network.into(c.population.name), c.projections, strict=True):
            if not synapses.is_conv and any(isinstance(op, (Conv1d, Conv2d, Pool2d)) for op in p.ops):
                chain = ", ".join(type(op).__name__ for op in p.ops)
                warnings.append(
                    f"{p.name}: {chain} became one matrix of {synapses.weight.size:,} synapses; a strided convolution"
                    " alone, or one with a pool without padding behind it, would stay a convolution"
                )
    return warnings


def _check_fits(program: Program, target: Target) -> None:
    """Refuse what is beyond the whole chip; how populations share cores is not looked at."""
    matrices = [warning for warning in program.warnings if "became one matrix" in warning]
    limits = target.limits
    neurons = sum(population.size for population in program.populations)
    synapse_bytes = sum(p.weight.size * p.weight_bits / 8 for p in program.projections)
    used = {
        "neurons": (neurons, limits.cores.value * limits.neurons_per_core.value),
        "bytes of synapses": (int(synapse_bytes), limits.cores.value * limits.synapse_bytes_per_core.value),
    }
    over = [f"{name}: {need:,} needed, {most:,} available" for name, (need, most) in used.items() if need > most]
    if over:
        raise DeployError(
            f"the network does not fit one {target.title} chip ({'; '.join(over)})",
            where="--target",
            fix=" ".join(["Use a smaller network or fewer --weight-bits.", *matrices]),
        )
