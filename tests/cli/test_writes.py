"""Whatever cannot be written, the verdict is told and the reason is the true one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.files import write_together
from tests.command import neurodeploy
from tests.comparison.test_verdict import in_turn, model

FULL = Path("/dev/full")
VERDICT = "verdict: pass: accuracy loss: emulator loses 0.00 points of accuracy, 1 are tolerated"

needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def content(text: str) -> Callable[[IO[bytes]], None]:
    def write(stream: IO[bytes]) -> None:
        stream.write(text.encode())

    return write


def test_files_are_written_together(tmp_path: Path) -> None:
    write_together({tmp_path / "a": content("one"), tmp_path / "b": content("two")})
    assert [(tmp_path / name).read_text() for name in "ab"] == ["one", "two"]
    assert len(list(tmp_path.iterdir())) == 2


def broken(stream: IO[bytes]) -> None:
    raise OSError(28, "No space left on device")


def test_of_files_that_belong_together_none_is_left_if_one_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("before")
    with pytest.raises(DeployError, match=r"the file cannot be written: No space left on device\n  where: .*/b\n"):
        write_together({tmp_path / "a": content("one"), tmp_path / "b": broken})
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "before")]


@needs_full
def test_a_file_is_not_left_if_what_is_no_file_takes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="where: /dev/full"):
        write_together({tmp_path / "a": content("one"), FULL: content("two")})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_read_only_is_named(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(DeployError, match=r"Permission denied\n  where: .*locked/a"):
        write_together({tmp_path / "locked" / "a": content("one")})


@pytest.fixture
def common(tmp_path: Path) -> list[str]:
    path = model(tmp_path / "m.nir", np.eye(4) * 1.5)
    x, labels = in_turn()
    np.savez(tmp_path / "d.npz", x=x, y=labels)
    backends = ["--backend", "reference", "--backend", "emulator"]
    command = [sys.executable, "-m", "neurodeploy", "compare", str(path), "--target", "loihi2"]
    return [*command, "--input", str(tmp_path / "d.npz"), *backends]


@needs_full
def test_a_report_that_cannot_be_written_loses_neither_verdict_nor_reason(common: list[str], tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    done = neurodeploy(*common[3:], "--report", FULL, "-o", output)
    assert done.returncode == 2
    assert VERDICT in done.stdout
    assert "the file cannot be written: No space left on device\n  where: /dev/full" in done.stderr
    assert not output.exists()


@needs_full
def test_a_full_standard_output_loses_neither_verdict_nor_files(common: list[str], tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    with FULL.open("w") as full:
        done = subprocess.run([*common, "-o", str(output)], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert VERDICT in done.stderr
    assert "the results cannot be written: No space left on device\n  where: standard output" in done.stderr
    assert output.exists()


@needs_full
def test_a_recording_that_cannot_be_written_loses_neither_summary_nor_reason(common: list[str]) -> None:
    folder = Path(common[common.index("--input") + 1]).parent
    done = neurodeploy("run", folder / "m.nir", "--backend", "reference", "--input", folder / "d.npz", "-o", FULL)
    assert done.returncode == 2
    assert "accuracy 100.00 %" in done.stdout
    assert "the file cannot be written: No space left on device\n  where: /dev/full" in done.stderr


@pytest.mark.parametrize("with_errors", [False, True])
def test_a_pipe_that_nobody_reads_is_exit_code_141_and_the_files_are_there(
    common: list[str], tmp_path: Path, with_errors: bool
) -> None:
    output = tmp_path / "r.json"
    read, write = os.pipe()
    os.close(read)
    errors = write if with_errors else subprocess.PIPE
    try:
        done = subprocess.run([*common, "-o", str(output)], stdout=write, stderr=errors, text=True, check=False)
    finally:
        os.close(write)
    assert done.returncode == 141
    assert output.exists()
    if not with_errors:
        assert VERDICT in done.stderr
        assert "error" not in done.stderr.lower()


@pytest.mark.parametrize("words", [["--help"], ["compare", "--help"], ["targets"]])
def test_every_verb_ends_so_where_nobody_reads(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "neurodeploy", *words]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
