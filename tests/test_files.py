"""Files are written in full or not at all, and broken ones are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.files import read_npz, text_array, write_atomically, write_npz
from neurodeploy.ir.recording import Recording, load_recording, save_recording


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")

    def fail(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="the file cannot be written: No such file or directory"):
        write_npz(tmp_path / "none" / "f.npz", {})


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_npz(tmp_path / name, {"x": np.arange(5), "y": np.ones((2, 3))})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("length", [0, 10, 200, -10])
def test_a_truncated_program_is_refused(fc_model: Path, tmp_path: Path, length: int) -> None:
    path = tmp_path / "p.npz"
    save_program(compile(fc_model, "loihi2"), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DeployError, match="this is not a program"):
        load_program(path)


@pytest.mark.parametrize("missing", ["population/lif1/du", "projection/1/weight"])
def test_a_program_without_an_array_is_refused(fc_model: Path, tmp_path: Path, missing: str) -> None:
    path = tmp_path / "p.npz"
    save_program(compile(fc_model, "loihi2"), path)
    arrays = read_npz(path, "a program")
    del arrays[missing]
    write_npz(path, arrays)
    with pytest.raises(DeployError, match=f"this is not a complete program .*{missing}"):
        load_program(path)


@pytest.mark.parametrize(
    ("array", "value", "message"),
    [
        ("population/lif1/du", 5000, "lif1: du is 5000 to 5000, but registers hold 0 to 4095"),
        ("population/lif1/v_init", 2**40, "codes of 1099511627776 to 1099511627776 do not fit int32"),
        ("population/lif1/threshold_code", 2**25, "threshold_code is 33554432"),
        ("projection/0/weight", 70000, "codes of 70000 to 70000 do not fit int16"),
        ("projection/0/weight", 300, "weights are 300 to 300, but mixed weights are -256 to 255"),
        ("projection/0/weight", 3, "weights are not multiples of 2"),
    ],
)
def test_codes_that_no_register_holds_are_refused(
    fc_model: Path, tmp_path: Path, array: str, value: int, message: str
) -> None:
    path = tmp_path / "p.npz"
    save_program(compile(fc_model, "loihi2"), path)
    arrays = read_npz(path, "a program")
    arrays[array] = np.full_like(arrays[array], value, dtype=np.int64)
    write_npz(path, arrays)
    with pytest.raises(DeployError, match=message):
        load_program(path)


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("projections", "exponent", "1"),
        ("projections", "exponent", 40),
        ("projections", "delay", 1.5),
        ("populations", "latency", -1),
        ("populations", "latency", 10**9),
        ("populations", "bias_exponent", 9),
        ("populations", "unit", "64"),
        ("populations", "unit", float("inf")),
        ("populations", "shape", [float("inf")]),
        ("populations", "shape", 8),
        (None, "dt", "1e-3"),
        (None, "dt", float("nan")),
        (None, "provenance", []),
        (None, "placement", "everywhere"),
        (None, "number_formats", 3),
        (None, "target", None),
        (None, "warnings", [1]),
        (None, "outputs", ["nobody"]),
        (None, "inputs", {}),
        (None, "inputs", {"input": "12"}),
        (None, "message_bits", {"input": 2.5}),
        (None, "input_scale", {"input": "1"}),
    ],
)
def test_a_manifest_that_says_what_cannot_be_is_refused(
    fc_model: Path, tmp_path: Path, where: str | None, key: str, value: object
) -> None:
    path = tmp_path / "p.npz"
    save_program(compile(fc_model, "loihi2"), path)
    arrays = read_npz(path, "a program")
    manifest = json.loads(str(arrays["manifest"][()]))
    (manifest if where is None else manifest[where][0])[key] = value
    arrays["manifest"] = text_array(json.dumps(manifest))
    write_npz(path, arrays)
    with pytest.raises(DeployError, match=rf"this is not a complete program \(.*{key.removesuffix('s')}"):
        load_program(path)


def test_a_program_of_an_unknown_arithmetic_is_refused(fc_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    save_program(compile(fc_model, "loihi2"), path)
    arrays = read_npz(path, "a program")
    manifest = {**json.loads(str(arrays["manifest"][()])), "arithmetic": "abacus"}
    write_npz(path, {**arrays, "manifest": text_array(json.dumps(manifest))})
    with pytest.raises(DeployError, match="no arithmetic is called 'abacus'"):
        load_program(path)


@pytest.mark.parametrize("model", [{"fires": 1}, {"refractory": 1.5}, {"max_spikes": True}, {"reset": []}, None])
def test_a_neuron_model_of_wrong_types_is_refused(fc_model: Path, tmp_path: Path, model: object) -> None:
    path = tmp_path / "p.npz"
    save_program(compile(fc_model, "loihi2"), path)
    arrays = read_npz(path, "a program")
    manifest = json.loads(str(arrays["manifest"][()]))
    manifest["populations"][0]["model"] = model
    write_npz(path, {**arrays, "manifest": text_array(json.dumps(manifest))})
    with pytest.raises(DeployError, match="this is not a complete program"):
        load_program(path)


def test_a_program_of_another_version_is_refused_by_name(fc_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    save_program(compile(fc_model, "loihi2"), path)
    arrays = read_npz(path, "a program")
    manifest = json.loads(str(arrays["manifest"][()]))
    arrays["manifest"] = text_array(json.dumps({**manifest, "version": 99}))
    write_npz(path, arrays)
    with pytest.raises(DeployError, match="program version 99 is unknown"):
        load_program(path)


def test_recordings_come_back_from_their_file(tmp_path: Path, rng: np.random.Generator) -> None:
    nodes = {
        "rec.lif": {
            "spikes": rng.integers(0, 2, (4, 3, 2, 2)).astype(np.uint8),
            "v": rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
        },
        "lif2": {"spikes": rng.integers(0, 9, (4, 3, 5)).astype(np.int32)},
    }
    recording = Recording(
        nodes, {"backend": "reference", "outputs": ["lif2"]}, {"synops": np.ones((4, 3, 2), np.int64)}
    )
    save_recording(recording, tmp_path / "r.npz")
    back = load_recording(tmp_path / "r.npz")
    assert back.meta == recording.meta
    for node, observed in nodes.items():
        for key, values in observed.items():
            assert back.nodes[node][key].dtype == values.dtype
            np.testing.assert_array_equal(back.nodes[node][key], values)
    np.testing.assert_array_equal(back.counters["synops"], recording.counters["synops"])


def test_a_program_is_no_recording(fc_model: Path, tmp_path: Path) -> None:
    save_program(compile(fc_model, "loihi2"), tmp_path / "p.npz")
    with pytest.raises(DeployError, match="this is a program, not a recording"):
        load_recording(tmp_path / "p.npz")
