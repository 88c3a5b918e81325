"""However a run on XyloSim ends, it leaves no process and no file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.xylosim import simulate
from neurodeploy.errors import BackendError
from tests.backends.processes import members, needs_proc, sessions_begun_by, wait_for
from tests.families.xylo.configurations import Case, draw

pytestmark = [
    needs_proc,
    pytest.mark.usefixtures("xylosim"),
    pytest.mark.timeout(900),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of the run."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def endless() -> Case:
    """A run of minutes."""
    case = draw(1)
    return Case(case.seed, case.kind, case.codes, np.ones((3_000_000, 1, case.codes.n_in), np.uint8))


def test_time_limit_ends_the_run(folder: Path, endless: Case) -> None:
    sessions: set[int] = set()
    start = time.monotonic()
    with pytest.raises(BackendError, match=r"XyloSim was ended .*: its time limit of 5 s had passed"):
        simulate.run(
            endless.codes,
            endless.inputs,
            time_limit=5,
            progress=lambda *_: sessions.update(sessions_begun_by(os.getpid())),
        )
    assert time.monotonic() - start < 60
    assert sessions and not [pid for session in sessions for pid in members(session)]
    assert not list(folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_death_of_the_worker_is_named(number: signal.Signals, folder: Path, endless: Case) -> None:
    sessions: set[int] = set()

    def kill(done: int, total: int) -> None:
        sessions.update(sessions_begun_by(os.getpid()))
        for session in sessions:
            os.kill(session, number)

    with pytest.raises(BackendError, match=f"XyloSim died with signal {number.name}"):
        simulate.run(endless.codes, endless.inputs, progress=kill)
    assert sessions and not [pid for session in sessions for pid in members(session)]
    assert not list(folder.iterdir())


def test_interrupt_leaves_nothing(folder: Path, endless: Case) -> None:
    sessions: set[int] = set()

    def interrupt(done: int, total: int) -> None:
        sessions.update(sessions_begun_by(os.getpid()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate.run(endless.codes, endless.inputs, progress=interrupt)
    assert sessions and not [pid for session in sessions for pid in members(session)]
    assert not list(folder.iterdir())


HOST = """
import numpy as np
from neurodeploy.backends.xylosim import simulate
from tests.families.xylo.configurations import draw
codes = draw(1).codes
simulate.run(codes, np.ones((3_000_000, 1, codes.n_in), np.uint8), progress=lambda *_: print("on", flush=True))
"""


@pytest.mark.parametrize("worker_too", [False, True])
def test_killed_host_leaves_nothing(worker_too: bool, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", HOST], env=environment, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None and host.stdout.readline() == b"on\n"
        (session,) = sessions_begun_by(host.pid)
        assert list(tmp_path.iterdir())
        host.kill()
        if worker_too:
            os.kill(session, signal.SIGKILL)
    assert wait_for(lambda: not members(session), 60)
    assert wait_for(lambda: not list(tmp_path.iterdir()), 60)
