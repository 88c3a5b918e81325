"""Broken and hostile files are refused in our words, soon and in little memory, by every reader."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from click.testing import CliRunner

from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.budget import LIMITS, MAX_NODES, Limit
from neurodeploy.cli.main import cli
from neurodeploy.coding.data import Data
from neurodeploy.coding.data_file import load_data
from neurodeploy.compiler import compile
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi import definition
from neurodeploy.families.loihi.arithmetic import find_arithmetic
from neurodeploy.families.program_file import load_program, save_program
from neurodeploy.families.target_file import read_target
from neurodeploy.files import from_json, read_npz, read_tensors, text_array
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.plan import load_plan
from neurodeploy.ir.recording import load_recording
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.members import open_npz
from neurodeploy.search.trials import StateFile

CASES = Path(__file__).resolve().parents[2] / "shared" / "data" / "cases" / "hostile"
ROOT = Path(__file__).parents[1]

DEEP = "[" * 100_000
LONG = "1" + "0" * 400


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array))
    return stream.getvalue()


def archive(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", packing) as opened:
        for name, content in members.items():
            opened.writestr(f"{name}.npy", content)


def claiming(shape: str, content: bytes = b"", descr: str = "|u1") -> bytes:
    """An array whose header claims a shape."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


BAD_ARRAYS = {
    "no array": b"hello",
    "empty": b"",
    "too large a shape": claiming("(1000000, 1000000)", b"1234"),
    "a shape of 400 digits": claiming(f"({LONG},)"),
    "a shape below 0": claiming("(-1,)"),
    "objects": claiming("(1,)", b"12345678", "|O"),
    "records": claiming("(1,)", b"12345678", "<M8[s]"),
    "a header that is deep": claiming(DEEP[:60_000]),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
@pytest.mark.parametrize("read", [read_npz, open_npz])
def test_a_member_that_is_no_array_is_refused(tmp_path: Path, kind: str, read: Callable[..., Any]) -> None:
    archive(tmp_path / "d.npz", {"x": BAD_ARRAYS[kind]})
    with pytest.raises(DeployError, match=r"this is not data: it is not a readable \.npz file"):
        read(tmp_path / "d.npz", "data")


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("read", [read_npz, open_npz])
def test_an_archive_packed_without_bounds_is_refused(tmp_path: Path, packing: int, read: Callable[..., Any]) -> None:
    archive(tmp_path / "d.npz", {"x": npy(np.zeros(10**6))}, packing)
    with pytest.raises(DeployError, match="compressed in a way that NumPy does not use"):
        read(tmp_path / "d.npz", "data")


@pytest.mark.parametrize("read", [read_npz, open_npz])
def test_an_archive_with_a_name_twice_is_refused(tmp_path: Path, read: Callable[..., Any]) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as opened:
        opened.writestr("x.npy", npy(1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("x.npy", npy(2))
    with pytest.raises(DeployError, match="two of its arrays have the same name"):
        read(tmp_path / "d.npz", "data")


def in_little_memory(path: Path, code: str) -> str:
    """Run code on a file in 1.5 GiB of addresses and 5 s of processor time; return the message of its DeployError."""
    limited = (
        "import resource, sys; from pathlib import Path; from neurodeploy.errors import DeployError\n"
        "path = Path(sys.argv[1])\n"
        "import neurodeploy.coding.data_file, neurodeploy.families.program_file\n"
        "import neurodeploy.importers.lower, neurodeploy.ir.plan\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 * 2**29,) * 2)\n"
        "used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (used + 6, used + 6))\n"
        f"try:\n    {code}\nexcept DeployError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_data_that_does_not_fit_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((4, 8, 8), np.uint8))
    monkeypatch.setattr("neurodeploy.members.HELD_BYTES", 200)
    monkeypatch.setattr("neurodeploy.members.Packed._unpack", lambda _: pytest.fail("it was unpacked"))
    with pytest.raises(DeployError, match=r"has shape \(4, 8, 8\), but the model takes"):
        load_data(tmp_path / "d.npz", {"in": (2,)})


def test_what_would_fill_the_disk_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros((4, 8, 8), np.uint8))
    monkeypatch.setattr("neurodeploy.members.HELD_BYTES", 200)
    monkeypatch.setenv("NEURODEPLOY_MAX_UNPACKED_BYTES", "300")
    with pytest.raises(DeployError, match="needs 384 bytes, but the limit is 300"):
        open_npz(tmp_path / "d.npz", "data")


@pytest.mark.parametrize("read", [read_npz, open_npz])
def test_arrays_beyond_the_memory_allowed_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[..., Any]
) -> None:
    np.savez_compressed(tmp_path / "d.npz", x=np.zeros(10**4), y=np.zeros(10**4))
    monkeypatch.setenv("NEURODEPLOY_MAX_ARRAY_BYTES", "100000")
    with pytest.raises(DeployError, match="data in this file needs 160,256 bytes, but the limit is 100,000"):
        read(tmp_path / "d.npz", "data")


@pytest.mark.parametrize("key", ["threshold_code", "wide input"])
def test_a_program_that_claims_thousands_of_millions_of_neurons_is_refused_at_once(
    fc_model: Path, tmp_path: Path, key: str
) -> None:
    path = tmp_path / "p.npz"
    save_program(compile(fc_model, "loihi2"), path)
    arrays = read_npz(path, "a program")
    manifest = json.loads(str(arrays["manifest"][()]))
    if key == "wide input":
        manifest["inputs"]["input"] = [2**31 - 1]
    else:
        manifest["populations"][0]["shape"] = [2**31 - 1]
        arrays |= {f"population/lif1/{key}": np.int32(1) for key in ("du", "dv", "threshold_code", "bias_mantissa")}
    arrays["manifest"] = text_array(json.dumps(manifest))
    archive(path, {name: npy(values) for name, values in arrays.items()})
    assert "needs 2,147,483,647 neurons" in in_little_memory(
        path, "neurodeploy.families.program_file.load_program(path)"
    )


PLANS = {
    "aliases in mappings": "".join(
        [f"a{i}: &a{i} {{x: {f'*a{i - 1}' if i else '1'}, y: {f'*a{i - 1}' if i else '1'}}}\n" for i in range(31)]
    ),
    "aliases in lists": "".join([f"a{i}: &a{i} [{f'*a{i - 1}, *a{i - 1}' if i else '1'}]\n" for i in range(31)]),
    "many numbers": "populations: {a: {threshold: [" + "1, " * 6_000_000 + "1]}}",
    "a timestamp": "version: 2001-99-99",
    "a number that is none": "version: !!int a",
    "a truth that is none": "version: !!bool maybe",
    "a sum that is none": "version: !!float [1]",
    "a list as key": "? [1, 2]\n: 3",
    "deep lists": DEEP,
    "400 digits": f"populations: {{a: {{threshold: {LONG}}}}}",
    "5000 digits": "populations: {a: {threshold: " + "9" * 5000 + "}}",
    "5000 digits in hex": "populations: {a: {threshold: 0x" + "f" * 5000 + "}}",
    "infinity": "populations: {a: {codes_per_volt: .inf}}",
    "text for a number": "populations: {a: {threshold: high}}",
    "a number for all": "3",
    "faults by the thousand": "populations: {a: {threshold: [" + "x, " * 200_000 + "x]}}",
}


@pytest.mark.parametrize("kind", PLANS)
def test_a_plan_that_is_none_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    (tmp_path / "plan.yaml").write_text(PLANS[kind])
    said = in_little_memory(tmp_path / "plan.yaml", "neurodeploy.ir.plan.load_plan(path)")
    assert "fix:" in said
    assert len(said) < 10_000


def test_names_and_values_may_stand_twice_by_an_alias_of_a_word(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("populations: {a: {threshold: &t 5}, b: {threshold: *t}}")
    assert load_plan(tmp_path / "plan.yaml").populations["b"].threshold == 5


@pytest.mark.parametrize("read", [load_plan, read_target])
def test_a_text_that_is_no_utf_8_is_refused(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    (tmp_path / "f").write_bytes(b"version: \xff\xfe")
    with pytest.raises(DeployError, match="byte 9 is not UTF-8 text"):
        read(tmp_path / "f")


TARGETS = {
    "deep": "name = " + DEEP,
    "4400 digits": "name = " + "9" * 4400,
    "400 digits": ("value = 24", f"value = {LONG}"),
    "infinity": ("synop = ", "synop = inf #"),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_a_target_that_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    change = TARGETS[kind]
    text = change if isinstance(change, str) else (ROOT / "targets" / "loihi1.toml").read_text().replace(*change)
    assert isinstance(change, str) or change[1] in text
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(
        DeployError, match=r"this target file is refused|this is not a target file: it is not valid TOML"
    ):
        read_target(tmp_path / "t.toml")


@pytest.mark.parametrize(
    "text", [DEEP, LONG, f'{{"a": {LONG}}}', '{"a": [[1e999]]}', '{"a": NaN}', '{"a": 1, "a": 2}', "9" * 5000, ""]
)
def test_json_that_no_64_bits_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


METAS = {
    "deep": DEEP,
    "list": "[]",
    "outputs": '{"outputs": [1]}',
    "units": '{"units": 3}',
    "unit": '{"units": {"lif": 3.5}}',
    "scale": '{"units": {"lif": {"scale": 0}}}',
    "decision": '{"decision": []}',
    "counter nodes": '{"counter_nodes": "lif"}',
}


@pytest.mark.parametrize("kind", METAS)
def test_a_recording_whose_meta_is_none_is_refused(tmp_path: Path, kind: str) -> None:
    np.savez(tmp_path / "r.npz", meta=METAS[kind], **{"lif/spikes": np.zeros((2, 1, 1), np.uint8)})
    with pytest.raises(DeployError, match="this is not a recording"):
        load_recording(tmp_path / "r.npz")


@pytest.mark.parametrize("values", [np.array([["a"]]), np.zeros((2, 1), complex), np.zeros(3), np.array(1)])
def test_a_recording_of_other_things_than_rows_of_numbers_is_refused(tmp_path: Path, values: Any) -> None:
    np.savez(tmp_path / "r.npz", meta="{}", **{"lif/spikes": values})
    with pytest.raises(DeployError, match="not an array of numbers with rows and samples"):
        load_recording(tmp_path / "r.npz")


@pytest.mark.parametrize(
    "meta", [np.array(3), np.array(["{}", "{}"]), np.array(b"{}"), np.zeros((0,)), np.array([["{}"]])]
)
def test_a_recording_without_one_text_of_meta_is_refused(tmp_path: Path, meta: Any) -> None:
    np.savez(tmp_path / "r.npz", meta=meta)
    with pytest.raises(DeployError, match="this is not a recording"):
        load_recording(tmp_path / "r.npz")


@pytest.mark.parametrize(
    "shape", [np.array([np.inf, 1, 2]), np.array([2**63 + 5, 1, 2], np.uint64), np.array([[5, 1, 2]]), np.array("x")]
)
def test_an_event_list_of_no_shape_is_refused(tmp_path: Path, shape: Any) -> None:
    np.savez(tmp_path / "d.npz", t=[0], unit=[0], shape=shape)
    with pytest.raises(DeployError, match="this event list is incomplete"):
        load_data(tmp_path / "d.npz", {"in": (2,)})


def test_an_event_list_of_more_cells_than_memory_allows_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", t=[0], unit=[0], shape=[10**6, 10**6, 2])
    with pytest.raises(DeployError, match=r"needs 2,000,000,000,000 bytes(?s:.*)NEURODEPLOY_MAX_ARRAY_BYTES"):
        load_data(tmp_path / "d.npz", {"in": (2,)})


def test_data_of_more_steps_than_the_limit_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", t=[0], unit=[0], shape=[10**7, 1, 2])
    with pytest.raises(DeployError, match=r"needs 10,000,000 time steps, but the limit is 1,000,000"):
        load_data(tmp_path / "d.npz", {"in": (2,)})


@pytest.mark.parametrize("line", [DEEP, f'{{"widths": [{LONG}]}}', "\xff"])
def test_a_state_of_a_search_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    state = StateFile(tmp_path / "s", {})
    state.load()
    with open(tmp_path / "s", "ab") as stream:
        stream.write(line.encode("latin-1") + b"\n")
    with pytest.raises(DeployError, match="this is not the state of a search"):
        state.load()


def test_each_limit_is_raised_by_the_variable_that_its_message_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in LIMITS:
        needed = limit.usual + 1
        with pytest.raises(DeployError, match=f"needs {needed:,} {limit.unit}(?s:.*){limit.variable}"):
            limit.check(needed, "it", "here")
        monkeypatch.setenv(limit.variable, str(needed))
        limit.check(needed, "it", "here")


@pytest.mark.parametrize("text", ["much", "-3", "0", "inf", "nan"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("NEURODEPLOY_MAX_NODES", text)
    with pytest.raises(DeployError, match="is not a number of nodes"):
        MAX_NODES.check(1, "it", "here")


def test_a_need_of_400_digits_is_said_in_a_line() -> None:
    with pytest.raises(DeployError, match=r"needs more than 10\^15 x"):
        Limit("V", 3, "x").check(10**400, "it", "here")


HOSTILE = sorted(path.name for path in CASES.glob("*.nir")) if CASES.is_dir() else []
DIALECTS = (None, "nir,dt=1e-4,reset=zero,reset_delay=false,spike=>", "snntorch,reset=zero,reset_delay=false")


@pytest.mark.skipif(not HOSTILE, reason="no hostile files beside the repository (shared/data/cases/hostile)")
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_hostile_model_is_read_or_refused(name: str, dialect: str | None) -> None:
    with suppress(DeployError):
        assert read_network(CASES / name, dialect)[0].populations


@pytest.mark.skipif(not HOSTILE, reason="no hostile files beside the repository (shared/data/cases/hostile)")
def test_each_hostile_file_of_data_or_plan_is_refused() -> None:
    for name in ("data-events-shape-inf.npz", "data-member-no-array.npz"):
        with pytest.raises(DeployError):
            load_data(CASES / name, {"in": (1,)})
    with pytest.raises(DeployError, match="not readable YAML"):
        load_plan(CASES / "plan-timestamp.yaml")


def test_a_program_is_read_by_the_same_door(fc_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    save_program(compile(fc_model, "loihi2"), path)
    assert load_program(path).populations[0].name == "lif1"


def lif(shape: tuple[int, ...], **changes: Any) -> nir.LIF:
    ones = np.ones(shape)
    constants = {"tau": 1e-3 * ones, "r": 10 * ones, "v_leak": 0 * ones, "v_threshold": ones, "v_reset": 0 * ones}
    return nir.LIF(**{**constants, **changes})


def model_of(path: Path, layers: dict[str, Any], shapes: tuple[tuple[int, ...], tuple[int, ...]], **rules: Any) -> Path:
    nodes = {"in": nir.Input({"input": np.array(shapes[0])}), **layers}
    nodes["out"] = nir.Output({"output": np.array(shapes[1])})
    said = json.dumps({"dialect": "nir", "dt": 1e-4, "rules": {"reset": "zero", **rules}})
    graph = nir.NIRGraph(nodes, list(pairwise(nodes)), metadata={"neurodeploy": said}, type_check=False)
    nir.write(path, graph)
    return path


def test_time_constants_per_neuron_behind_a_flattened_convolution_compile_and_fire_alike(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    taus = np.linspace(1e-3, 3e-3, 18)
    layers = {
        "conv": nir.Conv2d((3, 3), rng.uniform(1, 2, (2, 1, 1, 1)), (1, 1), (0, 0), (1, 1), 1, np.zeros(2)),
        "flatten": nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1),
        "lif": lif((18,), tau=taus, r=np.full(18, 12.0)),
    }
    model = model_of(tmp_path / "m.nir", layers, ((1, 3, 3), (18,)))
    x = (rng.random((30, 2, 1, 3, 3)) < 0.5).astype(np.uint8)
    program = compile(model, "loihi2")
    recording = Emulator().run(program, {"in": x}, RunOptions(raw_time=True))
    traces = definition.run(program, {"in": x.astype(np.int64)}, find_arithmetic(program.arithmetic))
    assert recording.spikes("lif").any()
    np.testing.assert_array_equal(recording.spikes("lif"), traces.spikes["lif"])


@pytest.mark.parametrize("options", [{}, {"per_channel": True}, {"scale": "mse", "correct": ("bias", "threshold")}])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_dead_layer_compiles_and_stays_silent(tmp_path: Path, options: dict[str, Any], reset: str) -> None:
    layers = {"fc": nir.Linear(np.zeros((2, 3))), "lif": lif((2,)), "fc2": nir.Linear(np.ones((1, 2))), "l2": lif((1,))}
    model = model_of(tmp_path / "m.nir", layers, ((3,), (1,)), reset=reset, max_spikes=0)
    calibrate = Data({"in": np.ones((5, 2, 3), np.uint8)}, None, "ones")
    program = compile(model, "loihi2", calibrate=calibrate, allow_silent=True, **options)
    recording = Emulator().run(program, {"in": np.ones((9, 1, 3), np.uint8)}, RunOptions())
    assert not recording.spikes("lif").any()


@pytest.mark.parametrize("start", [1e15, -1e15])
def test_a_start_beyond_the_register_is_cut_and_said(tmp_path: Path, start: float) -> None:
    layers = {"fc": nir.Linear(np.ones((2, 3))), "lif": lif((2,))}
    model = model_of(tmp_path / "m.nir", layers, ((3,), (2,)), v_init=start)
    program = compile(model, "loihi2")
    assert any("lif: 2 of 2 neurons start beyond what a register holds" in warning for warning in program.warnings)


def test_a_gain_beyond_float32_is_refused(tmp_path: Path) -> None:
    ones = np.ones(2)
    cuba = nir.CubaLIF(
        tau_syn=1e-4 * ones, tau_mem=1e-3 * ones, r=1e30 * ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones,
        w_in=1e30 * ones,
    )  # fmt: skip
    model = model_of(tmp_path / "m.nir", {"fc": nir.Linear(np.ones((2, 3))), "lif": cuba}, ((3,), (2,)))
    with pytest.raises(DeployError, match=r"'lif' multiplies its input by .*, which float32 cannot hold"):
        compile(model, "loihi2")


def test_graphs_of_more_nodes_or_edges_than_the_limits_are_refused_at_once(tmp_path: Path) -> None:
    names = [f"n{i}" for i in range(250)]
    nodes = {"in": nir.Input({"input": np.array([1])}), **{name: lif((1,)) for name in names}}
    edges = [("in", "n0"), *((a, b) for a in names for b in names)]
    nir.write(tmp_path / "m.nir", nir.NIRGraph(nodes, edges, type_check=False))
    with pytest.raises(DeployError, match=r"edges(?s:.*)NEURODEPLOY_MAX_PROJECTIONS"):
        read_network(tmp_path / "m.nir")
    many = {f"m{i}": lif((1,)) for i in range(1500)}
    nir.write(tmp_path / "m.nir", nir.NIRGraph(many, list(pairwise(many)), type_check=False))
    with pytest.raises(DeployError, match=r"NEURODEPLOY_MAX_(NODES|PROJECTIONS)"):
        read_network(tmp_path / "m.nir")


def test_parameters_whose_shapes_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    model = model_of(tmp_path / "m.nir", {"fc": nir.Linear(np.ones((2, 3))), "lif": lif((2,))}, ((3,), (2,)))
    with h5py.File(model, "r+") as file:
        del file["node/nodes/lif/r"]
        file["node/nodes/lif/r"] = np.ones(3)
    with pytest.raises(DeployError, match=r"parameters whose shapes do not fit each other: .*r \[3\]"):
        read_network(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("in/shape", [np.inf]),
        ("conv/padding", np.array([3000, 3000])),
        ("flatten/start_dim", 0.5),
        ("lif/padding", "same"),
    ],
)
def test_odd_parameters_are_refused_in_our_words(tmp_path: Path, key: str, value: Any) -> None:
    layers = {
        "conv": nir.Conv2d((3, 3), np.ones((2, 1, 1, 1)), (1, 1), (0, 0), (1, 1), 1, np.zeros(2)),
        "flatten": nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1),
        "lif": lif((18,)),
    }
    model = model_of(tmp_path / "m.nir", layers, ((1, 3, 3), (18,)))
    with h5py.File(model, "r+") as file:
        file.pop(f"node/nodes/{key}", None)
        file[f"node/nodes/{key}"] = value
    with pytest.raises(DeployError, match=key.partition("/")[0]):
        compile(model, "loihi2")


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"PK\x03\x04broken", b"\x80\x02}q\x00."])
def test_files_of_weights_that_hold_none_are_refused(tmp_path: Path, content: bytes) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    from neurodeploy.exporters.weights import load_weights

    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(DeployError):
        load_weights(torch.nn.Linear(2, 3), tmp_path / "w.pt")


def test_synapses_that_claim_more_sources_than_neurons_may_be_are_refused() -> None:
    indptr = np.zeros(5_000_001, np.int64)
    nothing = np.zeros(0, np.int32)
    with pytest.raises(DeployError, match="needs 5,000,000 neurons"):
        CodedProjection("a", "b", nothing, 0, 8, "mixed", 1, n_out=2, indices=nothing, indptr=indptr)


def test_a_file_of_torch_with_millions_of_things_beside_its_tensors_is_not_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    torch.save([float(n) for n in range(600_000)], tmp_path / "c.pt")
    with pytest.raises(DeployError, match=r"what is not a tensor in this file of torch\.save needs .* but"):
        read_tensors(tmp_path / "c.pt", "cpu")


def test_a_checkpoint_that_is_empty_or_of_other_things_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is an extra")
    from neurodeploy.finetuning.checkpoint import FORMAT, load_checkpoint

    trainer = SimpleNamespace(network=SimpleNamespace(device="cpu"))
    path = tmp_path / "c.pt"
    path.write_bytes(b"")
    with pytest.raises(DeployError, match="this is not a checkpoint of finetune"):
        load_checkpoint(path, "", trainer)  # type: ignore[arg-type]
    torch.save({"format": FORMAT}, path)
    with pytest.raises(DeployError, match="of another model, other data or other options"):
        load_checkpoint(path, "abc", trainer)  # type: ignore[arg-type]
    torch.save({"format": FORMAT, "fingerprint": "abc"}, path)
    with pytest.raises(DeployError, match="this is not a checkpoint of finetune"):
        load_checkpoint(path, "abc", trainer)  # type: ignore[arg-type]


def test_a_parameter_of_more_axes_than_its_neurons_is_not_repaired_in_silence(tmp_path: Path) -> None:
    model = model_of(tmp_path / "m.nir", {"fc": nir.Linear(np.ones((2, 3))), "lif": lif((2,))}, ((3,), (2,)))
    with h5py.File(model, "r+") as file:
        del file["node/nodes/lif/v_leak"]
        file["node/nodes/lif/v_leak"] = np.zeros((1, 1, 2))
    done = CliRunner().invoke(cli, ["inspect", str(model), "--fix", "-o", str(tmp_path / "fixed.nir")])
    assert isinstance(done.exception, DeployError)
    assert "v_leak of shape [1, 1, 2] cannot be spread" in str(done.exception)
    assert not (tmp_path / "fixed.nir").exists()
