"""Inputs as they enter the chip: the model's own, or what layers on the host make of them in float."""

from __future__ import annotations

from neurodeploy.coding.inputs import chip_inputs
from neurodeploy.families import find_family
from neurodeploy.ir.host import entering
from neurodeploy.ir.network import Network
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions


def spike_inputs(program: Program, inputs: Inputs) -> Inputs:
    """Return inputs as a program takes them: uint8 spikes, or int32 payloads where an input is graded.

    Where the host runs the first layers, they are run on the model's inputs.

    Raises:
        DeployError: an input does not fit, is not 0 or 1 throughout, or has values that its payload cannot hold.
    """
    if program.host is not None:
        inputs = entering(program.host, program.inputs, inputs, run_float)
    find_family(program.family).check_inputs(inputs)
    return chip_inputs(program, inputs)


def run_float(network: Network, inputs: Inputs, options: RunOptions | None = None) -> Recording:
    """Run a network in float, as the reference does.

    Args:
        network: the model.
        inputs: ``[T, B, *shape]`` for each input.
        options: what to record, and how to run; spikes of all nodes where None.

    Raises:
        DeployError: the data does not fit the model.
        BackendError: torch is missing.
    """
    from neurodeploy.backends.reference.backend import Reference

    return Reference().run(network, inputs, options or RunOptions())
