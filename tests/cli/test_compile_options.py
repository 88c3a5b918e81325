"""``neurodeploy compile``: graded input and programs beyond one chip, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.families.program_file import load_program
from tests.command import neurodeploy
from tests.conftest import ZERO, save_nir, small_chip


def run(*arguments: object) -> tuple[int, str, str]:
    done = neurodeploy(*arguments)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_graded_input_is_compiled_and_said(fc_model: Path, tmp_path: Path, as_json: bool) -> None:
    options = ("--message-bits", 8, "--input-scale", 16, *(["--json"] if as_json else []))
    code, out, err = run("compile", fc_model, "--target", "loihi2", *options, "-o", tmp_path / "p.npz")
    assert code == 0, err
    warning = "input 'input' is graded: its values are rounded to multiples of 1/16 and range from -8 to 7.9375"
    assert warning in (json.loads(out)["warnings"] if as_json else err)
    program = load_program(tmp_path / "p.npz")
    assert (program.message_bits, program.input_scale) == ({"input": 8}, {"input": 16.0})


def test_loihi1_refuses_graded_input(fc_model: Path, tmp_path: Path) -> None:
    code, _, err = run("compile", fc_model, "--target", "loihi1", "--message-bits", 8, "-o", tmp_path / "p.npz")
    assert code == 2
    assert "--message-bits is 8, but Intel Loihi takes spikes only" in err
    assert "or use --target loihi2" in err


def test_what_fits_no_chip_needs_leave(fc_model: Path, tmp_path: Path) -> None:
    command = ("compile", fc_model, "--target", small_chip(tmp_path, neurons_per_core=8), "-o", tmp_path / "p.npz")
    code, _, err = run(*command)
    assert code == 2
    assert "--allow-oversize" in err
    code, _, err = run(*command, "--allow-oversize")
    assert code == 0, err
    assert "warning: the network does not fit one Small chip chip" in err


@pytest.mark.parametrize("options", [("--encode", "rate"), ("--batch-first",), ("--seed", "3")])
def test_how_data_is_read_is_refused_where_there_is_none(
    fc_model: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    code, _, err = run("compile", fc_model, "--target", "loihi2", *options, "-o", tmp_path / "p.npz")
    assert code == 2
    assert f"{options[0]} says how calibration data is read, but there is none" in err


@pytest.mark.parametrize("option", [("--weight-bits", "4"), ("--host", "1")])
def test_a_search_takes_no_bits_and_no_host(fc_model: Path, tmp_path: Path, option: tuple[str, str]) -> None:
    np.savez(tmp_path / "x.npz", x=np.ones((5, 4, 12), np.uint8), y=np.arange(4))
    search = ("--search", "bits", "--budget", "accuracy=100", "--calibrate", tmp_path / "x.npz")
    code, _, err = run("compile", fc_model, "--target", "loihi2", *search, *option, "-o", tmp_path / "p.npz")
    assert code == 2
    assert f"where: {option[0]}\n" in err
    assert f"Leave out --search, or {option[0]}." in err


def test_custom_neurons_are_warned_of(fc_model: Path, tmp_path: Path) -> None:
    graph = nir.read(fc_model)
    model = save_nir(tmp_path / "subtract.nir", graph.nodes, graph.edges, {"reset": "subtract"})
    code, _, err = run("compile", model, "--target", "loihi2", "-o", tmp_path / "p.npz")
    assert code == 0, err
    assert "warning: lif1: custom neuron (reset by subtraction in the next step): simulator only" in err


@pytest.fixture
def real_valued(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """Return files of real-valued data to calibrate on and to score."""
    for name in ("calibration", "test"):
        x = rng.normal(0, 1, (10, 8, 12)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", x=x)
    return tmp_path / "calibration.npz", tmp_path / "test.npz"


def test_real_values_are_sent_as_messages_or_stay_on_the_host(
    fc_model: Path, tmp_path: Path, real_valued: tuple[Path, Path]
) -> None:
    calibration, test = real_valued
    program, target = tmp_path / "p.npz", ("--target", "loihi2")
    code, _, err = run("compile", fc_model, *target, "--calibrate", calibration, "--allow-silent", "-o", program)
    assert code == 0, err
    assert "input 'input' is graded: sent as whole numbers of" in err
    code, _, err = run("run", program, "--backend", "emulator", "--input", test)
    assert code == 0, err
    code, _, err = run("compile", fc_model, "--target", "loihi1", "--calibrate", calibration, "-o", program)
    assert code == 2
    assert "--host auto" in err


def test_a_network_cut_at_the_host_is_compared_whole(
    fc_model: Path, tmp_path: Path, real_valued: tuple[Path, Path]
) -> None:
    calibration, test = real_valued
    result = tmp_path / "r.json"
    backends = ("--backend", "reference", "--backend", "emulator")
    options = ("--target", "loihi1", "--calibrate", calibration, "--host", "auto", *backends, "--tolerance", 100)
    code, _, err = run("compare", fc_model, *options, "--input", test, "-o", result)
    assert code == 0, err
    found = json.loads(result.read_text())
    assert "the host runs lif1 in float" in " ".join(found["warnings"])
    assert "without the host, which runs lif1" in found["energy"]["scope"]
    assert found["provenance"]["program"]["host"] == ["lif1"]
    assert set(found["agreement"]["emulator"]) == {"lif2"}


def test_a_grid_that_is_kept_is_said(fc_model: Path, tmp_path: Path) -> None:
    graph = nir.read(fc_model)
    for node in graph.nodes.values():
        if hasattr(node, "weight"):
            node.weight = np.clip(np.rint(node.weight * 8), -7, 7) / 16
    model = save_nir(tmp_path / "grid.nir", graph.nodes, graph.edges, ZERO)
    code, out, err = run("compile", model, "--target", "loihi2", "--allow-silent", "-o", tmp_path / "p.npz")
    assert code == 0, err
    assert "grid of 1/16 found and kept exactly" in out
