"""``neurodeploy compare`` with several chips: one report, one file, and the exit code of the worst."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from neurodeploy.backends.run import run
from neurodeploy.cli.main import cli
from neurodeploy.coding.scoring import decide
from neurodeploy.shipped import shipped_folder
from tests.command import Ended, neurodeploy
from tests.conftest import spikes

pytest.importorskip("torch", reason="the float reference needs torch")

BOTH = ("--backend", "reference", "--backend", "emulator")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(
        'extends = "loihi1"\ntitle = "Tiny"\n[limits]\ncores = 1\nneurons_per_core = 8\n'
    )
    return tmp_path / "tiny.toml"


@pytest.fixture
def data(tmp_path: Path, rng: np.random.Generator, fc_model: Path) -> Path:
    x = spikes(rng, 20, 40, 12)
    np.savez(tmp_path / "data.npz", x=x, y=decide(run(fc_model, {"input": x})))
    return tmp_path / "data.npz"


def compared(model: Path, data: Path, *more: object) -> Ended:
    return neurodeploy("compare", model, "--input", data, *BOTH, "--tolerance", "20", *more)


@pytest.mark.parametrize("name", ["digits-fc", "digits-conv", "digits-rows"])
@pytest.mark.parametrize("chips", [("loihi1", "loihi2"), ("loihi2", "loihi1")])
def test_shipped_models_pass_on_both_chips(name: str, chips: tuple[str, str], tmp_path: Path) -> None:
    folder, output = shipped_folder("models") / name, tmp_path / "r.json"
    targets = [word for chip in chips for word in ("--target", chip)]
    files = ["--report", tmp_path / "r.html", "-o", output]
    trained = ["--trained", folder / "trained.npz", "--require", "trained,accuracy"]
    done = neurodeploy(
        "compare", folder / "model.nir", "--input", folder / "test.npz", *targets, *BOTH, *trained, *files
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(output.read_text())
    assert {chip: found["verdict"]["status"] for chip, found in result["targets"].items()} == dict.fromkeys(
        chips, "pass"
    )
    (head,) = (line for line in done.stdout.splitlines() if line.split() == list(chips))
    assert head.startswith(" ")
    assert "verdict: pass: " in done.stdout
    assert "Side by side" in (tmp_path / "r.html").read_text()


def test_the_file_of_one_chip_is_what_it_was(fc_model: Path, data: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert compared(fc_model, data, "--target", "loihi2", "-o", one).returncode == 0
    assert compared(fc_model, data, "--target", "loihi2", "--target", "loihi1", "-o", two).returncode == 0
    alone = json.loads(one.read_text())
    assert "targets" not in alone
    assert json.loads(two.read_text())["targets"]["loihi2"] == alone


def test_a_chip_that_refuses_is_exit_code_1_and_the_files_are_there(
    fc_model: Path, data: Path, tiny: Path, tmp_path: Path
) -> None:
    files = ["--report", tmp_path / "r.html", "-o", tmp_path / "r.json"]
    done = compared(fc_model, data, "--target", tiny, "--target", "loihi2", *files)
    assert done.returncode == 1
    what = "the network does not fit one Tiny chip (neurons: 13 needed, 8 available)"
    assert f"refused: {what}\n  where: --target\n  stage: read\n  fix:   Use a smaller network" in done.stdout
    assert f"verdict: fail: tiny: refused: {what}\n  loihi2: pass: " in done.stdout
    assert json.loads((tmp_path / "r.json").read_text())["targets"]["tiny"]["refused"][0]["what"] == what
    assert what in (tmp_path / "r.html").read_text()


def test_if_all_chips_refuse_it_is_exit_code_2_and_the_files_say_why(
    fc_model: Path, data: Path, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "less.toml").write_text('extends = "./tiny.toml"\ntitle = "Less"\n[limits]\nneurons_per_core = 4\n')
    files = ["--report", tmp_path / "r.html", "-o", tmp_path / "r.json"]
    done = compared(fc_model, data, "--target", tiny, "--target", tmp_path / "less.toml", *files)
    assert done.returncode == 2
    assert "no chip takes the network: tiny: the network does not fit one Tiny chip" in done.stderr
    assert "; less: the network does not fit one Less chip (neurons: 13 needed, 4 available)" in done.stderr
    assert list(json.loads((tmp_path / "r.json").read_text())["targets"]) == ["less", "tiny"]
    assert "Less chip" in (tmp_path / "r.html").read_text()


def test_json_is_what_the_file_has(fc_model: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    done = compared(fc_model, data, "--target", "loihi1", "--target", "loihi2", "--json", "-o", output)
    assert json.loads(done.stdout) == json.loads(output.read_text())


def test_a_program_is_for_one_chip(fc_model: Path, data: Path, tmp_path: Path) -> None:
    program = tmp_path / "p.npz"
    assert neurodeploy("compile", fc_model, "--target", "loihi2", "-o", program).returncode == 0
    done = compared(fc_model, data, "--target", "loihi1", "--target", "loihi2", "--program", program)
    assert done.returncode == 2
    assert "a program is compiled for one chip, but 2 are given\n  where: --program\n" in done.stderr


def test_a_chip_is_given_once(fc_model: Path, data: Path) -> None:
    done = compared(fc_model, data, "--target", "loihi2", "--target", "loihi2")
    assert done.returncode == 2
    assert "several chips are called loihi2\n  where: --target\n" in done.stderr


def test_a_chip_has_to_be_given(fc_model: Path, data: Path) -> None:
    done = compared(fc_model, data)
    assert done.returncode == 2
    assert "--target" in done.stderr


def test_one_chip_may_come_from_a_stream(fc_model: Path, data: Path, tiny: Path) -> None:
    words = ["compare", str(fc_model), "--input", str(data), *BOTH, "--target", "loihi2", "--target", "-"]
    done = CliRunner().invoke(cli, words, input=tiny.read_text(), catch_exceptions=False)
    assert done.exit_code == 1
    assert "verdict: fail: standard input: refused: the network does not fit one Tiny chip" in done.stdout


def test_all_chips_are_given_the_same_data(fc_model: Path, tmp_path: Path) -> None:
    events = {"t": [0, 0, 1], "unit": [3, 3, 4], "sample": [0, 0, 0]}
    shape = np.array([20, 1, 12])
    np.savez(tmp_path / "events.npz", **{key: np.array(values) for key, values in events.items()}, shape=shape)
    one = compared(fc_model, tmp_path / "events.npz", "--target", "loihi2", "--json")
    assert "left out" not in one.stderr
    two = compared(fc_model, tmp_path / "events.npz", "--target", "loihi2", "--target", "loihi1", "--json")
    assert (
        "1 events that repeat within a step are left out, because one of the chips takes spikes of 0 and 1"
        in two.stderr
    )
    shas = {found["provenance"]["data_sha256"] for found in json.loads(two.stdout)["targets"].values()}
    assert len(shas) == 1


def test_help_says_how_several_chips_end() -> None:
    done = neurodeploy("compare", "--help")
    words = " ".join(done.stdout.split())
    assert "Repeat for several, side by side." in words
    assert "1 if any of them gives 1 or refuses the network, 2 if all refuse it." in words


def test_fit_is_said(fc_model: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    done = compared(fc_model, data, "--target", "loihi1", "-o", output)
    used = {use["limit"]: use["used"] for use in json.loads(output.read_text())["fit"]}
    assert used["neurons"] == 13
    stored = f"bytes of synapses {used['bytes of synapses']} of 16,777,216"
    assert f"fit: neurons 13 of 131,072; {stored}; cores at least 1 of 128" in done.stdout
