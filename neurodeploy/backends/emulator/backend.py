"""The fixed-point emulator: a chip family's integers to the bit, parallel over samples."""

from __future__ import annotations

from neurodeploy.backends.base import Backend, expect, meta_of
from neurodeploy.backends.host import spike_inputs
from neurodeploy.families import find_family
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions


class Emulator(Backend):
    """Runs a program bit by bit, as its family's definition says; see :mod:`neurodeploy.families`."""

    name = "emulator"
    counts = True

    def missing(self) -> str | None:
        """Return None: the emulator needs nothing beyond neurodeploy itself."""
        return None

    def run(self, subject: Program, inputs: Inputs, options: RunOptions) -> Recording:
        """Run a program.

        Args:
            subject: the program.
            inputs: spikes, ``[T, B, *shape]`` for each input.
            options: what to record, and in which arithmetic.

        Returns:
            Spikes uint8, u and v int32, counters int64 ``[T, B, nodes]`` in the rows of each node.

        Raises:
            DeployError: inputs do not fit or are no spikes, a name is unknown, or the program has numbers that the
                emulator cannot hold.
        """
        expect(Program, subject, self.name)
        spikes = spike_inputs(subject, inputs)
        family, arithmetic = find_family(subject.family), options.arithmetic or subject.arithmetic
        family.check_arithmetic(arithmetic)
        meta = meta_of(self.name, subject, arithmetic, options, {}) | {"counter_nodes": list(subject.latency)}
        emulated = family.emulate(subject, spikes, options)
        n_steps = len(next(iter(spikes.values())))
        return emulated.recording(subject, n_steps, meta, options.raw_time)
