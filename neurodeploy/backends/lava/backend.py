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
import time
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arithmetic import LAVA, find_arithmetic
from neurodeploy.backends.base import Inputs, RunOptions, expect, model_rows, spike_inputs
from neurodeploy.backends.lava.install import ENV_PYTHON, INSTALL, lava_python
from neurodeploy.codes import CodedProjection
from neurodeploy.errors import BackendError, DeployError, known
from neurodeploy.files import read_npz, to_json, write_npz, write_text
from neurodeploy.program import Program, save_program
from neurodeploy.recording import Recording
from neurodeploy.synapses import Shape
from neurodeploy.version import __version__

OBSERVABLES = ("spikes", "v", "u")

DENSE_SUM_BITS, CONV_SUM_BITS = 32, 24
"""Width of a summed input, with the sign: of Lava's channels, and of what leaves its Conv."""

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TMPDIR": "."}
"""Lava runs a process for each part of a net, which is parallel enough. Its sockets go into the worker's own folder,
and by a relative path, because the path of a socket may have some hundred bytes only."""


class Lava:
    """Intel's simulator of Loihi, on the same program as the emulator; always in ``lava`` arithmetic."""

    name = "lava"

    def missing(self) -> str | None:
        """Return None if Lava can run here, else what is missing and how to get it."""
        if os.name != "posix":
            return "Lava needs Linux or macOS."
        try:
            return None if lava_python() else f"Lava is not installed. {INSTALL}."
        except BackendError as error:
            return f"{error.what} ({error.where}). {error.fix}"

    def run(self, subject: Program, inputs: Inputs, options: RunOptions) -> Recording:
        """Run a program on spikes.

        Args:
            subject: program of either arithmetic; Lava computes its own.
            inputs: for each input 0 or 1, ``[T, B, *shape]``.
            options: what to record. Without a time limit a run is ended when it makes no progress for minutes.

        Returns:
            Spikes uint8, v and u int32, of the recorded nodes ``[T, B, *shape]``.

        Raises:
            DeployError: Lava cannot run this program, or not as it stands.
            BackendError: Lava is missing, died or took too long.
        """
        expect(Program, subject, self.name)
        program = subject
        check_options(options)
        check_program(program)
        nodes = options.recorded(tuple(population.name for population in program.populations))
        spikes = spike_inputs(program, inputs)
        n_steps = len(next(iter(spikes.values())))
        arrays, versions = run_worker(_python(), Job(program, spikes, nodes, options))
        recorded = {
            node: {
                key: model_rows(arrays[f"{node}/{key}"], program.latency[node], n_steps, options.raw_time)
                for key in options.record
            }
            for node in nodes
        }
        return Recording(recorded, _meta(program, versions, options))


@dataclass(frozen=True, eq=False, slots=True)
class Job:
    """What the worker is given."""

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
            f"Lava computes in its own arithmetic, not in {options.arithmetic!r}",
            where="--arithmetic",
            fix="Leave the option out, or choose --backend emulator, which has both.",
        )
    if unknown := set(options.record) - set(OBSERVABLES):
        raise DeployError(
            f"Lava cannot record {known(unknown)}", where="--record", fix=f"Choose from {known(OBSERVABLES)}."
        )


def check_program(program: Program) -> None:
    """Refuse a program that makes Lava hang, or that it would change in silence.

    Raises:
        DeployError: it names all that is wrong.
    """
    faults = program.faults() + [fault for projection in program.projections for fault in _sum_faults(projection)]
    if faults:
        raise DeployError(
            "Lava cannot run this program as it stands: " + "; ".join(faults),
            where=f"program for target {program.target}",
            fix="Compile it again for a target with Loihi's number formats, or run it on --backend emulator.",
        )


def _sum_faults(projection: CodedProjection) -> list[str]:
    """Return whether inputs may sum to more than what Lava's channels, or its Conv, hold."""
    if not projection.weight.size:
        return []
    bits = CONV_SUM_BITS if projection.is_conv else DENSE_SUM_BITS
    largest = _largest_sum(projection.weight.astype(np.int64)) * 2.0**projection.exponent
    if largest < 2.0 ** (bits - 1):
        return []
    return [f"{projection.name}: inputs may sum to {largest:.0f}, Lava's sums have {bits} bits"]


def _largest_sum(weight: NDArray[np.int64]) -> int:
    """Return the largest size of an input, when just the spikes of one sign arrive."""
    rows = weight.reshape(len(weight), -1)
    return int(max(rows.clip(min=0).sum(1).max(), -rows.clip(max=0).sum(1).min()))


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


def run_worker(python: Path, job: Job) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Run the worker in a session of its own; on any failure nothing of it is left behind.

    Args:
        python: interpreter with Lava.
        job: what to run.

    Returns:
        Arrays ``<node>/<observable>`` ``[T_hw, B, *shape]``, a row for each hardware step, and versions by package.

    Raises:
        BackendError: the worker died, or took longer than the time limit.
    """
    with tempfile.TemporaryDirectory(prefix="nd-lava-") as name:
        folder = Path(name)
        _write_request(folder, job)
        # The copy has a folder to itself because Lava imports all modules that lie beside the one it is started from.
        worker = shutil.copy(Path(__file__).with_name("worker.py"), folder / "code" / "worker.py")
        with open(folder / "stderr", "wb") as errors:
            process = subprocess.Popen(
                [str(python), "-I", str(worker), str(folder / "request.json")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,
            )
        try:
            _follow(process, job)
        finally:
            _end_session(process)
        if process.returncode != 0 or not (folder / "output.npz").is_file():
            raise _died(process.returncode, (folder / "stderr").read_text(errors="replace"))
        arrays = read_npz(folder / "output.npz", "what Lava recorded")
    meta = json.loads(str(arrays.pop("meta")[()]))
    return arrays, meta["versions"]


def _write_request(folder: Path, job: Job) -> None:
    (folder / "code").mkdir()
    save_program(job.program, folder / "program.npz")
    write_npz(folder / "inputs.npz", job.spikes)
    files = {name: str(folder / f"{name}.npz") for name in ("program", "inputs", "output")}
    files["folder"] = str(folder)
    write_text(folder / "request.json", to_json({**files, "nodes": job.nodes, "observables": job.options.record}))


def _follow(process: subprocess.Popen[bytes], job: Job) -> None:
    """Pass progress on until the worker ends.

    Raises:
        BackendError: the time limit has passed, or there is none and the worker has made no progress for long.
    """
    stream: IO[bytes] = process.stdout  # type: ignore[assignment]
    limit = job.options.time_limit
    allowed = patience(job.program) if limit is None else limit
    deadline, pending, reached = time.monotonic() + allowed, b"", "before its first step"
    while process.poll() is None:
        if (remaining := deadline - time.monotonic()) <= 0:
            raise _overdue(limit, allowed, reached)
        if not select.select([stream], [], [], min(remaining, 0.1))[0]:
            continue
        *lines, pending = (pending + os.read(stream.fileno(), 1 << 16)).split(b"\n")
        for line in lines:
            done, total = json.loads(line)["progress"]
            reached = f"at step {done} of {total}"
            if limit is None:
                deadline = time.monotonic() + allowed
            if job.options.progress is not None:
                job.options.progress(done, total)


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


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the worker's session.

    SIGTERM goes first because the tracker that frees shared memory outlives it, and goes when all others have gone.
    """
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    ended_well = process.poll() == 0
    for number, grace in ((signal.SIGTERM, 0.0),) if ended_well else ((signal.SIGTERM, 3.0), (signal.SIGKILL, 0.0)):
        deadline = time.monotonic() + grace
        # PermissionError is how macOS says that only dead ones are left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
            while time.monotonic() < deadline:
                process.poll()
                os.killpg(process.pid, 0)
                time.sleep(0.01)
    process.wait()


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
        "outputs": list(program.outputs),
        "model_sha256": program.provenance.get("model_sha256", ""),
        "dialect": program.dialect,
        "dt": program.dt,
        "raw_time": options.raw_time,
    }
