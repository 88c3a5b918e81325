"""The command line as a person meets it: help, the main job, and refusals without traceback or leftovers."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurodeploy.cli.main import VERBS
from tests.command import in_a_process, neurodeploy
from tests.conftest import spikes

HEAVY = ("torch", "numba", "lava", "plotly", "nir", "h5py", "scipy")


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator) -> Path:
    np.savez(tmp_path / "data.npz", x=spikes(rng, 30, 6, 12), y=rng.integers(0, 4, 6))
    return tmp_path / "data.npz"


@pytest.fixture
def program(fc_model: Path, tmp_path: Path) -> Path:
    done = neurodeploy("compile", fc_model, "--target", "loihi2", "-o", tmp_path / "p.npz")
    assert done.returncode == 0, done.stderr
    return tmp_path / "p.npz"


def test_importing_neurodeploy_loads_nothing_heavy() -> None:
    code = f"import sys, neurodeploy; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_comes_at_once() -> None:
    def used() -> float:
        of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return of_children.ru_utime + of_children.ru_stime

    seconds = []
    for _ in range(5):
        start = used()  # processor time, which other processes do not lengthen
        done = in_a_process("--help")
        seconds.append(used() - start)
        assert done.returncode == 0
    assert min(seconds) < 0.4


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    done = in_a_process(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert len(done.stdout.splitlines()) > 4


def with_own_labels(model: Path, data: Path) -> None:
    """Give data the labels that the reference decides."""
    from neurodeploy.backends.run import run
    from neurodeploy.coding.scoring import decide

    with np.load(data) as archive:
        x = archive["x"]
    np.savez(data, x=x, y=decide(run(model, {"input": x})))


def test_the_main_job_runs_and_gates(fc_model: Path, data: Path, tmp_path: Path) -> None:
    with_own_labels(fc_model, data)
    report, output = tmp_path / "r.html", tmp_path / "r.json"
    done = in_a_process(
        "compare", fc_model, "--target", "loihi2", "--input", data, "--backend", "reference", "--backend", "emulator",
        "--tolerance", "100", "--report", report, "-o", output,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "verdict: pass" in done.stdout
    result = json.loads(output.read_text())
    assert result["equalities"]["reference_trained"] == {"status": "not-run", "reason": "no trained recording is given"}
    assert "<html" in report.read_text()


def test_accuracy_lost_beyond_the_tolerance_is_exit_code_1(fc_model: Path, data: Path, tmp_path: Path) -> None:
    # Labels that the reference decides rightly, and a chip with 2-bit weights that cannot.
    with_own_labels(fc_model, data)
    common = (
        "compare",
        fc_model,
        "--target",
        "loihi2",
        "--input",
        data,
        "--backend",
        "reference",
        "--backend",
        "emulator",
    )
    done = neurodeploy(*common, "--weight-bits", "2", "--tolerance", "0")
    assert done.returncode == 1, done.stdout
    assert "points of accuracy, 0 are tolerated" in done.stdout


def test_runs_can_be_kept_and_held_against_each_other(
    fc_model: Path, program: Path, data: Path, tmp_path: Path
) -> None:
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    assert neurodeploy("run", fc_model, "--backend", "reference", "--input", data, "-o", a).returncode == 0
    done = neurodeploy(
        "run", program, "--backend", "emulator", "--input", data, "--record", "spikes,v", "-o", b, "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["samples"] == 6
    assert neurodeploy("diff", a, a).returncode == 0
    done = neurodeploy("diff", a, b, "--json")
    assert done.returncode == (0 if json.loads(done.stdout)["first_difference"] is None else 1)


def refused(*arguments: str | Path, code: int = 2) -> str:
    done = neurodeploy(*arguments)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("neurodeploy: ")
    assert "where:" in done.stderr
    assert "fix:" in done.stderr
    return done.stderr


def test_a_file_that_is_no_nir_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.nir").write_text("no")
    out = tmp_path / "p.npz"
    assert "this is not a NIR model" in refused("compile", tmp_path / "m.nir", "--target", "loihi2", "-o", out)
    assert not out.exists()


def test_an_unsupported_node_is_named(fc_model: Path, tmp_path: Path) -> None:
    with h5py.File(fc_model, "a") as file:
        del file["node/nodes/lif1/type"]
        file["node/nodes/lif1/type"] = b"MaxPool2d"
    message = refused("compile", fc_model, "--target", "loihi2", "-o", tmp_path / "p.npz")
    assert "node 'lif1' is a MaxPool2d, which is not supported" in message


def test_input_of_the_wrong_shape_is_refused(program: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    np.savez(tmp_path / "d.npz", x=spikes(rng, 5, 2, 11))
    out = tmp_path / "r.npz"
    message = refused("run", program, "--backend", "emulator", "--input", tmp_path / "d.npz", "-o", out)
    assert "has shape (5, 2, 11), but the model takes [T, B, *[12]]" in message
    assert not out.exists()


def test_input_that_is_no_spikes_is_refused_by_a_target(program: Path, fc_model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.full((5, 2, 12), 0.5))
    assert "takes only spikes" in refused("run", program, "--backend", "emulator", "--input", tmp_path / "d.npz")
    assert neurodeploy("run", fc_model, "--backend", "reference", "--input", tmp_path / "d.npz").returncode == 0


def test_unknown_targets_and_backends_are_refused(fc_model: Path, program: Path, data: Path, tmp_path: Path) -> None:
    message = refused("compile", fc_model, "--target", "loihi7", "-o", tmp_path / "q.npz")
    assert "no target is called 'loihi7'" in message
    assert "loihi1, loihi2" in message
    assert "no backend is called 'chip'" in refused("run", program, "--backend", "chip", "--input", data)


def test_a_truncated_program_is_refused(program: Path, data: Path) -> None:
    program.write_bytes(program.read_bytes()[:-200])
    assert "this is not a program" in refused("run", program, "--backend", "emulator", "--input", data)


def test_a_model_where_a_program_is_needed_says_how_to_compile(fc_model: Path, data: Path) -> None:
    assert "neurodeploy compile" in refused("run", fc_model, "--backend", "emulator", "--input", data)


def test_a_missing_backend_is_exit_code_3(program: Path, data: Path) -> None:
    environment = {**os.environ, "NEURODEPLOY_LAVA_PYTHON": "/nonexistent/python"}
    done = in_a_process("run", program, "--backend", "lava", "--input", data, env=environment)
    assert done.returncode == 3, done.stderr
    assert "NEURODEPLOY_LAVA_PYTHON" in done.stderr


def test_weights_that_are_not_finite_are_refused_and_leave_no_file(fc_model: Path, tmp_path: Path) -> None:
    with h5py.File(fc_model, "a") as file:
        weight = file["node/nodes/fc1/weight"][()]
        weight[0, 0] = np.nan
        del file["node/nodes/fc1/weight"]
        file["node/nodes/fc1/weight"] = weight
    message = refused("compile", fc_model, "--target", "loihi2", "-o", tmp_path / "p.npz")
    assert "1 of 108 values of weight that are NaN or infinite" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fc.nir"]


def test_outputs_are_checked_before_any_work(fc_model: Path, program: Path, data: Path, tmp_path: Path) -> None:
    assert "the folder does not exist" in refused(
        "compile", fc_model, "--target", "loihi2", "-o", tmp_path / "no" / "p.npz"
    )
    assert "this is a folder" in refused("compile", fc_model, "--target", "loihi2", "-o", tmp_path)
    assert "the same command already reads or writes" in refused(
        "compile", fc_model, "--target", "loihi2", "-o", fc_model
    )
    run = ("run", program, "--backend", "emulator", "--input", data, "-o", data)
    assert "the same command already reads or writes" in refused(*run)
    assert fc_model.stat().st_size > 1000


def test_what_is_no_file_is_written_to_and_stays(fc_model: Path, tmp_path: Path) -> None:
    assert neurodeploy("compile", fc_model, "--target", "loihi2", "-o", "/dev/null").returncode == 0
    assert Path("/dev/null").is_char_device()
    (tmp_path / "link.npz").symlink_to(tmp_path / "real.npz")
    assert neurodeploy("compile", fc_model, "--target", "loihi2", "-o", tmp_path / "link.npz").returncode == 0
    assert (tmp_path / "link.npz").is_symlink()
    assert (tmp_path / "real.npz").is_file()


def test_our_own_reference_is_no_trained_recording(fc_model: Path, data: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.npz"
    assert neurodeploy("run", fc_model, "--backend", "reference", "--input", data, "-o", own).returncode == 0
    common = ("compare", fc_model, "--target", "loihi2", "--input", data, "--backend", "reference")
    assert "a recording of neurodeploy's backend 'reference'" in refused(*common, "--trained", own)


@pytest.mark.parametrize("tolerance", ["nan", "-1", "inf", "101"])
def test_a_tolerance_that_is_none_is_refused(fc_model: Path, data: Path, tolerance: str) -> None:
    common = ("compare", fc_model, "--target", "loihi2", "--input", data, "--backend", "reference")
    assert f"--tolerance is {tolerance}; it must be from 0 to 100" in refused(*common, "--tolerance", tolerance)


def test_a_program_of_another_dialect_is_refused(fc_model: Path, program: Path, data: Path) -> None:
    common = ("compare", fc_model, "--target", "loihi2", "--input", data, "--program", program, "--backend", "emulator")
    assert "with another dialect" in refused(*common, "--dialect", "reset=subtract")
    assert "a program is compiled already" in refused(*common, "--weight-bits", "4")


def test_labels_that_no_output_has_are_refused(fc_model: Path, data: Path) -> None:
    with np.load(data) as archive:
        np.savez(data, x=archive["x"], y=archive["y"] + 4)
    message = refused("compare", fc_model, "--target", "loihi2", "--input", data, "--backend", "reference")
    assert "output 'lif2' has 4 neurons" in message


def test_a_network_that_never_fires_is_said(fc_model: Path, data: Path) -> None:
    with np.load(data) as archive:
        np.savez(data, x=0 * archive["x"], y=0 * archive["y"])
    common = ("compare", fc_model, "--target", "loihi2", "--input", data, "--backend", "reference")
    assert "output lif2 never fires on reference" in neurodeploy(*common).stdout


def test_debug_shows_the_traceback_of_a_refusal(tmp_path: Path) -> None:
    done = in_a_process("--debug", "inspect", tmp_path / "none.nir")
    assert "Traceback" in done.stderr


def test_a_dialect_nobody_says_is_a_question(fc_model: Path) -> None:
    with h5py.File(fc_model, "a") as file:
        del file["node/metadata"]
    done = neurodeploy("inspect", fc_model)
    assert done.returncode == 1
    assert "the dialect is not fully known" in done.stdout
    assert neurodeploy("inspect", fc_model, "--dialect", "snntorch,reset=zero,rest=default").returncode == 0
