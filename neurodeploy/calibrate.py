"""What the float model does on calibration data, population by population, for quantisation to meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.base import Inputs, RunOptions
from neurodeploy.codes import CodedPopulation, CodedProjection
from neurodeploy.network import Network, Projection
from neurodeploy.program import Program
from neurodeploy.quantise.calibration import Drive
from neurodeploy.recording import Recording


@dataclass(frozen=True, eq=False, slots=True)
class Calibration:
    """Calibration data, and what the float model sends on it.

    inputs: ``[T, B, *shape]`` by input. recording: of the reference, all populations.
    """

    network: Network
    inputs: Inputs
    recording: Recording

    def drive(self, name: str, input_scale: float) -> Drive:
        """Return a population alone, given what its sources sent; graded inputs in units of their payload."""
        into = self.network.into(name)
        spikes = tuple(self._arriving(projection, input_scale) for projection in into)

        def emulate(population: CodedPopulation, projections: tuple[CodedProjection, ...]) -> NDArray[Any]:
            return _emulate_alone(population, projections, spikes)

        observed = self.recording.nodes[name]
        return Drive(spikes, observed["spikes"] if "spikes" in observed else observed["value"], emulate)

    def _arriving(self, projection: Projection, input_scale: float) -> NDArray[Any]:
        """Return a source's spikes in the rows in which they act."""
        if projection.source in self.inputs:
            values = self.inputs[projection.source]
            values = values if input_scale == 1 and values.dtype.kind in "bui" else np.rint(values * input_scale)
        else:
            values = self.recording.spikes(projection.source)
        if projection.delay == 0:
            return values
        late = np.zeros_like(values)
        late[projection.delay :] = values[: -projection.delay]
        return late


def run_reference(network: Network, inputs: Inputs) -> Calibration:
    """Run the float model on calibration data.

    Raises:
        DeployError: the data does not fit the model.
        BackendError: torch is missing.
    """
    from neurodeploy.backends.reference.backend import Reference

    return Calibration(network, inputs, Reference().run(network, inputs, RunOptions()))


def _emulate_alone(
    population: CodedPopulation, projections: tuple[CodedProjection, ...], spikes: tuple[NDArray[Any], ...]
) -> NDArray[Any]:
    """Run one population on the emulator, each projection from an input of its own, a step after it sends."""
    from neurodeploy.backends.emulator.backend import Emulator

    names = [f"input {i}" for i in range(len(projections))]
    graded = {name: p.message_bits for name, p in zip(names, projections, strict=True) if p.message_bits}
    program = Program(
        "calibration",
        "loihi",
        {name: values.shape[2:] for name, values in zip(names, spikes, strict=True)},
        (replace(population, latency=1),),
        tuple(replace(p, source=name, delay=1) for name, p in zip(names, projections, strict=True)),
        (population.name,),
        1.0,
        "",
        {},
        message_bits=graded,
    )
    inputs = dict(zip(names, spikes, strict=True))
    observed = Emulator().run(program, inputs, RunOptions(counters=False)).nodes[population.name]
    return observed["spikes"] if "spikes" in observed else observed["value"]
