"""Targets and models come along: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from neurodeploy.cli.demo import MODELS
from neurodeploy.errors import DeployError
from neurodeploy.families.target_file import load_target, read_target, target_names
from neurodeploy.shipped import shipped_folder
from tests.conftest import ROOT

FILES = ("model.nir", "weights.pt", "test.npz", "calibrate.npz", "trained.npz", "train.py", "card.md")


def test_a_checkout_has_targets_and_models() -> None:
    assert shipped_folder("targets") == ROOT / "targets"
    for model in MODELS:
        assert all((shipped_folder("models") / model / file).is_file() for file in FILES)


def test_a_wheel_has_them_too(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    assert wheel.stat().st_size < 5_000_000
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if "__pycache__" in name]
        archive.extractall(tmp_path / "site")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import neurodeploy\n"
        "from neurodeploy.shipped import shipped_folder\n"
        "from neurodeploy.families.target_file import target_names\n"
        "print(shipped_folder('models'), *target_names())\n"
        "neurodeploy.compile(shipped_folder('models') / 'digits-fc' / 'model.nir', 'loihi2')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site")], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.split() == [str(tmp_path / "site/neurodeploy/_data/models"), *target_names()]


def test_a_folder_that_did_not_come_along_is_refused() -> None:
    with pytest.raises(DeployError, match="folder 'nowhere' is missing from this installation"):
        shipped_folder("nowhere")


@pytest.mark.parametrize("name", target_names())
def test_every_fact_of_a_target_has_a_source(name: str) -> None:
    target = load_target(name)
    for facts in (target.neuron, target.number_formats, target.limits):
        for _, fact in facts:
            assert len(fact.source) > 10


def test_a_target_file_that_breaks_the_schema_names_the_key(tmp_path: Path) -> None:
    text = (ROOT / "targets" / "loihi2.toml").read_text()
    (tmp_path / "t.toml").write_text(text.replace("state_bits = {", "state_bit = {"))
    with pytest.raises(DeployError, match=r"number_formats\.state_bits"):
        read_target(tmp_path / "t.toml")
