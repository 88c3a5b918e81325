from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurodeploy
from neurodeploy.backends.lava import backend
from neurodeploy.backends.lava.backend import Job, Lava, check_program, observables, patience, run_worker
from neurodeploy.backends.lava.install import lava_python
from neurodeploy.backends.session import find_cause
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.families.loihi.codes import NeuronModel
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording, load_recording, save_recording
from neurodeploy.ir.run_options import RunOptions

CONV: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    return (np.random.default_rng(3).random((12, 2, 2)) < 0.5).astype(np.uint8)


@pytest.fixture(scope="module")
def seen() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def recording(lava: Lava, chain: Program, spikes: np.ndarray, seen: list[tuple[int, int]]) -> Recording:
    options = RunOptions(record=("spikes", "v"), progress=lambda done, total: seen.append((done, total)))
    return lava.run(chain, {"in": spikes}, options)


def test_rows_are_the_models_own(recording: Recording, chain: Program, spikes: np.ndarray, replayed: Any) -> None:
    raw = replayed(chain, {"in": spikes})
    assert raw["first/spikes"].any()
    for node, latency in chain.latency.items():
        for key in ("spikes", "v"):
            np.testing.assert_array_equal(recording.nodes[node][key], raw[f"{node}/{key}"][latency : latency + 12])


def test_spikes_and_states_have_their_types(recording: Recording) -> None:
    types = {key: values.dtype for key, values in recording.nodes["first"].items()}
    assert types == {"spikes": np.uint8, "v": np.int32}


def test_recording_says_where_it_comes_from(recording: Recording) -> None:
    versions = recording.meta.pop("versions")
    assert set(versions) == {"lava-nc", "numpy", "python", "neurodeploy"}
    assert versions["python"].startswith("3.10.")
    assert versions["neurodeploy"] == neurodeploy.__version__
    assert recording.meta == {
        "backend": "lava",
        "target": "loihi2",
        "arithmetic": "lava",
        "latency": {"first": 1, "last": 2},
        "units": {"first": {"unit": "V", "scale": 1.0}, "last": {"unit": "V", "scale": 1.0}},
        "outputs": ["last"],
        "model_sha256": "",
        "dialect": "nir",
        "dt": 1e-3,
        "raw_time": False,
        "custom_neurons": [],
    }


def test_recording_survives_its_file(recording: Recording, tmp_path: Path) -> None:
    save_recording(recording, tmp_path / "run.npz")
    np.testing.assert_array_equal(load_recording(tmp_path / "run.npz").spikes("last"), recording.spikes("last"))


def test_progress_ends_with_all_steps(recording: Recording, seen: list[tuple[int, int]]) -> None:
    assert seen == sorted(seen)
    assert seen[-1] == (28, 28)


def test_raw_time_keeps_all_rows_of_the_named_node(lava: Lava, chain: Program, spikes: np.ndarray) -> None:
    recording = lava.run(chain, {"in": spikes}, RunOptions(nodes=("last",), raw_time=True))
    assert {node: values["spikes"].shape for node, values in recording.nodes.items()} == {"last": (14, 2, 1)}


def test_error_inside_lava_is_quoted_and_does_not_hang(lava: Lava, chain: Program, spikes: np.ndarray) -> None:
    slow = replace(chain, projections=(replace(chain.projections[0], delay=65), chain.projections[1]))
    python = lava_python()
    assert python
    with pytest.raises(BackendError, match=r"DelayDense Process 'delays' expects values between 0 and 63.*models\.py"):
        run_worker(python, Job(slow, {"in": spikes}, ("last",), RunOptions()))


def test_torch_is_never_loaded() -> None:
    script = "import sys, neurodeploy.backends.lava.backend; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_other_arithmetic_is_refused(chain: Program, spikes: np.ndarray) -> None:
    with pytest.raises(DeployError, match="Lava computes in its own arithmetic only, not in 'loihi'"):
        Lava().run(chain, {"in": spikes}, RunOptions(arithmetic="loihi"))


def test_unknown_observable_is_refused(chain: Program, spikes: np.ndarray) -> None:
    with pytest.raises(DeployError, match=r"Lava cannot record value\n.*\n.*spikes, u, v"):
        Lava().run(chain, {"in": spikes}, RunOptions(record=("spikes", "value")))


def test_all_codes_out_of_range_are_named_at_once(population: Any, projection: Any, program_of: Any) -> None:
    faulty = program_of(
        {"in": (2, 3, 3)},
        [
            population(
                "p", (4,), du=4096, dv=-1, threshold_code=1 << 17, bias_mantissa=4096, bias_exponent=8, v_init=1 << 23
            )
        ],
        [
            projection("in", "p", np.full((4, 18), 3), delay=65),
            projection("in", "p", np.full((4, 18), -256), sign_mode="inhibitory", weight_bits=9),
            projection("in", "p", np.full((1, 2, 2, 2), 254), exponent=-1, **CONV),
            projection("in", "p", np.full((1, 2, 2, 2), 254), exponent=13, **CONV),
        ],
    )
    with pytest.raises(DeployError) as caught:
        check_program(faulty)
    for fault in (
        "p: du is 4096 to 4096, but registers hold 0 to 4095",
        "p: dv is -1 to -1",
        "p: threshold_code is 131072 to 131072",
        "p: bias_mantissa is 4096",
        "p: bias_exponent is 8, but it must be a whole number from 0 to 7",
        "p: v_init is 8388608",
        "in -> p: weights are not multiples of 2, to which 8 bits truncate them",
        "in -> p: delay is 65, but it must be a whole number from 1 to 63",
        "in -> p: weights are -256 to -256, but inhibitory weights are -255 to 0",
        "in -> p: weight_bits is 9, but it must be a whole number from 1 to 8",
        "in -> p: exponent is -1, but it must be a whole number from 0 to 7",
        "in -> p: inputs may sum to 0 to 16646144, but Lava's Conv holds only 24 bits",
    ):
        assert fault in caught.value.what


def test_graded_sums_are_held_against_the_payloads_that_enter(
    population: Any, projection: Any, program_of: Any
) -> None:
    weight = np.full((1, 1, 2, 2), [[[[100, -50], [20, 10]]]])
    program = replace(
        program_of({"in": (1, 3, 3)}, [population("p", (1, 2, 2))], []),
        projections=(projection("in", "p", weight, exponent=1, message_bits=20, **CONV),),
        message_bits={"in": 20},
    )
    with pytest.raises(DeployError, match=r"in -> p: inputs may sum to -188743580 to 188743420, but Lava's Conv"):
        check_program(program)
    low = np.full((1, 1, 1, 3, 3), -20_000, np.int32)
    check_program(program, {"in": low})
    with pytest.raises(DeployError, match="inputs may sum to -10400000 to 4000000"):
        check_program(program, {"in": 2 * low})


def test_population_without_neurons_is_refused(population: Any, program_of: Any) -> None:
    with pytest.raises(DeployError, match="none: it has no neurons"):
        check_program(program_of({"in": (2,)}, [population("none", (0,))], []))


def test_counts_that_a_conv_cannot_sum_end_the_run(
    lava: Lava, population: Any, projection: Any, program_of: Any
) -> None:
    counting = NeuronModel(reset="subtract", max_spikes=None)
    program = program_of(
        {"in": (4,)},
        [population("a", (1, 2, 2), threshold_code=1, v_init=1 << 22, model=counting), population("b", (1, 1, 1))],
        [projection("a", "b", np.full((1, 1, 2, 2), 254), message_bits=24, **CONV)],
    )
    with pytest.raises(BackendError, match=r"OverflowError: inputs sum to \d{8} to \d{8}, which the 24 bits"):
        lava.run(program, {"in": np.zeros((5, 1, 4), np.uint8)}, RunOptions())


@pytest.fixture(scope="module")
def programmable(lava: Lava, population: Any, projection: Any, program_of: Any) -> Recording:
    counting = NeuronModel(reset="subtract", max_spikes=None)
    program = program_of(
        {"in": (2,)},
        [
            population("counts", (2,), threshold_code=[1, 2], model=counting),
            population("sum", (1,), threshold_code=131071, model=NeuronModel(fires=False)),
        ],
        [
            projection("in", "counts", [[10, 0], [0, 10]]),
            projection("counts", "sum", [[2, 4]], message_bits=8, delay=2),
        ],
    )
    return lava.run(program, {"in": np.ones((6, 1, 2), np.uint8)}, RunOptions(record=("spikes", "v")))


def test_counts_are_recorded_as_int32(programmable: Recording) -> None:
    assert programmable.spikes("counts").dtype == np.int32
    assert programmable.spikes("counts").max() > 1


def test_node_that_does_not_fire_records_its_value(programmable: Recording) -> None:
    assert set(programmable.nodes["sum"]) == {"value", "v"}
    assert programmable.nodes["sum"]["value"].dtype == np.int32
    assert programmable.nodes["sum"]["value"].any()
    np.testing.assert_array_equal(programmable.nodes["sum"]["value"], programmable.nodes["sum"]["v"])


@pytest.mark.parametrize("record", [("v",), ("u",), ("spikes", "u"), ("spikes", "v")])
def test_value_is_recorded_whatever_else_is(population: Any, record: tuple[str, ...]) -> None:
    silent = population("sum", (1,), model=NeuronModel(fires=False))
    assert observables(silent, record) == dict.fromkeys(("value", *(key for key in record if key != "spikes")), "int32")


def test_value_of_a_real_run_comes_beside_v_alone(lava: Lava, population: Any, program_of: Any) -> None:
    silent = program_of({"in": (1,)}, [population("sum", (1,), bias_mantissa=9, model=NeuronModel(fires=False))], [])
    recording = lava.run(silent, {"in": np.ones((4, 1, 1), np.uint8)}, RunOptions(record=("v",)))
    assert set(recording.nodes["sum"]) == {"value", "v"}
    np.testing.assert_array_equal(recording.nodes["sum"]["value"], recording.nodes["sum"]["v"])


def test_recording_names_the_neurons_that_are_not_lavas(programmable: Recording) -> None:
    assert programmable.meta["custom_neurons"] == ["counts"]


def test_patience_grows_with_the_program(population: Any, projection: Any, program_of: Any) -> None:
    small, large = (
        program_of({"in": (n,)}, [population("p", (n,))], [projection("in", "p", np.zeros((n, n)))]) for n in (2, 4000)
    )
    assert 120 < patience(small) < patience(large) < 600


def test_cause_is_the_first_error_and_its_place() -> None:
    stderr = (
        "UserWarning: never mind\nTraceback (most recent call last):\n"
        '  File "/x/lava/proc/dense/models.py", line 7, in run_spk\n    raise\nValueError: too long\n'
        "Traceback (most recent call last):\n"
        "RuntimeError: 1 Exception(s) occurred. See output above for details.\n"
    )
    assert find_cause(stderr) == "ValueError: too long (models.py, line 7, in run_spk)"


def test_cause_without_an_error_is_the_last_words() -> None:
    assert find_cause("one\ntwo\n\nthree\nfour\n") == "two | three | four"


def test_cause_skips_an_error_that_points_to_another() -> None:
    assert find_cause("RuntimeError: 1 Exception(s) occurred. See output above\n") == (
        "RuntimeError: 1 Exception(s) occurred. See output above"
    )


def test_what_the_worker_loads_of_the_package_needs_numpy_alone() -> None:
    package = Path(backend.__file__).parents[2]
    paths = [(f"neurodeploy.{name}", f"{package.joinpath(*name.split('.'))}.py") for name in backend.MODULES]
    code = f"""
import sys
from importlib.util import module_from_spec, spec_from_file_location

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("neurodeploy", "scipy", "torch", "numba"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
for name, path in {paths!r}:
    spec = spec_from_file_location(name, path)
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
print(sys.modules["neurodeploy.families.loihi.step"].TOP)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == str(2**23 - 1), done.stderr
