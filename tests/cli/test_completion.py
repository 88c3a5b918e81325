"""What a shell is told when somebody presses tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neurodeploy.cli.completion import SHELLS
from neurodeploy.cli.main import VERBS


def completed(*words: str) -> list[str]:
    """Return what bash is offered for the last of some words of a command line."""
    asked = {"_NEURODEPLOY_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("neurodeploy", *words))}
    environment = {**os.environ, **asked, "COMP_CWORD": str(len(words))}
    command = [sys.executable, "-m", "neurodeploy"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.split()


def test_verbs_are_completed() -> None:
    assert completed("") == [f"plain,{verb}" for verb in VERBS]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("compile", "m.nir", "--message"), "plain,--message-bits"),
        (("compile", "m.nir", "--target", "loihi1"), "plain,loihi1"),
        (("compile", "m.nir", "--target", "./my"), "file,./my"),
        (("targets", "loihi2"), "plain,loihi2"),
        (("run", "p.npz", "--backend", "emu"), "plain,emulator"),
        (("compare", "m.nir", "--backend", "ref"), "plain,reference"),
        (("inspect", "m.nir", "--dialect", "snn"), "plain,snntorch"),
        (("run", "m.nir", "--dialect", "snntorch,dt=1,v_res"), "plain,snntorch,dt=1,v_reset="),
        (("run", "m.nir", "--dialect", "snntorch,lif2:v_res"), "plain,snntorch,lif2:v_reset="),
    ],
)
def test_what_an_option_takes_is_completed(words: tuple[str, ...], offered: str) -> None:
    assert completed(*words) == [offered]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script_that_asks_the_command(shell: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "neurodeploy", "completion", shell]
    script = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"_NEURODEPLOY_COMPLETE={shell}_complete" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed, so its script was not parsed")
    (tmp_path / "script").write_text(script)
    subprocess.run([shell, "-n", tmp_path / "script"], check=True)
