"""What recordings say of what they were made from, and what is refused before a backend runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.backends.run import run
from neurodeploy.cli.compare import compare as compare_command
from neurodeploy.cli.compare import diff as diff_command
from neurodeploy.cli.run import run as run_command
from neurodeploy.coding.data import Data
from neurodeploy.coding.data_hash import data_sha256
from neurodeploy.comparison.compare import compare
from neurodeploy.comparison.measures import diff
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import load_program, program_sha256, save_program
from neurodeploy.ir.recording import Recording, save_recording
from tests.conftest import spikes

SHA256 = re.compile("[0-9a-f]{64}")


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return spikes(rng, 15, 6, 12)


@pytest.fixture
def other(x: np.ndarray) -> np.ndarray:
    """The same input but for one spike."""
    changed = x.copy()
    changed[3, 2, 5] ^= 1
    return changed


def test_recordings_carry_hashes_of_input_model_program_and_plan(fc_model: Path, x: np.ndarray) -> None:
    reference = run(fc_model, {"input": x}).meta
    program = compile(fc_model, "loihi2", allow_silent=True)
    emulator = run(program, {"input": x}, backend="emulator").meta
    keys = ("data_sha256", "model_sha256", "program_sha256", "plan_sha256")
    assert all(SHA256.fullmatch(emulator[key]) for key in keys)
    assert {key: reference[key] for key in keys[:2]} == {key: emulator[key] for key in keys[:2]}
    assert emulator["program_sha256"] == program_sha256(program)


def test_a_program_has_the_same_hash_once_it_is_read_back(fc_model: Path, tmp_path: Path) -> None:
    program = compile(fc_model, "loihi2", allow_silent=True)
    save_program(program, tmp_path / "p.npz")
    assert program_sha256(load_program(tmp_path / "p.npz")) == program_sha256(program)
    assert program_sha256(compile(fc_model, "loihi2", allow_silent=True, weight_bits=4)) != program_sha256(program)


def of(x: Any) -> str:
    return data_sha256(Data({"input": x}, None, "made"))


def test_the_hash_of_input_is_that_of_its_values(x: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> None:
    assert of(x) == of(x.astype(np.float32)) == of(x.astype(bool))
    assert len({of(x), of(other), of(x[:-1]), of(x[:, :-1]), of(x[:, ::-1]), of(x.reshape(15, 6, 3, 4))}) == 6
    currents = rng.normal(size=x.shape)
    assert of(currents) != of(2 * currents)


def test_diff_refuses_recordings_of_other_data(fc_model: Path, x: np.ndarray, other: np.ndarray) -> None:
    one, two = run(fc_model, {"input": x}), run(fc_model, {"input": other})
    with pytest.raises(DeployError, match="recorded on other data"):
        diff(one, two)
    old = replace(two, meta={key: value for key, value in two.meta.items() if key != "data_sha256"})
    assert diff(one, old)["remarks"] == [
        "the second recording does not say on which data it was recorded, so that was not checked"
    ]
    assert diff(one, one)["remarks"] == []


def trained(recording: Recording) -> Recording:
    return replace(recording, meta={**recording.meta, "backend": "trained"})


def compared(model: Path, x: np.ndarray, own: Recording) -> dict[str, Any]:
    return compare(model, "loihi2", Data({"input": x}, None, "made"), trained=own, only=("reference",)).result


def test_compare_refuses_a_trained_recording_of_other_data(fc_model: Path, x: np.ndarray, other: np.ndarray) -> None:
    with pytest.raises(DeployError, match=r"recorded on other data: .*\n  where: trained"):
        compared(fc_model, x, trained(run(fc_model, {"input": other})))
    same = compared(fc_model, x, trained(run(fc_model, {"input": x})))
    assert same["verdict"]["status"] == "pass"
    assert same["provenance"]["data_sha256"] == of(x)
    assert not [warning for warning in same["warnings"] if "recorded" in warning]


def test_an_old_recording_is_taken_and_that_is_said(fc_model: Path, x: np.ndarray) -> None:
    own = trained(run(fc_model, {"input": x}))
    old = replace(own, meta={key: value for key, value in own.meta.items() if key != "data_sha256"})
    result = compared(fc_model, x, old)
    assert result["verdict"]["status"] == "pass"
    assert (
        "the trained recording does not say on which data it was recorded, so that was not checked"
        in result["warnings"]
    )


def test_the_command_line_refuses_other_data_by_the_files_names(
    fc_model: Path, x: np.ndarray, other: np.ndarray, tmp_path: Path
) -> None:
    for name, values in (("a", x), ("b", other)):
        save_recording(run(fc_model, {"input": values}), tmp_path / f"{name}.npz")
    done = CliRunner().invoke(diff_command, [str(tmp_path / "a.npz"), str(tmp_path / "b.npz")])
    assert isinstance(done.exception, DeployError)
    assert "recorded on other data" in done.exception.what
    assert "a.npz" in done.exception.where


@pytest.fixture
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run of a backend fail the test."""

    def run_anyway(*_: Any) -> None:
        raise AssertionError("a backend ran")

    monkeypatch.setattr(Reference, "run", run_anyway)
    monkeypatch.setattr(Emulator, "run", run_anyway)


def refused(done: Result) -> str:
    assert isinstance(done.exception, DeployError), done.exception
    return str(done.exception)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--report", "r.pdf"), "the report is an HTML page, but its name ends in .pdf"),
        (("--report", "no/r.html"), "the folder does not exist"),
        (("-o", "no/r.json"), "the folder does not exist"),
        (("--require", "trained,lawa"), "no gate is called 'lawa'"),
        (("--tolerance", "101"), "tolerance is 101; it must be from 0 to 100"),
        (("--value-tolerance", "-1"), "value_tolerance is -1; it must be from 0 to 100"),
        (("--lava-samples", "0"), "lava_samples is 0; it must be at least 1"),
        (("--time-limit", "-1"), "time_limit is -1; it must be above 0"),
        (("--backend", "chip"), "no backend is called 'chip'"),
        (("--decide", "count,output=nobody"), "there is no node 'nobody'"),
        (("--trained", "short.npz"), "the trained recording of 'lif1' has shape"),
    ],
)
def test_compare_checks_all_arguments_before_a_backend_runs(
    fc_model: Path, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", x=x)
    short = {"lif1": {"spikes": np.zeros((4, 6, 9), np.uint8)}}
    save_recording(Recording(short, {"backend": "trained"}), Path("short.npz"))
    common = [str(fc_model), "--target", "loihi2", "--input", "d.npz"]
    assert said in refused(CliRunner().invoke(compare_command, [*common, *options]))


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--record-nodes", "lif1,nobody"), "there is no node 'nobody'"),
        (("--record", "spikes,w"), "'w' cannot be recorded"),
        (("-o", "no/r.npz"), "the folder does not exist"),
        (("--decide", "count,output=nobody"), "there is no node 'nobody'"),
    ],
)
def test_run_checks_all_arguments_before_a_backend_runs(
    fc_model: Path, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", x=x)
    common = [str(fc_model), "--backend", "reference", "--input", "d.npz"]
    assert said in refused(CliRunner().invoke(run_command, [*common, *options]))
