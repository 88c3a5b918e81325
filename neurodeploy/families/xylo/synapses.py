"""The float synapses of a network as Xylo has them: dense matrices, and no delays but by relays."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.families.xylo.codes import HIDDEN_MAX, INPUT_MAX
from neurodeploy.families.xylo.layout import matrix_of
from neurodeploy.families.xylo.limits import XyloChip
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.synapses import as_map
from neurodeploy.passes.fold import fold
from neurodeploy.passes.matrices import chain_matrix
from neurodeploy.passes.schedule import acts_after, schedule

INPUT_STEPS, NEURON_STEPS = 0, 1
"""From what is sent to its effect: an input acts in its own step, a spike of a hidden neuron in the next."""

INPUT_BITS, HIDDEN_BITS = INPUT_MAX.bit_length() + 1, HIDDEN_MAX.bit_length() + 1
"""Of a message that holds the spikes of a channel, or of a hidden neuron, in one step, with the sign."""

WEIGHT_BITS = 8

FAR_TOO_LARGE = 4
"""Times a chip's hidden neurons, beyond which only neurons are counted."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class DenseSynapses:
    """All synapses from one source to one target that take the same time.

    weight: float64 (n_out, n_in), V per spike, before the target's gains. bias: float64 (n_out,), V per step.
    matrix: where they lie, ``in``, ``rec`` or ``out``; where an input waits, its relays are hidden neurons.
    after: steps of the model from a spike to its effect. waits: hardware steps beyond those that the chip takes.
    """

    source: str
    target: str
    weight: Floats
    bias: Floats
    matrix: str
    after: int
    waits: int


@dataclass(frozen=True, eq=False, slots=True)
class Placed:
    """Where a network's populations lie on the chip, when their rows come, and their synapses.

    roles: ``hidden`` or ``output``, by population. latency: hardware step of row 0.
    delays: hardware steps of each projection, waiting included. waits: those beyond what the chip takes.
    into: synapses into each population, inputs first, then in the order of the hidden layer.
    """

    roles: dict[str, str]
    latency: dict[str, int]
    delays: dict[Projection, int]
    waits: dict[Projection, int]
    into: dict[str, tuple[DenseSynapses, ...]]

    @property
    def hidden(self) -> list[str]:
        """Names of the hidden populations, in the order of the hidden layer."""
        return sorted((name for name, role in self.roles.items() if role == "hidden"), key=lambda n: self.latency[n])


def place(network: Network) -> Placed:
    """Return where populations lie and how they are joined.

    The chip's outputs are fed by hidden neurons alone and feed nothing; all other populations are hidden.

    Raises:
        DeployError: a loop takes fewer steps than it has connections, or a chain becomes too many synapses.
    """
    steps = dict.fromkeys(network.shapes, NEURON_STEPS) | dict.fromkeys(network.inputs, INPUT_STEPS)
    latency, delays = schedule(network, steps)
    waits = {projection: delay - steps[projection.source] for projection, delay in delays.items()}
    role = roles(network)
    found: dict[tuple[str, str, int], DenseSynapses] = {}
    for projection, waiting in waits.items():
        part = _dense(network, projection, role[projection.target], waiting)
        key = (part.source, part.target, part.waits)
        found[key] = _sum(found[key], part) if key in found else part
    places = {name: i for i, name in enumerate((*network.inputs, *sorted(role, key=lambda n: latency[n])))}
    ordered = sorted(found.values(), key=lambda part: (places[part.source], part.waits))
    into = {name: tuple(part for part in ordered if part.target == name) for name in role}
    return Placed(role, latency, delays, waits, into)


def coded_synapses(source: str, target: str, weight: NDArray[np.int16], shift: int, is_input: bool) -> CodedProjection:
    """Return synapses as programs have them.

    Args:
        source, target: names.
        weight: codes, int16 (n_out, n_in).
        shift: of their matrix.
        is_input: whether the source is an input.
    """
    delay, bits = (INPUT_STEPS, INPUT_BITS) if is_input else (NEURON_STEPS, HIDDEN_BITS)
    return CodedProjection(source, target, weight, shift, WEIGHT_BITS, "mixed", delay, message_bits=bits)


def roles(network: Network) -> dict[str, str]:
    """Return whether each population lies in the hidden layer or among the outputs, ``hidden`` or ``output``."""
    return {p.name: _role(p.name, network) for p in network.populations}


def refuse_large(network: Network, chip: XyloChip) -> None:
    """Refuse a network of so many neurons that its matrices need not be written out to see that they do not fit.

    Raises:
        DeployError: its neurons or channels are more than ``FAR_TOO_LARGE`` times the chip's hidden neurons.
    """
    sizes = {"hidden": 0, "output": 0}
    for population in network.populations:
        sizes[_role(population.name, network)] += population.size
    used = {
        "input channels": (sum(prod(shape) for shape in network.inputs.values()), chip.inputs),
        "hidden neurons": (sizes["hidden"], chip.hidden),
        "outputs": (sizes["output"], chip.outputs),
    }
    if all(n <= FAR_TOO_LARGE * chip.hidden for n, _ in used.values()):
        return
    said = "; ".join(f"{what}: {n:,} used, {most:,} available" for what, (n, most) in used.items() if n > most)
    raise DeployError(
        f"the network does not fit {chip.title} by far: {said}; its synapses were not counted",
        where="--target",
        fix="Make the network smaller.",
    )


def _role(name: str, network: Network) -> str:
    feeds = any(p.source == name for p in network.projections)
    is_fed_outside = any(p.source in network.inputs for p in network.into(name))
    return "output" if name in network.outputs and not feeds and not is_fed_outside else "hidden"


def dense_weight(network: Network, projection: Projection) -> tuple[Floats, Floats]:
    """Return a projection's weights as one matrix (n_out, n_in), V per spike, and its bias (n_out,), V per step."""
    shape = network.shapes[projection.source]
    folded = fold(projection, shape)
    if folded.conv is not None:
        weight = chain_matrix((folded.conv,), as_map(shape), projection.name).toarray()
    else:
        weight = folded.weight.toarray() if folded.is_sparse else folded.weight
    return weight, folded.bias.ravel()


def _dense(network: Network, projection: Projection, role: str, waits: int) -> DenseSynapses:
    weight, bias = dense_weight(network, projection)
    after = acts_after(projection, network)
    matrix = matrix_of(projection.source in network.inputs and not waits, role)
    return DenseSynapses(projection.source, projection.target, weight, bias, matrix, after, waits)


def _sum(one: DenseSynapses, other: DenseSynapses) -> DenseSynapses:
    weight, bias = one.weight + other.weight, one.bias + other.bias
    return DenseSynapses(one.source, one.target, weight, bias, one.matrix, one.after, one.waits)
