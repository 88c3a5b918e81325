"""One population alone, given what the float model's sources sent on calibration data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.calibration import Calibration
from neurodeploy.coding.inputs import chip_inputs
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.emulator.run import emulate
from neurodeploy.families.loihi.quantise.second_moments import MAX_EMULATED, IsolatedPopulation, few
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions, model_rows


def drive(calibration: Calibration, name: str, input_scale: dict[str, float]) -> IsolatedPopulation:
    """Return a population alone, given what its sources sent; graded inputs in units of their payload.

    Args:
        calibration: what the float model does on calibration data.
        name: the population's name.
        input_scale: by what the values of each graded input are multiplied, by name.
    """
    into = calibration.network.into(name)
    observed = calibration.recording.nodes[name]
    fired = observed["spikes"] if "spikes" in observed else observed["value"]
    spikes = tuple(calibration.arriving(projection, input_scale.get(projection.source)) for projection in into)
    n_samples = MAX_EMULATED // max(fired[:, 0].size + sum(values[:, 0].size for values in spikes), 1)
    driving = tuple(few(values, n_samples) for values in spikes)

    def emulate(population: LoihiPopulation, projections: tuple[CodedProjection, ...]) -> NDArray[Any]:
        return _emulate_alone(population, projections, driving)

    return IsolatedPopulation(spikes, few(fired, n_samples), emulate)


def _emulate_alone(
    population: LoihiPopulation, projections: tuple[CodedProjection, ...], spikes: tuple[NDArray[Any], ...]
) -> NDArray[Any]:
    """Run one population on the emulator, each projection from an input of its own.

    Its rows come at its own latency, for which its initial codes are made: a deep layer's bias acts before. Projections
    beyond the spikes are those of a source that is always on.
    """
    extent = next((values.shape[:2] for values in spikes), (1, 1))
    always = np.ones((*extent, 1), np.uint8)
    spikes = (*spikes, *(always for _ in projections[len(spikes) :]))
    if population.latency == 0:
        # Nothing acts in row 0, and a connection takes a step.
        spikes = tuple(np.concatenate([values[1:], np.zeros_like(values[:1])]) for values in spikes)
    names, latency = [f"input {i}" for i in range(len(projections))], max(population.latency, 1)
    graded = {name: p.message_bits for name, p in zip(names, projections, strict=True) if p.message_bits}
    program = Program(
        "calibration",
        "loihi",
        {name: values.shape[2:] for name, values in zip(names, spikes, strict=True)},
        (population,),
        tuple(replace(p, source=name, delay=latency) for name, p in zip(names, projections, strict=True)),
        (population.name,),
        1.0,
        "",
        {},
        message_bits=graded,
    )
    inputs = chip_inputs(program, dict(zip(names, spikes, strict=True)))
    observed = emulate(program, inputs, RunOptions(counters=False)).nodes[population.name]
    sent = observed["spikes"] if "spikes" in observed else observed["value"]
    return model_rows(sent, population.latency, extent[0], raw_time=False)
