"""Run a program on Intel's Lava simulator, which lives in a Python and a process session of its own."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neurodeploy.backends.base import (
    Backend,
    Inputs,
    RunOptions,
    expect,
    model_rows,
    refuse_faults,
    register_units,
    spike_inputs,
)
from neurodeploy.backends.base import observables as observed
from neurodeploy.backends.lava.install import ENV_PYTHON, INSTALL, lava_python
from neurodeploy.errors import BackendError, DeployError, known
from neurodeploy.families.loihi.arithmetic import LAVA, find_arithmetic
from neurodeploy.files import read_npz, to_json, write_npz, write_text
from neurodeploy.ir.codes import CodedPopulation, CodedProjection
from neurodeploy.ir.needs import can, refuse_missing
from neurodeploy.ir.program import Program, save_program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.synapses import Shape
from neurodeploy.version import __version__

OBSERVABLES = ("spikes", "v", "u")

WORKER = Path(__file__).with_name("worker.py")
GUARD = Path(__file__).with_name("guard.py")

ERRORS_KEPT = 2**20
"""Bytes of the worker's standard error that are kept, the last ones."""

LAST_WAIT = 10.0
"""Seconds that a worker which was killed may take to vanish; one that the kernel holds is left to it."""

CONV_SUM_BITS = 24
"""Width, with the sign, of what leaves Lava's Conv; all other sums have the 32 bits of our own."""

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TMPDIR": "."}
"""Lava runs a process for each part of a net, which is parallel enough. Its sockets go into the worker's own folder,
and by a relative path, because the path of a socket may have some hundred bytes only."""


class Lava(Backend):
    """Intel's simulator of Loihi, on the same program as the emulator; always in ``lava`` arithmetic."""

    name = "lava"
    is_slow = True
    can_be_ended = True
    exact_in = LAVA.name

    def missing(self) -> str | None:
        """Return None if Lava can run here, else what is missing and how to get it."""
        if os.name != "posix":
            return "Lava needs Linux or macOS."
        try:
            return None if lava_python() else f"Lava is not installed. {INSTALL}."
        except BackendError as error:
            return f"{error.what} ({error.where}). {error.fix}"

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
        program = subject
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
        return Recording(recorded, _meta(program, versions, options))


@dataclass(frozen=True, eq=False, slots=True)
class Job:
    """The worker's job."""

    program: Program
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
    if unknown := set(options.record) - set(OBSERVABLES):
        raise DeployError(
            f"Lava cannot record {known(unknown)}", where="--record", fix=f"Choose from {known(OBSERVABLES)}."
        )


def observables(population: CodedPopulation, record: tuple[str, ...]) -> dict[str, str]:
    """Return what is recorded of a population, with the type; always its ``value`` if it does not fire."""
    keys = observed(record, population.model.fires)
    return {key: "uint8" if key == "spikes" and not population.is_graded else "int32" for key in keys}


CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""What the worker computes of all that programs can need, see :mod:`neurodeploy.ir.needs`; the host has run before."""


def check_program(program: Program, inputs: Inputs | None = None) -> None:
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
    refuse_faults(program.faults() + empty + sums, program, "Lava", fix)


def _payloads(program: Program, source: str, inputs: Inputs) -> tuple[int, int]:
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
    with _interrupts_held() as raise_interrupt, _filled_folder(job, worker) as folder:
        script, request = str(folder / "code" / "worker.py"), str(folder / "request.json")
        process = subprocess.Popen(
            [str(python), "-I", str(GUARD), str(python), script, request],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,
        )
        errors = bytearray()
        try:
            _follow(process, job, errors, raise_interrupt)
        finally:
            _end_session(process, errors)
        if process.returncode != 0 or not (folder / "output.npz").is_file():
            raise _died(process.returncode, errors.decode(errors="replace"))
        arrays = read_npz(folder / "output.npz", "what Lava recorded")
    meta = json.loads(str(arrays.pop("meta")[()]))
    return arrays, meta["versions"]


@contextmanager
def _interrupts_held() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C wait until the function that is yielded is called, or until the context ends.

    Raised anywhere, it can leave the lock of :class:`subprocess.Popen` taken, for which its ``wait`` then waits.
    """
    held: list[int] = []

    def raise_held() -> None:
        if held:
            held.clear()
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    usual = signal.getsignal(signal.SIGINT)
    if not is_main or not callable(usual):
        yield raise_held
        return
    signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield raise_held
    finally:
        signal.signal(signal.SIGINT, usual)
    raise_held()


@contextmanager
def _filled_folder(job: Job, worker: Path) -> Iterator[Path]:
    """Yield a temporary folder with all that the worker is given.

    Raises:
        BackendError: there is no room for it.
    """
    try:
        holder = tempfile.TemporaryDirectory(prefix="nd-lava-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_room(error.strerror or str(error)) from error
    with holder as name:
        folder = Path(name)
        try:
            _write_request(folder, job)
            # It has a folder to itself because Lava imports all modules that lie beside the one it is started from.
            shutil.copy(worker, folder / "code" / "worker.py")
        except OSError as error:
            raise _no_room(error.strerror or str(error)) from error
        except DeployError as error:
            raise _no_room(error.what) from error
        yield folder


def _no_room(reason: str) -> BackendError:
    return BackendError(
        f"what Lava is given cannot be written to the temporary folder: {reason}",
        where=tempfile.tempdir or "temporary folder",
        fix="Free some room there, or let TMPDIR name a folder with more room.",
    )


def _write_request(folder: Path, job: Job) -> None:
    (folder / "code").mkdir()
    save_program(replace(job.program, host=None), folder / "program.npz")
    write_npz(folder / "inputs.npz", job.spikes)
    files = {name: str(folder / f"{name}.npz") for name in ("program", "inputs", "output")}
    nodes = {
        population.name: {
            "process": population.process,
            "observables": observables(
                population, job.options.observed(population.name) if population.name in job.nodes else ()
            ),
        }
        for population in job.program.populations
    }
    write_text(folder / "request.json", to_json({**files, "nodes": nodes}))


def _follow(process: subprocess.Popen[bytes], job: Job, errors: bytearray, raise_interrupt: Callable[[], None]) -> None:
    """Pass progress on, and collect the last of what the worker says on standard error, until it ends.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
        BackendError: the time limit has passed, or there is none and the worker has made no progress for long.
    """
    assert process.stdout is not None and process.stderr is not None
    output, spoken = process.stdout.fileno(), process.stderr.fileno()
    open_ones = [output, spoken]
    limit = job.options.time_limit
    allowed = patience(job.program) if limit is None else limit
    deadline, pending, reached = time.monotonic() + allowed, b"", "before its first step"
    while process.poll() is None:
        raise_interrupt()
        if (remaining := deadline - time.monotonic()) <= 0:
            raise _overdue(limit, allowed, reached)
        ready = select.select(open_ones, [], [], min(remaining, 0.1))[0]
        if spoken in ready and not _collect(spoken, errors):
            open_ones.remove(spoken)
        if output not in ready:
            continue
        if not (chunk := os.read(output, 1 << 16)):
            open_ones.remove(output)
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            done, total = json.loads(line)["progress"]
            reached = f"at step {done} of {total}"
            if limit is None:
                deadline = time.monotonic() + allowed
            if job.options.progress is not None:
                job.options.progress(done, total)


def _collect(descriptor: int, errors: bytearray) -> bool:
    """Add what is there to read, and keep the last of it; False at its end."""
    chunk = os.read(descriptor, 1 << 16)
    errors += chunk
    del errors[:-ERRORS_KEPT]
    return bool(chunk)


def _overdue(limit: float | None, allowed: float, reached: str) -> BackendError:
    if limit is None:
        return BackendError(
            f"Lava was ended {reached}: it had made no progress for {allowed:.0f} s",
            where="Lava's worker process",
            fix="It may have hung, or the machine is very busy: try again, or set --time-limit to wait longer.",
        )
    return BackendError(
        f"Lava was ended {reached}: its time limit of {limit:g} s had passed",
        where="--time-limit",
        fix="Allow more seconds, or give it fewer samples or steps (--lava-samples in compare).",
    )


def _end_session(process: subprocess.Popen[bytes], errors: bytearray) -> None:
    """End whatever is left of the worker's session, and collect what it said last.

    SIGTERM goes first because the tracker that frees shared memory outlives it, and goes when all others have gone;
    SIGCONT with it because who is stopped would not end.
    """
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    with suppress(BrokenPipeError):
        os.write(process.stdin.fileno(), b".")  # the guard need not tidy up
    while select.select([process.stderr], [], [], 0)[0] and _collect(process.stderr.fileno(), errors):
        pass
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    ended_well = process.poll() == 0
    for number, grace in ((signal.SIGTERM, 0.0),) if ended_well else ((signal.SIGTERM, 3.0), (signal.SIGKILL, 0.0)):
        deadline = time.monotonic() + grace
        # PermissionError is how macOS says that only dead ones are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
            os.killpg(process.pid, signal.SIGCONT)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.01)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=LAST_WAIT)


def _died(returncode: int, stderr: str) -> BackendError:
    """Return the error that says why the worker died, in its own words."""
    ending = f"exit code {returncode}" if returncode >= 0 else f"signal {signal.Signals(-returncode).name}"
    cause = find_cause(stderr)
    fix = "Report it with the program if the codes are in range; --backend emulator runs the same program."
    if "SIGBUS" in cause or "No space left" in cause:
        fix = "Shared memory or the temporary folder is full: enlarge /dev/shm, or set TMPDIR to a larger folder."
    elif "SIGKILL" in cause or "MemoryError" in cause:
        fix = "It ran out of memory, it seems: give it fewer samples, or record fewer nodes and states."
    elif "ModuleNotFoundError" in cause or "ImportError" in cause:
        fix = f"{INSTALL}, or name a Python that has lava-nc 0.10 in {ENV_PYTHON}."
    return BackendError(f"Lava died with {ending}: {cause}", where="Lava's worker process", fix=fix)


def find_cause(stderr: str) -> str:
    """Return the lines of a worker's standard error that say why it died.

    That is the first error that ends a traceback, with the place where it arose, unless it only points to another;
    else the last three lines.
    """
    lines = [line.rstrip() for line in stderr.splitlines() if line.strip() and "resource_tracker" not in line]
    for index, line in enumerate(lines):
        if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b", line) and "See output above" not in line:
            places = [place.strip() for place in lines[:index] if place.lstrip().startswith('File "')]
            place = re.sub(r'File ".*[/\\]([^/\\"]+)"', r"\1", places[-1]) if places else ""
            return f"{line} ({place})" if place else line
    return " | ".join(lines[-3:]) or "it left no message"


def _python() -> Path:
    python = lava_python()
    if python is None:
        raise BackendError("Lava is not installed", where="--backend lava", fix=f"{INSTALL}.")
    return python


def _meta(program: Program, versions: dict[str, str], options: RunOptions) -> dict[str, Any]:
    return {
        "backend": Lava.name,
        "versions": {**versions, "neurodeploy": __version__},
        "target": program.target,
        "arithmetic": LAVA.name,
        "latency": program.latency,
        "units": register_units(program),
        "outputs": list(program.outputs),
        "model_sha256": program.provenance.get("model_sha256", ""),
        "dialect": program.dialect,
        "dt": program.dt,
        "raw_time": options.raw_time,
        "custom_neurons": [p.name for p in program.populations if p.process == "custom"],
    }
