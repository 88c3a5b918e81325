from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy
from neurodeploy.backends.base import RunOptions
from neurodeploy.backends.lava.backend import Job, Lava, check_program, find_cause, patience, run_worker
from neurodeploy.backends.lava.install import lava_python
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.program import Program, save_program
from neurodeploy.recording import Recording, load_recording, save_recording

PROC = Path("/proc")
LONG = np.zeros((50_000, 1, 2), np.uint8)

needs_proc = pytest.mark.skipif(not PROC.is_dir(), reason="this test looks for processes in /proc, which is not here")


def processes() -> list[tuple[int, int, int]]:
    """Return (pid, parent, session) of all that live."""
    found = []
    for path in PROC.glob("[0-9]*/stat"):
        try:
            state, parent, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if state not in "ZX":
            found.append((int(path.parent.name), int(parent), int(session)))
    return found


def sessions_begun_by(parent: int) -> set[int]:
    return {pid for pid, its_parent, session in processes() if its_parent == parent and session == pid}


def members(session: int) -> list[int]:
    return [pid for pid, _, its_session in processes() if its_session == session]


def shared_memory_of(session: int) -> set[str]:
    maps = "".join((PROC / str(pid) / "maps").read_text() for pid in members(session))
    return set(re.findall(r"/dev/shm/psm_\w+", maps))


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return value


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    return (np.random.default_rng(3).random((12, 2, 2)) < 0.5).astype(np.uint8)


@pytest.fixture(scope="module")
def seen() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def recording(lava: Lava, chain: Program, spikes: np.ndarray, seen: list[tuple[int, int]]) -> Recording:
    options = RunOptions(record=("spikes", "v"), progress=lambda done, total: seen.append((done, total)))
    return lava.run(chain, {"in": spikes}, options)


def test_rows_are_the_models_own(recording: Recording, chain: Program, spikes: np.ndarray, replayed: Any) -> None:
    raw = replayed(chain, {"in": spikes})
    assert raw["first/spikes"].any()
    for node, latency in chain.latency.items():
        for key in ("spikes", "v"):
            np.testing.assert_array_equal(recording.nodes[node][key], raw[f"{node}/{key}"][latency : latency + 12])


def test_spikes_and_states_have_their_types(recording: Recording) -> None:
    types = {key: values.dtype for key, values in recording.nodes["first"].items()}
    assert types == {"spikes": np.uint8, "v": np.int32}


def test_recording_says_where_it_comes_from(recording: Recording) -> None:
    versions = recording.meta.pop("versions")
    assert set(versions) == {"lava-nc", "numpy", "python", "neurodeploy"}
    assert versions["python"].startswith("3.10.")
    assert versions["neurodeploy"] == neurodeploy.__version__
    assert recording.meta == {
        "backend": "lava",
        "target": "loihi2",
        "arithmetic": "lava",
        "latency": {"first": 1, "last": 2},
        "outputs": ["last"],
        "model_sha256": "",
        "dialect": "nir",
        "dt": 1e-3,
        "raw_time": False,
    }


def test_recording_survives_its_file(recording: Recording, tmp_path: Path) -> None:
    save_recording(recording, tmp_path / "run.npz")
    np.testing.assert_array_equal(load_recording(tmp_path / "run.npz").spikes("last"), recording.spikes("last"))


def test_progress_ends_with_all_steps(recording: Recording, seen: list[tuple[int, int]]) -> None:
    assert seen == sorted(seen)
    assert seen[-1] == (28, 28)


def test_raw_time_keeps_all_rows_of_the_named_node(lava: Lava, chain: Program, spikes: np.ndarray) -> None:
    recording = lava.run(chain, {"in": spikes}, RunOptions(nodes=("last",), raw_time=True))
    assert {node: values["spikes"].shape for node, values in recording.nodes.items()} == {"last": (14, 2, 1)}


@needs_proc
def test_interrupt_leaves_no_process(lava: Lava, chain: Program) -> None:
    sessions: set[int] = set()

    def interrupt(done: int, total: int) -> None:
        sessions.update(sessions_begun_by(os.getpid()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lava.run(chain, {"in": LONG}, RunOptions(progress=interrupt))
    assert sessions
    assert not [pid for session in sessions for pid in members(session)]


@needs_proc
def test_time_limit_ends_the_run_and_all_its_processes(lava: Lava, chain: Program) -> None:
    before = sessions_begun_by(os.getpid())
    start = time.monotonic()
    with pytest.raises(BackendError, match=r"its time limit of 0\.7 s had passed\n  where: --time-limit"):
        lava.run(chain, {"in": LONG}, RunOptions(time_limit=0.7))
    assert time.monotonic() - start < 6
    assert sessions_begun_by(os.getpid()) == before


@needs_proc
def test_death_of_one_of_lavas_processes_ends_the_run(lava: Lava, chain: Program) -> None:
    def kill_one(done: int, total: int) -> None:
        (session,) = sessions_begun_by(os.getpid())
        forked = [p for p, parent, s in processes() if parent == session and s == session]
        victims = [p for p in forked if b"resource_tracker" not in (PROC / str(p) / "cmdline").read_bytes()]
        os.kill(victims[-1], signal.SIGKILL)

    with pytest.raises(BackendError, match=r"a process of the simulator ended early, with signal SIGKILL") as caught:
        lava.run(chain, {"in": LONG}, RunOptions(progress=kill_one))
    assert caught.value.exit_code == 3
    assert "memory" in caught.value.fix


def test_error_inside_lava_is_quoted_and_does_not_hang(lava: Lava, chain: Program, spikes: np.ndarray) -> None:
    slow = replace(chain, projections=(replace(chain.projections[0], delay=65), chain.projections[1]))
    python = lava_python()
    assert python
    with pytest.raises(BackendError, match=r"DelayDense Process 'delays' expects values between 0 and 63.*models\.py"):
        run_worker(python, Job(slow, {"in": spikes}, ("last",), RunOptions()))


@needs_proc
def test_killed_host_leaves_no_process_no_shared_memory_and_no_file(lava: Lava, chain: Program, tmp_path: Path) -> None:
    save_program(chain, tmp_path / "program.npz")
    script = (
        "import sys, numpy as np; from pathlib import Path; from neurodeploy.program import load_program;"
        "from neurodeploy.backends.base import RunOptions; from neurodeploy.backends.lava.backend import Lava;"
        "told = lambda done, total: print(done, flush=True);"
        "data = {'in': np.zeros((50000, 1, 2), np.uint8)};"
        "Lava().run(load_program(Path(sys.argv[1])), data, RunOptions(progress=told))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "program.npz")],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as host:
        assert host.stdout
        assert host.stdout.readline()
        (session,) = sessions_begun_by(host.pid)
        segments = shared_memory_of(session)
        host.kill()
    assert segments
    assert wait_for(lambda: not members(session)), [(PROC / str(p) / "cmdline").read_bytes() for p in members(session)]
    assert not [segment for segment in segments if Path(segment).exists()]
    assert [path.name for path in tmp_path.iterdir()] == ["program.npz"]


def test_torch_is_never_loaded() -> None:
    script = "import sys, neurodeploy.backends.lava.backend; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_other_arithmetic_is_refused(chain: Program, spikes: np.ndarray) -> None:
    with pytest.raises(DeployError, match="Lava computes in its own arithmetic, not in 'loihi'"):
        Lava().run(chain, {"in": spikes}, RunOptions(arithmetic="loihi"))


def test_unknown_observable_is_refused(chain: Program, spikes: np.ndarray) -> None:
    with pytest.raises(DeployError, match=r"Lava cannot record value\n.*\n.*spikes, u, v"):
        Lava().run(chain, {"in": spikes}, RunOptions(record=("spikes", "value")))


def test_all_codes_out_of_range_are_named_at_once(population: Any, projection: Any, program_of: Any) -> None:
    conv = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    faulty = program_of(
        {"in": (2, 3, 3)},
        [
            population(
                "p", (4,), du=4096, dv=-1, threshold_code=1 << 17, bias_mantissa=4096, bias_exponent=8, v_init=1 << 23
            )
        ],
        [
            projection("in", "p", np.full((4, 18), 3), delay=65),
            projection("in", "p", np.full((4, 18), -256), sign_mode="inhibitory", weight_bits=9),
            projection("in", "p", np.full((1, 2, 2, 2), 254), exponent=-1, **conv),
            projection("in", "p", np.full((1, 2, 2, 2), 254), exponent=13, **conv),
        ],
    )
    with pytest.raises(DeployError) as caught:
        check_program(faulty)
    for fault in (
        "p: du is 4096 to 4096, registers hold 0 to 4095",
        "p: dv is -1 to -1",
        "p: threshold_code is 131072 to 131072",
        "p: bias_mantissa is 4096",
        "p: bias_exponent is 8, it is a whole number from 0 to 7",
        "p: v_init is 8388608",
        "in -> p: weights are no multiples of 2, to which 8 bits truncate them",
        "in -> p: delay is 65, it is a whole number from 1 to 63",
        "in -> p: weights are -256 to -256, inhibitory ones are -255 to 0",
        "in -> p: weight_bits is 9, it is a whole number from 1 to 8",
        "in -> p: exponent is -1, it is a whole number from 0 to 7",
        "in -> p: inputs may sum to 16646144, Lava's sums have 24 bits",
    ):
        assert fault in caught.value.what


def test_patience_grows_with_the_program(population: Any, projection: Any, program_of: Any) -> None:
    small, large = (
        program_of({"in": (n,)}, [population("p", (n,))], [projection("in", "p", np.zeros((n, n)))]) for n in (2, 4000)
    )
    assert 120 < patience(small) < patience(large) < 600


def test_cause_is_the_first_error_and_its_place() -> None:
    stderr = (
        "UserWarning: never mind\nTraceback (most recent call last):\n"
        '  File "/x/lava/proc/dense/models.py", line 7, in run_spk\n    raise\nValueError: too long\n'
        "Traceback (most recent call last):\n"
        "RuntimeError: 1 Exception(s) occurred. See output above for details.\n"
    )
    assert find_cause(stderr) == "ValueError: too long (models.py, line 7, in run_spk)"


def test_cause_without_an_error_is_the_last_words() -> None:
    assert find_cause("one\ntwo\n\nthree\nfour\n") == "two | three | four"


def test_cause_skips_an_error_that_points_to_another() -> None:
    assert find_cause("RuntimeError: 1 Exception(s) occurred. See output above\n") == (
        "RuntimeError: 1 Exception(s) occurred. See output above"
    )
