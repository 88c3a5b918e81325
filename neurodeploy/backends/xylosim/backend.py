"""SynSense's own simulator of Xylo, on the same program as the emulator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from neurodeploy.backends.base import Backend, expect, meta_of, refuse_other_families, refuse_unrecorded
from neurodeploy.backends.host import spike_inputs
from neurodeploy.backends.xylosim.install import SIMULATOR
from neurodeploy.backends.xylosim.simulate import run
from neurodeploy.errors import DeployError
from neurodeploy.families.xylo.emulate import laid_out, recorded
from neurodeploy.families.xylo.population import XyloProgram
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions

ARITHMETIC = "xylo"
OBSERVABLES = ("spikes", "v", "u")


class XyloSim(Backend):
    """SynSense's simulator of Xylo, of which they say that it is bit-precise."""

    name = "xylosim"
    families = ("xylo",)
    is_slow = True
    can_be_ended = True
    exact_in = ARITHMETIC

    def missing(self) -> str | None:
        """Return None if XyloSim can run here, else what is missing and how to get it."""
        return SIMULATOR.missing()

    def run(self, subject: Program, inputs: Inputs, options: RunOptions) -> Recording:
        """Run a program on counts of spikes.

        Args:
            subject: program for a Xylo.
            inputs: for each input ``[T, B, *shape]``, whole numbers from 0 to 15.
            options: what to record. Without a time limit a run is ended when it makes no progress for minutes.

        Returns:
            Spikes int32 of hidden neurons and uint8 of outputs (``value``, which is v, where the node does not fire),
            v and u, the current, int32, of the recorded nodes ``[T, B, *shape]``.

        Raises:
            DeployError: the program is for another chip family, an option is unknown, or an input is no such number.
            BackendError: XyloSim is missing, died or took too long.
        """
        expect(Program, subject, self.name)
        program = xylo_program(self, subject)
        _check_options(options)
        spikes = spike_inputs(program, inputs)
        layout, counts = laid_out(program, spikes)
        found = run(layout.codes, counts, options.time_limit, options.progress)
        emulated = recorded(program, layout, found, counts, replace(options, counters=False))
        n_steps = len(next(iter(spikes.values())))
        meta = meta_of(self.name, program, ARITHMETIC, options, {"xylosim": SIMULATOR.version()})
        return emulated.recording(program, n_steps, meta, options.raw_time)


def xylo_program(backend: Backend, program: Program[Any]) -> XyloProgram:
    """Return a program for a Xylo; DeployError where it is for another family."""
    refuse_other_families(backend, program)
    return program


def _check_options(options: RunOptions) -> None:
    """Refuse what XyloSim does not compute or record; DeployError if there is any."""
    if options.arithmetic not in (None, ARITHMETIC):
        raise DeployError(
            f"XyloSim computes as the chip only, not in {options.arithmetic!r}",
            where="--arithmetic",
            fix="Leave --arithmetic out.",
        )
    refuse_unrecorded(options.record, OBSERVABLES, "XyloSim")
