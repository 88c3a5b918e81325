"""Run a simulator's worker in a process session of its own; however it ends, nothing of it is left behind."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from neurodeploy.backends.simulator import Simulator
from neurodeploy.errors import BackendError, DeployError

GUARD = Path(__file__).with_name("guard.py")

ERRORS_KEPT = 2**20
"""Bytes of the worker's standard error that are kept, the last ones."""

LAST_WAIT = 10.0
"""Seconds that a worker which was killed may take to vanish; one that the kernel holds is left to it."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False, slots=True)
class Task:
    """What a worker is given, and how long it may take.

    script: Python file that runs alone; its one argument is the path of ``request.json`` in a folder of its own.
    fill: writes that file, and whatever else the worker reads, into the folder.
    patience: seconds without progress after which it has surely hung, where there is no time limit.
    time_limit: seconds, or None.
    progress: told of steps done and steps in all, as the worker writes them: ``{"progress": [done, total]}``, a line
        each on standard output.
    """

    script: Path
    fill: Callable[[Path], None]
    patience: float
    time_limit: float | None = None
    progress: Callable[[int, int], None] | None = None


def run_session(simulator: Simulator, python: Path, task: Task, read: Callable[[Path], T]) -> T:
    """Run a worker in a session of its own; on any failure nothing of it is left behind.

    Args:
        simulator: whose worker it is.
        python: interpreter with the simulator.
        task: what to run.
        read: returns what the worker left in the folder, which must hold an ``output`` file of any kind.

    Returns:
        What ``read`` returns.

    Raises:
        BackendError: the worker died, or took longer than the time limit.
    """
    with interrupts_held() as raise_interrupt, _filled_folder(simulator, task) as folder:
        script, request = str(folder / "code" / "worker.py"), str(folder / "request.json")
        process = subprocess.Popen(
            [str(python), "-I", str(GUARD), str(python), script, request],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**os.environ, **simulator.environment},
            start_new_session=True,
        )
        errors = bytearray()
        try:
            _follow(simulator, process, task, errors, raise_interrupt)
        finally:
            _end_session(process, errors)
        if process.returncode != 0 or not any(folder.glob("output.*")):
            raise _died(simulator, process.returncode, errors.decode(errors="replace"))
        return read(folder)


@contextmanager
def interrupts_held() -> Iterator[Callable[[], None]]:
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
def _filled_folder(simulator: Simulator, task: Task) -> Iterator[Path]:
    """Yield a temporary folder with all that the worker is given.

    Raises:
        BackendError: there is no room for it.
    """
    try:
        holder = tempfile.TemporaryDirectory(prefix=f"nd-{simulator.command}-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_room(simulator, error.strerror or str(error)) from error
    with holder as name:
        folder = Path(name)
        try:
            (folder / "code").mkdir()
            task.fill(folder)
            # It has a folder to itself because Lava imports all modules that lie beside the one it is started from.
            shutil.copy(task.script, folder / "code" / "worker.py")
        except OSError as error:
            raise _no_room(simulator, error.strerror or str(error)) from error
        except DeployError as error:
            raise _no_room(simulator, error.what) from error
        yield folder


def _no_room(simulator: Simulator, reason: str) -> BackendError:
    return BackendError(
        f"what {simulator.name} is given cannot be written to the temporary folder: {reason}",
        where=tempfile.tempdir or "temporary folder",
        fix="Free some room there, or let TMPDIR name a folder with more room.",
    )


def _follow(
    simulator: Simulator,
    process: subprocess.Popen[bytes],
    task: Task,
    errors: bytearray,
    raise_interrupt: Callable[[], None],
) -> None:
    """Pass progress on, and collect the last of what the worker says on standard error, until it ends.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
        BackendError: the time limit has passed, or there is none and the worker has made no progress for long.
    """
    assert process.stdout is not None and process.stderr is not None
    output, spoken = process.stdout.fileno(), process.stderr.fileno()
    open_ones = [output, spoken]
    limit = task.time_limit
    allowed = task.patience if limit is None else limit
    deadline, pending, reached = time.monotonic() + allowed, b"", "before its first step"
    while process.poll() is None:
        raise_interrupt()
        if (remaining := deadline - time.monotonic()) <= 0:
            raise _overdue(simulator, limit, allowed, reached)
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
            if task.progress is not None:
                task.progress(done, total)


def _collect(descriptor: int, errors: bytearray) -> bool:
    """Add what is there to read, and keep the last of it; False at its end."""
    chunk = os.read(descriptor, 1 << 16)
    errors += chunk
    del errors[:-ERRORS_KEPT]
    return bool(chunk)


def _overdue(simulator: Simulator, limit: float | None, allowed: float, reached: str) -> BackendError:
    if limit is None:
        return BackendError(
            f"{simulator.name} was ended {reached}: it had made no progress for {allowed:.0f} s",
            where=f"{simulator.name}'s worker process",
            fix="It may have hung, or the machine is very busy: try again, or set --time-limit to wait longer.",
        )
    return BackendError(
        f"{simulator.name} was ended {reached}: its time limit of {limit:g} s had passed",
        where="--time-limit",
        fix=f"Allow more seconds, or {simulator.lighten}.",
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


def _died(simulator: Simulator, returncode: int, stderr: str) -> BackendError:
    """Return the error that says why the worker died, in its own words."""
    ending = f"exit code {returncode}" if returncode >= 0 else f"signal {signal.Signals(-returncode).name}"
    cause = find_cause(stderr)
    fix = simulator.report
    if "SIGBUS" in cause or "No space left" in cause:
        fix = "Shared memory or the temporary folder is full: enlarge /dev/shm, or set TMPDIR to a larger folder."
    elif "SIGKILL" in cause or "MemoryError" in cause:
        fix = "It ran out of memory, it seems: give it fewer samples, or record fewer nodes and states."
    elif "ModuleNotFoundError" in cause or "ImportError" in cause:
        fix = f"{simulator.how_to_install}, or name a Python that has {simulator.requires} in {simulator.variable}."
    return BackendError(
        f"{simulator.name} died with {ending}: {cause}", where=f"{simulator.name}'s worker process", fix=fix
    )


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
