"""A file of another kind than is wanted is named as what it is."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.backends.run import run
from neurodeploy.coding.data_file import load_data
from neurodeploy.compiler import compile as compile_model
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.importers.nir_graph import read_graph
from neurodeploy.ir.recording import load_recording, save_recording

READERS: dict[str, Callable[[Path], object]] = {
    "a NIR model": read_graph,
    "a program": load_program,
    "a recording": load_recording,
    "input data": lambda path: load_data(path, {"input": (12,)}),
}


@pytest.fixture
def kinds(fc_model: Path, tmp_path: Path, rng: np.random.Generator) -> dict[str, Path]:
    x = (rng.random((5, 2, 12)) < 0.5).astype(np.uint8)
    paths = {name: tmp_path / f"file{i}" for i, name in enumerate(READERS)}
    paths["a NIR model"] = fc_model
    with open(paths["input data"], "wb") as stream:
        np.savez(stream, x=x)
    save_program(compile_model(fc_model, "loihi2"), paths["a program"])
    save_recording(run(fc_model, {"input": x}), paths["a recording"])
    return paths


@pytest.mark.parametrize("wanted", READERS)
@pytest.mark.parametrize("given", READERS)
def test_a_file_is_named_as_what_it_is(kinds: dict[str, Path], wanted: str, given: str) -> None:
    if wanted == given:
        READERS[wanted](kinds[given])
        return
    with pytest.raises(DeployError, match=f"this is {given}, not {wanted}"):
        READERS[wanted](kinds[given])


@pytest.mark.parametrize("wanted", READERS)
@pytest.mark.parametrize(
    ("content", "named"),
    [(pickle.dumps([1]), "a Python pickle"), (b"{}", "JSON text"), (b"\x1f\x8b\x08", "a gzip archive")],
)
def test_files_that_are_none_of_ours_are_named(tmp_path: Path, wanted: str, content: bytes, named: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DeployError, match=f"this is {named}, not {wanted}"):
        READERS[wanted](tmp_path / "file")


@pytest.mark.parametrize("wanted", READERS)
def test_a_single_array_is_named(tmp_path: Path, wanted: str) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(DeployError, match=r"this is a single array \(\.npy\), not ") as caught:
        READERS[wanted](tmp_path / "x.npy")
    assert "pickle" not in str(caught.value)
