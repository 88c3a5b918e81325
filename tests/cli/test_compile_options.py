"""``neurodeploy compile``: graded input and programs beyond one chip, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.program import load_program
from tests.conftest import ZERO, chain_edges, lif, save_nir


def run(*arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "neurodeploy", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
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
    assert "graded input of 8 bits, and Intel Loihi takes spikes only" in err
    assert "or use --target loihi2" in err


def test_what_fits_no_chip_needs_leave(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([1, 400, 400])}),
        "conv": nir.Conv2d((400, 400), np.ones((8, 1, 1, 1), np.float32), 1, 0, 1, 1, np.zeros(8)),
        "lif": lif((8, 400, 400)),
        "output": nir.Output({"output": np.array([8, 400, 400])}),
    }
    model = save_nir(tmp_path / "m.nir", nodes, chain_edges("input", "conv", "lif", "output"), ZERO)
    command = ("compile", model, "--target", "loihi2", "-o", tmp_path / "p.npz")
    code, _, err = run(*command)
    assert code == 2
    assert "--allow-oversize" in err
    code, _, err = run(*command, "--allow-oversize")
    assert code == 0, err
    assert "warning: the network does not fit one Intel Loihi 2 chip" in err


def test_custom_neurons_are_warned_of(fc_model: Path, tmp_path: Path) -> None:
    graph = nir.read(fc_model)
    model = save_nir(tmp_path / "subtract.nir", graph.nodes, graph.edges, {"reset": "subtract"})
    code, _, err = run("compile", model, "--target", "loihi2", "-o", tmp_path / "p.npz")
    assert code == 0, err
    assert "warning: lif1: custom neuron (reset by subtraction in the next step): simulator only" in err
