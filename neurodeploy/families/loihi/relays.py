"""Relays, which send on what they receive, so that a spike can take longer than a connection's longest delay.

They are neurons without memory; they count in energy and size, and are not recorded unless they are asked for.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.bias_source import without_memory
from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel
from neurodeploy.families.loihi.program import LoihiProgram
from neurodeploy.ir.codes import CodedProjection

COUNTS = NeuronModel(max_spikes=None, reset_interval=1, spike=">=")
"""A neuron that sends a payload on: one threshold of v is one unit of it."""


def with_relays(program: LoihiProgram, delay_max: int) -> LoihiProgram:
    """Return the program with relays where a delay is longer than connections have.

    Args:
        program: with delays of any length.
        delay_max: the most steps that a connection can add to its own.

    Raises:
        DeployError: what would have to be relayed can be negative, or the chip has no neuron that sends it on.
    """
    longest = delay_max + 1
    relays: dict[str, LoihiPopulation] = {}
    links: list[CodedProjection] = []
    projections = []
    for projection in program.projections:
        source, left = projection.source, projection.delay
        while left > longest:
            source, left = _relayed(program, projection, source, longest, relays, links), left - longest
        projections.append(projection if left == projection.delay else replace(projection, source=source, delay=left))
    if not relays:
        return program
    taken = (*program.populations, *relays.values())
    return replace(program, populations=taken, projections=(*projections, *links))


def relay_warnings(program: LoihiProgram) -> list[str]:
    """Return a sentence for each population that helps."""
    return [
        f"{p.name}: {p.size} {_neurons(p.size)} that the model does not have; {p.helps}"
        for p in program.populations
        if p.helps
    ]


def _neurons(n: int) -> str:
    return "neuron" if n == 1 else "neurons"


def _relayed(
    program: LoihiProgram,
    projection: CodedProjection,
    source: str,
    steps: int,
    relays: dict[str, LoihiPopulation],
    links: list[CodedProjection],
) -> str:
    """Return the relay that sends what ``source`` sends ``steps`` later; it is made where there is none yet."""
    name = f"{source} ({steps} steps later)"
    if name in relays:
        return name
    before = relays.get(source)
    shape = program.shapes[source] if before is None else before.shape
    latency = program.latency.get(source, 0) if before is None else before.latency
    bits, size = projection.message_bits, prod(shape)
    model = _relay_model(program, projection) if bits else NeuronModel()
    helps = f"passes on what {projection.source} sends, because no connection of the chip has so long a delay"
    relays[name] = without_memory(name, shape, latency + steps, helps, threshold=1, model=model)
    arrays: dict[str, Any] = {"indices": np.arange(size, dtype=np.int32), "indptr": np.arange(size + 1)}
    weight = np.full(size, 1 if bits else 2)
    links.append(
        CodedProjection(source, name, weight, 0, 8, "excitatory", steps, n_out=size, message_bits=bits, **arrays)
    )
    return name


def _relay_model(program: LoihiProgram, projection: CodedProjection) -> NeuronModel:
    """Return a neuron that sends payloads on.

    Raises:
        DeployError: they can be negative.
    """
    name = projection.source
    if name in program.inputs or program.population(name).threshold_low_code is not None:
        raise DeployError(
            f"{projection.name} would need a delay of {projection.delay - 1} steps, but what {name} sends can be below"
            " 0, which relays cannot pass on",
            where=projection.name,
            fix="Shorten the longer of the two paths that meet there.",
        )
    return COUNTS
