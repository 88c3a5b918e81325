"""Models, data and results as standard streams and pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.ir.recording import load_recording
from tests.conftest import ROOT

DIGITS = ROOT / "models" / "digits-fc"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    command = command.replace("neurodeploy ", f"{sys.executable} -m neurodeploy ")
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = f"set -o pipefail; {command}"
    return subprocess.run(["bash", "-c", script], cwd=folder, env=here, capture_output=True, check=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with np.load(DIGITS / "test.npz") as full:
        part = {key: full[key] for key in full.files}
    path = tmp_path / "data.npz"
    np.savez(path, **{key: values[:, :4] if key.startswith("x") else values[:4] for key, values in part.items()})
    return path


def test_a_program_goes_from_compile_to_run_through_a_pipe(data: Path, tmp_path: Path) -> None:
    piped = shell(
        f"neurodeploy compile - --target loihi2 -o - < {DIGITS / 'model.nir'}"
        f" | neurodeploy run - --backend emulator --input {data} -o - > piped.npz",
        tmp_path,
    )
    assert piped.returncode == 0, piped.stderr.decode()
    plain = shell(
        f"neurodeploy compile {DIGITS / 'model.nir'} --target loihi2 -o p.npz"
        f" && neurodeploy run p.npz --backend emulator --input <(cat {data}) -o plain.npz",
        tmp_path,
    )
    assert plain.returncode == 0, plain.stderr.decode()
    found, expected = (load_recording(tmp_path / f"{name}.npz") for name in ("piped", "plain"))
    assert found.nodes.keys() == expected.nodes.keys()
    for node in found.nodes:
        np.testing.assert_array_equal(found.spikes(node), expected.spikes(node))
    # What a person reads went to standard error, so that the pipe holds the file alone.
    assert b"lif1" in piped.stderr


def test_a_refused_command_writes_nothing_to_standard_output(tmp_path: Path) -> None:
    done = shell("neurodeploy compile - --target loihi2 -o - < /dev/null", tmp_path)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"standard input" in done.stderr


def test_streams_are_called_by_their_names(data: Path, tmp_path: Path) -> None:
    done = shell(f"neurodeploy compile - --target loihi2 -o - < {DIGITS / 'model.nir'} > p.npz", tmp_path)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert "\nstandard output\n" in said
    assert ".plan.yaml" not in said
    assert "/neurodeploy-" not in said
    done = shell(f"neurodeploy run - --backend emulator --input {data} < {data}", tmp_path)
    assert "where: standard input" in done.stderr.decode()


def test_standard_input_is_given_once(tmp_path: Path) -> None:
    done = shell("neurodeploy diff - - < /dev/null", tmp_path)
    assert done.returncode == 2
    assert "standard input is given twice" in done.stderr.decode()


def test_a_plan_that_is_asked_for_is_written_beside_a_stream(tmp_path: Path) -> None:
    model = DIGITS / "model.nir"
    done = shell(f"neurodeploy compile {model} --target loihi2 -o - --plan-output x.yaml > p.npz", tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "x.yaml").exists()


def test_a_chip_and_a_model_cannot_both_be_standard_input(tmp_path: Path) -> None:
    done = shell("neurodeploy compile - --target - -o p.npz < /dev/null", tmp_path)
    assert done.returncode == 2
    assert b"standard input is given twice" in done.stderr
