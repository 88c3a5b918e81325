"""The path to a Loihi 2 board, which is not run on hardware.

Intel's package is proprietary, so the tests write a stand-in for it, which notes every call and returns made-up rows.
It proves only that our calls are the ones that public code makes, in that order, and that rows come back in their
places; whether a board does the same with them stays open. `tests/golden/loihi/protocol.jsonl` holds the calls.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.backends import load, loihi, names
from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.lava.install import lava_python
from neurodeploy.backends.loihi import NOTE, Loihi, check, clean_probe
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel
from neurodeploy.families.program_file import save_program
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import RunOptions
from tests.backends.loihi_stand_in import on_real_lava, script, standing_in
from tests.command import neurodeploy

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "loihi" / "protocol.jsonl"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that names no Loihi host."""
    for key in ("NXSDKHOST", "NOSLURM", "BOARD", "PARTITION", "LOIHI_GEN", "HOST_BINARY"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "log.jsonl"))


@pytest.fixture
def stand_in(bare: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lava and lava-loihi, and no host."""
    monkeypatch.setenv("NEURODEPLOY_LAVA_PYTHON", str(standing_in(Path(sys.executable), tmp_path)))
    return tmp_path


@pytest.fixture
def board(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that is wanted, by Ethernet."""
    monkeypatch.setenv("NXSDKHOST", "10.1.2.3")
    return stand_in


def codes(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def population(name: str, n: int, latency: int, **other: Any) -> LoihiPopulation:
    same = {key: codes(*[value] * n) for key, value in {"du": 4095, "dv": 300, "threshold_code": 150}.items()}
    zeros = {key: codes(*[0] * n) for key in ("bias_mantissa", "u_init", "v_init")}
    return LoihiPopulation(name, (n,), bias_exponent=0, latency=latency, unit=1.0, **{**same, **zeros, **other})


def projection(source: str, target: str, weight: Any, delay: int = 1) -> CodedProjection:
    return CodedProjection(source, target, np.asarray(weight, np.int16), 0, 8, "mixed", delay)


def make_program(
    populations: tuple[LoihiPopulation, ...], projections: tuple[CodedProjection, ...], **other: Any
) -> Program:
    return Program("loihi2", "loihi", {"in": (2,)}, populations, projections, ("out",), 1e-3, "nir", {}, **other)


@pytest.fixture
def program() -> Program:
    """Three neurons of which the second has a threshold of its own, and a fourth that a connection also skips to."""
    hidden = population("hid", 3, 1, threshold_code=codes(5, 9, 5), v_init=codes(0, 7, 8), bias_mantissa=codes(1, 1, 2))
    projections = (
        projection("in", "hid", [[2, 4], [6, 8], [10, 12]]),
        projection("hid", "out", [[20, 22, 24]]),
        projection("in", "out", [[30, 32]], delay=2),
    )
    return make_program((hidden, population("out", 1, 2)), projections)


@pytest.fixture
def x() -> dict[str, np.ndarray]:
    """Four rows of two samples."""
    values = np.zeros((4, 2, 2), np.uint8)
    values[0, 0, 0] = values[1, 0, 1] = values[3, 1, 1] = 1
    return {"in": values}


def calls(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def a_lava_python() -> Path:
    python = lava_python()
    if python is None:
        pytest.skip("Lava is not installed, so there is no Python 3.10 with numpy 1")
    return python


@pytest.mark.parametrize("python", [lambda: Path(sys.executable), a_lava_python], ids=["here", "python3.10"])
def test_calls_are_those_of_the_recorded_protocol(
    python: Callable[[], Path],
    bare: None,
    tmp_path: Path,
    program: Program,
    x: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NEURODEPLOY_LAVA_PYTHON", str(standing_in(python(), tmp_path)))
    monkeypatch.setenv("NXSDKHOST", "10.1.2.3")
    Loihi().run(program, x, RunOptions(record=("spikes", "v", "u")))
    golden = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    for ours, theirs in zip(calls(tmp_path), golden, strict=True):
        assert ours == theirs


def test_net_on_lavas_simulator_equals_the_emulator(
    bare: None, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same processes, with adapters that pass spikes through: groups, delays, loops, samples and rows are right."""
    monkeypatch.setenv("NEURODEPLOY_LAVA_PYTHON", str(on_real_lava(a_lava_python(), tmp_path)))
    monkeypatch.setenv("NXSDKHOST", "10.1.2.3")
    monkeypatch.setenv("STAND_IN_ROWS", "22")
    hidden = population(
        "hid", 5, 1, threshold_code=codes(80, 150, 80, 150, 80), dv=codes(300, 300, 9, 300, 300),
        du=codes(*[2000] * 5), bias_mantissa=codes(0, 200, 0, 90, 0), u_init=codes(0, -90, 7000, 0, 0),
        v_init=codes(0, 0, -4000, 500, 9000),
    )  # fmt: skip
    out = population("out", 2, 2, threshold_code=codes(60, 200))
    shapes = {"in hid 1": (5, 2), "hid hid 3": (5, 5), "hid out 1": (2, 5), "in out 2": (2, 2)}
    synapses = tuple(
        projection(source, target, 2 * rng.integers(-60, 128, shape), delay=int(delay))
        for (source, target, delay), shape in ((key.split(), shape) for key, shape in shapes.items())
    )
    program = make_program((hidden, out), synapses)
    x = {"in": (rng.random((20, 2, 2)) < 0.4).astype(np.uint8)}
    board = Loihi().run(program, x, RunOptions(record=("spikes", "v", "u")))
    emulated = Emulator().run(program, x, RunOptions(record=("spikes", "v", "u"), arithmetic="lava"))
    for node in ("hid", "out"):
        assert 0 < emulated.spikes(node).mean() < 1
        for key in ("spikes", "v", "u"):
            np.testing.assert_array_equal(board.nodes[node][key], emulated.nodes[node][key], f"{node}/{key}")


@pytest.fixture
def recording(board: Path, program: Program, x: dict[str, np.ndarray]) -> Recording:
    return Loihi().run(program, x, RunOptions(record=("v", "u"), raw_time=True))


def test_groups_come_back_in_the_nodes_order_and_without_the_refractory_counter(recording: Recording) -> None:
    t = np.arange(6)
    v = recording.nodes["hid"]["v"][:, 0]
    first, second, third = 1000 + t, 2000 + t, 1010 + t
    first[[2, 5]] = second[[2, 5]] = third[[1, 4]] = 0
    np.testing.assert_array_equal(v, np.stack([first, second, third], axis=1))


def test_samples_are_runs_of_their_own(recording: Recording, board: Path) -> None:
    done = [line[0] for line in calls(board) if line[0] in ("run", "stop")]
    assert done == ["run", "stop"] * 2
    assert recording.nodes["out"]["v"][0, :, 0].tolist() == [3000, 6000]


def test_only_what_is_asked_for_is_kept(recording: Recording) -> None:
    assert set(recording.nodes["hid"]) == {"v", "u"}
    assert {values.dtype for values in recording.nodes["hid"].values()} == {np.dtype(np.int32)}


def test_rows_are_the_models_own(board: Path, program: Program, x: dict[str, np.ndarray]) -> None:
    spikes = Loihi().run(program, x, RunOptions()).spikes("out")
    assert spikes.dtype == np.uint8
    assert spikes[:, 0, 0].tolist() == [1, 0, 0, 1]


def test_recording_says_what_was_measured_and_what_was_not(recording: Recording) -> None:
    assert NOTE in recording.meta["note"]
    assert recording.meta["versions"]["lava-loihi"] == "0.7.0"
    profile = recording.meta["profile"]
    assert len(profile) == 2
    assert profile[0]["execution_time"] == [1.5, 2.5] and profile[0]["spiking_time"] == 2.0
    assert profile[0]["absent"]["energy_probe"] == "RuntimeError: this board cannot measure energy"
    assert set(profile[0]["absent"]) == {"energy_probe", "activity"}


@pytest.mark.parametrize(
    ("environment", "call"),
    [
        ({"NXSDKHOST": "a", "HOST_BINARY": "b", "NOSLURM": "1"}, ["use_ethernet_host", "a", "b", "N3B3"]),
        ({"PARTITION": "p", "LOIHI_GEN": "N3C1", "NXSDKHOST": "a"}, ["use_slurm_host", "p", None, "N3C1"]),
        ({"BOARD": "b", "PARTITION": "p"}, ["use_slurm_host", None, "b", "N3B3"]),
    ],
)
def test_host_is_the_one_that_the_environment_names(
    environment: dict[str, str], call: list[Any], stand_in: Path, program: Program, x: Any, monkeypatch: Any
) -> None:
    script(stand_in / "bin" / "sinfo", "exit 0")
    monkeypatch.setenv("PATH", f"{stand_in}/bin:/usr/bin:/bin")
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    Loihi().run(program, x, RunOptions())
    assert calls(stand_in)[0] == call


def test_a_run_that_dies_says_why(board: Path, program: Program, x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_FAILS", "1")
    with pytest.raises(BackendError, match=r"(?s)the board did not answer.*not run on hardware"):
        Loihi().run(program, x, RunOptions())


def test_probe_is_cleaned_of_the_counter_at_spike_steps_only() -> None:
    v, spikes = np.array([128, 128, 127, 0, 256], np.int32), np.array([1, 0, 1, 1, 1], np.uint8)
    assert clean_probe(v, spikes).tolist() == [0, 128, 127, 0, 256]
    assert clean_probe(v, spikes, refractory=2).tolist() == [128, 128, 127, 0, 0]
    assert clean_probe(v, spikes).dtype == np.int32


def conv(source: str, target: str) -> CodedProjection:
    ones = np.ones((1, 2, 1, 1), np.int16) * 2
    return CodedProjection(source, target, ones, 0, 8, "mixed", 1, (1, 1), (0, 0), (1, 1), 1)


def test_what_the_chip_path_does_not_carry_is_refused_by_name(program: Program) -> None:
    _, out = program.populations
    populations = {
        "hid": (
            replace(out, name="hid", model=NeuronModel(reset="subtract")),
            r"hid has no plain LIF neurons \(reset by subtraction\)",
        ),
        "late": (
            replace(out, name="late", model=NeuronModel(reset_interval=8)),
            r"late has .* \(clearing of the registers at an interval\)",
        ),
        "silent": (
            replace(out, name="silent", model=NeuronModel(fires=False)),
            r"silent has .* \(potential that is read instead of spikes\)",
        ),
    }
    into = {name: projection("in", name, [[2, 4]]) for name in populations}
    for name, (wrong, message) in populations.items():
        with pytest.raises(DeployError, match=message):
            check(make_program((wrong, out), (into[name], projection("in", "out", [[2, 4]]))), RunOptions())
    sparse = replace(
        projection("in", "out", [[2, 4]]),
        weight=np.array([2], np.int16), n_out=1, indices=codes(0), indptr=np.array([0, 1, 1]),
    )  # fmt: skip
    with pytest.raises(DeployError, match="in -> out is a sparse projection"):
        check(make_program((out,), (sparse,)), RunOptions())
    with pytest.raises(DeployError, match=r"no projection connects other to the rest.*\n.*not run on hardware"):
        check(make_program((out, population("other", 1, 1)), (projection("in", "out", [[2, 4]]),)), RunOptions())
    image = Program("loihi2", "loihi", {"in": (2, 1, 1)}, (out,), (conv("in", "out"),), ("out",), 1e-3, "nir", {})
    with pytest.raises(DeployError, match="in -> out is a conv projection"):
        check(image, RunOptions())


def test_options_that_the_chip_does_not_have_are_refused(program: Program) -> None:
    with pytest.raises(DeployError, match="arithmetic 'lava'"):
        check(program, RunOptions(arithmetic="lava"))


def test_backend_is_known_by_name() -> None:
    assert "loihi" in names()
    assert isinstance(load("loihi"), Loihi)


def test_missing_package_is_named(bare: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = standing_in(Path(sys.executable), tmp_path)
    (tmp_path / "stand_in_packages" / "lava" / "utils" / "loihi2_profiler.py").unlink()
    monkeypatch.setenv("NEURODEPLOY_LAVA_PYTHON", str(python))
    reason = Loihi().missing() or ""
    for word in ("lava-loihi", "INRC", "NEURODEPLOY_LAVA_PYTHON", NOTE):
        assert word in reason


def test_missing_host_is_named(stand_in: Path) -> None:
    reason = Loihi().missing() or ""
    for word in ("sinfo", "NXSDKHOST", NOTE):
        assert word in reason


def test_nothing_is_missing_with_a_host(board: Path) -> None:
    assert Loihi().missing() is None


@pytest.mark.parametrize("answer", ["exit 1", "echo nonsense", "kill -9 $$"])
def test_an_interpreter_that_fails_is_no_crash(answer: str, bare: None, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("NEURODEPLOY_LAVA_PYTHON", str(script(tmp_path / "python", answer)))
    assert NOTE in (Loihi().missing() or "")


def test_an_interpreter_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loihi, "FIND_SECONDS", 0.1)
    monkeypatch.setenv("NEURODEPLOY_LAVA_PYTHON", "")
    assert not loihi._has_lava_loihi(str(script(tmp_path / "python", "exec sleep 5")))


def test_command_line_exits_with_3_and_says_what_is_missing(stand_in: Path, program: Program, x: Any) -> None:
    save_program(program, stand_in / "prog.npz")
    np.savez(stand_in / "data.npz", x=x["in"])
    done = neurodeploy("run", stand_in / "prog.npz", "--backend", "loihi", "--input", stand_in / "data.npz")
    assert done.returncode == 3
    for word in ("'loihi' cannot run here", "sinfo", "NXSDKHOST", NOTE):
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_listings_show_the_backend_and_that_no_board_has_run_it(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"loihi: ready, but {NOTE}\n" in neurodeploy("backends").stdout
    monkeypatch.delenv("NXSDKHOST")
    line = next(line for line in neurodeploy("doctor").stdout.splitlines() if "backend loihi" in line)
    assert "missing: lava-loihi is installed, but no board" in line and NOTE in line
    assert NOTE in json.loads(neurodeploy("backends", "--json").stdout)["loihi"]


def test_comparison_lists_it_as_not_run_and_refuses_it_by_name(
    bare: None, fc_model: Path, tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURODEPLOY_LAVA_PYTHON", str(script(tmp_path / "python", "exit 1")))
    np.savez(tmp_path / "data.npz", x=(rng.random((5, 2, 12)) < 0.3).astype(np.uint8))
    common = ["compare", fc_model, "--target", "loihi2", "--input", tmp_path / "data.npz"]
    done = neurodeploy(*common, "-o", tmp_path / "r.json", "--report", tmp_path / "r.html")
    assert done.returncode in (0, 1), done.stderr
    assert NOTE in json.loads((tmp_path / "r.json").read_text())["not_run"]["loihi"]
    assert "Backend loihi did not run" in (tmp_path / "r.html").read_text()
    done = neurodeploy(*common, "--backend", "emulator", "--backend", "loihi")
    assert done.returncode == 3
    assert NOTE in done.stderr
