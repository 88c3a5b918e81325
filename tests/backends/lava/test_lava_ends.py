"""However a run on Lava ends, it leaves no process, no shared memory and no file."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends.lava.backend import Job, Lava, run_worker
from neurodeploy.backends.session import interrupts_held
from neurodeploy.errors import BackendError
from neurodeploy.families.program_file import save_program
from neurodeploy.ir.program import Program
from neurodeploy.ir.run_options import RunOptions
from tests.backends.processes import PROC, members, needs_proc, processes, sessions_begun_by, wait_for

LONG = np.zeros((50_000, 1, 2), np.uint8)

pytestmark = needs_proc


def shared_memory_of(session: int) -> set[str]:
    found: set[str] = set()
    for pid in members(session):
        with suppress(OSError):
            found.update(re.findall(r"/dev/shm/psm_\w+", (PROC / str(pid) / "maps").read_text()))
    return found


def test_interrupt_leaves_no_process(lava: Lava, chain: Program) -> None:
    sessions: set[int] = set()

    def interrupt(done: int, total: int) -> None:
        sessions.update(sessions_begun_by(os.getpid()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lava.run(chain, {"in": LONG}, RunOptions(progress=interrupt))
    assert sessions
    assert not [pid for session in sessions for pid in members(session)]


def test_time_limit_ends_the_run_and_all_its_processes(
    lava: Lava, chain: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers: list[subprocess.Popen[bytes]] = []

    class Remembered(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            workers.append(self)

    monkeypatch.setattr(subprocess, "Popen", Remembered)
    start = time.monotonic()
    with pytest.raises(BackendError, match=r"its time limit of 3 s had passed\n  where: time_limit"):
        lava.run(chain, {"in": LONG}, RunOptions(time_limit=3))
    assert time.monotonic() - start < 10
    assert workers
    assert not [pid for worker in workers for pid in members(worker.pid)]


def test_time_limit_holds_before_the_first_step_too(lava: Lava, chain: Program) -> None:
    before = sessions_begun_by(os.getpid())
    with pytest.raises(BackendError, match=r"before its first step: its time limit of 0\.3 s had passed"):
        lava.run(chain, {"in": LONG}, RunOptions(time_limit=0.3))
    assert sessions_begun_by(os.getpid()) == before


def test_death_of_the_worker_itself_ends_all(lava: Lava, chain: Program) -> None:
    sessions: set[int] = set()

    def kill_first(done: int, total: int) -> None:
        sessions.update(sessions_begun_by(os.getpid()))
        for session in sessions:
            os.kill(session, signal.SIGKILL)

    with pytest.raises(BackendError, match="Lava died with signal SIGKILL"):
        lava.run(chain, {"in": LONG}, RunOptions(progress=kill_first))
    assert sessions
    assert not [pid for session in sessions for pid in members(session)]


def test_death_of_one_of_lavas_processes_ends_the_run(lava: Lava, chain: Program) -> None:
    killed: list[int] = []

    def kill_one(done: int, total: int) -> None:
        if killed:  # a second line of progress may be on its way
            return
        (session,) = sessions_begun_by(os.getpid())
        forked = [p for p, parent, s in processes() if parent == session and s == session]
        victims = [p for p in forked if b"resource_tracker" not in (PROC / str(p) / "cmdline").read_bytes()]
        killed.append(victims[-1])
        os.kill(victims[-1], signal.SIGKILL)

    with pytest.raises(BackendError, match=r"a process of the simulator ended early, with signal SIGKILL") as caught:
        lava.run(chain, {"in": LONG}, RunOptions(progress=kill_one))
    assert caught.value.exit_code == 3
    assert "memory" in caught.value.fix


HOST = (
    "import sys, numpy as np; from pathlib import Path; from neurodeploy.families.program_file import load_program;"
    "from neurodeploy.backends.base import RunOptions; from neurodeploy.backends.lava.backend import Lava;"
    "told = lambda done, total: print(done, flush=True);"
    "data = {'in': np.zeros((50000, 1, 2), np.uint8)};"
    "Lava().run(load_program(Path(sys.argv[1])), data, RunOptions(progress=told))"
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_host_leaves_no_process_no_shared_memory_and_no_file(
    number: signal.Signals, lava: Lava, chain: Program, tmp_path: Path
) -> None:
    save_program(chain, tmp_path / "program.npz")
    with subprocess.Popen(
        [sys.executable, "-c", HOST, str(tmp_path / "program.npz")],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as host:
        assert host.stdout
        assert host.stdout.readline()
        (session,) = sessions_begun_by(host.pid)
        segments = shared_memory_of(session)
        host.send_signal(number)
    assert segments
    assert wait_for(lambda: not members(session)), [(PROC / str(p) / "cmdline").read_bytes() for p in members(session)]
    assert not [segment for segment in segments if Path(segment).exists()]
    assert [path.name for path in tmp_path.iterdir()] == ["program.npz"]


def test_host_killed_while_lava_starts_leaves_no_process_and_no_file(
    lava: Lava, chain: Program, tmp_path: Path
) -> None:
    save_program(chain, tmp_path / "program.npz")
    command = [sys.executable, "-c", HOST, str(tmp_path / "program.npz")]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(tmp_path)}
    ) as host:  # fmt: skip
        (session,) = wait_for(lambda: sessions_begun_by(host.pid))
        host.kill()
    assert wait_for(lambda: not members(session))
    assert wait_for(lambda: [path.name for path in tmp_path.iterdir()] == ["program.npz"])


@pytest.mark.parametrize("n_processes", [1, 6])
def test_ctrl_c_of_a_command_ends_all_its_processes(
    n_processes: int, lava: Lava, chain: Program, tmp_path: Path
) -> None:
    save_program(chain, tmp_path / "program.npz")
    np.savez(tmp_path / "data.npz", x=LONG)
    arguments = [str(tmp_path / "program.npz"), "--backend", "lava", "--input", str(tmp_path / "data.npz")]
    with subprocess.Popen(
        [sys.executable, "-m", "neurodeploy", "run", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as command:
        (session,) = wait_for(lambda: sessions_begun_by(command.pid))
        assert wait_for(lambda: len(members(session)) >= n_processes)
        segments = shared_memory_of(session)
        command.send_signal(signal.SIGINT)
        _, stderr = command.communicate(timeout=30)
    assert command.returncode == 130
    assert "Traceback" not in stderr
    assert wait_for(lambda: not members(session))
    assert not [segment for segment in segments if Path(segment).exists()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.npz", "program.npz"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
@pytest.mark.parametrize("worker_too", [True, False])
def test_host_killed_with_its_worker_leaves_no_process_no_shared_memory_and_no_file(
    number: signal.Signals, worker_too: bool, lava: Lava, chain: Program, tmp_path: Path
) -> None:
    save_program(chain, tmp_path / "program.npz")
    with subprocess.Popen(
        [sys.executable, "-c", HOST, str(tmp_path / "program.npz")],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as host:
        assert host.stdout
        assert host.stdout.readline()
        (session,) = sessions_begun_by(host.pid)
        segments = shared_memory_of(session)
        host.send_signal(number)
        if worker_too:
            os.kill(session, signal.SIGKILL)
    assert segments
    assert wait_for(lambda: not members(session))
    assert wait_for(lambda: not any(Path(segment).exists() for segment in segments))
    assert [path.name for path in tmp_path.iterdir()] == ["program.npz"]


def test_a_stopped_worker_is_ended_with_its_shared_memory(lava: Lava, chain: Program) -> None:
    segments: set[str] = set()

    def stop(done: int, total: int) -> None:
        (session,) = sessions_begun_by(os.getpid())
        segments.update(shared_memory_of(session))
        os.kill(session, signal.SIGSTOP)

    with pytest.raises(BackendError, match="its time limit of 8 s had passed"):
        lava.run(chain, {"in": LONG}, RunOptions(time_limit=8, progress=stop))
    assert segments
    assert wait_for(lambda: not any(Path(segment).exists() for segment in segments))


def test_ctrl_c_waits_for_a_place_where_it_does_no_harm() -> None:
    passed = []

    def interrupted(asks: bool) -> None:
        with interrupts_held() as raise_interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)
            passed.append("held")
            if asks:
                raise_interrupt()
            passed.append("to the end")

    with pytest.raises(KeyboardInterrupt):
        interrupted(asks=True)
    assert passed == ["held"]
    with pytest.raises(KeyboardInterrupt):
        interrupted(asks=False)
    assert passed == ["held", "held", "to the end"]


@pytest.mark.parametrize("what", ["TemporaryDirectory", "mkstemp"])
def test_a_full_temporary_folder_is_named(what: str, chain: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, what, full)
    with pytest.raises(BackendError, match=r"temporary folder: (?s:.*)No space left on device(?s:.*)TMPDIR"):
        run_worker(Path(sys.executable), Job(chain, {}, (), RunOptions()))


def test_a_folder_that_is_full_for_the_worker_is_named(chain: Program, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text("raise OSError(28, 'No space left on device')")
    with pytest.raises(BackendError, match=r"Lava died(?s:.*)No space left on device(?s:.*)TMPDIR"):
        run_worker(Path(sys.executable), Job(chain, {}, (), RunOptions()), tmp_path / "worker.py")


def test_a_worker_that_says_much_is_not_held_up(chain: Program, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text("import sys; sys.stderr.write('x' * 3_000_000 + '\\nthe end'); sys.exit(3)")
    with pytest.raises(BackendError, match=r"exit code 3(?s:.*)the end"):
        run_worker(Path(sys.executable), Job(chain, {}, (), RunOptions()), tmp_path / "worker.py")
