"""Run a program on Intel's Lava simulator, which lives in a Python and a process session of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neurodeploy.backends.base import Backend, expect, meta_of, refuse_unrecorded
from neurodeploy.backends.host import spike_inputs
from neurodeploy.backends.lava.install import INSTALL, SIMULATOR, lava_python
from neurodeploy.backends.lava.process_names import process_of
from neurodeploy.backends.session import Task, run_session
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.families.loihi.arithmetic import LAVA, find_arithmetic
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.program import LoihiProgram, loihi_program, program_faults
from neurodeploy.families.program_file import save_program
from neurodeploy.files import read_npz, to_json, write_npz, write_text
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.needs import can, refuse_missing
from neurodeploy.ir.program import Program, refuse_faults
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions, model_rows
from neurodeploy.ir.run_options import observables as observed
from neurodeploy.ir.synapses import Shape

OBSERVABLES = ("spikes", "v", "u")

WORKER = Path(__file__).with_name("worker.py")

MODULES = ("families.loihi.arithmetic", "families.loihi.step", "backends.lava.processes")
"""Files of the package that the worker loads, in this order; none needs another but those before it, and NumPy."""

CONV_SUM_BITS = 24
"""Width, with the sign, of what leaves Lava's Conv; all other sums have the 32 bits of our own."""


class Lava(Backend):
    """Intel's simulator of Loihi, on the same program as the emulator; always in ``lava`` arithmetic."""

    name = "lava"
    families = ("loihi",)
    is_slow = True
    can_be_ended = True
    exact_in = LAVA.name

    def missing(self) -> str | None:
        """Return None if Lava can run here, else what is missing and how to get it."""
        return SIMULATOR.missing()

    def run(self, subject: Program, inputs: Inputs, options: RunOptions) -> Recording:
        """Run a program on spikes, or on whole numbers where its inputs are graded.

        Args:
            subject: program of either arithmetic; Lava computes its own.
            inputs: for each input ``[T, B, *shape]``.
            options: what to record. Without a time limit a run is ended when it makes no progress for minutes.

        Returns:
            Spikes uint8 (int32 where graded; ``value``, which is v, where the node does not fire), v and u int32, of
            the recorded nodes ``[T, B, *shape]``.

        Raises:
            DeployError: Lava cannot run this program, or not without a change.
            BackendError: Lava is missing, died or took too long.
        """
        expect(Program, subject, self.name)
        program = loihi_program(subject, "Lava")
        check_options(options)
        nodes = options.recorded(tuple(program.latency), program.nodes)
        spikes = spike_inputs(program, inputs)
        check_program(program, spikes)
        n_steps = len(next(iter(spikes.values())))
        arrays, versions = run_worker(_python(), Job(program, spikes, nodes, options))
        recorded = {
            node: {
                key: model_rows(arrays[f"{node}/{key}"], program.latency[node], n_steps, options.raw_time)
                for key in observables(program.population(node), options.observed(node))
            }
            for node in nodes
        }
        return Recording(recorded, meta_of(self.name, program, LAVA.name, options, versions))


@dataclass(frozen=True, eq=False, slots=True)
class Job:
    """The worker's job."""

    program: LoihiProgram
    spikes: Inputs
    nodes: tuple[str, ...]
    options: RunOptions


def check_options(options: RunOptions) -> None:
    """Refuse what Lava does not compute or record.

    Raises:
        DeployError: another arithmetic, or an unknown observable.
    """
    if options.arithmetic is not None and find_arithmetic(options.arithmetic) is not LAVA:
        raise DeployError(
            f"Lava computes in its own arithmetic only, not in {options.arithmetic!r}",
            where="--arithmetic",
            fix="Leave --arithmetic out, or choose --backend emulator, which has both arithmetics.",
        )
    refuse_unrecorded(options.record, OBSERVABLES, "Lava")


def observables(population: LoihiPopulation, record: tuple[str, ...]) -> dict[str, str]:
    """Return what is recorded of a population, with the type; always its ``value`` if it does not fire."""
    keys = observed(record, population.model.fires)
    return {key: "uint8" if key == "spikes" and not population.is_graded else "int32" for key in keys}


CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""What the worker computes of all that programs can need, see :mod:`neurodeploy.ir.needs`; the host has run before."""


def check_program(program: LoihiProgram, inputs: Inputs | None = None) -> None:
    """Refuse a program that makes Lava hang, or that it would change in silence.

    Args:
        program: the program.
        inputs: the spikes and payloads that will enter; without them, graded inputs are taken to use all their bits.

    Raises:
        DeployError: it names all that is wrong.
    """
    refuse_missing(program.parts, CAN, "Lava's worker")
    empty = [f"{population.name}: it has no neurons" for population in program.populations if not population.size]
    sums = [
        fault
        for projection in program.projections
        if projection.is_conv
        for fault in _conv_faults(projection, *_payloads(program, projection.source, inputs or {}))
    ]
    fix = "Compile it again for a target with Loihi's number formats, or run it on --backend emulator."
    refuse_faults(program_faults(program) + empty + sums, program, "Lava", fix)


def _payloads(program: LoihiProgram, source: str, inputs: Inputs) -> tuple[int, int]:
    """Return the smallest and largest payload that a source sends.

    Counts are taken for 1: how far they rise depends on the run, so the worker watches the sums that they make.
    """
    if source not in program.inputs:
        return (-1 if program.population(source).threshold_low_code is not None else 0), 1
    if source not in program.message_bits:
        return 0, 1
    if source in inputs:
        return int(inputs[source].min(initial=0)), int(inputs[source].max(initial=0))
    limit: int = 1 << (program.message_bits[source] - 1)
    return -limit, limit - 1


def _conv_faults(projection: CodedProjection, smallest: int, largest: int) -> list[str]:
    """Return whether a convolution's inputs may sum to more than what Lava's Conv holds, which would wrap."""
    if not projection.weight.size or projection.exponent < 0:
        return []
    negative, positive = projection.row_sums()
    low = int((negative * largest + positive * smallest).min()) << projection.exponent
    high = int((positive * largest + negative * smallest).max()) << projection.exponent
    limit: int = 1 << (CONV_SUM_BITS - 1)
    if -limit <= low and high < limit:
        return []
    return [f"{projection.name}: inputs may sum to {low} to {high}, but Lava's Conv holds only {CONV_SUM_BITS} bits"]


def patience(program: Program) -> float:
    """Return seconds without progress after which Lava has surely hung: a hundred times what it takes, and more.

    Measured with lava-nc 0.10.0 on two cores: 0.2 s to start each process, 10 ns for each multiplication in a step;
    the worker reports at least every fourth step.
    """
    shapes = program.shapes
    products = sum(_products(projection, shapes[projection.source]) for projection in program.projections)
    n_processes = len(program.inputs) + len(program.populations) + len(program.projections)
    return 120 + 2 * n_processes + 4e-6 * products


def _products(projection: CodedProjection, shape: Shape) -> int:
    if projection.is_conv:
        return projection.weight.size * prod(projection.output_shape(shape)[1:])
    return projection.weight.size * projection.delay


def run_worker(python: Path, job: Job, worker: Path = WORKER) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Run the worker in a session of its own; on any failure nothing of it is left behind.

    Args:
        python: interpreter with Lava.
        job: what to run.
        worker: the script that runs it there.

    Returns:
        Arrays ``<node>/<observable>`` ``[T_hw, B, *shape]``, a row for each hardware step, and versions by package.

    Raises:
        BackendError: the worker died, or took longer than the time limit.
    """
    options = job.options
    task = Task(worker, partial(_write_request, job=job), patience(job.program), options.time_limit, options.progress)
    arrays = run_session(SIMULATOR, python, task, lambda folder: read_npz(folder / "output.npz", "what Lava recorded"))
    meta = json.loads(str(arrays.pop("meta")[()]))
    return arrays, meta["versions"]


def _write_request(folder: Path, job: Job) -> None:
    save_program(replace(job.program, host=None), folder / "program.npz")
    write_npz(folder / "inputs.npz", job.spikes)
    files = {name: str(folder / f"{name}.npz") for name in ("program", "inputs", "output")}
    nodes = {
        population.name: {
            "process": process_of(population),
            "observables": observables(
                population, job.options.observed(population.name) if population.name in job.nodes else ()
            ),
        }
        for population in job.program.populations
    }
    package = Path(__file__).parents[2]
    modules = [(f"{package.name}.{name}", f"{package.joinpath(*name.split('.'))}.py") for name in MODULES]
    write_text(folder / "request.json", to_json({**files, "nodes": nodes, "modules": modules}))


def _python() -> Path:
    python = lava_python()
    if python is None:
        raise BackendError("Lava is not installed", where="--backend lava", fix=f"{INSTALL}.")
    return python
