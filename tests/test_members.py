"""Arrays are read and written in parts, and are the same as if they were whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy.members
from neurodeploy.coding.data_file import DataFile, load_data
from neurodeploy.coding.encoding import Encoding
from neurodeploy.errors import DeployError
from neurodeploy.files import read_npz
from neurodeploy.ir.recording import Recording, RecordingFile, Writer, load_recording, save_recording
from neurodeploy.members import NpzWriter, Packed, Stored, open_npz, part_of


@pytest.fixture
def large_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let arrays of 200 bytes count as large."""
    monkeypatch.setattr(neurodeploy.members, "HELD_BYTES", 200)


@pytest.mark.usefixtures("large_from")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_parts_of_a_large_array_are_read_from_its_file(tmp_path: Path, save: Any, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(4, 9, 3, 2)), np.arange(9)
    save(tmp_path / "x.npz", x=x, y=y)
    arrays = open_npz(tmp_path / "x.npz", "data")
    assert isinstance(arrays["x"], (Stored, Packed))
    assert isinstance(arrays["y"], np.ndarray)
    np.testing.assert_array_equal(part_of(arrays["x"], 2, 7, 1), x[:, 2:7])
    np.testing.assert_array_equal(part_of(arrays["x"], 1, 3, 0), x[1:3])


@pytest.mark.usefixtures("large_from")
def test_a_truncated_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.ones((50, 50)))
    content = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(content[:3000] + content[12000:])
    with pytest.raises(DeployError, match=r"not a readable \.npz file"):
        open_npz(tmp_path / "x.npz", "data")


def recording(rng: np.random.Generator, samples: int = 7) -> Recording:
    nodes = {
        "lif": {"spikes": (rng.random((5, samples, 2, 3)) < 0.3).astype(np.uint8)},
        "li": {"value": rng.normal(size=(5, samples, 4)).astype(np.float32)},
    }
    return Recording(nodes, {"outputs": ["li"]}, {"synops": rng.integers(0, 9, (5, samples, 2))})


def test_a_recording_in_blocks_has_the_bytes_of_the_whole(tmp_path: Path, rng: np.random.Generator) -> None:
    whole = recording(rng)
    save_recording(whole, tmp_path / "whole.npz")
    with Writer(tmp_path / "blocks.npz") as writer:
        for first, last in ((0, 3), (3, 4), (4, 7)):
            writer.add(whole.part(first, last))
    assert (tmp_path / "blocks.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.usefixtures("large_from")
def test_a_recording_is_read_in_parts(tmp_path: Path, rng: np.random.Generator) -> None:
    whole = recording(rng)
    save_recording(whole, tmp_path / "r.npz")
    part = RecordingFile(tmp_path / "r.npz").part(2, 99)
    assert part.n_samples == 5
    np.testing.assert_array_equal(part.spikes("lif"), whole.spikes("lif")[:, 2:])
    np.testing.assert_array_equal(load_recording(tmp_path / "r.npz").counters["synops"], whole.counters["synops"])


def test_a_failed_run_leaves_no_recording(tmp_path: Path, rng: np.random.Generator) -> None:
    def fail() -> None:
        with Writer(tmp_path / "r.npz") as writer:
            writer.add(recording(rng))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_blocks_of_other_nodes_are_a_mistake(rng: np.random.Generator) -> None:
    writer = NpzWriter()
    writer.add({"a": np.zeros((2, 3))})
    with pytest.raises(ValueError, match="blocks differ"):
        writer.add({"b": np.zeros((2, 3))})
    writer.discard()


@pytest.mark.usefixtures("large_from")
@pytest.mark.parametrize("kind", ["rate", "latency", "repeat", "batch-first", "plain", "events"])
def test_data_in_parts_is_the_data_of_the_whole(tmp_path: Path, kind: str, rng: np.random.Generator) -> None:
    still = rng.random((11, 3, 2)).astype(np.float32)
    rows = (rng.random((6, 11, 3, 2)) < 0.4).astype(np.uint8)
    arrays: dict[str, Any] = {"x": still} if kind in ("rate", "latency", "repeat") else {"x": rows}
    options: dict[str, Any] = {"encode": Encoding(kind, 6)} if "x" in arrays and arrays["x"] is still else {}
    if kind == "batch-first":
        arrays, options = {"x": rows.swapaxes(0, 1)}, {"batch_first": True}
    if kind == "events":
        t, sample, unit = np.nonzero(rows.reshape(6, 11, 6))
        arrays = {"t": t, "sample": sample, "unit": unit, "shape": np.array(rows.shape)}
    np.savez(tmp_path / "d.npz", y=rng.normal(size=(11, 4)), **arrays)
    data = DataFile(tmp_path / "d.npz", {"input": (3, 2)}, seed=5, **options)
    whole = load_data(tmp_path / "d.npz", {"input": (3, 2)}, seed=5, **options)
    assert (data.n_steps, data.n_samples) == (6, 11)
    if kind in ("plain", "batch-first", "events"):
        np.testing.assert_array_equal(whole.x["input"], rows)
    if kind == "rate":
        drawn = np.random.default_rng(5).random((6, *still.shape)) < still / still.max()
        np.testing.assert_array_equal(whole.x["input"], drawn)
    for first, last in ((0, 4), (4, 11)):
        part = data.part(first, last)
        np.testing.assert_array_equal(part.x["input"], whole.x["input"][:, first:last])
        np.testing.assert_array_equal(part.targets, whole.targets[first:last])  # type: ignore[index]


def test_a_file_of_torch_save_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"x": torch.zeros(2)}, tmp_path / "data.pt")
    for read in (read_npz, open_npz):
        with pytest.raises(DeployError, match=r"it is a file of torch.save, not an .npz"):
            read(tmp_path / "data.pt", "input data")


def test_an_input_with_the_batchs_axis_names_inspect(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros((5, 2, 12)))
    with pytest.raises(DeployError, match=r"neurodeploy inspect MODEL.nir --fix -o FIXED.nir"):
        load_data(tmp_path / "d.npz", {"input": (1, 12)})


@pytest.mark.usefixtures("large_from")
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.ones((50, 50)))
    full = "/dev/full"
    if not Path(full).exists():
        pytest.skip("no /dev/full here")
    monkeypatch.setattr(neurodeploy.members.tempfile, "TemporaryFile", lambda: open(full, "wb"))  # noqa: SIM115
    array = open_npz(tmp_path / "x.npz", "data")["x"]
    with pytest.raises(DeployError, match=r"no room for a temporary file(?s:.*)TMPDIR"):
        part_of(array, 0, 1, 0)
